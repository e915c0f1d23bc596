"""Durable actors: messages, beside SQLite itself and beside the library `eventsourcing`; and how soon they are back.

A message is an ask that is answered when it is in the journal: each actor has one client, who asks again when it is answered.
Wall clock, since the disk does a part of the work; on the disk of the current directory, because a temporary directory may be
memory.
"""

# Design note
# -----------
# The bare peer is what somebody writes who needs nothing but the rows: a thread that has the connection, everybody who
# waits in one transaction, a row for the message and one for the answer. It makes no values of bytes, knows no actors, and
# could not do anything again.
#
# `eventsourcing` keeps the aggregates in its cache, so nothing is read from its database while messages come; each is one
# event, saved in a transaction of its own, as its users do it.

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

import attrs
import trio
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

import histrio
from histrio.durable import ContinueAs, DurableActor, DurableRef, DurableTree, open_tree
from histrio_kernel.combine import Combiner, Job
from histrio_kernel.journal.sqlite import open_sqlite
from histrio_kernel.journal.writer import WriterThread
from tests.benchmarks.measure import Row, Stopwatch, on_disk

__all__ = ["ROWS"]

_FILE: Final = "durable.db"


@attrs.frozen
class Add(histrio.Request[int]):
    """Add, and say the sum."""

    amount: int


class Sum(DurableActor[Add], behaviour="benchmarks.sum"):
    """Adds up."""

    def __init__(self) -> None:
        self.total = 0

    @histrio.handler(Add)
    async def add(self, add: Add) -> int:
        """See `Add`."""
        self.total += add.amount
        return self.total


def _in_tree(path: Path, main: Callable[[DurableTree], Awaitable[float]]) -> float:
    async def run() -> float:
        async with (
            histrio.open_system() as system,
            open_sqlite(path / _FILE) as journal,
            open_tree(system, journal) as tree,
        ):
            return await main(tree)

    return trio.run(run)


async def _all(clients: Sequence[Callable[[], Awaitable[None]]], messages: int) -> float:
    """Have them all send what they have to send; microseconds for each message."""
    with Stopwatch(time.perf_counter) as watch:
        async with trio.open_nursery() as nursery:
            for client in clients:
                nursery.start_soon(client)
    return watch.us_per(messages)


def ours(actors: int, messages: int) -> float:
    """Durable actors."""
    each = max(1, messages // actors)

    async def main(tree: DurableTree) -> float:
        refs: list[DurableRef[Add]] = []

        async def spawn(number: int) -> None:
            refs.append(await tree.spawn(Sum, name=f"sum-{number}"))

        async def client(number: int) -> None:
            for count in range(each):
                assert await refs[number].ask(Add(1)) == count + 1

        await _all([partial(spawn, number) for number in range(actors)], actors)
        return await _all([partial(client, number) for number in range(actors)], actors * each)

    with on_disk() as path:
        return _in_tree(Path(path), main)


class _Rows(Job):
    __slots__ = ("rows",)

    def __init__(self, rows: Sequence[tuple[str, int, bytes]]) -> None:
        super().__init__()
        self.rows: Final = rows


def bare(writers: int, messages: int) -> float:
    """SQLite with group commit: two rows for a message."""
    each = max(1, messages // writers)
    connections: list[sqlite3.Connection] = []

    def connect(path: Path) -> None:
        connection = sqlite3.connect(path / _FILE, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(
            "CREATE TABLE rows (path TEXT, seq INTEGER, payload BLOB, PRIMARY KEY (path, seq)) WITHOUT ROWID"
        )
        connections.append(connection)

    def store(trip: Sequence[_Rows]) -> None:
        (connection,) = connections
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?)", [row for job in trip for row in job.rows])
        connection.execute("COMMIT")
        for job in trip:
            job.settle()

    async def main(path: Path) -> float:
        thread = WriterThread("bare SQLite", 1.0, lambda: None)

        async def travel(trip: Sequence[_Rows]) -> None:
            await thread.run(store, trip)

        line: Combiner[_Rows] = Combiner(lambda waiting: sum(1 for _ in islice(waiting, 1_000)), travel)

        async def client(number: int) -> None:
            for count in range(each):
                message, answer = b"add 1".ljust(32), b"%d" % (count + 1)
                await line.do(_Rows([(f"/{number}", 2 * count, message), (f"/{number}", 2 * count + 1, answer)]))

        await thread.run(connect, path)
        try:
            return await _all([partial(client, number) for number in range(writers)], writers * each)
        finally:
            await thread.run(connections[0].close)
            thread.end()

    with on_disk() as path:
        return trio.run(main, Path(path))


class Tally(Aggregate):
    """What `Sum` is, as an aggregate."""

    def __init__(self) -> None:
        self.total = 0

    @event("Added")
    def add(self, amount: int) -> None:
        """Add."""
        self.total += amount


def _application(path: Path) -> Application[UUID]:
    environment = {
        "PERSISTENCE_MODULE": "eventsourcing.sqlite",
        "SQLITE_DBNAME": str(path / _FILE),
        "AGGREGATE_CACHE_MAXSIZE": "2000",
    }
    return Application(environment)


def sourced(aggregates: int, messages: int) -> float:
    """Aggregates of `eventsourcing`."""
    each = max(1, messages // aggregates)
    with on_disk() as path:
        application = _application(Path(path))
        identities: list[UUID] = []
        for _ in range(aggregates):
            made = Tally()
            application.save(made)
            identities.append(made.id)
        with Stopwatch(time.perf_counter) as watch:
            for count in range(each):
                for identity in identities:
                    tally: Tally = application.repository.get(identity)
                    tally.add(1)
                    application.save(tally)
                    assert tally.total == count + 1
        application.close()
    return watch.us_per(aggregates * each)


# -- how soon an actor is back ---------------------------------------------------------------------------------------


@attrs.frozen
class Make(histrio.Request[object]):
    """Make so many signals; for 0, begin anew."""

    signals: int


class Busy(DurableActor[Make], behaviour="benchmarks.busy"):
    """See `Make`."""

    records_warn = records_max = 200_000

    @histrio.handler(Make)
    async def make(self, make: Make) -> object:
        """Each name makes one."""
        for number in range(make.signals):
            self.patched(f"{number}")
        return None if make.signals else ContinueAs(Busy)


async def _opened(path: Path) -> float:
    """Seconds until the actors of that journal live again."""
    async with histrio.open_system() as system:
        with Stopwatch(time.perf_counter) as watch:
            async with open_sqlite(path / _FILE) as journal, open_tree(system, journal) as tree:
                assert set(tree.states().values()) == {"live"}
    return watch.seconds


def restarted_ms(signals: int) -> float:
    """Milliseconds to have an actor back that has had so many signals, and rolled them up."""

    async def main(tree: DurableTree) -> float:
        busy = await tree.spawn(Busy, name="busy")
        for _ in range(max(1, signals // 1_000)):
            await busy.ask(Make(min(signals, 1_000)))
        await busy.ask(Make(0))
        return 0.0

    with on_disk() as path:
        _in_tree(Path(path), main)
        return trio.run(_opened, Path(path)) * 1_000


def replayed(messages: int) -> float:
    """Microseconds to do a message again: two signals."""

    async def main(tree: DurableTree) -> float:
        refs = [await tree.spawn(Sum, name=f"sum-{number}") for number in range(20)]

        async def client(number: int) -> None:
            for _ in range(max(1, messages // 20)):
                await refs[number].ask(Add(1))

        return await _all([partial(client, number) for number in range(20)], messages)

    with on_disk() as path:
        _in_tree(Path(path), main)
        return trio.run(_opened, Path(path)) * 1e6 / messages


def sourced_again(events: int) -> float:
    """Microseconds to apply an event of `eventsourcing` again."""
    with on_disk() as path:
        application = _application(Path(path))
        tallies = [Tally() for _ in range(20)]
        for tally in tallies:
            for _ in range(max(1, events // 20)):
                tally.add(1)
            application.save(tally)
        application.close()
        with Stopwatch(time.perf_counter) as watch:
            application = _application(Path(path))
            for tally in tallies:
                assert application.repository.get(tally.id).version == max(1, events // 20) + 1
        application.close()
    return watch.us_per(events)


_UNIT: Final = "us/message, wall clock"

ROWS: Final = (
    *(
        Row(
            name=f"durable messages, {actors} actor{'s' if actors > 1 else ''}, beside bare SQLite",
            unit=_UNIT, ours=partial(ours, actors), peer=partial(bare, actors), budget=0.3, size=size, peer_size=size,
            quick=0.2,
        )
        # of the many, twice as many messages: in a shorter timing one slow sync of the disk is most of what differs
        for actors, size in ((1, 500), (100, 5_000), (1_000, 20_000))
    ),
    *(
        Row(
            name=f"durable messages, {actors} actors, beside eventsourcing",
            unit=_UNIT, ours=partial(ours, actors), peer=partial(sourced, actors), budget=3, size=size, peer_size=1_000,
            quick=0.2,
        )
        for actors, size in ((100, 5_000), (1_000, 10_000))
    ),
    Row(
        name="durable messages done again, beside eventsourcing",
        unit=_UNIT, ours=replayed, peer=sourced_again, budget=0.3, size=5_000, peer_size=5_000, quick=0.2,
    ),
    Row(
        name="restart after 100,000 signals and a ContinueAs",
        unit="ms, wall clock", ours=restarted_ms, limit=50, higher_is_better=False, size=100_000, peer_size=1, quick=0.05,
    ),
)  # fmt: skip
