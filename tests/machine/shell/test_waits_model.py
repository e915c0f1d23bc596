"""M6: drawn waits of drawn machines, beside an evaluator that looks at every wait after every transition."""

# The model stands in a tracer, which is told of each end of a transition before waits are looked at: there it asks of
# every wait that stands, by the machine's public questions, whether it holds now. It has no places, no order and no
# flags. What it does not say is which of two is first when one gives the other up in the moment in which both hold.

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, cast

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.cases import row
from tests.machine.drawn import slots
from tests.machine.shell.lab import Oops, assert_idle, waits_of
from trio.testing import MockClock

from histrio_kernel.futures import CANCELLED, ERROR, PENDING, VALUE, Future, Waiter
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer
from histrio_kernel.machine.shell.errors import Disposed
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.family import States, StatesMeta
from histrio_kernel.machine.states.state import State

FINAL: Final = frozenset({Kind.ENTERED, Kind.EXITED, Kind.ANY_ENTERED})
HANDLED: Final = 3
"""The first states may have handlers; the others may be missing in another schema."""
KINDS: Final = ("when", "not", "time", "args", "query", "error")

Wait = Future[Transition | None]


@attrs.frozen
class Want:
    """What is waited for: of these states; `number` is a tick, an argument or a rest, as the kind has it."""

    kind: str
    states: tuple[str, ...]
    number: int


@attrs.frozen
class Step:
    """One thing that happens, from outside or in a handler."""

    kind: str
    states: tuple[str, ...] = ()
    number: int = 0
    want: Want | None = None
    rivals: tuple[int, ...] = ()
    """Which of the waits made before are given up when the one that is made is over."""


class Rival(Waiter):
    """Gives other waits up when one is over."""

    def __init__(self, book: Book, victims: Sequence[Wait]) -> None:
        self.book: Final = book
        self.victims: Final = victims

    def settled(self, future: Future[object]) -> None:
        for victim in self.victims:
            victim.cancel()


@attrs.define(eq=False)
class Made:
    """A wait, and what the model knows of it."""

    wait: Wait
    want: Want
    victims: list[Made]
    outcomes: list[object] = attrs.field(factory=list)
    """What it may have come to: a transition, None, an error's class, or "cancelled". Empty while it stands."""


class Book(Tracer):
    """The model: all waits that were made, and what each should have come to."""

    def __init__(self, machine: Machine, family: StatesMeta) -> None:
        self.machine: Final = machine
        self.family = family
        self.made: Final[list[Made]] = []

    # -- what the machine tells ----------------------------------------------------------------------------------------

    def end(self, transition: Transition) -> None:
        if transition.moved:
            self.look(transition, transition)

    def schema_changed(self, old: Schema, new: Schema) -> None:
        gone = set(old.names) - set(new.names)
        over: dict[Made, object] = {}
        for each in self.standing():
            if each.want.kind == "not":
                each.want = attrs.evolve(each.want, states=tuple(s for s in each.want.states if s not in gone))
            if each.want.kind in {"when", "time", "args"} and gone.intersection(each.want.states):
                over[each] = UnknownState
            elif self.holds_clock(each.want):
                over[each] = None
        self.over(over)

    # -- what is true --------------------------------------------------------------------------------------------------

    def standing(self) -> list[Made]:
        return [each for each in self.made if not each.outcomes]

    def look(self, transition: Transition | None, outcome: object) -> None:
        """Every wait is looked at."""
        self.over({each: outcome for each in self.standing() if self.holds(each.want, transition)})

    def holds_clock(self, want: Want) -> bool:
        """Whether it is true by the ticks alone."""
        machine, states = self.machine, want.states
        if want.kind == "when":
            return set(machine.names).issuperset(states)
        if want.kind == "not":
            return set(machine.names).isdisjoint(states)
        if want.kind == "time":
            return all(machine.tick(state) >= want.number for state in states)
        return want.kind == "error" and "exception" in machine.names

    def holds(self, want: Want, transition: Transition | None) -> bool:
        """Whether it is true now, behind that transition."""
        if want.kind == "query":
            return self.asks(want)
        if want.kind == "args":
            if transition is None or want.states[0] not in self.machine.names:
                return False
            entered = [transition.schema.names[state] for state in transition.enters]
            return want.states[0] in entered and transition.args_of(want.states[0]) == want.number
        return self.holds_clock(want)

    def asks(self, want: Want) -> bool:
        """What a predicate asks."""
        return sum(self.machine.time) % 4 == want.number

    def over(self, settled: Mapping[Made, object]) -> None:
        """These are, by what is said, and those that are given up with them; who is of both kinds may be either."""
        for each, outcome in settled.items():
            each.outcomes.append(outcome)
        queue = list(settled)
        while queue:
            for victim in queue.pop().victims:
                if not victim.outcomes or (victim in settled and "cancelled" not in victim.outcomes):
                    victim.outcomes.append("cancelled")
                    queue.append(victim)

    # -- what happens --------------------------------------------------------------------------------------------------

    def make(self, step: Step, *, provisional: bool) -> None:
        """A wait is made; in a final handler nothing is true yet."""
        assert step.want is not None
        names = self.machine.schema.names
        states = tuple(state for state in step.want.states if state in names) or names[:1]
        want = attrs.evolve(step.want, states=states[:1] if step.want.kind == "args" else states)
        wait = self._wait(want)
        victims = [self.made[number % len(self.made)] for number in step.rivals if self.made]
        made = Made(wait, want, victims if wait._state == PENDING else [])
        if made.victims:
            wait._attach(Rival(self, [victim.wait for victim in victims]))
        self.made.append(made)
        if not provisional and want.kind != "args" and self.holds(want, None):
            made.outcomes.append(None)

    def _wait(self, want: Want) -> Wait:
        machine = self.machine
        match want.kind:
            case "when":
                return machine.when(*want.states)
            case "not":
                return machine.when_not(*want.states)
            case "time":
                return machine.when_time(dict.fromkeys(want.states, want.number))
            case "args":
                state = cast("State[..., Any]", self.family[want.states[0]])
                return machine.when_args(state, partial(_equal, want.number))
            case "query":
                return machine.when_query(partial(self.asks, want))
            case _:
                return machine.when_error()

    def cancel(self, step: Step) -> None:
        """One is given up."""
        if self.made:
            each = self.made[step.number % len(self.made)]
            each.wait.cancel()
            if not each.outcomes:
                self.over({each: "cancelled"})

    def check(self) -> None:
        """Each wait has come to what it should have, and those that stand are all that stand."""
        for each in self.made:
            assert _outcome(each.wait) in (each.outcomes or ["pending"]), (each.wait, each.want, each.outcomes)
        assert waits_of(self.machine) == len(self.standing())
        if not self.standing():
            assert_idle(self.machine)


def _equal(number: int, args: object) -> bool:
    return args == number


def _outcome(wait: Wait) -> object:
    """What a wait has come to."""
    if wait._state == VALUE:
        return wait._result
    if wait._state == ERROR:
        return type(wait._error())
    return "cancelled" if wait._state == CANCELLED else "pending"


# -- programs ----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Program:
    """A machine, what its handlers do, and what happens to it."""

    family: StatesMeta
    deeds: dict[Slot, list[Step]]
    steps: list[Step]


def program_of(seed: int, states: int, length: int) -> Program:
    """One of them; all the rest is chance."""
    dice = random.Random(seed)
    names = [f"s{number}" for number in range(states)]
    density = dice.choice((0.3, 0.8))
    rows = {name: row(dice, name, [*names, "exception"], density) for name in names}
    family = States.from_data(Schema(rows).to_data())
    handled = dice.sample(slots(names[:HANDLED]), dice.randint(0, 6))
    deeds = {slot: [step_of(dice, names, within=True) for _ in range(dice.randint(1, 6))] for slot in handled}
    return Program(family, deeds, [step_of(dice, names, within=False) for _ in range(length)])


def step_of(dice: random.Random, names: Sequence[str], *, within: bool) -> Step:
    """One thing that happens; *within* a handler, or from outside."""
    states = tuple(dice.sample(names, min(dice.randint(0, 3), len(names))))
    what = dice.random()
    if what < 0.45:
        return Step(dice.choice(("add", "add", "remove", "set")), states, dice.randint(0, 2))
    if what < 0.8:
        rivals = tuple(dice.randrange(50) for _ in range(dice.choice((0, 0, 1, 2))))
        want = Want(dice.choice(KINDS), states or (names[0],), dice.randint(0, 3))
        return Step("wait", want=want, rivals=rivals)
    if what < 0.9:
        return Step("cancel", number=dice.randrange(50))
    return Step(dice.choice(("veto", "raise") if within else ("load", "evolve", "fail")), states)


class Run:
    """One program, with its model beside it."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.machine: Final = Machine(program.family, drain_max=30)
        self.book: Final = Book(self.machine, program.family)
        self.machine.attach(self.book)
        self.left: Final = {slot: list(deeds) for slot, deeds in program.deeds.items()}
        self.machine.bind(HandlerTable(Handler(slot, partial(self._deed, slot)) for slot in self.left))

    def _deed(self, slot: Slot, owner: object, transition: Transition[object]) -> object:
        """What a handler does the next time that it is called."""
        if not self.left[slot] or transition.dry:
            return None
        step = self.left[slot].pop()
        if step.kind == "veto":
            return False if slot.kind not in FINAL else None
        if step.kind == "raise":
            raise Oops
        self.take(step, provisional=slot.kind in FINAL and transition.moved)
        return None

    def take(self, step: Step, *, provisional: bool = False) -> None:
        """Do it."""
        states = tuple(state for state in step.states if state in self.machine.schema.names)
        match step.kind:
            case "wait":
                self.book.make(step, provisional=provisional)
            case "cancel":
                self.book.cancel(step)
            case "fail":
                self.machine.fail(Oops())
            case "load":
                self._load(states)
            case "evolve":
                self._evolve(frozenset(states))
            case _:
                getattr(self.machine, step.kind)(*states, args=step.number or None)

    def _load(self, states: tuple[str, ...]) -> None:
        """Take over the data of another machine."""
        other = Machine(self.machine.schema)
        other.add(*states)
        self.machine.load(other.export())
        self.book.look(None, None)

    def _evolve(self, gone: frozenset[str]) -> None:
        """Go on without some of the states that have no handlers."""
        data = self.machine.schema.to_data()
        kept = {slot.state for slot in self.left} | {"exception"}
        names = [name for name in data if name in kept or name not in gone]
        self.book.family = States.from_data({name: _without(data[name], names) for name in names})
        self.machine.evolve(self.book.family)


def _without(row: dict[str, object], names: Sequence[str]) -> dict[str, object]:
    """A state without relations to what is not there."""
    return {
        field: [each for each in value if each in names] if isinstance(value, list) and field != "tags" else value  # pyright: ignore[reportUnknownVariableType]
        for field, value in row.items()
    }


async def perform(program: Program) -> None:
    """Run it, and compare after each step."""
    run = Run(program)
    for step in program.steps:
        run.take(step)
        run.book.check()
    run.machine.dispose()
    run.book.over(dict.fromkeys(run.book.standing(), Disposed))
    run.book.check()


@pytest.mark.alarm(300 + count("machine_examples") / 5)
@settings(max_examples=count("machine_examples"))
@given(seed=st.integers(0, 2**32 - 1), states=st.integers(1, 9), length=st.integers(1, 60))
def test_waits_beside_the_model(seed: int, states: int, length: int) -> None:
    """M6: every wait comes true in the very transition in which it should, or not at all."""
    trio.run(perform, program_of(seed, states, length), clock=MockClock(autojump_threshold=0))
