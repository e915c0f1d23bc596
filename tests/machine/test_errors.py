"""M3, M8: what an error of a handler takes back, what comes of it, and what `machine.error` is."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import pytest
from tests.machine.lab import Deed, Keeper, Lab, Oops, Writer, entered, raises, table, vetoes
from tests.machine.test_resolution import assert_consistent

from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued, Result
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition

PLAIN: Final = Definition()
MULTI: Final = Definition(multi=True)
AUTO: Final = Definition(auto=True)


def exited(state: str) -> Slot:
    """Its `exited`."""
    return Slot(Kind.EXITED, state)


def finals(lab: Lab) -> list[str]:
    """The final handlers that were called."""
    return [call for call in lab.calls if call.endswith(("exited", "entered"))]


# -- in a negotiation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "slot",
    [
        Slot(Kind.MAY_ENTER, "new"),
        Slot(Kind.MAY_EXIT, "old"),
        Slot(Kind.STAYS, "stay"),
        Slot(Kind.BESIDE, "new", "stay"),
        Slot(Kind.ANY_MAY_ENTER),
    ],
    ids=str,
)
def test_an_error_in_a_negotiation_cancels(slot: Slot) -> None:
    """M3: the transition is CANCELED with the error, nothing has moved, and `exception` is added next."""
    armed: list[bool] = []

    def once(transition: Transition) -> object:
        if armed:
            armed.clear()
            raise Oops
        return None

    lab = Lab({"old": PLAIN, "stay": PLAIN, "new": Definition(remove=["old"])}, {slot: once})
    lab.machine.add("old", "stay")
    lab.writer.seen.clear()
    lab.calls.clear()
    armed.append(True)

    result = lab.machine.add("new")

    assert isinstance(result, Canceled)
    assert isinstance(result.error, Oops)
    assert lab.machine.error is result.error
    assert lab.writer.seen == ["+new!", "+exception"]
    assert [lab.machine.tick(name) for name in ("old", "stay", "new")] == [1, 1, 0]
    assert finals(lab) == ["exception.entered", "any_state.entered"]


def test_an_error_stops_the_negotiation() -> None:
    """M3: nobody is asked after it."""
    lab = Lab({"a": PLAIN, "b": PLAIN}, {Slot(Kind.MAY_ENTER, "a"): raises})

    lab.machine.add("a", "b")

    assert lab.calls[:2] == ["a.may_enter", "exception.may_enter"]


def test_exception_comes_before_anything_queued() -> None:
    """M3: it is the next transition, also before what the failing handler itself had queued, and before auto states."""

    def fail(transition: Transition) -> object:
        lab.machine.add("b")
        raise Oops

    lab = Lab({"a": PLAIN, "b": PLAIN, "auto": AUTO}, {entered("a"): fail})

    lab.machine.add("a")

    assert lab.writer.seen == ["+a!", "+exception", "a+auto", "+b"]


# -- in a final handler --------------------------------------------------------------------------------------------------


def test_what_requires_a_state_that_was_rolled_back_leaves_too() -> None:
    """M3: "and whatever then lacks a requirement": one that had entered before, and one that was active before."""
    rows = {
        "base": PLAIN,
        "first": Definition(require=["base"]),
        "second": Definition(require=["first"]),
        "free": PLAIN,
    }
    lab = Lab(rows, {entered("base"): lambda t: raises(t) if "free" in lab.machine else None})
    lab.machine.set("free")

    result = lab.machine.add("second", "first", "base")

    assert isinstance(result, Canceled)
    assert set(lab.machine.names) == {"free", "exception"}
    assert "rolled back base, first, second" in lab.keeper.heard


def test_what_was_active_before_leaves_if_it_lacks_a_requirement_after_a_rollback() -> None:
    """M3: a Multi that is called again and fails takes along what requires it, though that had nothing to do with it."""
    count: list[int] = []

    def second_time(transition: Transition) -> object:
        count.append(1)
        return raises(transition) if len(count) == 2 else None

    chain = pairwise(("m", "needs", "deep", "deeper"))
    rows = {"m": MULTI, **{name: Definition(require=[other]) for other, name in chain}}
    lab = Lab(rows, {entered("m"): second_time})
    lab.machine.add("m", "needs", "deep", "deeper")

    assert isinstance(lab.machine.add("m"), Canceled)
    assert "rolled back m, needs, deep, deeper" in lab.keeper.heard
    assert lab.machine.names == ("exception",)
    assert [lab.machine.tick(name) for name in rows] == [4, 2, 2, 2]
    assert_consistent(lab.machine)


def test_a_multi_that_fails_when_called_again_leaves() -> None:
    """M3, M2: it ticks by two and leaves by one more: no extra ticks, as the original has them."""
    armed: list[bool] = []
    lab = Lab({"m": MULTI, "other": MULTI}, {entered("m"): lambda t: raises(t) if armed else None})
    lab.machine.add("other", "m")
    armed.append(True)

    lab.machine.add("other", "m")

    assert [lab.machine.tick(name) for name in ("other", "m")] == [3, 4]
    assert set(lab.machine.names) == {"other", "exception"}


def test_what_left_stays_out() -> None:
    """M3: a failing `entered` does not bring back what its state had removed, whose `exited` was told."""
    lab = Lab({"old": PLAIN, "new": Definition(remove=["old"])}, {entered("new"): raises})
    lab.machine.add("old")

    lab.machine.add("new")

    assert lab.machine.names == ("exception",)
    assert lab.machine.tick("old") == 2
    assert "old.exited" in lab.calls


def test_after_a_failing_entered_no_exited_is_called_for_it() -> None:
    """M3: its `exited` is not told of an entering that failed; nor is that of those behind it."""
    lab = Lab({"a": PLAIN, "b": PLAIN}, {entered("a"): raises})

    lab.machine.add("a", "b")

    assert finals(lab) == ["a.entered", "exception.entered", "any_state.entered"]


@pytest.mark.parametrize("slot", [exited("old"), entered("new")], ids=str)
def test_after_a_failed_transition_no_auto_follows_and_any_state_is_not_told(slot: Slot) -> None:
    """M3: "In the last two cases `any_state.entered` does not run, no auto follows"; the exception brings them."""
    lab = Lab({"old": PLAIN, "new": PLAIN, "auto": Definition(auto=True, require=["exception"])}, {slot: raises})
    lab.machine.add("old")
    lab.calls.clear()
    lab.writer.seen.clear()

    lab.machine.set("new")

    assert lab.writer.seen == ["=new!", "+exception", "a+auto"]
    assert lab.calls.count("any_state.entered") == 2


def test_errors_in_exited_and_then_in_entered() -> None:
    """M3: the error in `exited` lets the rest run; the one in `entered` rolls back; the first is `exception`."""
    first, second = Oops("first"), Oops("second")

    def fail_with(error: Oops) -> Deed:
        def fail(transition: Transition) -> object:
            raise error

        return fail

    deeds = {exited("old"): fail_with(first), entered("new"): fail_with(second)}
    lab = Lab({"old": PLAIN, "new": PLAIN, "last": PLAIN}, deeds)
    lab.machine.add("old")
    lab.calls.clear()

    result = lab.machine.set("new", "last")

    assert isinstance(result, Canceled)
    assert result.error is first
    assert "second" in "".join(first.__notes__)
    assert lab.machine.names == ("exception",)
    assert finals(lab) == ["old.exited", "new.entered", "exception.entered", "any_state.entered"]


def test_an_error_in_any_state_entered_takes_nothing_back() -> None:
    """M3: all have been told by then; the result is CANCELED, `exception` follows, and no auto of this transition."""
    armed: list[bool] = [True]

    def once(transition: Transition) -> object:
        return raises(transition) if armed and armed.pop() else None

    lab = Lab({"a": PLAIN, "auto": AUTO}, {Slot(Kind.ANY_ENTERED): once})

    result = lab.machine.add("a")

    assert isinstance(result, Canceled)
    assert lab.writer.seen == ["+a!", "+exception", "a+auto"]
    assert set(lab.machine.names) == {"a", "auto", "exception"}
    assert not any("rolled back" in heard for heard in lab.keeper.heard)


def test_an_error_in_the_second_binding_takes_back_what_the_first_was_told() -> None:
    """M3, M1: the bindings of one state are one: if the last of them fails, the state leaves."""
    lab = Lab({"a": PLAIN, "b": PLAIN})
    lab.machine.bind(table({entered("a"): raises}))

    lab.machine.add("a", "b")

    assert lab.machine.names == ("exception",)
    assert finals(lab)[0] == "a.entered"
    assert "b.entered" not in lab.calls


def test_an_error_in_exited_does_not_stop_the_other_bindings() -> None:
    """M3, M1: "the other final handlers run": those of further bindings for the same state, too."""
    calls: list[str] = []
    machine = Machine(Schema({"a": PLAIN}))
    machine.bind(table({exited("a"): raises}))
    machine.bind(table({exited("a"): lambda t: calls.append("second")}))
    machine.add("a")

    machine.remove("a")

    assert calls == ["second"]


def test_the_shell_is_told_in_order() -> None:
    """M3, M6, M7: scopes of what left end before final handlers; of what was rolled back before waits are looked at."""
    lab = Lab(
        {"a": PLAIN, "b": PLAIN}, {entered("b"): raises, exited("a"): lambda t: lab.keeper.heard.append("exited")}
    )
    lab.machine.add("a")
    lab.keeper.heard.clear()

    lab.machine.set("b")

    assert lab.keeper.heard == ["moved", "exited", "rolled back b", "settled", "moved", "settled", "queue ended"]


# -- for exception -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Kind.MAY_ENTER, Kind.ENTERED])
@pytest.mark.parametrize("state", ["s", "exception"])
def test_an_error_while_an_error_is_reported(kind: Kind, state: str) -> None:
    """M3, M8: no further exception is made, nothing hangs, and the error hook gets both."""
    second = Oops("second")

    def fail(transition: Transition) -> object:
        raise second

    lab = Lab({"s": PLAIN}, {Slot(kind, state): fail})
    first = ValueError("first")

    result = lab.machine.fail(first, "s")

    assert isinstance(result, Canceled)
    assert result.error is second
    assert lab.machine.error is first
    assert lab.keeper.errors == [first, second]
    assert lab.writer.seen == ["+s,exception!"]
    assert lab.machine.add("s") or kind is Kind.MAY_ENTER or state == "s"


def test_an_error_in_an_add_of_exception_goes_to_the_hook() -> None:
    """M3: also when the program itself calls `exception`."""
    lab = Lab({"s": PLAIN}, {entered("exception"): raises})

    lab.machine.add("exception")

    assert lab.writer.seen == ["+exception!"]
    assert [type(error) for error in lab.keeper.errors] == [Oops]
    assert lab.machine.error is None


def test_an_error_that_is_vetoed_is_held() -> None:
    """M8: refused or vetoed, `machine.error` holds it all the same and the error hook gets it."""
    lab = Lab({"s": PLAIN}, {Slot(Kind.MAY_ENTER, "exception"): vetoes})
    error = ValueError()

    assert isinstance(lab.machine.fail(error), Canceled)
    assert lab.machine.error is error
    assert lab.keeper.errors == [error]


def test_an_error_that_the_relations_refuse_is_held() -> None:
    """M8: so it is with the state that it is reported for, whose requirement is not met."""
    lab = Lab({"s": Definition(require=["online"]), "online": PLAIN})
    error = ValueError()

    assert isinstance(lab.machine.fail(error, "s"), Canceled)
    assert lab.machine.names == ()
    assert lab.machine.error is error
    assert lab.keeper.errors == [error]


def test_an_error_for_a_state() -> None:
    """M8: `fail(error, S)` calls [S, exception], in this order."""
    lab = Lab({"s": PLAIN})

    assert lab.machine.fail(ValueError(), "s")
    assert lab.writer.seen == ["+s,exception"]
    assert lab.machine.names == ("s", "exception")


def test_only_an_error_can_be_reported() -> None:
    """M8: `Cancelled` and other interrupts are never an error."""
    lab = Lab({"s": PLAIN})

    with pytest.raises(TypeError, match="Exception"):
        lab.machine.fail(KeyboardInterrupt())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert lab.machine.error is None


def test_each_error_is_an_activation_of_exception() -> None:
    """M8: it is Multi: every error ticks it by two, and the last is `machine.error`."""
    lab = Lab({"s": PLAIN})
    errors = [ValueError(number) for number in range(3)]

    for error in errors:
        lab.machine.fail(error)

    assert lab.machine.tick("exception") == 5
    assert lab.machine.error is errors[-1]
    assert lab.calls.count("exception.entered") == 3


@pytest.mark.parametrize("end", ["remove", "set", "relation"])
def test_an_error_ends_with_exception_however_that_ends(end: str) -> None:
    """M8: `machine.error` is cleared when `exception` ends."""
    lab = Lab({"calm": Definition(remove=["exception"]), "s": PLAIN})
    lab.machine.fail(ValueError())
    ends = {
        "remove": lambda: lab.machine.remove("exception"),
        "set": lambda: lab.machine.set("s"),
        "relation": lambda: lab.machine.add("calm"),
    }

    ends[end]()

    assert "exception" not in lab.machine
    assert lab.machine.error is None


def test_an_error_does_not_end_by_a_dry_run_or_a_refusal() -> None:
    """M8: it ends when `exception` does, and not when that was only asked for."""
    lab = Lab({"s": PLAIN}, {Slot(Kind.MAY_EXIT, "exception"): lambda t: bool(t.dry)})
    error = ValueError()
    lab.machine.fail(error)

    assert lab.machine.can_remove("exception")
    assert lab.machine.error is error
    assert isinstance(lab.machine.remove("exception"), Canceled)
    assert lab.machine.error is error


def test_an_error_that_waits_outlives_the_end_of_exception() -> None:
    """M8: a queued `fail` is the machine's error once its own transition is over, whatever ended `exception` before."""
    errors = [ValueError(number) for number in range(2)]

    def queue(transition: Transition) -> object:
        lab.machine.remove("exception")
        lab.machine.fail(errors[1])
        return None

    lab = Lab({"s": PLAIN}, {entered("s"): queue})
    lab.machine.fail(errors[0])

    lab.machine.add("s")

    assert lab.machine.tick("exception") == 3
    assert lab.machine.error is errors[1]


def test_an_error_within_is_the_machines_at_once() -> None:
    """M8: `machine.error` is set by `fail` itself, though `exception` comes later."""
    seen: list[BaseException | None] = []
    error = ValueError()

    def report(transition: Transition) -> object:
        result = lab.machine.fail(error)
        seen.append(lab.machine.error)
        assert isinstance(result, Queued)
        assert "exception" not in lab.machine
        return None

    lab = Lab({"s": PLAIN}, {entered("s"): report})

    assert lab.machine.add("s")
    assert seen == [error]
    assert lab.machine.names[0] == "exception"


def test_a_schema_may_define_its_exception() -> None:
    """M8: with relations, or without Multi: then a second error is a transition that changes nothing."""
    lab = Lab({"exception": Definition(remove=["busy"]), "busy": PLAIN})
    lab.machine.add("busy")
    errors = [ValueError(), KeyError()]

    for error in errors:
        assert lab.machine.fail(error)

    assert lab.machine.names == ("exception",)
    assert lab.machine.tick("exception") == 1
    assert lab.machine.error is errors[-1]


def test_an_error_for_a_state_that_evolves_away_is_told() -> None:
    """M8, M10: a queued `fail(error, S)` is CANCELED when S is gone, and the error hook gets the error."""
    keeper, writer = Keeper(), Writer()
    machine = Machine(Schema({"s": PLAIN, "a": PLAIN}))
    machine.set_shell(keeper)
    machine.attach(writer)
    error = ValueError()
    results: list[Result] = []

    def evolve(transition: Transition) -> object:
        machine.evolve(Schema({"a": PLAIN}))
        results.append(machine.fail(error, "s"))
        return None

    machine.bind(table({entered("a"): evolve}))
    machine.add("a")

    (result,) = results
    assert isinstance(result, Queued)
    assert isinstance(result.ticket.result, Canceled)
    assert keeper.errors == [error]


def test_an_error_on_a_disposed_machine_goes_to_the_hook() -> None:
    """M5, M8: nothing is swallowed."""
    lab = Lab({"s": PLAIN})
    lab.machine.dispose()
    error = ValueError()

    assert isinstance(lab.machine.fail(error), Canceled)
    assert lab.keeper.errors == [error]


def test_what_waited_when_a_machine_was_disposed_is_told() -> None:
    """M5, M8: a queued error, too, goes to the error hook."""
    error = ValueError()

    def dispose(transition: Transition) -> object:
        lab.machine.fail(error)
        lab.machine.dispose()
        return None

    lab = Lab({"s": PLAIN}, {entered("s"): dispose})

    assert lab.machine.add("s") is EXECUTED
    assert lab.keeper.errors == [error]
