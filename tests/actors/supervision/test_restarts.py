"""S3: a restart keeps the place (ref, path, inbox, stash, monitors, watchers) and makes the actor anew."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

import pytest
import trio
from tests.actors.supervision.crew import (
    Body,
    Do,
    Job,
    Say,
    Worker,
    ending_of,
    fail,
    hang,
    members_of,
    once,
    settle,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Phase, Ref, Signal

FIRST: Final = "a1"
SECOND: Final = "a2"


async def spawn_one(system: histrio.System, log: list[str], starts: Body | None = None) -> Ref[Job]:
    """One worker, /sup/a."""
    a = worker("a", log, starts=starts)
    sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a))
    return sup.child(a)


async def restart(ref: Ref[Job]) -> None:
    """Have it fail, and wait until it is back."""
    life = ref.control.inspect().incarnation
    await ref.tell(Say("fail"))
    await when_up(ref, life + 1)


# -- what stays --------------------------------------------------------------------------------------------------------


async def test_a_ref_is_good_for_all_incarnations() -> None:
    """S3, A13: the same ref, under the same path, reaches the next incarnation; it is equal to a new one."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a))
        before = sup.child(a)
        assert await before.ask(Say("hello")) == FIRST
        await restart(before)

        assert await before.ask(Say("hello")) == SECOND
        assert sup.child(a) == before
        assert hash(sup.child(a)) == hash(before)
        assert system.find(Worker, "/sup/a") == before
        assert before.path == "/sup/a"


async def test_the_state_is_fresh() -> None:
    """S3: another object, made with the same arguments, whose `started()` has run again."""
    log: list[str] = []
    seen: list[Worker] = []

    async def remember(actor: Worker) -> None:
        seen.append(actor)

    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.ask(Do(remember))
        await ref.ask(Say("hello"))
        await restart(ref)
        await ref.ask(Do(remember))

        first, second = seen
        assert first is not second
        assert (first.name, first.log, first.told) == ("a", log, ["hello", "fail"])
        assert (second.name, second.log, second.told) == ("a", log, [])
        assert log == ["a1 starts", "a1 started", "a1 hello", "a1 fail", "a2 starts", "a2 started"]


async def test_incarnations_are_counted_from_one() -> None:
    """S3: by `inspect`, in the tree, in every signal, in the `Down`; the number belongs to the place."""
    signals: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(signals.append)
        ref = await spawn_one(system, [])
        assert ref.control.inspect().incarnation == 1
        for life in (2, 3):
            await restart(ref)
            assert ref.control.inspect().incarnation == life
        (node,) = [node for node in system.tree().walk() if node.path == "/sup/a"]
        assert node.incarnation == 3
        assert node.last_failure == "ValueError: a failed"
        down = ref.monitor()
    assert (await down).incarnation == 3

    told = [(signal.incarnation, signal.kind.value) for signal in signals if signal.path == "/sup/a"]
    each = ["start", "receive", "crash", "stop"]
    assert told == [
        *((1, what) for what in each),
        *((2, what) for what in ("restart", *each)),
        *((3, what) for what in ("restart", "start", "control", "stop")),
    ]
    assert [signal.seq for signal in signals if signal.path == "/sup/a"] == list(range(1, len(told) + 1))


async def test_monitors_and_watchers_live_through_restarts() -> None:
    """S3, S5: a monitor from before the restart is silent, and tells of the end; a watcher sees every phase."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        monitor, watch = ref.monitor(), ref.watch()
        await restart(ref)
        assert not monitor.is_done
        await system.stop()
        assert (await monitor).reason.end is histrio.End.STOPPED
        phases = [phase async for phase in watch]

    assert phases == [
        *(Phase.RUNNING, Phase.FAILING, Phase.RESTARTING, Phase.STARTING, Phase.RUNNING),
        *(Phase.DRAINING, Phase.STOPPING, Phase.STOPPED),
    ]


# -- what ends with an incarnation -------------------------------------------------------------------------------------


async def test_the_next_incarnation_begins_when_nothing_of_the_last_one_runs(autojump_clock: MockClock) -> None:
    """E4, A10: handlers, operations and children of the old incarnation have cleaned up before `__init__` runs again."""
    log: list[str] = []

    async def linger(what: str, seconds: float) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(seconds)
            log.append(f"{what} has ended at {trio.current_time():g}")

    async def begin(actor: Worker) -> None:
        actor.background(linger, "background", 1)
        await actor.spawn(Worker, "child", log, name="child")

    async def wait(actor: Worker) -> None:
        actor.io(linger, "io", 2)
        await linger("handler", 3)

    async with histrio.open_system() as system:
        a = worker("a", log, made=lambda: log.append("made"))
        sup = await system.spawn(histrio.Supervisor, a)
        ref = sup.child(a)
        await ref.ask(Do(begin))
        log.clear()
        held = ref.ask(Do(wait))
        await settle()
        killed = ref.control.kill()
        assert await killed is Phase.RESTARTING
        await when_up(ref, 2)
        assert await ending_of(held) == "ActorStopped"

    ended = [f"{what} has ended at {at}" for what, at in (("background", 1), ("handler", 3), ("io", 2))]
    assert sorted(log[: log.index("made")]) == ended
    assert log[log.index("made") :][:3] == ["made", "a2 starts", "a2 started"]


async def test_no_promise_of_an_old_incarnation_reaches_the_next() -> None:
    """E4, F9: it fails with the incarnation that made it, for whoever still has it; completing it is too late."""
    made: list[histrio.Promise[str]] = []

    async def promise(actor: Worker) -> None:
        made.append(actor.promise())

    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        await ref.ask(Do(promise))
        await restart(ref)
        with pytest.raises(histrio.ActorFailed, match=r"/sup/a has ended: failed: ValueError: a failed"):
            await made[0]
        await ref.ask(Do(promise))
        assert not made[1].is_done


async def test_an_operation_that_completes_too_late_is_nobodys(autojump_clock: MockClock) -> None:
    """E4, F5: a shielded operation is waited for, and what it comes to goes to its own handler, before the next life."""
    log: list[str] = []

    async def operate() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(5)
        return "old result"

    async def wait(actor: Worker) -> str:
        actor.note(await actor.io(operate))
        return "answered"

    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        asked = ref.ask(Do(wait))
        await settle()
        ref.control.kill()
        assert await ref.ask(Say("hello")) == SECOND
        assert await ending_of(asked) == "'answered'"

    assert trio.current_time() == 5
    assert log[2:6] == ["a1 old result", "a2 starts", "a2 started", "a2 hello"]


async def test_children_of_an_incarnation_end_with_it() -> None:
    """S4, S3: what it has spawned by hand has ended; the next one gives the same names again; old refs are dead."""
    log: list[str] = []
    spawned: list[Ref[Job]] = []

    async def spawn(actor: Worker) -> None:
        spawned.append(await actor.spawn(Worker, "child", log))

    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.ask(Do(spawn))
        old = spawned[0]
        await restart(ref)
        with pytest.raises(histrio.ActorStopped) as raised:
            await old.ask(Say("hello"))
        await ref.ask(Do(spawn))
        new = spawned[1]

        assert raised.value.reason.end is histrio.End.CANCELLED
        assert old.path == new.path == "/sup/a/worker#1"
        assert old.control.is_done
        assert await new.ask(Say("hello")) == "child1"
        assert await ending_of(old.ask(Say("hello"))) == "ActorStopped"


async def test_what_a_handler_set_in_its_context_is_gone() -> None:
    """S3, A4: every incarnation begins in the context in which its supervisor started the first one."""
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen: list[str] = []

    async def note(_: Worker) -> None:
        seen.append(variable.get())
        variable.set("by an actor")

    async with histrio.open_system() as system:
        variable.set("at spawn")
        ref = await spawn_one(system, [], starts=note)
        variable.set("later")
        await ref.ask(Do(note))
        await restart(ref)
        await ref.ask(Do(note))

    assert seen == ["at spawn"] * 4


async def test_what_a_handler_that_fails_has_set_is_gone() -> None:
    """S3, A4: neither does it come to the next incarnation if the handler ended by the error that ended this one."""
    variable: ContextVar[str] = ContextVar("variable", default="unset")
    seen: list[str] = []

    async def set_and_fail(_: Worker) -> None:
        variable.set("by an actor")
        raise ValueError("once")

    async def note(_: Worker) -> None:
        seen.append(variable.get())

    async with histrio.open_system() as system:
        ref = await spawn_one(system, [], starts=note)
        await ref.tell(Do(set_and_fail))
        await ref.ask(Do(note))

    assert seen == ["unset"] * 3


# -- an actor object that has outlived its incarnation -----------------------------------------------------------------


def make_promise(actor: Worker) -> histrio.Promise[None]:
    """A promise of that actor."""
    return actor.promise()


USES: Final[dict[str, Callable[[Worker], object]]] = {
    "promise": make_promise,
    "background": lambda actor: actor.background(trio.sleep, 1),
    "io": lambda actor: actor.io,
    "tell_first": lambda actor: actor.tell_first(Say("first")),
    "finish": lambda actor: actor.finish(),
    "become": lambda actor: actor.become(None),
    "unstash": lambda actor: actor.unstash(),
    "stash": lambda actor: actor.stash(Say("hello")),
    "touch": lambda actor: actor.touch("told"),
    "children": lambda actor: actor.children,
}


@pytest.mark.parametrize("name", USES)
async def test_an_old_actor_object_does_nothing_to_the_next_incarnation(name: str) -> None:
    """E4, S3: who kept `self` of an earlier incarnation gets `ActorStopped`, and the present one is left alone."""
    log: list[str] = []
    old: list[Worker] = []

    async def remember(actor: Worker) -> None:
        old.append(actor)

    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.ask(Do(remember))
        await restart(ref)
        with pytest.raises(histrio.ActorStopped, match="there is another"):
            USES[name](old[0])
        await settle()

        assert ref.control.status() is Phase.RUNNING
        assert await ref.ask(Say("hello")) == SECOND
        assert "a2 first" not in log


async def enter_turn(actor: Worker) -> None:
    """Take the turn of the actor, and give it back."""
    async with actor.turn():
        pass


ASYNC_USES: Final[dict[str, Callable[[Worker], Awaitable[object]]]] = {
    "spawn": lambda actor: actor.spawn(Worker, "late", actor.log),
    "select": lambda actor: actor.select(Say),
    "filter": lambda actor: actor.filter(Say),
    "receive_next": lambda actor: actor.receive_next(),
    "turn": enter_turn,
}


@pytest.mark.parametrize("name", ASYNC_USES)
async def test_an_old_actor_object_waits_for_nothing_of_the_next_incarnation(name: str) -> None:
    """E4, S3: the same for what waits: it takes neither turn nor mail nor place of the present incarnation."""
    old: list[Worker] = []

    async def remember(actor: Worker) -> None:
        old.append(actor)

    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        await ref.ask(Do(remember))
        await restart(ref)
        with pytest.raises(histrio.ActorStopped, match="there is another"):
            await ASYNC_USES[name](old[0])

        assert await ref.ask(Say("hello")) == SECOND
        assert system.find(Worker, "/sup/a/worker#1") is None


async def test_doors_of_an_old_incarnation_are_shut() -> None:
    """E4: `self.io` that was kept from an earlier incarnation starts nothing."""
    doors: list[Callable[..., histrio.Future[None]]] = []
    ran: list[str] = []

    async def keep(actor: Worker) -> None:
        doors.append(actor.io)

    async def operate() -> None:
        ran.append("ran")

    async with histrio.open_system() as system:
        ref = await spawn_one(system, [])
        await ref.ask(Do(keep))
        await restart(ref)
        assert await ending_of(doors[0](operate)) == "FutureCancelled"
        await settle()

    assert ran == []


async def test_a_visitor_of_an_old_incarnation_never_gets_the_turn_of_the_next() -> None:
    """A17, E4: a task that waits for the turn when its incarnation ends is cancelled with it."""
    log: list[str] = []

    async def visit(actor: Worker) -> None:
        async with actor.turn():
            log.append("visited")

    async def work(actor: Worker) -> None:
        actor.background(visit, actor)
        await trio.testing.wait_all_tasks_blocked()
        raise ValueError("while a visitor waits")

    async with histrio.open_system() as system:
        ref = await spawn_one(system, log)
        await ref.tell(Do(work))
        await when_up(ref, 2)
        await settle()

    assert "visited" not in log


async def test_a_late_reply_of_an_old_incarnation_is_dropped() -> None:
    """S3, A12: the envelope of an earlier incarnation answers nobody any more: its asker has been told."""
    kept: list[histrio.Envelope[Say]] = []

    class Taking(histrio.Actor[Say]):
        async def run(self) -> None:
            while True:
                envelope = await self.receive_next()
                if kept:
                    envelope.reply("a2")
                    return
                kept.append(envelope)
                await self.receive_next()
                raise ValueError("with an ask in hand")

    async with histrio.open_system() as system:
        taking = histrio.child("taking", Taking)
        sup = await system.spawn(histrio.Supervisor, taking)
        ref = sup.child(taking)
        asked = ref.ask(Say("one"))
        await ref.tell(Say("two"))
        assert await ending_of(asked) == "ActorFailed by ValueError"
        kept[0].reply("late")
        with pytest.raises(histrio.ActorFailed):
            await asked
        assert await ref.ask(Say("three")) == "a2"


async def test_several_failures_at_one_end_are_one_restart() -> None:
    """S1, A9: handlers that fail while the first one's failure unwinds are told in the report, and count once."""

    async def fail_in_cleanup(actor: Worker) -> None:
        try:
            await hang(actor)
        finally:
            raise KeyError(actor.name)

    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=1))
        ref = sup.child(a)
        for _ in range(3):
            await ref.tell(Do(fail_in_cleanup))
        await settle()
        await ref.tell(Do(fail))
        await when_up(ref, 2)
        (report,) = system.reports

    assert isinstance(report, histrio.ActorFailed)
    assert [type(error) for error in members_of(report.__cause__)] == [ValueError, KeyError, KeyError, KeyError]


async def test_the_failures_that_a_supervisor_handles_are_reported() -> None:
    """S9: each is a report, with its path and its cause, oldest first; the system lives on."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, [], starts=once(fail, time=2))
        await ref.tell(Say("fail"))
        await when_up(ref, 3)
        reports = system.reports

    assert all(isinstance(report, histrio.ActorFailed) for report in reports)
    assert [str(report) for report in reports] == [
        "/sup/a has ended: failed: ValueError: a failed",
        "/sup/a has ended: failed: ValueError: told to fail",
    ]
