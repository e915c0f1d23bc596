"""One simulated run: a program in virtual time, every step of which a walk chooses.

Invariant: between two steps nothing happens. What the program asks of its world is done at a step of its own.
"""

# Design note
# -----------
# The clock may move while tasks can still go on: a machine may be slow, and a timeout that races with work would never
# be seen else. It stands last among the options, so first in, first out moves it only when nothing else is left.
#
# When a run has failed it is not over: its tasks have to unwind, or Trio would abandon them. From then on nobody chooses
# any more (`_ending`): first in, first out, without a fault, and the trace is closed. Whoever shields itself for ever is
# unshielded in the end.

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Collection, Sequence
from random import Random
from typing import Final, TypeVar, final

import attrs
import trio
from outcome import Error, Outcome, capture
from trio.lowlevel import Abort, Task

from histrio_kernel.moments import use_end_of_moment
from histrio_kernel.simulation.choices import CLOCK, Walk
from histrio_kernel.simulation.errors import Deadlock, LeakedTasks, Unsettled, WalkFailed
from histrio_kernel.simulation.escapes import no_escape
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.telling import SERVICES, busiest, ends_all, is_histrios, is_service, place_of
from histrio_kernel.simulation.trace import DECISION, WAYS_MAX, name_entry, time_entry
from histrio_kernel.simulation.trio_canary import check_trio
from histrio_kernel.simulation.trio_idle import wait_all_tasks_blocked
from histrio_kernel.simulation.trio_run import (
    SimClock,
    StepByStep,
    deadline_owners,
    first_deadline,
    no_run_is_here,
    run_step_by_step,
)

__all__ = ["STEPS_MAX", "Completion", "Simulation"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

STEPS_MAX: Final = 1_000_000
"""Steps of one run; then it is `Unsettled`."""
_ENDING_MAX: Final = 20_000  # steps in which a run must unwind, besides as many as it had
_INSIST_MAX: Final = 1_000  # times that whoever shields itself is unshielded; after that an error is thrown at it
_IDLE_MOVES_MAX: Final = 8
"""So often the clock moves for services alone; then nothing else will ever happen."""


@final
@attrs.define(eq=False)
class Completion:
    """Something that was asked of the simulated world and is done at a step of its own."""

    identity: int
    label: str
    call: Callable[[], None]
    touches: tuple[str, ...] = ()


class _Identities(dict[Task, int]):
    """The identities of tasks, given at first sight."""

    def __init__(self, seen: Callable[[Task], int]) -> None:
        super().__init__()
        self._seen: Final = seen

    def __missing__(self, task: Task) -> int:
        number = self[task] = self._seen(task)
        return number


@final
class Simulation:
    """One run, to be begun once.

    Args:
        walk: chooses.
        seed: of all randomness that is no choice: the values that `random` gives.
        steps_max: after so many steps it is `Unsettled`.
        on_step: called with the name of each step, for reports; it costs.
        without: remedies that are switched off, for tests.
    """

    def __init__(
        self,
        walk: Walk,
        seed: int = 0,
        *,
        steps_max: int = STEPS_MAX,
        on_step: Callable[[str, int, int], None] | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.walk: Final = walk
        self.seed: Final = seed
        self.clock: Final = SimClock()
        self.random: Final = Random(seed)
        self.steps: Final = StepByStep(self, self.clock, without)
        self.on_step = on_step
        self.on_turn: Callable[[int], None] | None = None
        """Called with the identity of whoever goes on next, before it does; it costs."""
        self.on_choice: Callable[[Sequence[int], int], None] | None = None
        """Called with the options of each choice and the index that was chosen, for reports."""
        self.watched: Final[list[Callable[[], None]]] = []
        """Called between any two steps; what they raise ends the run."""
        self.who_waits: Final[list[Callable[[], str]]] = []
        """What those who know more about it say of a deadlock."""
        self.faults = True
        """Whether faults may strike still."""
        self.punctual = 0
        """So many want that time passes only when nothing else can happen."""
        self.decided: Final[list[tuple[int, str]]] = []
        """The places of decisions on the tape, and what each was about."""
        self.tape: Final[list[int]] = []
        """Every choice so far, packed: ways, which, and whether it is a decision."""
        self._steps_max: Final = steps_max
        self._trace: Final = array("Q")
        self._waiting: Final[dict[int, Completion]] = {}
        self._want_the_end_of_this_moment: Final[dict[Task, None]] = {}
        self._ids: Final = _Identities(self._new_task)
        self._names: Final[dict[int, str]] = {}
        self._services: Final[set[int]] = set()
        self._born = CLOCK
        self._scope: Final = trio.CancelScope()
        self._error: BaseException | None = None
        self._idle_ends = False
        self._saw_idle: set[int] = set()
        """Who waited until nobody could go on, and has not gone on yet: nothing happens before they have looked."""
        self._ending = False
        self._walk_is_over = False
        self._unwound = self._unwind_max = 0
        self._insisted = 0
        self._idle_moves = 0

    def run(self, main: Callable[[], Awaitable[T]]) -> Ran[T]:
        """Run the program. What it raises is in the result.

        A walk that has a method `begins` is given this object first, so that it can look at more than the options.

        Raises:
            SimUnsupportedTrio: no program can be simulated with this Trio.
            SimulationError: this is called from within a Trio run.
            KeyboardInterrupt: somebody wants all to end. So does `SystemExit`, and what no `Exception` of a walk is.
        """
        no_run_is_here()
        check_trio()
        begins: Callable[[Simulation], None] | None = getattr(self.walk, "begins", None)
        if begins is not None:
            begins(self)

        async def everything() -> T:
            use_end_of_moment(self._end_of_moment)
            with no_escape(self.fail):
                try:
                    with self._scope:
                        value = await main()
                        await self._nothing_is_left()
                        return value
                finally:
                    self._ending = True
                    await self.steps.close_generators()
            assert self._error is not None, "only a failed run is cancelled"
            raise self._error

        outcome: Outcome[T] = capture(run_step_by_step, self.steps, everything)
        if self._error is not None:
            outcome = Error(self._error)
        if isinstance(outcome, Error) and (self._walk_is_over or ends_all(outcome.error)):
            raise outcome.error
        return Ran(outcome, self.tape, self._trace.tobytes(), self.steps.steps, self.clock.now, self._names)

    def fail(self, error: BaseException) -> None:
        """End the run with this error, unless one has ended it already. The program is cancelled."""
        if not self._ending:
            self._ending = True
            self._error = error
            self._scope.cancel()

    async def _nothing_is_left(self) -> None:
        """The program has returned, so what it began has to be over.

        Raises:
            LeakedTasks: something is not.
        """
        me = trio.lowlevel.current_task()

        def left() -> list[str]:
            return [task.name for task in self.steps.tasks() if task is not me and not is_histrios(task)]

        if left():
            await wait_all_tasks_blocked()  # Trio closes what was collected in tasks of its own
            if found := left():
                raise LeakedTasks(
                    f"the program has returned, and has left behind: {', '.join(found)}. A task that is to end with it "
                    "belongs into a nursery"
                )

    # -- what the simulated world asks -------------------------------------------------------------------------------

    def submit(self, label: str, call: Callable[[], None], touches: tuple[str, ...] = ()) -> Completion:
        """Have `call` called at a step of its own. It must not raise; `label` says in reports what it is."""
        self._born += 1
        completion = self._waiting[self._born] = Completion(self._born, label, call, touches)
        self._names[self._born] = label
        return completion

    def withdraw(self, completion: Completion) -> bool:
        """Not any more; False if it has been done."""
        return self._waiting.pop(completion.identity, None) is not None

    async def at_a_step(self, label: str, act: Callable[[], T], touches: tuple[str, ...] = ()) -> T:
        """Do something at a step of its own, in no task, and go on with its outcome.

        A checkpoint. Cancelled before that step, it is not done.
        """
        task = trio.lowlevel.current_task()

        def call() -> None:
            trio.lowlevel.reschedule(task, capture(act))

        completion = self.submit(label, call, touches)

        def abort(_: object) -> Abort:
            self.withdraw(completion)
            return Abort.SUCCEEDED

        result: T = await trio.lowlevel.wait_task_rescheduled(abort)
        return result

    def decide(self, ways: int, label: str = "") -> int:
        """One of so many ways; 0 is the one without a fault, and the only one once the run is over."""
        if ways < 2 or self._ending or not self.faults:
            return 0
        assert ways <= WAYS_MAX, ways
        try:
            chosen = self.walk.decide(ways)
            _check(chosen, ways)
        except BaseException as error:
            self._walk_fails(error)
            return 0
        self.tape.append((ways << 17) | (chosen << 1) | 1)
        self.decided.append((len(self.tape) - 1, label))
        self._trace.append((ways << 48) | (chosen << 32) | DECISION)
        if chosen and self.on_step is not None:
            self.on_step(f"{label} ({chosen} of {ways})", len(self.tape) - 1, chosen)
        return chosen

    # -- what comes next -----------------------------------------------------------------------------------------------

    def next(self) -> None:
        """Do what comes next; Trio's loop calls this, so it raises nothing."""
        try:
            if self._ending:
                self._unwind()
            else:
                self._choose()
        except BaseException as error:
            self.fail(error)
            self._unwind()

    def forget(self, task: Task) -> None:
        """It has ended."""
        self._ids.pop(task, None)

    def _choose(self) -> None:
        """One step. Written out, because every step of every run pays for it."""
        steps, waiting, ids = self.steps, self._waiting, self._ids.__getitem__
        queue, next_deadline = steps.queue, steps.next_deadline
        if self.watched:
            self._watch()
        if self._idle_ends:
            self._idle_ends, self._saw_idle = False, set(map(ids, steps.woken_together()))
        while not self._ending:
            options = [*map(ids, steps.in_queue(queue))]
            ready = len(options)
            deadline = next_deadline()
            if not ready and not waiting:
                if self._want_the_end_of_this_moment and deadline > self.clock.now:
                    self._end_this_moment()
                    continue
                if steps.timeout <= 0 or steps.somebody_waits_for_idle:
                    self._idle_ends = deadline > self.clock.now
                    return  # a deadline is due, or Trio lets those go on who waited for just this
            if self._saw_idle and not self._saw_idle.isdisjoint(options):
                deadline = _NEVER
            elif waiting:
                options += waiting
            if deadline < _NEVER and (not options or (self.faults and not self.punctual)):  # else machines are not slow
                options.append(CLOCK)
            ways = len(options)
            if ways > 1:
                if ways > WAYS_MAX:
                    del options[WAYS_MAX:]
                    ways = WAYS_MAX
                index = self._pick(options)
                if self._ending:
                    break
            elif ways:
                index = 0
            else:
                self.fail(Deadlock(self._deadlock()))
                break
            identity = options[index]
            self._trace.append((ways << 48) | (index << 32) | identity)
            if self.on_turn is not None:
                self.on_turn(identity)
            if self.on_step is not None:
                self.on_step(self._what(identity, deadline), len(self.tape) - 1 if ways > 1 else -1, index)
            if index < ready:
                self._saw_idle.discard(identity)
                if steps.steps >= self._steps_max:
                    self.fail(Unsettled(self._unsettled()))
                    break
                if identity not in self._services:
                    self._idle_moves = 0
                steps.let_out(index)
                return
            if identity == CLOCK:
                self._move_clock(deadline, ready or len(waiting))
                return
            self._complete(waiting.pop(identity))
            if self.watched:
                self._watch()
        self._unwind()

    def _pick(self, options: list[int]) -> int:
        ways = len(options)
        try:
            index = self.walk.pick(options)
            _check(index, ways)
        except BaseException as error:
            self._walk_fails(error)
            return 0
        self.tape.append((ways << 17) | (index << 1))
        if self.on_choice is not None:
            self.on_choice(options, index)
        return index

    def _walk_fails(self, error: BaseException) -> None:
        """End the run; what is no `Exception`, such as Control-C, ends all that the walk belongs to."""
        if isinstance(error, Exception):
            failed = WalkFailed(f"the strategy failed at a choice: {type(error).__name__}: {error}")
            failed.__cause__ = error
            self.fail(failed)
        else:
            self._walk_is_over = not self._ending
            self.fail(error)

    def _watch(self) -> None:
        for check in tuple(self.watched):
            try:
                check()
            except Exception as error:
                self.fail(error)

    def name_of(self, identity: int) -> str:
        """What somebody is called who takes part."""
        return self._names.get(identity, "the clock")

    def completion(self, identity: int) -> Completion | None:
        """What was asked of the simulated world and is not done yet; None if that identity is somebody else's."""
        return self._waiting.get(identity)

    def next_program_deadline(self, but: Collection[Task] = ()) -> float:
        """When time alone will let the program go on: the first deadline that is no service's; infinite if none is."""
        return first_deadline(self.steps, lambda task: task not in but and not is_service(task))

    def _what(self, identity: int, deadline: float) -> str:
        """What a step is called in reports."""
        return self._names[identity] if identity != CLOCK else f"the clock moves to {deadline:.6g} s"

    def _complete(self, completion: Completion) -> None:
        self.steps.steps += 1
        self._idle_moves = 0
        completion.call()

    def _move_clock(self, deadline: float, others: int) -> None:
        if not others:
            self._idle_moves += 1
            if self._idle_moves > _IDLE_MOVES_MAX and self._only_services_wait():
                self.fail(Deadlock(self._deadlock()))
                return
        if self._want_the_end_of_this_moment:
            self._end_this_moment()
        self.clock.now = max(self.clock.now, deadline)
        self._trace.append(time_entry(self.clock.now))

    async def _end_of_moment(self) -> None:
        """Wait until nothing else can happen, or the clock moves."""
        task = trio.lowlevel.current_task()
        self._want_the_end_of_this_moment[task] = None

        def abort(_: object) -> Abort:
            del self._want_the_end_of_this_moment[task]
            return Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _end_this_moment(self) -> None:
        for task in self._want_the_end_of_this_moment:
            trio.lowlevel.reschedule(task)
        self._want_the_end_of_this_moment.clear()

    def _new_task(self, task: Task) -> int:
        """An identity for a task that is seen for the first time; its name is part of the trace."""
        self._born += 1
        name = self._called(task)
        self._names[self._born] = name
        if name.startswith(SERVICES):
            self._services.add(self._born)
        self._trace.extend((self._born, name_entry(name)))
        return self._born

    def _called(self, task: Task) -> str:
        """A name that is the same in every process, and with every version of Trio."""
        if self.steps.is_main(task):
            return _MAIN
        return _TRIO if self.steps.is_trios(task) else task.name.partition(" at 0x")[0]

    # -- the end of a failed run -----------------------------------------------------------------------------------------

    def _unwind(self) -> None:
        """First in, first out, and whatever waits is done; the trace is closed."""
        if not self._unwound:
            self._unwind_max = _ENDING_MAX + self.steps.steps
        self._unwound += 1
        if self._unwound > self._unwind_max:
            self._insist()
        if len(self.steps):
            self.steps.let_out(0)
        elif self._waiting:
            self._waiting.pop(next(iter(self._waiting))).call()
        elif self._want_the_end_of_this_moment:
            self._end_this_moment()
        elif self.steps.timeout > 0 and not self.steps.somebody_waits_for_idle:
            deadline = self.steps.next_deadline()
            if deadline < _NEVER and self._unwound <= self._unwind_max:
                self.clock.now = max(self.clock.now, deadline)
            else:
                self._insist()

    def _insist(self) -> None:
        """Nothing goes on although the run is over, or something does for ever: end it, by whatever it takes."""
        self._insisted += 1
        error = self._error or Unsettled("the program has returned, and something that it began does not end")
        self.steps.unshield()
        self._scope.cancel()
        if self._insisted > _INSIST_MAX or not len(self.steps):
            self.steps.throw(error)
        if self._insisted > 2 * _INSIST_MAX or not len(self.steps):
            self.steps.give_up(error)

    # -- what is told --------------------------------------------------------------------------------------------------

    def _only_services_wait(self) -> bool:
        return all(map(is_service, deadline_owners(self.steps)))

    def _deadlock(self) -> str:
        told = [f"\n{text}" for tell in self.who_waits if (text := tell())]
        waits = [
            f"\n  {self.name_of(self._ids[task])} waits at {place_of(task)}"
            for task in self.steps.tasks()
            if not is_service(task)
        ]
        return (
            f"nothing can happen any more, at {self.clock.now:.6g} s, and the program has not ended. {''.join(told)}\n"
            f"These tasks wait:{''.join(waits)}"
        )

    def _unsettled(self) -> str:
        return (
            f"the run was stopped after {self._steps_max:,} steps, at {self.clock.now:.6g} s. Busy were: "
            f"{busiest(self._trace, self._names)}. If that is as it should be, raise steps_max"
        )


_NEVER: Final = float("inf")
_MAIN: Final = "the program"
_TRIO: Final = "Trio itself"


def _check(chosen: int, ways: int) -> None:
    if not 0 <= chosen < ways:
        raise IndexError(f"the walk chose {chosen} of {ways}")
