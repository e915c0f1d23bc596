"""M10: pipes that would close a circle, or do not say clearly what they are to do, are refused when they are made."""

import itertools
from collections.abc import Callable
from typing import Final, TypeAlias

import pytest
from tests.machine.around.small import machine_of, when

from histrio_kernel.machine.around.flows import CHAIN_MAX
from histrio_kernel.machine.around.pipes import (
    Pipe,
    PipeRefused,
    pipe,
    pipe_all,
    pipe_errors,
    pipe_many,
    pipes_from,
)
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.core.transition import Transition


def test_a_circle_is_refused_with_its_path() -> None:
    """M10: a pipe by which a state would come back to itself is refused when it is made; the message is the path."""
    a, b, c = machine_of("a", "x"), machine_of("b", "x"), machine_of("c", "x")
    pipe(a, "x", b)
    pipe(b, "x", c)
    with pytest.raises(PipeRefused, match=r"^a circle of pipes: c.x -> a.x -> b.x -> c.x$"):
        pipe(c, "x", a)
    assert pipes_from(c) == ()

    with pytest.raises(PipeRefused, match="a is not piped into itself"):
        pipe(a, "x", a)


def test_relations_close_a_circle_too() -> None:
    """M10: the way from a state to another one within a machine is by its relations: what they may move, may move on."""
    a = machine_of("a", "start", "seen", "free")
    rows = {"ready": Definition(require=["on"]), "idle": Definition(auto=True), "off": Definition(remove=["on"])}
    b = machine_of("b", "on", "added", "lone", more=Definition(add=["added"]), **rows)
    pipe(a, "start", b, "on")
    for state in ("ready", "idle"):
        with pytest.raises(PipeRefused, match=rf"b.{state} -> a.start -> b.on -> b.{state}"):
            pipe(b, state, a, "start")
    with pipe(a, "free", b, "more"), pytest.raises(PipeRefused, match=r"b.added -> a.free -> b.more -> b.added"):
        pipe(b, "added", a, "free")
    pipe(b, "ready", a, "seen")
    pipe(b, "lone", a, "free")
    pipe(a, "free", b, "off")
    with pytest.raises(PipeRefused, match=r"b.on -> a.free -> b.off -> b.on"):
        pipe(b, "on", a, "free")


def test_a_closed_pipe_closes_no_circle() -> None:
    """M10: what is closed, or has gone with its machines, does not count."""
    a, b = machine_of("a", "x"), machine_of("b", "x")
    pipe(a, "x", b).close()
    pipe(b, "x", a)


def test_a_circle_made_within_a_transition_is_seen() -> None:
    """M10: a pipe that counts from the next transition on only is known at once."""
    a, b = machine_of("a", "x", "y"), machine_of("b", "x")
    refused: list[str] = []

    def connect(transition: Transition) -> None:
        pipe(a, "x", b)
        try:
            pipe(b, "x", a)
        except PipeRefused as error:
            refused.append(str(error))

    when(a, "y", connect)
    a.add("y")

    assert refused == ["a circle of pipes: b.x -> a.x -> b.x"]


def test_a_chain_is_bounded() -> None:
    """M10: a chain of pipes of the greatest length works; a longer one is refused when it is made, at either end."""
    machines = [machine_of(f"m{number}", "x") for number in range(CHAIN_MAX + 2)]
    for source, target in itertools.pairwise(machines[1:]):
        pipe(source, "x", target)
    machines[1].add("x")
    assert "x" in machines[-1]

    with pytest.raises(PipeRefused, match=f"{CHAIN_MAX + 1} pipes would follow one upon the other"):
        pipe(machines[0], "x", machines[1])
    with pytest.raises(PipeRefused, match="CHAIN_MAX"):
        pipe(machines[-1], "x", machine_of("one more", "x"))


Make: TypeAlias = Callable[[Machine[str], Machine[str]], Pipe]

MISTAKES: Final[list[tuple[Make, str]]] = [
    (lambda s, t: pipe(s, "upp", t, "b"), "no state is called 'upp': did you mean 'up'"),
    (lambda s, t: pipe(s, "up", t), "no state is called 'up': the states are 'b', 'exception'"),
    (lambda s, t: pipe(s, "up", t, "b", left="bb"), "no state is called 'bb': did you mean 'b'"),
    (lambda s, t: pipe_many(s, t, ("up", "c")), "no state is called 'c'"),
    (lambda s, t: pipe_all(s, t, ["down"]), "no state is called 'down'"),
    (lambda s, t: pipe_errors(s, t, "err"), "no state is called 'err'"),
]


@pytest.mark.parametrize(("make", "words"), MISTAKES)
def test_an_unknown_state_is_named(make: Make, words: str) -> None:
    """M10: each end must have its state, or the pipe is not made; the nearest name is suggested."""
    source, target = machine_of("source", "up"), machine_of("target", "b")
    with pytest.raises(UnknownState, match=words):
        make(source, target)
    assert pipes_from(source) == ()


def test_an_unclear_pipe_is_refused() -> None:
    """M10: two states into one, no state at all, and machines that have nothing in common."""
    source, target = machine_of("source", "a", "b"), machine_of("target", "c")
    with pytest.raises(PipeRefused, match="both 'a' and 'b' feed 'c'"):
        pipe_many(source, target, ("a", "c"), ("b", "c"))
    with pytest.raises(PipeRefused, match="source and target have no state in common"):
        pipe_all(source, target)
    with pytest.raises(PipeRefused, match="name pairs"):
        pipe_many(source, target)
