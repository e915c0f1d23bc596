"""M6: waits are looked at when a transition is over, once, failed ones too, and before the next one begins."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest
from tests.machine.shell.lab import Letters, Oops, Page, assert_idle, now, raises
from trio.testing import MockClock

from histrio_kernel.futures import Future
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.state import any_state

A, B, C = Letters.a, Letters.b, Letters.c

Outcome = Transition | None
Deed = Callable[[Transition[object]], object]
Wait = Future[Outcome]


class Sync(Handlers, states=Letters):
    """Does a deed in one of the handlers of a transition to `a` and `b`."""

    def __init__(self, **deeds: Deed) -> None:
        self.deeds: Final = deeds

    def _do(self, name: str, transition: Transition[object]) -> None:
        deed = self.deeds.get(name)
        if deed is not None:
            deed(transition)

    @A.may_enter
    def may_enter_a(self, transition: Transition[None]) -> None:
        self._do("may_enter", transition)

    @A.entered
    def a_entered(self, transition: Transition[None]) -> None:
        self._do("entered", transition)

    @A.exited
    def a_exited(self, transition: Transition[None]) -> None:
        self._do("exited", transition)

    @B.entered
    def b_entered(self, transition: Transition[None]) -> None:
        self._do("b_entered", transition)

    @any_state.entered
    def any_entered(self, transition: Transition[object]) -> None:
        self._do("any", transition)


def interrupts(transition: Transition[object]) -> object:
    """What Ctrl-C does in a handler."""
    raise KeyboardInterrupt


async def test_what_comes_and_goes_in_one_go_is_seen(autojump_clock: MockClock) -> None:
    """M6: a state that a handler removes again before the mutation returns has been active all the same."""
    machine = Machine(Letters)
    machine.bind(Sync(entered=lambda _: machine.remove(A)))
    came, went, both = machine.when(A), machine.when_ticks(A), machine.when(A, B)

    machine.add(A)

    assert A not in machine
    first, second = now(came), now(went)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (1, 2)
    assert not both.is_done
    both.cancel()
    assert_idle(machine)


async def test_a_failed_transition_that_moved_a_clock_counts(autojump_clock: MockClock) -> None:
    """M6, M3: what entered before the error is active, what left is not, and that is what waits are told."""
    machine = Machine(Letters)
    machine.add(C)
    machine.bind(Sync(b_entered=raises))
    entered, left = machine.when(A), machine.when_not(C)

    machine.set(A, B)

    transition = now(entered)
    assert transition is not None
    assert transition is now(left)
    assert isinstance(transition.error, Oops)


@pytest.mark.parametrize("error", [raises, interrupts])
async def test_what_was_rolled_back_has_not_come_true(error: Deed, autojump_clock: MockClock) -> None:
    """M6, M3: a state whose `entered` failed was never active; but its clock has moved, by two."""
    machine = Machine(Letters)
    machine.bind(Sync(b_entered=error))
    active, arguments = machine.when(B), machine.when_args(Letters.page)
    ticked, gone = machine.when_time({B: 2}), machine.when_ticks(B, 1)

    with suppress(KeyboardInterrupt):
        machine.add(B, Letters.page(url="x"))

    assert not active.is_done
    assert not arguments.is_done
    assert machine.time[:2] == (0, 2)
    assert now(ticked) is now(gone) is not None
    for wait in (active, arguments):
        wait.cancel()


Make = Callable[[Machine], Wait]

MADE: Final[dict[str, Make]] = {
    "when": lambda m: m.when(B),
    "when_not": lambda m: m.when_not(C),
    "when_time": lambda m: m.when_time({B: 1}),
    "when_query": lambda m: m.when_query(lambda: B in m),
}
MOMENTS: Final = ("may_enter", "entered", "any", "init", "start", "handler", "finals", "end")


class Making(Tracer):
    """Makes a wait at one step of the first transition that it sees."""

    def __init__(self, at: str, make: Callable[[], None]) -> None:
        self.at = at
        self.make: Final = make

    def _step(self, name: str) -> None:
        if name == self.at:
            self.at = ""
            self.make()

    def init(self, transition: Transition) -> None:
        self._step("init")

    def start(self, transition: Transition) -> None:
        self._step("start")

    def handler(self, transition: Transition, slot: object, binding: int) -> None:
        self._step("handler")

    def finals(self, transition: Transition) -> None:
        self._step("finals")

    def end(self, transition: Transition) -> None:
        self._step("end")


def bind_at(machine: Machine, moment: str, make: Callable[[], None]) -> None:
    """Let something happen at that moment of the next transition."""
    if moment in {"may_enter", "entered", "any"}:

        def deed(transition: Transition[object]) -> None:
            make()

        machine.bind(Sync(**{moment: deed}))
    else:
        machine.bind(Sync())
        machine.attach(Making(moment, make))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("known", [False, True])
async def test_a_wait_that_is_made_within_a_transition(
    kind: str, moment: str, known: bool, autojump_clock: MockClock
) -> None:
    """M6, M9: it is looked at when that transition is over, also if nobody listened when it began."""
    machine = Machine(Letters)
    machine.add(C)
    waits: list[Wait] = []
    bind_at(machine, moment, lambda: waits.append(MADE[kind](machine)))
    if known:  # from another machine with the same handlers
        other = Machine(Letters)
        other.add(C)
        other.bind(Sync())
        other.set(A, B)

    machine.set(A, B)

    transition = now(waits[0])
    if moment == "end":  # it is over, so this was true already
        assert transition is None
    else:
        assert transition is not None
        assert transition.called == (0, 1)
    assert_idle(machine)


@pytest.mark.parametrize("kind", ["when", "when_not", "when_query"])
async def test_a_wait_that_is_made_before_a_rollback(kind: str, autojump_clock: MockClock) -> None:
    """M6, M3: what a final handler sees may not last: a wait that it makes does not come true by it."""
    waits: list[Wait] = []
    makes: dict[str, Make] = {
        "when": lambda m: m.when(B),
        "when_not": lambda m: m.when_not(Letters.higher, C),
        "when_query": lambda m: m.when_query(lambda: B in m),
    }
    machine = Machine(Letters)
    machine.add(C)
    deeds: dict[str, Deed] = {"entered": lambda _: waits.append(makes[kind](machine)), "b_entered": raises}
    machine.bind(Sync(**deeds))

    machine.add(A, B)

    assert not waits[0].is_done
    machine.unbind(machine._open_keeper().bindings[0][1])
    machine.add(B)
    machine.remove(C)
    assert waits[0].is_done
    assert_idle(machine)


async def test_a_wait_that_is_made_in_a_final_handler_can_be_cancelled_there(autojump_clock: MockClock) -> None:
    """M6: it frees its place at once, also before it was looked at."""
    machine = Machine(Letters)
    machine.bind(Sync(entered=lambda _: machine.when(B).cancel()))

    machine.add(A)

    assert_idle(machine)


@pytest.mark.parametrize("queues", [False, True])
async def test_the_end_of_the_queue(queues: bool, autojump_clock: MockClock) -> None:
    """M6: a wait for it that a handler makes ends when nothing waits any more, and not before."""
    waits: list[Wait] = []
    done: list[bool] = []
    machine = Machine(Letters)

    def begin(transition: Transition[object]) -> None:
        waits.append(machine.when_queue_ends())
        if queues:
            machine.add(B)

    def look(transition: Transition[object]) -> None:
        done.append(waits[0].is_done)

    machine.bind(Sync(entered=begin, b_entered=look))
    assert now(machine.when_queue_ends()) is None
    machine.add(A)

    assert now(waits[0]) is None
    assert done == [False] * queues
    assert_idle(machine)


async def test_the_end_of_the_queue_after_an_interrupt(autojump_clock: MockClock) -> None:
    """M6: what an interrupt left is worked off by the next mutation, and that is when the queue ends."""
    waits: list[Wait] = []
    machine = Machine(Letters)

    def strike(transition: Transition[object]) -> None:
        waits.append(machine.when_queue_ends())
        machine.add(B)
        raise KeyboardInterrupt

    machine.bind(Sync(entered=strike))
    with pytest.raises(KeyboardInterrupt):
        machine.add(A)
    waits.append(machine.when_queue_ends())
    assert [wait.is_done for wait in waits] == [False, False]
    machine.add(C)

    assert [now(wait) for wait in waits] == [None, None]
    assert_idle(machine)


async def test_an_interrupt_with_nothing_left_ends_the_queue(autojump_clock: MockClock) -> None:
    """M6: nobody waits on for a queue that is empty."""
    waits: list[Wait] = []
    machine = Machine(Letters)

    def strike(transition: Transition[object]) -> None:
        waits.append(machine.when_queue_ends())
        raise KeyboardInterrupt

    machine.bind(Sync(entered=strike))
    with pytest.raises(KeyboardInterrupt):
        machine.add(A)

    assert now(waits[0]) is None
    assert_idle(machine)


async def test_an_interrupt_in_a_tracer_hides_no_transition(autojump_clock: MockClock) -> None:
    """M6, M9: a transition that was over when the interrupt struck is told to those who wait."""

    def strike() -> None:
        raise KeyboardInterrupt

    machine = Machine(Letters)
    wait = machine.when(A)
    machine.attach(Making("end", strike))
    with pytest.raises(KeyboardInterrupt):
        machine.add(A)

    assert now(wait) is not None
    assert_idle(machine)


async def test_data_that_is_taken_over(autojump_clock: MockClock) -> None:
    """M6, M10: what is true after an import is true; no transition made it so."""
    other = Machine(Letters)
    other.add(A, B)
    machine = Machine(Letters)
    active, both, later = machine.when(A), machine.when(A, C), machine.when_ticks(A)
    asked = machine.when_query(lambda: B in machine)

    machine.load(other.export())

    assert [now(active), now(asked)] == [None, None]
    assert not both.is_done
    assert not later.is_done
    machine.add(C)
    machine.remove(A)
    assert both.is_done
    assert later.is_done
    assert_idle(machine)


async def test_a_mutation_of_a_question_waits(autojump_clock: MockClock) -> None:
    """M6: a predicate that mutates does so behind the transition that it is asked about."""
    machine = Machine(Letters)
    order: list[str] = []

    def ask() -> bool:
        order.append("asked")
        if A in machine:
            machine.add(B)
        return B in machine

    wait = machine.when_query(ask)
    machine.bind(Sync(b_entered=lambda _: order.append("b")))
    machine.add(A)

    transition = now(wait)
    assert transition is not None
    assert order == ["asked", "asked", "b", "asked"]
    assert transition.called == (1,)
    assert_idle(machine)


async def test_what_a_page_was_entered_with(autojump_clock: MockClock) -> None:
    """M6: arguments of a state that was rolled back, or let go of again, in one go."""
    machine = Machine(Letters)
    wait = machine.when_args(Letters.page, lambda page: page == Page("x"))
    machine.bind(Sync(any=lambda _: machine.remove(Letters.page)))

    machine.add(Letters.page(url="x"))

    transition = now(wait)
    assert transition is not None
    assert Letters.page.args_in(transition) == Page("x")
