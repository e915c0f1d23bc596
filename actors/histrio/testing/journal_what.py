"""The checks of what a journal holds: records, rows, messages, and what is left behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from msgspec.structs import replace

from histrio.testing.journal_words import (
    Keeper,
    a_mail,
    a_record,
    a_row,
    commit_refused,
    everything,
    key_of,
    require,
    same,
    some,
)
from histrio_kernel.journal.errors import SeqConflict
from histrio_kernel.journal.record import Record, digest_of
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Journal
from histrio_kernel.signals import Kind

__all__ = ["CHECKS_OF_WHAT"]

# -- records -------------------------------------------------------------------------------------------------


async def a_new_one_is_empty(keeper: Keeper) -> None:
    """There is nothing in it, and of whom it knows nothing it says so."""
    async with keeper.open() as journal:
        got = [
            await journal.actors(),
            await journal.records("/a"),
            await journal.mail("/"),
            await journal.dead_letters(),
        ]
        require(not any(got), f"a new journal has {got}")


async def it_is_itself(keeper: Keeper) -> None:
    """It has an identity, which is the same when it is opened again."""
    async with keeper.open() as journal:
        first = journal.identity
    async with keeper.open() as journal:
        require(bool(first) and journal.identity == first, f"it was {first!r}, and is {journal.identity!r}")


async def records_come_back(keeper: Keeper) -> None:
    """Every field of a record, in order, at once and when it is opened again; whatever is in it."""
    odd = ['/a"b', "/a'b", "/%", "/_", "/a b#3", "/ä/😀", "/a;--"]
    large = Record("/large", 1, 7, Kind.TRANSITION, "", bytes(range(256)) * 4096, -1.25, 0, "", b"")
    empty = Record("/empty", 1, 1, Kind.RESOLVED, "1.1", b"", 0.0)
    async with keeper.open() as journal:
        stored = list(await journal.commit(Batch(records=some("/a", 1, 3))))
        same(stored, some("/a", 1, 3), "commit returned")
        await journal.commit(Batch(records=[a_record(path, 1) for path in odd]))
        await journal.commit(Batch(records=some("/a", 4, 4)))
        await journal.commit(Batch(records=[large, empty]))
        await _check_come_back(journal, odd, large)
    async with keeper.open() as journal:
        await _check_come_back(journal, odd, large)


async def _check_come_back(journal: Journal, odd: Sequence[str], large: Record) -> None:
    same(list(await journal.records("/a")), some("/a", 1, 4), "records")
    same(list(await journal.records("/a", 2)), some("/a", 3, 4), "records after 2")
    same(list(await journal.records("/a", 4)), [], "records after the last")
    same(list(await journal.records("/a", 9)), [], "records after what is not there yet")
    for path in odd:
        same(list(await journal.records(path)), [a_record(path, 1)], f"records of {path!r}")
    (got,) = await journal.records("/large")
    require(got.payload == large.payload, "a megabyte came back otherwise")
    require(got.is_whole, "a record without a digest was stored without one")
    (got,) = await journal.records("/empty")
    same((got.payload, got.digest), (b"", digest_of(b"")), "a record without payload and digest")


async def seq_goes_on_without_a_gap(keeper: Keeper) -> None:
    """The first is 1, and each next one follows; all else is a `SeqConflict`, and the journal goes on."""
    async with keeper.open() as journal:
        for seqs in ([0], [2], [1, 3], [1, 1], [2, 1]):
            batch = Batch(records=[a_record("/a", seq) for seq in seqs])
            error = await commit_refused(journal, batch, SeqConflict, f"a journal that begins with {seqs}")
            require("/a" in str(error), f"the error does not say of whom it is: {error}")
        await journal.commit(Batch(records=some("/a", 1, 2)))
        for seq in (1, 2, 4):
            batch = Batch(records=[a_record("/a", seq)])
            await commit_refused(journal, batch, SeqConflict, f"record {seq} after record 2")
        await journal.commit(Batch(records=some("/a", 3, 3)))
        same(list(await journal.records("/a")), some("/a", 1, 3), "records")


async def several_paths_in_one_batch(keeper: Keeper) -> None:
    """An actor and the children that it spawns: each path goes on by itself, in whatever order they stand."""
    records = [a_record("/a", 1), a_record("/a/c", 1), a_record("/a", 2), a_record("/a/b", 1), a_record("/a/c", 2)]
    async with keeper.open() as journal:
        same(list(await journal.commit(Batch(records=records))), records, "commit returned")
        await journal.commit(Batch(records=[a_record("/a/c", 3), a_record("/a", 3)]))
        for path, last in (("/a", 3), ("/a/b", 1), ("/a/c", 3)):
            same([record.seq for record in await journal.records(path)], [*range(1, last + 1)], f"records of {path}")


async def a_batch_is_whole_or_not_there(keeper: Keeper) -> None:
    """One record that cannot be, and nothing of the batch is there, nor is anything taken away."""
    paths = ["/a", "/a/b", "/c", "/d"]
    async with keeper.open() as journal:
        await journal.commit(
            Batch(records=[*some("/a", 1, 3), *some("/c", 1, 2)], actors=[a_row("/a")], sends=[a_mail("/c", "/a", 1)])
        )
        before = await everything(journal, paths)
        batch = Batch(
            records=[a_record("/a", 4), a_record("/a/b", 1), a_record("/d", 2)],
            actors=[a_row("/a", "ended"), a_row("/a/b")],
            sends=[a_mail("/a", "/d", 1)],
            took=[("/c", "/a", 1)],
            dead=[DeadLetterRow("/x", "/a", b"", "gone", 0.0)],
            keep_from=[("/a", 4)],
            forget=["/c"],
        )
        await commit_refused(journal, batch, SeqConflict, "a batch with a gap")
        same(await everything(journal, paths), before, "after a batch that was refused there is")
    async with keeper.open() as journal:
        same(await everything(journal, paths), before, "opened again there is")


async def digests_are_looked_at(keeper: Keeper) -> None:
    """A record with the digest of another payload is refused before it is stored."""
    async with keeper.open() as journal:
        wrong = Record("/a", 1, 1, Kind.USE, "", b"x", 0.0, 0, "", digest_of(b"y"))
        await commit_refused(journal, Batch(records=[wrong]), ValueError, "a digest of another payload")
        same(list(await journal.records("/a")), [], "records")


async def an_empty_batch(keeper: Keeper) -> None:
    """It may be committed, and is a checkpoint like any other."""
    async with keeper.open() as journal:
        same(list(await journal.commit(Batch())), [], "an empty batch returned")


# -- the checks: rows, messages, what is left behind ---------------------------------------------------------------------


async def rows_count_what_is_kept(keeper: Keeper) -> None:
    """`seq`, records and bytes are the store's own, whatever a row says; the rest is the batch's. In order of paths."""
    async with keeper.open() as journal:
        lies = ActorRow("/b", "b", 2, "live", 50, 60, 1, 70, 80, "m:B")
        await journal.commit(Batch(records=[a_record("/b", 1, b"123"), a_record("/b", 2, b"")], actors=[lies]))
        await journal.commit(Batch(actors=[a_row("/c")]))
        await journal.commit(Batch(records=[a_record("/a", 1, b"12", incarnation=4)]))
        await journal.commit(Batch(records=[a_record("/b", 3, b"1234", incarnation=2)]))
        first = ActorRow("/a", "", 0, "live", 1, 1, 4, 1, 2)
        third = ActorRow("/c", "module:Behaviour", 3, "live", 1, 0, 1, 0, 0)
        expected = [first, ActorRow("/b", "b", 2, "live", 1, 3, 2, 3, 7, "m:B"), third]
        same(list(await journal.actors()), expected, "actors")
        await journal.commit(Batch(actors=[replace(lies, version=9, state="quarantined", code="n:B")]))
        expected[1] = ActorRow("/b", "b", 9, "quarantined", 1, 3, 2, 3, 7, "n:B")
        same(list(await journal.actors()), expected, "actors, after one has changed")
    async with keeper.open() as journal:
        same(list(await journal.actors()), expected, "actors, opened again")


async def mail_stays_until_it_is_taken(keeper: Keeper) -> None:
    """In the order in which it was sent, each to its receiver; what is taken is gone, what is not there may be taken."""
    first, second, third, fourth = (
        a_mail("/b", "/z", 1),
        a_mail("/b", "/a", 1),
        a_mail("/b", "", 7),
        a_mail("/b", "/a", 2),
    )
    async with keeper.open() as journal:
        await journal.commit(Batch(records=[a_record("/z", 1)], sends=[first, a_mail("/bb", "/z", 1)]))
        await journal.commit(Batch(sends=[second, third]))
        same(list(await journal.mail("/b")), [first, second, third], "mail")
        same(list(await journal.mail("/bb")), [a_mail("/bb", "/z", 1)], "mail of another one")
        await journal.commit(
            Batch(records=[a_record("/b", 1)], took=[key_of(second), ("/b", "/nobody", 1)], sends=[fourth])
        )
        same(list(await journal.mail("/b")), [first, third, fourth], "mail, when one was taken")
    async with keeper.open() as journal:
        same(list(await journal.mail("/b")), [first, third, fourth], "mail, opened again")
        await commit_refused(journal, Batch(sends=[third]), SeqConflict, "a message that is there already")
        await commit_refused(journal, Batch(sends=[second, second]), SeqConflict, "one message twice")
        await journal.commit(Batch(took=[key_of(first)], sends=[first]))
        same(list(await journal.mail("/b")), [third, fourth, first], "mail, when one was taken and sent again")


async def what_is_rolled_up_is_gone(keeper: Keeper) -> None:
    """`keep_from` takes the records below, also those of its own batch, and the numbers go on."""
    async with keeper.open() as journal:
        await journal.commit(Batch(records=[*some("/a", 1, 5), *some("/ab", 1, 2)]))
        await journal.commit(Batch(records=some("/a", 6, 7), keep_from=[("/a", 6)]))
        same(list(await journal.records("/a")), some("/a", 6, 7), "records from 6 on")
        same(list(await journal.records("/a", 6)), some("/a", 7, 7), "records after 6")
        same((await journal.actors())[0], ActorRow("/a", "", 0, "live", 6, 7, 1, 2, 2), "its row")
        same(list(await journal.records("/ab")), some("/ab", 1, 2), "records of another one")
        await journal.commit(Batch(keep_from=[("/a", 2), ("/nobody", 1)]))
        same(list(await journal.records("/a")), some("/a", 6, 7), "records, when less was to be rolled up")
        await commit_refused(journal, Batch(keep_from=[("/a", 9)]), ValueError, "keep_from of what is to come")
        await journal.commit(Batch(keep_from=[("/a", 8)]))
        same(list(await journal.records("/a")), [], "records, when all are rolled up")
        await commit_refused(journal, Batch(records=some("/a", 1, 1)), SeqConflict, "a path that begins again")
    async with keeper.open() as journal:
        await journal.commit(Batch(records=some("/a", 8, 8)))
        same(list(await journal.records("/a")), some("/a", 8, 8), "records, opened again")
        rows = list(await journal.actors())
        same(rows[0], ActorRow("/a", "", 0, "live", 8, 8, 1, 1, 1), "its row")
        same([row.path for row in rows], ["/a", "/ab"], "actors")


async def who_is_forgotten_is_gone(keeper: Keeper) -> None:
    """A path and all below it, not those whose names only begin like it; what they sent stays, what they got does not."""
    paths = ["/", "/a", "/a/b", "/a/b/c", "/a0", "/a-b", "/ab", "/b"]
    stays = a_mail("/b", "/a/b", 1)
    async with keeper.open() as journal:
        await journal.commit(
            Batch(
                records=[a_record(path, 1) for path in paths],
                sends=[stays, a_mail("/a/b", "/b", 1), a_mail("/a", "/b", 2), a_mail("/ab", "/b", 3)],
            )
        )
        await journal.commit(Batch(records=[a_record("/a", 1), a_record("/a", 2)], forget=["/a"]))
        same([row.path for row in await journal.actors()], ["/", "/a", "/a-b", "/a0", "/ab", "/b"], "actors")
        same([record.seq for record in await journal.records("/a")], [1, 2], "records of who begins again")
        same(list(await journal.records("/a/b")), [], "records of who was forgotten")
        same(list(await journal.mail("/b")), [stays], "what was sent by who was forgotten")
        same(list(await journal.mail("/a/b")), [], "mail to who was forgotten")
        same(list(await journal.mail("/a")), [], "mail to who was forgotten and begins again")
        same(list(await journal.mail("/ab")), [a_mail("/ab", "/b", 3)], "mail to who was not")
        await journal.commit(Batch(forget=["/nobody"]))
    async with keeper.open() as journal:
        await journal.commit(Batch(forget=["/"]))
        same(list(await journal.actors()), [], "actors, when all are forgotten")


async def dead_letters_stay(keeper: Keeper) -> None:
    """The oldest first, also equal ones."""
    letters = [DeadLetterRow("/a", "/b", b"1", "ended", 1.0), DeadLetterRow("/a", "", b"", "dropped", 0.5)]
    async with keeper.open() as journal:
        await journal.commit(Batch(dead=letters))
        await journal.commit(Batch(dead=letters[:1]))
    async with keeper.open() as journal:
        same(list(await journal.dead_letters()), [*letters, letters[0]], "dead letters")


CHECKS_OF_WHAT: Final[tuple[Callable[[Keeper], Awaitable[None]], ...]] = (
    a_new_one_is_empty,
    it_is_itself,
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
)
"""What is stored comes back."""
