"""The actor of the system that a durable actor lives in: it stays while the object is made again and again."""

# Design note
# -----------
# Effects, timers and waits for others belong to one life, and are cancelled with it; the next one begins again what has no
# outcome in the journal. Children live below the host, so they go on while their parent is made again.

from __future__ import annotations

import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, cast

import attrs
import trio
from outcome import Error, Outcome, Value, acapture
from trio.lowlevel import ParkingLot

from histrio.actor import Actor
from histrio.durable.beginnings import Beginning
from histrio.durable.draft import Draft
from histrio.durable.effects import THIS_EFFECT, Effect, Mode
from histrio.durable.errors import EffectUncertain, PastTooLong, Quarantined, TooManyCrashes, UnknownBehaviour
from histrio.durable.items import Beat, Begin, Done, Letter, Told, Transact
from histrio.durable.life import Life, StepFailed
from histrio.durable.places import Inputs
from histrio.durable.recorded import Recorded
from histrio.durable.work import EffectOf
from histrio.messages import Envelope
from histrio_kernel.driver import Driver
from histrio_kernel.errors import ActorStopped, End, HistrioError, Reason
from histrio_kernel.journal.codec import decode, encode
from histrio_kernel.journal.cursor import NonDeterminism
from histrio_kernel.journal.errors import JournalDamaged, Undecodable
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, Batch, Journal, Mail

__all__ = ["Host", "Tree"]


class Tree(Protocol):
    """The tree, as far as its hosts know it."""

    journal: Journal

    def dereference(self, path: str) -> object:
        """The ref of a path."""
        ...

    def begins(self, path: str) -> None:
        """It is in the journal."""
        ...

    def rows_below(self, path: str) -> Sequence[ActorRow]:
        """Of all that live below an actor."""
        ...

    def deliver(self, mail: Mail) -> None:
        """It is in the journal: bring it to whom it is for."""
        ...

    def lives(self, host: Host) -> None:
        """From now on it takes mail."""
        ...

    def has_ended(self, path: str, outcome: Outcome[object]) -> None:
        """It has ended for good."""
        ...

    def when_ended(self, path: str, call: Callable[[Outcome[object]], None]) -> None:
        """Call it when that actor has ended for good; now, if it has."""
        ...

    async def spawn_host(self, below: Host, path: str) -> None:
        """Have a child live, which is in the journal."""
        ...

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        ...


class Host(Actor[object]):
    """Where a durable actor lives.

    Args:
        tree: that it belongs to.
        path: in the journal, which is that in the system.
        beginning: its first record's payload; None if it is in the journal already.
    """

    def __init__(self, tree: Tree, path: str, beginning: bytes | None = None) -> None:
        self._tree: Final = tree
        self._path: Final = path
        self._beginning: Final = beginning
        self.life: Life | None = None
        self.began: Final = trio.Event()
        """Set when its first record is in the journal, or its past has been done again."""
        self.envelopes: dict[int, Told] = {}
        self._quarantine: Quarantined | None = None
        self._told: Told | None = None
        self._result: Outcome[object] | None = None
        self._crashes: Final[deque[float]] = deque()
        self._taken: Final = ParkingLot()
        self._nursery: trio.Nursery | None = None
        self._work: trio.Nursery | None = None
        self.failure: BaseException | None = None
        """What it has failed with, if it has."""
        tree.lives(self)

    # -- what the system's actor does --------------------------------------------------------------------------------

    async def run(self) -> object:
        """Live, and hand on what others send."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._live, nursery.cancel_scope)
            try:
                while True:
                    await self._hand_on(await self.receive_next())
            except trio.EndOfChannel:
                nursery.cancel_scope.cancel()
        return None if self._result is None else self._result.unwrap()

    async def _hand_on(self, envelope: Envelope[object]) -> None:
        """One message, until it is in the journal."""
        self._told = told = Told(envelope, self._was_taken)
        if self.life is not None:
            self.life.put(told)
        while self._told is told:
            if self._quarantine is not None:
                envelope.fail(self._quarantine)
                self._was_taken()
                break
            await self._taken.park()

    def _was_taken(self) -> None:
        self._told = None
        self._taken.unpark_all()

    async def _live(self, everything: trio.CancelScope) -> None:
        """One life after the other."""
        try:
            while True:
                try:
                    await self._live_once()
                    break
                except StepFailed as failure:
                    self._count(failure)
                except (NonDeterminism, PastTooLong, UnknownBehaviour, Undecodable, JournalDamaged) as error:
                    self._put_in_quarantine(error)
                    await trio.sleep_forever()
            everything.cancel()
        except Exception as error:
            self.failure = error
            raise
        finally:
            self.began.set()

    async def _live_once(self) -> None:
        journal = self._tree.journal
        records = await journal.records(self._path)
        self.life = life = Life(self, records)
        if not records:
            assert self._beginning is not None, self._path
            life.put(Begin(self._beginning))
        for mail in await journal.mail(self._path):
            life.put(Letter(mail))
        if self._told is not None:
            life.put(self._told)
        ended: Outcome[None] | None = None
        async with trio.open_nursery() as work:
            self._work = work
            ended = await acapture(life.run)
            work.cancel_scope.cancel()
        assert ended is not None
        ended.unwrap()
        self._result = life.result
        assert life.result is not None
        self._tree.has_ended(self._path, life.result)

    def _count(self, failure: StepFailed) -> None:
        """One more crash.

        Raises:
            TooManyCrashes: there were too many.
        """
        behaviour = None if self.life is None else type(self.life.behaviour)
        most: int = getattr(behaviour, "restarts_max", 3)
        within: float = getattr(behaviour, "restarts_s", 5.0)
        now = self.io.clock.now()
        self._crashes.append(now)
        while self._crashes[0] < now - within:
            self._crashes.popleft()
        self._tree.report(failure)
        if len(self._crashes) > most:
            raise TooManyCrashes(
                f"{self._path} has failed {len(self._crashes)} times within {within} s, and may {most} times (restarts_max). "
                "Its journal is whole, and has each failure as a CRASH"
            ) from failure

    def _put_in_quarantine(self, error: HistrioError) -> None:
        self._quarantine = Quarantined(f"{self._path} is quarantined: {error}")
        self._quarantine.__cause__ = error
        self._tree.report(error)
        for told in self.envelopes.values():
            told.envelope.fail(self._quarantine)
        self.envelopes.clear()
        self.life = None
        self.began.set()
        self._taken.unpark_all()

    @property
    def quarantine(self) -> Quarantined | None:
        """Why it does nothing; None if it does."""
        return self._quarantine

    # -- what its life needs -----------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        """In the journal."""
        return self._path

    @property
    def _driver(self) -> Driver:
        return self.system.engine.driver

    def now(self) -> float:
        """The time of day; a driver that has its own says it by `wall()`."""
        wall: Callable[[], float] = getattr(self._driver, "wall", time.time)
        return wall()

    def dereference(self, path: str) -> object:
        """The ref of a path."""
        return self._tree.dereference(path)

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        self._tree.report(error)

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run `call` later."""
        return self.system.engine.after(seconds, call)

    async def commit(self, draft: Draft, incarnation: int) -> None:
        """Store a step, then let its messages go."""
        if draft.records or draft.took or draft.dead:
            batch = self._batch(draft, incarnation)
            with trio.CancelScope(shield=True):
                await self._tree.journal.commit(batch)
            for path in (self._path, *(path for path, _ in draft.begins)):
                self._tree.begins(path)
            for mail in draft.sends:
                self._tree.deliver(mail)
        self.began.set()

    async def transact(self, record: Record, call: Callable[[sqlite3.Connection], object]) -> Record:
        """Store a record whose payload is what `call` returns, in one transaction with what it does."""
        batch = Batch(records=[record], transact=(0, lambda connection: encode(Value(call(connection)))))
        stored: Sequence[Record] = [record]
        with trio.CancelScope(shield=True):
            stored = await self._tree.journal.commit(batch)
        return stored[0]

    def _batch(self, draft: Draft, incarnation: int) -> Batch:
        assert self.life is not None
        assert self.life.beginning is not None, self._path
        own = attrs.evolve(row_of(self._path, self.life.beginning), state=draft.state, incarnation=incarnation)
        rows = [own, *(row_of(path, beginning) for path, beginning in draft.begins)]
        if draft.state == "ended":
            rows += [attrs.evolve(row, state="ended") for row in self._tree.rows_below(self._path)]
        return Batch(
            records=draft.records,
            actors=rows,
            sends=draft.sends,
            took=[(mail.to, mail.sender, mail.number) for mail in draft.took],
            dead=draft.dead,
            keep_from=[(self._path, draft.keep_from)] if draft.keep_from else (),
            forget=draft.forget,
        )

    # -- what its actor begins ---------------------------------------------------------------------------------------

    def begin_effect(self, life: Inputs, work: EffectOf, future: Recorded[object]) -> None:
        """Call it, and put its outcome."""
        self._begin(life, future, partial(self._effect, life, work, future))

    def begin_transaction(
        self, life: Inputs, call: Callable[[sqlite3.Connection], object], future: Recorded[object]
    ) -> None:
        """Make it, at a step of its own."""
        life.put(Transact(future.id, call))

    def begin_timer(self, life: Inputs, at: float, future: Recorded[object]) -> None:
        """Put the end of the wait when it is time."""
        self._begin(life, future, partial(self._timer, at))

    def begin_join(self, life: Inputs, path: str, future: Recorded[object]) -> None:
        """Put the end of that actor when it has ended."""
        self._tree.when_ended(path, lambda outcome: life.put(Done(future.id, outcome)))

    def begin_child(self, path: str) -> None:
        """It is in the journal: it is to live."""
        assert self._nursery is not None
        self._nursery.start_soon(self._tree.spawn_host, self, path)

    def _begin(self, life: Inputs, future: Recorded[object], do: Callable[[], Awaitable[object]]) -> None:
        assert self._work is not None
        scope = trio.CancelScope()
        future.end = scope.cancel
        self._work.start_soon(self._outcome, life, future, scope, do, name=f"{self._path}: {future.about}")

    async def _outcome(
        self, life: Inputs, future: Recorded[object], scope: trio.CancelScope, do: Callable[[], Awaitable[object]]
    ) -> None:
        with scope:
            outcome: Outcome[object]
            try:
                outcome = Value(await do())
            except Exception as error:
                outcome = Error(error)
            life.put(Done(future.id, outcome))

    async def _effect(self, life: Inputs, work: EffectOf, future: Recorded[object]) -> object:
        key = f"{self._path}/{future.id}"
        attempt = life.restarts - future.restarts + 1
        if attempt > 1 and work.mode is Mode.AT_MOST_ONCE:
            if work.reconcile is None:
                raise EffectUncertain(
                    f"{self._path}: {future.about} had begun when the process died, and may happen at most once: whether it "
                    f"did, nobody knows. Its key is {key!r}; give reconcile= to find out"
                )
            return await work.reconcile(key)
        effect = Effect(key, attempt, future.progress, lambda progress: life.put(Beat(future.id, progress)))
        replaced = getattr(self._driver, "replaced", {})
        afn = replaced.get(work.afn, work.afn)

        async def call() -> object:
            THIS_EFFECT.set(effect)
            return await afn(*work.args)

        return await self.io(call, retry=work.retry, timeout_s=work.timeout_s)

    async def _timer(self, at: float) -> None:
        await self._driver.clock.sleep(max(0.0, at - self.now()))


def row_of(path: str, beginning: Beginning) -> ActorRow:
    """The row of an actor that begins so; the numbers are the store's."""
    return ActorRow(path, beginning.behaviour, beginning.version, "live", 0, 0, 1, 0, 0)


def first_of(records: list[Record]) -> Beginning | None:
    """Who an actor is, by its oldest record; references are left out."""
    return cast(Beginning, decode(records[0].payload, lambda path: path)) if records else None


def stopped(path: str) -> ActorStopped:
    """What those get who want something of an actor that is not there."""
    return ActorStopped(path, Reason(End.STOPPED, "no durable actor lives there"))
