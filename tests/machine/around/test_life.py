"""M5, M10: a mutation that is tried again, and a machine that cleans up before it is gone; on a virtual clock."""

import math

import pytest
import trio
from tests.machine.around.small import machine_of, when

from histrio_kernel.io import Retry
from histrio_kernel.machine.around.disposal import Disposer
from histrio_kernel.machine.around.retrying import until_accepted
from histrio_kernel.machine.core.handlers import Kind
from histrio_kernel.machine.core.results import EXECUTED, Canceled
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.machine import Machine as ShellMachine
from histrio_kernel.machine.states.mixins import Disposable, Disposal
from histrio_kernel.machine.states.state import State


async def test_it_is_tried_until_accepted(autojump_clock: trio.abc.Clock) -> None:
    """M5: a veto is asked again after growing pauses, and the accepted result is returned."""
    machine = machine_of("machine", "online")
    times: list[float] = []

    def ready(transition: Transition) -> bool:
        times.append(trio.current_time() - start)
        return len(times) == 4

    when(machine, "online", ready, Kind.MAY_ENTER)
    start = trio.current_time()
    retry = Retry(attempts_max=9, first_s=1, factor=3, pause_max_s=5)
    result = await until_accepted(machine, lambda m: m.add("online"), retry)

    assert result is EXECUTED
    assert times == [0, 1, 4, 9]


async def test_the_last_result_is_returned(autojump_clock: trio.abc.Clock) -> None:
    """M5: when the attempts or the time are used up, the result of the last attempt says why."""
    machine = machine_of("machine", online=Definition(require=["line"]), line=Definition())
    calls: list[float] = []

    def mutate(_: object) -> Canceled:
        calls.append(trio.current_time())
        result = machine.add("online")
        assert isinstance(result, Canceled)
        return result

    result = await until_accepted(machine, mutate, Retry(attempts_max=3, first_s=1))
    assert not result
    assert "do not let online be active" in repr(result)
    assert len(calls) == 3

    calls.clear()
    begun = trio.current_time()
    await until_accepted(machine, mutate, Retry(attempts_max=100, first_s=1, factor=1, total_s=2.5))
    assert [at - begun for at in calls] == [0, 1, 2]
    assert trio.current_time() - begun == 2


@pytest.mark.parametrize(("on", "attempts"), [((OSError,), 3), ((KeyError,), 1)])
async def test_only_errors_that_are_named(
    on: tuple[type[Exception], ...], attempts: int, autojump_clock: trio.abc.Clock
) -> None:
    """M5: an error of a handler is tried again if the policy names it; another one ends the attempts."""
    machine = machine_of("machine", "online")
    calls: list[None] = []

    def fail(transition: Transition) -> None:
        calls.append(None)
        raise OSError("line is down")

    when(machine, "online", fail)
    result = await until_accepted(machine, lambda m: m.add("online"), Retry(attempts_max=3, first_s=1, on=on))

    assert isinstance(result, Canceled)
    assert isinstance(result.error, OSError)
    assert len(calls) == attempts


async def test_a_disposed_machine_is_not_tried_again(autojump_clock: trio.abc.Clock) -> None:
    """M5: nothing would ever be accepted, so the refusal is returned at once."""
    machine = machine_of("machine", "online")
    machine.dispose()
    begun = trio.current_time()
    result = await until_accepted(machine, lambda m: m.add("online"), Retry(attempts_max=50, first_s=1))

    assert repr(result) == "CANCELED('the machine is disposed')"
    assert trio.current_time() == begun


class HalfRandom:
    """Always the middle, and the lowest on request."""

    def uniform(self, a: float, b: float, /) -> float:
        return a


async def test_jitter_needs_chance(autojump_clock: trio.abc.Clock) -> None:
    """M5: a policy with a jitter and nothing to draw it from is refused before anything is mutated."""
    machine = machine_of("machine", "online")
    with pytest.raises(ValueError, match="give `random`"):
        await until_accepted(machine, lambda m: m.add("online"), Retry(jitter=0.5))
    assert machine.names == ()


async def test_cancelled_between_attempts(autojump_clock: trio.abc.Clock) -> None:
    """M5: a deadline ends the attempts; no mutation is half done."""
    machine = machine_of("machine", online=Definition(require=["line"]), line=Definition())
    with trio.move_on_after(2.5) as scope:
        await until_accepted(machine, lambda m: m.add("online"), Retry(attempts_max=99, first_s=1, factor=1))

    assert scope.cancelled_caught
    assert machine.names == ()
    assert math.isclose(trio.current_time() % 1, scope.deadline % 1)


class Service(Disposable):
    """A machine that cleans up."""

    working = State(require=[Disposable.start])


async def test_a_machine_cleans_up_before_it_is_gone(autojump_clock: trio.abc.Clock) -> None:
    """M10: `disposing` calls the callbacks, the last first, sync or async; then the machine is disposed."""
    done: list[str] = []

    async def slow() -> None:
        await trio.sleep(5)
        done.append("slow")

    async with ShellMachine(Service, "service") as machine:
        machine.bind(Disposer(machine))
        machine.add(Service.start, Service.working)
        machine.add(Service.register_disposal(lambda: done.append("first")))
        machine.add(Service.register_disposal(slow))
        machine.add(Service.register_disposal(Disposal(lambda: done.append("last")).callback))
        assert machine.add(Service.disposing)
        assert machine.none(Service.start, Service.working)
        assert not machine.is_disposed
        await machine.when_disposed()

    assert done == ["last", "slow", "first"]
    assert Service.disposed in machine
    assert not machine.add(Service.start)


async def test_an_error_while_cleaning_up_does_not_stop_it(autojump_clock: trio.abc.Clock) -> None:
    """M8, M10: a callback that raises leaves its error in `machine.error`; the others are called, and disposal follows."""
    done: list[str] = []

    def fail() -> None:
        raise OSError("stuck")

    async with ShellMachine(Service, "service") as machine:
        machine.bind(Disposer(machine))
        machine.add(Service.register_disposal(lambda: done.append("called")))
        machine.add(Service.register_disposal(fail))
        machine.add(Service.disposing)
        await machine.when_disposed()

    assert done == ["called"]
    assert isinstance(machine.error, OSError)
