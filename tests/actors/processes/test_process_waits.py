"""S7: `self.wait(future)`: the next advance comes when the future is over, whatever its outcome, and looks at it."""

from collections.abc import Callable
from typing import cast

import attrs
import pytest
import trio
from tests.actors.noted import settle
from tests.actors.processes.jobs import Job, Log, Stage, at, new_log, wait
from trio.testing import MockClock

import histrio
from histrio import Future, Phase, Ref

Make = Callable[["Waiter"], Future[object]]


class Waiter(Job):
    """It waits for one future, and its next advance looks at it, or not."""

    start = True

    def __init__(self, log: Log, make: Make, *, looks: bool = True) -> None:
        super().__init__(log)
        self.make = make
        self.looks = looks
        self.future: Future[object] | None = None

    async def advance(self) -> histrio.Next[Stage, str]:
        if self.future is None:
            self.future = self.make(self)
            return self.wait(self.future)
        self.note("goes on")
        if not self.looks:
            return histrio.Done("did not look")
        try:
            return histrio.Done(f"got {await self.future}")
        except (OSError, histrio.FutureCancelled) as error:
            return histrio.Done(f"got {type(error).__name__}")


@attrs.frozen
class Question(histrio.Request[str]):
    """Answered in ten seconds."""


class Oracle(histrio.Actor[Question]):
    def __init__(self, log: list[str]) -> None:
        self.log = log

    @histrio.handler(Question)
    async def answer(self, m: Question) -> str:
        self.log.append("begun")
        await trio.sleep(10)
        return "an answer"


async def breaks() -> None:
    """An operation that fails after a second."""
    await trio.sleep(1)
    raise OSError("broken")


async def value() -> int:
    """An operation that takes a second."""
    await trio.sleep(1)
    return 7


def cancelled(waiter: Waiter) -> Future[object]:
    """A future that is cancelled after a second."""
    promise: histrio.Promise[object] = waiter.promise()

    async def cancel() -> None:
        await trio.sleep(1)
        promise.cancel()

    waiter.background(cancel)
    return promise


def of_io(waiter: Waiter) -> Future[object]:
    """An operation that gives 7."""
    return waiter.io(value)


def of_two(waiter: Waiter) -> Future[object]:
    """Two of them."""
    return histrio.both(waiter.io(value), waiter.io(value))


def broken(waiter: Waiter) -> Future[object]:
    """An operation that fails."""
    return waiter.io(breaks)


def broken_beside(waiter: Waiter) -> Future[object]:
    """One that belongs to the actor."""
    return waiter.background(breaks)


@pytest.mark.parametrize(
    ("make", "result"),
    [
        (of_io, "got 7"),
        (of_two, "got (7, 7)"),
        (broken, "got OSError"),
        (broken_beside, "got OSError"),
        (cancelled, "got FutureCancelled"),
    ],
)
async def test_the_next_advance_gets_the_outcome(autojump_clock: MockClock, make: Make, result: str) -> None:
    """S7: whatever the future ends by, the process goes on when it has, and finds it there."""
    log: Log = []
    async with histrio.open_system() as system:
        waiter = await system.spawn(Waiter, log, make)

        assert await waiter.join() == result
        assert at(log) == ["1 goes on"]


async def test_a_future_that_is_over_is_no_wait(autojump_clock: MockClock) -> None:
    """S7: waiting for what is complete already goes on at once."""

    def ready(waiter: Waiter) -> Future[object]:
        promise: histrio.Promise[object] = waiter.promise()
        promise.set("at once")
        return promise

    log: Log = []
    async with histrio.open_system() as system:
        waiter = await system.spawn(Waiter, log, ready)

        assert await waiter.join() == "got at once"
        assert trio.current_time() == 0


@pytest.mark.parametrize("make", [broken, broken_beside])
async def test_an_error_that_nobody_looks_at_fails_the_process(autojump_clock: MockClock, make: Make) -> None:
    """S7, F4: an operation's error is not swallowed because the process only waited for its end."""
    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        spec = histrio.child(None, Waiter, new_log(), make, looks=False).with_(restart=histrio.TEMPORARY)
        waiter = await sup.start_child(spec)
        with pytest.raises(histrio.ActorFailed) as failed:
            await waiter.join()

        assert repr(failed.value.__cause__) == "OSError('broken')"


async def test_what_an_advance_made_outlives_it(autojump_clock: MockClock) -> None:
    """S7, F4: an operation may be begun in one state and waited for in another; at the end it is waited for."""

    class Ahead(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            if self.state is Stage.ONE:
                self.early, self.late = self.io(value), self.io(trio.sleep, 5)
                return self.to(Stage.TWO)
            if not self.early.is_done:
                return self.wait(self.early)
            self.note("early is there")
            return histrio.Done(f"got {await self.early}")

    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Ahead, log)
        job.control.nudge()

        assert await job.join() == "got 7"
        assert (at(log), trio.current_time()) == (["1 early is there"], 5)


@pytest.mark.parametrize("end", ["kill", "stop"])
@pytest.mark.parametrize("begun", [False, True])
async def test_an_ask_is_given_up_with_its_process(autojump_clock: MockClock, end: str, begun: bool) -> None:
    """S7, F8: an ask that is queued is withdrawn when the waiting process ends; the handler of one that has begun runs."""
    handled: list[str] = []

    def ask(_: Waiter) -> Future[object]:
        return oracle.ask(Question())

    async with histrio.open_system() as system:
        oracle = await system.spawn(Oracle, handled)
        if not begun:
            await oracle.control.pause()
        waiter = await system.spawn(Waiter, new_log(), ask)
        await settle()
        await getattr(waiter.control, end)()
        assert trio.current_time() == 0
        oracle.control.resume()
        await trio.sleep(30)

        assert handled == (["begun"] if begun else [])


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_a_promise_is_left_alone(autojump_clock: MockClock, end: str) -> None:
    """S7: a promise of somebody else is not cancelled because a process that waited for it ends."""

    class Keeper(histrio.Actor[str]):
        async def started(self) -> None:
            self.kept: histrio.Promise[object] = self.promise()
            promises.append(self.kept)

    def kept(_: Waiter) -> Future[object]:
        return promises[0]

    promises: list[histrio.Promise[object]] = []
    async with histrio.open_system() as system:
        await system.spawn(Keeper)
        waiter = await system.spawn(Waiter, new_log(), kept)
        await settle()
        await getattr(waiter.control, end)()

        assert not promises[0].is_done


async def test_an_operation_is_cancelled_with_the_stop_and_waited_for(autojump_clock: MockClock) -> None:
    """S7, F5: a stopped process gives up the operation that it waits for, and ends when that has unwound."""

    async def slow() -> None:
        try:
            await trio.sleep(1000)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)

    def slowly(waiter: Waiter) -> Future[object]:
        return waiter.io(slow)

    log: Log = []
    async with histrio.open_system() as system:
        waiter = await system.spawn(Waiter, log, slowly)
        await settle()
        assert await waiter.control.stop() is Phase.STOPPED

        assert (trio.current_time(), log) == (2, [])


async def test_others_may_await_the_same_future(autojump_clock: MockClock) -> None:
    """S7, F5: an operation that somebody else awaits too goes on when the waiting process is stopped."""
    made: list[Future[object]] = []

    def make(waiter: Waiter) -> Future[object]:
        made.append(waiter.io(value))
        return made[0]

    results: list[object] = []

    async def look() -> None:
        results.append(await made[0])

    class Slow(Waiter):
        async def stopped(self, reason: histrio.Reason) -> None:
            await trio.sleep(2)

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        waiter = await system.spawn(Slow, new_log(), make)
        await settle()
        nursery.start_soon(look)
        await settle()
        await waiter.control.stop()

        assert results == [7]


async def test_a_process_cannot_wait_for_its_own_mail(autojump_clock: MockClock) -> None:
    """A6, S7: nothing can be asked of a process, so there is no such cycle: the type is refused."""

    def ask_itself(waiter: Waiter) -> Future[object]:
        return cast("Ref[Question]", waiter.ref).ask(Question())

    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        spec = histrio.child("w", Waiter, new_log(), ask_itself).with_(restart=histrio.TEMPORARY)
        waiter = await sup.start_child(spec)
        with pytest.raises(histrio.ActorFailed) as failed:
            await waiter.join()

        assert "it takes NoMessage, not Question" in str(failed.value.__cause__)


async def test_the_turn_is_free_while_it_waits_and_between_advances(autojump_clock: MockClock) -> None:
    """A17, S7: whoever stands in line for the turn gets it between two advances, also of a process that never waits."""

    class Shared(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            if self.state is Stage.ONE:
                self.background(self.visit)
                self.visits = 0
                return self.to(Stage.TWO)
            await trio.sleep(1)  # with the turn
            return histrio.Done("visited") if self.visits == 3 else self.to(Stage.TWO)

        async def visit(self) -> None:
            for _ in range(3):
                async with self.turn():
                    self.visits += 1

    async with histrio.open_system() as system:
        job = await system.spawn(Shared, new_log())
        await job.control.nudge()

        with trio.fail_after(10):
            assert await job.join() == "visited"


async def test_a_wait_that_comes_after_the_stop_is_none(autojump_clock: MockClock) -> None:
    """S7: an advance that was stopped and then returns `self.wait(future)` gives the future up, and takes no time."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, wait(100, seconds=2))
        job.control.nudge()
        await settle()
        assert await job.control.stop() is Phase.STOPPED

        assert at(log) == ["0 begins 0", "2 ends 0"]
        assert trio.current_time() == 2
