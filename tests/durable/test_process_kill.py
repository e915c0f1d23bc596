"""J3: a kill ends a durable process in every phase, at once; it stays killed, and its clean-up has run once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Final

import attrs
import pytest
import trio
from outcome import Value
from tests.durable.jobs import DONE, Inputs, Job, Outputs, Plain, Stage, Waiting, job, work
from tests.durable.worlds import hear_reports, in_virtual_time, open_world, until_cut

import histrio
from histrio.durable import DurableActor, DurableNext, DurableRef, DurableTree
from histrio.durable.orders import Order
from histrio_kernel.errors import StuckActor
from histrio_kernel.journal.codec import encode, shown
from histrio_kernel.journal.stored import Stored
from histrio_kernel.lifecycle import Phase

Into = Callable[[DurableTree], Awaitable[DurableRef[Order]]]


@pytest.fixture(autouse=True)
def _nothing_done() -> Iterator[None]:
    DONE.clear()
    yield
    DONE.clear()


async def not_begun(tree: DurableTree) -> DurableRef[Order]:
    """It waits for its first nudge."""
    return await job(tree, "work", kind=Waiting)


async def advancing(tree: DurableTree) -> DurableRef[Order]:
    """It is in the middle of an advance."""
    ref = await job(tree, "to TWO", "work", seconds=1_000)
    await trio.sleep(1)
    return ref


async def pausing(tree: DurableTree) -> DurableRef[Order]:
    """It is to be paused when its advance is over."""
    ref = await advancing(tree)
    ref.control.pause()
    return ref


async def paused(tree: DurableTree) -> DurableRef[Order]:
    """It is paused between two advances."""
    ref = await job(tree, "to TWO", kind=Waiting)
    await ref.control.pause()
    return ref


async def cut_off(tree: DurableTree) -> DurableRef[Order]:
    """Its advance was cut off, and it is paused."""
    ref = await advancing(tree)
    await ref.control.pause(now=True)
    return ref


async def waiting(tree: DurableTree) -> DurableRef[Order]:
    """It waits for a future."""
    ref = await job(tree, "wait", seconds=1_000)
    await trio.sleep(1)
    return ref


async def waiting_for_a_value(tree: DurableTree) -> DurableRef[Order]:
    """It waits to be resumed."""
    ref = await job(tree, "ask")
    await trio.sleep(1)
    return ref


async def paused_while_it_waits(tree: DurableTree) -> DurableRef[Order]:
    """It waits for a future, and is paused."""
    ref = await waiting(tree)
    await ref.control.pause()
    return ref


async def in_a_retry(tree: DurableTree) -> DurableRef[Order]:
    """An effect of its advance waits for its next attempt."""
    ref = await job(tree, "retry")
    await trio.sleep(1)
    return ref


PHASES: Final = (
    not_begun,
    advancing,
    pausing,
    paused,
    cut_off,
    waiting,
    waiting_for_a_value,
    paused_while_it_waits,
    in_a_retry,
)
in_every_phase = pytest.mark.parametrize("into", PHASES, ids=lambda into: into.__name__)


def clean_ups() -> list[str]:
    """What of the clean-up was done, without keys."""
    return [" ".join(line.split()[-1:]) for line in DONE if line.startswith("clean-up") and " as " not in line]


def begun() -> set[str]:
    """The keys under which a clean-up has begun."""
    return {line.rpartition(" ")[2] for line in DONE if line.startswith("clean-up") and " as " in line}


@in_every_phase
def test_a_kill_takes_no_time(into: Into) -> None:
    """J3: it begins to clean up at the moment of the kill in every phase, ends KILLED, and says why, now and later."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await into(tree)
            phases = ref.control.watch()
            await phases.next()
            began = trio.current_time()
            assert await ref.control.kill("not needed") is Phase.KILLED
            seconds = 1 if into in (not_begun, paused, waiting_for_a_value, in_a_retry) else 5
            assert trio.current_time() - began == pytest.approx(seconds), "that of the clean-up, or its deadline"
            assert [phase async for phase in phases][-2:] == [Phase.DYING, Phase.KILLED]
            assert len(begun()) == 1
            await killed_for_good(tree, ref)

    async def again() -> None:
        async with open_world(stored) as tree:
            await killed_for_good(tree, tree.ref("/job"))
            assert len(begun()) == 1

    in_virtual_time(main)
    in_virtual_time(again)


async def killed_for_good(tree: DurableTree, ref: DurableRef[Order] | DurableRef[object]) -> None:
    """It says so to everybody, and another kill changes nothing."""
    assert tree.states() == {"/job": "ended"}
    with pytest.raises(histrio.ActorStopped, match=r"/job has ended: killed \(not needed\)"):
        await ref.join()
    assert await ref.control.kill("again") is Phase.KILLED


@in_every_phase
def test_it_stays_killed_whenever_the_process_dies(into: Into) -> None:
    """J3: cut after each commit from the kill on, it ends KILLED once the kill is stored, by one clean-up of one key."""
    outcomes: set[str] = set()
    for commits in range(1, 7):
        stored = Stored()
        DONE.clear()

        async def brought() -> None:
            async with open_world(stored) as tree:  # noqa: B023 - called at once
                await into(tree)

        async def killed(tree: DurableTree) -> None:
            await tree.ref("/job").control.kill("not needed")

        async def again() -> str:
            async with open_world(stored) as tree:  # noqa: B023 - called at once
                with trio.move_on_after(6):
                    await tree.ref("/job").control.kill("not needed")
                return tree.states()["/job"]

        in_virtual_time(brought)
        in_virtual_time(partial(until_cut, stored, commits, killed))
        outcomes.add(in_virtual_time(again))
        assert len(begun()) == 1
    assert outcomes == {"ended"}


def test_two_kills_are_one() -> None:
    """J3: a second kill, while it cleans up, asks for nothing more; both know how it ended, and other orders are refused."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await paused(tree)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ref.control.kill, "first")
                await trio.sleep(0.5)
                assert ref.control.inspect().phase is Phase.DYING
                refused = ref.control.resume()
                assert await ref.control.kill("second") is Phase.KILLED
            with pytest.raises(histrio.ActorStopped):
                await refused
            assert DONE == ["clean-up (first) begins as 4.2", "clean-up (first) ends"]

    in_virtual_time(main)


def test_one_that_has_nothing_to_clean_up() -> None:
    """J3: it is killed in one step, with what it had begun."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, "work", seconds=1_000, kind=Plain)
            await trio.sleep(1)
            assert await ref.control.kill() is Phase.KILLED
            assert trio.current_time() == pytest.approx(1)
            assert DONE == ["work 0 begins as 2.1", "work 0 is cancelled"]

    in_virtual_time(main)


class Slow(Job, behaviour="kill.slow"):
    """It takes its time to begin."""

    async def started(self) -> None:
        await self.io(work, "start", 1_000)
        await super().started()


def test_one_that_has_not_begun_has_nothing_to_clean_up() -> None:
    """J3: a kill while `started` waits ends it at once, and a pause is so when it has begun."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "ask", kind=Slow)
            paused = ref.control.pause()
            await trio.sleep(1)
            assert ref.control.inspect().phase is Phase.STARTING
            assert not paused.is_done
            assert await ref.control.kill("not needed") is Phase.KILLED
            with pytest.raises(histrio.ActorStopped):
                await paused
            assert trio.current_time() == pytest.approx(1)
            assert DONE == ["start begins as 1.1", "start is cancelled"]

    async def again() -> None:
        async with open_world(stored) as tree:
            await killed_for_good(tree, tree.ref("/job"))

    in_virtual_time(main)
    in_virtual_time(again)


class Hanging(Job, behaviour="kill.hanging"):
    """Its clean-up does not come back in time."""

    async def killed(self, reason: histrio.Reason) -> None:
        await self.io(work, "clean-up", 1_000)


class Breaking(Job, behaviour="kill.breaking"):
    """Its clean-up fails, at once or after a wait."""

    async def killed(self, reason: histrio.Reason) -> None:
        if reason.why == "later":
            await self.io(work, "clean-up", 1)
        raise LookupError("no clean-up")


def test_a_clean_up_that_hangs_is_cancelled() -> None:
    """J3: `shutdown_s` after the kill, also if the process died meanwhile; that is reported."""
    stored = Stored()
    reports: list[str] = []

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "ask", kind=Hanging)
            with trio.move_on_after(3):
                await ref.control.kill()

    async def again() -> None:
        async with open_world(stored) as tree:
            hear_reports(tree, lambda error: reports.append(f"{type(error).__name__}: {error}"))
            assert await tree.ref("/job").control.kill() is Phase.KILLED

    in_virtual_time(main)
    in_virtual_time(again)
    assert [report.partition("(shut")[0] for report in reports] == [
        f"{StuckActor.__name__}: /job: killed() of Hanging had not ended 5 s after the kill "
    ]


@pytest.mark.parametrize("when", ["now", "later"])
def test_a_clean_up_that_fails_is_reported(when: str) -> None:
    """J3: the process is killed all the same, and is so after a restart."""
    stored = Stored()
    reports: list[str] = []

    async def main() -> None:
        async with open_world(stored) as tree:
            hear_reports(tree, lambda error: reports.append(str(error)))
            ref = await job(tree, "ask", kind=Breaking)
            assert await ref.control.kill(when) is Phase.KILLED

    async def again() -> None:
        async with open_world(stored) as tree:
            assert await tree.ref("/job").control.kill() is Phase.KILLED

    in_virtual_time(main)
    in_virtual_time(again)
    assert reports == ["/job: LookupError: no clean-up"]


@attrs.frozen
class Run(histrio.Request[object]):
    """Run a job, and kill it or not."""

    kills: bool


class Boss(DurableActor[Run], behaviour="kill.boss"):
    """Controls a child from its handler."""

    @histrio.handler(Run)
    async def run_one(self, run: Run) -> object:
        child = await self.spawn(Waiting, Inputs(("ask",)), name=f"job-{run.kills}")
        said = [await child.control.pause(), await child.control.resume("yes")]
        if run.kills:
            said.extend([await child.control.kill(), await child.control.kill()])
            return tuple(said)
        said.append(await child.control.nudge())
        await child.control.resume("again")
        return *said, await child.join()


@pytest.mark.parametrize("kills", [False, True])
def test_a_durable_parent_gives_orders_once(kills: bool) -> None:
    """J3: cut after each commit, orders of a durable handler are given once, and answered, whatever has crashed."""
    ends = (Phase.KILLED, Phase.KILLED) if kills else (Phase.RUNNING, Outputs(1, ("yes", "again")))
    expected = (Phase.PAUSED, Phase.RUNNING, *ends)
    for commits in range(1, 16):
        stored = Stored()
        answers: list[object] = []

        async def main(tree: DurableTree) -> None:
            boss = await tree.spawn(Boss, name="boss")
            await boss.ask(Run(kills))

        async def again() -> None:
            async with open_world(stored) as tree:  # noqa: B023 - called at once
                boss = await tree.spawn(Boss, name="boss")
                if not any(path.startswith("/boss/") for path in tree.states()):
                    answers.append(await boss.ask(Run(kills)))  # noqa: B023 - called at once
                    return
                await trio.sleep(20)
                assert tree.states() == {"/boss": "live", f"/boss/job-{kills}": "ended"}

        in_virtual_time(partial(until_cut, stored, commits, main))
        in_virtual_time(again)
        answer = shown(encode(Value(expected)))
        assert [shown(each.payload) for each in stored.read("/boss", 0) if each.key == "?!"] == [answer]
        assert answers in ([], [expected])


class Parent(Job, behaviour="kill.parent"):
    """Has a child that does not end by itself."""

    async def advance(self) -> DurableNext[Stage, Outputs]:
        await self.spawn(Job, self.inputs, name="child")
        return self.until_resumed()


def test_children_end_with_it() -> None:
    """J3: when the end of a killed process is told, its children have ended, in the journal too."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "ask", kind=Parent)
            await trio.sleep(1)
            await ref.control.kill()
            assert tree.states() == {"/job": "ended", "/job/child": "ended"}
            with pytest.raises(histrio.ActorStopped):
                await tree.ref("/job/child").join()

    in_virtual_time(main)
