"""M1, M7: who is bound when a state enters is told of its end, and nobody else; within a transition it counts from the next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import pytest
import trio
from tests.machine.shell.lab import Letters, Tasks, lines_of, state_tasks
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.state import State

A, B = Letters.a, Letters.b


async def sleeps(transition: Transition[object]) -> None:
    """Until it is cancelled."""
    await trio.sleep_forever()


async def test_each_binding_has_a_task(autojump_clock: MockClock) -> None:
    """M7: they run beside each other; their `exited` one after the other, in the order of binding."""
    log: list[str] = []

    def exited(name: str, seconds: float) -> Callable[[Transition[object]], Awaitable[None]]:
        async def run(transition: Transition[object]) -> None:
            log.append(f"{name} begins")
            await trio.sleep(seconds)
            log.append(f"{name} ends")

        return run

    async with Machine(Letters) as machine:
        machine.bind(Tasks(sleeps, exited("first", 2)))
        machine.bind(Tasks(exited=exited("second", 1)))
        machine.add(A)
        await wait_all_tasks_blocked()
        assert state_tasks() == 1
        machine.remove(A)

    assert log == ["first begins", "first ends", "second begins", "second ends"]


async def test_one_that_is_unbound_is_told_of_the_end(autojump_clock: MockClock) -> None:
    """M7: its task goes on until the state leaves, and is followed by its `exited`; then there is no more of it."""
    tasks = Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        machine.unbind(tasks)
        assert state_tasks() == 1
        machine.remove(A)
        machine.add(A)
        await wait_all_tasks_blocked()
        assert lines_of(machine) == 0

    assert tasks.log == ["entered 1", "left 1", "exited 2"]


async def test_one_that_is_bound_too_late_is_told_of_nothing(autojump_clock: MockClock) -> None:
    """M7: an `exited` without its `entered` would be half of something."""
    first, late = Tasks(sleeps), Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(first)
        machine.add(A)
        await wait_all_tasks_blocked()
        machine.bind(late)
        machine.remove(A)
        await wait_all_tasks_blocked()
        assert late.log == []
        machine.add(A)
        await wait_all_tasks_blocked()

    assert late.log == ["entered 3", "left 3", "exited 3"]
    assert first.log == ["entered 1", "left 1", "exited 2", *late.log]


async def test_one_whose_task_never_began_is_told_of_nothing(autojump_clock: MockClock) -> None:
    """M7: of two tasks that were about to start, one ended the activation before the other's first step."""
    machine = Machine(Letters)

    async def leave(transition: Transition[object]) -> None:
        machine.remove(A)

    bound = [Tasks(leave) for _ in range(5)]
    async with machine:
        for tasks in bound:
            machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()

    assert sorted(tasks.log for tasks in bound) == [*[[]] * 4, ["entered 1", "left 1", "exited 2"]]


class Binding(Handlers, states=Letters):
    """Binds, or takes away, other handlers in one of its own."""

    def __init__(self, machine: Machine, change: Callable[[Machine], object]) -> None:
        self.machine: Final = machine
        self.change: Callable[[Machine], object] | None = change

    def _change(self) -> None:
        change, self.change = self.change, None
        if change is not None:
            change(self.machine)

    @B.may_enter
    def may_enter(self, transition: Transition[None]) -> None:
        self._change()


async def test_what_is_bound_within_a_transition(autojump_clock: MockClock) -> None:
    """M1: counts from the next one on, for its tasks as for its sync handlers."""
    machine, late = Machine(Letters), Tasks(sleeps)
    async with machine:
        machine.bind(Binding(machine, lambda m: m.bind(late)))
        machine.add(A, B)
        machine.remove(A)
        await wait_all_tasks_blocked()
        assert late.log == []
        machine.add(A)
        await wait_all_tasks_blocked()

    assert late.log == ["entered 3", "left 3", "exited 3"]


async def test_what_is_unbound_within_a_transition(autojump_clock: MockClock) -> None:
    """M1: is gone from the next one on; in this one its task starts, and has its `exited`."""
    machine, tasks = Machine(Letters), Tasks(sleeps)

    def twice(machine: Machine) -> None:
        machine.unbind(tasks)
        machine.unbind(tasks)

    async with machine:
        machine.bind(tasks)
        machine.bind(Binding(machine, twice))
        machine.add(A, B)
        await wait_all_tasks_blocked()
        machine.remove(A)
        machine.add(A)
        await wait_all_tasks_blocked()

    assert tasks.log == ["entered 1", "left 1", "exited 2"]


async def test_what_is_bound_and_unbound_in_one_transition(autojump_clock: MockClock) -> None:
    """M1: it is not bound yet when it is to be taken away, and both can be seen to be so."""
    machine, late = Machine(Letters), Tasks()
    errors: list[ValueError] = []

    def change(machine: Machine) -> None:
        machine.bind(late)
        try:
            machine.unbind(late)
        except ValueError as error:
            errors.append(error)

    machine.bind(Binding(machine, change))
    machine.add(B)
    machine.unbind(late)

    assert len(errors) == 1
    with pytest.raises(ValueError, match="is not bound"):
        machine.unbind(late)


@attrs.define
class Equal(Handlers, states=Letters):
    """Objects that are equal to each other, and not the same."""

    log: list[str] = attrs.field(factory=list)

    @A.entered
    async def a(self, transition: Transition[None]) -> None:
        self.log.append("entered")


async def test_the_object_counts_and_not_what_it_is_equal_to(autojump_clock: MockClock) -> None:
    """M1: of two equal ones, the one that is named is taken away."""
    first, second = Equal(), Equal()
    async with Machine(Letters) as machine:
        machine.bind(first)
        machine.bind(second)
        machine.unbind(second)
        machine.add(A)
        await wait_all_tasks_blocked()

    assert (first.log, second.log) == (["entered"], [])


async def test_one_that_is_bound_twice(autojump_clock: MockClock) -> None:
    """M1: runs twice, and is taken away once for each."""
    tasks = Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        assert state_tasks() == 2
        machine.unbind(tasks)
        machine.remove(A)
        machine.add(A)
        await wait_all_tasks_blocked()
        assert state_tasks() == 1

    assert sorted(tasks.log) == sorted(
        [*["entered 1", "left 1", "exited 2"] * 2, "entered 3", "left 3", "exited 3"],
    )


class More(Letters):
    """One state more, in front."""

    zero = State()


async def test_handlers_can_be_taken_away_after_an_evolution(autojump_clock: MockClock) -> None:
    """M1, M10: what was bound under another schema is bound still, until it is unbound."""
    tasks = Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.evolve(More)
        machine.add(A)
        await wait_all_tasks_blocked()
        machine.remove(A)
        await wait_all_tasks_blocked()
        machine.unbind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()

    assert tasks.log == ["entered 2", "left 2", "exited 3"]


class WithoutA(States):
    """What `Tasks` does not fit."""

    b = State()


async def test_a_schema_that_lacks_the_state_of_a_task(autojump_clock: MockClock) -> None:
    """M10: is refused as long as such a handler is bound, and nothing has changed."""
    tasks = Tasks(sleeps)
    async with Machine(Letters) as machine:
        machine.bind(tasks)
        machine.add(A)
        await wait_all_tasks_blocked()
        with pytest.raises(SchemaError, match="'a', which an async handler is for"):
            machine.evolve(WithoutA)
        assert state_tasks() == 1
        machine.unbind(tasks)
        machine.evolve(WithoutA)
        await wait_all_tasks_blocked()
        assert lines_of(machine) == 0

    assert tasks.log == ["entered 1", "left 1", "exited 1"]


def test_what_has_no_handlers_is_refused() -> None:
    """M1: an object without marked methods, or a class where an object is meant."""
    machine = Machine(Letters)

    with pytest.raises(SchemaError, match="has no handlers"):
        machine.bind(object())
    with pytest.raises(SchemaError, match="bind an object of it"):
        machine.bind(Tasks)
