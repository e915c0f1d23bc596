"""What the class of an actor says about how its actors run, checked when the class is made."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import ClassVar, Protocol, cast

from trio.lowlevel import disable_ki_protection

from histrio.handlers import HandlerTable
from histrio_kernel.overflow import Latest, Overflow, Policy
from histrio_kernel.settings import Settings

__all__ = ["Configured", "looked_up", "settings_for"]


class Configured(Protocol):
    """A class of actors, as far as its settings go."""

    serial: ClassVar[bool]
    in_flight_max: ClassVar[int]
    inbox_max: ClassVar[int]
    waiting_max: ClassVar[int]
    overflow: ClassVar[Overflow | Latest]
    io_max: ClassVar[int | None]
    redeliver_max: ClassVar[int]
    stash_max: ClassVar[int]
    start_s: ClassVar[float]
    shutdown_s: ClassVar[float]
    sealed: ClassVar[bool]


def settings_for(cls: type[Configured], base: type) -> Settings:
    """What the kernel needs to know of a class of actors, whose *base* has the hooks that it may override.

    Raises:
        TypeError: a setting has a value that it cannot have, or a hook is no coroutine function.
    """
    for name in ("in_flight_max", "inbox_max", "waiting_max", "io_max"):
        value = cast(object, getattr(cls, name))
        if not (name == "io_max" and value is None) and (type(value) is not int or value < 1):
            raise TypeError(f"{cls.__qualname__}.{name} is {value!r}; it must be a whole number, 1 or more")
    for name in ("redeliver_max", "stash_max"):
        value = cast(object, getattr(cls, name))
        if type(value) is not int or value < 0:
            raise TypeError(f"{cls.__qualname__}.{name} is {value!r}; it must be a whole number, 0 or more")
    for name in ("start_s", "shutdown_s"):
        value = cast(object, getattr(cls, name))
        if not isinstance(value, int | float) or isinstance(value, bool) or not value >= 0:
            raise TypeError(f"{cls.__qualname__}.{name} is {value!r}; it must be a number of seconds, 0 or more")
    for name in ("serial", "sealed"):
        if type(getattr(cls, name)) is not bool:
            raise TypeError(f"{cls.__qualname__}.{name} is {getattr(cls, name)!r}; it must be True or False")
    if not isinstance(cast(object, cls.overflow), Overflow | Latest):
        choices = "WAIT, REFUSE, DROP_NEW, DROP_OLD or LATEST(key)"
        raise TypeError(f"{cls.__qualname__}.overflow is {cls.overflow!r}; it must be one of {choices}")
    for name in ("started", "stopped", "run", "unhandled"):
        hook = cast(FunctionType, getattr(cls, name))
        if not inspect.iscoroutinefunction(hook):
            raise TypeError(f"{cls.__qualname__}.{name} must be `async def`")
        disable_ki_protection(hook)  # user code is interruptible; what calls it is not (A14)
    return Settings(
        stem=cls.__name__.strip("_").lower() or "actor",
        handlers=HandlerTable(cls),
        kind=cls,
        policy=Policy(cls.inbox_max, cls.waiting_max, cls.overflow),
        serial=cls.serial,
        in_flight_max=cls.in_flight_max,
        io_max=cls.io_max if cls.io_max is not None else cls.in_flight_max,
        redeliver_max=cls.redeliver_max,
        stash_max=cls.stash_max,
        start_s=cls.start_s,
        shutdown_s=cls.shutdown_s,
        has_started=_overrides(cls, base, "started"),
        has_stopped=_overrides(cls, base, "stopped"),
        runs_by_hand=_overrides(cls, base, "run"),
        sealed=cls.sealed,
    )


def looked_up(cls: type, name: str) -> object:
    """What `name` finds in `cls` and its bases, without calling a descriptor."""
    return next(base.__dict__[name] for base in cls.__mro__ if name in base.__dict__)


def _overrides(cls: type, base: type, name: str) -> bool:
    return getattr(cls, name) is not getattr(base, name)
