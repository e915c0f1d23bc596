"""S8: who waits for a key gets the first ref, who subscribes to it a snapshot and then every change; nobody is left."""

import gc

import pytest
import trio
import trio.testing
from tests.actors.patterns.people import PERSON, Name, Say, end, news, settle, spawn_people
from tests.kernel.works import under_all_schedules

import histrio
from histrio import Key, Lag, Listing, Ref

Anybody = Ref[Say | Name]
OTHER = Key[Say | Name]("other")


# -- waiting -----------------------------------------------------------------------------------------------------------


async def test_waiting_for_a_key(autojump_clock: trio.testing.MockClock) -> None:
    """S8: `wait` gives the ref at once if there is one, else as soon as there is, to everybody who waits."""
    got: list[Anybody] = []

    async def wait() -> None:
        got.append(await system.registry.wait(PERSON))

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait)
        await trio.sleep(1)
        assert got == []
        a, b = await spawn_people(system, "ab")
        system.registry.register(PERSON, a)
        system.registry.register(PERSON, b)
        await settle()
        assert got == [a, a, a]
        assert await system.registry.wait(PERSON) is a


async def test_a_wait_can_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    """S8: a cancelled wait leaves nothing behind, hurts no other one, and the key can be waited for again."""
    async with histrio.open_system() as system:
        other = system.registry.wait(PERSON)
        for _ in range(3):
            with trio.move_on_after(1) as scope:
                await system.registry.wait(PERSON)
            assert scope.cancelled_caught
        cancelled = system.registry.wait(PERSON)
        cancelled.cancel()
        (ref,) = await spawn_people(system, "a")
        system.registry.register(PERSON, ref)

        assert await other is ref
        with pytest.raises(histrio.FutureCancelled):
            await cancelled


async def test_a_wait_is_a_future() -> None:
    """S8, F6: waits for several keys combine like other futures."""
    async with histrio.open_system() as system:
        first = histrio.either(system.registry.wait(PERSON), system.registry.wait(OTHER))
        (ref,) = await spawn_people(system, "a")
        system.registry.register(OTHER, ref)

        assert await first == histrio.Right(ref)
        assert system.registry.find(PERSON) is None


def test_a_wait_that_is_cancelled_as_it_comes_true() -> None:
    """S8: registration and cancellation at one moment: each waiter gets the ref or is cancelled, nobody is left."""

    async def program() -> int:
        got: list[object] = []

        async def wait(scope: trio.CancelScope) -> None:
            with scope:
                got.append(await system.registry.wait(PERSON))
            if scope.cancelled_caught:
                got.append(None)

        async def register() -> None:
            await trio.sleep(1)
            system.registry.register(PERSON, ref)

        async with histrio.open_system() as system:
            (ref,) = await spawn_people(system, "a")
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(wait, trio.CancelScope(deadline=trio.current_time() + 1))
                nursery.start_soon(register)
            assert set(got) <= {ref, None}
            return len(got)

    assert set(under_all_schedules(program)) == {4}


async def test_an_actor_that_waits_goes_on_with_its_messages() -> None:
    """S8, A2: in a handler the wait for a key gives the turn away."""

    class Waits(histrio.Actor[Name | Say]):
        heard: list[str]

        async def started(self) -> None:
            self.heard = []

        @histrio.handler(Name)
        async def name(self, message: Name) -> str:
            found = await self.system.registry.wait(PERSON)
            return f"{found.path} after {self.heard}"

        @histrio.handler(Say)
        async def say(self, message: Say) -> None:
            self.heard.append(message.word)

    async with histrio.open_system() as system:
        waits = await system.spawn(Waits)
        answer = waits.ask(Name())
        await waits.tell(Say("hello"))
        await settle()
        (ref,) = await spawn_people(system, "a")
        system.registry.register(PERSON, ref)

        assert await answer == "/a after ['hello']"


# -- reading of changes ------------------------------------------------------------------------------------------------


async def test_a_subscription_gives_a_snapshot_and_then_changes() -> None:
    """S8: the first listing is what is there; each later one is complete too, and says what was added or removed."""
    async with histrio.open_system() as system:
        a, b, c = await spawn_people(system, "abc")
        system.registry.register(PERSON, a)
        with system.registry.subscribe(PERSON) as feed:
            system.registry.register(PERSON, b)
            system.registry.register(OTHER, c)
            await end(a)
            system.registry.register(PERSON, c)
            system.registry.unregister(PERSON, b)
            await settle()

            assert await news(feed) == [
                Listing(PERSON, (a,), (a,), ()),
                Listing(PERSON, (a, b), (b,), ()),
                Listing(PERSON, (b,), (), (a,)),
                Listing(PERSON, (b, c), (c,), ()),
                Listing(PERSON, (c,), (), (b,)),
            ]


async def test_a_subscription_to_nothing_begins_with_an_empty_listing() -> None:
    """S8: a key that nobody is registered under has a snapshot too: nobody."""
    async with histrio.open_system() as system:
        feed = system.registry.subscribe(PERSON)

        assert await feed.next() == Listing(PERSON, (), (), ())


async def test_a_slow_subscriber_can_have_the_newest_only() -> None:
    """S8: with `LATEST` the newest listing is all that waits, and it is complete."""
    async with histrio.open_system() as system:
        people = await spawn_people(system, "abc")
        feed = system.registry.subscribe(PERSON, lag=Lag.LATEST)
        for ref in people:
            system.registry.register(PERSON, ref)

        assert [listing.refs for listing in await news(feed)] == [tuple(people)]
        assert feed.lost == 3


async def test_readers_outside_are_told_when_the_system_closes(autojump_clock: trio.testing.MockClock) -> None:
    """S8, A10: tasks outside of a system that read of or wait for its actors see them go, and then the end."""
    seen: list[object] = []

    async def read() -> None:
        seen.extend([[ref.path for ref in listing.refs] async for listing in feed])
        seen.append("end of the feed")

    async def wait() -> None:
        with pytest.raises(histrio.ActorStopped, match="system 'histrio' is closed") as caught:
            await absent
        assert caught.value.path == "/"

    async with trio.open_nursery() as nursery:  # noqa: SIM117 - what reads is outside of the system
        async with histrio.open_system() as system:
            people = await spawn_people(system, "ab")
            for ref in people:
                system.registry.register(PERSON, ref)
            feed, absent = system.registry.subscribe(PERSON), system.registry.wait(OTHER)
            nursery.start_soon(read)
            nursery.start_soon(wait)
            await trio.sleep(1)

    assert seen == [["/a", "/b"], ["/a"], [], "end of the feed"]


async def test_the_registry_of_a_closed_system() -> None:
    """S8: of a closed system nothing is found, nobody is waited for, and feeds are over at once."""
    async with histrio.open_system() as system:
        (ref,) = await spawn_people(system, "a")
        system.registry.register(PERSON, ref)
    async with histrio.open_system() as unused:
        pass
    for registry in (system.registry, unused.registry):
        assert registry.find(PERSON) is None
        with pytest.raises(histrio.ActorStopped):
            await registry.wait(PERSON)
        assert [listing async for listing in registry.subscribe(PERSON)] == []
    with pytest.raises(histrio.ActorStopped, match="/a has ended"):
        system.registry.register(PERSON, ref)


async def test_readers_that_forget_themselves_are_no_leak() -> None:
    """S8: feeds and waits that nobody has any more do not add up, nor do their keys."""
    async with histrio.open_system() as system:
        for number in range(1000):
            key = Key[str](f"key {number}")
            system.registry.subscribe(key)
            system.registry.wait(key)
            system.registry.wait(PERSON)
        gc.collect()
        system.registry.subscribe(OTHER)

        assert len(system.registry._places) <= 40
        assert len(system.registry._places["person"].waits._known) <= 40
