"""The tasks of states: an async `entered` runs in the scope of its activation, an async `exited` after all of its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import trio
from trio.lowlevel import Abort, current_task

from histrio_kernel.belonging import Period
from histrio_kernel.errors import split_cancelled
from histrio_kernel.futures import HOLDERS, Future, Holder, RaiseCancel
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.activations import Activation, Task
from histrio_kernel.machine.shell.errors import HandlerTooSlow
from histrio_kernel.parking import request

__all__ = ["ExitTask", "StateHolder", "StateTask"]


@final
class StateHolder(Holder):
    """Marks a Trio task as one of a state, so that what it starts belongs to its activation. It holds no turn (A17)."""

    __slots__ = ("activation", "identity", "request")

    def __init__(self, identity: object, activation: Activation | None) -> None:
        self.identity: Final = identity
        """Of the machine's ground: that of its actor."""
        self.activation: Final = activation
        self.request = request(self.abort)

    def works_for(self, owner: object) -> bool:
        """Whether that is its machine, or the actor that has it."""
        return self.identity is owner

    def period(self, owner: object) -> Period | None:
        """The activation that what it starts belongs to."""
        return self.activation if self.identity is owner else None

    def settled(self, future: Future[object]) -> None:
        """It never waits by itself."""
        raise AssertionError

    def abort(self, raise_cancel: RaiseCancel) -> Abort:
        """It never waits by itself."""
        raise AssertionError


Failed = Callable[[BaseException, bool], None]
"""Called with an error, and whether the activation was still current."""


@final
class StateTask:
    """One async `entered` of one activation."""

    __slots__ = ("_activation", "_failed", "_identity", "_returned", "_scope", "_task")

    def __init__(
        self, activation: Activation, task: Task, identity: object, failed: Failed, returned: Callable[[], None]
    ) -> None:
        self._activation: Final = activation
        self._task: Final = task
        self._identity: Final = identity
        self._failed: Final = failed
        self._returned: Final = returned
        self._scope: Final = trio.CancelScope()
        activation.add(self)

    def end(self) -> None:
        """The activation is over."""
        self._scope.cancel()

    async def run(self) -> None:
        """The Trio task."""
        task = current_task()
        HOLDERS[task] = StateHolder(self._identity, self._activation)
        transition = self._activation.transition
        assert transition is not None
        try:
            with self._scope:
                if not self._activation.is_over:
                    self._activation.begun = True
                    await _within_deadline(self._task, transition)
                    self._returned()
        except BaseException as error:
            cancelled, rest = split_cancelled(error)
            if rest is not None and not isinstance(rest, Exception):
                raise
            if rest is not None:
                self._failed(rest, not self._activation.is_over)
            if cancelled is not None:
                raise cancelled from None
        finally:
            del HOLDERS[task]
            self._activation.done(self)


async def _within_deadline(task: Task, transition: Transition[object]) -> None:
    """Run a handler, at most as long as its mark says."""
    handler, owner = task
    if handler.deadline_s is None:
        await handler.begin(owner, transition)
        return
    with trio.move_on_after(handler.deadline_s) as limit:
        await handler.begin(owner, transition)
    if limit.cancelled_caught:
        raise HandlerTooSlow(
            f"an async handler of {handler.state!r} took longer than its deadline_s = {handler.deadline_s:g} s and was "
            "cancelled"
        )


@final
class ExitTask:
    """The async `exited` handlers of one activation, one after the other."""

    __slots__ = ("_failed", "_identity", "_tasks", "_then", "_transition")

    def __init__(
        self,
        transition: Transition[object],
        tasks: tuple[Task, ...],
        identity: object,
        failed: Callable[[BaseException], None],
        then: Callable[[], None],
    ) -> None:
        self._transition: Final = transition
        self._tasks: Final = tasks
        self._identity: Final = identity
        self._failed: Final = failed
        self._then: Final = then

    async def run(self) -> None:
        """The Trio task."""
        task = current_task()
        HOLDERS[task] = StateHolder(self._identity, None)
        try:
            for each in self._tasks:
                await self._run_one(each)
        finally:
            del HOLDERS[task]
            self._then()

    async def _run_one(self, task: Task) -> None:
        """One handler; its error does not keep the next from being told."""
        try:
            await _within_deadline(task, self._transition)
        except BaseException as error:
            cancelled, rest = split_cancelled(error)
            if rest is not None and not isinstance(rest, Exception):
                raise
            if rest is not None:
                self._failed(rest)
            if cancelled is not None:
                raise cancelled from None
