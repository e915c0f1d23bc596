"""J3: a tree of three levels goes on from every prefix of a recorded run, to the same bytes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Final

import attrs
import msgspec
import pytest
import trio
from tests.conftest import Show
from tests.durable import levels
from tests.durable.levels import CHANGED, IDENTITY, PATH, Build, Count, Told, go_on, journal_on, open_house, trace
from tests.effort import count

from histrio.durable import NonDeterminism, Quarantined
from histrio.durable.dry import replay
from histrio.testing import World, simulate
from histrio_kernel.journal.logged import _Entry
from histrio_kernel.journal.record import Record
from histrio_kernel.log import Log
from histrio_kernel.signals import Kind

ORDERS: Final = (Build(1), Build(5))

Records = Mapping[str, Sequence[Record]]


@attrs.frozen
class Recorded:
    """A run that was not cut.

    Attributes:
        commits: the log's first record, and then each commit, also of those that shared an append.
        records: all that was kept, by path.
    """

    commits: Sequence[bytes]
    records: Records


async def run_whole(world: World) -> Recorded:
    """To the end."""
    async with open_house(await world.start(), world.disk, world.notes) as tree:
        await go_on(tree, ORDERS, world.notes)
    records = await all_records(world)
    async with await Log.open(world.disk, PATH) as log:
        begins, *groups = log.take_recovered()
    entries = [entry for group in groups for entry in msgspec.msgpack.decode(group, type=list[msgspec.Raw])]
    return Recorded([begins, *(msgspec.msgpack.encode([entry]) for entry in entries)], records)


async def all_records(world: World) -> Records:
    """What is in the journal, by path."""
    async with journal_on(world.disk) as journal:
        return {row.path: await journal.records(row.path) for row in await journal.actors()}


async def until(world: World, commits: Sequence[bytes]) -> Records:
    """The journal is as it was after these, and it is as late as it was."""
    async with await Log.open(world.disk, PATH) as log:
        for commit in commits:
            await log.append(commit)
    records = await all_records(world)
    await trio.sleep(max((each.at for kept in records.values() for each in kept), default=0.0))
    return records


async def from_a_prefix(world: World, commits: Sequence[bytes], whole: Records) -> None:
    """What was recorded stays as it is and is not asked for again, and what follows is what followed."""
    before = await until(world, commits)
    async with open_house(await world.start(), world.disk, world.notes) as tree:
        await go_on(tree, ORDERS, world.notes)
    after = await all_records(world)

    assert after.keys() == whole.keys()
    for path, kept in after.items():
        past = before.get(path, [])
        assert kept[: len(past)] == past
        assert trace(past) + trace(kept[len(past) :]) == trace(whole[path])
    known = {
        f"{IDENTITY}{path}/{each.key}" for path, kept in before.items() for each in kept if each.kind is Kind.RESOLVED
    }
    assert known.isdisjoint(each.value for each in world.notes if isinstance(each, Told) and each.what == "began")


@cache
def recorded(seed: int) -> Recorded:
    """A run under that seed."""
    return simulate(run_whole, seed).value


@pytest.mark.alarm(3_600)
def test_it_goes_on_from_every_prefix(show: Show) -> None:
    """J3: from each prefix of the commits the records of all paths come out with the same bytes, under the same seed."""
    wanted, done, seed = count("durable_prefixes"), 0, 0
    while done < wanted:
        whole = recorded(seed)
        step = max(1, len(whole.commits) // (wanted - done))
        for length in range(1, len(whole.commits) + 1, step):
            simulate(partial(from_a_prefix, commits=whole.commits[:length], whole=whole.records), seed)
            done += 1
        seed += 1
    show(f"J3: a tree of three levels, gone on from {done} prefixes of {seed} recorded runs, to the same bytes")


def test_what_comes_out_otherwise_is_seen() -> None:
    """J3: the test above can fail: if the code does something else after the prefix, the bytes differ."""
    CHANGED["/firm/crew#4/mason#1"] = 1
    try:
        with pytest.raises(AssertionError):
            simulate(partial(from_a_prefix, commits=recorded(0).commits[:1], whole=recorded(0).records))
    finally:
        CHANGED.clear()


def test_every_prefix_of_the_records_is_done_again() -> None:
    """J3: the records of each path up to each of them come out as they are; cut inside of a step they are not taken for whole."""
    whole = recorded(0)
    ends: set[tuple[str, int]] = set()

    async def main() -> None:
        for path, records in whole.records.items():
            for record in records:
                assert (await replay(records, record.seq, identity=IDENTITY)).error is None
                error = (await replay(records[: record.seq], identity=IDENTITY)).error
                assert (error is None) == ((path, record.seq) in ends), (path, record.seq, error)

    for commit in whole.commits[1:]:
        ends.update({each.path: (each.path, each.seq) for each in records_of(commit)}.values())
    trio.run(main)


def test_a_message_that_has_changed_is_noticed() -> None:
    """J3: one SEND payload changed in the code: the error names the actor, the record, both values and the line; the actor is
    quarantined, its siblings run to their ends, and with the code as it was all ends as if nothing had been.
    """
    whole = recorded(0)
    path, sibling = "/firm/crew#1/mason#1", "/firm/crew#2/mason#1"
    (seq, *_) = [each.seq for each in whole.records[path] if (each.kind, each.key) == (Kind.SEND, "/firm/crew#1")]
    commits = list(up_to(whole, path, seq))

    async def changed(world: World) -> None:
        before = await until(world, commits)
        async with open_house(await world.start(), world.disk, world.notes) as tree:
            assert tree.states()[sibling] == tree.states()["/firm/crew#2"] == "live"
            with pytest.raises(Quarantined) as caught:
                await tree.ref(path).ask(Count(0))
            await world.settle()
            states = tree.states()
        assert {at for at, state in states.items() if state == "quarantined"} == {path}
        assert states[sibling] == states["/firm/crew#2"] == "ended"
        error = caught.value.__cause__
        assert isinstance(error, NonDeterminism)
        assert (error.path, error.seq) == (path, seq)
        assert error.recorded == "SEND /firm/crew#1 Laid(number=8)"
        assert error.got == "SEND /firm/crew#1 Laid(number=107)"
        assert error.line.endswith(f"levels.py:{line_of('self.crew.tell')} in lay")
        for part in (path, str(seq), error.recorded, error.got, error.line):
            assert part in str(error)
        after = await all_records(world)
        assert after[path] == before[path]
        assert trace(after[sibling]) == trace(whole.records[sibling])

        CHANGED.clear()
        async with open_house(await world.start(), world.disk, world.notes) as tree:
            await go_on(tree, ORDERS, world.notes)
        mended = await all_records(world)
        assert {at: trace(kept) for at, kept in mended.items()} == {
            at: trace(kept) for at, kept in whole.records.items()
        }

    CHANGED[path] = 99
    try:
        simulate(changed)
    finally:
        CHANGED.clear()


def up_to(whole: Recorded, path: str, seq: int) -> Iterator[bytes]:
    """The commits up to the one that has that record."""
    begins, *commits = whole.commits
    yield begins
    for commit in commits:
        yield commit
        if any(path == each.path and each.seq >= seq for each in records_of(commit)):
            return


def records_of(commit: bytes) -> Iterator[Record]:
    """The records of one commit."""
    for entry in msgspec.msgpack.decode(commit, type=list[_Entry]):
        yield from entry.records


def line_of(text: str) -> int:
    """The number of the line of the tree's module that has that."""
    lines = inspect.getsource(levels).splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if text in line]
    return found
