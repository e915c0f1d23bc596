"""Lets the handlers of one durable actor run, one after another, each until it waits."""

# Design note
# -----------
# A task that has run a handler to its end runs the next one, as in the kernel: to begin a task costs more than all else of
# a short step. It does not if the handler has set a context variable, or was ended: then the task ends, too.

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Final, final

import trio
from trio.lowlevel import Abort, Task, current_task, reschedule

from histrio.durable.activation import Activation
from histrio_kernel.contexts import same_values
from histrio_kernel.parking import RaiseCancel, again, request

__all__ = ["Runner"]


@final
class Runner:
    """Who runs, and who can go on.

    Attributes:
        nursery: of the handlers' tasks; set when there is one.
    """

    nursery: trio.Nursery

    def __init__(self, path: str) -> None:
        self._path: Final = path
        self._ready: Final[deque[Activation]] = deque()
        self._idle: Final[list[_Worker]] = []
        self._life: Task | None = None
        """Of the life, while it waits for the one that runs."""
        self._request: Final = request(self._abort)
        self._runs = False

    def can_go_on(self, activation: Activation) -> None:
        """It goes on after those whose waits were over before (A2)."""
        self._ready.append(activation)

    def starts(self, activation: Activation) -> None:
        """It gets a task."""
        if self._idle:
            self._idle.pop().begin(activation)
        else:
            worker = _Worker(activation, self._idle)
            self.nursery.start_soon(worker.run, name=f"{self._path}: handler")

    def rests(self) -> None:
        """The one that ran waits, or has ended."""
        self._runs = False
        if self._life is not None:
            reschedule(self._life)
            self._life = None

    async def kill(self, activation: Activation) -> None:
        """End one that waits, and wait for its clean-up."""
        self._runs = True
        activation.kill()
        await self._rest()

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Let those go on who can, until all wait, or it is over."""
        await self._rest()
        while self._ready and not is_over():
            self._runs = True
            self._ready.popleft().go()
            await self._rest()

    async def _rest(self) -> None:
        while self._runs:
            self._life = current_task()
            await again(self._request)

    def _abort(self, _: RaiseCancel) -> Abort:
        self._life = None
        return Abort.SUCCEEDED


@final
class _Worker:
    """A task that runs handlers, each to its end."""

    def __init__(self, activation: Activation, idle: list[_Worker]) -> None:
        self._activation = activation
        self._idle: Final = idle
        self._task: Task | None = None
        self._request: Final = request(self._abort)

    def begin(self, activation: Activation) -> None:
        """Run this one now."""
        assert self._task is not None, "it is idle, so it is parked"
        self._activation = activation
        reschedule(self._task)

    async def run(self) -> None:
        """The task."""
        base = copy_context()
        with trio.CancelScope() as scope:
            while True:
                await self._activation.run(scope)
                if scope.cancel_called or not same_values(copy_context(), base):
                    return
                self._task = current_task()
                self._idle.append(self)
                await again(self._request)

    def _abort(self, _: RaiseCancel) -> Abort:
        self._idle.remove(self)
        return Abort.SUCCEEDED
