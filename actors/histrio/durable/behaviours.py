"""Behaviours by name: what a journal says that an actor is, and which class that is today."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final, Generic, Literal, Protocol, TypeVar, TypeVarTuple, cast, final

from histrio.durable.errors import UnknownBehaviour

__all__ = ["ContinueAs", "behaviour_named", "code_of", "find_behaviour", "name_of", "register", "version_of"]

M = TypeVar("M")
Ts = TypeVarTuple("Ts")


class _Behaviour(Protocol):
    __histrio_behaviour__: str
    __histrio_behaviour_version__: int


_NAMES: Final[dict[str, type[object]]] = {}


@final
class ContinueAs(Generic[*Ts]):
    """What a handler returns to go on as another behaviour, or as itself anew: the past is rolled up into it (J5).

    The actor keeps its path, its ref and its mail. Its records until here are not kept.

    Examples:
        >>> from histrio.durable import DurableActor
        >>> class Counter(DurableActor[int]):
        ...     def __init__(self, number: int) -> None:
        ...         self.number = number
        >>> ContinueAs(Counter, 3)
        ContinueAs(Counter, 3)
    """

    __slots__ = ("args", "behaviour")
    __histrio_continues__: ClassVar[Literal[True]] = True

    def __init__(self, behaviour: Callable[[*Ts], object], *args: *Ts) -> None:
        self.behaviour: Final = cast("type[object]", behaviour)
        self.args: Final = args
        name_of(self.behaviour)

    def __repr__(self) -> str:
        """As it is written."""
        return (
            f"ContinueAs({', '.join((self.behaviour.__qualname__, *map(repr, cast(tuple[object, ...], self.args))))})"
        )


def register(cls: type[object], name: str | None, version: int) -> None:
    """Make a class known by a name, by default the one that it is imported by.

    Raises:
        TypeError: another class has that name.
    """
    name = f"{cls.__module__}:{cls.__qualname__}" if name is None else name
    before = _NAMES.get(name)
    if before is not None and (before.__module__, before.__qualname__) != (cls.__module__, cls.__qualname__):
        raise TypeError(
            f"two behaviours are called {name!r}: {before!r} and {cls!r}; give one `behaviour=` another name"
        )
    kind = cast("type[_Behaviour]", cls)
    kind.__histrio_behaviour__, kind.__histrio_behaviour_version__ = name, version
    _NAMES[name] = cls


def name_of(cls: object) -> str:
    """The name of a behaviour.

    Raises:
        TypeError: it is no durable actor class.
    """
    name = vars(cls).get("__histrio_behaviour__") if isinstance(cls, type) else None
    if name is None:
        raise TypeError(f"{cls!r} is no class of durable actors: derive it from histrio.durable.DurableActor")
    return cast(str, name)


def version_of(cls: type[object]) -> int:
    """The version of a behaviour's code, as its class says."""
    return cast("type[_Behaviour]", cls).__histrio_behaviour_version__


def find_behaviour(name: str) -> type[object] | None:
    """The class of that name, if there is one."""
    return _NAMES.get(name)


def code_of(name: str) -> str:
    """Where the class of that name is now, as `module:name`; empty if there is none."""
    found = find_behaviour(name)
    if found is None:
        return ""
    spec = getattr(sys.modules.get(found.__module__), "__spec__", None)  # of `python -m`, the module is called __main__
    return f"{found.__module__ if spec is None else spec.name}:{found.__qualname__}"


def behaviour_named(name: str, path: str) -> Callable[..., Any]:
    """The class of that name.

    Raises:
        UnknownBehaviour: there is none.
    """
    found = find_behaviour(name)
    if found is None:
        raise UnknownBehaviour(
            f"{path} is a {name!r} in the journal, and no class of durable actors has that name. Import the module that "
            "has it before the tree is opened; if the class has moved, give it its old name: class X(DurableActor[M], "
            f'behaviour="{name}")'
        )
    return found
