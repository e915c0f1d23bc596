"""M10: what contradicts itself or is not there is refused when a class of states is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from histrio_kernel.machine.core.errors import SchemaError, UnknownState
from histrio_kernel.machine.states.family import States, schema_of
from histrio_kernel.machine.states.state import State, exclusive, group


class Line(States):
    """One connection."""

    up = State(tags=["open"], remove=["down"])
    down = State(auto=True)
    err_line = State(remove=[up])
    either = group(up, down)


class Phone(Line):
    """A line that rings."""

    ringing = State(require=[Line.up])


def _both_inherited() -> object:
    class Late(Phone):
        exclusive(Line.up, Phone.ringing)

    return Late


def _unknown() -> object:
    class Typo(States):
        fetched = State()
        idle = State(remove=["fetchd"])

    return Typo


def _requires_what_it_removes() -> object:
    class Never(States):
        a = State()
        b = State(require=[a], remove=[a])

    return Never


def _adds_what_it_removes() -> object:
    class Never(States):
        a = State()
        b = State(add=[a], remove=[a])

    return Never


def _requires_what_it_excludes() -> object:
    class Never(States):
        a = State()
        b = State(require=[a])
        exclusive(a, b)

    return Never


def _error_without_exception() -> object:
    class Never(States):
        err_net = State(remove=["exception"])

    return Never


def _inherited_contradiction() -> object:
    class Never(Phone):
        ringing = State(require=[Line.up], remove=[Line.up])

    return Never


def _not_named() -> object:
    class Never(States):
        a = State(require=[State()])

    return Never


def _of_another_class() -> object:
    class Never(States):
        a = State(require=[Line.up])

    return Never


def _text_as_list() -> object:
    class Never(States):
        a = State()
        b = State(require="a")

    return Never


def _state_as_list() -> object:
    class Never(States):
        a = State()
        b = State(require=a)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]

    return Never


def _number_in_a_relation() -> object:
    class Never(States):
        a = State(add=[3])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]

    return Never


def _text_as_tags() -> object:
    return State(tags="open")


def _strange_multi() -> object:
    return State(multi="keeep")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


def _exclusive_text() -> object:
    exclusive("a", "b")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    return None


def _group_of_text() -> object:
    return group("a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


REFUSED: Final[dict[Callable[[], object], str]] = {
    _both_inherited: "both inherited",
    _unknown: "Typo.*'idle' has 'fetchd' in its 'remove': did you mean 'fetched'",
    _requires_what_it_removes: "Never.*'b' has 'a' both in its 'require'",
    _adds_what_it_removes: "Never.*'b' has 'a' both in its 'add'",
    _requires_what_it_excludes: "Never.*'b' has 'a' both in its 'require'",
    _error_without_exception: "Never.*'err_net' has 'exception' both in its 'require'",
    _inherited_contradiction: "Never.*'ringing' has 'up' both in its 'require'",
    _not_named: "Never.*no attribute of any class",
    _of_another_class: "Never.*'a' has 'up' in its 'require'",
    _text_as_list: r"write require=\['a'\]",
    _state_as_list: r"write require=\[",
    _number_in_a_relation: "'add' takes states.*got 3",
    _text_as_tags: r"write tags=\['open'\]",
    _strange_multi: "'keeep'.*must be True, False or 'keep'",
    _exclusive_text: "'exclusive' takes states, got 'a'",
    _group_of_text: "'group' takes states.*got 'a'",
}


@pytest.mark.parametrize(("make", "words"), REFUSED.items(), ids=[make.__name__[1:] for make in REFUSED])
def test_a_class_that_contradicts_itself_does_not_come_to_be(make: Callable[[], object], words: str) -> None:
    """M10: a `SchemaError` at class creation, which names the class, the state, and the nearest name."""
    with pytest.raises(SchemaError, match=words):
        make()


def test_an_unknown_name_of_a_class() -> None:
    """M10: the nearest name is suggested."""
    with pytest.raises(UnknownState, match="Line has no state 'upp': did you mean 'up'"):
        Line["upp"]


def test_a_machine_needs_a_schema() -> None:
    """M10: an instance, or another class, is refused with an example of what is right."""
    with pytest.raises(TypeError, match="class Download"):
        schema_of(int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert schema_of(Line) is Line.schema()
    assert schema_of(Line.schema()) is Line.schema()
