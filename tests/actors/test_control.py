"""S6: `ref.control`: what can be done to an actor past its inbox. What is wanted is a level, and holds over restarts."""

import pytest
import trio
from tests.actors.supervision.crew import (
    Do,
    Job,
    Say,
    Worker,
    hang,
    settle,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import FutureCancelled, Phase, Ref


async def spawn_one(system: histrio.System, log: list[str], kind: type[Worker] = Worker) -> Ref[Job]:
    """A worker under a supervisor, /sup/a."""
    a = worker("a", log, kind=kind)
    return (await system.spawn(histrio.child("sup", histrio.Supervisor, a))).child(a)


class Running(histrio.Actor[Say]):
    """It takes its messages itself."""

    def __init__(self, log: list[str], before_s: float = 0) -> None:
        self.log = log
        self.before_s = before_s

    async def run(self) -> str:
        self.log.append("begins")
        if self.before_s:
            await self.io(trio.sleep, self.before_s)
        while True:
            envelope = await self.receive_next()
            self.log.append(envelope.message.what)
            envelope.reply(envelope.message.what)
            if envelope.message.what == "fail":
                raise ValueError("told to fail")
            if envelope.message.what == "end":
                return "ended"


# -- pause and resume --------------------------------------------------------------------------------------------------


async def test_a_paused_actor_takes_no_message() -> None:
    """S6: mail comes in and waits; after `resume` all of it is handled, in order."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.control.pause()
        assert ref.control.is_paused
        assert ref.control.status() is Phase.PAUSED
        for number in range(3):
            await ref.tell(Say(f"{number}"))
        asked = ref.ask(Say("asked"))
        await settle()
        assert log == ["a1 starts", "a1 started"]
        assert ref.control.inspect().queued == 4
        ref.control.resume()
        assert await asked == "a1"
        assert not ref.control.is_paused

    assert log[2:6] == ["a1 0", "a1 1", "a1 2", "a1 asked"]


async def test_a_pause_is_there_when_no_handler_runs_or_waits(autojump_clock: MockClock) -> None:
    """S6: until then the phase is RUNNING and nothing new is begun; what waits may go on to its end."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)

        async def wait(actor: Worker) -> None:
            await actor.io(trio.sleep, 5)
            actor.note("goes on")

        await ref.tell(Do(wait))
        await ref.tell(Do(takes(2)))
        await settle()
        pausing = ref.control.pause()
        await ref.tell(Say("late"))
        await trio.sleep(3)
        assert not pausing.is_done
        assert ref.control.status() is Phase.RUNNING
        await pausing
        assert trio.current_time() == 5
        assert log[2:] == ["a1 goes on"]


async def test_pause_and_resume_are_levels() -> None:
    """S6: the last one wanted holds, however quickly they come; each twice is as once."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        for wanted in ("pr", "rp", "prp", "rpr", "pprr", "rrpp", "prprp"):
            for letter in wanted:
                if letter == "p":
                    ref.control.pause()
                else:
                    ref.control.resume()
            await settle()
            assert ref.control.is_paused is wanted.endswith("p"), wanted
            ref.control.resume()
            assert await ref.ask(Say("hello")) == "a1"


async def test_a_pause_that_is_resumed_first_is_cancelled(autojump_clock: MockClock) -> None:
    """S6: whoever waits for it is told, and does not wait for ever; one that was there is done."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        there = ref.control.pause()
        await there
        ref.control.resume()
        await ref.tell(Do(takes(1)))
        await settle()
        pausing = [ref.control.pause() for _ in range(3)]
        ref.control.resume()
        for one in pausing:
            with pytest.raises(FutureCancelled):
                await one
        await there


async def test_a_pause_that_ends_with_its_actor_tells_why(autojump_clock: MockClock) -> None:
    """S6, A10: nobody is left waiting: it fails with the reason of the end, if that is for good."""
    async with histrio.open_system() as system:
        a = worker("a", []).with_(restart=histrio.TEMPORARY)
        ref = (await system.spawn(histrio.Supervisor, a)).child(a)
        await ref.tell(Do(hang))
        await settle()
        pausing = ref.control.pause()
        await ref.control.kill("for a test")
        with pytest.raises(histrio.ActorStopped, match=r"killed \(for a test\)"):
            await pausing


async def test_a_wish_to_pause_holds_over_a_restart(autojump_clock: MockClock) -> None:
    """S6, S3: the next incarnation starts, and is paused then; whoever waits for the pause hears of that one."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.tell(Do(hang))
        await settle()
        pausing = ref.control.pause()
        ref.control.kill()
        await pausing
        assert ref.control.inspect().incarnation == 2
        assert ref.control.is_paused
        await ref.tell(Say("late"))
        await settle()
        assert log[2:] == ["a2 starts", "a2 started"]
        ref.control.kill()
        await settle()
        assert ref.control.is_paused
        assert ref.control.inspect().incarnation == 3
        ref.control.resume()
        await settle()
        assert log[-1] == "a3 late"


async def test_an_actor_may_be_paused_while_it_starts(autojump_clock: MockClock) -> None:
    """S6: `started()` runs to its end, then nothing is handled; not even what `tell_first` put there."""
    log: list[str] = []

    async def start(actor: Worker) -> None:
        actor.tell_first(Say("first"))
        await trio.sleep(5)

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        nursery.start_soon(system.spawn, worker("a", log, starts=start))
        await trio.sleep(1)
        ref = system.find(Worker, "/a")
        assert ref is not None
        assert ref.control.status() is Phase.STARTING
        await ref.control.pause()
        assert trio.current_time() == 5
        assert log == ["a1 starts", "a1 started"]
        ref.control.resume()
        await settle()
        assert log[-1] == "a1 first"


async def test_an_actor_may_be_paused_in_a_backoff(autojump_clock: MockClock) -> None:
    """S6: there is nobody to pause yet; the next incarnation is, and resuming before that leaves no trace."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=10, factor=1))
        )
        ref = sup.child(a)
        await ref.tell(Say("fail"))
        await trio.sleep(1)
        pausing = ref.control.pause()
        assert not ref.control.is_paused
        await pausing
        assert trio.current_time() == 10
        assert ref.control.is_paused
        ref.control.kill()
        await trio.sleep(1)
        ref.control.resume()
        assert await ref.ask(Say("hello")) == "a3"


async def test_stop_ends_a_pause() -> None:
    """S6, S2: what was accepted is handled before it ends; the pause is forgotten."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.control.pause()
        await ref.tell(Say("accepted"))
        assert await ref.control.stop() is Phase.RESTARTING
        await when_up(ref, 2)
        assert not ref.control.is_paused

    assert log[2:5] == ["a1 accepted", "a1 stops", "a1 stopped"]


async def test_operations_and_timers_go_on_in_a_paused_actor(autojump_clock: MockClock) -> None:
    """S6: only messages are held back; work in the background is not."""
    log: list[str] = []

    async def beside(actor: Worker) -> None:
        await trio.sleep(1)
        actor.note("beside")

    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)

        async def begin(actor: Worker) -> None:
            actor.background(beside, actor)

        await ref.ask(Do(begin))
        await ref.control.pause()
        await trio.sleep(2)
        assert log[-1] == "a1 beside"


async def test_nobody_needs_to_await_a_pause() -> None:
    """S6: the futures may be dropped; it holds all the same."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        ref.control.pause()
        await settle()
        assert ref.control.is_paused
        ref.control.step()
        ref.control.resume()
        assert await ref.ask(Say("hello")) == "a1"


# -- step --------------------------------------------------------------------------------------------------------------


async def test_a_step_is_so_many_messages_and_then_a_pause(autojump_clock: MockClock) -> None:
    """S6: from a pause or not; done when they have been handled to their end."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.control.pause()
        for number in range(6):
            await ref.tell(Say(f"{number}"))
        await ref.control.step()
        assert log[2:] == ["a1 0"]
        await ref.control.step(2)
        assert log[2:] == ["a1 0", "a1 1", "a1 2"]
        ref.control.step()
        await ref.control.step()  # together two
        assert log[2:] == [f"a1 {number}" for number in range(5)]
        assert ref.control.is_paused
        ref.control.resume()
        await settle()
        stepping = ref.control.step()
        await ref.tell(Say("one more"))
        await ref.tell(Say("too many"))
        await settle()
        assert log[-1] == "a1 one more"
        await stepping
        assert ref.control.is_paused


async def test_a_step_waits_for_mail(autojump_clock: MockClock) -> None:
    """S6: with an empty inbox it is not over; what comes is handled, as many as were asked for."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.control.pause()
        stepping = ref.control.step(2)
        await ref.tell(Say("0"))
        await settle()
        assert not stepping.is_done
        assert ref.control.status() is Phase.RUNNING
        await ref.tell(Say("1"))
        await ref.tell(Say("2"))
        await stepping
        assert log[2:] == ["a1 0", "a1 1"]


async def test_a_step_is_over_when_its_handler_has_ended(autojump_clock: MockClock) -> None:
    """S6: not when it waits; other messages do not begin meanwhile."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        await ref.control.pause()

        async def wait(actor: Worker) -> None:
            await actor.io(trio.sleep, 3)

        await ref.tell(Do(wait))
        await ref.tell(Say("next"))
        await ref.control.step()
        assert trio.current_time() == 3
        assert ref.control.inspect().queued == 1


@pytest.mark.parametrize("then", ["pause", "resume"])
async def test_a_step_may_be_ended(then: str) -> None:
    """S6: by `pause` there and then, by `resume` for good."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.control.pause()
        stepping = ref.control.step(5)
        await ref.tell(Say("0"))
        await settle()
        if then == "pause":
            await ref.control.pause()
            await stepping
        else:
            ref.control.resume()
            with pytest.raises(FutureCancelled):
                await stepping
        await ref.tell(Say("1"))
        await settle()
        assert ref.control.is_paused is (then == "pause")
        assert (log[-1] == "a1 0") is (then == "pause")


async def test_what_is_withdrawn_or_selected_is_no_step() -> None:
    """S6: a step begins a handler; a message that the handler takes besides belongs to it."""
    log: list[str] = []

    async def select(actor: Worker) -> None:
        actor.note(f"selected {(await actor.select(Say)).what}")

    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.control.pause()
        withdrawn = ref.ask(Say("withdrawn"))
        await ref.tell(Do(select))
        for what in ("0", "1"):
            await ref.tell(Say(what))
        withdrawn.cancel()
        await ref.control.step()
        assert log[2:] == ["a1 selected 0"]
        await ref.control.step()
        assert log[2:] == ["a1 selected 0", "a1 1"]


async def test_a_failing_step_is_over_when_the_next_incarnation_is_paused() -> None:
    """S6, S3: the wish to be paused holds; nothing else of the inbox has been handled."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.control.pause()
        for what in ("fail", "next"):
            await ref.tell(Say(what))
        await ref.control.step()
        assert ref.control.inspect().incarnation == 2
        assert ref.control.is_paused
        assert log[2:] == ["a1 fail", "a2 starts", "a2 started"]


# -- a behaviour that is one run() -------------------------------------------------------------------------------------


async def test_a_run_is_paused_where_it_takes_its_messages(autojump_clock: MockClock) -> None:
    """S6, A12: while it does something else it goes on; at `receive_next` it waits, and gets nothing."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await system.spawn(Running, log, 5.0)
        await ref.tell(Say("0"))
        pausing = ref.control.pause()
        await trio.sleep(1)
        assert not ref.control.is_paused
        await pausing
        assert trio.current_time() == 5
        assert (log, ref.control.is_paused) == (["begins"], True)
        ref.control.resume()
        await settle()
        assert log == ["begins", "0"]
        await ref.control.pause()  # it waits for mail: at once
        await ref.tell(Say("1"))
        await settle()
        assert log == ["begins", "0"]
        ref.control.resume()
        assert await ref.ask(Say("2")) == "2"
        assert log == ["begins", "0", "1", "2"]


async def test_a_run_takes_so_many_messages_in_a_step(autojump_clock: MockClock) -> None:
    """S6, A12: each `receive_next` is one; over when it asks for the next."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await system.spawn(Running, log)
        await ref.control.pause()
        for number in range(4):
            await ref.tell(Say(f"{number}"))
        await ref.control.step()
        assert log == ["begins", "0"]
        await ref.control.step(2)
        assert log == ["begins", "0", "1", "2"]
        assert ref.control.is_paused


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_paused_run_may_be_ended(how: str) -> None:
    """S6, S2: stopped it drains first, as any other; killed it ends there and then."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await system.spawn(Running, log)
        await ref.control.pause()
        await ref.tell(Say("accepted"))
        ended = await (ref.control.stop() if how == "stop" else ref.control.kill())
        assert ended is (Phase.STOPPED if how == "stop" else Phase.KILLED)

    assert log == (["begins", "accepted"] if how == "stop" else ["begins"])


async def test_a_paused_run_stays_paused_over_a_restart() -> None:
    """S6, S3: it begins anew, up to where it would take its first message."""
    log: list[str] = []
    async with histrio.open_system() as system:
        spec = histrio.child("a", Running, log)
        ref = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        await ref.control.pause()
        for what in ("fail", "next"):
            await ref.tell(Say(what))
        await ref.control.step()
        assert ref.control.inspect().incarnation == 2
        assert (log, ref.control.is_paused) == (["begins", "fail", "begins"], True)
        ref.control.resume()
        await settle()
        assert log[-1] == "next"
