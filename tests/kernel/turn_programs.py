"""Programs for a few actors as data: what handlers do, what happens from outside and when, under which schedule.

Everything that was a trap in an earlier prototype can be drawn: cancellation from inside, from outside and by `kill`,
while waiting, ready or holding the turn; under a shield; tells that yield; visitors; selects; full inboxes.
"""

from __future__ import annotations

import copy
from functools import cache

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


@attrs.frozen
class Await:
    """Await the promise of that number, which somebody settles later, or has settled."""

    promise: int


@attrs.frozen
class Settle:
    """Settle the promise of that number."""

    promise: int
    fails: bool


@attrs.frozen
class Io:
    """Await an operation that takes so long, and cleans up for so long; it may be shielded, and it may fail."""

    ticks: int
    cleanup_ticks: int
    shielded: bool
    fails: bool


@attrs.frozen
class Sleep:
    """A plain await of Trio's. 0: a checkpoint."""

    ticks: int


@attrs.frozen
class Send:
    """Tell or ask an actor something; what is asked is awaited."""

    actor: int
    letter: Letter
    asks: bool


@attrs.frozen
class Within:
    """Do it in a cancel scope with a deadline, then clean up in a `finally` inside that scope."""

    ticks: int
    shield: bool
    body: Script
    cleanup: Script


@attrs.frozen
class Cancel:
    """Cancel the cancel scope of that number, of whomever it is."""

    scope: int


@attrs.frozen
class Nursery:
    """Do it with child tasks beside; leaving the nursery waits for them."""

    children: tuple[Script, ...]
    body: Script


@attrs.frozen
class Visit:
    """Work beside the handlers that enters the turn; awaited, or left in the background."""

    script: Script
    awaited: bool


@attrs.frozen
class Select:
    """Wait so long for a letter of that colour."""

    colour: int
    ticks: int


@attrs.frozen
class Spawn:
    """Spawn a child that takes so long to start."""

    ticks: int


@attrs.frozen
class Fail:
    """Raise an error that is no `Refusal`."""


@attrs.frozen
class Kill:
    """Kill an actor."""

    actor: int


@attrs.frozen
class Stop:
    """Stop an actor in order."""

    actor: int


Op = Await | Settle | Io | Sleep | Send | Within | Cancel | Nursery | Visit | Select | Spawn | Fail | Kill | Stop
Script = tuple[Op, ...]


@attrs.frozen
class Letter:
    """A message: its handler does the script."""

    colour: int
    script: Script


@attrs.frozen
class Kind:
    """The settings of an actor."""

    serial: bool
    in_flight_max: int
    inbox_max: int
    io_max: int


@attrs.frozen
class Program:
    """Everything that is drawn of one run."""

    actors: tuple[Kind, ...]
    sends: tuple[tuple[int, Op], ...]  # what happens from outside first: after so many ticks, do this
    steps: tuple[tuple[int, Op], ...]  # and then
    end: Op | None
    cancel_ticks: int | None  # when the scope around the whole system is cancelled
    schedule: int
    pace: int
    heard: bool
    held_turn_s: float


TICKS = st.integers(0, 6)
PROMISES = st.integers(0, 3)
SCOPES = st.integers(0, 5)
ACTORS = st.integers(0, 1)


USUAL: list[SearchStrategy[Op]] = [
    st.builds(Await, PROMISES),
    st.builds(Io, TICKS, st.integers(0, 3), st.sampled_from((False, False, True)), st.just(False)),
    st.builds(Settle, PROMISES, st.just(False)),
    st.builds(Cancel, SCOPES),
    st.builds(Select, st.integers(0, 1), st.integers(1, 6)),
    st.builds(Sleep, st.integers(0, 2)),
    st.builds(Spawn, st.integers(0, 2)),
]
VIOLENT = st.one_of(
    st.builds(Fail),
    st.builds(Kill, ACTORS),
    st.builds(Stop, ACTORS),
    st.builds(Io, TICKS, TICKS, st.booleans(), st.just(True)),
    st.builds(Settle, PROMISES, st.just(True)),
)


@st.composite
def leaves(draw: st.DrawFn) -> Op:
    """What holds nothing else. What ends an actor is rare: afterwards nothing happens any more."""
    return draw(VIOLENT if draw(st.integers(0, 49)) == 49 else st.one_of(USUAL))


@cache
def ops(depth: int) -> SearchStrategy[Op]:
    """One thing to do, with at most so many levels inside it."""
    if not depth:
        return leaves()
    inner = scripts(depth - 1)
    compound: list[SearchStrategy[Op]] = [
        st.builds(Within, st.integers(1, 6), st.booleans(), inner, inner),
        st.builds(Nursery, st.lists(inner, max_size=2).map(tuple), inner),
        st.builds(Visit, inner, st.booleans()),
        st.builds(Send, ACTORS, letters(depth - 1), st.booleans()),
    ]
    return st.one_of(leaves(), *compound)


@cache
def scripts(depth: int) -> SearchStrategy[Script]:
    """Some things to do, one after the other."""
    return st.lists(ops(depth), min_size=1, max_size=3).map(tuple)


def letters(depth: int) -> SearchStrategy[Letter]:
    """A message with its script."""
    return st.builds(Letter, st.integers(0, 1), scripts(depth))


def steps(*choices: SearchStrategy[Op], most: int) -> SearchStrategy[tuple[tuple[int, Op], ...]]:
    """What happens from outside, each some ticks after the one before."""
    return st.lists(st.tuples(st.integers(0, 2), st.one_of(choices)), min_size=1, max_size=most).map(tuple)


MOST_TO_ONE = st.sampled_from((0, 0, 0, 1))  # so that its handlers meet
SENDS = st.builds(Send, MOST_TO_ONE, letters(2), st.booleans())
KINDS = st.builds(
    Kind,
    serial=st.sampled_from((False, False, False, True)),
    in_flight_max=st.integers(1, 4),
    inbox_max=st.integers(1, 3),
    io_max=st.integers(1, 3),
)
_PROGRAMS = st.builds(
    Program,
    actors=st.tuples(KINDS, KINDS),
    sends=st.lists(st.tuples(st.sampled_from((0, 0, 1)), SENDS), min_size=3, max_size=6).map(tuple),
    steps=steps(
        SENDS,
        SENDS,
        st.builds(Within, st.integers(1, 6), st.just(False), scripts(1), st.just(())),
        st.builds(Settle, PROMISES, st.booleans()),
        st.builds(Settle, PROMISES, st.booleans()),
        st.builds(Cancel, SCOPES),
        most=8,
    ),
    end=st.sampled_from((None, None, Kill(0), Stop(0))),
    cancel_ticks=st.sampled_from((None, None, None, None, 9)),
    schedule=st.integers(0, 2**32 - 1),
    pace=st.integers(1, 64),
    heard=st.booleans(),
    held_turn_s=st.sampled_from((1.0, 1_000.0)),
)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A program, copied: Hypothesis prints what `builds` made as the calls that it made, which takes ages if nested."""
    return copy.deepcopy(draw(_PROGRAMS))
