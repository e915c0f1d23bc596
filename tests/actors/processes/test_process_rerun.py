"""S7: `pause(now=True)` cuts the present advance off, and `resume` makes it again."""

import pytest
import trio
from tests.actors.noted import Noted, settle
from tests.actors.processes.jobs import Job, Log, Stage, Steps, at, done, new_log, to, wait
from trio.testing import MockClock

import histrio
from histrio import NoMessage, Phase, Ref


class Once(Job):
    rerunnable = False


async def advancing(system: histrio.System, log: Log, kind: type[Job] = Job) -> Ref[NoMessage]:
    """One second into an advance of ten."""
    job = await system.spawn(kind, log, to(Stage.TWO, 10), done(10))
    job.control.nudge()
    await trio.sleep(1)
    return job


@pytest.mark.parametrize("kind", [Job, Steps])
async def test_the_present_advance_is_cut_off_and_made_again(autojump_clock: MockClock, kind: type[Job]) -> None:
    """S7: it is paused at once, in the state that it was in; on resume the same advance begins anew, nudged or not."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await advancing(system, log, kind)
        await job.control.pause(now=True)
        assert (trio.current_time(), job.control.status()) == (1, Phase.PAUSED)
        assert job.control.inspect().state is Stage.ONE
        await trio.sleep(4)
        job.control.resume()
        await trio.sleep(11)
        job.control.try_nudge()
        assert await job.join() == "done after 2"

        assert [line for line in at(log) if "ends" in line or "begins 0" in line or "cut" in line] == [
            "0 begins 0", "1 cut 0", "5 begins 0", "15 ends 0", f"{25 if kind is Job else 26} ends 1",
        ]  # fmt: skip


async def test_one_that_has_not_declared_it_is_not_cut_off(autojump_clock: MockClock) -> None:
    """S7: without `rerunnable` it is refused, in words, and nothing has changed; so it is for a plain actor."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await advancing(system, log, Once)
        with pytest.raises(histrio.NotRerunnable) as refused:
            job.control.pause(now=True)
        plain = await system.spawn(Noted, "a", list[str]())
        with pytest.raises(histrio.NotRerunnable, match=r"^/noted#1: pause\(now=True\) .* and Noted does not say"):
            plain.control.pause(now=True)

        assert refused.value.path == "/once#1"
        assert str(refused.value) == (
            "/once#1: pause(now=True) would cut off what it does and run it again later, and Once does not say that this"
            " does no harm. Use pause(), which waits for the end of it; or set rerunnable = True on the class, if it is a"
            " histrio.Process whose advances may each be begun again"
        )
        job.control.nudge()
        assert await job.join() == "done after 2"
        assert trio.current_time() == 20


async def test_between_two_advances_it_is_a_pause(autojump_clock: MockClock) -> None:
    """S7: with nothing to cut off `pause(now=True)` is `pause`: not begun, waiting, and paused already."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, wait(10), done())
        await job.control.pause(now=True)
        job.control.nudge()
        job.control.resume()
        await trio.sleep(1)
        await job.control.pause(now=True)
        await job.control.pause(now=True)
        assert (trio.current_time(), job.control.is_paused) == (1, True)
        job.control.resume()

        assert await job.join() == "done after 2"
        assert at(log) == ["0 begins 0", "0 ends 0", "10 begins 1", "10 ends 1"]


async def test_a_pause_can_be_hastened(autojump_clock: MockClock) -> None:
    """S7: `pause(now=True)` after `pause()` cuts off what that would have waited for; both complete."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await advancing(system, log)
        patient = job.control.pause()
        await trio.sleep(1)
        await job.control.pause(now=True)

        assert (trio.current_time(), patient.is_done) == (2, True)


async def test_it_is_paused_when_the_advance_has_unwound(autojump_clock: MockClock) -> None:
    """S7: the pause completes when the clean-up of the advance is over, and no earlier."""
    log: Log = []
    async with histrio.open_system() as system:

        class Tidy(Job):
            def __init__(self, log: Log, *script: object) -> None:
                super().__init__(log, to(Stage.TWO, 10), done(10), unwind_s=3)

        job = await advancing(system, log, Tidy)
        await job.control.pause(now=True)

        assert (trio.current_time(), job.control.is_paused) == (4, True)


async def test_operations_of_the_advance_end_with_it(autojump_clock: MockClock) -> None:
    """S7, F4: what it made with `self.io` is cancelled and waited for before the pause is told, awaited or not."""
    said: list[str] = []

    class Busy(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.io(self.work, "beside")
            await self.io(self.work, "awaited")
            return histrio.Done("done")

        async def work(self, name: str) -> None:
            try:
                await trio.sleep(10)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(2)
                said.append(f"{trio.current_time():g} {name}")

    async with histrio.open_system() as system:
        job = await system.spawn(Busy, new_log())
        job.control.nudge()
        await trio.sleep(1)
        await job.control.pause(now=True)
        assert trio.current_time() == 5
        assert said == ["3 awaited", "5 beside"]
        job.control.resume()

        assert await job.join() == "done"
        assert trio.current_time() == 17


async def test_an_advance_that_cannot_be_cut_off_counts(autojump_clock: MockClock) -> None:
    """S7: one that ends although it was cancelled has been made; it is not made again."""

    class Stubborn(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            moves: list[histrio.Next[Stage, str]] = []
            with trio.CancelScope(shield=True):
                moves.append(await super().advance())
            return moves[0]

    log: Log = []
    async with histrio.open_system() as system:
        job = await advancing(system, log, Stubborn)
        await job.control.pause(now=True)
        assert trio.current_time() == 10
        assert job.control.inspect().state is Stage.TWO
        job.control.resume()

        assert await job.join() == "done after 2"
        assert [what for _, what in log] == ["begins 0", "ends 0", "begins 1", "ends 1"]


async def test_undone_at_once(autojump_clock: MockClock) -> None:
    """S6: `resume` right after `pause(now=True)` leaves no pause; the advance was cut off and is made again."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await advancing(system, log)
        job.control.pause(now=True)
        job.control.resume()

        assert await job.join() == "done after 2"
        assert at(log) == ["0 begins 0", "1 cut 0", "1 begins 0", "11 ends 0", "11 begins 1", "21 ends 1"]


async def test_a_step_that_was_cut_off_is_over(autojump_clock: MockClock) -> None:
    """S7: a pause ends a step, so its advance is not owed; a nudge that was used up is."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Steps, log, *[to(Stage.TWO, 10)] * 5)
        job.control.step(2)
        await trio.sleep(1)
        await job.control.pause(now=True)
        job.control.resume()
        await trio.sleep(50)
        assert at(log) == ["0 begins 0", "1 cut 0"]
        job.control.try_nudge()
        await trio.sleep(1)
        await job.control.pause(now=True)
        await job.control.step()  # which uses no nudge up
        assert at(log)[2:] == ["51 begins 0", "52 cut 0", "52 begins 0", "62 ends 0"]
        job.control.resume()
        await trio.sleep(50)

        assert at(log)[6:] == ["62 begins 1", "72 ends 1"]


async def test_stopped_after_it_was_cut_off(autojump_clock: MockClock) -> None:
    """S7: `stop` does not make the advance again."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await advancing(system, log)
        await job.control.pause(now=True)
        await job.control.stop()

        assert at(log) == ["0 begins 0", "1 cut 0"]


async def test_not_cut_off_once_it_stops(autojump_clock: MockClock) -> None:
    """S7: a process that was asked to stop finishes its advance, whatever is wanted then."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, to(Stage.TWO, 3), done(10))
        job.control.nudge()
        await settle()
        job.control.stop()
        job.control.pause(now=True)
        await job.join()

        assert at(log) == ["0 begins 0", "3 ends 0"]


async def test_killed_while_it_unwinds(autojump_clock: MockClock) -> None:
    """S7: a kill that comes while an advance is being cut off, or its operations are, is a kill and no failure."""

    class Slow(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.io(self.work)
            await trio.sleep(10)
            return histrio.Done("done")

        async def work(self) -> None:
            try:
                await trio.sleep(10)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(2)

    async with histrio.open_system() as system:
        job = await advancing(system, new_log(), Slow)
        job.control.pause(now=True)
        await trio.sleep(1)

        assert await job.control.kill() is Phase.KILLED
        assert trio.current_time() == 3


async def test_an_error_on_the_way_out_fails_the_process(autojump_clock: MockClock) -> None:
    """S7: what the advance, or an operation that it made, raises when it is cut off is the failure, and nothing else."""

    async def breaks() -> None:
        try:
            await trio.sleep(10)
        finally:
            raise OSError("on the way out")

    class Breaks(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            await breaks()
            return histrio.Done("done")

    class BreaksBeside(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            self.io(breaks)
            await trio.sleep(10)
            return histrio.Done("done")

    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        for kind in (Breaks, BreaksBeside):
            job = await sup.start_child(histrio.child(None, kind, new_log(), done()).with_(restart=histrio.TEMPORARY))
            job.control.nudge()
            await trio.sleep(1)
            job.control.pause(now=True)
            with pytest.raises(histrio.ActorFailed) as failed:
                await job.join()

            assert repr(failed.value.__cause__) == "OSError('on the way out')"


async def test_cut_off_again_and_again(autojump_clock: MockClock) -> None:
    """S7: a nudged advance is owed until it has been made, however often it is cut off; a step after it is not."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await advancing(system, log, Steps)
        for _ in range(3):
            await job.control.pause(now=True)
            job.control.resume()
            await trio.sleep(1)
        await trio.sleep(20)
        assert [what for _, what in log] == [*["begins 0", "cut 0"] * 3, "begins 0", "ends 0"]
        job.control.step()
        await trio.sleep(1)
        await job.control.pause(now=True)
        job.control.resume()
        await trio.sleep(20)

        assert [what for _, what in log][8:] == ["begins 1", "cut 1"]


async def test_what_it_waited_for_before_is_looked_at_by_the_next_attempt(autojump_clock: MockClock) -> None:
    """S7: an operation that failed is not forgotten because the advance that was to look at it was cut off."""

    class Forgets(Job):
        async def advance(self) -> histrio.Next[Stage, str]:
            if self.made == 0:
                self.made = 1
                return self.wait(self.background(self.breaks))
            await trio.sleep(10)
            return histrio.Done("did not look")

        async def breaks(self) -> None:
            raise OSError("broken")

    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.DynamicSupervisor)
        job = await sup.start_child(histrio.child("job", Forgets, new_log()).with_(restart=histrio.TEMPORARY))
        job.control.nudge()
        await trio.sleep(1)
        await job.control.pause(now=True)
        job.control.resume()

        with pytest.raises(histrio.ActorFailed, match="OSError: broken"):
            await job.join()


async def test_an_advance_that_was_cut_off_is_owed_over_a_restart(autojump_clock: MockClock) -> None:
    """S7, S3: its nudge has not been used up, so the next incarnation makes an advance for it."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", Steps, log, to(Stage.TWO, 10), done(10))
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        job.control.nudge()
        await trio.sleep(1)
        await job.control.pause(now=True)
        await job.control.kill()
        job.control.resume()
        await trio.sleep(50)

        assert at(log) == ["0 begins 0", "1 cut 0", "1 killed", "1 cleaned up", "1 begins 0", "11 ends 0"]
