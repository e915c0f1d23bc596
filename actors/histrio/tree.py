"""The tree of a system as data, and as a drawing."""

# Design note
# -----------
# A tree may be very wide and very deep, and whoever looks at it is in a hurry: it is built and drawn in one pass over
# the actors, without recursion.

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import attrs

from histrio_kernel.cell import Cell
from histrio_kernel.errors import told

__all__ = ["Branch", "Node", "branches", "node_of"]

_FAILURE_LENGTH_MAX: Final = 120


@attrs.frozen
class Node:
    """One actor at one moment: where it is, what it is, what it does, and its children.

    `queued` messages wait in its inbox and `standing` senders before it; `in_flight` handlers wait for something;
    `operations` run or wait for a place in `self.io`. `incarnation` counts from 1; `last_failure` is what ended an
    earlier one, or ends this one, on one line. `paused` is whether it is to be paused; its `phase` tells whether it
    is already. `states` are the active states of its machine, if it has one.
    """

    path: str
    actor: str
    phase: str
    queued: int = 0
    standing: int = 0
    in_flight: int = 0
    operations: int = 0
    dropped: int = 0
    incarnation: int = 1
    last_failure: str | None = None
    paused: bool = False
    states: tuple[str, ...] = ()
    children: tuple[Node, ...] = ()

    @property
    def name(self) -> str:
        """The last part of its path, in a form that can be shown on one line."""
        name = self.path.rpartition("/")[2] or "/"
        return name if name.isprintable() else _on_one_line(name)

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first."""
        ahead: list[Node] = [self]
        while ahead:
            node = ahead.pop()
            yield node
            ahead.extend(reversed(node.children))

    def __str__(self) -> str:
        """A drawing, a line for each actor."""
        return "\n".join(f"{branch.lines}{_line(branch.node)}" for branch in branches(self))


def node_of(name: str, cells: Mapping[str, Cell], *, stopping: bool) -> Node:
    """The tree of the system called `name` at this moment."""
    phase = "stopping" if stopping else "running"
    return Node("/", f"system {name!r}", phase, children=_nodes(tuple(cells.values())))


def _nodes(top: Sequence[Cell]) -> tuple[Node, ...]:
    """A node for each of `top`, with all below it."""
    cells = list(top)
    for cell in cells:  # which grows: parents stand before their children
        cells.extend((cell.children or {}).values())
    nodes: dict[Cell, Node] = {}
    for cell in reversed(cells):
        nodes[cell] = _node(cell, tuple(nodes.pop(child) for child in (cell.children or {}).values()))
    return tuple(nodes[cell] for cell in top)


def _node(cell: Cell, children: tuple[Node, ...]) -> Node:
    pool = cell.io
    failure = cell.last_failure
    return Node(
        cell.path,
        cell.settings.kind.__qualname__,
        cell.phase.value,
        queued=len(cell.inbox),
        standing=cell.inbox.standing,
        in_flight=cell.turn.suspended,
        operations=0 if pool is None else pool.running + pool.waiting,
        dropped=cell.inbox.dropped,
        incarnation=cell.incarnation,
        last_failure=None if failure is None else _on_one_line(told(failure)),
        paused=cell.is_paused_wanted,
        states=() if cell.machine is None else cell.machine.names,
        children=children,
    )


def _on_one_line(text: str) -> str:
    """`text` without what would move a terminal's cursor, and not too long."""
    text = text[: 2 * _FAILURE_LENGTH_MAX]  # what follows looks at each letter
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    line = " ".join(line.split())
    return line if len(line) <= _FAILURE_LENGTH_MAX else f"{line[: _FAILURE_LENGTH_MAX - 3]}..."


# -- drawing -----------------------------------------------------------------------------------------------------------


@attrs.frozen
class Branch:
    """One line of a drawing: the lines that lead to it, and its node; or how many are not shown there."""

    lines: str
    node: Node
    left_out: int = 0
    """If not 0, this line stands for so many children of `node` that have none of their own."""


def branches(root: Node, children_max: int | None = None) -> Iterator[Branch]:
    """The lines of a drawing from the top to the bottom, with at most `children_max` children of each actor."""
    ahead = [(Branch("", root), "")]
    while ahead:
        branch, rest = ahead.pop()
        yield branch
        if not branch.left_out:
            ahead.extend(reversed(list(_below(branch.node, rest, children_max))))


def _below(node: Node, rest: str, children_max: int | None) -> Iterator[tuple[Branch, str]]:
    shown = node.children if children_max is None else node.children[:children_max]
    left_out = len(node.children) - len(shown)
    for number, child in enumerate(shown, start=1):
        last = number == len(shown) and not left_out
        yield Branch(rest + ("└─ " if last else "├─ "), child), rest + ("   " if last else "│  ")
    if left_out:
        yield Branch(f"{rest}└─ ", node, left_out), ""


def _line(node: Node) -> str:
    facts = [" + ".join(node.states)] if node.states else []
    facts += [
        f"{number} {what}"
        for what, number in (
            ("queued", node.queued),
            ("standing", node.standing),
            ("in flight", node.in_flight),
            ("io", node.operations),
        )
        if number
    ]
    if node.paused and node.phase != "paused":
        facts.append("to be paused")
    if node.incarnation > 1:
        facts.append(f"incarnation {node.incarnation}")
    if node.last_failure is not None:
        facts.append(f"last failure: {node.last_failure}")
    more = f"  ({', '.join(facts)})" if facts else ""
    return f"{node.name}  {node.actor}  {node.phase}{more}"
