"""M5, A17: the machine of an actor is mutated by the actor's own code, wherever that runs, and by nobody else's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.actors.machines.crew import Do, Job, Work, Worker, nothing_left, sleeps, switch_on, worker_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.machine.shell.machine import Machine

MUTATIONS: Final[dict[str, Callable[[Machine], object]]] = {
    "add": lambda m: m.add(Work.on),
    "add with arguments": lambda m: m.add(Work.job(name="x")),
    "remove": lambda m: m.remove(Work.idle),
    "set": lambda m: m.set(Work.on),
    "toggle": lambda m: m.toggle(Work.on),
    "fail": lambda m: m.fail(ValueError("x")),
    "evolve": lambda m: m.evolve(Work),
    "load": lambda m: m.load(m.export()),
    "dispose": lambda m: m.dispose(),
}


def refused(worker: Worker) -> None:
    """Every mutation is, and nothing has changed."""
    before = (worker.states.names, worker.states.time)
    for name, mutate in MUTATIONS.items():
        with pytest.raises(histrio.WrongOwner, match="nothing has changed"):
            mutate(worker.states)
        assert (worker.states.names, worker.states.time) == before, name
    assert not worker.states.is_disposed
    assert worker.states.error is None


async def by_nobody(system: histrio.System, worker: Worker) -> None:
    """A task that belongs to no actor."""
    refused(worker)


async def by_a_child_task(system: histrio.System, worker: Worker) -> None:
    """A task in a nursery of such a task."""

    async def child() -> None:
        refused(worker)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)


async def by_a_handler_of_another(system: histrio.System, worker: Worker) -> None:
    """Another actor of the same class, in its handler."""

    async def handler(other: Worker) -> None:
        assert other is not worker
        refused(worker)

    await (await system.spawn(Worker)).ask(Do(handler))


async def by_an_operation_of_another(system: histrio.System, worker: Worker) -> None:
    """Work of another actor in `self.io`."""

    async def operation() -> None:
        refused(worker)

    async def handler(other: Worker) -> None:
        await other.io(operation)

    await (await system.spawn(Worker)).ask(Do(handler))


async def by_a_state_of_another(system: histrio.System, worker: Worker) -> None:
    """The task of a state of another actor."""

    async def task(other: Worker) -> None:
        refused(worker)

    ref = await system.spawn(Worker, task)
    await ref.ask(Do(switch_on))
    await wait_all_tasks_blocked()
    assert worker_of(system, ref).log == ["entered", "left"]


async def by_a_thread(system: histrio.System, worker: Worker) -> None:
    """A thread has no Trio task, whoever has started it."""

    async def handler(own: Worker) -> None:
        await own.io.thread(refused, own)

    await worker.ref.ask(Do(handler))


async def by_a_thread_that_comes_back(system: histrio.System, worker: Worker) -> None:
    """What a thread runs in Trio belongs to no actor."""

    def run() -> None:
        trio.from_thread.run_sync(refused, worker)

    await trio.to_thread.run_sync(run)


async def by_a_visitor_that_has_left(system: histrio.System, worker: Worker) -> None:
    """Who had the turn has it no more."""
    async with worker.turn():
        worker.states.add(Work.again)
    refused(worker)


FOREIGN: Final = (
    by_nobody,
    by_a_child_task,
    by_a_handler_of_another,
    by_an_operation_of_another,
    by_a_state_of_another,
    by_a_thread,
    by_a_thread_that_comes_back,
    by_a_visitor_that_has_left,
)


@pytest.mark.parametrize("act", FOREIGN)
async def test_others_do_not_mutate_it(
    act: Callable[[histrio.System, Worker], Awaitable[None]], autojump_clock: MockClock
) -> None:
    """M5: each mutation raises `WrongOwner`, and nothing has changed."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        await act(system, worker_of(system, ref))

    assert nothing_left()


async def test_a_parent_is_somebody_else(autojump_clock: MockClock) -> None:
    """M5: a child's tasks run within its parent's, but its machine is its own; and the other way round."""
    told: list[str] = []

    async def look(worker: Worker) -> None:
        refused(worker)
        told.append("looked")

    async def task(parent: Worker) -> None:
        assert isinstance(parent.field, Worker)
        await look(parent.field)

    async def with_a_child(parent: Worker) -> None:
        ref = await parent.spawn(Worker)
        parent.field = child = worker_of(parent.system, ref)
        await look(child)
        await parent.io(look, child)
        parent.states.add(Work.on)
        await wait_all_tasks_blocked()

        async def the_other_way(_: Worker) -> None:
            await look(parent)

        await ref.ask(Do(the_other_way))

    async with histrio.open_system() as system:
        await (await system.spawn(Worker, task)).ask(Do(with_a_child))

    assert told == ["looked"] * 4


# -- the actor's own code ----------------------------------------------------------------------------------------------


def allowed(worker: Worker) -> None:
    """A mutation, back and forth."""
    assert worker.states.add(Work.again) is histrio.EXECUTED
    assert worker.states.remove(Work.again) is histrio.EXECUTED


async def mutate(worker: Worker) -> None:
    """The same, in a task of its own."""
    allowed(worker)


async def in_a_handler(worker: Worker) -> None:
    """The nearest place."""
    allowed(worker)


async def in_a_nursery(worker: Worker) -> None:
    """A child task of the handler."""
    async with trio.open_nursery() as nursery, trio.open_nursery() as inner:
        nursery.start_soon(mutate, worker)
        inner.start_soon(mutate, worker)


async def in_an_operation(worker: Worker) -> None:
    """Work beside the handlers, and a child task of it."""
    await worker.io(mutate, worker)
    await worker.io(in_a_nursery, worker)


async def in_the_background(worker: Worker) -> None:
    """Work that belongs to the actor."""
    await worker.background(mutate, worker)


async def in_a_visit(worker: Worker) -> None:
    """An operation that has the turn."""

    async def visit() -> None:
        async with worker.turn():
            allowed(worker)
        allowed(worker)

    await worker.io(visit)


async def in_a_machine_that_it_has_opened(worker: Worker) -> None:
    """The states of another machine, in the actor's own code."""

    class Inner(histrio.Handlers, states=Work):
        @Work.on.entered
        async def on(self, t: histrio.Transition[None]) -> None:
            allowed(worker)
            await worker.io(mutate, worker)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(mutate, worker)
            worker.log.append("inner")

        @Work.on.exited
        async def off(self, t: histrio.Transition[None]) -> None:
            allowed(worker)

    async with histrio.Machine(Work) as machine:
        machine.bind(Inner())
        machine.add(Work.on)
        await wait_all_tasks_blocked()
        machine.remove(Work.on)

    assert worker.log == ["inner"]


async def while_it_visits_another(worker: Worker) -> None:
    """A handler that has the turn of another actor, too."""
    other = worker_of(worker.system, await worker.system.spawn(Worker))
    async with other.turn():
        allowed(worker)
        allowed(other)
    allowed(worker)
    refused(other)


OWN: Final = (
    in_a_handler,
    in_a_nursery,
    in_an_operation,
    in_the_background,
    in_a_visit,
    in_a_machine_that_it_has_opened,
    while_it_visits_another,
)


@pytest.mark.parametrize("act", OWN)
async def test_its_own_code_mutates_it(act: Callable[[Worker], Awaitable[None]], autojump_clock: MockClock) -> None:
    """M5, A17: handlers, operations, and whatever they start."""
    async with histrio.open_system() as system:
        await (await system.spawn(Worker)).ask(Do(act))

    assert nothing_left()


@pytest.mark.parametrize("act", OWN)
async def test_a_state_mutates_it(act: Callable[[Worker], Awaitable[None]], autojump_clock: MockClock) -> None:
    """M5, M7: the task of a state, and whatever it starts."""
    done: list[str] = []

    async def task(worker: Worker) -> None:
        worker.log.clear()
        await act(worker)
        done.append("task")

    async with histrio.open_system() as system:
        await (await system.spawn(Worker, task)).ask(Do(switch_on))
        await trio.sleep(1)

    assert done == ["task"]
    assert nothing_left()


class Hooked(Worker):
    """Mutates its machine in its hooks, in an `exited`, and in a sync handler."""

    async def started(self) -> None:
        allowed(self)
        self.states.add(Work.on)

    async def stopped(self, reason: histrio.Reason) -> None:
        allowed(self)

    @Work.job.entered
    def job(self, t: histrio.Transition[Job]) -> None:
        assert isinstance(self.states.add(Work.again), histrio.Queued)


async def test_hooks_and_transition_handlers(autojump_clock: MockClock) -> None:
    """M5: `started` and `stopped`, an async `exited`; and from a sync handler it is queued."""
    done: list[str] = []

    async def exited(worker: Worker) -> None:
        if not worker.states.is_disposed:
            allowed(worker)
        done.append("exited")

    async def job(worker: Worker) -> None:
        worker.states.remove(Work.on)
        worker.states.add(Work.job(name="x"))
        assert Work.again in worker.states

    async with histrio.open_system() as system:
        ref = await system.spawn(Hooked, sleeps, exited)
        await ref.ask(Do(job))

    assert done == ["exited"]
    assert nothing_left()


async def test_a_visitor_mutates_it(autojump_clock: MockClock) -> None:
    """M5, A17: a task of nobody that has the turn acts for the actor."""
    async with histrio.open_system() as system:
        worker = worker_of(system, await system.spawn(Worker))
        async with worker.turn():
            allowed(worker)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(mutate, worker)


async def test_others_may_read_and_wait(autojump_clock: MockClock) -> None:
    """M5, M6: what changes nothing is for everybody."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        states = worker_of(system, ref).states
        wait, gone = states.when(Work.on), states.when(Work.job)
        await ref.ask(Do(switch_on))

        transition = await wait
        assert transition is not None
        assert Work.on in states
        assert states.names == ("on",)
        assert states.can_add(Work.again)

    with pytest.raises(histrio.Disposed):
        await gone
