"""A process whose children roll up the past of a durable actor, each on a copy of one journal, and are killed meanwhile.

One child is killed before each SQL statement of the transactions that write, one after the last, and some inside of
statements, before one operation of SQLite's machine.
"""

# The children are forks of a process that has no threads; each has a Trio of its own, and the thread of its journal.

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

import histrio
from histrio.durable import ContinueAs, DurableActor, DurableRef, DurableTree, open_tree
from histrio_kernel.journal.sqlite import SqliteJournal, open_sqlite
from histrio_kernel.journal.tables import Tables
from histrio_kernel.signals import Kind

__all__ = ["IN_TWO", "NUMBERS", "SQL", "Total", "journals_of_killed", "tree_in"]

NUMBERS: Final = (1, 2, 3, 4)
KILLED: Final = 9
ROOT: Final = Path(__file__).resolve().parent.parent.parent


@attrs.frozen
class Total(histrio.Request[int]):
    """What is the sum?"""


class Ledger(DurableActor[int | Total], behaviour="killed ledger"):
    """Adds up."""

    def __init__(self, total: int) -> None:
        self.total = total

    @histrio.handler(Total)
    async def tell(self, message: Total) -> int:
        return self.total


class Rolling(Ledger, behaviour="killed rolling"):
    """A ledger that begins anew when it is told 0."""

    async def receive(self, message: int | Total) -> object:
        assert isinstance(message, int)
        if not message:
            return ContinueAs(Rolling, self.total)
        self.total += message
        return None


class Snapping(Ledger, behaviour="killed snapping"):
    """A ledger that has a snapshot after its seventh record: its beginning, four numbers, a restart, and the 0."""

    snapshot_every = 7

    def snapshot(self) -> object:
        return self.total

    async def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, int)
        self.total = snapshot

    @histrio.handler(int)
    async def add(self, number: int) -> None:
        self.total += number


class Sender(DurableActor[int], behaviour="killed sender"):
    """Tells the ledger, so that the message is in the journal from one transaction to another."""

    def __init__(self, ledger: DurableRef[int | Total]) -> None:
        self.ledger = ledger

    @histrio.handler(int)
    async def send(self, number: int) -> None:
        await self.ledger.tell(number)


CUT: Final = Tables.cut


def cut_later(tables: Tables, path: str, below: int) -> tuple[int, int]:
    """As `Tables.cut`, but what is new is committed before what is old goes."""
    for statement in ("RELEASE batch", "COMMIT", "BEGIN IMMEDIATE", "SAVEPOINT batch"):
        tables._connection.execute(statement)
    return CUT(tables, path, below)


SQL: Final = "statement"
OPERATION: Final = "operation"
IN_TWO: Final = "in two transactions"
WAYS: Final[dict[str, type[Rolling | Snapping]]] = {"ContinueAs": Rolling, "snapshot": Snapping, IN_TWO: Rolling}
"""The last is wrong on purpose."""
COMMITS: Final = {"ContinueAs": 2, "snapshot": 3, IN_TWO: 2}
"""So many transactions: the sender's, the ledger's, and that of the snapshot."""


@asynccontextmanager
async def tree_in(path: Path) -> AsyncGenerator[tuple[SqliteJournal, DurableTree]]:
    """The tree of a journal, in a system of its own."""
    async with (
        histrio.open_system() as system,
        open_sqlite(path) as journal,
        open_tree(system, journal) as tree,
    ):
        yield journal, tree


async def prepare(path: Path, way: str) -> None:
    """A ledger with a past."""
    async with tree_in(path) as (journal, tree):
        ledger = await tree.spawn(WAYS[way], 0, name="ledger")
        await tree.spawn(Sender, ledger, name="sender")
        for number in NUMBERS:
            await ledger.tell(number)
        while len(await journal.records("/ledger")) < 1 + len(NUMBERS):  # noqa: ASYNC110 - what is stored has no event
            await trio.sleep(0.001)


class Places:
    """Counts what a connection does while it writes, and ends the process there."""

    def __init__(self, what: str, last: int | None) -> None:
        self.of: Final = what
        self.last: Final = last
        self.passed = 0
        self.writes = False

    def on_statement(self, statement: str) -> None:
        """Before a statement."""
        self.writes = self.writes or statement == "BEGIN IMMEDIATE"
        if self.writes and self.of == SQL:
            self.on_place()
        if statement == "BEGIN":  # that of a reader: the first after a commit
            self.writes = False

    def on_operation(self) -> int:
        """Before an operation."""
        if self.writes and self.of == OPERATION:
            self.on_place()
        return 0

    def on_place(self) -> None:
        """Here, or not."""
        if self.passed == self.last:
            os._exit(KILLED)
        self.passed += 1

    def watch(self, connection: sqlite3.Connection | None) -> None:
        """From now on, in the thread of the connection."""
        assert connection is not None
        connection.set_trace_callback(self.on_statement)
        connection.set_progress_handler(self.on_operation, 1)


async def roll_up(path: Path, way: str, places: Places) -> None:
    """Let the past be rolled up."""
    async with tree_in(path) as (journal, tree):
        assert journal._opened is not None
        await journal._thread.run(places.watch, journal._opened.connection)
        commits = journal.statistics().batches + COMMITS[way]
        await tree.ref("/sender").tell(0)
        while journal.statistics().batches < commits:  # noqa: ASYNC110 - as above; to read is a statement, too
            await trio.sleep(0.001)
        assert (await journal.records("/ledger"))[0].kind is Kind.TRANSITION
    path.with_suffix(".total").write_text(str(places.passed), encoding="utf-8")


def in_a_child(main: Callable[[], Awaitable[None]]) -> int:
    """What becomes of a process that does that."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        trio.run(main)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(folder: Path, way: str, kills: int) -> None:
    """Have so many children killed, half of them before a statement; fewer, if there are not so many."""
    if way == IN_TWO:
        setattr(Tables, "cut", cut_later)  # noqa: B010 - it is wrong on purpose
    first = folder / "journal.db"
    assert in_a_child(partial(prepare, first, way)) == 0

    def child(what: str, last: int | None = None) -> Path:
        copy = folder / f"{what}-{'all' if last is None else last}.db"
        shutil.copy(first, copy)
        assert in_a_child(partial(roll_up, copy, way, Places(what, last))) == (0 if last is None else KILLED)
        return copy

    for what in (SQL, OPERATION):
        total = int(child(what).with_suffix(".total").read_text(encoding="utf-8"))
        for last in range(total - 1, -1, -max(1, 2 * total // kills)):
            child(what, last)


def journals_of_killed(folder: Path, way: str, kills: int) -> list[Path]:
    """What each of them has left, and what two have that were not killed."""
    subprocess.run([sys.executable, "-m", __name__, str(folder), way, str(kills)], cwd=ROOT, check=True)
    return sorted(folder.glob("*-*.db"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
