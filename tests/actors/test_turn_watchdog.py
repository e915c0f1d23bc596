"""Who holds a turn for long is named, and what is not needed any more is let go."""

import linecache
import math
import re

import pytest
import trio
from tests.actors.doer import Do, Doer, Note, SerialDoer
from tests.inside import cell_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


async def hold_long(actor: Doer) -> None:
    """Hold the turn for three seconds."""
    await trio.sleep(3)


@pytest.mark.parametrize("used_before", [False, True])
async def test_the_watchdog_names_who_holds_the_turn(autojump_clock: MockClock, used_before: bool) -> None:
    """A4: A handler that holds the turn is reported once: path, handler, place, and how many wait for the turn."""
    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        if used_before:
            await doer.ask(Note())
            await trio.sleep(5)
        await doer.tell(Do(hold_long))
        await wait_all_tasks_blocked()
        await doer.tell(Note())
        await trio.sleep(10)

        (report,) = system.reports
        assert isinstance(report, histrio.HeldTurn)
        told = re.match(r"/doer#1: Doer\.do has held the turn for 1\.\d s, at (.*):(\d+); 1 wait", str(report))
        assert told is not None
        assert told[1].endswith("doer.py")
        assert "m.function(self)" in linecache.getline(told[1], int(told[2]))


async def test_the_watchdog_names_a_holder_that_came_after_a_batch(autojump_clock: MockClock) -> None:
    """A4: Also when the turn was never free between the messages before and the one that holds it."""

    async def short(actor: Doer) -> None:
        await trio.sleep(0.75)

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        for function in (short, short, short, hold_long):
            await doer.tell(Do(function))
        await trio.sleep(10)

        assert [type(report) for report in system.reports] == [histrio.HeldTurn]


async def test_a_holder_that_delays_a_timeout_is_named(autojump_clock: MockClock) -> None:
    """A4: A timeout ends the waiting on time; the handler goes on when the turn is free, and who delayed it is named."""
    times: list[float] = []

    async def time_out(actor: Doer) -> None:
        with trio.move_on_after(1) as scope:
            await actor.door
        assert scope.cancelled_caught
        times.append(trio.current_time())

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        begun = trio.current_time()
        await doer.tell(Do(time_out))
        await doer.tell(Do(hold_long))
        await trio.sleep(10)

        assert times == [begun + 3]
        (report,) = system.reports
        assert "1 wait for it" in str(report)


async def test_short_handlers_are_not_reported(autojump_clock: MockClock) -> None:
    """A4: An actor that is busy all the time with short handlers is no news."""

    async def short(actor: Doer) -> None:
        await trio.sleep(0.25)

    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await histrio.all_of(*(doer.ask(Do(short)) for _ in range(40)))

        assert system.reports == ()


async def test_an_idle_system_has_no_timer(autojump_clock: MockClock) -> None:
    """A5: When nothing runs and the watchdog has had its look, nothing is left that would move a virtual clock."""
    async with histrio.open_system() as system:
        doer = await system.spawn(Doer)
        await doer.ask(Note())
        await trio.sleep(5)
        await wait_all_tasks_blocked()

        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        assert cell_of(system, doer).turn.free


async def test_a_serial_actor_that_selects_is_in_no_cycle(autojump_clock: MockClock) -> None:
    """A12: Who waits in a select waits for anybody: it is not told that nobody can ever go on."""

    async def choose(actor: Doer) -> str:
        return (await actor.select(Note)).mark

    async with histrio.open_system() as system:
        doer = await system.spawn(SerialDoer)
        answer = doer.ask(Do(choose))
        await trio.sleep(5)
        await doer.tell(Note("chosen"))

        assert await answer == "chosen"
        assert not any("None of them can ever go on" in str(report) for report in system.reports)
