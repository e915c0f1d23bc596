"""S5: results and ends: `join`, `monitor` and `watch`; and that whoever gives up waiting leaves nothing behind."""

import gc
from collections.abc import Awaitable, Callable
from weakref import ref as weakref

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
    leaving,
    settle,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Down, End, Phase, Reason, Ref
from histrio_kernel.cell import Cell
from histrio_kernel.lane import Lane


async def spawn_one(
    system: histrio.System, restart: histrio.Restart = histrio.PERMANENT, backoff_s: float = 0
) -> Ref[Job]:
    """A worker under a supervisor, /sup/a."""
    a = worker("a", []).with_(restart=restart)
    backoff = histrio.Backoff(first_s=backoff_s, factor=1) if backoff_s else None
    return (await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=backoff))).child(a)


class Returning(histrio.Actor[Say]):
    """Returns what it was told."""

    async def run(self) -> str:
        return (await self.receive_next()).message.what


# -- join --------------------------------------------------------------------------------------------------------------


async def test_join_gives_what_run_returned() -> None:
    """S5: to all who wait for it, before and after; an actor that was just stopped has None to show."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        ref = await system.spawn(Returning)
        results: list[object] = []

        async def join() -> None:
            results.append(await ref.join())

        for _ in range(2):
            nursery.start_soon(join)
        await settle()
        assert results == []
        await ref.tell(Say("done"))
        assert await ref.join() == "done"
        assert await ref.join() == "done"
        await settle()
        assert results == ["done", "done"]
        stopped = await system.spawn(Returning)
        stopped.control.stop()
        assert await stopped.join() is None


async def test_join_gives_what_finish_was_given() -> None:
    """S5: the actor stops as asked to, what waits is handled; of several results the last counts."""
    log: list[str] = []

    async def finish(actor: Worker) -> str:
        actor.finish("first")
        actor.finish("last")
        return "answered"

    async with histrio.open_system() as system:
        ref = await system.spawn(worker("a", log))
        asked = ref.ask(Do(finish))
        await ref.tell(Say("accepted"))
        assert await ref.join(str) == "last"
        assert await asked == "answered"
        assert (await ref.monitor()).reason == Reason(End.STOPPED, "it has finished")

    assert log[2:] == ["a1 accepted", "a1 stops", "a1 stopped"]


async def test_a_joined_result_is_checked() -> None:
    """S5: `join(kind)` gives a value of that kind, or says what it was instead."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Returning)
        await ref.tell(Say("done"))
        assert (await ref.join(str)).upper() == "DONE"
        assert await ref.join(object) == "done"
        with pytest.raises(TypeError, match="/returning#1 ended with 'done', which is no int"):
            await ref.join(int)


@pytest.mark.parametrize(("end", "error"), [("kill", "ActorStopped"), ("fail", "ActorFailed by ValueError")])
async def test_join_raises_why_there_is_no_result(end: str, error: str) -> None:
    """S5, S9: `ActorFailed` with the cause if it failed, `ActorStopped` if it was ended; before and after."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        ref = await spawn_one(system, histrio.TEMPORARY)
        seen: list[str] = []

        async def join() -> None:
            seen.append(await ending_of(ref.join()))

        nursery.start_soon(join)
        await settle()
        if end == "kill":
            ref.control.kill()
        else:
            await ref.tell(Say("fail"))
        await settle()
        assert [*seen, await ending_of(ref.join())] == [error, error]


async def test_join_waits_through_restarts(autojump_clock: MockClock) -> None:
    """S5: of a supervised actor, for its last incarnation; a result that is not the last is nobody's."""

    class Trying(histrio.Actor[Say]):
        async def run(self) -> int:
            life = self.ref.control.inspect().incarnation
            await self.io(trio.sleep, 1)
            if life < 3:
                raise ValueError(f"life {life}")
            return life

    async with histrio.open_system() as system:
        spec = histrio.child("a", Trying).with_(restart=histrio.TRANSIENT)
        ref = (await system.spawn(histrio.Supervisor, spec)).child(spec)
        assert await ref.join(int) == 3
        assert trio.current_time() == 3


async def test_join_gives_the_turn_away(autojump_clock: MockClock) -> None:
    """A2, S5: a handler that joins another actor lets the next message begin."""
    async with histrio.open_system() as system:
        ref, other = await system.spawn(worker("a", [])), await system.spawn(Returning)
        joining = ref.ask(Do(lambda _: other.join()))
        await settle()
        assert await ref.ask(Say("hello")) == "a1"
        await other.tell(Say("done"))
        assert await joining == "done"


# -- monitor -----------------------------------------------------------------------------------------------------------

Way = Callable[[Ref[Job]], Awaitable[object]]


async def stop_it(ref: Ref[Job]) -> None:
    """Stop it."""
    await ref.control.stop(why="why")


async def kill_it(ref: Ref[Job]) -> None:
    """Kill it."""
    await ref.control.kill("why")


async def fail_it(ref: Ref[Job]) -> None:
    """Have it fail."""
    await ref.tell(Do(fail))
    await ref.monitor()


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        (stop_it, "stopped (why)"),
        (kill_it, "killed (why)"),
        (fail_it, "failed: ValueError: told to fail"),
    ],
)
async def test_a_monitor_tells_who_has_ended_and_why(way: Way, reason: str) -> None:
    """S5, S9: before and after the end, the same."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, histrio.TEMPORARY)
        before = ref.monitor()
        await way(ref)
        for monitor in (before, ref.monitor()):
            down = await monitor
            assert isinstance(down, Down)
            assert (down.path, str(down.reason), down.incarnation) == ("/sup/a", reason, 1)


async def test_a_monitor_is_silent_on_restarts(autojump_clock: MockClock) -> None:
    """S5: however many; it tells of the end for good, and in which incarnation that was."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, backoff_s=2)
        monitor = ref.monitor()
        for life in (2, 3):
            await ref.tell(Say("fail"))
            await when_up(ref, life)
            assert not monitor.is_done
        await system.stop()
        down = await monitor
        assert (down.incarnation, down.reason.end) == (3, End.STOPPED)


async def test_a_monitor_tells_of_an_actor_that_died_in_a_backoff(autojump_clock: MockClock) -> None:
    """S5, S9: its last failure is the cause, and what ended it follows."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=100)))
        monitor = sup.child(a).monitor()
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        await sup.terminate_child(a)
        down = await monitor
        assert trio.current_time() == 1
        assert down.reason.end is End.STOPPED
        assert "ValueError: a failed" in down.reason.chain()


async def test_a_monitor_comes_after_the_whole_subtree(autojump_clock: MockClock) -> None:
    """S4, A10: the children of what has ended have ended before."""
    seen: list[bool] = []
    async with histrio.open_system() as system:
        inner = histrio.child("inner", histrio.Supervisor, worker("b", [], stops=takes(3)))
        sup = await system.spawn(histrio.Supervisor, inner)
        child = sup.child(inner).child(worker("b", []))
        monitor = sup.monitor()
        sup.control.stop()
        await monitor
        seen.append(child.control.is_done)
        assert trio.current_time() == 3

    assert seen == [True]


async def test_a_monitor_of_an_actor_that_ends_with_the_system() -> None:
    """S5, A10: nobody is left waiting: it tells, also if the system is cancelled or fails."""
    monitors: list[histrio.Future[Down]] = []

    async def life(system: histrio.System) -> None:
        ref = await spawn_one(system)
        monitors.append(ref.monitor())
        failing = await system.spawn(worker("b", []))
        monitors.append(failing.monitor())
        await failing.tell(Say("fail"))
        await trio.sleep_forever()

    assert isinstance(await leaving(life), histrio.SystemFailed)
    with trio.CancelScope() as scope:
        async with histrio.open_system() as system:
            monitors.append((await spawn_one(system)).monitor())
            scope.cancel()
            await trio.sleep_forever()
    ends = [(await monitor).reason.end for monitor in monitors]
    assert ends == [End.STOPPED, End.FAILED, End.CANCELLED]


async def test_a_monitor_of_an_older_actor_at_the_same_path() -> None:
    """S5: each ref tells of its own actor; another one may live there now."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a))
        old = sup.child(a)
        await sup.terminate_child(a)
        new = await sup.restart_child(a)
        monitors = {"old": old.monitor(), "new": new.monitor()}
        assert [name for name, monitor in monitors.items() if monitor.is_done] == ["old"]
        assert (await old.join(), new.control.status()) == (None, Phase.RUNNING)


# -- watch -------------------------------------------------------------------------------------------------------------


async def test_a_watcher_sees_every_phase(autojump_clock: MockClock) -> None:
    """S6: the present one at once, then each change, to the last."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system, backoff_s=1)
        watch = ref.watch()
        await ref.control.pause()
        ref.control.resume()
        await ref.tell(Say("fail"))
        await when_up(ref, 2)
        ref.control.kill()
        await when_up(ref, 3)
        await system.stop()
        assert [phase async for phase in watch] == [
            *(Phase.RUNNING, Phase.PAUSED, Phase.RUNNING, Phase.FAILING, Phase.RESTARTING),
            *(Phase.STARTING, Phase.RUNNING, Phase.DYING, Phase.RESTARTING),
            *(Phase.STARTING, Phase.RUNNING, Phase.DRAINING, Phase.STOPPING, Phase.STOPPED),
        ]
        assert [phase async for phase in ref.watch()] == [Phase.STOPPED]


async def test_a_watcher_of_the_latest_phase_skips_the_others() -> None:
    """S6: what it reads is the newest; the last one it always gets."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system)
        watch = ref.watch(latest=True)
        assert await watch.next() is Phase.RUNNING
        for life in (2, 3):
            await ref.tell(Say("fail"))
            await when_up(ref, life)
        assert await watch.next() is Phase.RUNNING
        await ref.control.pause()
        await system.stop()
        assert [phase async for phase in watch] == [Phase.STOPPED]


async def test_a_watcher_that_reads_too_slowly_is_told() -> None:
    """S6: it gets what was kept, then `Lagged` with how many are lost; the actor does not wait for it."""
    async with histrio.open_system() as system:
        ref = await system.spawn(worker("a", []))
        watch = ref.watch()
        for _ in range(600):
            await ref.control.pause()
            ref.control.resume()
        seen = [await watch.next() for _ in range(1024)]
        with pytest.raises(histrio.Lagged, match="phases of /a") as raised:
            await watch.next()
        assert seen == [Phase.RUNNING, *[Phase.PAUSED, Phase.RUNNING] * 512][:1024]
        assert raised.value.lost == 1201 - 1024
        assert await ref.watch().next() is Phase.RUNNING


async def test_watching_in_a_handler_gives_the_turn_away(autojump_clock: MockClock) -> None:
    """A2, S6: the next message begins while it waits for a phase."""

    async def watch(actor: Worker) -> list[str]:
        return [phase.value async for phase in others[0].watch()]

    others: list[Ref[Job]] = []
    async with histrio.open_system() as system:
        others.append(await system.spawn(worker("b", [])))
        ref = await system.spawn(worker("a", []))
        watching = ref.ask(Do(watch))
        await settle()
        assert await ref.ask(Say("hello")) == "a1"
        await others[0].control.stop()
        assert await watching == ["running", "draining", "stopping", "stopped"]


async def test_an_actor_may_watch_itself() -> None:
    """S6: in the background; what reads it ends with its incarnation, and sees nothing of the next one."""
    log: list[str] = []

    async def watch(actor: Worker) -> None:
        async for phase in actor.ref.watch():
            actor.note(phase.value)

    async def begin(actor: Worker) -> None:
        actor.background(watch, actor)

    async with histrio.open_system() as system:
        a = worker("a", log, starts=begin)
        ref = (await system.spawn(histrio.Supervisor, a)).child(a)
        await settle()
        await ref.tell(Say("fail"))
        await when_up(ref, 2)
        await settle()

    assert log[2] == "a1 running"
    assert "a2 running" in log
    assert "a1 restarting" not in log


# -- giving up ---------------------------------------------------------------------------------------------------------


def known(lane: Lane, name: str) -> int:
    """How many futures the lane keeps track of, under one of its names."""
    return len(getattr(lane, name).pending())


def cell_at(system: histrio.System, path: str) -> Cell:
    """The kernel's side of whoever lives there."""
    cell = system._cell_at(path)
    assert cell is not None
    return cell


async def test_a_cancelled_monitor_is_forgotten(autojump_clock: MockClock) -> None:
    """S5: whether it is cancelled itself, or nobody awaits it any more; the actor keeps nothing of it."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system)
        gone: list[weakref[object]] = []
        for _ in range(100):
            with trio.move_on_after(0.01):
                await ref.monitor()
            monitor = ref.monitor()
            gone.append(weakref(monitor))
            monitor.cancel()
            with pytest.raises(histrio.FutureCancelled):
                await monitor
            gone.append(weakref(ref.monitor()))
            del monitor
        await settle()  # Trio keeps what a task was woken with until it is woken again
        gc.collect()
        lane = cell_at(system, "/sup/a").lane
        assert lane is not None
        assert known(lane, "_monitors") == 0
        assert [one for one in gone if one() is not None] == []


async def test_a_cancelled_join_leaves_the_actor_alone(autojump_clock: MockClock) -> None:
    """S5: the actor goes on, and others who join it get the result."""
    async with histrio.open_system() as system:
        ref = await system.spawn(Returning)
        for _ in range(10):
            with trio.move_on_after(1) as scope:
                await ref.join()
            assert scope.cancelled_caught
        await ref.tell(Say("done"))
        assert await ref.join() == "done"


async def test_a_watcher_that_is_dropped_is_forgotten() -> None:
    """S6: closed, or just not kept any more."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system)
        feeds = [ref.watch() for _ in range(10)]
        with feeds[0]:
            assert await feeds[0].next() is Phase.RUNNING
        lane = cell_at(system, "/sup/a").lane
        assert lane is not None
        assert lane._watchers is not None
        assert len(lane._watchers) == 9
        feeds.clear()
        gc.collect()
        assert len(lane._watchers) == 0
        await ref.tell(Say("fail"))
        await when_up(ref, 2)


async def test_a_cancelled_read_of_a_watch_loses_nothing(autojump_clock: MockClock) -> None:
    """S6: what it would have got is the next."""
    async with histrio.open_system() as system:
        ref = await spawn_one(system)
        watch = ref.watch()
        assert await watch.next() is Phase.RUNNING
        with trio.move_on_after(1):
            await watch.next()
        await ref.control.pause()
        assert await watch.next() is Phase.PAUSED


async def test_what_is_watched_does_not_live_longer(autojump_clock: MockClock) -> None:
    """S5, A10: monitors, watches and refs of an actor keep neither its object nor its mail."""
    gone: list[weakref[object]] = []

    async def remember(actor: Worker) -> None:
        gone.append(weakref(actor))
        actor.background(hang, actor)

    async with histrio.open_system() as system:
        ref = await spawn_one(system, histrio.TEMPORARY)
        kept = [ref.monitor(), ref.watch(), ref.control, ref.control.inspect().path]
        await ref.ask(Do(remember))
        await ref.control.kill()
        await settle()
        gc.collect()
        assert [one for one in gone if one() is not None] == []
        assert len(kept) == 4
