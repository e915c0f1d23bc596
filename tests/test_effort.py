"""The table of counts answers by effort, and tells what a run reduced."""

import attrs
import pytest

from tests.effort import ROWS, Effort, Row, count, effort, reduced


@pytest.fixture(autouse=True)
def asked_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests ask for is not what the run reduced."""
    monkeypatch.setattr("tests.effort._asked_for", {})


@pytest.mark.parametrize(("word", "expected"), [("quick", 3), ("", 3), ("prove", 20), ("nightly", 200)])
def test_a_count_follows_the_effort(monkeypatch: pytest.MonkeyPatch, word: str, expected: int) -> None:
    """The environment variable EFFORT chooses the column; unset or empty it is quick."""
    monkeypatch.setenv("EFFORT", word)

    assert expected == count("kill9_rounds")


def test_an_unknown_effort_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelled effort is an error that names the efforts there are."""
    monkeypatch.setenv("EFFORT", "profe")

    with pytest.raises(ValueError, match=r"'profe'.*quick, prove, nightly"):
        effort()


def test_an_unknown_count_is_refused() -> None:
    """A count without a row is an error that says where to add one."""
    with pytest.raises(KeyError, match="add a row to TABLE"):
        count("nothing of the kind")


def test_a_greater_effort_never_tries_less() -> None:
    """A row whose columns fall is refused."""
    with pytest.raises(AssertionError):
        Row("backwards", 10, 5, 20, "what nobody wants")


def test_a_quick_run_tells_what_it_reduced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that was asked for and is smaller than in a full run is told; in a full run nothing is."""
    monkeypatch.setenv("EFFORT", "quick")
    count("kill9_rounds")
    count("kv_writers")
    quick = reduced()
    monkeypatch.setenv("EFFORT", Effort.PROVE.value)

    assert any(line.startswith("kill9_rounds: 3 of 20 ") for line in quick)
    assert not any(line.startswith("kv_writers") for line in quick)
    assert reduced() == []


def test_rows_are_frozen() -> None:
    """No test changes the table for the others."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        ROWS["kill9_rounds"].quick = 0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
