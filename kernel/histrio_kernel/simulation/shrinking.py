"""A failing schedule becomes the shortest that we can find: fewer departures, or fewer who are late."""

# Design note
# -----------
# What counts as the same failure is decided by the caller. Each candidate is run; one that fails too becomes the best,
# with the departures that its run really had. First whole pieces are left out, then single ones, then the choices
# themselves are made smaller and earlier. What is left out moves all choices after it, so two departures may be left
# where one elsewhere would do: of few we ask whether any single one explains it all. A starved victim is beyond that: it
# takes as many departures as it is passed over. So we also ask whether one who is late does.

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, final

import attrs

from histrio_kernel.simulation.choices import Departure, departures
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.tokens import Schedule
from histrio_kernel.simulation.trace import WAYS_MAX

__all__ = ["ATTEMPTS_MAX", "Shrinker"]

ATTEMPTS_MAX: Final = 600
"""Runs for shrinking one failure."""
_LATE_MAX: Final = 64
"""Of so many who took part we ask whether one of them came late."""
_FEW: Final = 4  # departures, for which one is looked for that could stand for them
_PLACES_MAX: Final = 100  # at which that one may be
_BEYOND: Final = 4  # places after the last that is known: what is left out before it moves it


@final
@attrs.define
class Shrinker:
    """Shrinks one failing schedule.

    Args:
        attempt: runs a schedule; the run if it fails in the same way, else None.
        attempts_max: how often, at most.
    """

    attempt: Callable[[Schedule], Ran[object] | None]
    attempts_max: int = ATTEMPTS_MAX
    attempts: int = attrs.field(default=0, init=False)

    def shrink(self, failing: Schedule, took_part: Callable[[], list[int]]) -> Schedule:
        """The shortest schedule found that fails in the same way; `took_part` gives who might be late."""
        best = self._one_instead(self._fewest(failing))
        if len(best) > 2:
            late = self._late(failing.seed, len(best), took_part())
            if late is not None and len(late) < len(best):
                best = late
        return best

    def _try(self, schedule: Schedule) -> Schedule | None:
        """What really departed, if it fails."""
        if self.attempts >= self.attempts_max:
            return None
        self.attempts += 1
        ran = self.attempt(schedule)
        if ran is None:
            return None
        return schedule if schedule.late else attrs.evolve(schedule, departures=departures(ran.tape))

    def _fewest(self, best: Schedule) -> Schedule:
        found = self._try(attrs.evolve(best, departures=()))
        if found is not None:
            return found
        piece = max(1, len(best.departures) // 2)
        while True:
            before = best
            best = self._without_pieces(best, piece)
            if piece > 1:
                piece //= 2
            elif best is before:
                break
        return self._smaller(best)

    def _without_pieces(self, best: Schedule, piece: int) -> Schedule:
        """Leave out pieces of that length, as long as it fails."""
        at = len(best.departures)
        while at > 0:
            at -= piece
            kept = best.departures[: max(at, 0)] + best.departures[at + piece :]
            found = self._try(attrs.evolve(best, departures=kept))
            if found is not None and len(found) < len(best):
                best = found
                at = min(at, len(best.departures))
        return best

    def _smaller(self, best: Schedule) -> Schedule:
        """Choices that are nearer to first in, first out."""
        for index in range(len(best.departures)):
            for smaller in self._candidates(best, index):
                found = self._try(smaller)
                if found is not None and len(found) <= len(best):
                    best = found
                    break
        return best

    @staticmethod
    def _candidates(best: Schedule, index: int) -> Iterator[Schedule]:
        if index >= len(best.departures):
            return
        one = best.departures[index]
        for chosen in range(1, min(one.chosen, 4)):
            changed = (*best.departures[:index], Departure(one.at, chosen), *best.departures[index + 1 :])
            yield attrs.evolve(best, departures=changed)

    def _one_instead(self, best: Schedule) -> Schedule:
        """A single departure, if one explains it all: the next in line goes first, or the last, which may be the clock."""
        if not 1 < len(best) <= _FEW:
            return best
        for at in range(min(best.departures[-1].at + _BEYOND, _PLACES_MAX)):
            for chosen in (1, WAYS_MAX):
                found = self._try(attrs.evolve(best, departures=(Departure(at, chosen),)))
                if found is not None and len(found) == 1:
                    return found
        return best

    def _late(self, seed: int, than: int, took_part: list[int]) -> Schedule | None:
        """One who is late, or one with few departures besides."""
        for identity in took_part[:_LATE_MAX]:
            found = self._try(Schedule(seed, (), (identity,)))
            if found is not None:
                return found
        return None
