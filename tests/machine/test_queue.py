"""M5: which mutations wait, which are one, which are refused, and what those who issued them are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from tests.machine.lab import Deed, Lab, Oops, entered, raises, table

from histrio_kernel.machine.core.errors import DrainStuck, QueueFull
from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Executed, Queued, Result
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

PLAIN: Final = Definition()
MULTI: Final = Definition(multi=True)

Asking = Callable[[Machine], list[Result]]


def asked_within(asking: Asking, at: Slot | None = None, **states: Definition) -> tuple[Lab, list[Result]]:
    """A machine whose handler asks for some mutations when `a` enters, and what it was answered."""
    results: list[Result] = []

    def ask(transition: Transition) -> object:
        results.extend(asking(lab.machine))
        return None

    lab = Lab({"a": PLAIN, "b": PLAIN, "c": PLAIN, "m": MULTI, **states}, {at or entered("a"): ask})
    lab.machine.add("a")
    return lab, results


def ticket_numbers(results: list[Result]) -> list[int]:
    """Which results share a ticket: equal numbers."""
    known: list[object] = []
    for result in results:
        assert isinstance(result, Queued)
        if result.ticket not in known:
            known.append(result.ticket)
    return [known.index(result.ticket) for result in results if isinstance(result, Queued)]


ONE: Final[dict[str, tuple[Asking, list[int]]]] = {
    "equal ones": (lambda m: [m.add("b"), m.add("b"), m.add("b")], [0, 0, 0]),
    "not with one between": (lambda m: [m.add("b"), m.remove("b"), m.add("b")], [0, 1, 2]),
    "not with any between": (lambda m: [m.add("b"), m.add("c"), m.add("b")], [0, 1, 2]),
    "not with arguments": (lambda m: [m.add("b"), m.add("b", args=1)], [0, 1]),
    "not behind arguments": (lambda m: [m.add("b", args=1), m.add("b")], [0, 1]),
    "not with equal arguments": (lambda m: [m.add("b", args=1), m.add("b", args=1)], [0, 1]),
    "not of a Multi": (lambda m: [m.add("m"), m.add("m")], [0, 1]),
    "not with a Multi": (lambda m: [m.add("b", "m"), m.add("b", "m")], [0, 1]),
    "not of another operation": (lambda m: [m.add("b"), m.set("b")], [0, 1]),
    "not of more states": (lambda m: [m.add("b"), m.add("b", "c")], [0, 1]),
    "not in another order": (lambda m: [m.add("b", "c"), m.add("c", "b")], [0, 1]),
    "with a name twice": (lambda m: [m.add("b", "c"), m.add("b", "c", "b")], [0, 0]),
    "removes": (lambda m: [m.remove("a"), m.remove("a")], [0, 0]),
    "sets": (lambda m: [m.set("b"), m.set("b")], [0, 0]),
    "two toggles, which are both adds": (lambda m: [m.toggle("b"), m.toggle("b")], [0, 0]),
    "a toggle and an add": (lambda m: [m.toggle("b"), m.add("b")], [0, 0]),
    "not a dry run": (lambda m: [m.add("b"), m.can_add("b")], [0, 1]),
    "not behind a dry run": (lambda m: [m.can_add("b"), m.add("b")], [0, 1]),
    "not errors": (lambda m: [m.fail(Oops()), m.fail(Oops())], [0, 1]),
}
"""What is asked for within, and which of the answers share a ticket."""


@pytest.mark.parametrize(("asking", "tickets"), ONE.values(), ids=ONE)
def test_which_mutations_are_one(asking: Asking, tickets: list[int]) -> None:
    """M5: only one that equals the last pending one, without arguments and Multi, is not queued again."""
    lab, results = asked_within(asking)

    assert ticket_numbers(results) == tickets
    firsts = [tickets.index(number) == at for at, number in enumerate(tickets)]
    assert [result.is_new for result in results if isinstance(result, Queued)] == firsts
    assert len(lab.writer.seen) == 1 + len(set(tickets))


def test_a_shared_ticket_tells_all_who_have_it() -> None:
    """M5: who asked for what was queued already gets the ticket of that one, and hears when it is over."""
    heard: list[Executed | Canceled] = []

    def twice(machine: Machine) -> list[Result]:
        results = [machine.add("b"), machine.add("b")]
        for result in results:
            assert isinstance(result, Queued)
            result.ticket.when_over(heard.append)
        return results

    _, results = asked_within(twice)

    assert heard == [EXECUTED, EXECUTED]
    last = results[-1]
    assert isinstance(last, Queued)
    last.ticket.when_over(heard.append)
    assert heard == [EXECUTED] * 3


def test_what_is_not_queued_again_is_not_told_to_tracers() -> None:
    """M5, M9: a duplicate is no mutation of its own."""
    queued: list[str] = []

    class Watch(Tracer):
        def queued(self, mutation: Mutation) -> None:
            queued.append(machine.schema.spell(mutation.called))

    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}))
    machine.bind(table({entered("a"): lambda t: (machine.add("b"), machine.add("b"))}))
    machine.attach(Watch())

    machine.add("a")

    assert queued == ["a", "b"]


def test_a_ticket_resolves_when_its_own_transition_is_over() -> None:
    """M5: not at the end of the queue, and not when another one is over."""
    seen: list[list[Executed | Canceled | None]] = []
    tickets: list[Queued] = []

    def look(transition: Transition) -> object:
        seen.append([each.ticket.result for each in tickets])
        return None

    def queue(transition: Transition) -> object:
        for state in ("b", "c"):
            result = lab.machine.add(state)
            assert isinstance(result, Queued)
            tickets.append(result)
        return None

    lab = Lab({"a": PLAIN, "b": PLAIN, "c": PLAIN}, {entered("a"): queue, entered("b"): look, entered("c"): look})
    lab.machine.add("a")

    assert seen == [[None, None], [EXECUTED, None]]
    assert [each.ticket.result for each in tickets] == [EXECUTED, EXECUTED]


def test_tickets_of_what_was_refused_vetoed_or_failed() -> None:
    """M5: a ticket of a mutation that the relations, a handler or an error stopped is CANCELED, with the reason."""
    deeds: dict[Slot, Deed] = {Slot(Kind.MAY_ENTER, "c"): lambda t: False, entered("bad"): raises}

    def queue(transition: Transition) -> object:
        results.extend(lab.machine.add(state) for state in ("needs", "c", "bad"))
        return None

    results: list[Result] = []
    rows = {"a": PLAIN, "b": PLAIN, "c": PLAIN, "bad": PLAIN, "needs": Definition(require=["b"])}
    lab = Lab(rows, {entered("a"): queue, **deeds})
    lab.machine.add("a")

    outcomes = [result.ticket.result for result in results if isinstance(result, Queued)]
    assert all(isinstance(outcome, Canceled) for outcome in outcomes)
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, Canceled)]
    assert "needs" in reasons[0]
    assert "c.may_enter" in reasons[1]
    assert isinstance(outcomes[2], Canceled)
    assert isinstance(outcomes[2].error, Oops)


REMOVES: Final[dict[str, tuple[Slot, Callable[[Machine], Result], bool]]] = {
    "neither active nor about to be": (Slot(Kind.MAY_ENTER, "a"), lambda m: m.remove("b"), True),
    "about to enter": (Slot(Kind.MAY_ENTER, "a"), lambda m: m.remove("a"), False),
    "about to enter, implied": (Slot(Kind.MAY_ENTER, "a"), lambda m: m.remove("implied"), False),
    "entered": (entered("a"), lambda m: m.remove("a"), False),
    "one of them active": (entered("a"), lambda m: m.remove("b", "a"), False),
    "at the end": (Slot(Kind.ANY_ENTERED), lambda m: m.remove("b"), True),
    "of nothing": (entered("a"), lambda m: m.remove(), True),
    "an add of what is active is no such thing": (entered("a"), lambda m: m.add("a"), False),
    "nor is a set": (entered("a"), lambda m: m.set("a"), False),
}
"""Where, what, and whether it is done at once."""


@pytest.mark.parametrize(("at", "asking", "at_once"), REMOVES.values(), ids=REMOVES)
def test_a_remove_within(at: Slot, asking: Callable[[Machine], Result], at_once: bool) -> None:
    """M5: a remove of states neither active nor about to enter, with nothing queued, is EXECUTED at once."""
    _, results = asked_within(lambda m: [asking(m)], at, a=Definition(add=["implied"]), implied=PLAIN)

    assert (results[0] is EXECUTED) == at_once
    assert at_once or isinstance(results[0], Queued)


def test_a_remove_waits_behind_what_waits() -> None:
    """M5: it is not EXECUTED at once when something is queued that may bring its state."""
    lab, results = asked_within(lambda m: [m.add("b"), m.remove("b")])

    assert [isinstance(result, Queued) for result in results] == [True, True]
    assert "b" not in lab.machine
    assert lab.machine.tick("b") == 2


def test_a_remove_in_the_negotiation_of_a_dry_run() -> None:
    """M5, M10: in a dry run nothing is about to enter."""
    results: list[Result] = []
    lab = Lab({"a": PLAIN}, {Slot(Kind.MAY_ENTER, "a"): lambda t: results.append(lab.machine.remove("a"))})

    lab.machine.can_add("a")

    assert results == [EXECUTED]


def test_a_tracer_queues_too() -> None:
    """M5, M9: a mutation from inside a tracer is Queued; a remove of what is out is EXECUTED at once."""
    results: list[Result] = []

    class Eager(Tracer):
        def end(self, transition: Transition) -> None:
            if not results:
                results.extend((machine.remove("b"), machine.add("b"), machine.add("b"), machine.remove("b")))

    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}))
    machine.attach(Eager())

    assert machine.add("a")
    assert results[0] is EXECUTED
    assert ticket_numbers(results[1:]) == [0, 0, 1]
    assert machine.time == (1, 2, 0)


def test_results_and_operations_are_text() -> None:
    """M5: short enough for a log."""
    seen: list[str] = []

    class Watch(Tracer):
        def end(self, transition: Transition) -> None:
            seen.append(f"{transition.op} {transition}")

    lab, results = asked_within(lambda m: [m.add("b"), m.can_remove("a")])
    lab.machine.attach(Watch())
    outcomes = [lab.machine.remove("b"), lab.machine.set("m"), lab.machine.fail(Oops()), lab.machine.can_add("b")]

    assert list(map(repr, outcomes)) == ["EXECUTED"] * 4
    assert list(map(repr, results)) == ["Queued(<Ticket: EXECUTED>)"] * 2
    assert repr(Canceled("no")) == "CANCELED('no')"
    assert repr(Canceled("no", Oops())) == "CANCELED('no', Oops())"
    assert seen == [
        "remove <Transition 4 -b: EXECUTED>",
        "set <Transition 5 =m: EXECUTED>",
        "add <Transition 6 +exception: EXECUTED>",
        "add <Transition 7 ?+b: EXECUTED>",
    ]


# -- a full queue --------------------------------------------------------------------------------------------------------


def test_who_passes_a_full_queue() -> None:
    """M5: `fail`, the exception of an error, what calls `exception`, and auto states pass; all others raise."""
    refused: list[str] = []

    def fill(transition: Transition) -> object:
        machine.add("b")
        machine.add("c")
        ways: dict[str, Callable[[], object]] = {
            "add": lambda: machine.add("m"),
            "remove": lambda: machine.remove("b"),
            "set": lambda: machine.set("b"),
            "toggle": lambda: machine.toggle("b"),
            "can_add": lambda: machine.can_add("b"),
            "evolve": lambda: machine.evolve(machine.schema),
            "fail": lambda: machine.fail(Oops()),
            "exception": lambda: machine.add("exception"),
        }
        for name, way in ways.items():
            try:
                way()
            except QueueFull:
                refused.append(name)
        return None

    rows = {"a": PLAIN, "b": PLAIN, "c": PLAIN, "m": MULTI, "auto": Definition(auto=True)}
    machine = Machine(Schema(rows), queue_max=2)
    machine.bind(table({entered("a"): fill}))

    assert machine.add("a")
    assert refused == ["add", "remove", "set", "toggle", "can_add", "evolve"]
    assert machine.all("a", "b", "c", "auto", "exception")
    assert machine.tick("exception") == 3


def test_a_duplicate_passes_a_full_queue() -> None:
    """M5: what is queued already takes no place."""
    seen: list[Result] = []
    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}), queue_max=1)
    machine.bind(table({entered("a"): lambda t: seen.extend((machine.add("b"), machine.add("b")))}))

    assert machine.add("a")
    assert ticket_numbers(seen) == [0, 0]


def test_an_uncaught_queue_full_is_an_error_of_the_handler() -> None:
    """M5, M3: a handler that lets `QueueFull` through has failed: its state leaves, and `exception` comes first."""

    def flood(transition: Transition) -> object:
        for _ in range(10):
            machine.add("m")
        return None

    machine = Machine(Schema({"a": PLAIN, "m": MULTI}), queue_max=3)
    machine.bind(table({entered("a"): flood}))

    result = machine.add("a")

    assert isinstance(result, Canceled)
    assert isinstance(result.error, QueueFull)
    assert machine.error is result.error
    assert machine.tick("m") == 5  # three calls had found room, and they are executed
    assert machine.tick("a") == 2


def test_places_are_free_again() -> None:
    """M5: `queue_max` counts what waits, not what has ever waited."""

    def chain(transition: Transition) -> object:
        if machine.tick("m") < 99:
            machine.add("m")
        return None

    machine = Machine(Schema({"m": MULTI}), queue_max=1)
    machine.bind(table({entered("m"): chain}))

    assert machine.add("m")
    assert machine.tick("m") == 99


# -- a drain without end -------------------------------------------------------------------------------------------------


def test_a_drain_of_just_drain_max_transitions_is_none_too_long() -> None:
    """M9: `drain_max` transitions are allowed; auto states and exceptions count too."""

    def again(transition: Transition) -> object:
        if machine.tick("m") < 9:
            machine.add("m")
        return None

    machine = Machine(Schema({"m": MULTI}), drain_max=5)
    machine.bind(table({entered("m"): again}))

    assert machine.add("m")
    assert machine.tick("m") == 9
    assert machine.error is None


def test_what_waits_when_a_drain_is_ended_is_told() -> None:
    """M9, M8: the tickets are CANCELED and say why, and errors among what waits go to the error hook."""
    results: list[Result] = []
    lost = Oops("nobody would hear of it")
    lab = Lab({"m": MULTI})
    machine = Machine(lab.machine.schema, drain_max=4)
    machine.set_shell(lab.keeper)

    def again(transition: Transition) -> object:
        results.append(machine.add("m"))
        if machine.tick("m") == 7:
            results.append(machine.fail(lost))
        return None

    machine.bind(table({entered("m"): again}))
    machine.add("m")

    outcomes = [result.ticket.result for result in results if isinstance(result, Queued)]
    assert outcomes[:3] == [EXECUTED] * 3
    assert all(isinstance(outcome, Canceled) and "4 transitions" in outcome.reason for outcome in outcomes[3:])
    assert lab.keeper.errors == [lost]
    assert isinstance(machine.error, DrainStuck)


def test_an_ended_drain_ends_though_handlers_of_exception_go_on() -> None:
    """M9: what the handlers of that last `exception` queue is CANCELED too."""
    results: list[Result] = []

    def again(transition: Transition) -> object:
        results.append(machine.add("m"))
        return None

    machine = Machine(Schema({"m": MULTI}), drain_max=4)
    machine.bind(table({entered("m"): again, entered("exception"): again}))

    machine.add("m")

    last = results[-1]
    assert isinstance(last, Queued)
    assert isinstance(last.ticket.result, Canceled)
    assert machine.tick("exception") == 1
    assert machine.remove("exception")


def test_a_tracer_cannot_keep_a_drain_alive() -> None:
    """M9: what a tracer queues at the end of the queue counts, and ends with the drain."""
    ends: list[int] = []

    class Restless(Tracer):
        def queue_end(self) -> None:
            ends.append(machine.tick("m"))
            machine.add("m")

    machine = Machine(Schema({"m": MULTI}), drain_max=5)
    machine.attach(Restless())

    assert machine.add("m")
    assert machine.tick("m") == 9
    assert len(ends) <= 6
    assert "exception" in machine


def test_a_drain_that_was_ended_starts_no_auto_states() -> None:
    """M9: nor is the bound passed by them; the next mutation starts them again."""

    def again(transition: Transition) -> object:
        if busy:
            machine.add("m")
        return None

    busy = [True]
    machine = Machine(Schema({"m": MULTI, "auto": Definition(auto=True, require=["exception"])}), drain_max=3)
    machine.bind(table({entered("m"): again}))

    machine.add("m")
    assert "exception" in machine
    assert "auto" not in machine
    busy.clear()
    machine.add("m")
    assert "auto" in machine
