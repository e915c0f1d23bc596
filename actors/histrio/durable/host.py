"""The actor of the system that a durable actor lives in: it stays while the object is made again and again."""

# Design note
# -----------
# Effects, timers and children are the host's: they go on while the object is made again, and the next one finds them by the
# ids of its futures, which are the same. So that a handler fails is no reason to do anything twice; only that the process
# dies is.

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, Final, NoReturn, Protocol

import trio
from msgspec.structs import replace
from outcome import Error, Outcome, Value

from histrio.actor import Actor, cell_of
from histrio.durable.arrivals import Arrivals
from histrio.durable.beginnings import Beginning
from histrio.durable.behaviours import code_of
from histrio.durable.boards import Board, Standing
from histrio.durable.draft import Draft
from histrio.durable.effects import Effect, Mode
from histrio.durable.errors import (
    BeginningFailed,
    EffectUncertain,
    PastTooLong,
    Quarantined,
    StepFailed,
    TooManyCrashes,
    UnknownBehaviour,
)
from histrio.durable.items import Beat, Begin, Done, Go, Item, Letter, Told, Transact
from histrio.durable.life import Life
from histrio.durable.recorded import Recorded
from histrio.durable.stored import encode
from histrio.durable.work import Attempts, EffectOf
from histrio.messages import Envelope
from histrio.ref import Ref
from histrio.taking import take
from histrio_kernel.cell import Cell
from histrio_kernel.driver import Driver
from histrio_kernel.entries import NO_ENTRY, ask_of, message_of
from histrio_kernel.errors import ActorFailed, HistrioError, NoMoreMail
from histrio_kernel.intake import Intake
from histrio_kernel.interrupt import Interrupt, Interrupted
from histrio_kernel.journal.cursor import NonDeterminism
from histrio_kernel.journal.errors import JournalDamaged, Undecodable
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, Batch, Journal

__all__ = ["Host", "Tree"]


class Tree(Protocol):
    """The tree, as far as its hosts know it."""

    journal: Journal
    is_strict: bool

    def dereference(self, path: str) -> object:
        """The ref of a path."""
        ...

    def lives(self, host: Host) -> None:
        """There is a host at its path."""
        ...

    def committed(self, batch: Batch) -> None:
        """It is in the journal: know who lives, and bring the mail."""
        ...

    def rows_below(self, path: str) -> Sequence[ActorRow]:
        """Of all that live below an actor."""
        ...

    def is_live(self, path: str) -> bool:
        """Whether an actor is in the journal, and has not ended."""
        ...

    def is_over(self, path: str, outcome: Outcome[object]) -> None:
        """It will not go on in this process."""
        ...

    def when_over(self, path: str, call: Callable[[Outcome[object]], None]) -> None:
        """Call it when that actor will not go on; soon, if it is so already."""
        ...

    async def spawn_host(self, below: Host, path: str) -> None:
        """Have a child live, which is in the journal, unless it does."""
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

    __slots__ = (
        "_address", "_beginning", "_board", "_cell", "_crashes", "_intake", "_interrupt", "_is_inboxs_turn",
        "_leaving", "_nursery", "_path", "_quarantine", "_running", "_stored", "_tree", "_wall", "arrivals",
        "began", "envelopes", "failure", "is_strict", "life", "request", "takes_snapshots",
    )  # fmt: skip

    def __init__(self, tree: Tree, path: str, beginning: bytes | None = None) -> None:
        self._tree: Final = tree
        self._path: Final = path
        self._beginning: Final = beginning
        self.life: Life | None = None
        self.arrivals: Final = Arrivals()
        self._intake: Intake | None = None
        self.request: Any = None
        """What its task is parked by while a step is stored; see `Rest`."""
        self._leaving: tuple[Batch, Draft] | None = None
        """What is about to be stored, or is, and has not left yet."""
        self._interrupt: Final = Interrupt()
        self._is_inboxs_turn = False
        self.began: Final = trio.Event()
        """Set when its first record is in the journal, or its past has been done again, or neither could be."""
        self.failure: Exception | None = None
        """Why it does not live."""
        self.envelopes: dict[int, Envelope[object]] = {}
        self.takes_snapshots = True
        self.is_strict = tree.is_strict
        self._stored: Beginning | None = None
        """Who it is, as the journal has it in its row."""
        self._board: Board | None = None
        self._quarantine: Quarantined | None = None
        self._crashes: Final[deque[float]] = deque()
        self._running: Final[dict[str, trio.CancelScope]] = {}
        """What runs for the actor, by the ids of its futures."""
        self._nursery: trio.Nursery | None = None
        self._cell: Cell
        self._wall: Callable[[], float]
        self._address: Ref[object] | None = None
        tree.lives(self)

    # -- what the system's actor does --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Live, until the actor ends or is to stop."""
        self._cell = cell = cell_of(self, "run")
        cell.turn.holds_long = True  # as long as a commit takes, which is no handler's fault
        assert cell.host is not None
        self._intake = Intake(cell.host)
        self.request = self._intake.request
        self._wall, self._address = self._driver.wall, self.ref
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await self._live()
            finally:
                if self._board is not None:
                    self._board.end()
            nursery.cancel_scope.cancel()

    async def _live(self) -> None:
        """One life after the other."""
        try:
            while True:
                try:
                    await self._live_once()
                    break
                except StepFailed as failure:
                    self._count(failure)
                except BeginningFailed as failed:
                    self.failure = failed.error
                    break
                except (NonDeterminism, PastTooLong, UnknownBehaviour, Undecodable, JournalDamaged) as error:
                    await self._turn_all_away(self._put_in_quarantine(error))
        except NoMoreMail:
            pass  # it is to stop
        except Exception as error:
            self.failure = error
            self._tree.is_over(self._path, Error(ActorFailed(self._path, error)))
            raise
        finally:
            self.began.set()

    async def _live_once(self) -> None:
        journal, arrivals = self._tree.journal, self.arrivals
        arrivals.unload()
        records = await journal.records(self._path)
        self.life = life = Life(self, records, again=self.life is not None)
        if not records:
            assert self._beginning is not None, self._path
            arrivals.put(Begin(self._beginning))
        arrivals.load(await journal.mail(self._path))
        await life.run()
        assert life.result is not None
        self._tree.is_over(self._path, life.result)

    async def _turn_all_away(self, why: Quarantined) -> NoReturn:
        """It is in quarantine until it is to stop."""
        while True:
            envelope = await self.receive_next()
            envelope.fail(why)
            if not envelope.is_ask:
                self.system.engine.dead_letter(self._path, envelope.message, str(why))

    def put(self, item: Done | Beat | Transact | Letter) -> None:
        """Something has come to the actor."""
        self.arrivals.put(item)
        if self._intake is not None:
            self._intake.nudge()
            self._interrupt.set()

    async def next(self, *, mail: bool, go: bool) -> Item:
        """The next input; without *mail*, nothing that is new. Letters and the inbox take turns. With *go*, that is it if
        nothing else has come: each step is a checkpoint, for it is committed, so a process that never waits is heard.

        Raises:
            NoMoreMail: the actor is to stop.
        """
        arrivals, inbox, intake = self.arrivals, self._cell.inbox, self._intake
        assert intake is not None
        while True:
            if arrivals.ended:
                return arrivals.ended.popleft()
            self._is_inboxs_turn = not self._is_inboxs_turn
            if mail and arrivals.letters and not (self._is_inboxs_turn and inbox.queue):
                return arrivals.letters.popleft()
            if go and not inbox.queue and inbox.closed is None:
                return Go()
            intake.is_nudged = self._interrupt.is_set = False
            if mail:
                entry = intake.at_once()
                if entry is NO_ENTRY:
                    entry = await intake.next()
                if entry is not NO_ENTRY:
                    return Told(Envelope(message_of(entry), ask_of(entry)))
            else:
                with contextlib.suppress(Interrupted):
                    await take(self._cell, "next", _nothing, drops=False, envelope=True, interrupt=self._interrupt)

    @property
    def address(self) -> Ref[object] | None:
        """Where it takes mail; None if it does not."""
        return None if self._address is None or self._cell.inbox.closed is not None else self._address

    @property
    def is_to_stop(self) -> bool:
        """Whether nothing more is to begin in this process."""
        return self._cell.inbox.closed is not None

    def whose_outcome_came(self) -> Collection[str]:
        """The futures whose outcome has come, or is about to be made."""
        return {item.future for item in self.arrivals.ended if isinstance(item, Done | Transact)}

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

    def _put_in_quarantine(self, error: HistrioError) -> Quarantined:
        self._quarantine = quarantine = Quarantined(f"{self._path} is quarantined: {error}")
        quarantine.__cause__ = error
        self._tree.report(error)
        for envelope in self.envelopes.values():
            envelope.fail(quarantine)
        self.envelopes.clear()
        self.life = None
        self.keep(())
        self.began.set()
        return quarantine

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

    @property
    def identity(self) -> str:
        """Of the journal."""
        return self._tree.journal.identity

    def now(self) -> float:
        """The time of day."""
        return self._wall()

    def dereference(self, path: str) -> object:
        """The ref of a path."""
        return self._tree.dereference(path)

    def is_live(self, path: str) -> bool:
        """Whether that actor has not ended."""
        return self._tree.is_live(path)

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system."""
        self._tree.report(error)

    @property
    def board(self) -> Board:
        """What there is to see of it, if it is a process."""
        if self._board is None:
            self._board = Board(self.system.engine, self._path)
        return self._board

    def announce(self, standing: Standing) -> None:
        """Tell those who watch a process."""
        self.board.announce(standing)

    def goes_on_here(self) -> None:
        """The life goes on in the task that calls: what it waits for in the inbox is brought there."""
        assert self._cell.host is not None
        self._cell.host.moves_here()

    async def commit(self, draft: Draft, incarnation: int, *, may_rest: bool) -> None:
        """Store a step, then let its messages and its answers go. Not cancelled. If it *may rest*, this comes back when there
        is something to do, for the life would only wait for that.
        """
        if draft.records or draft.took or draft.dead:
            assert self._intake is not None
            batch = self._batch(draft, incarnation)
            self._leaving = batch, draft
            try:
                await self._tree.journal.commit(batch, self if may_rest else None)
            finally:
                self._intake.goes_on()
            self._let_go()
        self.began.set()

    def rests(self) -> bool:
        """A step is stored: let go what leaves with it, without its life, if that would only wait then. See `Rest`."""
        assert self._intake is not None
        self._let_go()
        return not self.arrivals.ended and not self.arrivals.letters and self._intake.rests()

    def _let_go(self) -> None:
        if self._leaving is None:
            return
        (batch, draft), self._leaving = self._leaving, None
        if batch.actors or batch.sends:
            self._tree.committed(batch)
        draft.answer(self.envelopes)

    async def transact(self, record: Record, call: Callable[[sqlite3.Connection], object]) -> Record:
        """Store a record whose payload is what `call` returns, in one transaction with what it does."""
        batch = Batch(records=[record], transact=(0, lambda connection: encode(Value(call(connection)))))
        (stored,) = await self._tree.journal.commit(batch)
        return stored

    def _batch(self, draft: Draft, incarnation: int) -> Batch:
        assert self.life is not None
        assert self.life.beginning is not None, self._path
        if self.life.beginning is self._stored and draft.adds_records_only():
            return Batch(records=draft.records, has_digests=True)
        rows = [_row_of(path, beginning) for path, beginning in draft.begins]
        if self.life.beginning is not self._stored or draft.state == "ended":
            self._stored = self.life.beginning
            rows.append(replace(_row_of(self._path, self.life.beginning), incarnation=incarnation))
        if draft.state == "ended":  # and all below it
            rows = [replace(row, state="ended") for row in (*rows, *self._tree.rows_below(self._path))]
        return Batch(
            records=draft.records,
            actors=rows,
            sends=draft.sends,
            took=[(mail.to, mail.sender, mail.number) for mail in draft.took],
            dead=draft.dead,
            keep_from=[(self._path, draft.keep_from)] if draft.keep_from else (),
        )

    # -- what its actor begins ---------------------------------------------------------------------------------------

    def begin_effect(self, work: EffectOf, attempt: int, future: Recorded[object]) -> None:
        """Call it, and put its outcome; *attempt* is 1, and one more for each time that the process has died since."""
        self._begin(future, partial(self._effect, work, attempt, future))

    def begin_transaction(self, call: Callable[[sqlite3.Connection], object], future: Recorded[object]) -> None:
        """Make it, at a step of its own."""
        self.put(Transact(future.id, call))

    def begin_timer(self, at: float, future: Recorded[object]) -> None:
        """Put the end of the wait when it is time."""
        self._begin(future, partial(self._timer, at))

    def begin_join(self, path: str, future: Recorded[object]) -> None:
        """Put the end of that actor when it has ended."""
        self._tree.when_over(path, lambda outcome: self.put(Done(future.id, outcome)))

    async def begin_child(self, path: str) -> None:
        """Have a child live that is in the journal, so that messages for it are taken; it may have begun nothing yet."""
        await self._tree.spawn_host(self, path)

    def keep(self, pending: Collection[str]) -> None:
        """End what runs for futures that nobody has any more; these are left."""
        for identity, scope in self._running.items():
            if identity not in pending:
                scope.cancel()

    def _begin(self, future: Recorded[object], do: Callable[[], Awaitable[object]]) -> None:
        assert self._nursery is not None
        scope = self._running.get(future.id)
        if scope is None:  # else it was begun by an object before this one, and goes on
            scope = self._running[future.id] = trio.CancelScope()
            name = f"{self._path}: {future.about}"
            self._nursery.start_soon(self._outcome, future.id, scope, do, name=name)
        future.end = scope.cancel

    async def _outcome(self, identity: str, scope: trio.CancelScope, do: Callable[[], Awaitable[object]]) -> None:
        with scope:
            outcome: Outcome[object]
            try:
                outcome = Value(await do())
            except Exception as error:
                outcome = Error(error)
            self.put(Done(identity, outcome))
        del self._running[identity]

    async def _effect(self, work: EffectOf, attempt: int, future: Recorded[object]) -> object:
        key = f"{self.identity}{self._path}/{future.id}"
        if attempt > 1 and work.mode is Mode.AT_MOST_ONCE:
            if work.reconcile is None:
                raise EffectUncertain(
                    f"{self._path}: {future.about} had begun when the process died, and may happen at most once: whether it "
                    f"did, nobody knows. Its key is {key!r}; give reconcile= to find out"
                )
            return await work.reconcile(key)

        def beat(progress: object) -> None:
            self.put(Beat(future.id, encode(progress)))

        call = partial(self.io.real_or_fake(work.afn), *work.args)
        about = f"{self._path}: {future.about}"
        attempts = Attempts(call, about, Effect(key, attempt, future.progress), work.heartbeat_s, beat)
        return await self.io(attempts, retry=work.retry, timeout_s=work.timeout_s)

    async def _timer(self, at: float) -> None:
        await self._driver.clock.sleep(max(0.0, at - self.now()))


def _nothing(_: object) -> bool:
    """No message is meant."""
    return False


def _row_of(path: str, beginning: Beginning) -> ActorRow:
    """The row of an actor that begins so; the numbers are the store's."""
    return ActorRow(path, beginning.behaviour, beginning.version, "live", 0, 0, 1, 0, 0, code_of(beginning.behaviour))
