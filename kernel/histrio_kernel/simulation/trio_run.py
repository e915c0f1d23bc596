"""A Trio run whose every step somebody chooses. All that the simulator knows of Trio's inside is in this file.

Invariant: at every pass of Trio's loop at most one task is let out of its queue, and it is the one that was chosen.
"""

# Design note
# -----------
# Trio is not patched: in the public hook `Instrument.before_run` three objects of *this run* are replaced. Its queue of
# runnable tasks lets out one at a time; its I/O manager makes no system call, but asks what comes next; its deadlines
# break ties by order of registration instead of by address. Other runs, in other threads too, are untouched.
#
# What cannot be replaced for one run is the order in which a cancelled scope tells its tasks: they are in sets, which are
# ordered by address. So the class is wrapped while simulations run, and gives ordered sets to the runs that are ours.
#
# Collection of cycles runs finalizers at moments that depend on all memory of the process, so it is held during a run;
# a long one collects at fixed numbers of steps. Asynchronous generators that are left over at the end are closed by us,
# in the order in which they began, before Trio would do so in the order of their addresses.
#
# An error must never be raised into Trio's own loop: it would abandon the run. Whatever goes wrong here is noted, the
# program is cancelled, and what is left is unwound first in, first out (`_Ending`); the error is raised after the run.

from __future__ import annotations

import gc
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from heapq import heappush
from typing import Any, Final, Protocol, SupportsIndex, TypeVar, cast, final

import trio
from trio._core import _run, _thread_cache
from trio.lowlevel import Abort, Task

from histrio_kernel.simulation.errors import EscapedSimulation, SimUnsupportedTrio
from histrio_kernel.simulation.escapes import A_THREAD, escaped

__all__ = [
    "REMEDIES",
    "Chooser",
    "SimClock",
    "StepByStep",
    "deadline_owners",
    "first_deadline",
    "run_step_by_step",
    "stack_of",
]

T = TypeVar("T")

REMEDIES: Final = frozenset({"cancel order", "deadline order", "collection", "generators"})
"""What makes a run repeatable besides the choice of its steps. Tests switch each off, to see that it is needed."""

COLLECT_EVERY: Final = 65_536  # steps; a multiple of nothing in particular, but the same in every run


@final
class SimClock(trio.abc.Clock):
    """Time that moves only when somebody moves it. In seconds, from 0."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0

    def start_clock(self) -> None:
        """It needs no start."""

    def current_time(self) -> float:
        """What it reads."""
        return self.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """How far away that is."""
        return deadline - self.now


class Chooser(Protocol):
    """Whoever says what comes next. None of this may raise."""

    def next(self) -> None:
        """Do what comes next, or let one task out by `StepByStep.let_out`; called when Trio looks for events."""
        ...

    def forget(self, task: Task) -> None:
        """That task has ended."""
        ...


@final
class _Queue(deque[Task]):
    """Trio's queue of runnable tasks, which shows only the one that was chosen."""

    chosen: int = -1

    def __iter__(self) -> Iterator[Task]:
        return iter(()) if self.chosen < 0 else iter((self[self.chosen],))

    def clear(self) -> None:
        """Trio has taken what it was shown."""
        if self.chosen >= 0:
            del self[self.chosen]
            self.chosen = -1

    def all(self) -> list[Task]:
        """The tasks that can go on, in the order in which they became able to."""
        return list(super().__iter__())

    def _unknown(self, *_: object, **__: object) -> Any:
        raise SimUnsupportedTrio("Trio takes tasks out of its queue in a way that the simulator does not know")

    popleft = pop = copy = rotate = extend = extendleft = appendleft = insert = reverse = _unknown  # type: ignore[assignment]
    __copy__ = __reversed__ = __add__ = __iadd__ = __mul__ = __imul__ = _unknown  # type: ignore[assignment]


class _OrderedSet(dict[T, None]):
    """As much of a set as Trio uses, in the order of insertion."""

    __slots__ = ()

    def add(self, item: T) -> None:
        self[item] = None

    def remove(self, item: T) -> None:
        del self[item]

    def discard(self, item: T) -> None:
        self.pop(item, None)


class _Generators:
    """The asynchronous generators that are alive, in the order in which they began; as much of a WeakSet as Trio uses."""

    def __init__(self) -> None:
        self._refs: Final[dict[int, weakref.ref[Any]]] = {}

    def add(self, generator: object) -> None:
        key = id(generator)
        self._refs[key] = weakref.ref(generator, lambda _: self._refs.pop(key, None))

    def __iter__(self) -> Iterator[Any]:
        return iter([found for ref in list(self._refs.values()) if (found := ref()) is not None])


class _Deadlines(_run.Deadlines):
    """Equal deadlines expire in the order in which they were set."""

    __slots__ = ("_count",)

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        self._count = getattr(self, "_count", 0) + 1
        heappush(self._heap, (deadline, self._count, cancel_scope))
        self._active += 1


@final
class _NoIO:
    """Trio's I/O manager without I/O."""

    def __init__(self, steps: StepByStep, chooser: Chooser, runner: Any) -> None:
        self._steps: Final = steps
        self._next: Final = chooser.next
        self._entries: Final = runner.entry_queue
        self._instead_of: Final = runner.io_manager

    def get_events(self, timeout: float) -> tuple[()]:
        """Trio looks for events: somebody is asked what comes next."""
        steps, entries = self._steps, self._entries
        if steps.entry is not None and (entries.queue or entries.idempotent_queue):
            steps.wake_entry()
        steps.timeout = timeout
        self._next()
        return ()

    def process_events(self, events: object) -> None:
        """There are none."""

    def force_wakeup(self) -> None:
        """It never sleeps."""

    def notify_closing(self, fd: object) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        self._instead_of.close()

    def statistics(self) -> object:
        return self._instead_of.statistics()

    async def wait_readable(self, fd: object) -> None:
        await self._steps.wait_for(fd, "read")

    async def wait_writable(self, fd: object) -> None:
        await self._steps.wait_for(fd, "write")

    def __getattr__(self, name: str) -> object:
        raise EscapedSimulation(
            f"{name} waits for something of the operating system, and there is none in a simulation"
        )


class _Hooks(dict[str, None]):
    """Trio's table of instruments, of which we need one. Trio looks into its own six times a pass, and that is slow.

    Whoever attaches an instrument to a simulated run gets Trio's own back, with ours in it.
    """

    def __init__(self, runner: Any, exited: Callable[[Task], None]) -> None:
        super().__init__(task_exited=None)
        self._runner: Final = runner
        self._whole: Final = runner.instruments
        self.call: Final = lambda _, task: exited(task)

    def add_instrument(self, instrument: trio.abc.Instrument) -> None:
        self._runner.instruments = self._whole
        self._whole.add_instrument(instrument)

    def remove_instrument(self, instrument: trio.abc.Instrument) -> None:
        self._whole.remove_instrument(instrument)


@final
class StepByStep(trio.abc.Instrument):
    """Takes over one Trio run, from its first moment on.

    Attributes:
        runnable: the tasks that can go on now; `let_out` lets one of them.
    """

    def __init__(self, chooser: Chooser, clock: SimClock, without: frozenset[str]) -> None:
        assert without <= REMEDIES
        self._chooser: Final = chooser
        self.clock: Final = clock
        self.without: Final = without
        self.queue: Final[_Queue] = _Queue()
        self._runner: Any = None
        self.entry: Task | None = None
        """Trio's own task for calls from outside, while it waits."""
        self._generators = _Generators()
        self.deadlines: Any = None
        self.in_queue: Final = deque.__iter__
        self.steps = 0
        """How many tasks have been let out."""
        self.timeout = 0.0
        """How long Trio would sleep now; 0 if something is due, or somebody waits for all to be idle."""

    def before_run(self) -> None:
        """The one moment at which a run can be taken over."""
        self._runner = runner = _runner_of_this_run()
        runner.runq, runner.io_manager = self.queue, _NoIO(self, self._chooser, runner)
        if "deadline order" not in self.without:
            runner.deadlines = _Deadlines()
        self.deadlines = runner.deadlines
        runner.instruments = _Hooks(runner, self._chooser.forget)
        if "generators" not in self.without:
            runner.asyncgens.alive = self._generators
        _OURS.add(runner)

    def wake_entry(self) -> None:
        """Somebody has called from outside of all tasks (`TrioToken.run_sync_soon`)."""
        task, self.entry = self.entry, None
        self._runner.reschedule(task)

    # -- for the chooser -------------------------------------------------------------------------------------------------

    def runnable(self) -> list[Task]:
        """The tasks that can go on, in the order in which they became able to."""
        return self.queue.all()

    def __len__(self) -> int:
        """How many that are."""
        return len(self.queue)

    def let_out(self, index: int) -> Task:
        """The task at that place of `runnable` goes on now, and no other."""
        self.queue.chosen = index
        self.steps += 1
        if self.steps % COLLECT_EVERY == 0 and "collection" not in self.without:
            gc.collect()
        return self.queue[index]

    def next_deadline(self) -> float:
        """The first deadline of all; infinite if there is none."""
        return cast(float, self.deadlines.next_deadline())

    @property
    def somebody_waits_for_idle(self) -> bool:
        """Whether some task is in `wait_all_tasks_blocked`."""
        return bool(self._runner.waiting_for_idle)

    def tasks(self) -> list[Task]:
        """All tasks but Trio's own two, in the order in which they began."""
        runner = self._runner
        found = [task for task in runner.tasks if task is not runner.init_task and task is not self.entry]
        return sorted(found, key=lambda task: cast(int, task._counter))

    def is_main(self, task: Task) -> bool:
        """Whether it is the task of the program itself."""
        return task is self._runner.main_task or self._runner.main_task is None and task is not self._runner.init_task

    def unshield(self) -> None:
        """Let a cancellation through to whoever shields itself from it."""
        for task in self.tasks():
            status: Any = task._cancel_status
            while status is not None:
                if status._scope.shield:
                    status._scope.shield = False
                status = status.parent

    # -- for Trio --------------------------------------------------------------------------------------------------------

    async def wait_for(self, fd: object, what: str) -> None:
        """Only Trio's own queue of calls from outside may wait for a descriptor."""
        if fd is not self._runner.entry_queue.wakeup.wakeup_sock:
            raise EscapedSimulation(
                f"this waits to {what} from or to {fd!r}, which is real; use the driver's net: `self.io.net`"
            )
        self.entry = trio.lowlevel.current_task()

        def abort(_: object) -> Abort:
            self.entry = None
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def close_generators(self) -> None:
        """End the asynchronous generators that are left over, in the order in which they began."""
        if "generators" in self.without:
            return
        while left := list(self._generators):
            for generator in left:
                with trio.CancelScope(shield=True) as scope:
                    scope.cancel()
                    await generator.aclose()
            self._generators._refs.clear()


def _runner_of_this_run() -> Any:
    """Trio's object for the present run, if it is as we know it."""
    runner: Any = _run.GLOBAL_RUN_CONTEXT.runner
    known = {"runq", "io_manager", "deadlines", "asyncgens", "entry_queue", "waiting_for_idle", "tasks"}
    missing = [name for name in sorted(known) if not hasattr(runner, name)]
    if missing or runner.runq or not isinstance(runner.runq, deque):
        raise SimUnsupportedTrio(
            f"this Trio ({trio.__version__}) keeps its run in another way: {', '.join(missing) or 'runq'}"
        )
    return runner


# -- the order in which a cancelled scope tells its tasks ---------------------------------------------------------------

_OURS: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_WITHOUT_ORDER: Final[threading.local] = threading.local()


def _ordered_post_init(status: Any) -> None:
    """Instead of `CancelStatus.__attrs_post_init__`."""
    if getattr(_run.GLOBAL_RUN_CONTEXT, "runner", None) in _OURS and not getattr(_WITHOUT_ORDER, "now", False):
        status._children, status._tasks = _OrderedSet(), _OrderedSet()
    _POST_INIT(status)


def _no_thread(cache: Any, *args: Any, **named: Any) -> None:
    """Instead of `ThreadCache.start_thread_soon`: an idle thread is used again without Python's telling."""
    error = escaped(*A_THREAD)
    if error is not None:
        raise error
    _START_THREAD(cache, *args, **named)


_START_THREAD: Final[Any] = _thread_cache.ThreadCache.start_thread_soon
_POST_INIT: Final[Any] = _run.CancelStatus.__attrs_post_init__


@contextmanager
def _taken_over(without: frozenset[str]) -> Generator[None]:
    """What a simulated run needs around it, and nobody afterwards."""
    _WITHOUT_ORDER.now = "cancel order" in without
    if _run.CancelStatus.__attrs_post_init__ is not _ordered_post_init:
        _run.CancelStatus.__attrs_post_init__ = _ordered_post_init  # type: ignore[method-assign]
        _thread_cache.ThreadCache.start_thread_soon = _no_thread  # type: ignore[method-assign]
    collects = gc.isenabled()
    if "collection" not in without:
        gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def run_step_by_step(steps: StepByStep, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` in a Trio run of its own, which *steps* takes over.

    Raises:
        SimUnsupportedTrio: this Trio cannot be taken over.
        BaseException: whatever *main* raises.
    """
    with _taken_over(steps.without):
        return trio.run(main, clock=steps.clock, instruments=[steps])


def stack_of(task: Task) -> list[str]:
    """Where a task waits: its frames, outermost first, as `file:line in function`."""
    lines = [
        f"{frame.f_code.co_filename}:{number} in {frame.f_code.co_name}" for frame, number in task.iter_await_frames()
    ]
    return lines


def deadline_owners(steps: StepByStep) -> list[Task]:
    """The tasks that some deadline still belongs to."""
    found: dict[Task, None] = {}
    for _, _, scope in steps.deadlines._heap:
        found.update(dict.fromkeys(_inside(scope)))
    return list(found)


def first_deadline(steps: StepByStep, counts: Callable[[Task], bool]) -> float:
    """The first deadline that belongs to a task which counts; infinite if none does."""
    return min(
        (
            deadline
            for deadline, _, scope in steps.deadlines._heap
            if scope._registered_deadline == deadline and any(map(counts, _inside(scope)))
        ),
        default=float("inf"),
    )


def _inside(scope: Any) -> Iterator[Task]:
    """The tasks within a cancel scope."""
    waiting = [] if scope._cancel_status is None else [scope._cancel_status]
    while waiting:
        status = waiting.pop()
        yield from status._tasks
        waiting.extend(status._children)
