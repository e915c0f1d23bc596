"""A schema that exists is a valid one: every name in it is known, and no state contradicts itself."""

# Design note
# -----------
# This is the schema as data: names, flags, relations. It works them out into tuples and sets of state numbers once, so
# that resolution never handles a name. What a caller gives for a state is a *key*: its name, its number, or an object
# that a front door has registered for it (`keys`); the automaton remembers edges by the keys as they were given, so a
# key must be hashable and is looked up here only when an edge is new.

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Final, final

import attrs

from histrio_kernel.machine.core.errors import SchemaError, UnknownState, nearest
from histrio_kernel.machine.core.variables import K

__all__ = ["RELATIONS", "Definition", "Schema"]

RELATIONS: Final = ("require", "add", "remove", "after")
"""The kinds of relations, which are fields of a `Definition`."""

FLAGS: Final = ("auto", "multi", "keep", "quiet", "until_done")


def _names(given: Iterable[str]) -> tuple[str, ...]:
    """These names, each once, in the order of their first places."""
    if isinstance(given, str):
        raise SchemaError(f"a relation takes names of states, not one text: write [{given!r}]")
    return tuple(dict.fromkeys(given))


@attrs.frozen
class Definition:
    """One state: when it comes by itself, whether it can be added again, and how it stands to others."""

    auto: bool = False
    """Called by the machine itself whenever it is inactive and no active state removes it."""
    multi: bool = False
    """A call of it while it is active is an activation of its own: its tick moves by two, its handlers run."""
    require: tuple[str, ...] = attrs.field(default=(), converter=_names)
    add: tuple[str, ...] = attrs.field(default=(), converter=_names)
    remove: tuple[str, ...] = attrs.field(default=(), converter=_names)
    after: tuple[str, ...] = attrs.field(default=(), converter=_names)
    quiet: bool = False
    """Adding it alone starts no auto states: a heartbeat."""
    tags: tuple[str, ...] = attrs.field(default=(), converter=_names)
    keep: bool = False
    """Of a Multi: a call of it while it is active leaves its scope and its task alone."""
    until_done: bool = False
    """It leaves when its task has returned."""


def _check(name: str, definition: Definition, known: Collection[str]) -> None:
    """Raise `SchemaError` if this state names what is not there, or requires or adds what it removes."""
    for relation in RELATIONS:
        for other in getattr(definition, relation):
            if other not in known:
                raise SchemaError(f"state {name!r} has {other!r} in its {relation!r}: {nearest(other, known)}")
    if definition.keep and not definition.multi:
        raise SchemaError(f"state {name!r} has 'keep' without 'multi': only a Multi can be called while it is active")
    for relation in ("require", "add"):
        clash = [other for other in getattr(definition, relation) if other in definition.remove and other != name]
        if clash:
            raise SchemaError(
                f"state {name!r} has {clash[0]!r} both in its {relation!r} and in its 'remove', so it could never "
                "stay: take it out of one of them"
            )


@final
class Schema:
    """The states of a machine, numbered, with their relations as numbers.

    The order of `definitions` is the order of the states (the index). The state `exception` is added at the end, Multi
    and without relations, unless it is defined. A state's own name in its `remove` or `after` means nothing.

    Raises:
        SchemaError: a relation names an unknown state, or a state requires or adds what it removes.

    Examples:
        >>> schema = Schema({"idle": Definition(auto=True), "busy": Definition(remove=["idle"])})
        >>> schema.names
        ('idle', 'busy', 'exception')
        >>> Schema({"idle": Definition(remove=["bsy"]), "busy": Definition()})
        Traceback (most recent call last):
        histrio_kernel.machine.core.errors.SchemaError: state 'idle' has 'bsy' in its 'remove': did you mean 'busy'?
    """

    __slots__ = (
        "_has_objects",
        "_index",
        "_keys",
        "add",
        "after",
        "autos",
        "definitions",
        "exception",
        "keep",
        "multi",
        "names",
        "quiet",
        "removed_by",
        "require",
        "until_done",
    )

    def __init__(
        self,
        definitions: Mapping[str, Definition],
        exception: str = "exception",
        keys: Mapping[K, str] | None = None,
    ) -> None:
        complete = dict(definitions)
        complete.setdefault(exception, Definition(multi=True, keep=True))
        self.definitions: Final[Mapping[str, Definition]] = complete
        self.names: Final = tuple(complete)
        for name, definition in complete.items():
            _check(name, definition, complete)
        self._index: Final = {name: number for number, name in enumerate(self.names)}
        self._keys: Final[dict[Hashable, int]] = {number: number for number in range(len(self.names))}
        self._keys.update(self._index)
        self._has_objects: Final = bool(keys)
        for key, name in (keys or {}).items():
            self._keys[key] = self.index(name)
        self.exception: Final = self._index[exception]
        self.require: Final = self._numbers("require")
        self.add: Final = self._numbers("add")
        self.after: Final = tuple(frozenset(row) - {state} for state, row in enumerate(self._numbers("after")))
        self.removed_by: Final = self._removers()
        self.autos: Final = tuple(self._index[name] for name in self.names if complete[name].auto)
        self.multi: Final = frozenset(self._index[name] for name in self.names if complete[name].multi)
        self.keep: Final = frozenset(self._index[name] for name in self.names if complete[name].keep)
        self.quiet: Final = frozenset(self._index[name] for name in self.names if complete[name].quiet)
        self.until_done: Final = frozenset(self._index[name] for name in self.names if complete[name].until_done)

    def __repr__(self) -> str:
        return f"<Schema of {len(self.names)} states: {', '.join(self.names)}>"

    def __len__(self) -> int:
        return len(self.names)

    def _numbers(self, relation: str) -> tuple[tuple[int, ...], ...]:
        """One relation of every state, as numbers in the order of the declaration."""
        return tuple(
            tuple(self._index[other] for other in getattr(definition, relation))
            for definition in self.definitions.values()
        )

    def _removers(self) -> tuple[frozenset[int], ...]:
        """For every state, the other states that have it in their `remove`."""
        removers: list[set[int]] = [set() for _ in self.names]
        for state, removed in enumerate(self._numbers("remove")):
            for other in removed:
                if other != state:
                    removers[other].add(state)
        return tuple(map(frozenset, removers))

    def index(self, name: str) -> int:
        """The number of the state of that name.

        Raises:
            UnknownState: there is none.
        """
        try:
            return self._index[name]
        except KeyError:
            raise UnknownState(f"no state is called {name!r}: {nearest(name, self.names)}") from None

    def find(self, key: Hashable) -> int:
        """The number of the state that this key stands for: a name, a number, or an object of `keys`.

        Raises:
            UnknownState: there is none.
        """
        try:
            return self._keys[key]
        except KeyError:
            raise self._unknown(key) from None

    def _unknown(self, key: Hashable) -> UnknownState:
        """What is wrong with a key that stands for no state."""
        return UnknownState(f"no state is called {key!r}: {nearest(str(key), self.names)}")

    def knows(self, key: Hashable) -> bool:
        """Whether this stands for one of the states; any object does if no objects were registered for them."""
        return key in self._keys or not self._has_objects

    def find_all(self, keys: Sequence[Hashable]) -> tuple[int, ...]:
        """The numbers of these states, each once, in the order of their first places.

        Raises:
            UnknownState: one of them is none.
        """
        known = self._keys
        try:
            if len(keys) == 1:
                return (known[keys[0]],)
            numbers = tuple(map(known.__getitem__, keys))
        except KeyError as error:
            raise self._unknown(error.args[0]) from None
        return tuple(dict.fromkeys(numbers))

    def spell(self, states: Iterable[int]) -> str:
        """The names of these states, for a message."""
        return ", ".join(self.names[state] for state in states)

    @classmethod
    def from_data(cls, data: Mapping[str, Mapping[str, object]], exception: str = "exception") -> Schema:
        """The schema that `to_data` wrote, or that a configuration file holds; the checks are the same.

        Raises:
            SchemaError: besides what the constructor refuses, a field that no state has or a value of a wrong type.
        """
        return cls({name: _definition(name, row) for name, row in data.items()}, exception)

    def to_data(self) -> dict[str, dict[str, object]]:
        """Plain dicts, lists and booleans, as JSON and TOML take them."""
        return {
            name: {
                **{flag: getattr(row, flag) for flag in FLAGS},
                **{relation: list(getattr(row, relation)) for relation in (*RELATIONS, "tags")},
            }
            for name, row in self.definitions.items()
        }


def _definition(name: str, row: Mapping[str, object]) -> Definition:
    """One state from plain data."""
    fields = [field.name for field in attrs.fields(Definition)]
    flags: dict[str, bool] = {}
    lists: dict[str, tuple[str, ...]] = {}
    for key, value in row.items():
        if key not in fields:
            raise SchemaError(f"state {name!r} has a field {key!r}: {nearest(key, fields).replace('states', 'fields')}")
        if key in FLAGS:
            flags[key] = _flag(name, key, value)
        else:
            lists[key] = _listed(name, key, value)
    return Definition(
        auto=flags.get("auto", False),
        multi=flags.get("multi", False),
        keep=flags.get("keep", False),
        quiet=flags.get("quiet", False),
        until_done=flags.get("until_done", False),
        require=lists.get("require", ()),
        add=lists.get("add", ()),
        remove=lists.get("remove", ()),
        after=lists.get("after", ()),
        tags=lists.get("tags", ()),
    )


def _flag(name: str, key: str, value: object) -> bool:
    """A flag of a state as data."""
    if not isinstance(value, bool):
        raise SchemaError(f"{key!r} of state {name!r} is {value!r}: it must be true or false")
    return value


def _listed(name: str, key: str, value: object) -> tuple[str, ...]:
    """A list of names of a state as data."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise SchemaError(f"{key!r} of state {name!r} is {value!r}: it must be a list of names")
    names: list[str] = []
    for each in value:  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(each, str):
            raise SchemaError(f"{key!r} of state {name!r} holds {each!r}: it must be a name")
        names.append(each)
    return tuple(names)
