"""A14: a system is a scope: who lives in it, how it is left, and what it shows."""

import pytest
import trio
import trio.testing
from tests.actors.noted import STOPPED_IN_ORDER, Noted, OneAtATime, Say, settle, spawn_three

import histrio
from histrio_kernel.futures import HOLDERS

Clock = trio.testing.MockClock


# -- leaving -----------------------------------------------------------------------------------------------------------


async def test_leaving_stops_the_tree_in_order() -> None:
    """A14, S2: from the last to the first, each with its inbox drained; then nothing of it is left."""
    log: list[str] = []
    tasks_before = trio.lowlevel.current_statistics().tasks_living
    async with histrio.open_system() as system:
        for actor in await spawn_three(system, log):
            actor.tell_nowait(Say("last"))

    assert [line for line in log if "stopped" in line] == STOPPED_IN_ORDER
    assert all(log.index(f"{name} last") < log.index(f"{name} stopped") for name in "abc")
    assert trio.lowlevel.current_statistics().tasks_living == tasks_before
    assert not HOLDERS
    assert system.tree().children == ()


async def test_leaving_is_a_checkpoint() -> None:
    """A14: also when nobody lives in it."""
    with trio.testing.assert_checkpoints():
        async with histrio.open_system():
            pass


async def test_stopping_has_a_deadline(autojump_clock: Clock) -> None:
    """A14, S2: what has not stopped after its `shutdown_s` is cancelled; the others go on stopping in order."""
    log: list[str] = []

    class Slow(Noted):
        shutdown_s = 3

    async with histrio.open_system() as system:
        await system.spawn(Noted, "first", log)
        slow = await system.spawn(Slow, "slow", log)
        await slow.tell(Say("wait"))
        await settle()
        begun = trio.current_time()
    with pytest.raises(histrio.ActorStopped, match="deadline") as caught:
        slow.control.status()

    assert trio.current_time() - begun == 3
    assert log == ["slow cleaned up", "first stopped"]
    assert caught.value.reason.end is histrio.End.KILLED


async def test_stop_may_be_awaited_and_cancelled(autojump_clock: Clock) -> None:
    """A14: `system.stop()` stops all in order; cancelled it leaves the rest running, and may be called again."""
    log: list[str] = []
    async with histrio.open_system() as system:
        actors = await spawn_three(system, log)
        await actors[1].tell(Say("wait"))
        await settle()
        with trio.move_on_after(1) as scope:
            await system.stop()
        assert scope.cancelled_caught
        assert log == ["c stopped"]
        assert await actors[0].ask(Say("still here")) == "still here"
        await system.stop()
        assert log[-2:] == ["b cleaned up", "a stopped"]
        await system.stop()


async def test_kill_cancels_all_at_once() -> None:
    """A14: `system.kill()` is no checkpoint; no `stopped()` runs, and what waits in inboxes is a dead letter."""
    log: list[str] = []
    async with histrio.open_system() as system:
        for actor in await spawn_three(system, log, OneAtATime):
            await actor.tell(Say("wait"))
            await settle()
            actor.tell_nowait(Say("never"))
        system.kill()
        await system.wait()

        assert sorted(log) == ["a cleaned up", "b cleaned up", "c cleaned up"]
        assert sorted(letter.path for letter in system.dead_letters if letter.message == Say("never")) == [
            "/a",
            "/b",
            "/c",
        ]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_nothing_is_spawned_after_a_stop(how: str) -> None:
    """A14: `spawn` raises `ActorStopped`, which says that no more is taken; nothing was made."""
    made: list[object] = []

    class Made(histrio.Actor[str]):
        def __init__(self) -> None:
            made.append(self)

    async with histrio.open_system() as system:
        if how == "stop":
            await system.stop()
        else:
            system.kill()
        with pytest.raises(histrio.ActorStopped, match="takes no children any more"):
            await system.spawn(Made)
    with pytest.raises(histrio.ActorStopped):
        await system.spawn(Made)
    assert made == []


# -- wait --------------------------------------------------------------------------------------------------------------


async def test_wait_waits_for_all_to_end() -> None:
    """A14: `system.wait()` returns to all who wait when the last actor has ended, by itself or stopped."""
    log: list[str] = []
    waited: list[int] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:

        async def wait(number: int) -> None:
            await system.wait()
            waited.append(number)

        a, b, c = await spawn_three(system, log)
        for number in range(2):
            nursery.start_soon(wait, number)
        a.control.stop()
        c.control.kill()
        await settle()
        assert waited == []
        b.control.stop()
        await settle()
        assert sorted(waited) == [0, 1]
        await system.wait()
        await (await system.spawn(Noted, "again", log)).ask(Say("hello"))


async def test_wait_of_an_empty_system_is_a_checkpoint() -> None:
    """A14: it returns at once, as Trio's calls do."""
    async with histrio.open_system() as system:
        with trio.testing.assert_checkpoints():
            await system.wait()


async def test_a_cancelled_wait_leaves_the_system_alone() -> None:
    """A14: whoever stops waiting stops nobody."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, _, _ = await spawn_three(system, log)
        with trio.CancelScope() as scope:
            scope.cancel()
            await system.wait()
        assert scope.cancelled_caught
        assert await a.ask(Say("hello")) == "hello"


async def test_an_actor_may_stop_its_own_system() -> None:
    """A14: from within, `system.kill()` and `control.stop()` are calls that return; the body's `wait` ends."""

    class Ends(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            if message == "kill":
                self.system.kill()
            else:
                self.ref.control.stop()

    for message in ("kill", "stop"):
        async with histrio.open_system() as system:
            ends = await system.spawn(Ends)
            await ends.tell(message)
            await system.wait()


# -- run ---------------------------------------------------------------------------------------------------------------


async def test_a_system_is_closed_before_its_services_end() -> None:
    """A10: whoever sees it open may count on them, so at no step is it open without."""
    told: list[bool] = []

    def call_later() -> None:
        told.append(system.engine.closed is not None)
        system.engine.after(1, lambda: None)  # takes a task of the services

    async with histrio.open_system() as system:
        system.engine.closing["a test"] = call_later

    assert told == [True]


def test_run_gives_the_value_of_main() -> None:
    """A14: `run(main, *args)` opens a system for `main`, and returns or raises what `main` does."""

    async def main(system: histrio.System, number: int, name: str) -> str:
        return f"{system.name} {number} {name}"

    async def failing(system: histrio.System) -> None:
        raise KeyError("of main")

    assert histrio.run(main, 3, "x") == "histrio 3 x"
    assert histrio.run(main, 3, "x", name="shop", clock=trio.testing.MockClock()) == "shop 3 x"
    with pytest.raises(KeyError, match="of main"):
        histrio.run(failing)


def test_run_raises_the_systems_failure() -> None:
    """A14: one typed error, also when `main` was cancelled by it."""

    async def main(system: histrio.System) -> None:
        await (await system.spawn(Noted, "noted", log)).tell(Say("fail"))
        await trio.sleep_forever()

    log: list[str] = []
    with pytest.raises(histrio.SystemFailed, match="noted failed"):
        histrio.run(main)


# -- what it shows -----------------------------------------------------------------------------------------------------


async def test_the_tree_is_data_and_a_drawing() -> None:
    """S8: `system.tree()` tells of each actor where and what it is, and what it is busy with."""

    class Front(Noted):
        inbox_max = 1

        async def started(self) -> None:
            await self.spawn(Noted, "conn", self.log)
            await self.spawn(Noted, "conn", self.log, name="back")

    log: list[str] = []
    async with histrio.open_system("shop") as system:
        front = await system.spawn(Front, "front", log, name="front")
        await system.spawn(Noted, "store", log, name="store")
        await front.tell(Say("wait"))
        await settle()
        tree = system.tree()

        assert [node.path for node in tree.walk()] == ["/", "/front", "/front/noted#1", "/front/back", "/store"]
        assert [(node.actor.rpartition(".")[2], node.phase) for node in tree.children] == [
            ("Front", "running"),
            ("Noted", "running"),
        ]
        assert (tree.children[0].in_flight, tree.children[0].operations) == (1, 1)
        drawing = str(tree).splitlines()
        assert drawing[0] == "/  system 'shop'  running"
        assert drawing[1].startswith("├─ front")
        assert drawing[1].endswith("running  (1 in flight, 1 io)")
        assert [line.split()[:2] for line in drawing[2:]] == [["│", "├─"], ["│", "└─"], ["└─", "store"]]
        system.kill()
        assert system.tree().phase == "stopping"


async def test_dead_letters_are_bounded_and_counted() -> None:
    """A10: the last `dead_letters_max` are kept, each with path, message and reason; the count goes on."""
    log: list[str] = []
    async with histrio.open_system(dead_letters_max=3) as system:
        noted = await system.spawn(OneAtATime, "noted", log, name="noted")
        await noted.tell(Say("wait"))
        await settle()
        for number in range(10):
            noted.tell_nowait(Say(f"{number}"))
        await noted.control.kill("no time")

        assert system.dead_letters.count == 11
        assert [letter.message for letter in system.dead_letters] == [Say("7"), Say("8"), Say("9")]
        assert {letter.path for letter in system.dead_letters} == {"/noted"}
        assert all("no time" in letter.why for letter in system.dead_letters)


@pytest.mark.alarm(20)
async def test_reports_are_bounded_and_handed_on() -> None:
    """A14: `on_report` gets each report, `system.reports` keeps the last; a callback that raises harms nobody."""
    handed: list[histrio.HistrioError] = []

    def hand_on(report: histrio.HistrioError) -> None:
        handed.append(report)
        raise KeyError("no such pager")

    def broken(signal: histrio.Signal) -> None:
        raise ValueError(signal.kind)

    async with histrio.open_system(reports_max=2, on_report=hand_on) as system:
        for _ in range(3):
            system.listen(broken)
            noted = await system.spawn(Noted, "noted", list[str]())
            assert await noted.ask(Say("hello")) == "hello"

        assert len(handed) == 3
        assert system.reports == tuple(handed[1:])


async def test_a_system_is_found_by_its_actors() -> None:
    """A13: `find` checks the class and finds nobody where nobody is; actors of other classes are a `TypeError`."""
    log: list[str] = []
    async with histrio.open_system() as system:
        noted = await system.spawn(Noted, "noted", log, name="noted")

        assert system.find(Noted, "/noted") == noted
        assert system.find(histrio.Actor, "/noted") == noted
        for nowhere in ("/nobody", "/noted/child", "noted", "", "/"):
            assert system.find(Noted, nowhere) is None

        class Other(histrio.Actor[int]):
            pass

        with pytest.raises(TypeError, match=r"/noted is a Noted, not a .*Other"):
            system.find(Other, "/noted")
