"""S1, S3: requests, controls and messages that cross a restart, or each other, on their way."""

import pickle

import pytest
import trio
from tests.actors.supervision.crew import (
    Body,
    Crew,
    Do,
    Job,
    Say,
    Worker,
    ending_of,
    failures,
    hang,
    hold,
    leaving,
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
from histrio.messages import ChildRequest

ALL = histrio.ONE_FOR_ALL


class Again(Worker):
    """What is in its hand is delivered once more."""

    redeliver_max = 1


async def supervise(
    system: histrio.System, *children: Child[Job], strategy: histrio.Strategy = ALL, backoff_s: float = 0
) -> tuple[Ref[ChildRequest], Crew]:
    """A supervisor of these, /sup."""
    met: list[Crew] = []
    backoff = histrio.Backoff(first_s=backoff_s, factor=1) if backoff_s else None
    sup = await system.spawn(histrio.child("sup", Crew, met, *children, strategy=strategy, backoff=backoff))
    return sup, met[0]


def paths(system: histrio.System) -> list[str]:
    """Who lives."""
    return [node.path for node in system.tree().walk()][1:]


# -- requests that cross -----------------------------------------------------------------------------------------------


async def test_a_child_that_is_deleted_before_it_has_begun_does_not_begin(autojump_clock: MockClock) -> None:
    """S1: its start waits for the restart of a group: whoever forgets it meanwhile is refused, or it is not started."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, crew = await supervise(system, a, backoff_s=10)
        await sup.child(a).tell(Say("fail"))
        await settle()
        starting = sup.start_child(worker("x", []))
        await settle()
        deleted = await ending_of(sup.delete_child("x"))
        started = (await ending_of(starting)).split()[0]
        assert (deleted, started) in (("ChildRunning", "<Ref"), ("None", "ChildNotStarted"))
        known = [child.name for child in crew.which_children()]
        assert [f"/sup/{name}" for name in known] == paths(system)[1:]
        ref = system.find(Worker, "/sup/x")
        if ref is not None:
            await ref.tell(Say("fail"))
            await settle()
        assert sup.control.status() is Phase.RUNNING


async def test_a_child_that_is_terminated_before_it_has_begun(autojump_clock: MockClock) -> None:
    """S1: whoever is told that it has ended finds it so, afterwards too; whoever wants it is answered."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, _ = await supervise(system, a, backoff_s=10)
        await sup.child(a).tell(Say("fail"))
        await settle()
        starting = sup.start_child(worker("x", []))
        await settle()
        terminating = sup.terminate_child("x")
        assert await ending_of(terminating) == "None"
        with trio.fail_after(100):
            await ending_of(starting)
        await trio.sleep(100)
        assert "/sup/x" not in paths(system)


async def test_a_stop_does_not_wait_for_a_start_that_waits(autojump_clock: MockClock) -> None:
    """S2, A10: nothing is started by a supervisor that stops: whoever waits for that is told at once."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, _ = await supervise(system, a, backoff_s=200)
        await sup.child(a).tell(Say("fail"))
        await settle()
        starting = sup.start_child(worker("x", []))
        await settle()
        stopping = sup.control.stop()
        assert (await ending_of(starting)).startswith("ChildNotStarted")
        assert await stopping is Phase.STOPPED
        assert trio.current_time() == 0


async def test_an_undone_start_does_not_hold_its_group_up(autojump_clock: MockClock) -> None:
    """S1: a start that is cancelled while its group is ended for a restart: the others come back all the same."""

    async def clean_up(actor: Worker) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)

    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, crew = await supervise(system, a)

        async def inside() -> None:
            with trio.move_on_after(1):
                await crew.start_child(worker("b", [], starts=clean_up))

        crew.background(inside)
        await trio.sleep(0.5)
        await sup.child(a).tell(Say("fail"))
        with trio.fail_after(100):
            await when_up(sup.child(a), 2)
        assert [child.name for child in crew.which_children()] == ["a"]
        assert await (await sup.start_child(worker("b", []))).ask(Say("hello")) == "b1"


async def test_an_undone_restart_leaves_the_child_as_it_was(autojump_clock: MockClock) -> None:
    """S1: `restart_child` that is cancelled: the child is down, as before, and still known; it may be tried again."""
    async with histrio.open_system() as system:
        a = worker("a", [], starts=once(takes(50), time=2))
        sup, crew = await supervise(system, a)
        await sup.terminate_child(a)

        async def inside() -> None:
            with trio.move_on_after(1) as scope:
                await crew.restart_child(a)
            assert scope.cancelled_caught

        await crew.background(inside)
        await settle()
        assert [(child.name, child.phase) for child in crew.which_children()] == [("a", None)]
        assert await (await sup.restart_child(a)).ask(Say("hello")) == "a1"


async def test_a_child_that_is_terminated_while_it_starts(autojump_clock: MockClock) -> None:
    """S1, A10: it finishes its start and stops; both who asked are answered, and it is not there any more."""
    log: list[str] = []
    async with histrio.open_system() as system:
        sup, _ = await supervise(system)
        starting = sup.start_child(worker("x", log, starts=takes(3)))
        await settle()
        assert await ending_of(sup.terminate_child("x")) == "None"
        await ending_of(starting)
        assert trio.current_time() == 3
        assert paths(system) == ["/sup"]


async def test_two_that_terminate_one_child(autojump_clock: MockClock) -> None:
    """S1: both are answered when it has ended, once."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a = worker("a", log, stops=takes(2))
        sup, _ = await supervise(system, a)
        asked = [sup.terminate_child(a) for _ in range(3)]
        for one in asked:
            await one
        assert trio.current_time() == 2

    assert log[2:] == ["a1 stops", "a1 stopped"]


async def test_two_that_restart_one_child(autojump_clock: MockClock) -> None:
    """S1: the first one does; the other is told that it is there."""
    async with histrio.open_system() as system:
        a = worker("a", [], starts=takes(2))
        sup, _ = await supervise(system, a)
        await sup.terminate_child(a)
        asked = [sup.restart_child(a) for _ in range(2)]
        assert sorted([(await ending_of(one)).split()[0] for one in asked]) == ["<Ref", "ChildRunning"]


async def test_a_terminate_and_a_restart_at_once(autojump_clock: MockClock) -> None:
    """S1: the restart comes too early, while it still stops, and says so."""
    async with histrio.open_system() as system:
        a = worker("a", [], stops=takes(2))
        sup, _ = await supervise(system, a)
        ending, again = sup.terminate_child(a), sup.restart_child(a)
        assert await ending_of(again) == "ChildRunning"
        assert await ending_of(ending) == "None"
        assert paths(system) == ["/sup"]


async def test_a_child_that_fails_while_it_is_terminated(autojump_clock: MockClock) -> None:
    """S1: it has ended, and that is what was asked for: it is not started again, and the failure is reported."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, crew = await supervise(system, a)
        await sup.child(a).tell(Do(takes(2)))
        await sup.child(a).tell(Say("fail"))
        await sup.terminate_child(a)
        assert [(child.name, child.phase) for child in crew.which_children()] == [("a", None)]
        await trio.sleep(10)
        assert paths(system) == ["/sup"]
        assert failures(system) == ["/sup/a has ended: failed: ValueError: a failed"]


async def test_a_child_that_terminates_itself_by_its_supervisor(autojump_clock: MockClock) -> None:
    """S1, S2: its handler waits for its own end, so it is cancelled at its deadline; nobody hangs."""
    async with histrio.open_system() as system:
        a = worker("a", []).with_(shutdown_s=3)
        sup, _ = await supervise(system, a)

        async def end(_: Worker) -> None:
            await sup.terminate_child("a")

        asked = sup.child(a).ask(Do(end))
        assert await ending_of(asked) == "ActorStopped"
        assert trio.current_time() == 3
        await settle()
        assert paths(system) == ["/sup"]


async def test_a_child_that_is_started_by_a_sibling() -> None:
    """S1: from its handler, by the supervisor that is above both."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, _ = await supervise(system, a)

        async def start(_: Worker) -> str:
            ref = await sup.start_child(worker("b", []))
            return await ref.ask(Say("hello"))

        assert await sup.child(a).ask(Do(start)) == "b1"


@pytest.mark.parametrize("strategy", [ALL, histrio.REST_FOR_ONE])
async def test_a_constructor_that_raises_in_a_groups_restart(strategy: histrio.Strategy) -> None:
    """S1: it counts as a failed start: the group is begun again, and those to the right are not made before."""
    log: list[str] = []
    made: list[int] = []

    def make() -> None:
        made.append(1)
        if len(made) in (2, 3):
            raise RuntimeError("not made")

    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log, made=make), worker("c", log)
        sup, _ = await supervise(system, a, b, c, strategy=strategy)
        log.clear()
        await sup.child(b).tell(Say("fail"))
        assert await sup.child(c).ask(Say("hello")) in ("c1", "c2")
        await when_up(sup.child(c), 2)
        assert await sup.child(b).ask(Say("hello")) == "b2"
        assert len(failures(system)) == 3

    assert [line for line in log if line.startswith("c") and "hello" not in line][:4] == [
        *("c1 stops", "c1 stopped", "c2 starts", "c2 started")
    ]
    assert [line for line in log if line.startswith("a") and line.endswith("starts")] == (
        ["a2 starts", "a3 starts", "a4 starts"] if strategy is ALL else []
    )


# -- control that crosses ----------------------------------------------------------------------------------------------


async def test_a_paused_sibling_stays_paused_over_a_groups_restart(autojump_clock: MockClock) -> None:
    """S6, S3: it is ended and started as the others; its mail waits on."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log)
        sup, _ = await supervise(system, a, b)
        ref = sup.child(b)
        await ref.control.pause()
        await ref.tell(Say("waits"))
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(a), 2)
        await settle()
        assert (ref.control.is_paused, ref.control.inspect().incarnation) == (True, 2)
        assert "b1 waits" not in log
        ref.control.resume()
        await settle()
        assert log[-1] == "b2 waits"


async def test_a_sibling_that_is_stopped_while_its_group_is_ended(autojump_clock: MockClock) -> None:
    """S6: it ends this incarnation, as it would have; being PERMANENT it comes back with the group."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log, stops=takes(2))
        sup, _ = await supervise(system, a, b)
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        assert await sup.child(b).control.stop() is Phase.RESTARTING
        assert await sup.child(b).ask(Say("hello")) == "b2"
        assert trio.current_time() == 2


async def test_a_sibling_that_is_killed_while_its_group_is_ended(autojump_clock: MockClock) -> None:
    """S6: that hurries the restart, and counts for nothing."""
    async with histrio.open_system() as system:
        a, b = worker("a", []), worker("b", [], stops=takes(100)).with_(shutdown_s=1000)
        sup, _ = await supervise(system, a, b)
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        assert await sup.child(b).control.kill() is Phase.RESTARTING
        assert await sup.child(b).ask(Say("hello")) == "b2"
        assert trio.current_time() == 1


async def test_controls_of_many_incarnations_are_all_answered(autojump_clock: MockClock) -> None:
    """S6, A10: whoever stops, kills, pauses, steps or watches at random moments of a busy life is told in the end."""
    async with histrio.open_system() as system:
        a = worker("a", [], starts=takes(0.3), stops=takes(0.2))
        sup = await system.spawn(
            histrio.child(
                "sup", histrio.Supervisor, a, restarts_max=1000, backoff=histrio.Backoff(first_s=0.1, factor=1)
            )
        )
        ref = sup.child(a)
        answers: list[str] = []

        async def ask(what: histrio.Future[object]) -> None:
            answers.append(await ending_of(what))

        async with trio.open_nursery() as nursery:
            for number in range(200):
                match number % 5:
                    case 0:
                        nursery.start_soon(ask, ref.control.kill())
                    case 1:
                        nursery.start_soon(ask, ref.control.stop(grace_s=0.1))
                    case 2:
                        nursery.start_soon(ask, ref.control.pause())
                    case 3:
                        nursery.start_soon(ask, ref.control.step())
                    case _:
                        ref.control.resume()
                await trio.sleep(0.07)
            ref.control.resume()
        assert len(answers) == 160
        assert set(answers) <= {"FutureCancelled", "None", *(repr(phase) for phase in Phase)}
        assert await ref.ask(Say("hello")) == f"a{ref.control.inspect().incarnation}"


# -- messages that cross -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [hang, hold])
async def test_what_an_ended_sibling_had_in_hand_comes_back(body: Body, autojump_clock: MockClock) -> None:
    """S3: as of the one that failed: whether its handler was interrupted, or cancelled at the deadline."""
    log: list[str] = []

    async def work(actor: Worker) -> None:
        actor.note("works")
        if actor.life == 1:
            await body(actor)

    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log, kind=Again).with_(shutdown_s=2)
        sup, _ = await supervise(system, a, b)
        for message in (Do(work), Say("next")):
            await sup.child(b).tell(message)
            await settle()
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(b), 2)
        await settle()
        assert letters(system) == ["fail"]
        assert trio.current_time() == (0 if body is hang else 2)

    seen = [line for line in log if line.endswith(("works", "next"))]
    assert seen == (["b1 works", "b1 next", "b2 works"] if body is hang else ["b1 works", "b2 works", "b2 next"])


async def test_a_channel_goes_on_over_restarts(autojump_clock: MockClock) -> None:
    """S3, A13: a Trio producer that knows nothing of actors sends on; what stands in line is let in."""
    log: list[str] = []

    class Small(Worker):
        inbox_max = 1

    async with histrio.open_system() as system:
        a = worker("a", log, kind=Small)
        sup, _ = await supervise(system, a, backoff_s=5)
        channel = sup.child(a).channel()
        for what in ("0", "fail", "1", "2", "3"):
            await channel.send(Say(what))
        assert trio.current_time() == 5
        await settle()
        await sup.terminate_child(a)
        with pytest.raises(trio.BrokenResourceError):
            await channel.send(Say("late"))

    assert [line for line in log if line[-1].isdigit()] == ["a1 0", "a2 1", "a2 2", "a2 3"]


async def test_a_ref_may_be_bound_while_its_actor_is_not_there(autojump_clock: MockClock) -> None:
    """A13, S3: the place is there: a ref that comes out of a pickle in a backoff is good for the next incarnation."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, _ = await supervise(system, a, backoff_s=5)
        await sup.child(a).tell(Say("fail"))
        await settle()
        unpickled: Ref[Job] = pickle.loads(pickle.dumps(sup.child(a)))
        ref = system.bind(unpickled)
        assert ref.control.status() is Phase.RESTARTING
        assert await ref.ask(Say("hello")) == "a2"


async def test_combined_waits_end_with_what_comes_first(autojump_clock: MockClock) -> None:
    """F2, S5: an ask beside a monitor: whichever it is, and the other is forgotten."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup, _ = await supervise(system, a)
        ref = sup.child(a)
        assert await histrio.either(ref.ask(Say("hello")), ref.monitor()) == histrio.Left("a1")
        waiting = histrio.either(ref.ask(Do(hang)), ref.monitor())
        await settle()
        terminating = sup.terminate_child(a)
        with pytest.raises(histrio.ActorStopped):
            await waiting
        await terminating
        ended = await histrio.either(ref.monitor(), ref.ask(Say("hello")))
        assert isinstance(ended, histrio.Left)


async def test_a_flood_of_messages_crosses_many_restarts(autojump_clock: MockClock) -> None:
    """S3, A10: each message is handled by one incarnation, in order, or is a dead letter; none twice, none lost."""
    seen: list[int] = []

    class Flaky(histrio.Actor[int]):
        inbox_max = 16

        async def receive(self, message: int) -> None:
            if message % 97 == 13:
                raise ValueError(f"{message}")
            seen.append(message)
            if message % 10 == 0:
                await self.io(trio.sleep, 0.01)

    async with histrio.open_system() as system:
        a = histrio.child("a", Flaky)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=1000))
        ref = sup.child(a)
        for number in range(2000):
            await ref.tell(number)
        await trio.sleep(1)
        dead = [letter.message for letter in system.dead_letters if isinstance(letter.message, int)]

    failed = list(range(13, 2000, 97))
    assert seen == sorted(set(seen))  # each once, in order
    assert sorted({*seen, *dead}) == list(range(2000))
    assert {message for message in dead if message not in seen} == set(failed)
    assert all(message % 10 == 0 for message in dead if message in seen)  # those waited when it failed


async def test_askers_at_a_flaky_actor_are_all_answered(autojump_clock: MockClock) -> None:
    """A10, S3: by their own reply, or by the failure that struck them; nobody waits, nobody gets another's."""
    log: list[str] = []

    class Flaky(histrio.Actor[Say]):
        async def receive(self, message: Say) -> str:
            await self.io(trio.sleep, 0.01)
            if message.what.endswith("7"):
                raise ValueError(message.what)
            return message.what

    async def life(system: histrio.System) -> None:
        a = histrio.child("a", Flaky)
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, a, restarts_max=10_000, backoff=histrio.Backoff(first_s=0.01))
        )
        ref = sup.child(a)

        async def ask(number: int) -> None:
            for turn in range(10):
                what = f"{number}-{turn}"
                answer = await ending_of(ref.ask(Say(what)))
                assert answer in (repr(what), "ActorFailed by ValueError")
                log.append(answer)

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(ask, number)

    assert await leaving(life) is None
    assert len(log) == 300
