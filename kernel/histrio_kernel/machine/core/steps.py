"""Which handlers a transition calls, and in which order."""

# Design note
# -----------
# Worked out once for a move and then walked, so a transition never looks a handler up. Slots without a handler do not
# become steps. The order is the original's, and thousands of golden cases pin it.

from __future__ import annotations

from collections.abc import Iterator, Sequence

from histrio_kernel.machine.core.handlers import Compiled, Kind
from histrio_kernel.machine.core.moves import NOWHERE, Node, Said, Step

__all__ = ["final_steps", "negotiation_steps"]


def negotiation_steps(
    handlers: Compiled,
    before: Node,
    after: Node,
    exits: Sequence[int],
    enters: Sequence[int],
    *,
    stays: bool,
) -> Iterator[Said]:
    """Who is asked: what leaves, what enters, what stays (not in a remove), every pair, and at last `any_state`."""
    for state in exits:
        yield from _step(handlers, Kind.MAY_EXIT, state, about=NOWHERE)
    for state in enters:
        yield from _step(handlers, Kind.MAY_ENTER, state, about=state)
    if stays:
        for state in after.active:
            if state in before.members:
                yield from _step(handlers, Kind.STAYS, state, about=state)
    for first in before.active:
        if first in handlers.firsts:
            for state in after.active:
                yield from _step(handlers, Kind.BESIDE, state, first, about=state)
    yield from _step(handlers, Kind.ANY_MAY_ENTER, about=NOWHERE)


def final_steps(handlers: Compiled, exits: Sequence[int], enters: Sequence[int]) -> Iterator[Said]:
    """Who is told: what left, what entered, and at last `any_state`."""
    for state in exits:
        yield from _step(handlers, Kind.EXITED, state, about=state)
    for state in enters:
        yield from _step(handlers, Kind.ENTERED, state, about=state, enters=True)
    yield from _step(handlers, Kind.ANY_ENTERED, about=NOWHERE, closes=True)


def _step(
    handlers: Compiled,
    kind: Kind,
    state: int = -1,
    first: int = -1,
    *,
    about: int,
    enters: bool = False,
    closes: bool = False,
) -> Iterator[Said]:
    """The handlers for one slot, in the order of the bindings."""
    found = handlers.find(kind, state, first)
    if found is not None:
        slot, calls = found
        step = Step(slot, about, enters, closes)
        for number, call in calls:
            yield step, number, call
