"""The command `histrio`: what it prints, how it heeds signals, and with which exit code it ends.

Signals, and what a process leaves behind, need real processes, so these tests run in real time; they wait for lines
that the process prints, never for a time to pass.
"""

import importlib.metadata
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from histrio.cli import COMMANDS, main
from histrio.cli.command import EXITS

Start = Callable[..., "subprocess.Popen[str]"]

SHOP = """
    import functools
    import logging
    import sys
    import time

    import histrio
    import trio


    class Store(histrio.Actor[int]):
        '''Handles three messages; each of them ends when the test writes a line.'''

        async def started(self) -> None:
            for number in range(3):
                await self.ref.tell(number)

        async def receive(self, message: int) -> None:
            print("begun", message, flush=True)
            await self.io.thread(sys.stdin.readline)
            print("handled", message, flush=True)

        async def stopped(self, reason: histrio.Reason) -> None:
            print("stopped() ran", flush=True)


    class Slow(histrio.Actor[int]):
        async def started(self) -> None:
            print("starting", flush=True)
            await self.io.thread(sys.stdin.readline)


    class Stuck(histrio.Actor[int]):
        shutdown_s = 3600

        async def started(self) -> None:
            await self.ref.tell(1)

        async def receive(self, message: int) -> None:
            print("begun", flush=True)
            await self.io(trio.sleep_forever)


    class Held(Stuck):
        async def receive(self, message: int) -> None:
            print("begun", flush=True)
            time.sleep(3600)


    class Fails(histrio.Actor[int]):
        async def started(self) -> None:
            await self.ref.tell(1)

        async def receive(self, message: int) -> None:
            raise ValueError("no such shelf") from KeyError("shelf")


    class Ends(histrio.Actor[int]):
        async def run(self) -> None:
            logging.getLogger("shop").info("the shop is closed")


    class Killed(histrio.Actor[int]):
        async def started(self) -> None:
            self.ref.control.kill("it has seen enough")


    class NeverStarts(histrio.Actor[int]):
        async def started(self) -> None:
            raise OSError("the port is in use")


    class Named(histrio.Actor[int]):
        def __init__(self, shelf: str) -> None:
            self.shelf = shelf

        async def run(self) -> None:
            print(self.ref.path, self.shelf)


    books = functools.partial(Named, "books")
    number = 3
"""


SLOW_IMPORT = "import sys; print('importing', flush=True); sys.stdin.readline()"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with a module of actors, one that is imported slowly, and one that cannot be imported."""
    (tmp_path / "shop.py").write_text(textwrap.dedent(SHOP), encoding="utf-8")
    (tmp_path / "slow.py").write_text(SLOW_IMPORT, encoding="utf-8")
    (tmp_path / "broken.py").write_text("import a_package_that_nobody_has", encoding="utf-8")
    return tmp_path


@pytest.fixture
def start(shop: Path) -> Iterator[Start]:
    """Starts `histrio run ...` in that directory, with stdout and stderr in one; ends it with the test."""
    processes: list[subprocess.Popen[str]] = []

    def start_one(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "histrio.cli", "run", *arguments]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, cwd=shop, text=True, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT)
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def run(shop: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`histrio run ...` to its end, with stdout and stderr apart."""
    command = [sys.executable, "-m", "histrio.cli", "run", *arguments]
    return subprocess.run(command, cwd=shop, capture_output=True, text=True, check=False, timeout=60)


def read_until(process: "subprocess.Popen[str]", text: str, count: int = 1) -> None:
    """Read lines of *process* until *count* of them hold *text*."""
    assert process.stdout is not None
    seen: list[str] = []
    for line in process.stdout:
        seen.append(line)
        count -= text in line
        if not count:
            return
    pytest.fail(f"the process ended before it printed {text!r}:\n{''.join(seen)}")


def finish(process: "subprocess.Popen[str]", typed: str = "") -> tuple[int, str]:
    """Type *typed*, and wait for the end: the exit code and what was printed until then."""
    out, _ = process.communicate(typed, timeout=60)
    return process.returncode, out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_drains_and_stops(start: Start, number: signal.Signals) -> None:
    """On SIGINT or SIGTERM what was accepted is handled, `stopped()` runs, and the exit code is 0."""
    process = start("shop:Store")
    read_until(process, "begun", count=3)

    process.send_signal(number)
    read_until(process, f"{number.name}: what was accepted is finished")
    code, out = finish(process, "1\n2\n3\n")

    assert code == 0
    assert sorted(line for line in out.splitlines() if "handled" in line) == ["handled 0", "handled 1", "handled 2"]
    assert out.splitlines()[-2:] == ["stopped() ran", f"histrio: /store has ended: stopped ({number.name})"]


def test_a_signal_while_the_actor_starts_lets_it_start_and_stop(start: Start) -> None:
    """An actor that is told to stop before `started()` has returned ends in order all the same."""
    process = start("shop:Slow")
    read_until(process, "starting")

    process.send_signal(signal.SIGTERM)
    read_until(process, "SIGTERM")
    code, out = finish(process, "1\n")

    assert (code, out.splitlines()[-1]) == (0, "histrio: /slow has ended: stopped (SIGTERM)")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_kills(start: Start, number: signal.Signals) -> None:
    """The second signal does not wait for anything; the exit code is 128 and its number."""
    process = start("shop:Stuck")
    read_until(process, "begun")

    process.send_signal(signal.SIGTERM)
    read_until(process, "SIGTERM")
    process.send_signal(number)
    code, out = finish(process)

    assert code == 128 + number
    assert "/stuck has ended: killed (the system is killed)" in out


def test_what_takes_longer_than_grace_is_killed(start: Start) -> None:
    """`--grace` seconds after the signal the actor is killed, and the exit code tells that it did not stop in time."""
    process = start("shop:Stuck", "--grace", "0.05")
    read_until(process, "begun")

    process.send_signal(signal.SIGTERM)
    code, out = finish(process)

    assert code == 143
    assert "it had not stopped at its deadline" in out


def test_a_third_signal_ends_a_process_that_hears_nothing(start: Start) -> None:
    """A handler that never lets Trio run is told about the signals all the same, and the third one ends the process."""
    process = start("shop:Held")
    read_until(process, "begun")

    process.send_signal(signal.SIGTERM)
    read_until(process, "SIGTERM: ")
    process.send_signal(signal.SIGINT)
    read_until(process, "SIGINT again")
    process.send_signal(signal.SIGINT)
    code, _ = finish(process)

    assert code == -signal.SIGINT


def test_an_interrupt_while_the_module_is_imported_ends_quietly(start: Start) -> None:
    """Nothing has begun yet, so SIGINT ends the process at once, with 130 and without a traceback."""
    process = start("slow:Store")
    read_until(process, "importing")

    process.send_signal(signal.SIGINT)

    assert finish(process) == (130, "")


def test_the_end_of_the_actor_is_the_end_of_the_process(shop: Path) -> None:
    """An actor that stops by itself ends the process with 0; logs go to stderr, with what the actor logs."""
    done = run(shop, "shop:Ends")

    assert (done.returncode, done.stdout) == (0, "")
    assert "INFO the shop is closed" in done.stderr
    assert "/ends has ended: stopped" in done.stderr


def test_an_actor_that_was_killed_by_no_signal_is_a_failure(shop: Path) -> None:
    """The exit code is 1 when the actor was killed and nobody had asked this process for it."""
    done = run(shop, "shop:Killed")

    assert done.returncode == 1
    assert "/killed has ended: killed (it has seen enough)" in done.stderr


def test_a_failure_is_printed_with_its_causes(shop: Path) -> None:
    """An actor that fails ends the process with 1; stderr has the error, its cause, and a last line that names both."""
    done = run(shop, "shop:Fails")

    assert done.returncode == 1
    assert "KeyError: 'shelf'" in done.stderr
    assert done.stderr.splitlines()[-1] == "histrio: /fails has ended: failed: ValueError: no such shelf"


def test_a_failure_to_start_is_one_too(shop: Path) -> None:
    """An actor whose `started()` raises ends the process with 1 and its error; not with a traceback of the command."""
    done = run(shop, "shop:NeverStarts")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "histrio: /neverstarts has ended: failed: OSError: the port is in use"
    assert "cli/run.py" not in done.stderr


def test_a_partial_brings_the_arguments_and_a_name_is_given(shop: Path) -> None:
    """`functools.partial` in the module gives an actor its arguments, `--name` its place in the tree."""
    assert run(shop, "shop:books").stdout == "/named books\n"
    assert run(shop, "shop:books", "--name", "front").stdout == "/front books\n"


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("shop", "'shop' names no actor: write module:Actor, for example shop.store:Store"),
        ("shop:", "'shop:' names no actor: write module:Actor, for example shop.store:Store"),
        ("shp:Store", "there is no module 'shp' in {here} or among the installed packages"),
        ("shop.store:Store", "there is no module 'shop.store' in {here} or among"),
        ("shop:Stor", "the module 'shop' has no 'Stor'; did you mean 'Store'?"),
        ("json:Store", "the module 'json' has no 'Store'; it has no actors"),
        ("shop:number", "shop:number is no actor class (a subclass of histrio.Actor), it is an instance of int"),
        ("json:JSONDecoder", "json:JSONDecoder is no actor class (a subclass of histrio.Actor), it is the class JSON"),
        ("histrio:Actor", "histrio:Actor is no actor class (a subclass of histrio.Actor), it is the base class itself"),
        ("shop:Named", "shop:Named needs arguments (missing a required argument: 'shelf'): write"),
    ],
)
def test_a_target_that_cannot_be_run_is_one_line(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str, line: str
) -> None:
    """An unknown module or attribute, or what is no actor, is named in one line; exit code 2."""
    monkeypatch.chdir(shop)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "shop", raising=False)

    code = main(["run", target])
    said = capsys.readouterr().err

    assert code == 2
    assert said.startswith(f"histrio: {line.format(here=shop)}")
    assert said.count("\n") == 1


def test_a_module_that_cannot_be_imported_shows_why(shop: Path) -> None:
    """The error of the module is the user's to see, whole; the last line says what was tried; exit code 2."""
    done = run(shop, "broken:Store")

    assert done.returncode == 2
    assert 'broken.py", line 1' in done.stderr
    assert done.stderr.splitlines()[-1].startswith("histrio: the module 'broken' cannot be imported: ModuleNotFoundErr")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grace", "soon"], "'soon' is no number of seconds, 0 or more"),
        (["--grace", "-1"], "'-1' is no number of seconds, 0 or more"),
        (["--grace", "nan"], "'nan' is no number of seconds, 0 or more"),
        (["--name", "a/b"], "'a/b' is no name: a name is not empty and has no '/' or '#'"),
        (["--name", ""], "'' is no name: a name is not empty and has no '/' or '#'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """A wrong `--grace` or `--name` is named, before anything is imported; exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        main(["run", "shop:Store", *arguments])

    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "exits"),
    [(["--help"], EXITS), *(([command.name, "--help"], command.exits) for command in COMMANDS)],
)
def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str], arguments: list[str], exits: str) -> None:
    """The exit codes stand in the help of `histrio` and of each of its commands."""
    with pytest.raises(SystemExit, match="0"):
        main(arguments)

    assert exits in capsys.readouterr().out


def test_the_script_is_this_command() -> None:
    """What the installed distribution calls `histrio` is `histrio.cli:main`."""
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="histrio")

    assert script.load() is main
