"""M6, F2: a wait that nobody wants any more is gone at once, also while another one is told; waits are futures like any."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Final

import pytest
import trio
from tests.conftest import Show
from tests.effort import count
from tests.machine.shell.lab import Letters, assert_idle, is_listening, now, waits_of
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio_kernel.combinators import Left, Right, Winner, all_of, any_of, both, either, first_of
from histrio_kernel.errors import FutureCancelled
from histrio_kernel.futures import Future
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.errors import Disposed
from histrio_kernel.machine.shell.machine import Machine

A, B, C = Letters.a, Letters.b, Letters.c

Wait = Future[Transition | None]
MAKERS: Final[dict[str, Callable[[Machine], Wait]]] = {
    "when": lambda m: m.when(A),
    "when several": lambda m: m.when(C, A),
    "when_not": lambda m: m.when_not(C),
    "when_time": lambda m: m.when_time({A: 7}),
    "when_ticks": lambda m: m.when_ticks(A),
    "when_args": lambda m: m.when_args(Letters.page, url="x"),
    "when_error": lambda m: m.when_error(),
    "when_query": lambda m: m.when_query(lambda: False),
    "when_disposed": lambda m: m.when_disposed(),
}


def with_c() -> Machine:
    """A machine in which C is active."""
    machine = Machine(Letters)
    machine.add(C)
    return machine


async def by_cancel(wait: Wait) -> None:
    """Ask for its end."""
    wait.cancel()
    with pytest.raises(FutureCancelled):
        await wait


async def by_timeout(wait: Wait) -> None:
    """Stop waiting: it ends with its last awaiter."""
    with trio.move_on_after(1) as scope:
        await wait
    assert scope.cancelled_caught


async def with_the_last_of_two(wait: Wait) -> None:
    """Stop waiting, twice."""

    async def stop_at(seconds: float) -> None:
        with trio.move_on_after(seconds):
            await wait

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_at, 1)
        nursery.start_soon(stop_at, 3)
        await trio.sleep(2)
        assert not wait.is_done
    assert wait.is_done


@pytest.mark.parametrize("give_up", [by_cancel, by_timeout, with_the_last_of_two])
@pytest.mark.parametrize("kind", MAKERS)
async def test_a_wait_that_is_given_up_frees_its_place(
    kind: str, give_up: Callable[[Wait], Awaitable[None]], autojump_clock: MockClock
) -> None:
    """M6: at once, and the machine listens no longer; others of its kind go on."""
    machine = with_c()
    wait, other = MAKERS[kind](machine), MAKERS[kind](machine)

    await give_up(wait)
    assert waits_of(machine) == 1
    assert is_listening(machine)
    assert not other.is_done
    other.cancel()

    assert_idle(machine)


async def _make_and_give_up(make: Callable[[Machine], Wait], machine: Machine, *, by_cancel: bool) -> None:
    """One wait, which nobody wants any more."""
    wait = make(machine)
    if by_cancel:
        wait.cancel()
    else:
        with trio.CancelScope() as scope:
            scope.cancel()
            await wait


async def test_waits_that_were_given_up_leave_nothing(show: Show, autojump_clock: MockClock) -> None:
    """M6: however many there were, of all kinds: no entry, no object, and nothing holds the machine."""
    machine = with_c()
    makers, given_up = tuple(MAKERS.values()), count("given_up_waits")
    standing, last = [make(machine) for make in makers], weakref.ref(machine)
    gc.collect()
    before = len(gc.get_objects())

    for number in range(given_up):
        await _make_and_give_up(makers[number % len(makers)], machine, by_cancel=bool(number % 2))
    gc.collect()
    grown = len(gc.get_objects()) - before

    assert grown < 100
    assert waits_of(machine) == len(standing)
    while standing:
        standing.pop().cancel()
    assert_idle(machine)
    del machine
    await trio.lowlevel.checkpoint()  # Trio itself holds what the last await was cancelled by
    gc.collect()
    assert last() is None
    show(f"waits: {given_up:,} of one machine given up, {max(0, grown)} objects more")


# -- one is given up while another is told -----------------------------------------------------------------------------


def others(machine: Machine) -> dict[str, Wait]:
    """Waits that look at the same states, and do not come true by `a` alone."""
    return {
        "b too": machine.when(A, B),
        "b first": machine.when(B, A),
        "without c": machine.when_not(C),
        "again": machine.when_time({A: 3}),
        "asked": machine.when_query(lambda: B in machine),
        "page": machine.when_args(Letters.page),
    }


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("loser", ["a", "a and b", "question", "arguments"])
async def test_a_loser_is_given_up_while_the_winner_is_told(
    loser: str, swapped: bool, autojump_clock: MockClock
) -> None:
    """M6, F2: whoever stands beside them is not disturbed, and still hears of what comes."""
    machine = with_c()
    losers: dict[str, Callable[[], Wait]] = {
        "a": lambda: machine.when(A),
        "a and b": lambda: machine.when(A, B),
        "question": lambda: machine.when_query(lambda: A in machine),
        "arguments": lambda: machine.when_args(Letters.page),
    }
    wins, loses = machine.when(A), losers[loser]()
    race = either(loses, wins) if swapped else either(wins, loses)
    standing = others(machine)

    machine.add(A, *[Letters.page(url="x")] * (loser == "arguments"))
    outcome = await race

    standing.pop("page").cancel()
    assert isinstance(outcome, Left if not swapped or loser in {"a", "question", "arguments"} else Right)
    assert outcome.value is not None
    assert [name for name, wait in standing.items() if wait.is_done] == []
    machine.remove(A)
    machine.remove(C)
    machine.add(B, A)
    assert [name for name, wait in standing.items() if not wait.is_done] == []
    assert_idle(machine)


async def test_the_last_of_a_place_still_hears(autojump_clock: MockClock) -> None:
    """M6: one comes true, the second is given up because of it, and nobody but the third is left: it must be told."""
    machine = Machine(Letters)
    race = either(machine.when(A), machine.when(A, C))
    third = machine.when(A, B)

    machine.add(A)
    assert (await race) == Left(now(race).value)
    assert not third.is_done
    machine.add(B)

    assert third.is_done
    assert_idle(machine)


async def test_waits_for_data_given_up_at_an_import(autojump_clock: MockClock) -> None:
    """M6, M10: the same when an import makes one of them true."""
    machine = Machine(Letters)
    race = either(machine.when(A), machine.when(A, C))
    third = machine.when(A, B)
    other = Machine(Letters)
    other.add(A)

    machine.load(other.export())
    assert (await race) == Left(None)
    machine.add(B)

    assert third.is_done
    assert_idle(machine)


# -- combined ----------------------------------------------------------------------------------------------------------


async def test_a_tie_goes_to_the_left(autojump_clock: MockClock) -> None:
    """M6, F2: two that come true in one transition, in whichever order they are looked at."""
    machine = Machine(Letters)
    races = (
        either(machine.when(A), machine.when(B)),
        either(machine.when(B), machine.when(A)),
        either(machine.when_query(lambda: A in machine), machine.when(B)),
    )

    machine.add(B, A)

    for race in races:
        assert isinstance(await race, Left)
    assert_idle(machine)


async def test_waits_of_two_machines(autojump_clock: MockClock) -> None:
    """M6, F2: they compose across machines."""
    first, second = Machine(Letters), Machine(Letters)
    pair, one = both(first.when(A), second.when(A)), any_of(first.when(B), second.when(B))

    first.add(A)
    assert not pair.is_done
    second.add(A, B)

    left, right = await pair
    assert left is not right is not None
    won = await one
    assert won.index == 1
    assert_idle(first)
    assert_idle(second)


async def test_disposal_in_combinations(autojump_clock: MockClock) -> None:
    """M6, F2, F3: `Disposed` is an error like any other: `both` ends with it, `first_of` takes another."""
    gone, stays = Machine(Letters), Machine(Letters)
    pair = both(gone.when(A), stays.when(A))
    first = first_of(gone.when(A), stays.when(B))
    everything = all_of(gone.when_disposed(), stays.when(C))

    gone.dispose()
    with pytest.raises(Disposed):
        await pair
    stays.add(B, C)

    assert isinstance(await first, Winner)
    assert (await everything)[0] is None
    assert_idle(stays)


async def test_a_wait_in_a_timeout(autojump_clock: MockClock) -> None:
    """M6: `with move_on_after` around a combination leaves nothing standing."""
    machine = Machine(Letters)

    with trio.move_on_after(1):
        await either(machine.when(A), both(machine.when(B), machine.when_error()))

    assert_idle(machine)


async def test_what_came_true_before_the_cancellation_is_delivered(autojump_clock: MockClock) -> None:
    """M6, F5: a wait that is over when its awaiter is cancelled was not in vain."""
    machine = Machine(Letters)
    got: list[Transition | None] = []

    async def look() -> None:
        got.append(await machine.when(A))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await wait_all_tasks_blocked()
        machine.add(A)
        nursery.cancel_scope.cancel()

    assert len(got) == 1
    assert_idle(machine)
