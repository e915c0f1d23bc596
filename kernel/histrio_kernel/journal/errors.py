"""What can go wrong with a journal: each says of which actor, at which record, why probably, and what to do."""

from __future__ import annotations

from typing import Self

from histrio_kernel.errors import HistrioError

__all__ = [
    "ForeignFile",
    "JournalDamaged",
    "JournalFailed",
    "JournalInUse",
    "JournalTooNew",
    "LeaseLost",
    "SeqConflict",
    "Undecodable",
    "Unencodable",
]


class JournalFailed(HistrioError):
    """The journal could not be written: the disk is full, failed, or locked by somebody else.

    Nothing of the batch is acknowledged, and nothing is written by this journal any more: after a failed sync nobody knows
    what is on the disk. Opened again, it has the batch whole or not at all. The actors stop with this error. Mend the
    cause, and open it again.
    """

    def again(self) -> Self:
        """An equal error for one more waiter, so that no two tasks raise one object."""
        again = type(self)(*self.args)
        again.__cause__ = self.__cause__
        return again


class LeaseLost(JournalFailed):
    """Somebody else owns the journal now: this process was taken for dead, because it did not renew its lease in time.

    Nothing was written. What this process did since is not in the journal, and its actors stop.
    """


class JournalInUse(HistrioError):
    """Another process owns the journal; the text says which, and until when."""


class ForeignFile(HistrioError):
    """The file is no journal of Histrio. Nothing of it was changed."""


class JournalTooNew(HistrioError):
    """The journal was written by a newer Histrio, in a format that this one does not know. Nothing of it was changed."""


class JournalDamaged(HistrioError):
    """A record cannot be right: its digest does not fit, or a `seq` is missing. The text says of which actor and where."""


class SeqConflict(HistrioError):
    """A batch does not continue what is stored of its actor: somebody else has written, or a batch was left out."""


class Unencodable(HistrioError, TypeError):
    """A value cannot be stored; the text names the field. It is refused before anything is written."""


class Undecodable(HistrioError):
    """What was stored cannot be read: its type is not there any more, or has other fields."""
