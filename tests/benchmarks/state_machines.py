"""The same work done by two other state machine libraries of Python, `transitions` and `python-statemachine`.

Theirs has one state at a time and an event that leads on from it; ours has sets of states, of which here each removes
the others. All of it without arguments; the cycle with a final handler in each state (`on_enter`, `entered`). Each peer
is set up as its documentation does, with what it can leave out left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from statemachine import State, StateMachine
from transitions import Machine as TransitionsMachine

from histrio_kernel.machine.core.handlers import Kind
from tests.benchmarks.machines import Work, handled, in_turn, toggle, told
from tests.benchmarks.measure import Row, Side, Stopwatch


class Lamp:
    """What `transitions` puts its events on."""

    flip: Callable[[], bool]


class Ring:
    """Three states in turn, with a callback in each."""

    go: Callable[[], bool]

    def on_enter_a(self) -> None:
        """Called by its name."""

    def on_enter_b(self) -> None:
        """Called by its name."""

    def on_enter_c(self) -> None:
        """Called by its name."""


def _repeat(event: Callable[[], object]) -> Work:
    """The event, so often."""

    def work(mutations: int) -> None:
        for _ in range(mutations):
            event()

    return work


def transitions_toggle() -> Work:
    """`transitions`: two states and an event."""
    lamp = Lamp()
    changes = [["flip", "off", "on"], ["flip", "on", "off"]]
    TransitionsMachine(lamp, states=["off", "on"], transitions=changes, initial="off", auto_transitions=False)
    return _repeat(lamp.flip)


def transitions_cycle() -> Work:
    """`transitions`: three states."""
    ring = Ring()
    changes = [["go", "a", "b"], ["go", "b", "c"], ["go", "c", "a"]]
    TransitionsMachine(ring, states=["a", "b", "c"], transitions=changes, initial="a", auto_transitions=False)
    return _repeat(ring.go)


class LampMachine(StateMachine):
    """`python-statemachine`: two states and an event."""

    off = State(initial=True)
    on = State()
    flip = off.to(on) | on.to(off)


class RingMachine(StateMachine):
    """`python-statemachine`: three states."""

    a = State(initial=True)
    b = State()
    c = State()
    go = a.to(b) | b.to(c) | c.to(a)

    def on_enter_a(self) -> None:
        """Called by its name."""

    def on_enter_b(self) -> None:
        """Called by its name."""

    def on_enter_c(self) -> None:
        """Called by its name."""


def in_us(make: Callable[[], Work]) -> Side:
    """Microseconds of one of so many mutations; the first ones are not timed."""

    def side(mutations: int) -> float:
        work = make()
        work(30)
        with Stopwatch() as watch:
            work(mutations)
        return watch.us_per(mutations)

    return side


def beside(library: str, what: str, ours: Callable[[], Work], peer: Callable[[], Work], budget: float) -> Row:
    """A row with a live peer, which does less in one timing, because it takes longer."""
    return Row(
        name=f"machine, {what}, beside {library}",
        unit="us/mutation",
        ours=in_us(ours),
        peer=in_us(peer),
        budget=budget,
        size=90_000,
        peer_size=3_000,
    )


def _cycle() -> Work:
    return in_turn(handled(Kind.ENTERED, told))


ROWS: Final = (
    beside("transitions", "toggle", toggle, transitions_toggle, budget=15),
    beside("transitions", "cycle with a handler", _cycle, transitions_cycle, budget=4),
    beside("python-statemachine", "toggle", toggle, lambda: _repeat(LampMachine().flip), budget=80),
    beside("python-statemachine", "cycle with a handler", _cycle, lambda: _repeat(RingMachine().go), budget=20),
)
