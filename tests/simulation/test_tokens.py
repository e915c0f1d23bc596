"""D3: a failing schedule is a token of a few characters, which replays it, and which is refused if it cannot."""

import string
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from outcome import Error
from tests.effort import count
from tests.simulation.toys import TOYS, Program

from histrio.testing import BadToken, World, explore, replay
from histrio.testing.running import run_once
from histrio_kernel.errors import HistrioError
from histrio_kernel.simulation import tokens
from histrio_kernel.simulation.choices import Departure
from histrio_kernel.simulation.tokens import Schedule, read_token, versions, write_token

ALPHABET: Final = string.ascii_letters + string.digits + "-_"
TOKEN: Final = write_token(Schedule(7, (Departure(30, 1, 3), Departure(41, 2, 4)), (5,)))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Any schedule that a run may have had."""
    places = sorted(draw(st.sets(st.integers(0, 100_000), max_size=20)))
    ways = [draw(st.integers(2, 0xFFFF)) for _ in places]
    departs = tuple(Departure(at, draw(st.integers(1, of - 1)), of) for at, of in zip(places, ways, strict=True))
    late = tuple(draw(st.lists(st.integers(0, 2**32 - 1), max_size=3)))
    return Schedule(draw(st.integers(0, 2**32 - 1)), departs, late)


@given(schedules())
def test_a_token_is_read_as_it_was_written(schedule: Schedule) -> None:
    """D3: with all that a schedule has, also of how many ways each choice was."""
    found = read_token(write_token(schedule))

    assert found == schedule
    assert [one.ways for one in found.departures] == [one.ways for one in schedule.departures]
    assert read_token(f"  {write_token(schedule)}\n") == schedule


def test_four_departures_take_forty_characters() -> None:
    """D3: with the seed of a run of the first million, and choices of up to sixteen ways, far from each other."""
    departs = tuple(Departure(at, 15, 16) for at in (100, 227, 354, 481))

    assert len(write_token(Schedule(999_999, departs))) <= 40


@pytest.mark.parametrize("at", range(len(TOKEN)))
def test_no_slip_of_the_hand_is_taken_for_a_token(at: int) -> None:
    """D3: whichever character is another one, is left out, or comes twice: it is refused, and the text says what to do."""
    others = [TOKEN[:at] + other + TOKEN[at + 1 :] for other in ALPHABET + ".=+/ é" if other != TOKEN[at]]
    for damaged in (*others, TOKEN[:at] + TOKEN[at + 1 :], TOKEN[:at] + TOKEN[at] + TOKEN[at:], TOKEN[:at]):
        if damaged.strip() == TOKEN:
            continue
        with pytest.raises(BadToken, match=r"Copy it again, whole|is no token of this Histrio"):
            read_token(damaged)


@pytest.mark.parametrize("foreign", ["", "sim", "sim2.AAAA", "1", "QVhpb20=", "sim1", "SIM1.CwAjAAEAAABqzQ"])
def test_another_format_is_refused(foreign: str) -> None:
    """D3: the text shows how one of ours begins, and what to do."""
    with pytest.raises(BadToken, match=r"one begins with 'sim1\.'\. Explore again to get one"):
        read_token(foreign)


@pytest.mark.parametrize("place", range(5))
def test_other_versions_are_refused(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """D3: a token of another Python, Trio or Histrio names both sides, and says where to replay it."""
    there = list(versions())
    there[place] += 1
    monkeypatch.setattr(tokens, "versions", lambda: tuple(there))
    token = write_token(Schedule(1))
    monkeypatch.undo()

    with pytest.raises(BadToken, match="Replay it there, or explore again here") as caught:
        read_token(token)
    assert f"this is Python 3.{versions()[0]}, Trio" in str(caught.value)
    assert str(there[place]) in str(caught.value)


@pytest.mark.parametrize("toy", TOYS, ids=lambda toy: toy.__name__)
def test_a_replay_is_the_failure_again_and_again(toy: Program) -> None:
    """D3: the error that the token stands for, each time, with one trace."""
    report = explore(toy)
    assert report.token
    schedule = read_token(report.token)
    traces: set[bytes] = set()
    for _ in range(count("toy_replays")):
        ran = run_once(toy, schedule.walk(), schedule.seed)
        assert isinstance(ran.outcome, Error)
        assert str(ran.outcome.error) == str(report.error)
        traces.add(ran.trace)

    assert len(traces) == 1
    with pytest.raises(HistrioError if isinstance(report.error, HistrioError) else AssertionError):
        replay(toy, report.token)


# -- a changed program --------------------------------------------------------------------------------------------------


def racers(*steps: int) -> Callable[[World], Awaitable[None]]:
    """Each takes so many steps; the last one must not be the first at its end."""

    async def program(world: World) -> None:
        ended: list[int] = []

        async def racer(number: int) -> None:
            for _ in range(steps[number]):
                await trio.lowlevel.checkpoint()
            ended.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(len(steps)):
                nursery.start_soon(racer, number, name=f"racer {number}")
        assert ended[0] != len(steps) - 1, "the last one was the first"

    return program


def departing_token(program: Callable[[World], Awaitable[None]]) -> str:
    """A token that tells departures, not who is late."""
    report = explore(program, strategy="delay")
    assert report.token
    assert read_token(report.token).departures
    return report.token


def test_the_program_itself_does_not_diverge() -> None:
    """D3: it fails as it did."""
    with pytest.raises(AssertionError, match="the last one was the first"):
        replay(racers(1, 1), departing_token(racers(1, 1)))


@pytest.mark.parametrize("steps", [(1, 1, 1), (1, 2, 3, 4), (1,), ()], ids=str)
def test_a_changed_program_is_told_where_it_diverges(steps: tuple[int, ...]) -> None:
    """D3: the text names the choice, what the token expects there, and how this run ended."""
    token = departing_token(racers(1, 1))

    with pytest.raises(BadToken, match="the program has changed") as caught:
        replay(racers(*steps) if steps else nothing, token)
    assert any(f"choice {one.at + 1}" in str(caught.value) for one in read_token(token).departures)
    assert "Explore again" in str(caught.value)


async def nothing(world: World) -> None:
    """A program without a choice."""
