"""S2, S4: actors that have actors: what their names are, and how they start."""

from contextvars import ContextVar
from functools import partial
from typing import Any, Generic, TypeVar, cast

import pytest
import trio
import trio.testing
from tests.actors.family import Child, Do, Parent, Quiet, Work, settle, spawn_children

import histrio
from histrio import Ref

T = TypeVar("T")
Clock = trio.testing.MockClock


# -- names -------------------------------------------------------------------------------------------------------------


async def test_a_child_lives_below_its_parent() -> None:
    """A13, S4: its path is that of its parent and its own name, however deep."""

    async def have_a_grandchild(parent: Parent) -> object:
        child = await parent.spawn(Parent, name="child")
        return await child.ask(Do(lambda child: child.spawn(Quiet, name="grandchild")))

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent, name="front")
        grandchild = cast(Ref[Work], await parent.ask(Do(have_a_grandchild)))

        assert grandchild.path == "/front/child/grandchild"
        assert await grandchild.ask(Work("hello")) == "hello"
        assert system.find(Quiet, "/front/child/grandchild") == grandchild


async def test_names_are_counted_per_parent_and_class() -> None:
    """A13: without a name it is the class's, in small letters, and a number that is never used again there."""

    class Conn(Quiet):
        pass

    class _Hidden(Quiet):
        pass

    async def spawn_some(parent: Parent) -> list[str]:
        spawned = [await parent.spawn(kind) for kind in (Conn, Quiet, Conn, _Hidden)]
        await spawned[2].control.kill()
        spawned.append(await parent.spawn(Conn))
        return [ref.path for ref in spawned]

    async with histrio.open_system() as system:
        for name in ("front", "back"):
            parent = await system.spawn(Parent, name=name)
            assert await parent.ask(Do(spawn_some)) == [
                f"/{name}/{child}" for child in ("conn#1", "quiet#1", "conn#2", "hidden#1", "conn#3")
            ]


@pytest.mark.parametrize("name", ["", "a/b", "/", "conn#3", "#", 3, b"bytes", ("a",)])
async def test_what_is_no_name_is_refused(name: Any) -> None:
    """A13: an empty name, one with "/" or "#", or what is no text: `ValueError` that shows it, and nothing was made."""
    made: list[object] = []

    class Noted(Quiet):
        def __init__(self) -> None:
            made.append(self)

    async with histrio.open_system() as system:
        with pytest.raises(ValueError, match="is no name") as caught:
            await system.spawn(Noted, name=name)
        assert repr(name) in str(caught.value)
        assert system.tree().children == ()
        assert made == []


async def test_a_name_is_taken_while_its_actor_lives() -> None:
    """A13: a duplicate is a `ValueError` that names both; other parents may use it, and so may this one afterwards."""
    async with histrio.open_system() as system:
        first = await system.spawn(Parent, name="store")
        assert await first.ask(Do(path_of_child_called_store)) == "/store/store"
        with pytest.raises(ValueError, match=r"/ has a child called 'store' already"):
            await system.spawn(Quiet, name="store")
        first.control.stop()
        with pytest.raises(ValueError, match="already"):
            await system.spawn(Quiet, name="store")
        await first.join()
        again = await system.spawn(Quiet, name="store")

        assert await again.ask(Work("new")) == "new"


async def path_of_child_called_store(parent: Parent) -> str:
    """Spawn a child of that name."""
    return (await parent.spawn(Quiet, name="store")).path


# -- what can be spawned -----------------------------------------------------------------------------------------------


class NoActor:
    pass


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (NoActor, "NoActor"),
        (histrio.Actor, "Actor"),
        (Quiet(), r"give the class and its arguments, spawn\(Quiet, \.\.\.\), not an instance"),
        (Quiet.receive, "Quiet.receive"),
        (None, "None"),
        ("Quiet", "'Quiet'"),
        (partial(NoActor), "NoActor"),
        (int, "int"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
async def test_only_an_actor_class_is_spawned(given: Any, said: str) -> None:
    """S4: anything else is a `ValueError` that shows it; nothing of it was called."""
    async with histrio.open_system() as system:
        with pytest.raises(ValueError, match=rf"spawn\(\) takes an actor class.*{said}"):
            await system.spawn(given)


async def test_arguments_go_to_init() -> None:
    """S4: positional ones directly, keywords by `functools.partial`; a generic class may be given its parameter."""

    class Cell(histrio.Actor[Do], Generic[T]):
        def __init__(self, value: T, *, twice: bool = False) -> None:
            self.value = (value, value) if twice else value

        async def receive(self, message: Do) -> object:
            return self.value

    ask = Do(path_of_child_called_store)
    async with histrio.open_system() as system:
        assert await (await system.spawn(Cell[int], 3)).ask(ask) == 3
        twice = partial(partial(Cell[str], twice=True), "x")
        assert await (await system.spawn(twice, name="twice")).ask(ask) == ("x", "x")


async def test_an_init_that_raises_raises_from_spawn() -> None:
    """S4: the error of `__init__` leaves `spawn` as it is; no actor was made and its name is free."""

    class Broken(Quiet):
        def __init__(self, value: int) -> None:
            raise KeyError(value)

    async with histrio.open_system() as system:
        with pytest.raises(KeyError, match="3"):
            await system.spawn(Broken, 3, name="broken")
        with pytest.raises(TypeError):
            await system.spawn(Broken, name="broken")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert system.tree().children == ()
        await system.spawn(Quiet, name="broken")


# -- starting ----------------------------------------------------------------------------------------------------------


async def test_spawn_returns_when_the_child_has_started() -> None:
    """S2: children start one after the other, each awaited until its `started()` returned."""
    log: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)
        await parent.ask(Do(partial(spawn_children, log)))

        assert log == [f"{name} {what}" for name in "abc" for what in ("starts", "started")]


async def test_spawn_gives_the_turn_away() -> None:
    """A2, S2: while its child starts the parent handles other messages, so `started()` may ask its parent."""

    class Asking(histrio.Actor[Work]):
        async def started(self) -> None:
            parent = cast(Ref[Do], self.parent)
            answers.append(await parent.ask(Do(answer)))

    async def answer(parent: Parent) -> str:
        return "from the parent"

    answers: list[object] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)
        await parent.ask(Do(lambda parent: parent.spawn(Asking)))

    assert answers == ["from the parent"]


async def spawn_gated(system: histrio.System, kind: type[Child], log: list[str]) -> None:
    """Spawn a child that takes its time to start."""
    await system.spawn(kind, "gated", log, name="gated")


async def test_mail_waits_until_the_child_has_started() -> None:
    """S2: what comes before is accepted and handled then; what `tell_first` put in goes before all of it."""
    log: list[str] = []
    gate = trio.Event()

    class Gated(Child):
        async def started(self) -> None:
            self.tell_first(Work("first"))
            self.log.append("starts")
            await gate.wait()

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        nursery.start_soon(spawn_gated, system, Gated, log)
        await settle()
        gated = system.find(Gated, "/gated")
        assert gated is not None
        await gated.tell(Work("second"))
        await settle()
        assert log == ["starts"]
        gate.set()
        await settle()

        assert log == ["starts", "gated first", "gated second"]


async def test_tell_first_goes_before_a_full_inbox() -> None:
    """S2: it needs no room, and checks the type like any `tell`."""
    log: list[str] = []
    gate = trio.Event()

    class Gated(Child):
        inbox_max = 1

        async def started(self) -> None:
            await gate.wait()
            self.tell_first(Work("first"))
            with pytest.raises(TypeError, match="/gated"):
                self.tell_first(cast(Work, "no work"))

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        nursery.start_soon(spawn_gated, system, Gated, log)
        await settle()
        gated = system.find(Gated, "/gated")
        assert gated is not None
        await gated.tell(Work("second"))
        nursery.start_soon(gated.tell, Work("third"))
        await settle()
        gate.set()
        await settle()

        assert log == ["gated first", "gated second", "gated third"]


class FailsToStart(Child):
    async def started(self) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError("no such device")


async def test_a_failure_to_start_is_told_to_whoever_spawned() -> None:
    """S2: `spawn` raises `ActorFailed` with the cause; a parent that catches it lives on, without that child."""

    async def try_to_spawn(parent: Parent) -> object:
        with pytest.raises(histrio.ActorFailed, match="/parent/broken") as caught:
            await parent.spawn(FailsToStart, name="broken")
        assert isinstance(caught.value.__cause__, OSError)
        await parent.spawn(Quiet, name="broken")
        return [child.path for child in parent.children]

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent, name="parent")
        assert await parent.ask(Do(try_to_spawn)) == ["/parent/broken"]

        with pytest.raises(histrio.ActorFailed, match="no such device"):
            await system.spawn(FailsToStart)
        assert [node.path for node in system.tree().children] == ["/parent"]


async def test_a_failure_to_start_that_is_not_caught_fails_the_parent() -> None:
    """A9, S2: it is an error of the handler that spawned, like any other."""

    async def life() -> None:
        async with histrio.open_system() as system:
            parent = await system.spawn(Parent, name="parent")
            await parent.tell(Do(lambda parent: parent.spawn(FailsToStart)))
            await system.wait()

    with pytest.raises(histrio.SystemFailed, match=r"/parent.*no such device"):
        await life()


async def test_starting_has_a_deadline(autojump_clock: Clock) -> None:
    """S2: after `start_s` the child is cancelled, and `spawn` raises `ActorFailed` which says so."""

    class Endless(Child):
        start_s = 3

        async def started(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                self.log.append("cleaned up")

    log: list[str] = []
    async with histrio.open_system() as system:
        begun = trio.current_time()
        with pytest.raises(histrio.ActorFailed, match=r"started.. took longer than start_s = 3") as caught:
            await system.spawn(Endless, "endless", log)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert trio.current_time() - begun == 3
        assert log == ["cleaned up"]
        assert system.tree().children == ()


async def test_a_cancelled_spawn_kills_the_child(autojump_clock: Clock) -> None:
    """S2: when `spawn` raises `Cancelled` the child has ended, its cleanup included; nobody was told of a failure."""

    class SlowToDie(Child):
        async def started(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(2)
                self.log.append("cleaned up")

    async def try_to_spawn(log: list[str], parent: Parent) -> object:
        with trio.move_on_after(1) as scope:
            await parent.spawn(SlowToDie, "slow", log, name="slow")
        return (scope.cancelled_caught, list(log), parent.children)

    log: list[str] = []
    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)
        assert await parent.ask(Do(partial(try_to_spawn, log))) == (True, ["cleaned up"], ())
        with trio.move_on_after(1) as scope:
            await system.spawn(SlowToDie, "slow", log)
        assert scope.cancelled_caught
        assert log == ["cleaned up"] * 2
        assert [node.path for node in system.tree().children] == [parent.path]


async def test_a_spawn_in_a_cancelled_scope_leaves_no_child() -> None:
    """A14, S2: where `spawn` is a checkpoint nothing was made when it raises `Cancelled`; else it returns the ref."""
    async with histrio.open_system() as system:
        refs: list[Ref[Work]] = []
        with trio.CancelScope() as scope:
            scope.cancel()
            for _ in range(200):
                refs.append(await system.spawn(Quiet))  # noqa: PERF401 - those before the Cancelled count
        assert scope.cancelled_caught

        assert [node.path for node in system.tree().children] == [ref.path for ref in refs]


async def test_a_child_lives_in_the_context_of_its_spawn() -> None:
    """A4, S4: context variables are as they were where `spawn` was called; what is set there later does not travel."""
    var = ContextVar("var", default="none")

    class Reads(Quiet):
        async def started(self) -> None:
            seen.append(var.get())
            var.set("of the child")

        async def receive(self, message: Work) -> str:
            return var.get()

    async def spawn_in_context(parent: Parent) -> object:
        before = var.get()
        var.set("of the handler")
        child = await parent.spawn(Reads)
        var.set("later")
        return (before, await child.ask(Work()))

    seen: list[str] = []
    async with histrio.open_system() as system:
        var.set("of the body")
        parent = await system.spawn(Parent)
        var.set("afterwards")

        assert await parent.ask(Do(spawn_in_context)) == ("of the body", "of the handler")
        assert seen == ["of the handler"]


async def test_other_tasks_of_the_actor_spawn_too() -> None:
    """S4: work in `self.io` and child tasks of a handler may spawn; the child is the actor's."""

    async def spawn_everywhere(parent: Parent) -> object:
        await parent.io(partial(parent.spawn, Quiet, name="io"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(parent.spawn, Quiet, name="nursery"))
        return [child.path for child in parent.children]

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent, name="parent")

        assert await parent.ask(Do(spawn_everywhere)) == ["/parent/io", "/parent/nursery"]
