"""Machines, schemas and transitions as Mermaid diagrams, which Markdown pages draw. The same input, the same text."""

# Design note
# -----------
# A node is named by its number, so a state may be called `end` or have blanks in its name; its name is a quoted label.
# Relations are arrows with their names. Three or more states that remove each other are a box, two a double arrow.

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from histrio_kernel.machine.around.folding import exclusive_groups, removals
from histrio_kernel.machine.around.logs import changes_of
from histrio_kernel.machine.around.plain import marks_of_state
from histrio_kernel.machine.around.stories import Story
from histrio_kernel.machine.core.handlers import Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K
from histrio_kernel.machine.states.family import StatesMeta, schema_of

__all__ = ["mermaid"]

# What Mermaid would take for syntax, as its character codes. `#` and `;` are the code's own marks, so they come first.
_CODES: Final = {ord(char): f"#{ord(char)};" for char in '#;"`<>{}|\\'} | {ord(char): " " for char in "\r\n\t"}


def mermaid(what: Machine[K] | Schema | StatesMeta | Transition | Story) -> str:
    """A flowchart of states and relations, or a sequence diagram of a transition.

    Auto states are rounded, Multi ones have double sides. Of a machine, active states have a thick border. A state
    `exception` is left out where nothing is said of it.

    Examples:
        >>> schema = Schema.from_data({"wet": {"require": ["water"]}, "water": {"remove": ["dry"]}, "dry": {"auto": True}})
        >>> machine = Machine(schema)
        >>> _ = machine.add("water")
        >>> print(mermaid(machine))
        flowchart LR
            s0["wet"]
            s1["water"]
            s2(["dry<br/>auto"])
            s0 -->|require| s1
            s1 -.->|remove| s2
            classDef active stroke-width:4px
            class s1 active
    """
    if isinstance(what, Transition):
        return _sequence(Story.of(what))
    if isinstance(what, Story):
        return _sequence(what)
    if isinstance(what, Machine):
        return _flowchart(what.schema, what.node.members)
    return _flowchart(schema_of(what), frozenset())


def _flowchart(schema: Schema, active: frozenset[int]) -> str:
    """States and relations."""
    boxes = exclusive_groups(schema, at_least=3)
    boxed = {state for box in boxes for state in box}
    edges = list(_edges(schema, boxes))
    shown = _shown(schema, active)
    lines = ["flowchart LR", *(f"    {_node(schema, state)}" for state in shown if state not in boxed)]
    for number, box in enumerate(boxes):
        lines += [
            f'    subgraph x{number}["at most one of"]',
            *(f"        {_node(schema, state)}" for state in box),
            "    end",
        ]
    lines += [f"    {edge}" for edge in edges]
    if active:
        names = ",".join(f"s{state}" for state in sorted(active))
        lines += ["    classDef active stroke-width:4px", f"    class {names} active"]
    return "\n".join(lines)


def _shown(schema: Schema, active: frozenset[int]) -> list[int]:
    """All states, but an `exception` of which there is nothing to say."""
    exception = schema.exception
    own = schema.definitions[schema.names[exception]]
    said = own.require or own.add or own.remove or own.after or own.auto or schema.removed_by[exception]
    named = any(exception in row for relation in (schema.require, schema.add, schema.after) for row in relation)
    is_shown = bool(said) or named or exception in active
    return [state for state in range(len(schema)) if state != exception or is_shown]


def _node(schema: Schema, state: int) -> str:
    """A state as a node."""
    definition = schema.definitions[schema.names[state]]
    marks = marks_of_state(schema, state)
    label = f'"{_quoted(schema.names[state]) or " "}{f"<br/>{marks}" if marks else ""}"'
    if definition.auto:
        return f"s{state}([{label}])"
    return f"s{state}[[{label}]]" if definition.multi else f"s{state}[{label}]"


def _edges(schema: Schema, boxes: list[tuple[int, ...]]) -> Iterator[str]:
    """Relations as arrows, in the order of the states."""
    pairs = removals(schema, boxes)
    mutual = set(pairs)
    for state, definition in enumerate(schema.definitions.values()):
        yield from (f"s{state} -->|require| s{schema.index(other)}" for other in definition.require)
        yield from (f"s{state} ==>|add| s{schema.index(other)}" for other in definition.add)
        for remover, other in pairs:
            if remover != state:
                continue
            if (other, remover) not in mutual:
                yield f"s{state} -.->|remove| s{other}"
            elif state < other:
                yield f"s{state} <-.->|remove| s{other}"
        yield from (f"s{state} -.->|after| s{other}" for other in sorted(schema.after[state]))


def _sequence(story: Story) -> str:
    """A transition in the order of what happened."""
    transition = story.transition
    lines = ["sequenceDiagram", f"    participant c as {_quoted(story.caller)}", "    participant m as machine"]
    if story.calls:
        lines.append("    participant h as handlers")
    lines.append(f"    c->>m: {_quoted(story.title)}")
    lines += [f"    Note over m: {_quoted(line)}" for line in story.decided]
    lines += _calls(story.asked)
    if transition.moved:
        lines.append(f"    Note over m: {_quoted(changes_of(transition))}")
    lines += _calls(story.told)
    if transition.rolled_back:
        lines.append(f"    Note over m: rolled back {_quoted(transition.schema.spell(transition.rolled_back))}")
    return "\n".join([*lines, f"    m-->>c: {_quoted(story.outcome)}"])


def _calls(slots: Iterable[Slot]) -> list[str]:
    """Handlers that are called."""
    return [f"    m->>h: {_quoted(str(slot))}" for slot in slots]


def _quoted(text: str) -> str:
    """Text in which nothing is syntax."""
    return text.translate(_CODES)
