"""Every Python program in README.md and docs/ passes both type checkers: `python -m tests.docs_programs`.

A page becomes one module in which each line of code stands on the line where the page has it, so a checker's
`docs_tutorial.py:31` is line 31 of docs/tutorial.md, and is printed as such. That the programs also run is the work
of conftest.py at the root.
"""

# A page is one program, as it is when it runs. `<!-- clear-namespace -->` begins a new one, which becomes a module of
# its own: names may then be defined again.

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import attrs

ROOT: Final = Path(__file__).resolve().parent.parent
FENCE: Final = re.compile(r"^(?P<indent> *)(?P<ticks>```+)(?P<info>.*)$")
NEW_PROGRAM: Final = re.compile(r"^\s*<!--\s*clear-namespace\s*-->\s*$")
INCLUDE: Final = "--8<--"


@attrs.frozen
class Program:
    """The code of a page, or of a part of it; line n of *code* is line n of the page."""

    page: Path
    part: int
    code: str

    @property
    def module(self) -> str:
        """A module name that tells the page: docs/how-to/embed.md is docs_how_to_embed, its second part ends in _2."""
        stem = re.sub(r"\W+", "_", self.page.relative_to(ROOT).with_suffix("").as_posix()).lower()
        return stem if self.part == 1 else f"{stem}_{self.part}"


def pages() -> list[Path]:
    """README.md and all pages below docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fences(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Each fence of a page: the index of its first line, its info string, its lines without the fence's indent."""
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        opening = FENCE.match(lines[at])
        at += 1
        if opening is None:
            continue
        first, indent, closing = at, len(opening["indent"]), opening["indent"] + opening["ticks"]
        while at < len(lines) and lines[at].rstrip() != closing:
            at += 1
        assert at < len(lines), f"line {first}: the fence that begins here is never closed"
        yield first, opening["info"].strip(), [line[indent:] for line in lines[first:at]]
        at += 1


def unprompted(block: list[str]) -> list[str]:
    """The program of a block: an interactive session loses its prompts and answers, an include is empty."""
    first = next((line for line in block if line.strip()), "")
    if first.lstrip().startswith(INCLUDE):
        return [""] * len(block)
    if not first.startswith(">>>"):
        return block
    return [line[4:] if line.startswith((">>>", "...")) else "" for line in block]


def programs(page: Path) -> list[Program]:
    """The programs of a page, in order; none if it has no line of Python."""
    text = page.read_text(encoding="utf-8")
    lines = text.splitlines()
    starts = [0, *(at for at, line in enumerate(lines) if NEW_PROGRAM.match(line)), len(lines)]
    blocks = [(first, unprompted(block)) for first, info, block in fences(text) if info == "python"]
    found: list[Program] = []
    for start, end in pairwise(starts):
        code = [""] * end
        for first, block in blocks:
            if start <= first < end:
                code[first : first + len(block)] = block
        if any(code):
            found.append(Program(page, len(found) + 1, "\n".join(code) + "\n"))
    return found


def check(folder: Path, checker: list[str], found: list[Program]) -> bool:
    """Run a checker over the written programs and print what it says, in terms of the pages. True if it is content."""
    done = subprocess.run(checker, cwd=ROOT, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    for program in sorted(found, key=lambda each: -len(each.module)):
        path = (folder / f"{program.module}.py").as_posix()
        page = program.page.relative_to(ROOT).as_posix()
        said = said.replace(path, page)
    if done.returncode:
        print(said)
    return done.returncode == 0


def settings_of_pyright(folder: Path) -> Path:
    """The project's strictness; a page may end a line with an expression to show its value."""
    settings = {
        "include": [str(folder)],
        "extraPaths": [str(ROOT / "kernel"), str(ROOT / "actors"), str(ROOT)],
        "typeCheckingMode": "strict",
        "pythonVersion": "3.11",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
        "reportUnusedExpression": False,
        "reportUnusedFunction": False,
        "reportUnusedClass": False,
    }
    path = folder / "pyrightconfig.json"
    path.write_text(json.dumps(settings, indent=2), encoding="utf-8")
    return path


def main() -> int:
    """Check all programs of all pages; 0 if both checkers are content."""
    found = [program for page in pages() for program in programs(page)]
    with tempfile.TemporaryDirectory(prefix="histrio-docs-") as name:
        folder = Path(name).resolve()
        for program in found:
            (folder / f"{program.module}.py").write_text(program.code, encoding="utf-8")
        files = [str(folder / f"{program.module}.py") for program in found]
        mypy = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *files]
        pyright = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
        pyright += ["--project", str(settings_of_pyright(folder))]
        content = [check(folder, checker, found) for checker in (mypy, pyright) if found]
    print(f"{len(found)} programs in README.md and docs/: {'both checkers are content' if all(content) else 'FAILED'}")
    return 0 if all(content) else 1


if __name__ == "__main__":
    sys.exit(main())
