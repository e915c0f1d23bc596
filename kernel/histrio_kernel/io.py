"""An actor's operations run beside its handlers, in its own nursery, bounded; each is a future from the start.

Invariant: `running <= io_max`, and the queue is empty unless `running == io_max`. Operations that a running operation
starts are part of it and not counted: else the outer ones could hold every place that the inner ones need. Timers are
not counted either: they are what ends an operation that is stuck.
"""

# Design note
# -----------
# A task and a cancel scope for each operation would double its cost (0.62x of a plain nursery instead of 1.12x), so
# tasks are parked and used again. A parked task sits in one standing cancel scope and leaves it only after an operation
# that was cancelled; the context of the operation is put on the task before it is woken.
#
# Operations begin in the order in which they were started, under every schedule (E3 needs it: two appends of one
# handler). So a task that is woken for one takes whichever is first in `fresh`. If that one's context is not the task's,
# it has to be entered, which takes a scheduling round; the others stall meanwhile.
#
# Errors go to whoever awaits. One that nobody awaits is the handler's, at its end, if a handler made the operation
# (F4); otherwise it is the actor's, at once. Nothing is swallowed.

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from typing import Any, Final, Protocol, TypeVar, TypeVarTuple, final

import attrs
import trio
from trio.lowlevel import (
    Abort,
    cancel_shielded_checkpoint,
    current_task,
    enable_ki_protection,
    reschedule,
)

from histrio_kernel.belonging import Period
from histrio_kernel.contexts import same_values
from histrio_kernel.engine import Engine
from histrio_kernel.errors import split_cancelled
from histrio_kernel.futures import (
    CANCELLED,
    ERROR,
    HOLDERS,
    PENDING,
    VALUE,
    Future,
    Holder,
    RaiseCancel,
    Waiter,
)
from histrio_kernel.parking import again, park, request
from histrio_kernel.signals import Kind
from histrio_kernel.turn import Worker
from histrio_kernel.visiting import home_of

__all__ = ["IoOwner", "IoPool", "Operation", "Retry"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class IoOwner(Protocol):
    """What the operations need from the life of their actor."""

    @property
    def path(self) -> str:
        """Whose operations these are."""
        ...

    @property
    def io_nursery(self) -> trio.Nursery | None:
        """Where operations run; None when the actor takes none (it has ended or is being killed)."""
        ...

    def operation_failed(self, error: BaseException) -> None:
        """An operation that nobody awaits has failed."""
        ...


@attrs.frozen(kw_only=True)
class Retry:
    """Try an operation again when it fails, with growing pauses. All times in seconds of the system's clock.

    The pause after attempt n is `first_s * factor**(n - 1)`, at most `pause_max_s`, times a random number between
    `1 - jitter` and `1 + jitter`. Errors that are not `on` are raised at once. When the attempts are used up, or the
    next pause would pass `total_s`, the last error is raised, with a note that tells how often it was tried.

    Examples:
        >>> Retry(attempts_max=3, first_s=0.1).pauses_s()
        (0.1, 0.2)
    """

    attempts_max: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    first_s: float = attrs.field(default=0.1, validator=attrs.validators.ge(0))
    factor: float = attrs.field(default=2.0, validator=attrs.validators.ge(1))
    jitter: float = attrs.field(default=0.0, validator=[attrs.validators.ge(0), attrs.validators.le(1)])
    pause_max_s: float = attrs.field(default=60.0, validator=attrs.validators.ge(0))
    total_s: float = attrs.field(default=float("inf"), validator=attrs.validators.gt(0))
    on: tuple[type[Exception], ...] = (OSError, trio.TooSlowError)

    def pauses_s(self) -> tuple[float, ...]:
        """The pauses between the attempts, without jitter."""
        steps = range(self.attempts_max - 1)
        return tuple(min(self.first_s * self.factor**step, self.pause_max_s) for step in steps)


class Operation(Future[T]):
    """Work of an actor that runs beside its handlers. Cancelled with its last awaiter, unless *keep* was given (F5)."""

    __slots__ = (
        "_args",
        "_by_handler",
        "_context",
        "_function",
        "_io_task",
        "_keep",
        "_label",
        "_nested",
        "_pool",
        "_seen",
    )

    def __init__(
        self,
        pool: IoPool,
        function: Callable[..., Awaitable[T]],
        args: tuple[object, ...],
        keep: bool,
        nested: bool,
        label: object,
    ) -> None:
        self._world = pool.engine
        self._state = PENDING
        self._waiter = None
        self._pool: Final = pool
        self._function: Final = function
        self._args: Final = args
        self._keep: Final = keep
        self._nested: Final = nested
        self._label: Final = label
        self._by_handler = False
        self._seen = False
        self._io_task: _IoTask | None = None
        self._context: Final = copy_context()

    def _see(self) -> None:
        self._seen = True

    def lost_error(self) -> BaseException | None:
        """The error that nobody has looked at, if there is one."""
        return self._error() if self._state == ERROR and not self._seen else None

    def hand_over(self) -> None:
        """The handler that made this cannot see its end; whatever it ends by is the actor's."""
        self._by_handler = False
        error = self.lost_error()
        if error is not None:
            self._pool.owner.operation_failed(error)

    def _request_cancel(self) -> None:
        if self._io_task is None:  # not begun, and never to begin
            self._pool.withdraw(self)
            self._settle(CANCELLED, None)
            if self._pool.engine.signals.heard:
                self._pool.engine.signals.emit(self._pool.owner.path, Kind.RESOLVED, repr(self))
        else:
            self._io_task.cancelled = True
            self._io_task.scope.cancel()

    def _abandon(self, waiter: Waiter) -> bool:
        if self._keep or not self._alone(waiter):
            self._detach(waiter)
            return True
        self._request_cancel()
        return False

    def _end(self, state: int, result: object) -> None:
        """The work is over."""
        nobody = state == ERROR and not any(waiter.looks() for waiter in self._waiters())
        self._settle(state, result)
        if self._pool.engine.signals.heard:
            self._pool.engine.signals.emit(self._pool.owner.path, Kind.RESOLVED, repr(self))
        if nobody and not self._by_handler:
            self._lost(self._error())

    def _lost(self, error: BaseException) -> None:
        """Nobody looks at this error."""
        self._pool.owner.operation_failed(error)

    def _about(self) -> str:
        return f"{getattr(self._label, '__qualname__', self._label)} of {self._pool.owner.path}"


@final
class PeriodOperation(Operation[T]):
    """Work that belongs to an activation of a state, and ends with it (M7)."""

    __slots__ = ("_period",)

    _period: Period

    def end(self) -> None:
        """The activation is over."""
        if self._state == PENDING:
            self._request_cancel()

    def _lost(self, error: BaseException) -> None:
        self._period.failed(error)

    def _settle(self, state: int, result: object) -> None:
        super()._settle(state, result)
        self._period.done(self)


@final
class IoPool:
    """The operations of one actor: those that run, those that wait for a place, and the tasks parked for the next."""

    __slots__ = (
        "closed",
        "engine",
        "fresh",
        "identity",
        "io_max",
        "owner",
        "parked",
        "queue",
        "running",
        "stalled",
        "switching",
        "tasks",
    )

    def __init__(self, engine: Engine, owner: IoOwner, io_max: int) -> None:
        self.engine: Final = engine
        self.owner: Final = owner
        self.identity: Final[object] = owner  # the same, to be compared with owners of another kind
        self.io_max: Final = io_max
        self.running = 0
        self.tasks = 0
        self.queue: OrderedDict[Operation[Any], None] | None = None
        self.fresh: deque[Operation[Any]] | None = None
        self.parked: list[_IoTask] = []
        self.switching = False
        self.closed = False
        self.stalled: list[_IoTask] | None = None

    @enable_ki_protection
    def start(
        self,
        function: Callable[[*Ts], Awaitable[T]],
        args: tuple[*Ts],
        *,
        keep: bool = False,
        background: bool = False,
        counted: bool = True,
        label: object = None,
        period: Period | None = None,
    ) -> Operation[T]:
        """Start `function(*args)` beside the handlers, or queue it for a place. Not a checkpoint.

        One that is not *counted* needs no place: a timer must not wait for what it is to time out. It belongs to
        *period*; without one, to that of the task that calls.

        If the actor takes no more operations (E4) the future is cancelled from the start, and nothing is called.
        """
        task = current_task()
        holder = HOLDERS.get(task)
        if holder is None or (type(holder) is Worker and holder.is_visitor):
            holder = home_of(task)
        nested = not counted or (type(holder) is _IoTask and holder.pool is self)
        if period is None and holder is not None and not background:
            period = holder.period(self.identity)
        operation: Operation[T]
        if period is None:
            operation = Operation(self, function, args, keep, nested, label or function)
        else:
            operation = scoped = PeriodOperation(self, function, args, keep, nested, label or function)
            scoped._period = period
            period.add(scoped)
            if scoped._state != PENDING:  # that is over, so it was cancelled from the start
                return operation
        nursery = self.owner.io_nursery
        if nursery is None or self.closed:  # `closed`: the actor lives on, in another incarnation (E4)
            operation._settle(CANCELLED, None)
            return operation
        if type(holder) is Worker and period is None and not background and holder.turn.owner is self.identity:
            operation._by_handler = True
            holder.track(operation)
        if self.engine.signals.heard:
            self.engine.signals.emit(self.owner.path, Kind.USE, repr(operation))
        if nested or self.running < self.io_max:
            self._run(nursery, operation)
        else:
            if self.queue is None:
                self.queue = OrderedDict()
            self.queue[operation] = None
        return operation

    def withdraw(self, operation: Operation[Any]) -> None:
        """`operation` has not begun and is not wanted any more. One that has a place keeps it until a task finds it."""
        if self.queue:
            self.queue.pop(operation, None)

    @property
    def waiting(self) -> int:
        """How many operations wait for a place."""
        return len(self.queue) if self.queue else 0

    def _run(self, nursery: trio.Nursery, operation: Operation[Any]) -> None:
        """Give `operation` a place, and see that a task comes for it."""
        if not operation._nested:
            self.running += 1
        fresh = self.fresh
        if fresh is None:
            fresh = self.fresh = deque()
        fresh.append(operation)
        if self.parked:
            task = self.parked.pop().task
            task.context = operation._context
            reschedule(task)
        else:
            self.tasks += 1
            nursery.start_soon(_IoTask.run, self, name=f"{self.owner.path}: io")

    def take(self) -> Operation[Any] | None:
        """The operation that is to begin next, if there is one."""
        fresh = self.fresh
        while fresh:
            operation = fresh.popleft()
            if operation._state == PENDING:
                return operation
            self.release(operation)
        if self.queue and self.running < self.io_max:
            self.running += 1
            return self.queue.popitem(last=False)[0]
        return None

    def release(self, operation: Operation[Any]) -> None:
        """The place of `operation` is free."""
        if not operation._nested:
            self.running -= 1

    def retire_spares(self) -> None:
        """Let the parked tasks go."""
        parked, self.parked = self.parked, []
        for io_task in parked:
            io_task.retired = True
            reschedule(io_task.task)
        self.fresh = self.fresh or None

    def close(self) -> None:
        """The incarnation has ended: what never ran is cancelled, and nothing begins any more."""
        self.closed = True
        for operation in (*(self.fresh or ()), *(self.queue or ())):
            if operation._state == PENDING:
                operation._settle(CANCELLED, None)
        self.fresh = self.queue = None


@final
class _IoTask(Holder):
    """A Trio task that runs one operation after another. It never holds the turn (A17)."""

    __slots__ = ("cancelled", "operation", "pool", "request", "retired", "scope", "task")

    def __init__(self, pool: IoPool) -> None:
        self.pool: Final = pool
        self.task: Final = current_task()
        self.scope = trio.CancelScope()
        self.operation: Operation[Any] | None = None
        self.retired = False
        self.cancelled = False
        self.request = request(self._abort_pause)

    def works_for(self, owner: object) -> bool:
        """Whether that is its actor."""
        return self.pool.identity is owner

    def path(self) -> str:
        """Its actor's."""
        return self.pool.owner.path

    def period(self, owner: object) -> Period | None:
        """That of the operation that it runs: what an operation starts is part of it."""
        operation = self.operation
        return operation._period if isinstance(operation, PeriodOperation) and self.works_for(owner) else None

    def _abort_pause(self, _: RaiseCancel) -> Abort:
        if self not in self.pool.parked:
            return Abort.FAILED  # woken: there is an operation to look after
        self.pool.parked.remove(self)
        return Abort.SUCCEEDED

    @classmethod
    async def run(cls, pool: IoPool) -> None:
        """Run operations of `pool` until retired or cancelled."""
        io_task = cls(pool)
        HOLDERS[io_task.task] = io_task
        try:
            while not io_task.retired:
                with io_task.scope:
                    await io_task._run_operations()
                if io_task.cancelled:
                    io_task.cancelled = False
                    io_task.scope = trio.CancelScope()
        finally:
            del HOLDERS[io_task.task]
            pool.tasks -= 1

    async def _run_operations(self) -> None:
        """Run operations in one scope, until one has been cancelled or this task is retired."""
        pool = self.pool
        while True:
            if pool.switching:
                await self._stall()
                continue
            operation = pool.take()
            if operation is None:
                pool.parked.append(self)
                await again(self.request)
                if self.retired:
                    return
                continue
            if self.task.context is not operation._context and not same_values(copy_context(), operation._context):
                await self._enter(operation._context)
                if operation._state != PENDING:
                    pool.release(operation)
                    continue
            self.operation = operation
            operation._io_task = self
            try:
                value = await operation._function(*operation._args)
            except BaseException as error:
                self._raised(operation, error)
            else:
                self._over(operation, VALUE, value)
                del value
            del operation  # a parked task keeps nothing alive
            if self.cancelled:
                return

    async def _stall(self) -> None:
        """Wait until whoever is entering a context has done so, and begun."""
        stalled = self.pool.stalled = self.pool.stalled if self.pool.stalled is not None else []
        stalled.append(self)

        def abort(_: RaiseCancel) -> Abort:
            if self not in stalled:
                return Abort.FAILED  # woken: there is an operation to look after
            stalled.remove(self)
            return Abort.SUCCEEDED

        await park(abort)

    async def _enter(self, context: Context) -> None:
        """Go on in `context`, which takes a scheduling round; nobody begins before us meanwhile."""
        pool = self.pool
        pool.switching = True
        self.task.context = context.copy()
        await cancel_shielded_checkpoint()
        pool.switching = False
        stalled, pool.stalled = pool.stalled, None
        for other in stalled or ():
            reschedule(other.task)
        del stalled

    def _raised(self, operation: Operation[Any], error: BaseException) -> None:
        """The operation is over with what `error` holds besides cancellations; those go on."""
        cancelled, rest = split_cancelled(error)
        if rest is None:
            self._over(operation, CANCELLED, None)
        elif isinstance(rest, Exception):
            self._over(operation, ERROR, rest)
        else:  # KeyboardInterrupt and the like are nobody's outcome
            self._over(operation, CANCELLED, None)
            raise rest
        if cancelled is not None:
            raise cancelled

    @enable_ki_protection
    def _over(self, operation: Operation[Any], state: int, result: object) -> None:
        self.operation = None
        if not operation._nested:
            self.pool.running -= 1
        if state == VALUE and not self.pool.engine.signals.heard:
            operation._settle(state, result)
        else:
            operation._end(state, result)
