"""S1, S6: an actor that fails, hangs or is killed in each of its phases: while it starts, stops, or is not there."""

import itertools
from collections.abc import Awaitable, Callable

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
    hold,
    leaving,
    letters,
    once,
    settle,
    shielded,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Child, Phase, Ref


async def supervise(system: histrio.System, a: Child[Job], *, backoff_s: float = 0, restarts_max: int = 3) -> Ref[Job]:
    """Have it supervised, as /sup/a."""
    backoff = histrio.Backoff(first_s=backoff_s, factor=1) if backoff_s else None
    sup = await system.spawn(
        histrio.child("sup", histrio.Supervisor, a, backoff=backoff, restarts_max=restarts_max, window_s=1000)
    )
    return sup.child(a)


def failing_to_be_made(first: int, last: int) -> Callable[[], None]:
    """What `__init__` calls: it raises at these of its calls, counted from 1."""
    calls = itertools.count(1)

    def made() -> None:
        call = next(calls)
        if first <= call <= last:
            raise RuntimeError(f"not made the {call}. time")

    return made


def failing_to_start(first: int, last: int) -> Body:
    """What `started()` calls: it raises at these of its calls, counted from 1."""
    calls = itertools.count(1)

    async def starts(_: Worker) -> None:
        call = next(calls)
        await trio.sleep(1)
        if first <= call <= last:
            raise RuntimeError(f"not started the {call}. time")

    return starts


# -- failures while it starts again ------------------------------------------------------------------------------------


async def test_a_constructor_that_raises_at_a_restart_is_a_failed_start(autojump_clock: MockClock) -> None:
    """S1: it counts against the budget and is tried again, at once; mail waits meanwhile."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await supervise(system, worker("a", log, made=failing_to_be_made(2, 3)))
        await ref.tell(Say("fail"))
        assert await ref.ask(Say("hello")) == "a2"
        reports = [str(report) for report in system.reports]

    assert reports == [
        "/sup/a has ended: failed: ValueError: a failed",
        "/sup/a has ended: failed (it could not be made): RuntimeError: not made the 2. time",
        "/sup/a has ended: failed (it could not be made): RuntimeError: not made the 3. time",
    ]
    assert trio.current_time() == 0


async def test_a_constructor_that_always_raises_ends_in_too_many_restarts(autojump_clock: MockClock) -> None:
    """S1: within the budget and no further; whoever waits for the actor is told, with the last error."""
    answers: list[str] = []
    downs: list[histrio.Down] = []

    async def life(system: histrio.System) -> None:
        ref = await supervise(system, worker("a", [], made=failing_to_be_made(2, 99)))
        await ref.tell(Say("fail"))
        with trio.CancelScope(shield=True):
            answers.append(await ending_of(ref.ask(Say("hello"))))
            downs.append(await ref.monitor())

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    gave_up = error.failures[0].__cause__
    assert isinstance(gave_up, histrio.TooManyRestarts)
    assert [str(failure.__cause__) for failure in gave_up.failures] == [
        "a failed",
        *(f"not made the {call}. time" for call in (2, 3, 4)),
    ]
    assert answers == ["ActorStopped"]
    (down,) = downs
    assert (down.path, down.reason.end, down.incarnation) == ("/sup/a", histrio.End.FAILED, 1)
    assert "RuntimeError: not made the 4. time" in down.reason.chain()


async def test_a_start_that_fails_at_a_restart_is_tried_again(autojump_clock: MockClock) -> None:
    """S1: each try is an incarnation of its own, counts against the budget, and is waited for."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await supervise(system, worker("a", log, starts=failing_to_start(2, 3)))
        await ref.tell(Say("fail"))
        assert await ref.ask(Say("hello")) == "a4"
        assert trio.current_time() == 4

    assert log[2:8] == ["a1 fail", "a2 starts", "a3 starts", "a4 starts", "a4 started", "a4 hello"]


async def test_a_start_that_takes_too_long_at_a_restart_is_a_failed_start(autojump_clock: MockClock) -> None:
    """S1, S2: the deadline `start_s` holds for each incarnation; its end is named in the report."""
    log: list[str] = []
    a = worker("a", log, starts=once(takes(100), time=2)).with_(start_s=5)
    async with histrio.open_system() as system:
        ref = await supervise(system, a)
        await ref.tell(Say("fail"))
        assert await ref.ask(Say("hello")) == "a3"
        assert trio.current_time() == 5
        failures = [str(report.__cause__) for report in system.reports if isinstance(report, histrio.ActorFailed)]
        assert failures == ["a failed", "/sup/a: started() took longer than start_s = 5 s"]


async def test_a_started_that_hangs_at_its_own_ask_is_refused_at_a_restart_too() -> None:
    """A6, S1: it takes no message before it has started, so the wait could never end; that is a failed start."""

    async def ask_itself(actor: Worker) -> None:
        await actor.ref.ask(Say("hello"))

    async with histrio.open_system() as system:
        ref = await supervise(system, worker("a", [], starts=once(ask_itself, time=2)))
        await ref.tell(Say("fail"))
        assert await ref.ask(Say("hello")) == "a3"
        assert isinstance(system.reports[1].__cause__, histrio.AskCycle)


# -- failures while it stops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [histrio.PERMANENT, histrio.TRANSIENT, histrio.TEMPORARY])
async def test_a_failure_in_stopped_is_a_failure(restart: histrio.Restart) -> None:
    """S1, A10: an actor that was asked to stop and fails at it has failed: only TEMPORARY stays away."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = worker("a", log, stops=once(fail)).with_(restart=restart)
        ref = await supervise(system, a)
        phase = await ref.control.stop()
        await settle()

        assert phase is (Phase.FAILED if restart is histrio.TEMPORARY else Phase.RESTARTING)
        assert ref.control.is_done is (restart is histrio.TEMPORARY)
        assert [str(report) for report in system.reports] == ["/sup/a has ended: failed: ValueError: told to fail"]


async def test_a_failure_while_it_is_killed_is_its_failure() -> None:
    """A10, S1: what its clean-up raises is the cause, and whoever is asked for the reason says so."""

    async def fail_in_cleanup(actor: Worker) -> None:
        try:
            await hang(actor)
        finally:
            raise KeyError("cleanup")

    async with histrio.open_system() as system:
        ref = await supervise(system, worker("a", []).with_(restart=histrio.TEMPORARY))
        asked = ref.ask(Do(fail_in_cleanup))
        await settle()
        down = ref.monitor()
        assert await ref.control.kill() is Phase.FAILED
        assert await ending_of(asked) == "ActorFailed by KeyError"
        assert isinstance((await down).reason.cause, KeyError)
        assert await ending_of(ref.join()) == "ActorFailed by KeyError"


async def test_an_actor_that_does_not_stop_in_time_counts_as_killed(autojump_clock: MockClock) -> None:
    """S1: so TRANSIENT is started again; the reason says that it was the deadline."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = worker("a", log, stops=takes(100)).with_(restart=histrio.TRANSIENT, shutdown_s=2)
        ref = await supervise(system, a)
        assert await ref.control.stop() is Phase.RESTARTING
        assert trio.current_time() == 2
        await when_up(ref, 2)

    assert log[:5] == ["a1 starts", "a1 started", "a1 stops", "a2 starts", "a2 started"]


# -- kill, in every phase ----------------------------------------------------------------------------------------------

Way = Callable[[Ref[Job]], Awaitable[object]]


async def run_idle(_: Ref[Job]) -> None:
    """It has nothing to do."""


async def run_used(ref: Ref[Job]) -> None:
    """It has nothing to do any more."""
    await ref.ask(Say("hello"))


async def run_holding(ref: Ref[Job]) -> None:
    """A handler holds the turn."""
    await ref.tell(Do(hold))


async def run_hanging(ref: Ref[Job]) -> None:
    """Handlers wait."""
    for _ in range(3):
        await ref.tell(Do(hang))


async def be_paused(ref: Ref[Job]) -> None:
    """It is paused."""
    await ref.control.pause()


async def be_pausing(ref: Ref[Job]) -> None:
    """It is to be paused, and a handler waits."""
    await ref.tell(Do(hang))
    await settle()
    ref.control.pause()


async def be_draining(ref: Ref[Job]) -> None:
    """It has been asked to stop, and a handler holds the turn."""
    await ref.tell(Do(hold))
    ref.control.stop()


async def be_stopping(ref: Ref[Job]) -> None:
    """Its `stopped()` runs."""
    ref.control.stop()


async def be_failing(ref: Ref[Job]) -> None:
    """It has failed, and a handler cleans up for two seconds."""

    async def clean_up(actor: Worker) -> None:
        try:
            await hang(actor)
        finally:
            await shielded(2)(actor)

    await ref.tell(Do(clean_up))
    await settle()
    await ref.tell(Say("fail"))


async def be_starting_again(ref: Ref[Job]) -> None:
    """Its `started()` runs, for the second time."""
    await ref.tell(Say("fail"))


WAYS: dict[str, tuple[Way, Phase, float]] = {
    "idle": (run_idle, Phase.RUNNING, 0),
    "used": (run_used, Phase.RUNNING, 0),
    "holding": (run_holding, Phase.RUNNING, 0),
    "hanging": (run_hanging, Phase.RUNNING, 0),
    "paused": (be_paused, Phase.PAUSED, 0),
    "pausing": (be_pausing, Phase.RUNNING, 0),
    "draining": (be_draining, Phase.DRAINING, 0),
    "stopping": (be_stopping, Phase.STOPPING, 0),
    "failing": (be_failing, Phase.FAILING, 2),
    "starting again": (be_starting_again, Phase.STARTING, 0),
}


# A TEMPORARY one is never started again.
KILLS = [(way, histrio.PERMANENT) for way in WAYS] + [(way, histrio.TEMPORARY) for way in WAYS if "again" not in way]


@pytest.mark.parametrize(("way", "restart"), KILLS)
async def test_kill_ends_the_incarnation_in_every_phase(
    way: str, restart: histrio.Restart, autojump_clock: MockClock
) -> None:
    """S6: it takes no time where nothing has to be cleaned up; then the restart type decides."""
    bring, phase, seconds = WAYS[way]
    async with histrio.open_system() as system:
        a = worker("a", [], starts=once(hold, time=2), stops=once(hold)).with_(restart=restart, shutdown_s=100)
        ref = await supervise(system, a)
        life = 2 if way == "starting again" else 1
        await bring(ref)
        await settle()
        assert ref.control.status() is phase
        killed = [ref.control.kill("once"), ref.control.kill("twice")]
        ended = [await one for one in killed]

        assert trio.current_time() == seconds
        if restart is histrio.TEMPORARY:
            assert ended == [Phase.FAILED if way == "failing" else Phase.KILLED] * 2
            assert ref.control.is_done
        else:
            assert ended == [Phase.RESTARTING] * 2
            await settle()
            assert ref.control.inspect().incarnation == life + 1
            if life == 1 and way != "starting again":
                ref.control.kill()  # its second start hangs
            with trio.fail_after(10):
                await when_up(ref, 3)
            assert ref.control.is_paused is way.startswith("paus")


async def test_kill_of_a_child_that_starts_for_the_first_time_fails_its_supervisors_start(
    autojump_clock: MockClock,
) -> None:
    """S6, S2: there is no other try; whoever spawned the supervisor is told who was killed."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def kill() -> None:
                await settle()
                ref = system.ref_at("/sup/b")
                assert ref is not None
                assert await ref.control.kill("in its start") is Phase.KILLED

            with pytest.raises(histrio.ActorFailed) as raised:
                await system.spawn(
                    histrio.child("sup", histrio.Supervisor, worker("a", log), worker("b", log, starts=hold))
                )
            assert str(raised.value.__cause__) == "/sup/b has ended: killed (in its start)"

    assert await leaving(life) is None
    assert log == ["a1 starts", "a1 started", "b1 starts", "a1 stops", "a1 stopped"]
    assert trio.current_time() == 0


async def test_stop_of_a_transient_child_in_a_backoff_is_its_end(autojump_clock: MockClock) -> None:
    """S6: at once and for good; its mail is answered, its monitors are told, its supervisor knows it still."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = worker("a", log).with_(restart=histrio.TRANSIENT)
        ref = await supervise(system, a, backoff_s=10)
        await ref.tell(Say("fail"))
        await trio.sleep(1)
        down, watch, asked = ref.monitor(), ref.watch(), ref.ask(Say("hello"))
        await ref.tell(Say("told"))

        assert await ref.control.stop(why="why not") is Phase.STOPPED
        assert ref.control.is_done
        assert (await down).reason.why == "why not"
        assert str((await down).reason.cause) == "a failed"
        assert [phase async for phase in watch] == [Phase.RESTARTING, Phase.STOPPED]
        assert (await ending_of(asked)).startswith("Actor")
        assert letters(system) == ["fail", "told"]
        assert trio.current_time() == 1
        await trio.sleep(100)
        assert log == ["a1 starts", "a1 started", "a1 fail"]
        sup = system.find(histrio.Supervisor, "/sup")
        assert sup is not None
        again = await sup.restart_child(a)
        assert await again.ask(Say("hello")) == "a1"


@pytest.mark.parametrize(
    ("how", "restart"),
    [("stop", histrio.PERMANENT), ("kill", histrio.PERMANENT), ("kill", histrio.TRANSIENT)],
)
async def test_who_is_started_again_after_such_an_end_is_not_lost_in_a_backoff(
    how: str, restart: histrio.Restart, autojump_clock: MockClock
) -> None:
    """S1, S6: nothing runs, so nothing takes time, and the restart stays due: two kills do no more than one."""
    log: list[str] = []
    async with histrio.open_system() as system:
        ref = await supervise(system, worker("a", log).with_(restart=restart), backoff_s=10)
        await ref.tell(Say("fail"))
        await trio.sleep(1)
        down, asked = ref.monitor(), ref.ask(Say("hello"))

        assert await (ref.control.stop() if how == "stop" else ref.control.kill()) is Phase.RESTARTING
        assert trio.current_time() == 1
        assert await asked == "a2"
        assert trio.current_time() == 10
        assert not down.is_done


async def test_kill_waits_for_a_cleanup_up_to_its_own_deadline(autojump_clock: MockClock) -> None:
    """S6: a clean-up under a shield with a deadline ends exactly then, and so does the incarnation."""

    async def clean_up(actor: Worker) -> None:
        try:
            await hang(actor)
        finally:
            with trio.move_on_after(3, shield=True):
                await trio.sleep_forever()

    async with histrio.open_system() as system:
        ref = await supervise(system, worker("a", []))
        await ref.tell(Do(clean_up))
        await settle()
        assert await ref.control.kill() is Phase.RESTARTING
        assert trio.current_time() == 3


async def test_a_stop_ends_exactly_at_its_deadline(autojump_clock: MockClock) -> None:
    """S2, S6: `grace_s` counts from the first call; a later one can only shorten it."""
    async with histrio.open_system() as system:
        ref = await supervise(system, worker("a", []).with_(restart=histrio.TEMPORARY))
        await ref.tell(Do(hold))
        await settle()
        first = ref.control.stop(grace_s=4)
        await trio.sleep(1)
        ref.control.stop(grace_s=50)
        assert await first is Phase.KILLED
        assert trio.current_time() == 4
