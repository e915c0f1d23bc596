"""What a run shows: a table of ratios with a bar for each, and bench.json at the root of the project."""

# Design note
# -----------
# The bar is how much of the budget is left: full to the mark means that the budget is just met, beyond it that there
# is room. So rows that are to be fast and rows that are to be cheap read alike. What the columns and the fields of
# bench.json mean is told once, at `Row` and `Figures` in tests/benchmarks/measure.py.

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from rich.table import Table
from rich.text import Text

from tests.benchmarks.measure import Figures

__all__ = ["BENCH_JSON", "table", "verdict", "write"]

BENCH_JSON: Final = Path(__file__).resolve().parents[2] / "bench.json"

_MARK: Final = 10
"""Where on the bar the budget is, in cells."""
_CELLS: Final = 20


def headroom(figures: Figures) -> float:
    """How many times better than its budget a row is; 1 is just met."""
    if figures.higher_is_better:
        return figures.ratio / figures.budget
    return figures.budget / figures.ratio


def bar(figures: Figures) -> Text:
    """The headroom as a bar, with the budget's mark in it; cut off at twice the budget."""
    filled = min(_CELLS, round(headroom(figures) * _MARK))
    cells = ["█" if cell < filled else "·" for cell in range(_CELLS)]
    cells.insert(_MARK, "│")
    return Text("".join(cells), style="green" if figures.meets else "red")


def table(rows: Sequence[Figures]) -> Table:
    """All rows, one line each."""
    shown = Table(title="ratios to the peer in the same run; the mark in a bar is the budget", title_justify="left")
    for header in ("what", "ours", "peer", "unit", "ratio", "budget", "headroom"):
        is_number = header in {"ours", "peer", "ratio", "budget"}
        shown.add_column(header, justify="right" if is_number else "left", no_wrap=is_number or header == "headroom")
    for row in rows:
        sign = ">=" if row.higher_is_better else "<="
        shown.add_row(
            row.name,
            f"{row.ours:,.2f}",
            f"{row.peer:,.2f}",
            row.unit,
            Text(f"{row.ratio:.2f}x", style="bold" if row.meets else "bold red"),
            f"{sign} {row.budget:g}x",
            bar(row),
        )
    return shown


def verdict(rows: Sequence[Figures]) -> str:
    """One line: how many met their budget, and which did not."""
    missed = [row.name for row in rows if not row.meets]
    if not missed:
        return f"all {len(rows)} rows meet their budgets"
    return f"{len(rows) - len(missed)} of {len(rows)} rows meet their budgets; missed: {', '.join(missed)}"


def write(rows: Sequence[Figures], path: Path = BENCH_JSON) -> None:
    """Write bench.json: a list of objects with the fields of `Figures`."""
    path.write_text(json.dumps([attrs.asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
