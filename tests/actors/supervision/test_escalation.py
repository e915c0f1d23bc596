"""S1, S9: a supervisor that may start its children no more often gives up; why is told from the cause to the top."""

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
    hang,
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


async def fail_at(ref: Ref[Job], *times: float) -> None:
    """Have it fail at these moments, and settle after each."""
    for time in times:
        await trio.sleep_until(time)
        if ref.control.is_done:
            return
        await ref.tell(Say("fail"))
        await settle()


def causes_of(error: BaseException | None) -> list[str]:
    """The kinds of an error and all its causes."""
    kinds: list[str] = []
    while error is not None:
        where = f" {error.path}" if isinstance(error, histrio.ActorStopped | histrio.TooManyRestarts) else ""
        kinds.append(f"{type(error).__name__}{where}")
        error = error.__cause__
    return kinds


# -- the budget --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restarts_max", "window_s", "times", "lives"),
    [
        (3, 5, (1, 1, 1), 4),
        (3, 5, (1, 1, 1, 1), 0),
        (2, 5, (1, 2, 6, 7), 0),  # 2, 6 and 7: three within 5 seconds
        (2, 5, (1, 2, 6.5, 7.5), 5),  # at 7.5 the first two have left the window
        (2, 5, (1, 2, 6), 0),  # one that was exactly `window_s` ago counts
        (2, 5, (1, 2, 6.001), 4),
        (1, 0.5, (1, 2, 3, 4), 5),
        (0, 5, (1,), 0),
    ],
)
async def test_so_many_restarts_in_a_window_are_endured(
    restarts_max: int, window_s: float, times: tuple[float, ...], lives: int, autojump_clock: MockClock
) -> None:
    """S1: at one more, the supervisor fails; `lives` 0 stands for that."""
    ended: list[int] = []

    async def life(system: histrio.System) -> None:
        a = worker("a", [])
        sup = await system.spawn(
            histrio.child("sup", histrio.Supervisor, a, restarts_max=restarts_max, window_s=window_s)
        )
        with trio.CancelScope(shield=True):
            await fail_at(ref := sup.child(a), *times)
            ended.append(0 if ref.control.is_done else ref.control.inspect().incarnation)

    error = await leaving(life)
    assert ended == [lives]
    assert isinstance(error, histrio.SystemFailed) is (lives == 0)


async def test_the_budget_is_for_all_children_together(autojump_clock: MockClock) -> None:
    """S1: as in OTP it belongs to the supervisor; `failures` tells who used it up, in order."""

    async def life(system: histrio.System) -> None:
        children = [worker(name, []) for name in "abcd"]
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, *children))
        for spec in children:
            await sup.child(spec).tell(Say("fail"))
            await settle()
        await sup.join()

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    gave_up = error.failures[0].__cause__
    assert isinstance(gave_up, histrio.TooManyRestarts)
    assert [failure.path for failure in gave_up.failures] == [f"/sup/{name}" for name in "abcd"]
    assert gave_up.__cause__ is gave_up.failures[-1]
    assert gave_up.path == "/sup"


async def test_every_end_after_which_a_child_is_started_counts(autojump_clock: MockClock) -> None:
    """S1: also that of a PERMANENT one that stopped as asked, was killed, or whose `run()` returned."""

    async def life(system: histrio.System) -> None:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=2))
        ref = sup.child(a)
        assert await ref.control.stop() is Phase.RESTARTING
        assert await ref.control.kill() is Phase.RESTARTING
        await when_up(ref, 3)
        await ref.control.stop(why="once too often")
        await sup.join()

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    gave_up = error.failures[0].__cause__
    assert isinstance(gave_up, histrio.TooManyRestarts)
    assert [failure.reason.end for failure in gave_up.failures] == [
        *(histrio.End.STOPPED, histrio.End.KILLED, histrio.End.STOPPED)
    ]
    assert "once too often" in str(gave_up)


async def test_restarts_on_request_do_not_count(autojump_clock: MockClock) -> None:
    """S1: `terminate_child` and `restart_child`, however often."""
    async with histrio.open_system() as system:
        a = worker("a", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, restarts_max=0))
        for _ in range(5):
            await sup.terminate_child(a)
            await sup.restart_child(a)
        assert await sup.child(a).ask(Say("hello")) == "a1"


# -- giving up ---------------------------------------------------------------------------------------------------------


async def test_a_supervisor_that_gives_up_stops_its_children_in_order(autojump_clock: MockClock) -> None:
    """S1, S2: from right to left, each with its time; then it fails, and its place in the tree is free."""
    log: list[str] = []

    async def life(system: histrio.System) -> None:
        a, b, c = worker("a", log, stops=takes(1)), worker("b", log), worker("c", log, stops=takes(2))
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, b, c, restarts_max=0))
        log.clear()
        await sup.child(b).tell(Say("fail"))
        with trio.CancelScope(shield=True):
            down = await sup.monitor()
            assert trio.current_time() == 3
            assert isinstance(down.reason.cause, histrio.TooManyRestarts)
            assert system.tree().children == ()

    assert isinstance(await leaving(life), histrio.SystemFailed)
    assert log == ["b1 fail", "c1 stops", "c1 stopped", "a1 stops", "a1 stopped"]


async def test_nothing_is_started_by_one_that_gives_up(autojump_clock: MockClock) -> None:
    """S1, A10: not those that fail meanwhile, not those in a backoff, not what is asked for; everybody is told."""
    log: list[str] = []
    answers: list[str] = []

    async def life(system: histrio.System) -> None:
        a, b, c = worker("a", log), worker("b", log), worker("c", log, stops=takes(3))
        sup = await system.spawn(
            histrio.child(
                "sup", histrio.Supervisor, a, b, c, restarts_max=1, backoff=histrio.Backoff(first_s=100, max_s=100)
            )
        )
        log.clear()
        await sup.child(a).tell(Say("fail"))  # waits for its restart
        await settle()
        waiting = sup.child(a).ask(Say("hello"))
        await sup.child(b).tell(Say("fail"))
        await settle()
        starting = sup.start_child(worker("late", log))
        with trio.CancelScope(shield=True):
            answers.extend([await ending_of(waiting), await ending_of(starting)])
            await sup.monitor()
            assert trio.current_time() == 3

    assert isinstance(await leaving(life), histrio.SystemFailed)
    assert log == ["a1 fail", "b1 fail", "c1 stops", "c1 stopped"]
    assert answers[0] == "ActorStopped"
    assert answers[1].split()[0] in ("ActorFailed", "ActorStopped", "ChildNotStarted")


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_one_that_gives_up_may_be_ended_on_top(how: str, autojump_clock: MockClock) -> None:
    """S1, S6: it ends all the same, once; a kill does not wait for its children's stop."""

    async def life(system: histrio.System) -> None:
        a, b = worker("a", []), worker("b", [], stops=takes(3))
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, b, restarts_max=0))
        await sup.child(a).tell(Say("fail"))
        await settle()
        with trio.CancelScope(shield=True):
            ended = await (sup.control.stop() if how == "stop" else sup.control.kill())
            assert trio.current_time() == (3 if how == "stop" else 0)
            assert ended in (Phase.FAILED, Phase.KILLED, Phase.STOPPED)
            assert system.tree().children == ()

    await leaving(life)


async def test_one_that_gives_up_answers_the_mail_of_its_children(autojump_clock: MockClock) -> None:
    """A10, S9: who waits for a child gets the reason why the child has ended, to the first cause."""
    chains: list[tuple[str, ...]] = []

    async def life(system: histrio.System) -> None:
        a, b = worker("a", []), worker("b", [])
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, b, restarts_max=0))
        asked = [sup.child(a).ask(Do(fail)), sup.child(a).ask(Say("hello")), sup.child(b).ask(Do(hang))]
        with trio.CancelScope(shield=True):
            for one in asked:
                with pytest.raises(histrio.ActorStopped) as raised:
                    await one
                chains.append(raised.value.reason.chain())

    assert isinstance(await leaving(life), histrio.SystemFailed)
    assert all("ValueError: told to fail" in chain for chain in chains)
    assert chains[0] == ("failed", "ValueError: told to fail")


# -- level by level ----------------------------------------------------------------------------------------------------


def tower(leaf: Child[Job], depth: int, restarts_max: int = 0) -> Child[ChildRequest]:
    """A supervisor of a supervisor of ... of the leaf."""
    spec = histrio.child("s", histrio.Supervisor, leaf, restarts_max=restarts_max)
    for _ in range(depth - 1):
        spec = histrio.child("s", histrio.Supervisor, spec, restarts_max=restarts_max)
    return spec


async def test_the_whole_chain_of_reasons_leaves_the_system() -> None:
    """S9: from `SystemFailed` down to the first cause, each level with its path; and as text by `Reason.chain()`."""

    async def life(system: histrio.System) -> None:
        await system.spawn(tower(worker("a", []), 3))
        ref = system.find(Worker, "/s/s/s/a")
        assert ref is not None
        await ref.tell(Say("fail"))
        await trio.sleep_forever()

    error = await leaving(life)
    assert causes_of(error) == [
        "SystemFailed /",
        *("ActorFailed /s", "TooManyRestarts /s", "ActorFailed /s/s", "TooManyRestarts /s/s"),
        *("ActorFailed /s/s/s", "TooManyRestarts /s/s/s", "ActorFailed /s/s/s/a", "ValueError"),
    ]
    assert isinstance(error, histrio.SystemFailed)
    chain = error.reason.chain()
    assert chain[0] == "failed"
    assert chain[-1] == "ValueError: a failed"
    assert [line.split(":")[0] for line in chain[1:]] == [
        *("ActorFailed", "TooManyRestarts") * 3,
        *("ActorFailed", "ValueError"),
    ]


async def test_what_is_said_of_a_deep_failure_stays_readable() -> None:
    """S9: the text of an error tells its own level and the first cause, and does not grow by a page each level."""

    async def life(system: histrio.System) -> None:
        await system.spawn(tower(worker("a", []), 12))
        ref = system.find(Worker, "/" + "s/" * 12 + "a")
        assert ref is not None
        await ref.tell(Say("fail"))
        await trio.sleep_forever()

    error = await leaving(life)
    assert "a failed" in str(error)
    assert len(str(error)) < 2000


async def test_a_supervisor_that_gives_up_is_started_again_by_its_own(autojump_clock: MockClock) -> None:
    """S1: with all its children, new budgets, and the same path; what it reported is known."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log)
        inner = histrio.child("inner", histrio.Supervisor, a, b, restarts_max=1)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, inner))
        ref = sup.child(inner)
        old = ref.child(b)
        for _ in range(2):
            await ref.child(a).tell(Say("fail"))
            await settle()
        assert ref.control.inspect().incarnation == 2
        assert old.control.is_done
        assert await ref.child(b).ask(Say("hello")) == "b1"
        await ref.child(a).tell(Say("fail"))  # the budget is a new one
        await settle()
        assert ref.control.inspect().incarnation == 2
        assert [report.partition(" has")[0] for report in failures(system)] == [
            *("/sup/inner/a", "/sup/inner/a", "/sup/inner", "/sup/inner/a")
        ]


async def test_a_supervisor_that_fails_by_itself_is_started_again(autojump_clock: MockClock) -> None:
    """S1: an error of its own (here: of a subclass's background work) ends it and all below; then all is new."""
    log: list[str] = []
    met: list[Crew] = []

    async def break_down() -> None:
        await trio.sleep(1)
        raise RuntimeError("of its own")

    async with histrio.open_system() as system:
        a = worker("a", log, stops=takes(1))
        inner = histrio.child("inner", Crew, met, a)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, inner))
        met[0].background(break_down)
        await when_up(sup.child(inner), 2)
        assert len(met) == 2
        assert await met[1].child(a).ask(Say("hello")) == "a1"
        assert failures(system) == ["/sup/inner has ended: failed: RuntimeError: of its own"]

    assert log[:4] == ["a1 starts", "a1 started", "a1 starts", "a1 started"]  # its children were cancelled


async def test_a_supervisor_whose_start_fails_again_and_again(autojump_clock: MockClock) -> None:
    """S1, S2: it is a child like any other: its rollback runs each time, each try counts, and it is reported once."""
    log: list[str] = []

    async def never_again(actor: Worker) -> None:
        if log.count("b1 starts") > 1:
            raise RuntimeError("never again")

    async def life(system: histrio.System) -> None:
        inner = histrio.child(
            "inner", histrio.Supervisor, worker("a", log), worker("b", log, starts=never_again), restarts_max=0
        )
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, inner, restarts_max=2))
        b = system.find(Worker, "/sup/inner/b")
        assert b is not None
        log.clear()
        log.append("b1 starts")
        await b.tell(Say("fail"))
        with trio.CancelScope(shield=True):
            await sup.monitor()
            reported.extend(report.partition(" has")[0] for report in failures(system))

    reported: list[str] = []
    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    gave_up = error.failures[0].__cause__
    assert isinstance(gave_up, histrio.TooManyRestarts)
    assert [causes_of(failure)[-1] for failure in gave_up.failures] == ["ValueError", "RuntimeError", "RuntimeError"]
    assert reported == ["/sup/inner/b", "/sup/inner", "/sup/inner", "/sup/inner"]
    assert log[4:] == ["a1 starts", "a1 started", "b1 starts", "a1 stops", "a1 stopped"] * 2


async def test_a_transient_supervisor_that_gives_up_has_failed() -> None:
    """S1: so it is started again; a TEMPORARY one is not, and is forgotten."""
    async with histrio.open_system() as system:
        specs = {
            restart: histrio.child(f"inner-{restart.value}", histrio.Supervisor, worker("a", []), restarts_max=0).with_(
                restart=restart
            )
            for restart in (histrio.TRANSIENT, histrio.TEMPORARY)
        }
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, *specs.values()))
        for spec in specs.values():
            ref = system.find(Worker, f"/sup/{spec.name}/a")
            assert ref is not None
            await ref.tell(Say("fail"))
        await settle()
        assert [node.path for node in system.tree().walk() if node.actor == "Supervisor"] == [
            *("/sup", "/sup/inner-transient")
        ]
        assert sup.child(specs[histrio.TRANSIENT]).control.inspect().incarnation == 2


async def test_hand_spawned_children_of_a_supervisor_are_not_supervised() -> None:
    """S4: what a subclass spawns itself is its own: its failure is the supervisor's, its kill is nothing."""
    met: list[Crew] = []
    log: list[str] = []
    async with histrio.open_system() as system:
        inner = histrio.child("inner", Crew, met)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, inner))
        by_hand = await met[0].spawn(Worker, "x", log, name="x")
        by_hand.control.kill()
        await settle()
        assert sup.child(inner).control.inspect().incarnation == 1
        by_hand = await met[0].spawn(Worker, "x", log, name="x")
        await by_hand.tell(Say("fail"))
        await when_up(sup.child(inner), 2)
        assert system.find(Worker, "/sup/inner/x") is None
        assert failures(system) == [
            "/sup/inner has ended: failed: ActorFailed: /sup/inner/x has ended: failed: ValueError: x failed"
        ]


async def test_two_supervisors_that_fail_leave_as_one_error(autojump_clock: MockClock) -> None:
    """A14, S9: `SystemFailed` with both, the first one first."""

    async def life(system: histrio.System) -> None:
        a = worker("a", [], stops=once(takes(1)))
        sups = [
            await system.spawn(histrio.child(name, histrio.Supervisor, a, worker("b", []), restarts_max=0))
            for name in ("one", "two")
        ]
        for sup in sups:
            ref = system.ref_at(f"{sup.path}/b")
            assert ref is not None
            await ref.tell(Say("fail"))
        await trio.sleep_forever()

    error = await leaving(life)
    assert isinstance(error, histrio.SystemFailed)
    assert sorted(failure.path for failure in error.failures) == ["/one", "/two"]
    assert all(isinstance(failure.__cause__, histrio.TooManyRestarts) for failure in error.failures)
    assert isinstance(error.__cause__, ExceptionGroup)
