"""What the class of a process declares, read and checked when it is made: for ordinary and for durable ones."""

from __future__ import annotations

import enum
import typing
from collections.abc import Sequence
from typing import cast

from histrio.processes.moves import Drive

__all__ = ["check_settings", "in_brackets", "initial_of"]


def in_brackets(cls: type, family: type) -> Sequence[object]:
    """What stands in the brackets of `family[...]`, with the type variables of generic bases filled in; else nothing."""
    for base in cast("tuple[object, ...]", cls.__dict__.get("__orig_bases__", cls.__bases__)):
        origin = typing.get_origin(base) or base
        if not isinstance(origin, type) or family not in origin.__mro__:
            continue
        given = typing.get_args(base)
        if origin is family:
            return given
        parameters = cast("tuple[object, ...]", getattr(origin, "__parameters__", ()))
        values: dict[object, object] = dict(zip(parameters, given, strict=False))
        return [values.get(each, each) for each in in_brackets(origin, family)]
    return ()


def initial_of(what: str, family: str, states: object, initial: object) -> enum.Enum:
    """The state that a process begins in.

    Raises:
        TypeError: *states* is no Enum with members, or *initial* is no member of it.
    """
    if not isinstance(states, type) or not issubclass(states, enum.Enum) or not len(states):
        raise TypeError(f"{what}: {states!r} in {family}[...] is no Enum class that has members")
    if initial is None:
        return next(iter(states))
    if not isinstance(initial, states):
        names = ", ".join(str(one) for one in states)
        raise TypeError(f"{what}.initial is {initial!r}; it must be one of its states: {names}")
    return initial


def check_settings(what: str, *, drive: object, start: object, rerunnable: object, nudges_max: object) -> None:
    """Refuse a setting that is not what it must be.

    Raises:
        TypeError: says which, and what it must be.
    """
    if not isinstance(drive, Drive):
        raise TypeError(f"{what}.drive is {drive!r}; it must be histrio.Drive.FREE or histrio.Drive.STEP")
    for name, value in (("start", start), ("rerunnable", rerunnable)):
        if type(value) is not bool:
            raise TypeError(f"{what}.{name} is {value!r}; it must be True or False")
    if start and drive is Drive.STEP:
        raise TypeError(f"{what}.start is True, but its drive is STEP: it advances once for each nudge, and not before")
    if type(nudges_max) is not int or nudges_max < 1:
        raise TypeError(f"{what}.nudges_max is {nudges_max!r}; it must be a whole number, 1 or more")
