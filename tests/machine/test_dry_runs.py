"""M10, M5: dry runs ask the relations and the real handlers, and change nothing."""

from __future__ import annotations

from typing import Final

import pytest
from tests.machine.lab import Lab, Oops, entered, raises, vetoes

from histrio_kernel.machine.core.automaton import Automaton
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued, Result
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition

PLAIN: Final = Definition()
ROWS: Final = {
    "a": Definition(remove=["old"]),
    "old": PLAIN,
    "needs": Definition(require=["a"]),
    "m": Definition(multi=True, require=["a"]),
    "auto": Definition(auto=True, require=["a"]),
}


@pytest.mark.parametrize("handled", [False, True])
def test_relations_are_asked(handled: bool) -> None:
    """M10, M3: with and without handlers; also those of a Multi, which the original never refused."""
    machine = Lab(ROWS).machine if handled else Machine(Schema(ROWS))

    assert machine.can_add("a") is EXECUTED
    assert isinstance(machine.can_add("needs"), Canceled)
    assert isinstance(machine.can_add("m"), Canceled)
    assert machine.can_add("a", "m") is EXECUTED
    assert machine.can_remove("a") is EXECUTED
    with pytest.raises(UnknownState, match="did you mean 'needs'"):
        machine.can_add("need")
    assert machine.time == (0,) * 6


def test_a_refusal_says_why() -> None:
    """M5: the reason names the states that the relations do not let in."""
    refused = Machine(Schema(ROWS)).can_add("needs", "old")

    assert isinstance(refused, Canceled)
    assert "needs" in refused.reason
    assert "old" not in refused.reason


def test_handlers_are_asked_with_dry() -> None:
    """M10: all negotiation handlers of the transition, in order, each with `transition.dry`; no final one, no auto."""
    dry: list[bool] = []
    slots = [
        Slot(Kind.MAY_EXIT, "old"),
        Slot(Kind.MAY_ENTER, "a"),
        Slot(Kind.BESIDE, "a", "old"),
        Slot(Kind.ANY_MAY_ENTER),
    ]
    lab = Lab(ROWS, {slot: lambda t: dry.append(t.dry) for slot in slots})
    lab.machine.add("old")
    lab.calls.clear()
    lab.keeper.heard.clear()
    dry.clear()
    before = lab.machine.export()

    assert lab.machine.can_add("a") is EXECUTED
    assert lab.calls == ["old.may_exit", "a.may_enter", "old.beside(a)", "any_state.may_enter"]
    assert dry == [True] * 4
    assert lab.machine.export() == before
    assert lab.keeper.heard == ["queue ended"]
    assert lab.machine.add("a") is EXECUTED
    assert dry[4:8] == [False] * 4


@pytest.mark.parametrize("slot", [Slot(Kind.MAY_ENTER, "a"), Slot(Kind.MAY_EXIT, "old"), Slot(Kind.ANY_MAY_ENTER)])
def test_a_veto_is_told(slot: Slot) -> None:
    """M10: and the mutation itself is canceled just so."""
    lab = Lab(ROWS, {slot: lambda t: "old" not in lab.machine})
    lab.machine.add("old")

    first, second = lab.machine.can_add("a"), lab.machine.add("a")

    assert isinstance(first, Canceled)
    assert isinstance(second, Canceled)
    assert first.reason == second.reason == f"vetoed by {slot}"


def test_can_remove_asks_may_exit_with_its_arguments() -> None:
    """M10: in the original it lost them."""
    args: list[object] = []
    lab = Lab(ROWS, {Slot(Kind.MAY_EXIT, "a"): lambda t: args.append(t.args)})
    lab.machine.add("a")

    assert lab.machine.can_remove("a", args="why")
    assert args == ["why"]


def test_from_inside_it_is_queued_and_its_ticket_tells() -> None:
    """M5, M10: in front of what waits, so that it is about the states that the handler sees."""
    results: list[Result] = []

    def ask(transition: Transition) -> object:
        lab.machine.remove("a")
        results.append(lab.machine.can_add("needs"))
        return None

    lab = Lab(ROWS, {entered("a"): ask})
    lab.machine.add("a")

    (result,) = results
    assert isinstance(result, Queued)
    assert result.ticket.result is EXECUTED
    assert lab.writer.seen[:3] == ["+a", "a+auto", "?+needs"]
    assert "needs" not in lab.machine


def test_an_error_in_a_dry_run_is_an_error() -> None:
    """M3, M10: it answers CANCELED with the error, and `exception` is added: a handler is broken."""
    lab = Lab(ROWS, {Slot(Kind.MAY_ENTER, "a"): raises})

    result = lab.machine.can_add("a")

    assert isinstance(result, Canceled)
    assert isinstance(result.error, Oops)
    assert lab.machine.error is result.error
    assert lab.machine.names == ("exception",)


def test_a_dry_run_is_nothing_that_waits() -> None:
    """M4: `pending` is about what will be."""
    seen: list[bool] = []

    def ask(transition: Transition) -> object:
        lab.machine.can_add("needs")
        seen.append(lab.machine.pending("needs"))
        lab.machine.add("needs")
        seen.append(lab.machine.pending("needs"))
        return None

    lab = Lab(ROWS, {entered("a"): ask})
    lab.machine.add("a")

    assert seen == [False, True]


def test_a_dry_run_never_changes_what_is_remembered() -> None:
    """M11: a machine that asks first and one that does not go the same way."""
    automaton = Automaton(Schema(ROWS), edges_max=3)
    asking, plain = Machine(automaton), Machine(automaton)

    for state in ("old", "a", "needs", "m", "old", "a"):
        verdict = asking.can_add(state)
        assert bool(asking.add(state)) == bool(verdict) == bool(plain.add(state))
        assert asking.time == plain.time


def test_a_vetoed_dry_run_of_a_failing_machine_keeps_its_error() -> None:
    """M8, M10: `error` is not touched by asking."""
    lab = Lab(ROWS, {Slot(Kind.MAY_ENTER, "a"): vetoes})
    error = ValueError()
    lab.machine.fail(error)

    assert isinstance(lab.machine.can_add("a"), Canceled)
    assert lab.machine.error is error
