"""What the pages of the documentation show is true: generated parts, printed outputs, and lists of names.

That the programs of the pages run is conftest.py's work, and that type checkers accept them is that of
`tests/docs_programs.py`. Here a program runs as its reader would run it, in a process of its own, and what it prints is
compared with the `console` fence below it. That takes real time, since a page that says "half a second" has to show it;
on a machine that has other things to do it may be up to a second more.
"""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import attrs
import pytest
from tests.docs.generated import DOCS, PARTS, Part, differing, expected, write
from tests.docs_programs import NEW_PROGRAM, ROOT, fences, pages, unprompted

import histrio
from histrio_kernel.errors import HistrioError
from histrio_kernel.lifecycle import NEXT

HOME: Final = "/home/you"
SECONDS: Final = re.compile(r"\b(\d+\.\d+) ?s\b")
TOKEN: Final = re.compile(
    r"\bsim1\.[\w-]+"
)  # one token stands for a schedule with one version of Python, Trio, Histrio


@attrs.frozen
class Shown:
    """A `console` fence that runs the program above it: what is typed, and what comes."""

    page: Path
    line: int
    file: str
    arguments: tuple[str, ...]
    code: str
    output: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def shown_on(page: Path) -> list[Shown]:
    """The outputs that a page shows, each with the whole program above it."""
    text = page.read_text(encoding="utf-8")
    starts = [at for at, line in enumerate(text.splitlines()) if NEW_PROGRAM.match(line)]
    found: list[Shown] = []
    code: list[str] = []
    part = 0
    for first, info, block in fences(text):
        if (now := sum(start < first for start in starts)) != part:
            part, code = now, []
        if info == "python":
            code += [*unprompted(block), ""]
        elif info == "console" and block[0].startswith("$ python "):
            *options, file = shlex.split(block[0])[2:]
            found.append(Shown(page, first + 1, file, (*options, file), "\n".join(code), "\n".join(block[1:])))
    return found


def is_begun_by(shorter: Shown, longer: Shown) -> bool:
    """Whether *longer* is the same program further down its page, which prints all of *shorter* first."""
    same = (shorter.page, shorter.arguments) == (longer.page, longer.arguments) and shorter is not longer
    return same and longer.code.startswith(shorter.code) and longer.output.startswith(shorter.output.rstrip())


ALL: Final = [shown for page in pages() for shown in shown_on(page)]
SHOWN: Final = [shown for shown in ALL if not any(is_begun_by(shown, longer) for longer in ALL)]


def without_seconds(text: str, folder: Path) -> tuple[str, list[float]]:
    """The text with neither times nor tokens nor the place where the program lies, and the times."""
    text = TOKEN.sub("sim1.TOKEN", text.replace(str(folder), HOME)).strip()
    return SECONDS.sub("N s", text), [float(found) for found in SECONDS.findall(text)]


@pytest.mark.parametrize("shown", SHOWN, ids=str)
def test_a_program_prints_what_its_page_shows(shown: Shown, tmp_path: Path) -> None:
    """Each `$ python file.py` of a page prints what stands below it, on stdout and stderr together."""
    (tmp_path / shown.file).write_text(shown.code, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-u", *shown.arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=60,
    )

    printed, real = without_seconds(done.stdout, tmp_path)
    promised, about = without_seconds(shown.output, tmp_path)

    assert (printed, done.returncode) == (promised, 0)
    # What a page shows was printed by a machine that did nothing else; one that is busy takes longer.
    assert all(one / 2 - 0.1 <= other <= one + 30 for one, other in zip(about, real, strict=True)), done.stdout


def test_outputs_are_found() -> None:
    """The pages of the tutorial, README.md and the front page show what their programs print."""
    assert {shown.page for shown in SHOWN} >= {
        ROOT / "README.md",
        DOCS / "index.md",
        *(DOCS / "tutorial" / f"{name}.md" for name in ("greeter", "ask", "wait", "fail", "store")),
    }


def test_readme_begins_with_the_two_commands() -> None:
    """The first lines of README.md are `make run` and `make test`, before any prose."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, info, block = next(fences(text))

    assert text.startswith("```bash\n")
    assert info == "bash"
    assert [line.partition("  ")[0] for line in block] == ["make run", "make test"]


def test_readme_shows_a_program_of_25_lines() -> None:
    """The first program of README.md has 25 lines."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    program = next(block for _, info, block in fences(text) if info == "python")

    assert len(program) == 25


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_generated_part_is_what_its_table_says(part: Part) -> None:
    """The bounds, the lifecycle and the exit codes on the pages are those of the code's tables."""
    _, now, _ = part.split((DOCS / part.page).read_text(encoding="utf-8"))

    assert now == expected(part)


def test_every_phase_and_every_change_is_drawn() -> None:
    """The diagram of the lifecycle has an arrow for each pair of NEXT that leads elsewhere, and no other."""
    part = next(part for part in PARTS if part.name == "lifecycle diagram")
    arrows = set(re.findall(r"^ +(\w+) --> (\w+): (\w+)$", part.write(), re.MULTILINE))

    assert arrows == {
        (phase.value, then.value, event.value)
        for phase, after in NEXT.items()
        for event, then in after.items()
        if then is not phase
    }


def test_a_part_that_differs_is_found_and_written(tmp_path: Path) -> None:
    """A page that differs from its table is named, and `--write` brings it up to date and touches nothing else."""
    for part in PARTS:
        path = tmp_path / part.page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((DOCS / part.page).read_text(encoding="utf-8"), encoding="utf-8")
    bounds = tmp_path / "reference" / "bounds.md"
    as_it_was = bounds.read_text(encoding="utf-8")
    bounds.write_text(as_it_was.replace("| 1,024 |", "| 1,000 |"), encoding="utf-8")

    assert [part.name for part in differing(tmp_path)] == ["bounds"]

    write(tmp_path)

    assert bounds.read_text(encoding="utf-8") == as_it_was
    assert differing(tmp_path) == []


def test_a_page_without_its_part_is_named() -> None:
    """A page that has lost its markers is an error that names the page and the part."""
    with pytest.raises(LookupError, match=r"reference/bounds\.md has no part <!-- generated: bounds -->"):
        PARTS[0].split("# Bounds\n")


def test_every_error_is_in_the_table_of_errors() -> None:
    """Each error that `histrio` exports stands in a row of the page of errors, and each row names such an error."""
    page = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE)
    exported = {
        name
        for name, value in vars(histrio).items()
        if isinstance(value, type) and issubclass(value, HistrioError) and name != "HistrioError"
    }

    assert sorted(rows) == sorted(exported)


def test_every_public_name_has_its_reference() -> None:
    """Each name of `histrio` is on one page of the reference, by mkdocstrings."""
    text = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "reference").glob("*.md")))
    shown = re.findall(r"^::: histrio\.(\w+)$", text, re.MULTILINE)
    source = ast.parse((ROOT / "actors" / "histrio" / "__init__.py").read_text(encoding="utf-8"))
    imported = (alias for node in source.body if isinstance(node, ast.ImportFrom) for alias in node.names)
    public = [alias.name for alias in imported if alias.asname == alias.name]

    assert sorted(shown) == sorted(public)


def test_the_glossary_is_in_order() -> None:
    """The terms of the glossary stand in the order of the alphabet, each once."""
    text = (DOCS / "reference" / "glossary.md").read_text(encoding="utf-8")
    terms = [
        line.casefold()
        for line, below in zip(*(text.splitlines()[n:] for n in (0, 1)), strict=False)
        if below.startswith(":   ")
    ]

    assert terms == sorted(set(terms))


@pytest.mark.workshop
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    """`mkdocs build --strict` is content: no link, anchor, docstring or include of any page leads nowhere."""
    # Not with --quiet: it keeps warnings from the one who counts them for --strict.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tutorial" / "store" / "index.html").is_file()
