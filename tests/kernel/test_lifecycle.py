"""A15: an actor's phase changes by one table; what the table lacks is refused, and changes nothing."""

import ast
import contextlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st

import histrio
from histrio import End
from histrio_kernel import cell as cell_module
from histrio_kernel.cell import Cell
from histrio_kernel.lifecycle import ENDED, NEXT, Event, Phase, follow
from histrio_kernel.settings import Settings

EVERY_PAIR: Final = list(product(Phase, Event))


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase", "event"), EVERY_PAIR, ids=lambda one: one.value)
async def test_every_pair_of_phase_and_event(phase: Phase, event: Event) -> None:
    """A15: a pair of the table moves the actor to the phase it names; any other raises, and nothing has changed."""
    async with histrio.open_system() as system:
        actor = Cell(system.engine, system, "/store", "store", Settings(handlers={}), object())
        actor.phase = phase
        expected = NEXT[phase].get(event)
        if expected is None:
            with pytest.raises(ValueError, match=f"'{event.value}' cannot happen .* '{phase.value}'"):
                actor.follow(event)
            with pytest.raises(ValueError, match="cannot happen"):
                follow(phase, event)
        else:
            actor.follow(event)
            assert follow(phase, event) is expected

        assert actor.phase is (expected or phase)


def test_every_phase_has_a_row() -> None:
    """A15: the table knows every phase, so an absent pair is a decision."""
    assert set(NEXT) == set(Phase)


def test_nothing_leaves_an_end() -> None:
    """A15: from a phase in which the actor has ended every event leads back to it."""
    assert {phase for phase in Phase if set(NEXT[phase].values()) <= {phase}} == ENDED


def test_every_phase_can_be_reached_and_left() -> None:
    """A15: the table has no phase that no actor comes to, and none but the ends that it cannot leave."""
    reached = {Phase.STARTING}
    while (more := reached | {after for phase in reached for after in NEXT[phase].values()}) != reached:
        reached = more
    assert reached == set(Phase)

    left = set(ENDED)
    while (more := left | {phase for phase in Phase if left & set(NEXT[phase].values())}) != left:
        left = more
    assert left == set(Phase)


def test_asking_twice_is_asking_once() -> None:
    """A15: stop, kill and failure may come at any time while anything runs, and as often as they like."""
    for phase in set(Phase) - ENDED - {Phase.RESTARTING}:
        for event in (Event.STOP, Event.KILL, Event.FAIL):
            once = follow(phase, event)
            assert follow(once, event) is once


def test_between_two_incarnations_there_is_nothing_to_wait_for() -> None:
    """A15, S3: who waits for a restart is started, or has ended at once by whatever calls it off; asking again changes nothing."""
    after = {event: follow(Phase.RESTARTING, event) for event in NEXT[Phase.RESTARTING]}
    assert after.pop(Event.RESTART) is Phase.STARTING
    assert after == {Event.STOP: Phase.STOPPED, Event.FAIL: Phase.FAILED, Event.KILL: Phase.KILLED}
    for once in after.values():
        for event in (Event.STOP, Event.KILL):
            assert follow(once, event) is once


def test_every_end_of_an_incarnation_may_be_followed_by_another() -> None:
    """A15, S3: whatever phase ends in one of the ends may lead to a restart instead, but for the wait for a restart itself."""
    ending = {phase for phase in Phase if Event.ENDED in NEXT[phase]}
    assert ending == {phase for phase in Phase if Event.KEPT in NEXT[phase]}
    assert {follow(phase, Event.ENDED) for phase in ending} == ENDED
    assert {follow(phase, Event.KEPT) for phase in ending} == {Phase.RESTARTING}


def test_only_one_line_changes_a_phase() -> None:
    """A15: besides `__init__`, `Cell.follow` is the only function of the kernel that sets a phase, by the table."""
    setters: set[str] = set()
    for path in Path(cell_module.__file__).parent.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                stores = (node for node in ast.walk(function) if isinstance(node, ast.Attribute))
                if any(node.attr == "phase" and isinstance(node.ctx, ast.Store) for node in stores):
                    setters.add(f"{path.stem}.{function.name}")

    assert setters == {"cell.__init__", "cell.follow"}


# -- the phases that an actor shows ------------------------------------------------------------------------------------


class Gates:
    """Where a `Slow` actor stands until it is let through."""

    def __init__(self) -> None:
        self.started: Final = trio.Event()
        self.handled: Final = trio.Event()
        self.stopped: Final = trio.Event()
        self.cleaned: Final = trio.Event()


class Slow(histrio.Actor[str]):
    """It takes its time in every phase; even when it is cancelled."""

    shutdown_s = 1e9

    def __init__(self, gates: Gates) -> None:
        self.gates = gates

    async def started(self) -> None:
        self.background(self.linger)
        await self.gates.started.wait()

    async def linger(self) -> None:
        with trio.CancelScope(shield=True):
            await self.gates.cleaned.wait()

    async def receive(self, message: str) -> None:
        await self.gates.handled.wait()
        if message == "fail":
            raise ValueError(message)

    async def stopped(self, reason: histrio.Reason) -> None:
        await self.gates.stopped.wait()


def open_gates() -> Gates:
    """Gates that all stand open."""
    gates = Gates()
    for gate in (gates.started, gates.handled, gates.stopped, gates.cleaned):
        gate.set()
    return gates


BACKOFF_S: Final = 10


async def supervise_slow(system: histrio.System, gates: Gates, restart: histrio.Restart) -> histrio.Ref[str]:
    """A slow actor that has started, and is started again some time after a failure."""
    spec = histrio.child("slow", Slow, gates).with_(restart=restart)
    backoff = histrio.Backoff(first_s=BACKOFF_S, jitter=0)
    above = await system.spawn(histrio.child("above", histrio.Supervisor, spec, backoff=backoff))
    return above.child(spec)


async def spawn_slow(system: histrio.System, nursery: trio.Nursery, gates: Gates) -> histrio.Ref[str]:
    """A slow actor, which still starts."""

    async def spawn() -> None:
        with contextlib.suppress(histrio.ActorStopped):  # some tests end it before it has started
            await system.spawn(Slow, gates, name="slow")

    nursery.start_soon(spawn)
    await settle()
    ref = system.find(Slow, "/slow")
    assert ref is not None
    return ref


async def test_the_phases_of_an_actor_that_stops() -> None:
    """A15, S2: starting, running, draining while mail is handled, stopping while it cleans up, and the end."""
    gates = Gates()
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        slow = await spawn_slow(system, nursery, gates)
        seen = [slow.control.status()]
        for step in (
            gates.started.set,
            lambda: slow.tell_nowait("last"),
            slow.control.stop,
            gates.handled.set,
            gates.stopped.set,
        ):
            step()
            await settle()
            seen.append(slow.control.status())
        assert not slow.control.is_done
        gates.cleaned.set()
        await slow.join()
        assert slow.control.is_done
        with pytest.raises(histrio.ActorStopped) as caught:
            slow.control.status()

    running, draining, stopping = Phase.RUNNING, Phase.DRAINING, Phase.STOPPING
    assert seen == [Phase.STARTING, running, running, draining, stopping, stopping]
    assert caught.value.reason.end is End.STOPPED


async def test_the_phases_of_an_actor_that_is_paused() -> None:
    """A15, S6: it runs until no handler does; then it is paused, whatever comes in, until it is resumed or stopped."""
    gates = Gates()
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        slow = await spawn_slow(system, nursery, gates)
        phases = slow.watch()
        for step in (
            gates.started.set,
            lambda: slow.tell_nowait("in hand"),
            slow.control.pause,
            gates.handled.set,
            slow.control.resume,
            slow.control.pause,
            lambda: slow.tell_nowait("last"),
            slow.control.stop,
            gates.stopped.set,
            gates.cleaned.set,
        ):
            step()
            await settle()
        assert slow.control.is_done

        starting, running, paused, draining = Phase.STARTING, Phase.RUNNING, Phase.PAUSED, Phase.DRAINING
        seen = [phase async for phase in phases]
        assert seen == [starting, running, paused, running, paused, draining, Phase.STOPPING, Phase.STOPPED]


async def test_the_phases_of_an_actor_that_is_started_again(autojump_clock: trio.testing.MockClock) -> None:
    """A15, S3, S6: it fails, waits for its restart, and starts anew; paused all the while, it is paused when it has started."""
    async with histrio.open_system() as system:
        slow = await supervise_slow(system, open_gates(), histrio.TRANSIENT)
        phases = slow.watch()
        await slow.tell("fail")
        await trio.sleep(BACKOFF_S - 1)
        slow.control.pause()
        await trio.sleep(2)
        slow.control.resume()
        await slow.control.stop()

        running, restarting, paused = Phase.RUNNING, Phase.RESTARTING, Phase.PAUSED
        seen = [phase async for phase in phases]
        again = [Phase.STARTING, running, paused, running, Phase.DRAINING, Phase.STOPPING, Phase.STOPPED]
        assert seen == [running, Phase.FAILING, restarting, *again]


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.PAUSED, Phase.DRAINING, Phase.STOPPING])
async def test_an_actor_can_be_killed_in_every_phase(phase: Phase) -> None:
    """A15, S6: it is dying until the last of it has unwound, and then it was killed."""
    gates = Gates()
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        slow = await bring_to(phase, system, nursery, gates)
        assert slow.control.status() is phase
        killed = slow.control.kill("no longer needed")
        await settle()
        assert slow.control.status() is Phase.DYING
        assert not killed.is_done
        gates.cleaned.set()
        assert await killed is Phase.KILLED
        with pytest.raises(histrio.ActorStopped, match="no longer needed") as caught:
            slow.control.status()

    assert caught.value.reason.end is End.KILLED


async def test_an_actor_can_be_stopped_while_it_waits_for_a_restart(autojump_clock: trio.testing.MockClock) -> None:
    """A15, S6: nothing of it runs, so one that a stop would end has ended at once; the backoff does not start it any more."""
    async with histrio.open_system() as system:
        slow = await supervise_slow(system, open_gates(), histrio.TRANSIENT)
        await slow.tell("fail")
        await trio.sleep(BACKOFF_S / 2)
        assert slow.control.status() is Phase.RESTARTING
        assert not slow.control.is_done
        ended = slow.control.stop(why="no longer needed")

        assert ended.is_done
        assert await ended is Phase.STOPPED
        assert slow.control.is_done
        await trio.sleep(2 * BACKOFF_S)
        with pytest.raises(histrio.ActorStopped, match="no longer needed") as caught:
            slow.control.status()
        assert caught.value.reason.end is End.STOPPED
        assert (await slow.monitor()).incarnation == 1


@pytest.mark.parametrize(
    ("how", "restart"),
    [("kill", histrio.TRANSIENT), ("kill", histrio.PERMANENT), ("stop", histrio.PERMANENT)],
)
async def test_what_would_start_it_again_does_not_end_it_in_a_backoff(
    how: str, restart: histrio.Restart, autojump_clock: trio.testing.MockClock
) -> None:
    """A15, S3, S6: a kill, or a stop of what is always started again, finds nothing to end, and the restart stays due."""
    async with histrio.open_system() as system:
        slow = await supervise_slow(system, open_gates(), restart)
        failed_at = trio.current_time()
        await slow.tell("fail")
        await trio.sleep(BACKOFF_S / 2)
        ended = slow.control.kill() if how == "kill" else slow.control.stop()

        assert ended.is_done
        assert await ended is slow.control.status() is Phase.RESTARTING
        phases = slow.watch()
        while await phases.next() is not Phase.RUNNING:
            pass
        assert trio.current_time() == pytest.approx(failed_at + BACKOFF_S)
        assert slow.control.inspect().incarnation == 2
        phases.close()


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.DRAINING])
async def test_an_actor_that_fails_is_failing_until_it_has_unwound(phase: Phase) -> None:
    """A10, A15: an actor has ended when its last task has, not when it failed."""
    seen: list[Phase] = []

    async def fail() -> None:
        gates = Gates()
        async with histrio.open_system() as system:
            with trio.CancelScope(shield=True):  # the failure of the system cancels this block
                async with trio.open_nursery() as nursery:
                    slow = await bring_to(Phase.RUNNING, system, nursery, gates)
                slow.tell_nowait("fail")
                if phase is Phase.DRAINING:
                    slow.control.stop()
                gates.handled.set()
                await settle()
                seen.append(slow.control.status())
                gates.cleaned.set()

    with pytest.raises(histrio.SystemFailed, match="ValueError: fail"):
        await fail()
    assert seen == [Phase.FAILING]


async def bring_to(phase: Phase, system: histrio.System, nursery: trio.Nursery, gates: Gates) -> histrio.Ref[str]:
    """A slow actor in that phase."""
    slow = await spawn_slow(system, nursery, gates)
    if phase is not Phase.STARTING:
        gates.started.set()
        await settle()
    if phase is Phase.PAUSED:
        await slow.control.pause()
    if phase is Phase.DRAINING:
        slow.tell_nowait("last")
    if phase in (Phase.DRAINING, Phase.STOPPING):
        slow.control.stop()
        await settle()
    return slow


# -- whatever happens to it --------------------------------------------------------------------------------------------

HAPPENINGS: Final = ("stop", "kill", "fail", "pause", "resume", "started", "handled", "stopped")


def happen(what: str, actor: Cell, gates: Gates) -> None:
    """Make it happen, now."""
    gate_of: dict[str, Callable[[], object]] = {
        "started": gates.started.set,
        "handled": gates.handled.set,
        "stopped": gates.stopped.set,
        "stop": actor.stop,
        "kill": actor.kill,
        "pause": actor.open_lane().pause,
        "resume": actor.open_lane().resume,
        "fail": lambda: actor.fail(ValueError("drawn")),
    }
    gate_of[what]()


STOPS_BY_ITSELF: Final = {"started", "handled", "stop", "stopped"}


def expected_end(happenings: list[tuple[str, bool]]) -> End:
    """The end of an actor that still unwinds when all of this has happened to it."""
    so_far: set[str] = set()
    end = End.STOPPED
    has_stopped = False  # it has done all that it was asked to, and a kill finds nothing to end
    for what, pause in happenings:
        so_far.add(what)
        if what == "fail":
            return End.FAILED
        if what == "kill" and not has_stopped:
            end = End.KILLED
        has_stopped = has_stopped or (pause and end is End.STOPPED and so_far >= STOPS_BY_ITSELF)
    return end


async def live_through(happenings: list[tuple[str, bool]], ends: list[End]) -> None:
    """Have a slow actor live through all of this, and note its end."""
    gates = Gates()
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        with trio.CancelScope(shield=True):  # if the actor fails, its system cancels this block
            slow = await spawn_slow(system, nursery, gates)
            actor = system.find_cell(slow.path, slow._inbox)
            assert actor is not None
            slow.tell_nowait("first")
            for what, pause in happenings:
                happen(what, actor, gates)
                if pause:
                    await settle()
            actor.stop()
            for gate in (gates.started, gates.handled, gates.stopped, gates.cleaned):
                gate.set()
            await actor.over()
            assert actor.phase in ENDED
            assert actor.reason is not None
            ends.append(actor.reason.end)


drawn: Final = st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.booleans()), max_size=8)


@given(happenings=drawn)
@example(happenings=[("started", False), ("handled", False), ("stopped", False), ("stop", True), ("kill", False)])
@example(happenings=[("started", False), ("handled", False), ("stopped", False), ("stop", True), ("fail", False)])
def test_whatever_happens_to_it_an_actor_ends_as_the_worst_of_it_says(happenings: list[tuple[str, bool]]) -> None:
    """A10, A15: a failure in any phase is the end's cause; else a kill, if there was something left to end; a pause is none."""
    ends: list[End] = []
    with contextlib.suppress(histrio.SystemFailed):
        trio.run(live_through, happenings, ends, clock=trio.testing.MockClock(autojump_threshold=0))

    assert ends == [expected_end(happenings)]
