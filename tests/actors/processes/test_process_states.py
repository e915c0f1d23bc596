"""S6, S7: the states of a process, as it sees them itself and as others watch them."""

import enum
from functools import partial

import pytest
import trio
from tests.actors.noted import Noted, settle
from tests.actors.processes.jobs import Job, Log, Mortal, Stage, Steps, at, done, fail, new_log, to
from trio.testing import MockClock

import histrio

ROUND = (to(Stage.TWO, 1), to(Stage.TWO, 1), to(Stage.THREE, 1), to(Stage.ONE, 1), done(1))


class Late(Job):
    initial = Stage.THREE


async def test_every_state_is_told_once_and_in_order(autojump_clock: MockClock) -> None:
    """S7: the present state at once, then each change; going on in the same state is none; then the end."""
    async with histrio.open_system() as system:
        job = await system.spawn(Job, new_log(), *ROUND)
        states = job.control.watch_states(Stage)
        assert await states.next() is Stage.ONE
        job.control.nudge()
        seen = [(trio.current_time(), state) async for state in states]

        assert seen == [(1, Stage.TWO), (3, Stage.THREE), (4, Stage.ONE)]


async def test_a_late_reader_sees_the_present_state_first(autojump_clock: MockClock) -> None:
    """S6: whoever subscribes later never sees a default, but the state that the process is in."""
    async with histrio.open_system() as system:
        job = await system.spawn(Job, new_log(), *ROUND)
        job.control.nudge()
        await trio.sleep(3.5)
        states = job.control.watch_states(Stage)

        assert [state async for state in states] == [Stage.THREE, Stage.ONE]


async def test_the_state_does_not_change_before_the_advance_is_over(autojump_clock: MockClock) -> None:
    """S7: `self.state` and the watchers see the new state when `advance` has returned, and a failure changes nothing."""
    log: Log = []

    class Looking(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.note(self.state.name)
            move = self.to(Stage.TWO)
            self.note(self.state.name)
            if self.state is Stage.TWO:
                raise OSError("broken")
            return move

    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        job = await sup.start_child(histrio.child("job", Looking, log).with_(restart=histrio.TEMPORARY))
        states = job.control.watch_states(Stage)
        job.control.nudge()

        assert [state async for state in states] == [Stage.ONE, Stage.TWO]
        assert [what for _, what in log] == ["ONE", "ONE", "TWO", "TWO"]


async def test_the_first_state_may_be_declared(autojump_clock: MockClock) -> None:
    """S7: a process begins in the first member of its Enum, or in `initial`; in `__init__` too."""
    seen: list[Stage] = []

    class Early(Late):
        def __init__(self) -> None:
            super().__init__([], done())
            seen.append(self.state)

    async with histrio.open_system() as system:
        job = await system.spawn(Late, new_log(), done())
        assert job.control.inspect().state is Stage.THREE
        assert await job.control.watch_states(Stage).next() is Stage.THREE
        await system.spawn(Early)

        assert seen == [Stage.THREE]


async def test_a_restart_begins_in_the_first_state(autojump_clock: MockClock) -> None:
    """S3, S7: the next incarnation has fresh state; whoever watches sees it begin, and nothing while there is none."""
    log: Log = []
    async with histrio.open_system() as system:
        lives = (to(Stage.TWO), fail(1)), (to(Stage.THREE, 1), done(1))
        spec = histrio.child("job", Mortal, log, *lives).with_(restart=histrio.TRANSIENT)
        backoff = histrio.Backoff(first_s=5, jitter=0)
        job = (await system.spawn(histrio.child("sup", histrio.Supervisor, spec, backoff=backoff))).child(spec)
        states = job.control.watch_states(Stage)
        job.control.nudge()
        await trio.sleep(2)
        between = job.control.watch_states(Stage)
        assert (job.control.inspect().state, between.kept) == (None, 0)

        assert [state async for state in states] == [Stage.ONE, Stage.TWO, Stage.ONE, Stage.THREE]
        assert [state async for state in between] == [Stage.ONE, Stage.THREE]


async def test_latest_keeps_only_the_newest(autojump_clock: MockClock) -> None:
    """S6: a reader that wants only the latest state is never behind by more than one."""
    async with histrio.open_system() as system:
        job = await system.spawn(Job, new_log(), *ROUND)
        states = job.control.watch_states(Stage, latest=True)
        job.control.nudge()
        await trio.sleep(3.5)
        assert await states.next() is Stage.THREE
        await job.join()

        assert [state async for state in states] == [Stage.ONE]


async def test_a_reader_that_is_too_slow_is_told(autojump_clock: MockClock) -> None:
    """S6: a reader that wants every state and does not read gets `Lagged`, not a gap."""
    async with histrio.open_system() as system:
        script = [*[to(Stage.TWO), to(Stage.ONE)] * 800, done()]
        job = await system.spawn(partial(Job, new_log(), *script))
        states = job.control.watch_states(Stage)
        await job.control.nudge()
        await job.join()

        with pytest.raises(histrio.Lagged, match="states of /job#1: 577 items are lost"):
            async for _ in states:
                pass


async def test_forgotten_readers_are_no_burden(autojump_clock: MockClock) -> None:
    """S6: a feed that was closed or dropped gets nothing; the others do."""
    async with histrio.open_system() as system:
        job = await system.spawn(Job, new_log(), *ROUND)
        job.control.watch_states(Stage)
        closed, kept = job.control.watch_states(Stage), job.control.watch_states(Stage)
        closed.close()
        job.control.nudge()
        await job.join()

        assert kept.kept == 4


async def test_states_of_another_type_are_refused(autojump_clock: MockClock) -> None:
    """S7: `watch_states` names what the process has; an actor without states has none."""

    class Other(enum.Enum):
        ODD = 1

    async with histrio.open_system() as system:
        job = await system.spawn(Job, new_log(), *ROUND)
        plain = await system.spawn(Noted, "a", list[str]())
        with pytest.raises(TypeError, match=r"^/job#1: watch_states\(.*\), but Job has states of type Stage$"):
            job.control.watch_states(Other)
        with pytest.raises(TypeError, match=r"^/noted#1: watch_states\(.*\), but Noted has no states of its own$"):
            plain.control.watch_states(Other)


async def test_inspect_shows_the_state(autojump_clock: MockClock) -> None:
    """S6: an inspection has the state of a process that runs; None for other actors."""
    async with histrio.open_system() as system:
        job = await system.spawn(Steps, new_log(), *ROUND)
        plain = await system.spawn(Noted, "a", list[str]())
        await job.control.step()

        assert (job.control.inspect().state, plain.control.inspect().state) == (Stage.TWO, None)


async def test_the_state_is_that_of_the_object(autojump_clock: MockClock) -> None:
    """S7: an object of an earlier incarnation keeps the state that it ended in."""
    objects: list[Job] = []

    class Kept(Mortal):
        def __init__(self, log: Log) -> None:
            super().__init__(log, (to(Stage.TWO), fail()), (to(Stage.THREE, 1), done(1)))
            objects.append(self)

    async with histrio.open_system() as system:
        spec = histrio.child("job", partial(Kept, new_log())).with_(restart=histrio.TRANSIENT)
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        await job.control.nudge()
        await settle()
        await trio.sleep(1.5)

        assert [one.state for one in objects] == [Stage.TWO, Stage.THREE]
        assert at(objects[0].log)[-1] == "1 begins 1"
