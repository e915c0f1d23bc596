"""One actor's past, read while its code does it again: what comes in is taken from here, what goes out is compared.

Invariant: the place is always the record that comes next. What is compared is kind, key and digest, never by truth of a
value: a result of None is a record like any other.
"""

# Design note
# -----------
# Records are of two sorts. Inputs are what the actor could not know before: that it starts, a message, the outcome of an
# effect. Everything else it does by itself, so the same inputs in the same order must lead to the same rest. One input
# and what follows from it is a *step*; a journal holds whole steps only, so a step that is too short or too long is as
# wrong as one that differs.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NoReturn, final

from histrio_kernel.errors import HistrioError
from histrio_kernel.journal.codec import shown
from histrio_kernel.journal.record import Record, digest_of
from histrio_kernel.signals import Kind

__all__ = ["BEGINNINGS", "INPUTS", "TRANSACTION", "Cursor", "NonDeterminism", "is_early"]

INPUTS: Final = frozenset(
    {Kind.START, Kind.RECEIVE, Kind.RESOLVED, Kind.TRANSITION, Kind.RESTART, Kind.CRASH, Kind.CONTROL}
)
"""What comes from outside. All other kinds are the actor's own doing."""

TRANSACTION: Final = "transaction"
BEGINNINGS: Final = frozenset({Kind.START, Kind.TRANSITION})
"""The cause of an outcome that was stored by the transaction that it is the outcome of."""


class NonDeterminism(HistrioError):
    """Replay has met something that the journal does not have: the code has changed, or asks what it should not.

    Attributes:
        path: of the actor.
        seq: of the record at which they part.
        recorded: what the journal has there.
        got: what the code did.
        line: where it did that.
    """

    def __init__(self, path: str, seq: int, recorded: str, got: str, line: str) -> None:
        self.path: Final = path
        self.seq: Final = seq
        self.recorded: Final = recorded
        self.got: Final = got
        self.line: Final = line
        where = f", at {line}" if line else ""
        super().__init__(
            f"{path}: record {seq} of its journal is {recorded}, and its code did {got}{where}. Either the code has changed "
            'since (keep the old way behind `if self.patched("name")`), or it asks for something that is another each time: '
            "time, chance, a global, an order of a set. The actor is quarantined: it takes no message, and nothing of its "
            "journal is changed. Mend the code and start again"
        )


@final
class Cursor:
    """Where replay has come to in the records of one actor.

    Args:
        path: of the actor.
        records: what is kept, in order.
    """

    __slots__ = ("_at", "_path", "_records")

    def __init__(self, path: str, records: Sequence[Record]) -> None:
        self._path: Final = path
        self._records: Final = records
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left: from here on the actor lives."""
        return self._at == len(self._records)

    @property
    def is_last_and_early(self) -> bool:
        """Whether the next record is the last, and an input that was stored before its step was made."""
        return self._at == len(self._records) - 1 and is_early(self._records[self._at])

    @property
    def next(self) -> Record | None:
        """The record that comes next."""
        return None if self.is_over else self._records[self._at]

    def take_input(self) -> Record:
        """The next record, which begins a step."""
        record = self._records[self._at]
        assert record.kind in INPUTS, record
        self._at += 1
        return record

    def take_crash(self) -> Record | None:
        """The record that says that this step failed, if it did: then nothing else of it was kept."""
        record = self.next
        if record is None or record.kind is not Kind.CRASH:
            return None
        self._at += 1
        return record

    def compare(self, kind: Kind, key: str, payload: bytes, line: Callable[[], str]) -> Record:
        """The code does something: it must be what comes next.

        Raises:
            NonDeterminism: it is not.
        """
        record = self.next
        if record is None or record.kind in INPUTS:
            self._differs("nothing more of this step", told(kind, key, payload), line())
        if (record.kind, record.key, record.digest) != (kind, key, digest_of(payload)):
            self._differs(told(record.kind, record.key, record.payload), told(kind, key, payload), line())
        self._at += 1
        return record

    def step_is_over(self) -> None:
        """The code waits for the next input: the journal must have one there, or end.

        Raises:
            NonDeterminism: something else was to come.
        """
        record = self.next
        if record is not None and record.kind not in INPUTS:
            self._differs(told(record.kind, record.key, record.payload), "nothing more in this step", "")

    def did_something_else(self, got: str, line: str = "") -> NonDeterminism:
        """What is to be said if the code does what it cannot have done here."""
        record = self.next
        recorded = "the end of a step" if record is None else told(record.kind, record.key, record.payload)
        return NonDeterminism(self._path, self._seq(), recorded, got, line)

    def failed(self, error: BaseException, line: str) -> NonDeterminism:
        """What is to be said if the code raises where it did not before."""
        found = self.did_something_else(f"raise {type(error).__name__}: {error}", line)
        found.__cause__ = error
        return found

    def _seq(self) -> int:
        last = self._records[-1].seq if self._records else 0
        return last + 1 if self.is_over else self._records[self._at].seq

    def _differs(self, recorded: str, got: str, line: str) -> NoReturn:
        raise NonDeterminism(self._path, self._seq(), recorded, got, line)


def is_early(record: Record) -> bool:
    """Whether this input is stored before its step: that a child or another life begins, or what a transaction did."""
    return bool(record.cause) if record.kind in BEGINNINGS else record.cause == TRANSACTION


def told(kind: Kind, key: str, payload: bytes) -> str:
    """A record in a few words."""
    what = shown(payload) if payload else ""
    return " ".join(word for word in (kind.name, key, what) if word)
