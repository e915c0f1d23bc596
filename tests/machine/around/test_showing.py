"""M12: schemas, machines and transitions as text and as Mermaid: deterministic, and valid whatever states are called."""

import re
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.around.small import MULTI, PLAIN, machine_of, when
from tests.machine.drawn import mutate, mutations, schemas
from tests.machine.lab import Keeper

from histrio_kernel.machine.around.diagrams import mermaid
from histrio_kernel.machine.around.folding import exclusive_groups, removals
from histrio_kernel.machine.around.plain import plain
from histrio_kernel.machine.around.stories import Stories, Story
from histrio_kernel.machine.core.handlers import Kind
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.mixins import Connected
from histrio_kernel.machine.states.state import State, exclusive

# Every line that a diagram may have. In a label or a text, what could be syntax is a character code.
TEXT: Final = r"(?:[^#;\"`<>{}|\\\n]|#\d+;)*"
LABEL: Final = rf"\"(?!\"){TEXT}(?:<br/>{TEXT})?\""
NODE: Final = rf"s\d+(?:\[{LABEL}\]|\(\[{LABEL}\]\)|\[\[{LABEL}\]\])"
EDGE: Final = r"s\d+ (?:-->|==>|-\.->|<-\.->)\|(?:require|add|remove|after)\| s\d+"
FLOWCHART: Final = [
    r"flowchart LR",
    rf" {{4,8}}{NODE}",
    rf" {{4}}{EDGE}",
    rf" {{4}}subgraph x\d+\[{LABEL}\]",
    r" {4}end",
    r" {4}classDef active stroke-width:4px",
    r" {4}class s\d+(?:,s\d+)* active",
]
SEQUENCE: Final = [
    r"sequenceDiagram",
    rf" {{4}}participant [cmh] as {TEXT}",
    rf" {{4}}(?:c->>m|m->>h|m-->>c): {TEXT}",
    rf" {{4}}Note over m: {TEXT}",
]


def assert_valid(diagram: str) -> None:
    """Each line is one of those above, and boxes are closed."""
    known = FLOWCHART if diagram.startswith("flowchart") else SEQUENCE
    for line in diagram.split("\n"):
        assert any(re.fullmatch(pattern, line) for pattern in known), line
    assert len(re.findall(r"^ {4}subgraph", diagram, re.MULTILINE)) == len(
        re.findall(r"^ {4}end$", diagram, re.MULTILINE)
    )


@settings(max_examples=count("machine_examples"))
@given(st.data())
def test_diagrams_are_valid_and_complete(data: st.DataObject) -> None:
    """M12: of a drawn machine and its transitions: valid, the same each time, every relation once."""
    schema = data.draw(schemas())
    machine = Machine(schema)
    stories = Stories(machine)
    for mutation in data.draw(mutations(schema, 4)):
        mutate(machine, mutation)

    diagram = mermaid(machine)
    assert_valid(diagram)
    assert diagram == mermaid(machine)
    boxes = exclusive_groups(schema, at_least=3)
    arrows = removals(schema, boxes)
    mutual = sum((other, remover) in arrows for remover, other in arrows) // 2
    assert diagram.count("|remove|") == len(arrows) - mutual
    assert diagram.count("|require|") == sum(len(row.require) for row in schema.definitions.values())
    assert diagram.count("|add|") == sum(len(row.add) for row in schema.definitions.values())
    marked = re.findall(r"class ([s\d,]+) active", diagram)
    assert marked == ([",".join(f"s{state}" for state in sorted(machine.active))] if machine.active else [])
    for story in stories:
        assert_valid(mermaid(story))
        assert_valid(mermaid(story.transition))
        assert plain(story) == plain(story)


@settings(max_examples=count("machine_examples"))
@given(schemas())
def test_groups_and_what_is_left_are_all_removals(schema: Schema) -> None:
    """M12: who removes whom is told once: by a group, or by itself; a state is in one group at most."""
    groups = exclusive_groups(schema)
    left = removals(schema, groups)
    within = [(one, other) for group in groups for one in group for other in group if one != other]

    told = sorted([*within, *left])
    assert told == sorted((one, other) for other, removers in enumerate(schema.removed_by) for one in removers)
    members = [state for group in groups for state in group]
    assert len(members) == len(set(members))


NASTY: Final = ["end", "a b", 'say "hi"', "x#y;z", "`md`", "<b>", "{a|b}", "new\nline", "ä", "\\", "subgraph", "s0", ""]


def test_any_name_is_a_label() -> None:
    """M12: words and marks of Mermaid's own in the names of states are text in a diagram."""
    rows = {name: Definition(require=[other]) for name, other in zip(NASTY, NASTY[1:] + NASTY[:1], strict=True)}
    machine: Machine[str] = Machine(Schema(rows), 'na"me')
    stories = Stories(machine)
    machine.add(*NASTY)
    diagram = mermaid(machine)
    assert_valid(diagram)
    assert 's2["say #34;hi#34;"]' in diagram
    assert stories.last is not None
    assert_valid(mermaid(stories.last))


class Line(Connected):
    """A schema with a box, flags, an own exception arrow and a pair of rivals."""

    loud = State(multi=True, after=[Connected.ready])
    quiet = State(add=[Connected.heartbeat])
    exclusive(loud, quiet)


LINE: Final = """
Line
  err_network          multi; requires exception; adds exception
  err_handler_timeout  multi; requires exception; adds exception
  start
  ready                requires start
  healthcheck          multi, quiet
  heartbeat            quiet
  err_connecting       requires exception
  connecting           requires start
  connected            requires start
  disconnecting
  disconnected         auto
  loud                 multi; after ready
  quiet                adds heartbeat
  exception            multi, keep
  at most one of: connecting, connected, disconnecting, disconnected
  at most one of: loud, quiet
"""


def test_a_schema_in_plain_text() -> None:
    """M12: a line for each state, rivals folded into one line, and the active states of a machine marked."""
    assert plain(Line) == LINE.strip()
    assert plain(Line.schema()).split("\n")[1:] == LINE.strip().split("\n")[1:]
    machine = Machine(Line.schema(), "line")
    machine.add("start")
    assert [row for row in plain(machine).split("\n") if row.startswith("*")] == [
        "* start",
        "* disconnected         auto",
    ]


def test_a_schema_as_a_diagram() -> None:
    """M12: three rivals or more are a box, two a double arrow; auto is round, multi has double sides."""
    diagram = mermaid(Line)
    assert_valid(diagram)
    assert '        s10(["disconnected<br/>auto"])' in diagram
    assert '    s11[["loud<br/>multi"]]' in diagram
    assert "    s11 <-.->|remove| s12" in diagram
    assert "    s11 -.->|after| s3" in diagram
    assert "    s12 ==>|add| s5" in diagram
    assert "    s3 -->|require| s2" in diagram
    assert diagram.count("|remove|") == 1
    assert "exception" not in mermaid(Schema({"a": PLAIN}))
    failed = machine_of("m", "a")
    failed.fail(OSError())
    assert 's1[["exception' in mermaid(failed)


def story_of(machine: Machine[str], *states: str) -> Story:
    """The first story of an add."""
    with Stories(machine) as stories:
        machine.add(*states)
    return next(iter(stories))


def test_a_transition_as_a_story() -> None:
    """M12: what was asked for, what decided it, who was asked, what moved, who was told, what came of it."""
    machine = machine_of("weather", wet=Definition(require=["water"], remove=["dry"]), water=MULTI, dry=PLAIN)
    machine.add("dry")
    when(machine, "wet", lambda t: None, Kind.MAY_ENTER)
    when(machine, "dry", lambda t: None, Kind.EXITED)
    story = story_of(machine, "wet", "water")
    assert plain(story).split("\n") == [
        "add wet, water, by caller",
        "  dry: removed by wet",
        "  asked  wet.may_enter",
        "  moved  +water +wet -dry",
        "  told   dry.exited",
        "  EXECUTED",
    ]
    assert plain(story.transition) == plain(story)
    assert mermaid(story).split("\n")[1:] == [
        "    participant c as caller",
        "    participant m as machine",
        "    participant h as handlers",
        "    c->>m: add wet, water",
        "    Note over m: dry: removed by wet",
        "    m->>h: wet.may_enter",
        "    Note over m: +water +wet -dry",
        "    m->>h: dry.exited",
        "    m-->>c: EXECUTED",
    ]


def test_a_story_ends_where_the_transition_ended() -> None:
    """M12: after a veto nobody else is asked, after an error nobody told; a refusal has its causes, a rollback its states."""
    machine = machine_of("m", "a", "b", c=Definition(require=["a"]))
    machine.set_shell(Keeper())
    for state in ("a", "b"):
        when(machine, state, lambda t: "b" not in t.schema.spell(t.called) and None, Kind.MAY_ENTER)

    def fail(transition: Transition) -> None:
        raise OSError

    when(machine, "a", fail)
    assert plain(story_of(machine, "b", "a")).split("\n")[1:] == [
        "  asked  b.may_enter",
        "  CANCELED('vetoed by b.may_enter')",
    ]
    assert plain(story_of(machine, "c")).split("\n") == ["add c, by caller", "  refused: c requires a"]
    assert plain(story_of(machine, "a", "c")).split("\n")[1:] == [
        "  asked  a.may_enter",
        "  moved  +a +c",
        "  told   a.entered",
        "  back   a, c",
        "  CANCELED('a final handler failed', OSError())",
    ]
    assert "rolled back a, c" in mermaid(story_of(machine, "a", "c"))


def test_a_transition_that_nobody_watched_told_nobody_if_nothing_came_of_it() -> None:
    """M12: after a veto and in a dry run, the final handlers that its move would have called are not in its story."""
    machine, seen = machine_of("m", "a", "b"), list[Transition]()

    def ask(transition: Transition) -> bool | None:
        seen.append(transition)
        return None if transition.dry else False

    when(machine, "a", ask, Kind.MAY_ENTER)
    when(machine, "a", lambda t: None)
    machine.can_add("a")
    machine.add("a")

    assert [Story.of(transition).told for transition in seen] == [(), ()]
    assert [len(Story.of(transition).asked) for transition in seen] == [1, 1]


def test_stories_tell_where_a_transition_came_from() -> None:
    """M9, M12: auto transitions by the machine, nested ones by the transition that they were made in; a bounded number."""
    machine = machine_of("m", "a", "b", idle=Definition(auto=True))
    when(machine, "a", lambda t: machine.add("b"))
    stories = Stories(machine, stories_max=2)
    machine.add("a")

    assert [f"{story.title}, by {story.caller}" for story in stories] == ["auto idle, by m", "add b, by m/1"]
    assert len(stories) == 2
    with pytest.raises(ValueError, match="stories_max is 0"):
        Stories(machine, stories_max=0)


class Empty(States):
    """No states but the one that all have."""


def test_an_empty_schema_is_shown() -> None:
    """M12: nothing to show is shown as nothing."""
    assert mermaid(Empty) == "flowchart LR"
    assert plain(Empty) == "Empty\n  exception  multi, keep"
    assert Stories(machine_of("m", "a")).last is None
