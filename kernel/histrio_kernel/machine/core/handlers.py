"""Transition handlers are registered objects with a kind and the states they are about, checked when a table is made."""

# Design note
# -----------
# The original finds handlers by names put together from state names, so two pairs can share one handler, and a
# misspelt one is never called. Here a handler says what it is. A table is made once, for a class or a module, and
# bound to any number of machines, each time with an *owner* that its functions get as their first argument: so what
# the automaton remembers about a table serves all those machines.

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, final

import attrs

from histrio_kernel.machine.core.errors import SchemaError, nearest
from histrio_kernel.machine.core.schema import Schema

__all__ = ["Call", "Compiled", "Handler", "HandlerTable", "Kind", "Slot"]


class Kind(enum.Enum):
    """When a handler is called. The first five negotiate and may veto; the last three are told what has happened."""

    __hash__ = object.__hash__

    MAY_ENTER = "may_enter"
    MAY_EXIT = "may_exit"
    STAYS = "stays"
    """For every active state that is also in the outcome of an add or a set."""
    BESIDE = "beside"
    """For a state that is active and another one in the outcome, also when both stay."""
    ANY_MAY_ENTER = "any_state.may_enter"
    ENTERED = "entered"
    EXITED = "exited"
    ANY_ENTERED = "any_state.entered"


NEGOTIATING: Final = frozenset({Kind.MAY_ENTER, Kind.MAY_EXIT, Kind.STAYS, Kind.BESIDE, Kind.ANY_MAY_ENTER})
_OF_ANY: Final = frozenset({Kind.ANY_MAY_ENTER, Kind.ANY_ENTERED})

Call: TypeAlias = Callable[..., object]
"""`call(owner, transition)`. A negotiating one vetoes by False, and accepts by True or None."""


@attrs.frozen
class Slot:
    """What a handler is called for. `first` is the active state of a `BESIDE`; the state of the others is `state`."""

    kind: Kind
    state: str | None = None
    first: str | None = None

    def __str__(self) -> str:
        if self.kind is Kind.BESIDE:
            return f"{self.first}.beside({self.state})"
        return self.kind.value if self.state is None else f"{self.state}.{self.kind.value}"


@attrs.frozen
class Handler:
    """One function for one slot."""

    slot: Slot
    call: Call


@final
class HandlerTable:
    """The handlers of one binding: at most one for a slot, in no order of their own.

    Raises:
        SchemaError: a slot lacks or has too many states, or stands twice, or its handler is a coroutine function.

    Examples:
        >>> table = HandlerTable([Handler(Slot(Kind.MAY_ENTER, "online"), lambda owner, transition: True)])
        >>> table
        <HandlerTable: online.may_enter>
    """

    __slots__ = ("__weakref__", "_calls")

    def __init__(self, handlers: Iterable[Handler]) -> None:
        self._calls: Final[dict[Slot, Call]] = {}
        for handler in handlers:
            _check(handler)
            if handler.slot in self._calls:
                raise SchemaError(f"two handlers for {handler.slot} in one binding: bind the second one separately")
            self._calls[handler.slot] = handler.call

    def __repr__(self) -> str:
        return f"<HandlerTable: {', '.join(map(str, self._calls))}>"

    def items(self) -> Iterable[tuple[Slot, Call]]:
        """Every slot with its function."""
        return self._calls.items()


def _check(handler: Handler) -> None:
    """Raise `SchemaError` if a handler does not fit its own kind."""
    slot = handler.slot
    wants_state = slot.kind not in _OF_ANY
    wants_first = slot.kind is Kind.BESIDE
    if (slot.state is not None) != wants_state or (slot.first is not None) != wants_first:
        raise SchemaError(f"a handler of kind {slot.kind.value!r} cannot be about {slot.first!r}, {slot.state!r}")
    if slot.first is not None and slot.first == slot.state:
        raise SchemaError(f"{slot}: a state is not beside itself; the kind for a state that stays is 'stays'")
    if inspect.iscoroutinefunction(handler.call):
        why = "it must answer at once" if slot.kind in NEGOTIATING else "it is part of the transition"
        raise SchemaError(f"the handler of {slot} is a coroutine function: {why}, so make it a plain function")


Key: TypeAlias = "tuple[Kind, int, int]"
"""A slot in the numbers of a schema: kind, first, state; -1 for none."""


@final
class Compiled:
    """All tables that are bound to the machines of one automaton, with the states as numbers."""

    __slots__ = ("_calls", "_slots", "firsts")

    def __init__(self, schema: Schema, tables: Iterable[HandlerTable]) -> None:
        self._calls: Final[dict[Key, list[tuple[int, Call]]]] = {}
        self._slots: Final[dict[Key, Slot]] = {}
        for number, table in enumerate(tables):
            for slot, call in table.items():
                key = (slot.kind, _number(schema, slot, slot.first), _number(schema, slot, slot.state))
                self._slots[key] = slot
                self._calls.setdefault(key, []).append((number, call))
        self.firsts: Final = frozenset(first for kind, first, _ in self._calls if kind is Kind.BESIDE)
        """The states whose `beside` some handler is for."""

    def __bool__(self) -> bool:
        return bool(self._calls)

    def find(self, kind: Kind, state: int = -1, first: int = -1) -> tuple[Slot, tuple[tuple[int, Call], ...]] | None:
        """The slot and the functions for it, in the order of the bindings; None if there are none."""
        key = (kind, first, state)
        calls = self._calls.get(key)
        return None if calls is None else (self._slots[key], tuple(calls))


def _number(schema: Schema, slot: Slot, name: str | None) -> int:
    """The number of a state that a slot names."""
    if name is None:
        return -1
    if name not in schema.definitions:
        raise SchemaError(f"the handler {slot} is for an unknown state {name!r}: {nearest(name, schema.names)}")
    return schema.index(name)
