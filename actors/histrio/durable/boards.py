"""What is told of a durable process to those who watch it: only what is in its journal."""

from __future__ import annotations

import enum
from typing import Final, TypeVar, cast, final

import attrs

from histrio_kernel.feed import Feed, Feeds, Lag
from histrio_kernel.futures import World
from histrio_kernel.lifecycle import Phase

__all__ = ["Board", "Standing"]

N = TypeVar("N")
S = TypeVar("S", bound=enum.Enum)


@final
@attrs.frozen
class Standing:
    """A durable process at one moment.

    Attributes:
        phase: where it is between its beginning and its end, in the words of all actors.
        state: the state that it is in.
    """

    phase: Phase
    state: enum.Enum


@final
class Board:
    """The standing of one process, and who watches it."""

    def __init__(self, world: World, path: str) -> None:
        self.standing: Standing | None = None
        """The last one that is in the journal; None before, and of an actor that is no process."""
        self._phases: Final[Feeds[Phase]] = Feeds(world, f"phases of {path}")
        self._states: Final[Feeds[enum.Enum]] = Feeds(world, f"states of {path}")

    def announce(self, standing: Standing) -> None:
        """It is in the journal."""
        before, self.standing = self.standing, standing
        if before is None or before.state is not standing.state:
            self._states.put(standing.state)
        if before is None or before.phase is not standing.phase:
            self._phases.put(standing.phase)

    def end(self) -> None:
        """There is no more to tell, in this process of the system."""
        self._phases.end()
        self._states.end()

    def watch(self, *, latest: bool) -> Feed[Phase]:
        """The present phase at once, then every change."""
        return self._opened(self._phases, None if self.standing is None else self.standing.phase, latest=latest)

    def watch_states(self, states: type[S], *, latest: bool) -> Feed[S]:
        """The present state at once, then every change."""
        state = None if self.standing is None else self.standing.state
        return cast("Feed[S]", self._opened(self._states, state, latest=latest))

    def _opened(self, feeds: Feeds[N], present: N | None, *, latest: bool) -> Feed[N]:
        feed = feeds.open(Lag.LATEST if latest else Lag.FAIL)
        if present is not None:
            feed.put(present)
        return feed
