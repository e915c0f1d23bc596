"""The line of those who share a writer's trips."""

from collections.abc import Iterable, Sequence

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

from histrio_kernel.combine import Combiner, Job
from histrio_kernel.parking import request


class Word(Job):
    """A job that is a word."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word


class Writer:
    """Records its trips; each waits for a permit if the writer is slow."""

    def __init__(self, trip_max: int = 100, *, slow: bool = False) -> None:
        self.line = Combiner(self._fit, self._perform)
        self.trips: list[list[str]] = []
        self.permits = trio.Semaphore(0)
        self.slow = slow
        self.trip_max = trip_max
        self.raises: Exception | None = None
        self.forgets: set[str] = set()

    def _fit(self, waiting: Iterable[Word]) -> int:
        return min(self.trip_max, sum(1 for _ in waiting))

    async def _perform(self, trip: Sequence[Word]) -> None:
        self.trips.append([job.word for job in trip])
        if self.slow:
            await self.permits.acquire()
        for job in trip:
            if job.word.startswith("bad"):
                job.fail(ValueError(job.word))
            elif job.word not in self.forgets:
                job.settle()
        if self.raises is not None:
            raise self.raises

    async def do(self, word: str) -> None:
        await self.line.do(Word(word))


async def start_in_order(nursery: trio.Nursery, writer: Writer, words: Iterable[str]) -> None:
    """Let *words* enter the line one after the other."""
    for word in words:
        nursery.start_soon(writer.do, word)
        await wait_all_tasks_blocked()


async def test_those_who_come_during_a_trip_share_the_next() -> None:
    """Everybody who arrives while a trip is under way rides on the next one, in order of arrival."""
    writer = Writer(slow=True)
    async with trio.open_nursery() as nursery:
        await start_in_order(nursery, writer, ["a", "b", "c", "d"])
        assert writer.line.waiting == 3
        writer.permits.release()
        await wait_all_tasks_blocked()
        writer.permits.release()

    assert writer.trips == [["a"], ["b", "c", "d"]]
    assert writer.line.waiting == 0


async def test_those_of_one_round_share_a_trip() -> None:
    """Jobs that are asked for in one scheduling round make one trip."""
    writer = Writer()
    async with trio.open_nursery() as nursery:
        for word in "abcdef":
            nursery.start_soon(writer.do, word)

    assert len(writer.trips) == 1
    assert set("abcdef") == set(writer.trips[0])


async def test_a_trip_is_bounded() -> None:
    """More jobs than fit make several trips, none left out and none twice."""
    writer = Writer(trip_max=3)
    async with trio.open_nursery() as nursery:
        for word in "abcdefgh":
            nursery.start_soon(writer.do, word)

    assert [len(trip) for trip in writer.trips] == [3, 3, 2]
    assert set("abcdefgh") == {word for trip in writer.trips for word in trip}


async def test_a_waiting_job_is_withdrawn_when_cancelled() -> None:
    """A job that is cancelled before its trip is never performed, and those around it are."""
    writer = Writer(slow=True)
    scope = trio.CancelScope()

    async def cancelled() -> None:
        with scope:
            await writer.do("never")

    async with trio.open_nursery() as nursery:
        await start_in_order(nursery, writer, ["a", "b"])
        nursery.start_soon(cancelled)
        await wait_all_tasks_blocked()
        await start_in_order(nursery, writer, ["c"])
        scope.cancel()
        await wait_all_tasks_blocked()
        assert scope.cancelled_caught
        assert writer.line.waiting == 2
        writer.permits.release()
        writer.permits.release()

    assert writer.trips == [["a"], ["b", "c"]]


class Firm(Word):
    """One that cannot be withdrawn, and whose task goes on when it likes."""

    __slots__ = ()
    stays = in_any_order = True


@pytest.mark.parametrize("leads", [True, False])
async def test_a_job_that_stays_is_performed_though_it_is_cancelled_before(leads: bool) -> None:
    """It is not withdrawn, and its task goes on with its outcome, into the cancellation."""
    writer = Writer(slow=True)
    went_on: list[str] = []

    async def cancelled() -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await writer.line.do(Firm("firm"))
            went_on.append("firm")
            await trio.lowlevel.checkpoint()
            went_on.append("too far")

    async with trio.open_nursery() as nursery:
        if not leads:
            await start_in_order(nursery, writer, ["a"])
        nursery.start_soon(cancelled)
        await wait_all_tasks_blocked()
        writer.permits.release()
        writer.permits.release()

    assert writer.trips == [["firm"]] if leads else [["a"], ["firm"]]
    assert went_on == ["firm"]


async def test_those_of_any_order_and_others_share_trips() -> None:
    """Each gets its own outcome, those that keep the order keep it among themselves, and nobody is left."""
    writer = Writer(trip_max=7)
    over: list[str] = []

    async def do(job: Word) -> None:
        try:
            await writer.line.do(job)
        except ValueError:
            assert job.word.startswith("bad")
        else:
            assert not job.word.startswith("bad")
        over.append(job.word)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            word = f"{'bad' if number % 5 == 0 else 'good'}{number:03}"
            nursery.start_soon(do, Firm(word) if number % 3 else Word(word))

    entered = [word for trip in writer.trips for word in trip]
    assert sorted(over) == sorted(entered)
    in_order = [word for word in entered if int(word[-3:]) % 3 == 0]
    assert [word for word in over if int(word[-3:]) % 3 == 0] == in_order
    assert writer.line.waiting == 0


class Rests:
    """What may have nothing to do when its job is over."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer
        self.request = request(lambda _: trio.lowlevel.Abort.FAILED)
        self.asked = 0

    def rests(self) -> bool:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [True, False, KeyError("rest")])
@pytest.mark.parametrize("word", ["good", "bad"])
@pytest.mark.parametrize("leads", [True, False])
async def test_a_task_that_rests_goes_on_when_it_is_woken(word: str, leads: bool, answer: bool | Exception) -> None:
    """It is asked when its job is done, unless it has made the trip itself; what it raises is raised to its own task."""
    writer = Writer(slow=True)
    job, rest = Firm(word), Rests(answer)
    job.rest = rest
    went_on: list[str] = []
    tasks: list[trio.lowlevel.Task] = []

    async def do() -> None:
        tasks.append(trio.lowlevel.current_task())
        try:
            await writer.line.do(job)
        except (KeyError, ValueError) as error:
            went_on.append(type(error).__name__)
        else:
            went_on.append(word)

    is_asked = word == "good" and not leads
    async with trio.open_nursery() as nursery:
        if not leads:  # one before it makes its own trip, and the one after that leads the trip of both
            await start_in_order(nursery, writer, ["a", "b"])
        nursery.start_soon(do)
        await wait_all_tasks_blocked()
        for _ in range(2):
            writer.permits.release()
            await wait_all_tasks_blocked()
        if is_asked and answer is True:
            assert went_on == []
            trio.lowlevel.reschedule(tasks[0])

    assert rest.asked == is_asked
    raised = "KeyError" if is_asked and isinstance(answer, Exception) else "ValueError" if word == "bad" else word
    assert went_on == [raised]
    assert writer.line.waiting == 0


@pytest.mark.parametrize(("word", "ends_well"), [("good", True), ("bad", False)])
@pytest.mark.parametrize("leads", [True, False])
async def test_a_begun_job_ends_with_its_true_outcome_though_cancelled(word: str, ends_well: bool, leads: bool) -> None:
    """Cancelled during its trip, a job is waited for; its value or its error is what the caller gets."""
    writer = Writer(slow=True)
    scope = trio.CancelScope()
    outcomes: list[bool] = []

    async def cancelled() -> None:
        with scope:
            try:
                await writer.do(word)
            except ValueError:
                outcomes.append(False)
            else:
                outcomes.append(True)

    async with trio.open_nursery() as nursery:
        if not leads:
            await start_in_order(nursery, writer, ["first", "leads"])
        nursery.start_soon(cancelled)
        await wait_all_tasks_blocked()
        if not leads:
            writer.permits.release()
            await wait_all_tasks_blocked()
        assert word in writer.trips[-1]
        scope.cancel()
        await wait_all_tasks_blocked()
        assert outcomes == []
        writer.permits.release()

    assert [ends_well] == outcomes


async def test_a_cancelled_leader_hands_the_lead_on() -> None:
    """Whoever is cancelled between getting the lead and using it leaves, and the next in line leads."""
    writer = Writer(slow=True)
    scope = trio.CancelScope()

    async def first() -> None:
        await writer.do("a")
        assert writer.line.waiting == 2
        scope.cancel()  # here the lead has been handed on, and who got it has not run yet

    async def cancelled() -> None:
        with scope:
            await writer.do("never")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await wait_all_tasks_blocked()
        nursery.start_soon(cancelled)
        await wait_all_tasks_blocked()
        await start_in_order(nursery, writer, ["b"])
        writer.permits.release()
        writer.permits.release()

    assert scope.cancelled_caught
    assert writer.trips == [["a"], ["b"]]
    assert writer.line.waiting == 0


async def test_a_job_of_a_cancelled_scope_never_begins() -> None:
    """Asking within a scope that is cancelled already withdraws the job, and leaves the line as it was."""
    writer = Writer()
    with trio.CancelScope() as scope:
        scope.cancel()
        await writer.do("never")

    assert scope.cancelled_caught
    await writer.do("next")
    assert writer.trips == [["next"]]


async def test_what_the_trip_raises_is_raised_to_each_unsettled_job() -> None:
    """An error of the whole trip reaches everybody whose job it left open, and nobody else."""
    writer = Writer()
    writer.raises = OSError("no trip today")
    writer.forgets = {"b"}
    outcomes: dict[str, str] = {}

    async def ask(word: str) -> None:
        try:
            await writer.do(word)
        except (OSError, ValueError) as error:
            outcomes[word] = str(error)
        else:
            outcomes[word] = "well"

    async with trio.open_nursery() as nursery:
        for word in ("a", "b", "bad c"):
            nursery.start_soon(ask, word)

    assert outcomes == {"a": "well", "b": "no trip today", "bad c": "bad c"}


async def test_nobody_is_left_waiting_by_a_trip_that_forgets_them() -> None:
    """A writer that does not settle a job is a bug that its caller hears of."""
    writer = Writer()
    writer.forgets = {"a"}
    with pytest.raises(RuntimeError, match="did not say what became of this job"):
        await writer.do("a")


async def test_doing_is_a_checkpoint() -> None:
    """Also a writer that never waits lets other tasks run."""
    writer = Writer()
    with assert_checkpoints():
        await writer.do("a")


async def test_all_go_on_in_the_order_of_the_line() -> None:
    """E3: tasks whose trip is over go on in the order in which they stood, over several trips, also when cancelled.

    Trio wakes tasks that are rescheduled together forwards or backwards, by chance; with hundreds both occur.
    """
    writer = Writer(trip_max=90, slow=True)
    went_on: list[int] = []
    scopes = [trio.CancelScope() for _ in range(300)]

    async def ask(n: int) -> None:
        with scopes[n]:
            await writer.do(f"bad {n}" if n % 7 == 3 else str(n))
            went_on.append(n)
            if n == 50:
                scopes[61].cancel()  # it is over, and waits to go on

    async def ask_and_survive(n: int) -> None:
        try:
            await ask(n)
        except ValueError:
            went_on.append(n)

    async with trio.open_nursery() as nursery:
        for n in range(300):
            nursery.start_soon(ask_and_survive, n)
            await wait_all_tasks_blocked()
        for n in range(5, 300, 11):
            scopes[n].cancel()
        for _ in range(5):
            writer.permits.release()

    assert went_on == [n for n in range(300) if n % 11 != 5]
    assert [len(trip) for trip in writer.trips] == [1, 90, 90, 90, 2]


async def test_one_that_asks_again_stands_behind() -> None:
    """E3: writers that go on and ask again at once keep their order trip after trip."""
    writer = Writer(slow=True)
    went_on: list[int] = []

    async def ask(n: int) -> None:
        for turn in range(5):
            await writer.do(str(n))
            went_on.append(1000 * turn + n)

    async with trio.open_nursery() as nursery:
        for n in range(100):
            nursery.start_soon(ask, n)
            await wait_all_tasks_blocked()
        for _ in range(10):
            await wait_all_tasks_blocked()
            writer.permits.release()

    written = [int(word) for trip in writer.trips for word in trip]
    assert [n % 1000 for n in went_on] == written
    assert [went_on.index(1000 * turn + n) for turn in range(5) for n in range(100)] == list(range(500))


async def test_a_writer_that_dies_leaves_nobody_waiting() -> None:
    """What is no Exception is raised to the leader only; whoever shared its trip is told, and the line goes on."""
    writer = Writer(slow=True)
    outcomes: list[str] = []

    class Torn(BaseException):
        pass

    async def tear(trip: Sequence[Word]) -> None:
        await writer.permits.acquire()
        raise Torn

    line = Combiner[Word](lambda waiting: sum(1 for _ in waiting), tear)

    async def ask(word: str) -> None:
        try:
            await line.do(Word(word))
        except (Torn, RuntimeError) as error:
            outcomes.append(f"{word} {type(error).__name__}")

    async with trio.open_nursery() as nursery:
        for word in "abc":
            nursery.start_soon(ask, word)
            await wait_all_tasks_blocked()
        writer.permits.release()
        writer.permits.release()

    assert outcomes == ["a Torn", "b Torn", "c RuntimeError"]
    assert line.waiting == 0
