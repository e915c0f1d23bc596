"""J5: a process that is killed while it rolls a past up leaves the old past or the new one."""

# Real time and real processes, because what is killed is SQLite in the middle of a transaction; nothing here depends on how
# fast they are.

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypeAlias

import pytest
import trio
from tests.conftest import Show
from tests.durable.killed import IN_TWO, NUMBERS, SQL, Total, journals_of_killed, tree_in
from tests.effort import count

from histrio_kernel.journal.errors import JournalDamaged
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.sqlite import open_sqlite

Told: TypeAlias = tuple[tuple[int, str, str, bytes, int], ...]
LEDGER: Final = "/ledger"


def told(records: Sequence[Record]) -> Told:
    """All of a past but the time of day and the lives of the process."""
    return tuple((each.seq, each.kind.value, each.key, each.payload, each.scope) for each in records)


async def state(path: Path) -> tuple[Told, bool]:
    """The past of the ledger, and whether the message that has it rolled up is still to be taken."""
    async with open_sqlite(path) as journal:
        return told(await journal.records(LEDGER)), bool(await journal.mail(LEDGER))


async def total(path: Path) -> object:
    """What the ledger has in the end."""
    async with tree_in(path) as (_, tree):
        return await tree.ref(LEDGER).ask(Total())


def old_or_new(way: str, left: tuple[Told, bool], before: Told, after: Told) -> str:
    """Which of the two it is; the message has been taken if and only if its step is there."""
    past, is_to_come = left
    if past == after:
        assert not is_to_come
        return "new"
    assert past[: len(before)] == before
    kinds = [kind for _, kind, *_ in past[len(before) :]]
    if kinds == ["restart", "receive"]:
        assert way == "snapshot", "what it was told is stored with the roll-up, or not at all"
        assert not is_to_come
    else:
        assert kinds == ["restart"]
    return "old"


def kill_everywhere(folder: Path, way: str, kills: int) -> Counter[str]:
    """How often what was left is old, and how often new.

    Raises:
        AssertionError: it is neither. `JournalDamaged`: it is not even whole.
    """
    journals = journals_of_killed(folder, way, kills)
    before, _ = trio.run(state, folder / "journal.db")
    after, _ = trio.run(state, folder / f"{SQL}-all.db")
    found: Counter[str] = Counter()
    for path in journals:
        found[old_or_new(way, trio.run(state, path), before, after)] += 1
        assert trio.run(total, path) == sum(NUMBERS)
    return found


@pytest.mark.alarm(1_200)
@pytest.mark.parametrize("way", ["ContinueAs", "snapshot"])
def test_a_kill_leaves_the_old_past_or_the_new_one(tmp_path: Path, way: str, show: Show) -> None:
    """J5: killed before, after and inside of each SQL statement of a roll-up, nothing of it is there, or all of it."""
    found = kill_everywhere(tmp_path, way, count("rollup_kills"))

    show(
        f"J5: {way}, killed at {found.total() - 2} places: {found['old']} times the old past, {found['new']} the new one"
    )
    assert found["old"] > 2
    assert found["new"] > 2  # two were not killed


def test_a_roll_up_in_two_transactions_is_found(tmp_path: Path) -> None:
    """J5, D5: the test above can fail: if what is new is committed before what is old goes, a kill leaves a mix."""
    with pytest.raises((AssertionError, JournalDamaged)):
        kill_everywhere(tmp_path, IN_TWO, 12)
