"""A condition is a question about a machine, as an object: it can be combined, kept, shown and asked again."""

# Design note
# -----------
# A lambda does all of this but one thing: it cannot say what it asks. A condition has a readable repr, is equal to
# another one that asks the same, and serves as the predicate of a wait: `machine.when_query(lambda: ready(machine))`.
# Its states are whatever the machines that it is asked of take for states, so it has no type parameter: an object of a
# schema narrows it to nothing, and one condition serves machines of several schemas.

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NoReturn, final

import attrs

from histrio_kernel.machine.around.watcher import unkeyed
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.variables import K

__all__ = ["Condition"]


class Condition:
    """A question about a machine: call it with one. Combine conditions by `&`, `|` and `~`.

    Examples:
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> machine = Machine(Schema.from_data({"up": {}, "busy": {}, "broken": {}}))
        >>> free = Condition.all("up") & ~Condition.any("busy", "broken")
        >>> free
        all(up) & ~any(busy, broken)
        >>> free(machine)
        False
        >>> machine.add("up"), free(machine)
        (EXECUTED, True)
    """

    def __call__(self, machine: Machine[K]) -> bool:
        """Whether it holds for that machine now.

        Raises:
            UnknownState: it names a state that the machine does not have.
        """
        raise NotImplementedError

    def __and__(self, other: Condition) -> Condition:
        return _All(_parts(_All, self, other)) if _is_condition(other) else NotImplemented

    def __or__(self, other: Condition) -> Condition:
        return _Any(_parts(_Any, self, other)) if _is_condition(other) else NotImplemented

    def __invert__(self) -> Condition:
        return self.condition if isinstance(self, _Not) else _Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is a question, neither true nor false: ask it of a machine, condition(machine), and combine "
            "conditions by & | ~ instead of `and`, `or`, `not`"
        )

    @staticmethod
    def all(*states: Hashable) -> Condition:
        """All of these states are active; of none given, it holds."""
        return _AreAll(states)

    @staticmethod
    def any(*states: Hashable) -> Condition:
        """At least one of these states is active."""
        return _AreAny(states)

    @staticmethod
    def none(*states: Hashable) -> Condition:
        """None of these states is active."""
        return _AreNone(states)

    @staticmethod
    def ticked(state: Hashable, at_least: int) -> Condition:
        """The clock of that state has come to that tick, or beyond."""
        return _Ticked(((state, at_least),))

    @staticmethod
    def was(ticks: Mapping[K, int]) -> Condition:
        """The clock of every state has come to the tick given for it, or beyond; see `Machine.was`."""
        return _Ticked(tuple(ticks.items()))


def _is_condition(other: object) -> bool:
    """Whether it can be combined with one."""
    return isinstance(other, Condition)


def _spell(states: tuple[object, ...]) -> str:
    """States for a repr: by name, whether given as text or as an object."""
    return ", ".join(str(getattr(state, "name", state)) for state in states)


@final
@attrs.frozen(repr=False)
class _AreAll(Condition):
    states: tuple[Hashable, ...]

    def __call__(self, machine: Machine[K]) -> bool:
        return unkeyed(machine).all(*self.states)

    def __repr__(self) -> str:
        return f"all({_spell(self.states)})"


@final
@attrs.frozen(repr=False)
class _AreAny(Condition):
    states: tuple[Hashable, ...]

    def __call__(self, machine: Machine[K]) -> bool:
        return unkeyed(machine).any(*self.states)

    def __repr__(self) -> str:
        return f"any({_spell(self.states)})"


@final
@attrs.frozen(repr=False)
class _AreNone(Condition):
    states: tuple[Hashable, ...]

    def __call__(self, machine: Machine[K]) -> bool:
        return unkeyed(machine).none(*self.states)

    def __repr__(self) -> str:
        return f"none({_spell(self.states)})"


@final
@attrs.frozen(repr=False)
class _Ticked(Condition):
    ticks: tuple[tuple[Hashable, int], ...]

    def __call__(self, machine: Machine[K]) -> bool:
        return unkeyed(machine).was(dict(self.ticks))

    def __repr__(self) -> str:
        return f"ticked({', '.join(f'{_spell((state,))} >= {tick}' for state, tick in self.ticks)})"


@final
@attrs.frozen(repr=False)
class _Not(Condition):
    condition: Condition

    def __call__(self, machine: Machine[K]) -> bool:
        return not self.condition(machine)

    def __repr__(self) -> str:
        return f"~{_bracketed(self.condition)}"


@final
@attrs.frozen(repr=False)
class _All(Condition):
    conditions: tuple[Condition, ...]

    def __call__(self, machine: Machine[K]) -> bool:
        return all(condition(machine) for condition in self.conditions)

    def __repr__(self) -> str:
        return " & ".join(map(_bracketed, self.conditions))


@final
@attrs.frozen(repr=False)
class _Any(Condition):
    conditions: tuple[Condition, ...]

    def __call__(self, machine: Machine[K]) -> bool:
        return any(condition(machine) for condition in self.conditions)

    def __repr__(self) -> str:
        return " | ".join(map(_bracketed, self.conditions))


def _parts(kind: type[_All] | type[_Any], one: Condition, other: Condition) -> tuple[Condition, ...]:
    """Their parts, where they are of that kind themselves: `a & b & c` is one condition of three."""
    parts: list[Condition] = []
    for each in (one, other):
        parts += each.conditions if isinstance(each, kind) else (each,)
    return tuple(parts)


def _bracketed(condition: Condition) -> str:
    """Its repr, within brackets if it is of several parts."""
    return f"({condition!r})" if isinstance(condition, _All | _Any) else repr(condition)
