"""Facts about the whole repository: who may import whom, what every file has, and that each promise is tested."""

# Style that only people know is forgotten. What a lint rule can say stands in pyproject.toml and kernel/ruff.toml;
# what it cannot stands here, as data first and one test each below.

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from tests.docs_programs import fences, pages
from tests.effort import TABLE

pytestmark = pytest.mark.workshop

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE_ROOTS: Final = {"histrio_kernel": ROOT / "kernel", "histrio": ROOT / "actors"}
LINES_MAX: Final = 500

# The floors of the kernel, from the ground. A module imports from its own floor and from those below.
FLOORS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "errors",
        "bounds",
        "parking",
        "moments",
        "contexts",
        "lifecycle",
        "signals",
        "futures",
        "feed",
        "made",
        "nudges",
        "over",
        "operands",
        "combinators",
        "letters",
        "combine",
        "machine.core",
        "machine.states",
        "machine.around",
        "belonging",
    ),
    (
        "asks",
        "entries",
        "overflow",
        "inbox",
        "channels",
        "driver",
        "default_driver",
        "engine",
        "real",
        "log",
        "log_format",
    ),
    ("account", "gate", "interrupt", "turn", "visiting", "settings", "handling", "intake", "lane"),
    ("io", "doors", "journal"),
    ("machine.shell", "incarnation", "cell", "stuck", "loop_watchdog", "watchdog"),
)

# What each of these may not import, besides what its floor says.
FORBIDDEN: Final = {
    "histrio_kernel": {"histrio"},
    "histrio_kernel.machine.core": {"histrio", "histrio_kernel", "trio"},
    "histrio_kernel.machine.states": {"histrio", "trio"},
}

# The one folder that may use names that Trio keeps to itself.
INSIDE_TRIO: Final = "kernel/histrio_kernel/simulation/"

# Files of more than LINES_MAX lines, each with its reason.
LONG: Final[dict[str, str]] = {
    "kernel/histrio_kernel/inbox.py": "one class: queue, line and selection change together and share their invariants",
    "actors/histrio/supervision/overseer.py": "the rules of one OTP module; they share what is decided and not yet done",
    "kernel/histrio_kernel/machine/shell/waits.py": "each kind of wait, and the register that they stand in and leave",
    "tests/machine/shell/test_tasks.py": "the tasks of states, from before their first step to after their last",
    "kernel/histrio_kernel/incarnation.py": "one life from its start to its end; what ends it, and what follows, is in cell",
}

# The numbered promises of the design that the code has reached.
PROMISES: Final = tuple(
    f"{section}{number}"
    for section, last in (("A", 18), ("F", 9), ("E", 4), ("S", 9), ("M", 12), ("D", 6), ("J", 7))
    for number in range(1, last + 1)
)

# What a fence may be called. "python" is a program: it runs, and both type checkers read it. There is no second
# spelling of it that would escape them.
FENCE_LANGUAGES: Final = {"python", "text", "console", "bash", "toml", "json", "mermaid"}


def python_files(*folders: str) -> list[Path]:
    """Every Python file below these folders of the repository."""
    return sorted(chain.from_iterable((ROOT / folder).rglob("*.py") for folder in folders))


ALL_FILES: Final = [ROOT / "conftest.py", *python_files("kernel", "actors", "tests", "examples")]
LIBRARY: Final = python_files("kernel/histrio_kernel", "actors/histrio")


@cache
def tree_of(path: Path) -> ast.Module:
    """What a file says."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name_of(path: Path) -> str:
    """The repository's name of a file, as a reader would give it."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """The import name of a file of the library."""
    source_root = next(root for root in SOURCE_ROOTS.values() if path.is_relative_to(root))
    parts = path.relative_to(source_root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES: Final = {module_of(path): path for path in LIBRARY}


def imported_by(path: Path) -> Iterator[str]:
    """The modules that a file imports; `from package import submodule` is an import of the submodule."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: a relative import hides which way the arrow runs"
            assert node.module is not None
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in MODULES else node.module


def is_within(module: str, package: str) -> bool:
    """Whether *module* is *package* or below it."""
    return module == package or module.startswith(package + ".")


def floor_of(module: str) -> int:
    """The floor of a kernel module, from 0."""
    inside = module.removeprefix("histrio_kernel.")
    for floor, names in enumerate(FLOORS):
        if any(is_within(inside, name) for name in names):
            return floor
    raise AssertionError(f"{module} stands on no floor: add it to FLOORS in {name_of(Path(__file__))}")


@pytest.mark.parametrize("package", SOURCE_ROOTS)
def test_packages_say_that_they_are_typed(package: str) -> None:
    """Type checkers of users read our annotations: both packages carry py.typed."""
    assert resources.files(package).joinpath("py.typed").is_file()


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrows_run_one_way(package: str) -> None:
    """The kernel never imports the actors, and the machine's core imports neither Trio nor the rest of the kernel."""
    wrong = [
        f"{module} imports {target}"
        for module, path in MODULES.items()
        for target in imported_by(path)
        if is_within(module, package) and not is_within(target, package)
        if any(is_within(target, forbidden) for forbidden in FORBIDDEN[package])
    ]

    assert wrong == []


def test_no_arrow_runs_up() -> None:
    """Every module of the kernel imports from its own floor and below only."""
    inside = [module for module in MODULES if module.startswith("histrio_kernel.")]
    wrong = [
        f"{module} (floor {floor_of(module)}) imports {target} (floor {floor_of(target)})"
        for module in inside
        if MODULES[module].name != "__init__.py" and not is_within(module, "histrio_kernel.simulation")
        for target in imported_by(MODULES[module])
        if target in inside and floor_of(target) > floor_of(module)
    ]

    assert wrong == []


def test_no_circle_of_imports() -> None:
    """The imports of both packages can be put in an order."""
    graph = {module: {target for target in imported_by(path) if target in MODULES} for module, path in MODULES.items()}

    try:
        order = list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail("a circle of imports: " + " -> ".join(reversed(error.args[1])))

    assert set(order) == set(MODULES)


def test_imports_stand_at_the_top() -> None:
    """No import hides in a function, a class or a TYPE_CHECKING block: a file's head tells all it needs."""
    wrong: list[str] = []
    for path in ALL_FILES:
        tree = tree_of(path)
        at_top = {id(node) for node in tree.body}
        imports = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
        wrong.extend(f"{name_of(path)}:{node.lineno}" for node in imports if id(node) not in at_top)

    assert wrong == []


def test_every_module_says_what_is_true_because_of_it() -> None:
    """Every file begins with a docstring."""
    wrong = [name_of(path) for path in ALL_FILES if not ast.get_docstring(tree_of(path))]

    assert wrong == []


def test_files_are_short_or_say_why() -> None:
    """A file holds one idea, in at most LINES_MAX lines; a longer one is listed with its reason, a shorter one is not."""
    long = {name_of(path) for path in ALL_FILES if len(path.read_text(encoding="utf-8").splitlines()) > LINES_MAX}

    assert long == set(LONG)
    assert all(LONG.values())


PRIVATE_OF_TASKS: Final = {name for name in dir(trio.lowlevel.Task) if re.match(r"_[a-z]", name)}


def private_names_of_trio(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The places where a file uses what Trio keeps to itself."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, each.name) for each in names if each.name.startswith("trio._"))
            case ast.ImportFrom(module=str(module), names=names) if is_within(module, "trio"):
                paths = (f"{module}.{each.name}" for each in names)
                yield from ((node.lineno, path) for path in paths if "._" in path)
            case ast.Attribute(value=ast.Name(id="trio"), attr=attr) if attr.startswith("_") and attr != "__version__":
                yield node.lineno, f"trio.{attr}"
            case ast.Attribute(value=value, attr=attr) if attr in PRIVATE_OF_TASKS:
                if not (isinstance(value, ast.Name) and value.id == "self"):
                    yield node.lineno, attr
            case _:
                pass


def test_what_trio_keeps_to_itself_is_used_in_one_folder() -> None:
    """No private name of Trio, and no private attribute of its tasks, is used outside the simulation."""
    wrong = [
        f"{name_of(path)}:{line}: {name}"
        for path in [*LIBRARY, *python_files("examples")]
        if not name_of(path).startswith(INSIDE_TRIO)
        for line, name in private_names_of_trio(tree_of(path))
    ]

    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        "import trio._core",
        "from trio import _core",
        "from trio._core import Runner",
        "import trio\nprint(trio._core)",
        "def f(task): task._cancel_status = None",
    ],
)
def test_private_names_of_trio_are_seen(code: str) -> None:
    """The search above finds each way to write one."""
    assert len(list(private_names_of_trio(ast.parse(code)))) >= 1


def lint(code: str, path: str) -> str:
    """What ruff says of *code* if it stood in that file."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise", "--select=TID251"]
    done = subprocess.run(
        [*command, "--stdin-filename", path, "-"], input=code, cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("import histrio", "kernel/histrio_kernel/turn.py"),
        ("from histrio.system import System", "kernel/histrio_kernel/turn.py"),
        ("import kernel.histrio_kernel", "actors/histrio/system.py"),
        ("import actors.histrio", "kernel/histrio_kernel/turn.py"),
        ("from trio import _core", "kernel/histrio_kernel/turn.py"),
        ("from trio._core import Runner", "actors/histrio/system.py"),
        ("import trio_typing", "examples/three.py"),
    ],
)
def test_lint_refuses_an_arrow_that_runs_up(code: str, path: str) -> None:
    """The lint rules name the forbidden import."""
    assert "TID251" in lint(code, path)


def test_lint_lets_the_actors_use_the_kernel() -> None:
    """The arrow that is allowed passes the lint rules."""
    assert lint("import histrio_kernel\nimport trio\n", "actors/histrio/system.py").strip() in {
        "",
        "All checks passed!",
    }


def banned(path: str, *keys: str) -> dict[str, Any]:
    """The `banned-api` table of a TOML file."""
    table: dict[str, Any] = tomllib.loads((ROOT / path).read_text(encoding="utf-8"))
    for key in (*keys, "lint", "flake8-tidy-imports", "banned-api"):
        table = table[key]
    return table


def test_the_kernel_bans_what_the_project_bans() -> None:
    """A nested ruff file replaces the table of banned names, so the kernel's repeats the project's, and adds the arrow."""
    project, kernel = banned("pyproject.toml", "tool", "ruff"), banned("kernel/ruff.toml")

    assert set(kernel) == {*project, "histrio"}
    assert {name for name in project if kernel[name] != project[name]} == {"actors"}


def documented(path: Path) -> Iterator[tuple[str, str]]:
    """The tests of a file, and the classes that Hypothesis runs as tests, each with its docstring."""
    for node in ast.walk(tree_of(path)):
        is_test = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if is_test or isinstance(node, ast.ClassDef):
            assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield f"{name_of(path)}::{node.name}", ast.get_docstring(node) or ""


TEST_FILES: Final = [path for path in python_files("tests") if path.name.startswith("test_")]


def test_every_test_says_what_it_shows() -> None:
    """Every test has a docstring that states the behaviour."""
    tests = (each for path in TEST_FILES for each in documented(path))
    wrong = [name for name, said in tests if name.rpartition("::")[2].startswith("test_") and not said]

    assert wrong == []


def test_every_promise_is_named_by_a_test() -> None:
    """Each numbered promise of the design stands before the first colon of some test's docstring."""
    named: set[str] = set()
    for path in TEST_FILES:
        for _, said in documented(path):
            named.update(re.findall(r"\b[A-Z]\d{1,2}\b", said.partition(":")[0]))

    assert [promise for promise in PROMISES if promise not in named] == []


def test_every_count_is_asked_for() -> None:
    """No row of the table of efforts is left over."""
    text = "".join(path.read_text(encoding="utf-8") for path in python_files("tests"))

    assert [row.name for row in TABLE if f'count("{row.name}")' not in text] == []


def test_no_program_of_the_docs_escapes_the_checks() -> None:
    """Every fence of a page has one of the known languages, spelled in the one way that conftest.py looks for."""
    wrong = [
        f"{name_of(page)}:{line}: {info!r}"
        for page in pages()
        for line, info, _ in fences(page.read_text(encoding="utf-8"))
        if info not in FENCE_LANGUAGES
    ]

    assert wrong == []


def test_types_are_checked_without_the_stubs_of_trio_typing() -> None:
    """The stubs of trio-typing shadow Trio's own types, so they are not in the environment that checks types."""
    assert importlib.util.find_spec("trio_typing") is None
    assert importlib.util.find_spec("trio-stubs") is None


def test_what_a_program_imports() -> None:
    """`import histrio` brings no test tools along, and sets no context variable for all handlers to be compared by."""
    code = (
        "import contextvars, sys, histrio;"
        " print(sorted({'pytest', 'trio.testing', 'unittest'} & sys.modules.keys()), len(contextvars.copy_context()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] 0\n"
