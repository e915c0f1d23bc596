"""D3: what a failing schedule is told as is short, and what a test looks at has a type."""

import pytest
import trio

import histrio
import histrio_pytest
from histrio.testing import World, crash_points, explore, sim_test, simulate
from histrio_kernel.simulation.errors import BrokenPromise


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


def test_a_traceback_begins_in_the_test() -> None:
    """D3: between the simulated test and what pytest calls stands no frame of the simulator."""

    @sim_test(schedules=5)
    async def test(world: World) -> None:
        raise ValueError("as planned")

    with pytest.raises(ValueError, match="as planned") as caught:
        test()

    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "test"
    assert names[-2] == "run"


def test_the_command_line_replays_a_power_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """D3: `--sim-replay` is for the tokens of `crash_points`, too."""

    async def write(world: World) -> None:
        file = await world.disk.open("/log")
        world.notes.append("written")
        await world.disk.append(file, b"written")

    async def read(world: World) -> bytes:
        return await world.disk.read("/log") if "log" in await world.disk.list("/") else b""

    def check(notes: list[object], found: bytes) -> bool:
        return found == b"written" or not notes

    report = crash_points(write, read, check)
    monkeypatch.setitem(histrio_pytest.OPTIONS, "replay", report.token)

    assert report.failed
    with pytest.raises(BrokenPromise, match="which is not what was promised"):
        crash_points(write, read, check)


def test_what_should_always_hold_is_not_asked_of_actors_that_are_being_stopped() -> None:
    """D5: `always` is about the program; when it has returned, its actors end, and owe nothing any more."""

    async def main(world: World) -> None:
        hall = await world.spawn(Hall, name="hall")
        world.always(lambda: world.peek(hall, Hall).free == 10)
        await world.settle()

    assert not explore(main, 20).failed


def test_a_report_tells_what_is_in_a_group() -> None:
    """D3: of an `ExceptionGroup` the report gives the errors, because the group says only how many they are."""

    async def main(world: World) -> None:
        raise ExceptionGroup("two", [ValueError("one"), ExceptionGroup("", [KeyError("other")])])

    assert str(explore(main)).splitlines()[0] == "schedule 1 failed: ValueError: one and KeyError: 'other'"


class Cache(histrio.Actor[int]):
    """Keeps what it was told last, it thinks."""

    def __init__(self) -> None:
        self.value = -1

    async def receive(self, message: int) -> None:
        """Wait for something before it is kept."""
        await self.io(trio.lowlevel.checkpoint)
        self.value = message


async def is_forgotten(world: World) -> None:
    """What is told last is kept last, unless the first wait takes longer than the second."""
    cache = await world.spawn(Cache, name="cache")
    await cache.tell(1)
    await cache.tell(2)
    await world.settle()
    value = world.peek(cache, Cache).value
    assert value == 2, f"it is {value}"


def test_a_report_tells_two_of_one_name_apart() -> None:
    """D3: of two operations of one actor each sentence says which."""
    report = explore(is_forgotten)

    assert str(report.error).startswith("it is 1")
    assert "/cache: io #2 goes on before /cache: io" in report.explanation


def test_a_report_names_the_program_rather_than_what_serves_it() -> None:
    """D3: watchdogs and the like are always about, and say nothing about a failure, so they are no last steps."""

    async def main(world: World) -> None:
        await world.spawn(Hall, name="hall")
        raise ValueError("as planned")

    report = explore(main)

    assert "the program" in report.explanation
    assert "histrio " not in report.explanation
