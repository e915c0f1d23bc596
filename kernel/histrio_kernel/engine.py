"""What all actors of one system share: the clock, the pace, the signals, the dead letters, the reports.

It is the `World` of every future. It does not know which actors there are.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import Final, final

import trio

from histrio_kernel.bounds import bound
from histrio_kernel.driver import Driver
from histrio_kernel.errors import ActorStopped, HistrioError, Reason, told
from histrio_kernel.futures import Pace, Telling
from histrio_kernel.letters import DeadLetter, DeadLetters
from histrio_kernel.moments import end_of_moment
from histrio_kernel.signals import Signals

__all__ = ["Engine", "pace_of_this_run"]

_PACE: Final[trio.lowlevel.RunVar[Pace]] = trio.lowlevel.RunVar("histrio pace")
_ENDS_S: Final = bound("held_turn_s")
_log: Final = logging.getLogger("histrio")


def pace_of_this_run() -> Pace:
    """One counter for all systems of a Trio run, so that who talks to many still yields (A8)."""
    try:
        return _PACE.get()
    except LookupError:
        pace = Pace()
        _PACE.set(pace)
        return pace


@final
class Engine:
    """The world that the actors of one system live in.

    Made inside a Trio run, with a nursery of the system for timers that belong to nobody else.
    """

    __slots__ = (
        "awake",
        "closed",
        "closing",
        "dead_letters",
        "driver",
        "ending",
        "host",
        "name",
        "nursery",
        "on_awake",
        "on_ending",
        "on_report",
        "pace",
        "report_count",
        "reports",
        "signals",
        "signals_changed",
        "telling",
    )

    def __init__(
        self,
        name: str,
        driver: Driver,
        nursery: trio.Nursery,
        *,
        dead_letters_max: int = bound("dead_letters_max"),
        reports_max: int = bound("reports_max"),
        on_report: Callable[[HistrioError], None] | None = None,
    ) -> None:
        self.name: Final = name
        self.driver: Final = driver
        self.nursery: Final = nursery
        self.pace: Final = pace_of_this_run()
        self.telling: Final[Telling] = deque()
        self.signals: Final = Signals(self._signals_change, self._reader_failed)
        self.signals_changed: Callable[[bool], None] | None = None
        self.host: object = None
        """Whoever keeps this engine: the front door finds its system here."""
        self.dead_letters: Final = DeadLetters(dead_letters_max)
        self.reports: Final[deque[HistrioError]] = deque(maxlen=reports_max)
        self.report_count = 0
        self.on_report = on_report
        self.closed: Reason | None = None
        self.closing: Final[dict[object, Callable[[], None]]] = {}
        """What is called when the system is closed, by whom it belongs to: so that nobody is left waiting (A10)."""
        self.awake: Final[dict[object, None]] = {}
        self.on_awake: Callable[[], None] | None = None
        self.ending: Final[dict[object, float]] = {}
        """What has been cancelled and has not ended, and when that is to be told."""
        self.on_ending: Callable[[float], None] | None = None

    def now(self) -> float:
        """The reading of the driver's clock, in seconds."""
        return self.driver.clock.now()

    def ended(self) -> ActorStopped | None:
        """What an await of a future of this system raises once the system is closed."""
        return None if self.closed is None else ActorStopped("/", self.closed, f"system {self.name!r} is closed")

    def close(self, reason: Reason) -> None:
        """The system is closed."""
        self.closed = reason
        for call in tuple(self.closing.values()):
            call()
        self.closing.clear()

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run `call` once, after `seconds` of the driver's clock; the returned function prevents it.

        After 0 seconds is at the end of this moment.
        """
        scope = trio.CancelScope()

        async def wait() -> None:
            with scope:
                try:
                    await (self.driver.clock.sleep(seconds) if seconds else end_of_moment())
                except trio.Cancelled:
                    # If not by us, all is being cancelled; whoever waits under a shield must not wait for ever.
                    if not scope.cancel_called:
                        call()
                    raise
                call()

        self.nursery.start_soon(wait, name=f"histrio {self.name}: timer of {seconds} s")
        return scope.cancel

    def report(self, error: HistrioError) -> None:
        """Keep and log something that nobody awaits and somebody should know."""
        self.report_count += 1
        self.reports.append(error)
        _log.warning("%s: %s", type(error).__name__, error)
        if self.on_report is not None:
            try:
                self.on_report(error)
            except Exception:  # whoever is told must not harm whom it is told of
                _log.exception("on_report raised")

    def dead_letter(self, path: str, message: object, why: str) -> None:
        """Keep a message that was accepted and never handled."""
        self.dead_letters.add(DeadLetter(path, message, why))

    def watch(self, turn: object) -> None:
        """A turn that was free has been taken: somebody should look after it from time to time."""
        self.awake[turn] = None
        if self.on_awake is not None:
            self.on_awake()

    def ends(self, actor: object, shutdown_s: float) -> None:
        """`actor` has been cancelled: if it has not ended in that time, somebody should know."""
        if shutdown_s < math.inf:
            due = self.ending[actor] = self.now() + max(shutdown_s, _ENDS_S)  # it may unwind a little
            if self.on_ending is not None:
                self.on_ending(due)

    def has_ended(self, actor: object) -> None:
        """`actor` has ended."""
        self.ending.pop(actor, None)

    def _signals_change(self, heard: bool) -> None:
        if self.signals_changed is not None:
            self.signals_changed(heard)

    def _reader_failed(self, error: Exception) -> None:
        self.report(HistrioError(f"a signal reader raised and was detached: {told(error)}"))
