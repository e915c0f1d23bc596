"""A drawn program runs on Histrio: actors that do what they are told, and a log of what they really do and when."""

# What is seen, and where
# -----------------------
# A worker writes its own log: `starting` and `started` at the begin and the end of its `started()`, `handles` and `done`
# in its handler, `stopping` and `stopped` in `stopped()`. That an incarnation is gone is written by a task in its own
# nursery, which lives as long as it and cleans up under a shield: so nothing of it runs after `gone` but the last steps
# of the kernel. A supervisor writes nothing; that it is gone is the signal STOP, which is heard only in the programs
# that listen, because listening sends each message through other code.

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final, cast, final
from unittest import mock

import attrs
import trio
from tests.actors.supervision.lives import Entry, Prediction, Script
from tests.actors.supervision.programs import (
    ASKS,
    COMMANDS,
    GRAINS_PER_S,
    MESSAGES,
    Do,
    Op,
    Program,
    Spec,
    Sup,
    Worker,
)
from tests.alarm import tasks_of_trio

import histrio
from histrio_kernel.cell import Cell
from histrio_kernel.futures import HOLDERS, Future
from histrio_kernel.signals import Kind, Signal
from histrio_kernel.simulation.trio_schedule import seeded_schedule

__all__ = ["Player", "World", "play", "run"]


LATEST_S: Final = 10_000.0  # whoever still runs then will never end


class Boom(Exception):
    """What the actors of a program raise."""


@attrs.frozen
class Mail(histrio.Request[None]):
    """Message number so and so of a program; what to do is in the program."""

    number: int


class Player(histrio.Actor[Mail]):
    """Does what its messages say, in a life as its script says."""

    def __init__(self, world: World, path: str) -> None:
        self.world = world
        self.path = path
        self.alive = trio.Event()
        self.is_gone = False
        self.broken = trio.Event()

    async def started(self) -> None:
        self.incarnation = self._histrio_cell.incarnation
        self.note("starting")
        self.world.players[self.path] = self
        self.background(self.living)
        self.background(self.breaking)
        await self.alive.wait()
        await sleep(self.script.start)
        if self.script.fails():
            raise Boom(f"{self.path} does not start")
        self.note("started")

    async def stopped(self, reason: histrio.Reason) -> None:
        self.note("stopping")
        await sleep(self.script.stop)
        self.note("stopped")

    async def receive(self, message: Mail) -> None:
        op = self.world.program.ops[message.number]
        self.note(f"handles {message.number}")
        if op.do in (Do.CRASH, Do.ASK_CRASH):
            raise Boom(f"{self.path} was told to crash")
        if op.do in (Do.WORK, Do.ASK_WORK):
            await self.io(sleep, op.amount)
            self.note(f"done {message.number}")
        if op.do is Do.HOLD:
            await sleep(op.amount)
            self.note(f"done {message.number}")
        if op.do is Do.FINISH:
            self.finish()
        self.world.handled.append(message.number)

    async def living(self) -> None:
        """Beside the handlers, for as long as the incarnation lives; then the clean-up."""
        self.alive.set()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await sleep(self.script.unwind)
            self.note("gone")
            self.is_gone = True

    async def breaking(self) -> None:
        """Fails beside the handlers, when it is told to."""
        await self.broken.wait()
        raise Boom(f"{self.path} was broken")

    @property
    def script(self) -> Script:
        """How long things take, at the moment."""
        return self.world.scripts[self.path]

    def note(self, what: str) -> None:
        """Write it down; not what was over before it was cancelled, and had no chance to go on."""
        if not (self.is_gone and what.split(maxsplit=1)[0] in ("started", "done")):
            self.world.note(self.path, self.incarnation, what)


class AgainPlayer(Player):
    """What it has in hand when it fails is given to it once more."""

    redeliver_max = 1


async def sleep(grains: int) -> None:
    """Sleep so many grains; none take no time and are no checkpoint."""
    if grains:
        await trio.sleep(grains / GRAINS_PER_S)


@final
class Jumping(trio.abc.Clock):
    """Jumps to the next deadline as soon as nothing can run; if there is none before long, tells that all is stuck."""

    def __init__(self, stuck: Callable[[], None]) -> None:
        self._now = 0.0
        self._stuck: Final = stuck

    def start_clock(self) -> None:
        """It stands still."""

    def current_time(self) -> float:
        """Seconds since the begin of the run."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Never sleep."""
        if deadline > LATEST_S:
            self._stuck()
        elif deadline > self._now:
            self._now = deadline
        return 0.0


class World:
    """What a running program shares, and the record of what happened."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.scripts: Final = {
            path: Script(spec.start, spec.stop, spec.unwind, spec.start_failures)
            for path, spec in program.places().items()
            if isinstance(spec, Worker)
        }
        self.specs: Final = program.places()
        self.players: Final[dict[str, Player]] = {}
        self.handled: Final[list[int]] = []
        self.asked: Final[dict[int, str]] = {}
        self.told: Final[list[int]] = []
        self.outcome: Final = Prediction()
        self.system: histrio.System | None = None
        self.askers: trio.Nursery
        self.everything: Final = trio.CancelScope()
        self.stuck: list[str] = []
        self.over = False

    def note(self, path: str, incarnation: int, what: str) -> None:
        """Write down what happens, with the time."""
        at = trio.current_time() * GRAINS_PER_S
        assert at == int(at), f"{at} is between two grains"
        self.outcome.log.append(Entry(int(at), path, incarnation, what))

    def hear(self, signal: Signal) -> None:
        """A signal: the end of an incarnation of a supervisor goes into the log."""
        if signal.kind is Kind.STOP and isinstance(self.specs.get(signal.path), Sup):
            self.note(signal.path, signal.incarnation, "gone")
        if isinstance(error := signal.detail, histrio.TooManyRestarts):
            names = tuple(one.path.rpartition("/")[2] for one in error.failures)
            self.outcome.escalations.append((error.path, names))

    # -- what happens from outside -------------------------------------------------------------------------------

    async def do_all(self) -> None:
        """Each op at its time."""
        for number, op in enumerate(self.program.ops):
            await trio.sleep_until(op.at / GRAINS_PER_S)
            if op.do in COMMANDS:
                self.askers.start_soon(self.command, number, op)
            else:
                self.do(number, op)

    def cell(self, path: str) -> Cell | None:
        """The cell at that path, if there is one."""
        assert self.system is not None
        return self.system._cell_at(path)

    def ref(self, cell: Cell) -> histrio.Ref[Any]:
        """Its ref."""
        assert self.system is not None
        return cast("histrio.Ref[Any]", self.system.ref_of(cell))

    def do(self, number: int, op: Op) -> None:
        """One op that needs no waiting."""
        cell = self.cell(op.path)
        match op.do:
            case Do.FAIL_STARTS | Do.START_TAKES | Do.STOP_TAKES | Do.UNWIND_TAKES:
                if op.path in self.scripts:
                    self.scripts[op.path].set(op)
            case Do.BREAK:
                if op.path in self.players:
                    self.players[op.path].broken.set()
            case _ if op.do in MESSAGES:
                if isinstance(self.specs[op.path], Worker):
                    self.send(number, op, cell)
            case _ if cell is not None:
                self.control(op, self.ref(cell).control)
            case _:
                pass

    def send(self, number: int, op: Op, cell: Cell | None) -> None:
        """Tell or ask it."""
        if cell is None:
            self.outcome.fates[number] = "refused"
            return
        ref, mail = self.ref(cell), Mail(number)
        if op.do in ASKS:
            if cell.inbox.closed is not None:
                self.outcome.fates[number] = "refused"
            self.asked[number] = "missing"
            self.askers.start_soon(self.ask, number, ref.ask(mail))
            return
        try:
            ref.tell_nowait(mail)
        except histrio.ActorStopped:
            self.outcome.fates[number] = "refused"
        else:
            self.told.append(number)

    def control(self, op: Op, control: histrio.Control) -> None:
        """Use its control; of a supervisor, only what every actor has."""
        match op.do:
            case Do.STOP:
                control.stop()
            case Do.STOP_WITHIN:
                control.stop(op.amount / GRAINS_PER_S)
            case Do.KILL:
                control.kill()
            case Do.PAUSE if isinstance(self.specs[op.path], Worker):
                control.pause()
            case Do.RESUME if isinstance(self.specs[op.path], Worker):
                control.resume()
            case _:
                pass

    async def command(self, number: int, op: Op) -> None:
        """Call the supervisor of that place."""
        above, name = op.called
        cell = self.cell(above)
        if cell is None:
            self.outcome.replies[number] = "stopped"
            return
        sup = self.ref(cell)
        try:
            if op.spec is not None:
                await sup.start_child(child_of(self, op.spec, above))
            elif op.do is Do.TERMINATE_CHILD:
                await sup.terminate_child(name)
            elif op.do is Do.RESTART_CHILD:
                await sup.restart_child(name)
            else:
                await sup.delete_child(name)
        except histrio.HistrioError as error:
            self.outcome.replies[number] = type(error).__name__
        else:
            self.outcome.replies[number] = "ok"

    # -- the whole -----------------------------------------------------------------------------------------------

    async def in_scope(self) -> None:
        """The whole program, in a scope that is cancelled when all is stuck."""
        with self.everything:
            await self.main()
        self.over = True

    def is_stuck(self) -> None:
        """Nothing can run, and nothing ever will."""
        if not self.over:
            assert not self.stuck, "\n".join(["cancelling everything does not end it:", *self.stuck])
            self.stuck = ["stuck at", *tasks_of_trio()]
            self.everything.cancel()

    async def main(self) -> None:
        """The whole program. Those who ask wait outside of the system, so that its end does not cancel them."""
        tasks = trio.lowlevel.current_statistics().tasks_living
        async with trio.open_nursery() as self.askers:
            try:
                await self.in_system()
            except histrio.SystemFailed:
                self.outcome.ended_by = "SystemFailed"
        assert trio.lowlevel.current_statistics().tasks_living == tasks, "tasks are left"

    async def in_system(self) -> None:
        """The program, from outside of the actors."""
        async with histrio.open_system() as self.system:
            if self.program.heard:
                self.system.listen(self.hear)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.do_all)
                try:
                    await self.system.spawn(child_of(self, self.program.root))
                except histrio.ActorFailed:
                    self.outcome.ended_by = "a failed start"
                    nursery.cancel_scope.cancel()
                except histrio.ActorStopped:
                    pass
                await trio.sleep_until(self.program.end / GRAINS_PER_S)
                nursery.cancel_scope.cancel()

    async def ask(self, number: int, ask: Future[None]) -> None:
        """Wait for the answer."""
        try:
            await ask
        except histrio.ActorFailed:
            self.asked[number] = "failed"
        except histrio.ActorStopped:
            self.asked[number] = "stopped"
        else:
            self.asked[number] = "done"

    def settle_fates(self) -> None:
        """What became of the messages, once all is over."""
        assert self.system is not None
        fates = self.outcome.fates
        for letter in self.system.dead_letters:
            assert isinstance(letter.message, Mail)
            self._settle(letter.message.number, "dead")
        for number in self.handled:
            if number not in self.asked:
                self._settle(number, "done")
        for number, fate in self.asked.items():
            if fates.get(number) != "refused":
                fates[number] = fate
        for number in self.told:
            fates.setdefault(number, "missing")

    def _settle(self, number: int, fate: str) -> None:
        fates = self.outcome.fates
        fates[number] = fate if number not in fates else f"{fates[number]} and {fate}"


def child_of(world: World, spec: Spec, above: str = "") -> histrio.Child[Any]:
    """The spec as Histrio wants it."""
    path = f"{above}/{spec.name}"
    child: histrio.Child[Any]
    if isinstance(spec, Worker):
        kind = AgainPlayer if spec.redeliver_max else Player
        child = histrio.child(spec.name, kind, world, path).with_(start_s=spec.start_max / GRAINS_PER_S)
    else:
        below = [child_of(world, one, path) for one in spec.children]
        child = histrio.child(
            spec.name,
            histrio.Supervisor,
            *below,
            strategy=getattr(histrio, spec.strategy.value),
            restarts_max=spec.restarts_max,
            window_s=spec.window / GRAINS_PER_S,
            backoff=backoff_of(spec),
            auto_shutdown=getattr(histrio, spec.auto_shutdown.value),
        )
    return child.with_(
        restart=getattr(histrio, spec.restart.value),
        shutdown_s=spec.shutdown / GRAINS_PER_S,
        significant=spec.significant,
    )


def backoff_of(spec: Sup) -> histrio.Backoff | None:
    """Its backoff, without chance."""
    if not spec.backoff:
        return None
    return histrio.Backoff(
        first_s=spec.backoff / GRAINS_PER_S,
        factor=2,
        max_s=spec.backoff_max / GRAINS_PER_S,
        jitter=0,
        reset_s=spec.backoff_reset / GRAINS_PER_S,
    )


@contextmanager
def quiet() -> Generator[None]:
    """Failures are what these programs are about, and need no log."""
    with mock.patch.object(logging.getLogger("histrio"), "disabled", new=True):
        yield


def run(world: World) -> None:
    """Run its program to the end, on virtual time."""
    with quiet(), seeded_schedule(world.program.schedule):
        trio.run(world.in_scope, clock=Jumping(world.is_stuck))
    assert not world.stuck, "\n".join(world.stuck)
    assert HOLDERS == {}


def play(program: Program) -> World:
    """Run a program, and see what became of it."""
    world = World(program)
    run(world)
    world.settle_fates()
    return world
