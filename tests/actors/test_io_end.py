"""An actor that ends takes its operations along: it cancels them and waits for them, and starts no more (E4)."""

from collections.abc import Callable

import pytest
import trio
from tests.actors.lab import Crowd, Do, Lab, Narrow, run_in_system
from tests.kernel.works import Act, Boom, answer, fail, forever
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio


async def test_after_a_kill_nothing_is_started(autojump_clock: MockClock) -> None:
    """E4: after a kill `self.io` gives a cancelled future and calls nothing, also under a shield; doors do the same."""
    calls: list[str] = []
    seen: list[object] = []

    async def work() -> None:
        calls.append("called")

    async def handler(lab: Lab) -> None:
        try:
            await lab.io(trio.sleep_forever)
        finally:
            with trio.CancelScope(shield=True):
                for future in (lab.io(work), lab.io.clock.sleep(1), lab.io.thread(calls.append, "in a thread")):
                    seen.append(future.is_done)
                    try:
                        await future
                    except histrio.FutureCancelled as error:
                        seen.append(type(error))

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        asked = lab.ask(Do(handler))
        await wait_all_tasks_blocked()
        lab.control.kill()
        with pytest.raises(histrio.ActorStopped) as raised:
            await asked

        assert raised.value.reason.end is histrio.End.KILLED
    assert calls == []
    assert seen == [True, histrio.FutureCancelled] * 3


async def test_a_handler_that_kills_itself_is_killed(autojump_clock: MockClock) -> None:
    """E4: after `kill` the next await of an operation or of a combinator is cancelled; that is no failure."""
    ways: list[Callable[[Lab], histrio.Future[object]]] = [
        lambda lab: lab.io(trio.sleep, 1),
        lambda lab: histrio.both(lab.io(trio.sleep, 1), lab.io(trio.sleep, 1)),
        lambda lab: histrio.either(lab.io(trio.sleep, 1), lab.io(trio.sleep, 1)),
        lambda lab: histrio.first_of(lab.io(trio.sleep, 1), lab.io(trio.sleep, 1)),
        lambda lab: histrio.both(lab.io(trio.sleep, 1), histrio.all_of(lab.io(trio.sleep, 1))),
    ]
    async with histrio.open_system() as system:
        for way in ways:

            async def handler(lab: Lab, way: Callable[[Lab], histrio.Future[object]] = way) -> None:
                lab.ref.control.kill("by itself")
                await way(lab)

            lab = await system.spawn(Lab)
            with pytest.raises(histrio.ActorStopped) as raised:
                await lab.ask(Do(handler))
            assert raised.value.reason == histrio.Reason(histrio.End.KILLED, "by itself")


async def test_a_child_task_of_a_killed_handler_is_cancelled(autojump_clock: MockClock) -> None:
    """E4: a kill ends a handler, its child tasks and what they await; none of them takes it for an error."""
    errors: list[Exception] = []

    async def child(lab: Lab) -> None:
        try:
            while True:
                await histrio.both(lab.io(trio.sleep, 1), lab.io(trio.sleep, 1))
        except Exception as error:
            errors.append(error)
            raise

    async def handler(lab: Lab) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(child, lab)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        asked = lab.ask(Do(handler))
        await trio.sleep(2.5)
        lab.control.kill()
        with pytest.raises(histrio.ActorStopped) as raised:
            await asked

        assert raised.value.reason.end is histrio.End.KILLED
    assert errors == []


async def in_background(lab: Lab, act: Act) -> None:
    """Start *act* as work of the actor."""
    lab.background(act.run)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_the_end_of_an_actor_waits_for_its_background(end: str, autojump_clock: MockClock) -> None:
    """E4: an actor that stops, or is killed, cancels its background and waits for it before it has ended."""
    act = Act("background", after_s=1000, cleanup_s=3)

    async def handler(lab: Lab) -> None:
        await in_background(lab, act)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        await lab.ask(Do(handler))
        await trio.sleep(1)
        start = trio.current_time()
        await (lab.control.stop if end == "stop" else lab.control.kill)()

        assert act.cleaned_at == pytest.approx(start + 3)
        assert trio.current_time() == act.cleaned_at


async def test_the_background_runs_while_the_inbox_is_drained(autojump_clock: MockClock) -> None:
    """E4: background work goes on until `stopped()` has run; a stop does not wait for it to end by itself."""
    act = Act("background", after_s=1000)
    seen: list[object] = []

    class Tidy(Lab):
        async def stopped(self, reason: histrio.Reason) -> None:
            seen.append(act.cleaned_at)
            seen.append(await self.io(answer, "io works"))

    async def begin(lab: Lab) -> None:
        await in_background(lab, act)

    async def slow(lab: Lab) -> None:
        await lab.io(trio.sleep, 2)

    async with histrio.open_system() as system:
        start = trio.current_time()
        lab = await system.spawn(Tidy)
        await lab.ask(Do(begin))
        asked = lab.ask(Do(slow))
        lab.control.stop()
        await asked
        await lab.join()

        assert seen == [None, "io works"]
        assert trio.current_time() - start == pytest.approx(2.25)


@pytest.mark.parametrize("awaited", [True, False])
async def test_the_error_of_background_work(awaited: bool, autojump_clock: MockClock) -> None:
    """F4: an error of background work fails the actor at once, unless somebody awaits it when it happens."""
    caught: list[str] = []

    async def handler(lab: Lab) -> None:
        future = lab.background(Act("background", after_s=1, fails=True).run)
        if awaited:
            try:
                await future
            except Boom as error:
                caught.append(str(error))

    async def program() -> None:
        async with histrio.open_system() as system:
            lab = await system.spawn(Lab)
            await lab.ask(Do(handler))
            await trio.sleep(5)

    if awaited:
        await program()
        assert caught == ["background"]
    else:
        with pytest.raises(histrio.SystemFailed) as raised:
            await program()
        assert isinstance(raised.value.failures[0].__cause__, Boom)


async def test_a_combinator_that_nobody_awaits_is_nobody(autojump_clock: MockClock) -> None:
    """F4: background work whose only awaiter is a combinator that nobody awaits fails the actor by its error."""
    combined: list[object] = []

    async def handler(lab: Lab) -> None:
        combined.append(histrio.both(lab.background(fail, Boom("lost")), lab.background(forever)))

    async def program(system: histrio.System) -> None:
        await (await system.spawn(Lab)).ask(Do(handler))
        await trio.sleep(5)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert str(raised.value.failures[0].__cause__) == "lost"


async def test_what_is_queued_at_a_kill_never_runs(autojump_clock: MockClock) -> None:
    """E4: queued operations of a killed actor are cancelled, and their awaiters told."""
    crowd = Crowd()
    futures: list[histrio.Future[int]] = []

    async def handler(lab: Lab) -> None:
        futures.extend(lab.io(crowd.enter, number) for number in range(5))
        await lab.io(trio.sleep_forever)

    async with histrio.open_system() as system:
        lab = await system.spawn(Narrow)
        asked = lab.ask(Do(handler))
        await wait_all_tasks_blocked()
        await lab.control.kill()
        with pytest.raises(histrio.ActorStopped):
            await asked
        for future in futures:
            with pytest.raises(histrio.FutureCancelled):
                await future

    assert sorted(crowd.order) == [0, 1]


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_background_work_that_is_queued_never_runs(end: str, autojump_clock: MockClock) -> None:
    """E4: the same for background work that waits for a place when its actor ends, in whatever way."""
    crowd = Crowd()
    futures: list[histrio.Future[int]] = []

    async def handler(lab: Lab) -> None:
        futures.extend(lab.background(crowd.enter, number) for number in range(5))

    async with histrio.open_system() as system:
        lab = await system.spawn(Narrow)
        await lab.ask(Do(handler))
        await wait_all_tasks_blocked()
        await (lab.control.stop if end == "stop" else lab.control.kill)()
        for future in futures:
            with pytest.raises(histrio.FutureCancelled):
                await future

    assert sorted(crowd.order) == [0, 1]


async def test_an_actor_that_no_longer_runs_takes_no_background(autojump_clock: MockClock) -> None:
    """E4: what is called on an ended actor's object from outside is cancelled from the start."""
    labs: list[Lab] = []

    async def handler(lab: Lab) -> None:
        labs.append(lab)

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        await lab.ask(Do(handler))
        lab.control.stop()
        await lab.join()

        late: list[Callable[[], histrio.Future[object]]] = [
            lambda: labs[0].background(answer, 1),
            lambda: labs[0].io(answer, 1),
        ]
        for call in late:
            with pytest.raises(histrio.FutureCancelled):
                await call()


async def test_kill_ends_operations_of_all_kinds_at_once(autojump_clock: MockClock) -> None:
    """E4: a kill cancels running, nested, kept and background operations together, and waits for the slowest."""
    acts = [Act(str(number), after_s=1000, cleanup_s=number) for number in (1, 2, 3, 4)]

    async def outer(lab: Lab) -> str:
        return await lab.io(acts[1].run)

    async def handler(lab: Lab) -> None:
        lab.background(acts[0].run)
        lab.io(outer, lab)
        lab.io(acts[2].run, keep=True)
        await lab.io(acts[3].run)

    async with histrio.open_system() as system:
        start = trio.current_time()
        lab = await system.spawn(Lab)
        await lab.tell(Do(handler))
        await wait_all_tasks_blocked()
        await lab.control.kill()

        assert [act.cleaned_at for act in acts] == pytest.approx([start + number for number in (1, 2, 3, 4)])
        assert trio.current_time() == pytest.approx(start + 4)
