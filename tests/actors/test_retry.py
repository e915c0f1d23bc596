"""Timeouts and retries are data: how often, when, on which errors, and what is told when it was all in vain."""

import math
from collections.abc import Callable

import pytest
import trio
from tests.actors.lab import Do, Lab
from tests.actors.worlds import KnownChance, World
from tests.kernel.works import Act, Boom
from trio.testing import MockClock

import histrio
from histrio import Retry


class Flaky:
    """Fails by the given errors, one a call, and then gives its value; it keeps the moments of the calls."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.start = trio.current_time()
        self.calls: list[float] = []

    async def fetch(self, value: str) -> str:
        self.calls.append(round(trio.current_time() - self.start, 6))
        await trio.lowlevel.checkpoint()
        if self.errors:
            raise self.errors.pop(0)
        return value


async def attempt(flaky: Flaky, retry: Retry, driver: World | None = None) -> str:
    """Have an actor fetch once, by that policy."""

    async def handler(lab: Lab) -> str:
        return await lab.io(flaky.fetch, "value", retry=retry)

    async with histrio.open_system(driver=driver) as system:
        return await (await system.spawn(Lab, name="lab")).ask(Do(handler))


def refused(times: int) -> list[OSError]:
    """So many errors that a network gives."""
    return [ConnectionRefusedError(str(number)) for number in range(times)]


async def test_it_is_tried_again(autojump_clock: MockClock) -> None:
    """E1: an operation that fails is tried again after pauses that grow by `factor` from `first_s`."""
    flaky = Flaky(*refused(4))

    assert await attempt(flaky, Retry(attempts_max=5, first_s=0.1, factor=2)) == "value"
    assert flaky.calls == pytest.approx([0, 0.1, 0.3, 0.7, 1.5])


async def test_a_success_is_not_tried_again(autojump_clock: MockClock) -> None:
    """E1: an operation that succeeds at once is called once."""
    flaky = Flaky()

    assert await attempt(flaky, Retry()) == "value"
    assert flaky.calls == [0]


async def test_attempts_are_used_up(autojump_clock: MockClock) -> None:
    """E1: after `attempts_max` attempts the last error is raised, and says how often it was tried."""
    flaky = Flaky(*refused(9))
    error = await fails_with(flaky, Retry(attempts_max=3, first_s=1, factor=1))

    assert isinstance(error, ConnectionRefusedError)
    assert str(error) == "2"
    assert error.__notes__ == ["/lab: given up after 3 attempts"]
    assert flaky.calls == [0, 1, 2]


async def fails_with(flaky: Flaky, retry: Retry) -> BaseException:
    """What an actor gets that fetches once by that policy."""

    async def handler(lab: Lab) -> BaseException:
        try:
            await lab.io(flaky.fetch, "value", retry=retry)
        except Exception as error:
            return error
        raise AssertionError("it succeeded")

    async with histrio.open_system() as system:
        return await (await system.spawn(Lab, name="lab")).ask(Do(handler))


async def test_other_errors_are_raised_at_once(autojump_clock: MockClock) -> None:
    """E1: an error that is not `on` is raised at once, by default all but OSError and timeouts."""
    boom = Boom("no")
    flaky = Flaky(*refused(1), boom)

    assert await fails_with(flaky, Retry(first_s=1)) is boom
    assert flaky.calls == [0, 1]

    flaky = Flaky(*refused(1))
    assert isinstance(await fails_with(flaky, Retry(on=(Boom,))), ConnectionRefusedError)
    assert flaky.calls == [0]


async def test_on_chooses_the_errors(autojump_clock: MockClock) -> None:
    """E1: `on` names the errors that are worth another attempt, subclasses included."""

    class Bang(Boom):
        pass

    flaky = Flaky(Bang("again"), Boom("again"))

    assert await attempt(flaky, Retry(on=(Boom,), first_s=1, factor=3)) == "value"
    assert flaky.calls == [0, 1, 4]


async def test_pauses_are_bounded(autojump_clock: MockClock) -> None:
    """E1: a pause is at most `pause_max_s`."""
    flaky = Flaky(*refused(4))

    await attempt(flaky, Retry(first_s=1, factor=10, pause_max_s=5))
    assert flaky.calls == [0, 1, 6, 11, 16]


async def test_the_total_time_is_bounded(autojump_clock: MockClock) -> None:
    """E1: when the next pause would pass `total_s` the last error is raised without waiting for it."""
    flaky = Flaky(*refused(9))
    start = trio.current_time()
    error = await fails_with(flaky, Retry(attempts_max=9, first_s=1, factor=1, total_s=2.5))

    assert str(error) == "2"
    assert error.__notes__[0].endswith("given up after 3 attempts")
    assert flaky.calls == [0, 1, 2]
    assert trio.current_time() - start == pytest.approx(2)


@pytest.mark.parametrize(("share", "factor"), [(0, 0.5), (0.5, 1), (1, 1.5)])
async def test_jitter_is_the_drivers_chance(share: float, factor: float, autojump_clock: MockClock) -> None:
    """E1: a pause is multiplied by a number from 1 - jitter to 1 + jitter, which the driver's random draws."""
    chance = KnownChance(share)
    world = World(chance)
    flaky = Flaky(*refused(3))

    await attempt(flaky, Retry(first_s=8, factor=2, jitter=0.5), driver=world)
    assert flaky.calls == pytest.approx([0, 8 * factor, 24 * factor, 56 * factor])
    assert chance.asked == [(0.5, 1.5)] * 3
    pauses = [seconds for seconds in world.sleeps if seconds > 1]  # the watchdog sleeps less
    assert pauses[:3] == pytest.approx([8 * factor, 16 * factor, 32 * factor])
    assert set(pauses[3:]) <= {
        5,
        10,
    }  # while the system stops: how long an actor may take for it, twice `shutdown_s` at most


async def test_a_timeout(autojump_clock: MockClock) -> None:
    """E1: an operation that takes longer than `timeout_s` is cancelled and fails with TooSlowError, which names it."""
    act = Act("slow", after_s=9, cleanup_s=0.5)

    async def handler(lab: Lab) -> str:
        with pytest.raises(trio.TooSlowError) as raised:
            await lab.io(act.run, timeout_s=2)
        return str(raised.value)

    async with histrio.open_system() as system:
        start = trio.current_time()
        lab = await system.spawn(Lab, name="lab")

        assert await lab.ask(Do(handler)) == "/lab: Act.run took longer than timeout_s = 2 s"
        assert act.cleaned_at == pytest.approx(start + 2.5)
        assert trio.current_time() == act.cleaned_at


async def test_in_time(autojump_clock: MockClock) -> None:
    """E1: an operation within its timeout is not disturbed, and one that ends well in its cleanup has its value."""

    async def stubborn() -> str:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        return "after all"

    async def handler(lab: Lab) -> list[str]:
        return [await lab.io(Act("quick", after_s=1).run, timeout_s=2), await lab.io(stubborn, timeout_s=2)]

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == ["quick", "after all"]


async def test_each_attempt_has_its_timeout(autojump_clock: MockClock) -> None:
    """E1: with a retry, `timeout_s` counts for each attempt, and a timeout is one of the errors to retry on."""
    calls: list[float] = []
    start = trio.current_time()

    async def slow_twice() -> str:
        calls.append(round(trio.current_time() - start, 6))
        await trio.sleep(100 if len(calls) < 3 else 1)
        return "third"

    async def handler(lab: Lab) -> str:
        return await lab.io(slow_twice, timeout_s=2, retry=Retry(first_s=1, factor=2))

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == "third"
    assert calls == [0, 3, 7]


@pytest.mark.parametrize("at_s", [0.5, 1.5])
async def test_a_cancelled_await_ends_the_attempts(at_s: float, autojump_clock: MockClock) -> None:
    """E1: a cancellation in an attempt or in a pause ends it all; it is not tried again."""
    calls: list[float] = []

    async def fails_after_a_second() -> None:
        calls.append(trio.current_time())
        await trio.sleep(1)
        raise OSError("again")

    async def handler(lab: Lab) -> float:
        start = trio.current_time()
        with trio.move_on_after(at_s) as scope:
            await lab.io(fails_after_a_second, retry=Retry(attempts_max=9, first_s=1))
        assert scope.cancelled_caught
        return trio.current_time() - start

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await lab.ask(Do(handler)) == pytest.approx(at_s)
    assert len(calls) == 1


async def test_a_report_names_the_users_function(autojump_clock: MockClock) -> None:
    """E1: with a timeout or a retry too, a future is named after the function that the user gave."""

    async def handler(lab: Lab) -> list[str]:
        futures = [lab.io(trio.sleep, 1, timeout_s=2), lab.io(trio.sleep, 1, retry=Retry())]
        return [repr(future) for future in futures]

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab, name="lab")

        assert await lab.ask(Do(handler)) == ["<Operation sleep of /lab pending>"] * 2


WRONG: dict[str, Callable[[], Retry]] = {
    "no attempt": lambda: Retry(attempts_max=0),
    "a negative pause": lambda: Retry(first_s=-1),
    "a shrinking factor": lambda: Retry(factor=0.5),
    "a negative jitter": lambda: Retry(jitter=-0.1),
    "a jitter above one": lambda: Retry(jitter=1.1),
    "no time": lambda: Retry(total_s=0),
    "not a number": lambda: Retry(first_s=math.nan),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_policy_that_makes_no_sense_is_refused(wrong: str) -> None:
    """E1: a policy is checked when it is made."""
    with pytest.raises(ValueError, match=r"'(attempts_max|first_s|factor|jitter|total_s)'"):
        WRONG[wrong]()


def test_a_policy_shows_its_pauses() -> None:
    """E1: the pauses of a policy can be looked at before it is used."""
    assert Retry(attempts_max=4, first_s=1, factor=3, pause_max_s=5).pauses_s() == (1, 3, 5)
    assert Retry(attempts_max=1).pauses_s() == ()


@pytest.mark.parametrize("timeout_s", [-1.0, math.nan])
async def test_timeout_s_is_checked(timeout_s: float, autojump_clock: MockClock) -> None:
    """E1: a `timeout_s` that is no time is a ValueError at the call."""

    async def handler(lab: Lab) -> None:
        with pytest.raises(ValueError, match="timeout_s"):
            lab.io(trio.sleep, 1, timeout_s=timeout_s)

    async with histrio.open_system() as system:
        await (await system.spawn(Lab)).ask(Do(handler))
