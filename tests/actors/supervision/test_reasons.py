"""S9: why something has ended is always known: from the announcement, link by link, to the first cause."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest
import trio
from tests.actors.supervision.crew import Job, Say, fail, hold, leaving, settle, worker
from trio.testing import MockClock

import histrio
from histrio import Ref
from histrio.messages import ChildRequest


@attrs.frozen
class Stage:
    """A tree /top/inner/a, with b beside a; the scope is around all of it."""

    system: histrio.System
    scope: trio.CancelScope
    top: Ref[ChildRequest]
    inner: Ref[ChildRequest]
    a: Ref[Job]
    b: Ref[Job]


Act = Callable[[Stage], Awaitable[object]]


async def kill_it(on: Stage) -> None:
    """Kill it."""
    on.a.control.kill("why")


async def stop_it(on: Stage) -> None:
    """Stop it."""
    on.a.control.stop(why="why")


async def terminate_it(on: Stage) -> None:
    """Have its supervisor end it."""
    await on.inner.terminate_child("a")


async def fail_it(on: Stage) -> None:
    """Have it fail."""
    await on.a.tell(Say("fail"))


async def fail_its_sibling(on: Stage) -> None:
    """Have its sibling fail."""
    await on.b.tell(Say("fail"))


async def kill_its_supervisor(on: Stage) -> None:
    """Kill the one above it."""
    on.inner.control.kill("why")


async def stop_the_top(on: Stage) -> None:
    """Stop the one above that."""
    on.top.control.stop(why="why")


async def hurry_the_top(on: Stage) -> None:
    """Stop it, and leave it little time."""
    on.top.control.stop(grace_s=1, why="why")


async def stop_the_system(on: Stage) -> None:
    """Stop all."""
    await on.system.stop()


async def kill_the_system(on: Stage) -> None:
    """Kill all."""
    on.system.kill()


async def cancel_all(on: Stage) -> None:
    """Cancel the scope around the system."""
    on.scope.cancel()


async def terminate_it_in_its_backoff(on: Stage) -> None:
    """Have it fail, and be ended before it is back."""
    await fail_it(on)
    await settle()
    await terminate_it(on)


async def kill_the_top_in_its_backoff(on: Stage) -> None:
    """Have it fail, and all be ended before it is back."""
    await fail_it(on)
    await settle()
    on.top.control.kill("why")


ONCE = {"restarts_max": 0}
TEMPORARY = {"restart": histrio.TEMPORARY}
LATER = {"backoff": histrio.Backoff(first_s=100, max_s=100)}
CHAINS: dict[str, tuple[Act, dict[str, Any], list[str]]] = {
    "killed": (kill_it, TEMPORARY, ["killed (why)"]),
    "stopped": (stop_it, TEMPORARY, ["stopped (why)"]),
    "failed": (fail_it, TEMPORARY, ["failed", "ValueError: a failed"]),
    "failed to stop": (stop_it, TEMPORARY | {"stops": fail}, ["failed", "ValueError: told to fail"]),
    "terminated": (terminate_it, {}, ["stopped (its supervisor /top/inner was asked to terminate it)"]),
    "too slow to stop": (
        stop_it,
        TEMPORARY | {"stops": hold},
        ["killed (it had not stopped at its deadline, see shutdown_s)", "stopped (why)"],
    ),
    "given up": (fail_it, ONCE, ["failed (its supervisor /top/inner gave up)", "ValueError: a failed"]),
    "sibling given up": (
        fail_its_sibling,
        ONCE,
        ["stopped (its supervisor /top/inner gives up)", "failed", "ValueError: b failed"],
    ),
    "supervisor killed": (kill_its_supervisor, {}, ["cancelled (its parent /top/inner ended)", "killed (why)"]),
    "top stopped": (
        stop_the_top,
        {},
        ["stopped (its parent /top/inner stops)", "stopped (its parent /top stops)", "stopped (why)"],
    ),
    "top stopped, no time": (
        hurry_the_top,
        {"stops": hold},
        [
            *("cancelled (its parent /top/inner ended)", "cancelled (its parent /top ended)"),
            *("killed (it had not stopped at its deadline, see shutdown_s)", "stopped (why)"),
        ],
    ),
    "system stopped": (
        stop_the_system,
        {},
        ["stopped (its parent /top/inner stops)", "stopped (its parent /top stops)", "stopped (the system stops)"],
    ),
    "system killed": (
        kill_the_system,
        {},
        [
            *("cancelled (its parent /top/inner ended)", "cancelled (its parent /top ended)"),
            "killed (the system is killed)",
        ],
    ),
    "all cancelled": (
        cancel_all,
        {},
        [
            *("cancelled (its parent /top/inner ended)", "cancelled (its parent /top ended)"),
            "cancelled (the scope around it was cancelled)",
        ],
    ),
    "terminated in a backoff": (
        terminate_it_in_its_backoff,
        LATER,
        ["stopped (its supervisor /top/inner was asked to terminate it)", "ValueError: a failed"],
    ),
    "top killed in a backoff": (
        kill_the_top_in_its_backoff,
        LATER,
        [
            *("cancelled (its parent /top/inner ended)", "ValueError: a failed"),
            *("cancelled (its parent /top ended)", "killed (why)"),
        ],
    ),
}


async def stage(system: histrio.System, scope: trio.CancelScope, rules: dict[str, Any]) -> Stage:
    """Set the tree up."""
    rules = dict(rules)
    stops, restart = rules.pop("stops", None), rules.pop("restart", histrio.PERMANENT)
    a, b = worker("a", [], stops=stops).with_(restart=restart, shutdown_s=2), worker("b", [])
    inner = histrio.child("inner", histrio.Supervisor, a, b, **rules)
    top = await system.spawn(histrio.child("top", histrio.Supervisor, inner, restarts_max=1))
    ref = top.child(inner)
    return Stage(system, scope, top, ref, ref.child(a), ref.child(b))


@pytest.mark.parametrize("how", CHAINS)
async def test_the_reason_tells_all_that_led_to_it(how: str, autojump_clock: MockClock) -> None:
    """S9: a monitor, a join, an ask that waits, and a later one: all tell the same chain, to the first cause."""
    act, rules, chain = CHAINS[how]
    told: list[tuple[str, ...]] = []

    async def life(system: histrio.System) -> None:
        on = await stage(system, scope, rules)
        monitor = on.a.monitor()
        with trio.CancelScope(shield=True):
            await act(on)
            told.append((await monitor).reason.chain())
            for late in (on.a.join, lambda: on.a.ask(Say("late"))):
                try:
                    await late()
                except histrio.ActorStopped as error:
                    told.append(error.reason.chain())

    with trio.CancelScope() as scope:
        assert await leaving(life) is None
    assert [list(one) for one in told if one[0].partition(" ")[0] == chain[0].partition(" ")[0]] == [chain] * len(told)
    assert len(told) >= 2


async def test_a_temporary_sibling_is_not_told_that_it_comes_back(autojump_clock: MockClock) -> None:
    """S9: it is ended because its group is started again, without it."""
    async with histrio.open_system() as system:
        a, b = worker("a", []), worker("b", []).with_(restart=histrio.TEMPORARY)
        sup = await system.spawn(histrio.child("sup", histrio.Supervisor, a, b, strategy=histrio.ONE_FOR_ALL))
        monitor = sup.child(b).monitor()
        await sup.child(a).tell(Say("fail"))
        reason = (await monitor).reason
        assert reason.end is histrio.End.STOPPED
        assert "it is started again" not in reason.why
        assert reason.chain()[1:] == ("failed", "ValueError: a failed")
