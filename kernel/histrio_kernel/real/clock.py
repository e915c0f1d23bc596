"""The clock of a real run is the clock of the Trio run, so `MockClock` moves it in tests."""

from typing import final

import trio

__all__ = ("RealClock",)


@final
class RealClock:
    """A `Clock` that reads Trio's; it may be made anywhere and is used inside `trio.run`."""

    __slots__ = ()

    def now(self) -> float:
        """What Trio's clock reads, in seconds."""
        return trio.current_time()

    async def sleep(self, seconds: float, /) -> None:
        """Complete *seconds* from now; a checkpoint in any case."""
        await trio.sleep(seconds)

    async def deadline(self, at: float, /) -> None:
        """Complete when the clock reads *at*; a checkpoint in any case."""
        await trio.sleep_until(at)
