"""M2, M3, M5, M8, M9, M11: the machine beside an oracle that was written from the text alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.cases import Binding, Case, case_of
from tests.machine.oracle import CANCELED, EXECUTED, FULL, QUEUED, SAME, STUCK, Ask, Deed, Oracle
from tests.machine.test_resolution import assert_consistent

from histrio_kernel.machine.core.automaton import EDGES_MAX, Automaton
from histrio_kernel.machine.core.errors import DrainStuck, QueueFull
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.results import Canceled, Executed, Queued, Result, Ticket
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Shell, Tracer

EXAMPLES: Final = count("machine_examples")


class Oops(Exception):
    """A handler raises."""


class Told(Exception):
    """An error that a script reports."""


def word(result: Result | None) -> str:
    """A result in the words of the oracle."""
    if isinstance(result, Queued):
        return QUEUED if result.is_new else SAME
    return EXECUTED if isinstance(result, Executed) else CANCELED if isinstance(result, Canceled) else ""


def text(error: BaseException | None) -> str | None:
    """An error in the words of the oracle."""
    return STUCK if isinstance(error, DrainStuck) else None if error is None else str(error)


def spell(schema: Schema, mutation: Mutation, is_auto: bool) -> str:
    """A mutation in the words of the oracle."""
    prefix = ("a" if is_auto else "") + ("?" if mutation.dry else "")
    return f"{prefix}{mutation.op.sign}{','.join(schema.names[state] for state in mutation.called)}"


class Diary(Tracer):
    """Writes down what a tracer sees, and looks whether the machine is whole."""

    def __init__(self, machine: Machine) -> None:
        self.machine: Final = machine
        self.lines: list[str] = []
        self.asked: set[str] = set()

    def queued(self, mutation: Mutation) -> None:
        """It waits."""
        self.lines.append(f"queued {spell(self.machine.schema, mutation, False)}")

    def init(self, transition: Transition) -> None:
        """It is resolved."""
        self.asked.clear()
        self.lines.append(f"init {spell(transition.schema, transition.mutation, transition.is_auto)}")

    def start(self, transition: Transition) -> None:
        """It begins."""
        self.lines.append(f"start {spell(transition.schema, transition.mutation, transition.is_auto)}")

    def handler(self, transition: Transition, slot: Slot, binding: int) -> None:
        """Somebody is called."""
        self.asked.add(str(slot))
        self.lines.append(f"handler {binding}:{slot}")

    def finals(self, transition: Transition) -> None:
        """The clocks have moved."""
        self.lines.append("finals")

    def end(self, transition: Transition) -> None:
        """M2: it is over, and what it leaves is consistent."""
        mutation, result = transition.mutation, transition.result
        self.lines.append(f"end {spell(transition.schema, mutation, transition.is_auto)} {word(result)}")
        assert_consistent(self.machine)
        if transition.is_auto and result:
            self.assert_asked(transition)

    def assert_asked(self, transition: Transition) -> None:
        """M2: in an auto transition nothing enters or leaves that has a handler for it, and was not asked."""
        names, move = transition.schema.names, transition.move
        moved = [f"{names[state]}.may_exit" for state in move.exits]
        moved += [f"{names[state]}.may_enter" for state in move.enters]
        bound = {str(slot) for table in self.machine.automaton.tables for slot, _ in table.items()}
        assert set(moved) & bound <= self.asked

    def queue_end(self) -> None:
        """Nothing waits."""
        self.lines.append("queue end")


class Ear(Shell):
    """Writes down what the shell hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.unclaimed_errors: list[str | None] = []
        self.tracer_errors: list[Exception] = []

    def moved(self, transition: Transition) -> None:
        """Clocks have changed."""
        self.lines.append("moved")

    def rolled_back(self, transition: Transition) -> None:
        """Some states have left again."""
        self.lines.append(f"rolled back {transition.schema.spell(transition.rolled_back)}")

    def settled(self, transition: Transition) -> None:
        """A transition is over."""
        self.lines.append("settled")

    def queue_ended(self) -> None:
        """Nothing waits."""
        self.lines.append("queue ended")

    def unclaimed(self, error: BaseException, transition: Transition | None) -> None:
        """The error hook."""
        self.unclaimed_errors.append(text(error))

    def tracer_failed(self, tracer: Tracer, error: Exception) -> None:
        """An assertion in a tracer."""
        self.tracer_errors.append(error)


class Subject:
    """The real machine of a case."""

    def __init__(self, case: Case, edges_max: int, traced: bool, listens: bool) -> None:
        schema = Schema(case.rows)
        self.machine: Final = Machine(
            Automaton(schema, edges_max=edges_max), queue_max=case.queue_max, drain_max=case.drain_max
        )
        self.ear: Final = Ear()
        self.diary: Final = Diary(self.machine)
        self.answers: Final[list[str]] = []
        self.tickets: Final[list[Ticket]] = []
        self.told = 0
        self.machine.set_shell(self.ear)
        self.machine.listen(listens)
        for number, binding in enumerate(case.bindings):
            self.machine.bind(self.table(number, binding))
        if traced:
            self.machine.attach(self.diary)

    def table(self, number: int, binding: Binding) -> HandlerTable:
        """The handlers of one binding."""
        return HandlerTable(self.handler(f"{number}:{slot}", slot, deeds) for slot, deeds in binding.items())

    def handler(self, name: str, slot: Slot, deeds: Sequence[Deed]) -> Handler:
        """One that does its deeds."""
        calls = 0

        def act(owner: object, transition: Transition) -> object:
            nonlocal calls
            number, calls = calls, calls + 1
            deed = deeds[number] if number < len(deeds) else Deed()
            self.answers.extend(self.nested(each) for each in deed.asks)
            if deed.ending == "raise":
                raise Oops(f"{name} #{number}")
            return deed.ending != "veto"

        return Handler(slot, act)

    def nested(self, ask: Ask) -> str:
        """An operation from inside a handler."""
        try:
            result = self.ask(ask)
        except QueueFull:
            return FULL
        if isinstance(result, Queued):
            self.tickets.append(result.ticket)
        return word(result)

    def ask(self, ask: Ask) -> Result:
        """One operation."""
        machine = self.machine
        if ask.op == "fail":
            self.told += 1
            return machine.fail(Told(f"told {self.told}"), *ask.states)
        operations = {
            "add": machine.add,
            "remove": machine.remove,
            "set": machine.set,
            "toggle": machine.toggle,
            "can_add": machine.can_add,
            "can_remove": machine.can_remove,
        }
        return operations[ask.op](*ask.states, args=object() if ask.args else None)


def compare(case: Case, edges_max: int, traced: bool, listens: bool) -> None:
    """Both do the script; all that can be seen is the same after every operation."""
    subject = Subject(case, edges_max, traced, listens)
    deeds = [{str(slot): deeds for slot, deeds in binding.items()} for binding in case.bindings]
    oracle = Oracle(subject.machine.schema.definitions, deeds, case.queue_max, case.drain_max)
    for each in case.script:
        expected = oracle.ask(each)
        assert word(subject.ask(each)) == expected, each
        compare_machines(subject, oracle, each)
        compare_diaries(subject, oracle, each, traced, listens)
    assert subject.machine.automaton.edges <= edges_max


def compare_machines(subject: Subject, oracle: Oracle, ask: Ask) -> None:
    """Both are in the same state, and whole."""
    machine = subject.machine
    assert machine.names == tuple(oracle.active), ask
    assert machine.time == tuple(oracle.ticks.values()), ask
    assert text(machine.error) == oracle.error, ask
    assert machine.transition is None
    assert_consistent(machine)


def compare_diaries(subject: Subject, oracle: Oracle, ask: Ask, traced: bool, listens: bool) -> None:
    """Whoever looked has seen the same; every ticket has its result. Then all pages are turned."""
    assert subject.answers == oracle.answers, ask
    assert [word(ticket.result) for ticket in subject.tickets] == [asked.result for asked in oracle.tickets], ask
    assert all(ticket.result is not None for ticket in subject.tickets)
    assert subject.ear.unclaimed_errors == oracle.unclaimed, ask
    assert subject.ear.tracer_errors == []
    assert not traced or subject.diary.lines == oracle.diary, ask
    assert not listens or subject.ear.lines == oracle.heard, ask
    for page in (subject.answers, subject.diary.lines, subject.ear.lines):
        page.clear()
    for page in (oracle.answers, oracle.unclaimed, oracle.diary, oracle.heard):
        page.clear()
    subject.ear.unclaimed_errors.clear()
    subject.tickets.clear()
    oracle.tickets.clear()


@settings(max_examples=EXAMPLES)
@given(
    seed=st.integers(0, 2**32 - 1),
    states=st.integers(1, 30),
    length=st.integers(1, 200),
    density=st.sampled_from([0.3, 0.8, 1.5]),
    mischief=st.sampled_from([0.0, 0.05, 0.3]),
    edges_max=st.sampled_from([3, EDGES_MAX]),
    traced=st.booleans(),
    listens=st.booleans(),
)
def test_the_machine_does_what_the_oracle_says(
    seed: int, states: int, length: int, density: float, mischief: float, edges_max: int, traced: bool, listens: bool
) -> None:
    """M2, M3, M5, M8, M11: for any schema, handlers and script, with a memory or without, watched or not."""
    compare(case_of(seed, states, length, density, mischief), edges_max, traced, listens)


REACHED: Final = {
    "a refused auto transition": "a+.* canceled$",
    "an accepted auto transition": "a+.* executed$",
    "a dry run": "end \\?",
    "a rollback": "^rolled back",
    "a pair": "beside",
    "a full queue": f"^{FULL}$",
    "a duplicate": f"^{SAME}$",
    "a remove at once": f"^{EXECUTED}$",
    "an error that nobody takes": "^unclaimed",
    "a drain without end": f"^unclaimed {STUCK}$|^error {STUCK}$",
    "a second binding": "handler 1:",
    "a set": "end =.* executed",
}
"""What the cases are for, and how it shows."""


def test_the_cases_reach_what_they_are_for() -> None:
    """M2, M3, M5: an oracle whose cases were too tame would agree with any machine."""
    lines: list[str] = []
    for seed in range(60):
        case = case_of(seed, 2 + seed % 7, 25, 0.8, 0.3)
        deeds = [{str(slot): deeds for slot, deeds in binding.items()} for binding in case.bindings]
        oracle = Oracle(Schema(case.rows).definitions, deeds, case.queue_max, case.drain_max)
        for each in case.script:
            oracle.ask(each)
            lines.append(f"error {oracle.error}")
        lines += [*oracle.diary, *oracle.heard, *oracle.answers, *(f"unclaimed {error}" for error in oracle.unclaimed)]

    missed = [what for what, shows in REACHED.items() if not any(re.search(shows, line) for line in lines)]

    assert missed == []
