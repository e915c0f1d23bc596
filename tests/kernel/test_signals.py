"""J1: what happens to an actor can be heard, in order and without a gap, and listening changes nothing."""

import gc
from collections.abc import Callable
from itertools import groupby
from typing import Final

import attrs
import pytest
import trio
import trio.testing

import histrio
from histrio import Kind, Signal

Clock = trio.testing.MockClock


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


@attrs.frozen
class Do(histrio.Request[str]):
    what: str


class Worker(histrio.Actor[Do]):
    inbox_max = 2

    async def receive(self, message: Do) -> str:
        match message.what:
            case "io":
                await self.io(trio.sleep, 1)
            case "spawn":
                await self.spawn(Worker, name="child")
            case "join":
                child = await self.spawn(Worker)
                child.control.stop()
                await child.join()
            case "tell":
                await self.ref.tell(Do("nothing"))
            case "ask":
                await self.ref.ask(Do("nothing"))
            case "select":
                return (await self.select(Do)).what
            case "filter":
                return (await self.filter(lambda m: m.what == "wanted")).what
            case "refuse":
                raise histrio.Refusal("not today")
            case "fail":
                raise ValueError("broken")
            case "hold":
                await trio.sleep(1)
            case _:
                pass
        return message.what


class Lossy(Worker):
    overflow = histrio.DROP_OLD


def of(path: str, heard: list[Signal]) -> list[Kind]:
    """The kinds of that actor's signals, in order."""
    return [signal.kind for signal in heard if signal.path == path]


def assert_dense(heard: list[Signal]) -> None:
    """Each actor's signals are numbered 1, 2, 3 ..."""
    for path, signals in groupby(sorted(heard, key=lambda signal: signal.path), key=lambda signal: signal.path):
        seqs = [(signal.incarnation, signal.seq) for signal in signals]
        assert seqs == [(1, number) for number in range(1, len(seqs) + 1)], path


START, RECEIVE, USE, RESOLVED, RESUME = Kind.START, Kind.RECEIVE, Kind.USE, Kind.RESOLVED, Kind.RESUME
SEND, SPAWN, JOIN, BACKOFF, DROP = Kind.SEND, Kind.SPAWN, Kind.JOIN, Kind.BACKOFF, Kind.DROP
CRASH, CONTROL, STOP = Kind.CRASH, Kind.CONTROL, Kind.STOP


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("nothing", []),
        ("io", [USE, RESOLVED, RESUME]),
        ("spawn", [SPAWN]),
        ("join", [SPAWN, JOIN, RESUME]),
        ("tell", [SEND, RECEIVE]),
        ("ask", [SEND, RECEIVE, RESUME]),
        ("refuse", []),
    ],
)
async def test_what_one_message_is_heard_as(what: str, expected: list[Kind], autojump_clock: Clock) -> None:
    """J1: a message is received, and then follows what its handler does, each thing as it happens."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(heard.append)
        worker = await system.spawn(Worker, name="worker")
        await worker.tell(Do(what))
        await trio.sleep(2)
        worker.control.stop()
        await worker.join()

    waits_for_child = [RESUME] if what == "spawn" else []
    assert of("/worker", heard) == [START, RECEIVE, *expected, CONTROL, *waits_for_child, STOP]
    assert_dense(heard)


async def test_a_signal_is_data(autojump_clock: Clock) -> None:
    """J1: a signal says who, which incarnation, the how-manieth, what, and the particulars."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(heard.append)
        worker = await system.spawn(Worker, name="worker")
        assert await worker.ask(Do("tell")) == "tell"

    assert heard[0] == Signal("/", 1, 1, SPAWN, "/worker")
    assert heard[1:5] == [
        Signal("/worker", 1, 1, START),
        Signal("/worker", 1, 2, RECEIVE, Do("tell")),
        Signal("/worker", 1, 3, SEND, ("/worker", Do("nothing"))),
        Signal("/worker", 1, 4, RECEIVE, Do("nothing")),
    ]


@pytest.mark.parametrize("what", ["select", "filter"])
async def test_a_message_that_is_selected_is_received(what: str, autojump_clock: Clock) -> None:
    """A12, J1: what `select` or `filter` takes is received once; what `filter` passes over is dropped."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(heard.append)
        worker = await system.spawn(Worker, name="worker")
        asked = worker.ask(Do(what))
        await settle()
        for message in ([Do("unwanted")] if what == "filter" else []) + [Do("wanted")]:
            await worker.tell(message)

        assert await asked == "wanted"
    expected = [START, RECEIVE, DROP, RECEIVE] if what == "filter" else [START, RECEIVE, RECEIVE]
    assert [kind for kind in of("/worker", heard) if kind not in (RESUME, CONTROL, STOP)] == expected


async def test_a_full_inbox_is_heard(autojump_clock: Clock) -> None:
    """A11, J1: BACKOFF tells that the inbox is full, DROP which message was dropped; the actor is the one it is full of."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        lossy = await system.spawn(Lossy, name="lossy")
        await lossy.tell(Do("hold"))
        await settle()
        system.listen(heard.append)
        for number in range(4):
            await lossy.tell(Do(f"{number}"))
        full = list(heard)

    assert [(signal.path, signal.kind, signal.detail) for signal in full] == [
        ("/lossy", BACKOFF, Do("2")),
        ("/lossy", DROP, Do("0")),
        ("/lossy", BACKOFF, Do("3")),
        ("/lossy", DROP, Do("1")),
    ]
    assert_dense(heard)


async def test_a_withdrawn_ask_is_heard(autojump_clock: Clock) -> None:
    """F8, J1: a queued ask that nobody wants any more is dropped."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        await worker.tell(Do("hold"))
        await settle()
        asked = worker.ask(Do("withdrawn"))
        system.listen(heard.append)
        asked.cancel()

        assert [(signal.kind, signal.detail) for signal in heard] == [(DROP, Do("withdrawn"))]


async def test_a_failure_is_heard(autojump_clock: Clock) -> None:
    """A9, J1: CRASH with the error, then STOP with the reason; the parent's after the child's."""
    heard: list[Signal] = []

    async def fail() -> None:
        async with histrio.open_system() as system:
            system.listen(heard.append)
            worker = await system.spawn(Worker, name="worker")
            await worker.ask(Do("spawn"))
            child = system.find(Worker, "/worker/child")
            assert child is not None
            await child.tell(Do("fail"))
            await system.wait()

    with pytest.raises(histrio.SystemFailed):
        await fail()
    ends = [(signal.path, signal.kind) for signal in heard if signal.kind in (CRASH, STOP)]
    assert ends == [("/worker/child", CRASH), ("/worker/child", STOP), ("/worker", CRASH), ("/worker", STOP)]
    error, reason = (
        signal.detail for signal in heard if signal.path == "/worker/child" and signal.kind in (CRASH, STOP)
    )
    assert isinstance(error, ValueError)
    assert isinstance(reason, histrio.Reason)
    assert (reason.end, reason.cause) == (histrio.End.FAILED, error)
    assert_dense(heard)


@pytest.mark.parametrize("what", ["stop", "kill"])
async def test_what_was_done_to_an_actor_from_outside_is_heard(what: str, autojump_clock: Clock) -> None:
    """J1: CONTROL tells that it was asked to stop or killed, before the STOP that follows from it."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(heard.append)
        worker = await system.spawn(Worker, name="worker")
        await settle()
        (worker.control.stop if what == "stop" else worker.control.kill)()
        await worker.join()

    assert [(signal.kind, signal.detail) for signal in heard if signal.path == "/worker"][1:-1] == [(CONTROL, what)]


async def test_every_kind_is_heard_of(autojump_clock: Clock) -> None:
    """J1: there is no kind that nothing is ever told by."""
    heard: list[Signal] = []

    async def everything() -> None:
        async with histrio.open_system() as system:
            system.listen(heard.append)
            lossy = await system.spawn(Lossy, name="lossy")
            for what in ("io", "spawn", "join", "tell"):
                await lossy.ask(Do(what))
            for what in ("hold", "nothing", "nothing", "nothing"):
                await lossy.tell(Do(what))
                await settle()
            await trio.sleep(5)
            lossy.control.stop()
            await lossy.join()
            await (await system.spawn(Worker)).tell(Do("fail"))
            await system.wait()

    with pytest.raises(histrio.SystemFailed):
        await everything()
    assert {signal.kind for signal in heard} == set(Kind)


# -- numbers -----------------------------------------------------------------------------------------------------------


async def test_numbers_have_no_gap_and_no_repetition(autojump_clock: Clock) -> None:
    """J1: `seq` is dense per actor, whatever happens at once, and also for what is noticed after the actor's end."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(heard.append)
        workers = [await system.spawn(Lossy, name=f"worker-{number}") for number in range(3)]
        for number, what in enumerate(("io", "ask", "tell", "select", "hold", "refuse", "io", "tell", "nothing") * 4):
            workers[number % 3].ask(Do(what))
            await trio.sleep(0.2)
        await trio.sleep(20)
        for worker in workers:
            worker.control.stop()
            await worker.join()
        gc.collect()  # the refusals that nobody looked at become dead letters

    assert_dense(heard)
    assert len(heard) > 80


async def test_an_actor_of_the_same_path_is_counted_anew(autojump_clock: Clock) -> None:
    """J1: the count ends with the actor; who lives at its path later begins at 1."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(heard.append)
        for _ in range(2):
            worker = await system.spawn(Worker, name="worker")
            await settle()
            worker.control.stop()
            await worker.join()

    assert [signal.seq for signal in heard if signal.path == "/worker"] == [1, 2, 3] * 2


# -- readers -----------------------------------------------------------------------------------------------------------


async def test_a_reader_hears_from_when_it_is_attached_until_it_is_detached(autojump_clock: Clock) -> None:
    """J1: readers come and go while actors run; detaching twice does nothing."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        await worker.ask(Do("nothing"))
        detach = system.listen(heard.append)
        await worker.ask(Do("io"))
        detach()
        detach()
        await worker.ask(Do("io"))
        assert of("/worker", heard) == [RECEIVE, USE, RESOLVED, RESUME]

        detach = system.listen(heard.append)
        await worker.ask(Do("nothing"))
        assert of("/worker", heard) == [RECEIVE, USE, RESOLVED, RESUME, RECEIVE]
        detach()


async def test_attached_within_a_handler_or_while_it_waits(autojump_clock: Clock) -> None:
    """J1: a reader that comes while handlers wait and mail is queued hears of all that follows, of children too."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        await worker.ask(Do("spawn"))
        child = system.find(Worker, "/worker/child")
        assert child is not None
        await worker.tell(Do("io"))
        await child.tell(Do("hold"))
        await settle()
        await child.tell(Do("nothing"))
        system.listen(heard.append)
        await trio.sleep(2)

        assert of("/worker", heard) == [RESOLVED, RESUME]
        assert of("/worker/child", heard) == [RECEIVE]


async def test_every_reader_hears_everything(autojump_clock: Clock) -> None:
    """J1: several readers hear the same; one that is attached twice hears twice, and each attachment ends by itself."""
    first: list[Signal] = []
    second: list[Signal] = []
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        detach_once = system.listen(first.append)
        detach_again = system.listen(first.append)
        system.listen(second.append)
        await worker.ask(Do("nothing"))
        assert (len(first), len(second)) == (2, 1)
        detach_once()
        await worker.ask(Do("nothing"))
        assert (len(first), len(second)) == (3, 2)
        detach_again()
        await worker.ask(Do("nothing"))
        assert (len(first), len(second)) == (3, 3)


async def test_a_reader_that_raises_is_detached_and_reported(autojump_clock: Clock) -> None:
    """J1: its error reaches whoever runs the system, once, and nobody else: not the actor, not the other readers."""
    heard: list[Signal] = []
    calls: list[Signal] = []
    reports: list[histrio.HistrioError] = []

    def broken(signal: Signal) -> None:
        calls.append(signal)
        raise KeyError("no such dashboard")

    async with histrio.open_system(on_report=reports.append) as system:
        worker = await system.spawn(Worker, name="worker")
        system.listen(broken)
        system.listen(heard.append)
        for _ in range(3):
            assert await worker.ask(Do("nothing")) == "nothing"

    assert len(calls) == 1
    assert of("/worker", heard)[:3] == [RECEIVE] * 3
    assert [str(report) for report in reports] == [str(system.reports[0])]
    assert "no such dashboard" in str(reports[0])


async def test_a_reader_may_come_and_go_in_a_call(autojump_clock: Clock) -> None:
    """J1: a reader that detaches itself, or attaches another, does so for the signals that follow."""
    first: list[Signal] = []
    second: list[Signal] = []

    def once(signal: Signal) -> None:
        first.append(signal)
        detach()
        system.listen(second.append)

    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        detach = system.listen(once)
        await worker.ask(Do("nothing"))
        await worker.ask(Do("nothing"))

        assert [signal.seq for signal in first] == [1]
        assert [signal.seq for signal in second] == [2]


async def test_a_reader_that_causes_signals_is_heard_in_order(autojump_clock: Clock) -> None:
    """J1: each reader hears an actor's signals in the order of their numbers, also those that a reader causes."""
    heard: list[Signal] = []
    again = [Do("1"), Do("2"), Do("3")]

    def resend(signal: Signal) -> None:
        if signal.kind is DROP and again:
            lossy.tell_nowait(again.pop())

    async with histrio.open_system() as system:
        lossy = await system.spawn(Lossy, name="lossy")
        system.listen(resend)
        system.listen(heard.append)
        await lossy.tell(Do("hold"))
        await settle()
        for number in range(4, 8):
            await lossy.tell(Do(f"{number}"))
        kinds = of("/lossy", heard)
        assert system.tree().children[0].queued == 2

    assert kinds.count(DROP) == 5  # two of those that this test sends, and three that `resend` does
    assert [signal.seq for signal in heard] == list(range(1, len(heard) + 1))


async def test_nothing_is_left_of_a_reader_that_has_gone(autojump_clock: Clock) -> None:
    """J1: without a reader the inboxes are on their fast path again, and no actor's gate knows of it."""
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        await worker.ask(Do("spawn"))
        paths = ("/worker", "/worker/child")
        cells = [cell for path in paths if (cell := system._cell_at(path))]
        assert len(cells) == 2
        before = [(cell.inbox.limit, cell.turn.gate) for cell in cells]
        detach = system.listen(lambda _: None)
        during = [(cell.inbox.limit, cell.turn.gate) for cell in cells]
        detach()

        assert before == [(cell.inbox.limit, cell.turn.gate) for cell in cells]
        assert all(limit == -1 and gate for limit, gate in during)


# -- listening changes nothing -----------------------------------------------------------------------------------------

PROGRAM: Final = (
    "io",
    "tell",
    "nothing",
    "ask",
    "refuse",
    "select",
    "io",
    "nothing",
    "spawn",
    "filter",
    "wanted",
    "hold",
)


@pytest.mark.parametrize("kind", [Worker, Lossy])
async def test_a_program_runs_alike_whether_it_is_heard_or_not(kind: type[Worker], autojump_clock: Clock) -> None:
    """J1: with and without a reader every ask has the same outcome, at the same time, and as much is dropped."""

    async def outcomes(listen: Callable[[histrio.System], object]) -> list[object]:
        results: list[object] = []

        async def ask(worker: histrio.Ref[Do], number: int, what: str) -> None:
            try:
                answer: object = await worker.ask(Do(what))
            except histrio.HistrioError as error:
                answer = type(error)
            results.append((number, answer, trio.current_time() - begun))

        async with histrio.open_system() as system, trio.open_nursery() as nursery:
            begun = trio.current_time()
            listen(system)
            worker = await system.spawn(kind, name="worker")
            for number, what in enumerate(PROGRAM):
                nursery.start_soon(ask, worker, number, what)
                await settle()
            await trio.sleep(10)
            results.append(system.tree().children[0].dropped)
            system.kill()
        return sorted(results, key=repr)  # Trio draws the order of those who are answered at once

    heard: list[Signal] = []
    unheard = await outcomes(lambda system: system)

    assert await outcomes(lambda system: system.listen(heard.append)) == unheard
    assert len(heard) > 20
