"""What a behaviour may write: handlers, `receive`, `select`, and names it must leave alone; never executed."""

from typing import Generic, Never, TypeGuard, TypeVar, assert_type

import attrs

import histrio
from histrio_kernel.doors import Io

T = TypeVar("T")


@attrs.frozen
class Read(histrio.Request[int | None]):
    key: str


@attrs.frozen
class Write(histrio.Request[None]):
    key: str


@attrs.frozen
class Put(histrio.Request[bool], Generic[T]):
    value: T


@attrs.frozen
class Ping:
    pass


class Right(histrio.Actor[Read | Write | Ping]):
    """A16: a handler returns the reply of its request, or something narrower; a plain message has none."""

    @histrio.handler(Read)
    async def read(self, m: Read) -> int:
        return len(m.key)

    @histrio.handler(Write)
    async def write(self, m: Write) -> None:
        await self.ref.tell(Ping())

    @histrio.handler(Ping)
    async def ping(self, m: Ping) -> None:
        pass


class WrongReply(histrio.Actor[Read | Write | Ping]):
    """A16: a reply of another type than the request names does not type-check."""

    @histrio.handler(Read)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def read(self, m: Read) -> str:
        return m.key

    @histrio.handler(Write)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def write(self, m: Write) -> int:
        return 1

    @histrio.handler(Ping)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def ping(self, m: Ping) -> int:
        return 1


class WrongMessage(histrio.Actor[Read | Write]):
    """A16: a handler takes the message that it is marked for, and is a coroutine function."""

    @histrio.handler(Read)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def read(self, m: Write) -> int:
        return 1

    @histrio.handler(Write)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    def write(self, m: Write) -> None:
        pass


class Wide(histrio.Actor[Read | Write]):
    """A16: one method may take more than it is marked for."""

    @histrio.handler(Read)
    async def read(self, m: Read | Write) -> int | None:
        return None


class Matched(histrio.Actor[Read | Write]):
    """A16: `receive` takes the declared messages."""

    async def receive(self, message: Read | Write) -> int | None:
        match message:
            case Read(key):
                assert_type(key, str)
                return 1
            case Write():
                return None


class MatchedTooFew(histrio.Actor[Read | Write]):
    """A16: a `receive` that takes fewer messages than are declared does not type-check."""

    async def receive(self, message: Read) -> int | None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        return 1


def key_of(message: Read | Write) -> str:
    """A key for what an actor may take."""
    return message.key


class Conflating(histrio.Actor[Read | Write]):
    """A11: the key of `LATEST` is a function of the actor's messages."""

    overflow = histrio.LATEST(key_of)


class WrongOverflow(histrio.Actor[Read]):
    """A11: what is no policy, or a key that is no function of a message, does not type-check."""

    overflow = "wait"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    also = histrio.LATEST(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def is_long(message: Read | Write | Ping) -> TypeGuard[Write]:
    """A function that tells the type of what it says yes to."""
    return isinstance(message, Write) and len(message.key) > 3


def is_short(message: Read | Write | Ping) -> bool:
    """A function that tells nothing about types."""
    return not isinstance(message, Ping) and len(message.key) < 3


def has_no_parameter() -> bool:
    """A function that is asked about no message."""
    return True


class Selecting(histrio.Actor[Read | Write | Ping]):
    async def started(self) -> None:
        """A12: a type, a TypeGuard and a predicate each tell what comes back."""
        assert_type(await self.select(Read), Read)
        assert_type(await self.select(is_long), Write)
        assert_type(await self.select(is_short), Read | Write | Ping)
        assert_type(await self.select(lambda m: isinstance(m, Ping)), Read | Write | Ping)
        assert_type(await self.select(Read, envelope=True), histrio.Envelope[Read])
        assert_type(await self.select(is_long, envelope=True), histrio.Envelope[Write])
        assert_type(await self.select(is_short, envelope=True), histrio.Envelope[Read | Write | Ping])

    async def run(self) -> None:
        """A12: so do they in `filter`; `receive_next` gives whatever was declared."""
        assert_type(await self.filter(Read), Read)
        assert_type(await self.filter(is_long), Write)
        assert_type(await self.filter(is_short), Read | Write | Ping)
        envelope = await self.receive_next()
        assert_type(envelope, histrio.Envelope[Read | Write | Ping])
        assert_type(envelope.message, Read | Write | Ping)

    async def unhandled(self, message: Read | Write | Ping) -> None:
        """A12: a match that is neither a type nor a function of a message does not type-check."""
        await self.select(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
        await self.select(has_no_parameter)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
        await self.filter("Read")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


class Assigning(histrio.Actor[int]):
    """A18: assigning over a name that `Actor` defines does not type-check."""

    def __init__(
        self, other: histrio.Ref[int], anybody: histrio.Ref[object], system: histrio.System, io: Io, nothing: Never
    ) -> None:
        self.ref = other  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.system = system  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.parent = anybody  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.children = ()  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.io = io  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.states = nothing  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.timers = nothing  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]

    async def started(self) -> None:
        self.receive = self.unhandled  # type: ignore[method-assign]
        self.spawn = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        self.select = None  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        self.serial = True  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.inbox_max = 3  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
        self.mine = 3
