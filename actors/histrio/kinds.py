"""What can be spawned: an actor class, as itself, as a partial, or as a generic alias."""

from __future__ import annotations

import functools
from typing import Protocol, TypeVar, cast

from histrio.ref import Ref
from histrio_kernel.settings import Settings

__all__ = ["Lives", "settings_of"]

M_contra = TypeVar("M_contra", contravariant=True)


class Lives(Protocol[M_contra]):
    """An actor, for `spawn`: what has a ref that takes messages of type `M_contra`. Every `Actor[M]` is one."""

    @property
    def ref(self) -> Ref[M_contra]:
        """The actor's own address."""
        ...


def settings_of(cls: object, where: str = "spawn()") -> Settings:
    """The settings of the class that is to be spawned, out of partials and generic aliases.

    Raises:
        ValueError: `cls` is no actor class; names `where` it was given.
    """
    kind = cls
    while isinstance(kind, functools.partial):
        kind = cast("functools.partial[object]", kind).func
    kind = getattr(kind, "__origin__", kind)
    if not isinstance(kind, type) or not hasattr(kind, "__histrio_settings__"):
        hint = ""
        if hasattr(kind, "__histrio_actor__") and not isinstance(kind, type):
            call = where.replace(")", f"{type(kind).__qualname__}, ...)", 1) if where.endswith("()") else where
            hint = f": give the class and its arguments, {call}, not an instance"
        raise ValueError(f"{where} takes an actor class, a subclass of histrio.Actor, got {cls!r}{hint}")
    return cast(Settings, getattr(kind, "__histrio_settings__"))  # noqa: B009 - checked above
