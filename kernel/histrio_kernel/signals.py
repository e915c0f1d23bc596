"""Whatever happens to an actor can be heard here, and costs next to nothing while nobody listens.

A signal is data: (path, incarnation, seq, kind, detail). `seq` counts an actor's signals without a gap while at least
one reader is attached.
"""

# Design note
# -----------
# The hot paths do not ask "is there a reader?". Attaching one sets a bit in every actor's gate and lowers the limit of
# every inbox, which sends the same messages through the slow path, where signals are emitted. So the price is paid by
# the run that listens (DESIGN J1; the idea of signals is chronoflow's).

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

__all__ = ["Kind", "Reader", "Signal", "Signals"]


class Kind(enum.Enum):
    """What a signal tells."""

    START = "start"
    RECEIVE = "receive"
    SPAWN = "spawn"
    JOIN = "join"
    USE = "use"
    RESOLVED = "resolved"
    RESUME = "resume"
    SEND = "send"
    BACKOFF = "backoff"
    DROP = "drop"
    TIMER = "timer"
    MUTATION = "mutation"
    TRANSITION = "transition"
    CRASH = "crash"
    RESTART = "restart"
    CONTROL = "control"
    STOP = "stop"


@attrs.frozen
class Signal:
    """One thing that happened to one actor."""

    path: str
    incarnation: int
    seq: int
    kind: Kind
    detail: object = None


Reader = Callable[[Signal], None]
"""Called synchronously with each signal, in order. One that raises is detached and reported once."""


@attrs.frozen(eq=False)
class _Attachment:
    """One attachment of a reader, which may be attached twice."""

    hear: Reader


class Signals:
    """The readers of one system, and the count of each actor's signals.

    `heard` is true while somebody listens; code on warm paths asks it before it builds a detail.
    """

    __slots__ = ("_incarnations", "_on_change", "_on_error", "_readers", "_seqs", "_unheard", "heard")

    def __init__(self, on_change: Callable[[bool], None], on_error: Callable[[Exception], None]) -> None:
        self.heard = False
        self._readers: tuple[_Attachment, ...] = ()
        self._seqs: dict[str, int] = {}
        self._incarnations: dict[str, int] = {}  # of those that have had more than one
        self._unheard: Final[deque[Signal]] = deque()
        self._on_change: Final = on_change
        self._on_error: Final = on_error

    def attach(self, reader: Reader) -> Callable[[], None]:
        """Hear every signal from now on; the returned function ends it (calling it twice does nothing)."""
        attachment = _Attachment(reader)
        self._readers = (*self._readers, attachment)
        self._changed()

        def detach() -> None:
            self._detach(attachment)

        return detach

    def emit(self, path: str, kind: Kind, detail: object = None) -> None:
        """Tell every reader. Without one this does nothing."""
        if not self._readers:
            return
        seq = self._seqs.get(path, 0) + 1
        self._seqs[path] = seq
        self._unheard.append(Signal(path, self._incarnations.get(path, 1), seq, kind, detail))
        if len(self._unheard) == 1:  # else a reader has caused it, and each reader hears the first one first
            while self._unheard:
                self._deliver(self._unheard[0])
                self._unheard.popleft()

    def _deliver(self, signal: Signal) -> None:
        for reader in self._readers:
            try:
                reader.hear(signal)
            except Exception as error:  # a reader must not harm whom it watches
                self._detach(reader)
                self._on_error(error)

    def reborn(self, path: str, incarnation: int) -> None:
        """The actor at `path` begins another incarnation; its count goes on."""
        self._incarnations[path] = incarnation

    def forget(self, path: str) -> None:
        """The actor at `path` has ended; its count is not needed any more."""
        self._seqs.pop(path, None)
        self._incarnations.pop(path, None)

    def _detach(self, attachment: _Attachment) -> None:
        self._readers = tuple(other for other in self._readers if other is not attachment)
        self._changed()

    def _changed(self) -> None:
        heard = bool(self._readers)
        if heard != self.heard:
            self.heard = heard
            self._on_change(heard)
