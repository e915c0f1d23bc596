"""Whatever happens to an actor can be heard here, and costs next to nothing while nobody listens.

A signal is data: (path, incarnation, seq, kind, detail), and what it follows from. `seq` counts an actor's signals without
a gap while at least one reader is attached.
"""

# Design note
# -----------
# The hot paths do not ask "is there a reader?". Attaching one sets a bit in every actor's gate and lowers the limit of
# every inbox, which sends the same messages through the slow path, where signals are emitted. So the price is paid by
# the run that listens (DESIGN J1; the idea of signals is chronoflow's).
#
# What a signal follows from is found while somebody listens, and carried by nothing: a message or an inbox that had room
# for its SEND would cost every run. A SEND is remembered by the receiver's path and the message itself until that is received
# or dropped; one object that is sent to an actor several times arrives in the order in which it was sent. Which handler a
# signal belongs to is known by the task: one that runs a handler is listed from its RECEIVE to its end. So what runs beside
# handlers (operations, tasks of states and of a handler's nursery), `started()`, `stopped()` and `run()` have no scope.

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final, cast

import attrs
from trio.lowlevel import Task, current_task, in_trio_task

from histrio_kernel.bounds import bound

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
    """One thing that happened to one actor.

    Attributes:
        path: of the actor.
        incarnation: of the actor, from 1.
        seq: its number among the actor's, from 1.
        kind: what happened.
        detail: the particulars: of a RECEIVE or DROP the message, of a SEND the path of the receiver and the message, of a
            SPAWN or JOIN the path of the other actor, of a CRASH the error, of a STOP or RESTART the `Reason`, of a TIMER
            its key and message, of a MUTATION or TRANSITION the operation and the states called, of a CONTROL what was
            wanted, of a USE, RESOLVED or RESUME a text of the operation or future.
        cause: the path and `seq` of the signal of another actor (or an earlier one of this one) that this follows from,
            where that is known: of a RECEIVE or DROP the SEND, of the first START the SPAWN, of anything that the handler
            of another actor has done to this one that handler's RECEIVE.
        scope: the `seq` of the RECEIVE that began the handler which this belongs to; 0 if it belongs to none.
    """

    path: str
    incarnation: int
    seq: int
    kind: Kind
    detail: object = None
    cause: tuple[str, int] | None = None
    scope: int = 0


Reader = Callable[[Signal], None]
"""Called synchronously with each signal, in order. One that raises is detached and reported once."""


_Origin = tuple[str, int]
"""The path and `seq` of a signal."""

_CAUSES_MAX: Final = bound("causes_max")


@attrs.frozen(eq=False)
class _Sent:
    """A message that is on its way, which keeps its id from being another one's."""

    message: object
    origin: _Origin


@attrs.frozen(eq=False)
class _Attachment:
    """One attachment of a reader, which may be attached twice."""

    hear: Reader


class Signals:
    """The readers of one system, and the count of each actor's signals.

    `heard` is true while somebody listens; code on warm paths asks it before it builds a detail.
    """

    __slots__ = (
        "_incarnations",
        "_on_change",
        "_on_error",
        "_readers",
        "_scopes",
        "_sent",
        "_seqs",
        "_spawned",
        "_unheard",
        "heard",
    )

    def __init__(self, on_change: Callable[[bool], None], on_error: Callable[[Exception], None]) -> None:
        self.heard = False
        self._readers: tuple[_Attachment, ...] = ()
        self._seqs: dict[str, int] = {}
        self._incarnations: dict[str, int] = {}  # of those that have had more than one
        self._scopes: Final[dict[Task, _Origin]] = {}  # the handlers that run or wait
        self._sent: Final[OrderedDict[tuple[str, int], deque[_Sent]]] = (
            OrderedDict()
        )  # by receiver and id of the message
        self._spawned: Final[dict[str, _Origin]] = {}  # children that have not started
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
        origin = self._scopes.get(current_task()) if in_trio_task() else None
        here = origin is not None and origin[0] == path
        cause = self._cause_of(path, seq, kind, detail) or (None if here else origin)
        scope = origin[1] if here and origin is not None else 0
        self._unheard.append(Signal(path, self._incarnations.get(path, 1), seq, kind, detail, cause, scope))
        if len(self._unheard) == 1:  # else a reader has caused it, and each reader hears the first one first
            while self._unheard:
                self._deliver(self._unheard[0])
                self._unheard.popleft()

    @contextmanager
    def receiving(self, path: str, message: object) -> Generator[None]:
        """A handler of the actor at `path` begins with `message`, in this task; what it does belongs to that RECEIVE.

        If it raises, that goes on until `handled`: what follows from the error belongs to it, too.
        """
        self.emit(path, Kind.RECEIVE, message)
        self._scopes[current_task()] = (path, self._seqs.get(path, 0))
        yield
        self.handled()

    def handled(self) -> None:
        """The handler that ran in this task is over."""
        self._scopes.pop(current_task(), None)

    def unsent(self, path: str, message: object) -> None:
        """The message of the last SEND to `path` was not delivered after all."""
        sent = self._sent.get((path, id(message)))
        if sent:
            sent.pop()

    def _cause_of(self, path: str, seq: int, kind: Kind, detail: object) -> _Origin | None:
        if kind is Kind.RECEIVE or kind is Kind.DROP:
            sent = self._sent.get((path, id(detail)))
            if sent is None:
                return None
            cause = sent.popleft().origin if sent else None
            if not sent:
                del self._sent[path, id(detail)]
            return cause
        if kind is Kind.START:
            return self._spawned.pop(path, None)
        if kind is Kind.SPAWN:
            self._spawned[cast(str, detail)] = (path, seq)
        elif kind is Kind.SEND:
            receiver, message = cast("tuple[str, object]", detail)
            self._sent.setdefault((receiver, id(message)), deque()).append(_Sent(message, (path, seq)))
            if len(self._sent) > _CAUSES_MAX:
                self._sent.popitem(last=False)
        return None

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
        self._spawned.pop(path, None)
        self._incarnations.pop(path, None)

    def _detach(self, attachment: _Attachment) -> None:
        self._readers = tuple(other for other in self._readers if other is not attachment)
        self._changed()

    def _changed(self) -> None:
        heard = bool(self._readers)
        if heard != self.heard:
            self.heard = heard
            for known in (self._scopes, self._sent, self._spawned):
                known.clear()
            self._on_change(heard)
