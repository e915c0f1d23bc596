"""D2: a Trio whose next step the simulator cannot choose is refused, with the reason, before any program runs in it."""

import gc
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import trio
from trio._core import _run  # noqa: TID251 - its loop is changed here, to see that the change is noticed

from histrio.testing import World, explore, simulate
from histrio_kernel.simulation import trio_canary
from histrio_kernel.simulation.errors import SimUnsupportedTrio

TAKES: Final = "            batch = list(runner.runq)\n            runner.runq.clear()\n"
OTHER_WAYS: Final = {
    "it takes them one by one": "            batch = [runner.runq.popleft() for _ in range(len(runner.runq))]\n",
    "it begins a new queue": "            batch = list(runner.runq)\n            runner.runq = type(runner.runq)()\n",
    "it takes a copy": "            batch = list(runner.runq.copy())\n            runner.runq.clear()\n",
    "it takes the first alone": "            batch = [runner.runq.popleft()] if runner.runq else []\n",
    "it deletes the first": "            batch = [each for each, _ in zip(runner.runq, 'x')]\n            for _ in batch: del runner.runq[0]\n",
}


async def nothing(world: World) -> str:
    """A program that any Trio could run."""
    await trio.lowlevel.checkpoint()
    return "done"


def loop_that(takes: str) -> Callable[..., object]:
    """Trio's loop, which takes tasks out of its queue in another way."""
    source = inspect.getsource(_run.unrolled_run)
    assert source.count(TAKES) == 1, "Trio has changed: see how it takes tasks out of its queue now"
    changed = "from __future__ import annotations\n" + source.replace(TAKES, takes)
    made: dict[str, Any] = {}
    exec(compile(changed, "another Trio", "exec"), _run.__dict__, made)
    loop: Callable[..., object] = made["unrolled_run"]
    return loop


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As in a new process: nobody knows this Trio. What an abandoned run leaves behind must end in silence."""
    monkeypatch.setattr(trio_canary, "_checked", [])
    yield monkeypatch
    gc.collect()


@pytest.mark.parametrize("way", OTHER_WAYS)
def test_a_trio_that_takes_its_tasks_in_another_way_is_refused(unchecked: pytest.MonkeyPatch, way: str) -> None:
    """D2: it is not run in the hope that it will do; the error tells why, through all causes, and what to do."""
    unchecked.setattr(_run, "unrolled_run", loop_that(OTHER_WAYS[way]))

    with pytest.raises(SimUnsupportedTrio, match="the simulator cannot choose what this Trio") as caught:
        simulate(nothing)

    assert trio.__version__ in str(caught.value)
    assert "because of SimUnsupportedTrio: " in str(caught.value), "TrioInternalError hides the reason"
    assert "newer Histrio" in str(caught.value)


def test_the_same_loop_is_not_refused(unchecked: pytest.MonkeyPatch) -> None:
    """D2: what is refused above is the way, and not that the loop was compiled anew."""
    unchecked.setattr(_run, "unrolled_run", loop_that(TAKES))

    assert simulate(nothing).value == "done"


def test_a_loop_that_orders_what_it_takes_is_controlled(unchecked: pytest.MonkeyPatch) -> None:
    """D2: it is shown one task at a time, so its own order has no say."""
    unchecked.setattr(
        _run, "unrolled_run", loop_that(TAKES.replace("list(runner.runq)", "sorted(runner.runq, key=id)"))
    )

    assert simulate(nothing, seed=3).value == "done"


def test_a_trio_without_what_we_replace_is_refused(unchecked: pytest.MonkeyPatch) -> None:
    """D2: Trio would only log what its hook raises, and then run the program by itself."""
    unchecked.setattr(trio_canary, "check_trio", lambda: None)
    real: Callable[..., Any] = _run.setup_runner

    def other_runner(*args: Any, **named: Any) -> object:
        runner = real(*args, **named)
        runner.runq = Line(runner.runq)
        return runner

    unchecked.setattr(_run, "setup_runner", other_runner)

    with pytest.raises(SimUnsupportedTrio, match="keeps its run in another way: runq"):
        simulate(nothing)


class Line(list[trio.lowlevel.Task]):
    """A queue of another kind."""


def test_a_refused_trio_fails_a_search_at_once(unchecked: pytest.MonkeyPatch) -> None:
    """D2: it is no failure of the program, which has no schedule to shrink."""
    unchecked.setattr(_run, "unrolled_run", loop_that(OTHER_WAYS["it takes a copy"]))

    with pytest.raises(SimUnsupportedTrio):
        explore(nothing)


def test_the_canary_flies_once(unchecked: pytest.MonkeyPatch) -> None:
    """D2: what was seen of this Trio is known for the rest of the process."""
    runs: list[str] = []
    real = trio.run

    def counted(*args: Any, **named: Any) -> object:
        runs.append("Trio")
        return real(*args, **named)

    unchecked.setattr(trio, "run", counted)
    simulate(nothing)
    simulate(nothing)

    assert len(runs) == 2 + 2, "two orders once, and then the programs"
