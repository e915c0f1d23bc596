"""S1, S2: a supervisor's own life: its start and stop, the names and refs of its children, what it does when paused."""

import math

import attrs
import pytest
import trio
from tests.actors.supervision.crew import (
    Crew,
    Do,
    Job,
    Say,
    Worker,
    ending_of,
    fail,
    failures,
    hold,
    leaving,
    letters,
    settle,
    takes,
    when_up,
    worker,
)
from trio.testing import MockClock

import histrio
from histrio import Phase, Ref

# -- start -------------------------------------------------------------------------------------------------------------


async def test_children_start_from_left_to_right_and_stop_from_right_to_left(autojump_clock: MockClock) -> None:
    """S2: each start is awaited before the next, each stop too; `spawn` returns when all are up."""
    log: list[str] = []
    async with histrio.open_system() as system:
        children = [worker(name, log, starts=takes(1), stops=takes(1)) for name in "abc"]
        await system.spawn(histrio.Supervisor, *children)
        assert trio.current_time() == 3
        assert log == [f"{name}1 {what}" for name in "abc" for what in ("starts", "started")]
        log.clear()
    assert trio.current_time() == 6
    assert log == [f"{name}1 {what}" for name in "cba" for what in ("stops", "stopped")]


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("fails", "/sup/c has ended: failed: ValueError: told to fail"),
        ("hangs", "/sup/c has ended: failed: TimeoutError: /sup/c: started() took longer than start_s = 5 s"),
        ("not made", "/sup/c has ended: failed (it could not be made): RuntimeError: not made"),
    ],
)
async def test_a_child_that_does_not_start_rolls_the_others_back(
    why: str, told: str, autojump_clock: MockClock
) -> None:
    """S2: those before it are stopped in reverse, each with its time; then whoever spawned it gets `ActorFailed`."""
    log: list[str] = []

    def made() -> None:
        if why == "not made":
            raise RuntimeError("not made")

    async def life(system: histrio.System) -> None:
        starts = {"fails": fail, "hangs": hold, "not made": None}[why]
        children = [
            *(worker("a", log, stops=takes(1)), worker("b", log, stops=takes(2))),
            *(worker("c", log, made=made, starts=starts).with_(start_s=5), worker("d", log)),
        ]
        begun = trio.current_time()
        with pytest.raises(histrio.ActorFailed) as raised:
            await system.spawn(histrio.child("sup", histrio.Supervisor, *children))

        assert raised.value.path == "/sup"
        assert str(raised.value.__cause__) == told
        assert trio.current_time() - begun == (8 if why == "hangs" else 3)
        assert system.tree().children == ()
        assert failures(system) == []  # it has been told to whoever waits for the start

    assert await leaving(life) is None
    assert log[-4:] == ["b1 stops", "b1 stopped", "a1 stops", "a1 stopped"]
    assert not any(line.startswith("d") for line in log)


async def test_a_cancelled_spawn_leaves_nothing_of_the_supervisor(autojump_clock: MockClock) -> None:
    """S2, S4: whoever wants it gives up while the second child starts: both are killed, and the name is free."""
    log: list[str] = []
    async with histrio.open_system() as system:
        with trio.move_on_after(5) as scope:
            await system.spawn(
                histrio.child("sup", histrio.Supervisor, worker("a", log), worker("b", log, starts=takes(50)))
            )
        assert scope.cancelled_caught
        assert trio.current_time() == 5
        assert system.tree().children == ()
        await system.spawn(histrio.child("sup", histrio.Supervisor, worker("a", log)))

    assert log[:3] == ["a1 starts", "a1 started", "b1 starts"]


async def test_a_supervisor_without_children_is_one() -> None:
    """S1: it waits for requests."""
    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.Supervisor)
        ref = await sup.start_child(worker("a", []))
        assert await ref.ask(Say("hello")) == "a1"


async def test_the_spec_may_be_used_more_than_once() -> None:
    """S1: a child is data: two supervisors may be made of the same one, and each has its own actor."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sups = [await system.spawn(histrio.Supervisor, a) for _ in range(2)]
        refs = [sup.child(a) for sup in sups]
        assert [ref.path for ref in refs] == ["/supervisor#1/a", "/supervisor#2/a"]
        assert await refs[0].ask(Say("hello")) == "a1"
        assert refs[1].control.inspect().fields["told"] == []


async def test_a_child_that_is_spawned_without_a_supervisor_is_an_actor_as_any() -> None:
    """S1, S4: `spawn(child(...))` gives name and keywords; how it is restarted means nothing then."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        ref = await system.spawn(worker("a", log))
        assert ref.path == "/a"
        await ref.tell(Say("fail"))
        await trio.sleep_forever()

    assert isinstance(await leaving(life), histrio.SystemFailed)
    assert log == ["a1 starts", "a1 started", "a1 fail"]


# -- stop --------------------------------------------------------------------------------------------------------------


async def test_children_drain_their_inboxes_before_they_stop(autojump_clock: MockClock) -> None:
    """S2: each its own, when its turn comes; those to the left still serve those to the right meanwhile."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log)
        sup = await system.spawn(histrio.Supervisor, a, b)
        left, right = sup.child(a), sup.child(b)

        async def use(actor: Worker) -> None:
            await trio.sleep(1)
            actor.note(f"was served by {await left.ask(Say('serve'))}")

        for _ in range(2):
            await right.tell(Do(use))
        await left.tell(Say("first"))
        sup.control.stop()
        await sup.join()
        assert letters(system) == []

    assert sorted(log[4:9]) == ["a1 first", *["a1 serve"] * 2, *["b1 was served by a1"] * 2]
    assert log[9:] == ["b1 stops", "b1 stopped", "a1 stops", "a1 stopped"]


async def test_a_supervisor_has_no_deadline_of_its_own(autojump_clock: MockClock) -> None:
    """S2: its start and stop take what those of its children take, each of which has one."""
    async with histrio.open_system() as system:
        children = [worker(f"a{n}", [], starts=takes(50), stops=takes(50)).with_(shutdown_s=60) for n in range(5)]
        sup = await system.spawn(histrio.Supervisor, *children)
        assert trio.current_time() == 250
        assert await sup.control.stop() is Phase.STOPPED
        assert trio.current_time() == 500


async def test_a_grace_for_the_supervisor_is_one_for_all_below(autojump_clock: MockClock) -> None:
    """S2, S6: at its end all that is left is cancelled, and the supervisor counts as killed."""
    log: list[str] = []
    async with histrio.open_system() as system:
        children = [worker(name, log, stops=takes(3)) for name in "abc"]
        sup = await system.spawn(histrio.Supervisor, *children)
        log.clear()
        assert await sup.control.stop(grace_s=4) is Phase.KILLED
        assert trio.current_time() == 4

    assert log == ["c1 stops", "c1 stopped", "b1 stops"]


async def test_shutdown_s_of_0_is_a_kill(autojump_clock: MockClock) -> None:
    """S2: OTP's brutal kill: a child that may take no time to stop takes none."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log, stops=takes(1)), worker("b", log, stops=hold).with_(shutdown_s=0)
        sup = await system.spawn(histrio.Supervisor, a, b)
        await sup.control.stop()
        assert trio.current_time() == 1

    assert "b1 stopped" not in log
    assert log[-2:] == ["a1 stops", "a1 stopped"]


async def test_a_child_without_a_deadline_is_waited_for(autojump_clock: MockClock) -> None:
    """S2: OTP's infinity."""
    async with histrio.open_system() as system:
        sup = await system.spawn(histrio.Supervisor, worker("a", [], stops=takes(1000)).with_(shutdown_s=math.inf))
        assert await sup.control.stop() is Phase.STOPPED
        assert trio.current_time() == 1000


async def test_children_that_fail_while_the_supervisor_stops_are_not_started_again(autojump_clock: MockClock) -> None:
    """S1, S2: the failure is reported, and the others are stopped in order all the same."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log, stops=fail), worker("c", log, stops=takes(2))
        sup = await system.spawn(histrio.Supervisor, a, b, c)
        log.clear()
        sup.control.stop()
        await trio.sleep(1)
        await sup.child(a).tell(Say("fail"))
        assert await sup.control.stop() is Phase.STOPPED
        reports = failures(system)

    assert log == ["c1 stops", "a1 fail", "c1 stopped", "b1 stops"]
    assert reports == [
        "/supervisor#1/a has ended: failed: ValueError: a failed",
        "/supervisor#1/b has ended: failed: ValueError: told to fail",
    ]


# -- names and refs ----------------------------------------------------------------------------------------------------


async def test_children_without_a_name_are_called_by_their_class_and_a_number() -> None:
    """S1: counted for each supervisor and class, so the names are the same in every run, and after a restart."""
    met: list[Crew] = []
    async with histrio.open_system() as system:
        children = [histrio.child(None, Worker, name, []) for name in "ab"]
        inner = histrio.child("inner", Crew, met, *children, histrio.child(None, histrio.DynamicSupervisor))
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, inner, restarts_max=9))
        names = ["worker#1", "worker#2", "dynamicsupervisor#1"]
        assert [child.name for child in met[-1].which_children()] == names
        assert met[-1].child(children[1]).path == "/sup/inner/worker#2"
        late = await sup.child(inner).start_child(histrio.child(None, Worker, "c", []))
        assert late.path == "/sup/inner/worker#3"
        sup.child(inner).control.kill()
        await when_up(sup.child(inner), 2)
        assert [child.name for child in met[-1].which_children()] == names


class Front(histrio.Actor[Say]):
    """Hands on what it is told, to the store it was given."""

    def __init__(self, store: Ref[Job], *, other: Ref[Job] | None = None) -> None:
        self.store = store
        self.other = other

    async def receive(self, message: Say) -> str:
        answer = await self.store.ask(message)
        if self.other is not None:
            answer += await self.other.ask(message)
        return answer


async def test_a_child_is_given_the_ref_of_a_sibling() -> None:
    """S1: `child(...).ref` stands for it, by place and by keyword; it is good for all incarnations of both."""
    async with histrio.open_system() as system:
        a, b = worker("a", []), worker("b", [])
        front = histrio.child("front", Front, a.ref, other=b.ref)
        sup = await system.spawn(histrio.Supervisor, a, b, front)
        assert await sup.child(front).ask(Say("hello")) == "a1b1"
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(a), 2)
        assert await sup.child(front).ask(Say("hello")) == "a2b1"
        sup.child(front).control.kill()
        await when_up(sup.child(front), 2)
        assert await sup.child(front).ask(Say("hello")) == "a2b1"


async def test_a_late_child_is_given_the_ref_of_one_that_is_there() -> None:
    """S1: `start_child` knows the siblings too; of one that was terminated and started again it is the new one."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.Supervisor, a)
        front = await sup.start_child(histrio.child("front", Front, a.ref))
        assert await front.ask(Say("hello")) == "a1"
        await sup.terminate_child(a)
        assert await ending_of(front.ask(Say("hello"))) == "ActorFailed by ActorStopped"
        await sup.restart_child(a)
        await when_up(front, 2)
        assert await front.ask(Say("hello")) == "a1"


async def test_a_placeholder_is_no_address() -> None:
    """S1: it says for which child it stands, and what it is for."""
    a = worker("a", [])
    for use in (a.ref.tell_nowait, a.ref.ask, a.ref.ask_nowait):
        with pytest.raises(histrio.Unbound, match=r"the ref to a .*stands for the child 'a'"):
            use(Say("hello"))
    with pytest.raises(histrio.Unbound, match="stands for the child 'a'"):
        await a.ref.join()
    assert a.ref.is_placeholder


async def test_child_finds_the_ref_of_a_child() -> None:
    """S1: `sup.child(spec)`, on the ref and from inside; one that is not there is named, with those that are."""
    met: list[Crew] = []
    async with histrio.open_system() as system:
        a, b, other = worker("a", []), worker("b", []), worker("other", [])
        sup = await system.spawn(histrio.child("sup", Crew, met, a, b))
        assert met[0].child(a) == sup.child(a) == system.find(Worker, "/sup/a")
        with pytest.raises(ValueError, match="/sup has no child 'other' at present; it has 'a', 'b'"):
            met[0].child(other)
        with pytest.raises(ValueError, match="/sup has no child 'other' at present"):
            sup.child(other)
        await sup.terminate_child(a)
        for child in (sup.child, met[0].child):
            with pytest.raises(ValueError, match="/sup has no child 'a' at present"):
                child(a)


async def test_which_children_tells_what_a_supervisor_knows() -> None:
    """S1: from left to right, also those that have ended and may be started again."""
    met: list[Crew] = []
    async with histrio.open_system() as system:
        a, b, c = (worker(name, []) for name in "abc")
        temporary = worker("temporary", []).with_(restart=histrio.TEMPORARY)
        sup = await system.spawn(histrio.child("sup", Crew, met, a, b, c, temporary))
        await sup.child(b).tell(Say("fail"))
        await when_up(sup.child(b), 2)
        await sup.terminate_child(c)
        await sup.child(temporary).control.stop()
        await settle()
        told = [attrs.astuple(one, recurse=False)[:5] for one in met[0].which_children()]

    assert told == [
        ("a", "Worker", histrio.PERMANENT, Phase.RUNNING, 1),
        ("b", "Worker", histrio.PERMANENT, Phase.RUNNING, 2),
        ("c", "Worker", histrio.PERMANENT, None, 0),
    ]


# -- paused ------------------------------------------------------------------------------------------------------------


async def test_a_paused_supervisor_still_supervises(autojump_clock: MockClock) -> None:
    """S1, S6: pausing it holds requests back; children that fail are started again all the same."""
    async with histrio.open_system() as system:
        a, b = worker("a", []), worker("b", [])
        sup = await system.spawn(histrio.Supervisor, a)
        await sup.control.pause()
        assert sup.control.is_paused
        starting = sup.start_child(b)
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(a), 2)
        await trio.sleep(10)
        assert not starting.is_done
        sup.control.resume()
        assert await (await starting).ask(Say("hello")) == "b1"


async def test_a_paused_supervisor_gives_up_as_any_other() -> None:
    """S1, S6: nobody has to resume it for that."""

    async def life(system: histrio.System) -> None:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=0))
        await sup.control.pause()
        await sup.child(a).tell(Say("fail"))
        await sup.join()

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    assert isinstance(error.failures[0].__cause__, histrio.TooManyRestarts)


async def test_pausing_a_supervisor_does_not_pause_its_children() -> None:
    """S6: each actor has its own level."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.Supervisor, a)
        await sup.control.pause()
        assert await sup.child(a).ask(Say("hello")) == "a1"
