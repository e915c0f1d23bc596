"""How a handler takes messages itself: by a type, by a function that says yes or no, or just the next one (A12)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import UnionType
from typing import Union, cast, get_origin

from trio.lowlevel import current_task

from histrio.messages import Envelope
from histrio_kernel.cell import Cell
from histrio_kernel.entries import ask_of, message_of
from histrio_kernel.errors import NotStarted
from histrio_kernel.futures import HOLDERS
from histrio_kernel.handling import select
from histrio_kernel.interrupt import Interrupt
from histrio_kernel.turn import Worker

__all__ = ["anything", "take"]


def _matcher(path: str, name: str, match: object) -> Callable[[object], bool]:
    """The function that says whether a message is meant: for a type, a generic by its origin, a union, or itself."""
    origin = get_origin(match)
    kind = match if origin is None or origin in (Union, UnionType) else origin
    if isinstance(kind, type | UnionType) or get_origin(kind) is Union:
        return functools.partial(_is_a, kind)
    if not callable(match) or inspect.iscoroutinefunction(match):
        raise TypeError(
            f"{path}: {name}() takes a message type, or a plain function that says yes or no to a message, got {match!r}"
        )
    return cast(Callable[[object], bool], match)


def _is_a(kind: object, message: object) -> bool:
    return isinstance(message, cast(type, kind))


def anything(message: object) -> bool:
    """Every message is meant."""
    return True


async def take(
    cell: Cell, name: str, match: object, *, drops: bool, envelope: bool, interrupt: Interrupt | None = None
) -> object:
    """Take a message for the handler of `cell` that calls; `name` is the method that it calls.

    Raises:
        Interrupted: nothing matched, and *interrupt* is set.
        NotStarted: the calling task is no handler of this actor.
        TypeError: *match* says nothing about messages.
    """
    worker = HOLDERS.get(current_task())
    if not isinstance(worker, Worker) or worker.turn is not cell.turn:
        raise NotStarted(f"{cell.path}: {name}() is for the actor's own handlers, and this task is none")
    matches = anything if match is anything else _matcher(cell.path, name, match)
    entry = await select(worker, matches, drops=drops, interrupt=interrupt)
    ask, message = ask_of(entry), message_of(entry)
    if envelope:
        return Envelope(message, ask)
    if ask is not None:
        ask.reply(None)
    return message
