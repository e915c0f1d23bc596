"""A power cut at every place where it can matter, with everything that it may leave on the disk."""

# Design note
# -----------
# The cut and what it leaves are decisions on the tape of one run, which goes on with the recovery: so a failure has a
# token like any other. The first run makes no cut and counts the places; then there is one run for each place, and one
# more for each image of the disk at that place. Between two changes of the disk a cut makes no difference to it, but it
# does to what was acknowledged, so there is also one place after each answer has been taken: the next change, or the end.

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Final, TypeVar, final

import attrs
from outcome import Error

from histrio.testing.faults import Faults
from histrio.testing.options import asked_token
from histrio.testing.quiet import quiet
from histrio.testing.report import Report
from histrio.testing.running import NO_FAULTS, Program
from histrio.testing.world import World, in_world
from histrio_kernel.simulation.choices import CLOCK, Departure, departures
from histrio_kernel.simulation.errors import BrokenPromise, PowerCut
from histrio_kernel.simulation.files import SimFiles
from histrio_kernel.simulation.ran import Ran
from histrio_kernel.simulation.run import Simulation
from histrio_kernel.simulation.strategies.random_walk import RandomWalk, run_seed
from histrio_kernel.simulation.tokens import Schedule, read_token, write_token

__all__ = ["crash_points"]

R = TypeVar("R")

IMAGES_MAX: Final = 200
"""Images of the disk that are tried at one place."""
_CUT: Final = "the power is cut"
_LEFT: Final = "the disk has"


@attrs.frozen
class _Cut:
    """One run: its result, and the places of its decisions."""

    ran: Ran[object]
    decided: tuple[tuple[int, str], ...]

    def places(self, of: str) -> Iterator[int]:
        """Of the decisions about that, on the tape."""
        return (at for at, label in self.decided if label.startswith(of))


def crash_points(
    main: Program[object],
    recover: Callable[[World], Awaitable[R]],
    check: Callable[[list[object], R], object],
    *,
    seed: int = 0,
    bases: int = 1,
    images_max: int = IMAGES_MAX,
    runs_max: int | None = None,
    reordered: bool = False,
    faults: Faults | None = None,
    token: str | None = None,
) -> Report:
    """Cut the power of `main(world)` at every change of its disk, and look what `recover(world)` makes of what is left.

    What the world outside knows is in `world.notes`: *main* appends to it what was acknowledged.

    Args:
        main: the program; it uses the disk of its world.
        recover: runs on a machine that starts with an image of that disk, and returns what it found.
        check: `check(notes, found)` raises, or returns False, if something acknowledged is not there.
        seed: of the values of `random`, and of the schedules that are drawn.
        bases: how many schedules of *main* are cut everywhere: first in, first out, and others that are drawn.
        images_max: how many images of the disk are tried at each place.
        runs_max: how many runs there are at most, for a program that is too long to be cut everywhere: each schedule has its
            share of them, for places that are drawn from the seed, each with its images. Default: as many as it takes.
        reordered: also those of a disk that writes in any order what no sync has put in an order.
        faults: what else may go wrong; it does only if a token says so.
        token: replay this one failure, which is raised; default: what `pytest --sim-replay` says, if anything.

    Returns:
        The report; `schedules` are the runs, and it is complete if no place had more than *images_max* images, and none was
        left out for *runs_max*.

    Examples:
        >>> async def write(world: World) -> None:
        ...     file = await world.disk.open("/log")
        ...     await world.disk.append(file, b"one")
        ...     world.notes.append(b"one")
        >>> async def read(world: World) -> bytes:
        ...     return await world.disk.read("/log") if "log" in await world.disk.list("/") else b""
        >>> def is_there(notes: list[object], found: bytes) -> bool:
        ...     return all(note == found for note in notes)
        >>> report = crash_points(write, read, is_there)
        >>> report.failed, report.complete, report.schedules > 5
        (False, True, True)
    """
    points = _Points(main, recover, check, images_max, reordered, faults or NO_FAULTS)
    token = token or asked_token()
    if token is not None:
        schedule = read_token(token)
        ran = points.run(schedule).ran
        if isinstance(ran.outcome, Error):
            raise ran.outcome.error
        return Report(False, None, 1, None, "", False)
    with quiet():
        return points.all(seed, bases, runs_max)


def _departing(schedule: Schedule, at: int, chosen: int) -> Schedule:
    """As that one up to a place, and otherwise from there on."""
    before = tuple(each for each in schedule.departures if each.at < at)
    return attrs.evolve(schedule, departures=(*before, Departure(at, chosen)))


@final
class _Drawn:
    """A drawn schedule without any fault, and without a cut; nobody is so slow that time would pass meanwhile."""

    def __init__(self, seed: int) -> None:
        self._walk: Final = RandomWalk(seed)

    def pick(self, options: Sequence[int]) -> int:
        """Any but the clock."""
        tasks = options[:-1] if options[-1] == CLOCK else options
        return self._walk.pick(tasks) if len(tasks) > 1 else 0

    def decide(self, ways: int) -> int:
        """None."""
        return 0


@attrs.define
class _Points:
    """Enumerates the places of one program."""

    main: Program[object]
    recover: Callable[[World], Awaitable[object]]
    check: Callable[[list[object], object], object] | Callable[..., object]
    images_max: int
    reordered: bool
    faults: Faults
    runs: int = 0
    left_out: bool = False

    def all(self, seed: int, bases: int, runs_max: int | None) -> Report:
        """Every place, and every image there; of each base a share, if there may be only so many."""
        for number in range(bases):
            base = self._base(seed, number)
            share = None if runs_max is None else runs_max * (number + 1) // bases - runs_max * number // bases
            runs = self._everywhere(base, None if share is None else Random(run_seed(seed, number)))
            for schedule, cut in islice(runs, share):
                self.runs += 1
                if isinstance(cut.ran.outcome, Error):
                    return self._failed(schedule, cut)
            self.left_out = self.left_out or next(runs, None) is not None
        return Report(False, None, self.runs, None, "", not self.left_out)

    def _everywhere(self, base: Schedule, random: Random | None) -> Iterator[tuple[Schedule, _Cut]]:
        """The runs of one base: without a cut, and with one at each place, in a drawn order if there is *random*."""
        first = self.run(base)
        yield base, first
        places = list(first.places(_CUT))
        if random is not None:
            random.shuffle(places)
        yield from self._images(base, first)
        for at in places:
            there = _departing(base, at, 1)
            cut = self.run(there)
            yield there, cut
            yield from self._images(there, cut)

    def _base(self, seed: int, number: int) -> Schedule:
        """First in, first out, and then schedules that are drawn."""
        if not number:
            return Schedule(seed)
        simulation = Simulation(_Drawn(run_seed(seed, number)), seed)
        ran = simulation.run(lambda: self._live_and_recover(simulation))
        return Schedule(seed, departures(ran.tape))

    def _images(self, schedule: Schedule, cut: _Cut) -> Iterator[tuple[Schedule, _Cut]]:
        for at in cut.places(_LEFT):
            for image in range(1, cut.ran.tape[at].ways):
                there = _departing(schedule, at, image)
                yield there, self.run(there)

    def run(self, schedule: Schedule) -> _Cut:
        """One run: the program up to its cut, or its end, and the recovery."""
        simulation = Simulation(schedule.walk(), schedule.seed)
        ran = simulation.run(lambda: self._live_and_recover(simulation))
        return _Cut(ran, tuple(simulation.decided))

    async def _live_and_recover(self, simulation: Simulation) -> None:
        lives: list[World] = []

        def plan(world: World, cut: Callable[[], None]) -> None:
            lives.append(world)

            def boundary(call: str) -> None:
                if simulation.decide(2, f"{_CUT} before {call}"):
                    cut()
                    raise PowerCut(f"the power was cut before {call}")

            world.files.boundary = boundary

        with contextlib.suppress(PowerCut):
            await in_world(simulation, self.main, self.faults, plan=plan)
        (world,) = lives
        found = await self._recovered(simulation, world.files)
        if self.check(world.notes, found) is False:
            raise BrokenPromise(f"after the crash {found!r} was found, which is not what was promised: {world.notes!r}")

    async def _recovered(self, simulation: Simulation, files: SimFiles) -> object:
        files.boundary = lambda _: None
        images = list(files.images(self.images_max + 1, reordered=self.reordered))
        if len(images) > self.images_max:
            self.left_out = True
            images.pop()
        image = images[simulation.decide(len(images), _LEFT)]
        return await in_world(simulation, self.recover, self.faults, image)

    def _failed(self, schedule: Schedule, cut: _Cut) -> Report:
        assert isinstance(cut.ran.outcome, Error)
        labels = dict(cut.decided)
        told = [f"  - {labels.get(one.at, 'another choice')} ({one.chosen})" for one in schedule.departures]
        text = "\n".join(["first in, first out, and:", *told] if told else ["without any cut"])
        return Report(True, cut.ran.outcome.error, self.runs, write_token(schedule), text, False)
