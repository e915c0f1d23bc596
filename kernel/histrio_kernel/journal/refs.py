"""What the codec stores as an address: whoever has a class of addresses registers it here."""

# Design note
# -----------
# The kernel does not know the refs of the front door, and a ref must not be stored by what it holds. A class is
# registered once, when its module is imported, so the codec asks one dictionary.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

__all__ = ["path_of", "register_ref"]

R = TypeVar("R")

_PATH_OF: Final[dict[type, Callable[[Any], str]]] = {}


def register_ref(kind: type[R], path: Callable[[R], str]) -> None:
    """Objects of class *kind* (not of its subclasses) are stored as the path that *path* gives of them."""
    _PATH_OF[kind] = path


def path_of(value: object) -> str | None:
    """The path of a ref; None if *value* is none."""
    path = cast("Callable[[object], str] | None", _PATH_OF.get(value.__class__))
    return None if path is None else path(value)
