"""Actors are found by typed keys: who is registered under one is there until it ends for good, restarts included (S8).

Each system has one registry, `system.registry`, and there is no other: no name is known outside of its system.
"""

# Design note
# -----------
# A key has a name and a message type, so what comes out has the type of what went in: `find(Key[Read]("store"))` is a
# `Ref[Read]`. Keys are values, equal by name. Type checkers see to it that a ref fits its key, but not that a name has
# one type in the whole program; so a registry refuses a name that comes with another type than it is used with.
#
# A key holds a group, in the order of registration. A single holder is a group of one; `unique=True` keeps it so.
#
# Entries belong to the place where an actor lives, its inbox, and not to its path: another actor that is later spawned
# at the path is another one.

from __future__ import annotations

import types
import typing
from typing import Any, Final, Generic, Never, TypeVar, cast, final

import attrs
from trio.lowlevel import enable_ki_protection

from histrio.patterns.ends import Land, at_close, check_member, on_end
from histrio.ref import Ref
from histrio_kernel.bounds import bound
from histrio_kernel.errors import ActorStopped, HistrioError
from histrio_kernel.feed import Feed, FeedLag, Feeds, Lag
from histrio_kernel.futures import ERROR, VALUE, Future, Promise
from histrio_kernel.inbox import Inbox
from histrio_kernel.made import Made

__all__ = ["Group", "Key", "KeyTaken", "Listing", "Registry"]

M = TypeVar("M")

_NOT_REGISTERED: Final = "it cannot be registered"


@final
class Key(Generic[M]):
    """A name for actors that take messages of type `M`: `STORE = Key[Write | Read]("store")`.

    Keys are equal when their names are. Give a name one type in the whole program.
    """

    __slots__ = ("__orig_class__", "name")

    def __init__(self, name: str) -> None:
        if not isinstance(cast(object, name), str) or not name:
            raise ValueError(f"{name!r} is no name for a key; give a string that is not empty")
        self.name: Final = name

    def __eq__(self, other: object) -> bool:
        """Whether both have one name."""
        return self.name == cast("Key[object]", other).name if isinstance(other, Key) else NotImplemented

    def __hash__(self) -> int:
        """By name."""
        return hash(self.name)

    def __repr__(self) -> str:
        """As one writes it."""
        messages = _messages_of(self)
        return f"Key{'' if messages is None else f'[{_shown(messages)}]'}({self.name!r})"


def _messages_of(key: Key[Any]) -> object:
    """What stands in the brackets of `Key[...]`; None if nothing does, or only a type variable."""
    arguments = typing.get_args(getattr(key, "__orig_class__", None))
    return None if not arguments or isinstance(arguments[0], TypeVar) else arguments[0]


def _shown(messages: object) -> str:
    """Message types as one writes them."""
    if typing.get_origin(messages) in (typing.Union, types.UnionType):
        return " | ".join(map(_shown, typing.get_args(messages)))
    return messages.__qualname__ if type(messages) is type else str(messages)


@attrs.frozen
class Listing(Generic[M]):
    """Who is registered under a key, and what has changed.

    Attributes:
        key: whose listing it is.
        refs: all that are registered now, in the order of registration.
        added: those that were not in the listing before; in the first listing of a feed all.
        removed: those that were.
    """

    key: Key[M]
    refs: tuple[Ref[M], ...]
    added: tuple[Ref[M], ...]
    removed: tuple[Ref[M], ...]


class KeyTaken(HistrioError):
    """A key could not be had, because one holds it, or wants to hold it, alone (`unique=True`); nothing changed.

    Attributes:
        key: the key.
        holder: the actor that is registered under it.

    Talk to the holder, or wait for its end: `await holder.join()`, then register again.
    """

    def __init__(self, ref: Ref[Never], key: Key[Any], holder: Ref[Never]) -> None:
        self.key: Final = key
        self.holder: Final = holder
        super().__init__(
            f"{ref.path} cannot be registered under {key!r}: {holder.path} is, and one of them is to be alone"
            " (unique=True). Talk to the holder, which is in `holder` of this error, or register again when it has ended"
        )


@final
class Registry:
    """The names of the actors of one system: `system.registry`. Nothing here is a checkpoint but what is awaited.

    Examples:
        >>> import histrio
        >>> class Echo(histrio.Actor[str]):
        ...     async def receive(self, message: str) -> None:
        ...         print(message)
        >>> ECHO = histrio.Key[str]("echo")
        >>> async def main(system: histrio.System) -> None:
        ...     system.registry.register(ECHO, await system.spawn(Echo))
        ...     echo = await system.registry.wait(ECHO)
        ...     await echo.tell("found")
        >>> histrio.run(main)
        found
    """

    def __init__(self, land: Land) -> None:
        self._land: Final = land
        self._places: Final[dict[str, _Place]] = {}
        self._places_room = 16
        self._members: Final[dict[Inbox, _Member]] = {}
        self._closed: ActorStopped | None = None
        at_close(land.engine, self._close)

    # -- registering ---------------------------------------------------------------------------------------------

    @enable_ki_protection
    def register(self, key: Key[M], ref: Ref[M], *, unique: bool = False) -> None:
        """Let `ref` be found under `key` until its actor ends for good; restarts change nothing.

        Several may be registered under one key, unless one of them wants to be alone: *unique*. To register one again
        changes nothing, so `started()` may do it at each restart.

        Raises:
            KeyTaken: another one is registered, and one of the two is to be alone; nothing changed.
            ActorStopped: the actor has ended.
            TypeError: the key's name is in use with another message type.
            ValueError: the ref is of another system.
        """
        check_member(self._land, ref, _NOT_REGISTERED)
        place = self._place_of(key)
        holder = next((one for inbox, one in place.refs.items() if inbox is not ref._inbox), None)
        if holder is not None and (unique or place.unique):
            raise KeyTaken(ref, key, holder)
        place.unique = unique or place.unique
        if ref._inbox not in place.refs:
            self._member_of(ref).places[key.name] = place
            place.add(ref)

    @enable_ki_protection
    def unregister(self, key: Key[M], ref: Ref[M]) -> None:
        """Let `ref` not be found under `key` any more. Idempotent."""
        member = self._members.get(ref._inbox)
        place = None if member is None else member.places.pop(key.name, None)
        if member is None or place is None:
            return
        if not member.places:
            del self._members[ref._inbox]
            member.forget()
        self._remove(place, ref)

    def _member_of(self, ref: Ref[Never]) -> _Member:
        member = self._members.get(ref._inbox)
        if member is None:
            member = _Member(self, ref)
            self._members[ref._inbox] = member
        return member

    def _has_ended(self, member: _Member) -> None:
        """The actor of `member` has ended for good."""
        del self._members[member.ref._inbox]
        for place in member.places.values():
            self._remove(place, member.ref)

    def _remove(self, place: _Place, ref: Ref[Never]) -> None:
        place.remove(ref)
        if place.is_idle():
            self._places.pop(place.key.name, None)  # it is not there any more when the system has closed

    # -- finding -------------------------------------------------------------------------------------------------

    def find(self, key: Key[M]) -> Ref[M] | None:
        """The ref under `key`, of several the one registered first; None if there is none.

        Raises:
            TypeError: the key's name is in use with another message type.
        """
        place = self._look_up(key)
        return None if place is None else next(iter(place.refs.values()), None)

    def find_all(self, key: Key[M]) -> tuple[Ref[M], ...]:
        """All refs under `key`, in the order of registration.

        Raises:
            TypeError: as `find`.
        """
        place = self._look_up(key)
        return () if place is None else place.listed

    @enable_ki_protection
    def wait(self, key: Key[M]) -> Future[Ref[M]]:
        """The first ref under `key`, as soon as there is one. Cancelling an await of it leaves nothing behind.

        The future fails with `ActorStopped` if the system closes first.

        Raises:
            TypeError: as `find`.
        """
        promise: Promise[Ref[M]] = Promise(self._land.engine)
        found = self.find(key)
        if found is not None:
            promise.set(found)
        elif self._closed is not None:
            promise.fail(self._closed)
        else:
            self._place_of(key).waits.add(promise)
        return promise

    @enable_ki_protection
    def subscribe(
        self, key: Key[M], *, lag: FeedLag = Lag.DROP_OLD, feed_max: int = bound("feed_max")
    ) -> Feed[Listing[M]]:
        """A feed of who is registered under `key`: who is at present, at once, and then every change.

        Each listing is complete, so a slow reader loses steps and not the truth; of large groups read only the newest,
        `Lag.LATEST`. The feed ends when the system closes. Close it when you want no more of it.

        Raises:
            TypeError: as `find`.
        """
        place = self._place_of(key)
        if place.feeds is None:
            place.feeds = Feeds(self._land.engine, f"listings of {key!r}")
            if self._closed is not None:
                place.feeds.end()
        feed = place.feeds.open(lag, feed_max)
        feed.put(Listing(key, place.listed, place.listed, ()))
        return feed

    def group(self, key: Key[M]) -> Group[M]:
        """Who is registered under `key`, as a live view: what a router follows."""
        return Group(self, key)

    # ------------------------------------------------------------------------------------------------------------

    def _look_up(self, key: Key[Any]) -> _Place | None:
        """The place of `key`, if there is one; its name has one type for as long as it is used."""
        place = self._places.get(key.name)
        if place is not None and not place.fits(key):
            if not place.is_idle():
                raise TypeError(
                    f"{key!r}: this name is in use by {place.key!r}. Make each key once, as a constant that all import;"
                    " or choose another name"
                )
            del self._places[key.name]
            return None
        return place

    def _place_of(self, key: Key[Any]) -> _Place:
        """The place of `key`, made if there is none; whoever asks for it puts something in."""
        place = self._look_up(key)
        if place is None:
            if len(self._places) >= self._places_room:
                self._sweep()
            place = self._places[key.name] = _Place(key)
        return place

    def _sweep(self) -> None:
        """Forget the names that nobody uses: readers that are forgotten do not say so."""
        for name in [name for name, place in self._places.items() if place.is_idle()]:
            del self._places[name]
        self._places_room = 2 * len(self._places) + 16

    def _close(self) -> None:
        """All actors have ended: whoever still waits is told."""
        self._closed = self._land.engine.ended()
        assert self._closed is not None
        places = tuple(self._places.values())
        self._places.clear()
        for place in places:
            place.close(self._closed)

    def __repr__(self) -> str:
        """Name the system, and count the actors."""
        return f"<Registry of {self._land.name!r}: {len(self._members)} actors>"


@final
class Group(Generic[M]):
    """The actors under one key at each moment; made by `Registry.group`."""

    __slots__ = ("_registry", "key")

    def __init__(self, registry: Registry, key: Key[M]) -> None:
        self._registry: Final = registry
        self.key: Final = key

    @property
    def refs(self) -> tuple[Ref[M], ...]:
        """Who is registered now; the same object until that changes."""
        return self._registry.find_all(self.key)

    def __repr__(self) -> str:
        """Show the key."""
        return f"<Group {self.key!r}>"


@final
class _Place:
    """What there is under one name: refs, and those who want to hear of them."""

    __slots__ = ("_listed", "feeds", "key", "refs", "unique", "waits")

    def __init__(self, key: Key[Any]) -> None:
        self.key = key
        self.unique = False
        self.refs: Final[dict[Inbox, Ref[Any]]] = {}
        self._listed: tuple[Ref[Any], ...] | None = None
        self.feeds: Feeds[Listing[Any]] | None = None
        self.waits: Final = Made()

    @property
    def listed(self) -> tuple[Ref[Any], ...]:
        """All refs, in the order of registration; the same object until that changes."""
        if self._listed is None:
            self._listed = tuple(self.refs.values())
        return self._listed

    def fits(self, key: Key[Any]) -> bool:
        """Whether a key of this name has the same type, or does not say; who says it first decides."""
        if key is self.key:
            return True
        messages = _messages_of(key)
        if _messages_of(self.key) is None:
            self.key = key
        return messages is None or messages == _messages_of(self.key)

    def add(self, ref: Ref[Any]) -> None:
        """`ref` is registered: tell those who read, then those who wait."""
        assert ref._inbox not in self.refs
        assert not (self.unique and self.refs)
        self.refs[ref._inbox] = ref
        self._changed(added=(ref,))
        self.waits.settle(VALUE, ref)

    def remove(self, ref: Ref[Any]) -> None:
        """`ref` is registered no more."""
        removed = self.refs.pop(ref._inbox)
        self.unique = self.unique and bool(self.refs)
        self._changed(removed=(removed,))

    def _changed(self, added: tuple[Ref[Any], ...] = (), removed: tuple[Ref[Any], ...] = ()) -> None:
        self._listed = None
        if self.feeds:
            self.feeds.put(Listing(self.key, self.listed, added, removed))

    def is_idle(self) -> bool:
        """Whether nobody would miss it."""
        return not (self.refs or self.feeds or self.waits.pending())

    def close(self, error: ActorStopped) -> None:
        """The system has closed."""
        if self.feeds is not None:
            self.feeds.end()
        self.waits.settle(ERROR, error)


@final
class _Member:
    """An actor that is registered, under one key or several."""

    __slots__ = ("_registry", "forget", "places", "ref")

    def __init__(self, registry: Registry, ref: Ref[Never]) -> None:
        self.ref: Final = ref
        self.places: Final[dict[str, _Place]] = {}
        self._registry: Final = registry
        self.forget: Final = on_end(ref, self._ended, _NOT_REGISTERED)

    def _ended(self) -> None:
        self._registry._has_ended(self)
