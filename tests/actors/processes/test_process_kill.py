"""S6, S7: a kill ends a process in every phase, at once, or at its deadline where the clean-up hangs."""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import pytest
import trio
from tests.actors.noted import Noted, Say, settle
from tests.actors.processes.jobs import Job, Log, Mortal, Stage, Task, at, done, fail, new_log, to, wait
from trio.testing import MockClock

import histrio
from histrio import NoMessage, Phase, Ref

Into = Callable[["World"], Awaitable[Ref[NoMessage]]]


class Cleaner(Job):
    shutdown_s = 4


class Fetching(Job):
    """Its advance is between two attempts of an operation."""

    shutdown_s = 4

    async def advance(self) -> histrio.Next[Stage, str]:
        await self.io(self.fetch, retry=histrio.Retry(first_s=1000, pause_max_s=1000))
        return histrio.Done("fetched")

    async def fetch(self) -> None:
        raise OSError("not there")


class World:
    """Where a process is brought into a phase."""

    def __init__(self, system: histrio.System, killed_s: float) -> None:
        self.system = system
        self.killed_s = killed_s
        self.log: Log = []

    async def job(self, *script: Task, kind: type[Job] = Cleaner) -> Ref[NoMessage]:
        """A FREE process."""
        return await self.system.spawn(partial(kind, self.log, *script, killed_s=self.killed_s), name="job")


async def not_begun(world: World) -> Ref[NoMessage]:
    """It waits for its first nudge."""
    return await world.job(done())


async def nudged_just_now(world: World) -> Ref[NoMessage]:
    """It has been nudged, and has not run since."""
    job = await world.job(done())
    job.control.nudge()
    return job


async def advancing(world: World) -> Ref[NoMessage]:
    """It is in the middle of an advance."""
    job = await world.job(to(Stage.TWO), done(1000))
    await job.control.nudge()
    await settle()
    return job


async def pausing(world: World) -> Ref[NoMessage]:
    """It is to be paused when its advance is over."""
    job = await advancing(world)
    job.control.pause()
    return job


async def paused(world: World) -> Ref[NoMessage]:
    """It is paused between two advances."""
    job = await world.job(to(Stage.TWO), done(1000))
    await job.control.step()
    return job


async def paused_before_it_began(world: World) -> Ref[NoMessage]:
    """It is paused, and was never nudged."""
    job = await world.job(done())
    await job.control.pause()
    return job


async def cut_off(world: World) -> Ref[NoMessage]:
    """Its advance was cut off, and it is paused."""
    job = await advancing(world)
    await job.control.pause(now=True)
    return job


async def waiting(world: World) -> Ref[NoMessage]:
    """It waits for a future."""
    job = await world.job(wait(1000), done())
    await job.control.nudge()
    await settle()
    return job


async def paused_while_it_waits(world: World) -> Ref[NoMessage]:
    """It waits for a future, and is paused."""
    job = await waiting(world)
    await job.control.pause()
    return job


async def in_a_retry(world: World) -> Ref[NoMessage]:
    """An operation of its advance waits for its next attempt."""
    job = await world.job(kind=Fetching)
    await job.control.nudge()
    await settle()
    return job


async def stopping(world: World) -> Ref[NoMessage]:
    """It was asked to stop, and is still in its advance."""
    job = await advancing(world)
    job.control.stop(grace_s=math.inf)
    return job


PHASES: Final = (
    not_begun,
    nudged_just_now,
    advancing,
    pausing,
    paused,
    paused_before_it_began,
    cut_off,
    waiting,
    paused_while_it_waits,
    in_a_retry,
    stopping,
)
in_every_phase = pytest.mark.parametrize("into", PHASES, ids=lambda into: into.__name__)


@in_every_phase
async def test_a_kill_takes_no_time(autojump_clock: MockClock, into: Into) -> None:
    """S6, S7: it ends at the moment of the kill in every phase, and `killed()` has run, once, as the last thing."""
    async with histrio.open_system() as system:
        world = World(system, killed_s=0)
        job = await into(world)
        began = trio.current_time()
        states, phases = job.control.watch_states(Stage), job.watch(latest=True)
        ended = job.control.kill("not needed")
        job.control.kill("again")
        job.control.resume()
        job.control.nudge()
        assert await ended is Phase.KILLED

        assert trio.current_time() == began
        assert [what for _, what in world.log][-2:] == ["killed", "cleaned up"]
        assert sum(what == "killed" for _, what in world.log) == 1
        assert job.control.is_done
        with pytest.raises(histrio.ActorStopped, match=r"^/job has ended: killed \(not needed\)$"):
            await job.join()
        assert [phase async for phase in phases] == [Phase.KILLED]
        assert len([state async for state in states]) == 1


@in_every_phase
@pytest.mark.parametrize(("killed_s", "ends"), [(3, 3), (1000, 4)])
async def test_a_kill_ends_with_its_clean_up_or_at_the_deadline(
    autojump_clock: MockClock, into: Into, killed_s: float, ends: float
) -> None:
    """S6, S7: `killed()` has `shutdown_s` from the kill; then it is cut off, and the process has ended exactly then."""
    async with histrio.open_system() as system:
        world = World(system, killed_s=killed_s)
        job = await into(world)
        began = trio.current_time()
        assert await job.control.kill() is Phase.KILLED

        assert trio.current_time() - began == ends
        assert (world.log[-1][1] == "cleaned up") == (killed_s < 4)
        stuck = [report for report in system.reports if isinstance(report, histrio.StuckActor)]
        assert len(stuck) == (killed_s > 4)


async def test_the_report_names_the_hook_that_hangs(autojump_clock: MockClock) -> None:
    """S7: a `killed()` that is cut off is reported: whose it is, and after how long."""
    async with histrio.open_system() as system:
        job = await advancing(World(system, killed_s=1000))
        await job.control.kill()

        (stuck,) = [report for report in system.reports if isinstance(report, histrio.StuckActor)]
        assert str(stuck) == (
            "/job: killed() of Cleaner had not ended 4 s after the kill (shutdown_s), and was cancelled"
        )


async def test_the_deadline_counts_from_the_kill(autojump_clock: MockClock) -> None:
    """S7: time that the advance takes to unwind is the hook's loss; both are over by then."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(partial(Cleaner, log, done(1000), unwind_s=3, killed_s=1000), name="job")
        job.control.nudge()
        await trio.sleep(1)
        await job.control.kill()

        assert trio.current_time() == 5
        assert at(log) == ["0 begins 0", "1 cut 0", "4 killed"]


async def test_an_advance_that_outlasts_the_deadline(autojump_clock: MockClock) -> None:
    """S7: when unwinding took all of `shutdown_s`, the hook runs until it waits; the advance is reported as stuck."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(partial(Cleaner, log, done(1000), unwind_s=10, killed_s=1000), name="job")
        job.control.nudge()
        await trio.sleep(1)
        await job.control.kill()

        assert trio.current_time() == 11
        assert at(log) == ["0 begins 0", "1 cut 0", "11 killed"]
        assert any("has not ended; it is still waited for" in str(report) for report in system.reports)


async def test_a_hook_without_a_deadline(autojump_clock: MockClock) -> None:
    """S7: with `shutdown_s = math.inf` the clean-up has all the time that it takes."""

    class Patient(Job):
        shutdown_s = math.inf

    async with histrio.open_system() as system:
        log: Log = []
        job = await system.spawn(partial(Patient, log, done(), killed_s=10_000))
        await job.control.kill()

        assert at(log) == ["0 killed", "10000 cleaned up"]


async def test_what_the_hook_raises_is_the_cause_of_the_failure(autojump_clock: MockClock) -> None:
    """S7, A10: an error in `killed()` is the failure that the process ends by; nothing of it is lost."""

    class Clumsy(Job):
        async def killed(self, reason: histrio.Reason) -> None:
            raise OSError("cannot clean up")

    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        spec = histrio.child("job", Clumsy, new_log(), done(1000)).with_(restart=histrio.TEMPORARY)
        job = await sup.start_child(spec)
        job.control.nudge()
        await settle()
        assert await job.control.kill() is Phase.FAILED

        with pytest.raises(histrio.ActorFailed) as failed:
            await job.join()
        assert repr(failed.value.__cause__) == "OSError('cannot clean up')"


async def test_the_hook_is_not_called_at_any_other_end(autojump_clock: MockClock) -> None:
    """S7: not when the process is done, stops, or fails, by its advance or by an operation beside it."""

    class Beside(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.background(self.breaks)
            await trio.sleep(1000)
            return histrio.Done("never")

        async def breaks(self) -> None:
            await trio.sleep(1)
            raise OSError("broken")

    log: Log = []
    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        for kind, script in ((Job, done()), (Job, fail()), (Beside, done()), (Job, to(Stage.TWO, 1))):
            job = await sup.start_child(histrio.child(None, kind, log, script).with_(restart=histrio.TEMPORARY))
            job.control.nudge()
            await trio.sleep(0.5)
            if not job.control.is_done:
                await job.control.stop()

        assert not any(what == "killed" for _, what in log)


async def test_the_hook_may_ask_others(autojump_clock: MockClock) -> None:
    """S7: under its shield it may await asks and plain calls; operations of its own are cancelled from the start (E4)."""
    said: list[str] = []

    class Polite(Job):
        async def killed(self, reason: histrio.Reason) -> None:
            said.append(await self.other.ask(Say("bye")))
            await trio.sleep(1)
            operation = self.io(trio.sleep, 1)
            said.append(f"operation cancelled: {operation.is_done}")

        async def started(self) -> None:
            self.other = await self.system.spawn(Noted, "other", said)

    async with histrio.open_system() as system:
        job = await system.spawn(Polite, new_log(), done())
        await job.control.kill()

        assert said == ["other bye", "bye", "operation cancelled: True"]


async def test_killed_while_it_starts(autojump_clock: MockClock) -> None:
    """S6, S7: `started()` is cancelled, nothing has begun, and there is nothing to clean up."""
    log: Log = []
    refs: list[Ref[NoMessage]] = []

    class Slow(Cleaner):
        async def started(self) -> None:
            refs.append(self.ref)
            await trio.sleep(1000)

    async with histrio.open_system() as system, trio.open_nursery() as nursery:

        async def spawn() -> None:
            with pytest.raises(histrio.ActorStopped):
                await system.spawn(Slow, log, done())

        nursery.start_soon(spawn)
        await trio.sleep(1)
        assert await refs[0].control.kill() is Phase.KILLED

        assert (trio.current_time(), log) == (1, [])


async def test_killed_in_a_backoff(autojump_clock: MockClock) -> None:
    """S6: between two incarnations a kill takes no time, and there is nothing to clean up."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", Mortal, log, (fail(),), (done(),))
        backoff = histrio.Backoff(first_s=1000, max_s=1000, jitter=0)
        job = (await system.spawn(histrio.child("sup", histrio.Supervisor, spec, backoff=backoff))).child(spec)
        job.control.nudge()
        await trio.sleep(1)
        assert job.control.status() is Phase.RESTARTING
        await job.control.kill()

        assert (trio.current_time(), at(log)) == (1, ["0 begins 0", "0 ends 0"])


async def test_killed_by_its_own_advance(autojump_clock: MockClock) -> None:
    """S6, S7: an advance that kills its process is cancelled where it waits next, and does not count."""

    class Own(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.ref.control.kill("by itself")
            return self.to(Stage.TWO)

    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Own, log)
        job.control.nudge()
        with pytest.raises(histrio.ActorStopped, match="by itself"):
            await job.join()

        assert at(log) == ["0 killed", "0 cleaned up"]


@pytest.mark.parametrize("into", [advancing, waiting, paused, not_begun], ids=lambda into: into.__name__)
async def test_a_cancelled_scope_cleans_up_too(autojump_clock: MockClock, into: Into) -> None:
    """S7, A14: `killed()` runs when the Trio scope around the system is cancelled; the reason says so."""
    reasons: list[histrio.Reason] = []
    began, log = 0.0, new_log()
    with trio.CancelScope() as scope:
        async with histrio.open_system() as system:
            world = World(system, killed_s=2)
            job = await into(world)
            began, log = trio.current_time(), world.log
            down = job.monitor()
            scope.cancel()
            with trio.CancelScope(shield=True):
                reasons.append((await down).reason)

    assert scope.cancelled_caught
    assert reasons[0].end is histrio.End.CANCELLED
    assert (log[-1], trio.current_time()) == ((began + 2, "cleaned up"), began + 2)


async def test_a_process_ends_with_its_parent(autojump_clock: MockClock) -> None:
    """S4, S7: a killed parent kills it, its clean-up included, before its own end is told."""
    log: Log = []

    class Parent(histrio.Actor[Say]):
        async def started(self) -> None:
            job = await self.spawn(partial(Cleaner, log, done(1000), killed_s=2), name="job")
            job.control.nudge()

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)
        await trio.sleep(1)
        await parent.control.kill()

        assert at(log) == ["0 begins 0", "1 cut 0", "1 killed", "3 cleaned up"]
        assert trio.current_time() == 3


async def test_the_hook_runs_though_the_advance_fails_on_its_way_out(autojump_clock: MockClock) -> None:
    """S7, A10: an advance whose clean-up raises after the kill is a failure, with its error; it was killed all the same."""

    class Breaks(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.breaks)
                await trio.sleep_forever()
            return histrio.Done("never")

        async def breaks(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("on the way out")

    log: Log = []
    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        job = await sup.start_child(histrio.child("job", Breaks, log).with_(restart=histrio.TEMPORARY))
        job.control.nudge()
        await settle()
        assert await job.control.kill() is Phase.FAILED

        assert at(log) == ["0 killed", "0 cleaned up"]
        with pytest.raises(histrio.ActorFailed, match="on the way out"):
            await job.join()


async def test_what_else_is_stuck_is_reported_too(autojump_clock: MockClock) -> None:
    """S7: after `killed()` whatever else of the process does not end is reported when `shutdown_s` has passed again."""

    class Stuck(Cleaner):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.background(self.hangs)
            await trio.sleep_forever()
            return histrio.Done("never")

        async def hangs(self) -> None:
            with trio.CancelScope(shield=True):
                await trio.sleep(20)

    async with histrio.open_system() as system:
        job = await system.spawn(partial(Stuck, new_log(), killed_s=3), name="job")
        job.control.nudge()
        await settle()
        ended = job.control.kill()
        await trio.sleep(6.5)
        assert not any(isinstance(report, histrio.StuckActor) for report in system.reports)
        await trio.sleep(1)
        (stuck,) = [report for report in system.reports if isinstance(report, histrio.StuckActor)]
        assert "has not ended; it is still waited for" in str(stuck)
        await ended

        assert trio.current_time() == 20
