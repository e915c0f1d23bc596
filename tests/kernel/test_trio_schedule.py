"""The order in which Trio runs what is ready can be drawn from a seed."""

from itertools import permutations
from types import ModuleType

import pytest
import trio

from histrio_kernel.simulation import trio_schedule
from histrio_kernel.simulation.trio_schedule import seeded_schedule

INSIDE: ModuleType = vars(trio_schedule)["_run"]  # Trio's own module, by way of the one that may import it


def order_of_three(seed: int) -> tuple[int, ...]:
    """In which order three tasks that are ready together take their second step."""
    seen: list[int] = []

    async def step(number: int) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(step, number)

    with seeded_schedule(seed):
        trio.run(main)
    return tuple(seen)


def test_every_order_of_a_batch_can_be_drawn() -> None:
    """Over some seeds each order of three tasks is seen: a batch is shuffled, not only turned round."""
    assert {order_of_three(seed) for seed in range(64)} == set(permutations(range(3)))


def test_a_seed_is_a_schedule() -> None:
    """The same seed gives the same order, every time."""
    assert [order_of_three(seed) for seed in range(16)] == [order_of_three(seed) for seed in range(16)]


def test_what_was_before_is_put_back() -> None:
    """After the block Trio's choice is as it was, also when the block raises."""

    def state() -> tuple[object, object]:
        return INSIDE._ALLOW_DETERMINISTIC_SCHEDULING, INSIDE._r.getstate()

    def draw_and_raise() -> None:
        with seeded_schedule(1):
            assert state() != before
            raise KeyError

    before = state()
    with pytest.raises(KeyError):
        draw_and_raise()

    assert before == state()


@pytest.mark.parametrize("name", ["_r", "_ALLOW_DETERMINISTIC_SCHEDULING"])
def test_an_unknown_trio_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A version of Trio that keeps its schedule elsewhere is an error that says what is missing, not a silent no."""
    monkeypatch.delattr(INSIDE, name)

    with pytest.raises(RuntimeError, match=name), seeded_schedule(1):
        pass
