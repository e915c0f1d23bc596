"""What the store and its log are asked: messages are data; each says by its base class what it is answered with."""

from pathlib import Path
from typing import Final, TypeAlias

import attrs

import histrio

__all__ = (
    "STORE",
    "Append",
    "Health",
    "LogHealth",
    "LogMessage",
    "LogStatus",
    "Read",
    "Recover",
    "Recovered",
    "Status",
    "StoreMessage",
    "Unavailable",
    "Write",
    "WriteRefused",
)


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
    """The log has no room: the write is not acknowledged, and will not be visible. It may be tried again."""


class Unavailable(histrio.Refusal):
    """The store, or its log, has failed and is being started again. It may be asked again in a moment."""


StoreMessage: TypeAlias = Write | Read | Status

STORE: Final = histrio.Key[StoreMessage]("store")
"""Where the store of a system is found; it stays there when it is started again."""


@attrs.frozen
class Append(histrio.Request[None]):
    """Put a record at the end of the log. Answered when it is safe from a power cut, or refused with `WriteRefused`."""

    payload: bytes = attrs.field(repr=lambda payload: f"<{len(payload)} bytes>")


@attrs.frozen
class Recovered:
    """All records of the log at `path`, in order."""

    path: Path
    payloads: list[bytes] = attrs.field(repr=lambda payloads: f"<{len(payloads)} records>")


@attrs.frozen
class Recover(histrio.Request[Recovered]):
    """Answered with all that was appended before, and with nothing that is appended after."""


@attrs.frozen
class LogHealth:
    """How the log is: its length, all of it synced, and why it refuses to grow; None if it does not."""

    size: int
    refusing: str | None


@attrs.frozen
class LogStatus(histrio.Request[LogHealth]):
    """Answered with the log's `LogHealth`."""


LogMessage: TypeAlias = Append | Recover | LogStatus
