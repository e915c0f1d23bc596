"""M9: what a machine does, in lines: as much as is asked for, and no argument that was not named."""

import logging
from collections.abc import Callable
from typing import Final

import attrs
import pytest
from tests.machine.around.small import MULTI, PLAIN, machine_of, when
from tests.machine.lab import Keeper

from histrio_kernel.machine.around.logs import LogLevel, MachineLog, allowed
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.machine import Machine as ShellMachine
from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.state import State


class Owner:
    """Whose handlers are called."""


def busy_machine() -> Machine[str]:
    """One with relations, an auto state, a veto and a handler that fails."""
    machine = machine_of(
        "pump",
        "water",
        wet=Definition(require=["water"], add=["cold"], remove=["dry"]),
        cold=PLAIN,
        dry=Definition(auto=True, remove=["wet"]),
        never=PLAIN,
        broken=PLAIN,
    )
    machine.set_shell(Keeper())

    def veto(owner: object, transition: Transition) -> bool:
        return False

    def fail(owner: object, transition: Transition) -> None:
        raise OSError("bro\nken")

    slots = [Handler(Slot(Kind.MAY_ENTER, "never"), veto), Handler(Slot(Kind.ENTERED, "broken"), fail)]
    machine.bind(HandlerTable(slots), Owner())
    return machine


def a_life(machine: Machine[str], log: MachineLog[str]) -> None:
    """Something of everything."""
    log.say("hello")
    machine.add("water", args={"n": 3})
    machine.add("wet")
    machine.add("never")
    machine.add("broken")
    machine.can_add("wet")
    machine.evolve(Schema({**machine.schema.definitions, "new": PLAIN}))
    machine.dispose()


# What is told from which level on, in order.
LIFE: Final = """
1 say hello
3 add water (n=3)
2 state +water
4 auto dry
2 state:auto +dry
3 add wet
4 decided cold: implied by wet
4 decided dry: removed by wet
2 state +cold +wet -dry
3 add never
5 handler never.may_enter of Owner
4 canceled add never: vetoed by never.may_enter
3 add broken
2 state +broken
5 handler broken.entered of Owner
2 rolled back broken
2 error OSError: bro\\nken in add broken
2 error OSError: bro\\nken
3 add exception from pump/5
2 state +exception
3 can add wet
2 schema +new
3 evolve
2 disposed
"""


@pytest.mark.parametrize("level", LogLevel)
def test_each_level_tells_what_it_tells(level: LogLevel) -> None:
    """M9: every line of a life stands in the log from its level on, and no other line; at the highest, queue ends too."""
    machine, lines = busy_machine(), list[str]()
    a_life(machine, MachineLog(machine, lines.append, level, args=["n"]))

    rows = [(int(row[0]), row[2:]) for row in LIFE.strip().split("\n")]
    expected = [f"pump {shown(text)}" for least, text in rows if least <= level]
    assert [line for line in lines if "queue" not in line] == expected
    assert ("pump [queue end]" in lines) is (level == LogLevel.EVERYTHING)


def shown(row: str) -> str:
    """A row of the table as a line has it: its kind in brackets."""
    for kind in ("rolled back", "can add"):
        if row.startswith(kind):
            return f"[{kind}]{row.removeprefix(kind)}"
    kind, _, text = row.partition(" ")
    return f"[{kind}]{' ' if text else ''}{text}"


def lines_of(machine: Machine[str], level: LogLevel, do: Callable[[], object]) -> list[str]:
    """What is told while something is done, without the name."""
    lines: list[str] = []
    with MachineLog(machine, lines.append, level):
        do()
    return [line.partition(" ")[2] for line in lines]


def test_a_refusal_tells_by_whom() -> None:
    """M9: what the relations refuse is told with the chain of causes."""
    machine = busy_machine()
    assert lines_of(machine, LogLevel.DECISIONS, lambda: machine.set("wet"))[1:] == [
        "[refused] set wet: wet requires water"
    ]
    machine = machine_of("m", a=Definition(require=["b"]), b=PLAIN, c=Definition(remove=["b"]))
    machine.add("c")
    told = lines_of(machine, LogLevel.DECISIONS, lambda: machine.add("a", "b"))
    assert told[1:] == ["[refused] add a, b: a requires b, and c removes b; c removes b"]


def test_an_auto_state_that_is_let_go() -> None:
    """M9: which auto states were called and did not come, and why."""
    machine = machine_of("m", "go", x=Definition(auto=True), y=Definition(auto=True, require=["z"]), z=PLAIN)
    when(machine, "x", lambda t: False, Kind.MAY_ENTER)
    told = lines_of(machine, LogLevel.DECISIONS, lambda: machine.add("go", "z"))
    assert "[let go] x: vetoed" in told
    machine.remove("z")
    told = lines_of(machine, LogLevel.DECISIONS, lambda: machine.remove("go"))
    assert "[refused] add x, y: y requires z" not in told


def test_what_waits_is_told() -> None:
    """M9: a mutation from inside a handler is told when it is queued, and again when its turn comes, with its source."""
    machine = machine_of("m", "a", "b")
    when(machine, "a", lambda t: machine.add("b"))
    told = lines_of(machine, LogLevel.EVERYTHING, lambda: machine.add("a"))

    assert told.index("[queued] add b") < told.index("[add] b from m/1")


def test_the_level_can_be_changed() -> None:
    """M9: from the next line on."""
    machine, lines = machine_of("m", "a"), list[str]()
    log = MachineLog(machine, lines.append, LogLevel.NOTHING)
    machine.add("a")
    assert lines == []
    log.level = LogLevel.CHANGES
    machine.remove("a")
    log.say("said")
    assert lines == ["m [state] -a", "m [say] said"]
    log.close()
    log.say("unheard")
    assert len(lines) == 2


def test_a_logger_gets_levels_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """M9: changes are INFO, errors WARNING, all else DEBUG; a percent sign in a name is one."""
    machine = machine_of("100%s", "a", x=MULTI)
    logger = logging.getLogger("tests.machine")
    with caplog.at_level(logging.DEBUG, "tests.machine"):
        MachineLog(machine, logger, LogLevel.OPERATIONS)
        machine.fail(OSError("gone"))

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "100%s [error] OSError: gone"),
        (logging.DEBUG, "100%s [add] exception"),
        (logging.INFO, "100%s [state] +exception"),
    ]


@attrs.frozen
class Login:
    """Arguments, some of which are nobody's business."""

    user: str
    password: str


class Door(States):
    """States with arguments."""

    open = State(Login)
    shut = State()


class Odd:
    """A value that cannot be shown."""

    def __repr__(self) -> str:
        raise RuntimeError


def test_only_named_arguments_are_shown() -> None:
    """M9: of typed arguments, of dicts and of objects the named ones, each on one line and cut to 20 characters."""
    door, lines = ShellMachine(Door, "door"), list[str]()
    MachineLog(door, lines.append, LogLevel.OPERATIONS, args=["user", "n"])
    door.add(Door.open("x" * 50, "secret"))
    door.add(Door.shut)
    assert lines[0] == "door [add] open (user='xxxxxxxxxxxxxxxx...)"
    assert not any("secret" in line for line in lines)

    mapper = allowed(["user", "n"])
    assert mapper({"n": "a\nb", "password": "secret"}) == {"n": "'a\\nb'"}
    assert mapper(Login("me", "secret")) == {"user": "'me'"}
    assert mapper({"n": Odd()}) == {"n": "<Odd: RuntimeError>"}
    assert mapper(None) == {}
    assert all(len(text) <= 20 for text in mapper({"user": "x" * 99, "n": range(10**30)}).values())
    with pytest.raises(TypeError, match=r"write \['user'\]"):
        allowed("user")


def test_a_mapper_of_ones_own() -> None:
    """M9: a function may make the text of the arguments."""
    machine, lines = machine_of("m", "a"), list[str]()
    MachineLog(machine, lines.append, LogLevel.OPERATIONS, args=lambda args: {"kind": type(args).__name__})
    machine.add("a", args=3)

    assert lines[0] == "m [add] a (kind=int)"


def test_a_place_that_raises_costs_the_log_only() -> None:
    """M9: the machine goes on; the log is reported once and detached."""
    machine, keeper = machine_of("m", "a"), Keeper()
    machine.set_shell(keeper)

    def full(line: str) -> None:
        raise OSError("disk is full")

    log = MachineLog(machine, full)
    assert machine.add("a")
    assert machine.remove("a")
    assert keeper.failed == [log]
