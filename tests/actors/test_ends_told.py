"""What an end tells: its reason, the true outcome of what was in hand, and the letters that nobody opened (A10)."""

import contextlib

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing, raising, run_in_system
from tests.kernel.works import Act, Boom, forever
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.futures import HOLDERS


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

    refs: list[histrio.Ref[Do[object]]] = []
    around = trio.CancelScope()

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab, name="lab")
        refs.append(lab)
        await lab.tell(Do(waits))
        await wait_all_tasks_blocked()
        if how in ("stop", "deadline"):
            lab.control.stop(why="in the test")
        elif how == "kill":
            lab.control.kill(why="in the test")
        elif how == "cancel":
            around.cancel()
        else:
            await lab.tell(raising(Boom("x")))
        with trio.CancelScope(shield=True):
            await trio.sleep(10)

    with around, contextlib.suppress(histrio.SystemFailed):
        await run_in_system(program)
    (lab,) = refs
    reasons: list[str] = []
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
    """A10: `join` ends when handlers, operations, background and children have all cleaned up, and not before."""
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
        killed, down = lab.control.kill(), lab.monitor()
        start = trio.current_time()
        await trio.sleep(3.5)
        assert not lab.control.is_done
        assert len(system.tree().children) == 1
        assert (killed.is_done, down.is_done) == (False, False)
        with pytest.raises(histrio.ActorStopped, match="killed"):
            await lab.join()

        assert (killed.is_done, down.is_done) == (True, True)
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
        killed = lab.control.kill()

        assert await asked == "reply"
        assert await killed is histrio.Phase.KILLED


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_an_error_in_the_cleanup_of_a_handler(how: str, autojump_clock: MockClock) -> None:
    """A10: an error raised while an actor is stopped or killed is its failure cause; the asker is told it too."""

    async def breaks(lab: Lab) -> None:
        try:
            await lab.io(trio.sleep_forever)
        finally:
            raise Boom("cleanup")

    async def program(system: histrio.System) -> None:
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

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

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
            assert (await lab.monitor()).reason.end is histrio.End.KILLED
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
        await lab.control.kill("in the test")

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
        killed = lab.control.kill()
        with pytest.raises(histrio.ActorStopped):
            await asked
        await killed

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
