"""What the checks of journals are written with: a journal to be checked, small batches, and what must hold."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager

import attrs

from histrio_kernel.journal.record import Record, digest_of
from histrio_kernel.journal.store import ActorRow, Batch, Journal, Mail
from histrio_kernel.signals import Kind

__all__ = [
    "Keeper",
    "a_mail",
    "a_record",
    "a_row",
    "commit_refused",
    "everything",
    "key_of",
    "refused",
    "require",
    "same",
    "some",
]


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


def require(holds: bool, otherwise: str) -> None:
    """Raise if it does not hold, also where Python leaves out its own assertions."""
    if not holds:
        raise AssertionError(otherwise)


def same(got: object, expected: object, what: str) -> None:
    """Raise if they differ, and say what they are."""
    require(got == expected, f"{what}: {got!r}, not {expected!r}")


def a_record(path: str, seq: int, payload: bytes = b"x", incarnation: int = 1) -> Record:
    """A record with something in every field."""
    return Record(path, seq, incarnation, Kind.USE, f"key {seq}", payload, 1.5, seq - 1, "/other:3", digest_of(payload))


def some(path: str, first: int, last: int) -> list[Record]:
    """Records that follow each other, each with its number."""
    return [a_record(path, seq, b"%d" % seq) for seq in range(first, last + 1)]


def a_row(path: str, state: str = "live") -> ActorRow:
    """A row that says nothing of records."""
    return ActorRow(path, "module:Behaviour", 3, state, 0, 0, 1, 0, 0)


def a_mail(to: str, sender: str, number: int) -> Mail:
    """A message."""
    return Mail(to, sender, number, b"mail %d" % number, 2.5)


def key_of(mail: Mail) -> tuple[str, str, int]:
    """What names a message."""
    return mail.to, mail.sender, mail.number


async def refused(expected: type[Exception], call: Callable[[], Awaitable[object]], what: str) -> Exception:
    """The error that the call raises."""
    try:
        got = await call()
    except expected as error:
        return error
    except Exception as error:
        raise AssertionError(f"{what} raised {error!r}, not {expected.__name__}") from error
    raise AssertionError(f"{what} gave {got!r}, and did not raise {expected.__name__}")


async def commit_refused(journal: Journal, batch: Batch, expected: type[Exception], what: str) -> Exception:
    """The error with which a batch is refused."""
    return await refused(expected, lambda: journal.commit(batch), what)


async def everything(journal: Journal, paths: Iterable[str]) -> object:
    """All that can be read, to be compared."""
    actors = await journal.actors()
    records = [list(await journal.records(path)) for path in paths]
    mail = [list(await journal.mail(path)) for path in paths]
    return list(actors), records, mail, list(await journal.dead_letters())
