"""The type variables of machines. What checkers read stands in `variables.pyi`: there they have defaults."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TypeVar

__all__ = ["A_co", "K"]

A_co = TypeVar("A_co", covariant=True)
K = TypeVar("K", bound=Hashable)
