"""What an inbox does with one message more than it has room for."""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable
from typing import Final, TypeVar, cast

import attrs

from histrio_kernel.bounds import bound

__all__ = ["DROP_NEW", "DROP_OLD", "LATEST", "REFUSE", "WAIT", "Latest", "Overflow", "Policy"]

M = TypeVar("M")


class Overflow(enum.Enum):
    """What a full inbox does with one more message."""

    WAIT = "wait"
    """The sender waits in line (`tell`, `ask`) or is refused (`tell_nowait`, `ask_nowait`)."""
    REFUSE = "refuse"
    """The sender is refused with `InboxFull`."""
    DROP_NEW = "drop_new"
    """The new message is dropped."""
    DROP_OLD = "drop_old"
    """The oldest message is dropped."""


WAIT: Final = Overflow.WAIT
REFUSE: Final = Overflow.REFUSE
DROP_NEW: Final = Overflow.DROP_NEW
DROP_OLD: Final = Overflow.DROP_OLD


@attrs.frozen
class Latest:
    """Of the messages with one key only the latest is kept, in the place of the first; see `LATEST`."""

    key: Callable[[object], Hashable]


def LATEST(key: Callable[[M], Hashable]) -> Latest:  # noqa: N802 - one of the policies, which are constants
    """Keep only the latest message of each `key(message)`; when the inbox is full of other keys, senders wait.

    `key` must be quick and must not raise; it runs in the sender's call.
    """
    return Latest(cast(Callable[[object], Hashable], key))


@attrs.frozen
class Policy:
    """The bounds of an inbox and what happens at them. One object serves all actors of a class."""

    inbox_max: int = bound("inbox_max")
    waiting_max: int = bound("waiting_max")
    overflow: Overflow | Latest = WAIT
