"""M7: an async `entered` is the task of its activation, an async `exited` comes behind it, and two periods do not overlap."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
import trio
from tests.machine.shell.lab import Letters, Page, Tasks, assert_idle, lines_of, raises, state_tasks
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio_kernel.machine.core.results import EXECUTED
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.state import State, exclusive

A, B, C, AGAIN, KEPT, PAGE, DONE = (
    Letters.a,
    Letters.b,
    Letters.c,
    Letters.again,
    Letters.kept,
    Letters.page,
    Letters.done,
)


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


class Order(Handlers, states=Letters):
    """Writes down all handlers of `a` and `b`."""

    def __init__(self) -> None:
        self.log: Final[list[str]] = []

    @A.may_enter
    def may(self, transition: Transition[None]) -> None:
        self.log.append("may enter a")

    @B.entered
    def b_entered(self, transition: Transition[None]) -> None:
        self.log.append("b entered")

    @B.exited
    def b_exited(self, transition: Transition[None]) -> None:
        self.log.append("b exited")

    @A.entered
    async def a_task(self, transition: Transition[None]) -> None:
        self.log.append("a task")


async def test_a_task_starts_when_the_transition_is_over(autojump_clock: MockClock) -> None:
    """M7: behind all sync handlers, in a Trio task of its own, with the name of its machine and state."""
    order, names = Order(), list[str]()
    async with Machine(Letters, "letters") as machine:
        machine.add(B)
        machine.bind(order)
        machine.set(A)
        order.log.append("set")
        await wait_all_tasks_blocked()
        machine.bind(Tasks(lambda _: _name(names)))
        machine.remove(A)
        machine.add(A)
        await wait_all_tasks_blocked()

    assert order.log == ["may enter a", "b exited", "set", "a task", "may enter a", "a task"]
    assert names == ["letters: a"]


async def _name(names: list[str]) -> None:
    names.append(trio.lowlevel.current_task().name)


class Pages(Handlers, states=Letters):
    """The task of a state with arguments."""

    def __init__(self) -> None:
        self.seen: Final[list[object]] = []

    @PAGE.entered
    async def show(self, transition: Transition[Page]) -> None:
        self.seen.append((transition.args.url, transition.args.level))

    @PAGE.exited
    async def hide(self, transition: Transition[Page]) -> None:
        self.seen.append(transition.called)


async def test_a_task_gets_the_arguments_of_its_state(autojump_clock: MockClock) -> None:
    """M7: typed, and those of the activation; an `exited` gets the transition in which the state left."""
    pages = Pages()
    async with Machine(Letters) as machine:
        machine.bind(pages)
        machine.add(A, PAGE(url="x", level=3))
        await wait_all_tasks_blocked()
        machine.remove(PAGE)
        await wait_all_tasks_blocked()

    assert pages.seen == [("x", 3), (machine.schema.index("page"),)]


async def test_the_next_task_starts_when_all_of_the_last_has_ended(autojump_clock: MockClock) -> None:
    """M7: first the clean-up, then the async `exited`, then the next: two activations never overlap."""
    times: list[float] = []

    async def entered(transition: Transition[object]) -> None:
        times.append(trio.current_time())
        await cleans_up(transition)

    async def exited(transition: Transition[object]) -> None:
        await trio.sleep(1)

    tasks = Tasks(entered, exited)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await trio.sleep(1)
        machine.remove(A)
        machine.add(A)
        await trio.sleep(10)
        assert state_tasks() == 1

    assert tasks.log == ["entered 1", "left 1", "exited 2", "entered 3", "left 3", "exited 3"]
    assert times == [0, 3]
    assert trio.current_time() == 13


async def test_of_several_meanwhile_only_the_latest_gets_a_task(autojump_clock: MockClock) -> None:
    """M7: those in between were never there for the tasks, and have no `exited` either."""
    tasks = Tasks(cleans_up)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        for _ in range(3):
            machine.remove(A)
            machine.add(A)
        await trio.sleep(2)

    assert tasks.log == ["entered 1", "left 1", "exited 2", "entered 7", "left 7", "exited 7"]


async def test_one_that_is_not_active_any_more_gets_none(autojump_clock: MockClock) -> None:
    """M7: when its turn comes."""
    tasks = Tasks(cleans_up)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        for _ in range(3):
            machine.toggle(A)
        machine.remove(A)
        await trio.sleep(5)
        assert lines_of(machine) == 0

    assert tasks.log == ["entered 1", "left 1", "exited 2"]


async def test_one_that_left_before_its_first_step(autojump_clock: MockClock) -> None:
    """M7: a task that has not begun never does, and its `exited` is not told of what never was."""
    tasks = Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        machine.remove(A)
        await wait_all_tasks_blocked()
        assert lines_of(machine) == 0

    assert tasks.log == []


class Failing(Handlers, states=Letters):
    """`b` fails to enter, or is refused."""

    def __init__(self) -> None:
        self.refuses = False

    @B.may_enter
    def may(self, transition: Transition[None]) -> bool:
        return not self.refuses

    @B.entered
    def b_entered(self, transition: Transition[None]) -> None:
        raises(transition)


@pytest.mark.parametrize(("states", "log"), [((B, A), []), ((A, B), ["entered 1", "left 1", "exited 1"])])
async def test_a_rollback(states: tuple[State[[], None], ...], log: list[str], autojump_clock: MockClock) -> None:
    """M7, M3: what leaves again never starts; what had been told before the error is active, and has its task."""
    tasks = Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.bind(Failing())
        machine.add(*states)
        await wait_all_tasks_blocked()
        assert (A in machine) == bool(log)

    assert tasks.log == log


async def test_a_veto(autojump_clock: MockClock) -> None:
    """M7: nothing of a transition that was refused starts, and the task that runs is left alone."""
    tasks, failing = Tasks(sleeps), Failing()
    failing.refuses = True
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.bind(failing)
        machine.add(A, B)
        machine.add(A)
        machine.set(B)
        await wait_all_tasks_blocked()
        assert A in machine

    assert tasks.log == ["entered 2", "left 2", "exited 2"]


class Endings(Handlers, states=Letters):
    """Tasks that return."""

    def __init__(self) -> None:
        self.log: Final[list[str]] = []

    @A.entered
    async def a(self, transition: Transition[None]) -> None:
        self.log.append("a")

    @DONE.entered
    async def done(self, transition: Transition[None]) -> None:
        await trio.sleep(1)
        self.log.append("done")

    @DONE.exited
    def done_exited(self, transition: Transition[None]) -> None:
        self.log.append(f"exited, from {transition.source and transition.source.transition}")


class Slower(Handlers, states=Letters):
    """Another task of the same state."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses: Final = refuses

    @DONE.entered
    async def done(self, transition: Transition[None]) -> None:
        await trio.sleep(3)

    @DONE.may_exit
    def may_exit(self, transition: Transition[None]) -> bool:
        return not self.refuses


async def test_a_task_that_returns(autojump_clock: MockClock) -> None:
    """M7: leaves the state active; one with `until_done` is removed, when the last of its tasks has returned."""
    endings = Endings()
    async with Machine(Letters) as machine:
        machine.bind(endings)
        machine.bind(Slower())
        machine.add(A)
        machine.add(DONE)
        await trio.sleep(2)
        assert (A in machine, DONE in machine) == (True, True)
        await machine.when_not(DONE)
        assert trio.current_time() == 3
        assert A in machine
        assert state_tasks() == 0

    assert endings.log == ["a", "done", "exited, from 2"]


async def test_a_task_that_returned_may_not_be_let_go(autojump_clock: MockClock) -> None:
    """M7, M5: the removal is a mutation like any other: a handler can veto it."""
    async with Machine(Letters) as machine:
        machine.bind(Slower(refuses=True))
        machine.add(DONE)
        await trio.sleep(5)
        assert DONE in machine


async def test_until_done_is_of_one_activation(autojump_clock: MockClock) -> None:
    """M7: a task that ends because its activation has ended does not remove the next one."""

    class Swallowing(Handlers, states=Letters):
        @DONE.entered
        async def done(self, transition: Transition[None]) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)

    async with Machine(Letters) as machine:
        machine.bind(Swallowing())
        machine.add(DONE)
        await trio.sleep(1)
        machine.remove(DONE)
        machine.add(DONE)
        await trio.sleep(2.5)
        assert DONE in machine
        await trio.sleep(1)
        assert DONE not in machine
        assert machine.tick(DONE) == 4


class Repeating(Handlers, states=Letters):
    """A Multi, and one that keeps its activation."""

    def __init__(self) -> None:
        self.log: Final[list[str]] = []

    async def _work(self, name: str) -> None:
        self.log.append(f"{name} begins")
        try:
            await trio.sleep_forever()
        finally:
            self.log.append(f"{name} ends")

    @AGAIN.entered
    async def again(self, transition: Transition[None]) -> None:
        await self._work("again")

    @KEPT.entered
    async def kept(self, transition: Transition[None]) -> None:
        await self._work("kept")


class Told(Handlers, states=Letters):
    """A sync handler of both."""

    def __init__(self) -> None:
        self.told: Final[list[str]] = []

    @AGAIN.entered
    def again(self, transition: Transition[None]) -> None:
        self.told.append("again")

    @KEPT.entered
    def kept(self, transition: Transition[None]) -> None:
        self.told.append("kept")


async def test_a_multi_that_is_called_again(autojump_clock: MockClock) -> None:
    """M7: is an activation of its own, with a task of its own; `multi="keep"` calls the sync handlers only."""
    repeating, told = Repeating(), Told()
    async with Machine(Letters) as machine:
        machine.bind(repeating)
        machine.bind(told)
        for _ in range(3):
            machine.add(AGAIN)
            await wait_all_tasks_blocked()
            machine.add(KEPT)
            await wait_all_tasks_blocked()
        assert repeating.log == ["again begins", "kept begins", *["again ends", "again begins"] * 2]
        assert told.told == ["again", "kept"] * 3
        assert (machine.tick(AGAIN), machine.tick(KEPT)) == (5, 5)


class Automatic(States):
    """An auto state that comes when the other leaves."""

    busy = State()
    idle = State(auto=True)
    exclusive(busy, idle)


class Idle(Handlers, states=Automatic):
    """The task of the auto state."""

    def __init__(self) -> None:
        self.times: Final[list[float]] = []

    @Automatic.idle.entered
    async def rest(self, transition: Transition[None]) -> None:
        self.times.append(trio.current_time())
        assert transition.is_auto


async def test_an_auto_state_has_a_task_too(autojump_clock: MockClock) -> None:
    """M7, M2: it begins in the auto transition, not in the one before."""
    idle = Idle()
    async with Machine(Automatic) as machine:
        machine.bind(idle)
        machine.add(Automatic.busy)
        await trio.sleep(1)
        machine.remove(Automatic.busy)
        await wait_all_tasks_blocked()

    assert idle.times == [1]


async def test_a_state_with_an_exited_only(autojump_clock: MockClock) -> None:
    """M7: it has no task, but its end is told, behind all that was done in it."""

    class Last(Handlers, states=Letters):
        @A.exited
        async def exited(self, transition: Transition[None]) -> None:
            log.append(f"exited at {trio.current_time():g}")

    async def work() -> None:
        with machine.scope(A):
            await cleans_up(Transition.__new__(Transition))
        log.append(f"left at {trio.current_time():g}")

    log: list[str] = []
    async with Machine(Letters) as machine, trio.open_nursery() as nursery:
        machine.bind(Last())
        machine.add(A)
        nursery.start_soon(work)
        await trio.sleep(1)
        machine.remove(A)
        assert log == []
        await trio.sleep(5)

    assert log == ["left at 2", "exited at 2"]


async def test_a_task_removes_its_own_state(autojump_clock: MockClock) -> None:
    """M7: it is cancelled at its next checkpoint, like any other."""
    steps: list[object] = []

    async def leave(transition: Transition[object]) -> None:
        steps.append(machine.remove(A))
        await trio.lowlevel.checkpoint()
        steps.append("goes on")

    tasks = Tasks(leave)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        assert lines_of(machine) == 0

    assert steps == [EXECUTED]
    assert tasks.log == ["entered 1", "left 1", "exited 2"]


async def test_what_a_task_starts_in_a_nursery_ends_with_it(autojump_clock: MockClock) -> None:
    """M7: child tasks are part of the task."""
    times: list[float] = []

    async def child() -> None:
        try:
            await cleans_up(Transition.__new__(Transition))
        finally:
            times.append(trio.current_time())

    async def with_children(transition: Transition[object]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(child)

    tasks = Tasks(with_children, lambda _: _time(times))
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await trio.sleep(1)
        machine.remove(A)
        await trio.sleep(5)

    assert times == [2, 2, 2]


async def _time(times: list[float]) -> None:
    times.append(trio.current_time())


Change = Callable[[Machine], object]


def take_over(machine: Machine, *, active: bool) -> None:
    """Load data in which `a` has another tick."""
    other = Machine(machine.schema)
    other.add(A)
    other.remove(A)
    if active:
        other.add(A)
    machine.load(other.export())


@pytest.mark.parametrize("active", [True, False])
async def test_an_import_runs_no_handler(active: bool, autojump_clock: MockClock) -> None:
    """M7, M10: a task of a state whose tick changed ends, and its `exited` is told; none starts by an import."""
    tasks = Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        take_over(machine, active=active)
        await wait_all_tasks_blocked()
        assert lines_of(machine) == 0
        machine.set(A)
        await wait_all_tasks_blocked()

    begun = [] if active else ["entered 2", "left 2", "exited 2"]
    assert tasks.log == ["entered 1", "left 1", "exited 1", *begun]


class Reordered(States):
    """`Letters` with the numbers changed, and some gone."""

    c = State()
    d = State()
    a = State()


async def test_another_schema(autojump_clock: MockClock) -> None:
    """M7, M10: the task of a state that stays goes on; that of one that is gone ends, and its `exited` is told."""
    log: list[str] = []

    class Stays(Handlers):
        @A.entered
        async def a(self, transition: Transition[None]) -> None:
            await _logged(log, "a")

    class Gone(Handlers):
        @B.entered
        async def b(self, transition: Transition[None]) -> None:
            await _logged(log, "b")

        @B.exited
        async def b_exited(self, transition: Transition[None]) -> None:
            log.append("b exited")

    gone = Gone()
    async with Machine(Letters) as machine:
        machine.bind(Stays())
        machine.bind(gone)
        machine.add(A, B)
        await wait_all_tasks_blocked()
        machine.unbind(gone)
        machine.evolve(Reordered)
        await wait_all_tasks_blocked()
        assert sorted(log) == ["a begins", "b begins", "b ends", "b exited"]
        assert machine.names == ("a",)

    assert log[-1] == "a ends"


async def _logged(log: list[str], name: str) -> None:
    log.append(f"{name} begins")
    try:
        await trio.sleep_forever()
    finally:
        log.append(f"{name} ends")


async def test_a_task_asks_for_mutations_in_the_name_of_its_transition(autojump_clock: MockClock) -> None:
    """M7, M9: their source is the transition in which the activation began; that of an `exited`, in which it ended."""
    sources: list[object] = []

    class Sources(Handlers, states=Letters):
        @B.entered
        def b_entered(self, transition: Transition[None]) -> None:
            assert transition.source is not None
            sources.append((transition.source.machine, transition.source.transition))

    async def add_b(transition: Transition[object]) -> None:
        machine.add(B)
        machine.remove(B)

    tasks = Tasks(add_b, add_b)
    async with Machine(Letters, "letters") as machine:
        machine.add(C)
        machine.bind(tasks)
        machine.bind(Sources())
        machine.add(A)
        await wait_all_tasks_blocked()
        machine.remove(A)
        await wait_all_tasks_blocked()
        machine.unbind(tasks)

    assert sources == [("letters", 1), ("letters", 4)]


@pytest.mark.parametrize("times", [1, 50])
async def test_many_machines_at_once(times: int, autojump_clock: MockClock) -> None:
    """M7: each has its own lines, and none holds anything when it is quiet."""
    machines = [Machine(Letters, f"m{number}") for number in range(times)]

    async def run(machine: Machine) -> None:
        async with machine:
            machine.bind(Tasks(cleans_up))
            machine.add(A)
            await trio.sleep(1)
            machine.toggle(A)
            machine.toggle(A)
            await trio.sleep(5)

    async with trio.open_nursery() as nursery:
        for machine in machines:
            nursery.start_soon(partial(run, machine))

    assert trio.current_time() == 7
    assert state_tasks() == 0
    assert [lines_of(machine) for machine in machines] == [0] * times


async def test_a_machine_without_tasks_is_idle(autojump_clock: MockClock) -> None:
    """M7: when the last binding with async handlers is gone, and nothing of it runs, nobody listens."""
    tasks = Tasks()
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        machine.unbind(tasks)
        machine.remove(A)
        await wait_all_tasks_blocked()
        assert_idle(machine)
