"""A future is a handle to an operation that has already started and has an owner.

Its outcome (value, error or cancelled) is written once, by `_settle`, and each waiter is told synchronously, in the
order in which they came. (The loop in `handling` writes the answer of an ask that nobody awaits yet in place.)
"""

# Design note
# -----------
# A future costs no task: whoever awaits it is rescheduled by whoever settles it (DESIGN F7). A slotted object on
# `reschedule` is 1.6 to 3.6 times as fast as a memory channel and an Event.
#
# Who waits decides how. A handler that holds its actor's turn must give it away while it waits, and gets it back
# before it goes on; any other task just waits. The only way to tell them apart is the task itself: `HOLDERS` maps the
# tasks that run handlers to their workers. A context variable would not do, child tasks inherit it, and they never
# hold the turn (A17).
#
# A waiter may settle other futures in reaction (`either` cancels its loser). Who waits for those is told after all who
# wait for the first, so that everybody hears of outcomes in the order in which they were written.
#
# `abort` may return FAILED: the wait then ends when the operation has ended (F5). `_abandon` decides that, and each
# kind of future has its own answer: an operation is cancelled with its last awaiter, an ask is withdrawn, a promise
# does not care.

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Generator
from types import TracebackType
from typing import Any, ClassVar, Final, Generic, NoReturn, Protocol, TypeVar, cast, final

import trio
from outcome import capture
from trio.lowlevel import Abort, Task, current_task, enable_ki_protection, reschedule

from histrio_kernel.belonging import Period
from histrio_kernel.bounds import bound
from histrio_kernel.errors import ActorStopped, FutureCancelled, HistrioError
from histrio_kernel.parking import BY_REQUEST, RaiseCancel, parked, request

__all__ = [
    "CANCELLED",
    "ERROR",
    "HOLDERS",
    "PENDING",
    "VALUE",
    "Future",
    "Holder",
    "Pace",
    "PlainWait",
    "Promise",
    "RaiseCancel",
    "Telling",
    "Waiter",
    "World",
]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Telling = deque[tuple["Future[object]", "Waiter | dict[Waiter, None]"]]

PENDING: Final = 0
VALUE: Final = 1
ERROR: Final = 2
CANCELLED: Final = 3
_STATE_NAMES: Final = ("pending", "value", "error", "cancelled")


@final
class Pace:
    """What all systems of one Trio run share.

    It counts what returns without waiting, so that a task that only does such things still lets others run (A2, A8);
    and it keeps waits that are over, to be used again.
    """

    __slots__ = ("left", "spares")

    def __init__(self) -> None:
        self.left = bound("pace_max")
        self.spares: Final[list[PlainWait]] = []

    def due(self) -> bool:
        """Whether this call is the one that must yield."""
        self.left -= 1
        if self.left > 0:
            return False
        self.restart()
        return True

    def restart(self) -> None:
        """This call yields; count the next from the start."""
        self.left = bound("pace_max")


class World(Protocol):
    """What a future needs from the system that it lives in."""

    @property
    def pace(self) -> Pace:
        """What makes a run of awaits that need not wait yield now and then."""
        ...

    @property
    def telling(self) -> Telling:
        """Outcomes whose waiters have not all been told yet, in the order in which they were written."""
        ...

    def now(self) -> float:
        """The reading of the system's clock, in seconds."""
        ...

    def ended(self) -> ActorStopped | None:
        """The error of those who still wait, once the system is closed."""
        ...

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Run `call` once, later; the returned function prevents it. After 0 seconds is at the end of this moment."""
        ...

    def report(self, error: HistrioError) -> None:
        """Tell whoever runs the system of something that nobody awaits."""
        ...


class Waiter:
    """Somebody who is told, synchronously, that a future is over."""

    __slots__ = ()

    is_leaf: ClassVar[bool] = True
    """Whether being told makes it settle nothing else."""

    def settled(self, future: Future[object]) -> None:
        """`future` has its outcome. Called once for each attachment; must not raise."""
        raise NotImplementedError

    def looks(self) -> bool:
        """Whether somebody receives the outcome, so that an error in it is not lost."""
        return True


class Holder(Waiter):
    """A waiter that runs a handler, and so may have a turn to give away while it waits."""

    __slots__ = ()

    request: Any
    """What its task yields to Trio in order to park."""

    def gives_way(self, future: Future[object]) -> bool:
        """Attach to `future` and give the turn away; False if there is no turn to give, or it is kept."""
        return False

    def resumed(self, future: Future[object]) -> None:
        """The wait is over, and the turn is ours again."""

    def works_for(self, owner: object) -> bool:
        """Whether what it runs is code of that actor, or machine."""
        return False

    def path(self) -> str | None:
        """That of the actor whose work it does; None if of none."""
        return None

    def period(self, owner: object) -> Period | None:
        """The activation of a state of that actor, or machine, that its work belongs to; None if to none."""
        return None

    def abort(self, raise_cancel: RaiseCancel) -> Abort:
        """The task is cancelled while it waits."""
        raise NotImplementedError


_SPARES_MAX: Final = bound("spare_waits_max")

HOLDERS: Final[dict[Task, Holder]] = {}
"""The tasks that run handlers at present. Empty again when every system has ended."""


class Future(Generic[T_co]):
    """A handle to an operation that has already started and has an owner.

    `await` it any number of times, from several tasks: each gets the same outcome. A value is returned; an error is
    raised each time, with the traceback that it was stored with; of a cancelled future `FutureCancelled` is raised,
    or `trio.Cancelled` if the awaiting task is itself cancelled. If the system has been closed meanwhile it is
    `ActorStopped`.

    An await that has to wait is a checkpoint. In a handler it gives the turn away. An await of what is complete
    already returns at once and keeps the turn; every 64th such await is a checkpoint.

    What a cancelled await does to the operation depends on its kind: see `Actor.io` (cancelled with its last awaiter),
    `Ref.ask` (withdrawn if still queued), `Actor.promise` (nothing).
    """

    __slots__ = ("_result", "_state", "_traceback", "_waiter", "_world")

    _depth: int = 0
    """How deep combinators are nested in it."""

    _sees: ClassVar[bool] = False
    """Whether somebody must know that a value was received; who received an error is always told."""

    _result: Any  # not object: a cast costs a call for each await
    _traceback: TracebackType | None  # only of an error

    def __init__(self, world: World) -> None:
        self._world: World = world
        self._state: int = PENDING
        self._waiter: Waiter | dict[Waiter, None] | None = None

    @property
    def is_done(self) -> bool:
        """Whether there is an outcome, of any kind."""
        return self._state != PENDING

    def cancel(self) -> None:
        """Ask for the operation to be cancelled. A request: the outcome may still be a value or an error.

        Not a checkpoint. Does nothing to a future that has its outcome.
        """
        if self._state == PENDING:
            self._request_cancel()

    @enable_ki_protection
    def __await__(self) -> Generator[object, Any, T_co]:
        """Wait for the outcome."""
        if self._state == PENDING:
            task = current_task()
            holder = HOLDERS.get(task)
            if holder is not None and holder.gives_way(self):
                if BY_REQUEST:
                    (yield holder.request).unwrap()  # `parked`, without its generator
                else:
                    yield from parked(holder.request)
                holder.resumed(self)
            else:
                spares = self._world.pace.spares
                wait = spares.pop() if spares else PlainWait()
                wait.task = task
                wait.future = self
                self._attach(wait)
                if BY_REQUEST:
                    (yield wait.request).unwrap()
                else:
                    yield from parked(wait.request)
                if wait.raise_cancel is None and len(spares) < _SPARES_MAX:  # nobody else has it any more
                    wait.task = wait.future = None
                    spares.append(wait)
        else:
            pace = self._world.pace
            pace.left -= 1
            if pace.left <= 0:
                pace.restart()
                yield from trio.lowlevel.checkpoint().__await__()  # noqa: ASYNC105 - awaited by hand
        if self._state == VALUE:
            if self._sees:
                self._see()
            return self._result  # type: ignore[no-any-return]
        return (yield from self._raise().__await__())

    def __repr__(self) -> str:
        """Say the kind, what it is for, and the state."""
        about = self._about()
        return f"<{type(self).__name__}{' ' if about else ''}{about} {_STATE_NAMES[self._state]}>"

    # -- for the kernel ------------------------------------------------------------------------------------------

    def _about(self) -> str:
        """What this future is for, in reports and errors."""
        return ""

    def _request_cancel(self) -> None:
        """Begin to cancel what is behind a pending future."""
        self._settle(CANCELLED, None)

    def _abandon(self, waiter: Waiter) -> bool:
        """A cancelled `waiter` wants to leave. Returns False if it is told of the outcome nevertheless."""
        self._detach(waiter)
        return True

    def _waits_for_mail(self, inbox: object, in_hand: Collection[object]) -> bool:
        """Whether this can only end after the actor behind `inbox` has taken another message, or answered one that is
        *in_hand* (A6).
        """
        return False

    def _may_tie(self) -> bool:
        """Whether a cancelled one may still end with a value, so that `either` should let it finish its step."""
        return True

    def _attach(self, waiter: Waiter) -> None:
        assert self._state == PENDING
        present = self._waiter
        if present is None:
            self._waiter = waiter
        elif isinstance(present, dict):
            present[waiter] = None
        else:
            self._waiter = {present: None, waiter: None}

    def _detach(self, waiter: Waiter) -> None:
        """Take `waiter` off; the order of the others does not change."""
        if self._waiter is waiter:
            self._waiter = None
        elif isinstance(self._waiter, dict):
            self._waiter.pop(waiter, None)

    def _waiters(self) -> tuple[Waiter, ...]:
        """Who waits, in the order in which they came."""
        present = self._waiter
        if isinstance(present, dict):
            return tuple(present)
        return () if present is None else (present,)

    def _alone(self, waiter: Waiter) -> bool:
        """Whether `waiter` is the only one who waits."""
        present = self._waiter
        return present is waiter or (isinstance(present, dict) and len(present) == 1 and waiter in present)

    @enable_ki_protection
    def _settle(self, state: int, result: object) -> None:
        """Write the outcome and tell the waiters, in the order in which they came."""
        assert self._state == PENDING, self
        self._state = state
        self._result = result
        if state == ERROR:
            self._traceback = cast(BaseException, result).__traceback__
        waiter = self._waiter
        if waiter is None:
            return
        self._waiter = None
        telling = self._world.telling
        if telling:
            telling.append((self, waiter))  # we were settled in reaction to another outcome, which is told first
            return
        if not isinstance(waiter, dict):
            if waiter.is_leaf:
                waiter.settled(self)
                return
            telling.append((self, waiter))  # holds back what is settled in reaction
            waiter.settled(self)
            telling.popleft()
        else:
            telling.append((self, waiter))
        while telling:
            future, waiter = telling[0]
            if isinstance(waiter, dict):
                for one in waiter:
                    one.settled(future)
            else:
                waiter.settled(future)
            telling.popleft()

    def _error(self) -> BaseException:
        """The error of a future that ended with one."""
        assert self._state == ERROR
        return cast(BaseException, self._result)

    def _see(self) -> None:
        """Somebody has received the outcome, so an error in it is not lost."""

    async def _raise(self) -> NoReturn:
        """Raise what is not a value. Only a cancelled task is a checkpoint here."""
        self._see()
        if self._state == ERROR:
            raise self._error().with_traceback(self._traceback)
        assert self._state == CANCELLED
        await trio.lowlevel.checkpoint_if_cancelled()
        ended = self._world.ended()
        if ended is not None:
            raise ended
        raise FutureCancelled(f"{self!r} was cancelled before it had an outcome")


@final
class PlainWait(Waiter):
    """The wait of a task that holds no turn, or keeps it (`serial`). One that ended well serves again."""

    __slots__ = ("future", "raise_cancel", "request", "task")

    def __init__(self) -> None:
        self.task: Task | None = None
        self.future: Future[object] | None = None
        self.raise_cancel: RaiseCancel | None = None
        self.request: Final = request(self.abort)

    def settled(self, future: Future[object]) -> None:
        """Wake the task; with its cancellation, if that is what the operation ended by."""
        assert self.task is not None
        if self.raise_cancel is not None and future._state == CANCELLED:
            reschedule(self.task, capture(self.raise_cancel))
        else:
            reschedule(self.task)

    def abort(self, raise_cancel: RaiseCancel) -> Abort:
        """The task is cancelled."""
        future = self.future
        assert future is not None
        if future._state != PENDING:  # told already, and on its way: the outcome is delivered
            return Abort.FAILED
        self.raise_cancel = raise_cancel
        return Abort.SUCCEEDED if future._abandon(self) else Abort.FAILED


class Promise(Future[T]):
    """A future that is completed by hand, by `set` or `fail`, from any handler of its actor (F9).

    Made by `Actor.promise()`. When its actor ends before it is completed, it fails with `ActorStopped`. Cancelling an
    await of it does nothing to it; `cancel()` completes it as cancelled.
    """

    __slots__ = ("__weakref__",)

    def set(self, value: T) -> None:
        """Complete it with `value`.

        Raises:
            HistrioError: it has an outcome already; nothing changed.
        """
        if self._state != PENDING:
            self._refuse()
        self._settle(VALUE, value)

    def fail(self, error: Exception) -> None:
        """Complete it with `error`, which every awaiter gets.

        Raises:
            HistrioError: it has an outcome already; nothing changed.
            TypeError: `error` is no exception instance.
        """
        if not isinstance(cast(object, error), Exception):
            raise TypeError(f"fail() takes an exception instance such as ValueError('why'), got {error!r}")
        if self._state != PENDING:
            self._refuse()
        self._settle(ERROR, error)

    def _refuse(self) -> NoReturn:
        raise HistrioError(f"{self!r} has its outcome already. If two handlers may complete it, ask `is_done` first")
