"""Large cases for the machine and its oracle: a schema, handlers that do deeds, and a script; all out of one seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import attrs
from tests.machine.oracle import Ask, Deed

from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.schema import Definition

__all__ = ["Binding", "Case", "case_of"]

Binding: TypeAlias = Mapping[Slot, Sequence[Deed]]
"""What the handlers of one binding do, each at one call after the other."""

OPS: Final = ("add", "add", "add", "remove", "remove", "set", "toggle", "fail", "can_add", "can_remove")
SINGLE: Final = (Kind.MAY_ENTER, Kind.MAY_EXIT, Kind.STAYS, Kind.ENTERED, Kind.EXITED)


@attrs.frozen
class Case:
    """What one machine is, and what happens to it."""

    rows: Mapping[str, Definition]
    bindings: Sequence[Binding]
    script: Sequence[Ask]
    queue_max: int
    drain_max: int


def case_of(seed: int, states: int, length: int, density: float, mischief: float) -> Case:
    """One case.

    Args:
        seed: what chance is made of.
        states: how many states there are, besides `exception`.
        length: of the script.
        density: how many relations of each kind a state has, on average.
        mischief: how likely a call of a handler does something.
    """
    dice = random.Random(seed)
    names = [f"s{number}" for number in range(states)]
    rows = {name: row(dice, name, [*names, "exception"], density) for name in names}
    if dice.random() < 0.3:
        rows["exception"] = row(dice, "exception", names, density)
    known = [*names, "exception"]
    bindings = [binding(dice, known, mischief) for _ in range(dice.choice((0, 1, 1, 2)))]
    script = [ask(dice, known) for _ in range(length)]
    return Case(rows, bindings, script, dice.choice((2, 1000)), dice.choice((12, 60)))


def row(dice: random.Random, name: str, names: Sequence[str], density: float) -> Definition:
    """One state, which neither requires nor adds what it removes."""
    remove = few(dice, names, density)
    return Definition(
        auto=dice.random() < 0.25,
        multi=dice.random() < 0.25,
        quiet=dice.random() < 0.1,
        require=[each for each in few(dice, names, density) if each not in remove],
        add=[each for each in few(dice, names, density) if each not in remove or each == name],
        remove=remove,
        after=few(dice, names, density),
    )


def few(dice: random.Random, names: Sequence[str], density: float) -> list[str]:
    """Some names, in any order."""
    return [name for name in dice.sample(names, len(names)) if dice.random() < density / len(names)]


def binding(dice: random.Random, names: Sequence[str], mischief: float) -> Binding:
    """Handlers for many slots, each with what it does at its first calls."""
    slots = [Slot(kind, name) for kind in SINGLE for name in names]
    slots += [Slot(Kind.BESIDE, b, a) for a in names for b in names if a != b and dice.random() < 0.1]
    slots += [Slot(Kind.ANY_MAY_ENTER), Slot(Kind.ANY_ENTERED)]
    share = dice.choice((0.1, 0.5, 1.0))
    return {slot: deeds(dice, names, mischief) for slot in slots if dice.random() < share}


def deeds(dice: random.Random, names: Sequence[str], mischief: float) -> Sequence[Deed]:
    """What a handler does at its first dozen calls."""
    return [deed(dice, names) if dice.random() < mischief else Deed() for _ in range(12)]


def deed(dice: random.Random, names: Sequence[str]) -> Deed:
    """Something that is not nothing."""
    asks = tuple(ask(dice, names) for _ in range(dice.choice((0, 0, 1, 2, 3))))
    if len(asks) > 1 and dice.random() < 0.5:
        asks = (*asks, asks[-1])  # a duplicate, or one that looks like it
    return Deed(asks, dice.choice(("", "veto", "raise")) if asks else dice.choice(("veto", "veto", "raise")))


def ask(dice: random.Random, names: Sequence[str]) -> Ask:
    """One operation on up to three states."""
    op = dice.choice(OPS)
    most = 1 if op == "fail" else 3
    states = tuple(dice.choice(names) for _ in range(dice.randint(0, most)))
    return Ask(op, states, op != "fail" and dice.random() < 0.15)
