"""What all programs of examples/machines have in common: they run by themselves, are typed, and hope for nothing."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.examples.machine_programs import PARTS, PROGRAMS
from tests.examples.serving import ROOT

FOLDER: Final = ROOT / "examples" / "machines"
FILES: Final = sorted(FOLDER.glob("*.py"))
LINES_MAX: Final = 130
ENDS_S: Final = 90.0  # real seconds after which a program has hung: all of them start at once

# Whatever waits for time, or for everybody to be idle. `sleep_forever` waits for no time.
WAITS_FOR_TIME: Final = {"sleep", "sleep_until", "deadline", "step_until_idle", "wait_all_tasks_blocked"}

# The functions in which a program waits for time to pass, and what that time is.
TIMES: Final = {
    "complicated.Worker.work": "the work",
    "dependencies.House.start_cache": "a service starts",
    "dependencies.House.start_database": "a service starts",
    "dependencies.House.start_site": "a service starts",
    "expense.Claim.register": "the register works",
    "expense.Claim.ask": "the time for a decision",
    "fan_out.worker.Worker.work": "the work",
    "file_processor.Processor.outcome": "the patience of who asked",
    "file_processor.count_words": "the work",
    "hosts.Host.step": "the work",
    "office.Bank.pay": "the way to the bank",
    "office.Boss.run": "a person thinks",
    "traffic_light.Control.go": "a light lasts",
    "traffic_light.Control.slow_down": "a light lasts",
    "traffic_light.Control.stop": "a light lasts",
}


def who_waits_for_time(path: Path) -> set[str]:
    """The functions of a file in which something waits for time, each by the names around it."""
    return set(_waiting(ast.parse(path.read_text(encoding="utf-8")), path.stem))


def _waiting(node: ast.AST, where: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        inside = where
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                inside = f"{where}.{name}"
            case ast.Attribute(attr=name) | ast.Name(id=name) if name in WAITS_FOR_TIME:
                yield where
            case _:
                pass
        yield from _waiting(child, inside)


def test_no_program_sleeps_to_hope() -> None:
    """Time passes where work, a service or a person takes time, and nowhere else: no program waits and hopes."""
    found: set[str] = set()
    for path in FILES:
        found |= who_waits_for_time(path)

    assert found == set(TIMES)
    assert all(TIMES.values())
    assert not any(name.endswith(".main") for name in found)


def test_who_waits_for_time_is_seen(tmp_path: Path) -> None:
    """The search above finds each way to write it, and does not mind what waits for an event."""
    program = tmp_path / "hopeful.py"
    program.write_text(
        "async def a():\n    await trio.sleep(1)\n"
        "async def b():\n    await self.io(trio.sleep, 1)\n"
        "class C:\n    async def d(self):\n        await self.io.clock.sleep(1)\n"
        "async def e():\n    await sleep_until(1)\n"
        "async def f():\n    await trio.sleep_forever()\n    await machine.when(S)\n",
        encoding="utf-8",
    )

    assert who_waits_for_time(program) == {"hopeful.a", "hopeful.b", "hopeful.C.d", "hopeful.e"}


def test_every_program_is_played() -> None:
    """No file of the folder escapes these tests."""
    parts = {part.__name__.rpartition(".")[2] for part in PARTS}

    assert {path.stem for path in FILES} == {"__init__", *PROGRAMS, *parts}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_program_is_short_and_says_what_it_shows(path: Path) -> None:
    """It can be read at one sitting, begins with what it shows, and does without `Any`, casts and ignores."""
    text = path.read_text(encoding="utf-8")

    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= LINES_MAX
    assert re.findall(r"\bAny\b|\bcast\(|type: ignore|pyright: ignore|noqa", text) == []


def test_programs_are_in_the_files_of_both_type_checkers() -> None:
    """`make check` reads the examples: they are in the files of mypy and of basedpyright, and are not taken out again."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]

    assert "examples" in tools["mypy"]["files"]
    assert "examples" in tools["pyright"]["include"]
    assert not any(re.search(pattern, "examples/machines/nfa.py") for pattern in tools["mypy"]["exclude"])
    assert not any("examples" in pattern for pattern in tools["pyright"]["exclude"])


@pytest.mark.workshop
@pytest.mark.slow
def test_mypy_finds_no_fault_with_the_programs() -> None:
    """The programs are typed, from the arguments of states to what handlers get."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(FOLDER)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout + done.stderr == ""


@pytest.mark.slow
def test_each_runs_as_a_program() -> None:
    """In real time, over real sockets, each ends by itself and well."""
    running = {
        name: subprocess.Popen(
            [sys.executable, "-W", "error", "-m", f"examples.machines.{name}"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in PROGRAMS
    }
    try:
        said = {name: process.communicate(timeout=ENDS_S) for name, process in running.items()}
        ends = {name: (process.returncode, said[name][1]) for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()

    assert ends == dict.fromkeys(PROGRAMS, (0, ""))
    assert all(out for out, _ in said.values())
