"""`histrio tree`: what it shows, where, and how it ends.

What is shown on a terminal or to a pipe, and signals, need real processes, so these tests run in real time; they wait
for what the process prints, never for a time to pass.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from histrio.cli import main
from histrio.cli.screen import Line
from histrio.cli.tree import table
from histrio.tree import Node

WAIT_S = 60
HEAD = "phase    incarnation  inbox  in flight  last failure"

TOP = [
    "system 'histrio'    running",
    "└─ top  Top         running            1      0          0",
    "   └─ leaf#1  Leaf  running            1      1          1",
]

Start = Callable[..., "subprocess.Popen[str]"]

SHOP = """
    import sys

    import histrio
    import trio


    class Leaf(histrio.Actor[int]):
        '''Is in flight from its first message on; the second waits.'''

        in_flight_max = 1

        async def started(self) -> None:
            await self.ref.tell(1)
            await self.ref.tell(2)

        async def receive(self, message: int) -> None:
            await self.io(trio.sleep_forever)


    class Top(histrio.Actor[int]):
        shutdown_s = 0.05

        async def started(self) -> None:
            await self.spawn(Leaf)
            print("the actor prints", flush=True)

        async def stopped(self, reason: histrio.Reason) -> None:
            print("stopped() ran", flush=True)


    begun = trio.Event()


    class Waits(histrio.Actor[int]):
        async def started(self) -> None:
            begun.set()
            print("starting", file=sys.stderr, flush=True)
            await self.io.thread(sys.stdin.readline)


    class Later(Top):
        '''Has started before its child has.'''

        async def started(self) -> None:
            self.background(self.grow)
            await self.io(begun.wait)

        async def grow(self) -> None:
            await self.spawn(Waits, name="waits")


    class Wide(histrio.Actor[int]):
        async def started(self) -> None:
            for _ in range(2_000):
                await self.spawn(Quiet)


    class Quiet(histrio.Actor[int]):
        async def receive(self, message: int) -> None: ...


    class Ends(histrio.Actor[int]):
        async def run(self) -> None: ...


    class Fails(histrio.Actor[int]):
        async def started(self) -> None:
            await self.ref.tell(1)

        async def receive(self, message: int) -> None:
            raise ValueError("no such shelf")


    class Flaky(histrio.Actor[int]):
        '''Fails in its first life.'''

        failed = False

        async def started(self) -> None:
            if not Flaky.failed:
                Flaky.failed = True
                self.ref.tell_nowait(1)

        async def receive(self, message: int) -> None:
            raise ValueError("no such shelf")


    flaky = histrio.child("flaky", Flaky)


    class Supervises(histrio.Supervisor):
        def __init__(self) -> None:
            super().__init__(flaky)
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with a module of actors."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP), encoding="utf-8")
    return tmp_path


def command(*arguments: str) -> list[str]:
    """The command line of `histrio tree ...`."""
    return [sys.executable, "-m", "histrio.cli", "tree", *arguments]


def run(shop: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`histrio tree ...` to its end, with stdout and stderr apart."""
    return subprocess.run(command(*arguments), cwd=shop, capture_output=True, text=True, check=False, timeout=WAIT_S)


@pytest.fixture
def start(shop: Path) -> Iterator[Start]:
    """Starts `histrio tree ...` in that directory; ends it with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(*arguments: str) -> "subprocess.Popen[str]":
        pipe = subprocess.PIPE
        process = subprocess.Popen(command(*arguments), cwd=shop, text=True, stdin=pipe, stdout=pipe, stderr=pipe)
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def read_until(lines: "Iterator[str] | None", text: str, count: int = 1) -> list[str]:
    """Read until *count* lines hold *text*."""
    assert lines is not None
    seen: list[str] = []
    for line in lines:
        seen.append(line.rstrip("\n"))
        count -= text in line
        if not count:
            return seen
    pytest.fail(f"the process ended before it printed {text!r}: {seen}")


def test_once_shows_the_tree_and_leaves(shop: Path) -> None:
    """S8: `--once` shows what each actor does, stops the actor, and ends with 0, though a handler never ends."""
    done = run(shop, "shop:Top", "--once")

    assert done.stdout.splitlines() == [
        "the actor prints",
        "                    phase    incarnation  inbox  in flight  last failure",
        *TOP,
    ]
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == "histrio: /top has started"
    assert "Traceback" not in done.stderr


def test_once_stops_in_order(shop: Path) -> None:
    """What can stop in time does: `stopped()` runs."""
    done = run(shop, "shop:Supervises", "--once")

    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "histrio: /supervises has ended: stopped (its tree has been shown)"


def test_once_waits_until_everything_has_started(start: Start) -> None:
    """S8: Nothing is shown while an actor starts, wherever it is; then all of them are."""
    process = start("shop:Later", "--once")
    assert process.stderr is not None
    read_until(process.stderr, "starting")

    out, _ = process.communicate("go on\n", timeout=WAIT_S)

    assert re.search(r"^   └─ waits  Waits +running ", out, re.MULTILINE)
    assert out.count(HEAD) == 1
    assert process.returncode == 0


def test_to_a_pipe_goes_one_tree_after_the_other(start: Start) -> None:
    """S8: Every `--every` seconds, with an empty line between, until a signal; signals mean what they do in `run`."""
    process = start("shop:Top", "--every", "0.01", "--grace", "0.05")
    seen = read_until(process.stdout, HEAD, count=4)
    process.send_signal(signal.SIGTERM)
    out, errors = process.communicate(timeout=WAIT_S)

    second = seen[seen.index("") :][1:]
    assert HEAD in second[0]
    assert second[1 : second.index("")] == TOP
    assert "SIGTERM: what was accepted is finished" in errors
    assert "draining" in out
    assert process.returncode == 143


@pytest.mark.alarm(30)
def test_a_restart_is_seen(start: Start) -> None:
    """S8: An actor that was started again has the next incarnation, and what ended the one before."""
    process = start("shop:Supervises", "--every", "0.01")
    seen = read_until(process.stdout, "no such shelf")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=WAIT_S)

    assert re.fullmatch(r"   └─ flaky  Flaky +\w+ +[12] +0 +0  ValueError: no such shelf", seen[-1])
    assert process.returncode == 0


def test_of_very_many_children_a_few_are_shown(shop: Path) -> None:
    """S8: Two thousand children take a line for each of the first ones, and one for all others."""
    few, default = run(shop, "shop:Wide", "--once", "--children-max", "2"), run(shop, "shop:Wide", "--once")

    assert [line.strip().partition("  ")[0] for line in few.stdout.splitlines()[2:]] == [
        "└─ wide",
        "├─ quiet#1",
        "├─ quiet#2",
        "└─ ... and 1,998 more",
    ]
    assert len(default.stdout.splitlines()) == 3 + 20 + 1
    assert default.stdout.splitlines()[-1] == "   └─ ... and 1,980 more"
    assert few.returncode == default.returncode == 0


def test_a_reader_that_goes_away_stops_it(start: Start) -> None:
    """`histrio tree ... | head` ends when `head` does, with 0 and without a traceback."""
    process = start("shop:Top", "--every", "0.01")
    read_until(process.stdout, HEAD)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()

    assert process.wait(WAIT_S) == 0
    assert errors.splitlines()[0] == "histrio: /top has started"
    assert len(errors.splitlines()) == 2, errors


@pytest.mark.parametrize("arguments", [["--once"], ["--every", "60"]])
def test_an_actor_that_ends_at_once_is_no_error(shop: Path, arguments: list[str]) -> None:
    """There may be nothing left to show; what was there is, and the exit code is that of `histrio run`."""
    done = run(shop, "shop:Ends", *arguments)

    assert done.returncode == 0
    assert "system 'histrio'" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("histrio: /ends has ended: stopped")


@pytest.mark.parametrize("arguments", [["--once"], []])
def test_a_failure_is_told_as_run_tells_it(shop: Path, arguments: list[str]) -> None:
    """The error is on stderr, once, in no group; the exit code is 1."""
    done = run(shop, "shop:Fails", *arguments)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "histrio: /fails has ended: failed: ValueError: no such shelf"
    assert "Exception Group" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--every", "0"], "'0' is no number of seconds, more than 0"),
        (["--every", "often"], "'often' is no number of seconds, more than 0"),
        (["--every", "nan"], "'nan' is no number of seconds, more than 0"),
        (["--children-max", "-1"], "'-1' is no whole number, 0 or more"),
        (["--children-max", "1.5"], "'1.5' is no whole number, 0 or more"),
        (["--grace", "-1"], "'-1' is no number of seconds, 0 or more"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """They are named before anything is imported; exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        main(["tree", "shop:Top", *arguments])

    assert said in capsys.readouterr().err


def test_a_target_that_cannot_be_run_is_one_line(shop: Path) -> None:
    """As with `histrio run`: one line, and exit code 2."""
    done = run(shop, "shop:Tip")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "histrio: the module 'shop' has no 'Tip'; did you mean 'Top'?\n"


def test_columns_stand_below_each_other() -> None:
    """Numbers to the right, senders that wait for room after a +, and a colour for what is not well."""
    nodes = (
        Node("/a", "A", "running", queued=1024, standing=16, in_flight=7, paused=True),
        Node("/bcd", "B", "restarting", incarnation=12, last_failure="OSError: no room"),
    )
    lines = table(Node("/", "system 's'", "stopping", children=nodes), 20)

    assert lines == [
        Line("            phase                  incarnation    inbox  in flight  last failure", "bold"),
        Line("system 's'  stopping"),
        Line("├─ a  A     running, to be paused            1  1024+16          7"),
        Line("└─ bcd  B   restarting                      12        0          0  OSError: no room", "yellow"),
    ]


class Terminal:
    """A process on a terminal of 80 columns and 10 lines."""

    def __init__(self, shop: Path, *arguments: str) -> None:
        self.seen = ""
        self._master, slave = pty.openpty()
        termios.tcsetwinsize(slave, (10, 80))
        environment = {**os.environ, "TERM": "xterm-256color"} | {"COLUMNS": "80", "LINES": "10"}
        self.process = subprocess.Popen(
            command(*arguments), cwd=shop, stdin=slave, stdout=slave, stderr=slave, env=environment
        )
        os.close(slave)

    def read_until(self, pattern: str) -> None:
        """Read until what came matches."""
        limit = time.monotonic() + WAIT_S
        while not re.search(pattern, self.seen, re.DOTALL):
            assert self._read(limit), f"it ended, or said nothing more: {self.seen!r}"

    def finish(self) -> int:
        """Read to the end: the exit code."""
        limit = time.monotonic() + WAIT_S
        while self._read(limit):
            pass
        return self.process.wait(WAIT_S)

    def _read(self, limit: float) -> bool:
        readable, _, _ = select.select([self._master], [], [], max(0, limit - time.monotonic()))
        try:
            data = os.read(self._master, 65536) if readable else b""
        except OSError:  # Linux's way to say that the other side is closed
            return False
        self.seen += data.decode()
        return bool(data)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(shop: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts `histrio tree ...` on a terminal; ends it with the test."""
    terminals: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        terminals.append(Terminal(shop, *arguments))
        return terminals[-1]

    yield start
    for each in terminals:
        each.close()


UP = r"\x1b\[1A"
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


def test_on_a_terminal_the_tree_stays_in_place(terminal: Callable[..., Terminal]) -> None:
    """S8: Each tree is drawn over the one before; what actors print comes out above; the cursor comes back."""
    shown = terminal("shop:Top", "--every", "0.01", "--grace", "0.05")
    shown.read_until(rf"the actor prints.*└─ leaf#1.*{UP}.*└─ leaf#1.*{UP}.*└─ leaf#1")
    shown.process.send_signal(signal.SIGINT)

    assert shown.finish() == 130
    assert "/top has ended: killed" in shown.seen
    assert shown.seen.index(HIDDEN) < shown.seen.rindex(SHOWN)
    assert shown.seen.rindex(HIDDEN) < shown.seen.rindex(SHOWN)


def test_a_terminal_is_not_filled_with_a_large_tree(terminal: Callable[..., Terminal]) -> None:
    """S8: What the terminal has no room for is counted on its last line."""
    shown = terminal("shop:Wide", "--every", "0.5", "--grace", "0.05")
    shown.read_until(r"├─ quiet#1.*and \d+ lines more")
    first = shown.seen  # later ones may show the last of those that are stopping
    shown.process.send_signal(signal.SIGINT)
    shown.finish()

    assert "quiet#9" not in first


def test_without_rich_a_terminal_gets_one_tree_after_the_other(shop: Path, terminal: Callable[..., Terminal]) -> None:
    """Rich comes with the extra `cli`; without it nothing is missing but the place."""
    (shop / "rich.py").write_text("raise ModuleNotFoundError('no rich', name='rich')", encoding="utf-8")
    shown = terminal("shop:Top", "--every", "0.01", "--grace", "0.05")
    shown.read_until(r"└─ leaf#1.*\r\n\r\n.*└─ leaf#1")
    shown.process.send_signal(signal.SIGINT)

    assert shown.finish() == 130
    assert "\x1b" not in shown.seen
