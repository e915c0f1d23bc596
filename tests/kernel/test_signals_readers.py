"""J1: readers come and go, each hears everything, and listening changes nothing."""

from collections.abc import Callable
from typing import Final

import pytest
import trio
import trio.testing
from tests.kernel.hearing import Do, Lossy, Worker, of, settle

import histrio
from histrio import Kind, Signal

Clock = trio.testing.MockClock

RECEIVE, USE, RESOLVED, RESUME, DROP = Kind.RECEIVE, Kind.USE, Kind.RESOLVED, Kind.RESUME, Kind.DROP


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
