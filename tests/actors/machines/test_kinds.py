"""M7: every kind of actor may have states: serial ones, those that run by hand, processes, and supervisors."""

from __future__ import annotations

import enum
from typing import Final

import pytest
import trio
from tests.actors.machines.crew import Do, Work, Worker, nothing_left, sleeps, switch_off, switch_on, worker_of
from tests.inside import actor_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


class Serial(Worker):
    """Keeps its turn."""

    serial = True


async def test_a_serial_actor(autojump_clock: MockClock) -> None:
    """A6, M6: a handler that waits for a state keeps the turn; the tasks of states can bring it about."""

    async def task(worker: Worker) -> None:
        await trio.sleep(2)
        worker.states.add(Work.again)

    async def wait(worker: Worker) -> float:
        worker.states.add(Work.on)
        await worker.states.when(Work.again)
        worker.log.append("came")
        return trio.current_time()

    async with histrio.open_system() as system:
        ref = await system.spawn(Serial, task)
        asked = ref.ask(Do(wait))
        await wait_all_tasks_blocked()
        await ref.tell("note")
        assert await asked == 2
        await trio.sleep(1)

        log = worker_of(system, ref).log
        assert log.index("came") < log.index("note")


class ByHand(histrio.Actor[str], states=Work):
    """One long coroutine, which waits for mail and for its states in turn."""

    def __init__(self) -> None:
        self.log: Final[list[str]] = []

    async def run(self) -> str:
        envelope = await self.receive_next()
        self.log.append(envelope.message)
        self.states.add(Work.on)
        await self.states.when(Work.again)
        self.log.append("again")
        with self.states.scope(Work.on) as scope:
            await self.receive_next()
        self.log.append(f"scope ended: {scope.ended}")
        return "result"

    @Work.on.entered
    async def on(self, t: histrio.Transition[None]) -> None:
        await self.io(trio.sleep, 1)
        self.states.add(Work.again)
        await trio.sleep(1)
        self.states.remove(Work.on)

    @Work.on.exited
    async def off(self, t: histrio.Transition[None]) -> None:
        self.log.append("exited")


async def test_a_run_by_hand(autojump_clock: MockClock) -> None:
    """A12, M6, M7: waits, scopes around `receive_next`, and tasks beside it."""
    async with histrio.open_system() as system:
        ref = await system.spawn(ByHand)
        actor = actor_of(system, ByHand, ref)
        await ref.tell("first")
        assert await ref.join() == "result"
        assert trio.current_time() == 2

    assert sorted(actor.log) == sorted(["first", "again", "exited", "scope ended: True"])
    assert nothing_left()


class Step(enum.Enum):
    """The states of a process, which are something else."""

    BEGIN = enum.auto()
    WAIT = enum.auto()


class Process(histrio.Process[Step, float], states=Work):
    """Advances, with a machine beside it."""

    start = True

    def __init__(self) -> None:
        self.log: Final[list[str]] = []

    async def advance(self) -> histrio.Next[Step, float]:
        if self.state is Step.BEGIN:
            self.states.add(Work.on)
            return self.to(Step.WAIT)
        if Work.again not in self.states:
            return self.wait(self.states.when(Work.again))
        return histrio.Done(trio.current_time())

    @Work.on.entered
    async def on(self, t: histrio.Transition[None]) -> None:
        self.log.append("entered")
        await trio.sleep(3)
        self.states.add(Work.again)

    @Work.on.exited
    async def off(self, t: histrio.Transition[None]) -> None:
        self.log.append("exited")


async def test_a_process(autojump_clock: MockClock) -> None:
    """S7, M6, M7: an advance may wait for a state; the machine ends with the process."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Process)
        process = actor_of(system, Process, ref)
        assert await ref.join() == 3

    assert process.log == ["entered", "exited"]
    assert nothing_left()


async def test_a_process_that_is_paused(autojump_clock: MockClock) -> None:
    """S7: a pause while it waits for a state leaves the wait alone."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Process)
        await trio.sleep(1)
        await ref.control.pause()
        await trio.sleep(5)
        ref.control.resume()
        assert await ref.join() == 6

    assert nothing_left()


class Guest(histrio.Actor[str]):
    """A supervised child."""


class Crew(histrio.DynamicSupervisor, states=Work):
    """Starts a child when a state begins."""

    @Work.on.entered
    async def on(self, t: histrio.Transition[None]) -> None:
        await self.start_child(histrio.child("first", Guest))
        await trio.sleep(1)
        await self.start_child(histrio.child("second", Guest))
        await trio.sleep_forever()

    async def started(self) -> None:
        await super().started()
        self.states.add(Work.on)


async def test_a_supervisor(autojump_clock: MockClock) -> None:
    """S1, M7: its states' tasks start children; those are the supervisor's, and not the state's."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Crew, name="crew")
        await trio.sleep(0.5)
        assert system.find(Guest, "/crew/first") is not None
        assert system.find(Guest, "/crew/second") is None
        await trio.sleep(1)
        assert system.find(Guest, "/crew/second") is not None
        crew = actor_of(system, Crew, ref)
        async with crew.turn():
            crew.states.remove(Work.on)
        await trio.sleep(1)
        assert [child.name for child in crew.which_children()] == ["first", "second"]

    assert nothing_left()


class Base(histrio.Actor[Do | str], states=Work):
    """A class with states and a handler."""

    def __init__(self) -> None:
        self.log: Final[list[str]] = []

    @histrio.handler(Do)
    async def do(self, m: Do) -> None:
        raise NotImplementedError

    @Work.on.entered
    async def on(self, t: histrio.Transition[None]) -> None:
        self.log.append("base")


class Wider(Work):
    """One state more."""

    extra = histrio.State(add=[Work.on])


class Derived(Base, states=Wider):
    """With another schema, and a handler that takes the place of the one of its base."""

    async def receive(self, message: Do | str) -> object:
        self.states.add(Wider.extra)
        return None

    async def on(self, t: histrio.Transition[None]) -> None:
        self.log.append("derived")


async def test_a_subclass_widens_the_schema(autojump_clock: MockClock) -> None:
    """M1, M10: handlers are inherited, and replaced by name; the states are those of the subclass."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Derived)
        await ref.tell("go")
        await wait_all_tasks_blocked()
        derived = actor_of(system, Derived, ref)
        assert derived.log == ["derived"]
        assert set(derived.states.names) == {"extra", "on"}


async def test_a_class_without_states_says_so(autojump_clock: MockClock) -> None:
    """M7: `self.states` of such an actor is an error that tells what to write."""

    class Plain(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            with pytest.raises(AttributeError, match=r"class Plain\(\.\.\., states=Download\)"):
                self.states.add(Work.on)
            self.finish("seen")

    async with histrio.open_system() as system:
        ref = await system.spawn(Plain)
        await ref.tell("x")
        assert await ref.join() == "seen"


async def test_many_waits_of_many_handlers(autojump_clock: MockClock) -> None:
    """A2, M6: handlers that wait for a state give the turn away, and go on in the order in which they came."""
    order: list[int] = []

    async def wait(worker: Worker, number: int) -> None:
        await worker.states.when(Work.on)
        order.append(number)

    def numbered(number: int) -> Do:
        async def handler(worker: Worker) -> None:
            await wait(worker, number)

        return Do(handler)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, sleeps)
        asked = [ref.ask(numbered(number)) for number in range(100)]
        await wait_all_tasks_blocked()
        await ref.ask(Do(switch_on))
        await histrio.all_of(*asked)
        await ref.ask(Do(switch_off))

    assert order == list(range(100))
