"""M7, A14: `async with Machine(...)` gives a machine a nursery, and leaves nothing behind, however it is left."""

from __future__ import annotations

import gc
import weakref
from contextvars import ContextVar
from typing import Final

import pytest
import trio
from tests.effort import count
from tests.machine.shell.lab import Letters, Oops, Tasks, assert_idle, lines_of, now, state_tasks, waits_of
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio_kernel.errors import HistrioError
from histrio_kernel.futures import HOLDERS
from histrio_kernel.machine.core.results import EXECUTED, Canceled
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.errors import Disposed
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.simulation.trio_schedule import seeded_schedule

A, B = Letters.a, Letters.b


async def sleeps(transition: Transition[object]) -> None:
    """Until it is cancelled."""
    await trio.sleep_forever()


async def cleans_up(transition: Transition[object]) -> None:
    """Until it is cancelled, and then a second more."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)


async def takes_a_second(transition: Transition[object]) -> None:
    """Just so long."""
    await trio.sleep(1)


async def test_leaving_waits_for_all_of_it(autojump_clock: MockClock) -> None:
    """M7: the machine is disposed of, tasks are cancelled and clean up, `exited` runs, and then the block is left."""
    tasks = Tasks(cleans_up, takes_a_second)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await trio.sleep(1)
        wait = machine.when(B)

    assert trio.current_time() == 3
    assert tasks.log == ["entered 1", "left 1", "exited 1"]
    assert machine.is_disposed
    with pytest.raises(Disposed):
        await wait
    assert lines_of(machine) == 0


async def test_tasks_of_states_that_are_active_already(autojump_clock: MockClock) -> None:
    """M7: they begin when the machine is opened, each once; those that came and went before never do."""
    tasks, machine = Tasks(sleeps), Machine(Letters)
    machine.bind(tasks)
    machine.add(A)
    machine.remove(A)
    machine.add(A)
    await wait_all_tasks_blocked()
    assert tasks.log == []

    async with machine:
        await wait_all_tasks_blocked()
        assert tasks.log == ["entered 3"]

    assert tasks.log == ["entered 3", "left 3", "exited 3"]


async def test_a_machine_that_is_never_opened_holds_nothing(autojump_clock: MockClock) -> None:
    """M7: activations whose tasks cannot start are gone with their state."""
    machine = Machine(Letters)
    machine.bind(Tasks(sleeps))

    for _ in range(1_000):
        machine.toggle(A)

    assert lines_of(machine) == 0
    machine.dispose()
    assert_idle_but_bound(machine)


def assert_idle_but_bound(machine: Machine) -> None:
    """Nothing is waited for, and nothing belongs to a state."""
    assert (waits_of(machine), lines_of(machine), state_tasks()) == (0, 0, 0)


@pytest.mark.parametrize("opens", ["twice", "inside", "again"])
async def test_a_machine_is_opened_once(opens: str, autojump_clock: MockClock) -> None:
    """M7: a second time is refused, and disturbs nothing."""
    machine = Machine(Letters)
    if opens == "inside":
        async with machine:
            with pytest.raises(HistrioError, match="open it once"):
                await machine.__aenter__()
            machine.add(A)
            assert A in machine
        return
    async with machine:
        pass
    with pytest.raises(HistrioError, match="open it once"):
        await machine.__aenter__()


async def test_a_machine_that_was_left(autojump_clock: MockClock) -> None:
    """M7: it can be read; a mutation is CANCELED, and waits fail."""
    async with Machine(Letters) as machine:
        machine.add(A)

    result = machine.add(B)
    assert isinstance(result, Canceled)
    assert "disposed" in result.reason
    assert machine.names == ("a",)
    with pytest.raises(Disposed):
        machine.scope(A)
    with pytest.raises(Disposed):
        await machine.when(B)
    assert now(machine.when_disposed()) is None


class Disposing(Tracer, Handlers, states=Letters):
    """Disposes of the machine in the middle of a transition."""

    def __init__(self, machine: Machine, at: str) -> None:
        self.machine: Final = machine
        self.at: Final = at

    def _step(self, name: str) -> None:
        if self.at == name:
            self.machine.dispose()

    @A.may_enter
    def may_enter(self, transition: Transition[None]) -> None:
        self._step("may_enter")

    @B.entered
    def b_entered(self, transition: Transition[None]) -> None:
        self._step("entered")

    def init(self, transition: Transition) -> None:
        self._step("init")

    def finals(self, transition: Transition) -> None:
        self._step("finals")

    def end(self, transition: Transition) -> None:
        self._step("end")


@pytest.mark.parametrize("at", ["may_enter", "entered", "init", "finals", "end"])
async def test_a_machine_that_is_disposed_of_in_a_transition(at: str, autojump_clock: MockClock) -> None:
    """M7: no task starts any more, and nobody waits for one."""
    machine, tasks = Machine(Letters), Tasks(sleeps)
    async with machine:
        machine.bind(tasks)
        disposing = Disposing(machine, at)
        machine.bind(disposing)
        machine.attach(disposing)
        wait = machine.when(A)
        machine.add(B, A)
        await wait_all_tasks_blocked()
        assert lines_of(machine) == 0
        with trio.fail_after(1):
            await machine.wound_down()

    assert tasks.log == []
    assert wait.is_done


async def test_a_task_disposes_of_its_machine(autojump_clock: MockClock) -> None:
    """M7: it is cancelled like the others, and the block can be left."""

    async def dispose(transition: Transition[object]) -> None:
        machine.dispose()
        await trio.sleep_forever()

    machine, tasks = Machine(Letters), Tasks(dispose)
    async with machine:
        machine.bind(tasks)
        machine.add(A)
        await machine.when_disposed()

    assert tasks.log == ["entered 1", "left 1", "exited 1"]


# -- errors and cancellation -------------------------------------------------------------------------------------------


async def test_an_error_of_the_block_leaves_as_it_is(autojump_clock: MockClock) -> None:
    """A14: no group around it, and all of the machine has ended before."""
    tasks = Tasks(cleans_up, takes_a_second)

    async def block() -> None:
        async with Machine(Letters) as machine:
            machine.bind(tasks)
            machine.add(A)
            await wait_all_tasks_blocked()
            raise Oops

    with pytest.raises(Oops):
        await block()

    assert trio.current_time() == 2
    assert tasks.log[-1] == "exited 1"


async def test_a_cancellation_around_it(autojump_clock: MockClock) -> None:
    """A14: goes on to its scope; what runs is cancelled, its clean-up is waited for, and `exited` can still begin."""
    machine, tasks = Machine(Letters), Tasks(cleans_up, takes_a_second)

    with trio.move_on_after(2) as scope:
        async with machine:
            machine.bind(tasks)
            machine.add(A)
            await trio.sleep(10)

    assert scope.cancelled_caught
    assert trio.current_time() == 3
    assert tasks.log == ["entered 1", "left 1", "exited 1"]
    assert (lines_of(machine), state_tasks()) == (0, 0)


@pytest.mark.parametrize("raises", [False, True])
async def test_a_cancellation_while_it_is_left(raises: bool, autojump_clock: MockClock) -> None:
    """A14: an error of the block is not lost by it."""
    tasks = Tasks(cleans_up, sleeps)

    async def block() -> None:
        async with Machine(Letters) as machine:
            machine.bind(tasks)
            machine.add(A)
            await wait_all_tasks_blocked()
            if raises:
                raise Oops

    with trio.move_on_after(2) as scope:
        if raises:
            with pytest.raises(Oops):
                await block()
        else:
            await block()

    assert scope.cancel_called
    assert scope.cancelled_caught != raises
    assert trio.current_time() == 2
    assert state_tasks() == 0


@pytest.mark.parametrize("in_exited", [False, True])
async def test_an_interrupt_in_a_task(in_exited: bool, autojump_clock: MockClock) -> None:
    """A14: KeyboardInterrupt ends the block, bare; it is no error of the machine, and nothing of it is left."""

    async def strike(transition: Transition[object]) -> None:
        raise KeyboardInterrupt

    async def block() -> None:
        async with machine:
            machine.bind(Tasks(sleeps))
            machine.bind(Tasks(None, strike) if in_exited else Tasks(strike))
            machine.add(A)
            await wait_all_tasks_blocked()
            machine.remove(A)
            await trio.sleep_forever()

    machine = Machine(Letters)
    with pytest.raises(KeyboardInterrupt):
        await block()

    assert machine.error is None
    assert machine.is_disposed
    assert (lines_of(machine), state_tasks()) == (0, 0)


async def test_an_interrupt_goes_before_an_error_of_the_block(autojump_clock: MockClock) -> None:
    """A14: the error is in its cause."""

    async def strike(transition: Transition[object]) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyboardInterrupt

    async def block() -> None:
        async with Machine(Letters) as machine:
            machine.bind(Tasks(strike))
            machine.add(A)
            await wait_all_tasks_blocked()
            raise Oops

    with pytest.raises(KeyboardInterrupt) as raised:
        await block()

    assert "Oops()" in repr(raised.value.__cause__)


async def test_a_block_of_somebody_else_that_outlasts_the_machine(autojump_clock: MockClock) -> None:
    """M7: what others do in a state may end when the machine was left in haste; it tells nobody any more."""
    entered, log = trio.Event(), list[str]()

    async def work() -> None:
        with machine.scope(A):
            entered.set()
            await cleans_up(Transition.__new__(Transition))
        log.append("left")

    machine, tasks = Machine(Letters), Tasks(exited=sleeps)
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as haste:
            async with machine:
                machine.bind(tasks)
                machine.add(A)
                nursery.start_soon(work)
                await entered.wait()
                haste.cancel()
                await trio.lowlevel.checkpoint()
        assert log == []

    assert log == ["left"]
    assert lines_of(machine) == 0
    assert tasks.log == ["entered 1", "left 1"]


def test_a_block_that_ends_in_the_moment_in_which_the_machine_is_left() -> None:
    """M7: under every schedule: the nursery may be closed already, and who has opened the machine not know it yet."""

    async def main() -> None:
        machine = Machine(Letters)

        async def work() -> None:
            with machine.scope(A):
                await cleans_up(Transition.__new__(Transition))

        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as haste:
                async with machine:
                    machine.bind(Tasks(exited=sleeps))
                    machine.bind(Handling())
                    machine.add(A, B)
                    nursery.start_soon(work)
                    await wait_all_tasks_blocked()
                    haste.cancel()
                    await trio.lowlevel.checkpoint()
        assert lines_of(machine) == 0

    class Handling(Handlers, states=Letters):
        @B.entered
        async def b(self, transition: Transition[None]) -> None:
            await cleans_up(transition)

    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            trio.run(main, clock=MockClock(autojump_threshold=0))


# -- contexts, other runs, memory --------------------------------------------------------------------------------------

VARIABLE: Final = ContextVar("variable", default="nothing")


async def test_tasks_begin_in_the_context_of_the_opening(autojump_clock: MockClock) -> None:
    """M7, A14: not in that of whoever mutates; and what they set is their own."""
    seen: list[str] = []

    async def look(transition: Transition[object]) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("the task's")

    VARIABLE.set("opened")
    async with Machine(Letters) as machine:
        machine.bind(Tasks(look, look))
        VARIABLE.set("mutated")
        for _ in range(2):
            machine.add(A)
            await wait_all_tasks_blocked()
            machine.remove(A)
            await wait_all_tasks_blocked()

    assert seen == ["opened"] * 4
    assert VARIABLE.get() == "mutated"


def test_outside_of_trio() -> None:
    """M5, M6: a machine is mutated and read anywhere; what it takes Trio for says so."""
    machine = Machine(Letters, "letters")
    machine.bind(Tasks())

    assert machine.add(A) is EXECUTED
    machine.remove(A)
    assert machine.tick(A) == 2
    with pytest.raises(HistrioError, match="letters: to wait for something takes a Trio run"):
        machine.when(B)
    machine.dispose()
    assert_idle_but_bound(machine)


def test_in_one_run_after_the_other() -> None:
    """M6, M7: a machine that was made in another run is waited for, and opened, in this one."""
    machine, tasks = Machine(Letters), Tasks()

    async def wait() -> None:
        wait = machine.when(A)
        machine.add(A)
        await wait
        machine.remove(A)

    async def leave_waiting() -> None:
        machine.when(B)

    async def open_it() -> None:
        async with machine:
            machine.bind(tasks)
            machine.add(A)
            await wait_all_tasks_blocked()
            machine.add(B)

    for run in (wait, leave_waiting, wait, open_it):
        trio.run(run)

    assert [entry.split()[0] for entry in tasks.log] == ["entered", "left", "exited"]
    assert_idle_but_bound(machine)


async def test_nothing_holds_a_machine_that_is_over(autojump_clock: MockClock) -> None:
    """M7: no table keeps it, nor its handlers; also if it was left by a cancellation."""
    gone: list[weakref.ref[object]] = []
    before = len(HOLDERS)

    async def live() -> None:
        with trio.move_on_after(3):
            async with Machine(Letters) as machine:
                tasks = Tasks(cleans_up, takes_a_second)
                gone.extend((weakref.ref(machine), weakref.ref(tasks)))
                machine.bind(tasks)
                machine.add(A)
                await trio.sleep(len(gone))
                if len(gone) > 2:
                    await trio.sleep_forever()

    for _ in range(2):
        await live()
    await trio.lowlevel.checkpoint()
    gc.collect()

    assert [each() for each in gone] == [None] * 4
    assert len(HOLDERS) == before


async def test_a_machine_in_a_state_of_another(autojump_clock: MockClock) -> None:
    """M7: it is part of the task that has opened it, and ends with it."""
    log: list[str] = []

    class Inner(Handlers, states=Letters):
        @B.entered
        async def b(self, transition: Transition[None]) -> None:
            try:
                await trio.sleep_forever()
            finally:
                log.append("inner")

    async def open_another(transition: Transition[object]) -> None:
        async with Machine(Letters) as inner:
            inner.bind(Inner())
            inner.add(B)
            await trio.sleep_forever()

    tasks = Tasks(open_another)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        assert state_tasks() == 2
        machine.remove(A)
        await wait_all_tasks_blocked()
        assert_idle_but_bound(machine)

    assert log == ["inner"]
    assert tasks.log == ["entered 1", "left 1", "exited 2"]
    assert machine.names == ()


def test_idle_means_idle() -> None:
    """M7: a machine of which nothing was asked listens to nothing."""
    assert_idle(Machine(Letters))
