"""How one incarnation of a process runs: may it advance, advance, go where that said; until it is done or is to end.

Invariant: it is announced as paused only between two advances, and no advance begins while that is wanted.
"""

# Design note
# -----------
# The loop is the `run()` of its actor, one task. Nobody sends it events: it looks at levels (`Pulse`, and the phase of
# its cell) before each advance, and is told to look when they change. What it waits for between two advances is
# either a promise that such a change sets, or the future that the process waits for; both are left at once when it is
# to end. A pause leaves a waiting process where it is, so nothing of what it waits for is disturbed.
#
# An advance is run as a handler is: in the actor's context, and interruptible by the user's Ctrl-C. What it makes with
# `self.io` may outlive it, since a later advance waits for it; `run()` sees the end of those (F4). Only an advance
# that is cut off takes what it made with it, before the pause is announced: else the next attempt would overlap it.
#
# Between two advances others run, at least once, and whoever stands in line for the turn gets it: a process that
# never waits neither hides from its controls nor starves `async with self.turn()`.

from __future__ import annotations

import enum
import functools
from typing import Final, Protocol, cast, final

import trio
from trio.lowlevel import checkpoint, checkpoint_if_cancelled, current_task, enable_ki_protection

from histrio.processes.errors import WrongAdvance, what_was_meant
from histrio.processes.moves import Done, To, Wait
from histrio.processes.over import WaitedFor
from histrio.processes.pulse import Pulse
from histrio_kernel.cell import Cell
from histrio_kernel.errors import End, Reason, StuckActor, shown, split_cancelled
from histrio_kernel.futures import HOLDERS, VALUE, Future, Promise, Waiter
from histrio_kernel.gate import Tracked
from histrio_kernel.handling import call_hook
from histrio_kernel.io import Operation
from histrio_kernel.lifecycle import Phase
from histrio_kernel.turn import Worker

__all__ = ["Advances", "Loop"]


class Advances(Protocol):
    """What the loop calls of a process."""

    @property
    def state(self) -> enum.Enum:
        """The state that it is in."""
        ...

    async def advance(self) -> object:
        """Do one piece of the work, and say how it goes on."""
        ...

    async def killed(self, reason: Reason) -> None:
        """Clean up."""
        ...

    def _histrio_enter(self, state: enum.Enum) -> None:
        """Be in another state."""
        ...


class _CutOff(Exception):
    """The present advance was cancelled by `pause(now=True)`."""


@final
class _Pass(Future[None]):
    """Over as soon as somebody waits for it: whoever stands in line for the turn has it first."""

    __slots__ = ()

    def _attach(self, waiter: Waiter) -> None:
        super()._attach(waiter)
        self._settle(VALUE, None)


@final
class Loop:
    """Advances one incarnation of a process."""

    def __init__(self, process: Advances, cell: Cell, pulse: Pulse, *, cleans_up: bool) -> None:
        worker = HOLDERS[current_task()]
        assert isinstance(worker, Worker)
        self._process: Final = process
        self._cell: Final = cell
        self._pulse: Final = pulse
        self._worker: Final = worker
        self._cleans_up: Final = cleans_up
        self._advancing: trio.CancelScope | None = None
        self._waiting: trio.CancelScope | None = None
        self._idle: Promise[None] | None = None
        self._killed_at: float | None = None
        self._kept: list[Tracked] = []
        self._waited_for: Future[object] | None = None

    @enable_ki_protection
    async def run(self) -> object:
        """Advance until done; the result."""
        self._pulse.loop = self
        self._pulse.entered(self._process.state)
        try:
            return await self._until_done()
        except BaseException as error:
            if split_cancelled(error)[0] is not None:
                await self._clean_up(error)
            raise
        finally:
            self._pulse.loop = None
            for made in self._kept:
                self._worker.track(made)

    async def _until_done(self) -> object:
        while await self._may_advance():
            move = await self._advance()
            if isinstance(move, Done):
                return self._result(cast("Done[object]", move))
            if isinstance(move, To):
                self._enter(cast("To[enum.Enum]", move).state)
            elif isinstance(move, Wait):
                await self._wait(move.future)
        return self._cell.result

    def _enter(self, state: enum.Enum) -> None:
        if state is not self._process.state:
            self._process._histrio_enter(state)
            self._pulse.entered(state)

    # -- between two advances ------------------------------------------------------------------------------------

    @property
    def _is_to_end(self) -> bool:
        return self._cell.phase not in (Phase.RUNNING, Phase.PAUSED)

    def look(self) -> None:
        """What is wanted has changed: be paused, go on, or end. Not a checkpoint."""
        if self._is_to_end:
            if self._cell.phase is Phase.DYING and self._killed_at is None:
                self._killed_at = trio.current_time()
            if self._waiting is not None:
                self._waiting.cancel()
            self._wake()
        elif not self._pulse.holds:
            self._wake()
        elif self._advancing is None:
            self._pulse.lane.has_paused()

    def _wake(self) -> None:
        if self._idle is not None and not self._idle.is_done:
            self._idle.set(None)

    async def _may_advance(self) -> bool:
        """Wait until an advance may be made, or none will be. What is pending as a cancellation is raised here."""
        await self._let_others_run()
        while not self._is_to_end:
            if self._pulse.take():
                return True
            self.look()
            self._idle = Promise(self._cell.engine)
            await self._idle
        await checkpoint_if_cancelled()
        return False

    async def _let_others_run(self) -> None:
        turn = self._cell.turn
        if turn.ready and not turn.serial:
            await _Pass(self._cell.engine)
        else:
            await checkpoint()

    async def _wait(self, future: Future[object]) -> None:
        """Wait for the end of `future`, whatever its outcome. It is left alone by a pause, and given up by an end."""
        self._waited_for = future
        if not future.is_done:
            with trio.CancelScope() as self._waiting:
                self.look()
                await WaitedFor(future)
            self._waiting = None

    # -- one advance ---------------------------------------------------------------------------------------------

    async def _advance(self) -> object:
        """One advance: where it goes from here; None if it was cut off, and is to be made again."""
        self._advancing = trio.CancelScope()
        waited_for, self._waited_for = self._waited_for, None
        try:
            move = await call_hook(self._worker, self._attempt)
        except BaseException as error:
            rest = _without_cut_off(error)
            if rest is error:
                raise
            if rest is not None:
                raise rest from None
            self._pulse.give_back()
            self._waited_for = waited_for
            return None
        finally:
            self._advancing = None
        if isinstance(waited_for, Operation) and (lost := waited_for.lost_error()) is not None:
            waited_for._see()
            raise lost
        return self._checked(move)

    async def _attempt(self) -> object:
        scope = self._advancing
        assert scope is not None
        move: object = None
        with scope:
            move = await self._process.advance()
        if scope.cancelled_caught:
            raise _CutOff
        self._keep_made()
        return move

    def interrupt(self) -> None:
        """Cut the present advance off, if there is one. Not a checkpoint."""
        if self._advancing is not None and not self._is_to_end:
            self._advancing.cancel()

    def _keep_made(self) -> None:
        """What the advance made and did not await may be waited for by a later one."""
        made, self._worker.made = self._worker.made, None
        fresh = [] if made is None else made if isinstance(made, list) else [made]
        self._kept = [one for one in (*self._kept, *fresh) if not one.is_done or one.lost_error() is not None]

    def _checked(self, move: object) -> object:
        """Refuse what says nothing.

        Raises:
            WrongAdvance: says what was returned, and what was probably meant.
        """
        if isinstance(move, To | Wait | Done):
            return move  # pyright: ignore[reportUnknownVariableType]
        text = shown(move)
        raise WrongAdvance(
            self._cell.path,
            f"advance() returned {text}{what_was_meant(move, type(self._process.state))}. It returns self.to(state), self.wait(future) or histrio.Done(value)",
        )

    def _result(self, done: Done[object]) -> object:
        """The result of a process that is done, once.

        Raises:
            WrongAdvance: it has two.
        """
        before = self._cell.result
        if before is not None:
            raise WrongAdvance(
                self._cell.path,
                f"advance() returned {shown(done)}, but finish({shown(before)}) has given a result already. A process"
                " is done once: use one of the two",
            )
        if isinstance(done.value, Done):
            raise WrongAdvance(
                self._cell.path, f"advance() returned {shown(done)}: a process is done once; return what is in it"
            )
        return done.value

    # -- being killed --------------------------------------------------------------------------------------------

    async def _clean_up(self, error: BaseException) -> None:
        """Run `killed()`, if the process was killed or cancelled, until `shutdown_s` after that.

        Raises:
            BaseExceptionGroup: `killed()` raised too; the error that it was called for goes on in it.
        """
        cell = self._cell
        cell.cancelled()
        reason = cell.reason
        assert reason is not None
        if reason.end is End.FAILED or not self._cleans_up:
            return
        killed_at = trio.current_time() if self._killed_at is None else self._killed_at
        cell.engine.has_ended(cell)  # whether it hangs is looked after here
        try:
            with trio.CancelScope(shield=True, deadline=killed_at + cell.settings.shutdown_s) as scope:
                await call_hook(self._worker, functools.partial(self._process.killed, reason))
        except Exception as worse:
            raise BaseExceptionGroup(f"{cell.path}: it was killed, and killed() failed", [error, worse]) from None
        finally:
            cell.engine.ends(cell, cell.settings.shutdown_s)
        if scope.cancelled_caught:
            cell.engine.report(
                StuckActor(
                    f"{cell.path}: killed() of {type(self._process).__qualname__} had not ended"
                    f" {cell.settings.shutdown_s} s after the kill (shutdown_s), and was cancelled"
                )
            )


def _without_cut_off(error: BaseException) -> BaseException | None:
    """What of `error` is not that an advance was cut off."""
    if isinstance(error, _CutOff):
        return None
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    cut_off, rest = group.split(_CutOff)
    if cut_off is None or rest is None:
        return group if cut_off is None else None
    return rest.exceptions[0] if len(rest.exceptions) == 1 else rest
