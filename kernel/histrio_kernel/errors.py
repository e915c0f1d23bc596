"""What can go wrong, told in one place: what happened, to whom, why probably, and what to do.

`HistrioError` is the base of all. `ActorStopped` and its subclass `ActorFailed` speak of an actor that is not there
any more; the others speak of one call.
"""

from __future__ import annotations

import enum
from typing import Final, NoReturn, cast, final

import attrs
import trio

__all__ = [
    "ActorFailed",
    "ActorStopped",
    "AskCycle",
    "Busy",
    "Down",
    "End",
    "FutureCancelled",
    "HeldLoop",
    "HeldTurn",
    "HistrioError",
    "InboxFull",
    "Lagged",
    "LoserStuck",
    "MessageDropped",
    "NoMoreMail",
    "NotStarted",
    "Reason",
    "Refusal",
    "SelectStalled",
    "StaleState",
    "StashFull",
    "StuckActor",
    "SystemFailed",
    "Unbound",
    "first_of_group",
    "raise_interrupt",
    "shown",
    "split_cancelled",
    "told",
]


class HistrioError(Exception):
    """The base of every error that Histrio raises on purpose."""


class End(enum.Enum):
    """How an actor's life ended."""

    STOPPED = "stopped"
    """It was asked to stop, drained its inbox, and ran `stopped()`."""
    KILLED = "killed"
    """It was cancelled: by `kill()`, by a deadline, or because its parent ended."""
    FAILED = "failed"
    """A handler, a hook or an operation raised an error that nobody handled."""
    CANCELLED = "cancelled"
    """The Trio scope around the system was cancelled."""


@attrs.frozen
class Reason:
    """Why an actor ended: the kind of end, a sentence, and the error behind it if there was one.

    `because` is the end of another actor that this one follows from, such as its parent's; `chain` tells all of it.
    `result` is what an actor that ended by itself has to show for it.
    """

    end: End
    why: str = ""
    cause: BaseException | None = attrs.field(default=None, eq=False)
    because: Reason | None = attrs.field(default=None, eq=False, repr=False)
    result: object = attrs.field(default=None, eq=False, repr=False)

    def chain(self) -> tuple[str, ...]:
        """A line for each link, from this end back to the first cause (S9)."""
        lines: list[str] = []
        reason: Reason | None = self
        while reason is not None:
            lines.append(str(attrs.evolve(reason, cause=None)))
            error, reason = reason.cause, reason.because
            if reason is None or error is not reason.cause:
                lines.extend(_causes(error))
        return tuple(lines)

    def __str__(self) -> str:
        """A phrase that fits behind "the actor has ended: "."""
        cause = "" if self.cause is None else f": {told(self.cause)}"
        why = f" ({self.why})" if self.why else ""
        return f"{self.end.value}{why}{cause}"


def _causes(error: BaseException | None) -> list[str]:
    """What an error says, and what each of its causes says."""
    lines: list[str] = []
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        lines.append(told(error))
        if isinstance(error, BaseExceptionGroup):
            error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
        error = error.__cause__
    return lines


@attrs.frozen
class Down:
    """What a monitor tells: which actor has ended for good, why, and in which of its incarnations."""

    path: str
    reason: Reason
    incarnation: int


class ActorStopped(HistrioError):
    """The actor that this concerns has stopped or is stopping; it will not answer.

    Attributes:
        path: whose end it is.
        reason: why it ended, with the cause if there was one.

    A ref outlives its actor. Ask for the reason here, and get a new ref from whoever spawned the actor.
    """

    def __init__(self, path: str, reason: Reason, what: str = "") -> None:
        self.path: Final = path
        self.reason: Final = reason
        super().__init__(f"{path} has ended: {reason}" + (f"; {what}" if what else ""))


class ActorFailed(ActorStopped):
    """The actor failed: something in it raised, and it was not a `Refusal`. The error is the `__cause__`.

    To answer an asker with an error and live on, a handler raises `Refusal` or a subclass of it.
    """

    def __init__(self, path: str, cause: BaseException, why: str = "") -> None:
        super().__init__(path, Reason(End.FAILED, why, cause))
        self.__cause__ = cause


@final
class SystemFailed(ActorFailed):
    """An actor failed with no supervisor above it, and so the system ended.

    `failures` holds the error of each top actor that failed, in the order in which they did; `__cause__` is the only
    one, or an `ExceptionGroup` of them.
    """

    def __init__(self, name: str, failures: tuple[ActorFailed, ...]) -> None:
        self.failures: Final = failures
        cause = failures[0] if len(failures) == 1 else ExceptionGroup(f"{len(failures)} actors failed", failures)
        super().__init__("/", cause)
        self.args = (f"system {name!r} has ended, because nobody supervises what failed: {cause}",)


class Refusal(HistrioError):
    """Raised by a handler to answer its asker with an error. The actor lives on.

    Subclass it for errors that callers are expected to handle. Raised while handling a `tell`, it makes the message
    a dead letter.
    """


class InboxFull(HistrioError):
    """The inbox has no room, and nothing was delivered.

    The actor is slower than its senders. Prefer `await ref.tell(...)`, which waits for room; or give the actor a
    larger `inbox_max`; or decide here what to drop.
    """

    @classmethod
    def at(cls, path: str, queued: int, standing: int) -> InboxFull:
        """The error for the actor at `path`."""
        line = f" and {standing} senders stand in line" if standing else ""
        return cls(
            f"{path}: {queued} messages wait in its inbox{line}; nothing was delivered. It is slower than its senders:"
            " await tell(), which waits, raise inbox_max, or drop the message"
        )


class MessageDropped(HistrioError):
    """The asked message was dropped by the overflow policy of the inbox, and will not be answered."""


class FutureCancelled(HistrioError):
    """The future that was awaited has been cancelled, by `cancel()` or because its owner ended.

    It is an ordinary error: the task that awaits is not cancelled itself.
    """


class LoserStuck(HistrioError):
    """A loser of `either` was cancelled and had not ended after `cleanup_s`. Its owner still waits for it."""


class Lagged(HistrioError):
    """A reader was too slow for its feed, whose policy is `Lag.FAIL`. What was kept has been read; the feed is over.

    Attributes:
        lost: how many items came when there was no room any more, and are lost.

    Subscribe anew, and look at the present state before you read on; or read faster, or give the feed more room.
    """

    def __init__(self, about: str, lost: int, feed_max: int) -> None:
        self.lost: Final = lost
        super().__init__(
            f"{about}: {lost} items are lost, because {feed_max} had not been read when they came (Lag.FAIL). Subscribe"
            " anew and look at the present state first; or read faster, raise feed_max, or choose another Lag"
        )


class SelectStalled(HistrioError):
    """A `select` that can never be met: the inbox is full of other mail, so nothing new can come in."""


@final
class NoMoreMail(trio.EndOfChannel, HistrioError):
    """What ends a `select`, `filter` or `receive_next` of an actor that is stopping: nothing more can come in.

    It is its own class because a handler may meet the end of a channel of its own while its actor stops, and that is an
    error of the handler.
    """


class StashFull(HistrioError):
    """The actor has put `stash_max` messages by, and may put no more by; nothing changed."""


class StuckActor(HistrioError):
    """A report: an actor was cancelled and has not ended after its `shutdown_s`. It is still waited for.

    Something in it ignores cancellation: a shield without a deadline, or a thread that cannot be abandoned.
    """


class Busy(HistrioError):
    """Another `select`, `filter` or `receive_next` of this actor is still waiting."""


class AskCycle(HistrioError):
    """This await could never end: it waits for an answer that only the waiting actor itself could give."""


class StaleState(HistrioError):
    """Attributes that `unchanged` guards have moved while the handler waited.

    Attributes:
        names: the attributes that moved, in the order in which they were named.

    Read them again and decide anew, or make the actor `serial`.
    """

    def __init__(self, path: str, names: tuple[str, ...]) -> None:
        self.names: Final = names
        super().__init__(f"{path}: {', '.join(names)} changed while this handler waited; read again and decide anew")


class NotStarted(HistrioError):
    """Something of an actor was used before it had a place in a system, in `__init__` for example."""


class Unbound(HistrioError):
    """A ref came out of a pickle and belongs to no system yet: `ref = system.bind(ref)`."""


class HeldTurn(HistrioError):
    """A report of the watchdog: a handler has held its actor's turn for long while it waited for something else."""


@final
class HeldLoop(HistrioError):
    """A report of the watchdog: a task has held Trio's loop for long, by computing or by a call that blocks.

    Attributes:
        path: the actor whose handler or operation it was; None if it was a task of no actor.
        seconds: how long it did.
        stack: where it was when that was noticed, as a traceback shows it: the outermost call first.

    It is logged with its stack while the loop is still held, and reported when the loop goes on.
    """

    def __init__(self, text: str, path: str | None, seconds: float, stack: str) -> None:
        self.path: Final = path
        self.seconds: Final = seconds
        self.stack: Final = stack
        super().__init__(text)


def first_of_group(error: BaseException) -> BaseException:
    """The first of a group of errors, and of the groups in it; an error that is no group is itself."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def told(error: BaseException) -> str:
    """The kind of `error` and what it says; also of one that cannot say it. Of a group, the first and how many more."""
    if isinstance(error, BaseExceptionGroup):
        first, *others = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return f"{told(first)} (and {len(others)} more)" if others else told(first)
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # its __str__ is broken; the text is about something else
        return f"{type(error).__name__}: (it cannot be shown)"


def shown(message: object, length_max: int = 200) -> str:
    """`repr(message)` for an error text: not longer than that, and never an error of its own."""
    try:
        text = repr(message)
    except Exception:  # the text is about something else
        text = object.__repr__(message)
    return text if len(text) <= length_max else f"{text[: length_max - 3]}..."


def split_cancelled(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """What of `error` is `trio.Cancelled`, and what is not; a group of one is that one.

    Trio needs the first part to go on to its scope; the second part is what really happened.
    """
    if isinstance(error, trio.Cancelled):
        return error, None
    if not isinstance(error, BaseExceptionGroup):
        return None, error
    group = cast("BaseExceptionGroup[BaseException]", error)
    cancelled, rest = group.split(trio.Cancelled)
    if cancelled is None:
        return None, group
    return _bare(cancelled), _bare(rest)


def raise_interrupt(error: BaseException) -> NoReturn:
    """Raise the `KeyboardInterrupt` or the like in `error`, bare: it is nobody's failure and goes to the top.

    What else is in a group with it is its `__cause__`.
    """
    first = error
    while isinstance(first, BaseExceptionGroup):
        members = cast("BaseExceptionGroup[BaseException]", first).exceptions
        first = next((member for member in members if not isinstance(member, Exception | trio.Cancelled)), members[0])
    alone = _bare(error) is first
    raise first from (None if alone else error)


def _bare(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        first, *others = cast("BaseExceptionGroup[BaseException]", error).exceptions
        if others:
            return cast(BaseException, error)
        error = first
    return error
