"""A handler that never waits costs no task, and what a rush has left behind goes when it is quiet."""

import trio
from tests.actors.doer import Note
from tests.inside import Spawned, Steps, actor_of, cell_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.futures import HOLDERS


class Quick(histrio.Actor[Note]):
    """Its handler never waits."""

    def __init__(self) -> None:
        self.handled = 0

    @histrio.handler(Note)
    async def note(self, m: Note) -> int:
        self.handled += 1
        return self.handled


async def test_handlers_that_never_wait_cost_no_task(autojump_clock: MockClock) -> None:
    """A5: A thousand messages are handled in the actor's own task, in 16 of Trio's rounds of 64 messages each."""
    spawned, steps = Spawned(), Steps()
    async with histrio.open_system() as system:
        quick = await system.spawn(Quick)
        await wait_all_tasks_blocked()
        trio.lowlevel.add_instrument(spawned)
        trio.lowlevel.add_instrument(steps)

        for _ in range(1000):
            quick.tell_nowait(Note())
        await wait_all_tasks_blocked()

        trio.lowlevel.remove_instrument(spawned)
        trio.lowlevel.remove_instrument(steps)
        assert spawned.tasks == 0
        assert [n for task, n in steps.of.items() if task.name == quick.path] == [1 + 1000 // 64]


class Read(histrio.Request[None]):
    """Answered after 200 ms of I/O."""


class Reader(histrio.Actor[Read]):
    """Its handlers step aside during their I/O."""

    @histrio.handler(Read)
    async def read(self, m: Read) -> None:
        await self.io(trio.sleep, 0.2)


class Progress(trio.abc.Instrument):
    """Writes down how far an actor has come after each of its steps."""

    def __init__(self) -> None:
        self.actor: Quick | None = None
        self.after_each: list[int] = []

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self.actor is not None and task.name == "/quick":
            self.after_each.append(self.actor.handled)


async def test_a_batch_is_64_messages(autojump_clock: MockClock) -> None:
    """A5: An actor lets other tasks run after every 64 messages."""
    progress = Progress()
    trio.lowlevel.add_instrument(progress)
    async with histrio.open_system() as system:
        quick = await system.spawn(Quick, name="quick")
        await wait_all_tasks_blocked()
        progress.actor = actor_of(system, Quick, quick)
        for _ in range(200):
            quick.tell_nowait(Note())
        await wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(progress)

        assert progress.after_each == [64, 128, 192, 200]


async def test_an_actor_that_was_never_used_is_one_task_and_no_nursery(autojump_clock: MockClock) -> None:
    """A5: The nursery is opened by the actor's own task when it first runs something."""
    async with histrio.open_system() as system:
        quick = await system.spawn(Quick)
        await wait_all_tasks_blocked()
        cell = cell_of(system, quick)
        before = cell.nursery

        await quick.tell(Note())
        await wait_all_tasks_blocked()

        assert before is None
        assert cell.nursery is not None


async def test_spare_tasks_retire_when_the_actor_is_quiet(autojump_clock: MockClock) -> None:
    """A5: After a rush the workers and the tasks of operations end; what is left is the actor's own task."""
    async with histrio.open_system() as system:
        reader = await system.spawn(Reader)
        await wait_all_tasks_blocked()
        before = trio.lowlevel.current_statistics().tasks_living

        await histrio.all_of(*(reader.ask(Read()) for _ in range(100)))
        after_the_rush = trio.lowlevel.current_statistics().tasks_living
        await trio.sleep(5)
        quiet = trio.lowlevel.current_statistics().tasks_living

        assert after_the_rush >= before + 100
        assert quiet == before
        await reader.ask(Read())  # it can still work


async def test_nothing_of_a_system_is_left_behind() -> None:
    """A5: After its system's end no task is known as one that runs handlers."""
    async with histrio.open_system() as system:
        reader = await system.spawn(Reader)
        await reader.ask(Read())

    assert HOLDERS == {}
