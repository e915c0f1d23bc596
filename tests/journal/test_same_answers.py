"""J2: drawn batches, right and wrong ones: a journal in memory, one in a log and one in SQLite give the same answers."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.journal.keepers import in_a_log, in_memory, in_sqlite
from tests.kernel.planted import Planted

from histrio.testing.journal_conformance import Keeper
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Journal, Mail
from histrio_kernel.real.disk import RealDisk
from histrio_kernel.signals import Kind

PATHS = ("/", "/a", "/a/b", "/a0", "/ab", "/a/b/c")
paths = st.sampled_from(PATHS)
payloads = st.binary(max_size=3)
numbers = st.integers(1, 3)
keys = st.tuples(paths, paths, numbers)
rows = st.builds(
    ActorRow,
    path=paths,
    behaviour=st.sampled_from("BC"),
    version=numbers,
    state=st.sampled_from(["live", "ended"]),
    first_seq=numbers,
    last_seq=numbers,
    incarnation=numbers,
    records=numbers,
    bytes=numbers,
)
mails = st.builds(Mail, to=paths, sender=paths, number=numbers, payload=payloads, at=st.floats(allow_nan=False))
dead_letters = st.builds(DeadLetterRow, to=paths, sender=paths, payload=payloads, why=st.text(), at=st.just(0.5))


@st.composite
def batches(draw: st.DrawFn) -> tuple[Batch, Sequence[int]]:
    """A batch, and for each of its records how far its `seq` is from the right one."""
    records = draw(st.lists(st.tuples(paths, payloads, numbers), max_size=4))
    wrong = [draw(st.sampled_from([0] * 30 + [-1, 1])) for _ in records]
    batch = Batch(
        records=[Record(path, 0, incarnation, Kind.USE, "", payload, 0.0) for path, payload, incarnation in records],
        actors=draw(st.lists(rows, max_size=2)),
        sends=draw(st.lists(mails, max_size=2)),
        took=draw(st.lists(keys, max_size=2)),
        dead=draw(st.lists(dead_letters, max_size=1)),
        keep_from=draw(st.lists(st.tuples(paths, st.integers(0, 6)), max_size=2)),
        forget=draw(st.lists(paths, max_size=1)) if draw(st.integers(0, 5)) == 0 else [],
    )
    return batch, wrong


async def numbered(journal: Journal, batch: Batch, wrong: Sequence[int]) -> Batch:
    """The batch with each `seq` so far from what goes on where the journal ends."""
    last = {row.path: row.last_seq for row in await journal.actors()}
    for path in [path for path in last for top in batch.forget if f"{path}/".startswith(top.rstrip("/") + "/")]:
        last[path] = 0
    records: list[Record] = []
    for record, off in zip(batch.records, wrong, strict=True):
        last[record.path] = last.get(record.path, 0) + 1
        values = (record.incarnation, record.kind, record.key, record.payload, record.at)
        records.append(Record(record.path, last[record.path] + off, *values))
    return Batch(
        records=records, actors=batch.actors, sends=batch.sends, took=batch.took, dead=batch.dead,
        keep_from=batch.keep_from, forget=batch.forget,
    )  # fmt: skip


async def answer(journal: Journal, batch: Batch) -> object:
    """What it returns, or how it is refused."""
    try:
        return list(await journal.commit(batch))
    except Exception as error:
        return type(error), str(error)


async def everything(journal: Journal) -> object:
    """All that can be read."""
    records = [(path, list(await journal.records(path))) for path in PATHS]
    mail = [(path, list(await journal.mail(path))) for path in PATHS]
    return list(await journal.actors()), records, mail, list(await journal.dead_letters())


async def run(keepers: Sequence[Keeper], program: Sequence[tuple[Batch, Sequence[int]]]) -> None:
    """Give the program to all of them, and compare."""
    async with keepers[0].open() as first, keepers[1].open() as second, keepers[2].open() as third:
        for batch, wrong in program:
            each = await numbered(first, batch, wrong)
            expected = await answer(first, each)
            assert await answer(second, each) == expected
            assert await answer(third, each) == expected
        seen = await everything(first)
        assert await everything(second) == seen
        assert await everything(third) == seen
    for keeper in keepers:
        async with keeper.open() as journal:
            assert await everything(journal) == seen


@given(st.lists(batches(), max_size=8))
def test_the_same_answers(program: list[tuple[Batch, Sequence[int]]]) -> None:
    """J2, J5: whatever is committed, what is returned, refused and read is the same, also when it is opened again."""
    with tempfile.TemporaryDirectory() as folder:
        keepers = [in_memory(), in_a_log(RealDisk(Planted()), "/d/log"), in_sqlite(Path(folder) / "journal.db")]
        trio.run(run, keepers, program)
