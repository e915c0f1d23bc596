"""M3, M5, M8: vetoes, errors, queued mutations and their tickets, where no golden case says how they go."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.drawn import mutate, mutations, schemas, slots
from tests.machine.lab import Keeper, Lab, Oops, raises, vetoes
from tests.machine.test_resolution import assert_consistent

from histrio_kernel.machine.core.errors import DrainStuck, QueueFull
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued, Result, Ticket
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition

PLAIN = Definition()
MULTI = Definition(multi=True)


def entered(state: str) -> Slot:
    """Its `entered`."""
    return Slot(Kind.ENTERED, state)


def test_a_duplicate_is_one_of_the_last_only() -> None:
    """M5: add, remove, add again from inside a handler: the second add is not a duplicate of the first."""
    results: list[Result] = []

    def three(transition: Transition) -> object:
        results.extend((lab.machine.add("b"), lab.machine.remove("b"), lab.machine.add("b"), lab.machine.add("b")))
        return None

    lab = Lab({"a": PLAIN, "b": PLAIN}, {entered("a"): three})
    lab.machine.add("a")

    tickets = [result.ticket for result in results if isinstance(result, Queued)]
    assert "b" in lab.machine
    assert lab.machine.tick("b") == 3
    assert len({id(ticket) for ticket in tickets}) == 3
    assert tickets[2] is tickets[3]
    assert [ticket.result for ticket in tickets] == [EXECUTED] * 4


def test_a_multi_is_never_a_duplicate() -> None:
    """M5: each call of a Multi counts."""
    lab = Lab({"a": PLAIN, "m": MULTI}, {entered("a"): lambda t: [lab.machine.add("m"), lab.machine.add("m")]})

    lab.machine.add("a")

    assert lab.machine.tick("m") == 3


def test_a_queued_result_is_neither_true_nor_false() -> None:
    """M5: only EXECUTED is true; whether a queued mutation will be is not known."""
    seen: list[Result] = []
    lab = Lab({"a": PLAIN, "b": PLAIN}, {entered("a"): lambda t: seen.append(lab.machine.add("b"))})

    assert lab.machine.add("a")
    with pytest.raises(TypeError, match="queued"):
        bool(seen[0])


def test_a_remove_of_what_is_about_to_enter_is_queued() -> None:
    """M5: a remove inside a handler is EXECUTED at once only if its states are neither active nor about to be."""
    results: list[Result] = []

    def remove(transition: Transition) -> object:
        results.extend((lab.machine.remove("b"), lab.machine.remove("a")))
        return None

    lab = Lab({"a": PLAIN, "b": PLAIN}, {Slot(Kind.MAY_ENTER, "a"): remove})
    lab.machine.add("a")

    assert results[0] is EXECUTED
    assert isinstance(results[1], Queued)
    assert lab.machine.names == ()
    assert lab.machine.tick("a") == 2


def test_a_vetoed_auto_state_does_not_come_back() -> None:
    """M2: an auto state that a handler vetoed stays out, also if another auto state that enters adds it."""
    auto = Definition(auto=True)
    lab = Lab({"go": PLAIN, "no": auto, "yes": Definition(auto=True, add=["no"])}, {Slot(Kind.MAY_ENTER, "no"): vetoes})

    assert lab.machine.add("go")

    assert set(lab.machine.names) == {"go", "yes"}
    assert lab.machine.tick("no") == 0


def test_an_error_in_exited_stops_nothing() -> None:
    """M3: after an error in `exited` nothing is rolled back and the other final handlers run; then comes `exception`."""
    lab = Lab({"a": PLAIN, "b": PLAIN, "c": PLAIN}, {Slot(Kind.EXITED, "a"): raises})
    lab.machine.add("a", "b")
    lab.calls.clear()
    lab.writer.seen.clear()

    result = lab.machine.set("c")

    finals = [call for call in lab.calls if call.endswith(("exited", ".entered"))]
    assert isinstance(result, Canceled)
    assert isinstance(result.error, Oops)
    assert set(lab.machine.names) == {"c", "exception"}
    assert finals == ["a.exited", "b.exited", "c.entered", "exception.entered", "any_state.entered"]
    assert lab.writer.seen == ["=c!", "+exception"]
    assert lab.machine.error is result.error


def test_further_errors_are_notes_of_the_first() -> None:
    """M3: of several errors in one transition the first becomes `exception`, and the others its notes."""

    def other(transition: Transition) -> object:
        raise KeyError("the other")

    lab = Lab({"a": PLAIN, "b": PLAIN}, {Slot(Kind.EXITED, "a"): raises, Slot(Kind.EXITED, "b"): other})
    lab.machine.add("a", "b")

    result = lab.machine.set()

    assert isinstance(result, Canceled)
    assert isinstance(result.error, Oops)
    assert "the other" in "".join(result.error.__notes__)


def test_an_error_in_entered_takes_back_what_was_not_told() -> None:
    """M3: its state, those behind it and what requires them leave again; what entered before stays."""
    lab = Lab(
        {"out": PLAIN, "a": PLAIN, "b": PLAIN, "c": PLAIN},
        {entered("b"): raises},
    )
    lab.machine.add("out")

    result = lab.machine.set("a", "b", "c")

    assert isinstance(result, Canceled)
    assert set(lab.machine.names) == {"a", "exception"}
    assert [lab.machine.tick(name) for name in ("out", "a", "b", "c")] == [2, 1, 2, 2]
    assert "c.entered" not in lab.calls
    assert "rolled back b, c" in lab.keeper.heard
    assert lab.keeper.heard.index("rolled back b, c") < lab.keeper.heard.index("settled", 3)


def test_a_multi_behind_a_failing_state_leaves() -> None:
    """M3: an active Multi that was called again and stands behind a failing state was not told, and leaves too."""
    lab = Lab({"bad": PLAIN, "m": Definition(multi=True, after=["bad"])}, {entered("bad"): raises})
    lab.machine.add("m")

    lab.machine.add("bad", "m")

    assert lab.machine.names == ("exception",)
    assert [lab.machine.tick(name) for name in ("bad", "m")] == [2, 4]


def test_an_error_in_an_auto_negotiation_cancels_it() -> None:
    """M3: an error of a negotiation handler cancels an auto transition as a whole, and is no mere veto."""
    auto = Definition(auto=True)
    lab = Lab({"go": PLAIN, "bad": auto, "good": auto}, {Slot(Kind.MAY_ENTER, "bad"): raises})

    result = lab.machine.add("go")

    assert result is EXECUTED
    assert lab.machine.tick("good") == 0
    assert set(lab.machine.names) == {"go", "exception"}
    assert lab.writer.seen[:3] == ["+go", "a+bad,good!", "+exception"]


def test_an_auto_handler_that_always_fails_is_bounded() -> None:
    """M3: exceptions and auto transitions do not chase each other for ever, whichever handler fails."""
    for slot in (Slot(Kind.MAY_ENTER, "bad"), entered("bad")):
        lab = Lab({"go": PLAIN, "bad": Definition(auto=True)}, {slot: raises})

        lab.machine.add("go")

        assert "exception" in lab.machine
        assert len(lab.writer.seen) < 40


def test_an_error_for_exception_is_not_made_another() -> None:
    """M3: an error in a transition that calls `exception` goes to the error hook, and no further one is made."""
    for slot in (entered("exception"), Slot(Kind.MAY_ENTER, "exception")):
        lab = Lab({"a": PLAIN}, {slot: raises})
        cause = ValueError("the cause")

        result = lab.machine.fail(cause, "a")

        assert isinstance(result, Canceled)
        assert lab.writer.seen == ["+a,exception!"]
        assert lab.machine.error is cause
        assert sorted(map(repr, lab.keeper.errors)) == ["Oops()", "ValueError('the cause')"]
        assert "exception" not in lab.machine


def test_an_error_ends_with_exception() -> None:
    """M8: `machine.error` is held while `exception` is active, and cleared when it ends."""
    lab = Lab({"a": PLAIN})
    error = ValueError()

    lab.machine.fail(error)
    assert lab.machine.error is error
    lab.machine.add("a")
    assert lab.machine.error is error
    lab.machine.remove("exception")
    assert lab.machine.error is None


def test_only_false_vetoes() -> None:
    """M1: None accepts; what is neither a bool nor None is an error that says so, not a veto."""
    lab = Lab({"a": PLAIN}, {Slot(Kind.MAY_ENTER, "a"): lambda t: 0})

    result = lab.machine.add("a")

    assert isinstance(result, Canceled)
    assert isinstance(result.error, TypeError)
    assert "a.may_enter" in str(result.error)


def test_a_dry_run_asks_and_changes_nothing() -> None:
    """M10: `can_add` asks the real negotiation handlers, with `transition.dry`."""
    dry: list[bool] = []
    lab = Lab({"a": PLAIN, "b": PLAIN}, {Slot(Kind.MAY_ENTER, "a"): lambda t: dry.append(t.dry)})
    lab.machine.add("b")

    assert lab.machine.can_add("a")
    assert dry == [True]
    assert lab.machine.names == ("b",)
    assert "a.entered" not in lab.calls


def test_a_full_queue_refuses() -> None:
    """M5: a mutation that finds the queue full raises `QueueFull` in the handler; errors pass all the same."""
    machine = Machine(Schema({"a": PLAIN, "m": MULTI}), queue_max=2)

    def many(owner: object, transition: Transition) -> None:
        machine.add("m")
        machine.add("m")
        machine.fail(ValueError())
        with pytest.raises(QueueFull, match="queue_max"):
            machine.add("m")

    machine.bind(HandlerTable([Handler(entered("a"), many)]))

    assert machine.add("a")
    assert machine.tick("m") == 3
    assert "exception" in machine


def test_a_drain_without_end_is_ended() -> None:
    """M9: after `drain_max` transitions what waits is CANCELED and the machine has an `exception`."""
    machine = Machine(Schema({"m": MULTI}), drain_max=10)
    queued: list[Result] = []

    def again(owner: object, transition: Transition) -> None:
        queued.append(machine.add("m"))

    machine.bind(HandlerTable([Handler(entered("m"), again)]))

    assert machine.add("m")

    last = queued[-1]
    assert isinstance(machine.error, DrainStuck)
    assert "exception" in machine
    assert isinstance(last, Queued)
    assert isinstance(last.ticket.result, Canceled)
    assert machine.tick("m") == 19
    assert machine.remove("exception")


@settings(max_examples=count("machine_examples"), deadline=None)
@given(data=st.data(), schema=schemas())
def test_whatever_handlers_do_the_machine_is_whole(data: st.DataObject, schema: Schema) -> None:
    """M3, M5: with handlers that veto, raise and mutate at random it stays consistent, and every ticket gets a result."""
    machine = Machine(schema, drain_max=60)
    tickets: list[Ticket] = []
    machine.set_shell(Keeper())

    def act(owner: object, transition: Transition) -> object:
        deed = data.draw(st.sampled_from(["nothing"] * 8 + ["veto", "raise", "mutate"]))
        if deed == "raise":
            raise Oops
        if deed == "mutate":
            result = mutate(machine, data.draw(mutations(schema, 1).filter(bool))[0])
            tickets.extend([result.ticket] if isinstance(result, Queued) else [])
        return deed != "veto"

    chosen = data.draw(st.lists(st.sampled_from(slots(schema.names)), max_size=6, unique=True))
    machine.bind(HandlerTable(Handler(slot, act) for slot in chosen))

    for each in data.draw(mutations(schema, 8)):
        mutate(machine, each)
        assert_consistent(machine)
        assert all(ticket.result is not None for ticket in tickets)
