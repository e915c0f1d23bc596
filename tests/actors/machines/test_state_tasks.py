"""A17, M7: the tasks of an actor's states run beside its handlers, enter its turn when they want it, and end in time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

import pytest
import trio
from tests.actors.machines.crew import (
    Deed,
    Do,
    Work,
    Worker,
    cleans_up,
    nothing_left,
    sleeps,
    state_tasks,
    switch_off,
    switch_on,
    worker_of,
)
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


async def test_a_task_does_not_hold_the_turn(autojump_clock: MockClock) -> None:
    """A17: what it awaits, of Trio or of ours, keeps no message waiting; nor does a message keep it waiting."""
    times: list[tuple[str, float]] = []

    async def task(worker: Worker) -> None:
        await trio.sleep(1)
        times.append(("trio", trio.current_time()))
        await worker.io(trio.sleep, 1)
        times.append(("io", trio.current_time()))
        await worker.states.when(Work.again)
        times.append(("when", trio.current_time()))

    async def hold(worker: Worker) -> None:
        await trio.sleep(5)
        worker.states.add(Work.again)
        await trio.sleep(5)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task)
        await ref.ask(Do(switch_on))
        await ref.tell("note")
        await ref.tell(Do(hold))
        await trio.sleep(7)

        assert sorted(worker_of(system, ref).log[:2]) == ["entered", "note"]
        assert times == [("trio", 1), ("io", 2), ("when", 5)]


async def test_a_task_enters_the_turn(autojump_clock: MockClock) -> None:
    """A17: `async with self.turn()` waits for it, keeps messages out, and gives it away in waits of ours."""

    async def task(worker: Worker) -> None:
        await trio.sleep(1)
        async with worker.turn():
            worker.log.append("has it")
            await trio.sleep(2)
            worker.log.append("gives it away")
            await worker.io(trio.sleep, 2)
            worker.log.append("has it again")
        worker.log.append("has left")

    async def hold(worker: Worker) -> None:
        await trio.sleep(2)
        worker.log.append("held")

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task)
        await ref.ask(Do(switch_on))
        await ref.tell(Do(hold))
        await trio.sleep(1.5)
        await ref.tell("first note")
        await trio.sleep(3)
        await ref.tell("second note")
        await trio.sleep(5)

        log = worker_of(system, ref).log
        assert log[log.index("held") :] == [
            "held",
            "has it",
            "gives it away",
            "first note",
            "second note",
            "has it again",
            "has left",
            "left",
        ]


async def _visits_in_the_clean_up(worker: Worker) -> None:
    """Until it is cancelled, and then once more in the turn."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            async with worker.turn():
                worker.log.append("visits")
                await trio.sleep(1)


@pytest.mark.parametrize("by", ["state", "stop", "kill", "failure"])
async def test_a_task_enters_the_turn_in_its_clean_up(by: str, autojump_clock: MockClock) -> None:
    """A17: also when the actor stops, fails or is killed: the clean-up waits for the turn, and gets it."""

    async def fail(worker: Worker) -> None:
        worker.states.fail(ValueError("x"))
        await trio.sleep(3)

    async def program(system: histrio.System) -> None:
        await system.spawn(histrio.Supervisor, histrio.child("worker", Worker, _visits_in_the_clean_up), name="top")
        ref = system.find(Worker, "/top/worker")
        assert ref is not None
        worker = worker_of(system, ref)
        await ref.ask(Do(switch_on))
        await wait_all_tasks_blocked()
        match by:
            case "state":
                await ref.tell(Do(switch_off))
            case "stop":
                ref.control.stop()
            case "kill":
                ref.control.kill()
            case _:
                await ref.tell(Do(fail))
        await trio.sleep(10)
        assert worker.log == ["entered", "visits", "left", *["exited"] * (by in {"state", "stop"})]

    async with histrio.open_system() as system:
        await program(system)

    assert nothing_left()


async def in_io(worker: Worker, log: list[str]) -> None:
    """An operation that nobody awaits."""
    worker.io(_work, log)


async def in_a_nested_operation(worker: Worker, log: list[str]) -> None:
    """An operation that an operation has started."""

    async def outer() -> None:
        worker.io(_work, log)
        await trio.sleep_forever()

    worker.io(outer)


async def in_a_child_task(worker: Worker, log: list[str]) -> None:
    """An operation of a task in a nursery."""

    async def child() -> None:
        await worker.io(_work, log)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)


async def in_a_visit(worker: Worker, log: list[str]) -> None:
    """An operation that was started with the turn."""
    async with worker.turn():
        worker.io(_work, log)


async def in_a_visit_of_a_child_task(worker: Worker, log: list[str]) -> None:
    """The same by a task in a nursery."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(in_a_visit, worker, log)


async def in_a_child_task_of_a_visit(worker: Worker, log: list[str]) -> None:
    """And by a task in a nursery that was opened with the turn."""
    async with worker.turn(), trio.open_nursery() as nursery:
        nursery.start_soon(in_io, worker, log)


async def in_a_visit_to_another(worker: Worker, log: list[str]) -> None:
    """An operation that was started with the turn of another actor."""
    other = worker_of(worker.system, await worker.system.spawn(Worker))
    async with other.turn(), worker.turn():
        worker.io(_work, log)


async def in_a_machine(worker: Worker, log: list[str]) -> None:
    """An operation of a state of a machine that the task has opened."""

    class Inner(histrio.Handlers, states=Work):
        @Work.on.entered
        async def on(self, t: histrio.Transition[None]) -> None:
            worker.io(_work, log)

    async with histrio.Machine(Work) as machine:
        machine.bind(Inner())
        machine.add(Work.on)
        await trio.sleep_forever()


async def by_a_door(worker: Worker, log: list[str]) -> None:
    """What a door does; it tells nothing, but it has to be over."""
    worker.io.clock.sleep(1_000)
    await in_io(worker, log)


async def with_retries(worker: Worker, log: list[str]) -> None:
    """An operation with a policy."""
    worker.io(_work, log, retry=histrio.Retry(attempts_max=3), timeout_s=1_000)


async def _work(log: list[str]) -> None:
    log.append("begins")
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        log.append("ends")


WAYS: Final = (
    in_io,
    in_a_nested_operation,
    in_a_child_task,
    in_a_visit,
    in_a_visit_of_a_child_task,
    in_a_child_task_of_a_visit,
    in_a_visit_to_another,
    in_a_machine,
    by_a_door,
    with_retries,
)


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("way", WAYS)
async def test_an_operation_of_a_task_ends_with_the_activation(
    way: Callable[[Worker, list[str]], Awaitable[None]], returns: bool, autojump_clock: MockClock
) -> None:
    """M7: however it was started, also if the task has returned; `exited`, and the next task, come after its end."""
    log: list[str] = []

    async def task(worker: Worker) -> None:
        await way(worker, log)
        if not returns:
            await trio.sleep_forever()

    async def exited(worker: Worker) -> None:
        log.append("exited")

    async def off_and_on(worker: Worker) -> None:
        worker.states.remove(Work.on)
        worker.states.add(Work.on)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task, exited)
        await ref.ask(Do(switch_on))
        await trio.sleep(5)
        await ref.ask(Do(off_and_on))
        await trio.sleep(0.5)
        assert log == ["begins"]
        await trio.sleep(5)
        assert log == ["begins", "ends", "exited", "begins"]

    assert log[-2:] == ["ends", "exited"]
    assert nothing_left()


@pytest.mark.parametrize("awaited", [False, True])
async def test_an_error_of_such_an_operation(awaited: bool, autojump_clock: MockClock) -> None:
    """M7, F4: it is that of whoever awaits it, else of the state."""
    seen: list[object] = []

    class Taking(Worker, states=TakesErrors):
        @TakesErrors.exception.entered
        def take(self, t: histrio.Transition[None]) -> None:
            seen.append((str(t.cause), [t.schema.names[state] for state in t.called]))

    async def fails() -> None:
        await trio.sleep(1)
        raise ValueError("x")

    async def task(worker: Worker) -> None:
        operation = worker.io(fails)
        if awaited:
            with pytest.raises(ValueError, match="x"):
                await operation
        await trio.sleep_forever()

    async with histrio.open_system() as system:
        ref = await system.spawn(Taking, task)
        await ref.ask(Do(switch_on))
        await trio.sleep(2)
        assert Work.on in worker_of(system, ref).states

    assert seen == ([] if awaited else [("x", ["on", "exception"])])


class TakesErrors(Work):
    """With an `exception` that handlers can be for."""

    exception = histrio.State(multi="keep")


async def test_work_in_the_background_is_not_the_states(autojump_clock: MockClock) -> None:
    """M7, F4: `self.background` gives it to the actor, wherever it is called."""
    log: list[str] = []

    async def task(worker: Worker) -> None:
        worker.background(_work, log)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task)
        await ref.ask(Do(switch_on))
        await trio.sleep(1)
        await ref.ask(Do(switch_off))
        await trio.sleep(5)
        assert log == ["begins"]
        assert worker_of(system, ref).log == ["entered", "left", "exited"]

    assert log == ["begins", "ends"]


async def test_an_operation_of_the_clean_up(autojump_clock: MockClock) -> None:
    """M7, E4: nothing begins any more in an activation that is over: the future is cancelled, also if all places are taken."""
    got: list[str] = []

    class Narrow(Worker):
        io_max = 1

    async def task(worker: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(2):
                    operation = worker.io(_work, got)
                    assert operation.is_done
                    with pytest.raises(histrio.FutureCancelled):
                        await operation
                    await worker.ref.ask(Do(hog))

    async def hog(worker: Worker) -> None:
        worker.background(trio.sleep, 5)

    async with histrio.open_system() as system:
        ref = await system.spawn(Narrow, task)
        await ref.ask(Do(switch_on))
        await wait_all_tasks_blocked()
        await ref.ask(Do(switch_off))
        await trio.sleep(20)
        assert worker_of(system, ref).log == ["entered", "left", "exited"]

    assert got == []
    assert nothing_left()


async def test_an_operation_of_the_clean_up_after_a_kill(autojump_clock: MockClock) -> None:
    """M7, E4: the same when the actor takes no operations any more."""
    got: list[bool] = []

    async def task(worker: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                got.append(worker.io(trio.sleep, 1).is_done)

    async def off_and_die(worker: Worker) -> None:
        worker.states.remove(Work.on)
        worker.ref.control.kill()

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task)
        await ref.ask(Do(switch_on))
        await wait_all_tasks_blocked()
        await ref.tell(Do(off_and_die))
        await trio.sleep(5)

    assert got == [True]
    assert nothing_left()


VARIABLE: Final = ContextVar("variable", default="nothing")


async def test_tasks_begin_in_the_context_of_the_actor(autojump_clock: MockClock) -> None:
    """A4, A17: that of its spawn, not of the handler that mutates; and no handler begins in a task's."""
    seen: list[str] = []

    async def look(worker: Worker) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("a task's")

    async def mutate(worker: Worker) -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("a handler's")
        worker.states.toggle(Work.on)

    VARIABLE.set("spawned")
    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, look, look)
        VARIABLE.set("asked")
        for _ in range(4):
            await ref.ask(Do(mutate))
            await wait_all_tasks_blocked()

    assert seen == ["spawned"] * 8


@pytest.mark.parametrize("deed", [sleeps, cleans_up])
async def test_pausing_does_not_touch_the_tasks(deed: Deed, autojump_clock: MockClock) -> None:
    """M7, S6: a pause keeps messages waiting; what states do goes on, and can end."""

    async def task(worker: Worker) -> None:
        with trio.move_on_after(2):
            await deed(worker)
        worker.states.remove(Work.on)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task)
        await ref.ask(Do(switch_on))
        await ref.control.pause()
        await trio.sleep(5)
        assert worker_of(system, ref).log == ["entered", "left", "exited"]
        assert state_tasks() == 0
        ref.control.resume()
        await ref.ask(Do(switch_on))
        await trio.sleep(1)
        assert state_tasks() == 1
