"""The type variables of machines. Those who write no brackets mean the defaults, which Python has from 3.13 on."""

from __future__ import annotations

import typing
from collections.abc import Hashable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what every type checker knows, and nobody need install
    from typing_extensions import TypeVar

    A_co = TypeVar("A_co", covariant=True, default=object)
    """The arguments of the state that a handler is about."""
    K = TypeVar("K", bound=Hashable, default=Hashable)
    """What a program names a state by."""
else:
    A_co = typing.TypeVar("A_co", covariant=True)
    K = typing.TypeVar("K", bound=Hashable)

__all__ = ["A_co", "K"]
