"""`histrio tree module:Actor`: runs one actor as `histrio run` does, and shows the live tree below it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import trio

from histrio.cli.command import Command
from histrio.cli.numbers import positive_seconds
from histrio.cli.run import Service, add_actor_arguments, serve, set_up_logging
from histrio.cli.screen import Line, Screen, screen
from histrio.cli.target import load
from histrio.system import System
from histrio.tree import Branch, Node, branches
from histrio_kernel.bounds import bound
from histrio_kernel.lifecycle import Phase
from histrio_kernel.signals import Kind, Signal

__all__ = ["TREE", "table"]

_DESCRIPTION: Final = """\
Run the actor as `histrio run` does, and show the tree: on a terminal in place, else one tree after the other.

inbox: messages that wait, and after a + the senders that wait for room. in flight: handlers that wait for something.
incarnation: 1, and one more for each restart. last failure: why an earlier incarnation ended, or this one does.
Signals and exit codes are those of `histrio run`. Logs go to stderr."""

_HEAD: Final = ("", "phase", "incarnation", "inbox", "in flight", "last failure")
_NUMBERS: Final = frozenset({2, 3, 4})
_STYLES: Final = {
    Phase.STARTING.value: "yellow",
    Phase.RESTARTING.value: "yellow",
    Phase.FAILING.value: "red",
    Phase.DYING.value: "red",
}
_PAUSE_S: Final = 0.05  # between two looks whether all have started


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_actor_arguments(parser)
    parser.add_argument(
        "--every",
        metavar="S",
        type=positive_seconds,
        default=1.0,
        help="seconds from one tree to the next (default: 1)",
    )
    parser.add_argument("--once", action="store_true", help="show the tree when everything has started, then stop")
    parser.add_argument(
        "--children-max",
        metavar="N",
        type=_count,
        default=bound("children_shown_max"),
        help="of each actor show so many children, and how many there are besides (default: %(default)s)",
    )


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, 0 or more")
    return int(text)


def _run(given: argparse.Namespace) -> int:
    target = load(given.actor)
    on = screen(in_place=not given.once)
    view = _View(on, given.every, given.children_max)
    with on.opened():
        set_up_logging()  # here, where stderr may lead elsewhere
        return serve(Service(target, given.name, given.grace, view.once if given.once else view.live))


@final
class _View:
    """What is shown of a system, beside its actors."""

    def __init__(self, on: Screen, every_s: float, children_max: int) -> None:
        self._on: Final = on
        self._every_s: Final = every_s
        self._children_max: Final = children_max

    async def live(self, system: System, stop: Callable[[str], None]) -> None:
        """Show the tree again and again."""
        is_read = True
        while is_read:
            is_read = self._show(system.tree(), stop)
            await trio.sleep(self._every_s)

    async def once(self, system: System, stop: Callable[[str], None]) -> None:
        """Show the tree when nothing in it is starting any more."""
        news = trio.Event()

        def hear(signal: Signal) -> None:
            if signal.kind in (Kind.START, Kind.STOP):
                news.set()

        unlisten = system.listen(hear)
        tree = system.tree()
        try:
            while _is_starting(tree):
                await news.wait()
                news = trio.Event()
                await trio.sleep(_PAUSE_S)  # a look takes as long as there are actors: not one for each that starts
                tree = system.tree()
        finally:  # also if all has ended before
            unlisten()
            self._show(tree, stop)
        stop("its tree has been shown")

    def _show(self, tree: Node, stop: Callable[[str], None]) -> bool:
        """Show it; if nobody reads it any more, have all stopped."""
        try:
            self._on.show(table(tree, self._children_max))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
            stop("nobody reads its tree any more")
            return False
        return True


def _is_starting(tree: Node) -> bool:
    return not tree.children or any(node.phase == Phase.STARTING.value for node in tree.walk())


def table(tree: Node, children_max: int) -> list[Line]:
    """The tree with a line for each actor, in columns, and at most so many children of each."""
    rows = [(_HEAD, "bold"), *(_row(branch) for branch in branches(tree, children_max))]
    widths = [max(map(len, column)) for column in zip(*(cells for cells, _ in rows), strict=True)]
    return [Line("  ".join(_pad(cells, widths)).rstrip(), style) for cells, style in rows]


def _row(branch: Branch) -> tuple[Sequence[str], str]:
    node = branch.node
    if branch.left_out:
        return (f"{branch.lines}... and {branch.left_out:,} more", "", "", "", "", ""), "dim"
    if node.path == "/":
        return (node.actor, node.phase, "", "", "", ""), ""
    phase = f"{node.phase}, to be paused" if node.paused and node.phase != Phase.PAUSED.value else node.phase
    inbox = f"{node.queued}+{node.standing}" if node.standing else str(node.queued)
    numbers = (str(node.incarnation), inbox, str(node.in_flight))
    cells = (f"{branch.lines}{node.name}  {node.actor}", phase, *numbers, node.last_failure or "")
    return cells, _STYLES.get(node.phase, "")


def _pad(cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        yield cell.rjust(width) if column in _NUMBERS else cell.ljust(width)


TREE: Final = Command(
    name="tree",
    about="run one actor, and show the tree below it",
    description=_DESCRIPTION,
    add_arguments=_add_arguments,
    run=_run,
)
