"""Until when a task that waits can wait at most: the earliest deadline of the cancel scopes that it is in."""

# Design note
# -----------
# Trio tells a running task its deadline, and nobody that of another task: which scopes a task is in is private to it.
# But a `with` statement keeps what it has to call at its end on the stack of its frame, and Python's garbage collector
# tells what a suspended coroutine holds. So the scopes are found as a person would find them: by looking into every
# `with` between the bottom of the task and the place where it waits, also into those written as generators, exit
# stacks, or classes that have a scope inside.
#
# What is found is there. What is hidden too deep is missed, so an answer of "never" is as good as this search; it is
# certain if Trio itself has no deadline at all, which is asked first.

from __future__ import annotations

import gc
import inspect
import math
import sys
import types
from collections.abc import Iterator
from typing import Final, cast

import trio
from trio.lowlevel import Task

__all__ = ["chain", "deadline_of"]

_EXITS: Final = ("__exit__", "__aexit__")
_DEPTH_MAX: Final = 8
_LOOKS_MAX: Final = 1_000
_OPAQUE: Final = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType, trio.Nursery, Task)
_OURS: Final = ("histrio.", "histrio_kernel.")  # none of our context managers has a scope inside
_BARE_EXITS: Final = sys.version_info >= (3, 14)  # there the stack holds the manager, and its exit apart from it


def deadline_of(task: Task, *, bare_exits: bool = _BARE_EXITS) -> float:
    """When Trio will cancel what `task` waits in, by a reading of Trio's clock; infinity if it has no deadline.

    The nurseries that the task was started in do not count: what ends them ends the task.
    """
    if trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf:
        return math.inf
    found = (scope.deadline for suspended in chain(task.coro) for scope in _scopes(suspended, bare_exits))
    return min(found, default=math.inf)


def chain(outermost: object) -> Iterator[object]:
    """A coroutine, and what it awaits, and so on: whatever has a frame that is suspended."""
    current: object = outermost
    while current is not None:
        yield current
        for name in ("cr_await", "gi_yieldfrom", "ag_await"):
            if hasattr(current, name):
                current = getattr(current, name)
                break
        else:  # one step of an asynchronous generator, which does not say of which
            current = next((one for one in gc.get_referents(current) if hasattr(one, "ag_await")), None)


def _scopes(suspended: object, bare_exits: bool) -> Iterator[trio.CancelScope]:
    """The cancel scopes that the `with` statements of one suspended frame have entered."""
    for held in gc.get_referents(suspended):
        manager = getattr(held, "__self__", None) if getattr(held, "__name__", None) in _EXITS else None
        if manager is None and bare_exits and any(hasattr(held, name) for name in _EXITS):
            manager = held
        if manager is not None:
            yield from _scopes_in(manager, bare_exits)


def _scopes_in(manager: object, bare_exits: bool) -> Iterator[trio.CancelScope]:
    """The cancel scopes that a context manager is made of."""
    seen: set[int] = set()
    ahead: list[tuple[object, int]] = [(manager, 0)]
    while ahead and len(seen) < _LOOKS_MAX:
        one, depth = ahead.pop()
        if id(one) in seen or isinstance(one, _OPAQUE) or type(one).__module__.startswith(_OURS):
            continue
        seen.add(id(one))
        if isinstance(one, trio.CancelScope):
            yield one
        elif inspect.isgenerator(one) or inspect.isasyncgen(one) or inspect.iscoroutine(one):
            for suspended in chain(cast(object, one)):
                yield from _scopes(suspended, bare_exits)
        elif depth < _DEPTH_MAX:
            ahead.extend((referent, depth + 1) for referent in gc.get_referents(one))
