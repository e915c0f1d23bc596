"""A16: which messages an actor takes, and which method handles each: by exact type, then by the nearest base."""

# `who` asks an actor to handle a message and gives the name of the method that did.

import abc
import sys
import typing
from collections.abc import Awaitable, Callable, Sequence, Sized
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypeAlias, TypedDict, TypeVar, cast

import attrs
import pytest
import trio.testing
from tests.actors.classes import new_actor

import histrio
from histrio.handlers import HandlerTable, declared_messages
from histrio_kernel.bounds import bound

T = TypeVar("T")
U = TypeVar("U")
Bounded = TypeVar("Bounded", bound="Base")
Constrained = TypeVar("Constrained", "Left", "Right")


class Base(histrio.Request[str]):
    pass


class Left(Base):
    pass


class Right(Base):
    pass


class LeftLeft(Left):
    pass


class Both(Right, Left):
    pass


class Plain:
    """A message that is no request."""


@attrs.frozen
class Put(histrio.Request[str], Generic[T]):
    value: T


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


async def who(kind: type[histrio.Actor[Any]], message: object) -> object:
    """The answer of a fresh actor of that class to the message."""
    async with histrio.open_system() as system:
        ref = await system.spawn(kind, name="actor")
        return cast(object, await ref.ask(cast(Base, message)))


# -- who handles it ----------------------------------------------------------------------------------------------------


class ByType(histrio.Actor[Base | Plain]):
    @histrio.handler(Base)
    async def base(self, m: Base) -> str:
        return "base"

    @histrio.handler(Left)
    async def left(self, m: Left) -> str:
        return "left"

    @histrio.handler(Right)
    async def right(self, m: Right) -> str:
        return "right"

    async def receive(self, message: Base | Plain) -> object:
        return f"receive {type(message).__name__}"


@pytest.mark.parametrize(
    ("message", "handler"),
    [
        (Base(), "base"),
        (Left(), "left"),
        (Right(), "right"),
        (LeftLeft(), "left"),
        (Both(), "right"),
        (Plain(), "receive Plain"),
    ],
    ids=lambda one: type(one).__name__ if not isinstance(one, str) else one,
)
async def test_exact_type_then_nearest_base_then_receive(message: object, handler: str) -> None:
    """A16: a marked method of the exact type, else of the nearest base in the order of its bases, else `receive`."""
    assert await who(ByType, message) == handler


async def test_receive_alone_takes_all() -> None:
    """A16: a behaviour without marked methods is one `receive`, for subtypes too."""

    class Receives(histrio.Actor[Base]):
        async def receive(self, message: Base) -> str:
            match message:
                case LeftLeft():
                    return "left left"
                case _:
                    return type(message).__name__

    assert [await who(Receives, message) for message in (LeftLeft(), Both())] == ["left left", "Both"]


async def test_a_subclass_replaces_and_adds() -> None:
    """A16: a method of the same name replaces the base's, marked again or not; others are inherited."""

    class Derived(ByType):
        async def left(self, m: Left) -> str:
            return f"new {await super().left(m)}"

        @histrio.handler(LeftLeft)
        async def left_left(self, m: LeftLeft) -> str:
            return "added"

    class Moved(ByType):
        @histrio.handler(LeftLeft)
        async def left(self, m: Left) -> str:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
            return "moved"

    assert [await who(Derived, message) for message in (Left(), LeftLeft(), Right())] == ["new left", "added", "right"]
    assert [await who(Moved, message) for message in (Left(), LeftLeft())] == ["base", "moved"]
    assert await who(ByType, LeftLeft()) == "left"


async def test_a_mixin_may_bring_handlers() -> None:
    """A16: marked methods of a class that is no actor count as if they stood in the actor's class."""

    class Lefts:
        @histrio.handler(Left)
        async def handle_left(self, m: Left) -> str:
            return "mixin"

    class Mixed(Lefts, histrio.Actor[Base]):
        async def receive(self, message: Base) -> str:
            return "receive"

    assert [await who(Mixed, message) for message in (Left(), Right())] == ["mixin", "receive"]


async def test_a_virtual_base_counts_after_all_real_ones() -> None:
    """A16: a class that is registered with an abc is handled by the abc's handler."""

    class Shape(abc.ABC):  # noqa: B024 - that nothing but `register` makes a Circle one is the point
        pass

    @Shape.register
    class Circle(histrio.Request[str]):
        pass

    class Draws(histrio.Actor[Shape | Sized]):
        @histrio.handler(Shape)
        async def shape(self, m: Shape) -> None:
            drawn.append("shape")

        @histrio.handler(cast(Any, Sized))  # mypy takes no protocol for a type
        async def sized(self, m: Sized) -> None:
            drawn.append(f"sized {len(m)}")

    drawn: list[str] = []
    async with histrio.open_system() as system:
        draws = await system.spawn(Draws)
        await draws.tell(cast(Shape, Circle()))
        await draws.tell([1, 2])
        await settle()

    assert drawn == ["shape", "sized 2"]


async def test_a_generic_is_handled_by_its_origin() -> None:
    """A16: `handler(Put[int])` marks the handler of every `Put`: a parameter is not seen when the program runs."""

    class Puts(histrio.Actor[Put[int]]):
        @histrio.handler(Put[int])
        async def put(self, m: Put[int]) -> str:
            return f"put {m.value}"

    assert await who(Puts, Put(3)) == "put 3"


async def test_types_are_learnt_and_the_memory_is_bounded() -> None:
    """A16: however many subtypes come, each is handled by its nearest base, also while it waits; few are remembered."""
    handled: list[str] = []

    class Learns(histrio.Actor[Base]):
        inbox_max = 10_000

        @histrio.handler(Left)
        async def left(self, m: Left) -> str:
            handled.append(type(m).__name__)
            return "left"

    kinds = [type(f"Left{number}", (Left,), {}) for number in range(bound("message_types_max") + 100)]
    async with histrio.open_system() as system:
        learns = await system.spawn(Learns)
        for kind in kinds:
            learns.tell_nowait(kind())
        await settle()
        assert await learns.ask(kinds[0]()) == "left"
        assert handled == [kind.__name__ for kind in [*kinds, kinds[0]]]
        cell = system._cell_at(learns.path)
        assert cell is not None

        assert len(cell.settings.handlers) <= bound("message_types_max") + 1


async def test_a_bool_is_an_int_unless_it_has_a_handler() -> None:
    """A16: built-in types are types like others."""
    seen: list[str] = []

    class Ints(histrio.Actor[int]):
        @histrio.handler(int)
        async def number(self, m: int) -> None:
            seen.append(f"int {m}")

    class Bools(Ints):
        @histrio.handler(bool)
        async def truth(self, m: bool) -> None:
            seen.append(f"bool {m}")

    async with histrio.open_system() as system:
        for kind in (Ints, Bools):
            await (await system.spawn(kind)).tell(True)
            await settle()

    assert seen == ["int True", "bool True"]


# -- nobody handles it -------------------------------------------------------------------------------------------------


class Deaf(histrio.Actor[Base]):
    @histrio.handler(Left)
    async def left(self, m: Left) -> str:
        return "left"


async def test_what_nobody_handles_is_refused_or_a_dead_letter() -> None:
    """A9, A16: an asker gets a `Refusal` that names actor and message type; what was told is a dead letter; it lives on."""
    async with histrio.open_system() as system:
        deaf = await system.spawn(Deaf, name="deaf")
        with pytest.raises(histrio.Refusal, match=r"/deaf .*Deaf.* no handler for Right"):
            await deaf.ask(Right())
        told = Right()
        await deaf.tell(told)
        assert await deaf.ask(Left()) == "left"

        (letter,) = system.dead_letters
        assert (letter.path, letter.message) == ("/deaf", told)
        assert "no handler for Right" in letter.why


async def test_unhandled_may_be_overridden() -> None:
    """A9, A16: it takes what no marked method does, and what it returns is the answer."""

    class Polite(Deaf):
        async def unhandled(self, message: Base) -> str:
            return f"sorry, no {type(message).__name__}"

    assert await who(Polite, Right()) == "sorry, no Right"


# -- errors at class creation ------------------------------------------------------------------------------------------


def test_two_handlers_of_one_type_are_refused() -> None:
    """A16: also when one is inherited; the error names both methods and the type."""
    with pytest.raises(TypeError, match=r"(?s)second.*first.*both handle Left"):

        class Twice(histrio.Actor[Base]):  # pyright: ignore[reportUnusedClass]
            @histrio.handler(Left)
            async def first(self, m: Left) -> str:
                return ""

            @histrio.handler(Left)
            async def second(self, m: Left) -> str:
                return ""

    with pytest.raises(TypeError, match=r"(?s)other.*left.*both handle Left"):

        class Inherited(Deaf):  # pyright: ignore[reportUnusedClass]
            @histrio.handler(Left)
            async def other(self, m: Left) -> str:
                return ""


def test_a_method_is_marked_once() -> None:
    """A16: a method that is marked for two types would lose one of them, so that is an error which names both."""
    mark_left = cast("Callable[[object], object]", histrio.handler(Left))
    mark_right = cast("Callable[[object], object]", histrio.handler(Right))

    async def both(self: object, m: Base) -> str:
        return ""

    with pytest.raises(TypeError, match=r"both.*Left.*Right"):
        mark_right(mark_left(both))


def test_a_handler_of_a_type_that_is_not_declared_is_refused() -> None:
    """A16: it could never be called; the error names method, type and declaration."""
    with pytest.raises(TypeError, match=r"Wrong.plain handles Plain, which Actor\[Base\] does not declare"):

        class Wrong(histrio.Actor[Base]):  # pyright: ignore[reportUnusedClass]
            @histrio.handler(Plain)
            async def plain(self, m: Plain) -> None:
                pass


@pytest.mark.parametrize("name", ["left", "receive", "started", "stopped", "run", "unhandled"])
def test_what_is_awaited_must_be_a_coroutine_function(name: str) -> None:
    """A16: a handler or hook that is not `async def` is refused, and the error names it."""

    def not_async(self: object, *args: object) -> str:
        return ""

    method = histrio.handler(Left)(cast(Any, not_async)) if name == "left" else not_async
    with pytest.raises(TypeError, match=f"Made.{name} must be `async def`"):
        new_actor(histrio.Actor[Base], **{name: method})


@pytest.mark.parametrize("wrong", ["Left", Left(), None, Left | Right, 3])
def test_only_a_class_marks_a_handler(wrong: object) -> None:
    """A16: `handler` of anything else is an error at once that shows the right call."""
    with pytest.raises(TypeError, match=r"handler\(\) takes a message type.*@histrio.handler\(Read\)"):
        histrio.handler(wrong)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


# -- what is declared --------------------------------------------------------------------------------------------------

Alias: TypeAlias = Left | Right
Number = NewType("Number", int)
NumberOfNumbers = NewType("NumberOfNumbers", Number)


@typing.runtime_checkable
class Closes(Protocol):
    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("argument", "declared"),
    [
        (Left, (Left,)),
        (Left | Right, (Left, Right)),
        (typing.Union[Left, Right, Left], (Left, Right)),  # noqa: UP007 - the older spelling is what is tested
        (typing.Optional[Left], (Left, type(None))),  # noqa: UP045 - so here
        (Alias | Plain, (Left, Right, Plain)),
        (None, (type(None),)),
        (list[int], (list,)),
        (Put[int], (Put,)),
        (Put[int] | dict[str, Left] | Sequence[int], (Put, dict, Sequence)),
        (Number, (int,)),
        (NumberOfNumbers | str, (int, str)),
        (Literal["a", "b", 3], (str, int)),
        (Literal[True, None], (bool, type(None))),
        (Annotated[Left, "why"] | Annotated[int, 3], (Left, int)),
        ("Left", (Left,)),
        ("Left | Right", (Left, Right)),
        (object, (object,)),
        (Any, (object,)),
        (Closes, (Closes,)),
        (T, (object,)),
        (Bounded, (Base,)),
        (Constrained, (Left, Right)),
    ],
    ids=repr,
)
def test_the_declared_types_are_read_from_the_base_class(argument: Any, declared: tuple[type, ...]) -> None:
    """A16: unions, aliases, generics by origin, new types, literals, annotations, forward references, type variables."""
    assert declared_messages(declaring(argument)) == declared


def declaring(argument: Any) -> type[histrio.Actor[Any]]:
    """A class `Made` whose base is `Actor[argument]`."""
    return new_actor(histrio.Actor[argument], __module__=__name__)


class OneParameter(histrio.Actor[T], Generic[T]):
    pass


class InAUnion(histrio.Actor[Left | T], Generic[T]):
    pass


class InAList(histrio.Actor[list[T]], Generic[T]):
    pass


class Swapped(histrio.Actor[U], Generic[T, U]):
    pass


class Still(OneParameter[U], Generic[U, T]):
    pass


@pytest.mark.parametrize(
    ("base", "declared"),
    [
        (OneParameter[Right], (Right,)),
        (OneParameter[Left | Right], (Left, Right)),
        (OneParameter, (object,)),
        (InAUnion[Right], (Left, Right)),
        (InAUnion[Right | Plain], (Left, Right, Plain)),
        (InAList[int], (list,)),
        (Swapped[Left, Right], (Right,)),
        (Still[Left, Right], (Left,)),
        (Deaf, (Base,)),
    ],
    ids=repr,
)
def test_type_variables_of_bases_between_are_filled_in(base: Any, declared: tuple[type, ...]) -> None:
    """A16: a generic actor's parameter is what its subclass says, also within a union or two classes up."""
    assert declared_messages(new_actor(base)) == declared


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the `type` statement is of Python 3.12")
def test_aliases_of_the_type_statement() -> None:
    """A16: `type X = ...`, also of another alias, is what it stands for."""
    namespace: dict[str, Any] = {"Left": Left, "Right": Right, "Plain": Plain}
    exec("type One = Left | Right\ntype Two = One | Plain", namespace)

    assert declared_messages(declaring(namespace["Two"])) == (Left, Right, Plain)


class Data(TypedDict):
    key: str


class NotRuntime(Protocol):
    def close(self) -> None: ...


@typing.runtime_checkable
class WithData(Protocol):
    name: str


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (Data, "Data"),
        (NotRuntime, "NotRuntime.*runtime_checkable"),
        (WithData, "WithData"),
        ("Missing", "'Missing'.*define messages before actors"),
        (3, "3 .*no message type"),
        (Callable[[int], Awaitable[int]] | Left, None),
    ],
    ids=repr,
)
def test_what_cannot_be_recognised_at_run_time_cannot_be_declared(argument: Any, said: str | None) -> None:
    """A16: a type by which no message could be told is refused at class creation, and the error names it."""
    if said is None:
        assert declaring(argument)
        return
    with pytest.raises(TypeError, match=f"Made.*{said}"):
        declaring(argument)


async def test_declared_types_decide_what_is_taken() -> None:
    """A16: subtypes of what is declared are taken, and nothing else, whatever the handlers are."""

    class Narrow(histrio.Actor[Left | Put[int]]):
        @histrio.handler(Base)
        async def base(self, m: Base) -> str:
            return "base"

        async def receive(self, message: object) -> object:
            return "receive"

    async with histrio.open_system() as system:
        narrow = await system.spawn(Narrow, name="narrow")
        assert await narrow.ask(LeftLeft()) == "base"
        assert await narrow.ask(Put(3)) == "receive"
        with pytest.raises(TypeError, match=r"/narrow: it takes Left \| Put, not Right"):
            narrow.ask(Right())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_the_table_is_made_once_per_class() -> None:
    """A16: dispatch costs one look-up, because all actors of a class share one table."""
    settings = ByType.__histrio_settings__
    assert isinstance(settings.handlers, HandlerTable)
    assert settings is not Deaf.__histrio_settings__
    assert ByType().__histrio_settings__ is settings
