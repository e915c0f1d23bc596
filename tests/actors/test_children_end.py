"""S2, S4: how actors that have actors end, and whose failure is whose."""

from functools import partial
from typing import cast

import pytest
import trio
import trio.testing
from tests.actors.family import Child, Do, Parent, Quiet, Work, settle, spawn_children

import histrio
from histrio import Ref

Clock = trio.testing.MockClock


# -- ending ------------------------------------------------------------------------------------------------------------


async def test_children_stop_from_the_last_to_the_first() -> None:
    """S2: each has ended before the next is asked to stop; then the parent's own `stopped()` runs, and it has ended."""
    log: list[str] = []

    class Stopping(Parent):
        async def stopped(self, reason: histrio.Reason) -> None:
            log.append(f"parent stops with {len(self.children)} children")

    async with histrio.open_system() as system:
        parent = await system.spawn(Stopping)
        await parent.ask(Do(partial(spawn_children, log)))
        log.clear()
        parent.control.stop()
        await parent.join()
        log.append("parent has ended")

    stops = [f"{name} {what}" for name in "cba" for what in ("stops", "stopped")]
    assert log == [*stops, "parent stops with 0 children", "parent has ended"]


async def test_a_child_drains_its_inbox_before_it_stops() -> None:
    """S2: what it has accepted is handled, in order; new mail is refused meanwhile."""
    log: list[str] = []
    refused: list[str] = []

    class Late(Child):
        async def stopped(self, reason: histrio.Reason) -> None:
            await super().stopped(reason)
            try:
                await self.ref.tell(Work("too late"))
            except histrio.ActorStopped as error:
                refused.append(error.path)

    async with histrio.open_system() as system:
        late = await system.spawn(Late, "late", log, name="late")
        for number in range(3):
            late.tell_nowait(Work(f"{number}"))
        late.control.stop()
        await late.join()

    assert log[2:] == ["late 0", "late 1", "late 2", "late stops", "late stopped"]
    assert refused == ["/late"]


async def test_a_parent_may_spawn_while_it_drains() -> None:
    """S4: a handler that still runs may have a child, which is stopped in its turn."""
    log: list[str] = []
    gate = trio.Event()

    async def spawn_late(parent: Parent) -> None:
        await gate.wait()
        await parent.spawn(Child, "late", log)

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)
        await parent.ask(Do(partial(spawn_children, log)))
        await parent.tell(Do(spawn_late))
        await settle()
        log.clear()
        parent.control.stop()
        gate.set()
        await parent.join()

    assert log[:4] == ["late starts", "late started", "late stops", "late stopped"]
    assert log[4:] == [f"{name} {what}" for name in "cba" for what in ("stops", "stopped")]


@pytest.mark.parametrize("end", ["stop", "kill", "fail"])
async def test_the_subtree_has_ended_before_the_parents_end_is_announced(end: str, autojump_clock: Clock) -> None:
    """A10, S4: `join` of the parent, and its asks, end when the last grandchild has cleaned up; and not before."""
    log: list[str] = []

    class Lingering(Parent):
        async def started(self) -> None:
            self.background(self.linger)

        async def linger(self) -> None:
            try:
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(2)
                log.append(f"{self.ref.path} has cleaned up")

    async def have_children(parent: Parent) -> None:
        child = await parent.spawn(Lingering, name="child")
        await child.ask(Do(lambda child: child.spawn(Lingering, name="grandchild")))

    async def fail(parent: Parent) -> None:
        raise ValueError("failed")

    async def life() -> None:
        async with histrio.open_system() as system:
            parent = await system.spawn(Parent, name="parent")
            with trio.CancelScope(shield=True):
                await parent.ask(Do(have_children))
                if end == "fail":
                    await parent.tell(Do(fail))
                else:
                    (parent.control.stop if end == "stop" else parent.control.kill)()
                try:
                    await parent.join()
                except histrio.ActorStopped as error:
                    log.append(error.reason.end.value)
                assert sorted(log)[:2] == ["/parent/child has cleaned up", "/parent/child/grandchild has cleaned up"]
                assert system.find(Lingering, "/parent/child") is None

    if end == "fail":
        with pytest.raises(histrio.SystemFailed):
            await life()
    else:
        await life()
    assert log[2:] == {"stop": [], "kill": ["killed"], "fail": ["failed"]}[end]


async def test_a_child_that_ends_by_itself_is_forgotten() -> None:
    """S4: its parent lives on, and so do its siblings."""
    log: list[str] = []

    async def end_one(parent: Parent) -> object:
        a, b, c = await spawn_children(log, parent)
        b.control.stop()
        await b.join()
        await c.control.kill()
        return (parent.children == (a,), await a.ask(Work("alive")))

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)

        assert await parent.ask(Do(end_one)) == (True, "alive")


async def test_a_parent_that_is_killed_kills_its_children() -> None:
    """S4: none of them runs `stopped()`, and their inboxes go to the dead letters."""
    log: list[str] = []

    async def hold_children(parent: Parent) -> None:
        a, _, _ = await spawn_children(log, parent)
        await a.tell(Work("first"))
        await trio.sleep_forever()

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent, name="parent")
        await parent.tell(Do(hold_children))
        await settle()
        child = system.find(Child, "/parent/b")
        assert child is not None
        await parent.control.kill()
        with pytest.raises(histrio.ActorStopped) as caught:
            await child.ask(Work())

    assert not [line for line in log if "stop" in line]
    assert caught.value.reason == histrio.Reason(histrio.End.CANCELLED, "its parent /parent ended")
    assert caught.value.reason.because == histrio.Reason(histrio.End.KILLED, "it was killed on request")


# -- failure -----------------------------------------------------------------------------------------------------------


async def test_a_childs_failure_fails_its_parent() -> None:
    """A9, S4: and so up to the top, where the system fails; each error is the cause of the one above it."""

    async def have_a_failing_grandchild(parent: Parent) -> None:
        child = await parent.spawn(Parent, name="child")
        grandchild = cast(
            "Ref[Work]", await child.ask(Do(lambda child: child.spawn(Child, "grandchild", name="grandchild")))
        )
        await grandchild.tell(Work("fail"))
        await trio.sleep_forever()

    async def life() -> None:
        async with histrio.open_system() as system:
            parent = await system.spawn(Parent, name="parent")
            await parent.ask(Do(have_a_failing_grandchild))

    with pytest.raises(histrio.SystemFailed) as caught:
        await life()
    error: BaseException | None = caught.value
    chain: list[str] = []
    while error is not None:
        chain.append(error.path if isinstance(error, histrio.ActorStopped) else str(error))
        error = error.__cause__
    assert chain == ["/", "/parent", "/parent/child", "/parent/child/grandchild", "grandchild failed"]


async def test_siblings_end_with_their_parent() -> None:
    """A10, S4: those who wait for a sibling of the failed one are answered: nobody is left waiting."""
    answers: list[BaseException] = []

    class Holding(Quiet):
        async def receive(self, message: Work) -> str:
            await self.io(trio.sleep_forever)
            return "never"

    async def have_children(parent: Parent) -> object:
        return (await parent.spawn(Holding, name="holding"), await parent.spawn(Child, "failing", name="failing"))

    async def ask(ref: Ref[Work]) -> None:
        with pytest.raises(histrio.ActorStopped) as caught:
            await ref.ask(Work("ask"))
        answers.append(caught.value)

    async def life() -> None:
        async with trio.open_nursery() as nursery, histrio.open_system() as system:
            parent = await system.spawn(Parent, name="parent")
            holding, failing = cast(tuple[Ref[Work], Ref[Work]], await parent.ask(Do(have_children)))
            nursery.start_soon(ask, holding)
            await settle()
            await failing.tell(Work("fail"))
            await system.wait()

    with pytest.raises(ExceptionGroup) as caught:
        await life()
    assert caught.group_contains(histrio.SystemFailed)
    assert [cast(histrio.ActorStopped, answer).path for answer in answers] == ["/parent/holding"]


async def test_a_parent_that_fails_answers_with_its_childs_failure() -> None:
    """A9: who asked the parent gets `ActorFailed` of the parent, caused by the child's."""
    answers: list[BaseException] = []

    async def have_a_failing_child(parent: Parent) -> None:
        child = await parent.spawn(Child, "child", name="child")
        await child.tell(Work("fail"))
        await parent.io(trio.sleep_forever)

    async def life() -> None:
        async with histrio.open_system() as system:
            parent = await system.spawn(Parent, name="parent")
            with trio.CancelScope(shield=True), pytest.raises(histrio.ActorFailed) as caught:
                await parent.ask(Do(have_a_failing_child))
            answers.append(caught.value)

    with pytest.raises(histrio.SystemFailed):
        await life()
    assert isinstance(answers[0], histrio.ActorFailed)
    assert answers[0].path == "/parent"
    assert isinstance(answers[0].reason.cause, histrio.ActorFailed)
    assert answers[0].reason.cause.path == "/parent/child"


async def test_a_failure_while_stopping_is_a_failure_all_the_same() -> None:
    """A10: a child whose `stopped()` raises fails its parent, though both were asked to stop."""

    class FailsToStop(Child):
        async def stopped(self, reason: histrio.Reason) -> None:
            raise OSError("cannot flush")

    async def life() -> None:
        async with histrio.open_system() as system:
            parent = await system.spawn(Parent, name="parent")
            await parent.ask(Do(lambda parent: parent.spawn(FailsToStop)))

    with pytest.raises(histrio.SystemFailed, match="cannot flush"):
        await life()


# -- too late ----------------------------------------------------------------------------------------------------------


async def test_an_actor_that_is_being_killed_has_no_more_children() -> None:
    """S4: `spawn` in its cleanup raises `ActorStopped`, which names the parent."""
    said: list[str] = []

    async def spawn_in_cleanup(parent: Parent) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True), pytest.raises(histrio.ActorStopped) as caught:
                await parent.spawn(Quiet)
            said.append(str(caught.value))

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent, name="parent")
        await parent.tell(Do(spawn_in_cleanup))
        await settle()
        await parent.control.kill()

    assert len(said) == 1
    assert "/parent" in said[0]
    assert "takes no children any more" in said[0]
