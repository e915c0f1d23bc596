"""The pages about machines: recipes stand alone, and what is drawn or tabled is what the machine does.

That their programs run and pass the type checkers is looked at where all pages are; timelines, outputs and the tables for
those who come from elsewhere have tests of their own.
"""

import ast
import doctest
import inspect
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Final

import attrs
import pytest
from tests.docs.generated import DOCS
from tests.docs_programs import fences
from tests.machine.oracle import Rules

import histrio.machines
from histrio import Machine, State, States, exclusive

COOKBOOK: Final = DOCS / "how-to" / "machine-cookbook.md"
MACHINES: Final = DOCS / "explanation" / "machines.md"


@attrs.frozen
class Recipe:
    """A heading, and the programs and sessions below it."""

    title: str
    blocks: tuple[str, ...]


def recipes() -> Iterator[Recipe]:
    """The recipes of the cookbook, in order; the first has no title and is what all begin with."""
    text = COOKBOOK.read_text(encoding="utf-8")
    lines = text.splitlines()
    headings = [(0, ""), *((n, line[4:]) for n, line in enumerate(lines) if line.startswith("### "))]
    ends = [*(at for at, _ in headings[1:]), len(lines)]
    blocks = [(first, "\n".join(block) + "\n") for first, info, block in fences(text) if info == "python"]
    for (start, title), end in zip(headings, ends, strict=True):
        yield Recipe(title, tuple(code for first, code in blocks if start <= first < end))


START, *RECIPES = recipes()


def test_there_is_a_recipe_for_most_things() -> None:
    """There are more than thirty, with different titles, and each shows something."""
    assert len({recipe.title for recipe in RECIPES}) == len(RECIPES) > 30
    assert all(recipe.blocks for recipe in RECIPES)
    assert all(any(block.startswith(">>>") for block in recipe.blocks) for recipe in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.title)
def test_a_recipe_stands_alone(recipe: Recipe) -> None:
    """With the first lines of the page and nothing else of it, a recipe prints what it shows."""
    names: dict[str, object] = {"__name__": "recipe"}
    said = StringIO()
    for block in (*START.blocks, *recipe.blocks):
        if not block.startswith(">>>"):
            exec(block, names)
            continue
        session = doctest.DocTestParser().get_doctest(block, names, recipe.title, None, None)
        runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(session, out=said.write, clear_globs=False)
        names = session.globs

    assert said.getvalue() == ""


def test_every_name_of_histrio_machines_has_its_reference() -> None:
    """What `histrio.machines` exports stands on the page about what is around machines, each name once."""
    text = (DOCS / "reference" / "around-machines.md").read_text(encoding="utf-8")
    shown = re.findall(r"^::: histrio\.machines\.(\w+)$", text, re.MULTILINE)
    tree = ast.parse(inspect.getsource(histrio.machines))
    public = [alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names]

    assert sorted(shown) == sorted(public)


# -- machines.md -------------------------------------------------------------------------------------------------------


def test_the_table_of_relations_has_all_that_a_state_can_be() -> None:
    """M10: each keyword of `State` that relations or the machine go by has its row, and no row another one."""
    rows = re.findall(r"^\| `(\w+)[=(]", section(MACHINES, "What states are to each other"), re.MULTILINE)
    keywords = set(inspect.signature(State).parameters) - {"args", "tags"}

    assert set(rows) == keywords | {"exclusive"}


class Hall(States):
    """The schema of the example."""

    stage = State()
    silence = State()
    reading = State(require=[silence])
    concert = State(add=["band"])
    band = State(add=["lights"], require=[stage])
    lights = State()
    exclusive(silence, concert)


def test_resolution_goes_step_by_step_as_the_table_says() -> None:
    """M2: the lists of the table are those of the rules, one step after the other."""
    rows = re.findall(r"^\| (\w+) \| .* \| ([\w, ]+) \|$", section(MACHINES, "Resolution, step by step"), re.MULTILINE)
    shown = [(step, names.split(", ")) for step, names in rows if step != "step"]
    rules = Rules(Hall.schema().definitions)
    active, called = ["silence", "reading"], ["concert"]

    names = [*called, *active]
    steps = [("base", names)]
    names = rules.closure(names, active, called, [])
    steps.append(("add", names))
    for _ in range(2):
        names = rules.without_lacking(names)
        steps.append(("require", names))
        names = rules.without_removed(names)
        steps.append(("remove", names))
    steps.append(("order", rules.order(names)))

    assert shown == steps
    assert rules.without_removed(rules.without_lacking(names)) == names
    assert names == rules.resolve(active, "add", called)


def test_the_page_shows_the_schema_that_is_tested() -> None:
    """The example on the page has the relations of `Hall`."""
    (program,) = (b for _, _, b in fences(MACHINES.read_text(encoding="utf-8")) if b[0] == "class Hall(States):")
    names: dict[str, object] = {"State": State, "States": States, "exclusive": exclusive}
    exec("\n".join(program), names)
    hall = names["Hall"]

    assert isinstance(hall, type(Hall))
    assert hall.schema().definitions == Hall.schema().definitions


def test_the_drawn_automaton_is_what_the_machine_does() -> None:
    """M11: each arrow of the drawing leads from states to states as the machine goes."""
    drawing = next(block for _, _, block in fences(MACHINES.read_text(encoding="utf-8")) if "(stage)" in str(block))
    text = "\n".join(drawing)
    labels = {name: label.replace("<br/>", " ") for name, label in re.findall(r'(n\d+)\(\("(.*?)"\)\)', text)}
    arrows = re.findall(r'(n\d+)(?:\(\(.*?\)\))? -->\|"(\w+)\((\w+)\)"\| (n\d+)', text)

    assert len(arrows) == 4
    for source, op, state, target in arrows:
        machine: Machine = Machine(Hall)
        machine.add(*active(labels[source]))
        assert machine.names == active(labels[source])
        getattr(machine, op)(state)
        assert machine.names == active(labels[target])


def active(label: str) -> tuple[str, ...]:
    """The states that a node is labelled with."""
    return () if label == "nothing" else tuple(label.split(", "))


def section(page: Path, title: str) -> str:
    """What stands below a heading of a page, up to the next one."""
    text = page.read_text(encoding="utf-8")
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
