"""Trio's channel and ours behind one interface, and calls in tasks of their own, for the tests that run on both."""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Protocol, TypeVar

import trio
import trio.testing

from histrio_kernel.channels import InboxReceiveChannel, InboxSendChannel, open_inbox

T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)


Kind = type[BaseException] | None
Error = BaseException | None
Trace = TracebackType | None


class SendEnd(Protocol[T_contra]):
    """What both kinds have in common, where values go in."""

    async def send(self, value: T_contra) -> None: ...
    def send_nowait(self, value: T_contra) -> None: ...
    def close(self) -> None: ...
    async def aclose(self) -> None: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(self, kind: Kind, error: Error, traceback: Trace, /) -> None: ...
    def __enter__(self) -> object: ...
    def __exit__(self, kind: Kind, error: Error, traceback: Trace, /) -> None: ...


class ReceiveEnd(Protocol[T_co]):
    """What both kinds have in common, where values come out."""

    async def receive(self) -> T_co: ...
    def receive_nowait(self) -> T_co: ...
    def close(self) -> None: ...
    async def aclose(self) -> None: ...
    async def __aenter__(self) -> object: ...
    async def __aexit__(self, kind: Kind, error: Error, traceback: Trace, /) -> None: ...
    def __enter__(self) -> object: ...
    def __exit__(self, kind: Kind, error: Error, traceback: Trace, /) -> None: ...
    def __aiter__(self) -> "ReceiveEnd[T_co]": ...
    async def __anext__(self) -> T_co: ...


Ends = tuple[SendEnd[object], ReceiveEnd[object]]
Open = Callable[[int], Ends]


def open_trio(size: int) -> Ends:
    """Trio's own."""
    send, receive = trio.open_memory_channel[object](size)
    return send, receive


def open_ours(size: int) -> Ends:
    """Ours."""
    ends: tuple[InboxSendChannel[object], InboxReceiveChannel[object]] = open_inbox(size)
    return ends


KINDS: Final[dict[str, Open]] = {"trio": open_trio, "histrio": open_ours}


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


class Calls:
    """Calls that run in tasks of their own, and what became of each: its value, or the type of its error."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.outcomes: Final[dict[str, object]] = {}
        self.scopes: Final[dict[str, trio.CancelScope]] = {}
        self._nursery: Final = nursery

    async def start(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        """Start `call` and let it go as far as it can."""
        self.scopes[name] = trio.CancelScope()
        self._nursery.start_soon(self._run, name, call)
        await settle()

    async def _run(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        with self.scopes[name] as scope:
            try:
                self.outcomes[name] = await call()
            except (trio.ClosedResourceError, trio.BrokenResourceError, trio.EndOfChannel) as error:
                self.outcomes[name] = type(error)
        if scope.cancelled_caught:
            self.outcomes[name] = trio.Cancelled


async def drain(receive: ReceiveEnd[object]) -> list[object]:
    """All that is in."""
    values: list[object] = []
    while True:
        try:
            values.append(receive.receive_nowait())
        except (trio.WouldBlock, trio.EndOfChannel):
            return values
