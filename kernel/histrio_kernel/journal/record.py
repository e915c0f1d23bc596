"""One thing that happened to an actor, as a journal keeps it."""

# Design note
# -----------
# `seq` is dense for each path and goes on across incarnations, so a gap is damage, and nothing else. Payloads are bytes
# to everybody but the codec: a store need not know what an actor remembers, and a digest is one of bytes.
#
# `scope` is the number of the record that began the handler to which this one belongs (its RECEIVE, or START for
# `started()`), and a future's id is that scope and the number of the future in it (J4): given in the order of creation in the
# handler's code, whatever the order of completion. A durable actor does not count what tells of crashes, so the ids of a run
# that was killed are those of one that was not.

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from histrio_kernel.signals import Kind

__all__ = ["DIGEST_BYTES", "FORMAT", "Record", "digest_of"]

FORMAT: Final = 1
"""The version of the format of records and payloads. A newer one is refused, an older one is read for ever."""

DIGEST_BYTES: Final = 8


class Record(msgspec.Struct, frozen=True, array_like=True):
    """One record.

    Attributes:
        path: of the actor, from the root of the durable tree.
        seq: its number, from 1, without a gap.
        incarnation: of the actor, from 1.
        kind: what happened.
        key: what it is about, by which replay compares it: the id of a future, the path of a child, a name.
        payload: encoded; see `histrio_kernel.journal.codec`.
        at: wall-clock time in seconds since 1970 (in a simulation: since its beginning); all that a step of a durable actor
            does has the time of its input.
        scope: which handler this belongs to: the number of the record that began it, of a durable actor without those that
            tell of crashes (CRASH, RESTART, CONTROL); 0 if none.
        cause: the path and `seq` of the record of another actor that this follows from, as `path:seq`; empty if none.
        digest: of the payload.
    """

    path: str
    seq: int
    incarnation: int
    kind: Kind
    key: str
    payload: bytes
    at: float
    scope: int = 0
    cause: str = ""
    digest: bytes = b""

    @property
    def is_whole(self) -> bool:
        """Whether the payload is the one that was stored."""
        return self.digest == digest_of(self.payload)


def digest_of(payload: bytes) -> bytes:
    """Eight bytes that stand for a payload."""
    return hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest()
