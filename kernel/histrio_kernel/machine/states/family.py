"""A schema as a class: its attributes are the states, and a class that exists is a valid schema."""

# Design note
# -----------
# Subclassing is merging. The attributes of all bases are the states, those of the bases first, and an attribute that a
# subclass defines again takes the place of the inherited one, for everybody who names it. A class of states as an
# attribute, made by `prefixed` as a rule, brings its own states along.
#
# The functions of the class are methods of its metaclass, so that a state may be called `schema` or `groups` all the same.

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, TypeVar, cast

import attrs

from histrio_kernel.machine.core.errors import SchemaError, UnknownState, nearest
from histrio_kernel.machine.core.schema import RELATIONS, Definition, Schema
from histrio_kernel.machine.states.base import EXCEPTION, BaseState, name_of
from histrio_kernel.machine.states.state import State, StateGroup

__all__ = ["States", "StatesMeta", "schema_of"]

F = TypeVar("F", bound="StatesMeta")


class StatesMeta(type):
    """What can be done with a class of states as a whole."""

    _histrio_states: Mapping[str, BaseState]
    _histrio_groups: Mapping[str, StateGroup]
    _histrio_schema: Schema

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, object], **kwargs: object) -> None:
        super().__init__(name, bases, namespace)
        found = _Found(cls)
        cls._histrio_states = found.states
        cls._histrio_groups = found.groups
        try:
            cls._histrio_schema = Schema(found.definitions(), keys=found.keys)
        except SchemaError as error:
            raise SchemaError(f"{cls.__qualname__}: {error}") from None

    def schema(cls) -> Schema:
        """The schema as data, of which all machines of this class share what they remember."""
        return cls._histrio_schema

    def groups(cls) -> Mapping[str, StateGroup]:
        """The groups, by their names, and the states of each class that this one is made of, by its name."""
        return cls._histrio_groups

    def tagged(cls, tag: str) -> tuple[BaseState, ...]:
        """The states that have this tag."""
        return tuple(cls[name] for name, row in cls._histrio_schema.definitions.items() if tag in row.tags)

    def prefixed(cls: F, prefix: str) -> F:
        """The same states under other names, all but `exception`: as an attribute of another class, or by itself.

        Examples:
            >>> class Line(States):
            ...     up = State()
            ...     down = State(auto=True, remove=[up])
            >>> class Phone(States):
            ...     out = Line.prefixed("out_")
            ...     back = Line.prefixed("back_")
            >>> Phone.schema().names
            ('out_up', 'out_down', 'back_up', 'back_down', 'exception')
            >>> Phone.out.up
            <State Line.out_up>
        """
        return cast(F, _prefixed(cls, prefix))

    def from_data(cls, data: Mapping[str, Mapping[str, object]], name: str = "States") -> StatesMeta:
        """A class of states out of what `schema().to_data()` wrote; its states are found by `[name]`.

        Raises:
            SchemaError: as at class creation, and for fields that no state has.
        """
        rows = Schema.from_data(data).definitions
        return StatesMeta(name, (States,), {each: _state_of(row) for each, row in rows.items()})

    def __iter__(cls) -> Iterator[BaseState]:
        return iter(cls._histrio_states.values())

    def __len__(cls) -> int:
        return len(cls._histrio_states)

    def __contains__(cls, state: object) -> bool:
        return isinstance(state, BaseState) and cls._histrio_states.get(state.name) is not None

    def __getitem__(cls, name: str) -> BaseState:
        """The state of that name.

        Raises:
            UnknownState: there is none.
        """
        state = cls._histrio_states.get(name)
        if state is None:
            raise UnknownState(f"{cls.__qualname__} has no state {name!r}: {nearest(name, cls._histrio_states)}")
        return state

    def __repr__(cls) -> str:
        return f"<States {cls.__qualname__}: {', '.join(cls._histrio_schema.names)}>"


_EXCEPTION: Final = State(multi="keep")
"""The `exception` of every class of states that does not define its own. Being inherited, it stands last."""


class _Found:
    """The states and groups of a class, from its bases and its body."""

    def __init__(self, cls: type) -> None:
        self.defined: Final[dict[str, BaseState]] = {}
        self.groups: Final[dict[str, StateGroup]] = {}
        self.keys: Final[dict[BaseState, str]] = {_EXCEPTION: EXCEPTION}
        for base in reversed(cls.__mro__):
            self._take_class(base)
        self.states: Final = {**self.defined, EXCEPTION: self.defined.get(EXCEPTION, _EXCEPTION)}

    def definitions(self) -> dict[str, Definition]:
        """All states as data, with what `exclusive` has said here of inherited ones."""
        rows = {name: state.define() for name, state in self.defined.items()}
        for name, state in self.defined.items():
            for remover in map(name_of, state.removed_by):
                row = rows.get(remover) or self.states[EXCEPTION].define()
                if remover not in rows and remover != EXCEPTION:
                    raise SchemaError(f"{name!r} is exclusive with {remover!r}: {nearest(remover, rows)}")
                rows[remover] = attrs.evolve(row, remove=(*row.remove, name))
        return rows

    def _take_class(self, base: type) -> None:
        """The attributes of one class of the MRO; its own states are a group under its name."""
        members = [(name, member) for name, member in base.__dict__.items() if member is not _EXCEPTION]
        for name, member in members:
            if isinstance(member, BaseState):
                self._take_state(member)
            elif isinstance(member, StateGroup):
                self.groups[name] = member
            elif isinstance(member, StatesMeta):
                self._take_family(name, member)
        own = [member for _, member in members if isinstance(member, BaseState)]
        if own:
            self.groups.setdefault(base.__name__, StateGroup(own))

    def _take_state(self, state: BaseState) -> None:
        self.keys[state] = state.name
        self.defined[state.name] = state

    def _take_family(self, name: str, family: StatesMeta) -> None:
        """The states of a class of states that is an attribute."""
        states = [state for state in family if state is not _EXCEPTION]
        for state in states:
            self._take_state(state)
        self.groups[name] = StateGroup(states)


class States(metaclass=StatesMeta):
    """The base of schemas: subclass it, with a `State` for each attribute.

    Every schema has the state `exception`, Multi and without relations unless the class defines its own. States whose
    names begin with `err_` require it. Subclasses inherit states, may add some, and may define one anew.

    Raises:
        SchemaError: at class creation: a relation names an unknown state, or a state requires or adds what it removes.

    Examples:
        >>> class Weather(States):
        ...     wet = State(require=["water"])
        ...     dry = State(remove=[wet])
        ...     water = State(add=[wet], remove=[dry])
        >>> Weather
        <States Weather: wet, dry, water, exception>
        >>> class Typo(States):
        ...     wet = State(require=["watr"])
        ...     water = State()
        Traceback (most recent call last):
        histrio_kernel.machine.core.errors.SchemaError: Typo: state 'wet' has 'watr' in its 'require': did you mean 'water'?
    """

    exception: ClassVar[State[[], None]] = _EXCEPTION


def _prefixed(cls: StatesMeta, prefix: str) -> StatesMeta:
    """A class with copies of the states of `cls`, under new names; attributes keep theirs."""
    copies: dict[BaseState, BaseState] = {_EXCEPTION: _EXCEPTION}

    def renamed(relative: BaseState | str) -> BaseState | str:
        name = relative if isinstance(relative, str) else relative.name
        known = copies.get(cls[name])
        return known if known is not None and known.name else f"{prefix}{name}"

    for state in cls:
        if state is not _EXCEPTION:
            copies[state] = state.copied(state.name if state.name == EXCEPTION else f"{prefix}{state.name}", renamed)
    members: dict[str, object] = {}
    for base in reversed(cls.__mro__):
        for name, member in base.__dict__.items():
            if member is _EXCEPTION:
                continue  # it is inherited, and stands last
            if isinstance(member, BaseState):
                members[name] = copies[cls[member.name]]
            elif isinstance(member, StateGroup):
                members[name] = StateGroup(copies[cls[each.name]] for each in member)
            elif isinstance(member, StatesMeta):
                members[name] = _prefixed(member, prefix)
    return StatesMeta(cls.__qualname__, (States,), members)


def _state_of(row: Definition) -> BaseState:
    """A state out of data."""
    relations = {kind: tuple(getattr(row, kind)) for kind in RELATIONS}
    return State(
        auto=row.auto,
        multi="keep" if row.keep else row.multi,
        quiet=row.quiet,
        tags=row.tags,
        until_done=row.until_done,
        require=relations["require"],
        add=relations["add"],
        remove=relations["remove"],
        after=relations["after"],
    )


def schema_of(given: StatesMeta | Schema) -> Schema:
    """The schema of a class of states, or the schema itself.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(given, Schema):
        return given
    if not isinstance(cast(object, given), StatesMeta):
        raise TypeError(
            f"a machine needs a class of states, as in `class Download(States)`, or a Schema; got {given!r}"
        )
    return StatesMeta.schema(given)
