"""What every journal has to keep, as checks that run on anybody's.

A journal is an object like `histrio_kernel.journal.store.Journal`. Durable actors rely on what is checked here.
"""

# Design note
# -----------
# The checks are async functions, so that they run under any test framework, and in a simulation. Each gets a journal that
# is new, and may open it several times, one after the other; each raises `AssertionError` with what was wrong. How often
# something is synced is counted, not timed.

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import attrs
import trio

from histrio_kernel.journal.errors import JournalDamaged, SeqConflict
from histrio_kernel.journal.record import Record, digest_of
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Journal, Mail
from histrio_kernel.signals import Kind

__all__ = ["CHECKS", "Keeper", "check_journal"]


@attrs.frozen(kw_only=True)
class Keeper:
    """One journal, as the checks get it: empty, and closed.

    Attributes:
        open: opens it, always the same one.
        groups: how many groups of batches it has synced since it was opened; None if it cannot tell.
        damage: change the payload of the record of that path and `seq`, behind the back of the journal, while it is closed;
            None if that cannot be done.
        lose: take away that record in the same way.
        has_connection: whether it calls transactional effects; one that does not has to refuse them with a `TypeError`.
    """

    open: Callable[[], AbstractAsyncContextManager[Journal]]
    groups: Callable[[Journal], int] | None = None
    damage: Callable[[str, int], None] | None = None
    lose: Callable[[str, int], None] | None = None
    has_connection: bool = True


async def check_journal(make: Callable[[], Keeper]) -> None:
    """Run all checks, each on a journal of its own.

    Raises:
        AssertionError: one does not hold; the text says which, and what it saw. What a journal raises where it must not is
            the cause.

    Examples:
        >>> from histrio_kernel.journal.memory import MemoryJournal
        >>> from histrio_kernel.journal.stored import Stored
        >>> def make() -> Keeper:
        ...     stored = Stored()
        ...     return Keeper(open=lambda: MemoryJournal(stored))
        >>> trio.run(check_journal, make)
    """
    for check in CHECKS:
        try:
            await check(make())
        except Exception as error:
            raise AssertionError(f"{check.__name__}: {error!r}") from error


# -- what the checks are written with ------------------------------------------------------------------------------------


def _require(holds: bool, otherwise: str) -> None:
    """Raise if it does not hold, also where Python leaves out its own assertions."""
    if not holds:
        raise AssertionError(otherwise)


def _same(got: object, expected: object, what: str) -> None:
    _require(got == expected, f"{what}: {got!r}, not {expected!r}")


def _record(path: str, seq: int, payload: bytes = b"x", incarnation: int = 1) -> Record:
    return Record(path, seq, incarnation, Kind.USE, f"key {seq}", payload, 1.5, seq - 1, "/other:3", digest_of(payload))


def _some(path: str, first: int, last: int) -> list[Record]:
    return [_record(path, seq, b"%d" % seq) for seq in range(first, last + 1)]


def _row(path: str, state: str = "live") -> ActorRow:
    return ActorRow(path, "module:Behaviour", 3, state, 0, 0, 1, 0, 0)


def _mail(to: str, sender: str, number: int) -> Mail:
    return Mail(to, sender, number, b"mail %d" % number, 2.5)


def _key(mail: Mail) -> tuple[str, str, int]:
    return mail.to, mail.sender, mail.number


async def _refused(expected: type[Exception], call: Callable[[], Awaitable[object]], what: str) -> Exception:
    """The error that the call raises."""
    try:
        got = await call()
    except expected as error:
        return error
    except Exception as error:
        raise AssertionError(f"{what} raised {error!r}, not {expected.__name__}") from error
    raise AssertionError(f"{what} gave {got!r}, and did not raise {expected.__name__}")


async def _commit_refused(journal: Journal, batch: Batch, expected: type[Exception], what: str) -> Exception:
    return await _refused(expected, lambda: journal.commit(batch), what)


async def _everything(journal: Journal, paths: Iterable[str]) -> object:
    """All that can be read, to be compared."""
    actors = await journal.actors()
    records = [list(await journal.records(path)) for path in paths]
    mail = [list(await journal.mail(path)) for path in paths]
    return list(actors), records, mail, list(await journal.dead_letters())


# -- the checks: records -------------------------------------------------------------------------------------------------


async def a_new_one_is_empty(keeper: Keeper) -> None:
    """There is nothing in it, and of whom it knows nothing it says so."""
    async with keeper.open() as journal:
        got = [
            await journal.actors(),
            await journal.records("/a"),
            await journal.mail("/"),
            await journal.dead_letters(),
        ]
        _require(not any(got), f"a new journal has {got}")


async def records_come_back(keeper: Keeper) -> None:
    """Every field of a record, in order, at once and when it is opened again; whatever is in it."""
    odd = ['/a"b', "/a'b", "/%", "/_", "/a b#3", "/ä/😀", "/a;--"]
    large = Record("/large", 1, 7, Kind.TRANSITION, "", bytes(range(256)) * 4096, -1.25, 0, "", b"")
    empty = Record("/empty", 1, 1, Kind.RESOLVED, "1.1", b"", 0.0)
    async with keeper.open() as journal:
        stored = list(await journal.commit(Batch(records=_some("/a", 1, 3))))
        _same(stored, _some("/a", 1, 3), "commit returned")
        await journal.commit(Batch(records=[_record(path, 1) for path in odd]))
        await journal.commit(Batch(records=_some("/a", 4, 4)))
        await journal.commit(Batch(records=[large, empty]))
        await _check_come_back(journal, odd, large)
    async with keeper.open() as journal:
        await _check_come_back(journal, odd, large)


async def _check_come_back(journal: Journal, odd: Sequence[str], large: Record) -> None:
    _same(list(await journal.records("/a")), _some("/a", 1, 4), "records")
    _same(list(await journal.records("/a", 2)), _some("/a", 3, 4), "records after 2")
    _same(list(await journal.records("/a", 4)), [], "records after the last")
    _same(list(await journal.records("/a", 9)), [], "records after what is not there yet")
    for path in odd:
        _same(list(await journal.records(path)), [_record(path, 1)], f"records of {path!r}")
    (got,) = await journal.records("/large")
    _require(got.payload == large.payload, "a megabyte came back otherwise")
    _require(got.is_whole, "a record without a digest was stored without one")
    (got,) = await journal.records("/empty")
    _same((got.payload, got.digest), (b"", digest_of(b"")), "a record without payload and digest")


async def seq_goes_on_without_a_gap(keeper: Keeper) -> None:
    """The first is 1, and each next one follows; all else is a `SeqConflict`, and the journal goes on."""
    async with keeper.open() as journal:
        for seqs in ([0], [2], [1, 3], [1, 1], [2, 1]):
            batch = Batch(records=[_record("/a", seq) for seq in seqs])
            error = await _commit_refused(journal, batch, SeqConflict, f"a journal that begins with {seqs}")
            _require("/a" in str(error), f"the error does not say of whom it is: {error}")
        await journal.commit(Batch(records=_some("/a", 1, 2)))
        for seq in (1, 2, 4):
            batch = Batch(records=[_record("/a", seq)])
            await _commit_refused(journal, batch, SeqConflict, f"record {seq} after record 2")
        await journal.commit(Batch(records=_some("/a", 3, 3)))
        _same(list(await journal.records("/a")), _some("/a", 1, 3), "records")


async def several_paths_in_one_batch(keeper: Keeper) -> None:
    """An actor and the children that it spawns: each path goes on by itself, in whatever order they stand."""
    records = [_record("/a", 1), _record("/a/c", 1), _record("/a", 2), _record("/a/b", 1), _record("/a/c", 2)]
    async with keeper.open() as journal:
        _same(list(await journal.commit(Batch(records=records))), records, "commit returned")
        await journal.commit(Batch(records=[_record("/a/c", 3), _record("/a", 3)]))
        for path, last in (("/a", 3), ("/a/b", 1), ("/a/c", 3)):
            _same([record.seq for record in await journal.records(path)], [*range(1, last + 1)], f"records of {path}")


async def a_batch_is_whole_or_not_there(keeper: Keeper) -> None:
    """One record that cannot be, and nothing of the batch is there, nor is anything taken away."""
    paths = ["/a", "/a/b", "/c", "/d"]
    async with keeper.open() as journal:
        await journal.commit(
            Batch(records=[*_some("/a", 1, 3), *_some("/c", 1, 2)], actors=[_row("/a")], sends=[_mail("/c", "/a", 1)])
        )
        before = await _everything(journal, paths)
        batch = Batch(
            records=[_record("/a", 4), _record("/a/b", 1), _record("/d", 2)],
            actors=[_row("/a", "ended"), _row("/a/b")],
            sends=[_mail("/a", "/d", 1)],
            took=[("/c", "/a", 1)],
            dead=[DeadLetterRow("/x", "/a", b"", "gone", 0.0)],
            keep_from=[("/a", 4)],
            forget=["/c"],
        )
        await _commit_refused(journal, batch, SeqConflict, "a batch with a gap")
        _same(await _everything(journal, paths), before, "after a batch that was refused there is")
    async with keeper.open() as journal:
        _same(await _everything(journal, paths), before, "opened again there is")


async def digests_are_looked_at(keeper: Keeper) -> None:
    """A record with the digest of another payload is refused before it is stored."""
    async with keeper.open() as journal:
        wrong = Record("/a", 1, 1, Kind.USE, "", b"x", 0.0, 0, "", digest_of(b"y"))
        await _commit_refused(journal, Batch(records=[wrong]), ValueError, "a digest of another payload")
        _same(list(await journal.records("/a")), [], "records")


async def an_empty_batch(keeper: Keeper) -> None:
    """It may be committed, and is a checkpoint like any other."""
    async with keeper.open() as journal:
        _same(list(await journal.commit(Batch())), [], "an empty batch returned")


# -- the checks: rows, messages, what is left behind ---------------------------------------------------------------------


async def rows_count_what_is_kept(keeper: Keeper) -> None:
    """`seq`, records and bytes are the store's own, whatever a row says; the rest is the batch's. In order of paths."""
    async with keeper.open() as journal:
        lies = ActorRow("/b", "m:B", 2, "live", 50, 60, 1, 70, 80)
        await journal.commit(Batch(records=[_record("/b", 1, b"123"), _record("/b", 2, b"")], actors=[lies]))
        await journal.commit(Batch(actors=[_row("/c")]))
        await journal.commit(Batch(records=[_record("/a", 1, b"12", incarnation=4)]))
        await journal.commit(Batch(records=[_record("/b", 3, b"1234", incarnation=2)]))
        first = ActorRow("/a", "", 0, "live", 1, 1, 4, 1, 2)
        third = ActorRow("/c", "module:Behaviour", 3, "live", 1, 0, 1, 0, 0)
        expected = [first, ActorRow("/b", "m:B", 2, "live", 1, 3, 2, 3, 7), third]
        _same(list(await journal.actors()), expected, "actors")
        await journal.commit(Batch(actors=[attrs.evolve(lies, version=9, state="quarantined")]))
        expected[1] = ActorRow("/b", "m:B", 9, "quarantined", 1, 3, 2, 3, 7)
        _same(list(await journal.actors()), expected, "actors, after one has changed")
    async with keeper.open() as journal:
        _same(list(await journal.actors()), expected, "actors, opened again")


async def mail_stays_until_it_is_taken(keeper: Keeper) -> None:
    """In the order in which it was sent, each to its receiver; what is taken is gone, what is not there may be taken."""
    first, second, third, fourth = (
        _mail("/b", "/z", 1),
        _mail("/b", "/a", 1),
        _mail("/b", "", 7),
        _mail("/b", "/a", 2),
    )
    async with keeper.open() as journal:
        await journal.commit(Batch(records=[_record("/z", 1)], sends=[first, _mail("/bb", "/z", 1)]))
        await journal.commit(Batch(sends=[second, third]))
        _same(list(await journal.mail("/b")), [first, second, third], "mail")
        _same(list(await journal.mail("/bb")), [_mail("/bb", "/z", 1)], "mail of another one")
        await journal.commit(
            Batch(records=[_record("/b", 1)], took=[_key(second), ("/b", "/nobody", 1)], sends=[fourth])
        )
        _same(list(await journal.mail("/b")), [first, third, fourth], "mail, when one was taken")
    async with keeper.open() as journal:
        _same(list(await journal.mail("/b")), [first, third, fourth], "mail, opened again")
        await _commit_refused(journal, Batch(sends=[third]), SeqConflict, "a message that is there already")
        await _commit_refused(journal, Batch(sends=[second, second]), SeqConflict, "one message twice")
        await journal.commit(Batch(took=[_key(first)], sends=[first]))
        _same(list(await journal.mail("/b")), [third, fourth, first], "mail, when one was taken and sent again")


async def what_is_rolled_up_is_gone(keeper: Keeper) -> None:
    """`keep_from` takes the records below, also those of its own batch, and the numbers go on."""
    async with keeper.open() as journal:
        await journal.commit(Batch(records=[*_some("/a", 1, 5), *_some("/ab", 1, 2)]))
        await journal.commit(Batch(records=_some("/a", 6, 7), keep_from=[("/a", 6)]))
        _same(list(await journal.records("/a")), _some("/a", 6, 7), "records from 6 on")
        _same(list(await journal.records("/a", 6)), _some("/a", 7, 7), "records after 6")
        _same((await journal.actors())[0], ActorRow("/a", "", 0, "live", 6, 7, 1, 2, 2), "its row")
        _same(list(await journal.records("/ab")), _some("/ab", 1, 2), "records of another one")
        await journal.commit(Batch(keep_from=[("/a", 2), ("/nobody", 1)]))
        _same(list(await journal.records("/a")), _some("/a", 6, 7), "records, when less was to be rolled up")
        await _commit_refused(journal, Batch(keep_from=[("/a", 9)]), ValueError, "keep_from of what is to come")
        await journal.commit(Batch(keep_from=[("/a", 8)]))
        _same(list(await journal.records("/a")), [], "records, when all are rolled up")
        await _commit_refused(journal, Batch(records=_some("/a", 1, 1)), SeqConflict, "a path that begins again")
    async with keeper.open() as journal:
        await journal.commit(Batch(records=_some("/a", 8, 8)))
        _same(list(await journal.records("/a")), _some("/a", 8, 8), "records, opened again")
        rows = list(await journal.actors())
        _same(rows[0], ActorRow("/a", "", 0, "live", 8, 8, 1, 1, 1), "its row")
        _same([row.path for row in rows], ["/a", "/ab"], "actors")


async def who_is_forgotten_is_gone(keeper: Keeper) -> None:
    """A path and all below it, not those whose names only begin like it; what they sent stays, what they got does not."""
    paths = ["/", "/a", "/a/b", "/a/b/c", "/a0", "/a-b", "/ab", "/b"]
    stays = _mail("/b", "/a/b", 1)
    async with keeper.open() as journal:
        await journal.commit(
            Batch(
                records=[_record(path, 1) for path in paths],
                sends=[stays, _mail("/a/b", "/b", 1), _mail("/a", "/b", 2), _mail("/ab", "/b", 3)],
            )
        )
        await journal.commit(Batch(records=[_record("/a", 1), _record("/a", 2)], forget=["/a"]))
        _same([row.path for row in await journal.actors()], ["/", "/a", "/a-b", "/a0", "/ab", "/b"], "actors")
        _same([record.seq for record in await journal.records("/a")], [1, 2], "records of who begins again")
        _same(list(await journal.records("/a/b")), [], "records of who was forgotten")
        _same(list(await journal.mail("/b")), [stays], "what was sent by who was forgotten")
        _same(list(await journal.mail("/a/b")), [], "mail to who was forgotten")
        _same(list(await journal.mail("/a")), [], "mail to who was forgotten and begins again")
        _same(list(await journal.mail("/ab")), [_mail("/ab", "/b", 3)], "mail to who was not")
        await journal.commit(Batch(forget=["/nobody"]))
    async with keeper.open() as journal:
        await journal.commit(Batch(forget=["/"]))
        _same(list(await journal.actors()), [], "actors, when all are forgotten")


async def dead_letters_stay(keeper: Keeper) -> None:
    """The oldest first, also equal ones."""
    letters = [DeadLetterRow("/a", "/b", b"1", "ended", 1.0), DeadLetterRow("/a", "", b"", "dropped", 0.5)]
    async with keeper.open() as journal:
        await journal.commit(Batch(dead=letters))
        await journal.commit(Batch(dead=letters[:1]))
    async with keeper.open() as journal:
        _same(list(await journal.dead_letters()), [*letters, letters[0]], "dead letters")


# -- the checks: transactional effects -----------------------------------------------------------------------------------


async def a_transactional_effect_is_part_of_its_batch(keeper: Keeper) -> None:
    """What it returns is the payload of its record; what it wrote is there with the record, or not at all."""
    async with keeper.open() as journal:
        if not keeper.has_connection:
            batch = Batch(records=[_record("/a", 1)], transact=(0, lambda _: b""))
            await _commit_refused(journal, batch, TypeError, "a transactional effect where there is no connection")
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

    records = [_record("/a", 1), _record("/a", 2, b"to be replaced")]
    stored = await journal.commit(Batch(records=records, transact=(1, make)))
    _same([record.payload for record in stored], [b"x", b"made"], "payloads")
    _require(stored[1].is_whole, "the digest is not that of the effect's payload")
    _same(list(await journal.records("/a")), list(stored), "records")

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

    three = [_record("/a", 3)]
    await _commit_refused(journal, Batch(records=three, transact=(0, add_and_raise)), Changed, "an effect that raises")
    await _commit_refused(
        journal, Batch(records=three, transact=(0, add_and_commit)), sqlite3.Error, "an effect that commits"
    )
    await _commit_refused(
        journal, Batch(records=three, transact=(0, add_and_say_nothing)), TypeError, "an effect that returns None"
    )
    await _commit_refused(journal, Batch(records=three, transact=(1, add)), ValueError, "an effect of no record")
    conflict = Batch(records=[_record("/a", 7)], transact=(0, add))
    await _commit_refused(journal, conflict, SeqConflict, "an effect in a batch with a gap")
    (after,) = await journal.commit(Batch(records=three, transact=(0, add)))
    _same(after.payload, b"101", "after one effect that was stored, and five that were not, the amount is")


# -- the checks: many at once, cancellation, closing ---------------------------------------------------------------------

_MANY: Final = 1_000


async def many_share_a_sync(keeper: Keeper) -> None:
    """A thousand at once are stored in few groups, and all of them are there."""
    async with keeper.open() as journal:
        before = keeper.groups(journal) if keeper.groups is not None else 0
        async with trio.open_nursery() as nursery:
            for number in range(_MANY):
                batch = Batch(records=[_record(f"/{number}", 1), _record(f"/{number}", 2)])
                nursery.start_soon(journal.commit, batch)
        if keeper.groups is not None:
            groups = keeper.groups(journal) - before
            _require(1 <= groups <= _MANY // 20, f"{_MANY} batches at once were stored in {groups} groups")
    async with keeper.open() as journal:
        rows = await journal.actors()
        _same((len(rows), {row.last_seq for row in rows}), (_MANY, {2}), "actors, and their last records")


async def who_is_refused_harms_nobody(keeper: Keeper) -> None:
    """Among many at once, some are refused; those, and no others."""
    refused: list[int] = []

    async def commit(journal: Journal, number: int) -> None:
        try:
            await journal.commit(Batch(records=[_record("/same", 1) if number % 3 else _record(f"/{number}", 1)]))
        except SeqConflict:
            refused.append(number)

    async with keeper.open() as journal:
        async with trio.open_nursery() as nursery:
            for number in range(60):
                nursery.start_soon(commit, journal, number)
        _require(len(refused) == 39, f"of 40 that write one record, {len(refused)} were refused")
        _require(all(number % 3 for number in refused), f"refused were {sorted(refused)}")
        paths = {row.path for row in await journal.actors()}
        _same(paths, {"/same", *(f"/{number}" for number in range(0, 60, 3))}, "actors")


async def cancelled_it_is_stored_or_not(keeper: Keeper) -> None:
    """Whenever a commit is cancelled, its batch is whole or not there, and what it returned is there; the next one goes on."""
    returned: set[int] = set()

    async def commit(journal: Journal, number: int, scope: trio.CancelScope) -> None:
        with scope:
            await journal.commit(Batch(records=[_record(f"/{number}/a", 1), _record(f"/{number}/b", 1)]))
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
                    nursery.start_soon(journal.commit, Batch(records=[_record(f"/beside{number}", 1)]))
        with trio.CancelScope() as scope:
            scope.cancel()
            await journal.commit(Batch(records=[_record("/never", 1)]))
            raise AssertionError("a commit that was cancelled before returned, so it is no checkpoint")
    async with keeper.open() as journal:
        there = {row.path for row in await journal.actors()}
        for number in range(48):
            both = {f"/{number}/a", f"/{number}/b"}
            _require(not both & there or both <= there, f"of batch {number} there is half: {both & there}")
            _require(number not in returned or both <= there, f"batch {number} was acknowledged and is not there")
        _require("/never" not in there, "what was cancelled before it began is there")
        _require(
            all(f"/beside{number}" in there for number in range(1, 48, 2)), "some are missing that nobody cancelled"
        )


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
                nursery.start_soon(journal.commit, Batch(records=[_record(f"/{number}", 1)]))
            for _ in range(2):  # by then all of them are in line
                await trio.lowlevel.checkpoint()
            await journal.aclose()
        await journal.aclose()
        await _commit_refused(journal, Batch(), trio.ClosedResourceError, "a commit when it is closed")
        await _refused(trio.ClosedResourceError, lambda: journal.records("/1"), "reading when it is closed")
        await _refused(trio.ClosedResourceError, journal.actors, "reading when it is closed")
    async with keeper.open() as journal:
        _same(len(await journal.actors()), 20, "actors, opened again")


# -- the checks: damage --------------------------------------------------------------------------------------------------


async def damage_is_found(keeper: Keeper) -> None:
    """A payload that is not what was stored: `JournalDamaged` with path and `seq`; others can be read."""
    if keeper.damage is None:
        return
    await _make_two(keeper)
    keeper.damage("/a", 2)
    await _found(keeper, 2)
    async with keeper.open() as journal:
        _same(list(await journal.records("/a", 2)), _some("/a", 3, 3), "what is behind the damage")


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
        await journal.commit(Batch(records=[*_some("/a", 1, 3), *_some("/b", 1, 3)]))


async def _found(keeper: Keeper, seq: int) -> None:
    async with keeper.open() as journal:
        error = await _refused(
            JournalDamaged, lambda: journal.records("/a"), f"without record {seq} as it was, reading"
        )
        _require("/a" in str(error) and str(seq) in str(error), f"the error does not say what is wrong: {error}")
        _same(list(await journal.records("/b")), _some("/b", 1, 3), "records of one that is whole")


CHECKS: Final[tuple[Callable[[Keeper], Awaitable[None]], ...]] = (
    a_new_one_is_empty,
    records_come_back,
    seq_goes_on_without_a_gap,
    several_paths_in_one_batch,
    a_batch_is_whole_or_not_there,
    digests_are_looked_at,
    an_empty_batch,
    rows_count_what_is_kept,
    mail_stays_until_it_is_taken,
    what_is_rolled_up_is_gone,
    who_is_forgotten_is_gone,
    dead_letters_stay,
    a_transactional_effect_is_part_of_its_batch,
    many_share_a_sync,
    who_is_refused_harms_nobody,
    cancelled_it_is_stored_or_not,
    every_call_is_a_checkpoint,
    a_closed_one_says_so,
    damage_is_found,
    a_gap_is_found,
)
"""All of them, each for a journal of its own."""
