"""M7: operations, children and timers that a handler gives to a state end with its activation, and before its `exited`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.actors.machines.crew import (
    Do,
    Oops,
    Work,
    Worker,
    nothing_left,
    sleeps,
    switch_off,
    switch_on,
    worker_of,
)
from tests.inside import cell_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.machine.shell.machine import Machine


class Guest(histrio.Actor[str]):
    """A child that takes a second to start and to stop, and writes both down."""

    def __init__(self, log: list[str], start_s: float = 0, stop_s: float = 1) -> None:
        self.log: Final = log
        self.seconds: Final = (start_s, stop_s)

    async def started(self) -> None:
        await trio.sleep(self.seconds[0])
        self.log.append("child begins")

    async def stopped(self, reason: histrio.Reason) -> None:
        await trio.sleep(self.seconds[1])
        self.log.append(f"child ends: {reason.why}")


async def operate(log: list[str]) -> None:
    """Until it is cancelled, and then a second more."""
    log.append("operation begins")
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        log.append("operation ends")


async def give_an_operation(worker: Worker, log: list[str]) -> None:
    """`self.io(..., within=S)`, which no handler waits for."""
    worker.io(operate, log, within=Work.on)


async def give_a_child(worker: Worker, log: list[str]) -> None:
    """`self.spawn(..., within=S)`."""
    await worker.spawn(Guest, log, within=Work.on)


async def give_a_named_child(worker: Worker, log: list[str]) -> None:
    """The same by a specification."""
    await worker.spawn(histrio.child("guest", Guest, log), within=Work.on)


async def give_a_timer(worker: Worker, log: list[str]) -> None:
    """`self.timers.after(..., within=S)`; what it would send shows in the log of the worker."""
    worker.timers.after(3, "timer", within=Work.on)
    log.extend(("timer begins", "timer ends"))


async def give_a_tick(worker: Worker, log: list[str]) -> None:
    """`self.timers.every(..., within=S)`."""
    worker.timers.every(3, "tick", within=Work.on)
    log.extend(("tick begins", "tick ends"))


Give = Callable[[Worker, list[str]], Awaitable[None]]
GIFTS: Final[tuple[Give, ...]] = (give_an_operation, give_a_child, give_a_named_child, give_a_timer, give_a_tick)


@pytest.mark.parametrize("give", GIFTS)
@pytest.mark.parametrize("by", ["handler", "task"])
async def test_a_gift_ends_with_the_activation(give: Give, by: str, autojump_clock: MockClock) -> None:
    """M7: it is told to end when the state leaves, and has ended before `exited`, and before the next task."""
    log: list[str] = []

    async def task(worker: Worker) -> None:
        log.append("task begins")
        if by == "task":
            await give(worker, log)
        await trio.sleep_forever()

    async def exited(worker: Worker) -> None:
        log.append("exited")

    async def begin(worker: Worker) -> None:
        await switch_on(worker)
        if by == "handler":
            await give(worker, log)

    async def off_and_on(worker: Worker) -> None:
        worker.states.remove(Work.on)
        worker.states.add(Work.on)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task, exited)
        await ref.ask(Do(begin))
        await trio.sleep(1)
        assert len(log) >= 2
        await ref.tell(Do(off_and_on))
        await trio.sleep(10)
        assert log.count("exited") == 1
        ends = [place for place, entry in enumerate(log) if "ends" in entry]
        assert ends[0] < log.index("exited") < [n for n, entry in enumerate(log) if entry == "task begins"][1]
        worker = worker_of(system, ref)
        received = [entry for entry in worker.log if entry in {"timer", "tick"}]
        assert bool(received) == (by == "task" and give in {give_a_timer, give_a_tick})  # those of the second one

    assert nothing_left()


@pytest.mark.parametrize("give", GIFTS)
async def test_a_gift_that_is_over_keeps_nobody_waiting(give: Give, autojump_clock: MockClock) -> None:
    """M7: what ends by itself is forgotten, and the activation goes on."""
    log: list[str] = []

    async def begin(worker: Worker) -> None:
        await switch_on(worker)
        await give(worker, log)
        worker.io(trio.sleep, 1, within=Work.on)

    async def end_them(worker: Worker) -> None:
        worker.timers.cancel("timer")
        for child in worker.children:
            child.control.stop()

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        await ref.ask(Do(begin))
        await trio.sleep(5)
        await ref.ask(Do(end_them))
        await trio.sleep(5)
        worker = worker_of(system, ref)
        assert "exited" not in worker.log
        await ref.ask(Do(switch_off))
        await trio.sleep(5)
        assert worker.log[-1] == "exited"
        assert _works(worker.states) == 0

    assert nothing_left()


def _works(machine: Machine) -> int:
    """How much belongs to the states of a machine."""
    assert machine._keeper is not None
    lines = machine._keeper._lines.values()
    return sum(len(activation.works) for line in lines for activation in line._activations)


async def test_what_ends_by_itself_is_forgotten_at_once(autojump_clock: MockClock) -> None:
    """M7: a state that lives long does not grow: neither by operations, nor by children, nor by timers."""
    log: list[str] = []

    async def one_of_each(worker: Worker) -> None:
        await worker.io(trio.sleep, 1, within=Work.on)
        child = await worker.spawn(Guest, log, 0, 0, within=Work.on)
        child.control.stop()
        await child.join()
        worker.timers.after(1, "timer", within=Work.on)
        key = worker.timers.after(1, "never", within=Work.on)
        worker.timers.cancel(key)
        worker.timers.after(5, "replaced", key="key", within=Work.on)
        worker.timers.after(1, "replacing", key="key", within=Work.on)
        with worker.states.scope(Work.on):
            await worker.io(trio.sleep, 2)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        await ref.ask(Do(switch_on))
        for _ in range(20):
            await ref.ask(Do(one_of_each))
        worker = worker_of(system, ref)
        assert _works(worker.states) == 0
        assert (worker.log.count("timer"), worker.log.count("replacing")) == (20, 20)
        assert "never" not in worker.log
        assert "replaced" not in worker.log


@pytest.mark.parametrize("give", GIFTS)
async def test_nothing_is_given_to_a_state_that_is_not_active(give: Give, autojump_clock: MockClock) -> None:
    """M7: `NotActive`, and nothing was started."""
    log: list[str] = []

    async def try_it(worker: Worker) -> None:
        with pytest.raises(histrio.NotActive, match="'on' is not active"):
            await give(worker, log)
        assert worker.children == ()
        assert len(worker.timers) == 0

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        await ref.ask(Do(try_it))
        cell = cell_of(system, ref)
        assert cell.io is None or cell.io.running == 0

    assert [entry for entry in log if not entry.startswith("ti")] == []


class Stateless(histrio.Actor[str]):
    """Has no machine."""

    async def receive(self, message: str) -> None:
        self.io(trio.sleep, 1, within=Work.on)


async def test_an_actor_without_states(autojump_clock: MockClock) -> None:
    """M7: is told what it lacks."""
    async with histrio.open_system() as system:
        await system.spawn(histrio.Supervisor, histrio.child("stateless", Stateless))
        stateless = system.find(Stateless, "/supervisor#1/stateless")
        assert stateless is not None
        await stateless.tell("x")
        await trio.sleep(1)
        (report,) = system.engine.reports
        assert "give its class `states=`" in str(report)


async def test_a_handler_that_awaits_such_an_operation(autojump_clock: MockClock) -> None:
    """M7, F1: its future is cancelled with the activation; the handler goes on with `FutureCancelled`."""

    async def wait(worker: Worker) -> float:
        worker.states.add(Work.on)
        with pytest.raises(histrio.FutureCancelled):
            await worker.io(trio.sleep_forever, within=Work.on)
        return trio.current_time()

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker)
        asked = ref.ask(Do(wait))
        await trio.sleep(1)
        await ref.ask(Do(switch_off))

        assert await asked == 1


class TakesErrors(Work):
    """With an `exception` that handlers can be for."""

    exception = histrio.State(multi="keep")


async def test_errors_of_operations(autojump_clock: MockClock) -> None:
    """M7, F4: awaited, it is the handler's; else the state's, not the handler's, which does not wait for it."""
    seen: list[tuple[float, list[str]]] = []

    class Taking(Worker, states=TakesErrors):
        @TakesErrors.exception.entered
        def take(self, t: histrio.Transition[None]) -> None:
            seen.append((trio.current_time(), [t.schema.names[state] for state in t.called]))

    async def fails() -> None:
        await trio.sleep(2)
        raise Oops

    async def fails_late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Oops

    async def begin(worker: Worker) -> float:
        worker.states.add(Work.on)
        with pytest.raises(Oops):
            await worker.io(fails, within=Work.on)
        worker.io(fails, within=Work.on)
        worker.io(fails_late, within=Work.on)
        return trio.current_time()

    async with histrio.open_system() as system:
        ref = await system.spawn(Taking, sleeps)
        assert await ref.ask(Do(begin)) == 2
        await trio.sleep(3)
        assert seen == [(4, ["on", "exception"])]
        await ref.ask(Do(switch_off))
        await trio.sleep(1)
        assert seen[1:] == [(5, ["exception"])]
        assert worker_of(system, ref).log == ["entered", "left", "exited"]


async def test_a_child_whose_parent_fails(autojump_clock: MockClock) -> None:
    """M7, S4: a child's failure is its parent's, whatever state it belongs to; then all of it ends."""

    class Failing(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            raise Oops

    async def begin(worker: Worker) -> None:
        worker.states.add(Work.on)
        child = await worker.spawn(Failing, within=Work.on)
        await child.tell("fail")

    async with histrio.open_system() as system:
        await system.spawn(histrio.Supervisor, histrio.child("worker", Worker, sleeps), name="top")
        ref = system.find(Worker, "/top/worker")
        assert ref is not None
        first = worker_of(system, ref)
        await ref.tell(Do(begin))
        await trio.sleep(1)
        assert worker_of(system, ref) is not first
        assert first.log[-1] == "left"

    assert nothing_left()


@pytest.mark.parametrize("by", ["handler", "task"])
async def test_a_child_that_is_still_starting(by: str, autojump_clock: MockClock) -> None:
    """M7, S2: it ends too: it is stopped as soon as it has started, or killed with the task that spawns it."""
    log: list[str] = []
    outcomes: list[str] = []

    async def spawn(worker: Worker) -> None:
        try:
            await worker.spawn(Guest, log, 3, 1, within=Work.on)
        except histrio.ActorStopped:
            outcomes.append("stopped")
        except trio.Cancelled:
            outcomes.append("cancelled")
            raise
        else:
            outcomes.append("spawned")

    async def begin(worker: Worker) -> None:
        worker.states.add(Work.on)
        if by == "handler":
            await spawn(worker)

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, spawn if by == "task" else sleeps)
        await ref.tell(Do(begin))
        await trio.sleep(1)
        await ref.ask(Do(switch_off))
        await trio.sleep(10)
        worker = worker_of(system, ref)
        assert worker.children == ()
        assert worker.log[-2:] == ["left", "exited"]
        assert len(outcomes) == 1
        assert _works(worker.states) == 0

    assert nothing_left()


async def test_a_timer_whose_message_stands_in_line(autojump_clock: MockClock) -> None:
    """M7, S8: it has fired, and is called off all the same as long as its message is not in the inbox."""

    class Small(Worker):
        inbox_max = 1

    async def begin(worker: Worker) -> None:
        worker.states.add(Work.on)
        worker.timers.after(1, "timer", within=Work.on)
        await trio.sleep(3)
        worker.states.remove(Work.on)

    async with histrio.open_system() as system:
        ref = await system.spawn(Small)
        await ref.tell(Do(begin))
        await wait_all_tasks_blocked()
        await ref.tell("fills the inbox")
        await trio.sleep(5)

        log = worker_of(system, ref).log
        assert "fills the inbox" in log
        assert "timer" not in log


async def test_a_gift_to_an_activation_that_is_over(autojump_clock: MockClock) -> None:
    """M7: what a task gives in its shielded clean-up is told to end at once, and waited for before `exited`."""
    log: list[str] = []

    async def task(worker: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                worker.timers.after(1, "timer")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(spawn_and_leave, worker)
                    await trio.sleep(1)

    async def spawn_and_leave(worker: Worker) -> None:
        await worker.spawn(Guest, log, 0, 3)

    async def exited(worker: Worker) -> None:
        log.append("exited")

    async with histrio.open_system() as system:
        ref = await system.spawn(Worker, task, exited)
        await ref.ask(Do(switch_on))
        await wait_all_tasks_blocked()
        await ref.ask(Do(switch_off))
        await trio.sleep(20)
        worker = worker_of(system, ref)
        assert log == ["child begins", "child ends: the state that it belonged to has ended", "exited"]
        assert "timer" not in worker.log

    assert nothing_left()


async def test_another_activation_does_not_inherit(autojump_clock: MockClock) -> None:
    """M7: what is given to the present one stays when the last one is still cleaning up, and ends with its own."""
    log: list[str] = []

    async def begin(worker: Worker) -> None:
        worker.states.add(Work.on)
        worker.io(operate, log, within=Work.on)
        await wait_all_tasks_blocked()
        worker.states.remove(Work.on)
        worker.states.add(Work.on)
        worker.io(operate, log, within=Work.on)
        await worker.io(trio.sleep, 5)
        log.append("later")
        worker.states.remove(Work.on)

    async with histrio.open_system() as system:
        await (await system.spawn(Worker)).tell(Do(begin))
        await trio.sleep(10)

    assert log == ["operation begins", "operation begins", "operation ends", "later", "operation ends"]
