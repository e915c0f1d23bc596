"""Lets the handlers of one durable actor run, one after another, each until it waits; and the life between two of them."""

# Design note
# -----------
# A handler runs in a task to itself for as long as it takes, so that cancel scopes and nurseries work in it. Most end
# without a wait, so to begin a task for each, and to change to it and back, would cost more than all else of a short step.
#
# So the life is a coroutine that is driven by hand, and whoever drives it runs the handlers that begin, in its own task
# (leader/followers, as in the kernel's turn). When such a handler waits, its task is not free any more, and another one
# goes on with the life. The life may be moved so because it has no cancel scope open where it lets a handler begin.
#
# A driver whose handler has set a context variable ends with it, and so does one whose handler was ended.

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from functools import partial
from typing import Any, Final, final

import trio
from trio.lowlevel import Abort, Task, current_task, enable_ki_protection, reschedule

from histrio.durable.activation import Activation
from histrio_kernel.contexts import same_values
from histrio_kernel.futures import HOLDERS
from histrio_kernel.parking import RaiseCancel, again, request

__all__ = ["Runner"]


@final
class Runner:
    """Who runs, and who can go on.

    Args:
        path: of the actor.
        goes_on_here: called in each task that the life goes on in.
        is_halted: says that no handler is to go on.
    """

    __slots__ = (
        "_base", "_driver", "_error", "_goes_on_here", "_idle", "_is_halted", "_is_inline", "_life", "_nursery",
        "_path", "_ready", "_request", "_runs", "_waiting",
    )  # fmt: skip

    _life: Coroutine[Any, Any, None]
    _base: Context
    _nursery: trio.Nursery

    def __init__(self, path: str, goes_on_here: Callable[[], None], is_halted: Callable[[], bool]) -> None:
        self._path: Final = path
        self._is_halted: Final = is_halted
        self._goes_on_here: Final = goes_on_here
        self._ready: Final[deque[Activation]] = deque()
        self._idle: Final[list[_Driver]] = []
        self._error: Exception | None = None
        """What the life has raised."""
        self._driver: _Driver | None = None
        """Who drives the life, or is about to."""
        self._is_inline = False
        """Whether the handler that runs does so in the task that drives the life."""
        self._runs = False
        """Whether one that has waited runs, in its own task."""
        self._waiting: Task | None = None
        """Of the life, while it waits for that."""
        self._request: Final = request(self._abort)

    async def live(self, life: Coroutine[Any, Any, None]) -> None:
        """Drive the life to its end; the handlers that wait then are ended.

        Raises:
            Exception: what the life has raised.
        """
        self._life = life
        self._base = copy_context()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._hand_over()
        life.close()  # if nobody has begun to drive it
        if self._error is not None:
            raise self._error

    def can_go_on(self, activation: Activation) -> None:
        """It goes on after those whose waits were over before (A2)."""
        self._ready.append(activation)

    def waits(self) -> None:
        """The one that ran waits."""
        if self._is_inline:
            self._is_inline = False
            self._hand_over()
        else:
            self._rests()

    def ends(self) -> None:
        """The one that ran has ended."""
        if self._is_inline:
            self._is_inline = False
        else:
            self._rests()

    async def kill(self, activation: Activation) -> None:
        """End one that waits, and wait for its clean-up."""
        self._runs = True
        activation.kill()
        await self._rest()

    @types.coroutine
    def run(self) -> Generator[Any, Any, None]:
        """Let those go on who can, until all wait, or are halted."""
        ready = self._ready
        while not self._is_halted() and ready:
            activation = ready.popleft()
            if activation.has_begun:
                self._runs = True
                activation.go_on()
                yield from self._rest()
            else:
                yield activation  # to whoever drives the life: it runs the handler until that waits or ends

    def _rests(self) -> None:
        self._runs = False
        if self._waiting is not None:
            reschedule(self._waiting)
            self._waiting = None

    async def _rest(self) -> None:
        while self._runs:
            self._waiting = current_task()
            await again(self._request)

    def _abort(self, _: RaiseCancel) -> Abort:
        self._waiting = None
        return Abort.SUCCEEDED

    # -- who drives the life -----------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """Another task drives the life."""
        if self._idle:
            self._driver = driver = self._idle.pop()
            driver.wake()
        else:
            self._driver = driver = _Driver(self)
            # in the context that the life began in: the handler that runs may have changed its own
            self._base.run(partial(self._nursery.start_soon, driver.run, name=f"{self._path}: handler"))

    @enable_ki_protection  # of the life, too: Ctrl-C comes in a handler, or where Trio says
    @types.coroutine
    def drive(self, driver: _Driver, scope: trio.CancelScope) -> Generator[Any, Any, None]:
        """Drive the life until another task does, and the handler that this one runs has ended; or until it is over."""
        answer: Any = None
        raised: BaseException | None = None
        self._goes_on_here()
        task = current_task()
        holder = HOLDERS.get(task)
        while True:
            try:
                wanted = self._life.send(answer) if raised is None else self._life.throw(raised)
            except StopIteration:
                self._nursery.cancel_scope.cancel()
                return
            except Exception as error:
                self._error = error
                self._nursery.cancel_scope.cancel()
                return
            answer = raised = None
            try:
                if wanted.__class__ is Activation:
                    self._is_inline = True
                    yield from wanted.run(scope)
                else:
                    answer = yield wanted
            except BaseException as error:
                if self._driver is not driver:
                    raise
                raised = error
            if self._driver is not driver:
                return
            if wanted.__class__ is Activation:
                if not driver.is_unchanged():
                    self._hand_over()
                    return
                if holder is not None:
                    HOLDERS[task] = holder

    def rest(self, driver: _Driver) -> None:
        """It has nothing to do."""
        self._idle.append(driver)

    def leave(self, driver: _Driver) -> None:
        """It ends while it has nothing to do."""
        self._idle.remove(driver)


@final
class _Driver:
    """A task that drives the life, or is in a handler that it has begun, or idle."""

    __slots__ = ("_base", "_request", "_runner", "_task")

    def __init__(self, runner: Runner) -> None:
        self._runner: Final = runner
        self._task: Task | None = None
        self._request: Final = request(self._abort)

    async def run(self) -> None:
        """The task."""
        self._task = current_task()
        self._base = copy_context()
        with trio.CancelScope() as scope:
            while True:
                await self._runner.drive(self, scope)
                if scope.cancel_called or not self.is_unchanged():
                    return
                self._runner.rest(self)
                await again(self._request)

    def is_unchanged(self) -> bool:
        """Whether no handler has set a context variable."""
        context, base = copy_context(), self._base
        return (not len(context) and not len(base)) or same_values(context, base)

    def wake(self) -> None:
        """The life is this one's to drive."""
        assert self._task is not None, "it is idle, so it is parked"
        reschedule(self._task)

    def _abort(self, _: RaiseCancel) -> Abort:
        self._runner.leave(self)
        return Abort.SUCCEEDED
