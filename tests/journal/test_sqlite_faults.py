"""J2: what an SQLite journal does when its file is not as it should be, or cannot be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from tests.journal.keepers import changed
from tests.journal.owner import record

from histrio.testing import EscapedSimulation, World, simulate
from histrio_kernel.journal import opening
from histrio_kernel.journal.errors import (
    ForeignFile,
    JournalDamaged,
    JournalFailed,
    JournalInUse,
    JournalTooNew,
    SeqConflict,
)
from histrio_kernel.journal.schema import APPLICATION_ID
from histrio_kernel.journal.sqlite import SqliteJournal, open_sqlite
from histrio_kernel.journal.store import Batch


async def make(path: Path, records: int = 1, payload: bytes = b"x") -> None:
    """A journal with so many records."""
    async with open_sqlite(path) as journal:
        for seq in range(1, records + 1):
            await journal.commit(Batch(records=[record("/a", seq, payload)]))


async def opens(path: Path) -> None:
    """Open it, and close it."""
    async with open_sqlite(path):
        pass


async def in_its_thread(journal: SqliteJournal, sql: str) -> object:
    """What its own connection says."""
    assert journal._opened is not None
    connection = journal._opened.connection
    return await journal._thread.run(lambda: connection.execute(sql).fetchone())


async def commit_until_it_fails(journal: SqliteJournal, size: int = 5_000) -> tuple[int, JournalFailed]:
    """How many batches were acknowledged, and what became of the next one."""
    seq = 0
    while True:
        try:
            await journal.commit(Batch(records=[record("/a", seq + 1, bytes(size))]))
        except JournalFailed as error:
            return seq, error
        seq += 1


async def test_a_commit_is_synced(tmp_path: Path) -> None:
    """J2: WAL, and each commit is synced, not only a checkpoint."""
    async with open_sqlite(tmp_path / "journal.db") as journal:
        assert await in_its_thread(journal, "PRAGMA journal_mode") == ("wal",)
        assert await in_its_thread(journal, "PRAGMA synchronous") == (2,)


# -- what the file is ----------------------------------------------------------------------------------------------------


def other_database(path: Path, *statements: str) -> None:
    """A database of another program."""
    for statement in ("CREATE TABLE records (a)", *statements):
        changed(path, statement)


FOREIGN: dict[str, tuple[Callable[[Path], object], type[Exception]]] = {
    "a text": (lambda path: path.write_text("Dear diary\n" * 100), ForeignFile),
    "a short text": (lambda path: path.write_bytes(b"SQLite"), ForeignFile),
    "a database of somebody": (other_database, ForeignFile),
    "another program's": (lambda path: other_database(path, "PRAGMA application_id = 7"), ForeignFile),
    "in WAL mode": (lambda path: other_database(path, "PRAGMA journal_mode = WAL"), ForeignFile),
    "too new": (
        lambda path: other_database(path, f"PRAGMA application_id = {APPLICATION_ID}", "PRAGMA user_version = 2"),
        JournalTooNew,
    ),
    "a head of a database": (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(40)), JournalDamaged),
    "a folder": (lambda path: path.mkdir(), OSError),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("readonly", [False, True])
async def test_what_is_no_journal_is_refused_and_not_changed(tmp_path: Path, kind: str, readonly: bool) -> None:
    """J2: the error names the file, and neither it nor its folder has changed."""
    path = tmp_path / "thing"
    make_it, error = FOREIGN[kind]
    make_it(path)
    before = path.read_bytes() if path.is_file() else b""

    with pytest.raises(error, match=str(path)):
        async with open_sqlite(path, readonly=readonly):
            pass

    assert os.listdir(tmp_path) == ["thing"]
    assert path.is_dir() or path.read_bytes() == before


async def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    """J2: as one that was not there; and the `file` command can tell what it is."""
    path = tmp_path / "journal.db"
    path.touch()
    await make(path)

    assert struct.unpack(">I", path.read_bytes()[68:72]) == (APPLICATION_ID,)
    assert APPLICATION_ID.to_bytes(4, "big") == b"Hist"
    assert os.listdir(tmp_path) == ["journal.db"]


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """J2: the error names the folder; a tool does not make a journal."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await opens(tmp_path / "nowhere" / "journal.db")
    with pytest.raises(FileNotFoundError, match="no such journal"):
        async with open_sqlite(tmp_path / "journal.db", readonly=True):
            pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
async def test_a_file_that_was_cut_off(tmp_path: Path, part: float) -> None:
    """J2: the error says so, and the file is as it was."""
    path = tmp_path / "journal.db"
    await make(path, records=20, payload=bytes(5_000))
    with path.open("r+b") as file:
        file.truncate(max(60, int(path.stat().st_size * part)))
    size = path.stat().st_size

    with pytest.raises(JournalDamaged, match=str(path)):
        await opens(path)

    assert path.stat().st_size == size


@pytest.mark.parametrize("first", [1, 12])
async def test_a_page_that_is_no_page(tmp_path: Path, first: int) -> None:
    """J2: what SQLite finds wrong is damage, too, not an error of whoever reads."""
    path = tmp_path / "journal.db"
    await make(path, records=100, payload=bytes(500))
    with path.open("r+b") as file:
        file.seek(first * 4096)
        file.write(b"\xff" * (path.stat().st_size - first * 4096))

    with pytest.raises(JournalDamaged, match="not whole"):
        async with open_sqlite(path) as journal:
            await journal.records("/a")


async def test_a_creation_that_was_cut_off(tmp_path: Path) -> None:
    """J2: what is left of a first opening that was killed is no foreign file: it begins again."""
    path = tmp_path / "journal.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")  # so that it writes before it commits
    connection.execute("BEGIN")
    connection.execute("CREATE TABLE records (a)")
    connection.executemany("INSERT INTO records VALUES (?)", [(bytes(3_000),)] * 50)
    (tmp_path / "copy").mkdir()
    for name in os.listdir(tmp_path):
        if name.startswith("journal"):
            shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    connection.close()
    assert (tmp_path / "copy/journal.db").stat().st_size

    await make(tmp_path / "copy/journal.db")

    assert changed(tmp_path / "copy/journal.db", "SELECT path FROM actors") == [("/a",)]


# -- what cannot be written ----------------------------------------------------------------------------------------------


async def test_a_full_disk(tmp_path: Path) -> None:
    """J2: nobody is told what is not stored; the journal fails for good, and can be opened again at once."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path) as journal:
        await in_its_thread(journal, "PRAGMA max_page_count = 40")
        seq, error = await commit_until_it_fails(journal)
        assert isinstance(error.__cause__, sqlite3.OperationalError)
        assert "full" in str(error)
        assert "Make room" in str(error)
        assert seq > 3
        await in_its_thread(journal, "PRAGMA max_page_count = 4000")
        for _ in range(2):
            with pytest.raises(JournalFailed) as again:
                await journal.commit(Batch(records=[record("/b", 1)]))
            assert again.value is not error
            assert again.value.__cause__ is error.__cause__
        assert len(await journal.records("/a")) == seq

    async with open_sqlite(path) as journal:
        assert len(await journal.records("/a")) == seq
        await journal.commit(Batch(records=[record("/b", 1)]))


async def test_all_of_a_group_fail_together(tmp_path: Path) -> None:
    """J2: when the disk fails, nobody of the group is told that he is stored, and nobody is."""
    path = tmp_path / "journal.db"
    failed: list[int] = []

    async def commit(journal: SqliteJournal, number: int) -> None:
        with pytest.raises(JournalFailed):
            await journal.commit(Batch(records=[record(f"/{number}", 1, bytes(5_000))]))
        failed.append(number)

    async with open_sqlite(path) as journal:
        await in_its_thread(journal, "PRAGMA max_page_count = 40")
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(commit, journal, number)
        assert sorted(failed) == [*range(100)]
        assert journal.statistics().batches == 0
    async with open_sqlite(path) as journal:
        assert await journal.actors() == []


async def test_locked_by_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """J2: a lock that is not given back in time ends the journal; one that is, does not."""
    path = tmp_path / "journal.db"
    monkeypatch.setattr(opening, "JOURNAL_BUSY_S", 0.05)
    async with open_sqlite(path) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalFailed, match=r"locked.*End the program that holds it"):
            await journal.commit(Batch(records=[record("/a", 1)]))
        with pytest.raises(JournalInUse, match="locked"):
            await opens(path)
        other.close()
        with pytest.raises(JournalFailed, match="locked"):
            await journal.commit(Batch(records=[record("/a", 1)]))
    await opens(path)


async def test_a_reader_locks_nobody_out(tmp_path: Path) -> None:
    """J2: a tool that reads sees what was committed, and may take its time; it has no part in writing."""
    path = tmp_path / "journal.db"
    async with open_sqlite(path) as journal, open_sqlite(path, readonly=True) as tool:
        await journal.commit(Batch(records=[record("/a", 1)]))
        assert len(await tool.records("/a")) == 1
        await journal.commit(Batch(records=[record("/a", 2)]))
        assert len(await tool.records("/a")) == 2
        assert (journal.epoch, tool.epoch) == (1, 0)
        with pytest.raises(JournalFailed, match="read only"):
            await tool.commit(Batch(records=[record("/a", 3)]))
        await journal.commit(Batch(records=[record("/a", 3)]))


def mounted(*arguments: str) -> None:
    """Mount something, or skip the test."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount command here")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


def unmounted(folder: Path) -> None:
    """Take it away again."""
    subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Generator[None]:
    """Nothing in it can be written; root is asked by no mode, so for root it is mounted anew."""
    if os.geteuid():
        folder.chmod(0o555)
        for file in folder.iterdir():
            file.chmod(0o444)
        yield
        folder.chmod(0o755)
        return
    mounted("--bind", str(folder), str(folder))
    try:
        mounted("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        unmounted(folder)


async def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    """J2: it cannot be opened to be written, and a tool can read it all the same."""
    path = tmp_path / "folder" / "journal.db"
    path.parent.mkdir()
    await make(path, records=3)

    with read_only(path.parent):
        with pytest.raises(JournalFailed, match="cannot be opened"):
            await opens(path)
        with pytest.raises(JournalFailed, match="cannot be opened"):
            await opens(path.parent / "new.db")
        async with open_sqlite(path, readonly=True) as journal:
            assert len(await journal.records("/a")) == 3

    await opens(path)


@pytest.mark.parametrize("kilobytes", [200, 400])
async def test_a_disk_that_is_really_full(tmp_path: Path, kilobytes: int) -> None:
    """J2: ENOSPC of the operating system; what was acknowledged is there, and goes on when there is room."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder))
    try:
        path = folder / "journal.db"
        async with open_sqlite(path) as journal:
            seq, error = await commit_until_it_fails(journal)
            assert "Make room" in str(error) or "Look after its disk" in str(error)
        mounted("-o", "remount,size=4m", str(folder))
        async with open_sqlite(path) as journal:
            assert len(await journal.records("/a")) == seq
            await journal.commit(Batch(records=[record("/a", seq + 1)]))
    finally:
        unmounted(folder)


# -- what is wrong with a batch and not with the disk --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (record("/a\ud800", 1), UnicodeEncodeError),
        (record("/a", 1 << 70), SeqConflict),
        (record("/a", 1, payload=3), (TypeError, sqlite3.Error)),  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    ],
    ids=["a path", "a number", "a payload"],
)
async def test_a_value_that_cannot_be_stored_harms_nobody(tmp_path: Path, wrong: Any, error: Any) -> None:
    """J2: it is refused, and the journal goes on."""
    async with open_sqlite(tmp_path / "journal.db") as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.commit, Batch(records=[record("/b", 1)]))
            with pytest.raises(error):
                await journal.commit(Batch(records=[wrong]))
        await journal.commit(Batch(records=[record("/c", 1)]))
        assert [row.path for row in await journal.actors()] == ["/b", "/c"]


FORBIDDEN: Sequence[str] = (
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT mine",
    "RELEASE batch",
    "ROLLBACK TO batch",
    "PRAGMA synchronous = OFF",
    "ATTACH ':memory:' AS other",
    "DELETE FROM records",
    "UPDATE owner SET epoch = 7",
    "INSERT INTO mail (receiver, sender, number, payload, at) VALUES ('', '', 0, x'', 0)",
    "DROP TABLE actors",
    "ALTER TABLE actors ADD COLUMN mine",
    "CREATE TRIGGER mine AFTER INSERT ON records BEGIN SELECT 1; END",
    "CREATE INDEX mine ON records (key)",
)


@pytest.mark.parametrize("sql", FORBIDDEN)
async def test_an_effect_cannot_touch_the_journal(tmp_path: Path, sql: str) -> None:
    """J6: it neither ends the transaction nor changes our tables; the others of its group are stored."""

    def call(connection: sqlite3.Connection) -> bytes:
        connection.execute(sql)
        return b""

    def look(connection: sqlite3.Connection) -> bytes:
        return b"%d" % connection.execute("SELECT count(*) FROM records").fetchone()[0]

    async with open_sqlite(tmp_path / "journal.db") as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.commit, Batch(records=[record("/b", 1)]))
            with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|prohibited"):
                await journal.commit(Batch(records=[record("/a", 1)], transact=(0, call)))
        (stored,) = await journal.commit(Batch(records=[record("/a", 1)], transact=(0, look)))
        assert stored.payload == b"1"


async def test_an_effect_that_closes_the_connection(tmp_path: Path) -> None:
    """J6: nothing is certain any more, so the journal fails, and what was acknowledged is there."""

    def call(connection: sqlite3.Connection) -> bytes:
        connection.close()
        return b""

    path = tmp_path / "journal.db"
    await make(path)
    async with open_sqlite(path) as journal:
        with pytest.raises(JournalFailed):
            await journal.commit(Batch(records=[record("/a", 2)], transact=(0, call)))
        with pytest.raises(JournalFailed):
            await journal.commit(Batch(records=[record("/a", 2)]))
    async with open_sqlite(path, readonly=True) as journal:
        assert len(await journal.records("/a")) == 1


async def test_an_effect_that_fills_the_disk(tmp_path: Path) -> None:
    """J6: a full disk in somebody's effect is one of the journal; a mistake in his SQL is not."""

    def fill(connection: sqlite3.Connection) -> bytes:
        connection.execute("CREATE TABLE mine (a)")
        connection.executemany("INSERT INTO mine VALUES (?)", [(bytes(5_000),)] * 100)
        return b""

    def mistake(connection: sqlite3.Connection) -> bytes:
        connection.execute("SELECT * FROM not_there")
        return b""

    async with open_sqlite(tmp_path / "journal.db") as journal:
        await in_its_thread(journal, "PRAGMA max_page_count = 40")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await journal.commit(Batch(records=[record("/a", 1)], transact=(0, mistake)))
        await journal.commit(Batch(records=[record("/a", 1)]))
        with pytest.raises(JournalFailed, match="full"):
            await journal.commit(Batch(records=[record("/a", 2)], transact=(0, fill)))
        with pytest.raises(JournalFailed, match="full"):
            await journal.commit(Batch(records=[record("/a", 2)]))


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL])
async def test_a_disk_that_fails_in_an_effect(tmp_path: Path, code: int) -> None:
    """J6: such an error is the journal's, also where SQLite has undone no more than a statement."""

    def fail(_: sqlite3.Connection) -> bytes:
        error = sqlite3.OperationalError("as SQLite raises it")
        error.sqlite_errorcode = code
        raise error

    async with open_sqlite(tmp_path / "journal.db") as journal:
        for _ in range(2):
            with pytest.raises(JournalFailed, match="as SQLite raises it"):
                await journal.commit(Batch(records=[record("/a", 1)], transact=(0, fail)))


def test_it_is_not_for_simulations(tmp_path: Path) -> None:
    """D2: its thread and its file are of the real world; the error says so."""

    async def main(world: World) -> None:
        await opens(tmp_path / "journal.db")

    with pytest.raises(EscapedSimulation, match="thread"):
        simulate(main)
