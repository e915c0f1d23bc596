"""Every wrong change in the tables is noticed by a test: so the tests keep what they seem to keep."""

# Each mutant lives in a copy of both packages and the tests, and dies there in a process of its own; the original is
# never touched. A mutant that makes a test run for ever is dead when its time is up.

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from tests.conftest import Show
from tests.effort import count
from tests.mutants.machines import MACHINES
from tests.mutants.mutant import Mutant
from tests.mutants.shell import SHELL
from tests.mutants.trees import TREES
from tests.mutants.turn import TURN_MUTANTS

MUTANTS: Final = (*TURN_MUTANTS, *TREES, *MACHINES, *SHELL)
ROOT: Final = Path(__file__).resolve().parent.parent.parent
COPIED: Final = ("kernel", "actors", "tests", "conftest.py", "pyproject.toml")
HANGS_S: Final = 45.0  # a file of tests takes a few seconds, and each test in it is under an alarm besides
PROCESSES: Final = 2
NOTICED: Final = re.compile(r"^(FAILED|ERROR) tests/", re.MULTILINE)
ALARM: Final = re.compile(r"^Timeout \(", re.MULTILINE)
"""What the process alarm prints first, then stacks: it reads them while the program runs, which may crash Python (exit code -11)."""


def copy_to(directory: Path) -> None:
    """The sources and the tests, as they are."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, directory / name)


def run_in(directory: Path, *tests: str, hangs_s: float = HANGS_S) -> tuple[int | None, str]:
    """The exit code of the tests in a copy, None if they do not end, and what they printed."""
    path = os.pathsep.join(str(directory / root) for root in ("kernel", "actors", "."))
    environment = {**os.environ, "PYTHONPATH": path, "EFFORT": "quick", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "tests.mutants.run_copy", *tests]
    try:
        done = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=hangs_s, check=False
        )
    except subprocess.TimeoutExpired:
        return None, "it ran for ever"
    return done.returncode, f"{done.stdout}\n{done.stderr}"


def mutate(directory: Path, mutant: Mutant) -> None:
    """Make that change in a copy."""
    file = directory / mutant.file
    file.write_text(file.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")


def hunt(directory: Path, mutant: Mutant) -> str | None:
    """Run the tests that should notice; why they have not, or None."""
    copy_to(directory)
    mutate(directory, mutant)
    code, said = run_in(directory, mutant.killed_by)
    shutil.rmtree(directory)
    if code is None or ALARM.search(said) or (code == pytest.ExitCode.TESTS_FAILED and NOTICED.search(said)):
        return None
    return f"{mutant.name} survived {mutant.killed_by} (exit code {code}), though {mutant.why}\n{said[-2000:]}"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_a_change_of_the_code_as_it_is(mutant: Mutant) -> None:
    """What a mutant changes stands once in its file, and the change is another program that compiles."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")

    assert text.count(mutant.old) == 1
    assert mutant.new != mutant.old
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    assert (ROOT / mutant.killed_by).is_file()


def test_every_mutant_has_a_name_of_its_own() -> None:
    """Two mutants of one name, or of one change, would be one."""
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 25
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.slow
@pytest.mark.alarm(1_800)
@pytest.mark.skipif(not count("mutants"), reason="mutants are hunted by `make prove`")
def test_every_mutant_is_killed(tmp_path: Path, show: Show) -> None:
    """A1, A2, A4, A5, A6, A17, S1, S2, S3, M1, M2, M3, M5, M8 to M11: No change of the tables goes unnoticed; and without a change those tests pass."""
    mutants = MUTANTS[: count("mutants")]
    tests = sorted({mutant.killed_by for mutant in mutants})
    copy_to(tmp_path / "unchanged")
    code, said = run_in(tmp_path / "unchanged", *tests, hangs_s=600)
    assert code == 0, f"the tests fail without a mutant\n{said[-2000:]}"

    with ThreadPoolExecutor(PROCESSES) as pool:
        verdicts = list(pool.map(hunt, [tmp_path / mutant.name for mutant in mutants], mutants))
    survivors = [verdict for verdict in verdicts if verdict is not None]

    show(f"mutants: {len(mutants) - len(survivors)} of {len(mutants)} killed")
    assert survivors == [], "\n".join(survivors)
