"""What a handler raises, and where it goes: to the asker, to the actor, to the system, out of `open_system`."""

import gc
from collections.abc import Awaitable, Callable

import pytest
import trio
from tests.actors.lab import Do, Lab, cause_of, nothing, raising, run_in_system
from tests.kernel.works import Boom, fail, forever, members
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio

Body = Callable[[Lab], Awaitable[object]]


# -- A9: refusals ------------------------------------------------------------------------------------------------------


class OutOfStock(histrio.Refusal):
    """A refusal of a user."""


async def test_a_refusal_is_an_answer(autojump_clock: MockClock) -> None:
    """A9: a Refusal, or a subclass, is raised to the asker as it is; the actor lives on, its state as it was."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        for refusal in (histrio.Refusal("no"), OutOfStock("shoes")):
            with pytest.raises(type(refusal)) as raised:
                await lab.ask(raising(refusal))
            assert raised.value is refusal

        assert lab.control.status() is histrio.Phase.RUNNING
        await lab.ask(Do(nothing))
        assert system.dead_letters.count == 0


async def test_a_refused_tell_is_a_dead_letter(autojump_clock: MockClock) -> None:
    """A9: a Refusal of a message that nobody asked makes it a dead letter that tells why."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab, name="lab")
        message = raising(histrio.Refusal("no"))
        await lab.tell(message)
        await lab.ask(Do(nothing))

        assert [(one.path, one.message, one.why) for one in system.dead_letters] == [
            ("/lab", message, "refused: Refusal: no")
        ]


async def test_waiting_handlers_survive_a_refusal(autojump_clock: MockClock) -> None:
    """A9: a Refusal concerns one message; others in flight go on."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        async def slow(lab: Lab) -> str:
            await lab.io(trio.sleep, 1)
            return "slow"

        asked = lab.ask(Do(slow))
        with pytest.raises(histrio.Refusal):
            await lab.ask(raising(histrio.Refusal("no")))

        assert await asked == "slow"


# -- A9: failures ------------------------------------------------------------------------------------------------------


async def test_any_other_exception_fails_the_actor(autojump_clock: MockClock) -> None:
    """A9: the asker gets ActorFailed with path and cause, waiting handlers are cancelled, and the system fails with it."""
    boom = Boom("x")
    cleaned: list[str] = []
    caught: list[histrio.ActorStopped] = []

    async def waits(lab: Lab) -> None:
        try:
            await lab.io(trio.sleep_forever)
        finally:
            cleaned.append("cancelled")

    async def ask(lab: histrio.Ref[Do[object]], message: Do[None]) -> None:
        try:
            await lab.ask(message)
        except histrio.ActorStopped as error:
            caught.append(error)

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab, name="lab")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, lab, Do(waits))
            await wait_all_tasks_blocked()
            with trio.CancelScope(shield=True):
                await ask(lab, raising(boom))
                await lab_has_ended(lab)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program, "shop")

    assert cleaned == ["cancelled"]
    assert {type(error) for error in caught} == {histrio.ActorFailed}
    assert [error.path for error in caught] == ["/lab"] * len(caught)
    assert all(error.__cause__ is boom and error.reason.cause is boom for error in caught)
    assert caught[0].reason.end is histrio.End.FAILED
    failed = raised.value
    assert (failed.path, failed.reason.end) == ("/", histrio.End.FAILED)
    assert [failure.path for failure in failed.failures] == ["/lab"]
    assert failed.__cause__ is failed.failures[0]
    assert failed.failures[0].__cause__ is boom
    assert "'shop'" in str(failed)
    assert "/lab" in str(failed)
    assert "Boom: x" in str(failed)


async def lab_has_ended(lab: histrio.Ref[Do[object]]) -> None:
    """Wait for the end, whatever it is."""
    with pytest.raises(histrio.ActorFailed):
        await lab.join()


async def test_a_failed_tell_is_a_dead_letter(autojump_clock: MockClock) -> None:
    """A9: a message that failed its actor, with nobody to answer, is a dead letter too."""
    message = raising(Boom("x"))
    letters: list[histrio.DeadLetter] = []

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        await lab.tell(message)
        with pytest.raises(histrio.ActorFailed), trio.CancelScope(shield=True):
            await lab.join()
        letters.extend(system.dead_letters)

    with pytest.raises(histrio.SystemFailed):
        await run_in_system(program)

    assert [(one.message, one.why) for one in letters] == [(message, "its handler raised Boom: x")]


async def test_a_group_of_a_handlers_nursery_is_the_cause(autojump_clock: MockClock) -> None:
    """A9: what a nursery in a handler raises is the cause as it is; a Refusal inside a group refuses nothing."""

    async def group(_: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_at_once, Boom("one"))
            nursery.start_soon(fail_at_once, Boom("two"))

    async def refusal_in_a_group(_: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, histrio.Refusal("no"))

    assert sorted(str(error) for error in members(await cause_of(group))) == ["one", "two"]
    assert [type(error) for error in members(await cause_of(refusal_in_a_group))] == [histrio.Refusal]


async def fail_at_once(error: Exception) -> None:
    """Before a cancellation could come."""
    raise error


async def test_an_error_in_a_cancelled_group_is_bare(autojump_clock: MockClock) -> None:
    """A9: cancellations beside the error in a group are none of the cause."""

    async def handler(lab: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forever)
            lab.ref.control.kill()
            await trio.lowlevel.checkpoint_if_cancelled()

    async def breaks() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom("while cancelled")

    async def with_error(lab: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(breaks)
            nursery.start_soon(forever)
            await wait_all_tasks_blocked()
            lab.ref.control.kill()
            await trio.sleep_forever()

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        with pytest.raises(histrio.ActorStopped) as raised:
            await lab.ask(Do(handler))
        assert raised.value.reason.end is histrio.End.KILLED

    cause = await cause_of(with_error)
    assert isinstance(cause, Boom)
    assert str(cause) == "while cancelled"


async def test_a_failure_of_a_child_is_its_parents(autojump_clock: MockClock) -> None:
    """A9: without a supervisor a child's failure fails its parent, level by level; the chain of causes is kept."""
    boom = Boom("deep")

    class Parent(Lab):
        async def started(self) -> None:
            self.child = await self.spawn(Lab, name="child")

    class Grandparent(Lab):
        async def started(self) -> None:
            self.child = await self.spawn(Parent, name="parent")

    async def child(lab: Lab) -> histrio.Ref[Do[object]]:
        assert isinstance(lab, Parent | Grandparent)
        return lab.child

    async def program(system: histrio.System) -> None:
        top = await system.spawn(Grandparent, name="top")
        lab = await (await top.ask(Do(child))).ask(Do(child))
        await lab.tell(raising(boom))
        await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    chain: list[BaseException | None] = [raised.value]
    while chain[-1] is not None:
        chain.append(chain[-1].__cause__)
    assert [getattr(error, "path", error) for error in chain] == [
        "/", "/top", "/top/parent", "/top/parent/child", boom, None
    ]  # fmt: skip


async def test_several_failures_are_all_told(autojump_clock: MockClock) -> None:
    """A9: when several top actors fail, SystemFailed holds each, and its cause is a group of them."""

    class Breaks(Lab):
        async def stopped(self, reason: histrio.Reason) -> None:
            raise Boom(f"{self.ref.path} in stopped")

    async def program(system: histrio.System) -> None:
        await system.spawn(Breaks, name="a")
        await system.spawn(Breaks, name="b")
        await (await system.spawn(Lab, name="c")).tell(raising(Boom("first")))
        await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert [failure.path for failure in raised.value.failures] == ["/c", "/b", "/a"]
    assert members(raised.value.__cause__) == raised.value.failures


async def test_several_errors_of_one_actor_are_all_told(autojump_clock: MockClock) -> None:
    """A9: handlers that fail while their actor fails add to its causes; the first one is the reason."""

    async def breaks(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom(name)

    async def waits(lab: Lab) -> None:
        await lab.io(breaks, "cleanup")

    refs: list[histrio.Ref[Do[object]]] = []

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        refs.append(lab)
        await lab.tell(Do(waits))
        await wait_all_tasks_blocked()
        await lab.tell(raising(Boom("first")))
        await trio.sleep(1)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    (failure,) = raised.value.failures
    assert [str(error) for error in members(failure.__cause__)] == ["first", "cleanup"]
    with pytest.raises(histrio.ActorStopped) as told:
        await refs[0].ask(Do(nothing))
    assert str(told.value.reason) == "failed: Boom: first"


async def test_unhandled_refuses(autojump_clock: MockClock) -> None:
    """A9: a message that no handler takes is refused to an asker, and a dead letter else; the actor lives on."""

    class Ping(histrio.Request[str]):
        pass

    class Deaf(histrio.Actor[Ping]):
        pass

    async with histrio.open_system() as system:
        deaf = await system.spawn(Deaf, name="deaf")
        with pytest.raises(histrio.Refusal, match=r"/deaf .*has no handler for .*Ping"):
            await deaf.ask(Ping())
        await deaf.tell(Ping())
        await wait_all_tasks_blocked()

        assert system.dead_letters.count == 1
        assert deaf.control.status() is histrio.Phase.RUNNING


async def test_a_start_that_fails(autojump_clock: MockClock) -> None:
    """A9: an actor whose `started` raises fails `spawn`, with the cause, and nobody else; its name is free again."""

    class Broken(Lab):
        async def started(self) -> None:
            await self.io(fail, Boom("at the start"))

    async with histrio.open_system() as system:
        for _ in range(2):
            with pytest.raises(histrio.ActorFailed) as raised:
                await system.spawn(Broken, name="broken")
            assert raised.value.path == "/broken"
            assert str(raised.value.__cause__) == "at the start"
        assert system.tree().children == ()


class Unshowable(Exception):
    """A half-made error of a user."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class UnshowableRefusal(histrio.Refusal):
    """The same, to be caught."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


async def test_an_error_that_cannot_be_shown(autojump_clock: MockClock) -> None:
    """A10: an error whose `__str__` raises is told like any other: the asker is answered, and the cause is kept."""
    unshowable = Unshowable()
    answers: list[BaseException | None] = []

    async def program(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        waiting = lab.ask(Do(forever_in))
        with trio.CancelScope(shield=True), trio.fail_after(10):
            for asked in (lab.ask(raising(unshowable)), waiting):
                with pytest.raises(histrio.ActorFailed) as raised:
                    await asked
                answers.append(raised.value.__cause__)

    with pytest.raises(histrio.SystemFailed) as raised:
        await run_in_system(program)

    assert answers == [unshowable, unshowable]
    assert raised.value.failures[0].__cause__ is unshowable


async def forever_in(lab: Lab) -> None:
    """A handler that never ends by itself."""
    await lab.io(trio.sleep_forever)


async def test_a_refusal_that_cannot_be_shown(autojump_clock: MockClock) -> None:
    """A10: the same for a Refusal, of an ask that nobody awaits and of a tell: both are dead letters."""
    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)
        with pytest.raises(UnshowableRefusal):
            await lab.ask(raising(UnshowableRefusal()))
        lab.ask(raising(UnshowableRefusal()))
        await lab.tell(raising(UnshowableRefusal()))
        await lab.ask(Do(nothing))
        gc.collect()

        assert system.dead_letters.count == 2
