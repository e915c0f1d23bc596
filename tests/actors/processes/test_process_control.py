"""S6, S7: pause, resume, step and stop of a process are levels, in each phase that they may find it in."""

from collections.abc import Callable
from typing import Final

import pytest
import trio
from tests.actors.noted import settle
from tests.actors.processes.jobs import Job, Log, Mortal, Stage, Steps, Task, at, done, fail, new_log, to, wait
from trio.testing import MockClock

import histrio
from histrio import NoMessage, Phase, Ref

TWICE = (to(Stage.TWO, 2), done(2))
Controls = Callable[[histrio.Control], object]


class Slow(Job):
    """It takes two seconds to start."""

    async def started(self) -> None:
        await trio.sleep(2)


class LastWords(Job):
    async def stopped(self, reason: histrio.Reason) -> None:
        self.note("stopped")


async def nudged(system: histrio.System, log: Log, *script: Task) -> Ref[NoMessage]:
    """A FREE process that runs."""
    job = await system.spawn(LastWords, log, *script, name="job")
    job.control.nudge()
    await settle()
    return job


# -- pause and resume --------------------------------------------------------------------------------------------------


async def test_a_pause_waits_for_the_present_advance(autojump_clock: MockClock) -> None:
    """S7: `pause` completes when the present advance is over, and no other begins until `resume`."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await nudged(system, log, *TWICE)
        await trio.sleep(1)
        paused = job.control.pause()
        assert (job.control.status(), job.control.is_paused) == (Phase.RUNNING, False)
        await paused
        assert (trio.current_time(), job.control.status(), job.control.is_paused) == (2, Phase.PAUSED, True)
        assert job.control.inspect().state is Stage.TWO
        await trio.sleep(10)
        job.control.resume()

        assert await job.join() == "done after 2"
        assert at(log) == ["0 begins 0", "2 ends 0", "12 begins 1", "14 ends 1", "14 stopped"]


@pytest.mark.parametrize("yields", [0, 1, 5])
async def test_pause_and_resume_in_either_order_leave_nothing_behind(autojump_clock: MockClock, yields: int) -> None:
    """S6: `resume` before `pause` does not undo it, and `pause` before `resume` leaves no pause."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await nudged(system, log, *TWICE)
        for _ in range(3):
            job.control.resume()
        for _ in range(yields):
            await trio.lowlevel.checkpoint()
        await job.control.pause()
        assert job.control.is_paused
        job.control.resume()
        undone = job.control.pause()
        job.control.resume()
        for _ in range(yields):
            await trio.lowlevel.checkpoint()

        assert await job.join() == "done after 2"
        assert undone.is_done
        assert trio.current_time() == 4


async def test_a_pause_that_is_undone_is_cancelled(autojump_clock: MockClock) -> None:
    """S6: whoever waits for a pause that was undone first is told so; the advances go on without a gap."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await nudged(system, log, *TWICE)
        paused = job.control.pause()
        job.control.resume()

        with pytest.raises(histrio.FutureCancelled):
            await paused
        assert await job.join() == "done after 2"
        assert trio.current_time() == 4


async def test_paused_before_it_has_begun(autojump_clock: MockClock) -> None:
    """S7: a process that waits for its first nudge is paused at once; nudged meanwhile, it begins when resumed."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, done())
        await job.control.pause()
        assert trio.current_time() == 0
        await job.control.nudge()
        await trio.sleep(5)
        assert (log, job.control.is_paused) == ([], True)
        job.control.resume()

        assert await job.join() == "done after 1"
        assert at(log) == ["5 begins 0", "5 ends 0"]


async def test_paused_while_it_starts(autojump_clock: MockClock) -> None:
    """S6: a pause that comes while `started()` runs holds before the first advance."""
    log: Log = []
    refs: list[Ref[NoMessage]] = []

    class Found(Slow):
        start = True

        async def started(self) -> None:
            refs.append(self.ref)
            await super().started()

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        nursery.start_soon(system.spawn, Found, log, done())
        await trio.sleep(1)
        (job,) = refs
        assert job.control.status() is Phase.STARTING
        await job.control.pause()
        assert (trio.current_time(), job.control.status(), log) == (2, Phase.PAUSED, [])
        await trio.sleep(5)
        job.control.resume()

        assert await job.join() == "done after 1"
        assert at(log)[0] == "7 begins 0"


async def test_paused_while_it_waits(autojump_clock: MockClock) -> None:
    """S7: a waiting process is paused at once; what it waits for goes on, and is there when it is resumed."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await nudged(system, log, wait(3), done())
        await trio.sleep(1)
        await job.control.pause()
        assert trio.current_time() == 1
        job.control.resume()
        assert job.control.status() is Phase.RUNNING  # and it waits on
        await trio.sleep(1)
        await job.control.pause()
        await trio.sleep(3)
        assert (job.control.is_paused, at(log)) == (True, ["0 begins 0", "0 ends 0"])
        job.control.resume()

        assert await job.join() == "done after 2"
        assert at(log)[2:] == ["5 begins 1", "5 ends 1", "5 stopped"]


async def test_paused_at_the_moment_at_which_it_would_go_on(autojump_clock: MockClock) -> None:
    """S6: a pause that comes after the nudge, the resume or the end of the wait, but before the advance, holds."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, done())
        job.control.nudge()
        paused = job.control.pause()  # it has not run since
        assert (paused.is_done, job.control.is_paused) == (True, True)
        await trio.sleep(1)
        job.control.resume()
        paused = job.control.pause()
        assert (paused.is_done, job.control.is_paused) == (True, True)
        await trio.sleep(1)

        assert log == []


async def test_paused_on_its_last_advance(autojump_clock: MockClock) -> None:
    """S7: a process that is done is not paused: the pause is over with it, and `join` gives the result."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await nudged(system, log, done(2))
        phases = job.watch()
        await trio.sleep(1)
        paused = job.control.pause()

        assert await job.join() == "done after 1"
        with pytest.raises((histrio.ActorStopped, histrio.FutureCancelled)):
            await paused
        assert [phase async for phase in phases] == [
            Phase.RUNNING, Phase.DRAINING, Phase.STOPPING, Phase.STOPPED,
        ]  # fmt: skip
        with pytest.raises(histrio.ActorStopped):
            job.control.pause()


async def test_paused_when_its_last_advance_has_returned(autojump_clock: MockClock) -> None:
    """S7: `Done` is the end also while what the advances made is still waited for (F4)."""

    class Trailing(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.io(trio.sleep, 5)
            return histrio.Done("done")

    async with histrio.open_system() as system:
        job = await system.spawn(Trailing, new_log())
        await job.control.nudge()
        await trio.sleep(1)
        job.control.pause()
        assert not job.control.is_paused
        job.control.resume()
        job.control.pause()

        assert await job.join() == "done"
        assert trio.current_time() == 5


async def test_a_pause_holds_over_a_restart(autojump_clock: MockClock) -> None:
    """S6: a process that fails while it is to be paused is started again, and paused before its first advance."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", Mortal, log, (fail(2),), (done(),)).with_(restart=histrio.TRANSIENT)
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        job.control.nudge()
        await trio.sleep(1)
        await job.control.pause()
        assert (trio.current_time(), job.control.inspect().incarnation, at(log)[2:]) == (2, 2, [])
        await trio.sleep(5)
        job.control.resume()

        assert await job.join() == "done after 1"
        assert at(log)[2:] == ["7 begins 0", "7 ends 0"]


# -- step --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Job, Steps])
async def test_step_makes_so_many_advances(autojump_clock: MockClock, kind: type[Job]) -> None:
    """S6, S7: `step(n)` makes n advances, not nudged before, and completes when it is paused after them."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(kind, log, *[to(Stage.TWO, 1)] * 9)
        await job.control.step(2)
        assert (trio.current_time(), job.control.status(), at(log)[-1]) == (2, Phase.PAUSED, "2 ends 1")
        await trio.sleep(5)
        await job.control.step()

        assert (trio.current_time(), job.control.status(), at(log)[-1]) == (8, Phase.PAUSED, "8 ends 2")


async def test_steps_use_no_nudges_up(autojump_clock: MockClock) -> None:
    """S7: n nudges and m steps are n + m advances."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Steps, log, *[to(Stage.TWO, 1)] * 9)
        await job.control.pause()
        for _ in range(3):
            job.control.try_nudge()
        await job.control.step(2)
        assert at(log)[-1] == "2 ends 1"
        job.control.resume()
        await trio.sleep(100)

        assert at(log)[-1] == "5 ends 4"


async def test_a_free_process_that_was_stepped_runs_on_when_it_is_resumed(autojump_clock: MockClock) -> None:
    """S7: it has begun, so it needs no nudge to begin."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, to(Stage.TWO), to(Stage.THREE), done())
        await job.control.step()
        job.control.resume()

        assert await job.join() == "done after 3"


async def test_a_step_lasts_over_a_wait_but_not_over_one_at_its_end(autojump_clock: MockClock) -> None:
    """S7: it is paused as soon as its steps are used up, also when it waits from then on."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, wait(3), wait(3), done())
        await job.control.step(2)

        assert (trio.current_time(), job.control.is_paused, at(log)[-1]) == (3, True, "3 ends 1")


@pytest.mark.parametrize(("undo", "begun"), [("pause", 1), ("resume", 3)])
async def test_a_pause_or_a_resume_ends_a_step(autojump_clock: MockClock, undo: str, begun: int) -> None:
    """S6: `pause` in the middle of a step pauses after the present advance; `resume` runs on."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, to(Stage.TWO, 2), to(Stage.THREE, 2), done(2))
        stepped = job.control.step(2)
        await trio.sleep(1)
        getattr(job.control, undo)()
        await trio.sleep(10)

        assert stepped.is_done
        assert sum("begins" in what for _, what in log) == begun


# -- stop --------------------------------------------------------------------------------------------------------------


async def test_stop_lets_the_present_advance_end(autojump_clock: MockClock) -> None:
    """S7: `stop` finishes the advance and makes no other; `stopped()` runs, and there is no result."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await nudged(system, log, *TWICE)
        await trio.sleep(1)
        assert await job.control.stop() is Phase.STOPPED

        assert at(log) == ["0 begins 0", "2 ends 0", "2 stopped"]
        assert await job.join() is None


async def test_stop_in_the_last_advance_keeps_its_result(autojump_clock: MockClock) -> None:
    """S7: an advance that ends with `Done` gives the result, though the process was stopped meanwhile."""
    async with histrio.open_system() as system:
        job = await nudged(system, new_log(), done(2))
        job.control.stop()

        assert await job.join() == "done after 1"


@pytest.mark.parametrize("phase", ["not begun", "paused", "waiting", "paused while it waits", "no nudge left"])
async def test_stop_takes_no_time_between_two_advances(autojump_clock: MockClock, phase: str) -> None:
    """S7: a process that makes no advance stops at once, and what it waits for is given up."""
    log: Log = []
    async with histrio.open_system() as system:
        kind = Steps if phase == "no nudge left" else Job
        job = await system.spawn(kind, log, wait(50) if "wait" in phase else to(Stage.TWO), to(Stage.TWO, 100))
        if phase == "paused":
            await job.control.step()
        elif phase != "not begun":
            await job.control.nudge()
        await trio.sleep(1)
        if phase == "paused while it waits":
            await job.control.pause()
        assert await job.control.stop() is Phase.STOPPED

        assert trio.current_time() == 1
        assert sum("begins" in what for _, what in log) == (0 if phase == "not begun" else 1)


async def test_stop_cancels_at_its_deadline(autojump_clock: MockClock) -> None:
    """S2, S7: an advance that takes longer than the grace is cancelled, and the process is killed."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await nudged(system, log, done(50))
        assert await job.control.stop(grace_s=3) is Phase.KILLED

        assert at(log) == ["0 begins 0", "3 cut 0", "3 killed", "3 cleaned up"]


async def test_finish_in_an_advance_is_a_stop_with_a_result(autojump_clock: MockClock) -> None:
    """S5, S7: `self.finish(value)` ends the process after the present advance, whatever that returns."""

    class Finishing(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.finish("finished")
            await trio.sleep(1)
            return self.to(Stage.TWO)

    async with histrio.open_system() as system:
        job = await system.spawn(Finishing, new_log())
        states = job.control.watch_states(Stage)
        job.control.nudge()

        assert await job.join() == "finished"
        assert [state async for state in states] == [Stage.ONE, Stage.TWO]


# -- from inside -------------------------------------------------------------------------------------------------------


async def test_a_process_may_control_itself(autojump_clock: MockClock) -> None:
    """S6: an advance that pauses, nudges or stops its own process is heard when it is over."""

    class Own(Steps):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.note(self.state.name)
            if self.state is Stage.ONE:
                self.ref.control.try_nudge()
                return self.to(Stage.TWO)
            self.ref.control.pause()
            return self.to(Stage.THREE)

    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Own, log)
        job.control.nudge()
        await settle()

        assert (at(log), job.control.is_paused) == (["0 ONE", "0 TWO"], True)


CONTROLS: Final[tuple[Controls, ...]] = (
    lambda c: c.nudge(),
    lambda c: c.try_nudge(),
    lambda c: c.pause(now=True),
    lambda c: c.step(),
    lambda c: c.resume(),
    lambda c: c.watch_states(Stage),
)


@pytest.mark.parametrize("control", CONTROLS)
async def test_control_of_a_process_that_has_ended(autojump_clock: MockClock, control: Controls) -> None:
    """S6: it raises `ActorStopped` with the reason; `stop` and `kill` ask nothing."""
    async with histrio.open_system() as system:
        job = await nudged(system, new_log(), done())
        await job.join()
        with pytest.raises(histrio.ActorStopped, match=r"^/job has ended: stopped \(its run\(\) returned\)$"):
            control(job.control)

        assert await job.control.stop() is await job.control.kill() is Phase.STOPPED


async def test_the_watchdog_names_the_advance(autojump_clock: MockClock) -> None:
    """S7: an advance that holds the turn for long is reported by its own name, at the line where it waits."""
    async with histrio.open_system() as system:
        job = await nudged(system, new_log(), done(5))
        await job.join()

        (held,) = [report for report in system.reports if isinstance(report, histrio.HeldTurn)]
        assert str(held).startswith("/job: Job.advance has held the turn for 1.0 s, at ")
        assert "jobs.py" in str(held)
