"""Whoever holds Trio's loop is named while it still does, and a virtual clock never notices that somebody looks.

Holding the loop is a matter of real seconds, so these tests run in real time. None of them sleeps and hopes: what holds
the loop does so until the report is there, and fails if none comes within WAIT_S. Those that show that there is *no*
report cannot wait for one; they take as long as several reports would.
"""

import linecache
import logging
import math
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
from tests.actors.doer import Do, Doer, Note
from tests.kernel.turn_world import IdleClock
from trio.testing import MockClock

import histrio

WAIT_S = 20
SOON_S = 0.05


class Seen(logging.Handler):
    """What was logged, and a way to wait for it in any thread."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._come = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        self._come.set()

    def block(self) -> None:
        """Block until the next line comes."""
        assert self._come.wait(WAIT_S), "nobody says that it is held"  # the line of the report
        self._come.clear()

    def compute(self) -> None:
        """The same by computing."""
        limit = time.monotonic() + WAIT_S
        while not self._come.is_set():  # the line of the report
            assert time.monotonic() < limit, "nobody says that it is held"  # the line of the report
        self._come.clear()


@pytest.fixture
def seen() -> Iterator[Seen]:
    """What Histrio logs."""
    handler = Seen()
    logging.getLogger("histrio").addHandler(handler)
    yield handler
    logging.getLogger("histrio").removeHandler(handler)


async def delivered(system: histrio.System, count: int = 1) -> list[histrio.HeldLoop]:
    """The reports, once there are *count* of them."""
    with trio.fail_after(WAIT_S):
        while len(system.reports) < count:  # noqa: ASYNC110 - what is awaited comes from a thread
            await trio.sleep(0.001)
    reports = [report for report in system.reports if isinstance(report, histrio.HeldLoop)]
    assert len(reports) == len(system.reports) == count
    return reports


def block(seconds: float) -> None:
    """Hold the loop for some time."""
    time.sleep(seconds)


def compute(seconds: float) -> None:
    """The same by computing."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def watchers() -> list[threading.Thread]:
    """The threads that watch a loop."""
    return [thread for thread in threading.enumerate() if "loop watchdog" in thread.name]


@pytest.mark.parametrize("hold", [Seen.block, Seen.compute])
async def test_a_handler_that_holds_the_loop_is_named_while_it_does(seen: Seen, hold: Callable[[Seen], None]) -> None:
    """The log has actor, handler, line and stack while the loop stands; the report follows when it goes on."""

    async def hold_it(actor: Doer) -> None:
        hold(seen)  # it is in the stack

    async with histrio.open_system(held_loop_s=SOON_S) as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(hold_it))
        assert len(seen.lines) == 1
        (report,) = await delivered(system)

    logged, afterwards = seen.lines
    told = r"/doer#1: Doer\.do has held the event loop for \d+\.\d s{}, at (.*):(\d+)\. Nothing else"
    for text, found in (
        (logged, re.match("HeldLoop: " + told.format(" and still does"), logged)),
        (str(report), re.match(told.format(""), str(report))),
    ):
        assert found is not None, text
        assert found[1] == __file__
        assert "# the line of the report" in linecache.getline(found[1], int(found[2]))
    assert logged.endswith(f"Its stack:\n{report.stack}")
    assert report.stack.splitlines()[0].endswith("in do"), "the frames of the kernel are of no interest"
    assert "hold(seen)  # it is in the stack" in report.stack
    assert afterwards == f"HeldLoop: {report}"
    assert (report.path, report.seconds >= SOON_S) == ("/doer#1", True)


async def test_who_holds_it_from_its_first_moment_is_named(seen: Seen) -> None:
    """Nothing is missed before the watchdog has had its first look: `started()` of the first actor is watched."""

    class Starts(Doer):
        async def started(self) -> None:
            seen.block()

    async with histrio.open_system(held_loop_s=SOON_S) as system:
        await system.spawn(Starts)
        (report,) = await delivered(system)

    assert "Starts.started has held the event loop" in str(report)


async def test_a_hold_is_reported_once_and_the_next_one_again(seen: Seen) -> None:
    """However long it lasts, one hold is one report; `seconds` is all of it."""

    async def hold_long(actor: Doer) -> None:
        seen.block()
        block(4 * SOON_S)  # as long as three more reports would take

    async with histrio.open_system(held_loop_s=SOON_S) as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(hold_long))
        (first,) = await delivered(system)
        assert len(seen.lines) == 2
        seen.block()  # not held by an actor, and seen before: it takes the line of the delivery
        await doer.ask(Do(hold_long))
        await delivered(system, 2)

    assert first.seconds >= 5 * SOON_S
    assert len(seen.lines) == 4


async def test_a_call_into_c_that_lets_nobody_run_is_named(seen: Seen) -> None:
    """Not even the watchdog's thread runs meanwhile; it comes late, and still sees the line."""
    many = range(1_000)
    while _seconds_to_add(many) < 6 * SOON_S:
        many = range(2 * len(many))

    async def add_up(actor: Doer) -> None:
        sum(many)  # the line of the report
        actor.seen.append("done")

    async with histrio.open_system(held_loop_s=SOON_S) as system:
        doer = await system.spawn(Doer)
        for _ in range(60):  # a busy machine may let the thread come too late for some of them
            await doer.ask(Do(add_up))
            await trio.sleep(SOON_S)
            if system.reports:
                break
        report = system.reports[0]

    assert f"at {__file__}:{add_up.__code__.co_firstlineno + 1}." in str(report)


def _seconds_to_add(many: range) -> float:
    begun = time.monotonic()
    sum(many)
    return time.monotonic() - begun


async def test_an_operation_that_holds_the_loop_is_its_actors(seen: Seen) -> None:
    """What runs in `self.io`, or in a nursery of a handler, is named with the actor that it belongs to."""

    async def hold_it() -> None:
        seen.block()

    async def by_io(actor: Doer) -> None:
        await actor.io(hold_it)

    async def by_nursery(actor: Doer) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold_it)

    async with histrio.open_system(held_loop_s=SOON_S) as system:
        doer = await system.spawn(Doer)
        for number, function in enumerate((by_io, by_nursery), start=1):
            await doer.ask(Do(function))
            report = (await delivered(system, number))[-1]
            seen.block()  # the line of the delivery
            assert report.path == "/doer#1"
            assert f"{hold_it.__qualname__} has held the event loop" in str(report)


async def test_a_task_of_no_actor_is_named_as_such(seen: Seen) -> None:
    """While an actor has something to do, anybody who holds the loop is named."""

    async def go_on(actor: Doer) -> None:
        await trio.sleep_forever()

    async with histrio.open_system(held_loop_s=SOON_S) as system:
        doer = await system.spawn(Doer)
        with trio.move_on_after(0.001):
            await doer.ask(Do(go_on))
        seen.block()
        (report,) = await delivered(system)
        system.kill()

    assert report.path is None
    assert re.match(r"task .*, which is no actor's: test_a_task_of_no_actor\S* has held the event loop", str(report))


async def test_each_system_reports_its_own_actors(seen: Seen) -> None:
    """Two systems share a loop, and a hold has one report: in the system of the actor whose it is."""

    async def hold_it(actor: Doer) -> None:
        seen.block()
        block(4 * SOON_S)  # so that the other one would have seen it, too

    async def go_on(actor: Doer) -> None:
        await trio.sleep_forever()

    async with histrio.open_system("one", held_loop_s=SOON_S) as one, histrio.open_system("other") as other:
        await (await one.spawn(Doer)).tell(Do(go_on))
        await (await other.spawn(Doer)).tell(Do(go_on))
        await trio.testing.wait_all_tasks_blocked()
        async with histrio.open_system("mine", held_loop_s=SOON_S) as mine:
            await (await mine.spawn(Doer)).ask(Do(hold_it))
            await delivered(mine)
        assert one.reports == other.reports == ()
        one.kill()
        other.kill()


async def test_who_lets_others_run_is_not_reported(seen: Seen) -> None:
    """Long work in short steps, and a long wait, hold nothing."""

    async def work(actor: Doer) -> None:
        for _ in range(30):
            compute(0.03)  # long enough for the thread to see it in there
            await trio.lowlevel.checkpoint()

    async def wait(actor: Doer) -> None:
        await trio.sleep(0.5)

    async with histrio.open_system(held_loop_s=0.2) as system:
        doer = await system.spawn(Doer)
        await doer.ask(Do(work))
        await doer.ask(Do(wait))

    assert seen.lines == []


async def test_of_many_that_hold_it_a_little_none_is_blamed(seen: Seen) -> None:
    """Thirty handlers that are quick hold the loop for long, one after the other; to name one of them would be wrong."""

    async def work(actor: Doer) -> None:
        compute(0.02)

    async with histrio.open_system(held_loop_s=0.2) as system:
        doers = [await system.spawn(Doer) for _ in range(30)]
        await histrio.all_of(*(doer.ask(Do(work)) for doer in doers))

    assert seen.lines == []


async def test_infinity_turns_it_off() -> None:
    """With `held_loop_s=math.inf` there is no thread and no report."""

    async def hold_it(actor: Doer) -> None:
        block(2 * SOON_S)
        assert watchers() == []

    async with histrio.open_system(held_loop_s=math.inf) as system:
        await (await system.spawn(Doer)).ask(Do(hold_it))

        assert system.reports == ()


@pytest.mark.parametrize(
    "clock", [MockClock(autojump_threshold=0), MockClock(rate=10), MockClock(1, 1)], ids=["jumps", "quick", "both"]
)
def test_a_virtual_clock_has_no_watcher(clock: MockClock) -> None:
    """Where a second of Trio's clock is no second, nobody looks: nothing moves such a clock, nothing holds it."""

    async def hold_it(actor: Doer) -> None:
        block(2 * SOON_S)
        assert watchers() == []

    async def main() -> tuple[histrio.HistrioError, ...]:
        async with histrio.open_system(held_loop_s=SOON_S, held_turn_s=3600) as system:
            await (await system.spawn(Doer)).ask(Do(hold_it))
            return system.reports

    assert trio.run(main, clock=clock) == ()


async def test_a_virtual_clock_jumps_as_if_nobody_looked(autojump_clock: MockClock) -> None:
    """Blocking for real costs no virtual time, and an hour of it passes at once."""

    async def hold_it(actor: Doer) -> None:
        begun = trio.current_time()
        block(2 * SOON_S)
        assert trio.current_time() == begun
        await trio.sleep(3600)
        assert trio.current_time() == begun + 3600

    async with histrio.open_system(held_loop_s=SOON_S, held_turn_s=7200) as system:
        await (await system.spawn(Doer)).ask(Do(hold_it))

        assert system.reports == ()


def test_only_the_loop_asks_a_clock_how_long_to_sleep() -> None:
    """A clock may jump when it is asked that, for Trio's loop does so only when no task can run (D1, D6)."""
    asked: list[float] = []

    async def main() -> None:
        async with histrio.open_system():
            assert asked == []
            assert trio.current_time() == 0

    trio.run(main, clock=IdleClock(asked.append))


async def test_an_idle_program_has_no_thread() -> None:
    """The thread comes with the first turn that is taken, and goes when all turns are free."""
    async with histrio.open_system(held_loop_s=SOON_S, held_turn_s=SOON_S) as system:
        assert watchers() == []
        for _ in range(2):
            doer = await system.spawn(Doer)
            await doer.ask(Note())
            await _watchers(1)
            assert all(thread.daemon for thread in watchers()), "it would keep the process alive"
            await _watchers(0)


async def test_the_thread_ends_with_the_system() -> None:
    """Leaving the system ends it at once, however rarely it looks."""
    async with histrio.open_system(held_loop_s=3600) as system:
        await (await system.spawn(Doer)).ask(Note())
        await _watchers(1)
    await _watchers(0)


async def _watchers(count: int) -> None:
    with trio.fail_after(WAIT_S):
        while len(watchers()) != count:  # noqa: ASYNC110 - a thread sets no event of Trio
            await trio.sleep(0.001)


async def test_without_a_thread_the_actors_go_on(seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the operating system has no thread to give, that is logged, and nothing else is different."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    async with histrio.open_system("crowded") as system:
        with monkeypatch.context() as patch:
            patch.setattr(trio.lowlevel, "start_thread_soon", refuse)
            doer = await system.spawn(Doer)
            assert await doer.ask(Note()) == 1

    assert seen.lines == ["nobody watches the loop of system 'crowded': RuntimeError: can't start new thread"]


@pytest.mark.parametrize("seconds", [0, -1, math.nan])
async def test_a_time_that_is_none_is_refused(seconds: float) -> None:
    """`held_loop_s` is named with its value and what it may be."""
    with pytest.raises(ValueError, match=rf"held_loop_s={seconds} is no time.*positive.*math\.inf"):
        async with histrio.open_system(held_loop_s=seconds):
            pytest.fail("it was opened")


STOPPED = """
    import time

    import histrio
    import trio


    class Works(histrio.Actor[int]):
        async def receive(self, message: int) -> None:
            print("begun", flush=True)
            for _ in range(200):
                end = time.monotonic() + 0.005
                while time.monotonic() < end:
                    pass
                await trio.lowlevel.checkpoint()


    async def main() -> None:
        async with histrio.open_system(held_loop_s=0.1, held_turn_s=60) as system:
            await (await system.spawn(Works)).tell(1)
            await system.stop()
            print("reports:", len(system.reports))


    trio.run(main)
"""


def test_a_process_that_was_stopped_is_not_blamed(tmp_path: Path) -> None:
    """What the operating system does to the whole process is no hold of the loop."""
    program = tmp_path / "works.py"
    program.write_text(textwrap.dedent(STOPPED), encoding="utf-8")
    process = subprocess.Popen([sys.executable, program], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        for _ in range(4):
            process.send_signal(signal.SIGSTOP)
            time.sleep(0.25)
            process.send_signal(signal.SIGCONT)
            time.sleep(0.05)  # it goes on for a moment; if it has no time to, there is less to see

        assert process.communicate(timeout=WAIT_S)[0] == "reports: 0\n"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.communicate()
