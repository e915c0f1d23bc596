"""What a handler raises, and where it goes: to the asker, to the actor, to the system, out of `open_system`."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest
import trio
from tests.actors.lab import Do, Lab, nothing
from tests.effort import count
from tests.kernel.works import Boom, fail, forever
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio
from histrio_kernel.simulation.trio_schedule import seeded_schedule

Body = Callable[[Lab], Awaitable[object]]


def raising(error: BaseException) -> Do[None]:
    """A message whose handler raises *error*."""

    async def handler(_: Lab) -> None:
        await trio.lowlevel.checkpoint()
        raise error

    return Do(handler)


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

        assert [(one.path, one.message, one.why) for one in system.dead_letters] == [("/lab", message, "refused: no")]


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

    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system("shop") as system:
            lab = await system.spawn(Lab, name="lab")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, lab, Do(waits))
                await wait_all_tasks_blocked()
                with trio.CancelScope(shield=True):
                    await ask(lab, raising(boom))
                    await lab_has_ended(lab)

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
    with pytest.raises(histrio.SystemFailed):
        async with histrio.open_system() as system:
            lab = await system.spawn(Lab)
            await lab.tell(message)
            await trio.sleep(1)

    assert [(one.message, one.why) for one in system.dead_letters] == [(message, "its handler raised Boom: x")]


async def test_a_group_of_a_handlers_nursery_is_the_cause(autojump_clock: MockClock) -> None:
    """A9: what a nursery in a handler raises is the cause as it is; a Refusal inside a group refuses nothing."""

    async def group(_: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_at_once, Boom("one"))
            nursery.start_soon(fail_at_once, Boom("two"))

    async def refusal_in_a_group(_: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, histrio.Refusal("no"))

    cause = await cause_of(group)
    assert isinstance(cause, ExceptionGroup)
    assert sorted(str(error) for error in cause.exceptions) == ["one", "two"]
    cause = await cause_of(refusal_in_a_group)
    assert isinstance(cause, ExceptionGroup)
    assert [type(error) for error in cause.exceptions] == [histrio.Refusal]


async def fail_at_once(error: Exception) -> None:
    """Before a cancellation could come."""
    raise error


async def cause_of(body: Body) -> BaseException | None:
    """What fails the actor that runs *body*."""
    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system() as system:
            await (await system.spawn(Lab)).tell(Do(body))
            await trio.sleep(100)
    (failure,) = raised.value.failures
    return failure.__cause__


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

    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system() as system:
            top = await system.spawn(Grandparent, name="top")
            lab = await (await top.ask(Do(child))).ask(Do(child))
            await lab.tell(raising(boom))
            await trio.sleep(1)

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

    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system() as system:
            await system.spawn(Breaks, name="a")
            await system.spawn(Breaks, name="b")
            await (await system.spawn(Lab, name="c")).tell(raising(Boom("first")))
            await trio.sleep(1)

    assert [failure.path for failure in raised.value.failures] == ["/c", "/b", "/a"]
    assert isinstance(raised.value.__cause__, ExceptionGroup)
    assert raised.value.__cause__.exceptions == raised.value.failures


async def test_several_errors_of_one_actor_are_all_told(autojump_clock: MockClock) -> None:
    """A9: handlers that fail while their actor fails add to its causes; the first one is the reason."""

    async def breaks(name: str) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom(name)

    async def waits(lab: Lab) -> None:
        await lab.io(breaks, "cleanup")

    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system() as system:
            lab = await system.spawn(Lab)
            await lab.tell(Do(waits))
            await wait_all_tasks_blocked()
            await lab.tell(raising(Boom("first")))
            await trio.sleep(1)

    (failure,) = raised.value.failures
    assert isinstance(failure.__cause__, ExceptionGroup)
    assert [str(error) for error in failure.__cause__.exceptions] == ["first", "cleanup"]


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


# -- A14: out of open_system -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("where", ["handler", "operation", "nursery", "started", "stopped", "child"])
def test_an_interrupt_leaves_bare(error: BaseException, where: str) -> None:
    """A14: KeyboardInterrupt or SystemExit, raised anywhere in the tree, leaves `open_system` itself, bare."""
    ended: list[str] = []

    async def interrupt() -> None:
        await trio.lowlevel.checkpoint()
        raise error

    class Other(Lab):
        async def run(self) -> None:
            try:
                await self.receive_next()
            finally:
                ended.append("cleaned up")

    class Hooks(Lab):
        async def started(self) -> None:
            if where == "started":
                await interrupt()
            if where == "child":
                child = await self.spawn(Lab)
                await child.tell(Do(interrupted))

        async def stopped(self, reason: histrio.Reason) -> None:
            if where == "stopped":
                await interrupt()

    async def interrupted(lab: Lab) -> None:
        if where == "operation":
            await lab.io(interrupt)
        elif where == "nursery":
            async with trio.open_nursery() as nursery:
                nursery.start_soon(interrupt)
                nursery.start_soon(forever)
        else:
            await interrupt()

    async def main(system: histrio.System) -> None:
        await system.spawn(Other)
        lab = await system.spawn(Hooks)
        if where == "stopped":
            lab.control.stop()
        else:
            await lab.tell(Do(interrupted))
        await trio.sleep_forever()

    with pytest.raises(type(error)) as raised:
        histrio.run(main, clock=MockClock(autojump_threshold=0))

    assert raised.value is error
    assert ended == ["cleaned up"]


async def test_an_interrupt_answers_whoever_waits(autojump_clock: MockClock) -> None:
    """A10: an ask whose handler was ended by KeyboardInterrupt is answered, also if somebody outside goes on."""
    answered: list[str] = []

    async def wait(asked: histrio.Future[None]) -> None:
        with pytest.raises(histrio.ActorStopped):
            await asked
        answered.append("told")

    async with trio.open_nursery() as outside:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - leaving the block is what raises
            async with histrio.open_system() as system:
                lab = await system.spawn(Lab)
                outside.start_soon(wait, lab.ask(raising(KeyboardInterrupt())))
                outside.start_soon(wait, lab.ask(Do(nothing)))
                await trio.sleep_forever()
    assert answered == ["told", "told"]


def outcomes_of(program: Callable[[histrio.System], Awaitable[object]]) -> set[str]:
    """What leaves `run`, in each order of Trio's."""
    seen: set[str] = set()
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            try:
                histrio.run(program, clock=MockClock(autojump_threshold=0))
            except Exception as error:
                seen.add(type(error).__name__)
            else:
                seen.add("nothing")
    return seen


def test_a_failing_ask_in_the_body_ends_in_system_failed() -> None:
    """A14: when the body does not catch the ActorFailed of its ask, the system has failed: always SystemFailed leaves."""

    async def ask(system: histrio.System) -> None:
        await (await system.spawn(Lab)).ask(raising(Boom("x")))

    async def both(system: histrio.System) -> None:
        one, two = await system.spawn(Lab), await system.spawn(Lab)
        await histrio.both(one.ask(raising(Boom("x"))), two.ask(raising(Boom("y"))))

    async def join(system: histrio.System) -> None:
        lab = await system.spawn(Lab)
        await lab.tell(raising(Boom("x")))
        await lab.join()

    assert outcomes_of(ask) == {"SystemFailed"}
    assert outcomes_of(both) == {"SystemFailed"}
    assert outcomes_of(join) == {"SystemFailed"}


def test_a_body_that_catches_a_failure_ends_with_the_system() -> None:
    """A14: a body that has caught the ActorFailed of an ask cannot save the system: it is cancelled, SystemFailed leaves."""

    async def program(system: histrio.System) -> None:
        with pytest.raises(histrio.ActorFailed):
            await (await system.spawn(Lab)).ask(raising(Boom("x")))

    assert outcomes_of(program) == {"SystemFailed"}


async def test_a_failing_system_cancels_its_body(autojump_clock: MockClock) -> None:
    """A14: when the system fails, the body is cancelled, and what it raises in its cleanup is noted on the error."""
    with pytest.raises(histrio.SystemFailed) as raised:
        async with histrio.open_system() as system:
            await (await system.spawn(Lab)).tell(raising(Boom("x")))
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("in the body's cleanup")

    assert raised.value.__notes__ == [
        "the block around the system raised too: ValueError(\"in the body's cleanup\")"
    ]


async def test_the_error_of_the_body_leaves(autojump_clock: MockClock) -> None:
    """A14: if the body raises, the tree is stopped in order, and then the body's error leaves, bare, the same object."""
    error = ValueError("body")
    seen: list[str] = []

    class Tidy(Lab):
        async def stopped(self, reason: histrio.Reason) -> None:
            seen.append(f"{self.ref.path} {reason.end.value}")

    async def slow(lab: Lab) -> None:
        await lab.io(trio.sleep, 1)
        lab.seen.append("handled")
        seen.append("drained")

    with pytest.raises(ValueError, match="body") as raised:
        async with histrio.open_system() as system:
            await system.spawn(Tidy, name="a")
            await (await system.spawn(Tidy, name="b")).tell(Do(slow))
            raise error

    assert raised.value is error
    assert seen == ["drained", "/b stopped", "/a stopped"]


async def test_a_failure_while_the_tree_stops_is_noted(autojump_clock: MockClock) -> None:
    """A14: if the body raised first, a failure of the tree that follows is a note on the body's error."""

    class Breaks(Lab):
        async def stopped(self, reason: histrio.Reason) -> None:
            raise Boom("in stopped")

    with pytest.raises(ValueError, match="body") as raised:
        async with histrio.open_system() as system:
            await system.spawn(Breaks)
            raise ValueError("body")

    (note,) = raised.value.__notes__
    assert note.startswith("while the system stopped, it failed too: SystemFailed(")
    assert "in stopped" in note


async def test_a_failure_after_a_quiet_body_leaves(autojump_clock: MockClock) -> None:
    """A14: if the body ended well and the tree fails while it stops, SystemFailed leaves."""

    async def slow(lab: Lab) -> None:
        await lab.io(trio.sleep, 1)
        raise Boom("late")

    with pytest.raises(histrio.SystemFailed, match="late"):
        async with histrio.open_system() as system:
            await (await system.spawn(Lab)).tell(Do(slow))


class OwnGroup(ExceptionGroup[Exception]):
    """A group of a user."""


async def test_a_group_of_the_body_leaves_as_it_is(autojump_clock: MockClock) -> None:
    """A14: a group that the body raises is the body's, and leaves as it is: the same object, of its own class."""
    group = OwnGroup("mine", [ValueError("a"), ValueError("b")])
    with pytest.raises(OwnGroup) as raised:
        async with histrio.open_system() as system:
            await system.spawn(Lab)
            raise group

    assert raised.value is group


async def test_a_cancelled_system_is_cancelled(autojump_clock: MockClock) -> None:
    """A14: a cancellation from around passes through, quietly; no group and no error of ours is made of it."""

    async def waits(lab: Lab) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forever, 0.5)
            await histrio.both(lab.io(forever, 0.25), lab.io(forever))

    with trio.move_on_after(1) as scope:
        async with histrio.open_system() as system:
            lab = await system.spawn(Lab)
            for _ in range(3):
                await lab.tell(Do(waits))
            await lab.ask(Do(forever_in))

    assert scope.cancelled_caught
    assert system.dead_letters.count == 3


async def forever_in(lab: Lab) -> None:
    """A handler that never ends by itself."""
    await lab.io(trio.sleep_forever)


async def test_a_failure_in_a_cancelled_system_leaves(autojump_clock: MockClock) -> None:
    """A14: an error raised in the cleanup of a cancelled system is not swallowed by the cancellation."""

    async def breaks(_: Lab) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise Boom("cleanup")

    with pytest.raises(histrio.SystemFailed, match="cleanup"), trio.move_on_after(1):
        async with histrio.open_system() as system:
            await (await system.spawn(Lab)).tell(Do(breaks))
            await trio.sleep_forever()


async def test_a_future_of_a_closed_system(autojump_clock: MockClock) -> None:
    """A10: every future of a closed system has its outcome; a cancelled one, and a new ask, raise ActorStopped."""
    futures: list[histrio.Future[object]] = []

    async def handler(lab: Lab) -> str:
        futures.append(lab.background(forever))
        futures.append(histrio.both(lab.background(forever), lab.background(forever)))
        futures.append(histrio.either(lab.background(forever), lab.promise()))
        futures.append(lab.promise())
        return "value"

    async with histrio.open_system("shop") as system:
        lab = await system.spawn(Lab)
        value = lab.ask(Do(handler))
        await wait_all_tasks_blocked()
    futures.append(lab.ask(Do(nothing)))

    assert await value == "value"
    assert all(future.is_done for future in futures)
    for future in futures:
        with pytest.raises(histrio.ActorStopped):
            await future
    with pytest.raises(histrio.ActorStopped, match="'shop' is closed"):
        await futures[0]


async def test_combinators_end_under_a_shield(autojump_clock: MockClock) -> None:
    """F2: in a system whose scope was cancelled, a shielded handler still gets its winner, and nothing hangs."""
    promises: list[histrio.Promise[str]] = []
    got: list[object] = []

    async def handler(lab: Lab) -> None:
        left: histrio.Promise[str] = lab.promise()
        right: histrio.Promise[str] = lab.promise()
        promises.extend([left, right])
        stuck = lab.io(forever, 50)
        await wait_all_tasks_blocked()
        with trio.CancelScope(shield=True):
            got.append(await histrio.either(left, right))
            start = trio.current_time()
            got.append(await histrio.either(right, stuck))
            got.append(trio.current_time() - start < 6)

    async with trio.open_nursery() as outside:

        async def set_right() -> None:
            await trio.sleep(2)
            promises[1].set("right")

        outside.start_soon(set_right)
        with trio.move_on_after(1):
            async with histrio.open_system() as system:
                await (await system.spawn(Lab)).ask(Do(handler))

    assert got == [histrio.Right("right"), histrio.Left("right"), True]


class Strict:
    """A value that does not let itself be compared, as an array of numpy does not."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth value is ambiguous")

    __hash__ = None  # type: ignore[assignment]


strict: ContextVar[Strict] = ContextVar("strict")


async def test_a_context_value_that_cannot_be_compared(autojump_clock: MockClock) -> None:
    """A4: context variables may hold any objects: an actor never compares them."""
    strict.set(Strict())

    async def handler(lab: Lab) -> bool:
        before = strict.get()
        strict.set(Strict())
        await lab.io(trio.sleep, 1)
        return strict.get() is not before

    async with histrio.open_system() as system:
        lab = await system.spawn(Lab)

        assert await histrio.all_of(*(lab.ask(Do(handler)) for _ in range(3))) == (True, True, True)
        assert await lab.ask(Do(handler)) is True
