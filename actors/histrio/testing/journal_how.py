"""The checks of how a journal does it: with effects, with many at once, cancelled, closed, damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from histrio.testing.journal_words import (
    Keeper,
    a_record,
    commit_refused,
    refused,
    require,
    same,
    some,
)
from histrio_kernel.journal.errors import JournalDamaged, SeqConflict
from histrio_kernel.journal.store import Batch, Journal
from histrio_kernel.parking import request

__all__ = ["CHECKS_OF_HOW"]

# -- the checks: transactional effects -----------------------------------------------------------------------------------


async def a_transactional_effect_is_part_of_its_batch(keeper: Keeper) -> None:
    """What it returns is the payload of its record; what it wrote is there with the record, or not at all."""
    async with keeper.open() as journal:
        if not keeper.has_connection:
            batch = Batch(records=[a_record("/a", 1)], transact=(0, lambda _: b""))
            await commit_refused(journal, batch, TypeError, "a transactional effect where there is no connection")
            return
        await _transact(journal)


async def _transact(journal: Journal) -> None:
    def make(connection: sqlite3.Connection) -> bytes:
        connection.execute("CREATE TABLE account (amount INTEGER)")
        connection.execute("INSERT INTO account VALUES (100)")
        return b"made"

    def add(connection: sqlite3.Connection) -> bytes:
        connection.row_factory = sqlite3.Row
        connection.execute("UPDATE account SET amount = amount + 1")
        (row,) = connection.execute("SELECT amount FROM account")
        return b"%d" % row["amount"]

    records = [a_record("/a", 1), a_record("/a", 2, b"to be replaced")]
    stored = await journal.commit(Batch(records=records, transact=(1, make)))
    same([record.payload for record in stored], [b"x", b"made"], "payloads")
    require(stored[1].is_whole, "the digest is not that of the effect's payload")
    same(list(await journal.records("/a")), list(stored), "records")

    class Changed(Exception):
        """Raised by an effect."""

    def add_and_raise(connection: sqlite3.Connection) -> bytes:
        add(connection)
        raise Changed

    def add_and_commit(connection: sqlite3.Connection) -> bytes:
        add(connection)
        connection.commit()
        return b""

    def add_and_say_nothing(connection: sqlite3.Connection) -> bytes:
        add(connection)
        return None  # type: ignore[return-value] # pyright: ignore[reportReturnType]

    three = [a_record("/a", 3)]
    await commit_refused(journal, Batch(records=three, transact=(0, add_and_raise)), Changed, "an effect that raises")
    await commit_refused(
        journal, Batch(records=three, transact=(0, add_and_commit)), sqlite3.Error, "an effect that commits"
    )
    await commit_refused(
        journal, Batch(records=three, transact=(0, add_and_say_nothing)), TypeError, "an effect that returns None"
    )
    await commit_refused(journal, Batch(records=three, transact=(1, add)), ValueError, "an effect of no record")
    conflict = Batch(records=[a_record("/a", 7)], transact=(0, add))
    await commit_refused(journal, conflict, SeqConflict, "an effect in a batch with a gap")
    (after,) = await journal.commit(Batch(records=three, transact=(0, add)))
    same(after.payload, b"101", "after one effect that was stored, and five that were not, the amount is")


# -- the checks: many at once, cancellation, closing ---------------------------------------------------------------------

_MANY: Final = 1_000


async def many_share_a_sync(keeper: Keeper) -> None:
    """A thousand at once are stored in few groups, and all of them are there."""
    async with keeper.open() as journal:
        before = keeper.groups(journal) if keeper.groups is not None else 0
        async with trio.open_nursery() as nursery:
            for number in range(_MANY):
                batch = Batch(records=[a_record(f"/{number}", 1), a_record(f"/{number}", 2)])
                nursery.start_soon(journal.commit, batch)
        if keeper.groups is not None:
            groups = keeper.groups(journal) - before
            require(1 <= groups <= _MANY // 20, f"{_MANY} batches at once were stored in {groups} groups")
    async with keeper.open() as journal:
        rows = await journal.actors()
        same((len(rows), {row.last_seq for row in rows}), (_MANY, {2}), "actors, and their last records")


async def many_that_go_on_are_told_apart(keeper: Keeper) -> None:
    """Actors that are there go on, many at once; one that goes on at the wrong record is refused, and no other."""
    turned_away: list[int] = []

    async def commit(journal: Journal, number: int) -> None:
        first = 4 if number % 10 == 7 else 3
        records = [a_record(f"/{number}", first), a_record(f"/{number}", first + 1, incarnation=2)]
        try:
            stored = await journal.commit(Batch(records=records))
            require(list(stored) == records, f"what was stored of /{number} was {stored}")
        except SeqConflict:
            turned_away.append(number)

    async with keeper.open() as journal:
        for seq in (1, 2):
            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(journal.commit, Batch(records=[a_record(f"/{number}", seq)]))
        async with trio.open_nursery() as nursery:
            for number in range(40):
                nursery.start_soon(commit, journal, number)
    same(sorted(turned_away), [7, 17, 27, 37], "refused were")
    async with keeper.open() as journal:
        rows = {row.path: (row.last_seq, row.records, row.incarnation) for row in await journal.actors()}
        for number in range(40):
            is_refused = number % 10 == 7
            same(rows[f"/{number}"], (2, 2, 1) if is_refused else (4, 4, 2), f"/{number} has")
            same(len(await journal.records(f"/{number}")), 2 if is_refused else 4, f"records of /{number}")


async def who_is_refused_harms_nobody(keeper: Keeper) -> None:
    """Among many at once, some are refused; those, and no others."""
    turned_away: list[int] = []

    async def commit(journal: Journal, number: int) -> None:
        try:
            await journal.commit(Batch(records=[a_record("/same", 1) if number % 3 else a_record(f"/{number}", 1)]))
        except SeqConflict:
            turned_away.append(number)

    async with keeper.open() as journal:
        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(commit, journal, number)
        require(len(turned_away) == 39, f"of 40 that write one record, {len(turned_away)} were refused")
        require(all(number % 3 for number in turned_away), f"refused were {sorted(turned_away)}")
        paths = {row.path for row in await journal.actors()}
        same(paths, {"/same", *(f"/{number}" for number in range(0, 60, 3))}, "actors")


async def cancelled_it_is_stored(keeper: Keeper) -> None:
    """Whenever the caller of a commit is cancelled, its batch is stored, and it returns; the next one goes on."""
    returned: set[int] = set()

    async def commit(journal: Journal, number: int, scope: trio.CancelScope) -> None:
        with scope:
            await journal.commit(Batch(records=[a_record(f"/{number}/a", 1), a_record(f"/{number}/b", 1)]))
            returned.add(number)

    async def cancel(scope: trio.CancelScope, rounds: int) -> None:
        for _ in range(rounds):
            await trio.lowlevel.checkpoint()
        scope.cancel()

    async with keeper.open() as journal:
        for number in range(48):
            async with trio.open_nursery() as nursery:
                scope = trio.CancelScope()
                nursery.start_soon(commit, journal, number, scope)
                nursery.start_soon(cancel, scope, number % 12)
                if number % 2:
                    nursery.start_soon(journal.commit, Batch(records=[a_record(f"/beside{number}", 1)]))
        with trio.CancelScope() as scope:
            scope.cancel()
            await journal.commit(Batch(records=[a_record("/before", 1)]))
            returned.add(48)
    async with keeper.open() as journal:
        there = {row.path for row in await journal.actors()}
        same(returned, set(range(49)), "commits that returned, though their callers were cancelled,")
        for number in range(48):
            both = {f"/{number}/a", f"/{number}/b"}
            require(both <= there, f"of batch {number} there is {both & there}")
        require("/before" in there, "what was asked for in a cancelled scope is missing")
        require(
            all(f"/beside{number}" in there for number in range(1, 48, 2)), "some are missing that nobody cancelled"
        )


class _Rest:
    """A `Rest` that wakes its task when it is asked, two rounds later, and says what there was then."""

    def __init__(self, look: Callable[[], object], nursery: trio.Nursery) -> None:
        self.request = request(lambda _: trio.lowlevel.Abort.FAILED)
        self.seen: list[object] = []
        self._look = look
        self._nursery = nursery
        self._task = trio.lowlevel.current_task()

    def rests(self) -> bool:
        self.seen.append(self._look())
        self._nursery.start_soon(self._wake)
        return True

    async def _wake(self) -> None:
        for _ in range(2):
            await trio.lowlevel.checkpoint()
        trio.lowlevel.reschedule(self._task)


async def whoever_may_rest_is_asked_when_it_is_stored(keeper: Keeper) -> None:
    """At most once, and not at all of what is refused; and then it gets what it would get without."""
    rests: dict[int, _Rest] = {}
    over: list[int] = []

    async def commit(journal: Journal, nursery: trio.Nursery, number: int) -> None:
        rests[number] = rest = _Rest(lambda: number in over, nursery)
        batch = Batch(records=[a_record(f"/{number}", 2 if number % 5 == 4 else 1)])
        try:
            stored = await journal.commit(batch, rest)
            require(list(stored) == list(batch.records), f"what was stored of /{number} was {stored}")
        except SeqConflict:
            require(number % 5 == 4, f"/{number} was refused")
            require(not rest.seen, f"/{number} was refused, and was asked whether to rest")
        over.append(number)

    async with keeper.open() as journal, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(commit, journal, nursery, number)
    require(all(rest.seen in ([], [False]) for rest in rests.values()), "one was asked twice, or when it had gone on")
    same(sorted(over), list(range(20)), "those that came back")


async def every_call_is_a_checkpoint(keeper: Keeper) -> None:
    """Reading is one, too."""
    async with keeper.open() as journal:
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            lambda: journal.records("/a"),
            journal.actors,
            lambda: journal.mail("/a"),
            journal.dead_letters,
        )
        for call in calls:
            with trio.CancelScope() as scope:
                scope.cancel()
                await call()
                raise AssertionError(f"{call} in a cancelled scope returned, so it is no checkpoint")


async def a_closed_one_says_so(keeper: Keeper) -> None:
    """What was asked for before the end is stored; afterwards there is `ClosedResourceError`. Closing twice does nothing."""
    async with keeper.open() as journal:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(journal.commit, Batch(records=[a_record(f"/{number}", 1)]))
            for _ in range(2):  # by then all of them are in line
                await trio.lowlevel.checkpoint()
            await journal.aclose()
        await journal.aclose()
        await commit_refused(journal, Batch(), trio.ClosedResourceError, "a commit when it is closed")
        await refused(trio.ClosedResourceError, lambda: journal.records("/1"), "reading when it is closed")
        await refused(trio.ClosedResourceError, journal.actors, "reading when it is closed")
    async with keeper.open() as journal:
        same(len(await journal.actors()), 20, "actors, opened again")


# -- the checks: damage --------------------------------------------------------------------------------------------------


async def damage_is_found(keeper: Keeper) -> None:
    """A payload that is not what was stored: `JournalDamaged` with path and `seq`; others can be read."""
    if keeper.damage is None:
        return
    await _make_two(keeper)
    keeper.damage("/a", 2)
    await _found(keeper, 2)
    async with keeper.open() as journal:
        same(list(await journal.records("/a", 2)), some("/a", 3, 3), "what is behind the damage")


async def a_gap_is_found(keeper: Keeper) -> None:
    """A record that is missing, be it the first, one between, or the last."""
    if keeper.lose is None:
        return
    await _make_two(keeper)
    for seq in (3, 2, 1):
        keeper.lose("/a", seq)
        await _found(keeper, seq)


async def _make_two(keeper: Keeper) -> None:
    async with keeper.open() as journal:
        await journal.commit(Batch(records=[*some("/a", 1, 3), *some("/b", 1, 3)]))


async def _found(keeper: Keeper, seq: int) -> None:
    async with keeper.open() as journal:
        error = await refused(JournalDamaged, lambda: journal.records("/a"), f"without record {seq} as it was, reading")
        require("/a" in str(error) and str(seq) in str(error), f"the error does not say what is wrong: {error}")
        same(list(await journal.records("/b")), some("/b", 1, 3), "records of one that is whole")


CHECKS_OF_HOW: Final[tuple[Callable[[Keeper], Awaitable[None]], ...]] = (
    a_transactional_effect_is_part_of_its_batch,
    many_share_a_sync,
    many_that_go_on_are_told_apart,
    who_is_refused_harms_nobody,
    cancelled_it_is_stored,
    whoever_may_rest_is_asked_when_it_is_stored,
    every_call_is_a_checkpoint,
    a_closed_one_says_so,
    damage_is_found,
    a_gap_is_found,
)
"""Whatever happens meanwhile."""
