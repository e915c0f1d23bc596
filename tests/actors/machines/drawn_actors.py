"""Actors with drawn machines, whose states have operations, children, timers and visits; and what happens to them."""

from __future__ import annotations

import random
import types
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import attrs
import trio
from tests.machine.shell.drawn_tasks import (
    Act,
    Drawn,
    Troupe,
    act_of,
    drawn_machine,
    handlers_for,
    linger,
    namespace,
    table,
)
from tests.machine.shell.lab import Oops
from tests.machine.shell.witness import LONG_S

import histrio
from histrio.actor import cell_of
from histrio_kernel.machine.states.base import BaseState

__all__ = ["Do", "Life", "Program", "Stage", "class_of", "program_of"]

TASKS: Final = ("sleep", "sleep", "mutate", "raise", "nested", "scope") + (
    "io",
    "await",
    "spawn",
    "timer",
    "visit",
    "within",
    "background",
    "door",
) * 2
STEPS: Final = ("mutate",) * 10 + ("sleep",) * 6 + ("io", "within", "spawn", "timer", "scope", "guard") * 2
RARE_STEPS: Final = ("bind", "unbind", "load", "evolve", "settle", "pause", "resume") * 3 + ("fail",)
ENDINGS: Final = ("fail", "kill", "stop", "stop")
LAST: Final = ("leave", "leave", "leave", "cancel", "kill", "stop")


@attrs.frozen
class Program:
    """An actor's machine, and what happens in each of its lives; how each ends, and how the last does."""

    drawn: Drawn
    lives: Sequence[Sequence[Act]]
    endings: Sequence[str]
    last: str
    io_max: int
    serial: bool


def program_of(seed: int, length: int) -> Program:
    """All of it out of one seed."""
    dice = random.Random(seed)
    drawn = drawn_machine(dice, TASKS)
    names = [state.name for state in drawn.family]
    lives = dice.choice((1, 1, 2, 3))
    return Program(
        drawn=drawn,
        lives=[
            [act_of(dice, names, RARE_STEPS if dice.random() < 0.2 else STEPS) for _ in range(length)]
            for _ in range(lives)
        ],
        endings=[dice.choice(ENDINGS) for _ in range(lives)],
        last=dice.choice(LAST),
        io_max=dice.choice((1, 2, 100)),
        serial=dice.random() < 0.1,
    )


@attrs.frozen(eq=False)
class Do(histrio.Request[None]):
    """Do it, in a handler."""

    act: Act


@attrs.define(eq=False)
class Life:
    """One incarnation: who acts in it, and how far it has come."""

    troupe: Troupe
    has_stopped: bool = False
    """Its `stopped()` has returned, so all that is left ends in order."""
    is_cut_off: bool = False


class Guest(histrio.Actor[str]):
    """A child of an activation; it takes some time to start and to end."""

    shutdown_s = 10

    def __init__(self, troupe: Troupe, state: str, key: int, seconds: float) -> None:
        self.troupe: Final = troupe
        self.place: Final = (state, key)
        self.seconds: Final = seconds

    async def started(self) -> None:
        await trio.sleep(self.seconds / 2)

    async def run(self) -> None:
        with self.troupe.witness.does(*self.place, "child"):
            try:
                while True:
                    await self.receive_next()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.seconds)


class Stage(histrio.Actor[Do | str]):
    """The base of the drawn actors: what a troupe can do in one, besides."""

    program: Program
    shutdown_s = 1_000

    def __init__(self, program: Program, lives: list[Life]) -> None:
        self.program = program
        self.lives: Final = lives
        self.bound: Final[dict[int, object]] = {0: self}
        self.has_evolved = False
        self.timer_keys: Final[list[tuple[str, int, int]]] = []

    @property
    def life(self) -> Life:
        """This one."""
        return self.lives[-1]

    async def started(self) -> None:
        for life in self.lives:
            life.troupe.witness.expect(not life.troupe.witness.live, "something outlives its incarnation")
        troupe = Troupe(self.program.drawn, self.states, self)
        self.lives.append(Life(troupe))
        troupe.witness.bound = [0]
        self.states.attach(troupe.witness)
        self.states.bind(table(troupe))
        self._bind(1)

    async def stopped(self, reason: histrio.Reason) -> None:
        await self.io(trio.sleep, 0.5)
        self.life.has_stopped = cell_of(self, "stopped").io_nursery is not None  # it may have failed meanwhile

    # -- what tasks do -------------------------------------------------------------------------------------------------

    async def act(self, act: Act, state: str, key: int) -> None:
        """An act of the task of a state: what it starts belongs to its activation without being told."""
        troupe = self.life.troupe
        match act.kind:
            case "io":
                self.io(linger, troupe, state, key, "operation", act.seconds)
            case "await":
                await self.io(self._for_a_while, state, key, act.seconds)
            case "door":
                self.io.clock.sleep(500)
            case "spawn":
                await self._spawn(state, key, act.seconds, None)
            case "timer":
                self._set_timer(state, key, None)
            case "background":
                self.background(trio.sleep, act.seconds)
            case "visit":
                async with self.turn():
                    self.io(linger, troupe, state, key, "operation of a visit", act.seconds)
                    await trio.sleep(act.seconds)
            case _:
                await self._give(act)

    async def _for_a_while(self, state: str, key: int, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await linger(self.life.troupe, state, key, "awaited operation", seconds / 2)

    async def _spawn(self, state: str, key: int, seconds: float, within: BaseState | None) -> None:
        with suppress(histrio.ActorStopped, histrio.NotActive, histrio.Disposed):
            await self.spawn(Guest, self.life.troupe, state, key, seconds, within=within)

    def _set_timer(self, state: str, key: int, within: BaseState | None) -> None:
        self.timer_keys.append((state, key, len(self.timer_keys)))
        self.timers.every(1.5, "tick", self.timer_keys[-1], within=within)

    # -- what is given to a state --------------------------------------------------------------------------------------

    def gift(self, act: Act, state: str, key: int) -> None:
        """A sync handler gives an operation or a timer to the present activation of a state."""
        found = self._within(state)
        if found is not None:
            self.io(linger, self.life.troupe, state, key, "given operation", act.seconds, within=found)
            self._set_timer(state, key, found)

    def _within(self, name: str) -> BaseState | None:
        """The object of a state, if something can belong to it."""
        is_there = name in self.states.schema.definitions and not self.states.is_disposed
        return self.program.drawn.family[name] if is_there and name in self.states else None

    async def _give(self, act: Act) -> None:
        """Give something to the present activation of a state, by name."""
        name = act.states[0]
        within, key = self._within(name), self.life.troupe.witness.key.get(name)
        if within is None or key is None:
            return
        if act.op == "add":
            await self._spawn(name, key, act.seconds, within)
        elif act.op == "remove":
            self._set_timer(name, key, within)
        else:
            self.io(linger, self.life.troupe, name, key, "given operation", act.seconds, within=within)

    # -- what comes from outside ---------------------------------------------------------------------------------------

    @histrio.handler(Do)
    async def do(self, m: Do) -> None:
        """A step, in a handler, which may be too late."""
        with suppress(histrio.NotActive, histrio.Disposed, histrio.ActorStopped, histrio.FutureCancelled):
            await self._do(m.act)

    async def _do(self, act: Act) -> None:
        troupe = self.life.troupe
        match act.kind:
            case "within" | "spawn" | "timer" | "io":
                await self._give(act)
            case "scope":
                with trio.move_on_after(5):
                    await self._guarded_scope(act)
            case "guard":
                with trio.move_on_after(2):
                    await self.states.when(*(name for name in act.states if name in self.states.schema.definitions))
            case "bind":
                self._bind(int(act.seconds) % len(self.program.drawn.binds))
            case "unbind":
                self._unbind(int(act.seconds) % len(self.program.drawn.binds))
            case "load":
                troupe.load(act)
            case "evolve":
                self.has_evolved = True
                troupe.evolve(act)
            case "fail":
                raise Oops
            case _:
                troupe.mutate(act)

    async def _guarded_scope(self, act: Act) -> None:
        """A block around a wait of a handler."""
        name = act.states[0]
        key = self.life.troupe.witness.key.get(name)
        if key is not None:
            with self.states.scope(name), self.life.troupe.witness.does(name, key, "block of a handler"):
                await self.io(trio.sleep, 3)

    @histrio.handler(str)
    async def tick(self, m: str) -> None:
        """A timer has sent it."""

    def _bind(self, number: int) -> None:
        if 0 < number < len(self.program.drawn.binds) and number not in self.bound and not self.has_evolved:
            handlers = handlers_for(self.life.troupe, number)
            if handlers is not None:
                self.states.bind(handlers)
                self.bound[number] = handlers
                self.life.troupe.witness.bound = list(self.bound)

    def _unbind(self, number: int) -> None:
        handlers = self.bound.pop(number, None) if number else None
        if handlers is not None:
            self.states.unbind(handlers)
            self.life.troupe.witness.bound = list(self.bound)

    def look(self) -> None:
        """What holds when nothing has happened for long."""
        witness = self.life.troupe.witness
        witness.look()
        for state, key, number in self.timer_keys:
            ended = witness.ended.get((state, key))
            if ended is not None and trio.current_time() - ended > LONG_S:
                witness.expect((state, key, number) not in self.timers, f"a timer of {state} {key} outlives it")


def class_of(program: Program) -> type[Stage]:
    """The class of the actor: the first binding are its own methods."""
    methods = namespace(program.drawn, 0, _troupe_of)

    def fill(body: dict[str, Any]) -> None:
        body.update(methods, io_max=program.io_max, serial=program.serial)

    return types.new_class("Drawn", (Stage,), {"states": program.drawn.family}, fill)


def _troupe_of(actor: Stage) -> Troupe:
    return actor.life.troupe
