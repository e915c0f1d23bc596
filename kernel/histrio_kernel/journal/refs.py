"""What the codec stores as an address: whoever has a class of addresses registers it here."""

# Design note
# -----------
# The kernel does not know the refs of the front door, and a ref must not be stored by what it holds. A class is
# registered once, when its module is imported, so the codec asks one dictionary.

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

__all__ = ["is_ref", "lasts", "path_of", "register_ref"]

R = TypeVar("R")

_PATH_OF: Final[dict[type, Callable[[Any], str]]] = {}
_LASTING: Final[set[type]] = set()


def register_ref(kind: type[R], path: Callable[[R], str], *, lasts: bool) -> None:
    """Objects of class *kind* (not of its subclasses) are stored as the path that *path* gives of them.

    Args:
        kind: the class.
        path: gives the path of one.
        lasts: whether the path leads to the same actor in the next process. Others are for recordings.
    """
    _PATH_OF[kind] = path
    if lasts:
        _LASTING.add(kind)


def is_ref(kind: type[object]) -> bool:
    """Whether its objects are stored as paths."""
    return kind in _PATH_OF


def lasts(ref: object) -> bool:
    """Whether a ref means something in the next process."""
    return ref.__class__ in _LASTING


def path_of(value: object) -> str | None:
    """The path of a ref; None if *value* is none."""
    path = cast("Callable[[object], str] | None", _PATH_OF.get(value.__class__))
    return None if path is None else path(value)
