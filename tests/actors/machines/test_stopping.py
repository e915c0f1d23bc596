"""M7, S2, A10: an actor that stops ends its states in order, within its time; one that is killed ends them at once."""

from __future__ import annotations

from typing import Final

import pytest
import trio
from tests.actors.machines.crew import (
    Do,
    Oops,
    Work,
    Worker,
    cleans_up,
    nothing_left,
    sleeps,
    state_tasks,
    worker_of,
)
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


class Ordered(Worker):
    """Writes down its end; `shutdown_s` is long enough for all of it."""

    shutdown_s = 100

    async def started(self) -> None:
        self.states.add(Work.on)

    async def stopped(self, reason: histrio.Reason) -> None:
        self.log.append("stopped begins")
        await trio.sleep(1)
        self.log.append("stopped ends")


class Guest(histrio.Actor[str]):
    """A child that tells its parent's log of its end."""

    def __init__(self, log: list[str]) -> None:
        self.log: Final = log

    async def stopped(self, reason: histrio.Reason) -> None:
        self.log.append("child ends")


async def with_a_child(worker: Worker) -> None:
    """Its own, and one that belongs to a state."""
    await worker.spawn(Guest, worker.log, name="own")
    await worker.spawn(Guest, worker.log, name="the state's", within=Work.on)


async def exits(worker: Worker) -> None:
    """The machine takes no mutations any more, but all else of the actor is there."""
    assert worker.states.is_disposed
    assert isinstance(worker.states.add(Work.again), histrio.Canceled)
    await worker.io(trio.sleep, 1)
    async with worker.turn():
        worker.log.append("exited has the turn")


async def test_the_order_of_the_end(autojump_clock: MockClock) -> None:
    """M7, S2: the inbox, the children, `stopped()`, the tasks of the states, their `exited`, and then the end."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Ordered, cleans_up, exits)
        worker = worker_of(system, ref)
        await ref.ask(Do(with_a_child))
        await ref.tell("note")
        ref.control.stop()
        await ref.join()
        assert trio.current_time() == 3

    assert worker.log == [
        "entered",
        "note",
        "child ends",
        "child ends",
        "stopped begins",
        "stopped ends",
        "left",
        "exited",
        "exited has the turn",
    ]
    assert nothing_left()


async def test_states_go_on_while_it_drains(autojump_clock: MockClock) -> None:
    """M7: until `stopped()` has returned the machine is as it was: what comes true then is told."""
    got: list[histrio.Transition | None] = []

    async def wait(worker: Worker) -> None:
        got.append(await worker.states.when(Work.again))

    async def task(worker: Worker) -> None:
        await trio.sleep(2)
        worker.states.add(Work.again)
        await trio.sleep_forever()

    async with histrio.open_system() as system:
        ref = await system.spawn(Ordered, task)
        await ref.tell(Do(wait))
        await wait_all_tasks_blocked()
        ref.control.stop()
        await ref.join()

    assert len(got) == 1
    assert trio.current_time() == 3


@pytest.mark.parametrize("hangs", ["task", "exited", "clean-up", "child"])
async def test_what_hangs_is_cancelled_at_the_deadline(hangs: str, autojump_clock: MockClock) -> None:
    """S2: `shutdown_s` bounds the end of the states, too; then it is a kill, and the reason says so."""

    class Hasty(Ordered):
        shutdown_s = 3

    async def hang(worker: Worker) -> None:
        await trio.sleep_forever()

    async def swallow(worker: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(10)

    async def in_a_child(worker: Worker) -> None:
        await worker.spawn(Worker, swallow)
        await trio.sleep_forever()

    entered = {"clean-up": swallow, "child": in_a_child}.get(hangs, sleeps)
    async with histrio.open_system() as system:
        ref = await system.spawn(Hasty, entered, hang)
        await wait_all_tasks_blocked()
        down = ref.monitor()
        ref.control.stop()
        ended = await down

    assert trio.current_time() == {"clean-up": 11}.get(hangs, 3)
    assert ended.reason.end is histrio.End.KILLED
    assert nothing_left()


@pytest.mark.parametrize("by", ["kill", "failure", "cancellation"])
async def test_a_sudden_end(by: str, autojump_clock: MockClock) -> None:
    """M7, E4: tasks are cancelled and clean up; nothing new is started, so no `exited`; who waits is told."""

    async def fail(worker: Worker) -> None:
        raise Oops

    async def program(system: histrio.System) -> None:
        spec = histrio.child("worker", Ordered, cleans_up, exits).with_(restart=histrio.TEMPORARY)
        await system.spawn(histrio.Supervisor, spec, name="top")
        ref = system.find(Ordered, "/top/worker")
        assert ref is not None
        workers.append(worker_of(system, ref))
        states = workers[0].states
        await wait_all_tasks_blocked()
        wait, gone = states.when(Work.again), states.when_disposed()
        match by:
            case "kill":
                ref.control.kill()
            case "failure":
                await ref.tell(Do(fail))
            case _:
                scope.cancel()
        with trio.CancelScope(shield=True):
            with pytest.raises(histrio.Disposed):
                await wait
            await gone
            assert trio.current_time() == 1

    workers: list[Worker] = []
    with trio.CancelScope() as scope:
        async with histrio.open_system() as system:
            await program(system)

    assert workers[0].log == ["entered", "left"]
    assert workers[0].states.is_disposed
    assert nothing_left()


@pytest.mark.parametrize("moment", [0, 0.5, 1.5, 2.5, 4.5])
async def test_a_kill_in_every_phase(moment: float, autojump_clock: MockClock) -> None:
    """S6, M7: before the first step of a task, in it, in `stopped()`, in the clean-up of the task, in its `exited`."""

    async def exited(worker: Worker) -> None:
        await trio.sleep(3)

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Ordered, cleans_up, exited)
        down = ref.monitor()

        async def kill() -> None:
            await trio.sleep(moment)
            ref.control.kill()

        nursery.start_soon(kill)
        await trio.sleep(1)
        ref.control.stop()
        ended = await down

    assert ended.reason.end is histrio.End.KILLED
    assert trio.current_time() == {0: 1, 0.5: 1.5, 1.5: 2.5, 2.5: 3, 4.5: 4.5}[moment]
    assert nothing_left()


async def test_a_group_that_is_started_again(autojump_clock: MockClock) -> None:
    """M7, S3: a sibling that is halted ends its states in order; handlers that wait for one of them are interrupted."""

    async def wait(worker: Worker) -> None:
        await worker.states.when(Work.again)

    async def fail(worker: Worker) -> None:
        raise Oops

    async with histrio.open_system() as system:
        specs = [histrio.child(name, Ordered, cleans_up, exits) for name in ("first", "second")]
        await system.spawn(histrio.child("top", histrio.Supervisor, *specs, strategy=histrio.ONE_FOR_ALL))
        first, second = (system.find(Ordered, f"/top/{name}") for name in ("first", "second"))
        assert first is not None
        assert second is not None
        halted = worker_of(system, first)
        await first.tell(Do(wait))
        await wait_all_tasks_blocked()
        await second.tell(Do(fail))
        await trio.sleep(20)
        assert halted.log == ["entered", "stopped begins", "stopped ends", "left", "exited", "exited has the turn"]
        fresh = worker_of(system, first)
        assert fresh is not halted
        assert fresh.log == ["entered"]
        assert state_tasks() == 2

    assert nothing_left()


async def test_a_task_that_finishes_the_actor(autojump_clock: MockClock) -> None:
    """M7, S5: a state's task may end the actor, with a result."""

    async def task(worker: Worker) -> None:
        await trio.sleep(1)
        worker.finish("done")

    async with histrio.open_system() as system:
        ref = await system.spawn(Ordered, task)
        assert await ref.join() == "done"

    assert nothing_left()


async def test_a_task_that_spawns_while_the_actor_stops(autojump_clock: MockClock) -> None:
    """M7, S4: a child that comes when the others have been stopped is stopped with its state."""
    log: list[str] = []

    async def task(worker: Worker) -> None:
        await trio.sleep(0.5)
        await worker.spawn(Guest, log)
        await trio.sleep_forever()

    async with histrio.open_system() as system:
        ref = await system.spawn(Ordered, task)
        ref.control.stop()
        await ref.join()

    assert log == ["child ends"]
    assert nothing_left()


async def test_an_error_while_it_stops(autojump_clock: MockClock) -> None:
    """A10: what a clean-up raises when the machine takes no mutations any more is reported; the actor ends as it was asked."""
    reports: list[histrio.HistrioError] = []

    async def task(worker: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Oops

    async with histrio.open_system(on_report=reports.append) as system:
        ref = await system.spawn(Ordered, task)
        await wait_all_tasks_blocked()
        ref.control.stop()
        await ref.join()

    assert [type(report) for report in reports] == [histrio.UnclaimedError]
    assert isinstance(reports[0].__cause__, Oops)


async def test_an_error_while_it_is_killed(autojump_clock: MockClock) -> None:
    """A10: it is the actor's failure cause."""

    async def task(worker: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Oops

    async def program() -> None:
        async with histrio.open_system() as system:
            ref = await system.spawn(Ordered, task)
            await wait_all_tasks_blocked()
            ref.control.kill()
            await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed) as raised:
        await program()

    (failure,) = raised.value.failures
    assert isinstance(failure.__cause__, Oops)
    assert nothing_left()
