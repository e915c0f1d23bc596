"""A handler that is killed while it waits for what it began: nothing that went wrong in it is lost (A10)."""

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing, run_in_system
from tests.kernel.works import Act, Boom, breaks, forever, members
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio

Body = Callable[[Lab], Awaitable[object]]


async def test_a_kill_at_the_end_of_a_handler(autojump_clock: MockClock) -> None:
    """F4: a kill while a handler waits for what it began cancels that, waits for it, and answers the asker."""
    act = Act("began", after_s=1000, cleanup_s=2)

    async def handler(lab: Lab) -> str:
        lab.io(act.run)
        return "never sent"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        asked = lab.ask(Do(handler))
        await wait_all_tasks_blocked()
        start = trio.current_time()
        killed = lab.control.kill("in the test")
        with pytest.raises(histrio.ActorStopped, match="in the test"):
            await asked
        await killed

        assert act.cleaned_at == pytest.approx(start + 2)


async def test_a_cancelled_awaiter_at_the_end_of_a_handler(autojump_clock: MockClock) -> None:
    """F8: a handler that waits at its end is not hurried by its asker: it ends well, and the reply is dropped."""
    act = Act("began", after_s=3)

    async def handler(lab: Lab) -> str:
        lab.io(act.run)
        return "dropped"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        with trio.move_on_after(1):
            await lab.ask(Do(handler))
        assert trio.current_time() == pytest.approx(start + 1)
        await trio.sleep(5)

        assert act.cleaned_at is None
        await lab.ask(Do(nothing))


UNAWAITED: Final[dict[str, Body]] = {}


def unawaited(body: Body) -> Body:
    """A handler of the table below."""
    UNAWAITED[body.__name__.strip("_").replace("_", " ")] = body
    return body


@unawaited
async def _replied_already(lab: Lab) -> None:
    lab.io(breaks, 1, "late")


@unawaited
async def _waits_for_something_else(lab: Lab) -> None:
    lab.io(breaks, 1, "late")
    await lab.io(trio.sleep_forever)


@unawaited
async def _waits_for_it_and_another(lab: Lab) -> None:
    lab.io(breaks, 1, "late")
    await histrio.both(lab.io(trio.sleep_forever), lab.io(trio.sleep_forever))


@unawaited
async def _in_a_nursery(lab: Lab) -> None:
    async def child() -> None:
        lab.io(breaks, 1, "late")
        await lab.io(trio.sleep_forever)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)


@unawaited
async def _in_the_background(lab: Lab) -> None:
    lab.background(breaks, 1, "late")


@unawaited
async def _made_by_an_operation(lab: Lab) -> None:
    async def outer() -> None:
        lab.io(breaks, 1, "late")
        await trio.sleep_forever()

    await lab.io(outer)


@pytest.mark.parametrize("body", UNAWAITED.values(), ids=UNAWAITED)
async def test_an_error_in_the_cleanup_after_a_kill(body: Body, autojump_clock: MockClock) -> None:
    """A10: an operation of a killed actor that fails in its cleanup is the failure cause, whoever made it."""

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        await lab.tell(Do(body))
        await wait_all_tasks_blocked()
        await lab.control.kill()

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert str(raised.value.failures[0].__cause__) == "late"


@pytest.mark.parametrize("where", ["handler", "stopped"])
async def test_a_kill_does_not_hide_what_a_handler_raised(where: str, autojump_clock: MockClock) -> None:
    """A10: a handler or hook that has raised, and waits for its operations when the kill comes, has failed."""

    async def body(lab: Lab) -> None:
        lab.io(forever, 2)
        await lab.io(trio.sleep, 1)
        raise Boom("mine")

    class Tidy(Lab):
        async def stopped(self, reason: histrio.Reason) -> None:
            if where == "stopped":
                await body(self)

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Tidy)
        if where == "handler":
            await lab.tell(Do(body))
        else:
            lab.control.stop()
        await trio.sleep(2)
        await lab.control.kill()

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert str(raised.value.failures[0].__cause__) == "mine"


async def test_a_start_that_times_out_tells_all(autojump_clock: MockClock) -> None:
    """A10: if `started` takes too long and what it began fails in its cleanup, both are told."""

    class Late(Lab):
        start_s = 1

        async def started(self) -> None:
            self.io(breaks, 0, "late")
            await self.io(trio.sleep_forever)

    async with histrio.open_system() as system:
        with pytest.raises(histrio.ActorFailed) as raised:
            await system.spawn(Late)

    assert sorted(type(error).__name__ for error in members(raised.value.__cause__)) == ["Boom", "TimeoutError"]
