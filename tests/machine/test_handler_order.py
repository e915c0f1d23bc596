"""M1, M2: exactly which handlers a transition calls, and in which order; with every possible handler bound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import pytest
from tests.machine.lab import Deed, vetoes

from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued, Result
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition

PLAIN: Final = Definition()
ABCD: Final = dict.fromkeys("abcd", PLAIN)
SINGLE: Final = (Kind.MAY_ENTER, Kind.MAY_EXIT, Kind.STAYS, Kind.ENTERED, Kind.EXITED)


class Everything:
    """A machine with all handlers that there can be, every one of which notes its call."""

    def __init__(self, rows: Mapping[str, Definition], *active: str, **deeds: Deed) -> None:
        self.calls: Final[list[str]] = []
        self.machine: Final = Machine(Schema(rows))
        self.machine.set(*active)
        names = self.machine.schema.names
        slots = [Slot(kind, name) for kind in SINGLE for name in names]
        slots += [Slot(Kind.BESIDE, b, a) for a in names for b in names if a != b]
        slots += [Slot(Kind.ANY_MAY_ENTER), Slot(Kind.ANY_ENTERED)]
        self.machine.bind(HandlerTable(self.handler(slot, deeds.get(spell(slot))) for slot in slots))

    def handler(self, slot: Slot, deed: Deed | None) -> Handler:
        """One that notes its call, and may do a deed."""

        def call(owner: object, transition: Transition) -> object:
            self.calls.append(spell(slot))
            return None if deed is None else deed(transition)

        return Handler(slot, call)


def spell(slot: Slot) -> str:
    """As short as it can be: `a_enters`, `a_leaves`, `a_stays`, `a_b`, `a_in`, `a_out`, `may_any`, `any`."""
    short = {
        Kind.MAY_ENTER: f"{slot.state}_enters",
        Kind.MAY_EXIT: f"{slot.state}_leaves",
        Kind.STAYS: f"{slot.state}_stays",
        Kind.BESIDE: f"{slot.first}_{slot.state}",
        Kind.ENTERED: f"{slot.state}_in",
        Kind.EXITED: f"{slot.state}_out",
        Kind.ANY_MAY_ENTER: "may_any",
        Kind.ANY_ENTERED: "any",
    }
    return short[slot.kind]


Do = Callable[[Machine], Result]
SET_A: Final = "c_leaves d_leaves a_enters c_a d_a may_any c_out d_out a_in any"
AUTO_C: Final = "c_enters d_enters a_stays a_c a_d may_any c_in d_in any"
ORDERS: Final[dict[str, tuple[Mapping[str, Definition], tuple[str, ...], Do, str]]] = {
    "one to one": (ABCD, ("a",), lambda m: m.set("c"), "a_leaves c_enters a_c may_any a_out c_in any"),
    "two to one": (
        ABCD,
        ("a", "b"),
        lambda m: m.set("c"),
        "a_leaves b_leaves c_enters a_c b_c may_any a_out b_out c_in any",
    ),
    "one to two": (
        ABCD,
        ("a",),
        lambda m: m.set("b", "c"),
        "a_leaves b_enters c_enters a_b a_c may_any a_out b_in c_in any",
    ),
    "two to two, as called": (
        ABCD,
        ("a", "b"),
        lambda m: m.set("d", "c"),
        "a_leaves b_leaves d_enters c_enters a_d a_c b_d b_c may_any a_out b_out d_in c_in any",
    ),
    "to what is active": (ABCD, ("a",), lambda m: m.set("a"), "a_stays may_any any"),
    "an add": (ABCD, ("a",), lambda m: m.add("b"), "b_enters a_stays a_b may_any b_in any"),
    "an add of what is active": (ABCD, ("a", "b"), lambda m: m.add("a"), "a_stays b_stays a_b b_a may_any any"),
    "all that stay are asked, called or not": (
        ABCD,
        ("a", "b"),
        lambda m: m.set("b", "c"),
        "a_leaves c_enters b_stays a_b a_c b_c may_any a_out c_in any",
    ),
    "a remove asks nobody who stays, but pairs": (
        ABCD,
        ("a", "b", "c"),
        lambda m: m.remove("a"),
        "a_leaves a_b a_c b_c c_b may_any a_out any",
    ),
    "a remove of what is inactive": (ABCD, ("a",), lambda m: m.remove("b"), "may_any any"),
    "a Multi again enters and stays": (
        {**ABCD, "m": Definition(multi=True)},
        ("m",),
        lambda m: m.add("m"),
        "m_enters m_stays may_any m_in any",
    ),
    "after orders what enters": (
        {**ABCD, "c": Definition(after=["d"])},
        ("a",),
        lambda m: m.set("c", "d"),
        "a_leaves d_enters c_enters a_d a_c may_any a_out d_in c_in any",
    ),
    "after orders what leaves": (
        {**ABCD, "a": Definition(after=["b"])},
        ("a", "b"),
        lambda m: m.set("c"),
        "b_leaves a_leaves c_enters b_c a_c may_any b_out a_out c_in any",
    ),
    "what leaves is ordered by itself": (
        {"a": Definition(after=["c"]), "b": Definition(after=["a"]), "c": Definition(after=["b"])},
        ("b", "a", "c"),
        lambda m: m.remove("a", "b"),
        "a_leaves b_leaves b_c a_c may_any a_out b_out any",
    ),
    "requirements order what enters": (
        {**ABCD, "a": Definition(require=["d"]), "d": Definition(require=["b"])},
        (),
        lambda m: m.add("a", "b", "c", "d"),
        "c_enters b_enters d_enters a_enters may_any c_in b_in d_in a_in any",
    ),
    "nothing": (ABCD, (), lambda m: m.add(), "may_any any"),
    "what the relations refuse": ({**ABCD, "a": Definition(require=["b"])}, (), lambda m: m.add("a"), ""),
    "auto states are a transition of their own": (
        {**ABCD, "c": Definition(auto=True, add=["d"])},
        ("c",),
        lambda m: m.set("a"),
        f"{SET_A} {AUTO_C}",
    ),
}


@pytest.mark.parametrize(("rows", "active", "mutate", "order"), ORDERS.values(), ids=ORDERS)
def test_the_order_of_handlers(rows: Mapping[str, Definition], active: tuple[str, ...], mutate: Do, order: str) -> None:
    """M1, M2: leaves, enters, stays, pairs, any; then out, in, any: each once."""
    lab = Everything(rows, *active)

    mutate(lab.machine)

    assert " ".join(lab.calls) == order


def test_a_pair_is_called_for_what_is_active_and_what_will_be() -> None:
    """M1: to add `b` beside `a` calls `a.beside(b)`, and not the other way round."""
    lab = Everything(ABCD, "a")

    lab.machine.add("b")

    assert "a_b" in lab.calls
    assert "b_a" not in lab.calls


VETOES: Final = ("a_leaves", "c_enters", "b_stays", "a_c", "b_c", "may_any")


@pytest.mark.parametrize("at", VETOES)
def test_a_veto_stops_everything(at: str) -> None:
    """M1: nobody is asked behind it, nobody is told, and nothing has changed."""
    lab = Everything(ABCD, "a", "b", **{at: vetoes})

    result = lab.machine.set("b", "c")

    assert isinstance(result, Canceled)
    assert lab.calls[-1] == at
    assert lab.calls.count(at) == 1
    assert lab.machine.names == ("a", "b")
    assert lab.machine.time == (1, 1, 0, 0, 0)


def test_a_remove_may_be_vetoed() -> None:
    """M1: by `may_exit`, by a pair that stays, and by `any_state`."""
    for at in ("a_leaves", "b_c", "may_any"):
        lab = Everything(ABCD, "a", "b", "c", **{at: vetoes})
        assert isinstance(lab.machine.remove("a"), Canceled)
        assert "a" in lab.machine


def test_negotiation_sees_the_old_states_and_finals_the_new_ones() -> None:
    """M1, M9: so does the transition tell what it will be, and what it was."""
    seen: dict[str, tuple[str, ...]] = {}

    def look(name: str) -> Deed:
        def deed(transition: Transition) -> object:
            spelled = transition.schema.spell
            assert spelled(transition.called) == "d, c"
            assert spelled(transition.target) == "d, c"
            assert spelled(transition.exits) == "a, b"
            assert spelled(transition.enters) == "d"
            assert transition is lab.machine.transition
            assert transition.result is None
            assert not transition.dry
            seen[name] = lab.machine.names
            assert transition.moved == (name == "d_in")
            return None

        return deed

    lab = Everything(ABCD, "a", "b", "c", d_enters=look("d_enters"), d_in=look("d_in"))

    lab.machine.set("d", "c")

    assert seen == {"d_enters": ("a", "b", "c"), "d_in": ("d", "c")}
    assert lab.machine.transition is None


def test_handlers_get_the_arguments() -> None:
    """M1: all handlers of a mutation get the same."""
    seen: list[object] = []

    def look(transition: Transition) -> object:
        seen.append(transition.args)
        return None

    lab = Everything(ABCD, "a", a_leaves=look, b_enters=look, b_in=look, a_out=look)

    lab.machine.set("b", args="these")

    assert seen == ["these"] * 4


def test_an_add_within_is_executed_afterwards() -> None:
    """M5: it is Queued in the handler; then it is a transition of its own, in which each handler is called once."""
    results: list[Result] = []

    def add(transition: Transition) -> object:
        results.append(lab.machine.add("c"))
        return None

    lab = Everything(ABCD, "a", b_enters=add)

    assert lab.machine.add("b") is EXECUTED
    first = "b_enters a_stays a_b may_any b_in any"
    second = "c_enters b_stays a_stays b_c b_a a_c a_b may_any c_in any"
    assert " ".join(lab.calls) == f"{first} {second}"
    assert isinstance(results[0], Queued)
    assert results[0].ticket.result is EXECUTED
    assert set(lab.machine.names) == {"a", "b", "c"}
