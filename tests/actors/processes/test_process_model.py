"""S6, S7: drawn controls of a process, in both drives, do what a level-triggered model says, at the moments it says."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final
from unittest import mock

import pytest
import trio
from hypothesis import example, given, note, settings
from tests.actors.processes.pulse_model import (
    SETTLE,
    SHUTDOWN_S,
    Do,
    Op,
    Program,
    PulseModel,
    Stage,
    Task,
    Wanted,
    programs,
)
from tests.conftest import Show
from tests.effort import count
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio import Future, NoMessage, Ref
from histrio_kernel.futures import HOLDERS
from histrio_kernel.simulation.trio_schedule import seeded_schedule

AFTER_S: Final = 14.3  # long enough for all that a program began; its fraction meets nothing


class Scripted(histrio.Process[Stage, None]):
    """It makes the advances of its program; their number goes on over restarts."""

    rerunnable = True
    nudges_max = 3
    shutdown_s = SHUTDOWN_S

    def __init__(self, world: World) -> None:
        self.world = world

    async def started(self) -> None:
        if self.ref.control.inspect().incarnation == 1:
            self.world.watch(self.ref)

    async def advance(self) -> histrio.Next[Stage, None]:
        number = self.world.made
        task = self.world.program.task(number)
        self.world.note(f"begins {number}")
        try:
            await trio.sleep(task.seconds)
        except trio.Cancelled:
            self.world.note(f"cut {number}")
            with trio.CancelScope(shield=True):
                await trio.sleep(task.unwind_s)
            raise
        self.world.note(f"ends {number}")
        self.world.made += 1
        match task.how:
            case "fail":
                raise ValueError("it was told to fail")
            case "done":
                return histrio.Done(None)
            case "wait":
                return self.wait(self.io.clock.sleep(task.wait_s))
            case _:
                return self.to(Stage.TWO if self.state is Stage.ONE else Stage.ONE)

    async def killed(self, reason: histrio.Reason) -> None:
        self.world.note("killed")
        await trio.sleep(self.world.program.killed_s)
        self.world.note("cleaned up")


class Eager(Scripted):
    start = True


class Stepped(Scripted):
    drive = histrio.Drive.STEP


class World:
    """What a program did."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.made = 0
        self.is_over = False
        self.log: list[tuple[float, str]] = []
        self.phases: list[str] = []
        self.states: list[Stage] = []
        self.seen: list[str] = []
        self.futures: dict[int, Wanted] = {}

    def note(self, what: str) -> None:
        """Write it down, unless the program is over."""
        if not self.is_over:
            self.log.append((trio.current_time(), what))

    def watch(self, process: Ref[NoMessage]) -> None:
        """It starts: from here on nothing of it is missed."""
        self.phase_feed, self.state_feed = process.watch(), process.control.watch_states(Stage)

    async def main(self) -> None:
        """Run the program, and stop looking before the system ends."""
        kind = Stepped if self.program.is_step else Eager if self.program.starts else Scripted
        spec = histrio.child("p", kind, self).with_(restart=histrio.TRANSIENT)
        backoff = histrio.Backoff(first_s=self.program.backoff_s, factor=1, jitter=0)
        async with histrio.open_system() as system, trio.open_nursery() as nursery:
            if self.program.heard:
                system.listen(lambda _: None)
            sup = await system.spawn(
                histrio.child("sup", histrio.Supervisor, spec, restarts_max=10_000, backoff=backoff)
            )
            process = sup.child(spec)
            await wait_all_tasks_blocked()
            for number, (op, at) in enumerate(zip(self.program.ops, self.program.times(), strict=True)):
                if op.gap > 0:
                    await trio.sleep_until(at)
                elif op.gap == SETTLE:
                    await wait_all_tasks_blocked()
                self.seen.append(self.look(process))
                self.do(number, op, process, nursery)
            await trio.sleep(AFTER_S)
            self.seen.append(self.look(process))
            self.phases = [(await self.phase_feed.next()).value for _ in range(self.phase_feed.kept)]
            self.states = [await self.state_feed.next() for _ in range(self.state_feed.kept)]
            self.is_over = True
            nursery.cancel_scope.cancel()

    def look(self, process: Ref[NoMessage]) -> str:
        """What can be seen of it."""
        try:
            inspection = process.control.inspect()
        except histrio.ActorStopped as error:
            return error.reason.end.value
        assert inspection.is_paused is process.control.is_paused is (inspection.phase is histrio.Phase.PAUSED)
        return inspection.phase.value

    def do(self, number: int, op: Op, process: Ref[NoMessage], nursery: trio.Nursery) -> None:
        """One op."""
        wanted = Wanted(op.do)
        try:
            future = self.call(op, process.control)
        except histrio.ActorStopped:
            self.futures[number] = Wanted(op.do, trio.current_time(), "refused")
            return
        except trio.WouldBlock:
            self.futures[number] = Wanted(op.do, trio.current_time(), "would block")
            return
        if future is not None:
            self.futures[number] = wanted
            nursery.start_soon(self.see, wanted, future)
        elif op.do is Do.TRY_NUDGE:
            self.futures[number] = Wanted(op.do, trio.current_time(), "done")

    def call(self, op: Op, control: histrio.Control) -> Future[object] | None:
        """The control that the op names."""
        match op.do:
            case Do.PAUSE:
                return control.pause()
            case Do.PAUSE_NOW:
                return control.pause(now=True)
            case Do.STEP:
                return control.step(op.count)
            case Do.NUDGE:
                return control.nudge()
            case Do.STOP:
                return control.stop()
            case Do.KILL:
                return control.kill()
            case Do.RESUME:
                control.resume()
            case Do.TRY_NUDGE:
                control.try_nudge()
        return None

    async def see(self, wanted: Wanted, future: Future[object]) -> None:
        """Write down how a future ends, and when."""
        try:
            value = await future
        except histrio.FutureCancelled:
            outcome = "cancelled"
        except histrio.ActorStopped:
            outcome = "error"
        else:
            outcome = value.value if isinstance(value, histrio.Phase) else "done"
        wanted.at, wanted.outcome = trio.current_time(), outcome


# What was once wrong, and what no quick run should be without.
STOPPED_BEFORE_ITS_WAIT: Final = Program(
    is_step=True,
    starts=False,
    tasks=(Task("wait", seconds=1, wait_s=1),),
    killed_s=0,
    backoff_s=0,
    ops=(Op(1, Do.STEP), Op(1, Do.STOP)),
)
CUT_OFF_AT_ITS_DEADLINE: Final = Program(
    is_step=False,
    starts=True,
    tasks=(Task("to", seconds=4, unwind_s=2),),
    killed_s=10,
    backoff_s=1,
    ops=(Op(1, Do.STOP), Op(2, Do.PAUSE_NOW), Op(1, Do.KILL), Op(3, Do.NUDGE), Op(2, Do.RESUME)),
)

OUTCOMES: Final = (
    *(f"{do}: {outcome}" for do in ("pause", "pause now", "step") for outcome in ("done", "cancelled", "refused")),
    *(f"{do}: {outcome}" for do in ("kill", "stop") for outcome in ("restarting", "stopped")),
    "nudge: done",
    "try nudge: done",
)
"""How the futures of controls end, each of them in every run of more than ENOUGH programs."""
ENOUGH: Final = 1_000


def play(program: Program) -> World:
    """Run it on Histrio."""
    world = World(program)
    quiet = mock.patch.object(logging.getLogger("histrio"), "disabled", new=True)
    with quiet, seeded_schedule(program.schedule):
        trio.run(world.main, clock=MockClock(autojump_threshold=0))
    assert HOLDERS == {}
    return world


def predicted(program: Program) -> tuple[PulseModel, list[str]]:
    """The model after the program, and the phase before each op and at the end."""
    model = PulseModel(program)
    seen: list[str] = []
    model.rest()
    for number, (op, at) in enumerate(zip(program.ops, program.times(), strict=True)):
        if op.gap > 0:
            model.pass_time(at)
        if op.gap == SETTLE:
            model.rest()
        seen.append(model.phase)
        model.do(number, op)
    model.pass_time(model.now + AFTER_S)
    seen.append(model.phase)
    return model, seen


def checked(program: Program) -> PulseModel:
    """Histrio and the model agree on everything that can be seen, and when."""
    model, seen = predicted(program)
    world = play(program)
    for name, of in (("the model", model), ("histrio", world)):
        note(f"{name}: {of.log}\n{of.phases}\n{of.states}\n{of.futures}")
    assert world.log == model.log
    assert world.seen == seen
    assert world.phases == model.phases
    assert world.states == model.states
    assert world.futures == model.futures
    return model


@pytest.mark.alarm(1_800)  # 20,000 programs, by night
def test_controls_of_a_process_are_levels(show: Show) -> None:
    """S6, S7: every advance, clean-up, phase, state and future is as the model says, at the moment that it says."""
    came: Counter[str] = Counter()

    @given(programs())
    @settings(max_examples=count("process_examples"))
    @example(STOPPED_BEFORE_ITS_WAIT)
    @example(CUT_OFF_AT_ITS_DEADLINE)
    def check(program: Program) -> None:
        model = checked(program)
        came.update({"programs": 1, "in STEP": program.is_step, "of more than one life": "restarting" in model.phases})
        came.update({f"{wanted.kind.value}: {wanted.outcome}" for wanted in model.futures.values()})
        came.update({what.split()[0] for _, what in model.log if what.startswith("cut")})

    check()
    drawn = came.pop("programs")
    show(f"S7: {drawn} drawn programs of controls; " + ", ".join(f"{n} {what}" for what, n in came.items()))
    if drawn > ENOUGH:
        assert came >= Counter({"in STEP": 1, "of more than one life": 1, "cut": 1, **dict.fromkeys(OUTCOMES, 1)})
