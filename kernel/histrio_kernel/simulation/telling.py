"""What can be said of a run that has ended in another way than by its program: who waits, who is busy, whose a task is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final, cast

import trio
from trio.lowlevel import Task

from histrio_kernel.simulation.errors import SimUnsupportedTrio
from histrio_kernel.simulation.escapes import line_of_program
from histrio_kernel.simulation.trace import identities

__all__ = ["SERVICES", "busiest", "ends_all", "is_histrios", "is_service", "place_of"]

SERVICES: Final = "histrio "
"""How the names of tasks begin that look after a system: they wait for ever, and alone they are no reason to go on."""
_WINDOW: Final = 1_000  # of the last steps, in which we look for what keeps a run busy
_NAMED: Final = 5  # who are
_OURS: Final = ("histrio", "histrio_kernel")


def is_service(task: Task) -> bool:
    """Whether it looks after a system."""
    return task.name.startswith(SERVICES)


def is_histrios(task: Task) -> bool:
    """Whether Histrio itself began it."""
    frame = getattr(task.coro, "cr_frame", None)
    return frame is not None and str(frame.f_globals.get("__name__")).partition(".")[0] in _OURS


def place_of(task: Task) -> str:
    """Where a task waits: the innermost line of the program itself."""
    return line_of_program([*task.iter_await_frames()][::-1]) or "its very beginning"


def busiest(trace: Iterable[int], names: Mapping[int, str]) -> str:
    """Who went on most often in the last steps of a run."""
    last = Counter(deque(identities(trace), _WINDOW))
    return ", ".join(
        f"{names.get(number, 'the clock')} ({times} of the last {last.total()})"
        for number, times in last.most_common(_NAMED)
    )


def ends_all(error: BaseException) -> bool:
    """Whether it is no failure of a program, but the wish, or the need, to do no more at all."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(ends_all, cast("BaseExceptionGroup[BaseException]", error).exceptions))
    return isinstance(error, KeyboardInterrupt | SystemExit | SimUnsupportedTrio | trio.TrioInternalError)
