"""D3: what a failing schedule is told as is short, and what a test looks at has a type."""

import pytest
import trio

import histrio
from histrio.testing import World, explore, simulate


class Hall(histrio.Actor[int]):
    """Reads, waits, writes: two bookings at once lose one."""

    def __init__(self) -> None:
        self.free = 10

    async def receive(self, message: int) -> None:
        """Book so many seats."""
        free = self.free
        await self.io(trio.sleep, 0.05)
        self.free = free - message


async def two_customers(world: World) -> None:
    """They come one after the other, unless the machine is slow."""
    hall = await world.spawn(Hall, name="hall")
    await hall.tell(2)
    await trio.sleep(0.1)
    await hall.tell(2)
    await world.settle()
    free = world.peek(hall, Hall).free
    assert free == 6, f"{free} seats are free"


@pytest.mark.parametrize("seed", range(10))
def test_one_departure_is_told_where_one_is_enough(seed: int) -> None:
    """D3: a race that a single slow step brings about is told in a single sentence, whatever the search came across first."""
    report = explore(two_customers, seed=seed)

    told = [line for line in report.explanation.splitlines() if line.startswith("  - ")]
    assert (report.failed, len(told)) == (True, 1), str(report)


def test_peek_gives_the_actor_and_checks_its_class() -> None:
    """D5: a test sees the fields of an actor, and is told when it is another actor than it thought."""

    async def main(world: World) -> None:
        hall = await world.spawn(Hall, name="hall")
        assert world.peek(hall, Hall).free == 10
        assert isinstance(world.peek(hall), Hall)
        with pytest.raises(TypeError, match="/hall is a Hall, no World"):
            world.peek(hall, World)

    simulate(main)
