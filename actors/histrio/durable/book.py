"""The journal of one actor as its life writes it: what the actor does is written down, or compared with what it did.

Invariant: while there is a cursor this is the past, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final, final

from histrio.durable.draft import Draft
from histrio_kernel.errors import HistrioError
from histrio_kernel.journal.cursor import Cursor, NonDeterminism
from histrio_kernel.journal.record import Record, digest_of
from histrio_kernel.signals import Kind
from histrio_kernel.simulation.escapes import call_site

__all__ = ["BEAT", "Book"]

BEAT: Final = "beat "
"""What the key of a record begins with by which an effect says how far it is."""

_CONTROL: Final = Kind.CONTROL
_RESTART: Final = Kind.RESTART
_CRASH: Final = Kind.CRASH


@final
class Book:
    """What is written of one actor.

    Args:
        path: of the actor.
        records: what is kept of it.
        now: gives the time of day.
        identity: of the journal, so that no two draw the same.

    Attributes:
        cursor: where the past has come to; None if that is over.
        draft: the step that is being made.
        input: what this step began with, and `scope` the count at it: a handler that begins by it has that number.
        seq: of the last record.
        count: as `seq`, but without what tells of crashes: so the ids of futures are the same with them and without.
        incarnation: of the actor.
        broken: why its life cannot go on, whoever has caught that on its way.
    """

    __slots__ = (
        "_identity",
        "_now",
        "_random",
        "broken",
        "count",
        "cursor",
        "draft",
        "incarnation",
        "input",
        "path",
        "scope",
        "seq",
    )

    def __init__(self, path: str, records: Sequence[Record], now: Callable[[], float], identity: str) -> None:
        self.path: Final = path
        self._identity: Final = identity
        self.cursor: Cursor | None = Cursor(path, records)
        self.draft = Draft()
        self.input: Record | None = None
        self.scope = 0
        self.seq = records[-1].seq if records else 0
        self.count = 0
        self.incarnation = records[-1].incarnation if records else 1
        self.broken: HistrioError | None = None
        self._now: Final = now
        self._random: Random | None = None

    def begin_step(self, record: Record) -> None:
        """From now on all follows from this input."""
        self.input, self.scope, self._random = record, self.count, None

    @property
    def now(self) -> float:
        """The time of the input that this step began with."""
        return 0.0 if self.input is None else self.input.at

    @property
    def chance(self) -> Random:
        """Chance that is the same when this step is made again."""
        if self._random is None:
            self._random = Random(f"{self._identity}{self.path}/{self.scope}")
        return self._random

    def take_input(self) -> Record:
        """The next input of the past."""
        assert self.cursor is not None
        record = self.cursor.take_input()
        self.counts(record.kind, record.key)
        return record

    def emit(self, kind: Kind, key: str, payload: bytes, scope: int) -> Record:
        """The actor does something.

        Raises:
            NonDeterminism: it did something else.
        """
        if self.cursor is None:
            record = self.new(kind, key, payload, scope, at=self.now)
            self.draft.records.append(record)
            return record
        try:
            record = self.cursor.compare(kind, key, payload, call_site)
        except NonDeterminism as error:
            self.breaks(error)
            raise
        self.counts(kind, key)
        return record

    def new(
        self, kind: Kind, key: str, payload: bytes, scope: int = 0, cause: str = "", at: float | None = None
    ) -> Record:
        """The next record; of now, or of that time: all that a step does has the time of its input."""
        self.seq += 1
        self.counts(kind, key)
        return Record(
            self.path,
            self.seq,
            self.incarnation,
            kind,
            key,
            payload,
            self._now() if at is None else at,
            scope,
            cause,
            digest_of(payload),
        )

    def counts(self, kind: Kind, key: str) -> None:
        """One record more. Beats are not counted either: an attempt that is begun again gives its own."""
        if kind is not _RESTART and kind is not _CRASH and not (kind is _CONTROL and key.startswith(BEAT)):
            self.count += 1

    def back_to(self, record: Record, scope: int) -> None:
        """What came after that record, which was an input, is not stored: it never happened."""
        self.seq, self.count = record.seq, scope

    def breaks(self, error: HistrioError) -> None:
        """The life of the actor cannot go on."""
        self.broken = self.broken or error
