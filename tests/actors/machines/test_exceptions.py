"""M8, A9: in an actor, an `exception` that no handler of any binding takes fails the actor, with that very error."""

from __future__ import annotations

import pytest
import trio
from tests.actors.lab import run_in_system
from tests.actors.machines.crew import Do, Job, Oops, Work, Worker, nothing_left, sleeps, switch_on, worker_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot


class Bare(histrio.Actor[str], states=Work):
    """Has no transition handler at all."""

    async def receive(self, message: str) -> object:
        if message == "fail":
            self.states.fail(Oops("bare"))
        return len(self.states.names)


class Guarded(Work):
    """With an `exception` that handlers can be for."""

    err_line = histrio.State()
    exception = histrio.State(multi="keep")


class Taking(histrio.Actor[str], states=Guarded):
    """Takes its own errors, one way or the other; `where` is where the next one comes from."""

    def __init__(self) -> None:
        self.taken: list[BaseException | None] = []

    async def receive(self, message: str) -> object:
        match message:
            case "fail":
                self.states.fail(Oops("told"))
            case "fail with a state":
                self.states.fail(Oops("told"), Guarded.err_line)
            case "handler":
                self.states.add(Guarded.job(name="x"))
            case "task":
                self.states.add(Guarded.on)
            case "operation":
                self.states.add(Guarded.again)
                self.io(_fails, within=Guarded.again)
            case "clear":
                self.states.remove("exception")
            case _:
                pass
        return self.states.names

    @Work.job.entered
    def job(self, t: histrio.Transition[Job]) -> None:
        raise Oops("handler")

    @Work.on.entered
    async def on(self, t: histrio.Transition[None]) -> None:
        raise Oops("task")


async def _fails() -> None:
    await trio.lowlevel.checkpoint()
    raise Oops("operation")


class TakingAtOnce(Taking):
    """In a sync handler."""

    @Guarded.exception.entered
    def take(self, t: histrio.Transition[None]) -> None:
        self.taken.append(t.cause)


class TakingInATask(Taking):
    """In a task."""

    @Guarded.exception.entered
    async def take(self, t: histrio.Transition[None]) -> None:
        self.taken.append(t.cause)


class Other(histrio.Handlers, states=Guarded):
    """Takes them for an actor that does not."""

    def __init__(self, actor: Taking) -> None:
        self.actor = actor

    @Guarded.exception.entered
    def take(self, t: histrio.Transition[None]) -> None:
        self.actor.taken.append(t.cause)


class TakingByAnother(Taking):
    """By an object that it has bound."""

    async def started(self) -> None:
        self.states.bind(Other(self))


FAILURES = ("fail", "fail with a state", "handler", "task", "operation")


@pytest.mark.parametrize("message", FAILURES)
async def test_nobody_takes_it(message: str, autojump_clock: MockClock) -> None:
    """M8, A9: the actor fails, and the cause is the error itself."""

    async def program(system: histrio.System) -> None:
        ref = await system.spawn(Taking)
        await ref.tell(message)
        with pytest.raises(histrio.ActorFailed) as joined:
            await ref.join()
        assert isinstance(joined.value.__cause__, Oops)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    (failure,) = raised.value.failures
    assert isinstance(failure.__cause__, Oops)
    assert nothing_left()


class TakingByATable(Taking):
    """By a table of the core, which knows nothing of objects."""

    async def started(self) -> None:
        def take(owner: object, t: histrio.Transition[object]) -> None:
            self.taken.append(t.cause)

        self.states.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "exception"), take)]))


@pytest.mark.parametrize("kind", [TakingAtOnce, TakingInATask, TakingByAnother, TakingByATable])
@pytest.mark.parametrize("message", FAILURES)
async def test_somebody_takes_it(message: str, kind: type[Taking], autojump_clock: MockClock) -> None:
    """M8: then the actor lives on, `exception` is active and `error` is the error; both end with it."""
    async with histrio.open_system() as system:
        ref = await system.spawn(kind)
        await ref.tell(message)
        await wait_all_tasks_blocked()
        found = system.find_cell(ref.path, ref._inbox)
        assert found is not None
        actor = found.actor
        assert isinstance(actor, kind)

        assert [type(each) for each in actor.taken] == [Oops]
        assert actor.taken[0] is actor.states.error
        names = actor.states.names
        assert "exception" in names
        assert ("err_line" in names) == (message == "fail with a state")
        await ref.tell("clear")
        await wait_all_tasks_blocked()
        assert actor.states.error is None
        assert "err_line" not in actor.states.names


async def test_an_actor_without_transition_handlers(autojump_clock: MockClock) -> None:
    """M8: nobody takes it there either."""

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Bare)).tell("fail")
        await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed):
        await run_in_system(program)

    assert nothing_left()


async def test_a_supervisor_starts_it_again_with_a_fresh_machine(autojump_clock: MockClock) -> None:
    """M8, S3: the next incarnation has a machine of its own, to which things can belong, and which ends with it."""
    spec = histrio.child("worker", Worker, sleeps)

    async def begin(worker: Worker) -> None:
        assert worker.states.time == (0, 0, 0, 0, 0)
        worker.states.add(Work.on)
        worker.io(trio.sleep_forever, within=Work.on)
        worker.timers.after(5, "late", within=Work.on)
        await worker.spawn(Worker, name="child", within=Work.on)

    async def fail(worker: Worker) -> None:
        worker.states.fail(Oops())

    async with histrio.open_system() as system:
        supervisor = await system.spawn(histrio.Supervisor, spec, name="supervisor")
        ref = system.find(Worker, "/supervisor/worker")
        assert ref is not None
        olds: list[Worker] = []
        for incarnation in (1, 2, 3):
            await ref.ask(Do(begin))
            await wait_all_tasks_blocked()
            worker = worker_of(system, ref)
            assert worker.log == ["entered"]
            olds.append(worker)
            await ref.tell(Do(fail))
            await wait_all_tasks_blocked()
            assert ref.control.status() is histrio.Phase.RUNNING
            assert worker.log == ["entered", "left"]
            assert worker_of(system, ref) is not worker
            assert len(olds) == incarnation
        await trio.sleep(10)
        assert worker_of(system, ref).log == []
        assert await ref.ask(Do(switch_on)) is histrio.EXECUTED
        assert supervisor.control.status() is histrio.Phase.RUNNING

    assert nothing_left()


class Vetoing(Taking):
    """Does not let its `exception` in, so nobody can take it."""

    @Guarded.exception.may_enter
    def may(self, t: histrio.Transition[None]) -> bool:
        return False


async def test_an_error_that_is_refused_is_reported(autojump_clock: MockClock) -> None:
    """M8: to the system, with the path of the actor; the machine has it, and the actor lives on."""
    reports: list[histrio.HistrioError] = []
    async with histrio.open_system(on_report=reports.append) as system:
        ref = await system.spawn(Vetoing, name="vetoing")
        await ref.tell("fail")
        await wait_all_tasks_blocked()
        assert ref.control.status() is histrio.Phase.RUNNING

    (report,) = reports
    assert isinstance(report, histrio.UnclaimedError)
    assert "/vetoing" in str(report)
    assert isinstance(report.__cause__, Oops)


class Raising(histrio.Tracer):
    """Fails in each step."""

    def end(self, transition: histrio.Transition) -> None:
        raise Oops("tracer")


async def test_a_tracer_that_raises_is_reported(autojump_clock: MockClock) -> None:
    """M9: to the system; also of an actor without transition handlers."""
    reports: list[histrio.HistrioError] = []

    async with histrio.open_system(on_report=reports.append) as system:
        for kind in (Bare, Vetoing):
            ref = await system.spawn(kind)
            found = system.find_cell(ref.path, ref._inbox)
            assert found is not None
            assert isinstance(found.actor, kind)
            async with found.actor.turn():
                found.actor.states.attach(Raising())
                found.actor.states.add("again")
                found.actor.states.add("again")

    assert [type(report) for report in reports] == [histrio.TracerFailed] * 2
