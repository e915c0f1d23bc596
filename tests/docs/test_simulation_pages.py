"""The pages about simulation: what pytest prints on them is what it prints, with the token that the reader has.

A `console` fence that begins with `$ pytest` is a test that fails, so `tests/docs/test_docs.py`, which wants programs to end
well, leaves it out. A line `...` stands for any number of lines.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import attrs
import pytest
from tests.docs.generated import DOCS
from tests.docs_programs import NEW_PROGRAM, fences, unprompted

PAGE: Final = DOCS / "tutorial" / "simulate.md"
TOKEN: Final = re.compile(r"sim1\.[\w-]+")
SECONDS: Final = re.compile(r"in \d+\.\d+s")
FLAGS: Final = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@attrs.frozen
class Failing:
    """What is typed, the program above it, and what comes."""

    arguments: tuple[str, ...]
    code: str
    output: str


def failing_on(page: Path) -> list[Failing]:
    """The fences of a page in which pytest finds something."""
    text = page.read_text(encoding="utf-8")
    starts = [at for at, line in enumerate(text.splitlines()) if NEW_PROGRAM.match(line)]
    found: list[Failing] = []
    code: list[str] = []
    part = 0
    for first, info, block in fences(text):
        if (now := sum(start < first for start in starts)) != part:
            part, code = now, []
        if info == "python":
            code += [*unprompted(block), ""]
        elif info == "console" and block[0].startswith("$ pytest "):
            found.append(Failing(tuple(shlex.split(block[0])[2:]), "\n".join(code), "\n".join(block[1:])))
    return found


def without_details(text: str) -> str:
    """Neither tokens nor times."""
    return SECONDS.sub("in N s", TOKEN.sub("TOKEN", text)).strip() + "\n"


def test_pytest_finds_what_the_tutorial_shows(tmp_path: Path) -> None:
    """D3: the failing test prints the report that the page explains, and its token replays it in a process of its own."""
    token = "there is none yet"
    shown = failing_on(PAGE)
    for each in shown:
        (tmp_path / "hall.py").write_text(each.code, encoding="utf-8")
        arguments = [TOKEN.sub(token, argument) for argument in each.arguments]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
            cwd=tmp_path,
            env={
                name: value for name, value in os.environ.items() if name not in {"CI", "BUILD_NUMBER"}
            },  # it says more
            capture_output=True,
            text=True,
            check=False,
        )
        printed, promised = without_details(done.stdout), without_details(each.output)

        assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stderr
        assert doctest.OutputChecker().check_output(promised, printed, FLAGS), done.stdout
        found = TOKEN.search(done.stdout)
        token = found.group() if found is not None else token

    assert len(shown) == 2
