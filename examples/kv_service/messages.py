"""What the store is asked: messages are data, and each says by its base class what it is answered with."""

from typing import Final

import attrs

import histrio

__all__ = ("Health", "Read", "Status", "Write", "WriteRefused")


SHOWN_END: Final[int] = 10**40


def _brief(value: int) -> str:
    """*value*, for reports: Python refuses to write down one of more than 4,300 digits."""
    return repr(value) if abs(value) < SHOWN_END else f"<a number of {value.bit_length()} bits>"


@attrs.frozen
class Write(histrio.Request[None]):
    """Bind `key` to `value`. Answered when that is safe from a power cut, and refused with `WriteRefused` if it is not.

    `key` is any str, `value` an int of any size.
    """

    key: str
    value: int = attrs.field(repr=_brief)


@attrs.frozen
class Read(histrio.Request[int | None]):
    """Answered with the value that `key` is bound to; with None if there is none. Never waits for the disk."""

    key: str


@attrs.frozen
class Health:
    """How the store is.

    Attributes:
        keys: how many keys have a value.
        log_bytes: the length of its log, all of it synced.
        refusing: why it refuses writes at present; None if it takes them.

    """

    keys: int
    log_bytes: int
    refusing: str | None


@attrs.frozen
class Status(histrio.Request[Health]):
    """Answered with the store's `Health`."""


class WriteRefused(histrio.Refusal):
    """The disk failed: the write is not acknowledged, and will not be visible. Reads go on; writes may be tried again."""
