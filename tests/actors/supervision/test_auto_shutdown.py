"""S1: significant children: a supervisor that has nothing more to do ends by itself, and normally."""

from typing import Never

import pytest
import trio
from tests.actors.supervision.crew import Job, Say, fail, once, settle, takes, when_up, worker
from trio.testing import MockClock

import histrio
from histrio import Child, Phase, Ref
from histrio.messages import ChildRequest

ANY = histrio.ANY_SIGNIFICANT
ALL = histrio.ALL_SIGNIFICANT


async def supervise(
    system: histrio.System, *children: Child[Never], when: histrio.AutoShutdown, backoff_s: float = 0
) -> Ref[ChildRequest]:
    """A supervisor of these, /sup."""
    backoff = histrio.Backoff(first_s=backoff_s) if backoff_s else None
    return await system.spawn(histrio.child("sup", histrio.Supervisor, *children, auto_shutdown=when, backoff=backoff))


def significant(name: str, log: list[str] | None = None, restart: histrio.Restart = histrio.TRANSIENT) -> Child[Job]:
    """A child whose end matters."""
    return worker(name, [] if log is None else log).with_(restart=restart, significant=True)


async def ended(sup: Ref[ChildRequest]) -> bool:
    """Whether the supervisor has ended, when all has settled."""
    await settle()
    return sup.control.is_done


async def test_the_end_of_any_significant_child_is_the_supervisors(autojump_clock: MockClock) -> None:
    """S1, S2: the others are stopped from right to left; it has stopped as asked, and says which child it was."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), significant("b", log)
        sup = await supervise(system, a, b, worker("c", log, stops=takes(2)), when=ANY)
        down = sup.monitor()
        log.clear()
        await sup.child(b).control.stop()
        reason = (await down).reason
        assert trio.current_time() == 2
        assert reason.end is histrio.End.STOPPED
        assert reason.why == "its significant child 'b' has ended, and auto_shutdown is ANY_SIGNIFICANT"
        assert await sup.join() is None

    assert log == [f"{name}1 {what}" for name in "bca" for what in ("stops", "stopped")]


async def test_all_significant_children_must_have_ended() -> None:
    """S1: those that live, or wait for a restart, count; those that are not significant do not."""
    async with histrio.open_system() as system:
        a, b, c = significant("a"), worker("b", []), significant("c", restart=histrio.TEMPORARY)
        sup = await supervise(system, a, b, c, when=ALL)
        await sup.child(a).control.stop()
        assert not await ended(sup)
        await sup.child(c).control.kill()
        assert await ended(sup)


async def test_a_significant_child_in_a_backoff_has_not_ended(autojump_clock: MockClock) -> None:
    """S1: it will be back."""
    async with histrio.open_system() as system:
        a, b = significant("a"), significant("b")
        sup = await supervise(system, a, b, when=ALL, backoff_s=10)
        await sup.child(a).tell(Say("fail"))
        await settle()
        await sup.child(b).control.stop()
        assert not await ended(sup)
        await when_up(sup.child(a), 2)
        await sup.child(a).control.stop()
        assert await ended(sup)


@pytest.mark.parametrize(
    ("restart", "how", "ends"),
    [
        (histrio.TRANSIENT, "stop", True),
        (histrio.TRANSIENT, "fail", False),
        (histrio.TRANSIENT, "kill", False),
        (histrio.TEMPORARY, "stop", True),
        (histrio.TEMPORARY, "fail", True),
        (histrio.TEMPORARY, "kill", True),
    ],
)
@pytest.mark.parametrize("when", [ANY, ALL])
async def test_which_end_of_a_significant_child_counts(
    when: histrio.AutoShutdown, restart: histrio.Restart, how: str, ends: bool
) -> None:
    """S1: one after which it is not started again."""
    async with histrio.open_system() as system:
        a = significant("a", restart=restart)
        sup = await supervise(system, a, worker("b", []), when=when)
        ref = sup.child(a)
        if how == "fail":
            await ref.tell(Say("fail"))
        else:
            await (ref.control.stop() if how == "stop" else ref.control.kill())
        assert await ended(sup) is ends


@pytest.mark.parametrize("when", [ANY, ALL])
async def test_an_end_on_request_does_not_count(when: histrio.AutoShutdown) -> None:
    """S1: who terminates a child decides about the supervisor himself."""
    async with histrio.open_system() as system:
        a = significant("a")
        sup = await supervise(system, a, when=when)
        await sup.terminate_child(a)
        assert not await ended(sup)
        await sup.restart_child(a)
        await sup.child(a).control.stop()
        assert await ended(sup)


async def test_the_end_for_a_restart_of_the_group_does_not_count(autojump_clock: MockClock) -> None:
    """S1: a TEMPORARY sibling is stopped for it and not started again, and the supervisor goes on."""
    async with histrio.open_system() as system:
        a, b = worker("a", []), significant("b", restart=histrio.TEMPORARY)
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, a, b, strategy=histrio.ONE_FOR_ALL, auto_shutdown=ANY)
        )
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(a), 2)
        assert not await ended(sup)
        assert [node.path for node in system.tree().walk()] == ["/", "/sup", "/sup/a"]


async def test_a_run_that_returns_is_a_normal_end() -> None:
    """S1, S5: the usual significant child: one that has a job, and a supervisor that ends with it."""

    class Work(histrio.Actor[Say]):
        async def run(self) -> str:
            return (await self.receive_next()).message.what

    async with histrio.open_system() as system:
        work = histrio.child("work", Work).with_(restart=histrio.TRANSIENT, significant=True)
        sup = await supervise(system, work, worker("helper", []), when=ANY)
        ref = sup.child(work)
        await ref.tell(Say("done"))
        assert await ref.join(str) == "done"
        await sup.join()
        await system.wait()


async def test_a_job_that_is_done_before_its_siblings_have_started(autojump_clock: MockClock) -> None:
    """S1, S2: the supervisor stops while it starts: what starts is ended in order, the rest is not made."""
    log: list[str] = []

    class Quick(histrio.Actor[Say]):
        async def run(self) -> None:
            await self.io(trio.sleep, 1)

    async with histrio.open_system() as system:
        quick = histrio.child("quick", Quick).with_(restart=histrio.TEMPORARY, significant=True)
        sup = await supervise(
            system, quick, worker("a", log), worker("b", log, starts=takes(3)), worker("c", log), when=ANY
        )
        reason = (await sup.monitor()).reason
        assert reason.end is histrio.End.STOPPED
        assert "its significant child 'quick' has ended" in reason.why
        assert system.tree().children == ()

    assert log == [
        *("a1 starts", "a1 started", "b1 starts", "b1 started"),
        *("b1 stops", "b1 stopped", "a1 stops", "a1 stopped"),
    ]


@pytest.mark.parametrize(("restart", "lives"), [(histrio.PERMANENT, 2), (histrio.TRANSIENT, 0), (histrio.TEMPORARY, 0)])
async def test_the_supervisor_above_sees_a_normal_end(restart: histrio.Restart, lives: int) -> None:
    """S1: it starts a PERMANENT supervisor again; nothing has failed, so there is no report."""
    async with histrio.open_system() as system:
        a = significant("a")
        inner = histrio.child("inner", histrio.Supervisor, a, auto_shutdown=ANY).with_(restart=restart)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, inner))
        await sup.child(inner).child(a).control.stop()
        await settle()
        nodes = {node.path: node.incarnation for node in system.tree().walk()}
        assert nodes.get("/sup/inner", 0) == lives
        assert system.reports == ()


async def test_a_significant_supervisor_hands_its_end_on() -> None:
    """S1: auto_shutdown in a row: the last job ends, and so does the whole tree."""
    async with histrio.open_system() as system:
        a = significant("a")
        inner = histrio.child("inner", histrio.Supervisor, a, auto_shutdown=ANY)
        middle = histrio.child(
            "middle", histrio.Supervisor, inner.with_(restart=histrio.TRANSIENT, significant=True), auto_shutdown=ALL
        )
        top = histrio.child(
            "top", histrio.Supervisor, middle.with_(restart=histrio.TRANSIENT, significant=True), auto_shutdown=ALL
        )
        await system.spawn(top)
        ref = system.ref_at("/top/middle/inner/a")
        assert ref is not None
        ref.control.stop()
        await system.wait()


async def test_a_failing_stop_of_a_significant_child_is_a_failure(autojump_clock: MockClock) -> None:
    """S1: a TRANSIENT one is started again, so its supervisor goes on."""
    async with histrio.open_system() as system:
        a = worker("a", [], stops=once(fail)).with_(restart=histrio.TRANSIENT, significant=True)
        sup = await supervise(system, a, when=ANY)
        assert await sup.child(a).control.stop() is Phase.RESTARTING
        assert not await ended(sup)
        assert await sup.child(a).control.stop() is Phase.STOPPED
        assert await ended(sup)
