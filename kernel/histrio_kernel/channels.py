"""An inbox of no actor, as a pair of Trio channels: it keeps the contract of `trio.open_memory_channel`.

One suite of tests runs against both, and so pins the order of those who wait, atomic cancellation and closing.
"""

# Design note
# -----------
# An actor never receives like this. Its turn is the taker of its inbox: a task that waits in `receive` has a message
# taken out for it before the actor may run it (DESIGN A11). Here the receivers are the takers, in the order in which
# they came, and whoever adds mail hands it to the first of them.
#
# Both sides wait in futures of ours, so a handler of an actor that awaits them gives its turn away (A2). That is the
# one difference from Trio's own; another is that the buffer has room for one at least.

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Generic, Self, TypeVar, cast, final

import trio
from trio.lowlevel import cancel_shielded_checkpoint, checkpoint, checkpoint_if_cancelled, enable_ki_protection

from histrio_kernel.errors import ActorStopped, End, HistrioError, Reason
from histrio_kernel.futures import ERROR, VALUE, Future, Pace, Telling, Waiter
from histrio_kernel.inbox import Inbox, Verdict
from histrio_kernel.overflow import Policy
from histrio_kernel.signals import Signals

__all__ = ["InboxReceiveChannel", "InboxSendChannel", "open_inbox"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

_CLOSED: Final = Reason(End.STOPPED, "one end of the channel was closed")


def open_inbox(inbox_max: int) -> tuple[InboxSendChannel[T], InboxReceiveChannel[T]]:
    """Open a channel with room for *inbox_max* values: what is sent on the first end is received on the second.

    Annotate what it carries.

    Examples:
        >>> import trio
        >>> async def main() -> list[str]:
        ...     ends: tuple[InboxSendChannel[str], InboxReceiveChannel[str]] = open_inbox(2)
        ...     send, receive = ends
        ...     async with send:
        ...         await send.send("first")
        ...         await send.send("second")
        ...     return [value async for value in receive]
        >>> trio.run(main)
        ['first', 'second']

    Raises:
        ValueError: there is room for nothing.
    """
    if inbox_max < 1:
        raise ValueError(f"inbox_max is {inbox_max}: an inbox has room for one message at least")
    shared = _Shared(inbox_max)
    return InboxSendChannel(shared), InboxReceiveChannel(shared)


class _End:
    """One end of the channel, which can be closed without a checkpoint too."""

    def __init__(self, shared: _Shared) -> None:
        self._shared: Final = shared
        self._closed = False

    def close(self) -> None:
        """Close this end. Not a checkpoint. A second time does nothing."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close this end. A checkpoint, closed already when it is cancelled."""
        self.close()
        await checkpoint()

    def __enter__(self) -> Self:
        """Leaving the block closes this end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@final
class InboxSendChannel(_End, trio.abc.SendChannel[T_contra], Generic[T_contra]):
    """The end of an inbox where values go in; made by `open_inbox`."""

    @enable_ki_protection
    async def send(self, value: T_contra) -> None:
        """Put *value* in, waiting for room behind those who wait already. A checkpoint.

        Cancellation is atomic: *value* is in, or `Cancelled` is raised and it is not.

        Raises:
            trio.ClosedResourceError: this end was closed, also while this waited; *value* is not in.
            trio.BrokenResourceError: the other end was; *value* is not in.
        """
        await checkpoint_if_cancelled()
        if self._offer(value):
            await cancel_shielded_checkpoint()
            return
        await self._shared.inbox.send(value)

    @enable_ki_protection
    def send_nowait(self, value: T_contra) -> None:
        """Put *value* in now. Not a checkpoint.

        Raises:
            trio.WouldBlock: there is no room.
            trio.ClosedResourceError, trio.BrokenResourceError: as `send`.
        """
        if not self._offer(value):
            raise trio.WouldBlock

    def _offer(self, value: T_contra) -> bool:
        """Put *value* in if there is room."""
        if self._closed:
            raise trio.ClosedResourceError
        try:
            return self._shared.inbox.offer(value) is not Verdict.FULL
        except ActorStopped:
            raise trio.BrokenResourceError from None

    @enable_ki_protection
    def close(self) -> None:
        """Put nothing more in: receivers get what is in, then `EndOfChannel`. Not a checkpoint."""
        self._closed = True
        self._shared.end(senders=trio.ClosedResourceError, receivers=trio.EndOfChannel)


@final
class InboxReceiveChannel(_End, trio.abc.ReceiveChannel[T_co], Generic[T_co]):
    """The end of an inbox where values come out; made by `open_inbox`."""

    @enable_ki_protection
    async def receive(self) -> T_co:
        """Take the oldest value out, waiting for one behind those who wait already. A checkpoint.

        Cancellation is atomic: a value that was taken out is returned.

        Raises:
            trio.EndOfChannel: nothing is in, and the other end is closed.
            trio.ClosedResourceError: this end was closed, also while this waited.
        """
        await checkpoint_if_cancelled()
        if self._may_take():
            value = self._shared.take()
            await cancel_shielded_checkpoint()
        else:
            value = await self._shared.line_up()
        return cast(T_co, value)

    @enable_ki_protection
    def receive_nowait(self) -> T_co:
        """Take the oldest value out now. Not a checkpoint.

        Raises:
            trio.WouldBlock: nothing is in.
            trio.EndOfChannel, trio.ClosedResourceError: as `receive`.
        """
        if not self._may_take():
            raise trio.WouldBlock
        return cast(T_co, self._shared.take())

    def _may_take(self) -> bool:
        """Whether there is a value to take."""
        if self._closed:
            raise trio.ClosedResourceError
        if not self._shared.inbox.queue and self._shared.inbox.closed is not None:
            raise trio.EndOfChannel
        return bool(self._shared.inbox.queue)

    @enable_ki_protection
    def close(self) -> None:
        """Take nothing more out: what is in is lost, and senders get `BrokenResourceError`. Not a checkpoint."""
        self._closed = True
        self._shared.end(senders=trio.BrokenResourceError, receivers=trio.ClosedResourceError)
        self._shared.inbox.queue.clear()


@final
class _Shared:
    """What both ends share: the inbox, and the line of receivers, which takes out of it.

    Invariant: nobody stands in the line while a value is in.
    """

    def __init__(self, inbox_max: int) -> None:
        self.inbox: Final = Inbox(_Alone(), "an inbox of no actor", Policy(inbox_max))
        self.inbox.taker = self
        self.inbox.open_queue()
        self._line: dict[_Receiving, None] = {}

    def take(self) -> object:
        """The oldest value; who waits for its room comes in."""
        value = self.inbox.queue.popleft()
        self.inbox.admit()
        return value

    async def line_up(self) -> object:
        """The next value that nobody who came before wants."""
        assert not self.inbox.queue
        receiving = _Receiving(self)
        self._line[receiving] = None
        self.inbox.hungry = True
        return await receiving

    def kick(self) -> None:
        """A value has come in while somebody waits for one."""
        receiving = next(iter(self._line))
        self.leave(receiving)
        receiving._settle(VALUE, self.take())
        assert not (self._line and self.inbox.queue)

    def leave(self, receiving: _Receiving) -> None:
        """`receiving` waits no more."""
        del self._line[receiving]
        self.inbox.hungry = bool(self._line)

    def end(self, *, senders: type[Exception], receivers: type[Exception]) -> None:
        """One end has been closed: whoever stands in a line is told so, by these errors."""
        self.inbox.close(_CLOSED)
        standing, self.inbox.line = self.inbox.line, None
        for sender in standing or ():
            sender._settle(ERROR, senders())
        for receiving in tuple(self._line):
            self.leave(receiving)
            receiving._settle(ERROR, receivers())


@final
class _Receiving(Future[object]):
    """A `receive` that waits for a value."""

    __slots__ = ("_shared",)

    def __init__(self, shared: _Shared) -> None:
        super().__init__(shared.inbox.engine)
        self._shared: Final = shared

    def _abandon(self, waiter: Waiter) -> bool:
        self._detach(waiter)
        self._shared.leave(self)
        return True


@final
class _Alone:
    """The world of an inbox that belongs to no system: nobody listens, and nothing is left over to report."""

    def __init__(self) -> None:
        self.pace: Final = Pace()
        self.telling: Final[Telling] = deque()
        self.signals: Final = Signals(self._listens, self._reader_failed)

    def now(self) -> float:
        return trio.current_time()

    def ended(self) -> ActorStopped | None:
        return None

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        raise AssertionError("waiting for room or for a value needs no timer")

    def report(self, error: HistrioError) -> None:
        raise AssertionError("an inbox reports nothing") from error

    def dead_letter(self, path: str, message: object, why: str) -> None:
        raise AssertionError("an inbox that no actor reads is never finished")

    def _listens(self, heard: bool) -> None:
        raise AssertionError("no reader can be attached")

    def _reader_failed(self, error: Exception) -> None:
        raise AssertionError("no reader can be attached") from error
