"""A8, A13: what a ref is, what it holds on to, and what it says when it cannot deliver."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from functools import partial

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.classes import Slow, Write

import histrio
from histrio import Ref


@attrs.frozen
class Read(histrio.Request[int]):
    number: int


@attrs.frozen
class Other(histrio.Request[int]):
    pass


class Store(histrio.Actor[Read | Write]):
    def __init__(self, seen: list[int] | None = None) -> None:
        self.seen = seen if seen is not None else []

    async def receive(self, message: Read | Write) -> int:
        self.seen.append(message.number)
        return message.number


class Failing(histrio.Actor[Write]):
    async def receive(self, message: Write) -> None:
        raise ValueError(f"number {message.number}")


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


# -- equality ----------------------------------------------------------------------------------------------------------


async def test_refs_are_equal_when_system_and_path_are() -> None:
    """A13: equal refs have equal hashes, whatever way they were come by; others are not equal."""
    async with histrio.open_system() as system, histrio.open_system() as namesake:
        store = await system.spawn(Store, name="store")
        again = system.find(Store, "/store")
        other = await system.spawn(Store, name="other")
        elsewhere = await namesake.spawn(Store, name="store")

        assert store == again
        assert {store, again} == {store}
        assert store not in (other, elsewhere)
        assert len({store, other, elsewhere}) == 3
        assert store != "/store"


async def test_an_actors_own_ref_is_the_one_that_spawn_gave() -> None:
    """A13: `self.ref`, `self.parent` and `self.children` are equal to what others hold."""
    refs: list[object] = []

    class Parent(histrio.Actor[Write]):
        async def started(self) -> None:
            child = await self.spawn(Child)
            refs.extend([self.ref, self.children == (child,), self.parent])

    class Child(histrio.Actor[Write]):
        async def started(self) -> None:
            refs.append(self.parent)

    async with histrio.open_system() as system:
        parent = await system.spawn(Parent)

        assert refs == [parent, parent, True, None]


async def test_a_ref_of_who_lived_at_the_path_before_does_not_reach_who_lives_there_now() -> None:
    """A13: refs of one path are equal, as addresses are; messages to an actor that has ended are refused all the same."""
    async with histrio.open_system() as system:
        old = await system.spawn(Store, name="store")
        old.control.stop()
        await old.join()
        new = await system.spawn(Store, name="store")

        assert old == new
        assert old.control.is_done
        with pytest.raises(histrio.ActorStopped):
            await old.tell(Write(1))
        assert await new.ask(Read(1)) == 1
        await old.join()
        assert not new.control.is_done


async def test_a_ref_shows_its_path() -> None:
    """A13: the repr of a ref is short and names the path."""
    async with histrio.open_system() as system:
        store = await system.spawn(Store, name="store")

        assert repr(store) == "<Ref /store>"
        assert store.path == "/store"
        assert repr(pickle.loads(pickle.dumps(store))) == "<Ref /store unbound>"


async def test_tasks_carry_the_path_as_their_name() -> None:
    """A13: every Trio task in which a handler runs is called by the actor's path."""
    names: list[str] = []

    class Named(histrio.Actor[Write]):
        async def receive(self, message: Write) -> None:
            names.append(trio.lowlevel.current_task().name)
            await self.io(self.operation)

        async def operation(self) -> None:
            await trio.lowlevel.checkpoint()
            names.append(trio.lowlevel.current_task().name)

    async with histrio.open_system() as system:
        named = await system.spawn(Named, name="named")
        for number in range(3):
            await named.tell(Write(number))
        await settle()

        assert len(names) == 6
        assert all(name.startswith("/named") for name in names)


# -- pickles and copies ------------------------------------------------------------------------------------------------


@attrs.frozen
class Letter:
    sender: Ref[Read]


async def test_a_ref_pickles_to_its_address() -> None:
    """A13: unpickled, in a message too, it raises `Unbound` until it is bound; then it is equal to the original."""
    async with histrio.open_system() as system:
        store = await system.spawn(Store, name="store")
        letter: Letter = pickle.loads(pickle.dumps(Letter(store)))
        unbound: Ref[Read | Write] = pickle.loads(pickle.dumps(store))
        assert unbound != store
        assert unbound == letter.sender
        assert hash(unbound) == hash(letter.sender)

        assert system.bind(letter.sender) == store
        assert await system.bind(letter.sender).ask(Read(3)) == 3
        assert system.bind(store) == store


async def test_an_unbound_ref_says_what_to_do() -> None:
    """A13: everything that would need the system raises `Unbound`, which names the path and `bind`."""
    async with histrio.open_system() as system:
        store = await system.spawn(Store, name="store")
        unbound: Ref[Read | Write] = pickle.loads(pickle.dumps(store))

        calls: list[Callable[[], object]] = [
            partial(unbound.tell_nowait, Write(1)),
            partial(unbound.ask, Read(1)),
            partial(unbound.ask_nowait, Read(1)),
            lambda: unbound.control,
        ]
        for call in calls:
            with pytest.raises(histrio.Unbound, match=r"/store .*bind"):
                call()
        for wait in (partial(unbound.tell, Write(1)), unbound.join, partial(unbound.channel().send, Write(1))):
            with pytest.raises(histrio.Unbound, match=r"/store .*bind"):
                await wait()


async def test_binding_where_it_cannot_be_bound() -> None:
    """A13: an address in another system is `Unbound`, one where nobody lives `ActorStopped`; both name it."""
    async with histrio.open_system("here") as here, histrio.open_system("there") as there:
        store = await here.spawn(Store, name="store")
        unbound: Ref[Read | Write] = pickle.loads(pickle.dumps(store))
        with pytest.raises(histrio.Unbound, match=r"/store .*'here'.*'there'"):
            there.bind(unbound)
        store.control.stop()
        await store.join()
        with pytest.raises(histrio.ActorStopped, match="/store"):
            here.bind(unbound)


async def test_a_copy_of_a_ref_is_the_ref() -> None:
    """A13: a ref is an immutable value, so copying a message that holds one changes nothing."""
    async with histrio.open_system() as system:
        store = await system.spawn(Store, name="store")

        assert copy.copy(store) is store
        assert copy.deepcopy(Letter(store)).sender is store


# -- what a ref holds --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_ref_keeps_no_actor_alive(end: str) -> None:
    """A13: after the actor's end nothing holds its object, although refs and futures of it are held."""
    async with histrio.open_system() as system:
        store = await system.spawn(Store, name="store")
        answer = store.ask(Read(1))
        assert await answer == 1
        cell = system._cell_at("/store")
        assert cell is not None
        watch = weakref.ref(cell.actor)
        assert watch() is not None
        await (store.control.stop if end == "stop" else store.control.kill)()
        await settle()
        gc.collect()

        assert watch() is None
        assert cell.path == store.path
        assert answer.is_done


async def test_an_actor_that_nobody_refers_to_lives_on() -> None:
    """A13: an actor's life does not hang on its refs."""
    seen: list[int] = []
    async with histrio.open_system() as system:
        await (await system.spawn(Store, seen, name="store")).tell(Write(1))
        gc.collect()
        await settle()

        assert seen == [1]
        assert [node.path for node in system.tree().children] == ["/store"]


# -- what it does not take ---------------------------------------------------------------------------------------------


async def test_a_message_of_another_type_is_refused() -> None:
    """A16: `tell` and `ask`, and their `_nowait`, raise `TypeError` at once, naming path and types; nothing was sent."""
    seen: list[int] = []
    async with histrio.open_system() as system:
        store = await system.spawn(Store, seen, name="store")
        anything: Ref[object] = store  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
        with pytest.raises(TypeError, match=r"/store: it takes Read \| Write, not Other") as caught:
            await anything.tell(Other())
        assert "nothing was delivered" in str(caught.value)
        for call in (anything.tell_nowait, anything.ask, anything.ask_nowait):
            with pytest.raises(TypeError, match=r"/store: it takes Read \| Write, not Other"):
                call(Other())
        for message in (None, 3, "Write", Write, object()):
            with pytest.raises(TypeError, match="/store"):
                await anything.tell(message)
        await store.ask(Read(1))

        assert seen == [1]


async def test_an_ask_is_no_message() -> None:
    """A8: the future of an ask is refused as a message, also by an actor of anything: an inbox could not tell them apart."""

    class Collector(histrio.Actor[object]):
        async def receive(self, message: object) -> object:
            return message

    async with histrio.open_system() as system:
        store = await system.spawn(Store)
        collector = await system.spawn(Collector, name="collector")
        answer = store.ask(Read(1))
        with pytest.raises(TypeError, match="/collector"):
            await collector.tell(answer)
        assert await answer == 1
        await collector.tell([answer])


async def test_none_is_a_message() -> None:
    """A8, A16: an actor that declares None is told None, whichever way the message goes."""
    seen: list[int | None] = []

    class Nullable(histrio.Actor[int | None]):
        inbox_max = 1

        async def receive(self, message: int | None) -> None:
            seen.append(message)

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        nullable = await system.spawn(Nullable)
        await nullable.tell(None)
        await settle()
        system.listen(lambda _: None)
        await nullable.tell(None)
        for _ in range(3):
            nursery.start_soon(nullable.tell, None)
        await settle()
        await nullable.tell(1)
        await settle()

    assert seen == [None] * 5 + [1]


WAYS_TO_END = (histrio.End.STOPPED, histrio.End.KILLED, histrio.End.FAILED)


@pytest.mark.parametrize("end", WAYS_TO_END)
async def test_who_comes_too_late_is_told(end: histrio.End) -> None:
    """A8, A10: to an actor that has ended `tell` raises `ActorStopped`, `ask` is answered with it: path and reason."""
    told: list[histrio.ActorStopped] = []

    async def life() -> None:
        async with histrio.open_system() as system:
            actor = await system.spawn(Failing, name="late")
            with trio.CancelScope(shield=True):  # a failing system cancels this block
                await end_it(actor, end)
                for call in (partial(actor.tell, Write(1)), partial(late_tell_nowait, actor), partial(late_ask, actor)):
                    with pytest.raises(histrio.ActorStopped, match="/late has ended") as caught:
                        await call()
                    told.append(caught.value)

    if end is histrio.End.FAILED:
        with pytest.raises(histrio.SystemFailed):
            await life()
        assert all(isinstance(error.reason.cause, ValueError) for error in told)
    else:
        await life()
    assert [(error.path, error.reason.end) for error in told] == [("/late", end)] * 3


async def end_it(actor: Ref[Write], end: histrio.End) -> None:
    """Have the actor end so, and wait for it."""
    if end is histrio.End.FAILED:
        await actor.tell(Write(7))
        with pytest.raises(histrio.ActorFailed):
            await actor.join()
        return
    await (actor.control.kill if end is histrio.End.KILLED else actor.control.stop)()


async def late_tell_nowait(actor: Ref[Write]) -> None:
    """Tell an actor that has ended, at once."""
    actor.tell_nowait(Write(1))


async def late_ask(actor: Ref[Write]) -> None:
    """Ask an actor that has ended; type checkers do not let a plain message be asked."""
    await actor._ask(Write(1), wait=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_forgotten_await_is_warned_of() -> None:
    """A8: a `tell` that is not awaited delivers nothing, and Python says that it was never awaited."""
    seen: list[int] = []
    async with histrio.open_system() as system:
        store = await system.spawn(Store, seen)
        with pytest.warns(RuntimeWarning, match=r"tell.* was never awaited"):  # noqa: PT031 - collected is warned of
            store.tell(Write(1))  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]
            gc.collect()
        await settle()

    assert seen == []


# -- order -------------------------------------------------------------------------------------------------------------

WAYS = ("tell", "tell_nowait", "ask", "ask_nowait")


@given(ways=st.lists(st.sampled_from(WAYS), max_size=20), inbox_max=st.sampled_from([3, 10, 100]), heard=st.booleans())
def test_from_one_sender_messages_keep_their_order(ways: list[str], inbox_max: int, heard: bool) -> None:
    """A8: whichever ways they go, the messages of one sender to one actor are handled in the order of the calls."""

    class Small(Store):
        pass

    sized: type[Store] = type("Sized", (Small,), {"inbox_max": inbox_max})

    async def main(system: histrio.System) -> tuple[list[int], list[int]]:
        seen: list[int] = []
        sent: list[int] = []
        store = await system.spawn(sized, seen)
        if heard:
            system.listen(lambda _: None)
        for number, way in enumerate(ways):
            try:
                match way:
                    case "tell":
                        await store.tell(Write(number))
                    case "tell_nowait":
                        store.tell_nowait(Write(number))
                    case "ask":
                        futures.append(store.ask(Read(number)))
                    case _:
                        futures.append(store.ask_nowait(Read(number)))
            except histrio.InboxFull:
                continue
            sent.append(number)
        await settle()
        return seen, sent

    futures: list[histrio.Future[int]] = []
    seen, sent = histrio.run(main)
    assert seen == sent


# -- the end of an actor -----------------------------------------------------------------------------------------------


async def test_join_waits_for_the_end() -> None:
    """A10, S5: `join` returns when nothing of the actor runs any more, to all who wait; at once when it has ended."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        gate = trio.Event()
        slow = await system.spawn(Slow, list[int](), gate)
        joined: list[int] = []

        async def join(number: int) -> None:
            await slow.join()
            joined.append(number)

        await slow.tell(Write(0))
        for number in range(3):
            nursery.start_soon(join, number)
        slow.control.stop()
        await settle()
        assert joined == []
        gate.set()
        await settle()
        assert sorted(joined) == [0, 1, 2]
        await slow.join()


async def test_join_of_a_killed_actor_raises() -> None:
    """S5: it has no result, so `join` raises `ActorStopped`, to who waited and who comes late; what `kill` gives does not."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        store = await system.spawn(Store)
        nursery.start_soon(join_killed, store)
        await settle()
        assert await store.control.kill("out of fashion") is histrio.Phase.KILLED
        await join_killed(store)
        with pytest.raises(histrio.ActorStopped, match="out of fashion"):
            store.control.status()


async def join_killed(store: Ref[Read | Write]) -> None:
    """Wait for the end of an actor that is killed."""
    with pytest.raises(histrio.ActorStopped, match="out of fashion") as caught:
        await store.join()
    assert not isinstance(caught.value, histrio.ActorFailed)
    assert caught.value.reason.end is histrio.End.KILLED


async def test_a_cancelled_join_leaves_the_actor_alone() -> None:
    """S5: cancelling who waits in `join` does nothing to the actor or to others who wait."""
    async with histrio.open_system() as system:
        store = await system.spawn(Store)
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.join()
        assert scope.cancelled_caught
        assert await store.ask(Read(1)) == 1
