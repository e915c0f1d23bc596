"""The turn as users meet it: who may run, what gives the turn away, what keeps it, and what that costs."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.conftest import Show
from tests.effort import count
from tests.inside import Steps, actor_of, cell_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


class Add(histrio.Request[int]):
    """A read, some time, and a write: loses updates if another handler runs in between."""


class Counter(histrio.Actor[Add]):
    """Its handler waits in two ways, and says how many handlers ran user code at once."""

    def __init__(self) -> None:
        self.running = 0
        self.running_most = 0
        self.value = 0

    @histrio.handler(Add)
    async def add(self, m: Add) -> int:
        for _ in range(3):
            self.running += 1
            self.running_most = max(self.running, self.running_most)
            before = self.value
            await trio.lowlevel.checkpoint()  # Trio's: keeps the turn
            self.value = before + 1
            self.running -= 1
            await self.io(trio.sleep, 0.01)  # ours: gives it away
        return self.running_most


async def test_one_handler_runs_at_any_moment(autojump_clock: MockClock) -> None:
    """A1: Between two awaits of ours a handler has the actor's state to itself, also across awaits of Trio's."""
    async with histrio.open_system() as system:
        counter = await system.spawn(Counter)

        most = await histrio.all_of(*(counter.ask(Add()) for _ in range(50)))

        assert set(most) == {1}
        assert actor_of(system, Counter, counter).value == 150


# -- what gives the turn away ------------------------------------------------------------------------------------------


class Wait(histrio.Request[str]):
    """Wait for something, in the way that the test has chosen."""


class Note(histrio.Request[None]):
    """Only leaves a mark."""


class Never(histrio.Actor[Note]):
    """Answers late; its inbox holds one message."""

    inbox_max = 1

    @histrio.handler(Note)
    async def note(self, m: Note) -> None:
        await trio.sleep(1)


class SlowStart(histrio.Actor[Note]):
    async def started(self) -> None:
        await trio.sleep(1)


class Recorder(histrio.Actor[Wait | Note]):
    """Writes down what its handlers do."""

    def __init__(self, wait: "Callable[[Recorder], Awaitable[object]]") -> None:
        self.wait = wait
        self.seen: list[str] = []

    async def started(self) -> None:
        self.other = await self.spawn(Never)
        self.door: histrio.Promise[None] = self.promise()

    @histrio.handler(Wait)
    async def wait_for_it(self, m: Wait) -> str:
        self.seen.append("waits")
        try:
            await self.wait(self)
        finally:
            self.seen.append("goes on")
        return " ".join(self.seen)

    @histrio.handler(Note)
    async def note(self, m: Note) -> None:
        self.seen.append("note")
        if not self.door.is_done:
            self.door.set(None)


async def tell_three(actor: Recorder) -> None:
    """The last of them waits for room."""
    for _ in range(3):  # one is being handled, one is in the inbox, one waits for room
        await actor.other.tell(Note())


async def spawn_slowly(actor: Recorder) -> None:
    """A child that takes its time to start."""
    await actor.spawn(SlowStart)


async def join_other(actor: Recorder) -> None:
    """The end of a child, which has something to do before."""
    await actor.other.tell(Note())
    actor.other.control.stop()
    await actor.other.join()


async def select_for_a_second(actor: Recorder) -> None:
    """A message that never comes."""
    with trio.move_on_after(1):
        await actor.select(lambda message: False)


async def sleep(actor: Recorder) -> None:
    """A plain call of Trio's."""
    await trio.sleep(1)


GIVES_AWAY: dict[str, Callable[[Recorder], Awaitable[object]]] = {
    "an operation": lambda actor: actor.io(trio.sleep, 1),
    "a door": lambda actor: actor.io.clock.sleep(1),
    "a promise": lambda actor: actor.door,
    "an ask": lambda actor: actor.other.ask(Note()),
    "a tell at a full inbox": tell_three,
    "a spawn": spawn_slowly,
    "a join": join_other,
    "both": lambda actor: histrio.both(actor.io(trio.sleep, 1), actor.door),
    "either": lambda actor: histrio.either(actor.io(trio.sleep, 1), actor.io(trio.sleep, 2)),
}


@pytest.mark.parametrize("what", GIVES_AWAY)
async def test_what_is_ours_gives_the_turn_away(autojump_clock: MockClock, what: str) -> None:
    """A2: While a handler waits for this, the next message is handled; the handler goes on afterwards."""
    async with histrio.open_system() as system:
        recorder = await system.spawn(Recorder, GIVES_AWAY[what])

        answer = recorder.ask(Wait())
        await recorder.tell(Note())

        assert await answer == "waits note goes on"


async def test_a_select_gives_the_turn_to_nobody_new(autojump_clock: MockClock) -> None:
    """A2, A12: While a handler waits in `select` no message starts another; cancelled, it goes on before they do."""
    async with histrio.open_system() as system:
        recorder = await system.spawn(Recorder, select_for_a_second)

        answer = recorder.ask(Wait())
        await recorder.tell(Note())

        assert await answer == "waits goes on"


async def test_what_is_trios_keeps_the_turn(autojump_clock: MockClock) -> None:
    """A3: While a handler awaits a plain Trio call, the inbox waits."""
    async with histrio.open_system() as system:
        recorder = await system.spawn(Recorder, sleep)

        answer = recorder.ask(Wait())
        await recorder.tell(Note())

        assert await answer == "waits goes on"


# -- who comes next ----------------------------------------------------------------------------------------------------


class Await(histrio.Request[None]):
    """Await the gate of that number, under a name."""

    def __init__(self, gate: int, timeout_s: float = 1_000, name: str = "") -> None:
        self.gate = gate
        self.name = name or str(gate)
        self.timeout_s = timeout_s


class Open(histrio.Request[None]):
    """Open these gates, in this order, while holding the turn; the first may fail instead."""

    def __init__(self, *gates: int, fail: bool = False) -> None:
        self.gates = gates
        self.fail = fail


class Gates(histrio.Actor[Await | Open | Note]):
    """Its handlers wait at gates; it writes down who goes on when."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    async def started(self) -> None:
        self.gates: list[histrio.Promise[None]] = [self.promise() for _ in range(3)]

    @histrio.handler(Await)
    async def wait(self, m: Await) -> None:
        outcome = "value"
        try:
            with trio.fail_after(m.timeout_s):
                await self.gates[m.gate]
        except Exception as error:
            outcome = type(error).__name__
        self.seen.append(f"{m.name} {outcome}")

    @histrio.handler(Open)
    async def open(self, m: Open) -> None:
        for gate in m.gates:
            if m.fail:
                self.gates[gate].fail(ValueError())
            else:
                self.gates[gate].set(None)
        self.ref.channel()  # some more work, with the turn
        await trio.sleep(1)
        self.seen.append("opened")

    @histrio.handler(Note)
    async def note(self, m: Note) -> None:
        self.seen.append("note")


async def test_waits_that_are_over_come_before_new_messages(autojump_clock: MockClock) -> None:
    """A2: Handlers resume in the order in which their waits ended, not in which they began, and before new mail."""
    async with histrio.open_system() as system:
        gates = await system.spawn(Gates)
        for gate in range(3):
            await gates.tell(Await(gate))
        await gates.tell(Open(2, 0, 1))
        await gates.ask(Note())

        assert actor_of(system, Gates, gates).seen == ["opened", "2 value", "0 value", "1 value", "note"]


async def test_failed_and_cancelled_waits_are_over_too(autojump_clock: MockClock) -> None:
    """A2: A wait that failed or was cancelled stands in the same order as one that ended well."""
    async with histrio.open_system() as system:
        gates = await system.spawn(Gates)
        await gates.tell(Await(0))
        await gates.tell(Await(1, timeout_s=0.5))
        await gates.tell(Await(2))
        await trio.sleep(0.25)
        await gates.tell(Open(2, 0, fail=True))  # two waits are over; while it goes on for 1 s, a third times out
        await gates.ask(Note())

        assert actor_of(system, Gates, gates).seen == [
            "opened",
            "2 ValueError",
            "0 ValueError",
            "1 TooSlowError",
            "note",
        ]


async def test_two_awaits_of_one_future_end_in_the_order_of_the_awaits(autojump_clock: MockClock) -> None:
    """A2: Handlers that wait for one future resume in the order in which they came to it."""
    async with histrio.open_system() as system:
        gates = await system.spawn(Gates)
        await gates.tell(Await(0, name="first"))
        await gates.tell(Await(0, name="impatient", timeout_s=0.5))
        await gates.tell(Await(0, name="second"))
        await trio.sleep(1)  # the one in the middle leaves
        await gates.tell(Await(0, name="third"))
        await gates.tell(Open(0))
        await gates.ask(Note())

        seen = actor_of(system, Gates, gates).seen
        assert seen == ["impatient TooSlowError", "opened", "first value", "second value", "third value", "note"]


class Often(histrio.Request[int]):
    """Await the answer that is there already, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times


class Impatient(histrio.Actor[Often | Note]):
    """Awaits what is complete, and counts Trio's steps of its task meanwhile."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.noted = 0

    @histrio.handler(Often)
    async def often(self, m: Often) -> int:
        complete = histrio.all_of()
        task = trio.lowlevel.current_task()
        before = self.steps.of[task]
        for _ in range(m.times):
            await complete
        assert self.noted == 0, "the turn was given away"
        return self.steps.of[task] - before

    @histrio.handler(Note)
    async def note(self, m: Note) -> None:
        self.noted += 1


@pytest.mark.parametrize("times", [1, 64 * 10])
async def test_awaits_of_what_is_complete_yield_every_64th_time(autojump_clock: MockClock, times: int) -> None:
    """A2: An await of what is complete keeps the turn and returns at once; every 64th of them lets other tasks run."""
    steps = Steps()
    trio.lowlevel.add_instrument(steps)
    async with histrio.open_system() as system:
        impatient = await system.spawn(Impatient, steps)

        answer = impatient.ask(Often(times))
        await impatient.tell(Note())

        assert await answer == times // 64
    trio.lowlevel.remove_instrument(steps)


class Ball(histrio.Request[None]):
    """To be told to the other one, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times


class Player(histrio.Actor[Ball]):
    """Tells the other player twice for each message, as long as there are turns left: the inboxes fill."""

    inbox_max = 2

    def __init__(self) -> None:
        self.other: histrio.Ref[Ball] | None = None
        self.handled = 0

    @histrio.handler(Ball)
    async def play(self, m: Ball) -> None:
        self.handled += 1
        if m.times:
            assert self.other is not None
            await self.other.tell(Ball(m.times - 1))
            await self.other.tell(Ball(m.times - 1))


class SerialPlayer(Player):
    serial = True


async def play(system: histrio.System, kind: type[Player], times: int) -> list[Player]:
    """Two players who tell each other; both begin at once."""
    refs = [await system.spawn(kind) for _ in range(2)]
    players = [actor_of(system, Player, ref) for ref in refs]
    players[0].other, players[1].other = refs[1], refs[0]
    for ref in refs:
        await ref.tell(Ball(times))
    return players


async def test_full_inboxes_of_two_who_tell_each_other_are_no_deadlock(autojump_clock: MockClock) -> None:
    """A2: `tell` at a full inbox gives the turn away, so two who tell each other through full inboxes both go on."""
    async with histrio.open_system() as system:
        players = await play(system, Player, times=6)
        await trio.sleep(1)

        assert [player.handled for player in players] == [2**7 - 1, 2**7 - 1]
        assert system.reports == ()


async def test_serial_actors_that_tell_each_other_are_named(autojump_clock: MockClock) -> None:
    """A2, A6: Two serial actors that tell each other through full inboxes wait for ever, and the watchdog names them."""
    reports: list[str] = []
    with trio.CancelScope() as everything:
        async with histrio.open_system() as system:
            players = await play(system, SerialPlayer, times=6)
            await trio.sleep(10)
            reports += [str(report) for report in system.reports if isinstance(report, histrio.HeldTurn)]
            assert all(player.handled < 2**7 - 1 for player in players)
            everything.cancel()

    assert len(reports) == 2
    assert "/serialplayer#1 -> /serialplayer#2 -> /serialplayer#1" in reports[0] + reports[1]
    assert all("None of them can ever go on" in report for report in reports)


async def test_those_who_wait_for_each_other_are_killed_in_peace() -> None:
    """A9: Who waits for an actor that is killed at the same time is killed as well, and has not failed."""
    async with histrio.open_system() as system:
        await play(system, SerialPlayer, times=6)
        await wait_all_tasks_blocked()

        system.kill()


# -- A3: the choice, in figures ----------------------------------------------------------------------------------------


class Read(histrio.Request[int]):
    """Answered after 200 ms of I/O."""


class Store(histrio.Actor[Read]):
    """Its handlers step aside during their I/O."""

    def __init__(self) -> None:
        self.most = 0

    @histrio.handler(Read)
    async def read(self, m: Read) -> int:
        await self.io(trio.sleep, 0.2)
        self.most = max(self.most, cell_of(self.system, self.ref).turn.suspended + 1)
        return self.most


class WideStore(Store):
    in_flight_max = 1000


class HoldingStore(Store):
    @histrio.handler(Read)
    async def read(self, m: Read) -> int:
        await trio.sleep(0.2)
        return 0


@pytest.mark.parametrize(
    ("kind", "seconds", "waiting_most"), [(WideStore, 0.2, 1000), (Store, 0.8, 256), (HoldingStore, 200, 0)]
)
async def test_a_thousand_reads(
    autojump_clock: MockClock, show: Show, kind: type[Store], seconds: float, waiting_most: int
) -> None:
    """A3: Operations overlap up to `in_flight_max`; plain Trio awaits in a handler do not overlap at all."""
    reads = count("reads_1000")
    async with histrio.open_system() as system:
        store = await system.spawn(kind)
        begun = trio.current_time()

        most = max(await histrio.all_of(*(store.ask(Read()) for _ in range(reads))))

        took = trio.current_time() - begun
        show(f"A3: {reads:,} reads of 200 ms in one {kind.__name__}: {took:.1f} s, at most {most} handlers waiting")
        assert took == pytest.approx(seconds)
        assert most == waiting_most
