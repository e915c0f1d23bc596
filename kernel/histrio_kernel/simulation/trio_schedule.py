"""Trio's choice of who runs next is a function of a seed, and every name that Trio keeps to itself is in this file."""

# Design note
# -----------
# Trio runs its runnable tasks in batches and shuffles each batch by `_r`, but only when `_ALLOW_DETERMINISTIC_SCHEDULING`
# is set. Otherwise a batch is reversed or not: of three tasks that are ready, two orders of six would ever be seen. So
# seeding `_r` alone is a trap: it repeats runs, and explores next to nothing.
#
# What is *not* drawn: which of several deadlines that are equal expires first, and in which order one cancelled scope
# tells its tasks; Trio orders both by the addresses of objects. Runs in which that matters differ under one seed.
#
# Both names are global, so this serves one Trio run at a time in a process. Trio's maintainers want no public flag
# before I/O is deterministic as well (issues 2022 and 2675).

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final, cast

from trio._core import _run

__all__ = ["seeded_schedule"]

_SHUFFLES: Final = "_ALLOW_DETERMINISTIC_SCHEDULING"
_CHANCE: Final = "_r"


@contextmanager
def seeded_schedule(seed: int) -> Generator[None]:
    """Draw the order in which Trio runs the tasks that are ready from `seed`, in every run begun inside the block.

    What was before is put back at the end. Not for two threads at once.

    Raises:
        RuntimeError: this version of Trio does not keep its schedule where this looks for it; nothing has changed.

    Examples:
        >>> import trio
        >>> def order(seed: int) -> list[int]:
        ...     seen: list[int] = []
        ...     async def step(number: int) -> None:
        ...         seen.append(number)
        ...     async def main() -> None:
        ...         async with trio.open_nursery() as nursery:
        ...             for number in range(8):
        ...                 nursery.start_soon(step, number)
        ...     with seeded_schedule(seed):
        ...         trio.run(main)
        ...     return seen
        >>> order(1) == order(1)
        True
        >>> order(1) == order(2)
        False
    """
    names = _run.__dict__
    if not {_SHUFFLES, _CHANCE} <= names.keys():
        raise RuntimeError(
            "this version of Trio chooses who runs next in another way than those that Histrio knows (0.30 to 0.35),"
            f" so its schedule cannot be seeded. Look for {_SHUFFLES} and {_CHANCE} in trio/_core/_run.py"
        )
    chance = cast(random.Random, names[_CHANCE])
    shuffled, state = cast(bool, names[_SHUFFLES]), chance.getstate()
    names[_SHUFFLES] = True
    chance.seed(seed)
    try:
        yield
    finally:
        names[_SHUFFLES] = shuffled
        chance.setstate(state)
