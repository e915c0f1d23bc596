"""S1, S3, A10: whatever crosses whatever: a PERMANENT child is never lost, nobody unknown runs, nobody is left waiting."""

# The model beside this says what must happen when one thing happens after the other. Here they cross: requests in the
# middle of restarts, of starts, of each other, given up half-way. What order that gives is open; what must hold is not.

from __future__ import annotations

import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import pytest
import trio
from tests.actors.supervision.crew import Crew
from tests.effort import count
from trio.testing import MockClock

import histrio
from histrio import Child, Phase, Ref
from histrio_kernel.futures import HOLDERS
from histrio_kernel.simulation.trio_schedule import seeded_schedule

NAMES: Final = "abcde"
GIVE_UP_S: Final = 500.0
QUIET_S: Final = 200.0
PHASES_OF_REST: Final = (Phase.RUNNING, Phase.PAUSED)


@attrs.frozen
class Work:
    """A number; some are too much."""

    number: int
    what: str = ""


class Unlucky(histrio.Actor[Work]):
    """Each step of its life takes a while, and may go wrong."""

    redeliver_max = 1

    def __init__(self, chance: random.Random, seen: list[int]) -> None:
        self.chance = chance
        self.seen = seen
        self.may_fail("made", 0.1)

    def may_fail(self, what: str, how_often: float) -> None:
        """Or not."""
        if self.chance.random() < how_often:
            raise RuntimeError(f"not {what}")

    async def started(self) -> None:
        await trio.sleep(self.chance.choice((0, 0, 0.3, 1)))
        self.may_fail("started", 0.2)

    async def receive(self, message: Work) -> None:
        if message.what == "wait":
            await self.io(trio.sleep, self.chance.random())
        elif message.what == "hold":
            await trio.sleep(self.chance.random())
        self.seen.append(message.number)
        if message.what == "fail":
            raise ValueError(f"{message.number}")

    async def stopped(self, reason: histrio.Reason) -> None:
        await trio.sleep(self.chance.choice((0, 0, 0.2, 0.7)))
        self.may_fail("stopped", 0.1)


@attrs.define
class Chaos:
    """One supervisor, and all that is done to it."""

    seed: int
    chance: random.Random = attrs.field(init=False)
    specs: dict[str, Child[Work]] = attrs.field(init=False)
    asked: dict[str, bool] = attrs.field(factory=dict)
    """Each request, by what it was and when; whether it was answered."""
    ended_on_request: set[str] = attrs.field(factory=set)
    told: list[int] = attrs.field(factory=list)
    seen: list[int] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        kinds = list(histrio.Restart)
        self.specs = {
            name: histrio.child(name, Unlucky, self.chance, self.seen).with_(
                restart=self.chance.choice(kinds), shutdown_s=self.chance.choice((0.1, 5)), start_s=0.9
            )
            for name in NAMES
        }

    async def run(self, system: histrio.System) -> None:
        """Do much at once, let it settle, and look at what is left."""
        crew = await self.begin(system)
        with trio.move_on_after(GIVE_UP_S):  # who is not answered then never will be: `check` says who
            async with trio.open_nursery() as nursery:
                for number in range(60):
                    nursery.start_soon(self.do_one, system, crew, number, name=f"op {number}")
                    await trio.sleep(self.chance.choice((0, 0, 0.01, 0.4)))
        await trio.sleep(QUIET_S)
        self.check(system, crew)
        with trio.fail_after(100):
            await crew.ref.control.stop()
        assert system.tree().children == ()
        self.check_mail(system)

    async def begin(self, system: histrio.System) -> Crew:
        """The supervisor, with the first of the children; their first start may take a few tries."""
        strategy = self.chance.choice(list(histrio.Strategy))
        backoff = self.chance.choice((None, histrio.Backoff(first_s=0.5, factor=1, jitter=0.5)))
        while True:
            met: list[Crew] = []
            first = [self.specs[name] for name in NAMES[:3]]
            try:
                await system.spawn(
                    histrio.child("sup", Crew, met, *first, strategy=strategy, backoff=backoff, restarts_max=10_000_000)
                )
            except histrio.ActorFailed:
                continue
            return met[0]

    # -- what is done ------------------------------------------------------------------------------------------------

    async def do_one(self, system: histrio.System, crew: Crew, number: int) -> None:
        """One thing, to one child."""
        name = self.chance.choice(NAMES)
        found = system.find(Unlucky, f"/sup/{name}")
        things: list[Callable[[], Awaitable[object]]] = [
            lambda: self.request(crew, name, number),
            lambda: self.request_from_inside(crew, name, number),
        ]
        if found is not None:
            things.extend([lambda: self.tell(found, number)] * 3)
            things.append(lambda: self.control(found, number))
        await self.chance.choice(things)()

    async def request(self, crew: Crew, name: str, number: int) -> None:
        """Ask its supervisor for something, as anybody may."""
        spec, sup = self.specs[name], crew.ref
        what = self.chance.choice(("start", "terminate", "terminate", "restart", "delete"))
        if what in ("terminate", "delete"):
            self.ended_on_request.add(name)
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "start": lambda: sup.start_child(spec),
            "terminate": lambda: sup.terminate_child(name),
            "restart": lambda: sup.restart_child(spec),
            "delete": lambda: sup.delete_child(name),
        }
        await self.answered(f"{what} {name} ({number})", asked[what])

    async def request_from_inside(self, crew: Crew, name: str, number: int) -> None:
        """The same by the supervisor's own methods, and perhaps not to the end."""
        spec = self.specs[name]
        what = self.chance.choice(("start", "terminate", "restart"))
        patience_s = self.chance.choice((0.0, 0.2, 50.0))
        if what == "terminate" or patience_s < 1:
            self.ended_on_request.add(name)
        asked: dict[str, Callable[[], Awaitable[object]]] = {
            "start": lambda: crew.start_child(spec),
            "terminate": lambda: crew.terminate_child(name),
            "restart": lambda: crew.restart_child(spec),
        }

        async def inside() -> None:
            with trio.move_on_after(patience_s):
                await self.answered(f"{what} {name} inside ({number})", asked[what])
            self.asked[f"{what} {name} inside ({number})"] = True

        await crew.background(inside)

    async def answered(self, what: str, ask: Callable[[], Awaitable[object]]) -> None:
        """Wait for the answer; a refusal is one."""
        self.asked[what] = False
        with contextlib.suppress(histrio.Refusal):
            await ask()
        self.asked[what] = True

    async def tell(self, ref: Ref[Work], number: int) -> None:
        """Give it work."""
        what = self.chance.choice(("", "wait", "hold", "fail"))
        try:
            await ref.tell(Work(number, what))
        except histrio.ActorStopped:
            return
        self.told.append(number)

    async def control(self, ref: Ref[Work], number: int) -> None:
        """Past its inbox."""
        with contextlib.suppress(histrio.ActorStopped):
            match self.chance.choice(("kill", "stop", "pause", "resume")):
                case "kill":
                    await self.answered(f"kill ({number})", ref.control.kill)
                case "stop":
                    await self.answered(f"stop ({number})", ref.control.stop)
                case "pause":
                    ref.control.pause()
                case _:
                    ref.control.resume()

    # -- what must hold ----------------------------------------------------------------------------------------------

    def check(self, system: histrio.System, crew: Crew) -> None:
        """Now that all is quiet."""
        assert [what for what, answered in self.asked.items() if not answered] == []
        assert crew.ref.control.status() is Phase.RUNNING
        known = {child.name: child for child in crew.which_children()}
        living = system.tree().children[0].children
        assert [node.name for node in living] == [name for name, child in known.items() if child.phase is not None]
        assert {node.name: node.phase for node in living if node.phase not in ("running", "paused")} == {}
        for name, child in known.items():
            if child.restart is histrio.PERMANENT and name not in self.ended_on_request:
                assert child.phase in PHASES_OF_REST, f"{name} is PERMANENT, and lost"
            assert child.restart is not histrio.TEMPORARY or child.phase is not None, f"{name} should be forgotten"
        for name in NAMES[:3]:
            if self.specs[name].restart is histrio.PERMANENT and name not in self.ended_on_request:
                assert name in known, f"{name} is PERMANENT, and forgotten"

    def check_mail(self, system: histrio.System) -> None:
        """What was accepted was handled, or is a dead letter."""
        assert len(system.dead_letters) <= 1024
        dead = {letter.message.number for letter in system.dead_letters if isinstance(letter.message, Work)}
        assert sorted(set(self.told) - set(self.seen) - dead) == []


def run_seed(seed: int) -> None:
    """One run, in an order of Trio's that is drawn too."""
    chaos = Chaos(seed)
    try:
        with seeded_schedule(seed):
            histrio.run(chaos.run, clock=MockClock(autojump_threshold=0))
    except BaseException as error:
        error.add_note(f"seed {seed}; asked: {chaos.asked}")
        raise
    assert not HOLDERS


@pytest.mark.alarm(600)
def test_nothing_that_crosses_loses_a_child_or_an_answer() -> None:
    """S1, S3, A10: requests, failures, controls and messages at random, from outside and inside, some given up."""
    for seed in range(count("request_seeds")):
        run_seed(seed)
