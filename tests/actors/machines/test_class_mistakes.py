"""M1, M2, M10: what is wrong with the states of a class is an error when the class is made, which says what to write."""

import pytest

import histrio
from histrio import SchemaError, State, Transition


class Kettle(histrio.States):
    """Of a kettle."""

    hot = State()


def test_handlers_without_states_are_refused() -> None:
    """M1: an actor without a machine has no handlers of states: they would never be called."""
    with pytest.raises(SchemaError, match=r"Forgetful.sing handles <State Kettle.hot>.*states="):

        class Forgetful(histrio.Actor[str]):  # pyright: ignore[reportUnusedClass]
            @Kettle.hot.entered
            def sing(self, t: Transition[None]) -> None: ...


def test_handlers_of_any_state_without_states_are_refused() -> None:
    """M1: the same holds for `any_state`."""
    with pytest.raises(SchemaError, match=r"handles 'any_state.entered'"):

        class Forgetful(histrio.Actor[str]):  # pyright: ignore[reportUnusedClass]
            @histrio.any_state.entered
            def see(self, t: Transition[object]) -> None: ...


def test_a_mark_with_empty_brackets_is_refused() -> None:
    """M1: `entered()` marks nothing, and says so."""
    with pytest.raises(SchemaError, match="leave out the brackets"):
        Kettle.hot.entered()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


def test_arguments_have_a_class() -> None:
    """M10: what cannot make arguments is refused where the state is written."""
    with pytest.raises(SchemaError, match="as in State"):
        State("fast")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
