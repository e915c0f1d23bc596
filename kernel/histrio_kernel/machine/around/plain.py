"""Machines, schemas and transitions as plain text, for a terminal, a log or a failed test."""

from __future__ import annotations

from collections.abc import Iterator

from histrio_kernel.machine.around.folding import exclusive_groups, removals
from histrio_kernel.machine.around.logs import changes_of
from histrio_kernel.machine.around.stories import Story
from histrio_kernel.machine.around.watcher import label_of
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K
from histrio_kernel.machine.states.family import StatesMeta, schema_of

__all__ = ["marks_of_state", "plain"]


def plain(what: Machine[K] | Schema | StatesMeta | Transition | Story) -> str:
    """A schema with its relations, in the order of its states; or a transition, in the order of what happened.

    Of a machine, active states have an asterisk. States that remove each other stand in one line.

    Examples:
        >>> schema = Schema.from_data({
        ...     "water": {"add": ["wet"], "remove": ["dry"]},
        ...     "wet": {"require": ["water"]},
        ...     "dry": {"auto": True, "remove": ["water"]},
        ... })
        >>> machine = Machine(schema, "weather")
        >>> _ = machine.add("water")
        >>> print(plain(machine))
        weather
        * water      adds wet
        * wet        requires water
          dry        auto
          exception  multi, keep
          at most one of: water, dry
    """
    if isinstance(what, Transition):
        return "\n".join(_story(Story.of(what)))
    if isinstance(what, Story):
        return "\n".join(_story(what))
    if isinstance(what, Machine):
        return "\n".join([label_of(what), *_schema(what.schema, what.node.members)])
    title = "schema" if isinstance(what, Schema) else what.__qualname__
    return "\n".join([title, *_schema(schema_of(what), frozenset())])


def _schema(schema: Schema, active: frozenset[int]) -> Iterator[str]:
    """A line for each state, and one for each group of rivals."""
    groups = exclusive_groups(schema)
    removed: dict[int, list[int]] = {}
    for remover, other in removals(schema, groups):
        removed.setdefault(remover, []).append(other)
    width = max(map(len, schema.names))
    for state, (name, definition) in enumerate(schema.definitions.items()):
        relations = [
            marks_of_state(schema, state),
            _related("requires", definition.require),
            _related("adds", definition.add),
            _related("removes", tuple(schema.names[other] for other in removed.get(state, ()))),
            _related("after", definition.after),
        ]
        text = "; ".join(filter(None, relations))
        yield f"{'*' if state in active else ' '} {name:<{width}}  {text}".rstrip()
    for group in groups:
        yield f"  at most one of: {schema.spell(group)}"


def marks_of_state(schema: Schema, state: int) -> str:
    """What kind of state it is, as in `auto, multi`; empty for a plain one."""
    definition = schema.definitions[schema.names[state]]
    flags = {"auto": definition.auto, "multi": definition.multi, "keep": definition.keep, "quiet": definition.quiet}
    return ", ".join(flag for flag, is_set in flags.items() if is_set)


def _related(word: str, names: tuple[str, ...]) -> str:
    """A relation in words, if there is one."""
    return f"{word} {', '.join(names)}" if names else ""


def _story(story: Story) -> Iterator[str]:
    """What happened, line by line."""
    transition = story.transition
    yield f"{story.title}, by {story.caller}"
    for line in story.decided:
        yield f"  {line}"
    for slot in story.asked:
        yield f"  asked  {slot}"
    if transition.moved:
        yield f"  moved  {changes_of(transition)}"
    for slot in story.told:
        yield f"  told   {slot}"
    if transition.rolled_back:
        yield f"  back   {transition.schema.spell(transition.rolled_back)}"
    yield f"  {story.outcome}"
