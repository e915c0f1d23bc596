"""What every strategy has to keep, as checks that run on anybody's.

A strategy is an object with a `name`, `walk(number, seed)` and `learn(taught)`; see `histrio_kernel.simulation.choices`.
`explore` relies on what is checked here: that a search can be repeated from its seed, and that no run goes wrong.
"""

# Design note
# -----------
# The checks drive a strategy with made-up programs, which need not make sense: a walk must answer whatever it is asked.
# They are functions, so that they run under any test framework; each raises `AssertionError` with what was wrong.

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from random import Random
from typing import Final, cast

import attrs

from histrio_kernel.simulation.choices import CLOCK, Step, Strategy, Tape, Taught, Walk

__all__ = ["CHECKS", "check_strategy", "fingerprint"]

Make = Callable[[], Strategy]

_RUNS: Final = 12
_CHOICES: Final = 40
_MANY: Final = 1_000
_ENDS_AFTER: Final = 3
"""So often a strategy is asked again that had nothing left."""


def check_strategy(make: Make, *, imported_as: str | None = None) -> None:
    """Run all checks on the strategies that `make` makes.

    Args:
        make: makes a fresh one; called often.
        imported_as: where other processes find `make`, as `package.module:name`; then the walks are compared with those
            of other processes, too.

    Raises:
        AssertionError: one does not hold; the text says which, and what it saw.

    Examples:
        >>> from histrio_kernel.simulation.strategies.pct import PriorityWalks
        >>> check_strategy(PriorityWalks)
    """
    for check in CHECKS:
        check(make)
    if imported_as is not None:
        _the_same_in_every_process(make, imported_as)


def _require(holds: bool, otherwise: str) -> None:
    """Raise if it does not hold, also where Python leaves out its own assertions."""
    if not holds:
        raise AssertionError(otherwise)


def _is_index(answer: object, ways: int) -> bool:
    return type(answer) is int and 0 <= answer < ways


# -- made-up programs ----------------------------------------------------------------------------------------------------


@attrs.frozen
class _Asked:
    """One question to a walk: options, or so many ways of a decision; and the answer."""

    options: tuple[int, ...]
    ways: int
    answer: int


def _questions(draw: Random) -> Iterator[tuple[tuple[int, ...], int]]:
    """What a made-up run asks: tasks that come and go, completions, sometimes a clock, some decisions."""
    alive = [1, 2, 3]
    born = 3
    for _ in range(_CHOICES):
        if draw.random() < 0.2:
            yield (), draw.randrange(2, 6)
            continue
        if draw.random() < 0.4 or len(alive) < 2:
            born += 1
            alive.append(born)
        if len(alive) > 2 and draw.random() < 0.3:
            alive.remove(draw.choice(alive))
        options = draw.sample(alive, draw.randrange(2, len(alive) + 1))
        yield (*options, CLOCK) if draw.random() < 0.5 else tuple(options), 0


def _run(walk: Walk, draw: Random) -> list[_Asked]:
    """A made-up run along a walk."""
    asked: list[_Asked] = []
    for options, ways in _questions(draw):
        if ways:
            answer = walk.decide(ways)
            _require(_is_index(answer, ways), f"decide({ways}) gave {answer!r}")
        else:
            given = list(options)
            answer = walk.pick(given)
            _require(_is_index(answer, len(options)), f"pick({list(options)}) gave {answer!r}")
            _require(given == list(options), f"pick({list(options)}) changed its options to {given}")
        asked.append(_Asked(options, ways, answer))
    return asked


def _tape(asked: list[_Asked]) -> Tape:
    return tuple(Step(one.ways or len(one.options), one.answer, bool(one.ways)) for one in asked)


def _search(strategy: Strategy, seed: int, *, same: bool = True) -> list[list[_Asked]]:
    """Some runs of a made-up program: the same one each time, or another one."""
    runs: list[list[_Asked]] = []
    for number in range(_RUNS):
        walk = strategy.walk(number, seed)
        if walk is None:
            break
        runs.append(_run(walk, Random(0 if same else number)))
        strategy.learn(Taught(_tape(runs[-1]), failed=False))
    return runs


def fingerprint(strategy: Strategy) -> str:
    """Digits that stand for all choices of some searches."""
    told = repr([_search(strategy, 7), _search(strategy, 8, same=False)])
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


# -- the checks ----------------------------------------------------------------------------------------------------------


def it_has_a_name(make: Make) -> None:
    """Reports call it something."""
    name = cast(object, make().name)
    _require(isinstance(name, str) and name != "", f"its name is {name!r}")


def one_seed_gives_one_search(make: Make) -> None:
    """Two fresh ones with one seed, taught the same, choose the same."""
    for seed in (0, 1, 2**32 - 1):
        _require(_search(make(), seed) == _search(make(), seed), f"two searches with seed {seed} differ")


def answers_are_on_offer(make: Make) -> None:
    """Whatever a program asks, also another thing in each run, the answer is an index that there is; see `_run`."""
    for seed in range(4):
        _search(make(), seed, same=False)


def many_may_go_on(make: Make) -> None:
    """A choice may have a thousand options, and a decision as many ways."""
    strategy = make()
    for number in range(_ENDS_AFTER):
        walk = strategy.walk(number, 0)
        if walk is None:
            return
        for _ in range(3):
            for options in (range(1, _MANY + 1), [*range(1, _MANY), CLOCK]):
                answer = walk.pick(options)
                _require(0 <= answer < _MANY, f"of {_MANY} options it picked {answer!r}")
        answer = walk.decide(_MANY)
        _require(0 <= answer < _MANY, f"of {_MANY} ways it decided for {answer!r}")
        strategy.learn(Taught((Step(_MANY, answer, is_decision=True),), failed=False))


def who_has_ended_stays_so(make: Make) -> None:
    """None means that nothing is left: asked again, there is nothing either. The first walk is never None."""
    strategy = make()
    _require(strategy.walk(0, 0) is not None, "it has no first walk")
    strategy = make()
    ended = False
    for number in range(60):
        walk = strategy.walk(number, 0)
        _require(walk is None or not ended, f"it had nothing left before run {number}, and has something then")
        ended = walk is None
        if walk is not None:
            tape = Step(2, walk.pick((1, 2))), Step(2, walk.decide(2), is_decision=True)
            strategy.learn(Taught(tape, failed=False))


def it_learns_from_anything(make: Make) -> None:
    """A run may have had no choice, or failed, or ended before the walk was asked, or come from another strategy."""
    strategy = make()
    strategy.learn(Taught((), failed=False))
    for number, taught in enumerate(
        (Taught((), failed=True), Taught((Step(3, 2), Step(2, 1, is_decision=True)) * 50, failed=False))
    ):
        if strategy.walk(number, 0) is None:
            return
        strategy.learn(taught)
    strategy.learn(Taught((Step(2, 0),), failed=True))
    strategy.walk(2, 0)


def it_need_not_be_taught(make: Make) -> None:
    """Walks can be had one after the other, without a word of what became of them."""
    strategy = make()
    for number in range(5):
        walk = strategy.walk(number, 3)
        if walk is None:
            return
        _run(walk, Random(number))


CHECKS: Final[tuple[Callable[[Make], None], ...]] = (
    it_has_a_name,
    one_seed_gives_one_search,
    answers_are_on_offer,
    many_may_go_on,
    who_has_ended_stays_so,
    it_learns_from_anything,
    it_need_not_be_taught,
)
"""All that need no other process."""

_PROGRAM: Final = """
import sys
from importlib import import_module
from histrio.testing.strategy_conformance import fingerprint
module, _, name = sys.argv[1].partition(":")
print(fingerprint(getattr(import_module(module), name)()))
"""


def _the_same_in_every_process(make: Make, imported_as: str) -> None:
    """What it chooses depends on nothing that another process has otherwise, such as the hashes of strings."""
    here = fingerprint(make())
    for hash_seed in ("0", "1"):
        command = [sys.executable, "-c", _PROGRAM, imported_as]
        done = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=False,
        )
        _require(done.returncode == 0, f"a process that imports {imported_as} failed:\n{done.stderr}")
        there = done.stdout.strip()
        _require(there == here, f"with PYTHONHASHSEED={hash_seed} another process chose otherwise: {there}, not {here}")
