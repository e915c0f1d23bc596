"""S1, S2: what happens in the middle of a restart of several: more failures, requests, stops; and nested supervisors."""

import itertools

import pytest
import trio
from tests.actors.supervision.crew import (
    Body,
    Job,
    Say,
    Worker,
    ending_of,
    hold,
    leaving,
    once,
    settle,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Child, Phase, Ref
from histrio.messages import ChildRequest

ALL = histrio.ONE_FOR_ALL
REST = histrio.REST_FOR_ONE


async def supervise(
    system: histrio.System, *children: Child[Job], strategy: histrio.Strategy = ALL, restarts_max: int = 3
) -> Ref[ChildRequest]:
    """A supervisor of these, /sup."""
    return await system.spawn(
        histrio.child("sup", histrio.Supervisor, *children, strategy=strategy, restarts_max=restarts_max)
    )


def slow_start(*lives: int, fails: int = 0, seconds: float = 1) -> Body:
    """`started()` that takes so long in these lives; in one of them it fails then."""
    calls = itertools.count(1)

    async def starts(_: Worker) -> None:
        call = next(calls)
        if call in lives:
            await trio.sleep(seconds)
        if call == fails:
            raise RuntimeError(f"no start, the {call}. time")

    return starts


def at(log: list[str]) -> Body:
    """A `started()` that writes down when."""

    async def starts(actor: Worker) -> None:
        actor.note(f"at {trio.current_time():g}")

    return starts


# -- failing starts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "again"),
    [
        (ALL, ["c1 stops", "a1 stops", "a2 starts", "b2 starts", "a2 stops", "a3 starts", "b3 starts", "c2 starts"]),
        (REST, ["c1 stops", "b2 starts", "b3 starts", "c2 starts"]),
    ],
)
async def test_a_start_that_fails_in_a_restart_begins_another_one(strategy: histrio.Strategy, again: list[str]) -> None:
    """S1: as the failure of that child: ONE_FOR_ALL stops those that are up again, REST_FOR_ONE leaves the left alone."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log, starts=slow_start(fails=2)), worker("c", log)
        sup = await supervise(system, a, b, c, strategy=strategy)
        log.clear()
        await sup.child(b).tell(Say("fail"))
        await when_up(sup.child(c), 2)
        seen = [line for line in log if line.endswith(("starts", "stops"))]

    assert seen == again


@pytest.mark.parametrize("strategy", [ALL, REST])
async def test_a_start_that_never_works_ends_in_too_many_restarts(strategy: histrio.Strategy) -> None:
    """S1: each try counts; then all that is up is stopped from right to left, and nothing is left."""
    log: list[str] = []

    async def never(actor: Worker) -> None:
        if actor.life > 1:
            raise RuntimeError(f"no start in life {actor.life}")

    async def life(system: histrio.System) -> None:
        a, b, c = worker("a", log), worker("b", log, starts=never), worker("c", log)
        sup = await supervise(system, a, b, c, strategy=strategy)
        log.clear()
        await sup.child(b).tell(Say("fail"))
        await sup.join()

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    gave_up = error.failures[0].__cause__
    assert isinstance(gave_up, histrio.TooManyRestarts)
    assert [str(why.__cause__) for why in gave_up.failures] == [
        "b failed",
        *(f"no start in life {life}" for life in (2, 3, 4)),
    ]
    last = "a4" if strategy is ALL else "a1"
    assert log[-2:] == [f"{last} stops", f"{last} stopped"]
    assert [line for line in log if line.startswith("c")] == ["c1 stops", "c1 stopped"]


@pytest.mark.parametrize("strategy", [ALL, REST])
async def test_a_failing_start_at_the_supervisors_own_start_rolls_back(strategy: histrio.Strategy) -> None:
    """S2: it is not tried again; those before it are stopped in reverse, those behind it never made."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        children = [worker("a", log), worker("b", log), worker("c", log, starts=slow_start(fails=1)), worker("d", log)]
        with pytest.raises(histrio.ActorFailed) as raised:
            await supervise(system, *children, strategy=strategy)
        assert str(raised.value.__cause__) == "/sup/c has ended: failed: RuntimeError: no start, the 1. time"
        assert system.tree().children == ()

    assert await leaving(life) is None
    assert log == [
        *("a1 starts", "a1 started", "b1 starts", "b1 started", "c1 starts"),
        *("b1 stops", "b1 stopped", "a1 stops", "a1 stopped"),
    ]


# -- more failures in the middle ---------------------------------------------------------------------------------------


async def test_a_child_that_fails_while_a_sibling_starts_begins_again(autojump_clock: MockClock) -> None:
    """S1: the one that starts is killed; the restart counts; mail of all of them is still there."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log, starts=slow_start(2, seconds=10)), worker("c", log)
        sup = await supervise(system, a, b, c, restarts_max=2)
        asked = [sup.child(spec).ask(Say("hello")) for spec in (a, b, c)]
        for one in asked:
            await one
        await sup.child(c).tell(Say("fail"))
        await trio.sleep(1)
        assert sup.child(b).control.status() is Phase.STARTING
        waiting = [sup.child(spec).ask(Say("hello")) for spec in (b, c)]
        log.clear()
        await sup.child(a).tell(Say("fail"))
        assert [await one for one in waiting] == ["b3", "c2"]
        assert trio.current_time() == 1

    begun = [line for line in log if not line.endswith("hello")]
    assert begun[:7] == ["a2 fail", "a3 starts", "a3 started", "b3 starts", "b3 started", "c2 starts", "c2 started"]


async def test_a_child_that_fails_while_its_supervisor_starts(autojump_clock: MockClock) -> None:
    """S1, S2: those that have started are looked after already; whoever starts is begun anew with them."""
    log: list[str] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        a, b, c = worker("a", log), worker("b", log, starts=slow_start(1, 2, seconds=5)), worker("c", log)
        nursery.start_soon(lambda: supervise(system, a, b, c))
        await trio.sleep(1)
        ref = system.find(Worker, "/sup/a")
        assert ref is not None
        await ref.tell(Say("fail"))
        await trio.sleep(5.5)
        lives = {node.name: node.incarnation for node in system.tree().walk() if node.actor == "Worker"}
        seen = list(log)

    assert seen == [
        *("a1 starts", "a1 started", "b1 starts", "a1 fail"),
        *("a2 starts", "a2 started", "b1 starts", "b1 started", "c1 starts", "c1 started"),
    ]
    assert lives == {"a": 2, "b": 1, "c": 1}


async def test_the_budget_may_run_out_while_the_supervisor_starts(autojump_clock: MockClock) -> None:
    """S1, S2: then its start has failed; what is up is stopped in reverse, and whoever spawned it is told."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def fail_one() -> None:
                await trio.sleep(1)
                ref = system.find(Worker, "/sup/a")
                assert ref is not None
                await ref.tell(Say("fail"))

            with pytest.raises(histrio.ActorFailed) as raised:
                await supervise(
                    system, worker("a", log), worker("b", log), worker("c", log, starts=hold), restarts_max=0
                )
            assert isinstance(raised.value.__cause__, histrio.TooManyRestarts)

    assert await leaving(life) is None
    assert [line for line in log if "stop" in line] == ["b1 stops", "b1 stopped"]


async def test_a_child_that_fails_again_and_again_while_siblings_stop(autojump_clock: MockClock) -> None:
    """S1: an end of one that is to be ended anyway is not counted, so a slow sibling does not use the budget up."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log), worker("c", log, stops=once(takes(4)))
        sup = await supervise(system, a, b, c, restarts_max=1)
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        await sup.child(b).tell(Say("fail"))
        await trio.sleep(1)
        assert sup.child(b).control.status() is Phase.RESTARTING
        await when_up(sup.child(c), 2)
        assert trio.current_time() == 4
        assert [sup.child(spec).control.inspect().incarnation for spec in (a, b, c)] == [2, 2, 2]


# -- the supervisor is stopped in the middle ---------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", histrio.Strategy)
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_supervisor_may_be_ended_while_it_restarts(
    strategy: histrio.Strategy, how: str, autojump_clock: MockClock
) -> None:
    """S2, S6: nothing more is started; what is up is stopped from right to left, what starts is ended, none is left."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log, starts=slow_start(2, seconds=3)), worker("c", log)
        sup = await supervise(system, a, b, c, strategy=strategy)
        refs = [sup.child(spec) for spec in (a, b, c)]
        await sup.child(b).tell(Say("fail"))
        await trio.sleep(1)
        assert refs[1].control.status() is Phase.STARTING
        log.clear()
        ended = await (sup.control.stop() if how == "stop" else sup.control.kill())
        assert ended is (Phase.STOPPED if how == "stop" else Phase.KILLED)
        assert all(ref.control.is_done for ref in refs)
        assert system.tree().children == ()
        assert trio.current_time() == (3 if how == "stop" else 1)

    assert not [line for line in log if line.endswith("starts")]
    stops = [line for line in log if line.endswith("stops")]
    if how == "kill":
        assert stops == []
    else:
        assert (
            stops
            == {
                histrio.ONE_FOR_ONE: ["c1 stops", "b2 stops", "a1 stops"],
                ALL: ["b2 stops", "a2 stops"],
                REST: ["b2 stops", "a1 stops"],
            }[strategy]
        )


@pytest.mark.parametrize("strategy", [ALL, REST])
async def test_a_supervisor_may_be_stopped_while_its_children_are_being_stopped(
    strategy: histrio.Strategy, autojump_clock: MockClock
) -> None:
    """S2: each child is stopped once, and the order is kept."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log), worker("c", log, stops=takes(2))
        sup = await supervise(system, a, b, c, strategy=strategy)
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        asked = [sup.child(spec).ask(Say("hello")) for spec in (a, b, c)]
        assert await sup.control.stop() is Phase.STOPPED
        assert trio.current_time() == 2
        assert [await ending_of(one) for one in asked] == ["ActorStopped", "'b1'", "ActorStopped"]

    stops = [line for line in log if "stop" in line]
    assert stops == ["c1 stops", "c1 stopped", "b1 stops", "b1 stopped"]


async def test_leaving_the_system_in_the_middle_of_a_restart(autojump_clock: MockClock) -> None:
    """S2, A14: the block ends while children are stopped: in order, and without an error."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        a, b = worker("a", log), worker("b", log, stops=takes(2))
        sup = await supervise(system, a, b)
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)

    assert await leaving(life) is None
    assert log[4:] == ["a1 fail", "b1 stops", "b1 stopped"]


# -- nested ------------------------------------------------------------------------------------------------------------


async def test_a_nested_supervisor_is_restarted_whole() -> None:
    """S1, S4: as a sibling of one that failed: its children end from right to left before it, and are all new after."""
    log: list[str] = []
    async with histrio.open_system() as system:
        b, c = worker("b", log), worker("c", log)
        inner = histrio.child("inner", histrio.Supervisor, b, c)
        a = worker("a", log)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, inner, strategy=ALL))
        old = sup.child(inner).child(b)
        log.clear()
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(inner), 2)
        new = sup.child(inner).child(b)

        assert old.control.is_done
        assert old == new
        assert await new.ask(Say("hello")) == "b1"
        assert log == [
            *("a1 fail", "c1 stops", "c1 stopped", "b1 stops", "b1 stopped"),
            *("a2 starts", "a2 started", "b1 starts", "b1 started", "c1 starts", "c1 started", "b1 hello"),
        ]


async def test_requests_that_a_nested_supervisor_has_in_hand_are_interrupted(autojump_clock: MockClock) -> None:
    """S1, S3: a `start_child` that waits for a slow start does not hold up the restart; its asker is told."""
    log: list[str] = []
    async with histrio.open_system() as system:
        inner, a = histrio.child("inner", histrio.DynamicSupervisor), worker("a", log)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, inner, strategy=ALL))
        asked = sup.child(inner).start_child(worker("slow", log, starts=takes(50)).with_(shutdown_s=7))
        await settle()
        await sup.child(a).tell(Say("fail"))
        assert (await ending_of(asked)).partition(" ")[0] in ("ActorFailed", "ActorStopped", "ChildNotStarted")
        await when_up(sup.child(inner), 2)
        assert trio.current_time() <= 7
        assert await (await sup.child(inner).start_child(worker("b", log))).ask(Say("hello")) == "b1"
        assert [node.path for node in system.tree().walk()] == ["/", "/sup", "/sup/a", "/sup/inner", "/sup/inner/b"]


async def test_groups_in_groups(autojump_clock: MockClock) -> None:
    """S1: a failure deep below is handled where it happens; only one that is too much goes up, level by level."""
    log: list[str] = []
    async with histrio.open_system() as system:
        leaf = worker("leaf", log)
        inner = histrio.child("inner", histrio.Supervisor, leaf, worker("x", log), strategy=ALL, restarts_max=1)
        middle = histrio.child("middle", histrio.Supervisor, inner, worker("y", log), strategy=REST, restarts_max=1)
        top = await system.spawn(histrio.child("top", histrio.Supervisor, middle, worker("z", log), restarts_max=1))

        lives: list[tuple[int, ...]] = []
        for _ in range(4):
            ref = system.find(Worker, "/top/middle/inner/leaf")
            assert ref is not None
            await ref.tell(Say("fail"))
            await settle()
            nodes = {node.name: node.incarnation for node in system.tree().walk()}
            lives.append(tuple(nodes[name] for name in ("leaf", "x", "inner", "y", "middle", "z")))
        assert not top.control.is_done

    assert lives == [
        (2, 2, 1, 1, 1, 1),  # inner starts both again
        (1, 1, 2, 2, 1, 1),  # too much for inner: middle starts it and y again
        (2, 2, 2, 2, 1, 1),
        (1, 1, 1, 1, 2, 1),  # too much for inner and for middle: top starts middle again
    ]
