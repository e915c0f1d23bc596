"""How a figure comes about: process CPU time, without the garbage collector, of ours and the peer by turns."""

# Design note
# -----------
# This machine is shared and its clock speed moves, so no figure is worth anything alone. What holds is a ratio of two
# things that ran one right after the other; of several such pairs the one with the median ratio is reported, both its
# figures and its ratio, so the three agree. Which side goes first alternates.
#
# Process CPU time, because what other processes do to the wall clock is not ours. Where a disk or another process
# does the work, the wall clock is the only one, and the row's file says so.
#
# The collector runs before each timing and not within it, on both sides. A collection walks all objects of the
# process, so it would charge whoever happens to trip it for what both sides and the libraries keep.

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

import attrs

__all__ = ["PAIRS", "PAIRS_QUICK", "Figures", "Row", "Side", "Stopwatch", "in_units", "measure", "on_disk"]

PAIRS: Final = 7
"""How many pairs a full run takes the median of; an odd number, so that the median is one of them."""

PAIRS_QUICK: Final = 5

SLICES: Final = 9
"""Of one timing in `u`; an odd number."""

UNITS_PER_ITEM: Final = 10
"""Turns of the yardstick beside each item, so that both take about as long."""

Side = Callable[[int], float]
"""Does its work for so many items, and returns the cost of one of them."""


@attrs.frozen(kw_only=True)
class Row:
    """One row of the table: what is measured, beside what, and what is asked of it.

    What both sides return is a *cost* in `unit`: less is better. The ratio is

    - `peer / ours` where *higher_is_better*: how many times as fast as the peer; at least *budget*;
    - `ours / peer` elsewhere: how many times the peer's cost; at most *budget*.

    A row without a live peer is measured against a fixed cost, *limit*, that stands in the peer's place; its ratio is
    `ours / limit`, its budget 1, and its unit says that the peer is the budget.

    Attributes:
        name: what the row is called, on the command line too.
        unit: of both costs.
        ours, peer: the two sides; or *ours* and *limit*.
        size, peer_size: how many items each side does in one timing; a quick run does a part of them.
        quick: which part.
        set_up: what is done around all timings, and not timed.
        why_not: says why the row cannot be measured here and what to do about it; None if it can.
    """

    name: str
    unit: str
    ours: Side
    peer: Side | None = None
    limit: float = 0.0
    budget: float = 1.0
    higher_is_better: bool = True
    size: int
    peer_size: int
    quick: float = 0.05
    set_up: Callable[[], AbstractContextManager[object]] = nullcontext
    why_not: Callable[[], str | None] = lambda: None

    def __attrs_post_init__(self) -> None:
        """A row has a live peer or a limit, not both."""
        assert (self.peer is None) == (self.limit > 0), self.name
        assert self.peer is not None or (not self.higher_is_better and self.budget == 1), self.name

    def sizes(self, *, quick: bool) -> tuple[int, int]:
        """How many items the two sides do in one timing."""
        part = self.quick if quick else 1
        return max(1, round(self.size * part)), max(1, round(self.peer_size * part))


@attrs.frozen
class Figures:
    """What came out of one row: an object of bench.json. What the fields mean is said at `Row`.

    Ours, peer and ratio are those of one pair, the one with the median ratio.
    """

    name: str
    ours: float
    peer: float
    ratio: float
    unit: str
    higher_is_better: bool
    budget: float
    meets: bool


class Stopwatch:
    """The cost of a block, or of several: `with Stopwatch() as watch: ...`, then `watch.us_per(items)`.

    The collector runs before each block and not within it.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock: Final = clock
        self._began_at = 0.0
        self.seconds = 0.0

    def __enter__(self) -> Stopwatch:
        """Start."""
        gc.collect()
        gc.disable()
        self._began_at = self._clock()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.seconds += self._clock() - self._began_at
        gc.enable()

    def us_per(self, items: int) -> float:
        """Microseconds for each of so many items."""
        return self.seconds / items * 1e6


def on_disk() -> tempfile.TemporaryDirectory[str]:
    """A directory on the disk of the current one, for the time of a block."""
    return tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd())


def measure(row: Row, *, quick: bool, on_timing: Callable[[], None]) -> Figures:
    """The figures of `row`; `on_timing` is called after each timing, two for each pair."""
    with row.set_up():
        pairs = [_pair(row, index, quick, on_timing) for index in range(PAIRS_QUICK if quick else PAIRS)]
    ours, peer = sorted(pairs, key=lambda pair: _ratio(row, *pair))[len(pairs) // 2]
    ratio = _ratio(row, ours, peer)
    return Figures(
        name=row.name,
        ours=ours,
        peer=peer,
        ratio=ratio,
        unit=row.unit if row.peer is not None else f"{row.unit}; the peer is the budget",
        higher_is_better=row.higher_is_better,
        budget=row.budget,
        meets=ratio >= row.budget if row.higher_is_better else ratio <= row.budget,
    )


def _ratio(row: Row, ours: float, peer: float) -> float:
    return peer / ours if row.higher_is_better else ours / peer


def _pair(row: Row, index: int, quick: bool, on_timing: Callable[[], None]) -> tuple[float, float]:
    """One timing of each side, one right after the other; in every second pair the peer goes first."""
    size, peer_size = row.sizes(quick=quick)
    costs: dict[bool, float] = {}
    for is_peer in (False, True) if index % 2 == 0 else (True, False):
        if not is_peer:
            costs[is_peer] = row.ours(size)
        else:
            costs[is_peer] = row.limit if row.peer is None else row.peer(peer_size)
        on_timing()
    return costs[False], costs[True]


def in_units(work: Callable[[int], object], items: int) -> float:
    """What one item costs in `u`, the yardstick for rows whose peer ran elsewhere.

    `u` is the process CPU time of one turn of a loop with a look-up and a sum. Slices of the work and of the yardstick
    take turns, and the slice with the median ratio counts: so both have seen the same machine.
    """
    part = max(1, items // SLICES)
    ratios: list[float] = []
    for _ in range(SLICES):
        with Stopwatch() as mine:
            work(part)
        with Stopwatch() as unit:
            _count(part * UNITS_PER_ITEM)
        ratios.append(mine.seconds * UNITS_PER_ITEM / unit.seconds)
    return sorted(ratios)[SLICES // 2]


def _count(iterations: int) -> None:
    """So many `u`."""
    d, k, y = {(1, 2): 3}, (1, 2), 0
    for _ in range(iterations):
        y += d[k]
    assert y == 3 * iterations
