"""S8: what is published reaches every subscriber in the order of publishing, and whoever has gone is forgotten."""

import weakref
from typing import Any, cast

import attrs
import pytest
import trio
import trio.testing
from tests.actors.patterns.people import Name, Person, Say, Small, end, news, settle, spawn_people

import histrio
from histrio import Lag, Ref, Topic
from histrio_kernel.bounds import bound


@attrs.frozen
class Shout(Say):
    """A subtype is published where its base is."""


async def listeners(system: histrio.System, topic: Topic[Say], names: str) -> dict[str, list[str]]:
    """Subscribe one actor for each letter; what each hears."""
    heard: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        topic.subscribe(await system.spawn(Person, heard[name], name=name))
    return heard


# -- publishing --------------------------------------------------------------------------------------------------------


async def test_everybody_gets_what_is_published() -> None:
    """S8: actors through their inboxes and tasks through feeds, each in the order of publishing."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        heard = await listeners(system, topic, "ab")
        feed = topic.subscribe()
        await topic.publish(Say("one"))
        topic.publish_nowait(Shout("two"))
        await topic.publish(Say("three"))
        await settle()

        assert heard == {"a": ["one", "two", "three"], "b": ["one", "two", "three"]}
        assert await news(feed) == [Say("one"), Shout("two"), Say("three")]


async def test_a_topic_without_subscribers_takes_everything() -> None:
    """S8: what is published to nobody is gone; who subscribes later gets only what comes later."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        topic.publish_nowait(Say("early"))
        heard = await listeners(system, topic, "a")
        feed = topic.subscribe()
        await topic.publish(Say("late"))
        await settle()

        assert heard == {"a": ["late"]}
        assert await news(feed) == [Say("late")]


async def test_topics_of_one_name_are_two() -> None:
    """S8: there are no globals: a topic is the object that its users were given, not a name."""
    async with histrio.open_system() as system:
        one, two = Topic[Say](system, "news"), Topic[Say](system, "news")
        heard = await listeners(system, one, "a")
        await two.publish(Say("elsewhere"))
        await settle()

        assert heard == {"a": []}
        assert repr(one) == "<Topic 'news': 1 actors, 0 feeds>"


async def test_a_message_that_somebody_does_not_take_reaches_nobody() -> None:
    """S8, A16: the types of all subscribers are checked before anybody gets the message."""

    class Words(histrio.Actor[str]):
        pass

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        heard = await listeners(system, topic, "ab")
        topic.subscribe(cast(Ref[Say], await system.spawn(Words, name="words")))
        with pytest.raises(TypeError, match="topic 'news' to /words: it takes str, not Say; nothing was delivered"):
            topic.publish_nowait(Say("one"))
        with pytest.raises(TypeError, match="it takes str, not Say"):
            await topic.publish(Say("two"))
        await settle()

        assert heard == {"a": [], "b": []}


async def test_a_subscribed_actor_may_publish() -> None:
    """S8: a publisher that is subscribed hears itself, in order with the others."""

    class Echo(histrio.Actor[Say]):
        async def receive(self, message: Say) -> None:
            heard.append(message.word)
            if len(message.word) < 3:
                await topic.publish(Say(message.word + "!"))

    heard: list[str] = []
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        topic.subscribe(await system.spawn(Echo))
        await topic.publish(Say("a"))
        await topic.publish(Say("b"))
        await settle()

    assert heard == ["a", "b", "a!", "b!", "a!!", "b!!"]


async def test_publishing_is_a_checkpoint_as_telling_is() -> None:
    """S8, A8: a publication counts as one message more than it has subscribers; the 64th message is a checkpoint."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        await listeners(system, topic, "abc")
        system.engine.pace.restart()
        for _ in range(bound("pace_max") // 4 - 1):
            with trio.testing.assert_no_checkpoints():
                await topic.publish(Say("x"))
        with trio.testing.assert_checkpoints():
            await topic.publish(Say("x"))


async def test_a_publication_cancelled_at_once_reaches_nobody() -> None:
    """S8: a cancelled publisher that has come to its checkpoint has delivered nothing."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        heard = await listeners(system, topic, "a")
        published = 0
        with trio.CancelScope() as scope:
            scope.cancel()
            for _ in range(bound("pace_max")):
                await topic.publish(Say("x"))
                published += 1
        assert scope.cancelled_caught
        await settle()

        assert len(heard["a"]) == published < bound("pace_max")


# -- subscribing -------------------------------------------------------------------------------------------------------


async def test_subscribing_again_changes_nothing() -> None:
    """S8: an actor is subscribed once, however often it says so; another lag has to be asked for anew."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        (ref,) = await spawn_people(system, "a")
        first = topic.subscribe(ref, lag=Lag.DROP_NEW)
        assert topic.subscribe(ref, lag=Lag.DROP_NEW) is first
        with pytest.raises(ValueError, match=r"/a is subscribed to topic 'news' with Lag.DROP_NEW .* unsubscribe"):
            topic.subscribe(ref)
        topic.unsubscribe(ref)
        topic.unsubscribe(ref)
        second = topic.subscribe(ref)

        assert (first.is_over, second.is_over) == (True, False)
        assert topic.subscriptions == (second,)


async def test_a_subscription_ends_with_its_block() -> None:
    """S8: subscriptions of actors and feeds are context managers; what they end is forgotten."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        heard: list[str] = []
        ref = await system.spawn(Person, heard, name="a")
        async with topic.subscribe(lag=Lag.DROP_OLD) as feed:
            with topic.subscribe(ref) as subscription:
                assert repr(subscription) == "<Subscription of /a to 'news': wait, 0 kept, 0 lost>"
                await topic.publish(Say("one"))
            await topic.publish(Say("two"))
            assert await news(feed) == [Say("one"), Say("two")]
        await topic.publish(Say("three"))
        await settle()

        assert heard == ["one"]
        assert repr(subscription) == "<Subscription of /a to 'news': over>"
        assert repr(topic) == "<Topic 'news': 0 actors, 0 feeds>"
        gone = weakref.ref(subscription)
        del subscription
        assert gone() is None  # nothing of it waits for the actor's end
        cell = system.find_cell(ref.path, ref._inbox)
        assert cell is not None
        assert cell.over()._waiters() == ()


async def test_who_cannot_subscribe_is_told_why() -> None:
    """S8: ended actors, actors of other systems, things that are no refs and impossible policies are errors."""
    async with histrio.open_system() as system, histrio.open_system("other") as other:
        topic = Topic[Say](system, "news")
        a, ended = await spawn_people(system, "ae")
        (foreign,) = await spawn_people(other, "f")
        await end(ended)
        with pytest.raises(histrio.ActorStopped, match=r"/e has ended: killed .*cannot subscribe to topic 'news'"):
            topic.subscribe(ended)
        with pytest.raises(
            ValueError, match="/f is an actor of system 'other', not of system 'histrio'; it cannot sub"
        ):
            topic.subscribe(foreign)
        with pytest.raises(TypeError, match="is no ref; it cannot subscribe to topic 'news'"):
            topic.subscribe(cast("Ref[Say]", topic))
        with pytest.raises(ValueError, match="feed_max is 0"):
            topic.subscribe(a, lag=Lag.DROP_OLD, feed_max=0)
        with pytest.raises(ValueError, match=r"topic 'news': Lag.WAIT is not for feeds"):
            topic.subscribe(lag=cast(Any, Lag.WAIT))

        assert topic.subscriptions == ()


# -- ends --------------------------------------------------------------------------------------------------------------


async def test_a_subscriber_that_ends_is_forgotten() -> None:
    """S8: when an actor has ended nothing of it stays with the topic, and the others go on."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        heard = await listeners(system, topic, "ab")
        gone = weakref.ref(topic.subscriptions[0])
        await end(topic.subscriptions[0].ref)
        await topic.publish(Say("one"))
        await settle()

        assert heard == {"a": [], "b": ["one"]}
        assert [each.ref.path for each in topic.subscriptions] == ["/b"]
        assert gone() is None


async def test_a_subscriber_that_stops_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    """S8: to an actor that drains nothing is delivered, and the publisher does not hear of it."""

    class Slow(histrio.Actor[Say]):
        async def receive(self, message: Say) -> None:
            await self.io(trio.sleep, 1)

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        heard = await listeners(system, topic, "a")
        slow = await system.spawn(Slow)
        subscription = topic.subscribe(slow)
        await topic.publish(Say("one"))
        slow.control.stop()
        await topic.publish(Say("two"))
        assert (subscription.lost, subscription.is_over) == (1, False)
        await slow.join()

        assert subscription.is_over
        assert heard == {"a": ["one", "two"]}


async def test_a_restart_does_not_end_a_subscription() -> None:
    """S8, S3: an actor that is started again is still subscribed, and may subscribe again in `started()`."""

    class Subscribes(Person):
        async def started(self) -> None:
            topic.subscribe(self.ref, lag=Lag.DROP_OLD)

    heard: list[str] = []
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        spec = histrio.child("a", Subscribes, heard)
        supervisor = await system.spawn(histrio.Supervisor, spec)
        for word in ("one", "fail", "two"):
            await topic.publish(Say(word))
            await settle()
        supervisor.child(spec).control.stop()
        await settle()
        await topic.publish(Say("three"))
        await settle()
        assert len(topic.subscriptions) == 1

        assert heard == ["one", "fail", "two", "three"]
        await end(cast("Ref[Say]", supervisor))
        assert not topic.subscriptions


# -- the end of the topic ----------------------------------------------------------------------------------------------


async def test_a_closed_topic_takes_nothing_and_loses_nothing() -> None:
    """S8: closing ends feeds behind what they keep, and every use of the topic after it is an error that says so."""
    async with histrio.open_system() as system:
        (ref,) = await spawn_people(system, "a")
        with Topic[Say](system, "news") as topic:
            subscription, feed = topic.subscribe(ref), topic.subscribe()
            await topic.publish(Say("last"))
        topic.close()

        assert [message async for message in feed] == [Say("last")]
        assert subscription.is_over
        assert system.engine.closing == {}
        for use in (lambda: topic.publish_nowait(Say("x")), lambda: topic.subscribe(ref), topic.subscribe):
            with pytest.raises(trio.ClosedResourceError, match="topic 'news' is closed"):
                use()
        with pytest.raises(trio.ClosedResourceError):
            await topic.publish(Say("x"))


async def test_readers_outside_are_told_when_the_system_closes(autojump_clock: trio.testing.MockClock) -> None:
    """S8, A10: a feed that a task outside of the system reads ends when the system has closed."""
    seen: list[str] = []

    async def read() -> None:
        seen.extend([message.word async for message in feed])
        seen.append("end")

    async with trio.open_nursery() as nursery:  # noqa: SIM117 - what reads is outside of the system
        async with histrio.open_system() as system:
            topic = Topic[Say](system, "news")
            feed = topic.subscribe()
            nursery.start_soon(read)
            await topic.publish(Say("one"))
            await trio.sleep(1)
    assert seen == ["one", "end"]
    with pytest.raises(trio.ClosedResourceError):
        topic.publish_nowait(Say("two"))
    with pytest.raises(trio.ClosedResourceError):
        Topic[Say](system, "late").subscribe()


async def test_a_feed_that_nobody_has_is_no_leak() -> None:
    """S8: a reader that forgets to close its feed is forgotten, as is the feed."""
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        for _ in range(10):
            topic.subscribe()
        assert repr(topic) == "<Topic 'news': 0 actors, 0 feeds>"


async def test_who_hears_of_a_publication_may_unsubscribe_others() -> None:
    """S8, J1: a signal reader that unsubscribes an actor in the midst of a publication keeps the message from it."""

    def read(signal: histrio.Signal) -> None:
        if signal.kind is histrio.Kind.BACKOFF:
            topic.unsubscribe(quick)

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        slow = await system.spawn(Small, name="slow")
        quick = await system.spawn(Person, heard := list[str](), name="quick")
        await slow.control.pause()
        topic.subscribe(slow, lag=Lag.DROP_NEW)
        topic.subscribe(quick)
        system.listen(read)
        for word in "1234":
            topic.publish_nowait(Say(word))
        await settle()

        assert heard == ["1", "2"]
        assert [each.ref.path for each in topic.subscriptions] == ["/slow"]


async def test_publishing_is_heard_as_signals() -> None:
    """S8, J1: a handler's publication is a SEND of its actor for each actor that it goes to."""

    class Publishes(histrio.Actor[Name]):
        async def receive(self, message: Name) -> None:
            await topic.publish(Say("one"))

    signals: list[histrio.Signal] = []
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        heard = await listeners(system, topic, "ab")
        publisher = await system.spawn(Publishes, name="p")
        system.listen(signals.append)
        await publisher.tell(Name())
        await settle()

    sends = [signal.detail for signal in signals if (signal.kind, signal.path) == (histrio.Kind.SEND, "/p")]
    assert sends == [("/a", Say("one")), ("/b", Say("one"))]
    assert heard == {"a": ["one"], "b": ["one"]}
