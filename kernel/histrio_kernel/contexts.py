"""Whether two contexts hold the very same objects."""

from __future__ import annotations

from contextvars import Context
from gc import get_referents

__all__ = ["contents_of", "same_values"]


def contents_of(context: Context) -> object:
    """What a copy of a context shares with it as long as no variable has been set in either.

    That is CPython's immutable mapping inside a context, the first of what a copy refers to. Where it is not shared,
    this tells nothing, and `same_values` decides.
    """
    return get_referents(context.copy())[0]


def same_values(one: Context, other: Context) -> bool:
    """Whether each variable has the same object in both.

    Identity and not equality, which `==` of contexts means: two requests whose log fields are both `{}` at the moment
    must not share them, and the values of users need not be comparable (an array's `==` has no truth value).
    """
    if len(one) != len(other):
        return False
    for variable, value in one.items():  # noqa: SIM110 - a loop is quicker than a generator
        if other.get(variable, one) is not value:
            return False
    return True
