"""A Trio run whose every step somebody chooses. What the simulator knows of Trio's inside is in this file and its parts.

Invariant: at every pass of Trio's loop at most one task is let out of its queue, and it is the one that was chosen.
"""

# Design note
# -----------
# Trio is not patched: in the public hook `Instrument.before_run` three objects of *this run* are replaced. Its queue of
# runnable tasks lets out one at a time; its I/O manager makes no system call, but asks what comes next; its deadlines
# break ties by order of registration instead of by address. Other runs, in other threads too, are untouched.
#
# What cannot be replaced for one run is the order in which a cancelled scope tells its tasks: they are in sets, which are
# ordered by address. So while simulations run Trio finds under the name of the class a function that gives ordered sets
# to the runs that are ours. (The class itself is not changed: Python 3.12 stops caching for a class that often is.)
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
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from traceback import walk_stack
from typing import Any, Final, Protocol, TypeVar, final

import trio
from outcome import Error, Value
from trio._core import _run, _thread_cache
from trio.lowlevel import Abort, Task

from histrio_kernel.simulation.errors import EscapedSimulation, SimulationError, SimUnsupportedTrio
from histrio_kernel.simulation.escapes import A_PROCESS, A_THREAD, escaped
from histrio_kernel.simulation.shared_change import SharedChange, swapped
from histrio_kernel.simulation.trio_parts import Generators, Hooks, OrderedSet, Queue, SimClock, TieBreaking

__all__ = [
    "REMEDIES",
    "Chooser",
    "SimClock",
    "StepByStep",
    "deadline_owners",
    "first_deadline",
    "no_run_is_here",
    "run_step_by_step",
    "unsupported",
]

T = TypeVar("T")

REMEDIES: Final = frozenset({"cancel order", "collection", "deadline order", "event order", "generators", "idle order"})
"""What makes a run repeatable besides the choice of its steps. Tests switch each off, to see that it is needed."""

_CLOSINGS_MAX: Final = 100  # times that a task of an abandoned run may refuse to end
COLLECT_EVERY: Final = 65_536  # steps; a multiple of nothing in particular, but the same in every run


class Chooser(Protocol):
    """Whoever says what comes next. None of this may raise."""

    def next(self) -> None:
        """Do what comes next, or let one task out by `StepByStep.let_out`; called when Trio looks for events."""
        ...

    def forget(self, task: Task) -> None:
        """That task has ended."""
        ...


@final
class _NoIO:
    """Trio's I/O manager without I/O."""

    def __init__(self, steps: StepByStep, chooser: Chooser, runner: Any) -> None:
        self.steps: Final = steps
        self.last_word: BaseException | None = None
        self._next: Final = chooser.next
        self._entries: Final = runner.entry_queue

    def get_events(self, timeout: float) -> tuple[()]:
        """Trio looks for events: somebody is asked what comes next."""
        steps, entries = self.steps, self._entries
        if steps.queue.chosen >= 0:
            steps.refuse("a task that was let out has not been taken")
            return ()
        if steps.entry is not None and (entries.queue or entries.idempotent_queue):
            steps.wake_entry()
        steps.timeout = timeout
        self._next()
        return ()

    def process_events(self, events: object) -> None:
        """There are none. If nothing helps any more, this is where an error ends Trio's loop."""
        if self.last_word is not None:
            raise self.last_word

    def force_wakeup(self) -> None:
        """It never sleeps."""

    def notify_closing(self, fd: object) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        """It holds nothing."""

    def statistics(self) -> object:
        """Those of Trio's: nobody waits for anything."""
        return _statistics_of_no_io()

    async def wait_readable(self, fd: object) -> None:
        """For Trio's own queue of calls from outside, and for nobody else."""
        await self.steps.wait_for(fd, "read from")

    async def wait_writable(self, fd: object) -> None:
        """For nobody."""
        await self.steps.wait_for(fd, "write to")

    def __getattr__(self, name: str) -> object:
        raise _real_io(f"{name}, which waits for the operating system,")


def _real_io(what: str) -> EscapedSimulation:
    """The error for a wait that only the operating system could end."""
    error = escaped(what, "the driver: self.io.net, self.io.thread, self.io.process")
    return error or EscapedSimulation(f"{what} outside of the program of a simulation")


@final
class StepByStep(trio.abc.Instrument):
    """Takes over one Trio run, from its first moment on.

    Attributes:
        queue: the tasks that can go on now; `let_out` lets one of them.
    """

    def __init__(self, chooser: Chooser, clock: SimClock, without: frozenset[str]) -> None:
        assert without <= REMEDIES
        self._chooser: Final = chooser
        self.clock: Final = clock
        self.without: Final = without
        self.queue: Final[Queue] = Queue()
        self._runner: Any = None
        self.refused: BaseException | None = None
        """Why this Trio cannot be taken over."""
        self.entry: Task | None = None
        """Trio's own task for calls from outside, while it waits."""
        self._generators = Generators()
        self.next_deadline: Callable[[], float] = lambda: _NEVER
        """Gives the first deadline of all; infinite if there is none."""
        self.in_queue: Final[Callable[[Queue], Iterable[Task]]] = deque[Task].__iter__
        self.steps = 0
        """How many tasks have been let out."""
        self.timeout = 0.0
        """How long Trio would sleep now; 0 if something is due, or somebody waits for all to be idle."""

    def __dir__(self) -> list[str]:
        """The hooks. Trio goes through all names of an instrument, which took a tenth of a small run."""
        return ["before_run", "task_exited"]

    def before_run(self) -> None:
        """The one moment at which a run can be taken over. Trio would only log what this raised."""
        _HERE.begins = False
        try:
            self._runner = runner = _runner_of_this_run()
        except SimUnsupportedTrio as error:
            self.refused = error
            _TRIO.GLOBAL_RUN_CONTEXT.runner.io_manager = _TRIO.TheIOManager()
            return
        runner.runq, runner.io_manager = self.queue, _NoIO(self, self._chooser, runner)
        if "deadline order" not in self.without:
            runner.deadlines = TieBreaking()
        self.next_deadline = runner.deadlines.next_deadline
        runner.instruments = Hooks(runner, self._chooser.forget)
        if "generators" not in self.without:
            runner.asyncgens.alive = self._generators

    def task_exited(self, task: Task) -> None:
        """For those who have attached an instrument of their own."""
        self._chooser.forget(task)

    def refuse(self, why: str) -> None:
        """This Trio does not do what it is told; its run is abandoned."""
        self.refused = SimUnsupportedTrio(why)
        self.give_up(self.refused)

    def give_up(self, error: BaseException) -> None:
        """End the run without its unwinding, by an error within Trio's own loop: when nothing else is left to try."""
        self._runner.io_manager.last_word = error

    def wake_entry(self) -> None:
        """Somebody has called from outside of all tasks (`TrioToken.run_sync_soon`)."""
        task, self.entry = self.entry, None
        self._runner.reschedule(task)

    # -- for the chooser -------------------------------------------------------------------------------------------------

    def woken_together(self) -> list[Task]:
        """Who can go on, in the order in which they began: Trio wakes those who wait until all are blocked by their addresses."""
        if "idle order" not in self.without:
            self.queue.sort()
        return self.queue.all()

    def __len__(self) -> int:
        """How many that are."""
        return len(self.queue)

    def let_out(self, index: int) -> Task:
        """The task at that place of the queue goes on now, and no other."""
        self.queue.chosen = index
        self.steps += 1
        if self.steps % COLLECT_EVERY == 0 and "collection" not in self.without:
            gc.collect()
        return self.queue[index]

    @property
    def somebody_waits_for_idle(self) -> bool:
        """Whether some task is in `wait_all_tasks_blocked`."""
        return bool(self._runner.waiting_for_idle)

    def tasks(self) -> list[Task]:
        """All tasks but Trio's own two, in the order in which they began."""
        found: list[Task] = [task for task in self._runner.tasks if not self.is_trios(task)]
        return sorted(found, key=lambda task: task._counter)

    def is_main(self, task: Task) -> bool:
        """Whether it is the task of the program itself."""
        return task is self._runner.main_task

    def is_trios(self, task: Task) -> bool:
        """Whether it is one of Trio's own two: the one that began the program, and the one for calls from outside."""
        return task is self._runner.init_task or getattr(task.coro, "cr_code", None) is _ENTRY_CODE

    def heap(self) -> list[tuple[float, int, trio.CancelScope]]:
        """Trio's deadlines, some of which do not hold any more."""
        heap: list[tuple[float, int, trio.CancelScope]] = self._runner.deadlines._heap
        return heap

    # -- for the end of a run that has failed ----------------------------------------------------------------------------

    def unshield(self) -> None:
        """Let a cancellation through to whoever shields itself from it."""
        for task in self.tasks():
            status: Any = task._cancel_status
            while status is not None:
                status._scope.shield = False
                status = status.parent

    def throw(self, error: BaseException) -> None:
        """Raise this in every task that waits for no other, wherever it waits: in those that no cancellation reaches."""
        for task in self.tasks():
            if any(nursery.child_tasks for nursery in task.child_nurseries):
                continue
            if task._next_send_fn is None:
                self._runner.reschedule(task, Error(error))
            elif isinstance(task._next_send, Value | Error):  # if not, it has not begun
                task._next_send = Error(error)

    def abandon(self) -> None:
        """Trio has given its run up: see that what it leaves behind ends now, and in silence."""
        tasks: list[Task] = sorted(self._runner.tasks, key=lambda task: -task._counter)
        for task in tasks:
            for nursery in task.child_nurseries:
                nursery._children.clear()
        for task in tasks:
            for _ in range(_CLOSINGS_MAX):
                with suppress(BaseException):
                    task.coro.close()
                    break

    # -- for Trio --------------------------------------------------------------------------------------------------------

    async def wait_for(self, fd: object, what: str) -> None:
        """Only Trio's own queue of calls from outside may wait for a descriptor."""
        if fd is not self._runner.entry_queue.wakeup.wakeup_sock:
            raise _real_io(f"a wait to {what} {fd!r}, which is real,")
        self.entry = trio.lowlevel.current_task()

        def abort(_: object) -> Abort:
            self.entry = None
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    async def close_generators(self) -> None:
        """End the asynchronous generators that are left over, in the order in which they began."""
        if "generators" in self.without:
            return
        ending = self._runner.asyncgens
        while left := self._generators.take():
            for generator in left:
                await ending._finalize_one(generator, generator.__qualname__)


_NEVER: Final = float("inf")
_TRIO: Final[Any] = _run
_ENTRY_CODE: Final[object] = _TRIO.EntryQueue.task.__code__
_KNOWN: Final = (
    "asyncgens",
    "deadlines",
    "entry_queue",
    "init_task",
    "io_manager",
    "main_task",
    "tasks",
    "waiting_for_idle",
)


def _runner_of_this_run() -> Any:
    """Trio's object for the present run.

    Raises:
        SimUnsupportedTrio: it is not as we know it.
    """
    runner: Any = _TRIO.GLOBAL_RUN_CONTEXT.runner
    missing = [name for name in _KNOWN if not hasattr(runner, name)]
    queue: object = getattr(runner, "runq", None)
    if missing or queue or not isinstance(queue, deque):
        raise SimUnsupportedTrio(f"Trio keeps its run in another way: {', '.join(missing) or 'runq'}")
    return runner


# -- what is changed in the whole process while simulations run ----------------------------------------------------------


def _in_order(real: Callable[..., Any]) -> Callable[..., Any]:
    """Instead of `CancelStatus`: the order in which a cancelled scope tells its tasks."""

    def status(*args: object, **named: object) -> Any:
        made = real(*args, **named)
        io: object = _TRIO.GLOBAL_RUN_CONTEXT.runner.io_manager
        if type(io) is _NoIO and "cancel order" not in io.steps.without:
            made._children, made._tasks = OrderedSet(), OrderedSet()
        return made

    return status


def _first_come(real: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Instead of `Event.wait`: those who wait for an event are woken in the order in which they came."""

    async def wait(self: Any) -> None:
        runner: Any = getattr(_TRIO.GLOBAL_RUN_CONTEXT, "runner", None)
        io: object = None if runner is None else runner.io_manager
        waiting: Any = self._tasks
        if type(io) is _NoIO and not isinstance(waiting, OrderedSet) and "event order" not in io.steps.without:
            self._tasks = OrderedSet[Task](dict.fromkeys(waiting))
        await real(self)

    return wait


def _without_io(real: Callable[[], Any]) -> Callable[[], Any]:
    """Instead of Trio's I/O manager, which opens three descriptors: none for a run that is to be simulated."""

    def make() -> Any:
        return None if getattr(_HERE, "begins", False) else real()

    return make


@cache
def _statistics_of_no_io() -> object:
    """Asked for before a run begins: in it, a descriptor would be an escape."""
    real = _TRIO.TheIOManager()
    try:
        return real.statistics()
    finally:
        real.close()


class _NoThreads:
    """Instead of Trio's cache of threads: an idle one is used again without Python's telling."""

    def __init__(self, real: Any) -> None:
        self._real: Final = real

    def start_thread_soon(self, *args: object, **named: object) -> None:
        """Not within a simulation. Trio begins its processes in a thread, too."""
        begun = {frame.f_globals.get("__name__") for frame, _ in walk_stack(None)}
        error = escaped(*(A_PROCESS if "trio._subprocess" in begun else A_THREAD))
        if error is not None:
            raise error
        self._real.start_thread_soon(*args, **named)

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def _hold_collection() -> Callable[[], None]:
    if not gc.isenabled():
        return lambda: None
    gc.disable()
    return gc.enable


_HERE: Final = threading.local()
_PARTS: Final = swapped(
    (_TRIO, _run.CancelStatus.__name__, _in_order),
    (_TRIO, "TheIOManager", _without_io),
    (_thread_cache, "THREAD_CACHE", _NoThreads),
    (trio.Event, trio.Event.wait.__name__, _first_come),
)
_COLLECTION: Final = SharedChange(_hold_collection)
_NOTHING: Final = SharedChange(lambda: lambda: None)


def no_run_is_here() -> None:
    """One cannot begin inside of another.

    Raises:
        SimulationError: this is called from within a Trio run.
    """
    if trio.lowlevel.in_trio_run():
        raise SimulationError(
            "a simulation is a Trio run of its own and cannot begin inside of another. Call it from a plain function; "
            "inside of a simulation its world has all there is: `world.node`, `world.spawn`"
        )


def run_step_by_step(steps: StepByStep, main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` in a Trio run of its own, which *steps* takes over.

    Raises:
        SimUnsupportedTrio: this Trio cannot be taken over.
        BaseException: whatever *main* raises.
    """

    async def begin() -> T:
        if steps.refused is not None:
            raise steps.refused
        return await main()

    collection = _NOTHING if "collection" in steps.without else _COLLECTION
    _statistics_of_no_io()
    with _PARTS, collection:
        _HERE.begins = True
        try:
            return trio.run(begin, clock=steps.clock, instruments=[steps])
        except trio.TrioInternalError as error:
            steps.abandon()
            if not isinstance(error.__cause__, SimUnsupportedTrio):
                raise
            raise SimUnsupportedTrio(unsupported(error)) from error
        finally:
            _HERE.begins = False


def unsupported(error: BaseException) -> str:
    """What is said of a Trio that cannot be taken over: why, through all causes."""
    told: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        told.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__ or cause.__context__
    return (
        f"the simulator cannot choose what this Trio ({trio.__version__}) does next: {'; because of '.join(told)}. Use a "
        "version that it knows (0.30 to 0.35), or a newer Histrio"
    )


# -- what can be known of a run ------------------------------------------------------------------------------------------


def deadline_owners(steps: StepByStep) -> list[Task]:
    """The tasks that some deadline still belongs to."""
    found: dict[Task, None] = {}
    for _, _, scope in steps.heap():
        found.update(dict.fromkeys(_inside(scope)))
    return list(found)


def first_deadline(steps: StepByStep, counts: Callable[[Task], bool]) -> float:
    """The first deadline that belongs to a task which counts; infinite if none does."""
    return min(
        (
            deadline
            for deadline, _, scope in steps.heap()
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
