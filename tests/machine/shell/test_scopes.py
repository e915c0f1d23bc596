"""M7: `with machine.scope(S)` is a block that ends, quietly, with the present activation of a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
import trio
from tests.machine.shell.lab import Letters, Oops, assert_idle, lines_of, raises
from trio.testing import MockClock

from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.errors import Disposed, NotActive
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.shell.scopes import StateScope
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.state import State

A, B, C, AGAIN, KEPT = Letters.a, Letters.b, Letters.c, Letters.again, Letters.kept


class Fewer(States):
    """`Letters` without most of them."""

    b = State()
    a = State()


def exported(*states: str) -> Callable[[Machine], object]:
    """Load the data of another machine that has these states active."""

    def load(machine: Machine) -> object:
        other = Machine(machine.schema)
        other.add(*states)
        machine.load(other.export())
        return None

    return load


class Failing(Handlers, states=Letters):
    """`b` cannot be entered, nor `again` be called again."""

    @B.entered
    def b_entered(self, transition: Transition[None]) -> None:
        raise Oops

    @AGAIN.entered
    def again_entered(self, transition: Transition[None]) -> None:
        raise Oops


def fail_behind(machine: Machine) -> None:
    """The state is called again in a transition that then fails."""
    machine.bind(Failing())
    machine.add(AGAIN)


ENDS: Final[dict[str, Callable[[Machine], object]]] = {
    "it leaves": lambda m: m.remove(AGAIN),
    "another set of states": lambda m: m.set(A),
    "it is called again": lambda m: m.add(AGAIN),
    "it leaves and comes": lambda m: (m.remove(AGAIN), m.add(AGAIN)),
    "it is rolled back": fail_behind,
    "the machine is disposed": lambda m: m.dispose(),
    "an import without it": exported("a"),
    "an import of another time": lambda m: (exported()(m), exported("again")(m)),
    "a schema without it": lambda m: m.evolve(Fewer),
}


def refuse(machine: Machine) -> None:
    """A handler does not let it go."""
    machine.bind(Vetoing())
    assert not machine.remove(AGAIN)


STAYS: Final[dict[str, Callable[[Machine], object]]] = {
    "others come and go": lambda m: (m.toggle(A), m.toggle(A), m.add(C)),
    "it is asked about": lambda m: (m.can_remove(AGAIN), m.can_add(AGAIN)),
    "an import of the same": lambda m: m.load(m.export()),
    "its removal is refused": refuse,
    "the same schema": lambda m: m.evolve(Letters),
}


class Vetoing(Handlers, states=Letters):
    """`again` may not leave."""

    @AGAIN.may_exit
    def may_exit(self, transition: Transition[None]) -> bool:
        return False


@pytest.mark.parametrize("why", ENDS)
async def test_a_block_ends_with_the_activation(why: str, autojump_clock: MockClock) -> None:
    """M7: whatever ends it; quietly, at once, and `ended` says so. It leaves nothing behind."""
    machine = Machine(Letters)
    machine.add(AGAIN)
    scope: StateScope | None = None

    async with trio.open_nursery() as nursery:

        async def block() -> None:
            nonlocal scope
            with machine.scope(AGAIN) as scope:
                await trio.sleep(10)

        nursery.start_soon(block)
        await trio.sleep(1)
        assert scope is not None
        assert not scope.ended
        ENDS[why](machine)
        assert scope.ended

    assert trio.current_time() == 1
    assert_idle(machine)


@pytest.mark.parametrize("why", STAYS)
async def test_a_block_goes_on_as_long_as_the_activation(why: str, autojump_clock: MockClock) -> None:
    """M7: nothing else ends it."""
    machine = Machine(Letters)
    machine.add(AGAIN)

    async with trio.open_nursery() as nursery:

        async def change() -> None:
            await trio.sleep(1)
            STAYS[why](machine)

        nursery.start_soon(change)
        with machine.scope(AGAIN) as scope:
            await trio.sleep(10)

    assert not scope.ended
    assert trio.current_time() == 10


async def test_a_state_that_keeps_its_activation(autojump_clock: MockClock) -> None:
    """M7: `multi="keep"` called again ticks, and leaves the scope alone; its removal ends it."""
    machine = Machine(Letters)
    machine.add(KEPT)

    async with trio.open_nursery() as nursery:

        async def change() -> None:
            await trio.sleep(1)
            machine.add(KEPT)
            await trio.sleep(1)
            machine.remove(KEPT)

        nursery.start_soon(change)
        with machine.scope(KEPT) as scope:
            await trio.sleep(10)

    assert scope.ended
    assert trio.current_time() == 2
    assert machine.tick(KEPT) == 4


class Looking(Handlers, states=Letters):
    """Looks, in the final handlers, whether a scope has ended."""

    def __init__(self) -> None:
        self.scope: StateScope | None = None
        self.seen: list[bool] = []

    def look(self, transition: Transition[object]) -> None:
        assert self.scope is not None
        self.seen.append(self.scope.ended)

    @A.may_exit
    def may_exit(self, transition: Transition[None]) -> None:
        self.look(transition)

    @A.exited
    def exited(self, transition: Transition[None]) -> None:
        self.look(transition)

    @B.entered
    def b_entered(self, transition: Transition[None]) -> None:
        self.look(transition)


async def test_it_ends_before_any_final_handler(autojump_clock: MockClock) -> None:
    """M7: scopes are cancelled after the clocks have moved, and before the first `exited` or `entered`."""
    machine, looking = Machine(Letters), Looking()
    machine.bind(looking)
    machine.add(A)
    looking.seen.clear()

    with machine.scope(A) as looking.scope:
        machine.set(B)

    assert looking.seen == [False, True, True]


async def test_only_the_activation_counts(autojump_clock: MockClock) -> None:
    """M7: a scope that was made for an activation that is over ends at its first checkpoint, though the state came back."""
    machine = Machine(Letters)
    machine.add(A)
    scope = machine.scope(A)
    machine.remove(A)
    machine.add(A)
    steps: list[str] = []

    with scope:
        steps.append("begins")
        await trio.lowlevel.checkpoint()
        steps.append("goes on")

    assert scope.ended
    assert steps == ["begins"]
    machine.remove(A)
    assert_idle(machine)


async def test_a_block_that_is_over_in_time(autojump_clock: MockClock) -> None:
    """M7: one that does not wait any more is not interrupted, but `ended` is true."""
    machine = Machine(Letters)
    machine.add(A)

    steps: list[str] = []
    with machine.scope(A) as scope:
        await trio.sleep(1)
        machine.remove(A)
        steps.append("goes on")

    assert scope.ended
    assert steps == ["goes on"]


async def test_other_cancellations_go_on(autojump_clock: MockClock) -> None:
    """M7: a timeout around the block is not taken for the end of the state."""
    machine = Machine(Letters)
    machine.add(A)

    with trio.move_on_after(1) as limit, machine.scope(A) as scope:
        await trio.sleep(10)

    assert limit.cancelled_caught
    assert not scope.ended
    machine.remove(A)
    assert not scope.ended
    assert_idle(machine)


async def test_an_error_leaves_the_block_as_it_is(autojump_clock: MockClock) -> None:
    """M7: also when the activation has ended."""
    machine = Machine(Letters)
    machine.add(A)

    async def block() -> None:
        with machine.scope(A):
            machine.remove(A)
            raise Oops

    with pytest.raises(Oops):
        await block()
    assert_idle(machine)


async def test_of_nested_blocks_the_right_one_ends(autojump_clock: MockClock) -> None:
    """M7: the inner one of another state ends alone; with the outer one both end."""
    machine = Machine(Letters)
    machine.add(A, B)
    ends: list[tuple[str, float]] = []

    async with trio.open_nursery() as nursery:

        async def change() -> None:
            await trio.sleep(1)
            machine.remove(B)
            await trio.sleep(1)
            machine.remove(A)

        nursery.start_soon(change)
        outer, inner = machine.scope(A), machine.scope(B)
        with outer:
            with inner:
                await trio.sleep(10)
            ends.append(("inner", trio.current_time()))
            await trio.sleep(10)
        ends.append(("outer", trio.current_time()))

    assert ends == [("inner", 1), ("outer", 2)]
    assert (outer.ended, inner.ended) == (True, True)
    assert_idle(machine)


async def test_many_blocks_of_one_activation(autojump_clock: MockClock) -> None:
    """M7: all of them end; a state that comes again waits for none of them to be looked at anew."""
    machine = Machine(Letters)
    machine.add(A)
    ended = 0

    async def block() -> None:
        nonlocal ended
        with machine.scope(A):
            await trio.sleep(10)
        ended += 1

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(block)
        await trio.sleep(1)
        machine.remove(A)
        machine.add(A)
        nursery.start_soon(block)
        await trio.sleep(1)
        assert ended == 50
        assert lines_of(machine) == 1
        machine.remove(A)

    assert ended == 51
    assert_idle(machine)


async def test_nothing_belongs_to_a_state_that_is_not_active(autojump_clock: MockClock) -> None:
    """M7: and the error says what to do."""
    machine = Machine(Letters)

    with pytest.raises(NotActive, match="'a' is not active"):
        machine.scope(A)
    with pytest.raises(UnknownState):
        machine.scope("z")
    machine.add(A)
    machine.dispose()
    with pytest.raises(Disposed):
        machine.scope(A)

    assert_idle(machine)


class InAHandler(Handlers, states=Letters):
    """Begins a block in a sync handler, before something in the same transition fails."""

    def __init__(self, machine: Machine) -> None:
        self.machine: Final = machine
        self.scopes: list[StateScope] = []

    @A.entered
    def a_entered(self, transition: Transition[None]) -> None:
        self.scopes.append(self.machine.scope(A))
        self.scopes.append(self.machine.scope(B))

    @B.entered
    def b_entered(self, transition: Transition[None]) -> None:
        raises(transition)


async def test_a_block_of_a_state_that_is_rolled_back(autojump_clock: MockClock) -> None:
    """M7, M3: what a handler gives to a state that then fails to enter ends with the rollback."""
    machine = Machine(Letters)
    handlers = InAHandler(machine)
    machine.bind(handlers)

    machine.add(A, B)

    stays, gone = handlers.scopes
    with stays, trio.move_on_after(1) as limit:
        await trio.sleep(10)
    with gone:
        await trio.sleep(10)
    assert limit.cancelled_caught
    assert (stays.ended, gone.ended) == (False, True)
    assert trio.current_time() == 1
