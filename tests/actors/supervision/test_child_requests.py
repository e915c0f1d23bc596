"""S1: children that are started, ended, started again and forgotten on request: of a ref, and from inside."""

from collections.abc import Awaitable, Callable
from typing import Never

import pytest
import trio
from tests.actors.supervision.crew import (
    Crew,
    Job,
    Say,
    Worker,
    ending_of,
    fail,
    failures,
    hold,
    letters,
    once,
    settle,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Child, Phase, Ref
from histrio.messages import ChildRequest, StartChild, TerminateChild


async def supervise(
    system: histrio.System, *children: Child[Never], strategy: histrio.Strategy = histrio.ONE_FOR_ONE
) -> tuple[Ref[ChildRequest], Crew]:
    """A supervisor of these, /sup: its ref and itself."""
    met: list[Crew] = []
    sup = await system.spawn(histrio.child("sup", Crew, met, *children, strategy=strategy))
    return sup, met[0]


def paths(system: histrio.System) -> list[str]:
    """Who lives."""
    return [node.path for node in system.tree().walk()][1:]


# -- start_child -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [True, False])
async def test_a_child_is_started_to_the_right_of_the_others(inside: bool) -> None:
    """S1, S2: it is looked after as the others are, and stopped first."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log, starts=takes(0))
        sup, crew = await supervise(system, a, strategy=histrio.REST_FOR_ONE)
        ref = await (crew.start_child(b) if inside else sup.start_child(b))
        assert ref == sup.child(b)
        assert await ref.ask(Say("hello")) == "b1"
        await sup.child(a).tell(Say("fail"))
        await when_up(ref, 2)
        log.clear()

    assert log == ["b2 stops", "b2 stopped", "a2 stops", "a2 stopped"]


async def test_start_child_waits_until_the_child_is_up(autojump_clock: MockClock) -> None:
    """S2: `started()` has returned when the ref comes; two that are asked for at once start side by side."""
    async with histrio.open_system() as system:
        sup, _ = await supervise(system)
        asked = [sup.start_child(worker(name, [], starts=takes(3))) for name in "ab"]
        for one in asked:
            assert (await one).control.status() is Phase.RUNNING
        assert trio.current_time() == 3


@pytest.mark.parametrize("why", ["fails", "hangs", "not made", "is killed"])
async def test_a_child_that_does_not_start_is_forgotten(why: str, autojump_clock: MockClock) -> None:
    """S1: the asker gets `ChildNotStarted` with the cause; the supervisor lives on, nothing is counted or reported."""
    causes = {"fails": "ValueError", "hangs": "TimeoutError", "not made": "RuntimeError", "is killed": "killed (why)"}

    def made() -> None:
        if why == "not made":
            raise RuntimeError("not made")

    async with histrio.open_system() as system:
        sup, crew = await supervise(system, worker("a", []))
        starts = {"fails": fail, "hangs": hold, "not made": None, "is killed": hold}[why]
        for _ in range(5):
            asked = sup.start_child(worker("b", [], made=made, starts=starts).with_(start_s=5))
            await settle()
            if why == "is killed":
                ref = system.ref_at("/sup/b")
                assert ref is not None
                ref.control.kill("why")
            with pytest.raises(histrio.ChildNotStarted, match=r"/sup: child 'b' did not start: ") as raised:
                await asked
            assert causes[why] in str(raised.value)
            assert raised.value.__cause__ is not None
        assert [child.name for child in crew.which_children()] == ["a"]
        assert paths(system) == ["/sup", "/sup/a"]
        assert failures(system) == []


async def test_a_name_is_given_once() -> None:
    """S1: while the child lives, waits for a restart, or has ended and is known: `ChildRunning`, and nothing changes."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, crew = await supervise(system, a)
        for _ in range(2):
            with pytest.raises(histrio.ChildRunning, match="/sup knows a child 'a' already"):
                await sup.start_child(worker("a", []))
            with pytest.raises(histrio.ChildRunning):
                await crew.start_child(worker("a", []))
            await sup.terminate_child(a)
        await sup.delete_child(a)
        assert await (await sup.start_child(worker("a", []))).ask(Say("hello")) == "a1"


async def test_two_that_want_one_name_at_once() -> None:
    """S1: the first one gets it."""
    async with histrio.open_system() as system:
        sup, _ = await supervise(system)
        asked = [sup.start_child(worker("a", [], starts=takes(0))) for _ in range(2)]
        assert [await ending_of(one) for one in asked] == ["<Ref /sup/a>", "ChildRunning"]


async def test_a_start_that_is_not_wanted_any_more_is_undone(autojump_clock: MockClock) -> None:
    """S1, S4: cancelled from inside, the child is killed and forgotten; its name is free when it has ended."""
    log: list[str] = []
    async with histrio.open_system() as system:
        _, crew = await supervise(system)

        async def inside() -> None:
            with trio.move_on_after(2) as scope:
                await crew.start_child(worker("a", log, starts=takes(50)))
            assert scope.cancelled_caught
            await settle()
            assert crew.which_children() == ()
            assert paths(system) == ["/sup"]
            await crew.start_child(worker("a", log))

        await crew.background(inside)

    assert log[:3] == ["a1 starts", "a1 starts", "a1 started"]


async def test_an_undone_start_whose_cleanup_fails_harms_nobody(autojump_clock: MockClock) -> None:
    """S1: the supervisor does not fail by a child that it has not taken over."""

    async def fail_in_cleanup(_: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("in its clean-up")

    async with histrio.open_system() as system:
        sup, crew = await supervise(system, worker("a", []))

        async def inside() -> None:
            with trio.move_on_after(1):
                await crew.start_child(worker("b", [], starts=fail_in_cleanup))

        await crew.background(inside)
        await settle()
        assert sup.control.status() is Phase.RUNNING
        assert paths(system) == ["/sup", "/sup/a"]


async def test_a_request_that_nobody_waits_for_is_carried_out(autojump_clock: MockClock) -> None:
    """F8: queued it is withdrawn; begun it goes on, and its reply is dropped."""
    async with histrio.open_system() as system:
        sup, _ = await supervise(system)
        withdrawn, begun = sup.start_child(worker("a", [])), sup.start_child(worker("b", [], starts=takes(5)))
        withdrawn.cancel()
        await settle()
        begun.cancel()
        await trio.sleep(6)
        assert paths(system) == ["/sup", "/sup/b"]


async def test_a_child_that_ends_as_soon_as_it_is_up_has_started(autojump_clock: MockClock) -> None:
    """S1: the asker gets a ref, of what may have ended; also when the supervisor is busy meanwhile."""

    class Job1(histrio.Actor[Say]):
        async def run(self) -> int:
            return 5

    async with histrio.open_system() as system:
        sup, crew = await supervise(system)

        async def busy() -> None:
            async with crew.turn():
                await trio.sleep(10)

        for restart in (histrio.TRANSIENT, histrio.TEMPORARY):
            job = await sup.start_child(histrio.child(f"job-{restart.value}", Job1).with_(restart=restart))
            assert await job.join(int) == 5
        asked = sup.start_child(worker("a", [], starts=takes(1)).with_(restart=histrio.TEMPORARY))
        again = sup.start_child(worker("b", [], starts=takes(1)))
        await settle()
        working = crew.background(busy)
        await trio.sleep(2)
        for path in ("/sup/a", "/sup/b"):
            ref = system.find(Worker, path)
            assert ref is not None
            await ref.tell(Say("fail"))
        assert (await asked).control.is_done
        assert await (await again).ask(Say("hello")) == "b2"
        await working


# -- terminate, restart, delete ----------------------------------------------------------------------------------------

Ways = Callable[[Ref[ChildRequest], Crew, Child[Job]], Awaitable[None]]
WAYS: dict[str, Ways] = {
    "spec": lambda sup, crew, a: crew_or(sup.terminate_child(a)),
    "name": lambda sup, crew, a: crew_or(sup.terminate_child(a.name or "")),
    "ref": lambda sup, crew, a: crew_or(sup.terminate_child(sup.child(a))),
    "spec inside": lambda sup, crew, a: crew.terminate_child(a),
    "name inside": lambda sup, crew, a: crew.terminate_child(a.name or ""),
    "ref inside": lambda sup, crew, a: crew.terminate_child(crew.child(a)),
}


async def crew_or(future: Awaitable[None]) -> None:
    """Wait for it."""
    await future


@pytest.mark.parametrize("way", WAYS)
async def test_a_terminated_child_has_ended_and_is_known(way: str, autojump_clock: MockClock) -> None:
    """S1: it drains, stops, and is not started again, though it is PERMANENT; its ref is dead for good."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = worker("a", log, stops=takes(2))
        sup, crew = await supervise(system, a)
        ref = sup.child(a)
        await ref.tell(Say("accepted"))
        await WAYS[way](sup, crew, a)
        assert trio.current_time() == 2
        assert ref.control.is_done
        assert log[2:] == ["a1 accepted", "a1 stops", "a1 stopped"]
        assert [(child.name, child.phase) for child in crew.which_children()] == [("a", None)]
        await sup.terminate_child(a)  # it has ended: nothing to do
        again = await sup.restart_child(a)
        assert await again.ask(Say("hello")) == "a1"
        assert await ending_of(ref.ask(Say("hello"))) == "ActorStopped"


async def test_a_child_started_again_has_its_old_place(autojump_clock: MockClock) -> None:
    """S1, S2: among its siblings, in the order of stopping and of a restart in a group."""
    log: list[str] = []
    async with histrio.open_system() as system:
        children = [worker(name, log) for name in "abc"]
        sup, crew = await supervise(system, *children, strategy=histrio.REST_FOR_ONE)
        await sup.terminate_child("b")
        await sup.restart_child("b")
        assert [child.name for child in crew.which_children()] == ["a", "b", "c"]
        assert paths(system) == ["/sup", "/sup/a", "/sup/b", "/sup/c"]
        log.clear()
        await sup.child(children[1]).tell(Say("fail"))
        await when_up(sup.child(children[2]), 2)
        assert log == ["b1 fail", "c1 stops", "c1 stopped", "b2 starts", "b2 started", "c2 starts", "c2 started"]
        log.clear()

    assert [line for line in log if line.endswith("stops")] == ["c2 stops", "b2 stops", "a1 stops"]


async def test_a_terminated_child_is_started_again_with_its_group() -> None:
    """S1: as in OTP, a restart of the group does not ask why one of them is down; a deleted one it does not know."""
    async with histrio.open_system() as system:
        a, b, c = (worker(name, []) for name in "abc")
        sup, _ = await supervise(system, a, b, c, strategy=histrio.ONE_FOR_ALL)
        await sup.terminate_child(b)
        await sup.terminate_child(c)
        await sup.delete_child(c)
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(a), 2)
        await settle()
        assert await sup.child(b).ask(Say("hello")) == "b1"
        assert paths(system) == ["/sup", "/sup/a", "/sup/b"]


async def test_a_child_that_is_up_cannot_be_restarted_or_deleted() -> None:
    """S1: `ChildRunning` tells its phase; terminate it first."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, _ = await supervise(system, a)
        for request in (sup.restart_child, sup.delete_child):
            with pytest.raises(histrio.ChildRunning, match=r"/sup: child 'a' .* it is running; terminate it first"):
                await request(a)
        assert await sup.child(a).ask(Say("hello")) == "a1"


@pytest.mark.parametrize("name", ["restart_child", "delete_child", "terminate_child"])
async def test_a_child_that_nobody_knows_is_named(name: str) -> None:
    """S1: with those that there are; the supervisor lives on."""
    async with histrio.open_system() as system:
        a, other = worker("a", []), worker("other", [])
        sup, crew = await supervise(system, a)
        for given in (other, "other"):
            for supervisor in (sup, crew):
                with pytest.raises(histrio.NoSuchChild, match="/sup knows no child 'other'; it knows 'a'"):
                    await getattr(supervisor, name)(given)
        assert sup.control.status() is Phase.RUNNING


async def test_a_start_on_request_that_fails_may_be_tried_again(autojump_clock: MockClock) -> None:
    """S1: `restart_child` that fails leaves the child as it was: known, and down."""
    async with histrio.open_system() as system:
        a = worker("a", [], starts=once(fail, time=2))
        sup, crew = await supervise(system, a)
        await sup.terminate_child(a)
        assert await ending_of(sup.restart_child(a)) == "ChildNotStarted by ActorFailed"
        assert [(child.name, child.phase) for child in crew.which_children()] == [("a", None)]
        assert await (await sup.restart_child(a)).ask(Say("hello")) == "a1"


async def test_a_terminated_child_that_is_started_again_is_permanent_again(autojump_clock: MockClock) -> None:
    """S1: also if whoever terminated it did not wait for its end."""
    async with histrio.open_system() as system:
        a = worker("a", [], stops=takes(3))
        sup, crew = await supervise(system, a)

        async def give_up_waiting() -> None:
            with trio.move_on_after(1):
                await crew.terminate_child(a)

        await crew.background(give_up_waiting)
        await trio.sleep(5)
        ref = await sup.restart_child(a)
        await ref.tell(Say("fail"))
        await when_up(ref, 2)


# -- requests in the middle of something -------------------------------------------------------------------------------


async def test_terminate_calls_a_backoff_off(autojump_clock: MockClock) -> None:
    """S1: of the child itself, and of a group that waits for its restart: it is not started by that any more."""
    log: list[str] = []
    for strategy in histrio.Strategy:
        async with histrio.open_system() as system:
            a, b = worker("a", log), worker("b", log)
            sup = await system.spawn(
                histrio.child(
                    "sup", histrio.Supervisor, a, b, strategy=strategy, backoff=histrio.Backoff(first_s=10, factor=1)
                )
            )
            await sup.child(a).tell(Say("fail"))
            await trio.sleep(1)
            log.clear()
            await sup.terminate_child("b" if strategy is not histrio.ONE_FOR_ONE else "a")
            await trio.sleep(100)
            lives = {"a": 0, "b": 0} | {node.name: node.incarnation for node in system.tree().walk()}

        if strategy is histrio.ONE_FOR_ONE:
            assert (lives["a"], lives["b"]) == (0, 1)
        else:
            assert (lives["a"], lives["b"]) == (2, 0)


async def test_restart_of_a_child_that_its_group_starts_anyway(autojump_clock: MockClock) -> None:
    """S1, A10: whoever asks is answered, with the ref of the one that its group has started."""
    async with histrio.open_system() as system:
        a, b = worker("a", []), worker("b", [])
        sup = await system.spawn(
            histrio.child(
                "sup", histrio.Supervisor, a, b, strategy=histrio.ONE_FOR_ALL, backoff=histrio.Backoff(first_s=10)
            )
        )
        await sup.terminate_child(b)
        await sup.child(a).tell(Say("fail"))
        await settle()
        asked = sup.restart_child(b)
        with trio.fail_after(50):
            assert await (await asked).ask(Say("hello")) == "b1"
        assert sup.child(b) == await asked


@pytest.mark.parametrize("second", ["fails", "not made"])
async def test_a_first_start_in_the_middle_of_a_groups_restart(second: str, autojump_clock: MockClock) -> None:
    """S1: it is begun again with the others; if that fails its asker is told, and nothing of it runs."""
    log: list[str] = []
    made: list[int] = []

    def make() -> None:
        made.append(1)
        if second == "not made" and len(made) == 2:
            raise RuntimeError("not made")

    async def starts(_: Worker) -> None:
        await trio.sleep(1)
        if len(made) == 2:
            raise RuntimeError("not started")

    async with histrio.open_system() as system:
        a = worker("a", log)
        sup, crew = await supervise(system, a, strategy=histrio.ONE_FOR_ALL)
        asked = sup.start_child(worker("b", log, made=make, starts=starts))
        await settle()
        await sup.child(a).tell(Say("fail"))
        assert (await ending_of(asked)).startswith("ChildNotStarted")
        await trio.sleep(10)
        assert paths(system) == ["/sup", "/sup/a"]
        assert [child.name for child in crew.which_children()] == ["a"]
        assert sup.child(a).control.inspect().incarnation == 2
        assert len(made) == 2


@pytest.mark.parametrize(
    ("how", "seconds", "answers"),
    [("stop", 5, ["<Ref", "None", "ChildNotStarted", "NoSuchChild"]), ("kill", 0, ["ActorStopped"] * 4)],
)
async def test_requests_of_a_supervisor_that_ends_are_answered(
    how: str, seconds: float, answers: list[str], autojump_clock: MockClock
) -> None:
    """A10, S1: those it has in hand, and those in its inbox; it does not wait for what will never come."""
    async with histrio.open_system() as system:
        a = worker("a", [], stops=takes(1))
        sup, _ = await supervise(system, a, strategy=histrio.ONE_FOR_ALL)
        asked: list[histrio.Future[object]] = [sup.start_child(worker("slow", [], starts=takes(5)))]
        await settle()
        asked += [sup.terminate_child(a), sup.start_child(worker("late", [])), sup.restart_child("nobody")]
        _ = sup.control.stop() if how == "stop" else sup.control.kill()
        ends = [(await ending_of(one)).split()[0] for one in asked]
        await sup.control.stop()
        assert paths(system) == []
        assert (trio.current_time(), ends) == (seconds, answers)


async def test_a_supervisors_requests_are_messages_as_any(autojump_clock: MockClock) -> None:
    """S1, A8: they may be told, then nobody is answered; one that is refused is a dead letter."""
    async with histrio.open_system() as system:
        sup, _ = await supervise(system, worker("a", []))
        await sup.tell(StartChild(worker("b", [])))
        await sup.tell(TerminateChild("a"))
        await sup.tell(TerminateChild("nobody"))
        await settle()
        assert paths(system) == ["/sup", "/sup/b"]
        assert letters(system) == [TerminateChild("nobody")]
