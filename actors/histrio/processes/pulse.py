"""What is wanted of a process, over all of its incarnations: whether it may make its next advance.

These are levels and counts that its loop looks at between two advances. So no order of pause, resume, nudge and step
loses one, and none of them has to find somebody waiting.
"""

# Design note
# -----------
# The pulse belongs to the place, the loop to an incarnation. A nudge that was accepted is owed over a restart too, as
# a message in the inbox is; the advance that failed or was killed has used its own up, one that was cut off has not. A FREE process that was launched stays so: a
# supervisor that starts it again would else wait for a nudge that nobody gives. Steps end with the incarnation that
# they were asked of, as they do for other actors.
#
# A step needs no nudge and uses none up: n nudges and m steps are n + m advances.

from __future__ import annotations

import enum
from typing import Final, Protocol, final

from histrio.processes.moves import Drive
from histrio_kernel.engine import Engine
from histrio_kernel.feed import Feed, Feeds, Lag
from histrio_kernel.lane import Lane

__all__ = ["Pulse", "Watches"]


class Watches(Protocol):
    """The loop of an incarnation, which is told that it should look."""

    def look(self) -> None:
        """What is wanted has changed."""
        ...

    def interrupt(self) -> None:
        """The present advance, if there is one, is to be cancelled."""
        ...


@final
class Pulse:
    """What is wanted of one process, and who watches its states.

    Invariant: `nudges <= nudges_max`, and 0 in the drive FREE; `steps` is 0 unless it is paused.
    """

    __slots__ = (
        "_by_nudge",
        "_drive",
        "_engine",
        "_launched",
        "_nudges",
        "_nudges_max",
        "_owed",
        "_path",
        "_rerunnable",
        "_steps",
        "_watchers",
        "lane",
        "loop",
        "state",
    )

    def __init__(
        self,
        engine: Engine,
        path: str,
        lane: Lane,
        *,
        drive: Drive,
        start: bool,
        nudges_max: int,
        rerunnable: bool,
    ) -> None:
        self._engine: Final = engine
        self._path: Final = path
        self.lane: Final = lane
        self._drive: Final = drive
        self._nudges_max: Final = nudges_max
        self._rerunnable: Final = rerunnable
        self._launched = start
        self._nudges = 0
        self._steps = 0
        self._owed = False  # a nudged advance was cut off, and is to be made again
        self._by_nudge = False
        self._watchers: Feeds[enum.Enum] | None = None
        self.loop: Watches | None = None
        self.state: enum.Enum | None = None
        """The state of the present incarnation, as soon as it runs."""

    # -- what the lane says --------------------------------------------------------------------------------------

    @property
    def rerunnable(self) -> bool:
        """Whether the present advance may be cancelled and run again."""
        return self._rerunnable

    def nudge(self) -> bool:
        """Launch it, or let it advance once more. False if as many are wanted as may be."""
        if self._drive is Drive.FREE:
            self._launched = True
        elif self._nudges >= self._nudges_max:
            return False
        else:
            self._nudges += 1
        self._tell()
        return True

    def step(self, count: int) -> None:
        """So many advances more, though it is paused. A FREE process runs on when it is resumed."""
        assert self.lane.paused
        self._steps += count
        self._launched = True
        self._tell()

    def level_changed(self) -> None:
        """It was paused, resumed, or is to end. Each of these ends a `step` that is not over."""
        self._steps = 0
        self._tell()

    def interrupt(self) -> None:
        """Its present advance is to be cancelled."""
        if self.loop is not None:
            self.loop.interrupt()

    def incarnation_over(self) -> None:
        """What concerned that incarnation only is forgotten."""
        self.loop = self.state = None
        self._steps = 0

    def ended(self) -> None:
        """There will be no further state."""
        if self._watchers is not None:
            self._watchers.end()

    def _tell(self) -> None:
        if self.loop is not None:
            self.loop.look()

    # -- what the loop asks --------------------------------------------------------------------------------------

    @property
    def holds(self) -> bool:
        """Whether it is to be paused now, if it does not advance at the moment."""
        return self.lane.paused and not self._steps

    def take(self) -> bool:
        """Whether it may make one advance; then that is used up."""
        self._by_nudge = False
        if self.lane.paused:
            if not self._steps:
                return False
            self._steps -= 1
        elif self._owed:
            self._owed = False
            self._by_nudge = True
        elif self._drive is Drive.FREE:
            return self._launched
        elif self._nudges:
            self._nudges -= 1
            self._by_nudge = True
            self.lane.room_for_nudges()
        else:
            return False
        return True

    def give_back(self) -> None:
        """The advance was cut off. It was none; if it was nudged, the nudge is still owed, ahead of the others."""
        self._owed = self._owed or self._by_nudge

    # -- states --------------------------------------------------------------------------------------------------

    def entered(self, state: enum.Enum) -> None:
        """The process is in another state, or has begun in its first one."""
        self.state = state
        if self._watchers is not None:
            self._watchers.put(state)

    def watch(self, *, latest: bool) -> Feed[enum.Enum]:
        """The present state at once, if it runs, and then every change; or only the latest."""
        if self._watchers is None:
            self._watchers = Feeds(self._engine, f"states of {self._path}")
        feed = self._watchers.open(Lag.LATEST if latest else Lag.FAIL)
        if self.state is not None:
            feed.put(self.state)
        return feed
