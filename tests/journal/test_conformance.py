"""J2, J5, J6: every journal of ours keeps what the suite asks of anybody's, in memory, in a log, and in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import attrs
import msgspec
import pytest
import trio
from tests.journal.keepers import in_a_log, in_memory, in_sqlite

from histrio.testing import World, simulate
from histrio.testing.journal_conformance import CHECKS, Keeper, check_journal
from histrio.testing.journal_words import a_record
from histrio_kernel.combine import Rest
from histrio_kernel.journal.errors import JournalDamaged, SeqConflict
from histrio_kernel.journal.logged import open_logged
from histrio_kernel.journal.memory import MemoryJournal
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.sqlite import open_sqlite
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Journal, Mail
from histrio_kernel.journal.stored import Stored
from histrio_kernel.parking import again
from histrio_kernel.real.disk import RealDisk

Check = Callable[[Keeper], Awaitable[None]]

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


@each_check
async def test_in_memory(check: Check) -> None:
    """J2: the journal in memory gives the same answers."""
    await check(in_memory())


@each_check
async def test_in_sqlite(check: Check, tmp_path: Path) -> None:
    """J2: one transaction for all that wait; each batch whole or not at all."""
    await check(in_sqlite(tmp_path / "journal.db"))


@each_check
async def test_in_a_log(check: Check, tmp_path: Path) -> None:
    """J2: the log on the operating system's disk."""
    await check(in_a_log(RealDisk(), str(tmp_path / "journal.log")))


@each_check
@pytest.mark.parametrize("seed", range(3))
def test_in_a_simulated_log(check: Check, seed: int) -> None:
    """J2, D2: the log on a simulated disk, where every order is the simulator's choice."""

    async def main(world: World) -> None:
        await check(in_a_log(world.disk, "/journal"))

    simulate(main, seed)


# -- the suite finds what is wrong ---------------------------------------------------------------------------------------


@attrs.define
class Bent:
    """A journal in memory with a mistake: what it does with a batch, or with what is read."""

    inner: MemoryJournal
    bend: Callable[[Batch], Sequence[Batch]] = lambda batch: [batch]
    bend_mail: Callable[[Sequence[Mail]], Sequence[Mail]] = list
    swallow: bool = False
    asks_first: bool = False
    another_each_time: bool = False

    async def __aenter__(self) -> Bent:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def identity(self) -> str:
        return f"{self.inner.identity}{id(self) if self.another_each_time else ''}"

    async def commit(self, batch: Batch, rest: Rest | None = None) -> Sequence[Record]:
        stored: list[Record] = []
        if self.asks_first and rest is not None and rest.rests():
            await again(rest.request)
        try:
            for each in self.bend(batch):
                stored += await self.inner.commit(each)
        except SeqConflict:
            if not self.swallow:
                raise
        return stored

    async def records(self, path: str, after: int = 0) -> Sequence[Record]:
        return await self.inner.records(path, after)

    async def actors(self) -> Sequence[ActorRow]:
        return await self.inner.actors()

    async def mail(self, path: str) -> Sequence[Mail]:
        return self.bend_mail(await self.inner.mail(path))

    async def dead_letters(self) -> Sequence[DeadLetterRow]:
        return await self.inner.dead_letters()

    async def aclose(self) -> None:
        await self.inner.aclose()


def parts(batch: Batch) -> Sequence[Batch]:
    """Each record by itself, and then the rest."""
    return [*(Batch(records=[record]) for record in batch.records), msgspec.structs.replace(batch, records=())]


def without(change: Callable[[Batch], Batch]) -> Callable[[Batch], Sequence[Batch]]:
    """All but one thing."""
    return lambda batch: [change(batch)]


def by_their_names(batch: Batch) -> Sequence[Batch]:
    """Forgets those, too, whose names only begin alike."""
    return [msgspec.structs.replace(batch, forget=[*batch.forget, *(f"{path}b" for path in batch.forget)])]


MISTAKES: dict[str, Callable[[Stored], Bent]] = {
    "a batch in parts": lambda stored: Bent(MemoryJournal(stored), parts),
    "no roll-up": lambda stored: Bent(
        MemoryJournal(stored), without(lambda batch: msgspec.structs.replace(batch, keep_from=()))
    ),
    "nobody is forgotten": lambda stored: Bent(
        MemoryJournal(stored), without(lambda batch: msgspec.structs.replace(batch, forget=()))
    ),
    "too many are forgotten": lambda stored: Bent(MemoryJournal(stored), by_their_names),
    "mail stays": lambda stored: Bent(
        MemoryJournal(stored), without(lambda batch: msgspec.structs.replace(batch, took=()))
    ),
    "mail is lost": lambda stored: Bent(
        MemoryJournal(stored), without(lambda batch: msgspec.structs.replace(batch, sends=()))
    ),
    "dead letters are lost": lambda stored: Bent(
        MemoryJournal(stored), without(lambda batch: msgspec.structs.replace(batch, dead=()))
    ),
    "rows are lost": lambda stored: Bent(
        MemoryJournal(stored), without(lambda batch: msgspec.structs.replace(batch, actors=()))
    ),
    "mail in another order": lambda stored: Bent(MemoryJournal(stored), bend_mail=lambda mail: mail[::-1]),
    "no word of a conflict": lambda stored: Bent(MemoryJournal(stored), swallow=True),
    "asked before it is stored": lambda stored: Bent(MemoryJournal(stored), asks_first=True),
    "another each time": lambda stored: Bent(MemoryJournal(stored), another_each_time=True),
    "nothing is kept": lambda _: Bent(MemoryJournal()),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_the_suite_finds_a_mistake(mistake: str) -> None:
    """J2: a journal that does one thing otherwise does not pass."""

    def make() -> Keeper:
        stored = Stored()
        return Keeper(open=lambda: MISTAKES[mistake](stored))

    with pytest.raises(AssertionError):
        await check_journal(make)


async def test_what_bends_nothing_passes() -> None:
    """J2: those above fail by their mistakes, and nothing else."""

    def make() -> Keeper:
        stored = Stored()
        return Keeper(open=lambda: Bent(MemoryJournal(stored)))

    await check_journal(make)


@pytest.mark.parametrize("error", [KeyError("a mistake"), SystemExit(3)])
async def test_what_one_effect_raises_is_nobody_elses(error: BaseException, tmp_path: Path) -> None:
    """J6: whatever it is: among those that are stored together, only its own commit raises it."""

    def raise_it(_: sqlite3.Connection) -> bytes:
        raise error

    for keeper in (in_memory(), in_sqlite(tmp_path / "journal.db")):
        raised: list[BaseException] = []

        async def commit(journal: Journal, batch: Batch, raised: list[BaseException] = raised) -> None:
            try:
                await journal.commit(batch)
            except BaseException as mine:
                raised.append(mine)

        async with keeper.open() as journal, trio.open_nursery() as nursery:
            for number in range(4):
                transact = (0, raise_it) if number == 2 else None
                batch = Batch(records=[a_record(f"/{number}", 1)], transact=transact)
                nursery.start_soon(commit, journal, batch)
        assert [type(one) for one in raised] == [type(error)]
        async with keeper.open() as journal:
            assert [row.path for row in await journal.actors()] == ["/0", "/1", "/3"]


async def test_a_digest_that_was_said_to_fit_is_looked_at_when_it_is_read(tmp_path: Path) -> None:
    """J2: whoever commits is believed that it has just made its digests; whoever reads believes nobody."""
    wrong = msgspec.structs.replace(a_record("/a", 1), digest=b"12345678")
    for keeper in (
        in_memory(),
        in_sqlite(tmp_path / "journal.db"),
        in_a_log(RealDisk(), str(tmp_path / "journal.log")),
    ):
        async with keeper.open() as journal:
            with pytest.raises(ValueError, match="digest of another payload"):
                await journal.commit(Batch(records=[wrong]))
            await journal.commit(Batch(records=[wrong], has_digests=True))
            with pytest.raises(JournalDamaged, match="/a: record 1 is damaged"):
                await journal.records("/a")


def test_no_two_have_one_identity(tmp_path: Path) -> None:
    """J6: keys begin with it, so a journal that is begun anew repeats none."""

    async def identities() -> set[str]:
        found: set[str] = set()
        for number in range(3):
            async with open_sqlite(tmp_path / f"{number}.db") as journal:
                found.add(journal.identity)
            async with open_logged(RealDisk(), str(tmp_path / f"{number}.log")) as journal:
                found.add(journal.identity)
            found.add(MemoryJournal().identity)
        return found

    assert len(trio.run(identities)) == 9
