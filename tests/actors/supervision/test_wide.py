"""S1, S2: one supervisor of very many: what it does for each child does not grow with their number."""

import functools
import gc
import time
from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.conftest import Show
from tests.effort import count
from trio.testing import MockClock

import histrio
from histrio import Ref
from histrio.messages import ChildRequest

# A part that is quadratic would make the large one ten times as dear for each child; the slack is for a machine that is
# shared, and for a memory that grows.
SLACK = 4.0
TIMES_LARGER = 10


class Quiet(histrio.Actor[str]):
    """Does nothing."""


Sup = Ref[ChildRequest]
Measure = Callable[[histrio.System, int], Awaitable[float]]


def quiets(number: int) -> list[histrio.Child[str]]:
    """So many children."""
    return [histrio.child(f"quiet{index}", Quiet) for index in range(number)]


async def supervise(
    system: histrio.System, strategy: histrio.Strategy, number: int, backoff: histrio.Backoff | None = None
) -> tuple[Sup, list[Ref[str]]]:
    """A supervisor of so many, and their refs."""
    children = quiets(number)
    rules = histrio.child(
        "sup", histrio.Supervisor, *children, strategy=strategy, restarts_max=2 * number, backoff=backoff
    )
    sup = await system.spawn(rules)
    return sup, [sup.child(child) for child in children]


async def start_all(system: histrio.System, number: int) -> float:
    """Make the specs, and start them all."""
    began = time.process_time()
    await supervise(system, histrio.ONE_FOR_ONE, number)
    return time.process_time() - began


async def start_on_request(system: histrio.System, number: int) -> float:
    """Start them one after the other, each by a request."""
    dyn = await system.spawn(histrio.DynamicSupervisor)
    began = time.process_time()
    for child in quiets(number):
        await dyn.start_child(child)
    return time.process_time() - began


async def terminate_on_request(system: histrio.System, number: int) -> float:
    """End them one after the other, each by a request, the first one first."""
    dyn = await system.spawn(histrio.DynamicSupervisor)
    refs = [await dyn.start_child(child) for child in quiets(number)]
    began = time.process_time()
    for ref in refs:
        await dyn.terminate_child(ref)
    return time.process_time() - began


async def come_and_go(system: histrio.System, number: int) -> float:
    """Short-lived ones: each comes and ends by itself, beside very many that stay."""
    dyn = await system.spawn(histrio.DynamicSupervisor)
    for child in quiets(number):
        await dyn.start_child(child)
    began = time.process_time()
    for _ in range(number):
        ref = await dyn.start_child(histrio.child(None, Quiet).with_(restart=histrio.TEMPORARY))
        await ref.control.stop()
    return time.process_time() - began


async def one_after_the_other(system: histrio.System, number: int) -> float:
    """Kill each, and have it back."""
    _, refs = await supervise(system, histrio.ONE_FOR_ONE, number)
    began = time.process_time()
    for ref in refs:
        ref.control.kill()
        await trio.testing.wait_all_tasks_blocked()
    took = time.process_time() - began
    assert all(ref.control.inspect().incarnation == 2 for ref in refs)
    return took


async def all_at_once(system: histrio.System, number: int, strategy: histrio.Strategy) -> float:
    """Kill all of them at one moment, and have them back."""
    _, refs = await supervise(system, strategy, number)
    began = time.process_time()
    for ref in refs:
        ref.control.kill()
    await trio.testing.wait_all_tasks_blocked()
    took = time.process_time() - began
    for status in (ref.control.inspect() for ref in refs):
        assert status.phase is histrio.Phase.RUNNING
        # Trio chooses who of them ends first; the last ones may be back already when one to their left ends.
        assert status.incarnation == 2 or strategy is histrio.REST_FOR_ONE
    return took


async def in_one_backoff(system: histrio.System, number: int) -> float:
    """Kill each, from right to left, while those to its right wait for their restart together."""
    _, refs = await supervise(system, histrio.REST_FOR_ONE, number, histrio.Backoff(first_s=60))
    began = time.process_time()
    for ref in reversed(refs):
        ref.control.kill()
        await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() < 60
    await trio.sleep(100)
    took = time.process_time() - began
    assert all(ref.control.inspect().incarnation == 2 for ref in refs)
    return took


async def one_of_a_group(system: histrio.System, number: int, strategy: histrio.Strategy) -> float:
    """Kill the first; all the others are ended and started again with it."""
    _, refs = await supervise(system, strategy, number)
    began = time.process_time()
    refs[0].control.kill()
    await trio.testing.wait_all_tasks_blocked()
    took = time.process_time() - began
    assert all(ref.control.inspect().incarnation == 2 for ref in refs)
    return took


async def kill_all(system: histrio.System, number: int) -> float:
    """Kill the supervisor of them all."""
    sup, refs = await supervise(system, histrio.ONE_FOR_ONE, number)
    began = time.process_time()
    await sup.control.kill()
    took = time.process_time() - began
    assert all(ref.control.is_done for ref in refs)
    return took


async def give_up(system: histrio.System, number: int) -> float:
    """Let a supervisor above go through it: too many restarts, all stopped, all started again."""
    inner = histrio.child("inner", histrio.Supervisor, *quiets(number), restarts_max=0)
    sup = await system.spawn(histrio.Supervisor, inner)
    ref = system.find(Quiet, f"{sup.path}/inner/quiet{number // 2}")
    assert ref is not None
    began = time.process_time()
    ref.control.kill()
    await trio.testing.wait_all_tasks_blocked()
    took = time.process_time() - began
    assert sup.child(inner).control.inspect().incarnation == 2
    return took


async def stop_all(system: histrio.System, number: int) -> float:
    """Stop them all, one after the other."""
    await supervise(system, histrio.ONE_FOR_ONE, number)
    began = time.process_time()
    await system.stop()
    return time.process_time() - began


MEASURES: dict[str, Measure] = {
    "start all": start_all,
    "start on request": start_on_request,
    "terminate on request": terminate_on_request,
    "come and go": come_and_go,
    "restart one after the other": one_after_the_other,
    **{
        f"restart all at once, {strategy.value}": functools.partial(all_at_once, strategy=strategy)
        for strategy in histrio.Strategy
    },
    "restart all in one backoff": in_one_backoff,
    **{
        f"restart with the first, {strategy.value}": functools.partial(one_of_a_group, strategy=strategy)
        for strategy in (histrio.ONE_FOR_ALL, histrio.REST_FOR_ONE)
    },
    "kill all": kill_all,
    "give up, and all again": give_up,
    "stop all": stop_all,
}


def us_each(measure: Measure, number: int) -> float:
    """Microseconds of CPU for each child."""

    async def main(system: histrio.System) -> float:
        return await measure(system, number)

    gc.collect()
    return histrio.run(main, clock=MockClock(autojump_threshold=0)) / number * 1e6


@pytest.mark.slow
@pytest.mark.alarm(300)
@pytest.mark.parametrize("name", MEASURES)
def test_what_a_child_costs_does_not_grow_with_their_number(name: str, show: Show) -> None:
    """S1, S2: whatever is done with all of them takes time in proportion to their number."""
    large = count("tree_actors")
    small = large // TIMES_LARGER
    small_us = min(us_each(MEASURES[name], small) for _ in range(2))
    large_us = us_each(MEASURES[name], large)
    for _ in range(3):  # the machine may have been busy with something else, for a while
        if large_us >= SLACK * small_us:
            large_us = min(large_us, us_each(MEASURES[name], large))
    show(f"{name}: {small_us:.0f} us of CPU for each of {small:,}, {large_us:.0f} us for each of {large:,}")
    assert large_us < SLACK * small_us
