"""A traceback that begins in the test: how the simulator came to call it helps nobody."""

from __future__ import annotations

from types import TracebackType
from typing import Final, TypeVar

__all__ = ["from_the_test"]

E = TypeVar("E", bound=BaseException)

_OURS: Final = ("histrio.testing", "histrio_kernel.simulation", "trio", "outcome")


def from_the_test(error: E) -> E:
    """The error, without the frames through which the simulator called the test; as it was, if no others are there."""
    found = error.__traceback__
    while found is not None and _is_ours(found):
        found = found.tb_next
    return error if found is None else error.with_traceback(found)


def _is_ours(traceback: TracebackType) -> bool:
    module = str(traceback.tb_frame.f_globals.get("__name__"))
    return any(module == own or module.startswith(f"{own}.") for own in _OURS)
