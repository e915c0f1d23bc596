"""A14: which one error leaves a system, what becomes of the others, and how systems live beside each other."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from tests.actors.noted import STOPPED_IN_ORDER, Noted, Say, settle, spawn_three

import histrio
from histrio import Ref

Clock = trio.testing.MockClock


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_the_bodys_error_leaves_after_the_tree_was_stopped() -> None:
    """A14: stopped in order, inboxes drained; and the error is the body's own, as it was."""
    log: list[str] = []
    mine = KeyError("mine")

    async def life() -> None:
        async with histrio.open_system() as system:
            a, _, _ = await spawn_three(system, log)
            a.tell_nowait(Say("last"))
            raise mine

    with pytest.raises(KeyError) as caught:
        await life()
    assert caught.value is mine
    assert log[-3:] == STOPPED_IN_ORDER
    assert "a last" in log


async def test_a_failing_system_cancels_its_body() -> None:
    """A14, A9: then the rest is stopped in order, and one `SystemFailed` leaves, with the cause."""
    log: list[str] = []

    async def life() -> None:
        async with histrio.open_system("shop") as system:
            _, b, _ = await spawn_three(system, log)
            await b.tell(Say("fail"))
            try:
                await trio.sleep_forever()
            finally:
                log.append("body cancelled")

    with pytest.raises(histrio.SystemFailed, match=r"'shop'.*b failed") as caught:
        await life()
    assert log == ["body cancelled", "c stopped", "a stopped"]
    (failure,) = caught.value.failures
    assert failure.path == "/b"
    assert caught.value.__cause__ is failure
    assert isinstance(failure.__cause__, ValueError)


async def test_several_failures_are_one_error() -> None:
    """A14: all of them are in `failures`, in their order, and the cause is a group of them."""
    log: list[str] = []

    async def life() -> None:
        async with histrio.open_system() as system:
            for actor in await spawn_three(system, log):
                actor.tell_nowait(Say("fail"))
            await system.wait()

    with pytest.raises(histrio.SystemFailed) as caught:
        await life()
    assert sorted(failure.path for failure in caught.value.failures) == ["/a", "/b", "/c"]
    assert caught.value.__cause__ is not None
    assert getattr(caught.value.__cause__, "exceptions", ()) == caught.value.failures


async def test_a_body_that_raises_because_its_system_failed() -> None:
    """A14: the system's error leaves; what the body raised besides is noted in it, not lost."""
    log: list[str] = []

    async def life(in_cleanup: Callable[[], Awaitable[object]]) -> None:
        async with histrio.open_system() as system:
            a, _, _ = await spawn_three(system, log)
            await a.tell(Say("fail"))
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await in_cleanup()

    async def other_error() -> None:
        raise KeyError("cleanup")

    with pytest.raises(histrio.SystemFailed) as caught:
        await life(other_error)
    assert any("KeyError" in note and "cleanup" in note for note in caught.value.__notes__)


async def test_an_ask_that_fails_with_the_system_is_no_error_of_the_body() -> None:
    """A14: the body that awaits the failing actor need not catch anything: the system's error tells more."""
    log: list[str] = []

    async def life() -> None:
        async with histrio.open_system() as system:
            a, _, _ = await spawn_three(system, log)
            await a.ask(Say("fail"))

    with pytest.raises(histrio.SystemFailed, match="a failed"):
        await life()


async def test_a_system_that_fails_after_the_body_raised() -> None:
    """A14: the body's error came first and leaves; that the system failed too is noted in it."""

    class FailsToStop(histrio.Actor[str]):
        async def stopped(self, reason: histrio.Reason) -> None:
            raise OSError("cannot flush")

    async def life(error: Exception | None) -> None:
        async with histrio.open_system() as system:
            await system.spawn(FailsToStop)
            if error is not None:
                raise error

    with pytest.raises(KeyError) as caught:
        await life(KeyError("first"))
    assert any("cannot flush" in note for note in caught.value.__notes__)
    with pytest.raises(histrio.SystemFailed, match="cannot flush"):
        await life(None)


async def test_a_group_of_the_body_leaves_as_it_is() -> None:
    """A14: what the user's own nursery raised is the user's: it is neither unwrapped nor wrapped."""
    log: list[str] = []

    async def raise_error(number: int) -> None:
        raise KeyError(number)

    async def life() -> None:
        async with histrio.open_system() as system:
            await spawn_three(system, log)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(raise_error, 1)
                nursery.start_soon(raise_error, 2)

    with pytest.raises(ExceptionGroup) as caught:
        await life()
    assert [type(error) for error in caught.value.exceptions] == [KeyError, KeyError]
    assert log == STOPPED_IN_ORDER


# -- cancellation from outside -----------------------------------------------------------------------------------------


async def test_a_cancelled_scope_around_ends_all_at_once(autojump_clock: Clock) -> None:
    """A14: handlers are cancelled and clean up, no `stopped()` runs, and `Cancelled` reaches its own scope."""
    log: list[str] = []
    actors: list[Ref[Say]] = []
    reasons: list[histrio.Reason] = []
    with trio.move_on_after(1) as scope:
        async with histrio.open_system() as system:
            actors.extend(await spawn_three(system, log))
            await actors[1].tell(Say("wait"))
            await trio.sleep_forever()
    for actor in actors:
        with pytest.raises(histrio.ActorStopped) as caught:
            actor.control.status()
        reasons.append(caught.value.reason)

    assert scope.cancelled_caught
    assert log == ["b cleaned up"]
    assert {reason.end for reason in reasons} == {histrio.End.CANCELLED}


async def test_cancelled_while_it_stops(autojump_clock: Clock) -> None:
    """A14: a scope around that runs out while the tree is being stopped cancels what is left of it."""
    log: list[str] = []
    with trio.move_on_after(1) as scope:
        async with histrio.open_system() as system:
            actors = await spawn_three(system, log)
            await actors[1].tell(Say("wait"))
            await settle()

    assert scope.cancelled_caught
    assert log == ["c stopped", "b cleaned up"]


async def test_an_error_in_the_cleanup_of_a_cancelled_actor() -> None:
    """A14: under an outer cancellation a failure is still a failure: it leaves instead of being swallowed."""

    class Breaks(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("while cleaning up")

    async def life() -> None:
        with trio.CancelScope() as scope:
            async with histrio.open_system() as system:
                await (await system.spawn(Breaks)).tell("begin")
                await settle()
                scope.cancel()
                await trio.sleep_forever()

    with pytest.raises(histrio.SystemFailed, match="while cleaning up"):
        await life()


async def test_an_operation_of_a_closed_system_has_ended() -> None:
    """A14, F1: a future that got out of its system is not pending when that has closed; awaiting it says why."""

    class Leaks(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            leaked.append(self.background(trio.sleep_forever))

    leaked: list[histrio.Future[None]] = []
    async with histrio.open_system("shop") as system:
        await (await system.spawn(Leaks)).tell("now")
        await settle()
        assert not leaked[0].is_done
    assert leaked[0].is_done
    with pytest.raises(histrio.ActorStopped, match="'shop' is closed"):
        await leaked[0]


async def test_who_waits_for_a_closed_system_is_told() -> None:
    """A10, A14: a future of a system that has closed is never pending for ever: awaiting it is `ActorStopped`."""
    log: list[str] = []
    async with histrio.open_system() as system:
        a, _, _ = await spawn_three(system, log)
        answered = a.ask(Say("hello"))
        left = a.ask(Say("wait"))
        await settle()
        system.kill()
    assert await answered == "hello"
    with pytest.raises(histrio.ActorStopped):
        await left
    with pytest.raises(histrio.ActorStopped):
        await a.tell(Say("too late"))
    with pytest.raises(histrio.ActorStopped):
        await a.ask(Say("too late"))
    with pytest.raises(histrio.ActorStopped):
        await a.join()


# -- several systems ---------------------------------------------------------------------------------------------------


async def test_two_systems_in_one_run() -> None:
    """A14: they share nothing: names, ends and failures are their own; their actors may talk to each other."""
    log: list[str] = []

    async def fail(started: trio.Event, peer: Ref[Say]) -> None:
        async with histrio.open_system("two") as two:
            a, _, _ = await spawn_three(two, log)
            assert await peer.ask(Say("across")) == "across"
            started.set()
            await a.ask(Say("fail"))

    async def failing(started: trio.Event, peer: Ref[Say]) -> None:
        with pytest.raises(histrio.SystemFailed, match="'two'"):
            await fail(started, peer)

    async with histrio.open_system("one") as one, trio.open_nursery() as nursery:
        a, _, _ = await spawn_three(one, log)
        started = trio.Event()
        nursery.start_soon(failing, started, a)
        await started.wait()
        await settle()

        assert await a.ask(Say("unharmed")) == "unharmed"


async def test_a_system_within_a_system() -> None:
    """A14: it ends before the outer one; its failure is an error of the block that it stands in."""
    log: list[str] = []

    async def life() -> None:
        async with histrio.open_system("outer") as outer:
            await outer.spawn(Noted, "outer", log)
            async with histrio.open_system("inner") as inner:
                await inner.spawn(Noted, "inner", log)
            assert log == ["inner stopped"]
            with pytest.raises(histrio.SystemFailed, match="'inner'"):
                await failing()

    async def failing() -> None:
        async with histrio.open_system("inner") as inner:
            await (await inner.spawn(Noted, "inner", log)).ask(Say("fail"))

    await life()
    assert log == ["inner stopped", "outer stopped"]


async def test_a_system_within_a_handler() -> None:
    """A14: a system that fails in a handler fails that actor; one that ends well gives its value to the handler."""

    class Opens(histrio.Actor[str]):
        async def receive(self, message: str) -> None:
            async with histrio.open_system("inner") as inner:
                noted = await inner.spawn(Noted, "noted", log)
                await noted.ask(Say(message))

    async def life() -> None:
        async with histrio.open_system("outer") as system:
            opens = await system.spawn(Opens)
            await opens.tell("fine")
            await opens.tell("fail")
            await system.wait()

    log: list[str] = []
    with pytest.raises(histrio.SystemFailed, match=r"'outer'.*'inner'.*noted failed"):
        await life()
    assert log == ["noted fine", "noted stopped"]
