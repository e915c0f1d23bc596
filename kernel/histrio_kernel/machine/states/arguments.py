"""The arguments of a state: an object of a class that was given for it, checked where it is made."""

# Design note
# -----------
# The constructor says which names there are; the annotations of its parameters say of what types. Those annotations that
# are plain classes, or unions of them, are looked up once, when the first arguments are made; all others are left to
# type checkers. So `fetching(url=3)` is an error where it is written, and costs one isinstance for each value otherwise.

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast, final

from histrio_kernel.machine.core.errors import nearest

__all__ = ["ArgumentsOf"]

_EMPTY: Final = inspect.Parameter.empty


@final
class ArgumentsOf:
    """How the arguments of one state are made."""

    __slots__ = ("_make", "_needs", "_parameters", "_types")

    def __init__(self, make: Callable[..., object]) -> None:
        self._make: Final = make
        self._types: tuple[tuple[str, tuple[type, ...]], ...] | None = None
        self._parameters: tuple[str, ...] = ()
        self._needs: bool | None = None

    @property
    def kind(self) -> Callable[..., object]:
        """The class, or the function that makes them."""
        return self._make

    @property
    def names(self) -> tuple[str, ...]:
        """What they are called."""
        self._learn()
        return self._parameters

    @property
    def needs_some(self) -> bool:
        """Whether they cannot be made out of nothing."""
        if self._needs is None:
            parameters = _parameters_of(self._make).values()
            self._needs = any(each.default is _EMPTY and each.kind not in _VARIADIC for each in parameters)
        return self._needs

    def default(self) -> object:
        """The arguments of a state that was called without: all defaults."""
        return self._make()

    def make(self, where: str, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        """The object; *where* names the state in errors.

        Raises:
            TypeError: a name is wrong or missing, or a value of a wrong type.
        """
        types_of = self._types if self._types is not None else self._learn()
        try:
            made = self._make(*args, **kwargs)
        except TypeError as error:
            unknown = [name for name in kwargs if name not in self._parameters]
            hint = f": {nearest(unknown[0], self._parameters).replace('states', 'arguments')}" if unknown else ""
            raise TypeError(f"{where} takes {self._spell()}; {error}{hint}") from error
        for name, kinds in types_of:
            value = getattr(made, name, _EMPTY)
            if not isinstance(value, kinds) and value is not _EMPTY:
                wanted = " | ".join(kind.__name__ for kind in kinds)
                raise TypeError(f"{where}: {name} is {value!r}, a {type(value).__name__}; it must be {wanted}")
        return made

    def _spell(self) -> str:
        """What it takes, for a message."""
        return f"({', '.join(self._parameters)})"

    def _learn(self) -> tuple[tuple[str, tuple[type, ...]], ...]:
        """Look at the constructor and its annotations, once."""
        if self._types is not None:
            return self._types
        made = typing.get_origin(self._make) or self._make
        try:
            hints = typing.get_type_hints(made)
        except Exception:  # a name that only type checkers know: they have the last word
            hints = {}
        self._parameters = tuple(_parameters_of(made))
        pairs = ((name, _classes(hints[name])) for name in self._parameters if name in hints)
        self._types = tuple((name, kinds) for name, kinds in pairs if kinds) if isinstance(made, type) else ()
        return self._types


_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _parameters_of(make: Callable[..., object]) -> Mapping[str, inspect.Parameter]:
    """What the constructor takes; nothing that is known, if it is a class of an extension that does not tell."""
    try:
        return inspect.signature(typing.get_origin(make) or make).parameters
    except (TypeError, ValueError):
        return {}


def _classes(hint: object) -> tuple[type, ...]:
    """The classes that an annotation allows; none if that is more than classes."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    classes: list[type] = []
    for member in members:
        plain = typing.get_origin(member) or member
        if plain is None:
            plain = types.NoneType
        if not isinstance(plain, type) or plain is typing.Any or _is_protocol(plain):
            return ()
        classes += _NUMBERS.get(plain, (plain,))
    return tuple(classes)


_NUMBERS: Final[Mapping[type, tuple[type, ...]]] = {float: (int, float), complex: (int, float, complex)}
"""What type checkers let stand for these."""


def _is_protocol(kind: type) -> bool:
    """Whether isinstance cannot answer for it."""
    return bool(getattr(kind, "_is_protocol", False)) or typing.is_typeddict(kind) or cast(object, kind) is object
