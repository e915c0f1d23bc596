"""What every journal has to keep, as checks that run on anybody's.

A journal is an object like `histrio_kernel.journal.store.Journal`. Durable actors rely on what is checked here.
"""

# Design note
# -----------
# The checks are async functions, so that they run under any test framework, and in a simulation. Each gets a journal that
# is new, and may open it several times, one after the other; each raises `AssertionError` with what was wrong. How often
# something is synced is counted, not timed.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from histrio.testing.journal_how import CHECKS_OF_HOW
from histrio.testing.journal_what import CHECKS_OF_WHAT
from histrio.testing.journal_words import Keeper

__all__ = ["CHECKS", "Keeper", "check_journal"]

CHECKS: Final[tuple[Callable[[Keeper], Awaitable[None]], ...]] = (*CHECKS_OF_WHAT, *CHECKS_OF_HOW)
"""All of them, each for a journal of its own."""


async def check_journal(make: Callable[[], Keeper]) -> None:
    """Run all checks, each on a journal of its own.

    Raises:
        AssertionError: one does not hold; the text says which, and what it saw. What a journal raises where it must not is
            the cause.

    Examples:
        >>> import trio
        >>> from histrio_kernel.journal.memory import MemoryJournal
        >>> from histrio_kernel.journal.stored import Stored
        >>> def make() -> Keeper:
        ...     stored = Stored()
        ...     return Keeper(open=lambda: MemoryJournal(stored))
        >>> trio.run(check_journal, make)
    """
    for check in CHECKS:
        try:
            await check(make())
        except Exception as error:
            raise AssertionError(f"{check.__name__}: {error!r}") from error
