"""M7, M8: an error of a task is an error of its state, whenever it comes; an interrupt is nobody's, and `Cancelled` none."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.machine.shell.lab import Letters, Oops, Tasks, lines_of, state_tasks
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.errors import HandlerTooSlow
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.state import State

A, B, KEPT = Letters.a, Letters.b, Letters.kept


class Errors(Tracer):
    """Writes down the transitions that report an error."""

    def __init__(self) -> None:
        self.seen: Final[list[tuple[str, ...]]] = []

    def end(self, transition: Transition) -> None:
        if transition.cause is not None:
            names = tuple(transition.schema.names[state] for state in transition.called)
            self.seen.append((type(transition.cause).__name__, *names))


async def fails(transition: Transition[object]) -> None:
    """At once."""
    raise Oops


async def sleeps(transition: Transition[object]) -> None:
    """Until it is cancelled."""
    await trio.sleep_forever()


async def fails_in_the_clean_up(transition: Transition[object]) -> None:
    """When it is cancelled."""
    try:
        await trio.sleep_forever()
    finally:
        raise Oops


async def fails_in_a_child(transition: Transition[object]) -> None:
    """In a nursery; the error comes as a group of one."""

    async def child() -> None:
        await trio.lowlevel.checkpoint()
        raise Oops

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        nursery.start_soon(trio.sleep_forever)


async def fails_and_is_cancelled(transition: Transition[object]) -> None:
    """One child fails while it is cancelled, the other does as it is told."""

    async def child() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Oops

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        nursery.start_soon(trio.sleep_forever)


@pytest.mark.parametrize(
    ("entered", "kind"), [(fails, "Oops"), (fails_in_a_child, "ExceptionGroup")], ids=["bare", "group"]
)
async def test_a_task_that_raises(
    entered: Callable[[Transition[object]], Awaitable[None]], kind: str, autojump_clock: MockClock
) -> None:
    """M7, M8: calls its state and `exception`; the state stays active, and its `exited` is told when it leaves."""
    tasks, errors = Tasks(entered), Errors()
    async with Machine(Letters) as machine:
        machine.attach(errors)
        machine.bind(tasks)
        machine.add(A)
        transition = await machine.when_error()
        assert transition is not None
        assert transition.cause is machine.error
        assert machine.names == ("a", "exception")
        assert machine.tick(A) == 1
        machine.remove(A)

    assert errors.seen == [(kind, "a", "exception")]
    assert tasks.log == ["entered 1", "left 1", "exited 3"]


@pytest.mark.parametrize("entered", [fails_in_the_clean_up, fails_and_is_cancelled])
async def test_a_task_that_raises_when_its_state_has_left(
    entered: Callable[[Transition[object]], Awaitable[None]], autojump_clock: MockClock
) -> None:
    """M7: it is an error of the machine, and of no state; the `exited` is told all the same."""
    tasks, errors = Tasks(entered), Errors()
    async with Machine(Letters) as machine:
        machine.attach(errors)
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        machine.remove(A)
        await wait_all_tasks_blocked()
        assert machine.names == ("exception",)

    assert [(each[0], each[-1]) for each in errors.seen] == [(type(machine.error).__name__, "exception")]
    assert len(errors.seen[0]) == 2
    assert tasks.log == ["entered 1", "left 1", "exited 2"]


async def test_the_error_of_one_binding(autojump_clock: MockClock) -> None:
    """M7: it does not end the tasks of the others, and a state that leaves when it is done does not leave by it."""
    first, second = Tasks(fails), Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(first)
        machine.bind(second)
        machine.add(A)
        await wait_all_tasks_blocked()
        assert state_tasks() == 1

    assert first.log == ["entered 1", "left 1", "exited 1"]
    assert second.log == first.log


async def test_until_done_is_not_until_failed(autojump_clock: MockClock) -> None:
    """M7: a task that raises has not returned, so its state stays."""

    class Failing(Handlers, states=Letters):
        @Letters.done.entered
        async def done(self, transition: Transition[None]) -> None:
            raise Oops

    async with Machine(Letters) as machine:
        machine.bind(Failing())
        machine.add(Letters.done)
        await wait_all_tasks_blocked()
        assert machine.names == ("done", "exception")


async def test_an_exited_that_raises(autojump_clock: MockClock) -> None:
    """M7: is an error of no state, and keeps neither the next handler from being told nor the next task from starting."""
    first, second, errors = Tasks(exited=fails), Tasks(), Errors()
    async with Machine(Letters) as machine:
        machine.attach(errors)
        machine.bind(first)
        machine.bind(second)
        machine.add(A)
        await wait_all_tasks_blocked()
        machine.remove(A)
        machine.add(A)
        await wait_all_tasks_blocked()
        assert errors.seen == [("Oops", "exception")]

    assert first.log == ["entered 1", "left 1", "exited 2", "entered 3", "left 3", "exited 3"]
    assert second.log == first.log


class Slow(Handlers, states=Letters):
    """With deadlines."""

    def __init__(self, seconds: float, clean_up_s: float = 0) -> None:
        self.seconds: Final = seconds
        self.clean_up_s: Final = clean_up_s
        self.ends: Final[list[float]] = []

    async def _work(self) -> None:
        try:
            await trio.sleep(self.seconds)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.clean_up_s)
            self.ends.append(trio.current_time())

    @A.entered(deadline_s=2)
    async def a(self, transition: Transition[None]) -> None:
        await self._work()

    @A.exited(deadline_s=3)
    async def a_exited(self, transition: Transition[None]) -> None:
        await self._work()


async def test_a_handler_that_is_too_slow(autojump_clock: MockClock) -> None:
    """M7: is cancelled at its deadline, and that is an error of its state, with the deadline in it."""
    slow, errors = Slow(10), Errors()
    async with Machine(Letters) as machine:
        machine.attach(errors)
        machine.bind(slow)
        machine.add(A)
        await machine.when_error()
        assert trio.current_time() == 2
        assert A in machine
        with pytest.raises(HandlerTooSlow, match=r"Letters\.a.*deadline_s = 2 s"):
            raise machine.error or AssertionError
        machine.remove("exception")
        machine.remove(A)
        await machine.when_error()
        assert trio.current_time() == 5

    assert errors.seen == [("HandlerTooSlow", "a", "exception"), ("HandlerTooSlow", "exception")]
    assert slow.ends == [2, 5]


async def test_a_handler_that_is_in_time(autojump_clock: MockClock) -> None:
    """M7: nothing comes of its deadline."""
    slow = Slow(1)
    async with Machine(Letters) as machine:
        machine.bind(slow)
        machine.add(A)
        await trio.sleep(5)
        machine.remove(A)
        await trio.sleep(5)
        assert machine.error is None

    assert slow.ends == [1, 6]


async def test_a_deadline_that_passes_in_the_clean_up(autojump_clock: MockClock) -> None:
    """M7: who was cancelled because the state left is not too slow."""
    slow = Slow(10, clean_up_s=5)
    async with Machine(Letters) as machine:
        machine.bind(slow)
        machine.add(A)
        await trio.sleep(1)
        machine.remove(A)
        await trio.sleep(5.5)
        assert machine.error is None

    assert slow.ends[0] == 6


class Guarded(Letters):
    """The same states, with an `exception` that handlers can be for."""

    exception = State(multi="keep")


class Vetoing(Handlers, states=Guarded):
    """Does not let `exception` in."""

    @Guarded.exception.may_enter
    def may_enter(self, transition: Transition[None]) -> bool:
        return False


async def test_an_error_that_is_refused(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """M8: the machine has it all the same, and it is told to whoever hears of what nobody takes."""
    tasks = Tasks(fails)
    with caplog.at_level(logging.WARNING, logger="histrio.machine"):
        async with Machine(Guarded, "letters") as machine:
            machine.bind(tasks)
            machine.bind(Vetoing())
            machine.add(A)
            await wait_all_tasks_blocked()
            assert isinstance(machine.error, Oops)
            assert machine.names == ("a",)

    (record,) = caplog.records
    assert record.getMessage().startswith("letters: UnclaimedError: letters")
    assert record.exc_info is not None


async def test_an_error_after_disposal(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    """M8: a machine that takes no more mutations tells of it, too."""
    tasks = Tasks(fails_in_the_clean_up, fails)
    with caplog.at_level(logging.WARNING, logger="histrio.machine"):
        async with Machine(Letters) as machine:
            machine.bind(tasks)
            machine.add(A)
            await wait_all_tasks_blocked()

    assert [record.getMessage().count("UnclaimedError") for record in caplog.records] == [1, 1]
    assert tasks.log == ["entered 1", "left 1", "exited 1"]


async def test_cancelled_is_no_error(autojump_clock: MockClock) -> None:
    """M8: a timeout within the task, or the end of the state, leaves no trace."""

    async def limited(transition: Transition[object]) -> None:
        with trio.move_on_after(1):
            await trio.sleep(10)
        await trio.sleep(10)

    tasks = Tasks(limited)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await trio.sleep(2)
        machine.remove(A)
        await wait_all_tasks_blocked()
        assert machine.error is None
        assert lines_of(machine) == 0


async def test_an_error_of_a_multi_that_keeps_its_activation(autojump_clock: MockClock) -> None:
    """M7: it is called again because of the error, and that changes nothing for whoever runs in it."""

    class Kept(Handlers, states=Letters):
        @KEPT.entered
        async def kept(self, transition: Transition[None]) -> None:
            starts.append(transition.number)
            raise Oops

    starts: list[int] = []
    async with Machine(Letters) as machine:
        machine.bind(Kept())
        machine.add(KEPT)
        await wait_all_tasks_blocked()
        assert machine.tick(KEPT) == 3

    assert starts == [1]
