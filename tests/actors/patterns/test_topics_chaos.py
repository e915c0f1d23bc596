"""S8: subscribers that are paused, fail, stop and start again, publishers that are cancelled: order holds, nobody is stuck."""

from collections.abc import Callable

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.patterns.people import Name, Say, Small, settle

import histrio
from histrio import Lag, Ref, Topic
from histrio_kernel.futures import Waiter

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish", "publish", "publish", "pause", "resume", "fail", "kill", "stop", "cancel"]),
        st.integers(0, 2),
    ),
    max_size=40,
)
LAGS = st.lists(st.sampled_from(Lag), min_size=3, max_size=3)
STRATEGIES = st.sampled_from([histrio.ONE_FOR_ONE, histrio.ONE_FOR_ALL])


class Reaction(Waiter):
    """Runs a function among those who are told of an outcome, so that what it settles is told after it."""

    is_leaf = False

    def __init__(self, function: Callable[[], None]) -> None:
        self.function = function

    def settled(self, future: histrio.Future[object]) -> None:
        self.function()


async def test_what_is_kept_is_let_in_once_when_it_is_told_late() -> None:
    """S8, F1: a publication between the moment when kept mail is let in and the telling of it neither loses nor repeats."""

    def make_room_and_publish() -> None:
        for ask in asks:
            ask.cancel()  # each makes room, which kept mail takes
            topic.publish_nowait(Say(f"after {asks.index(ask)}"))

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        small = await system.spawn(Small, heard := list[str]())
        await small.control.pause()
        topic.subscribe(small, lag=Lag.DROP_OLD)
        asks = [small.ask(Name()) for _ in range(2)]
        for word in "12":
            topic.publish_nowait(Say(word))
        done: histrio.Promise[None] = histrio.Promise(system.engine)
        done._attach(Reaction(make_room_and_publish))
        done.set(None)
        small.control.resume()
        await settle()

    assert heard == ["1", "2", "after 0", "after 1"]


@pytest.mark.parametrize("lag", [Lag.DROP_OLD, Lag.LATEST, Lag.DROP_NEW])
async def test_who_hears_of_a_full_inbox_may_publish(lag: Lag) -> None:
    """S8, J1: what a signal reader publishes when an inbox is full comes behind, and nothing comes twice."""

    def read(signal: histrio.Signal) -> None:
        if signal.kind is histrio.Kind.BACKOFF and len(more) < 2:
            more.append("more")
            topic.publish_nowait(Say(f"more {len(more)}"))

    more: list[str] = []
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        small = await system.spawn(Small, heard := list[str]())
        await small.control.pause()
        topic.subscribe(small, lag=lag, feed_max=10)
        system.listen(read)
        for word in "1234":
            topic.publish_nowait(Say(word))
        small.control.resume()
        await settle()

    everything = {*"1234", "more 1", "more 2"}
    assert heard[:2] == ["1", "2"]
    assert len(heard) == len(set(heard)) == {Lag.DROP_OLD: 6, Lag.LATEST: 3, Lag.DROP_NEW: 2}[lag]
    assert set(heard) <= everything


@pytest.mark.parametrize("lag", Lag)
async def test_who_hears_of_a_full_inbox_may_unsubscribe_it(lag: Lag) -> None:
    """S8, J1: a signal reader that unsubscribes the actor with the full inbox frees the publisher, for good."""

    def read(signal: histrio.Signal) -> None:
        if signal.kind is histrio.Kind.BACKOFF:
            topic.unsubscribe(small)

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        small = await system.spawn(Small, heard := list[str]())
        await small.control.pause()
        subscription = topic.subscribe(small, lag=lag, feed_max=10)
        system.listen(read)
        for word in "1234":
            await topic.publish(Say(word))
        assert (subscription.is_over, subscription.kept, small._inbox.standing) == (True, 0, 0)
        small.control.resume()
        await settle()

        assert heard == ["1", "2"]
        assert system.reports == ()


@attrs.define
class World:
    """A topic, three actors that a supervisor starts again, and the publishers."""

    topic: Topic[Say]
    lags: list[Lag]
    heard: list[list[str]] = attrs.field(factory=lambda: [[], [], []])
    refs: list[Ref[Say | Name]] = attrs.field(factory=list)
    publishers: list[trio.CancelScope] = attrs.field(factory=list)
    published: int = 0
    disturbed: bool = False

    async def publish(self) -> None:
        """One more message, whose word is its number; `fail` is for nobody's numbers."""
        number, self.published = self.published, self.published + 1
        with trio.CancelScope() as scope:
            self.publishers.append(scope)
            await self.topic.publish(Say(f"{number:03}"))

    def disturb(self, step: str, which: int) -> None:
        """Do something to one of the actors, or to one of the publishers."""
        control = self.refs[which].control
        match step:
            case "pause":
                control.pause()
            case "resume":
                control.resume()
            case "cancel":
                for scope in self.publishers[which::3]:
                    scope.cancel()
            case "fail":
                self.refs[which].tell_nowait(Say("fail"))
            case "kill":
                control.kill()
            case _:
                control.stop()
        self.disturbed = self.disturbed or step in ("fail", "kill", "stop", "cancel")


async def open_world(system: histrio.System, lags: list[Lag], strategy: histrio.Strategy) -> World:
    """Each actor subscribes when it starts, and whenever it starts again."""

    class Subscriber(Small):
        def __init__(self, number: int) -> None:
            super().__init__(world.heard[number])
            self.number = number

        async def started(self) -> None:
            if not any(each.ref == self.ref for each in world.topic.subscriptions):
                world.topic.subscribe(self.ref, lag=world.lags[self.number], feed_max=2)

    world = World(Topic[Say](system, "news"), lags)
    specs = [histrio.child(f"s{number}", Subscriber, number) for number in range(3)]
    family = histrio.child("family", histrio.Supervisor, *specs, strategy=strategy, restarts_max=1000, window_s=1)
    supervisor = await system.spawn(family)
    world.refs = [supervisor.child(spec) for spec in specs]
    return world


async def play(world: World, steps: list[tuple[str, int]]) -> None:
    """Do the steps, let all go on, and wait for the publishers."""
    async with trio.open_nursery() as nursery:
        for step, which in steps:
            if step == "publish":
                nursery.start_soon(world.publish)
            else:
                try:
                    world.disturb(step, which)
                except (histrio.InboxFull, histrio.ActorStopped):
                    continue  # a full or stopping actor cannot be told to fail
            await settle()
        for ref in world.refs:
            ref.control.resume()
    await settle()


@given(STEPS, LAGS, STRATEGIES)
def test_order_holds_whatever_happens(
    steps: list[tuple[str, int]], lags: list[Lag], strategy: histrio.Strategy
) -> None:
    """S8, S3: each subscriber hears in the order of publishing, nothing twice; in the end no publisher waits."""

    async def program() -> None:
        async with histrio.open_system() as system:
            world = await open_world(system, lags, strategy)
            with trio.fail_after(1000):
                await play(world, steps)
            assert not any(ref._inbox.standing for ref in world.refs)
            assert all(each.kept == 0 for each in world.topic.subscriptions)
            for heard, lag in zip(world.heard, lags, strict=True):
                numbers = [word for word in heard if word != "fail"]
                assert numbers == sorted(set(numbers))
                if lag is Lag.WAIT and not world.disturbed:
                    assert numbers == [f"{number:03}" for number in range(world.published)]

    trio.run(program, clock=trio.testing.MockClock(autojump_threshold=0))
