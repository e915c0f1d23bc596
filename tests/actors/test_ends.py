"""Nobody is left waiting: every way of ending answers everybody who waits, and counts what was never handled (A10)."""

# The first part is a table in code: a scene in which somebody waits in each way there is, and every way to end it.
# Whoever waits does so outside of the system, so that no cancellation of it hides that he was forgotten.

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing
from tests.kernel.works import Boom
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.futures import HOLDERS

Ref = histrio.Ref[Do[object]]


class Busy(Lab):
    """One handler waits, two messages queue, and everybody else stands in line."""

    in_flight_max = 1
    io_max = 8
    inbox_max = 2
    shutdown_s = 1

    def __init__(self, scene: "Scene") -> None:
        super().__init__()
        self.scene = scene

    async def started(self) -> None:
        self.scene.child = await self.spawn(Lab, name="child")
        self.background(self.scene.watch_background)


class ByHand(Lab):
    """Takes an ask in hand, and never answers it."""

    shutdown_s = 1

    async def run(self) -> None:
        await self.receive_next()
        await self.io(trio.sleep_forever)


class Slow(Lab):
    """Never gets through its start."""

    shutdown_s = 1

    async def started(self) -> None:
        await self.io(trio.sleep_forever)


class Parent(Lab):
    """Above the busy one."""

    shutdown_s = 1

    def __init__(self, scene: "Scene") -> None:
        super().__init__()
        self.scene = scene

    async def started(self) -> None:
        self.scene.busy = await self.spawn(Busy, self.scene, name="busy")
        self.scene.by_hand = await self.spawn(ByHand, name="by_hand")


class Scene:
    """Who waits, what he was told, and the levers to end it all."""

    system: histrio.System
    child: Ref
    busy: Ref
    by_hand: Ref
    parent: Ref

    def __init__(self, outside: trio.Nursery) -> None:
        self.outside: Final = outside
        self.around: Final = trio.CancelScope()
        self.told: Final[dict[str, str]] = {}
        self.waiting: Final[set[str]] = set()
        self.handler_fails: Final = trio.Event()
        self.handler_is_interrupted: Final = trio.Event()
        self.background_fails: Final = trio.Event()
        self.never_handled: Final = Do(nothing)

    async def watch_background(self) -> None:
        await self.background_fails.wait()
        raise Boom("background")

    async def handler(self, lab: Lab) -> None:
        await histrio.either(lab.io(self.handler_fails.wait), lab.io(self.handler_is_interrupted.wait))
        raise Boom("handler") if self.handler_fails.is_set() else KeyboardInterrupt

    async def promise(self, lab: Lab) -> histrio.Promise[None]:
        made: histrio.Promise[None] = lab.promise()
        return made

    async def wait(self, name: str, what: Callable[[], Awaitable[object]]) -> None:
        """Begin to wait for *what*, outside."""

        async def until_told() -> None:
            try:
                await what()
            except histrio.HistrioError as error:
                self.told[name] = type(error).__name__
            else:
                self.told[name] = "returned"
            self.waiting.remove(name)

        self.waiting.add(name)
        self.outside.start_soon(until_told)
        await wait_all_tasks_blocked()

    async def set(self, system: histrio.System) -> None:
        """Have everybody wait."""
        self.system = system
        self.parent = await self.system.spawn(Parent, self, name="parent")
        busy, queue = self.busy, self.busy.ask
        promise = await busy.ask(Do(self.promise))
        await self.wait("promise", lambda: wait_for(promise))
        begun = busy.ask(Do(self.handler))
        await self.wait("begun ask", lambda: wait_for(begun))
        another = await self.parent.ask(Do(self.promise))
        await self.wait("combined ask", lambda: wait_for(histrio.both(begun, another)))
        await busy.tell(self.never_handled)
        await self.wait("queued ask", lambda: wait_for(queue(Do(nothing))))
        await self.wait("standing ask", lambda: wait_for(queue(Do(nothing))))
        await self.wait("standing tell", lambda: busy.tell(Do(nothing)))
        await self.wait("standing pair", lambda: wait_for(histrio.both(queue(Do(nothing)), queue(Do(nothing)))))
        await self.wait("joiner", busy.join)
        monitor, phases = busy.monitor(), busy.watch()
        await self.wait("monitor", lambda: wait_for(monitor))
        await self.wait("watcher", lambda: read_all(phases))
        await self.wait("ask in hand", lambda: wait_for(self.by_hand.ask(Do(nothing))))
        pause = self.by_hand.control.pause()
        await self.wait("pauser", lambda: wait_for(pause))
        await self.wait("spawner", lambda: self.system.spawn(Slow))
        await self.wait("waiter for all", self.system.wait)
        status = self.system.tree().children[0].children[0]
        assert (status.queued, status.standing, status.in_flight) == (2, 4, 1)
        assert self.told == {}


async def wait_for(future: histrio.Future[object]) -> object:
    """`Awaitable` for those who want a coroutine."""
    return await future


async def read_all(feed: histrio.Feed[histrio.Phase]) -> None:
    """Read until it ends."""
    async for _ in feed:
        pass


async def raises(_: Lab) -> None:
    """Fails its actor."""
    raise Boom("child")


End = Callable[[Scene], Awaitable[object]]
ENDS: Final[dict[str, End]] = {}


def end(function: End) -> End:
    """A way to end the scene."""
    ENDS[function.__name__.removeprefix("_").replace("_", " ")] = function
    return function


@end
async def _stopping_it(scene: Scene) -> None:
    scene.busy.control.stop()
    await trio.sleep(5)


@end
async def _killing_it(scene: Scene) -> None:
    scene.busy.control.kill()
    await trio.sleep(5)


@end
async def _a_handler_that_fails(scene: Scene) -> None:
    scene.handler_fails.set()
    await trio.sleep(5)


@end
async def _background_work_that_fails(scene: Scene) -> None:
    scene.background_fails.set()
    await trio.sleep(5)


@end
async def _a_child_that_fails(scene: Scene) -> None:
    await scene.child.tell(Do(raises))
    await trio.sleep(5)


@end
async def _an_interrupt(scene: Scene) -> None:
    scene.handler_is_interrupted.set()
    await trio.sleep(5)


@end
async def _stopping_its_parent(scene: Scene) -> None:
    scene.parent.control.stop()
    await trio.sleep(5)


@end
async def _killing_its_parent(scene: Scene) -> None:
    scene.parent.control.kill()
    await trio.sleep(5)


@end
async def _a_sibling_that_fails(scene: Scene) -> None:
    await scene.parent.tell(Do(raises))
    await trio.sleep(5)


@end
async def _stopping_the_system(scene: Scene) -> None:
    await scene.system.stop()


@end
async def _killing_the_system(scene: Scene) -> None:
    scene.system.kill()
    await trio.sleep(5)


@end
async def _leaving_the_system(scene: Scene) -> None:
    await trio.lowlevel.checkpoint()


@end
async def _an_error_of_the_body(scene: Scene) -> None:
    raise ValueError("body")


@end
async def _a_cancellation_from_around(scene: Scene) -> None:
    scene.around.cancel()
    await trio.sleep(5)


async def play(scene: Scene, ending: str, *, heard: bool) -> None:
    """Have everybody wait in a system, end it, and leave it."""
    async with histrio.open_system() as system:
        if heard:
            system.listen(lambda signal: None)
        await scene.set(system)
        await ENDS[ending](scene)
        if ending in ("stopping it", "killing it"):
            system.kill()  # the others: they are not what is looked at


def is_told(name: str, ending: str, told: str) -> bool:
    """Whether that is what he who waits so has to be told."""
    failed = "fails" in ending
    if name in ("waiter for all", "monitor", "watcher"):
        return told == "returned"
    if name == "joiner":  # its handler waits on when it is stopped, so that is the deadline's end
        return told == ("ActorFailed" if failed and "sibling" not in ending else "ActorStopped")
    if name == "pauser" and told == "FutureCancelled":  # whoever is stopped is resumed
        return not failed and "kill" not in ending
    return told == "ActorStopped" or (told == "ActorFailed" and (failed or name == "ask in hand"))


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("heard", [False, True], ids=["", "heard"])
async def test_everybody_is_told(ending: str, heard: bool, autojump_clock: MockClock) -> None:
    """A10: asks queued, begun, standing and in hand, tells in line, promises, monitors, spawners: all are told in time."""
    async with trio.open_nursery() as outside:
        scene = Scene(outside)
        with scene.around, contextlib.suppress(histrio.SystemFailed, ValueError, KeyboardInterrupt):
            await play(scene, ending, heard=heard)
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        left = set(scene.waiting)
        outside.cancel_scope.cancel()

    assert left == set()
    assert {name: told for name, told in scene.told.items() if not is_told(name, ending, told)} == {}
    letters = [letter for letter in scene.system.dead_letters if letter.message is scene.never_handled]
    assert [letter.path for letter in letters] == ["/parent/busy"]
    assert "never handled" in letters[0].why
    assert HOLDERS == {}
    assert trio.current_time() < 9
