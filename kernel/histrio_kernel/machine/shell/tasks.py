"""The tasks of states: an async `entered` runs in the scope of its activation, an async `exited` after all of its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast, final

import trio
from trio.lowlevel import Abort, current_task

from histrio_kernel.belonging import Period
from histrio_kernel.errors import split_cancelled
from histrio_kernel.futures import HOLDERS, Future, Holder, RaiseCancel
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.activations import Activation, Pair
from histrio_kernel.machine.shell.errors import HandlerTooSlow
from histrio_kernel.machine.shell.ground import Ground
from histrio_kernel.machine.states.handlers import AsyncHandler
from histrio_kernel.parking import request

__all__ = ["ExitTask", "StateHolder", "StateTask"]


@final
class StateHolder(Holder):
    """Marks a Trio task as one of a state, so that what it starts belongs to its activation. It holds no turn (A17)."""

    __slots__ = ("activation", "ground", "request")

    def __init__(self, ground: Ground, activation: Activation | None) -> None:
        self.ground: Final = ground
        self.activation: Final = activation
        self.request = request(self.abort)

    def works_for(self, owner: object) -> bool:
        """Whether that is the actor that has its machine, or whose code has opened it."""
        ground = self.ground
        return ground.identity is owner or (ground.opener is not None and ground.opener.works_for(owner))

    def path(self) -> str | None:
        """Of the actor that has its machine, or whose code has opened it."""
        opener = self.ground.opener
        return opener.path() if opener is not None else cast("str | None", getattr(self.ground.identity, "path", None))

    def period(self, owner: object) -> Period | None:
        """The activation that what it starts belongs to."""
        ground = self.ground
        if ground.identity is owner:
            return self.activation
        return None if ground.opener is None else ground.opener.period(owner)

    def settled(self, future: Future[object]) -> None:
        """It never waits by itself."""
        raise AssertionError

    def abort(self, raise_cancel: RaiseCancel) -> Abort:
        """It never waits by itself."""
        raise AssertionError


@final
class StateTask:
    """One async `entered` of one activation."""

    __slots__ = ("_activation", "_handler", "_holder", "_pair", "_returned", "_scope")

    def __init__(
        self,
        activation: Activation,
        pair: Pair,
        handler: AsyncHandler,
        ground: Ground,
        returned: Callable[[], None],
    ) -> None:
        self._activation: Final = activation
        self._pair: Final = pair
        self._handler: Final = handler
        self._holder: Final = StateHolder(ground, activation)
        self._returned: Final = returned
        self._scope: Final = trio.CancelScope()
        activation.add(self)

    def end(self) -> None:
        """The activation is over."""
        self._scope.cancel()

    async def run(self) -> None:
        """The Trio task."""
        task = current_task()
        HOLDERS[task] = self._holder
        try:
            with self._scope:
                await self._run()
        except BaseException as error:
            cancelled, rest = split_cancelled(error)
            if rest is not None and not isinstance(rest, Exception):
                raise
            if rest is not None:
                self._activation.failed(rest)
            if cancelled is not None:
                raise cancelled from None
        finally:
            del HOLDERS[task]
            self._activation.done(self)

    async def _run(self) -> None:
        """Call the handler, unless the activation has ended before its first step."""
        activation, transition = self._activation, self._activation.transition
        assert transition is not None
        if not activation.is_over:
            activation.begun.add(self._pair)
            await _within_deadline(self._handler, self._pair.owner, transition)
            self._returned()


async def _within_deadline(handler: AsyncHandler, owner: object, transition: Transition[object]) -> None:
    """Run a handler, at most as long as its mark says."""
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

    __slots__ = ("_failed", "_holder", "_pairs", "_then", "_transition")

    def __init__(
        self,
        transition: Transition[object],
        pairs: tuple[Pair, ...],
        ground: Ground,
        failed: Callable[[BaseException], None],
        then: Callable[[], None],
    ) -> None:
        self._transition: Final = transition
        self._pairs: Final = pairs
        self._holder: Final = StateHolder(ground, None)
        self._failed: Final = failed
        self._then: Final = then

    async def run(self) -> None:
        """The Trio task."""
        task = current_task()
        HOLDERS[task] = self._holder
        try:
            for pair in self._pairs:
                if pair.exited is not None:
                    await self._run_one(pair.exited, pair.owner)
        finally:
            del HOLDERS[task]
            self._then()

    async def _run_one(self, handler: AsyncHandler, owner: object) -> None:
        """One handler; its error does not keep the next from being told."""
        try:
            await _within_deadline(handler, owner, self._transition)
        except BaseException as error:
            cancelled, rest = split_cancelled(error)
            if rest is not None and not isinstance(rest, Exception):
                raise
            if rest is not None:
                self._failed(rest)
            if cancelled is not None:
                raise cancelled from None
