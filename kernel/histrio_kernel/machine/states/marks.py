"""What a method is marked with that handles transitions: the kind of handler, and the states that it is about."""

# Design note
# -----------
# A mark is checked where it is set, as far as it can be: that a negotiating method answers at once is known there, with
# the line of the method in the traceback. Whether the state is one of the machine's is known when the class is made.

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Final, TypeVar, cast

import attrs

from histrio_kernel.machine.core.errors import SchemaError
from histrio_kernel.machine.core.handlers import NEGOTIATING, Kind
from histrio_kernel.machine.states.base import BaseState

__all__ = ["Mark", "mark", "marks_of"]

F = TypeVar("F", bound=Callable[..., object])

_MARKS: Final = "__histrio_transitions__"


@attrs.frozen
class Mark:
    """One thing that a method is called for."""

    kind: Kind
    state: BaseState | None
    first: BaseState | None
    deadline_s: float | None


def mark(
    handler: F,
    kind: Kind,
    state: BaseState | None = None,
    *,
    first: BaseState | None = None,
    deadline_s: float | None = None,
) -> F:
    """Mark a method; it may have several marks.

    Raises:
        SchemaError: it is a coroutine function, and of a kind that must answer at once; or no function at all.
    """
    what = kind.value if state is None else f"{state.name or state!r}.{kind.value}"
    if not callable(handler):
        raise SchemaError(f"{what} marks a method, got {handler!r}")
    is_async = inspect.iscoroutinefunction(handler)
    name = getattr(handler, "__qualname__", repr(handler))
    if is_async and kind in NEGOTIATING:
        raise SchemaError(
            f"{name} is a coroutine function, and {what} must answer at once: make it `def`. What takes time belongs "
            "into an async `entered`, which may remove the state again"
        )
    if is_async and kind is Kind.ANY_ENTERED:
        raise SchemaError(f"{name} is a coroutine function: {what} is part of the transition, so make it `def`")
    if deadline_s is not None and not is_async:
        raise SchemaError(f"{name} has a deadline, which only an async handler can have: make it `async def`")
    setattr(handler, _MARKS, (*marks_of(handler), Mark(kind, state, first, deadline_s)))
    return handler


def marks_of(handler: object) -> tuple[Mark, ...]:
    """The marks of a method; none of one that handles no transition."""
    return cast("tuple[Mark, ...]", getattr(handler, _MARKS, ()))
