"""A state whatever its arguments are: what a schema, a mark and a machine need of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, cast

import attrs

from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.states.arguments import ArgumentsOf

__all__ = ["EXCEPTION", "BaseState", "Relatives", "checked_relatives", "checked_tags", "name_of"]

EXCEPTION: Final = "exception"
"""The name of the state that every machine has."""

Relatives: TypeAlias = "Iterable[BaseState | str]"
"""The states of a relation: objects, or names of states that stand further down in the class."""


class BaseState:
    """A state, whatever its arguments are. It is compared by identity."""

    __slots__ = ("_definition", "arguments", "is_error", "name", "owner", "relatives", "removed_by", "removes")

    def __init__(self, definition: Definition, arguments: ArgumentsOf | None) -> None:
        self.name = ""
        """Its name in the schema; empty until the class body has ended."""
        self.owner = ""
        """The class that it is an attribute of, for messages."""
        self._definition: Final = definition
        self.arguments: Final = arguments
        """How its arguments are made and checked; None if it has none."""
        self.is_error = False
        """Whether it is called `err_...`: such a state requires `exception`."""
        self.relatives: dict[str, tuple[BaseState | str, ...]] = {}
        """Its relations, by kind, as they were given."""
        self.removes: list[BaseState] = []
        """Those that `exclusive` has made it remove."""
        self.removed_by: list[BaseState | str] = []
        """Inherited ones that `exclusive` has made remove it: in the classes that have it, and in no others."""

    def __set_name__(self, owner: type, name: str) -> None:
        """It is an attribute of a class now. The first name counts: a second attribute is another name for it."""
        if not self.name:
            self.name, self.owner = name, owner.__qualname__
            self.is_error = name.startswith("err_")

    def __repr__(self) -> str:
        return f"<State {self.owner}.{self.name}>" if self.name else "<State, not yet named>"

    def define(self) -> Definition:
        """It as data, once every state that it names has a name."""
        relatives, own = self.relatives, (EXCEPTION,) if self.is_error else ()
        return attrs.evolve(
            self._definition,
            require=(*map(name_of, relatives.get("require", ())), *own),
            add=tuple(map(name_of, relatives.get("add", ()))),
            remove=(*map(name_of, relatives.get("remove", ())), *map(name_of, self.removes)),
            after=tuple(map(name_of, relatives.get("after", ()))),
        )

    def copied(self, name: str, relatives: Callable[[BaseState | str], BaseState | str]) -> BaseState:
        """Another state like it, with this name, and with its relatives replaced."""
        copy = type(self).__new__(type(self))
        BaseState.__init__(copy, self._definition, self.arguments)
        copy.name, copy.owner, copy.is_error = name, self.owner, self.is_error
        copy.relatives = {kind: tuple(map(relatives, given)) for kind, given in self.relatives.items()}
        copy.relatives["remove"] = (*copy.relatives.get("remove", ()), *map(relatives, self.removes))
        copy.removed_by = [*map(relatives, self.removed_by)]
        return copy


def name_of(relative: BaseState | str) -> str:
    """The name of a state in a relation."""
    if isinstance(relative, str):
        return relative
    if not relative.name:
        raise SchemaError("a relation has a state that is no attribute of any class: write it into the class of states")
    return relative.name


def checked_tags(given: Iterable[str]) -> tuple[str, ...]:
    """The tags, if they are a list of words."""
    if isinstance(given, str):
        raise SchemaError(f"'tags' takes a list of words: write tags=[{given!r}]")
    return tuple(given)


def checked_relatives(given: Relatives, relation: str) -> tuple[BaseState | str, ...]:
    """The states of a relation, if they are any."""
    if isinstance(given, str | BaseState):
        raise SchemaError(f"{relation!r} takes a list of states: write {relation}=[{given!r}]")
    relatives = tuple(given)
    for each in relatives:
        if not isinstance(cast(object, each), str | BaseState):
            raise SchemaError(f"{relation!r} takes states, or names of states that stand further down; got {each!r}")
    return relatives
