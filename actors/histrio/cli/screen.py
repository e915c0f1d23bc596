"""Where trees are shown: one after the other, or in place on a terminal, by Rich.

Rich comes with the extra `cli`. Without it a terminal gets one tree after the other, too.
"""

# Design note
# -----------
# Rich, because in place means more than to move the cursor: what the actors print and log meanwhile has to come out
# above the tree, and the cursor has to come back whatever happens. It is looked up by name, because an extra that is
# not installed must neither break an import nor a type checker.

import importlib
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol, cast, final

import attrs

__all__ = ["InPlace", "Line", "OneByOne", "Screen", "screen"]


@attrs.frozen
class Line:
    """One line, and whether it is to be noticed."""

    text: str
    style: str = ""
    """A style of Rich; empty for none."""


class Screen(Protocol):
    """Shows trees."""

    def opened(self) -> AbstractContextManager[object]:
        """Trees can be shown in this block."""
        ...

    def show(self, lines: Sequence[Line]) -> None:
        """Show a tree.

        Raises:
            BrokenPipeError: nobody reads what is shown.
        """
        ...


@final
class OneByOne:
    """Prints each tree, and an empty line between two."""

    def __init__(self) -> None:
        self._is_first = True

    def opened(self) -> AbstractContextManager[object]:
        """There is nothing to do."""
        return nullcontext()

    def show(self, lines: Sequence[Line]) -> None:
        """Print it."""
        text = "".join(f"{line.text.rstrip()}\n" for line in lines)
        print(text if self._is_first else f"\n{text}", end="", flush=True)
        self._is_first = False


@final
class InPlace:
    """Shows each tree where the one before was, as much of it as the terminal has room for."""

    def __init__(self, rich: "_Rich") -> None:
        self._rich: Final = rich
        self._live: Final = rich.live(
            auto_refresh=False,  # we know when there is something new
            redirect_stderr=sys.stderr.isatty(),  # else it goes to a file, and shall go on to go there
        )

    def opened(self) -> AbstractContextManager[object]:
        """What is printed in this block comes out above the tree."""
        return cast(AbstractContextManager[object], self._live)

    def show(self, lines: Sequence[Line]) -> None:
        """Show it."""
        room = max(2, self._live.console.height - 1)
        if len(lines) > room:
            lines = [*lines[: room - 1], Line(f"... and {len(lines) - room + 1} lines more", "dim")]
        texts = [self._rich.text(line.text, line.style, no_wrap=True, overflow="ellipsis") for line in lines]
        self._live.update(self._rich.group(*texts), refresh=True)


@attrs.frozen
class _Rich:
    live: Any
    group: Any
    text: Any


def _find() -> _Rich | None:
    try:
        modules = [importlib.import_module(f"rich.{name}") for name in ("live", "console", "text")]
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "rich":
            return None
        raise
    return _Rich(modules[0].Live, modules[1].Group, modules[2].Text)


def screen(*, in_place: bool) -> Screen:
    """The one for this process; in place only where that can be."""
    rich = _find() if in_place and sys.stdout.isatty() else None
    return OneByOne() if rich is None else InPlace(rich)
