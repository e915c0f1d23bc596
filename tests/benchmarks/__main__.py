"""Run the benchmarks: `python -m tests.benchmarks [--quick] [NAME...]`, also by `make bench`.

Each NAME is a part of the names of the rows to run; without one all run. A full run of all rows writes bench.json.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.benchmarks import (
    asks,
    cancelling,
    combining,
    disk,
    durable,
    hearing,
    machines,
    mail,
    memory,
    report,
    ring,
    service,
    simulating,
    spawning,
    state_machines,
    supervising,
    topics,
    waits,
)
from tests.benchmarks.measure import PAIRS, PAIRS_QUICK, Figures, Row, measure

ROWS: Final[tuple[Row, ...]] = (
    *mail.ROWS,
    *asks.ROWS,
    *waits.ROWS,
    *spawning.ROWS,
    *memory.ROWS,
    *ring.ROWS,
    *combining.ROWS,
    *cancelling.ROWS,
    *supervising.ROWS,
    *topics.ROWS,
    *hearing.ROWS,
    *disk.ROWS,
    *durable.ROWS,
    *service.ROWS,
    *machines.ROWS,
    *state_machines.ROWS,
    *simulating.ROWS,
)

WIDTH: Final = 140
"""Of the table in a file or a pipe, which have none."""


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows whose names have one of these parts.

    Raises:
        ValueError: some part is in no name.
    """
    strange = [name for name in names if not any(name in row.name for row in ROWS)]
    if strange:
        raise ValueError(f"no row is called {strange[0]!r}; the rows are: {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if not names or any(name in row.name for name in names)]


def run(rows: Sequence[Row], console: Console, *, quick: bool) -> list[Figures]:
    """Measure each row that can be measured here, with progress: a bar, or a line for each row if there is no terminal."""
    pairs = PAIRS_QUICK if quick else PAIRS
    found: list[Figures] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(rows) * pairs * 2)
        for row in rows:
            why_not = row.why_not()
            if why_not is not None:
                console.print(f"[yellow]left out: {row.name}[/]: {why_not}")
                progress.advance(task, pairs * 2)
                continue
            progress.update(task, description=row.name)
            found.append(measure(row, quick=quick, on_timing=lambda: progress.advance(task)))
            if not console.is_terminal:
                console.print(f"{row.name}: {found[-1].ratio:.2f}x")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for. A missed budget is shown, and is no error: this is no test."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Speed, beside peers.")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer pairs; writes no bench.json")
    parser.add_argument("name", nargs="*", help="a part of a row's name; default: all rows")
    options = parser.parse_args(arguments)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    try:
        rows = chosen(options.name)
    except ValueError as error:
        parser.error(str(error))
    found = run(rows, console, quick=options.quick)
    console.print(report.table(found))
    console.print(report.verdict(found))
    if options.quick or options.name:
        console.print(f"{report.BENCH_JSON.name} is left as it was: this run was quick, or of some rows only")
    else:
        report.write(found)
        console.print(f"written: {report.BENCH_JSON}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
