"""S1, S2: children that are started again together: ONE_FOR_ALL and REST_FOR_ONE, in order, at once, whatever they do."""

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


def began(log: list[str]) -> list[str]:
    """Who began and ended, of these lines."""
    return [line for line in log if line.split()[1] in ("starts", "started", "stops", "stopped")]


# -- order -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "who", "stops", "starts"),
    [
        (histrio.ONE_FOR_ONE, "b", "", "b"),
        (ALL, "a", "cb", "abc"),
        (ALL, "b", "ca", "abc"),
        (ALL, "c", "ba", "abc"),
        (REST, "a", "cb", "abc"),
        (REST, "b", "c", "bc"),
        (REST, "c", "", "c"),
    ],
)
async def test_who_is_stopped_and_started_and_in_which_order(
    strategy: histrio.Strategy, who: str, stops: str, starts: str
) -> None:
    """S1, S2: right to left, each to its end before the next; then left to right, each up before the next."""
    log: list[str] = []
    async with histrio.open_system() as system:
        children = {name: worker(name, log, starts=takes(0), stops=takes(0)) for name in "abc"}
        sup = await supervise(system, *children.values(), strategy=strategy)
        log.clear()
        await sup.child(children[who]).tell(Say("fail"))
        for name in "abc":
            if name in starts:
                await when_up(sup.child(children[name]), 2)
        lives = {name: sup.child(spec).control.inspect().incarnation for name, spec in children.items()}
        seen = began(log)

    assert seen == [
        *(f"{name}1 {what}" for name in stops for what in ("stops", "stopped")),
        *(f"{name}2 {what}" for name in starts for what in ("starts", "started")),
    ]
    assert lives == {name: 2 if name in starts else 1 for name in "abc"}


async def test_who_was_stopped_by_the_supervisor_is_told_why() -> None:
    """S9: `stopped(reason)` of a sibling gets the end that its own follows from."""
    log: list[str] = []
    reasons: list[histrio.Reason] = []

    class Asking(Worker):
        async def stopped(self, reason: histrio.Reason) -> None:
            reasons.append(reason)

    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log, kind=Asking)
        sup = await supervise(system, a, b)
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(b), 2)

    assert reasons[0].end is histrio.End.STOPPED
    assert reasons[0].chain() == (
        "stopped (it is started again together with its siblings in /sup)",
        "failed",
        "ValueError: a failed",
    )


async def test_children_that_all_end_at_one_moment_are_one_restart(autojump_clock: MockClock) -> None:
    """S1: those that the supervisor is about to stop anyway are not counted."""
    async with histrio.open_system() as system:
        children = [worker(name, []) for name in "abcde"]
        sup = await supervise(system, *children, restarts_max=1)
        refs = [sup.child(spec) for spec in children]
        for ref in refs:
            ref.control.kill()
        for ref in refs:
            await when_up(ref, 2)
        await trio.sleep(1)
        assert [ref.control.inspect().incarnation for ref in refs] == [2] * 5


async def test_a_sibling_that_fails_while_it_is_stopped_is_reported_and_not_counted() -> None:
    """S1, S9: its failure is known, and the one restart that goes on starts it again."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log, stops=once(fail))
        sup = await supervise(system, a, b, restarts_max=1)
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(b), 2)
        reports = [str(report) for report in system.reports]

    assert reports == [
        "/sup/a has ended: failed: ValueError: a failed",
        "/sup/b has ended: failed: ValueError: told to fail",
    ]


# -- siblings that wait ------------------------------------------------------------------------------------------------


def ask(ref: Ref[Job], what: Body = hang) -> Body:
    """Ask another worker, from a handler, and note how that ended."""

    async def asks(actor: Worker) -> None:
        try:
            await ref.ask(Do(what))
        except histrio.ActorStopped as error:
            actor.note(f"lost {error.path}")
            raise

    return asks


class Serial(Worker):
    serial = True


@pytest.mark.parametrize("kind", [Worker, Serial])
async def test_a_sibling_that_waits_for_the_failed_one_is_interrupted_at_once(
    kind: type[Worker], autojump_clock: MockClock
) -> None:
    """S1: its ask is in the failed one's inbox, and would be answered after its own end: it is not waited for."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log, kind=kind)
        sup = await supervise(system, a, b)
        ref_a, ref_b = sup.child(a), sup.child(b)
        await ref_a.tell(Do(takes(1)))
        await ref_a.tell(Say("fail"))
        asking = ref_b.ask(Do(ask(ref_a)))  # waits behind it
        await settle()
        assert await ref_b.ask(Say("hello")) == ("b1" if kind is Worker else "b2")
        ended = await ending_of(asking)
        await when_up(ref_b, 2)
        assert trio.current_time() == 1

    assert ended == "ActorFailed by ValueError"
    assert [line for line in log if "lost" in line] == ["b1 lost /sup/b"]


async def test_all_handlers_that_wait_are_interrupted_one_after_the_other(autojump_clock: MockClock) -> None:
    """S1, A1: each cleans up with the turn; their asks fail, their tells are dead letters; then `stopped()` runs."""
    log: list[str] = []

    async def wait(actor: Worker) -> None:
        try:
            await hang(actor)
        finally:
            await trio.sleep(1)
            actor.note("cleaned up")

    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log)
        sup = await supervise(system, a, b)
        ref_b = sup.child(b)
        told = [Do(wait), Do(wait)]
        for message in told:
            await ref_b.tell(message)
        asked = ref_b.ask(Do(wait))
        await settle()
        await sup.child(a).tell(Say("fail"))
        assert await ending_of(asked) == "ActorFailed by ValueError"
        await when_up(ref_b, 2)
        assert trio.current_time() == 3
        assert letters(system)[0] == "fail"
        assert {id(letter) for letter in letters(system)[1:]} == {id(message) for message in told}  # in any order

    assert log[5:10] == ["b1 cleaned up"] * 3 + ["b1 stops", "b1 stopped"]


async def test_a_handler_that_goes_on_after_the_interruption_is_waited_for(autojump_clock: MockClock) -> None:
    """S1, S2: one that catches it and does more may do so, up to `shutdown_s`."""
    log: list[str] = []

    async def wait_again(actor: Worker) -> None:
        for _ in range(2):
            try:
                await hang(actor)
            except histrio.ActorStopped:
                actor.note("interrupted")

    async with histrio.open_system() as system:
        a, b = worker("a", log), worker("b", log).with_(shutdown_s=4)
        sup = await supervise(system, a, b)
        await sup.child(b).tell(Do(wait_again))
        await settle()
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(b), 2)
        assert trio.current_time() <= 4

    assert "b1 interrupted" in log


async def test_mail_of_a_sibling_is_kept_for_its_next_incarnation(autojump_clock: MockClock) -> None:
    """S3: also what comes while it is being stopped, and while those to its left are started; asks are answered."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b = worker("a", log, starts=takes(2)), worker("b", log, stops=takes(2))
        sup = await supervise(system, a, b)
        ref_a, ref_b = sup.child(a), sup.child(b)
        log.clear()
        await ref_b.tell(Do(takes(1)))
        await settle()
        await ref_b.tell(Say("one"))
        await ref_a.tell(Say("fail"))
        await trio.sleep(1.5)
        assert ref_b.control.status() is Phase.STOPPING
        await ref_b.tell(Say("two"))
        await trio.sleep(2)
        assert ref_b.control.status() is Phase.RESTARTING
        assert await ref_b.ask(Say("three")) == "b2"

    assert log[-7:-4] == ["b2 one", "b2 two", "b2 three"]


async def test_senders_in_line_at_a_sibling_are_let_in_after_the_restart(autojump_clock: MockClock) -> None:
    """S3, A8: nobody is refused because of a sibling's failure; also where the behaviour is one `run()`."""
    log: list[str] = []

    class Reading(histrio.Actor[Say]):
        inbox_max = 1

        async def run(self) -> None:
            await self.io(trio.sleep, 10)
            while True:
                log.append((await self.receive_next()).message.what)

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        a, b = worker("a", []), histrio.child("b", Reading)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, b, strategy=ALL))
        ref = sup.child(b)
        for what in ("one", "two", "three"):
            nursery.start_soon(ref.tell, Say(what))
            await settle()
        await sup.child(a).tell(Say("fail"))
        await trio.sleep(1)
        assert ref.control.inspect().incarnation == 2
        await trio.sleep(10)

    assert log == ["one", "two", "three"]


@pytest.mark.parametrize("waits_in", ["receive_next", "io", "select"])
async def test_a_run_is_ended_at_once_whatever_it_waits_for(waits_in: str, autojump_clock: MockClock) -> None:
    """S1, A12: it need not catch anything; its clean-up runs, and `stopped()`."""
    log: list[str] = []

    class Running(histrio.Actor[Say]):
        async def run(self) -> None:
            try:
                if waits_in == "receive_next":
                    await self.receive_next()
                elif waits_in == "io":
                    await self.io(trio.sleep_forever)
                else:
                    await self.select(lambda message: message.what == "never")
            finally:
                log.append("cleaned up")

        async def stopped(self, reason: histrio.Reason) -> None:
            log.append("stopped")

    async with histrio.open_system() as system:
        a, b = worker("a", []), histrio.child("b", Running)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, b, strategy=ALL))
        await settle()
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(b), 2)
        assert trio.current_time() == 0
        assert log == ["cleaned up", "stopped"]
        assert [str(report) for report in system.reports] == ["/sup/a has ended: failed: ValueError: a failed"]


# -- siblings that do not want to --------------------------------------------------------------------------------------


async def test_a_sibling_that_hangs_in_stopped_is_cancelled_at_its_deadline(autojump_clock: MockClock) -> None:
    """S2: at `shutdown_s`, exactly; the others are not asked before it has ended."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, b, c = worker("a", log), worker("b", log, stops=takes(1)), worker("c", log, stops=hold).with_(shutdown_s=3)
        sup = await supervise(system, a, b, c)
        log.clear()
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(c), 2)
        assert trio.current_time() == 4

    assert log[:6] == ["a1 fail", "c1 stops", "b1 stops", "b1 stopped", "a2 starts", "a2 started"]


@pytest.mark.parametrize(("where", "at"), [("handler", 6), ("stopped", 6), ("background", 3)])
async def test_a_sibling_that_ignores_its_end_is_named(where: str, at: float, autojump_clock: MockClock) -> None:
    """S2: `shutdown_s` after it was cancelled, with the stack of what it does; it is waited for all the same.

    A handler is cancelled at the deadline of the stop; what runs in the background when all else has ended.
    """
    stuck: list[tuple[float, str]] = []

    def note(report: histrio.HistrioError) -> None:
        if isinstance(report, histrio.StuckActor):
            stuck.append((trio.current_time(), str(report)))

    async def stubborn(_: Worker) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)

    async def beside(actor: Worker) -> None:
        actor.background(stubborn, actor)

    async with histrio.open_system(on_report=note) as system:
        a, b = worker("a", []), worker("b", [], stops=stubborn if where == "stopped" else None).with_(shutdown_s=3)
        sup = await supervise(system, a, b)
        if where != "stopped":
            await sup.child(b).tell(Do(stubborn if where == "handler" else beside))
        await settle()
        await sup.child(a).tell(Say("fail"))
        await when_up(sup.child(b), 2)
        assert trio.current_time() == 10

    when, text = stuck[0]
    assert len(stuck) == (2 if where == "stopped" else 1)  # its next incarnation is stopped with the system
    assert when == at
    assert text.startswith("/sup/b: it was cancelled")
    assert "stubborn" in text


async def test_a_killed_actor_that_ignores_its_end_is_named_too(autojump_clock: MockClock) -> None:
    """S2, S6: `shutdown_s` after the kill; each one for itself, however many there are."""
    stuck: list[tuple[float, str]] = []

    def note(report: histrio.HistrioError) -> None:
        if isinstance(report, histrio.StuckActor):
            stuck.append((trio.current_time(), str(report).partition(":")[0]))

    async with histrio.open_system(on_report=note) as system:
        times = {"a": 60.0, "b": 1.0, "c": 2.0}
        children = {name: worker(name, []).with_(shutdown_s=seconds) for name, seconds in times.items()}
        sup = await supervise(system, *children.values(), strategy=histrio.ONE_FOR_ONE)
        for spec in children.values():
            await sup.child(spec).tell(Do(shielded(30)))
        await settle()
        for spec in children.values():
            sup.child(spec).control.kill()
            await trio.sleep(0.5)
        await trio.sleep(50)

    assert stuck == [(1.5, "/sup/b"), (3, "/sup/c")]
