"""M7, A17, E4: nothing started within an activation outlives it, whatever cancels, fails or rolls back.

All of it has ended before the async `exited` runs, and before the next task starts. For drawn schemas, whose states have
tasks, children, timers and operations, in actors that are stopped, killed, paused and started again.
"""

from __future__ import annotations

import gc
import logging
import random
import weakref
from contextlib import suppress
from typing import Final

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.machines.crew import Do as Tell
from tests.actors.machines.crew import Work, Worker, cleans_up, switch_on, worker_of
from tests.actors.machines.drawn_actors import Do, Life, Program, Stage, class_of, program_of
from tests.conftest import Show
from tests.effort import count
from tests.inside import actor_of
from tests.machine.shell.drawn_tasks import Act
from tests.machine.shell.lab import lines_of, waits_of
from tests.machine.shell.witness import LONG_S
from trio.testing import MockClock

import histrio
from histrio_kernel.futures import HOLDERS
from histrio_kernel.simulation.trio_schedule import seeded_schedule

PATH: Final = "/top/drawn"


class Performance:
    """One program in one system."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.kind: Final = class_of(program)
        self.lives: Final[list[Life]] = []

    async def perform(self, system: histrio.System) -> None:
        """All lives, one after the other; the last one is ended by whoever ends the system, or just before."""
        spec = histrio.child("drawn", self.kind, self.program, self.lives)
        await system.spawn(histrio.child("top", histrio.Supervisor, spec, restarts_max=1_000))
        for number, steps in enumerate(self.program.lives):
            for act in steps:
                await self.step(system, act)
            if number + 1 < len(self.program.lives):
                await self.end(system, self.program.endings[number])
        if self.program.last in {"kill", "stop"}:
            await self.end(system, self.program.last)

    def ref(self, system: histrio.System) -> histrio.Ref[Do | str] | None:
        """The actor, unless it has ended for good."""
        return system.find(Stage, PATH)

    async def step(self, system: histrio.System, act: Act) -> None:
        """One thing that happens."""
        ref = self.ref(system)
        match act.kind:
            case _ if ref is None:
                await trio.lowlevel.checkpoint()
            case "sleep":
                await trio.sleep(act.seconds)
            case "settle":
                await trio.sleep(LONG_S + 5)
                with suppress(AssertionError):
                    actor_of(system, Stage, ref).look()
            case "pause":
                with trio.move_on_after(1):
                    await ref.control.pause()
            case "resume":
                ref.control.resume()
            case _:
                with suppress(histrio.ActorStopped), trio.move_on_after(1):
                    await ref.tell(Do(act))

    async def end(self, system: histrio.System, how: str) -> None:
        """This life ends, in this way."""
        ref = self.ref(system)
        if ref is None:
            return
        ref.control.resume()
        match how:
            case "kill":
                if self.lives:
                    self.lives[-1].is_cut_off = True
                ref.control.kill()
            case "stop":
                ref.control.stop()
            case _:
                with suppress(histrio.ActorStopped):
                    await ref.tell(Do(Act("fail")))
        await trio.sleep(3)

    def check(self) -> None:
        """Nothing was wrong, and nothing is left."""
        for life in self.lives:
            witness = life.troupe.witness
            witness.over(in_order=life.has_stopped and not life.is_cut_off)
            assert witness.wrong == [], witness.wrong
            assert life.troupe.machine.is_disposed
            assert (lines_of(life.troupe.machine), waits_of(life.troupe.machine)) == (0, 0)
        assert not HOLDERS


async def perform(program: Program) -> Performance:
    """Open a system, let it happen, and see what is left."""
    performance = Performance(program)
    with trio.CancelScope() as around, suppress(histrio.SystemFailed):
        async with histrio.open_system() as system:
            await performance.perform(system)
            if program.last == "cancel":
                for life in performance.lives:
                    life.is_cut_off = True
                around.cancel()
    performance.check()
    return performance


def run_drawn(seed: int, length: int) -> Performance:
    """One run, all of which follows from the seed."""
    program = program_of(seed, length)
    with seeded_schedule(seed):
        return trio.run(perform, program, clock=MockClock(autojump_threshold=0))


@pytest.mark.alarm(300 + count("state_programs") / 5)
@settings(max_examples=count("state_programs"))
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(1, 60))
def test_activations_of_drawn_actors(seed: int, length: int) -> None:
    """M7, A17, E4: work ends with its activation, tasks do not overlap, and each `entered` has at most one `exited`."""
    logging.disable(logging.CRITICAL)
    try:
        run_drawn(seed, length)
    finally:
        logging.disable(logging.NOTSET)


def test_the_drawn_actors_do_something(show: Show) -> None:
    """M7: what the programs above come to: so many activations, tasks, `exited` handlers and lives."""
    runs = 30
    logging.disable(logging.CRITICAL)
    try:
        lives = [life for seed in range(runs) for life in run_drawn(seed, random.Random(seed).randint(10, 40)).lives]
    finally:
        logging.disable(logging.NOTSET)
    stints = [stint for life in lives for stint in life.troupe.witness.stints]
    figures = {
        "activations": sum(life.troupe.witness.keys for life in lives),
        "tasks": len(stints),
        "exited": sum(stint.exits for stint in stints),
        "lives": len(lives),
    }

    show("M7: " + ", ".join(f"{number:,} {what}" for what, number in figures.items()) + f" in {runs} drawn actors")
    assert min(figures.values()) >= runs


async def test_nothing_holds_the_machine_of_an_actor_that_has_ended(autojump_clock: MockClock) -> None:
    """M7: neither the actor's object, nor its machine, nor what its place keeps for the next incarnation."""
    gone: list[weakref.ref[object]] = []

    async def live(system: histrio.System) -> None:
        await system.spawn(histrio.Supervisor, histrio.child("worker", Worker, cleans_up), name="top")
        ref = system.find(Worker, "/top/worker")
        assert ref is not None
        for _ in range(3):
            worker = worker_of(system, ref)
            gone.extend((weakref.ref(worker), weakref.ref(worker.states)))
            del worker
            await ref.ask(Tell(switch_on))
            await trio.sleep(1)
            ref.control.kill()
            await trio.sleep(5)
        gc.collect()
        assert [each() for each in gone] == [None] * 6
        assert Work.on not in worker_of(system, ref).states

    async with histrio.open_system() as system:
        await live(system)
