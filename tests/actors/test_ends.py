"""Nobody is left waiting: every way of ending answers everybody who waits, and counts what was never handled (A10)."""

# The first part is a table in code: a scene in which somebody waits in each way there is, and every way to end it.
# Whoever waits does so outside of the system, so that no cancellation of it hides that he was forgotten.

from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing
from tests.kernel.works import Act, Boom, forever
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

    child: Ref
    busy: Ref
    by_hand: Ref
    parent: Ref

    def __init__(self, system: histrio.System, outside: trio.Nursery, around: trio.CancelScope) -> None:
        self.system: Final = system
        self.outside: Final = outside
        self.around: Final = around
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

    async def set(self) -> None:
        """Have everybody wait."""
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
        await self.wait("ask in hand", lambda: wait_for(self.by_hand.ask(Do(nothing))))
        await self.wait("spawner", lambda: self.system.spawn(Slow))
        await self.wait("waiter for all", self.system.wait)
        status = self.system.tree().children[0].children[0]
        assert (status.queued, status.standing, status.in_flight) == (2, 4, 1)
        assert self.told == {}


async def wait_for(future: histrio.Future[object]) -> object:
    """`Awaitable` for those who want a coroutine."""
    return await future


async def raises(_: Lab) -> None:
    raise Boom("child")


End = Callable[[Scene], Awaitable[object]]
ENDS: Final[dict[str, End]] = {}


def end(function: End) -> End:
    """A way to end the scene."""
    ENDS[function.__name__.replace("_", " ")] = function
    return function


@end
async def stopping_it(scene: Scene) -> None:
    scene.busy.control.stop()
    await trio.sleep(5)


@end
async def killing_it(scene: Scene) -> None:
    scene.busy.control.kill()
    await trio.sleep(5)


@end
async def a_handler_that_fails(scene: Scene) -> None:
    scene.handler_fails.set()
    await trio.sleep(5)


@end
async def background_work_that_fails(scene: Scene) -> None:
    scene.background_fails.set()
    await trio.sleep(5)


@end
async def a_child_that_fails(scene: Scene) -> None:
    await scene.child.tell(Do(raises))
    await trio.sleep(5)


@end
async def an_interrupt(scene: Scene) -> None:
    scene.handler_is_interrupted.set()
    await trio.sleep(5)


@end
async def stopping_its_parent(scene: Scene) -> None:
    scene.parent.control.stop()
    await trio.sleep(5)


@end
async def killing_its_parent(scene: Scene) -> None:
    scene.parent.control.kill()
    await trio.sleep(5)


@end
async def a_sibling_that_fails(scene: Scene) -> None:
    await scene.parent.tell(Do(raises))
    await trio.sleep(5)


@end
async def stopping_the_system(scene: Scene) -> None:
    await scene.system.stop()


@end
async def killing_the_system(scene: Scene) -> None:
    scene.system.kill()
    await trio.sleep(5)


@end
async def leaving_the_system(scene: Scene) -> None:
    await trio.lowlevel.checkpoint()


@end
async def an_error_of_the_body(scene: Scene) -> None:
    raise ValueError("body")


@end
async def a_cancellation_from_around(scene: Scene) -> None:
    scene.around.cancel()
    await trio.sleep(5)


@pytest.mark.parametrize("ending", ENDS)
@pytest.mark.parametrize("heard", [False, True], ids=["", "heard"])
async def test_everybody_is_told(ending: str, heard: bool, autojump_clock: MockClock) -> None:
    """A10: asks queued, begun, standing and in hand, tells in line, promises, joiners, spawners: all are told in time."""
    around = trio.CancelScope()
    async with trio.open_nursery() as outside:
        with around:
            try:
                async with histrio.open_system() as system:
                    if heard:
                        system.listen(lambda signal: None)
                    scene = Scene(system, outside, around)
                    await scene.set()
                    started = trio.current_time()
                    await ENDS[ending](scene)
                    if ending in ("stopping it", "killing it"):
                        system.kill()  # the others: they are not what is looked at
            except (histrio.SystemFailed, ValueError, KeyboardInterrupt):
                pass
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
        left, told = set(scene.waiting), dict(scene.told)
        outside.cancel_scope.cancel()

    assert left == set()
    failed = "fails" in ending
    for name in ("begun ask", "combined ask", "queued ask", "standing ask", "standing tell", "standing pair", "promise"):
        assert told[name] in (("ActorStopped", "ActorFailed") if failed else ("ActorStopped",)), name
    assert told["ask in hand"] in ("ActorStopped", "ActorFailed")
    assert told["joiner"] == ("ActorFailed" if failed and "sibling" not in ending else "returned")
    assert told["waiter for all"] == "returned"
    letters = [letter for letter in system.dead_letters if letter.message is scene.never_handled]
    assert [letter.path for letter in letters] == ["/parent/busy"]
    assert "never handled" in letters[0].why
    assert HOLDERS == {}
    assert trio.current_time() - started < 9


# -- what is told ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("stop", "stopped (in the test)"),
        ("kill", "killed (in the test)"),
        ("deadline", "killed (it had not stopped at its deadline, see shutdown_s)"),
        ("cancel", "cancelled (the scope around it was cancelled)"),
        ("failure", "failed: Boom: x"),
    ],
)
async def test_the_reason_is_attached(how: str, expected: str, autojump_clock: MockClock) -> None:
    """A10: ActorStopped tells whose end it was, and why."""

    async def waits(lab: Lab) -> None:
        await lab.io(trio.sleep, 0.5 if how == "stop" else 1000)

    async def fails(lab: Lab) -> None:
        raise Boom("x")

    reasons: list[str] = []
    around = trio.CancelScope()
    try:
        with around:
            async with histrio.open_system() as system:
                lab = await system.spawn(Lab, name="lab")
                await lab.tell(Do(waits))
                await wait_all_tasks_blocked()
                if how in ("stop", "deadline"):
                    lab.control.stop(why="in the test")
                elif how == "kill":
                    lab.control.kill(why="in the test")
                elif how == "cancel":
                    around.cancel()
                else:
                    await lab.tell(Do(fails))
                with trio.CancelScope(shield=True):
                    await trio.sleep(10)
    except histrio.SystemFailed:
        pass
    with pytest.raises(histrio.ActorStopped) as raised:
        await lab.ask(Do(nothing))
    reasons.append(str(raised.value.reason))
    with pytest.raises(histrio.ActorStopped) as raised:
        await lab.tell(Do(nothing))
    reasons.append(str(raised.value.reason))

    assert reasons == [expected, expected]
    assert str(raised.value).startswith(f"/lab has ended: {expected}; ")


async def test_a_stop_drains(autojump_clock: MockClock) -> None:
    """A10: a stopped actor handles what it has accepted, answers it, and takes no more: not even those in line."""
    class Small(Lab):
        inbox_max = 2
        in_flight_max = 1

    async def slow(lab: Lab) -> str:
        await lab.io(trio.sleep, 1)
        return "handled"

    async with histrio.open_system() as system:
        lab = await system.spawn(Small)
        accepted = [lab.ask(Do(slow))]
        await wait_all_tasks_blocked()
        accepted += [lab.ask(Do(slow)), lab.ask(Do(slow))]
        standing = lab.ask(Do(slow))
        start = trio.current_time()
        lab.control.stop()
        for refused in (standing, lab.ask(Do(slow))):
            assert refused.is_done
            with pytest.raises(histrio.ActorStopped):
                await refused
        with pytest.raises(histrio.ActorStopped):
            lab.tell_nowait(Do(slow))

        assert await histrio.all_of(*accepted) == ("handled",) * 3
        await lab.join()
        assert trio.current_time() - start == pytest.approx(3)
        assert system.dead_letters.count == 0


async def test_an_actor_has_ended_when_its_nursery_has(autojump_clock: MockClock) -> None:
    """A10: `join` returns when handlers, operations, background and children have all cleaned up, not before."""
    acts = {name: Act(name, after_s=1000, cleanup_s=cleanup_s) for cleanup_s, name in enumerate("abcd", 1)}

    async def in_child(lab: Lab) -> None:
        lab.background(acts["d"].run)

    async def handler(lab: Lab) -> None:
        lab.background(acts["a"].run)
        child = await lab.spawn(Lab)
        await child.ask(Do(in_child))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(acts["b"].run)
            await lab.io(acts["c"].run)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        await lab.tell(Do(handler))
        await trio.sleep(1)
        lab.control.kill()
        start = trio.current_time()
        await trio.sleep(3.5)
        assert not lab.control.is_done
        assert len(system.tree().children) == 1
        await lab.join()

        assert trio.current_time() == pytest.approx(start + 4)
        assert all(act.cleaned_at is not None for act in acts.values())
        assert lab.control.is_done


async def test_a_reply_in_spite_of_a_kill(autojump_clock: MockClock) -> None:
    """A10: a handler that comes to its end in spite of the kill has answered; its asker gets the reply."""

    async def stubborn(_: Lab) -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return "reply"

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        asked = lab.ask(Do(stubborn))
        await wait_all_tasks_blocked()
        lab.control.kill()

        assert await asked == "reply"
        await lab.join()


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_an_error_in_the_cleanup_of_a_handler(how: str, autojump_clock: MockClock) -> None:
    """A10: an error raised while an actor is stopped or killed is its failure cause; the asker is told it too."""

    async def breaks(lab: Lab) -> None:
        try:
            await lab.io(trio.sleep_forever)
        finally:
            raise Boom("cleanup")

    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system() as system:
            lab = await system.spawn(Lab)
            asked = lab.ask(Do(breaks))
            await wait_all_tasks_blocked()
            if how == "kill":
                lab.control.kill()
            else:
                lab.control.stop(grace_s=1)
            with pytest.raises(histrio.ActorFailed) as told:
                await asked
            assert str(told.value.__cause__) == "cleanup"
            await trio.sleep(5)

    assert str(raised.value.failures[0].__cause__) == "cleanup"


async def test_a_kill_reaches_every_phase(autojump_clock: MockClock) -> None:
    """A10: kill works while an actor starts, before its first step, drains, runs `stopped`, and is being killed."""

    class Stubborn(Lab):
        def __init__(self, where: str) -> None:
            super().__init__()
            self.where = where

        async def started(self) -> None:
            if self.where == "starting":
                await self.io(trio.sleep_forever)

        async def stopped(self, reason: histrio.Reason) -> None:
            await self.io(trio.sleep_forever)

    async def waits(lab: Lab) -> None:
        await lab.io(trio.sleep_forever)

    async with histrio.open_system() as system:
        async with trio.open_nursery() as nursery:

            async def spawn() -> None:
                with pytest.raises(histrio.ActorStopped) as raised:
                    await system.spawn(Stubborn, "starting", name="starting")
                assert raised.value.reason.end is histrio.End.KILLED

            nursery.start_soon(spawn)
            await wait_all_tasks_blocked()
            starting = system.find(Stubborn, "/starting")
            assert starting is not None
            starting.control.kill()
        fresh = await system.spawn(Lab)
        fresh.control.kill()
        draining, stopping = await system.spawn(Stubborn, "draining"), await system.spawn(Stubborn, "stopping")
        await draining.tell(Do(waits))
        draining.control.stop(grace_s=1000)
        stopping.control.stop(grace_s=1000)
        await wait_all_tasks_blocked()
        assert draining.control.status() is histrio.Phase.DRAINING
        assert stopping.control.status() is histrio.Phase.STOPPING
        start = trio.current_time()
        for lab in (draining, stopping):
            lab.control.kill()
            lab.control.kill("again")

        for lab in (starting, fresh, draining, stopping):
            await lab.join()
            with pytest.raises(histrio.ActorStopped, match="killed"):
                await lab.ask(Do(nothing))
        assert trio.current_time() == start


async def test_a_stop_before_the_first_step(autojump_clock: MockClock) -> None:
    """A10: an actor that is stopped before it has run at all handles what it was told, and ends."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        asked = lab.ask(Do(nothing))
        lab.control.stop()
        await lab.join()

        assert asked.is_done
        await asked


async def test_dead_letters_are_counted_and_bounded(autojump_clock: MockClock) -> None:
    """A10: dead letters are in the order of their messages; the oldest are forgotten at the bound, the count goes on."""
    messages = [Do(nothing) for _ in range(10)]
    async with histrio.open_system(dead_letters_max=3) as system:
        lab = await system.spawn(Lab, name="lab")
        for message in messages:
            lab.tell_nowait(message)
        lab.control.kill("in the test")
        await lab.join()

        assert system.dead_letters.count == 10
        assert len(system.dead_letters) == 3
        assert [letter.message for letter in system.dead_letters] == messages[-3:]
        assert {letter.why for letter in system.dead_letters} == {"never handled: killed (in the test)"}


async def test_what_a_handler_had_in_hand_is_a_dead_letter(autojump_clock: MockClock) -> None:
    """A10: a told message whose handler was cancelled is a dead letter that says so; an asked one is answered."""

    async def waits(lab: Lab) -> None:
        await lab.io(trio.sleep_forever)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        told = Do(waits)
        await lab.tell(told)
        asked = lab.ask(Do(waits))
        await wait_all_tasks_blocked()
        lab.control.kill()
        with pytest.raises(histrio.ActorStopped):
            await asked
        await lab.join()

        assert [(letter.message, letter.why) for letter in system.dead_letters] == [
            (told, "its handler was cancelled: killed (it was killed on request)")
        ]


async def test_counts_stay_right_when_the_line_is_told(autojump_clock: MockClock) -> None:
    """A10: asks of one line that end together by a combinator are told once each, and nothing is counted wrongly."""

    class Small(Lab):
        inbox_max = 1
        in_flight_max = 1

    async def slow(lab: Lab) -> None:
        await lab.io(trio.sleep, 1)

    async with histrio.open_system() as system:
        lab = await system.spawn(Small)
        begun = lab.ask(Do(slow))
        await wait_all_tasks_blocked()
        queued = lab.ask(Do(slow))
        pairs = [histrio.both(lab.ask(Do(nothing)), lab.ask(Do(nothing))) for _ in range(3)]
        assert system.tree().children[0].standing == 6
        lab.control.stop()
        for pair in pairs:
            with pytest.raises(histrio.ActorStopped):
                await pair

        assert (system.tree().children[0].queued, system.tree().children[0].standing) == (1, 0)
        await histrio.both(begun, queued)
        await lab.join()


async def test_two_who_wait_for_each_other_end(autojump_clock: MockClock) -> None:
    """A10: two actors that wait for each other's answers, for ever, are ended by leaving the system, in bounded time."""

    class Polite(Lab):
        shutdown_s = 1

    caught: list[str] = []
    async with histrio.open_system() as system:
        one, two = await system.spawn(Polite, name="one"), await system.spawn(Polite, name="two")

        async def forever_in(lab: Lab) -> None:
            await lab.io(forever)

        async def ask_two(_: Lab) -> None:
            try:
                await two.ask(Do(ask_one))
            except histrio.ActorStopped as error:
                caught.append(error.path)

        async def ask_one(_: Lab) -> None:
            await one.ask(Do(forever_in))

        await one.tell(Do(ask_two))
        await wait_all_tasks_blocked()
        start = trio.current_time()

    assert caught == ["/two"]
    assert trio.current_time() - start == pytest.approx(2)
    assert HOLDERS == {}
