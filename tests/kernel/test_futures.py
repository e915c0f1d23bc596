"""A future is a handle to an operation that has started: what its awaiters get, and what a cancelled await does to it."""

import gc
import traceback
import weakref
from collections.abc import Callable
from types import TracebackType

import pytest
import trio
from tests.conftest import Show
from tests.effort import count
from tests.kernel.works import Act, Boom, answer, fail, forever, open_works
from trio.testing import MockClock, assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from histrio_kernel.bounds import bound
from histrio_kernel.combinators import either
from histrio_kernel.errors import FutureCancelled
from histrio_kernel.futures import HOLDERS, Future
from histrio_kernel.simulation.trio_schedule import seeded_schedule


async def test_several_tasks_await_one_future(autojump_clock: MockClock) -> None:
    """F1: each of several tasks that await a future gets its value, the same object; a later await gets it too."""
    got: list[object] = []

    async def wait(future: Future[object]) -> None:
        got.append(await future)

    value = object()
    async with open_works() as works:
        promise = works.promise(object)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait, promise)
            await wait_all_tasks_blocked()
            promise.set(value)
        got.append(await promise)

    assert got == [value] * 6


async def test_an_operation_has_started_when_its_future_exists(autojump_clock: MockClock) -> None:
    """F1: the operation runs whether or not somebody awaits it yet."""
    async with open_works() as works:
        future = works.io(answer, 7)
        await wait_all_tasks_blocked()

        assert future.is_done
        assert await future == 7


def frames_of(raised: TracebackType | None) -> list[str]:
    """The functions of a traceback, outermost first."""
    return [frame.name for frame in traceback.extract_tb(raised)]


async def test_a_traceback_does_not_grow(autojump_clock: MockClock) -> None:
    """F1: an error is raised each time as the same object, with the traceback that it was stored with."""
    seen: list[tuple[Boom, list[str]]] = []

    async with open_works() as works:
        future = works.io(fail, Boom("once"))
        for _ in range(10):
            try:
                await future
            except Boom as error:
                seen.append((error, frames_of(error.__traceback__)))

    assert len({id(error) for error, _ in seen}) == 1
    assert {len(frames) for _, frames in seen[1:]} == {len(seen[1][1])}  # the first await waits; the others do not
    assert all(frames[-1] == "fail" for _, frames in seen)


async def test_a_traceback_does_not_grow_in_several_tasks(autojump_clock: MockClock) -> None:
    """F1: tasks that await one failed operation together see tracebacks of one length."""
    lengths: list[int] = []

    async def wait(future: Future[None]) -> None:
        try:
            await future
        except Boom as error:
            lengths.append(len(frames_of(error.__traceback__)))

    async with open_works() as works:
        future = works.io(fail, Boom("once"))
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait, future)

    assert len(lengths) == 5
    assert len(set(lengths)) == 1


async def test_a_traceback_does_not_grow_through_combinators(autojump_clock: MockClock) -> None:
    """F1: an error that passes through one combinator after another keeps a traceback of one length."""
    lengths: list[int] = []

    async with open_works() as works:
        failed, other = works.io(fail, Boom("once")), works.io(forever, keep=True)
        for _ in range(10):
            try:
                await either(failed, other, keep=True)
            except Boom as error:
                lengths.append(len(frames_of(error.__traceback__)))

    assert len(set(lengths[1:])) == 1


async def test_a_cancelled_future_is_an_ordinary_error(autojump_clock: MockClock) -> None:
    """F1: awaiting a cancelled future raises FutureCancelled, which names it, in a task that is not cancelled."""
    async with open_works() as works:
        future = works.io(forever)
        future.cancel()
        for _ in range(2):
            with pytest.raises(FutureCancelled, match=r"forever of /works .*cancelled before it had an outcome"):
                await future


async def test_a_cancelled_task_gets_cancelled(autojump_clock: MockClock) -> None:
    """F1: awaiting a cancelled future raises trio.Cancelled if the awaiting task is itself cancelled."""
    async with open_works() as works:
        with trio.CancelScope() as scope:
            scope.cancel()
            await works.cancelled()

    assert scope.cancelled_caught


async def test_under_a_shield_a_cancelled_future_is_an_ordinary_error(autojump_clock: MockClock) -> None:
    """F1: a shielded task counts as one that is not cancelled."""
    async with open_works() as works:
        with trio.CancelScope() as scope:
            scope.cancel()
            with trio.CancelScope(shield=True), pytest.raises(FutureCancelled):
                await works.cancelled()


def test_both_cancelled_by_one_scope() -> None:
    """F1: an operation and its awaiter that end by one cancellation: the awaiter sees trio.Cancelled, in each order."""
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            trio.run(_cancel_both, clock=MockClock(autojump_threshold=0))


async def _cancel_both() -> None:
    async def wait(future: Future[None]) -> None:
        await future  # a FutureCancelled here would leave the nursery as an error

    with trio.move_on_after(1):
        async with open_works() as works, trio.open_nursery() as nursery:
            future = works.io(forever, 0.5)
            nursery.start_soon(wait, future)
            nursery.start_soon(wait, future)


async def test_await_of_what_is_complete_keeps_running() -> None:
    """F1: an await of a complete future is no checkpoint, but for every 64th of the run."""
    async with open_works() as works:
        done = works.value(1)
        works.engine.pace.restart()
        with assert_no_checkpoints():
            for _ in range(bound("pace_max") - 1):
                await done
        with assert_checkpoints():
            await done


async def test_await_of_what_is_pending_is_a_checkpoint(autojump_clock: MockClock) -> None:
    """F1: an await that has to wait is a checkpoint."""
    async with open_works() as works:
        with assert_checkpoints():
            await works.io(answer, 1)


async def test_a_repr_says_what_it_is_for(autojump_clock: MockClock) -> None:
    """F1: a future tells its kind, its operation with its owner, and its state."""
    async with open_works() as works:
        future = works.io(answer, 1)
        before = repr(future)
        await future

        assert (before, repr(future)) == (
            "<Operation answer of /works pending>",
            "<Operation answer of /works value>",
        )


async def test_move_on_after_leaves_nothing_running(autojump_clock: MockClock, show: Show) -> None:
    """F5: `with move_on_after(1): await io(op)` leaves no operation running; the await ends when op has cleaned up."""
    act = Act("slow", after_s=60, cleanup_s=0.5)
    async with open_works() as works:
        start = trio.current_time()
        with trio.move_on_after(1) as scope:
            await works.io(act.run)

        took_s = trio.current_time() - start
        show(f"F5: move_on_after(1) around a self.io that needs 0.5 s to clean up left after {took_s:g} s")
        show(f"F5: operations that were running then: {works.pool.running}")
        assert scope.cancelled_caught
        assert act.cleaned_at == pytest.approx(start + 1.5)
        assert trio.current_time() == act.cleaned_at
        assert works.pool.running == 0


async def test_an_operation_lives_while_somebody_awaits(autojump_clock: MockClock) -> None:
    """F5: of two awaiters the first may be cancelled and nothing happens; with the last the operation is cancelled."""
    act = Act("slow", after_s=60, cleanup_s=0.5)
    left_at: list[float] = []

    async def wait(future: Future[str], timeout_s: float) -> None:
        with trio.move_on_after(timeout_s):
            await future
        left_at.append(trio.current_time() - start)

    async with open_works() as works:
        start = trio.current_time()
        future = works.io(act.run)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, future, 2)
            nursery.start_soon(wait, future, 1)

        assert left_at == pytest.approx([1, 2.5])
        assert act.cleaned_at == pytest.approx(start + 2.5)


async def test_a_new_awaiter_of_a_cancelled_operation(autojump_clock: MockClock) -> None:
    """F5: who begins to await while a cancelled operation cleans up gets FutureCancelled; its cancelled awaiter does not."""
    async with open_works() as works:
        future = works.io(forever, 1)

        async def late() -> None:
            await trio.sleep(1.5)
            with pytest.raises(FutureCancelled):
                await future

        async with trio.open_nursery() as nursery:
            nursery.start_soon(late)
            with trio.move_on_after(1) as scope:
                await future

    assert scope.cancelled_caught


async def test_keep_lets_it_go_on(autojump_clock: MockClock) -> None:
    """F5: with keep=True a cancelled await ends at once, and the operation goes on to its value."""
    async with open_works() as works:
        start = trio.current_time()
        future = works.io(Act("kept", after_s=2).run, keep=True)
        with trio.move_on_after(1) as scope:
            await future

        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(start + 1)
        assert await future == "kept"
        assert trio.current_time() == pytest.approx(start + 2)


async def unstoppable(end: Callable[[], str]) -> str:
    """Takes two seconds, whatever happens."""
    with trio.CancelScope(shield=True):
        await trio.sleep(2)
    return end()


async def test_a_value_after_all_is_delivered(autojump_clock: MockClock) -> None:
    """F5: an operation that completes in spite of its cancellation gives its value to the cancelled await."""
    got: list[str] = []
    async with open_works() as works:
        with trio.move_on_after(1) as scope:
            got.append(await works.io(unstoppable, lambda: "after all"))

    assert got == ["after all"]
    assert scope.cancel_called
    assert not scope.cancelled_caught


async def test_an_error_after_all_is_raised(autojump_clock: MockClock) -> None:
    """F5: an operation that fails when it is cancelled gives its error to the cancelled await."""

    def explode() -> str:
        raise Boom("in the clean-up")

    async with open_works() as works:
        with trio.move_on_after(1) as scope:
            with pytest.raises(Boom, match="in the clean-up"):
                await works.io(unstoppable, explode)

        assert scope.cancel_called
        assert works.failures == []


async def test_cancel_is_a_request(autojump_clock: MockClock) -> None:
    """F5: `cancel` asks; the outcome may still be a value, and once there is an outcome it does nothing."""
    async with open_works() as works:
        future = works.io(unstoppable, lambda: "after all")
        await wait_all_tasks_blocked()
        future.cancel()

        assert not future.is_done
        assert await future == "after all"
        future.cancel()
        assert await future == "after all"


async def test_what_is_cancelled_before_its_first_step_never_runs(autojump_clock: MockClock) -> None:
    """F5: an operation that is cancelled before its first step is never called."""
    calls: list[str] = []

    async def work() -> None:
        calls.append("called")

    async with open_works() as works:
        future = works.io(work)
        future.cancel()
        with pytest.raises(FutureCancelled):
            await future

    assert calls == []


async def test_an_await_in_a_cancelled_scope_cancels(autojump_clock: MockClock) -> None:
    """F5: an await that begins in a cancelled scope cancels the operation and waits for its end."""
    act = Act("slow", after_s=60)
    async with open_works() as works:
        future = works.io(act.run)
        await wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            await future

    assert scope.cancelled_caught
    assert act.cleaned_at is not None


async def test_the_end_of_the_owner_cancels(autojump_clock: MockClock) -> None:
    """F5: the end of the owner cancels its operations, running and queued, and their awaiters are told."""
    async with trio.open_nursery() as nursery:
        futures: list[Future[None]] = []
        told: list[str] = []

        async def wait(future: Future[None]) -> None:
            try:
                await future
            except FutureCancelled:
                told.append("cancelled")

        async with open_works(io_max=1) as works:
            futures += [works.io(forever), works.io(forever)]
            for future in futures:
                nursery.start_soon(wait, future)
            await wait_all_tasks_blocked()

        assert all(future.is_done for future in futures)
    assert told == ["cancelled", "cancelled"]


def test_completion_and_cancellation_in_one_batch() -> None:
    """F5: an operation and the await of it that end at one moment: one true outcome, under every schedule."""
    outcomes: set[str] = set()
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            outcomes.add(trio.run(_race_of_two_deadlines, clock=MockClock(autojump_threshold=0)))

    assert outcomes <= {"value", "cancelled"}


async def _race_of_two_deadlines() -> str:
    async with open_works() as works:
        event = trio.Event()
        future = works.io(event.wait)
        scope = trio.CancelScope()

        async def end_both(first: Callable[[], None], second: Callable[[], None]) -> None:
            await wait_all_tasks_blocked()
            first()
            second()

        works.third_party(end_both, scope.cancel, event.set)
        with scope:
            await future
        assert future.is_done
        assert works.pool.running == 0
        return "cancelled" if scope.cancelled_caught else "value"


def test_what_completed_before_the_cancel_is_delivered() -> None:
    """F5: an outcome that was there before the cancellation came is delivered, under every schedule."""
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            assert trio.run(_complete_then_cancel, clock=MockClock(autojump_threshold=0)) == 1


async def _complete_then_cancel() -> int:
    async with open_works() as works:
        promise = works.promise(int)
        scope = trio.CancelScope()

        async def complete_then_cancel() -> None:
            await wait_all_tasks_blocked()
            promise.set(1)
            scope.cancel()

        works.third_party(complete_then_cancel)
        with scope:
            return await promise
        return 0


async def test_an_error_that_nobody_awaits_is_reported_to_the_owner(autojump_clock: MockClock) -> None:
    """F4: an error that nobody awaits when it happens goes to the owner of the operation; one that is awaited does not."""
    async with open_works() as works:
        awaited, alone = Boom("awaited"), Boom("alone")
        works.io(fail, alone)
        with pytest.raises(Boom, match="awaited"):
            await works.io(fail, awaited)
        await wait_all_tasks_blocked()

        assert works.failures == [alone]


class Big:
    """A value that can be looked after."""


async def test_a_value_is_not_kept_alive(autojump_clock: MockClock) -> None:
    """F1: when nobody holds a future any more, nothing keeps its value alive: tasks that are parked have let it go."""
    values: list[weakref.ref[Big]] = []

    async def make() -> Big:
        await trio.lowlevel.checkpoint()
        big = Big()
        values.append(weakref.ref(big))
        return big

    async with open_works() as works:
        await works.io(make)
        await wait_all_tasks_blocked()
        gc.collect()

        assert values[0]() is None


async def test_no_task_is_remembered(autojump_clock: MockClock) -> None:
    """F1: when everything has ended, the table of tasks that hold a turn is empty."""
    async with open_works() as works:
        with trio.move_on_after(1):
            await works.io(forever)
        assert len(HOLDERS) == 1

    assert HOLDERS == {}
