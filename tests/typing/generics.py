"""Messages and actors with a type parameter, for type checkers, never executed."""

from typing import Generic, TypeVar, assert_type

import attrs

import histrio

T = TypeVar("T")


@attrs.frozen
class Put(histrio.Request[bool], Generic[T]):
    value: T


@attrs.frozen
class Get(histrio.Request[T], Generic[T]):
    default: T


@attrs.frozen
class Note(Generic[T]):
    value: T


class Marked(histrio.Actor[Put[int] | Get[str] | Note[bytes]]):
    """A16: a handler may be marked with the generic class, or with its parameter, which is checked too."""

    @histrio.handler(Put[int])
    async def put(self, m: Put[int]) -> bool:
        return m.value > 0

    @histrio.handler(Get)
    async def get(self, m: Get[str]) -> str:
        return m.default

    @histrio.handler(Note[bytes])
    async def note(self, m: Note[bytes]) -> None:
        pass


class Wrong(histrio.Actor[Put[int] | Get[str] | Note[bytes]]):
    """A16: a wrong reply, a wrong parameter of the message, or a reply of a plain one does not type-check."""

    @histrio.handler(Put[int])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def put(self, m: Put[int]) -> str:
        return ""

    @histrio.handler(Get[str])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def get(self, m: Get[int]) -> int:
        return 1

    @histrio.handler(Note[bytes])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    async def note(self, m: Note[bytes]) -> int:
        return 1


class Box(histrio.Actor[Put[T] | Get[T]], Generic[T]):
    """A16: an actor with a parameter passes it to its messages."""

    def __init__(self, value: T) -> None:
        self.value = value

    @histrio.handler(Put)
    async def put(self, m: Put[T]) -> bool:
        self.value = m.value
        return True

    @histrio.handler(Get)
    async def get(self, m: Get[T]) -> T:
        return self.value


async def the_reply_follows_the_parameter(ref: histrio.Ref[Put[int] | Get[str]]) -> None:
    """A9: what is asked decides what is answered; a message of another parameter is another type."""
    assert_type(await ref.ask(Put(1)), bool)
    assert_type(await ref.ask(Get("x")), str)
    texts: Put[str] = Put("x")
    await ref.tell(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ref.ask(texts)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_parameter_is_chosen_at_spawn(system: histrio.System) -> None:
    """A13: the ref of a generic actor takes the messages of its parameter."""
    box = await system.spawn(Box[int], 3)
    assert_type(box, histrio.Ref[Put[int] | Get[int]])
    assert_type(await box.ask(Get(4)), int)
    await system.spawn(Box[int], "three")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


class Selects(histrio.Actor[Put[int] | Note[bytes]]):
    async def run(self) -> None:
        """A12: a generic class with its parameter is selected as such."""
        assert_type(await self.select(Put[int]), Put[int])
        assert_type(await self.filter(Note[bytes]), Note[bytes])
