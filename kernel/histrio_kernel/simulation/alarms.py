"""A call at a moment of the virtual clock, for those parts of a simulated world that are no task."""

from collections.abc import Callable

import trio

__all__ = ("alarm",)


def alarm(at: float, name: str, call: Callable[[], None]) -> trio.CancelScope:
    """Have `call` called when the clock reads *at*, unless the scope that this returns is cancelled before.

    Only a deadline of Trio moves the clock, and only a task has deadlines, so this begins one: *name* is what reports
    call it. It ends with the run. *call* must not raise.
    """
    scope = trio.CancelScope()
    trio.lowlevel.spawn_system_task(_wait, at, call, scope, name=name)
    return scope


async def _wait(at: float, call: Callable[[], None], scope: trio.CancelScope) -> None:
    with scope:
        await trio.sleep_until(at)
    if not scope.cancel_called:
        call()
