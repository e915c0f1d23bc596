"""The tree of a system as data, and as a drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from histrio_kernel.cell import Cell

__all__ = ["Node", "node_of"]


@attrs.frozen
class Node:
    """One actor at one moment: where it is, what it is, what it does, and its children.

    `queued` messages wait in its inbox and `standing` senders before it; `in_flight` handlers wait for something;
    `operations` run or wait for a place in `self.io`.
    """

    path: str
    actor: str
    phase: str
    queued: int = 0
    standing: int = 0
    in_flight: int = 0
    operations: int = 0
    dropped: int = 0
    children: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def __str__(self) -> str:
        """A drawing, a line for each actor."""
        return "\n".join(_lines(self, "", ""))


def node_of(name: str, cells: Mapping[str, Cell], *, stopping: bool) -> Node:
    """The tree of the system called `name` at this moment."""
    children = tuple(_node(cell) for cell in cells.values())
    return Node("/", f"system {name!r}", "stopping" if stopping else "running", children=children)


def _node(cell: Cell) -> Node:
    pool = cell.io
    return Node(
        cell.path,
        type(cell.actor).__qualname__,
        cell.phase.value,
        len(cell.inbox),
        cell.inbox.standing,
        cell.turn.suspended,
        0 if pool is None else pool.running + pool.waiting,
        cell.inbox.dropped,
        tuple(_node(child) for child in (cell.children or {}).values()),
    )


def _lines(node: Node, first: str, rest: str) -> Iterator[str]:
    name = node.path.rpartition("/")[2] or "/"
    counts = (
        ("queued", node.queued),
        ("standing", node.standing),
        ("in flight", node.in_flight),
        ("io", node.operations),
    )
    busy = ", ".join(f"{number} {what}" for what, number in counts if number)
    yield f"{first}{name}  {node.actor}  {node.phase}{f'  ({busy})' if busy else ''}"
    for index, child in enumerate(node.children):
        last = index == len(node.children) - 1
        yield from _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
