"""Whoever keeps Trio's loop from going on, by computing or by a call that blocks, is named while it still does.

While one task holds the loop, no other task of the program runs, so a task cannot be who notices: a thread does. It
lives only while some turn is awake, so an idle program has no such thread, and it never keeps a process alive.
"""

# Design note
# -----------
# Two times in `held_loop_s` the thread looks at the frames of the loop's thread. If the loop waits for something, that
# is all. If it is in a task, the thread posts a *beat* (`run_sync_soon`), which the loop runs as soon as it goes on. A
# task that is seen at every look for `held_loop_s`, while the beat has not been run, holds the loop. So neither a
# message nor a step of Trio costs anything, and a loop that waits is never woken. (A Trio `Instrument` would be called
# at every step; a task that beats would be a timer that never rests.)
#
# The loop waits, for a moment, until a new thread runs. Otherwise a loop that is busy with very short tasks gives the
# interpreter's lock away and takes it back so often, once in each round, that the thread is woken each time and does
# not get it, for a tenth of a second: half of the speed is lost to that.
#
# A C function that keeps the interpreter's lock (a regular expression gone wrong) stops the thread too. The thread then
# comes late, and at a moment when the loop is still at that very line. A thread is also late because the machine is
# busy or the process was stopped, which is nobody's fault in here: a late look counts as much of the time as the
# process has computed, and nothing if that is less than half of it.
#
# This is about real seconds, so it is off where a second of Trio's clock is none: with a `MockClock`, in a simulation.
# Nothing that it does could move or hold such a clock then.
#
# Who it is: the outermost frame above that of Trio's loop belongs to the coroutine of the running task. Only frames and
# public attributes of tasks are read. No frame is kept from look to look, or it would keep messages alive.

from __future__ import annotations

import inspect
import logging
import math
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final, final

import attrs
import outcome
import trio

from histrio_kernel.engine import Engine
from histrio_kernel.errors import HeldLoop, told
from histrio_kernel.futures import HOLDERS
from histrio_kernel.turn import Worker

__all__ = ["LoopWatchdog"]

_Place = tuple[FrameType, int]  # with its line at the moment of the look

_log: Final = logging.getLogger("histrio")

_OURS: Final = frozenset({"histrio", "histrio_kernel", "trio", "outcome"})
_STDLIB: Final = sysconfig.get_path("stdlib")
_BEGIN_S: Final = 0.01
_ADVICE: Final = (
    "Nothing else of this program runs meanwhile. Let a thread do it, `await self.io.thread(...)`, or a process,"
    " `await self.io.process(...)`; or let others run now and then, `await trio.lowlevel.checkpoint()`"
)


@attrs.define(eq=False)
class _Suspicion:
    """The loop was in a task at a look, and has not run our beat since."""

    frame: int
    """Which task: the identity of its outermost frame."""
    since: float
    seconds: float
    over_at: float | None = None
    is_named: bool = False

    def over(self) -> None:
        """The beat: the loop goes on."""
        self.over_at = time.monotonic()


@final
class LoopWatchdog:
    """Reports what holds the loop of this Trio run for `held_loop_s`, while an actor of the system is awake.

    Made in the task that opens the system.

    Raises:
        ValueError: *held_loop_s* is no positive number.
    """

    def __init__(self, engine: Engine, held_loop_s: float) -> None:
        if not held_loop_s > 0:
            raise ValueError(
                f"held_loop_s={held_loop_s} is no time to wait before a report: give a positive number of seconds,"
                " or math.inf to have none"
            )
        self._engine: Final = engine
        self._held_loop_s: Final = held_loop_s
        self._period_s: Final = min(held_loop_s / 2, threading.TIMEOUT_MAX)
        self._loop: Final = _Loop() if held_loop_s < math.inf and _is_real(trio.lowlevel.current_clock()) else None
        self._lock: Final = threading.Lock()  # for _looks
        self._begun: Final = threading.Semaphore(0)
        self._looks = False
        self._closed: Final = threading.Event()
        self._looked_at = self._computed = 0.0
        self._suspicion: _Suspicion | None = None
        self._reports: list[HeldLoop] = []
        self._news = trio.Event()

    # -- in the loop -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Deliver reports until cancelled; then the thread ends, too."""
        if self._loop is None:
            return
        try:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                self._deliver()
        finally:
            self._closed.set()
            self._deliver()

    def wake(self) -> None:
        """A turn has been taken where all were free: there is something to look after. Not a checkpoint."""
        if self._loop is None or self._closed.is_set():
            return
        with self._lock:
            if self._looks:
                return
            self._looks = True
        self._begin()
        try:
            trio.lowlevel.start_thread_soon(self._watch, self._ended)
        except RuntimeError as error:  # no thread to be had: the actors go on without
            self._ended(outcome.Error(error))
        else:
            self._begun.acquire(
                timeout=_BEGIN_S
            )  # see the design note; if it comes too late, the next one is not waited for

    def _deliver(self) -> None:
        reports, self._reports = self._reports, []
        for report in reports:
            self._engine.report(report)

    def _add(self, suspicion: _Suspicion, write: Callable[[float], HeldLoop]) -> None:
        """The loop goes on after a hold: now it is known how long it was."""
        assert suspicion.over_at is not None, "beats are run in the order in which they were posted"
        self._reports.append(write(suspicion.over_at - suspicion.since))
        self._news.set()

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._looked_at, self._computed = time.monotonic(), time.process_time()
        self._suspicion = None

    def _watch(self) -> None:
        """Look from time to time; return when there is nothing to look after, or the system is closed."""
        self._begun.release()
        # Named here and not by Trio: that is a call that gives the interpreter's lock away before the first look.
        thread = threading.current_thread()
        before, thread.name = thread.name, f"histrio {self._engine.name}: loop watchdog"
        try:
            while not self._closed.wait(max(0, self._looked_at + self._period_s - time.monotonic())):
                with self._lock:
                    if not self._engine.awake:
                        self._looks = False
                        return
                self._look()
        except trio.RunFinishedError:
            pass
        finally:
            thread.name = before

    def _ended(self, result: outcome.Outcome[None]) -> None:
        if isinstance(result, outcome.Error):
            self._looks = False
            _log.warning("nobody watches the loop of system %r: %s", self._engine.name, told(result.error))

    def _look(self) -> None:
        """Look once at what the loop does."""
        assert self._loop is not None
        seconds, is_late = self._passed()
        places = self._loop.places()
        if not places:
            self._suspicion = None  # it waits for something to happen
            return
        frame, suspicion = id(places[-1][0]), self._suspicion
        if suspicion is None or suspicion.over_at is not None or suspicion.frame != frame:
            suspicion = self._suspect(frame, seconds if is_late else 0)
        else:
            suspicion.seconds += seconds
        if suspicion.seconds >= self._held_loop_s and not suspicion.is_named:
            suspicion.is_named = True
            self._name(suspicion, places)

    def _passed(self) -> tuple[float, bool]:
        """The seconds since the last look that count, and whether this look is late."""
        now, computed = time.monotonic(), time.process_time()
        passed, work = now - self._looked_at, computed - self._computed
        self._looked_at, self._computed = now, computed
        is_late = passed >= 2 * self._period_s
        if is_late:
            return (min(passed, work) if work > passed / 2 else 0.0), True
        return passed, False

    def _suspect(self, frame: int, seconds: float) -> _Suspicion:
        """Begin to count; what made this look late was probably what is seen now."""
        assert self._loop is not None
        self._suspicion = suspicion = _Suspicion(frame, self._looked_at - seconds, seconds)
        self._loop.token.run_sync_soon(suspicion.over)
        return suspicion

    def _name(self, suspicion: _Suspicion, places: list[_Place]) -> None:
        """Say who it is: at once in the log, for it may never end; and in the loop, when it goes on."""
        assert self._loop is not None
        task = self._loop.task_of(places[-1][0])
        worker = None if task is None else _worker_of(task)
        if worker is not None and worker.turn.engine is not self._engine:
            return  # the other system has a watchdog of its own
        path = None if worker is None else worker.turn.inbox.path
        who = path or ("somebody" if task is None else f"task {task.name!r}, which is no actor's")
        name, where, stack = _describe(places)

        def write(seconds: float, still: str = "") -> HeldLoop:
            text = f"{who}: {name} has held the event loop for {seconds:.1f} s{still}, at {where}. {_ADVICE}"
            return HeldLoop(text, path, seconds, stack)

        if suspicion.over_at is None:
            _log.warning("HeldLoop: %s. Its stack:\n%s", write(suspicion.seconds, " and still does"), stack)
        self._loop.token.run_sync_soon(self._add, suspicion, write)


# -- what can be seen of the loop ------------------------------------------------------------------------------------


@final
class _Loop:
    """A loop of Trio as another thread sees it. Made in one of its tasks."""

    def __init__(self) -> None:
        self.token: Final = trio.lowlevel.current_trio_token()
        self._root: Final = trio.lowlevel.current_root_task()
        self._thread: Final = threading.get_ident()
        ours = _frame_of(trio.lowlevel.current_task())
        self._frame: Final = None if ours is None else id(ours.f_back)  # the loop's own, as long as it runs

    def places(self) -> list[_Place]:
        """Where the task is that the loop is in, innermost first; nowhere if it is in no task."""
        places: list[_Place] = []
        frame = sys._current_frames().get(self._thread)
        while frame is not None and id(frame) != self._frame:
            places.append((frame, _line_of(frame)))
            frame = frame.f_back
        in_task = frame is not None and places and places[-1][0].f_code.co_flags & inspect.CO_COROUTINE
        return places if in_task else []

    def task_of(self, outermost: FrameType) -> trio.lowlevel.Task | None:
        """The task whose coroutine's frame that is."""
        return next((task for task in self._tasks() if _frame_of(task) is outermost), None)

    def _tasks(self) -> Iterator[trio.lowlevel.Task]:
        tasks = [] if self._root is None else [self._root]
        for task in tasks:  # which grows
            yield task
            for nursery in task.child_nurseries:
                tasks.extend(nursery.child_tasks)


def _frame_of(task: trio.lowlevel.Task) -> FrameType | None:
    frame = getattr(task.coro, "cr_frame", None)
    return frame if isinstance(frame, FrameType) else None


def _worker_of(task: trio.lowlevel.Task) -> Worker | None:
    """A worker of the actor that a task belongs to: of its handler, or of the actor whose operation it is."""
    current: trio.lowlevel.Task | None = task
    while current is not None:
        holder = HOLDERS.get(current)
        if isinstance(holder, Worker):
            return holder
        nursery = current.parent_nursery
        current = None if nursery is None else nursery.parent_task
    return None


def _is_real(clock: trio.abc.Clock) -> bool:
    """Whether it is Trio's own clock, of which a second lasts a second. Any other is taken for a virtual one.

    It is not asked: a virtual clock may take a question for the sign that nothing else can run, and jump. Nor is
    `MockClock` imported: `trio.testing` brings pytest along, where there is one.
    """
    module = type(clock).__module__
    return module.partition(".")[0] == "trio" and not module.startswith("trio.testing")


def _line_of(frame: FrameType) -> int:
    """Its present line; the frame may have ended meanwhile."""
    line: int | None = frame.f_lineno
    return frame.f_code.co_firstlineno if line is None else line


def _is_ours(place: _Place) -> bool:
    return str(place[0].f_globals.get("__name__")).partition(".")[0] in _OURS


def _is_installed(place: _Place) -> bool:
    name = place[0].f_code.co_filename
    return name.startswith(_STDLIB) or any(folder in name for folder in ("site-packages", "dist-packages", "<frozen "))


def _describe(places: list[_Place]) -> tuple[str, str, str]:
    """The name of what the user called, the innermost line of the user's code in it, and the stack from there.

    An application that is itself installed has no code outside of the installed packages; then all but ours is its.
    """
    others = [place for place in places if not _is_ours(place)] or places
    users = [place for place in others if not _is_installed(place)] or others
    first, (frame, line) = users[-1], users[0]
    stack = reversed(places[: places.index(first) + 1])
    text = "".join(traceback.StackSummary.extract(stack).format())
    return first[0].f_code.co_qualname, f"{frame.f_code.co_filename}:{line}", text
