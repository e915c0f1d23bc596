"""Those who wait for one writer share its trips: who stands first in the line makes the next trip for all behind him.

There is no writer task: while nobody waits, nothing exists; while somebody waits, exactly one of those who wait works.
"""

# Design note
# -----------
# This is flat combining (Hendler, Incze, Shavit, Tzafrir 2010) for tasks: a job enters the line, and its task either
# leads at once (nobody does) or parks. A leader makes one trip, its own job and those behind it that fit, wakes their
# tasks, and hands the lead to whoever stands first now. So nobody serves others for longer than its own job takes, and
# the line needs no owner, no nursery and no shutdown.
#
# Cancellation is decided by one flag. A job that has not begun leaves the line, and never happens. One that has begun
# cannot leave: its task waits for the true outcome. A leader works behind a shield for the same reason; and if it is
# cancelled before its trip begins, it hands the lead on like anybody who leaves.
#
# A job that `stays` cannot leave at all, and one that is `in_any_order` goes on as soon as its trip is over. The task of
# one that has a `rest` may have nothing to do then but to wait for something else: it stays parked, which saves most of
# what a short job costs.
#
# The leader passes one checkpoint before its trip. Whoever arrives in the same scheduling round (the writers that the
# trip before has just woken, the actors that got a message together) rides along, instead of waiting a whole trip.
#
# Those whose trip is over go on in the order of the line: a writer that applies what it has written (`await
# append(record)`, then `values[key] = value`) must apply in the order that the file has. Trio runs the tasks that are
# woken together in any order (today: as woken, or reversed), and waking one after the other costs a scheduling round
# for each, more than all the rest. So a few are woken together, whoever comes too early parks once more, and whoever
# goes on wakes the next few if the next one is parked. With Trio's coin that is two wake-ups for each, on average.
#
# Invariants: while the line is not empty, someone leads; the leader's job is the first in the line until its trip
# begins; every job in the line, except the leader's, has its task parked. Of those that are over, the first is never
# left parked.
#
# The line has no bound of its own: each entry is a task that waits, and who starts tasks bounds them.

from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar, final

import trio

from histrio_kernel.parking import again, park, request

__all__ = ("Combiner", "Job", "Rest")

TOGETHER: Final = 32  # woken at once: more would save scheduling rounds, and cost more in an order that is all random


class Rest(Protocol):
    """What the task of a job does when that is over: perhaps nothing.

    Attributes:
        request: the task is parked by it, so it says what becomes of a cancellation; it does not let the task leave before
            the job is over.
    """

    request: Any

    def rests(self) -> bool:
        """The job is done, and did not fail: whether its task stays parked. If so, whoever says that wakes it when there is
        something to do. Called in the task that made the trip; what it raises is raised to its own.
        """
        ...


class Job:
    """One entry of the line; subclasses add what is to be done and room for its result.

    Whoever performs it calls `settle` or `fail` once, from any thread.

    Attributes:
        stays: whether it is performed even if its task is cancelled before that begins.
        in_any_order: whether its task may go on before those whose jobs stood before it.
        rest: of a job that is both: whether its task goes on at all; it does, without.
    """

    __slots__ = ("begun", "error", "rest", "settled", "task")

    stays: ClassVar[bool] = False
    in_any_order: ClassVar[bool] = False

    def __init__(self) -> None:
        self.task: trio.lowlevel.Task | None = None  # parked in the line, if not None
        self.begun = False
        self.settled = False
        self.error: BaseException | None = None
        self.rest: Rest | None = None

    def settle(self) -> None:
        """It is done, and its result is in place."""
        assert self.begun, "a job was settled that is still in the line"
        assert not self.settled, "a job was settled twice"
        self.settled = True

    def fail(self, error: BaseException) -> None:
        """It failed; *error* is raised to whoever waits."""
        self.error = error
        self.settle()


_STAYS: Final = request(lambda _: trio.lowlevel.Abort.FAILED)
"""Parks a task that cannot leave."""

JobT = TypeVar("JobT", bound=Job)


@final
class Combiner(Generic[JobT]):
    """A line of jobs, performed in order, many at a time.

    Args:
        fit: given the jobs in the line, in order, how many of the first make one trip; at least 1.
        perform: makes the trip, and settles each job of it. It runs in the leader's task, shielded from cancellation.
            An exception from it is raised to each job that it did not settle.

    """

    def __init__(
        self, fit: Callable[[Iterable[JobT]], int], perform: Callable[[Sequence[JobT]], Awaitable[None]]
    ) -> None:
        self._fit: Final = fit
        self._perform: Final = perform
        # Ordered, with O(1) removal from the middle: thousands of waits may be cancelled at once.
        self._line: Final[OrderedDict[JobT, None]] = OrderedDict()
        self._led = False
        self._over: Final[deque[JobT]] = deque()  # settled, and to go on in this order

    @property
    def waiting(self) -> int:
        """How many jobs are in the line; those of the trip under way are not."""
        return len(self._line)

    @trio.lowlevel.enable_ki_protection
    async def do(self, job: JobT) -> None:
        """Get *job* done, by this task or by another.

        A checkpoint. Cancelled while *job* is in the line, it is withdrawn and never performed; once its trip has
        begun, or if it `stays`, this waits for it and ends with its true outcome.
        """
        assert not job.begun, "a job enters the line once"
        self._line[job] = None
        if not self._led:
            assert len(self._line) == 1, "a line without a leader"
            self._led = True
        elif job.stays:
            job.task = trio.lowlevel.current_task()
            await again(_STAYS if job.rest is None else job.rest.request)
        else:
            await self._park(job)
        if not job.settled:
            await self._lead(job)
        if not job.in_any_order:
            await self._wait_for_those_before(job)
        if job.error is not None:
            try:
                raise job.error
            finally:
                del job  # the traceback of the error holds this frame, and the job the error

    async def _wait_for_those_before(self, job: JobT) -> None:
        over = self._over
        while over[0] is not job:
            await self._park(job)
        over.popleft()
        if over and over[0].task is not None:
            self._wake_some()

    async def _park(self, job: JobT) -> None:
        """Wait until *job* is over and may be the first of those, or its task is to lead."""

        def abort(_: object) -> trio.lowlevel.Abort:
            if job.begun:
                return trio.lowlevel.Abort.FAILED
            del self._line[job]
            return trio.lowlevel.Abort.SUCCEEDED

        job.task = trio.lowlevel.current_task()
        await park(abort)
        assert job.task is None

    async def _lead(self, job: JobT) -> None:
        """Make one trip, and hand the lead on."""
        assert self._led
        try:
            if job.stays:
                await trio.lowlevel.cancel_shielded_checkpoint()
            else:
                await trio.lowlevel.checkpoint()
        except BaseException:
            del self._line[job]
            self._hand_on()
            raise
        trip = self._begin()
        assert trip[0] is job, "who leads stands first"
        await self._travel(trip)
        for each in trip:
            if not each.in_any_order:
                self._over.append(each)
            elif each.task is not None:
                if _rests(each):
                    each.task = None
                else:
                    _wake(each)
        if self._over and self._over[0].task is not None:  # else it is the leader's own, or on its way
            self._wake_some()
        self._hand_on()

    def _wake_some(self) -> None:
        """Let the first of those that are over go on, and a few behind it."""
        for job in islice(self._over, TOGETHER):
            if job.task is not None:
                _wake(job)

    def _begin(self) -> list[JobT]:
        """Take the jobs of the next trip out of the line; from here on they cannot be withdrawn."""
        count = self._fit(self._line)
        assert 1 <= count <= len(self._line)
        trip = list(islice(self._line, count))
        if count == len(self._line):
            self._line.clear()
        else:
            for job in trip:
                del self._line[job]
        for job in trip:
            job.begun = True
        return trip

    async def _travel(self, trip: Sequence[JobT]) -> None:
        """Perform *trip*. Whatever happens, each of its jobs is settled afterwards: nobody is left waiting."""
        error: BaseException = RuntimeError("the writer did not say what became of this job")
        try:
            with trio.CancelScope(shield=True):
                await self._perform(trip)
        except BaseException as raised:  # raised again, to each whom it concerns
            error = raised if isinstance(raised, Exception) else error
            if not isinstance(raised, Exception):
                trip[0].error = raised
        for job in trip:
            if not job.settled:
                job.fail(job.error or error)

    def _hand_on(self) -> None:
        """Let whoever stands first lead; if nobody is left, nobody leads."""
        first = next(iter(self._line), None)
        if first is None:
            self._led = False
        else:
            _wake(first)


def _rests(job: Job) -> bool:
    """Whether the task of a job that is over stays parked."""
    try:
        return job.rest is not None and job.error is None and job.rest.rests()
    except Exception as error:
        job.error = error
        return False


def _wake(job: Job) -> None:
    task, job.task = job.task, None
    assert task is not None, "every job in the line, except the leader's, has its task parked"
    trio.lowlevel.reschedule(task)
