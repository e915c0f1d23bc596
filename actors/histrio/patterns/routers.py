"""A router shares work among actors that take the same messages; it is used like a ref, and skips those that have ended (S8).

`RoundRobin`, `LeastInbox` and `ConsistentHash` choose one actor for each message; `Broadcast` takes all.
"""

# Design note
# -----------
# A router is a value, not an actor: choosing is quick and needs no turn, and an actor in between would be one more inbox
# that fills up, one more hop, and one more thing that can die. Each user may have a router of its own over one group;
# routers share nothing but the actors.
#
# The group is fixed, or is whoever is registered under a key at the moment (`system.registry.group(KEY)`): then those
# that are started later take part, and those that end for good leave.
#
# Who takes no messages is skipped: who has ended, and who is stopping. That a message was not delivered is known when
# `tell` raises `ActorStopped`, so it is told to the next one. An ask is not repeated: it may have been handled.

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable
from hashlib import blake2b
from itertools import compress
from typing import Final, Generic, Never, TypeVar, cast, final

from trio.lowlevel import checkpoint, enable_ki_protection

from histrio.messages import Askable
from histrio.patterns.lines import let_in, must_wait, stand
from histrio.patterns.registry import Group
from histrio.ref import Ref
from histrio_kernel.combinators import all_of
from histrio_kernel.errors import ActorStopped, HistrioError, InboxFull, shown
from histrio_kernel.futures import Future

__all__ = ["Broadcast", "ConsistentHash", "LeastInbox", "NoRoutee", "RoundRobin", "Router"]

M_contra = TypeVar("M_contra", contravariant=True)
M = TypeVar("M")
R = TypeVar("R")

_POINTS: Final = 64
"""How many points of the ring each actor has: their shares then differ by about an eighth."""


class NoRoutee(HistrioError):
    """A router has nobody to give the message to: all have ended or are stopping. Nothing was delivered.

    Route over a registry key, `system.registry.group(KEY)`, to follow those that come after them, and
    `await system.registry.wait(KEY)` until there is one; or have a supervisor start them again.
    """


class _Routees(Generic[M_contra]):
    """The actors that a router chooses from."""

    __slots__ = ("_fixed", "_group")

    def __init__(self, routees: Iterable[Ref[M_contra]] | Group[M_contra]) -> None:
        self._group: Final = routees if isinstance(routees, Group) else None
        self._fixed: tuple[Ref[M_contra], ...] = ()
        if not isinstance(routees, Group):
            self._fixed = tuple(routees)
            if not self._fixed:
                raise ValueError("a router over no actors: give refs, or a group, system.registry.group(KEY)")
            for ref in self._fixed:
                _check(ref)

    def present(self) -> tuple[Ref[M_contra], ...]:
        """Those that there are, also those that are stopping; the same object until that changes."""
        return self._fixed if self._group is None else self._group.refs

    def takers(self) -> tuple[Ref[M_contra], ...]:
        """Those that take messages; not those that are stopping."""
        return tuple(ref for ref in self.present() if ref._inbox.closed is None)

    def open(self) -> tuple[Ref[M_contra], ...]:
        """The same, and at least one.

        Raises:
            NoRoutee: there is none.
        """
        refs = self.takers()
        if not refs:
            raise self.nobody()
        return refs

    def sweep(self, at: int = 0) -> int:
        """Forget those of a fixed group that have ended for good, but for the last; where is the one at *at* now?"""
        alive = [not ref.control.is_done for ref in self._fixed]
        if 0 < sum(alive) < len(alive):
            self._fixed = tuple(compress(self._fixed, alive))
            return sum(alive[: at + 1]) - 1
        return at

    def nobody(self) -> NoRoutee:
        """The error when there is nobody to choose."""
        if self._group is None:
            return NoRoutee(
                f"all that this router knew have ended or are stopping, {self._fixed[-1].path} was the last; nothing was"
                " delivered. Have a supervisor start them again, or route over a registry key,"
                " system.registry.group(KEY), to follow those that come after them"
            )
        waiting = "all of them are stopping" if self._group.refs else "nobody is registered under it at present"
        return NoRoutee(
            f"a router over {self._group.key!r}: {waiting}; nothing was delivered. Use `await"
            " system.registry.wait(KEY)` first, and see why those that were there have ended"
        )

    def __repr__(self) -> str:
        if self._group is not None:
            return repr(self._group.key)
        return ", ".join(ref.path for ref in self._fixed)


def _check(ref: Ref[Never]) -> None:
    if not isinstance(cast(object, ref), Ref):
        raise TypeError(f"a router routes to refs, got {ref!r}")
    ref._bound()


class Router(Generic[M_contra]):
    """The base of the routers that choose one actor for each message. They are used like a ref.

    Args:
        routees: refs, or a group that is followed: `system.registry.group(KEY)`.
    """

    __slots__ = ("_routees",)

    def __init__(self, routees: Iterable[Ref[M_contra]] | Group[M_contra]) -> None:
        self._routees: Final[_Routees[M_contra]] = _Routees(routees)

    @property
    def refs(self) -> tuple[Ref[M_contra], ...]:
        """Those that it would choose from now; not those that are stopping."""
        return self._routees.takers()

    @enable_ki_protection
    async def tell(self, message: M_contra) -> None:
        """Deliver `message` to the one that is chosen, waiting in its line if its inbox is full; see `Ref.tell`.

        If it stops before `message` is in, another one is chosen.

        Raises:
            NoRoutee: there is nobody to choose; not delivered.
            InboxFull, TypeError: as `Ref.tell`.
        """
        while True:
            ref = self._pick(message)
            try:
                await ref.tell(message)
            except ActorStopped as error:
                if error.path != ref.path or ref._inbox.closed is None:
                    raise  # it is the end of whoever tells
            else:
                return

    def tell_nowait(self, message: M_contra) -> None:
        """Deliver `message` to the one that is chosen, now. Not a checkpoint.

        Raises:
            InboxFull: the one that is chosen has no room; not delivered, and no other one is tried.
            NoRoutee, TypeError: as `tell`.
        """
        self._pick(message).tell_nowait(message)

    def ask(self, message: Askable[M_contra, R]) -> Future[R]:
        """Ask the one that is chosen; see `Ref.ask`. Not a checkpoint.

        If it ends before it has answered the future fails with `ActorStopped`; no other one is asked.

        Raises:
            NoRoutee: there is nobody to choose; nothing was sent.
            TypeError: as `Ref.ask`.
        """
        return self._pick(message).ask(message)

    def ask_nowait(self, message: Askable[M_contra, R]) -> Future[R]:
        """Like `ask`, but it never stands in line.

        Raises:
            InboxFull: the one that is chosen has no room; nothing was sent.
            NoRoutee, TypeError: as `ask`.
        """
        return self._pick(message).ask_nowait(message)

    def _pick(self, message: object) -> Ref[M_contra]:
        """Choose one that takes messages.

        Raises:
            NoRoutee: there is none.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        """Say what it chooses from."""
        return f"<{type(self).__name__} over {self._routees}>"


@final
class RoundRobin(Router[M_contra]):
    """Gives each message to the next one, in turn.

    Examples:
        >>> import histrio
        >>> class Work(histrio.Request[str]): ...
        >>> class Worker(histrio.Actor[Work]):
        ...     async def receive(self, message: Work) -> str:
        ...         return self.ref.path
        >>> async def main(system: histrio.System) -> list[str]:
        ...     workers = histrio.RoundRobin([await system.spawn(Worker) for _ in range(2)])
        ...     return [await workers.ask(Work()) for _ in range(3)]
        >>> histrio.run(main)
        ['/worker#1', '/worker#2', '/worker#1']
    """

    __slots__ = ("_at",)

    def __init__(self, routees: Iterable[Ref[M_contra]] | Group[M_contra]) -> None:
        super().__init__(routees)
        self._at = -1

    def _pick(self, message: object) -> Ref[M_contra]:
        refs = self._routees.present()
        for skipped in range(len(refs)):
            at = (self._at + 1 + skipped) % len(refs)
            if refs[at]._inbox.closed is None:
                self._at = self._routees.sweep(at) if skipped else at
                return refs[at]
        raise self._routees.nobody()


@final
class LeastInbox(Router[M_contra]):
    """Gives each message to the one with the fewest messages waiting; among equals, in turn."""

    __slots__ = ("_at",)

    def __init__(self, routees: Iterable[Ref[M_contra]] | Group[M_contra]) -> None:
        super().__init__(routees)
        self._at = -1

    def _pick(self, message: object) -> Ref[M_contra]:
        refs = self._routees.present()
        least: tuple[int, int] | None = None
        for step in range(1, len(refs) + 1):
            at = (self._at + step) % len(refs)
            inbox = refs[at]._inbox
            if inbox.closed is None and (least is None or len(inbox) + inbox.standing < least[0]):
                least = (len(inbox) + inbox.standing, at)
                if least[0] == 0:
                    break
        if least is None:
            raise self._routees.nobody()
        self._at = least[1]
        return refs[least[1]]


@final
class ConsistentHash(Router[M_contra]):
    """Gives all messages of one key to the same actor; when actors come or go, few keys move.

    Of n actors one that leaves moves only its own keys, and one that joins takes about an nth from the others. Who has
    which key depends on paths and keys only: it is the same in every process and every run.

    Args:
        routees: refs, or a group that is followed: `system.registry.group(KEY)`.
        key: what a message is about. It must be quick.

    Examples:
        >>> import histrio, attrs
        >>> @attrs.frozen
        ... class Pay(histrio.Request[str]):
        ...     name: str
        >>> class Accounts(histrio.Actor[Pay]):
        ...     async def receive(self, message: Pay) -> str:
        ...         return self.ref.path
        >>> async def main(system: histrio.System) -> list[str]:
        ...     parts = [await system.spawn(Accounts) for _ in range(2)]
        ...     accounts = histrio.ConsistentHash(parts, lambda pay: pay.name)
        ...     return [await accounts.ask(Pay(name)) for name in ("ann", "dan", "eve", "ann")]
        >>> histrio.run(main)
        ['/accounts#1', '/accounts#2', '/accounts#1', '/accounts#1']
    """

    __slots__ = ("_key", "_known", "_owners", "_points", "_ring_of")

    def __init__(
        self, routees: Iterable[Ref[M_contra]] | Group[M_contra], key: Callable[[M_contra], str | bytes | int]
    ) -> None:
        super().__init__(routees)
        self._key: Final = key
        self._known: dict[str, list[int]] = {}
        self._ring_of: tuple[Ref[M_contra], ...] | None = None
        self._points: list[int] = []
        self._owners: list[Ref[M_contra]] = []

    def _pick(self, message: object) -> Ref[M_contra]:
        refs = self._routees.present()
        if refs is not self._ring_of:
            self._make_ring(refs)
        begin = bisect_right(self._points, self._point_of(cast(M_contra, message)))
        for skipped in range(len(self._owners)):
            ref = self._owners[(begin + skipped) % len(self._owners)]
            if ref._inbox.closed is None:
                if skipped:
                    self._routees.sweep()
                return ref
        raise self._routees.nobody()

    def _point_of(self, message: M_contra) -> int:
        key = cast(object, self._key(message))
        match key:
            case str():
                return _point(b"s" + key.encode())
            case bytes():
                return _point(b"b" + key)
            case int():
                return _point(b"i%d" % key)
            case _:
                raise TypeError(
                    f"the key of {shown(message)} is {shown(key)}, which is no str, bytes or int. The hash of other"
                    " objects differs from run to run; make a str of what they are"
                )

    def _make_ring(self, refs: tuple[Ref[M_contra], ...]) -> None:
        """Give each actor its points; those of one that was there before are where they were."""
        paths = {ref.path: ref for ref in refs}
        self._known = {path: self._known.get(path) or _points_of(path) for path in paths}
        ring = sorted((point, path) for path, points in self._known.items() for point in points)
        self._points = [point for point, _ in ring]
        self._owners = [paths[path] for _, path in ring]
        self._ring_of = refs


def _points_of(path: str) -> list[int]:
    """Where on the ring the actor at `path` has its points."""
    return [_point(b"%d " % number + path.encode()) for number in range(_POINTS)]


def _point(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


@final
class Broadcast(Generic[M_contra]):
    """Gives each message to all of them. For subscribers with a say in what happens when they are slow, use `Topic`.

    Args:
        routees: refs, or a group that is followed: `system.registry.group(KEY)`.
    """

    __slots__ = ("_routees",)

    def __init__(self, routees: Iterable[Ref[M_contra]] | Group[M_contra]) -> None:
        self._routees: Final[_Routees[M_contra]] = _Routees(routees)

    @property
    def refs(self) -> tuple[Ref[M_contra], ...]:
        """Those that would get a message now; not those that are stopping."""
        return self._routees.takers()

    @enable_ki_protection
    async def tell(self, message: M_contra) -> None:
        """Deliver `message` to all: at once to those with room; then wait, in all lines at once, for the others.

        A checkpoint when it waits, and every 64th message. Cancelled while it waits, it has reached those that had
        room and those that made room before. Who stops meanwhile is left out.

        Raises:
            NoRoutee: there is nobody; nothing was delivered.
            TypeError: somebody does not take messages of this type; nothing was delivered.
        """
        refs = self._all(message)
        pace = refs[0]._pace
        pace.left -= len(refs)
        if pace.left <= 0:
            pace.restart()
            await checkpoint()
        await let_in([standing for ref in refs if (standing := _told_or_standing(ref, message)) is not None])

    @enable_ki_protection
    def tell_nowait(self, message: M_contra) -> None:
        """Deliver `message` to all, now. Not a checkpoint.

        Raises:
            InboxFull: somebody has no room; nobody got it.
            NoRoutee, TypeError: as `tell`.
        """
        refs = self._all(message)
        for ref in refs:
            if must_wait(ref._inbox):
                raise InboxFull.at(ref.path, len(ref._inbox), ref._inbox.standing)
        for ref in refs:
            ref.tell_nowait(message)

    @enable_ki_protection
    def ask(self, message: Askable[M_contra, R]) -> Future[tuple[R, ...]]:
        """Ask all: a future of their answers, in the order of `refs`. The first error cancels the other asks.

        Not a checkpoint. To have each answer or error apart, ask each of `refs`.

        Raises:
            NoRoutee: there is nobody; nothing was sent.
            TypeError: somebody does not take messages of this type; nothing was sent.
        """
        return all_of(*(ref.ask(message) for ref in self._all(message)))

    def _all(self, message: object) -> tuple[Ref[M_contra], ...]:
        """All that take messages; each of them takes this one."""
        self._routees.sweep()
        refs = self._routees.open()
        for ref in refs:
            if message.__class__ not in ref._table:
                ref._table.learn(ref.path, message)
        return refs

    def __repr__(self) -> str:
        """Say whom it reaches."""
        return f"<Broadcast over {self._routees}>"


def _told_or_standing(ref: Ref[M], message: M) -> Future[None] | None:
    """Deliver `message`, or let it stand in line."""
    try:
        ref.tell_nowait(message)
    except InboxFull:
        return stand(ref._inbox, message)
    except ActorStopped:
        pass
    return None
