"""S7: what makes a process advance: FREE, STEP, nudges, and the bound on them."""

import pytest
import trio
from tests.actors.noted import Noted, Say, settle
from tests.actors.processes.jobs import Job, Log, Mortal, MortalSteps, Stage, Steps, at, done, fail, new_log, to, wait
from trio.testing import MockClock

import histrio
from histrio import Phase

THREE = (to(Stage.TWO), to(Stage.THREE), done())


class Eager(Job):
    start = True


class Narrow(Steps):
    nudges_max = 2


async def test_free_waits_for_its_first_nudge_and_then_runs_to_the_end(autojump_clock: MockClock) -> None:
    """S7: FREE makes no advance before it is nudged, and all of them after one nudge."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, *THREE)
        await trio.sleep(10)
        assert (job.control.status(), log) == (Phase.RUNNING, [])

        await job.control.nudge()

        assert await job.join(str) == "done after 3"
        assert at(log) == ["10 begins 0", "10 ends 0", "10 begins 1", "10 ends 1", "10 begins 2", "10 ends 2"]


async def test_free_nudges_coalesce(autojump_clock: MockClock) -> None:
    """S7: any number of nudges, before it begins and after, is one; none of them waits or is refused."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Job, log, to(Stage.TWO, 1), done(1))
        for _ in range(5_000):
            job.control.try_nudge()
            assert job.control.nudge().is_done
        await trio.sleep(0.5)
        job.control.try_nudge()

        assert await job.join() == "done after 2"
        assert at(log) == ["0 begins 0", "1 ends 0", "1 begins 1", "2 ends 1"]


async def test_start_needs_no_nudge(autojump_clock: MockClock) -> None:
    """S7: `start = True` begins at once."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Eager, log, to(Stage.TWO, 1), done(1))

        assert await job.join() == "done after 2"
        assert trio.current_time() == 2


@pytest.mark.parametrize("nudges", [0, 1, 2, 3])
async def test_step_advances_once_for_each_nudge(autojump_clock: MockClock, nudges: int) -> None:
    """S7: in STEP n nudges are n advances, exactly, also when they all come at once."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Steps, log, to(Stage.TWO, 1), to(Stage.THREE), to(Stage.ONE, 2), done())
        for _ in range(nudges):
            job.control.try_nudge()
        await trio.sleep(100)

        assert sum("begins" in what for _, what in log) == nudges
        assert job.control.status() is Phase.RUNNING


async def test_nudges_are_kept_while_it_advances_waits_or_is_paused(autojump_clock: MockClock) -> None:
    """S7: a nudge that comes when no advance can be made is used up later, and none is lost."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Steps, log, to(Stage.TWO, 2), wait(5), to(Stage.ONE), done())
        job.control.try_nudge()
        await trio.sleep(1)
        job.control.try_nudge()  # while it advances
        await trio.sleep(2)
        job.control.try_nudge()  # while it waits
        await trio.sleep(5)
        await job.control.pause()
        job.control.try_nudge()  # while it is paused
        await trio.sleep(5)
        job.control.resume()

        assert await job.join() == "done after 4"
        assert at(log)[1:] == [
            "2 ends 0", "2 begins 1", "2 ends 1", "7 begins 2", "7 ends 2", "13 begins 3", "13 ends 3",
        ]  # fmt: skip


async def test_try_nudge_would_block_at_the_bound(autojump_clock: MockClock) -> None:
    """S7: `nudges_max` nudges are accepted and not used up; one more raises `WouldBlock`, and changes nothing."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Narrow, log, *[to(Stage.TWO, 1)] * 9)
        job.control.try_nudge()
        await trio.sleep(0.5)  # the first is used up as soon as its advance begins
        job.control.try_nudge()
        job.control.try_nudge()
        with pytest.raises(trio.WouldBlock, match=r"^/narrow#1: nudges_max nudges are not used up yet"):
            job.control.try_nudge()
        await trio.sleep(100)

        assert at(log)[-1] == "3 ends 2"


async def test_nudge_stands_in_line_until_it_is_accepted(autojump_clock: MockClock) -> None:
    """S7: beyond the bound `nudge` completes when there is room, in order; nobody overtakes."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Narrow, log, *[to(Stage.TWO, 1)] * 9)
        first, second, third, fourth = (job.control.nudge() for _ in range(4))
        assert [one.is_done for one in (first, second, third, fourth)] == [True, True, False, False]
        await third
        assert trio.current_time() == 0  # an advance has begun, so there is room
        with pytest.raises(trio.WouldBlock):
            job.control.try_nudge()
        await fourth
        assert trio.current_time() == 1
        await trio.sleep(100)

        assert at(log)[-1] == "4 ends 3"


async def test_a_nudge_in_line_is_withdrawn_with_its_awaiter(autojump_clock: MockClock) -> None:
    """S7: cancelled while it stands in line, a nudge never counts; an accepted one stays accepted."""
    log: Log = []
    async with histrio.open_system() as system:
        job = await system.spawn(Narrow, log, *[to(Stage.TWO, 10)] * 9)
        accepted = [job.control.nudge() for _ in range(2)]
        await settle()
        await job.control.nudge()
        with trio.move_on_after(1) as scope:
            await job.control.nudge()
        asked = job.control.nudge()
        asked.cancel()
        for one in accepted:
            one.cancel()
        await trio.sleep(100)

        assert scope.cancelled_caught
        assert (asked.is_done, sum("begins" in what for _, what in log)) == (True, 3)


async def test_the_line_of_nudges_is_bounded(autojump_clock: MockClock) -> None:
    """S7: when the line is `nudges_max` long, a further nudge fails with `InboxFull`."""
    async with histrio.open_system() as system:
        job = await system.spawn(Narrow, new_log(), *[to(Stage.TWO, 10)] * 9)
        asked = [job.control.nudge() for _ in range(2 + 1024)]
        with pytest.raises(histrio.InboxFull, match=r"/narrow#1: 1024 nudges stand in line to be accepted"):
            await job.control.nudge()
        await job.control.kill()

        assert [one.is_done for one in asked[:3]] == [True, True, True]
        with pytest.raises(histrio.ActorStopped):
            await asked[-1]


async def test_an_accepted_nudge_outlives_a_restart(autojump_clock: MockClock) -> None:
    """S7, S3: the advance that failed has used its nudge up; the others are made by the next incarnation."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", MortalSteps, log, (fail(1),), THREE)
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        job.control.try_nudge()
        job.control.try_nudge()
        await trio.sleep(10)

        assert at(log) == ["0 begins 0", "1 ends 0", "1 begins 0", "1 ends 0"]
        assert job.control.inspect().incarnation == 2


async def test_a_nudge_in_a_backoff_is_for_the_next_incarnation(autojump_clock: MockClock) -> None:
    """S7: a process that is not there at the moment is nudged all the same; the bound holds meanwhile."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", MortalSteps, log, (fail(),), THREE)
        backoff = histrio.Backoff(first_s=5, jitter=0)
        job = (await system.spawn(histrio.child("sup", histrio.Supervisor, spec, backoff=backoff))).child(spec)
        await job.control.nudge()
        await trio.sleep(1)
        assert job.control.status() is Phase.RESTARTING
        assert job.control.nudge().is_done
        await trio.sleep(10)

        assert at(log) == ["0 begins 0", "0 ends 0", "5 begins 0", "5 ends 0"]


async def test_a_launched_process_is_launched_again_by_its_supervisor(autojump_clock: MockClock) -> None:
    """S7, S3: a FREE process that fails needs no second nudge: that it runs is what is wanted."""
    log: Log = []
    async with histrio.open_system() as system:
        spec = histrio.child("job", Mortal, log, (fail(1),), (done(1),)).with_(restart=histrio.TRANSIENT)
        job = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        job.control.nudge()

        assert await job.join() == "done after 1"
        assert at(log) == ["0 begins 0", "1 ends 0", "1 begins 0", "2 ends 0"]


async def test_a_nudged_plain_actor_handles_one_message_more_while_it_is_paused(autojump_clock: MockClock) -> None:
    """S6: a paused actor handles one message for each nudge; one that runs needs none, and none is left over."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await system.spawn(Noted, "a", log)
        for _ in range(3):
            await ref.control.nudge()  # it runs
        await ref.control.pause()
        for what in ("one", "two", "three"):
            await ref.tell(Say(what))
        await settle()
        assert log == []

        assert ref.control.nudge().is_done
        await settle()
        assert (log, ref.control.is_paused) == (["a one"], True)
        ref.control.try_nudge()
        await settle()
        assert (log, ref.control.is_paused) == (["a one", "a two"], True)
        ref.control.resume()
        await settle()

        assert log == ["a one", "a two", "a three"]


async def test_nudges_of_a_paused_plain_actor_are_bounded(autojump_clock: MockClock) -> None:
    """S6: as many as `nudges_max` may wait; one more stands in line until a message was handled, or it is resumed."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await system.spawn(Noted, "a", log)
        await ref.control.pause()
        for _ in range(1024):
            ref.control.try_nudge()
        with pytest.raises(trio.WouldBlock):
            ref.control.try_nudge()
        in_line, last = ref.control.nudge(), ref.control.nudge()
        await ref.tell(Say("one"))
        await settle()
        assert (in_line.is_done, last.is_done) == (True, False)
        ref.control.resume()

        assert last.is_done


async def test_a_pause_ends_the_nudges_of_a_plain_actor(autojump_clock: MockClock) -> None:
    """S6: a nudge of a paused actor is a step, so a further pause ends those that wait, accepted or in line."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await system.spawn(Noted, "a", log)
        await ref.control.pause()
        for _ in range(1024):
            ref.control.try_nudge()
        in_line = ref.control.nudge()
        await ref.control.pause()
        with pytest.raises(histrio.FutureCancelled):
            await in_line
        await ref.tell(Say("one"))
        await settle()
        assert log == []
        ref.control.try_nudge()
        await settle()

        assert log == ["a one"]
