"""The handlers of one binding: the marked methods of a class, checked against the states that they are for."""

# Design note
# -----------
# The core calls sync handlers, with the object that was bound as their first argument. Async ones are tasks of states and
# belong to the shell, so a class gives two things: the core's table, and the async handlers by the names of their states.
#
# The arguments of a mutation are kept by state, and a handler must see those of its own. So a handler of a state that has
# arguments gets the transition in another dress: an object that shares all attributes of the transition, and knows the
# state. A handler of a state without arguments gets the transition itself, and costs no call more.

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import ClassVar, Final, cast, final
from weakref import WeakKeyDictionary

import attrs

from histrio_kernel.machine.core.errors import SchemaError, nearest
from histrio_kernel.machine.core.handlers import Call, Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Arguments, Transition
from histrio_kernel.machine.core.variables import A_co
from histrio_kernel.machine.states.base import BaseState
from histrio_kernel.machine.states.family import StatesMeta, schema_of
from histrio_kernel.machine.states.marks import Mark, marks_of

__all__ = ["AsyncHandler", "HandlerSet", "Handlers", "NoArguments", "handlers_of", "refuse_handlers"]


class NoArguments(LookupError):
    """A handler asked for the arguments of its state, and the mutation has none for it.

    The state was implied by another one, called by the machine as an auto state, or leaves because of another one.
    """


@final
class _Dressed(Transition[A_co]):
    """A transition as the handlers of one state see it: all its attributes, shared, and the arguments of that state."""

    __slots__ = ("_about",)

    _about: BaseState

    @property
    def args(self) -> A_co:
        """The arguments for this state.

        Raises:
            NoArguments: the mutation has none for it, and they cannot be made out of defaults.
        """
        given = self.mutation.args
        if isinstance(given, Arguments):
            found = given.get(self._about.name, self)
            if found is not self:
                return cast(A_co, found)
        elif given is not None:
            return cast(A_co, given)
        arguments = self._about.arguments
        assert arguments is not None
        if arguments.needs_some:
            raise NoArguments(
                f"{self!r} has no arguments for {self._about.name!r}, which was not called itself: ask "
                f"`{self._about.owner}.{self._about.name}.args_in(transition)`, which may be None"
            )
        return cast(A_co, arguments.default())


def dress(transition: Transition[object], about: BaseState) -> Transition[object]:
    """The transition as the handlers of that state see it."""
    if about.arguments is None:
        return transition
    dressed: _Dressed[object] = _Dressed.__new__(_Dressed)
    dressed.__dict__ = transition.__dict__
    dressed._about = about
    return dressed


@final
@attrs.frozen
class AsyncHandler:
    """A handler that is a task of its state."""

    state: BaseState
    call: Callable[[object, Transition[object]], Awaitable[None]]
    deadline_s: float | None

    def begin(self, owner: object, transition: Transition[object]) -> Awaitable[None]:
        """Call it, with the arguments of its state."""
        return self.call(owner, dress(transition, self.state))


@final
@attrs.frozen(eq=False)
class HandlerSet:
    """What one class brings to a machine."""

    table: HandlerTable
    """The sync handlers."""
    entered: Mapping[str, AsyncHandler]
    """The tasks, by the names of their states."""
    exited: Mapping[str, AsyncHandler]

    def __bool__(self) -> bool:
        return bool(self.entered or self.exited or tuple(self.table.items()))


class Handlers:
    """A base for objects that are bound to machines: `class Pump(histrio.Handlers, states=Download)`.

    Its marked methods are checked when the class is made. Any object whose class has marked methods can be bound; with
    this base, mistakes are found earlier.

    Raises:
        SchemaError: at class creation: a handler for a state that *states* does not have, or two for one thing.
    """

    __histrio_states__: ClassVar[StatesMeta | None] = None

    def __init_subclass__(cls, states: StatesMeta | None = None, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if states is not None:
            cls.__histrio_states__ = states
        if cls.__histrio_states__ is not None:
            handlers_of(cls, schema_of(cls.__histrio_states__))


_known: Final[WeakKeyDictionary[type, dict[Schema, HandlerSet]]] = WeakKeyDictionary()


def handlers_of(cls: type, schema: Schema) -> HandlerSet:
    """The handlers of a class, for machines of that schema; made once.

    Raises:
        SchemaError: a handler is for a state that the schema does not have, or two are for one thing.
    """
    sets = _known.setdefault(cls, {})
    known = sets.get(schema)
    if known is None:
        known = sets[schema] = _collect(cls, schema)
    return known


def refuse_handlers(cls: type) -> None:
    """See that a class without states has no handlers of states: they would never be called.

    Raises:
        SchemaError: it has one.
    """
    for name, _, marks in _marked(cls):
        raise SchemaError(
            f"{cls.__qualname__}.{name} handles {marks[0].state or marks[0].kind.value!r}, and the class has no machine: "
            f"write class {cls.__name__}(..., states=...) with the class of states"
        )


def _collect(cls: type, schema: Schema) -> HandlerSet:
    """Look at every method once, as the class resolves it."""
    sync: list[Handler] = []
    tasks: dict[tuple[Kind, str], AsyncHandler] = {}
    owners: dict[Slot, str] = {}
    for name, function, marks in _marked(cls):
        for mark in marks:
            slot = _slot(cls, name, mark, schema)
            if slot in owners:
                raise SchemaError(
                    f"{cls.__qualname__}: {owners[slot]} and {name} both handle {slot}: one binding has one handler for "
                    "it; call the one from the other, or bind another object"
                )
            owners[slot] = name
            if mark.state is not None and mark.kind in _TASKS and inspect.iscoroutinefunction(function):
                task = cast("Callable[[object, Transition[object]], Awaitable[None]]", function)
                tasks[mark.kind, mark.state.name] = AsyncHandler(mark.state, task, mark.deadline_s)
            else:
                sync.append(Handler(slot, _dressing(function, mark)))
    return HandlerSet(
        HandlerTable(sync),
        {state: task for (kind, state), task in tasks.items() if kind is Kind.ENTERED},
        {state: task for (kind, state), task in tasks.items() if kind is Kind.EXITED},
    )


_TASKS: Final = frozenset({Kind.ENTERED, Kind.EXITED})


def _marked(cls: type) -> Iterable[tuple[str, Call, tuple[Mark, ...]]]:
    """The methods with marks. One that replaces a marked method without marks of its own keeps those."""
    names: dict[str, tuple[Mark, ...]] = {}
    for base in reversed(cls.__mro__):
        for name, member in base.__dict__.items():
            marks = marks_of(member)
            if marks or name in names:
                names[name] = marks or names[name]
    for name, marks in names.items():
        function = getattr(cls, name)
        if callable(function):
            yield name, function, marks


def _slot(cls: type, name: str, mark: Mark, schema: Schema) -> Slot:
    """What a mark is for, in the words of the core."""
    states = [state for state in (mark.first, mark.state) if state is not None]
    for state in states:
        if state.name not in schema.definitions or not schema.knows(state):
            raise SchemaError(
                f"{cls.__qualname__}.{name} handles {state!r}, which the machine does not have: "
                + (
                    "it has another state of that name"
                    if state.name in schema.definitions
                    else nearest(state.name, schema.names)
                )
            )
    return Slot(
        mark.kind,
        None if mark.state is None else mark.state.name,
        None if mark.first is None else mark.first.name,
    )


def _dressing(function: Call, mark: Mark) -> Call:
    """The function as the core calls it."""
    state = mark.state
    if state is None or state.arguments is None or mark.kind is Kind.BESIDE or inspect.iscoroutinefunction(function):
        return function

    def call(owner: object, transition: Transition[object]) -> object:
        return function(owner, dress(transition, state))

    return call
