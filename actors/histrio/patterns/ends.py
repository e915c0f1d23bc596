"""Whoever keeps refs hears of the final end of their actors; restarts are silent. And hears when the system closes."""

# Design note
# -----------
# A registry, a topic or a router must forget an actor that has ended, and must not cost a task for each one that it
# knows. So an end is heard by a callback, in the moment in which it is announced: whoever looks up a name afterwards
# does not find it any more.
#
# This file is the only place that knows how the rest of the library tells of ends.

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, Never, Protocol, cast, final

from histrio.ref import Home, Ref
from histrio_kernel.engine import Engine
from histrio_kernel.errors import ActorStopped
from histrio_kernel.futures import Future, Waiter

__all__ = ["Land", "at_close", "check_member", "on_end"]


class Land(Home, Protocol):
    """The system, as far as the patterns know it."""

    @property
    def engine(self) -> Engine:
        """What all actors of the system share."""
        ...


def check_member(land: Land, ref: Ref[Never], what: str) -> None:
    """Refuse what cannot be kept: *what* says what is not done with it.

    Raises:
        ActorStopped: its actor has ended.
        TypeError: it is no ref.
        Unbound: the ref was unpickled and not bound.
        ValueError: it is of another system.
    """
    if not isinstance(cast(object, ref), Ref):
        raise TypeError(f"{ref!r} is no ref; {what}")
    home = ref._bound()
    if home is not land:
        raise ValueError(
            f"{ref.path} is an actor of system {home.name!r}, not of system {land.name!r}; {what}. Systems share"
            " nothing: use what belongs to its own"
        )
    _end_of(ref, what)


def on_end(ref: Ref[Never], call: Callable[[], None], what: str) -> Callable[[], None]:
    """Have `call` called, once, when the actor of `ref` has ended for good; the returned function prevents it.

    `call` is synchronous and must not raise.

    Raises:
        ActorStopped: it has ended already; *what* says what is not done because of it.
    """
    over = _end_of(ref, what)
    hears = _Hears(over, call)
    over._attach(hears)
    return hears.forget


def _end_of(ref: Ref[Never], what: str) -> Future[object]:
    """Completes when the actor of `ref` has ended for good."""
    cell = ref._bound().find_cell(ref.path, ref._inbox)
    over = None if cell is None else cell.over()
    if over is None or over.is_done:
        reason = ref._inbox.closed
        assert reason is not None
        raise ActorStopped(ref.path, reason, what)
    return over


@final
class _Hears(Waiter):
    """Passes the end of an actor on."""

    __slots__ = ("_call", "_over")

    is_leaf: ClassVar[bool] = False

    def __init__(self, over: Future[object], call: Callable[[], None]) -> None:
        self._over: Final = over
        self._call: Callable[[], None] | None = call  # no longer than it may be called: who is called holds us

    def settled(self, future: Future[object]) -> None:
        """The actor has ended."""
        call, self._call = self._call, None
        if call is not None:
            call()

    def forget(self) -> None:
        """Do not call."""
        self._call = None
        self._over._detach(self)


def at_close(engine: Engine, call: Callable[[], None]) -> Callable[[], None]:
    """Have `call` called when the system has closed: when its last actor has ended. At once if it has.

    The returned function prevents it. `call` is synchronous and must not raise.
    """
    token = object()

    def forget() -> None:
        engine.closing.pop(token, None)

    if engine.closed is not None:
        call()
    else:
        engine.closing[token] = call
    return forget
