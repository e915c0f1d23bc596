"""J3, S7: drawn orders of a durable process, and crashes between any two of them, do what a level-triggered model says."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Final
from unittest import mock

import attrs
import pytest
import trio
from hypothesis import example, given, note, settings
from tests.conftest import Show
from tests.durable.process_model import SHUTDOWN_S, Asked, Do, Op, ProcessModel, Program, Stage, Task, programs
from tests.durable.worlds import open_world
from tests.effort import count
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio.durable import DurableNext, DurableProcess, DurableRef, DurableTree, this_effect
from histrio.durable.orders import ADVANCE, Order
from histrio_kernel.futures import HOLDERS
from histrio_kernel.journal.stored import Stored
from histrio_kernel.signals import Kind
from histrio_kernel.simulation.trio_schedule import seeded_schedule

AFTER_S: Final = 14.3  # long enough for all that a program began; its fraction meets nothing
CLEAN_UPS: Final[set[str]] = set()


async def work(seconds: int) -> None:
    """Something outside."""
    await trio.sleep(seconds)


async def clean_up(seconds: int) -> None:
    """The same, which is told apart."""
    CLEAN_UPS.add(this_effect().key)
    await trio.sleep(seconds)


@attrs.frozen
class Inputs:
    """What a process is made of."""

    program: Program


@attrs.frozen
class Outputs:
    """What it has got."""

    made: int
    got: tuple[int, ...]


class Scripted(DurableProcess[Stage, Inputs, Outputs], behaviour="model.scripted"):
    """It makes the advances of its program."""

    rerunnable = True
    nudges_max = 2
    shutdown_s = SHUTDOWN_S
    made: int
    got: tuple[int, ...]

    async def started(self) -> None:
        self.made, self.got = 0, ()

    async def advance(self) -> DurableNext[Stage, Outputs]:
        task = self.inputs.program.task(self.made)
        if task.seconds:
            await self.io(work, task.seconds)
        if isinstance(self.resumed, int):
            self.got = (*self.got, self.resumed)
        self.made += 1
        match task.how:
            case "fail":
                raise ValueError("it was told to fail")
            case "done":
                return histrio.Done(Outputs(self.made, self.got))
            case "wait":
                return self.wait(self.io(work, task.wait_s))
            case "sleep":
                return self.wait(self.sleep(task.wait_s))
            case "ask":
                return self.until_resumed()
            case _:
                return self.to(Stage.TWO if self.state is Stage.ONE else Stage.ONE)

    async def killed(self, reason: histrio.Reason) -> None:
        if self.inputs.program.killed_s:
            await self.io(clean_up, self.inputs.program.killed_s)

    def snapshot(self) -> object:
        return Outputs(self.made, self.got)

    async def restore(self, snapshot: object) -> None:
        assert isinstance(snapshot, Outputs)
        self.made, self.got = snapshot.made, snapshot.got


class Eager(Scripted, behaviour="model.eager"):
    start = True


class Stepped(Scripted, behaviour="model.stepped"):
    drive = histrio.Drive.STEP


class RollingScripted(Scripted, behaviour="model.scripted.rolling"):
    snapshot_every = 2


class RollingEager(Eager, behaviour="model.eager.rolling"):
    snapshot_every = 2


class RollingStepped(Stepped, behaviour="model.stepped.rolling"):
    snapshot_every = 2


PLAIN: Final = (Scripted, Eager, Stepped)
ROLLING: Final = (RollingScripted, RollingEager, RollingStepped)


class World:
    """What a program did."""

    def __init__(self, program: Program) -> None:
        kinds = ROLLING if program.snapshots else PLAIN
        self.program = program
        self.kind = kinds[2 if program.is_step else int(program.starts)]
        self.stored = Stored()
        self.ops = list(enumerate(zip(program.ops, program.times(), strict=True)))
        self.asked: dict[int, Asked] = {}
        self.seen: list[tuple[str, Stage | None]] = []
        self.sessions: list[tuple[list[str], list[Stage]]] = []
        self.ended = ""
        self.outputs: Outputs | None = None
        self.is_over = False

    async def main(self) -> None:
        """Run the program, one session of the journal after the other."""
        self.began = trio.current_time()
        async with trio.open_nursery() as nursery:
            while not await self.session(nursery):
                await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    async def session(self, nursery: trio.Nursery) -> bool:
        """Up to the next crash; whether it was the last."""
        async with open_world(self.stored) as tree:
            ref = await tree.spawn(self.kind, Inputs(self.program), name="job")
            self.sessions.append(([], []))
            feeds = None if ref.control.is_done else (ref.control.watch(), ref.control.watch_states(Stage))
            await wait_all_tasks_blocked()
            while self.ops:
                number, (op, at) = self.ops.pop(0)
                if op.gap > 0:
                    await trio.sleep_until(self.began + at)
                    await wait_all_tasks_blocked()
                self.seen.append(self.look(ref))
                if op.do is Do.CRASH:
                    break
                nursery.start_soon(self.give, number, op, ref)
                await wait_all_tasks_blocked()
            else:
                await trio.sleep(AFTER_S)
                await wait_all_tasks_blocked()
                self.seen.append(self.look(ref))
                await self.look_at_the_end(tree, ref)
                self.is_over = True
            if feeds is not None:
                phases, states = self.sessions[-1]
                phases.extend([(await feeds[0].next()).value for _ in range(feeds[0].kept)])
                states.extend([await feeds[1].next() for _ in range(feeds[1].kept)])
        return self.is_over

    async def look_at_the_end(self, tree: DurableTree, ref: DurableRef[Order]) -> None:
        """How it has ended, if it has."""
        if ref.control.is_done:
            try:
                outputs = await ref.join()
                assert isinstance(outputs, Outputs)
                self.ended, self.outputs = "stopped", outputs
            except histrio.ActorFailed:
                self.ended = "failed"
            except histrio.ActorStopped as error:
                self.ended = error.reason.end.value

    def look(self, ref: DurableRef[Order]) -> tuple[str, Stage | None]:
        """What can be seen of it."""
        if ref.control.is_done:
            return "over", None
        standing = ref.control.inspect()
        assert isinstance(standing.state, Stage)
        assert ref.control.is_paused is (standing.phase is histrio.Phase.PAUSED)
        return standing.phase.value, standing.state

    async def give(self, number: int, op: Op, ref: DurableRef[Order]) -> None:
        """Give an order, and write down its acknowledgement."""
        asked = self.asked[number] = Asked(op.do)
        try:
            outcome = (await self.call(number, op, ref)).value
        except histrio.ActorStopped:
            outcome = "refused"
        except histrio.Refusal:
            outcome = "no more"
        if not self.is_over:
            asked.at, asked.outcome = trio.current_time() - self.began, outcome

    async def call(self, number: int, op: Op, ref: DurableRef[Order]) -> histrio.Phase:
        """The order that the op names."""
        control = ref.control
        match op.do:
            case Do.PAUSE:
                return await control.pause()
            case Do.PAUSE_NOW:
                return await control.pause(now=True)
            case Do.STEP:
                return await control.step(op.count)
            case Do.NUDGE:
                return await control.nudge()
            case Do.RESUME_WITH:
                return await control.resume(number)
            case Do.RESUME:
                return await control.resume()
            case _:
                return await control.kill()

    @property
    def advances(self) -> int:
        """How many it has made, by its journal."""
        return sum((record.kind, record.key) == (Kind.CONTROL, ADVANCE) for record in self.stored.read("/job", 0))


def predicted(program: Program) -> tuple[ProcessModel, list[tuple[str, Stage | None]]]:
    """The model after the program, and what is to be seen before each op and at the end."""
    model = ProcessModel(program)
    seen: list[tuple[str, Stage | None]] = []
    model.pass_time(0)
    for number, (op, at) in enumerate(zip(program.ops, program.times(), strict=True)):
        if op.gap > 0:
            model.pass_time(at)
        seen.append(("over", None) if model.ending else (model.phase, model.state))
        model.do(number, op)
    model.pass_time(model.now + AFTER_S)
    seen.append(("over", None) if model.ending else (model.phase, model.state))
    return model, seen


def time_of_day() -> float:
    """Some day, and what the clock has counted since."""
    return 1e9 + trio.current_time()


# What no quick run should be without.
VALUE_IS_GIVEN_BACK: Final = Program(
    is_step=False,
    starts=False,
    tasks=(Task("to", 4), Task("ask", 0), Task("done", 1)),
    killed_s=0,
    ops=(
        Op(1, Do.RESUME_WITH),
        Op(0, Do.NUDGE),
        Op(1, Do.PAUSE_NOW),
        Op(0, Do.CRASH),
        Op(1, Do.RESUME),
        Op(5, Do.RESUME_WITH),
        Op(0, Do.CRASH),
    ),
)
STEPS_END_WITH_A_RESUME: Final = Program(
    is_step=False,
    starts=False,
    tasks=(Task("to", 2), Task("to", 2)),
    killed_s=0,
    ops=(Op(1, Do.STEP, 3), Op(1, Do.RESUME), Op(0, Do.CRASH), Op(0, Do.STEP), Op(5, Do.CRASH)),
)
NUDGE_IS_OWED: Final = Program(
    is_step=True,
    starts=False,
    tasks=(Task("to", 4),),
    killed_s=0,
    ops=(Op(1, Do.NUDGE), Op(1, Do.PAUSE_NOW), Op(0, Do.CRASH), Op(0, Do.RESUME), Op(1, Do.CRASH)),
)
KILLED_AFTER_ITS_END: Final = Program(
    is_step=False,
    starts=True,
    tasks=(Task("done", 0),),
    killed_s=1,
    ops=(Op(1, Do.KILL), Op(0, Do.CRASH), Op(0, Do.KILL), Op(0, Do.PAUSE)),
)
ROLLED_UP: Final = Program(
    is_step=False,
    starts=True,
    tasks=(Task("to", 0), Task("ask", 0), Task("to", 0), Task("wait", 0, 1), Task("ask", 0), Task("ask", 0)),
    killed_s=1,
    ops=(
        Op(1, Do.PAUSE),
        Op(0, Do.NUDGE),
        Op(0, Do.CRASH),
        Op(1, Do.RESUME_WITH),
        Op(2, Do.CRASH),
        Op(1, Do.PAUSE),
        Op(0, Do.RESUME_WITH),
        Op(0, Do.KILL),
        Op(0, Do.CRASH),
    ),
    snapshots=True,
)
ROLLED_UP_WITH_A_STEP_ASKED_FOR: Final = Program(
    is_step=False,
    starts=True,
    tasks=(Task("ask", 0), Task("to", 0)),
    killed_s=0,
    ops=(Op(1, Do.STEP), *(Op(0, Do.NUDGE),) * 4, Op(1, Do.RESUME_WITH)),
    snapshots=True,
)


def play(program: Program) -> World:
    """Run it on Histrio. The time of day goes on with the clock, over crashes too."""
    world = World(program)
    quiet = mock.patch.object(logging.getLogger("histrio"), "disabled", new=True)
    day = mock.patch.object(time, "time", time_of_day)
    with quiet, day, seeded_schedule(program.schedule):
        trio.run(world.main, clock=MockClock(autojump_threshold=0))
    assert HOLDERS == {}
    return world


def checked(program: Program) -> ProcessModel:
    """Histrio and the model agree on everything that can be seen, and when."""
    CLEAN_UPS.clear()
    model, seen = predicted(program)
    world = play(program)
    for name, of in (("the model", model), ("histrio", world)):
        note(f"{name}: {of.sessions}\n{of.asked}\n{of.advances} advances")
    assert world.seen == seen
    # At first it may have done something, or have ended, before its spawner had the ref to watch it by.
    assert any(world.sessions[0]) or seen[0][0] == "over"
    (phases, states), (its_phases, its_states) = world.sessions[0], model.sessions[0]
    assert phases == its_phases[len(its_phases) - len(phases) :]
    assert states == its_states[len(its_states) - len(states) :]
    assert world.sessions[1:] == model.sessions[1:]
    assert world.asked == model.asked
    assert world.ended == model.ending
    if not program.snapshots:
        assert world.advances == model.advances
    if world.outputs is not None:
        assert world.outputs == Outputs(model.made, tuple(value for value in model.got if value >= 0))
    assert len(CLEAN_UPS) == (model.killed and program.killed_s > 0)
    return model


@pytest.mark.alarm(1_800)  # 20,000 programs, by night
def test_orders_of_a_durable_process_are_levels(show: Show) -> None:
    """J3, S7: every phase, state, value and acknowledgement is as the model says, when it says, whatever has crashed."""
    came: Counter[str] = Counter()

    @given(programs())
    @settings(max_examples=count("durable_process_examples"))
    @example(VALUE_IS_GIVEN_BACK)
    @example(STEPS_END_WITH_A_RESUME)
    @example(NUDGE_IS_OWED)
    @example(KILLED_AFTER_ITS_END)
    @example(ROLLED_UP)
    @example(ROLLED_UP_WITH_A_STEP_ASKED_FOR)
    def check(program: Program) -> None:
        model = checked(program)
        came.update({"programs": 1, "crashes": len(model.sessions) - 1, f"ended {model.ending or 'not at all'}": 1})
        came.update({f"{asked.do.value}: {asked.outcome}" for asked in model.asked.values()})

    check()
    drawn = came.pop("programs")
    show(f"J3: {drawn} drawn programs of orders; " + ", ".join(f"{n} {what}" for what, n in sorted(came.items())))
    if drawn > 500:
        missing = [what for what in OUTCOMES if not came[what]]
        assert missing == []


OUTCOMES: Final = (
    *(f"{do}: {outcome}" for do in ("pause", "step") for outcome in ("paused", "running", "refused")),
    *(f"pause now: {outcome}" for outcome in ("paused", "refused")),
    *(f"{do}: {outcome}" for do in ("resume", "resume with a value") for outcome in ("running", "refused")),
    *(f"kill: {outcome}" for outcome in ("killed", "stopped", "failed", "refused")),
    *(f"ended {ending}" for ending in ("killed", "stopped", "failed", "not at all")),
    "nudge: paused",
    "nudge: running",
    "nudge: no more",
    "crashes",
)
"""What must have come in a run of enough programs."""
