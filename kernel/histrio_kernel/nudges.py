"""A nudge asks for one step more. It is accepted at once, or stands in a bounded line until there is room.

None is lost and none counts twice: a nudge is accepted, in line, withdrawn or refused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, final

from trio.lowlevel import enable_ki_protection

from histrio_kernel.bounds import bound
from histrio_kernel.errors import ActorStopped, InboxFull
from histrio_kernel.futures import CANCELLED, ERROR, VALUE, Promise, Waiter, World

__all__ = ["Nudges"]


@final
class _Nudge(Promise[None]):
    """Completes when the nudge is accepted. In line it belongs to whoever awaits it, as a queued ask does (F8)."""

    __slots__ = ("_line",)

    def __init__(self, world: World, line: OrderedDict[_Nudge, None]) -> None:
        super().__init__(world)
        self._line: Final = line

    def _request_cancel(self) -> None:
        self._line.pop(self, None)
        self._settle(CANCELLED, None)

    def _abandon(self, waiter: Waiter) -> bool:
        last = self._alone(waiter)
        self._detach(waiter)
        if last:
            self._request_cancel()
        return True


@final
class Nudges:
    """The nudges of one place: `accept` takes one, or says that there is no room for it at present.

    Nobody overtakes: whoever makes room calls `admit`, so while some are in line there is none.
    """

    __slots__ = ("_accept", "_line", "_path", "_world")

    def __init__(self, world: World, path: str, accept: Callable[[], bool]) -> None:
        self._world: Final = world
        self._path: Final = path
        self._accept: Final = accept
        self._line: Final[OrderedDict[_Nudge, None]] = OrderedDict()

    @enable_ki_protection
    def add_nowait(self) -> bool:
        """One more, if there is room; whether it was accepted."""
        accepted = self._accept()
        assert not (accepted and self._line), "there was room while somebody stood in line"
        return accepted

    @enable_ki_protection
    def add(self) -> Promise[None]:
        """One more; completes when it is accepted. Fails with `InboxFull` if the line is too long."""
        nudge = _Nudge(self._world, self._line)
        if self.add_nowait():
            nudge._settle(VALUE, None)
        elif len(self._line) >= bound("nudges_max"):
            nudge._settle(ERROR, self._too_many())
        else:
            self._line[nudge] = None
        return nudge

    def admit(self) -> None:
        """There may be room: those in line are accepted, in order, while there is."""
        while self._line and self._accept():
            self._line.popitem(last=False)[0]._settle(VALUE, None)

    def withdraw(self) -> None:
        """Those in line are not wanted any more."""
        while self._line:
            self._line.popitem(last=False)[0]._settle(CANCELLED, None)

    def end(self, error: ActorStopped) -> None:
        """Nothing is accepted any more."""
        while self._line:
            self._line.popitem(last=False)[0]._settle(ERROR, error)

    def _too_many(self) -> InboxFull:
        return InboxFull(
            f"{self._path}: {len(self._line)} nudges stand in line to be accepted; this one was not. Whoever nudges is"
            " faster than what is nudged: await each nudge(), or use try_nudge() and do something else meanwhile"
        )
