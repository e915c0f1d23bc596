"""A thread of its own for one journal: what it is told it does in order, and when it is told nothing, it looks after things.

It goes on while Trio's loop is held by a computation, so a lease is renewed all the same.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Final, TypeVar, TypeVarTuple, final

import outcome
import trio

__all__ = ["WriterThread"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@final
class WriterThread:
    """A thread that makes calls, one after the other.

    Args:
        name: of the thread.
        tend: called between two calls, and every `every_s` seconds when there are none. It must not raise.
    """

    def __init__(self, name: str, every_s: float, tend: Callable[[], None]) -> None:
        self._calls: Final[queue.SimpleQueue[Callable[[], None] | None]] = queue.SimpleQueue()
        self._every_s: Final = every_s
        self._tend: Final = tend
        # A daemon: a program that ends without closing its journal must not hang, and what was acknowledged is synced.
        threading.Thread(target=self._work, name=name, daemon=True).start()

    @trio.lowlevel.enable_ki_protection
    async def run(self, fn: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """What `fn(*args)` returns or raises there.

        A checkpoint, but not cancelled once the call is on its way: then this waits for its true outcome.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        task = trio.lowlevel.current_task()
        token = trio.lowlevel.current_trio_token()

        def call() -> None:
            result = outcome.capture(fn, *args)
            with contextlib.suppress(trio.RunFinishedError):  # nobody is left to be told
                token.run_sync_soon(trio.lowlevel.reschedule, task, result)

        self._calls.put(call)
        answer: T = await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        return answer

    def end(self) -> None:
        """It ends after the calls that it was told; nothing may be told it afterwards."""
        self._calls.put(None)

    def _work(self) -> None:
        while True:
            try:
                call = self._calls.get(timeout=self._every_s)
            except queue.Empty:
                self._tend()
                continue
            if call is None:
                return
            call()
            self._tend()
