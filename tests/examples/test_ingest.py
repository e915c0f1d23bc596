"""The ingest pipeline loses nothing, whatever is killed, and ends in order."""

from random import Random

import attrs
import pytest
import trio
from examples.ingest.chaos import kill_at_random
from examples.ingest.client import Client
from examples.ingest.pipeline import pipeline
from examples.ingest.sink import Write
from tests.conftest import Show
from tests.effort import count
from tests.examples.memory_net import MemoryNet
from trio.testing import MockClock

import histrio
from histrio_kernel.simulation.trio_schedule import seeded_schedule

SECONDS = 60.0
LINES_A_SECOND = 40


@attrs.define
class Run:
    """One run of the pipeline under chaos, and what came out of it."""

    seed: int
    sent: set[int] = attrs.field(factory=set)
    stored: dict[int, str] = attrs.field(factory=dict)
    accepted: set[int] = attrs.field(factory=set)
    dead: dict[int, str] = attrs.field(factory=dict)
    kills: int = 0
    restarts: int = 0

    async def main(self) -> None:
        async with histrio.open_system("ingest", dead_letters_max=1_000_000) as system:
            system.listen(self.hear)
            random, net = Random(self.seed), MemoryNet()
            await system.spawn(pipeline(net.listen, self.sink(Random(-self.seed))))
            client = Client(net.connect)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.send, client)
                self.kills = await kill_at_random(system, "/ingest", random, SECONDS, 0.5)
            await system.stop()
            self.accepted = client.accepted
            for letter in system.dead_letters:
                number = getattr(letter.message, "number", None)
                if number is not None:
                    self.dead[number] = letter.why

    async def send(self, client: Client) -> None:
        """A few lines at a time, for as long as somebody kills; then until all have been accepted."""
        number = 0
        while number < SECONDS * LINES_A_SECOND:
            some = range(number, number + LINES_A_SECOND)
            await client.send([(one, f"Line   {one}") for one in some])
            self.sent.update(some)
            number += LINES_A_SECOND
            await trio.sleep(0.9)

    def sink(self, random: Random) -> Write:
        """What stores a line, slowly, and fails now and then."""

        async def write(number: int, record: str) -> None:
            await trio.sleep(random.uniform(0, 0.02))
            if random.random() < 0.01:
                raise OSError(f"no, not {number}")
            self.stored[number] = record

        return write

    def hear(self, signal: histrio.Signal) -> None:
        self.restarts += signal.kind is histrio.Kind.RESTART


def run(seed: int) -> Run:
    """One run under a schedule of Trio's that the seed decides."""
    one = Run(seed)
    with seeded_schedule(seed):
        trio.run(one.main, clock=MockClock(autojump_threshold=0))
    return one


@pytest.mark.alarm(600)
def test_no_line_is_lost_whatever_is_killed(show: Show) -> None:
    """S3, A10: 60 s of random kills: every accepted line is stored, or a dead letter with its reason; none is missing."""
    runs = [run(seed) for seed in range(count("ingest_seeds"))]
    for one in runs:
        missing = one.accepted - one.stored.keys() - one.dead.keys()
        assert missing == set(), f"seed {one.seed}: {sorted(missing)}"
        assert one.accepted == one.sent
        assert all(one.dead.values())
        assert all(record == f"line {number}" for number, record in one.stored.items())
        assert one.kills > SECONDS

    total = sum(len(one.accepted) for one in runs)
    stored = sum(len(one.stored) for one in runs)
    kills, restarts = sum(one.kills for one in runs), sum(one.restarts for one in runs)
    show(
        f"ingest, {len(runs)} seeds of 60 s: {kills:,} kills, {restarts:,} restarts; {total:,} lines accepted,"
        f" {stored:,} stored, {total - stored:,} dead letters, none missing"
    )


def test_without_kills_nothing_is_a_dead_letter() -> None:
    """S2: stopped in order, every line that was accepted is stored, though the sink fails now and then."""

    async def main() -> tuple[Run, int]:
        one, net = Run(1), MemoryNet()
        async with histrio.open_system("ingest") as system:
            await system.spawn(pipeline(net.listen, one.sink(Random(1))))
            client = Client(net.connect)
            await client.send([(number, "text") for number in range(500)])
            await system.stop()
            return one, system.dead_letters.count

    one, dead = trio.run(main, clock=MockClock(autojump_threshold=0))

    assert (len(one.stored), dead) == (500, 0)
