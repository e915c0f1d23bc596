"""S1: supervisors whose children come on request, as many as there may be, each for itself."""

import pytest
import trio
from tests.actors.supervision.crew import (
    DynamicCrew,
    Say,
    Worker,
    ending_of,
    fail,
    failures,
    leaving,
    settle,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Phase, Ref
from histrio.messages import ChildRequest


async def supervise(
    system: histrio.System, *, children_max: int | None = None, restarts_max: int = 3, backoff_s: float = 0
) -> tuple[Ref[ChildRequest], DynamicCrew]:
    """A dynamic supervisor, /dyn: its ref and itself."""
    met: list[DynamicCrew] = []
    backoff = histrio.Backoff(first_s=backoff_s, factor=1) if backoff_s else None
    dyn = await system.spawn(
        histrio.child("dyn", DynamicCrew, met, children_max=children_max, restarts_max=restarts_max, backoff=backoff)
    )
    return dyn, met[0]


async def test_children_come_on_request() -> None:
    """S1: each is told by its ref; one without a name is called by its class and a number, which is not used again."""
    log: list[str] = []
    async with histrio.open_system() as system:
        dyn, crew = await supervise(system)
        spec = histrio.child(None, Worker, "x", log)
        refs = [await dyn.start_child(spec) for _ in range(3)]
        assert [ref.path for ref in refs] == [f"/dyn/worker#{n}" for n in (1, 2, 3)]
        assert [await ref.ask(Say("hello")) for ref in refs] == ["x1"] * 3
        await dyn.terminate_child(refs[2])
        assert (await dyn.start_child(spec)).path == "/dyn/worker#4"
        assert [child.name for child in crew.which_children()] == ["worker#1", "worker#2", "worker#4"]


async def test_children_are_stopped_from_the_latest_to_the_first(autojump_clock: MockClock) -> None:
    """S2: as they came."""
    log: list[str] = []
    async with histrio.open_system() as system:
        dyn, _ = await supervise(system)
        for name in "abc":
            await dyn.start_child(worker(name, log, stops=takes(1)))
        log.clear()

    assert log == [f"{name}1 {what}" for name in "cba" for what in ("stops", "stopped")]


async def test_each_is_started_again_for_itself() -> None:
    """S1: by its restart type; the others are left alone."""
    async with histrio.open_system() as system:
        dyn, crew = await supervise(system)
        kinds = (histrio.PERMANENT, histrio.TRANSIENT, histrio.TEMPORARY)
        refs = [await dyn.start_child(worker(kind.value, []).with_(restart=kind)) for kind in kinds]
        for ref in refs:
            await ref.tell(Say("fail"))
        await settle()
        assert [(child.name, child.incarnation) for child in crew.which_children()] == [
            *(("permanent", 2), ("transient", 2))
        ]


@pytest.mark.parametrize("how", ["temporary fails", "transient stops", "terminated", "killed temporary"])
async def test_a_child_that_has_ended_for_good_is_forgotten(how: str) -> None:
    """S1: its name and its place are free, and nobody can restart it."""
    restart = histrio.TRANSIENT if how == "transient stops" else histrio.TEMPORARY
    if how == "terminated":
        restart = histrio.PERMANENT
    async with histrio.open_system() as system:
        dyn, crew = await supervise(system, children_max=1)
        for _ in range(3):
            ref = await dyn.start_child(worker("a", []).with_(restart=restart))
            match how:
                case "temporary fails":
                    await ref.tell(Say("fail"))
                    await ref.monitor()
                case "transient stops":
                    await ref.control.stop()
                case "terminated":
                    await dyn.terminate_child(ref)
                case _:
                    await ref.control.kill()
            await settle()
            assert crew.which_children() == ()
            assert ref.control.is_done
            with pytest.raises(histrio.NoSuchChild, match="/dyn knows no child 'a'; it knows none"):
                await dyn.restart_child("a")


async def test_there_is_a_bound_on_children(autojump_clock: MockClock) -> None:
    """S1: at `children_max` a further one is refused, with the numbers; those that start or wait for a restart count."""
    async with histrio.open_system() as system:
        dyn, _ = await supervise(system, children_max=3, backoff_s=10)
        up = await dyn.start_child(worker("up", []))
        down = await dyn.start_child(worker("down", []))
        await down.tell(Say("fail"))
        starting = dyn.start_child(worker("starting", [], starts=takes(5)))
        await settle()
        assert down.control.status() is Phase.RESTARTING
        with pytest.raises(
            histrio.ChildrenFull, match="/dyn has 3 children, and children_max is 3; nothing was started"
        ):
            await dyn.start_child(worker("late", []))
        await starting
        await dyn.terminate_child(up)
        assert await (await dyn.start_child(worker("late", []))).ask(Say("hello")) == "late1"


async def test_a_start_that_fails_takes_no_place() -> None:
    """S1: nor does one that is refused."""
    async with histrio.open_system() as system:
        dyn, _ = await supervise(system, children_max=1)
        for _ in range(3):
            assert await ending_of(dyn.start_child(worker("a", [], starts=fail))) == "ChildNotStarted by ActorFailed"
        await dyn.start_child(worker("a", []))
        assert await ending_of(dyn.start_child(worker("b", []))) == "ChildrenFull"


async def test_children_max_of_0_is_a_closed_door() -> None:
    """S1: it is a number as any."""
    async with histrio.open_system() as system:
        dyn, _ = await supervise(system, children_max=0)
        assert await ending_of(dyn.start_child(worker("a", []))) == "ChildrenFull"


async def test_the_budget_is_for_all_children() -> None:
    """S1: too many restarts of any of them, and it gives up; all have ended."""

    async def life(system: histrio.System) -> None:
        dyn, _ = await supervise(system, restarts_max=2)
        for name in "abc":
            await (await dyn.start_child(worker(name, []))).tell(Say("fail"))
        await dyn.join()

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    gave_up = error.failures[0].__cause__
    assert isinstance(gave_up, histrio.TooManyRestarts)
    assert [failure.path for failure in gave_up.failures] == ["/dyn/a", "/dyn/b", "/dyn/c"]


async def test_a_restarted_dynamic_supervisor_is_empty() -> None:
    """S1: its children were told to it, not written in its spec: whoever wants them again asks for them."""
    async with histrio.open_system() as system:
        dyn = histrio.child("dyn", histrio.DynamicSupervisor)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, dyn))
        old = await sup.child(dyn).start_child(worker("a", []))
        sup.child(dyn).control.kill()
        await when_up(sup.child(dyn), 2)
        assert old.control.is_done
        assert [node.path for node in system.tree().walk()] == ["/", "/sup", "/sup/dyn"]
        assert await (await sup.child(dyn).start_child(worker("a", []))).ask(Say("hello")) == "a1"


async def test_requests_that_wait_in_a_restarted_supervisors_inbox_are_carried_out(autojump_clock: MockClock) -> None:
    """S3: those in its hand fail, those that wait are for the next incarnation."""
    async with histrio.open_system() as system:
        dyn = histrio.child("dyn", histrio.DynamicSupervisor)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, dyn, backoff=histrio.Backoff(first_s=10)))
        ref = sup.child(dyn)
        in_hand = ref.start_child(worker("slow", [], starts=takes(100)))
        await settle()
        ref.control.kill()
        await settle()
        waiting = ref.start_child(worker("b", []))
        assert await ending_of(in_hand) == "ActorStopped"
        assert await (await waiting).ask(Say("hello")) == "b1"
        assert trio.current_time() == 10


async def test_many_short_jobs_leave_nothing_behind(autojump_clock: MockClock) -> None:
    """S1: a thousand that come, work and go: none is known any more, and no failure has been counted."""

    class Job(histrio.Actor[Say]):
        def __init__(self, number: int) -> None:
            self.number = number

        async def run(self) -> int:
            await self.io(trio.sleep, self.number % 7)
            return self.number

    async with histrio.open_system() as system:
        dyn, crew = await supervise(system, restarts_max=0, children_max=1000)
        refs = [
            await dyn.start_child(histrio.child(None, Job, number).with_(restart=histrio.TEMPORARY))
            for number in range(1000)
        ]
        joined = [await ref.join(int) for ref in refs[::7]]
        assert joined == list(range(1000))[::7]
        await trio.sleep(10)
        assert crew.which_children() == ()
        assert dyn.control.inspect().in_flight == 0
        assert failures(system) == []
