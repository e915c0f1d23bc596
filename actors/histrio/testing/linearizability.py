"""Whether concurrent clients were told what one client at a time could have been told (D5)."""

# Objects of different keys are checked by themselves (P-compositionality, Horn and Kroening 2015): what clients were told
# of one explains nothing of another, and the search is shorter by far. The search is in `orders`, and how its failure is
# made small and told in `counterexamples`.

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

from histrio.testing.counterexamples import counterexample
from histrio.testing.history import History, Operation
from histrio.testing.models import Model
from histrio.testing.orders import Search

__all__ = ["NotLinearizable", "check_linearizable", "is_linearizable", "lost_writes"]

O = TypeVar("O")  # noqa: E741 - an operation


class NotLinearizable(AssertionError):
    """No order of the operations explains what the clients were told. The text shows a small part that cannot be."""


def check_linearizable(history: History[O], model: Model[O]) -> None:
    """Raise if no order, one operation at a time, explains what the clients were told.

    Raises:
        NotLinearizable: with a drawing of the operations, how far one gets, and what would have been right.

    Examples:
        >>> from histrio.testing.models import Read, Register, Write
        >>> history: History[Read | Write] = History()
        >>> write = history.begin("ann", Write(1)); write.returned()
        >>> read = history.begin("ben", Read()); read.returned(None)
        >>> check_linearizable(history, Register())
        Traceback (most recent call last):
        histrio.testing.linearizability.NotLinearizable: no order of these 2 operations explains what the clients were told:
        ...
    """
    for key, operations in history.by_key().items():
        found = counterexample(operations, model)
        if found is not None:
            raise NotLinearizable(found.told(key, model))


def is_linearizable(operations: Sequence[Operation[O]], model: Model[O]) -> bool:
    """Whether some order of these operations, all of one object, explains their results."""
    in_order = sorted(operations, key=lambda each: each.began)
    return Search(in_order, model, model.initial).run()


def lost_writes(
    acknowledged: Sequence[tuple[Hashable, object]],
    found: dict[Hashable, object],
    unacknowledged: Sequence[tuple[Hashable, object]] = (),
) -> list[str]:
    """What was acknowledged and is not found after a recovery, a sentence for each key; none if nothing is lost.

    Args:
        acknowledged: keys and values, in the order of their acknowledgements; the last of a key counts.
        found: what there is.
        unacknowledged: keys and values of writes that may have happened after the last acknowledged one.

    Examples:
        >>> lost_writes([("x", 1), ("x", 2)], {"x": 1})
        ["'x' was acknowledged as 2, and 1 was found"]
        >>> lost_writes([("x", 1)], {"x": 3}, unacknowledged=[("x", 3)])
        []
    """
    last = dict(acknowledged)
    lost: list[str] = []
    for key, value in last.items():
        allowed = [value, *(other for k, other in unacknowledged if k == key)]
        if key not in found:
            lost.append(f"{key!r} was acknowledged as {value!r}, and nothing was found")
        elif found[key] not in allowed:
            lost.append(f"{key!r} was acknowledged as {value!r}, and {found[key]!r} was found")
    return lost
