"""Control of one actor does what the level-triggered model of it says, for drawn controls at any moment."""

from collections import Counter

import pytest
import trio
from hypothesis import assume, given, settings
from tests.actors.supervision.control_model import FUTURES, PATH, ControlModel, control_programs, predicted
from tests.actors.supervision.lives import Entry
from tests.actors.supervision.programs import GRAINS_PER_S, Do, Op, Program
from tests.actors.supervision.test_supervision_model import told_difference
from tests.actors.supervision.world import World, run
from tests.conftest import Show
from tests.effort import count

import histrio
from histrio_kernel.futures import Future

ENDED = ("stopped", "killed", "failed")


class ControlWorld(World):
    """The one actor of a program, everything that its control tells, and what watches it."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.phases: list[tuple[int, str]] = []
        self.seen: list[str] = []
        self.outcomes: dict[int, tuple[int | None, str]] = {}
        self.known: histrio.Ref[object] | None = None
        self.down: histrio.Down | None = None

    def now(self) -> int:
        """The time in grains."""
        return int(trio.current_time() * GRAINS_PER_S)

    async def do_all(self) -> None:
        """Each op at its time, and none of those at one instant after another task has run."""
        await trio.sleep_until((self.program.ops[0].at - 1) / GRAINS_PER_S)
        cell = self.cell(PATH)
        assert cell is not None
        self.known = self.ref(cell)
        self.askers.start_soon(self.watch, self.known)
        self.askers.start_soon(self.monitor, self.known)
        for number, op in enumerate(self.program.ops):
            if trio.current_time() < op.at / GRAINS_PER_S:
                await trio.sleep_until(op.at / GRAINS_PER_S)
                self.look()
            self.do(number, op)

    def look(self) -> None:
        """What can be seen of it at rest."""
        assert self.known is not None
        control = self.known.control
        try:
            phase = control.status().value
        except histrio.ActorStopped:
            phase = "ended"
        assert control.is_paused == (phase == "paused")
        assert control.is_done == (phase == "ended")
        self.seen.append(phase)

    def do(self, number: int, op: Op) -> None:
        """One op, by the ref that was had at first."""
        assert self.known is not None
        control = self.known.control
        try:
            match op.do:
                case Do.NOTE | Do.WORK | Do.HOLD | Do.CRASH:
                    self.send(number, op, self.cell(PATH))
                case Do.RESUME:
                    control.resume()
                case _:
                    self.wait(number, self.begin(op, control))
        except histrio.ActorStopped:
            self.outcomes[number] = (self.now(), "error")

    def begin(self, op: Op, control: histrio.Control) -> Future[object]:
        """Call for it."""
        match op.do:
            case Do.PAUSE:
                return control.pause()
            case Do.STEP:
                return control.step(op.amount)
            case Do.NUDGE:
                return control.nudge()
            case Do.KILL:
                return control.kill()
            case Do.STOP_WITHIN:
                return control.stop(op.amount / GRAINS_PER_S)
            case _:
                assert op.do is Do.STOP
                return control.stop()

    def wait(self, number: int, future: Future[object]) -> None:
        """Wait for it beside the program."""
        self.outcomes[number] = (None, "pending")
        self.askers.start_soon(self.outcome_of, number, future)

    async def outcome_of(self, number: int, future: Future[object]) -> None:
        """When and how a future completes."""
        try:
            value = await future
        except histrio.FutureCancelled:
            how = "cancelled"
        except histrio.ActorStopped:
            how = "error"
        else:
            how = "done" if value is None else str(getattr(value, "value", value))
        self.outcomes[number] = (self.now(), how)

    async def watch(self, ref: histrio.Ref[object]) -> None:
        """Every phase from now on."""
        async for phase in ref.watch():
            self.phases.append((self.now(), phase.value))

    async def monitor(self, ref: histrio.Ref[object]) -> None:
        """How it ended at last."""
        self.down = await ref.monitor()


def settled(phases: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The phase at the end of each instant. What comes and goes within one is not told of an actor that rests."""
    last = dict(phases)
    return [(at, phase) for n, (at, phase) in enumerate(last.items()) if not n or phase != list(last.values())[n - 1]]


def agrees(expected: tuple[int | None, str], found: tuple[int | None, str], op: Op) -> bool:
    """Whether a future ended so. A pause that is resumed at the same instant was completed, or was called off."""
    passing = expected[0] == op.at and expected[1] in ("done", "cancelled")
    return expected == found or (passing and found in ((op.at, "done"), (op.at, "cancelled")))


def check(program: Program) -> ControlModel:
    """The world does what the model says."""
    model, seen = predicted(program)
    world = ControlWorld(program)
    run(world)
    expected = [Entry(at, PATH, incarnation, what) for at, incarnation, what in model.log]
    found = [entry for entry in world.outcome.log if entry.path == PATH]
    assert expected == found, told_difference(expected, found)
    assert ["ended" if phase in ENDED else phase for phase in seen] == world.seen
    began = world.phases[0][0]
    before = [phase for at, phase in model.phases if at <= began][-1:]
    assert settled([(began, before[0]), *(one for one in model.phases if one[0] > began)]) == settled(world.phases)
    for number, op in enumerate(program.ops):
        if op.do in FUTURES:
            wanted, outcome = model.futures[number], world.outcomes[number]
            assert agrees((wanted.at, wanted.outcome), outcome, op), (
                f"op {number} (model's, Histrio's): {wanted} {outcome}"
            )
    assert world.down is not None
    assert world.down.incarnation == model.incarnation
    return model


@pytest.mark.alarm(300 + count("control_examples") / 5)
def test_control_does_what_the_level_triggered_model_says(show: Show) -> None:
    """S6: What was wanted last counts; pauses and steps are exact; kill takes no time but that of what cleans up."""
    seen: Counter[str] = Counter()

    @settings(max_examples=count("control_examples"))
    @given(control_programs())
    def drawn(program: Program) -> None:
        assume(not predicted(program)[0].is_ambiguous)
        model = check(program)
        seen.update(programs=1, controls=len(model.futures))
        seen.update(f"{op.do.name}" for op in program.ops)

    drawn()
    show(
        f"S6: {seen['programs']:,} drawn programs of control as the model of levels says: {seen['PAUSE']:,} pauses,"
        f" {seen['RESUME']:,} resumes, {seen['STEP'] + seen['NUDGE']:,} steps, {seen['KILL']:,} kills"
    )
