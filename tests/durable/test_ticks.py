"""J7: times that come again, and those that went by while nobody ran: fired, made one, or skipped."""

from __future__ import annotations

from types import SimpleNamespace

import attrs
import pytest
import trio
from tests.durable.worlds import in_a_handler, in_virtual_time, open_world

import histrio
from histrio.durable import ContinueAs, DurableActor, Late
from histrio_kernel.journal.stored import Stored


@attrs.frozen
class Seen(histrio.Request[list[tuple[float, int, float]]]):
    """Which ticks there were: due, missed, given; from the first on."""


class Ticking(DurableActor[Seen], behaviour="ticking"):
    """Notes each tick, ten seconds apart, and works on each for a while."""

    def __init__(self, late: str, work_s: float = 0.0) -> None:
        self.late = Late(late)
        self.work_s = work_s
        self.ticks: list[tuple[float, int, float]] = []

    async def started(self) -> None:
        began = self.now()
        async for tick in self.every(10, late=self.late):
            self.ticks.append((round(tick.due - began), tick.missed, round(self.now() - began, 1)))
            if self.work_s:
                await self.sleep(self.work_s)

    @histrio.handler(Seen)
    async def seen(self, _: Seen) -> list[tuple[float, int, float]]:
        return self.ticks


class Diary:
    """A journal, and the time of day, which goes on between the lives of the program."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stored = Stored()
        self.now = 0.0
        monkeypatch.setattr("histrio_kernel.real.driver.time", SimpleNamespace(time=lambda: self.now))

    def live(self, until: float, late: str, work_s: float = 0.0) -> list[tuple[float, int, float]]:
        """Run from now until then, and return all ticks of the actor."""

        async def main() -> list[tuple[float, int, float]]:
            async with open_world(self.stored) as tree:
                ticking = await tree.spawn(Ticking, late, work_s, name="t")
                await trio.sleep(until - self.now)
                return await ticking.ask(Seen())

        found = in_virtual_time(main)
        self.now = until
        return found


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> Diary:
    """It begins at 0."""
    return Diary(monkeypatch)


BEFORE = [(10, 0, 10), (20, 0, 20)]
AFTER = [(80, 0, 80), (90, 0, 90)]
MISSED = {
    "fire": [*((due, 0, 75) for due in (30, 40, 50, 60, 70)), *AFTER],
    "coalesce": [(70, 4, 75), *AFTER],
    "skip": [(80, 5, 80), AFTER[1]],
}


@pytest.mark.parametrize("late", list(Late))
def test_after_a_downtime(late: Late, diary: Diary) -> None:
    """J7: ticks that were missed are fired, made one, or skipped; then it goes on by the old times; done again, it is the same."""
    assert diary.live(25, late.value) == BEFORE
    diary.now = 75

    assert diary.live(95, late.value) == BEFORE + MISSED[late.value]
    assert diary.live(96, late.value) == BEFORE + MISSED[late.value]


@pytest.mark.parametrize("late", list(Late))
def test_what_is_late_and_not_missed_is_given(late: Late, diary: Diary) -> None:
    """J7: as long as the next one is not due, a tick is given."""
    diary.live(25, late.value)
    diary.now = 36

    assert diary.live(45, late.value) == [*BEFORE, (30, 0, 36), (40, 0, 40)]


@pytest.mark.parametrize(
    ("late", "ticks"),
    [
        ("fire", [(10, 0, 10), (20, 0, 35), (30, 0, 60)]),
        ("coalesce", [(10, 0, 10), (30, 1, 35), (60, 2, 60)]),
        ("skip", [(10, 0, 10), (40, 2, 40), (70, 2, 70)]),
    ],
)
def test_a_body_that_takes_longer(late: str, ticks: list[tuple[float, int, float]], diary: Diary) -> None:
    """J7: what came due meanwhile was missed like in a downtime."""
    assert diary.live(71, late, 25)[:3] == ticks


def test_a_life_that_continues_keeps_the_times(diary: Diary) -> None:
    """J5, J7: each tick rolls the past up, and the next life goes on from its time: no drift, and few records."""

    class Rolling(DurableActor[Seen], behaviour="rolling"):
        def __init__(self, since: float | None, dues: tuple[float, ...]) -> None:
            self.since = since
            self.dues = dues

        async def started(self) -> object:
            async for tick in self.every(10, since=self.since):
                await self.sleep(3)
                return ContinueAs(Rolling, tick.due, (*self.dues, tick.due))
            raise AssertionError("ticks do not end")

        @histrio.handler(Seen)
        async def seen(self, _: Seen) -> list[tuple[float, int, float]]:
            return [(due, 0, due) for due in self.dues]

    async def main() -> list[tuple[float, int, float]]:
        async with open_world(diary.stored) as tree:
            rolling = await tree.spawn(Rolling, None, (), name="r")
            await trio.sleep(505)
            return await rolling.ask(Seen())

    in_virtual_time(main)
    diary.now = 2_000.5
    caught_up = 505 // 3  # each of those that were missed takes three seconds
    assert [due for due, _, _ in in_virtual_time(main)] == pytest.approx([10 * at for at in range(1, 51 + caught_up)])
    assert len(diary.stored.read("/r", 0)) < 10


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_times_that_are_none_are_refused(seconds: float) -> None:
    """J7: the number is named, before anything is recorded."""

    def do(actor: DurableActor[str]) -> None:
        with pytest.raises(ValueError, match=rf"/w: ticks every {seconds!r} seconds: give a number"):
            actor.every(seconds)

    in_a_handler(do)


def test_what_is_no_time_of_day_or_no_way_is_refused() -> None:
    """J7: `since` has to be a number, and a word is no `Late`: it would be taken for another."""

    def do(actor: DurableActor[str]) -> None:
        with pytest.raises(ValueError, match=r"/w: ticks since nan: give a time of day in seconds, such as tick.due"):
            actor.every(1, since=float("nan"))
        with pytest.raises(TypeError, match=r"/w: late='fire': give Late.FIRE, Late.COALESCE or Late.SKIP"):
            actor.every(1, late="fire")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    in_a_handler(do)
