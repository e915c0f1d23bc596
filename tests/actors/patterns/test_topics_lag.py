"""S8: what becomes of messages for which a subscriber has no room, it says itself; the others do not notice."""

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from tests.actors.patterns.people import Name, Person, Say, Small, end, settle
from tests.kernel.works import under_all_schedules

import histrio
from histrio import Lag, Ref, Topic

WORDS: Final = ("1", "2", "3", "4", "5", "6")


async def paused(
    system: histrio.System, name: str, heard: list[str], cls: Callable[[list[str]], Small] = Small
) -> Ref[Say | Name]:
    """An actor with room for two that handles nothing before it is resumed."""
    ref = await system.spawn(cls, heard, name=name)
    await ref.control.pause()
    return ref


@attrs.frozen
class Scene:
    """A topic with an actor that is paused, one that listens, and what both hear."""

    system: histrio.System
    topic: Topic[Say]
    slow: Ref[Say | Name]
    slow_heard: list[str]
    quick_heard: list[str]


async def set_up(system: histrio.System) -> Scene:
    """Only the one that listens is subscribed."""
    scene = Scene(
        system, Topic[Say](system, "news"), await paused(system, "slow", slow_heard := list[str]()), slow_heard, []
    )
    scene.topic.subscribe(await system.spawn(Person, scene.quick_heard, name="quick"))
    return scene


async def publish(topic: Topic[Say], words: str) -> None:
    """One message for each letter."""
    for word in words:
        await topic.publish(Say(word))


# -- each policy -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag", "feed_max", "heard", "kept", "lost"),
    [
        (Lag.DROP_NEW, 2, ["1", "2"], 0, 4),
        (Lag.DROP_OLD, 3, ["1", "2", "4", "5", "6"], 3, 1),
        (Lag.DROP_OLD, 1, ["1", "2", "6"], 1, 3),
        (Lag.LATEST, 3, ["1", "2", "6"], 1, 3),
        (Lag.FAIL, 3, ["1", "2"], 0, 1),
    ],
)
async def test_a_slow_actor_gets_what_its_lag_says(
    lag: Lag, feed_max: int, heard: list[str], kept: int, lost: int
) -> None:
    """S8: six messages, room for two: each policy keeps what it names, nobody waits, and the others get all."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        subscription = scene.topic.subscribe(scene.slow, lag=lag, feed_max=feed_max)
        await publish(scene.topic, "123456")
        await settle()
        assert (subscription.kept, subscription.lost, subscription.is_over) == (kept, lost, lag is Lag.FAIL)
        assert scene.quick_heard == [*WORDS]
        scene.slow.control.resume()
        await settle()
        assert scene.slow_heard == heard
        assert subscription.kept == 0
        await publish(scene.topic, "7")  # it has caught up
        await settle()

    assert scene.slow_heard == (heard if lag is Lag.FAIL else [*heard, "7"])


async def test_who_fails_by_its_lag_is_reported() -> None:
    """S8: with `FAIL` an actor that has no room is unsubscribed, and a report says so."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        scene.topic.subscribe(scene.slow, lag=Lag.FAIL)
        await publish(scene.topic, "1234")
        (report,) = system.reports

        assert isinstance(report, histrio.Unsubscribed)
        assert (report.path, report.topic) == ("/slow", "news")
        assert str(report).startswith("/slow was unsubscribed from topic 'news': 2 messages wait in its inbox")
        assert [each.ref.path for each in scene.topic.subscriptions] == ["/quick"]


async def test_who_hears_of_a_failure_may_publish() -> None:
    """S8: what `on_report` publishes comes behind the message that caused the report, for everybody."""

    def on_report(_: histrio.HistrioError) -> None:
        topics[0].publish_nowait(Say("somebody was slow"))

    topics: list[Topic[Say]] = []
    async with histrio.open_system(on_report=on_report) as system:
        scene = await set_up(system)
        topics.append(scene.topic)
        last = await paused(system, "last", last_heard := list[str]())
        for ref, lag in ((scene.slow, Lag.FAIL), (last, Lag.DROP_OLD)):
            scene.topic.subscribe(ref, lag=lag)
        await publish(scene.topic, "123")
        last.control.resume()
        await settle()

    assert scene.quick_heard == last_heard == ["1", "2", "3", "somebody was slow"]


# -- waiting -----------------------------------------------------------------------------------------------------------


async def test_a_publisher_waits_for_who_wants_all(autojump_clock: trio.testing.MockClock) -> None:
    """S8: with `WAIT` the publisher waits, when all others have the message, until there is room."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        scene = await set_up(system)
        scene.topic.subscribe(scene.slow)
        nursery.start_soon(publish, scene.topic, "123456")
        await settle()
        assert scene.quick_heard == ["1", "2", "3"]
        await scene.slow.control.step()
        await settle()
        assert (scene.slow_heard, scene.quick_heard) == (["1"], ["1", "2", "3", "4"])
        scene.slow.control.resume()
        await settle()

    assert scene.slow_heard == scene.quick_heard == [*WORDS]


async def test_publishing_without_waiting_is_refused_by_who_wants_all() -> None:
    """S8: `publish_nowait` raises `InboxFull` if somebody would have to be waited for, and nobody got the message."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        scene.topic.subscribe(scene.slow)
        for word in "12":
            scene.topic.publish_nowait(Say(word))
        with pytest.raises(histrio.InboxFull, match=r"topic 'news': 2 messages wait in the inbox of /slow, which is"):
            scene.topic.publish_nowait(Say("3"))
        await settle()
        assert scene.quick_heard == ["1", "2"]
        await scene.slow.control.step()
        scene.topic.publish_nowait(Say("4"))
        scene.slow.control.resume()
        await settle()

    assert scene.slow_heard == scene.quick_heard == ["1", "2", "4"]


def test_one_order_for_all() -> None:
    """S8: publishers that wait keep the order of publishing for every subscriber, in every schedule."""

    async def program() -> list[list[str]]:
        heard: list[list[str]] = [[], [], []]

        async def publish_two(one: str, two: str) -> None:
            await topic.publish(Say(one))
            await topic.publish(Say(two))

        async def let_go(ref: Ref[Say | Name], after_s: float) -> None:
            await trio.sleep(after_s)
            ref.control.resume()

        async with histrio.open_system() as system, trio.open_nursery() as nursery:
            topic = Topic[Say](system, "news")
            for number, mine in enumerate(heard):
                ref = await paused(system, f"s{number}", mine)
                topic.subscribe(ref)
                nursery.start_soon(let_go, ref, 1 + number % 2)
            for word in "abcd":
                nursery.start_soon(publish_two, word, word.upper())
        return heard

    for heard in under_all_schedules(program):
        assert heard[0] == heard[1] == heard[2]
        assert sorted(heard[0]) == sorted("abcdABCD")
        assert all(heard[0].index(word) < heard[0].index(word.upper()) for word in "abcd")


async def test_a_cancelled_publication_is_withdrawn_where_it_waits(autojump_clock: trio.testing.MockClock) -> None:
    """S8: cancelled half-way, it stays with those that had room, and those that it waited for do not get it."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        other = await paused(system, "other", other_heard := list[str]())
        for ref in (scene.slow, other):
            scene.topic.subscribe(ref)
        await publish(scene.topic, "12")
        with trio.move_on_after(1) as scope:
            await scene.topic.publish(Say("cancelled"))
        assert scope.cancelled_caught
        for ref in (scene.slow, other):
            ref.control.resume()
        await publish(scene.topic, "3")
        await settle()

        assert scene.quick_heard == ["1", "2", "cancelled", "3"]
        assert scene.slow_heard == other_heard == ["1", "2", "3"]


async def test_a_cancellation_keeps_what_has_been_let_in(autojump_clock: trio.testing.MockClock) -> None:
    """S8: of two that are waited for, the one that made room before the cancellation has the message."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        other = await paused(system, "other", other_heard := list[str]())
        for ref in (scene.slow, other):
            scene.topic.subscribe(ref)
        await publish(scene.topic, "12")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, scene.topic, "3")
            await settle()
            await other.control.step()
            await settle()
            nursery.cancel_scope.cancel()
        for ref in (scene.slow, other):
            ref.control.resume()
        await settle()

        assert (scene.slow_heard, other_heard) == (["1", "2"], ["1", "2", "3"])


@pytest.mark.parametrize("way", ["kill", "stop", "unsubscribe", "close"])
async def test_a_publisher_is_freed_from_who_goes(way: str, autojump_clock: trio.testing.MockClock) -> None:
    """S8: when the subscriber that is waited for ends or unsubscribes, the publisher goes on, and nothing is raised."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        subscription = scene.topic.subscribe(scene.slow)

        async def leave() -> None:
            await settle()
            match way:
                case "kill":
                    await end(scene.slow)
                case "stop":
                    scene.slow.control.stop()
                case "unsubscribe":
                    scene.topic.unsubscribe(scene.slow)
                case _:
                    subscription.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            await publish(scene.topic, "12345")
        await settle()

        assert subscription.is_over
        assert scene.quick_heard == ["1", "2", "3", "4", "5"]
        if way == "stop":
            assert scene.slow_heard == ["1", "2"]


async def test_who_subscribes_while_a_publisher_waits_gets_the_next(autojump_clock: trio.testing.MockClock) -> None:
    """S8: a message goes to those that are subscribed when it is published."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        scene = await set_up(system)
        scene.topic.subscribe(scene.slow)
        nursery.start_soon(publish, scene.topic, "1234")
        await settle()
        late = await system.spawn(Person, late_heard := list[str](), name="late")
        scene.topic.subscribe(late)
        feed = scene.topic.subscribe()
        scene.slow.control.resume()
        await settle()

        assert late_heard == ["4"]
        assert [await feed.next() for _ in range(feed.kept)] == [Say("4")]


async def test_a_handler_that_waits_for_a_subscriber_gives_the_turn_away() -> None:
    """S8, A2: an actor whose publication waits, for itself too, goes on with its messages."""

    class Publisher(Small):
        async def receive(self, message: Say | Name) -> object:
            if isinstance(message, Name):
                await topic.publish(Say("published"))
                return "done"
            return await super().receive(message)

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        publisher = await paused(system, "p", heard := list[str](), Publisher)
        topic.subscribe(publisher)
        answer = publisher.ask(Name())
        publisher.tell_nowait(Say("mine"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publisher.tell, Say("more"))  # stands in line, so the inbox is full when it publishes
            await settle()
            publisher.control.resume()

        assert await answer == "done"
        await settle()
        assert heard == ["mine", "more", "published"]


async def test_a_serial_actor_cannot_wait_for_itself() -> None:
    """S8, A6: a serial actor whose own full inbox would be waited for gets `AskCycle`; the others have the message."""

    class Serial(Small):
        serial = True

        async def receive(self, message: Say | Name) -> object:
            if isinstance(message, Name):
                for word in "12":
                    self.ref.tell_nowait(Say(word))
                try:
                    await scene.topic.publish(Say("3"))
                except histrio.AskCycle as error:
                    return str(error)
            return await super().receive(message)

    async with histrio.open_system() as system:
        scene = await set_up(system)
        serial = await system.spawn(Serial, heard := list[str]())
        scene.topic.subscribe(serial)
        assert "is serial" in str(await serial.ask(Name()))
        await settle()

        assert (heard, scene.quick_heard) == (["1", "2"], ["3"])


# -- what is kept ------------------------------------------------------------------------------------------------------


async def test_what_was_kept_for_one_that_ends_is_a_dead_letter() -> None:
    """S8, A10: messages that a topic kept for an actor are not lost silently when it ends."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        scene.topic.subscribe(scene.slow, lag=Lag.DROP_OLD)
        await publish(scene.topic, "1234")
        await end(scene.slow)

        letters = {letter.message: letter.why for letter in system.dead_letters}
        assert set(letters) == {*map(Say, "1234")}
        assert letters[Say("4")] == "kept by topic 'news': its subscriber stopped before it had room for it"


async def test_a_closed_topic_still_delivers_what_it_kept() -> None:
    """S8: closing a topic loses nothing that was published; unsubscribing gives up what was kept."""
    async with histrio.open_system() as system:
        scene = await set_up(system)
        gone = await paused(system, "gone", gone_heard := list[str]())
        for ref in (scene.slow, gone):
            scene.topic.subscribe(ref, lag=Lag.DROP_OLD)
        await publish(scene.topic, "1234")
        scene.topic.unsubscribe(gone)
        scene.topic.close()
        for ref in (scene.slow, gone):
            ref.control.resume()
        await settle()

        assert (scene.slow_heard, gone_heard) == (["1", "2", "3", "4"], ["1", "2"])
        assert system.dead_letters.count == 0


async def test_an_actor_that_drops_has_room_always() -> None:
    """S8, A11: an actor's own overflow policy comes first; then there is nothing left for its lag to decide."""

    class Drops(Small):
        overflow = histrio.DROP_OLD

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        drops = await paused(system, "drops", heard := list[str](), Drops)
        subscription = topic.subscribe(drops)
        for word in WORDS:
            topic.publish_nowait(Say(word))
        drops.control.resume()
        await settle()

        assert heard == ["5", "6"]
        assert subscription.lost == 0


async def test_what_is_kept_is_overtaken_in_an_inbox_that_wants_the_latest() -> None:
    """S8, A11: what an actor with `LATEST(key)` has not begun is overtaken by what the topic kept for it."""

    class Board(Small):
        overflow = histrio.LATEST(lambda message: str(message)[-4])

    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        board = await paused(system, "board", heard := list[str](), Board)
        subscription = topic.subscribe(board, lag=Lag.DROP_OLD)
        for word in ("a1", "b1", "c1", "a2", "c2", "d1"):
            topic.publish_nowait(Say(word))
        assert subscription.kept >= 1
        board.control.resume()
        await settle()

        assert heard == ["a2", "b1", "c2", "d1"]


async def test_drops_are_heard_as_signals() -> None:
    """S8, J1: each message that a subscriber loses is a DROP of its path, and a full inbox a BACKOFF."""
    signals: list[histrio.Signal] = []
    async with histrio.open_system() as system:
        scene = await set_up(system)
        scene.topic.subscribe(scene.slow, lag=Lag.LATEST)
        system.listen(signals.append)
        await publish(scene.topic, "123456")
        scene.slow.control.resume()
        await settle()

    drops = [signal.detail for signal in signals if signal.kind is histrio.Kind.DROP]
    assert drops == [Say("3"), Say("4"), Say("5")]
    assert histrio.Kind.BACKOFF in {signal.kind for signal in signals}
    assert scene.slow_heard == ["1", "2", "6"]


# -- a model -----------------------------------------------------------------------------------------------------------


@attrs.define
class Model:
    """What a subscriber with room for two hears, by its lag alone."""

    lag: Lag
    feed_max: int
    room: int = 2
    inbox: deque[str] = attrs.field(factory=deque)
    kept: deque[str] = attrs.field(factory=deque)
    heard: list[str] = attrs.field(factory=list)
    over: bool = False

    def publish(self, word: str) -> None:
        if self.over:
            return
        if len(self.inbox) < self.room:
            self.inbox.append(word)
        elif self.lag is Lag.FAIL:
            self.over = True
        elif self.lag is not Lag.DROP_NEW:
            self.kept.append(word)
            if self.lag is not Lag.WAIT and len(self.kept) > self.feed_max:
                self.kept.popleft()

    def handle(self, count: int) -> None:
        for _ in range(count):
            if self.inbox:
                self.heard.append(self.inbox.popleft())
            if self.kept:
                self.inbox.append(self.kept.popleft())


LAGS: Final = tuple((lag, feed_max) for lag in Lag for feed_max in ((1, 3) if lag is Lag.DROP_OLD else (1,)))
STEPS: Final = st.lists(
    st.one_of(st.just(("publish", 0)), st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(1, 3))), max_size=30
)


@given(STEPS, st.lists(st.sampled_from(LAGS), min_size=3, max_size=3), st.booleans())
def test_any_order_of_publishing_and_handling(
    steps: list[tuple[str, int]], lags: list[tuple[Lag, int]], heard_signals: bool
) -> None:
    """S8: three subscribers of any lag, at any pace: each hears exactly what its model hears, whatever the others do."""

    async def program() -> None:
        async with histrio.open_system() as system, trio.open_nursery() as nursery:
            topic = Topic[Say](system, "news")
            models = {name: Model(lag, feed_max) for name, (lag, feed_max) in zip("abc", lags, strict=True)}
            heard: dict[str, list[str]] = {name: [] for name in models}
            refs = {name: await paused(system, name, heard[name]) for name in models}
            if heard_signals:
                system.listen(lambda _: None)
            for name, model in models.items():
                topic.subscribe(refs[name], lag=model.lag, feed_max=model.feed_max)
            for number, (who, count) in enumerate(steps):
                if who == "publish":
                    nursery.start_soon(topic.publish, Say(str(number)))
                    for model in models.values():
                        model.publish(str(number))
                else:
                    for _ in range(min(count, len(models[who].inbox))):
                        await refs[who].control.step()
                        models[who].handle(1)
                await settle()
                assert heard == {name: model.heard for name, model in models.items()}
            for ref in refs.values():
                ref.control.resume()
            await settle()
            for model in models.values():
                model.handle(1000)
            assert heard == {name: model.heard for name, model in models.items()}

    trio.run(program)
