"""A14, S9: what leaves `open_system` with supervisors in the tree: one typed error, or what came from outside, as it was."""

from collections.abc import Awaitable

import pytest
import trio
from tests.actors.supervision.crew import (
    Body,
    Do,
    Say,
    Worker,
    ending_of,
    fail,
    failures,
    hang,
    leaving,
    members_of,
    settle,
    shielded,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Strategy


class OtherError(Exception):
    """Of the program around."""


async def fail_child(system: histrio.System, path: str) -> None:
    """Have the worker there fail."""
    ref = system.find(Worker, path)
    assert ref is not None
    await ref.tell(Say("fail"))


# -- failures ----------------------------------------------------------------------------------------------------------


async def test_failures_that_a_supervisor_handles_leave_nothing() -> None:
    """A14: as many as it may: the block goes on, and the system is left without an error."""

    async def life(system: histrio.System) -> None:
        await system.spawn(histrio.child("sup", histrio.Supervisor, worker("a", []), restarts_max=5))
        for _ in range(5):
            await fail_child(system, "/sup/a")
            await settle()
        assert len(failures(system)) == 5

    assert await leaving(life) is None


@pytest.mark.parametrize("strategy", Strategy)
async def test_one_failure_too_many_leaves_as_one_error(strategy: Strategy, autojump_clock: MockClock) -> None:
    """A14, S9: `SystemFailed`, bare: no group; its cause is the supervisor's failure, and so on down to the first."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        children = [worker(name, log, stops=takes(1)) for name in "abc"]
        await system.spawn(histrio.child("other", histrio.Supervisor, worker("o", log)))
        await system.spawn(histrio.child("sup", histrio.Supervisor, *children, strategy=strategy, restarts_max=0))
        log.clear()
        await fail_child(system, "/sup/b")
        await trio.sleep_forever()

    error = await leaving(life)
    assert type(error) is histrio.SystemFailed
    (failure,) = error.failures
    assert error.__cause__ is failure
    assert failure.path == "/sup"
    assert isinstance(failure.__cause__, histrio.TooManyRestarts)
    assert str(failure.__cause__.__cause__) == "/sup/b has ended: failed: ValueError: b failed"
    assert log == [
        *("b1 fail", "c1 stops", "c1 stopped", "a1 stops", "a1 stopped"),
        *("o1 stops", "o1 stopped"),
    ]


async def test_several_failures_leave_as_one_error_with_all_of_them(autojump_clock: MockClock) -> None:
    """A14: those of supervisors and of bare actors; also what fails while the rest is stopped, in order of failing."""

    async def life(system: histrio.System) -> None:
        await system.spawn(worker("late", [], stops=fail))
        for name in ("one", "two"):
            await system.spawn(histrio.child(name, histrio.Supervisor, worker("a", []), restarts_max=0))
        for name in ("one", "two"):
            await fail_child(system, f"/{name}/a")
        await trio.sleep_forever()

    error = await leaving(life)
    assert type(error) is histrio.SystemFailed
    paths = [failure.path for failure in error.failures]
    assert sorted(paths[:2]) == ["/one", "/two"]
    assert paths[2:] == ["/late"]
    assert members_of(error.__cause__) == error.failures


async def test_many_handlers_that_fail_at_once_are_one_failure_with_a_group() -> None:
    """A14, A9: all of the causes, below the supervisor that gave up."""

    async def fail_in_cleanup(actor: Worker) -> None:
        try:
            await hang(actor)
        finally:
            raise KeyError(actor.name)

    async def life(system: histrio.System) -> None:
        await system.spawn(histrio.child("sup", histrio.Supervisor, worker("a", []), restarts_max=0))
        ref = system.find(Worker, "/sup/a")
        assert ref is not None
        for _ in range(3):
            await ref.tell(Do(fail_in_cleanup))
        await settle()
        await ref.tell(Say("fail"))
        await trio.sleep_forever()

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    gave_up = error.failures[0].__cause__
    assert isinstance(gave_up, histrio.TooManyRestarts)
    assert [type(one) for one in members_of(gave_up.failures[0].__cause__)] == [
        ValueError,
        KeyError,
        KeyError,
        KeyError,
    ]


async def test_a_body_that_waited_for_what_failed(autojump_clock: MockClock) -> None:
    """A14: its ask or join ends with the failure, which is a consequence: `SystemFailed` leaves, not `ActorFailed`."""

    async def life(system: histrio.System) -> None:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=0))
        asked = sup.child(a).ask(Do(fail))
        await sup.join()
        await asked

    assert type(await leaving(life)) is histrio.SystemFailed


# -- what comes from the block -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OtherError("of the block"), KeyboardInterrupt(), SystemExit(3)])
async def test_an_error_of_the_block_leaves_when_the_trees_have_been_stopped(
    error: BaseException, autojump_clock: MockClock
) -> None:
    """A14, S2: itself, bare; supervisors stop in order first, and start nothing again."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        a, b = worker("a", log), worker("b", log, stops=fail)
        await system.spawn(histrio.child("sup", histrio.Supervisor, a, b))
        log.clear()
        raise error

    assert await leaving(life) is error
    assert log == ["b1 stops", "a1 stops", "a1 stopped"]


async def test_an_error_of_the_block_goes_before_what_fails_after_it(autojump_clock: MockClock) -> None:
    """A14: a failure while the tree is stopped is noted on it."""

    async def life(system: histrio.System) -> None:
        await system.spawn(worker("bare", [], stops=fail))
        raise OtherError("of the block")

    error = await leaving(life)
    assert isinstance(error, OtherError)
    assert any("told to fail" in note for note in error.__notes__)


async def test_an_error_of_the_block_after_a_tree_has_failed(autojump_clock: MockClock) -> None:
    """A14: the system had failed first, so `SystemFailed` leaves, with the block's error as its context."""

    async def life(system: histrio.System) -> None:
        a = worker("a", [])
        await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=0))
        await fail_child(system, "/sup/a")
        try:
            await trio.sleep_forever()
        finally:
            raise OtherError("while it was cancelled")

    error = await leaving(life)
    assert type(error) is histrio.SystemFailed
    assert isinstance(error.__context__, OtherError)


# -- interrupts --------------------------------------------------------------------------------------------------------


def interrupt(error: BaseException) -> Body:
    """Raise it."""

    async def interrupts(_: Worker) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    return interrupts


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("where", ["handler", "started", "started again", "stopped", "made again", "background"])
def test_an_interrupt_below_a_supervisor_leaves_bare(error: BaseException, where: str) -> None:
    """A14: it is nobody's failure: no restart, no report; it leaves itself, and all have ended."""
    log: list[str] = []
    reported: list[histrio.HistrioError] = []
    lives: list[int] = []

    def made() -> None:
        lives.append(1)
        if where == "made again" and len(lives) == 2:
            raise error

    async def starts(actor: Worker) -> None:
        if where == "started" or (where == "started again" and actor.life == 2):
            await interrupt(error)(actor)

    async def beside(actor: Worker) -> None:
        actor.background(interrupt(error), actor)

    async def main() -> None:
        async with histrio.open_system(on_report=reported.append) as system:
            a = worker("a", log, made=made, starts=starts, stops=interrupt(error) if where == "stopped" else None)
            b = worker("b", log)
            sup = await system.spawn(histrio.child("sup", histrio.Supervisor, b, a))
            ref = sup.child(a)
            match where:
                case "handler":
                    await ref.tell(Do(interrupt(error)))
                case "background":
                    await ref.tell(Do(beside))
                case "stopped":
                    ref.control.stop()
                case _:
                    await ref.tell(Say("fail"))
            await trio.sleep_forever()

    with pytest.raises(type(error)) as raised:
        trio.run(main, clock=MockClock(autojump_threshold=0))
    assert raised.value is error
    assert len(reported) == (1 if "again" in where else 0)
    assert len(lives) == (2 if "again" in where else 1)
    assert "b1 stops" not in log


# -- cancellation around -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["quiet", "starting", "restarting", "backoff", "giving up", "stopping"])
@pytest.mark.parametrize("strategy", [histrio.ONE_FOR_ONE, histrio.ONE_FOR_ALL])
async def test_a_cancellation_around_ends_all_at_once(
    moment: str, strategy: Strategy, autojump_clock: MockClock
) -> None:
    """A14: it is not swallowed, no error comes of it, nothing is stopped in order or started again; mail is answered."""
    log: list[str] = []
    asked: list[histrio.Future[str]] = []

    async def life(system: histrio.System) -> None:
        slow = takes(5) if moment == "restarting" else None
        a = worker("a", log)
        b = worker("b", log, starts=slow or (takes(5) if moment == "starting" else None), stops=takes(50))
        sup = await system.spawn(
            histrio.child(
                "sup",
                histrio.Supervisor,
                a,
                b.with_(shutdown_s=100),
                strategy=strategy,
                restarts_max=0 if moment == "giving up" else 3,
                backoff=histrio.Backoff(first_s=100, max_s=100) if moment == "backoff" else None,
            )
        )
        asked.append(sup.child(a).ask(Say("fail")) if moment == "giving up" else sup.child(a).ask(Say("hello")))
        if moment in ("restarting", "backoff"):
            await sup.child(b if strategy is histrio.ONE_FOR_ONE else a).tell(Say("fail"))
        if moment == "stopping":
            sup.control.stop()
        await settle()
        log.clear()
        await trio.sleep_forever()

    at = 2 if moment == "starting" else 7
    with trio.move_on_after(at) as scope:
        error = await leaving(life)
        assert type(error) is histrio.SystemFailed  # it had failed before
    assert scope.cancelled_caught is (moment != "giving up")
    assert trio.current_time() == at
    assert not [line for line in log if line.endswith(("stops", "stopped"))]
    assert all(one.is_done for one in asked)


async def test_a_cancellation_while_something_ignores_it(autojump_clock: MockClock) -> None:
    """A14: it is waited for, named, and then the cancellation goes on to its scope."""
    stuck: list[str] = []

    async def life(system: histrio.System) -> None:
        a = worker("a", []).with_(shutdown_s=3)
        sup = await system.spawn(histrio.Supervisor, a)
        await sup.child(a).tell(Do(shielded(10)))
        await trio.sleep_forever()

    def note(report: histrio.HistrioError) -> None:
        if isinstance(report, histrio.StuckActor):
            stuck.append(f"{trio.current_time():g} {str(report).partition(':')[0]}")

    with trio.move_on_after(1) as scope:
        await leaving(life, on_report=note)
    assert scope.cancelled_caught
    assert trio.current_time() == 10
    assert stuck == ["4 /supervisor#1/a"]


async def test_each_that_ignores_a_kill_is_named_at_its_own_time(autojump_clock: MockClock) -> None:
    """A14: `shutdown_s` after its own kill, whoever was killed before or after, has ended or not."""
    stuck: list[str] = []

    def note(report: histrio.HistrioError) -> None:
        if isinstance(report, histrio.StuckActor):
            stuck.append(f"{trio.current_time():g} {str(report).partition(':')[0]}")

    async with histrio.open_system(on_report=note) as system:
        children = {name: worker(name, []).with_(shutdown_s=s) for name, s in {"a": 3, "b": 3, "c": 2, "d": 9}.items()}
        sup = await system.spawn(histrio.Supervisor, *children.values())
        refs = {name: sup.child(child) for name, child in children.items()}
        await refs["a"].tell(Do(hang))  # it ends at once, and its timer is still there
        for name in "bcd":
            await refs[name].tell(Do(shielded(20)))
        await settle()
        for name in "abcd":
            refs[name].control.kill()
            await trio.sleep(0.5)
        await trio.sleep(30)

    assert stuck == ["3 /supervisor#1/c", "3.5 /supervisor#1/b", "10.5 /supervisor#1/d"]


@pytest.mark.parametrize("supervised", [True, False])
async def test_a_failure_while_a_cancellation_ends_all(supervised: bool, autojump_clock: MockClock) -> None:
    """A14: a clean-up that fails is never lost: its supervisor reports it; without one it is the system's failure."""
    reports: list[histrio.HistrioError] = []

    async def fail_in_cleanup(actor: Worker) -> None:
        try:
            await hang(actor)
        finally:
            raise KeyError("cleanup")

    async def life(system: histrio.System) -> None:
        a = worker("a", [])
        ref = (await system.spawn(histrio.Supervisor, a)).child(a) if supervised else await system.spawn(a)
        await ref.tell(Do(fail_in_cleanup))
        await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        error = await leaving(life, on_report=reports.append)
        assert isinstance(error, histrio.SystemFailed)
        assert isinstance(error.failures[0].__cause__, KeyError)
    assert scope.cancelled_caught is supervised
    assert [type(report.__cause__) for report in reports] == ([KeyError] if supervised else [])


# -- the other way round -----------------------------------------------------------------------------------------------


async def test_a_system_in_an_actor_of_another(autojump_clock: MockClock) -> None:
    """A14: what leaves the inner one is the failure of the actor around it, and its supervisor handles that."""
    log: list[str] = []

    class Host(histrio.Actor[Say]):
        async def run(self) -> None:
            async with histrio.open_system("inner") as system:
                a = worker("a", log)
                await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=0))
                if self.ref.control.inspect().incarnation == 1:
                    await fail_child(system, "/sup/a")
                await trio.sleep(10)

    async with histrio.open_system() as system:
        host = histrio.child("host", Host).with_(restart=histrio.TRANSIENT)
        sup = await system.spawn(histrio.Supervisor, host)
        ref = sup.child(host)
        await when_up(ref, 2)
        (report,) = [one for one in system.reports if isinstance(one, histrio.ActorFailed)]
        assert type(report.__cause__) is histrio.SystemFailed
        assert await ref.join() is None


@pytest.mark.parametrize("how", ["returns", "raises", "fails", "cancelled"])
async def test_whoever_is_outside_is_never_left_waiting(how: str, autojump_clock: MockClock) -> None:
    """A10, A14: asks, joins, monitors and watches of supervised actors all end with the system, however it ends."""
    ends: list[str] = []

    async def watch(feed: histrio.Feed[histrio.Phase]) -> str:
        return [phase.value async for phase in feed][-1]

    async def wait(what: Awaitable[object]) -> None:
        ends.append(await ending_of(what))

    async with trio.open_nursery() as outside:
        with trio.CancelScope() as scope:

            async def life(system: histrio.System) -> None:
                a = worker("a", [])
                sup = await system.spawn(
                    histrio.child("sup", histrio.Supervisor, a, backoff=histrio.Backoff(first_s=100, max_s=100))
                )
                ref = sup.child(a)
                await ref.tell(Say("fail"))
                await settle()
                bare = await system.spawn(worker("bare", []))
                for waiting in (ref.ask(Say("hello")), ref.join(), ref.monitor(), watch(ref.watch()), sup.join()):
                    outside.start_soon(wait, waiting)
                await settle()
                match how:
                    case "raises":
                        raise OtherError("of the block")
                    case "fails":
                        await bare.tell(Say("fail"))
                        await trio.sleep_forever()
                    case "cancelled":
                        scope.cancel()
                        await trio.sleep_forever()
                    case _:
                        pass

            await leaving(life)
    assert len(ends) == 5
    assert trio.current_time() == 0
