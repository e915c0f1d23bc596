"""Parts of the documentation are written from the code's own tables: `python -m tests.docs.generated --write`.

Such a part stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`. Without `--write` the command only
looks, and names the parts that differ from their tables; so does `tests/docs/test_docs.py`.
"""

# The bounds, the lifecycle and the exit codes are each one table that the code runs by. Pages show those tables, and
# a page that is copied by hand is one that was true once. A state diagram says nothing to who cannot see it, or has no
# network (the theme loads Mermaid from one), so its transitions are written as a table too.

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

from histrio.cli.command import EXITS, TOOL_EXITS
from histrio_kernel.bounds import BOUNDS
from histrio_kernel.lifecycle import ENDED, NEXT, Event, Phase

DOCS: Final = Path(__file__).resolve().parent.parent.parent / "docs"


@attrs.frozen
class Part:
    """A part of a page that is written by code."""

    page: str
    name: str
    write: Callable[[], str]

    def split(self, text: str) -> tuple[str, str, str]:
        """The page before the part, the part, the page after it.

        Raises:
            LookupError: the page has no such part.

        """
        begin, end = f"<!-- generated: {self.name} -->\n", f"<!-- end of {self.name} -->"
        before, found, rest = text.partition(begin)
        part, closed, after = rest.partition(end)
        if not (found and closed):
            raise LookupError(f"{self.page} has no part {begin.strip()} ... {end}")
        return before + begin, part, end + after


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def bounds() -> str:
    """Every limit, from the one table of them."""
    rows = ([f"`{row.name}`", f"{row.default:,g}", row.unit, row.set_by, row.at_the_bound] for row in BOUNDS)
    return table(["bound", "default", "unit", "set by", "what happens at it"], rows)


def changes(phase: Phase) -> Iterator[tuple[Event, Phase]]:
    """The events that lead out of *phase*, in the order of the table."""
    return ((event, then) for event, then in NEXT[phase].items() if then is not phase)


def lifecycle_diagram() -> str:
    """The phases as a state diagram; events that change nothing are left out."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.STARTING.value}: spawn"]
    lines += [f"    {phase.value} --> {then.value}: {event.value}" for phase in NEXT for event, then in changes(phase)]
    lines += [f"    {phase.value} --> [*]" for phase in NEXT if phase in ENDED]
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def lifecycle_table() -> str:
    """What each event does in each phase; an empty cell cannot happen."""
    rows = ([f"**{phase.value}**", *(_cell(phase, NEXT[phase], event) for event in Event)] for phase in NEXT)
    return table(["in phase", *(event.value for event in Event)], rows)


def _cell(phase: Phase, after: Mapping[Event, Phase], event: Event) -> str:
    if event not in after:
        return ""
    return "stays" if after[event] is phase else after[event].value


def exits(text: str) -> str:
    """The exit codes of a command."""
    rows = (re.split(r"  +", line.strip(), maxsplit=1) for line in text.splitlines()[1:])
    return table(["exit code", "what it means"], rows)


PARTS: Final = (
    Part("reference/bounds.md", "bounds", bounds),
    Part("explanation/lifecycle.md", "lifecycle diagram", lifecycle_diagram),
    Part("explanation/lifecycle.md", "lifecycle table", lifecycle_table),
    Part("reference/command-line.md", "exit codes", lambda: exits(EXITS)),
    Part("reference/command-line.md", "exit codes of tools", lambda: exits(TOOL_EXITS)),
)


def differing(docs: Path) -> list[Part]:
    """The parts below *docs* that are not what their tables say."""
    return [part for part in PARTS if part.split((docs / part.page).read_text(encoding="utf-8"))[1] != expected(part)]


def expected(part: Part) -> str:
    """What stands between the markers of *part*."""
    return f"\n{part.write()}\n"


def write(docs: Path) -> None:
    """Bring every part up to date."""
    for part in PARTS:
        path = docs / part.page
        before, _, after = part.split(path.read_text(encoding="utf-8"))
        path.write_text(before + expected(part) + after, encoding="utf-8")


def main() -> int:
    """Look, or write; 0 if nothing differs any more."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs.generated", description="Pages from tables.")
    parser.add_argument("--write", action="store_true", help="write the parts that differ; default: only name them")
    if parser.parse_args().write:
        write(DOCS)
    for part in differing(DOCS):
        print(f"docs/{part.page}: {part.name} differs; write it with: python -m tests.docs.generated --write")
    return 1 if differing(DOCS) else 0


if __name__ == "__main__":
    sys.exit(main())
