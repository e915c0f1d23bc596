"""Which messages an actor takes, and who handles them: decided at class creation, by type, and checked there (A16)."""

# Design note
# -----------
# Dispatch is one dictionary per class, from the exact type of a message to the function that handles it. The same
# look-up answers "does this actor take it?" at `tell`, so the check costs what dispatch costs. A type that is not in
# it is looked for once, by the order of its bases, and remembered; the number of remembered types is bounded.

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar, cast, final, overload

from trio.lowlevel import disable_ki_protection

from histrio.messages import Askable
from histrio_kernel.asks import Ask
from histrio_kernel.bounds import bound
from histrio_kernel.errors import shown
from histrio_kernel.gate import Handler

__all__ = ["HandlerTable", "Handles", "declared_messages", "handler"]

A_contra = TypeVar("A_contra", contravariant=True)
A = TypeVar("A")
M = TypeVar("M")
M_inv = TypeVar("M_inv")
R = TypeVar("R")
R_inv = TypeVar("R_inv")

_MARK: Final = "__histrio_handles__"


class Continues(Protocol):
    """What a handler of a durable actor may return instead of its reply: `ContinueAs`."""

    __histrio_continues__: ClassVar[Literal[True]]


class Handles(Protocol[M_inv, R_inv]):
    """The decorator that `handler(Message)` makes: for a method that takes the message and returns its reply."""

    def __call__(
        self, method: Callable[[A, M_inv], Awaitable[R_inv | Continues]], /
    ) -> Callable[[A, M_inv], Awaitable[R_inv]]:
        """Mark `method`. To whoever sends the message it returns the reply; `ContinueAs` is none."""
        ...


@overload
def handler(message: Callable[..., Askable[M, R]], /) -> Handles[M, R]: ...  # type: ignore[overload-overlap]
@overload
def handler(message: type[M], /) -> Handles[M, None]: ...
def handler(message: Any, /) -> Any:
    """Mark a method of an actor as the handler of messages of a type and its subtypes.

    Type checkers compare the method's return type with the reply of the `Request`. The method must be `async def`.

    Raises:
        TypeError: at class creation: two handlers of one type, a type that the actor does not declare, or a method
            that is no coroutine function.
    """
    origin = typing.get_origin(message)
    if origin is not types.UnionType:
        message = origin or message  # a generic is recognised by its class
    if not isinstance(message, type):
        raise TypeError(
            f"handler() takes a message type, got {message!r}: write @histrio.handler(Read), with the class"
        )

    def mark(method: Callable[[A, object], Awaitable[object]], /) -> Callable[[A, object], Awaitable[object]]:
        before = getattr(method, _MARK, None)
        if before is not None:
            raise TypeError(
                f"{method.__qualname__} is marked for {before.__qualname__} and {message.__qualname__}; a method handles"
                " one type, and its subtypes"
            )
        setattr(method, _MARK, message)
        return method

    return mark


@final
class HandlerTable(dict[type, Handler]):
    """From the type of a message to the function that handles it; learns the types of subclasses as they come."""

    def __init__(self, actor: type) -> None:
        super().__init__()
        self.declared: Final = declared_messages(actor)
        self._fallback: Final = _fallback(actor)
        self._given: Final = _handlers_of(actor, self.declared)
        self.update(self._given)

    def __missing__(self, kind: type) -> Handler:
        """Learn who handles `kind`.

        Raises:
            TypeError: the actor does not take it.
        """
        if not any(issubclass(kind, one) for one in self.declared):
            raise TypeError(f"it takes {self.names()}, not {kind.__qualname__}")
        found = next((self._given[base] for base in kind.__mro__ if base in self._given), None)
        if found is None:  # a virtual base, of an abc, is in no MRO
            found = next((given for base, given in self._given.items() if issubclass(kind, base)), self._fallback)
        if len(self) >= bound("message_types_max") + len(self._given):
            self.clear()
            self.update(self._given)
        if not issubclass(kind, Ask):  # an ask in the queue is an ask, so its type stays unknown to the fast path
            self[kind] = found
        return found

    def learn(self, path: str, message: object) -> None:
        """Make sure that messages like `message` can be handled.

        Raises:
            TypeError: the actor at `path` does not take them; it names both.
        """
        if isinstance(message, Ask):
            raise TypeError(
                f"{path}: the future of an ask cannot be a message; put it into one, or send its value. Nothing was"
                " delivered"
            )
        try:
            _ = self[message.__class__]
        except TypeError as error:
            raise TypeError(f"{path}: {error}; nothing was delivered. The message was {shown(message)}") from None

    def names(self) -> str:
        """The declared types, as one writes them."""
        return " | ".join(kind.__qualname__ for kind in self.declared) or "no message"


def declared_messages(actor: type) -> tuple[type, ...]:
    """The message types in `Actor[...]`, from unions, aliases and generics, in order.

    Examples:
        >>> from histrio import Actor
        >>> class Counter(Actor[int | list[str]]): ...
        >>> [kind.__name__ for kind in declared_messages(Counter)]
        ['int', 'list']
    """
    argument = _argument(actor)
    return tuple(dict.fromkeys(_flatten(argument, actor)))


def _argument(actor: type) -> object:
    """What stands in the brackets of `Actor[...]`, with the type variables of generic bases in between filled in."""
    for base in cast(tuple[object, ...], actor.__dict__.get("__orig_bases__", actor.__bases__)):
        origin = typing.get_origin(base) or base
        if not isinstance(origin, type) or not hasattr(origin, "__histrio_actor__"):
            continue
        given = typing.get_args(base)
        if "__histrio_actor__" in origin.__dict__:
            return given[0] if given else object
        inner = _argument(origin)
        parameters = cast(tuple[object, ...], getattr(origin, "__parameters__", ()))
        return _filled_in(inner, dict(zip(parameters, given, strict=False)))
    return object


def _filled_in(argument: object, values: dict[object, object]) -> object:
    """`argument` with the type variables replaced that have a value."""
    if argument in values:
        return values[argument]
    own = cast(tuple[object, ...], getattr(argument, "__parameters__", ()))
    if not own or not values or isinstance(argument, type):
        return argument
    generic = cast(dict[object, object], argument)  # anything that takes brackets
    return generic[tuple(values.get(parameter, parameter) for parameter in own)]


def _flatten(argument: object, actor: type) -> Iterator[type]:
    """The classes that `argument` stands for."""
    alias = getattr(argument, "__value__", None)  # the `type` statement of Python 3.12
    if alias is not None and not isinstance(argument, type):
        yield from _flatten(alias, actor)
    elif isinstance(argument, typing.ForwardRef | str):
        yield from _flatten(_look_up(argument, actor), actor)
    elif isinstance(argument, typing.TypeVar):
        choices = argument.__constraints__ or (argument.__bound__ or object,)
        for choice in choices:
            yield from _flatten(choice, actor)
    elif argument is typing.Any or argument is object:
        yield object
    elif argument is None:
        yield types.NoneType
    elif isinstance(argument, typing.NewType):
        yield from _flatten(argument.__supertype__, actor)
    else:
        yield from _flatten_generic(argument, actor)


def _flatten_generic(argument: object, actor: type) -> Iterator[type]:
    origin = typing.get_origin(argument)
    if origin in (typing.Union, types.UnionType):
        for member in typing.get_args(argument):
            yield from _flatten(member, actor)
    elif origin is typing.Annotated:
        yield from _flatten(typing.get_args(argument)[0], actor)
    elif origin is typing.Literal:
        yield from (type(value) for value in typing.get_args(argument))
    elif isinstance(origin or argument, type):
        yield _class(cast(type, origin or argument), actor)
    else:
        raise TypeError(f"{actor.__qualname__}: {argument!r} in Actor[...] is no message type; name classes or a union")


def _class(kind: type, actor: type) -> type:
    if getattr(kind, "_is_protocol", False) and not getattr(kind, "_is_runtime_protocol", False):
        raise TypeError(
            f"{actor.__qualname__}: the protocol {kind.__qualname__} cannot be recognised when the program runs;"
            " decorate it with typing.runtime_checkable, or name classes"
        )
    try:
        issubclass(object, kind)
    except TypeError as error:
        raise TypeError(
            f"{actor.__qualname__}: {kind.__qualname__} in Actor[...] cannot be recognised when the program runs"
            f" ({error}); use a class, an attrs class for example"
        ) from None
    return kind


def _look_up(name: typing.ForwardRef | str, actor: type) -> object:
    text = name if isinstance(name, str) else name.__forward_arg__
    try:
        return cast(object, eval(text, dict(vars(sys.modules[actor.__module__]))))
    except Exception as error:
        raise TypeError(
            f"{actor.__qualname__}: {text!r} in Actor[...] cannot be found yet ({error}); define messages before actors"
        ) from None


def _handlers_of(actor: type, declared: tuple[type, ...]) -> dict[type, Handler]:
    """The marked methods of a class and its bases; a method of the same name in a subclass replaces."""
    names: dict[str, type] = {}
    for base in reversed(actor.__mro__):
        for name, member in base.__dict__.items():
            if hasattr(member, _MARK):
                names[name] = cast(type, getattr(member, _MARK))
    found: dict[type, Handler] = {}
    by: dict[type, str] = {}
    for name, kind in names.items():
        method = cast(Callable[..., Awaitable[object]], getattr(actor, name))
        where = f"{actor.__qualname__}.{name}"
        if kind in found:
            raise TypeError(f"{where} and {actor.__qualname__}.{by[kind]} both handle {kind.__qualname__}; keep one")
        if not any(issubclass(kind, one) or issubclass(one, kind) for one in declared):
            listed = " | ".join(one.__qualname__ for one in declared)
            raise TypeError(
                f"{where} handles {kind.__qualname__}, which Actor[{listed}] does not declare; add it there"
            )
        found[kind] = _checked(method, where)
        by[kind] = name
    return found


def _checked(method: Callable[..., Awaitable[object]], where: str) -> Handler:
    if not inspect.iscoroutinefunction(method):
        raise TypeError(f"{where} must be `async def`: a handler is awaited")
    if isinstance(method, types.FunctionType):
        disable_ki_protection(method)  # user code is interruptible; the loop that calls it is not (A14)
    return method


class _Receives(Protocol):
    def receive(self, message: object, /) -> Awaitable[object]: ...


def _fallback(actor: type) -> Handler:
    """Who handles what no marked method does: `receive`, which by default is `unhandled`."""
    receive = cast(type[_Receives], actor).receive
    return _checked(receive, f"{actor.__qualname__}.receive")
