"""What a command prints to stdout: one line for one thing, in columns, until nobody reads it any more."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

__all__ = ["columns", "in_a_line", "print_lines", "when"]


def print_lines(lines: Iterable[str]) -> None:
    """Print them as they come; no more of them are asked for when whoever reads goes away (`| head`)."""
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end


def columns(rows: Iterable[Sequence[str]], numbers: frozenset[int] = frozenset()) -> Iterator[str]:
    """The rows as lines, each cell below that of the row before; the columns in *numbers* stand to the right."""
    cells = [[in_a_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        padded = (
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join(padded).rstrip()


def in_a_line(text: str) -> str:
    """The text with what a terminal would not print, or would obey, as Python writes it."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def when(at: float) -> str:
    """A time since 1970, as people write it, in UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(at)
