"""The base class of durable actors: handlers whose every input is kept, so that they can be done again."""

# Design note
# -----------
# A durable actor is no `histrio.Actor`: what it may use is another set, each of it recorded. The actor that lives in the
# system is its host (`tree`), which stays the same when the object is made again, after a crash or by `ContinueAs`.

from __future__ import annotations

import inspect
import math
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random
from typing import ClassVar, Generic, Literal, TypeVar, TypeVarTuple, cast

from histrio.durable.beginnings import Beginning
from histrio.durable.behaviours import name_of, register, version_of
from histrio.durable.deeds import Deeds
from histrio.durable.effects import Mode
from histrio.durable.recorded import Recorded
from histrio.durable.refs import DurableRef
from histrio.durable.stored import encode
from histrio.durable.ticks import Late, Ticks
from histrio.durable.work import EffectOf
from histrio.handlers import HandlerTable
from histrio.spawning import check_form
from histrio_kernel.errors import NotStarted, Refusal
from histrio_kernel.futures import Future
from histrio_kernel.gate import Handler
from histrio_kernel.io import Retry
from histrio_kernel.journal.record import Record, digest_of
from histrio_kernel.signals import Kind

__all__ = ["DurableActor"]

M = TypeVar("M")
N = TypeVar("N")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class DurableActor(Generic[M]):
    """The base of durable actors. `class Order(DurableActor[Pay | Ship])` takes messages of these two types.

    Handlers are methods marked `@histrio.handler(Message)`, as of any actor. What they wait for gives the turn away, and is
    recorded: effects (`self.io`), time (`self.sleep`), other durable actors. After a crash the actor is made again, and its
    handlers are run again on what was recorded, up to where they were; what they did to the world is not done again.

    So a handler's code must do the same each time: it takes time from `self.now()`, chance from `self.random`, and reads
    nothing that another one may have changed. What differs is `NonDeterminism`.

    A step that raises what is no `Refusal` never happened, but that its message is used up. The actor is made again from
    its journal, at most `restarts_max` times in `restarts_s` seconds.

    What a class may set:

    - `behaviour`, `version` (arguments of the class): its name in the journal, and that of its code.
    - `restarts_max`, `restarts_s`: see above (3 in 5 s).
    - `snapshot_every`: after so many records the past is rolled up, if the class has `snapshot` and `restore` (0: never).
    - `records_warn`, `records_max`: so many records since the beginning are told; at the second number the actor stops.
    """

    __slots__ = ("__weakref__", "_histrio_life")
    __histrio_actor__: ClassVar[Literal[True]] = True
    __histrio_handlers__: ClassVar[dict[type, Handler]]

    restarts_max: ClassVar[int] = 3
    restarts_s: ClassVar[float] = 5.0
    snapshot_every: ClassVar[int] = 0
    records_warn: ClassVar[int] = 10_000
    records_max: ClassVar[int] = 50_000

    _histrio_life: Deeds

    # -- what a behaviour overrides ----------------------------------------------------------------------------------

    async def started(self) -> object:
        """Runs first. It may return `ContinueAs`."""
        return None

    async def receive(self, message: M) -> object:
        """Handle `message`, if no marked method does; the value is the reply."""
        raise Refusal(f"{self.path} ({type(self).__qualname__}) has no handler for {type(message).__qualname__}")

    def snapshot(self) -> object:
        """The state as a value that can be stored, for `restore`."""
        raise NotImplementedError(f"{type(self).__qualname__} has no snapshot()")

    async def restore(self, snapshot: object) -> object:
        """Take the state from what `snapshot()` has returned; runs instead of `started`."""
        raise NotImplementedError(f"{type(self).__qualname__} has no restore()")

    # -- who and when ------------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """Where it is in the tree; the same after a crash."""
        return _life_of(self).path

    @property
    def ref(self) -> DurableRef[M]:
        """The actor's own address."""
        life = _life_of(self)
        return cast("DurableRef[M]", life.host.dereference(life.path))

    def now(self) -> float:
        """The time of day when what this handler goes on with was recorded, in seconds since 1970."""
        return _life_of(self).book.now

    @property
    def random(self) -> Random:
        """Chance that is the same when it is asked again. Not for secrets."""
        return _life_of(self).book.chance

    def uuid(self) -> uuid.UUID:
        """An id that no other actor has drawn, of this journal or another, and that is the same when this is done again."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    # -- what a handler uses -----------------------------------------------------------------------------------------

    def io(
        self,
        afn: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        mode: Mode = Mode.AT_LEAST_ONCE,
        reconcile: Callable[[str], Awaitable[T]] | None = None,
        retry: Retry | None = None,
        timeout_s: float | None = None,
        heartbeat_s: float | None = None,
        name: str | None = None,
    ) -> Future[T]:
        """Have the world do something: `afn(*args)`, once this step is in the journal. The future is its outcome.

        The outcome is recorded, and never asked for again. If the process dies while it runs it is begun again with the
        same key (`this_effect().key`), so *afn* has to tell the other side that key, or bear to be called twice.

        Args:
            afn: an async function of a module, or a method.
            args: what can be stored.
            mode: see `Mode`.
            reconcile: for AT_MOST_ONCE: finds out by the key, after a crash, what came of it; it returns or raises that.
            retry: try again when it fails, see `histrio.Retry`; not with AT_MOST_ONCE.
            timeout_s: seconds that one attempt may take.
            heartbeat_s: seconds that one attempt may be silent, that is, not call `this_effect().heartbeat(...)`; after so
                many it is ended with `trio.TooSlowError`, and tried again if there is a *retry*.
            name: what it is called in the journal; default: the name of *afn*.

        Raises:
            Unencodable: an argument cannot be stored; nothing was begun.
            ValueError: *afn* has no name that will be the same tomorrow: give *name*; or it is to happen at most once, and
                to be tried again; or *heartbeat_s* is no time.
        """
        life = _life_of(self)
        if retry is not None and mode is Mode.AT_MOST_ONCE:
            raise ValueError(
                f"{life.path}: what may happen at most once cannot be tried again: leave out retry, or mode"
            )
        if heartbeat_s is not None and not heartbeat_s > 0:
            raise ValueError(
                f"{life.path}: heartbeat_s={heartbeat_s!r} leaves an effect no time: give seconds, more than 0"
            )
        called = _name_of(self, afn, name)
        call = cast("Callable[..., Awaitable[object]]", afn)
        work = EffectOf(call, args, mode, reconcile, retry, timeout_s, heartbeat_s)

        def begin(future: Recorded[object]) -> None:
            life.host.begin_effect(work, life.restarts - future.restarts + 1, future)

        return cast("Future[T]", life.begins(Kind.USE, called, (called, mode.name, args), begin))

    def transact(self, fn: Callable[[sqlite3.Connection, *Ts], T], *args: *Ts, name: str | None = None) -> Future[T]:
        """Have `fn(connection, *args)` change tables of your own in the journal's database: exactly once (J6).

        The journal stores the outcome in the same transaction. Other tables than those of the journal only; *fn* must not
        commit, and should be short: all actors wait for it.

        Raises:
            Unencodable: an argument cannot be stored.
            TypeError: at the await: this journal is no database.
        """
        life = _life_of(self)
        called = _name_of(self, fn, name)
        begin = partial(life.host.begin_transaction, lambda connection: fn(connection, *args))
        return cast("Future[T]", life.begins(Kind.USE, called, (called, "TRANSACTION", args), begin))

    def sleep(self, seconds: float) -> Future[None]:
        """Complete *seconds* from now, whatever happens to the process; after a longer downtime, at once.

        What is of no use later looks at `self.now()`, and what comes again is `every`.
        """
        return self.sleep_until(self.now() + seconds)

    def sleep_until(self, at: float) -> Future[None]:
        """Complete when it is that time of day, in seconds since 1970."""
        life = _life_of(self)
        future = life.begins(Kind.TIMER, f"time {at:.3f}", at, partial(life.host.begin_timer, at))
        return cast("Future[None]", future)

    def every(self, seconds: float, *, late: Late = Late.FIRE, since: float | None = None) -> Ticks:
        """Ticks, *seconds* apart: `async for tick in self.every(60): ...`. It never ends; leave it by `break`.

        Each waits as `sleep_until` does: other handlers go on meanwhile, and a cancel scope around it is refused.

        A tick is given when it is due, and after a downtime, or a body that took longer, as soon as may be; a `Tick` says
        when it was due, and how many before it were missed. The times do not drift.

        Each tick leaves records: let a long life continue with `ContinueAs(Me, tick.due)`, and go on from *since*.

        Args:
            seconds: between two ticks.
            late: what becomes of the ticks that were missed.
            since: the time of day that the first tick is *seconds* after; default: now.

        Raises:
            TypeError: *late* is no `Late`.
            ValueError: *seconds* is not more than 0, or it or *since* is infinite or no number.
        """
        if not isinstance(cast("object", late), Late):
            raise TypeError(f"{self.path}: late={late!r}: give Late.FIRE, Late.COALESCE or Late.SKIP")
        if not 0 < seconds < math.inf:
            raise ValueError(f"{self.path}: ticks every {seconds!r} seconds: give a number of seconds, more than 0")
        begin = self.now() if since is None else since
        if not math.isfinite(begin):
            raise ValueError(f"{self.path}: ticks since {since!r}: give a time of day in seconds, such as tick.due")
        return Ticks(seconds, begin, late, self.now, self.sleep_until)

    async def spawn(self, cls: Callable[[*Ts], DurableActor[N]], *args: *Ts, name: str | None = None) -> DurableRef[N]:
        """Have a durable child, which begins when this step is in the journal. Does not wait.

        Raises:
            Unencodable: an argument cannot be stored.
            ValueError: *name* is or was that of another child, is empty, or has "/" or "#" in it.
        """
        life = _life_of(self)
        if name is not None:
            check_form(life.path, name)
        behaviour = cast("type[DurableActor[N]]", cls)
        path = f"{life.path}/{name or life.name_child(behaviour.__name__.lower())}"
        if path in life.children:
            raise ValueError(f"{life.path} has a child called {name!r} already, or had one: give another name, or none")
        beginning = Beginning(name_of(behaviour), version_of(behaviour), behaviour.__histrio_checked__(path, args))
        life.did(Kind.SPAWN, path, beginning)
        payload = encode(beginning)
        first = Record(path, 1, 1, Kind.START, "", payload, life.now(), 0, life.path, digest_of(payload))
        life.child(first, beginning)
        return cast("DurableRef[N]", life.host.dereference(path))

    def finish(self, result: object = None) -> None:
        """End when this step is over, with a result for whoever joins. Its children end with it."""
        _life_of(self).finish(result)

    def patched(self, name: str) -> bool:
        """Whether the new code is to be used: yes, unless this handler has been here before, without it (J7).

        `if self.patched("ask twice"): new() else: old()`. A handler gets one answer for a name, however often it asks. When
        the journal has no handler of before any more, the old way can go.
        """
        return _life_of(self).patched(name)

    # ----------------------------------------------------------------------------------------------------------------

    @classmethod
    def __histrio_checked__(cls, path: str, args: tuple[object, ...]) -> tuple[object, ...]:
        """The arguments as they are stored, before anything is."""
        return args

    def _histrio_born(self, life: Deeds) -> None:
        self._histrio_life = life

    def __init_subclass__(cls, behaviour: str | None = None, version: int = 1, **kwargs: object) -> None:
        """Check the class, and make it known by its name."""
        super().__init_subclass__(**kwargs)
        if "[" not in cls.__qualname__:
            cls.__histrio_handlers__ = HandlerTable(cls)
            register(cls, behaviour, version)


def _life_of(actor: DurableActor[M]) -> Deeds:
    try:
        return actor._histrio_life
    except AttributeError:
        raise NotStarted(
            f"{type(actor).__qualname__} was used before it had a place in a tree: in __init__ keep what you were given, and "
            "do the rest in `async def started(self)`"
        ) from None


def _name_of(actor: object, afn: object, name: str | None) -> str:
    if name is not None:
        return name
    found = getattr(afn, "__qualname__", "")
    if not callable(afn) or inspect.iscoroutine(afn):
        raise TypeError(
            f"{actor!r}: self.io takes an async function and its arguments, and calls it itself; got {afn!r}"
        )
    if not found or "<lambda>" in found:
        raise ValueError(f"{afn!r} has no name of its own, and the journal needs one: self.io(..., name='charge')")
    return cast(str, found)
