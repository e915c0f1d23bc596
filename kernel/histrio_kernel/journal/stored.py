"""What a journal holds, in memory: the shelf of the stores that keep it there."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, final

from histrio_kernel.journal.applying import is_below, whole
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.store import ActorRow, DeadLetterRow, Mail
from histrio_kernel.journal.transacting import call_effect

__all__ = ["Stored"]


@final
class Stored:
    """Records, actors, messages and dead letters, with a database in memory beside them for transactional effects.

    Args:
        identity: of the journal; default: one is drawn.
    """

    def __init__(self, identity: str | None = None) -> None:
        self.identity: Final = secrets.token_hex(8) if identity is None else identity
        self.records: Final[dict[str, list[Record]]] = {}
        self.actors: Final[dict[str, ActorRow]] = {}
        self.mail: Final[dict[tuple[str, str, int], Mail]] = {}
        self.dead: Final[list[DeadLetterRow]] = []
        self._connection: sqlite3.Connection | None = None

    def read(self, path: str, after: int) -> Sequence[Record]:
        """The records of one actor after that `seq`.

        Raises:
            JournalDamaged: they are not what was written.
        """
        kept = self.records.get(path, [])
        return whole(self.row(path), path, [record for record in kept if record.seq > after], after)

    def all_actors(self) -> Sequence[ActorRow]:
        """All actors, in the order of their paths."""
        return sorted(self.actors.values(), key=lambda row: row.path)

    def mail_of(self, path: str) -> Sequence[Mail]:
        """What one actor has not taken yet, in the order in which it was sent."""
        return [mail for mail in self.mail.values() if mail.to == path]

    # -- Shelf -------------------------------------------------------------------------------------------------------

    def row(self, path: str) -> ActorRow | None:
        """What is known of one actor."""
        return self.actors.get(path)

    def has_mail(self, to: str, sender: str, number: int) -> bool:
        """Whether that message is there."""
        return (to, sender, number) in self.mail

    def transact(self, call: Callable[[sqlite3.Connection], bytes]) -> bytes:
        """What `call` returns for the database; if it raises, it has changed nothing."""
        if self._connection is None:
            self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.execute("BEGIN")
        try:
            payload = call_effect(self._connection, call)
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
        return payload

    def forget(self, path: str) -> None:
        """Remove an actor, those below it, and the messages to them."""
        for each in [each for each in self.actors if is_below(each, path)]:
            del self.actors[each]
            self.records.pop(each, None)
        for key in [key for key in self.mail if is_below(key[0], path)]:
            del self.mail[key]

    def take(self, keys: Sequence[tuple[str, str, int]]) -> None:
        """Remove messages, if they are there."""
        for key in keys:
            self.mail.pop(key, None)

    def append(self, records: Sequence[Record]) -> None:
        """Add records."""
        for record in records:
            self.records.setdefault(record.path, []).append(record)

    def cut(self, path: str, below: int) -> tuple[int, int]:
        """Remove the records of an actor below that `seq`; how many, and the bytes of their payloads."""
        kept = self.records.get(path, [])
        cut = [record for record in kept if record.seq < below]
        del kept[: len(cut)]
        return len(cut), sum(len(record.payload) for record in cut)

    def put(self, row: ActorRow) -> None:
        """Add or replace what is known of one actor."""
        self.actors[row.path] = row

    def send(self, mail: Sequence[Mail]) -> None:
        """Add messages."""
        for each in mail:
            self.mail[each.to, each.sender, each.number] = each

    def bury(self, dead: Sequence[DeadLetterRow]) -> None:
        """Add dead letters."""
        self.dead.extend(dead)
