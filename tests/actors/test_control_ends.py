"""S6: `ref.control`: how an actor is ended past its inbox, and what can be seen of it from outside."""

import attrs
import pytest
import trio
from tests.actors.supervision.crew import (
    Do,
    Job,
    Say,
    Worker,
    ending_of,
    fail,
    hang,
    hold,
    settle,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Phase, Ref


async def spawn_one(system: histrio.System, log: list[str], kind: type[Worker] = Worker) -> Ref[Job]:
    """A worker under a supervisor, /sup/a."""
    a = worker("a", log, kind=kind)
    return (await system.spawn(histrio.child("sup", histrio.Supervisor, a))).child(a)


# -- stop and kill -----------------------------------------------------------------------------------------------------


async def test_stop_and_kill_go_ahead_of_a_full_inbox(autojump_clock: MockClock) -> None:
    """S6: no message has to be handled for them to be heard."""

    class Small(Worker):
        inbox_max = 2

    async with histrio.open_system() as system:
        ref = await spawn_one(system, [], Small)
        await ref.tell(Do(hold))
        await settle()
        for _ in range(2):
            ref.tell_nowait(Say("waits"))
        with pytest.raises(histrio.InboxFull):
            ref.tell_nowait(Say("too much"))
        assert await ref.control.kill() is Phase.RESTARTING
        assert trio.current_time() == 0


async def test_kill_hurries_a_stop(autojump_clock: MockClock) -> None:
    """S6: what drains, or stops, is cancelled; both are told, and the reason is the kill."""
    async with histrio.open_system() as system:
        ref = await system.spawn(worker("a", []).with_(shutdown_s=100))
        await ref.tell(Do(hold))
        await settle()
        stopping, down = ref.control.stop(), ref.monitor()
        await trio.sleep(1)
        ref.control.kill("no patience")
        assert await stopping is Phase.KILLED
        assert str((await down).reason) == "killed (no patience)"
        assert trio.current_time() == 1


async def test_an_actor_may_end_itself() -> None:
    """S6: from its own handler: a stop lets it finish, a kill ends it at its next wait."""
    log: list[str] = []

    async def end(actor: Worker) -> str:
        _ = actor.ref.control.stop() if actor.name == "stop" else actor.ref.control.kill()
        actor.note("goes on")
        await trio.lowlevel.checkpoint()
        actor.note("still goes on")
        return "answered"

    async with histrio.open_system() as system:
        answers: dict[str, str] = {}
        for name in ("stop", "kill"):
            ref = await system.spawn(worker(name, log))
            answers[name] = await ending_of(ref.ask(Do(end)))
        assert answers == {"stop": "'answered'", "kill": "ActorStopped"}

    assert [line for line in log if "goes" in line] == ["stop1 goes on", "stop1 still goes on", "kill1 goes on"]


async def test_control_is_heard_between_two_batches(autojump_clock: MockClock) -> None:
    """S6, A5: an actor that is never idle is paused and killed all the same."""
    log: list[int] = []

    class Busy(histrio.Actor[int]):
        async def receive(self, message: int) -> None:
            log.append(message)
            self.ref.tell_nowait(message + 1)

    async with histrio.open_system() as system:
        ref = await system.spawn(Busy)
        await ref.tell(0)
        await trio.lowlevel.checkpoint()
        await ref.control.pause()
        handled = len(log)
        await settle()
        assert len(log) == handled
        ref.control.resume()
        await trio.lowlevel.checkpoint()
        assert await ref.control.kill() is Phase.KILLED

    assert log == list(range(len(log)))


# -- looking at it -----------------------------------------------------------------------------------------------------


async def test_inspect_tells_what_there_is_to_see() -> None:
    """S6: of the actor at this moment, as data: phase, counts, the last failure, and the fields of its object."""

    class Stashing(Worker):
        stash_max = 3

        @histrio.handler(Do)
        async def do(self, m: Do) -> None:
            self.stash(m)

    async with histrio.open_system() as system:
        ref = await spawn_one(system, [], Stashing)
        await ref.tell(Say("fail"))
        await when_up(ref, 2)
        await ref.tell(Do(hang))
        await settle()
        await ref.control.pause()
        await ref.tell(Say("waits"))
        seen = ref.control.inspect()
        assert attrs.asdict(seen, recurse=False) == attrs.asdict(seen, recurse=False) | {
            "path": "/sup/a",
            "phase": Phase.PAUSED,
            "incarnation": 2,
            "is_paused": True,
            "queued": 1,
            "stashed": 1,
            "in_flight": 0,
            "last_failure": "ValueError: a failed",
        }
        assert seen.actor.endswith("Stashing")
        assert seen.fields["name"] == "a"
        assert not [name for name in seen.fields if name.startswith("_histrio")]
        ref.control.resume()
        ref.control.kill()
        await settle()
        assert seen.phase is Phase.PAUSED  # what was seen does not change


@attrs.define
class Slotted(histrio.Actor[Say]):
    """Its fields are slots."""

    size: int
    name: str = "x"


async def test_inspect_sees_slots_too() -> None:
    """S6, A18: of attrs classes as of others."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Slotted, 3)
        assert ref.control.inspect().fields == {"size": 3, "name": "x"}


async def test_inspect_between_two_incarnations_has_no_fields(autojump_clock: MockClock) -> None:
    """S6: there is no object then; phase and counts are those of the place."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=10)))
        ref = sup.child(a)
        await ref.tell(Say("fail"))
        await settle()
        await ref.tell(Say("waits"))
        seen = ref.control.inspect()
        assert (seen.phase, seen.incarnation, seen.queued, seen.fields) == (Phase.RESTARTING, 1, 1, {})


async def test_an_actor_is_done_when_it_has_ended_for_good(autojump_clock: MockClock) -> None:
    """S6: not between two incarnations; a ref to a place that somebody else has taken is done."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=10)))
        ref = sup.child(a)
        assert not ref.control.is_done
        await ref.tell(Say("fail"))
        await settle()
        assert not ref.control.is_done
        await sup.terminate_child(a)
        assert ref.control.is_done
        again = await sup.restart_child(a)
        assert (ref.control.is_done, again.control.is_done) == (True, False)
        assert await ref.control.kill() is Phase.STOPPED
        assert again.control.status() is Phase.RUNNING


async def test_control_needs_a_bound_ref() -> None:
    """S6, A13: a placeholder has nobody to control."""
    with pytest.raises(histrio.Unbound):
        _ = worker("a", []).ref.control
    with pytest.raises(histrio.Unbound):
        worker("a", []).ref.monitor()


async def test_what_fails_in_its_first_handler_after_a_pause() -> None:
    """S6, S3: the first message after `resume` fails: the next incarnation is not paused."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        await ref.control.pause()
        await ref.tell(Do(fail))
        ref.control.resume()
        await when_up(ref, 2)
        assert await ref.ask(Say("hello")) == "a2"
