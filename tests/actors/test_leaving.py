"""What leaves `open_system`: one error, the right one, whatever happens inside and around it (A14)."""

import contextlib
import gc
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing, raising, run_in_system
from tests.effort import count
from tests.kernel.works import Boom, forever
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.cell import Cell
from histrio_kernel.engine import Engine
from histrio_kernel.futures import Future
from histrio_kernel.inbox import Inbox
from histrio_kernel.simulation.trio_schedule import seeded_schedule
from histrio_kernel.turn import Worker

Body = Callable[[Lab], Awaitable[object]]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("where", ["handler", "operation", "nursery", "started", "stopped", "child"])
def test_an_interrupt_leaves_bare(error: BaseException, where: str) -> None:
    """A14: KeyboardInterrupt or SystemExit, raised anywhere in the tree, leaves `open_system` itself, bare."""
    ended: list[str] = []

    async def interrupt() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    class Other(Lab):
        async def run(self) -> None:
            try:
                await self.receive_next()
            finally:
                ended.append("cleaned up")

    class Hooks(Lab):
        async def started(self) -> None:
            if where == "started":
                await interrupt()
            if where == "child":
                child = await self.spawn(Lab)
                await child.tell(Do(interrupted))

        async def stopped(self, reason: histrio.Reason) -> None:
            if where == "stopped":
                await interrupt()

    async def interrupted(lab: Lab) -> None:
        if where == "operation":
            await lab.io(interrupt)
        elif where == "nursery":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(interrupt)
                nursery.start_soon(forever)
        else:
            await interrupt()

    async def main(system: histrio.System) -> None:
        await system.spawn(Other)
        lab = await system.spawn(Hooks)
        if where == "stopped":
            lab.control.stop()
        else:
            await lab.tell(Do(interrupted))
        await trio.sleep_forever()

    with pytest.raises(type(error)) as raised:
        histrio.run(main, clock=MockClock(autojump_threshold=0))

    assert raised.value is error
    assert ended == ["cleaned up"]


async def test_an_interrupt_answers_whoever_waits(autojump_clock: MockClock) -> None:
    """A10: an ask whose handler was ended by KeyboardInterrupt is answered, also if somebody outside goes on."""
    answered: list[str] = []

    async def wait(asked: histrio.Future[None]) -> None:
        with pytest.raises(histrio.ActorStopped):
            await asked
        answered.append("told")

    async with trio.open_nursery() as outside:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - leaving the block is what raises
            async with histrio.open_system() as system:
                lab = await system.spawn(Lab)
                outside.start_soon(wait, lab.ask(raising(KeyboardInterrupt())))
                outside.start_soon(wait, lab.ask(Do(nothing)))
                await trio.sleep_forever()
    assert answered == ["told", "told"]


def outcomes_of(program: Callable[[histrio.System], Awaitable[object]]) -> set[str]:
    """What leaves `run`, in each order of Trio's."""
    seen: set[str] = set()
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            try:
                histrio.run(program, clock=MockClock(autojump_threshold=0))
            except Exception as error:
                seen.add(type(error).__name__)
            else:
                seen.add("nothing")
    return seen


def test_a_failing_ask_in_the_body_ends_in_system_failed() -> None:
    """A14: when the body does not catch the ActorFailed of its ask, the system has failed: always SystemFailed leaves."""

    async def ask(system: histrio.System) -> None:
        await (await system.spawn(Lab)).ask(raising(Boom("x")))

    async def both(system: histrio.System) -> None:
        one, two = await system.spawn(Lab), await system.spawn(Lab)
        await histrio.both(one.ask(raising(Boom("x"))), two.ask(raising(Boom("y"))))

    async def join(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        await lab.tell(raising(Boom("x")))
        await lab.join()

    assert outcomes_of(ask) == {"SystemFailed"}
    assert outcomes_of(both) == {"SystemFailed"}
    assert outcomes_of(join) == {"SystemFailed"}


def test_a_body_that_catches_a_failure_ends_with_the_system() -> None:
    """A14: a body that has caught the ActorFailed of an ask cannot save the system: it is cancelled, SystemFailed leaves."""

    async def program(system: histrio.System) -> None:
        with pytest.raises(histrio.ActorFailed):
            await (await system.spawn(Lab)).ask(raising(Boom("x")))

    assert outcomes_of(program) == {"SystemFailed"}


async def test_a_failure_after_a_quiet_body_leaves(autojump_clock: MockClock) -> None:
    """A14: if the body ended well and the tree fails while it stops, SystemFailed leaves."""

    async def slow(lab: Lab) -> None:
        await lab.io(trio.sleep, 1)
        raise Boom("late")

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Lab)).tell(Do(slow))

    with pytest.raises(histrio.SystemFailed, match="late"):
        await run_in_system(program)


class OwnGroup(ExceptionGroup[Exception]):
    """A group of a user."""


async def test_a_group_of_the_body_leaves_as_it_is(autojump_clock: MockClock) -> None:
    """A14: a group that the body raises is the body's, and leaves as it is: the same object, of its own class."""
    group = OwnGroup("mine", [ValueError("a"), ValueError("b")])

    async def program(system: histrio.System) -> None:
        await system.spawn(Lab)
        raise group

    with pytest.raises(OwnGroup) as raised:
        await run_in_system(program)

    assert raised.value is group


async def test_a_cancelled_system_is_cancelled(autojump_clock: MockClock) -> None:
    """A14: a cancellation from around passes through, quietly; no group and no error of ours is made of it."""

    async def waits(lab: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forever, 0.5)
            await histrio.both(lab.io(forever, 0.25), lab.io(forever))

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        for _ in range(3):
            await lab.tell(Do(waits))
        await lab.ask(Do(forever_in))

    with trio.move_on_after(1) as scope:
        await run_in_system(program)

    assert scope.cancelled_caught


async def forever_in(lab: Lab) -> None:
    """A handler that never ends by itself."""
    await lab.io(trio.sleep_forever)


async def test_a_failure_in_a_cancelled_system_leaves(autojump_clock: MockClock) -> None:
    """A14: an error raised in the cleanup of a cancelled system is not swallowed by the cancellation."""

    async def breaks(_: Lab) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom("cleanup")

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Lab)).tell(Do(breaks))
        await trio.sleep_forever()

    with pytest.raises(histrio.SystemFailed, match="cleanup"), trio.move_on_after(1):
        await run_in_system(program)


async def test_a_future_of_a_closed_system(autojump_clock: MockClock) -> None:
    """A10: every future of a closed system has its outcome; a cancelled one, and a new ask, raise ActorStopped."""
    futures: list[histrio.Future[object]] = []

    async def handler(lab: Lab) -> str:
        futures.append(lab.background(forever))
        futures.append(histrio.both(lab.background(forever), lab.background(forever)))
        promise: histrio.Promise[int] = lab.promise()
        futures.append(histrio.either(lab.background(forever), promise))
        futures.append(promise)
        return "value"

    async with histrio.open_system("shop") as system:
        lab = await system.spawn(Lab)
        value = lab.ask(Do(handler))
        await wait_all_tasks_blocked()
    futures.append(lab.ask(Do(nothing)))

    assert await value == "value"
    assert all(future.is_done for future in futures)
    for future in futures:
        with pytest.raises(histrio.ActorStopped):
            await future
    with pytest.raises(histrio.ActorStopped, match="'shop' is closed"):
        await futures[0]


async def test_combinators_end_under_a_shield(autojump_clock: MockClock) -> None:
    """F2: in a system whose scope was cancelled, a shielded handler still gets its winner, and nothing hangs."""
    promises: list[histrio.Promise[str]] = []
    got: list[object] = []

    async def handler(lab: Lab) -> None:
        left: histrio.Promise[str] = lab.promise()
        right: histrio.Promise[str] = lab.promise()
        promises.extend([left, right])
        stuck = lab.io(forever, 50)
        await wait_all_tasks_blocked()
        with trio.CancelScope(shield=True):
            got.append(await histrio.either(left, right))
            start = trio.current_time()
            got.append(await histrio.either(right, stuck))
            got.append(trio.current_time() - start < 6)

    async with trio.open_nursery() as outside:

        async def set_right() -> None:
            await trio.sleep(2)
            promises[1].set("right")

        outside.start_soon(set_right)
        with trio.move_on_after(1):
            async with histrio.open_system() as system:
                await (await system.spawn(Lab)).ask(Do(handler))

    assert got == [histrio.Right("right"), histrio.Left("right"), True]


class Strict:
    """A value that does not let itself be compared, as an array of numpy does not."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    def __hash__(self) -> int:
        raise TypeError("unhashable")


strict: ContextVar[Strict] = ContextVar("strict")


async def test_a_context_value_that_cannot_be_compared(autojump_clock: MockClock) -> None:
    """A4: context variables may hold any objects: an actor never compares them."""
    strict.set(Strict())

    async def handler(lab: Lab) -> bool:
        before = strict.get()
        strict.set(Strict())
        await lab.io(trio.sleep, 1)
        return strict.get() is not before

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await histrio.all_of(*(lab.ask(Do(handler)) for _ in range(3))) == (True, True, True)
        assert await lab.ask(Do(handler)) is True


KERNEL: Final = (Cell, Engine, Inbox, Future, Worker, Lab)


def alive() -> int:
    """How many objects of the kernel there are."""
    gc.collect()
    return sum(isinstance(one, KERNEL) for one in gc.get_objects())


@pytest.mark.parametrize("how", ["leave", "stop", "kill", "fail"])
def test_nothing_of_a_closed_system_is_kept(how: str) -> None:
    """A14: no global remembers a system: when it is closed, all of it is garbage."""
    before = alive()

    async def work(lab: Lab) -> None:
        with trio.move_on_after(1):
            await histrio.both(lab.io(forever), lab.io.clock.sleep(9))
        await (await lab.spawn(Lab)).ask(Do(nothing))

    async def main(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        await lab.ask(Do(work))
        await lab.tell(Do(forever_in))
        await wait_all_tasks_blocked()
        if how == "stop":
            lab.control.stop()
        elif how == "kill":
            lab.control.kill()
        elif how == "fail":
            await lab.tell(raising(Boom("x")))
            await trio.sleep(1)

    with contextlib.suppress(histrio.SystemFailed):
        histrio.run(main, clock=MockClock(autojump_threshold=0))

    assert alive() == before
