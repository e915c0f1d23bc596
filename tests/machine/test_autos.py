"""M2, M3: auto states: when they are called, what a veto lets go, and what an error does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from tests.machine.lab import Deed, Lab, Writer, entered, raises, vetoes

from histrio_kernel.machine.core.exporting import Exported
from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Canceled
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition

PLAIN: Final = Definition()
AUTO: Final = Definition(auto=True)
ERRORS_MAX: Final = 40


def may_enter(state: str) -> Slot:
    """Its `may_enter`."""
    return Slot(Kind.MAY_ENTER, state)


# -- when ----------------------------------------------------------------------------------------------------------------


def test_auto_states_are_called_together_in_the_order_of_the_schema() -> None:
    """M2: every inactive auto state that no active state removes, after a change."""
    rows = {"z": AUTO, "go": Definition(remove=["no"]), "no": AUTO, "a": AUTO}
    lab = Lab(rows)

    lab.machine.add("go")

    assert lab.writer.seen == ["+go", "a+z,a"]


def held_back(*active: str) -> Lab:
    """A machine with these states, whose auto state was vetoed so far, and would come from now on."""
    held = [True]
    rows = {"on": PLAIN, "m": Definition(multi=True), "beat": Definition(quiet=True), "x": PLAIN, "no": PLAIN}
    lab = Lab(
        {**rows, "needs": Definition(require=["no"]), "auto": AUTO},
        {may_enter("auto"): lambda t: not held, may_enter("no"): vetoes},
    )
    lab.machine.set(*active)
    held.clear()
    lab.writer.seen.clear()
    return lab


CHANGES: Final[dict[str, Callable[[Lab], object]]] = {
    "an add": lambda lab: lab.machine.add("x"),
    "a remove": lambda lab: lab.machine.remove("on"),
    "a set": lambda lab: lab.machine.set("x"),
    "a Multi again": lambda lab: lab.machine.add("m"),
    "a quiet state and another": lambda lab: lab.machine.add("beat", "x"),
    "a set of a quiet state": lambda lab: lab.machine.set("beat"),
    "an error": lambda lab: lab.machine.fail(ValueError()),
}
NO_CHANGES: Final[dict[str, Callable[[Lab], object]]] = {
    "an add of what is active": lambda lab: lab.machine.add("on"),
    "a remove of what is not": lambda lab: lab.machine.remove("x"),
    "a set of what is active": lambda lab: lab.machine.set("on"),
    "nothing": lambda lab: lab.machine.add(),
    "one quiet state": lambda lab: lab.machine.add("beat"),
    "what is refused": lambda lab: lab.machine.add("needs"),
    "what is vetoed": lambda lab: lab.machine.add("no"),
    "a dry run": lambda lab: lab.machine.can_add("x"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_starts_auto_states(change: Callable[[Lab], object]) -> None:
    """M2: an accepted transition that moved a clock."""
    lab = held_back("on", "m")

    change(lab)

    assert lab.writer.seen[1:] == ["a+auto"]


@pytest.mark.parametrize("change", NO_CHANGES.values(), ids=NO_CHANGES)
def test_what_starts_no_auto_states(change: Callable[[Lab], object]) -> None:
    """M2: what moved no clock, or was canceled or dry; and the add of one single quiet state."""
    lab = held_back("on")

    change(lab)

    assert len(lab.writer.seen) == 1
    assert "auto" not in lab.machine


def test_a_quiet_state_starts_nothing_by_itself() -> None:
    """M2: the add of one single quiet state; with another state, by a set, or leaving, it is like any other."""
    lab = Lab({"beat": Definition(quiet=True), "x": PLAIN, "auto": AUTO})

    lab.machine.add("beat")
    assert "auto" not in lab.machine
    lab.machine.remove("beat")
    assert "auto" in lab.machine
    lab.machine.set()
    lab.machine.set("beat")
    assert "auto" in lab.machine


def test_auto_states_start_no_further_ones() -> None:
    """M2: "It starts no further auto": what one auto state makes possible comes after the next change."""
    lab = Lab({"go": PLAIN, "first": AUTO, "second": Definition(auto=True, require=["first", "mark"]), "mark": PLAIN})
    lab.machine.add("mark", "go")
    assert lab.writer.seen == ["+mark,go", "a+first,second"]
    assert set(lab.machine.names) == {"mark", "go", "first", "second"}
    chain = Lab({"go": PLAIN, "first": Definition(auto=True, add=["mark"]), "second": AUTO, "mark": PLAIN})
    chain.machine.add("go")
    assert chain.writer.seen == ["+go", "a+first,second"]


def test_an_auto_state_that_another_one_makes_possible_waits_for_the_next_change() -> None:
    """M2: `second` is removed by what `first` ends, so it was no candidate when `first` was called."""
    rows = {
        "go": PLAIN,
        "bar": Definition(remove=["second"]),
        "first": Definition(auto=True, remove=["bar"]),
        "second": AUTO,
        "x": PLAIN,
    }
    lab = Lab(rows, {may_enter("first"): lambda t: "go" in lab.machine})
    lab.machine.add("bar")

    lab.machine.add("go")
    assert set(lab.machine.names) == {"go", "first"}
    lab.machine.add("x")
    assert "second" in lab.machine


# -- relations -----------------------------------------------------------------------------------------------------------


def test_auto_states_that_the_relations_refuse_are_let_go() -> None:
    """M2: "Called names not in the result are let go and the rest resolved again": what they implied does not come."""
    rows = {
        "go": PLAIN,
        "base": PLAIN,
        "needs": Definition(auto=True, require=["base"], add=["orphan"]),
        "free": AUTO,
        "orphan": PLAIN,
    }
    lab = Lab(rows)

    lab.machine.add("go")

    assert set(lab.machine.names) == {"go", "free"}


def test_auto_states_are_let_go_until_none_is() -> None:
    """M2: what came only because of one that was let go is let go as well, and so on."""
    rows = {
        "go": PLAIN,
        "base": PLAIN,
        "first": Definition(auto=True, require=["base"], add=["x"]),
        "second": Definition(auto=True, require=["x"], add=["y"]),
        "third": Definition(auto=True, require=["y"]),
        "x": PLAIN,
        "y": PLAIN,
    }
    lab = Lab(rows)

    lab.machine.add("go")

    assert lab.machine.names == ("go",)
    assert lab.machine.tick("x") == 0


def test_an_auto_transition_without_any_of_its_states_is_refused() -> None:
    """M2: "auto when at least one is" in the result: else it is no accepted transition, and nobody is asked."""
    lab = Lab({"go": PLAIN, "base": PLAIN, "needs": Definition(auto=True, require=["base"])})

    lab.machine.add("go")

    assert lab.writer.seen == ["+go", "a+needs!"]
    assert "needs.may_enter" not in lab.calls


@pytest.mark.parametrize("handled", [False, True])
def test_an_auto_transition_that_would_leave_nothing_active_is_refused(handled: bool) -> None:
    """M2: "no target left, cancels", by the relations alone just so, and whether or not a handler would be asked."""
    rows = {
        "go": PLAIN,
        "base": PLAIN,
        "brings": Definition(auto=True, require=["base"], add=["orphan"]),
        "needs": Definition(auto=True, require=["orphan"]),
        "orphan": PLAIN,
    }
    lab, machine, writer = Lab(rows), Machine(Schema(rows)), Writer()
    machine.attach(writer)
    for each in (lab.machine, machine):
        each.load(Exported((*rows, "exception"), (1, 0, 0, 0, 0, 0), ("go",)))
    seen = lab.writer.seen if handled else writer.seen

    (lab.machine if handled else machine).remove("go")

    assert seen == ["-go", "a+brings,needs!"]


# -- vetoes --------------------------------------------------------------------------------------------------------------


ROWS: Final = {"go": PLAIN, "no": Definition(auto=True, add=["more"]), "yes": AUTO, "more": PLAIN}


@pytest.mark.parametrize("slot", [may_enter("no"), Slot(Kind.BESIDE, "no", "go")], ids=str)
def test_a_veto_lets_one_auto_state_go(slot: Slot) -> None:
    """M2: of its `may_enter` and of pairs ending in it; what it implied goes with it, the others come."""
    lab = Lab(ROWS, {slot: vetoes})

    assert lab.machine.add("go")
    assert set(lab.machine.names) == {"go", "yes"}
    assert "more.entered" not in lab.calls


def test_a_pair_that_ends_in_a_state_let_go_is_not_called() -> None:
    """M2: nobody is asked about it any more, in further bindings neither."""
    lab = Lab(ROWS, {may_enter("no"): vetoes, Slot(Kind.BESIDE, "no", "go"): lambda t: None})

    lab.machine.add("go")

    assert "no.may_enter" in lab.calls
    assert "go.beside(no)" not in lab.calls


def test_an_active_auto_state_whose_self_handler_vetoes_stays_active() -> None:
    """M2: it is let go of the negotiation, and not of the machine; the others come."""
    rows = {"go": PLAIN, "base": PLAIN, "late": Definition(auto=True, require=["base"]), "on": AUTO}
    lab = Lab(rows, {Slot(Kind.STAYS, "on"): lambda t: not t.is_auto})
    lab.machine.add("go")
    assert "on" in lab.machine

    lab.machine.add("base")

    assert set(lab.machine.names) == {"go", "on", "base", "late"}
    assert lab.machine.tick("on") == 1


@pytest.mark.parametrize(
    "slot",
    [
        Slot(Kind.STAYS, "go"),
        may_enter("more"),
        Slot(Kind.MAY_EXIT, "old"),
        Slot(Kind.BESIDE, "more", "go"),
        Slot(Kind.ANY_MAY_ENTER),
    ],
    ids=str,
)
def test_any_other_veto_cancels_the_auto_transition(slot: Slot) -> None:
    """M2: of what is no auto state, of what leaves, and of `any_state`."""
    lab = Lab(
        {**ROWS, "old": PLAIN, "yes": Definition(auto=True, remove=["old"])},
        {slot: lambda t: not t.is_auto},
    )
    lab.machine.add("old", "go")

    assert lab.writer.seen == ["+old,go", "a+no,yes!"]
    assert set(lab.machine.names) == {"old", "go"}


def test_an_auto_transition_is_cancelled_when_all_it_would_lead_to_is_let_go() -> None:
    """M2: "or no target left, cancels": nobody is asked or told of it as a whole."""
    lab = Lab({"no": Definition(auto=True), "x": PLAIN}, {may_enter("no"): vetoes})
    lab.machine.add("x")
    lab.calls.clear()
    lab.writer.seen.clear()

    lab.machine.remove("x")

    assert lab.writer.seen == ["-x", "a+no!"]
    assert lab.calls.count("any_state.may_enter") == 1
    assert lab.calls.count("any_state.entered") == 1


def test_what_a_vetoed_state_would_have_removed_stays() -> None:
    """M2: after a veto the relations are resolved once more."""
    rows = {"go": PLAIN, "old": PLAIN, "no": Definition(auto=True, remove=["old"]), "yes": AUTO}
    lab = Lab(rows, {may_enter("no"): vetoes})

    lab.machine.add("old", "go")

    assert set(lab.machine.names) == {"old", "go", "yes"}
    assert "old.exited" not in lab.calls


def test_what_a_vetoed_state_kept_out_does_not_come_unasked() -> None:
    """M2: `kept` was removed by `no` in the negotiated outcome, so nobody asked it, and it does not come when `no` goes."""
    rows = {
        "go": PLAIN,
        "no": Definition(auto=True, remove=["kept"]),
        "yes": Definition(auto=True, add=["kept"]),
        "kept": PLAIN,
    }
    lab = Lab(rows, {may_enter("no"): vetoes})

    lab.machine.add("go")

    assert "kept.may_enter" not in lab.calls
    assert set(lab.machine.names) == {"go", "yes"}


@pytest.mark.parametrize("by", ["add of another auto state", "add of what another one implies"])
def test_a_vetoed_state_does_not_come_by_another_ones_add(by: str) -> None:
    """M2, M3: in the original it came back, against its own veto."""
    if by == "add of another auto state":
        rows = {"go": PLAIN, "no": AUTO, "yes": Definition(auto=True, add=["no"])}
    else:
        rows = {"go": PLAIN, "no": AUTO, "mid": Definition(add=["no"]), "yes": Definition(auto=True, add=["mid"])}
    lab = Lab(rows, {may_enter("no"): vetoes})

    lab.machine.add("go")

    assert "no" not in lab.machine
    assert "yes" in lab.machine
    assert lab.machine.tick("no") == 0


def test_what_requires_a_vetoed_state_does_not_come() -> None:
    """M2: the second resolution sees that it is missing."""
    rows = {"go": PLAIN, "no": AUTO, "needs": Definition(auto=True, require=["no"]), "free": AUTO}
    lab = Lab(rows, {may_enter("no"): vetoes})

    lab.machine.add("go")

    assert set(lab.machine.names) == {"go", "free"}
    assert "needs.entered" not in lab.calls


# -- errors --------------------------------------------------------------------------------------------------------------


def test_an_error_in_an_auto_negotiation_is_no_veto() -> None:
    """M3: the auto transition is cancelled as a whole, nobody enters without a handler, and `exception` is next."""
    rows = {"go": PLAIN, "bad": AUTO, "good": AUTO}
    armed = [True]

    def once(transition: Transition) -> object:
        return raises(transition) if armed and armed.pop() else None

    lab = Lab(rows, {may_enter("bad"): once})

    assert lab.machine.add("go")
    assert lab.writer.seen == ["+go", "a+bad,good!", "+exception", "a+bad,good"]
    assert "good.entered" in lab.calls


@pytest.mark.parametrize("slot", [may_enter("bad"), entered("bad"), Slot(Kind.ANY_MAY_ENTER)], ids=str)
def test_an_auto_handler_that_always_fails_ends(slot: Slot) -> None:
    """M3: in the original this was a loop without end; here a bounded number of exceptions, and the caller goes on."""

    def fail(transition: Transition) -> object:
        return raises(transition) if transition.is_auto else None

    lab = Lab({"go": PLAIN, "bad": AUTO, "x": PLAIN}, {slot: fail})

    assert lab.machine.add("go")
    assert len(lab.writer.seen) < ERRORS_MAX
    assert "exception" in lab.machine
    assert lab.machine.error is not None
    lab.writer.seen.clear()
    assert lab.machine.add("x")
    assert lab.writer.seen[1] == "a+bad!", "the next drain tries again"


def test_an_auto_transition_that_failed_when_its_states_had_entered_starts_no_more() -> None:
    """M3: "An auto transition that failed starts no auto for the rest of the drain", whatever else is queued."""
    deeds: dict[Slot, Deed] = {entered("bad"): raises, entered("go"): lambda t: lab.machine.add("x")}
    lab = Lab({"go": PLAIN, "bad": AUTO, "x": PLAIN}, deeds)

    lab.machine.add("go")

    assert lab.writer.seen == ["+go", "a+bad!", "+exception", "+x"]
    assert lab.machine.tick("bad") == 2


def test_the_result_of_a_mutation_is_not_that_of_its_auto_transition() -> None:
    """M2, M5: the caller asked for `go`, and that was executed."""
    lab = Lab({"go": PLAIN, "bad": AUTO}, {entered("bad"): raises})

    assert lab.machine.add("go")
    assert not isinstance(lab.machine.add("go"), Canceled)


def test_an_error_that_ends_what_exception_brings_does_not_loop() -> None:
    """M3: an auto state that requires `exception` and always fails."""
    lab = Lab({"go": PLAIN, "repair": Definition(auto=True, require=["exception"])}, {entered("repair"): raises})

    lab.machine.fail(ValueError())

    assert lab.writer.seen == ["+exception", "a+repair!", "+exception"]
