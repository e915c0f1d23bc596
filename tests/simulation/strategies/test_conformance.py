"""Our strategies keep what any strategy has to keep; and the checks notice those that do not."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import pytest

from histrio.testing.strategy_conformance import CHECKS, check_strategy
from histrio_kernel.simulation.choices import Fifo, Strategy, Taught, Walk
from histrio_kernel.simulation.strategies.delay import Delays
from histrio_kernel.simulation.strategies.exhaustive import Exhaustive
from histrio_kernel.simulation.strategies.mix import STRATEGIES, Mix
from histrio_kernel.simulation.strategies.pct import PriorityWalks

LONG_MIX: Final = partial(Mix, 30)
MORE: Final[dict[str, Callable[[], Strategy]]] = {
    "pct of depth 5": partial(PriorityWalks, 5, 5),
    "no delay": partial(Delays, 0),
    "early clock": partial(Exhaustive, 3),
    "a long mix": LONG_MIX,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [*STRATEGIES, *MORE])
def test_ours_keep_it(name: str, check: Callable[[Callable[[], Strategy]], None]) -> None:
    """D3: each of our strategies passes each check."""
    check({**STRATEGIES, **MORE}[name])


def test_ours_choose_the_same_in_every_process() -> None:
    """D1: the walks of one seed are the same in every process; the mixture has all kinds."""
    check_strategy(LONG_MIX, imported_as=f"{__name__}:LONG_MIX")


class Broken:
    """A strategy that does one thing wrong, if any."""

    def __init__(self, fault: str = "") -> None:
        self.fault: Final = fault
        self.name = "" if fault == "no name" else "broken"
        self.runs = 0

    def walk(self, number: int, seed: int) -> Walk | None:
        self.runs += 1
        if self.fault == "comes back" and self.runs % 2 == 0:
            return None
        return None if self.fault == "never begins" else BrokenWalk(self.fault)

    def learn(self, taught: Taught) -> None:
        if self.fault == "fails to learn":
            assert taught.tape, "nothing to learn from"


class BrokenWalk:
    """Does that wrong."""

    def __init__(self, fault: str) -> None:
        self.fault: Final = fault

    def pick(self, options: Sequence[int]) -> int:
        if self.fault == "changes options" and isinstance(options, list):
            options.sort()
        if self.fault == "forgets its seed":
            return random.randrange(len(options))
        return {"one too far": len(options), "below": -1, "few": min(len(options), 7) - 1}.get(self.fault, 0)

    def decide(self, ways: int) -> int:
        if self.fault == "few ways":
            return (0, 1)[ways % 2] if ways < 100 else ways
        return ways if self.fault == "decides too far" else Fifo().decide(ways)


FAULTS: Final = (
    "no name", "never begins", "comes back", "fails to learn", "changes options", "forgets its seed", "one too far",
    "below", "decides too far", "few ways",
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_noticed(fault: str) -> None:
    """D3: each kind of wrong strategy fails a check."""
    with pytest.raises(AssertionError):
        check_strategy(partial(Broken, fault))


def test_what_is_right_is_not_blamed() -> None:
    """D3: the same strategy without the fault passes."""
    check_strategy(Broken, imported_as=f"{__name__}:Broken")


class ByHash(Broken):
    """Chooses by the hash of a string, which is another in each process."""

    def walk(self, number: int, seed: int) -> Walk | None:
        return HashWalk()


class HashWalk(BrokenWalk):
    """Chooses so."""

    def __init__(self) -> None:
        super().__init__("")

    def pick(self, options: Sequence[int]) -> int:
        return hash("which") % len(options)


def test_what_depends_on_the_process_is_noticed() -> None:
    """D1: a strategy that orders by hashes passes all checks in one process, and fails beside another."""
    check_strategy(ByHash)
    with pytest.raises(AssertionError, match="another process chose otherwise"):
        check_strategy(ByHash, imported_as=f"{__name__}:ByHash")
