"""Whether two contexts hold the very same objects."""

from __future__ import annotations

from contextvars import Context

__all__ = ["same_values"]


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
