"""J2, J3, D4: a tree of three levels whose power is cut at every change of its disk, with everything that may be left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import attrs
import pytest
from outcome import Value
from tests.conftest import Show
from tests.durable.levels import FIRM, IDENTITY, Build, Told, go_on, journal_on, open_house, traces
from tests.effort import count

from histrio.durable.draft import Draft
from histrio.durable.host import Host
from histrio.durable.stored import encode
from histrio.testing import Report, World, crash_points, simulate
from histrio_kernel import log_format
from histrio_kernel.journal.logged import LoggedJournal, _Commit, _group
from histrio_kernel.journal.record import Record
from histrio_kernel.signals import Kind
from histrio_kernel.simulation.files import SimFiles

ORDERS: Final = (Build(1, 1, bytes(9_000)), Build(2, 0))
"""What a client asks for, one after the other; the first is stored on three pages of the disk, so it can be torn between."""
FEW: Final = (Build(1, 0, bytes(9_000)), Build(2, 0))
"""The same of the top alone."""
RUNS_OF_A_SCHEDULE: Final = 200
"""Power cuts of one schedule, somewhat less than all that there are."""
PARTS: Final = 4

_COMMIT: Final = Host.commit


@attrs.frozen
class Found:
    """What there is after the power has come back.

    Attributes:
        records: what the journal had, of each path.
        traces: what is compared of each path, when all was done.
        notes: what the world outside saw in between.
    """

    records: Mapping[str, Sequence[Record]]
    traces: Mapping[str, bytes]
    notes: list[object]


async def live(world: World, orders: Sequence[Build]) -> None:
    """A client asks for this and that; what it is told is noted, and each effect notes that it has begun."""
    async with open_house(await world.start(), world.disk, world.notes) as tree:
        await go_on(tree, orders, world.notes)


async def recover(world: World, orders: Sequence[Build]) -> Found:
    """What is there, and what comes of it."""
    async with journal_on(world.disk) as journal:
        records = {row.path: await journal.records(row.path) for row in await journal.actors()}
    async with open_house(await world.start(), world.disk, world.notes) as tree:
        await go_on(tree, orders, world.notes)
        return Found(records, await traces(tree), list(world.notes))


def nothing_is_lost(notes: list[object], found: Found, not_cut: Found) -> None:
    """Who was answered is in the journal with his answer, what has begun outside is, too, and all ends as without a cut."""
    began, begins = told(notes, "began"), told(found.notes, "began")
    uses, ended = keys(found, Kind.USE), keys(found, Kind.RESOLVED)
    answers = [each.payload for each in found.records.get(FIRM, ()) if each.key == "?!"]

    assert answers[: len(told(notes, "answered"))] == [encode(Value(each)) for each in told(notes, "answered")]
    assert uses.issuperset(began), "what was begun outside is not in the journal"
    assert ended.isdisjoint(begins), "an outcome was in the journal, and asked for again"
    assert len({*began}) == len(began)
    assert len({*begins}) == len(begins)
    assert found.traces == not_cut.traces


def told(notes: list[object], what: str) -> list[object]:
    """What of that the world outside knows."""
    return [each.value for each in notes if isinstance(each, Told) and each.what == what]


def keys(found: Found, kind: Kind) -> set[object]:
    """The idempotency keys that records of that kind are about."""
    return {
        f"{IDENTITY}{path}/{each.key}"
        for path, records in found.records.items()
        for each in records
        if each.kind is kind
    }


def cut_everywhere(
    orders: Sequence[Build], seed: int = 0, bases: int = 1, runs_max: int | None = None, token: str | None = None
) -> Report:
    """Cut the power of the tree that these orders make."""
    main, then = partial(live, orders=orders), partial(recover, orders=orders)
    check = partial(nothing_is_lost, not_cut=simulate(then).value)
    return crash_points(main, then, check, seed=seed, bases=bases, runs_max=runs_max, reordered=True, token=token)


@pytest.mark.alarm(3_600)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_acknowledged_message_is_lost(part: int, show: Show) -> None:
    """J2, J3, D4: over so many power cuts, torn pages included, no answer and no effect is lost, and all ends the same."""
    crashes = count("durable_crashes") // PARTS
    bases = max(2, crashes // RUNS_OF_A_SCHEDULE)

    report = cut_everywhere(ORDERS, seed=part, bases=bases, runs_max=crashes)

    report.check()
    show(
        f"J3: a tree of three levels, {report.schedules} power cuts in {bases} schedules, no acknowledged message lost"
    )
    assert report.schedules == crashes


# Four ways to be wrong.


async def append_late(journal: LoggedJournal, jobs: Sequence[_Commit]) -> None:
    """As `LoggedJournal._append`, but it is the group before that is synced when this one is acknowledged."""
    late = LATE.pop(journal, None)
    LATE[journal] = _group(jobs)
    if late is not None:
        await journal._log.append(late)
    for job in jobs:
        job.settle()


async def close_late(journal: LoggedJournal) -> None:
    """The last group is written at the end."""
    late = LATE.pop(journal, None)
    if late is not None:
        await journal._log.append(late)
    await CLOSE(journal)


LATE: Final[dict[LoggedJournal, bytes]] = {}
CLOSE: Final = LoggedJournal.aclose


async def answer_and_commit(host: Host, draft: Draft, incarnation: int, *, may_rest: bool) -> None:
    """As `Host.commit`, but the answers leave before."""
    draft.answer(host.envelopes)
    await _COMMIT(host, draft, incarnation, may_rest=may_rest)


def sync_nothing(files: SimFiles, fd: int) -> None:
    """As `SimFiles.fsync`, but nothing is safe afterwards."""


def no_checksum(offset: int, fields: bytes, stored: bytes) -> int:
    """The same for all records."""
    return 0


def acknowledges_early(patch: pytest.MonkeyPatch) -> None:
    """The journal acknowledges a group before it is written."""
    patch.setattr(LoggedJournal, "_append", append_late)
    patch.setattr(LoggedJournal, "aclose", close_late)


def syncs_nothing(patch: pytest.MonkeyPatch) -> None:
    """The journal writes a group, and does not wait for the sync."""
    patch.setattr(SimFiles, "fsync", sync_nothing)


def lets_go_early(patch: pytest.MonkeyPatch) -> None:
    """An actor answers before the step is in the journal."""
    patch.setattr(Host, "commit", answer_and_commit)


def believes_its_log(patch: pytest.MonkeyPatch) -> None:
    """The log has no checksums, so a record with a page that is not there is taken for one."""
    patch.setattr(log_format, "_checksum", no_checksum)


@pytest.mark.parametrize("plant", [acknowledges_early, syncs_nothing, lets_go_early, believes_its_log])
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, show: Show
) -> None:
    """J2, D5: each of four ways to be wrong is found by the test above, and its token leads there again."""
    plant(monkeypatch)

    report = cut_everywhere(FEW)

    assert report.failed
    assert report.token is not None
    assert report.schedules > 1, "it is found without a power cut"
    show(f"{plant.__name__}: found by power cut {report.schedules}: {type(report.error).__name__}")
    with pytest.raises(Exception) as again:
        cut_everywhere(FEW, token=report.token)
    assert type(again.value) is type(report.error)
