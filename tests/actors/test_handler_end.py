"""A handler ends as a nursery does: what it began is over before its reply is sent, and no error in it is lost (F4)."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing, run_in_system
from tests.conftest import Show
from tests.kernel.works import Act, Boom, answer, breaks, fail, forever, members
from trio.testing import MockClock

import histrio

Body = Callable[[Lab], Awaitable[object]]


async def failure_of(body: Body) -> BaseException:
    """Have an actor run *body*, which must fail it; the cause, of which the asker and the system are told alike."""
    told: list[histrio.ActorFailed] = []

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab, name="lab")
        with pytest.raises(histrio.ActorFailed) as answer:
            await lab.ask(Do(body))
        told.append(answer.value)
        await trio.sleep(1000)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)
    (failure,) = raised.value.failures
    assert failure.__cause__ is not None
    assert [(error.path, error.__cause__) for error in told] == [("/lab", failure.__cause__)]
    return failure.__cause__


async def test_what_is_not_awaited_is_waited_for(autojump_clock: MockClock, show: Show) -> None:
    """F4: an unawaited operation is waited for before the reply is sent; the actor handles other messages meanwhile."""
    act = Act("unawaited", after_s=3)

    async def handler(lab: Lab) -> str:
        lab.io(act.run)
        lab.io(trio.sleep, 1)
        return "reply"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        asked = lab.ask(Do(handler))
        await lab.ask(Do(nothing))
        assert trio.current_time() == start

        assert await asked == "reply"
        took_s = trio.current_time() - start
        show(f"F4: the reply of a handler that did not await a self.io of 3 s came after {took_s:g} s")
        assert took_s == pytest.approx(3)
        assert act.cleaned_at is None


async def test_what_has_ended_costs_nothing(autojump_clock: MockClock) -> None:
    """F4: a handler whose operations have all ended replies at once, however many there were."""

    async def handler(lab: Lab) -> str:
        for _ in range(200):
            await lab.io(trio.lowlevel.checkpoint)
        lab.io(answer, 1)
        await lab.io(trio.sleep, 1)
        return "reply"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()

        assert await lab.ask(Do(handler)) == "reply"
        assert trio.current_time() - start == pytest.approx(1)


async def test_an_error_that_is_not_awaited_fails_the_handler(autojump_clock: MockClock, show: Show) -> None:
    """F4: the error of an unawaited operation is the handler's, bare, instead of its reply."""
    boom = Boom("unawaited")

    async def handler(lab: Lab) -> str:
        lab.io(fail, boom)
        return "never sent"

    cause = await failure_of(handler)
    show(f"F4: the error of a self.io that was not awaited failed its handler: {cause!r}")
    assert cause is boom


async def test_several_errors_are_a_group(autojump_clock: MockClock) -> None:
    """F4: of several unawaited operations that fail none is lost: they are a group, in the order of their making."""

    async def handler(lab: Lab) -> None:
        lab.io(Act("first", after_s=2, fails=True).run)
        lab.io(answer, 1)
        lab.io(Act("second", after_s=1, fails=True).run)

    cause = await failure_of(handler)

    assert [str(error) for error in members(cause)] == ["first", "second"]


async def test_an_error_fails_the_handler_of_a_tell_too(autojump_clock: MockClock) -> None:
    """F4: nobody waits for the answer of a `tell`, and still its unawaited error fails the actor."""

    async def handler(lab: Lab) -> None:
        lab.io(fail, Boom("unawaited"))

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Lab)).tell(Do(handler))
        await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert str(raised.value.failures[0].__cause__) == "unawaited"


async def test_a_refusal_of_an_operation_is_the_answer(autojump_clock: MockClock) -> None:
    """F4: an unawaited operation that raises a Refusal refuses the message, and the actor lives on."""

    async def handler(lab: Lab) -> None:
        lab.io(fail, histrio.Refusal("by the operation"))

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        with pytest.raises(histrio.Refusal, match="by the operation"):
            await lab.ask(Do(handler))

        await lab.ask(Do(nothing))


async def test_what_was_awaited_is_not_told_again(autojump_clock: MockClock) -> None:
    """F4: an error that the handler has caught at its await does not come back at its end."""

    async def handler(lab: Lab) -> str:
        for _ in range(3):
            future = lab.io(fail, Boom("caught"))
            with pytest.raises(Boom):
                await future
        return "went on"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == "went on"


async def test_an_error_before_the_await_is_not_lost(autojump_clock: MockClock) -> None:
    """F4: an operation that has failed before the handler awaits it gives its error to that await, and only there."""

    async def handler(lab: Lab) -> str:
        future = lab.io(fail, Boom("early"))
        await lab.io(trio.sleep, 1)
        with pytest.raises(Boom, match="early"):
            await future
        return "went on"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == "went on"


# -- handlers that raise -----------------------------------------------------------------------------------------------


async def test_a_handler_that_raises_cancels_what_it_began(autojump_clock: MockClock) -> None:
    """F4: when the handler raises, its operations are cancelled and waited for before the asker is answered."""
    acts = [Act("a", after_s=1000, cleanup_s=1), Act("b", after_s=1000, cleanup_s=2)]

    async def handler(lab: Lab) -> None:
        lab.io(acts[0].run)
        lab.io(acts[1].run, keep=True)
        await lab.io(trio.sleep, 1)
        raise Boom("mine")

    start = trio.current_time()
    cause = await failure_of(handler)

    assert str(cause) == "mine"
    assert [act.cleaned_at for act in acts] == pytest.approx([start + 2, start + 3])
    assert trio.current_time() == pytest.approx(start + 3)


async def test_a_refusal_cancels_what_the_handler_began(autojump_clock: MockClock) -> None:
    """F4: a Refusal is answered when the handler's operations have been cancelled and have ended; the actor lives on."""
    act = Act("began", after_s=1000, cleanup_s=2)

    async def handler(lab: Lab) -> None:
        lab.io(act.run)
        await lab.io(trio.sleep, 1)
        raise histrio.Refusal("no")

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        with pytest.raises(histrio.Refusal, match="no"):
            await lab.ask(Do(handler))

        assert act.cleaned_at == pytest.approx(start + 3)
        assert trio.current_time() == act.cleaned_at
        await lab.ask(Do(nothing))


@pytest.mark.parametrize("mine", [Boom("mine"), histrio.Refusal("mine")], ids=["error", "refusal"])
async def test_an_error_in_the_cleanup_joins_that_of_the_handler(mine: Exception, autojump_clock: MockClock) -> None:
    """F4: operations that fail when they are cancelled make a group with the handler's error, which comes first."""

    async def handler(lab: Lab) -> None:
        lab.io(breaks, 1, "cleanup 1")
        lab.io(breaks, 0, "cleanup 2")
        await lab.io(trio.sleep, 1)
        raise mine

    cause = await failure_of(handler)

    assert [str(error) for error in members(cause)] == ["mine", "cleanup 1", "cleanup 2"]


# -- who else makes operations -----------------------------------------------------------------------------------------


async def test_a_child_task_of_the_handler(autojump_clock: MockClock) -> None:
    """F4: operations that a task of the handler's nursery made and did not await belong to the handler."""
    boom = Boom("of a child task")
    act = Act("of a child task", after_s=3)

    def in_child_tasks(function: Callable[[Lab], object]) -> Body:
        async def child(lab: Lab) -> None:
            await trio.lowlevel.checkpoint()
            function(lab)

        async def handler(lab: Lab) -> float:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child, lab)
            return trio.current_time()

        return handler

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        assert await lab.ask(Do(in_child_tasks(lambda lab: lab.io(act.run)))) == start
        assert trio.current_time() == pytest.approx(start + 3)

    assert await failure_of(in_child_tasks(lambda lab: lab.io(fail, boom))) is boom


async def test_an_operation_made_by_an_operation(autojump_clock: MockClock) -> None:
    """F4: what an operation made and did not await belongs to no handler: its error fails the actor."""
    boom = Boom("nested")

    async def outer(lab: Lab) -> None:
        lab.io(fail, boom)
        await trio.sleep(1)

    async def handler(lab: Lab) -> None:
        with pytest.raises(trio.Cancelled):
            await lab.io(outer, lab)
        await trio.lowlevel.checkpoint()

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Lab)).tell(Do(handler))
        await trio.sleep(1000)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert raised.value.failures[0].__cause__ is boom


async def test_background_work_is_not_the_handlers(autojump_clock: MockClock) -> None:
    """F4: work by `background` belongs to the actor: the handler replies without waiting for it."""
    act = Act("background", after_s=3)

    async def handler(lab: Lab) -> str:
        lab.background(act.run)
        return "reply"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()

        assert await lab.ask(Do(handler)) == "reply"
        assert trio.current_time() == start


async def test_background_work_of_a_raising_handler_goes_on(autojump_clock: MockClock) -> None:
    """F4: a handler that refuses its message cancels its own operations, not work of the actor."""
    seen: list[str] = []

    async def work() -> None:
        await trio.sleep(1)
        seen.append("done")

    async def handler(lab: Lab) -> None:
        lab.background(work)
        raise histrio.Refusal("no")

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        with pytest.raises(histrio.Refusal):
            await lab.ask(Do(handler))
        await trio.sleep(2)

    assert seen == ["done"]


async def test_handed_to_another_handler(autojump_clock: MockClock) -> None:
    """F4: an operation that another handler awaits is still waited for by the one that made it."""
    shared: list[histrio.Future[str]] = []

    async def maker(lab: Lab) -> str:
        shared.append(lab.io(Act("shared", after_s=3).run))
        return "made"

    async def user(lab: Lab) -> str:
        return await shared[0]

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        made, used = lab.ask(Do(maker)), lab.ask(Do(user))

        assert await histrio.both(used, made) == ("shared", "made")
        assert trio.current_time() - start == pytest.approx(3)


# -- through combinators -----------------------------------------------------------------------------------------------


async def test_what_a_combinator_consumed_is_seen(autojump_clock: MockClock) -> None:
    """F4: an awaited combinator has looked at the errors of its operands: losers and cancelled ones are not told again."""

    async def handler(lab: Lab) -> list[object]:
        seen: list[object] = [
            await histrio.either(lab.io(answer, 1), lab.io(breaks, 0, "loser")),
            await histrio.first_of(lab.io(fail, Boom("first")), lab.io(Act("second", after_s=1).run)),
        ]
        with pytest.raises(Boom, match="both"):
            await histrio.both(lab.io(fail, Boom("both")), lab.io(forever, 1))
        return seen

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == [histrio.Left(1), histrio.Winner(1, "second")]


async def test_a_combinator_that_is_not_awaited_has_not_looked(autojump_clock: MockClock) -> None:
    """F4: operands of a combinator that nobody awaits are waited for, and their error fails the handler."""
    act = Act("other", after_s=1000)
    boom = Boom("operand")

    async def fail_later() -> None:
        await trio.sleep(1)  # when the other one has begun
        raise boom

    async def handler(lab: Lab) -> None:
        histrio.both(lab.io(Act("ok", after_s=1).run), lab.io(Act("ok", after_s=2).run))
        histrio.both(lab.io(fail_later), lab.io(act.run))

    assert await failure_of(handler) is boom
    assert act.cleaned_at is not None


async def test_a_kept_loser_belongs_to_the_handler(autojump_clock: MockClock) -> None:
    """F4: a loser that was kept is waited for at the handler's end like any other operation, and its error is told."""

    async def waits(lab: Lab) -> object:
        return await histrio.any_of(lab.io(answer, 1), lab.io(Act("kept", after_s=3).run), keep=True)

    async def fails(lab: Lab) -> object:
        return await histrio.either(lab.io(answer, 1), lab.io(Act("kept", after_s=3, fails=True).run), keep=True)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        start = trio.current_time()
        assert await lab.ask(Do(waits)) == histrio.Winner(0, 1)
        assert trio.current_time() - start == pytest.approx(3)

    assert str(await failure_of(fails)) == "kept"


async def test_a_kept_loser_is_not_seen_by_a_second_await(autojump_clock: MockClock) -> None:
    """F4: awaiting a combinator again, after a loser that it kept has failed, does not count as looking at that one."""

    async def handler(lab: Lab) -> None:
        first = histrio.any_of(lab.io(fail, Boom("first")), lab.io(Act("kept", after_s=1, fails=True).run), keep=True)
        for _ in range(2):
            with pytest.raises(Boom, match="first"):
                await first
            await lab.io(trio.sleep, 2)

    assert str(await failure_of(handler)) == "kept"


async def test_a_stuck_loser_belongs_to_the_handler(autojump_clock: MockClock) -> None:
    """F4: a loser that is stuck beyond `cleanup_s` is left to its owner: the handler goes on, and waits for it at its end."""
    moments: list[float] = []

    async def handler(lab: Lab) -> str:
        start = trio.current_time()
        loser = lab.io(forever, 60)
        await lab.io(trio.sleep, 1)
        await histrio.either(lab.io(answer, 1), loser)
        moments.append(trio.current_time() - start)
        return "reply"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab, name="lab")
        start = trio.current_time()
        assert await lab.ask(Do(handler)) == "reply"
        moments.append(trio.current_time() - start)

        assert [type(report) for report in system.reports] == [histrio.LoserStuck]
        assert "forever of /lab" in str(system.reports[0])
    assert moments == pytest.approx([6, 61])


# -- hooks -------------------------------------------------------------------------------------------------------------


async def test_started_ends_like_a_handler(autojump_clock: MockClock) -> None:
    """F4: `spawn` returns when what `started` began has ended, and raises its error."""

    class Slow(Lab):
        async def started(self) -> None:
            self.io(trio.sleep, 2)

    class Broken(Lab):
        async def started(self) -> None:
            self.io(fail, Boom("in started"))

    async with histrio.open_system() as system:
        start = trio.current_time()
        await system.spawn(Slow)
        assert trio.current_time() - start == pytest.approx(2)

        with pytest.raises(histrio.ActorFailed) as raised:
            await system.spawn(Broken)
        assert str(raised.value.__cause__) == "in started"


async def test_stopped_ends_like_a_handler(autojump_clock: MockClock) -> None:
    """F4: an actor has ended when what `stopped` began has; an error in it is the actor's failure."""

    class Tidy(Lab):
        async def stopped(self, reason: histrio.Reason) -> None:
            self.io(trio.sleep, 2)
            self.io(fail, Boom("in stopped"))

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Tidy)
        lab.control.stop()
        start = trio.current_time()
        with pytest.raises(histrio.ActorFailed, match="in stopped"):
            await lab.join()
        assert trio.current_time() - start == pytest.approx(2)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert str(raised.value.failures[0].__cause__) == "in stopped"


async def test_run_ends_like_a_handler(autojump_clock: MockClock) -> None:
    """F4: a behaviour by `run` has ended when what it began has."""
    act = Act("began", after_s=2)

    class ByHand(Lab):
        async def run(self) -> None:
            self.io(act.run)

    async with histrio.open_system() as system:
        start = trio.current_time()
        await (await system.spawn(ByHand)).join()

        assert trio.current_time() - start == pytest.approx(2)
        assert act.cleaned_at is None
