"""J1: what happens to an actor can be heard, in order and without a gap."""

import gc
from itertools import groupby

import pytest
import trio
import trio.testing
from tests.kernel.hearing import Do, Lossy, Worker, of, settle

import histrio
from histrio import Kind, Signal

Clock = trio.testing.MockClock

START, RECEIVE, USE, RESOLVED, RESUME = Kind.START, Kind.RECEIVE, Kind.USE, Kind.RESOLVED, Kind.RESUME
SEND, SPAWN, JOIN, BACKOFF, DROP = Kind.SEND, Kind.SPAWN, Kind.JOIN, Kind.BACKOFF, Kind.DROP
MUTATION, TRANSITION = Kind.MUTATION, Kind.TRANSITION
TIMER, CRASH, RESTART, CONTROL, STOP = Kind.TIMER, Kind.CRASH, Kind.RESTART, Kind.CONTROL, Kind.STOP


def assert_dense(heard: list[Signal]) -> None:
    """Each actor's signals are numbered 1, 2, 3 ..., from one restart to the next too."""
    for path, signals in groupby(sorted(heard, key=lambda signal: signal.path), key=lambda signal: signal.path):
        incarnation = 1
        for number, signal in enumerate(signals, 1):
            incarnation += signal.kind is RESTART
            assert (signal.incarnation, signal.seq) == (incarnation, number), path


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("nothing", []),
        ("io", [USE, RESOLVED, RESUME]),
        ("spawn", [SPAWN]),
        ("join", [SPAWN, JOIN, RESUME]),
        ("tell", [SEND, RECEIVE]),
        ("ask", [SEND, RECEIVE, RESUME]),
        ("timer", [TIMER, RECEIVE]),
        ("switch", [MUTATION, TRANSITION]),
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
    """J1: a signal says who, which incarnation, the how-manieth, what, the particulars, and what it follows from."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        system.listen(heard.append)
        worker = await system.spawn(Worker, name="worker")
        assert await worker.ask(Do("tell")) == "tell"

    assert heard[0] == Signal("/", 1, 1, SPAWN, "/worker")
    assert heard[1:5] == [
        Signal("/worker", 1, 1, START, cause=("/", 1)),
        Signal("/worker", 1, 2, RECEIVE, Do("tell")),
        Signal("/worker", 1, 3, SEND, ("/worker", Do("nothing")), scope=2),
        Signal("/worker", 1, 4, RECEIVE, Do("nothing"), cause=("/worker", 3)),
    ]


async def test_a_machine_is_heard(autojump_clock: Clock) -> None:
    """J1: a mutation tells what was asked for, a transition what became of it; also of an actor that lived before."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        await worker.ask(Do("switch"))
        system.listen(heard.append)
        await worker.ask(Do("switch"))

    told = [(signal.kind, signal.detail) for signal in heard if signal.kind in (MUTATION, TRANSITION)]
    assert told == [(MUTATION, ("add", ("on",))), (TRANSITION, ("add", ("on",), True))]


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
        await (worker.control.stop if what == "stop" else worker.control.kill)()

    assert [(signal.kind, signal.detail) for signal in heard if signal.path == "/worker"][1:-1] == [(CONTROL, what)]


async def test_pausing_and_stepping_is_heard(autojump_clock: Clock) -> None:
    """J1, S6: CONTROL tells of each change of what is wanted of an actor; to want what is wanted already changes nothing."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        worker = await system.spawn(Worker, name="worker")
        system.listen(heard.append)
        worker.control.resume()
        await worker.control.pause()
        await worker.control.pause()
        await worker.tell(Do("nothing"))
        await worker.control.step()
        worker.control.resume()
        worker.control.resume()

        assert [(signal.kind, signal.detail) for signal in heard] == [
            (CONTROL, "pause"),
            (CONTROL, "step 1"),
            (RECEIVE, Do("nothing")),
            (CONTROL, "resume"),
        ]


async def test_a_restart_is_heard(autojump_clock: Clock) -> None:
    """J1, S3: each incarnation ends with a STOP, the next begins with a RESTART that says why; the numbers go on."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        spec = histrio.child("worker", Worker)
        above = await system.spawn(histrio.Supervisor, spec, name="above")
        system.listen(heard.append)
        worker = above.child(spec)
        await worker.tell(Do("fail"))
        await settle()
        await worker.control.kill("unwanted")
        await settle()
        assert await worker.ask(Do("nothing")) == "nothing"

    signals = [signal for signal in heard if signal.path == "/above/worker"]
    assert [(signal.incarnation, signal.kind) for signal in signals] == [
        *[(1, kind) for kind in (RECEIVE, CRASH, STOP)],
        *[(2, kind) for kind in (RESTART, START, CONTROL, STOP)],
        *[(3, kind) for kind in (RESTART, START, RECEIVE, CONTROL, STOP)],
    ]
    assert [signal.seq for signal in signals] == list(range(1, 13))
    why = [str(signal.detail) for signal in signals if signal.kind in (STOP, RESTART)]
    assert why[:4] == ["failed: ValueError: broken"] * 2 + ["killed (unwanted)"] * 2


async def test_every_kind_is_heard_of(autojump_clock: Clock) -> None:
    """J1: there is no kind that nothing is ever told by."""
    heard: list[Signal] = []

    async def everything() -> None:
        async with histrio.open_system() as system:
            system.listen(heard.append)
            lossy = await system.spawn(Lossy, name="lossy")
            for what in ("io", "spawn", "join", "tell", "timer", "switch"):
                await lossy.ask(Do(what))
            for what in ("hold", "nothing", "nothing", "nothing"):
                await lossy.tell(Do(what))
                await settle()
            await trio.sleep(5)
            lossy.control.stop()
            await lossy.join()
            spec = histrio.child("supervised", Worker)
            above = await system.spawn(histrio.Supervisor, spec)
            await above.child(spec).tell(Do("fail"))
            await settle()
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
