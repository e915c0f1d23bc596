"""The tree as data and as a drawing: what it tells of an actor, also between two lives, and of very many of them."""

import sys
from collections.abc import Awaitable, Callable
from typing import cast

import attrs
import pytest
import trio
from tests.actors.doer import Do, Doer, Note, through_the_door
from tests.inside import cell_of
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio.tree import Node, branches
from histrio_kernel.bounds import bound


class Fails(histrio.Actor[str]):
    """Fails with the text that it is told."""

    async def receive(self, message: str) -> None:
        raise ValueError(message)


def line_of(system: histrio.System, name: str) -> str:
    """The line of the drawing that has *name*, from its name on."""
    (line,) = [line for line in str(system.tree()).splitlines() if f" {name} " in line]
    return line[line.index(name) :]


async def test_restarts_are_told(autojump_clock: MockClock) -> None:
    """S8: The tree tells which incarnation lives, and what ended the one before; between two it names the class."""
    async with histrio.open_system() as system:
        spec = histrio.child("store", Fails)
        backoff = histrio.Backoff(first_s=1)
        supervisor = await system.spawn(histrio.child("shop", histrio.Supervisor, spec, backoff=backoff))
        store = supervisor.child(spec)
        seen = [line_of(system, "store")]
        await store.tell("no such shelf")
        await wait_all_tasks_blocked()
        seen.append(line_of(system, "store"))
        node = system.tree().children[0].children[0]
        await trio.sleep(2)
        seen.append(line_of(system, "store"))

    failure = "last failure: ValueError: no such shelf"
    assert seen == [
        "store  Fails  running",
        f"store  Fails  restarting  ({failure})",
        f"store  Fails  running  (incarnation 2, {failure})",
    ]
    assert (node.incarnation, node.last_failure, node.phase) == (1, "ValueError: no such shelf", "restarting")


class Line(histrio.States):
    """Of a telephone."""

    ringing = histrio.State()
    busy = histrio.State(add=[ringing])


class Telephone(histrio.Actor[str], states=Line):
    """Rings when it is told to."""

    async def receive(self, message: str) -> None:
        self.states.add(Line.busy)


async def test_active_states_are_told(autojump_clock: MockClock) -> None:
    """S8: The tree tells which states of an actor's machine are active."""
    async with histrio.open_system() as system:
        telephone = await system.spawn(Telephone, name="telephone")
        seen = [line_of(system, "telephone")]
        await telephone.tell("ring")
        await wait_all_tasks_blocked()
        seen.append(line_of(system, "telephone"))
        node = system.tree().children[0]

    assert seen == ["telephone  Telephone  running", "telephone  Telephone  running  (busy + ringing)"]
    assert node.states == ("busy", "ringing")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("two\nlines", "ValueError: two lines"),
        ("\x1b[2J\x1b[31mred\a", "ValueError: [2J [31mred"),
        ("long " * 1_000_000, f"ValueError: {'long ' * 21}..."),
    ],
    ids=["lines", "escapes", "long"],
)
async def test_a_failure_stays_on_its_line(autojump_clock: MockClock, said: str, shown: str) -> None:
    """S8: Whatever an error says, it cannot break the drawing, move a terminal's cursor, or fill the screen."""
    async with histrio.open_system() as system:
        spec = histrio.child("store", Fails)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        await supervisor.child(spec).tell(said)
        await trio.sleep(1)
        node = system.tree().children[0].children[0]

    assert node.last_failure == shown
    assert len(shown) <= 120


async def test_a_pause_is_told_when_it_is_wanted_and_when_it_is_there() -> None:
    """S6: While a handler still waits, the phase is as before, and the tree says that it is to be paused."""
    async with histrio.open_system() as system:
        doer = await system.spawn(Doer, name="doer")
        answer = doer.ask(Do(through_the_door))
        await wait_all_tasks_blocked()
        paused = doer.control.pause()
        wanted, node = line_of(system, "doer"), system.tree().children[0]
        actor = cell_of(system, doer).actor
        assert isinstance(actor, Doer)
        actor.door.set(None)  # past the inbox, of which nothing is taken any more
        await answer
        await paused

        assert (wanted, node.phase, node.paused) == (
            "doer  Doer  running  (1 in flight, to be paused)",
            "running",
            True,
        )
        assert line_of(system, "doer") == "doer  Doer  paused"
        assert system.tree().children[0].paused
        doer.control.resume()
        assert line_of(system, "doer") == "doer  Doer  running"


async def test_a_name_stays_on_its_line() -> None:
    """S8: A name that holds a line break is drawn without it; the path in the data is the true one."""
    async with histrio.open_system() as system:
        await system.spawn(Doer, name="two\nlines")
        tree = system.tree()

    assert str(tree).splitlines()[1:] == ["└─ two lines  Doer  running"]
    assert tree.children[0].path == "/two\nlines"


async def _wide(system: histrio.System, count: int) -> None:
    for _ in range(count):
        await system.spawn(Doer)


async def _deep(system: histrio.System, count: int) -> None:
    async def spawn(actor: Doer) -> object:
        return await actor.spawn(Doer, name="d")

    doer: histrio.Ref[Do | Note] = await system.spawn(Doer, name="d")
    for _ in range(count - 1):
        doer = cast("histrio.Ref[Do | Note]", await doer.ask(Do(spawn)))


def calls_of(function: Callable[[], object]) -> int:
    """How many calls *function* makes, of Python and of C."""
    count = 0

    def see(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(see)
    try:
        function()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(("grow", "count"), [(_wide, 300), (_deep, bound("depth_max") // 3)])
async def test_a_large_tree_is_told_in_linear_time(
    grow: Callable[[histrio.System, int], Awaitable[None]], count: int
) -> None:
    """S8: Three times the actors cost three times the calls, side by side or one below the other."""
    calls: list[int] = []
    for times in (1, 3):
        async with histrio.open_system() as system:
            await grow(system, times * count)
            calls.append(calls_of(lambda: str(system.tree())))
            assert sum(1 for _ in system.tree().walk()) == times * count + 1
            assert len(str(system.tree()).splitlines()) == times * count + 1

    assert calls[1] <= 3.1 * calls[0]


def test_a_tree_may_be_deeper_than_calls_may_be() -> None:
    """S8: It is walked and drawn without recursion."""
    node = Node("/0", "Doer", "running")
    for number in range(1, 3 * sys.getrecursionlimit()):
        node = Node(f"/{number}", "Doer", "running", children=(node,))

    assert str(node).endswith("└─ 0  Doer  running")
    assert [each.path for each in node.walk()][-1] == "/0"


def test_only_so_many_children_are_drawn() -> None:
    """S8: A line tells how many more there are; what is not shown is not looked at."""
    leaf = Node("/a/leaf", "Leaf", "running", children=(Node("/a/leaf/x", "Leaf", "running"),))
    top = Node("/a", "Top", "running", children=(leaf,) * 10_000)
    root = Node("/", "system", "running", children=(top, attrs.evolve(leaf, path="/b")))

    drawn = [f"{branch.lines}{branch.left_out or branch.node.name}" for branch in branches(root, 2)]

    assert drawn == [
        "/",
        "├─ a",
        "│  ├─ leaf",
        "│  │  └─ x",
        "│  ├─ leaf",
        "│  │  └─ x",
        "│  └─ 9998",
        "└─ b",
        "   └─ x",
    ]
    assert [branch.left_out for branch in branches(root, 0)] == [0, 2]
    assert calls_of(lambda: list(branches(root, 2))) < 300
