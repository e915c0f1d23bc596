"""S3, S5, S7: a process is an actor: it is joined, supervised, monitored and watched as one, and leaves nothing behind."""

import gc
import weakref

import pytest
import trio
from tests.actors.processes.jobs import Job, Log, Mortal, Stage, at, done, fail, new_log, to, wait
from trio.testing import MockClock

import histrio
from histrio import Phase


async def test_join_gives_the_value_of_done(autojump_clock: MockClock) -> None:
    """S5, S7: `Done(value)` is the result; `join(kind)` checks it; None is a result too."""

    class Nothing(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            return histrio.Done(None)  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]

    async with histrio.open_system() as system:
        job, nothing = await system.spawn(Job, new_log(), done()), await system.spawn(Nothing, new_log())
        job.control.nudge()
        nothing.control.nudge()

        assert await job.join(str) == "done after 1"
        with pytest.raises(TypeError, match="no int"):
            await job.join(int)
        assert await nothing.join() is None
        down = await job.monitor()
        assert (down.reason.end, down.reason.result) == (histrio.End.STOPPED, "done after 1")


async def test_join_raises_the_failure(autojump_clock: MockClock) -> None:
    """S5, S7: what an advance raises fails the process, and is the cause that whoever joins sees."""
    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        job = await sup.start_child(histrio.child("job", Job, new_log(), fail(1)).with_(restart=histrio.TEMPORARY))
        job.control.nudge()

        with pytest.raises(histrio.ActorFailed, match="it was told to fail") as failed:
            await job.join()
        assert isinstance(failed.value.__cause__, ValueError)


async def test_whoever_joins_may_be_cancelled(autojump_clock: MockClock) -> None:
    """S5: cancelling `join` does nothing to the process."""
    async with histrio.open_system() as system:
        job = await system.spawn(Job, new_log(), done(5))
        job.control.nudge()
        with trio.move_on_after(1):
            await job.join()

        assert await job.join() == "done after 1"


async def test_a_failed_process_begins_anew(autojump_clock: MockClock) -> None:
    """S3, S7: a supervisor makes a new object, in its first state; `join` waits for the end of the last of them."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", Mortal, log, (to(Stage.TWO, 1), fail(1)), (done(1),)).with_(
            restart=histrio.TRANSIENT
        )
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        job.control.nudge()

        assert await job.join() == "done after 1"
        assert at(log) == ["0 begins 0", "1 ends 0", "1 begins 1", "2 ends 1", "2 begins 0", "3 ends 0"]


@pytest.mark.parametrize(
    ("restart", "again"), [(histrio.PERMANENT, True), (histrio.TRANSIENT, False), (histrio.TEMPORARY, False)]
)
async def test_what_becomes_of_one_that_is_done(
    autojump_clock: MockClock, restart: histrio.Restart, again: bool
) -> None:
    """S1, S7: to be done is a normal end: only a PERMANENT child is started again."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", Job, log, done(4)).with_(restart=restart)
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        job.control.nudge()
        await trio.sleep(6)

        assert (at(log) == ["0 begins 0", "4 ends 0", "4 begins 0"]) is again
        assert job.control.is_done is not again


async def test_a_killed_process_is_started_again(autojump_clock: MockClock) -> None:
    """S1, S7: after `killed()` the supervisor starts it again, as it was wanted."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", Job, log, done(2)).with_(restart=histrio.TRANSIENT)
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        job.control.nudge()
        await trio.sleep(1)
        assert await job.control.kill() is Phase.RESTARTING

        assert await job.join() == "done after 1"
        assert at(log) == ["0 begins 0", "1 cut 0", "1 killed", "1 cleaned up", "1 begins 0", "3 ends 0"]


async def test_halted_with_its_siblings(autojump_clock: MockClock) -> None:
    """S2, S7: under ONE_FOR_ALL a process is ended in order with its failed sibling: at once while it waits."""
    log: Log = []
    async with histrio.open_system() as system:
        bad = histrio.child("bad", Mortal, [], (fail(1),), (wait(1000),))
        waits = histrio.child("waits", Job, log, wait(1000), done())
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, bad, waits, strategy=histrio.ONE_FOR_ALL))
        for spec in (bad, waits):
            sup.child(spec).control.nudge()
        await trio.sleep(2)

        assert at(log) == ["0 begins 0", "0 ends 0", "1 begins 0", "1 ends 0"]
        assert sup.child(waits).control.inspect().incarnation == 2


async def test_a_process_may_have_children_and_operations(autojump_clock: MockClock) -> None:
    """S4, S7: what it spawned ends with it; what it does beside its advances is its own."""
    log: Log = []

    class Parent(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            child = await self.spawn(Job, self.log, done(3), name="child")
            child.control.nudge()
            return histrio.Done(await child.join(str))

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent, log, name="parent")
        parent.control.nudge()

        assert await parent.join() == "done after 1"
        assert trio.current_time() == 3


async def test_an_advance_runs_in_the_context_of_its_actor(autojump_clock: MockClock) -> None:
    """A4, S7: cancel scopes and nurseries work in an advance, also around `await self.io(...)`."""

    class Scoped(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 1)
                with trio.move_on_after(2) as scope:
                    await self.io(trio.sleep, 1000)
            return histrio.Done(f"late: {scope.cancelled_caught}")

    async with histrio.open_system() as system:
        job = await system.spawn(Scoped, new_log())
        job.control.nudge()

        assert await job.join() == "late: True"
        assert trio.current_time() == 2


async def test_nothing_of_an_ended_process_is_kept(autojump_clock: MockClock) -> None:
    """S7: when it has ended, killed or done, neither its object nor its loop is held by anybody."""
    objects: list[weakref.ref[Job]] = []

    class Counted(Job):
        def __init__(self, log: Log) -> None:
            super().__init__(log, wait(5), done())
            objects.append(weakref.ref(self))

    async with histrio.open_system() as system:
        jobs = [await system.spawn(Counted, new_log()) for _ in range(4)]
        states = [job.control.watch_states(Stage) for job in jobs]
        for job in jobs[:3]:
            job.control.nudge()
        await trio.sleep(1)
        for job in jobs[2:]:
            job.control.kill()
        await trio.sleep(10)
        gc.collect()

        assert [one() for one in objects] == [None] * 4
        assert all(feed.is_over for feed in states)


async def test_signals_tell_of_nudges(autojump_clock: MockClock) -> None:
    """J1, S6: each accepted nudge, pause and step is a CONTROL signal."""
    heard: list[object] = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, new_log(), to(Stage.TWO), done())
        system.listen(lambda signal: heard.append(signal.detail) if signal.kind is histrio.Kind.CONTROL else None)
        job.control.step()
        await trio.sleep(1)
        job.control.nudge()
        job.control.try_nudge()
        job.control.resume()
        await job.join()

        assert heard == ["step 1", "nudge", "nudge", "resume", "stop"]
