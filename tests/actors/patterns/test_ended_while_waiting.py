"""S8, S3: a handler that waits in a topic, a router, a feed or the registry is ended with its actor, and does not go on."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import attrs
import pytest
from tests.actors.patterns.people import PERSON, Say, Small, settle

import histrio
from histrio import Broadcast, RoundRobin, Topic


@attrs.frozen
class Wait:
    """Wait in the pattern, in a handler."""


class Bystander(histrio.Actor[str]):
    """Fails when it is told anything."""

    async def receive(self, message: str) -> None:
        raise ValueError(message)


@attrs.frozen
class Scene:
    """A subscriber that is paused and full, and what is built around it."""

    system: histrio.System
    topic: Topic[Say]
    small: histrio.Ref[Say]
    feed: histrio.Feed[Say]


async def publish(scene: Scene) -> None:
    """An actor that subscribed with `WAIT` has no room."""
    await scene.topic.publish(Say("never"))


async def route(scene: Scene) -> None:
    """The chosen one has no room."""
    await RoundRobin([scene.small]).tell(Say("never"))


async def broadcast(scene: Scene) -> None:
    """One of all has no room."""
    await Broadcast([scene.small]).tell(Say("never"))


async def read(scene: Scene) -> None:
    """Nothing is published."""
    await scene.feed.next()


async def look_up(scene: Scene) -> None:
    """Nobody is registered."""
    await scene.system.registry.wait(PERSON)


async def open_scene(system: histrio.System, heard: list[str]) -> Scene:
    """Nothing of it goes on by itself."""
    topic, quiet = Topic[Say](system, "news"), Topic[Say](system, "quiet")
    small = await system.spawn(Small, heard)
    await small.control.pause()
    topic.subscribe(small)
    for word in "12":
        topic.publish_nowait(Say(word))
    return Scene(system, topic, small, quiet.subscribe())


WAYS: Final = [publish, route, broadcast, read, look_up]


@pytest.mark.parametrize("wait", WAYS, ids=[way.__name__ for way in WAYS])
@pytest.mark.parametrize("end", ["kill", "halt"])
async def test_a_wait_ends_with_its_actor(wait: Callable[[Scene], Awaitable[None]], end: str) -> None:
    """S8, S3: killed, or halted because a sibling failed, it does not go on; what it had not delivered stays undelivered."""

    class Waiting(histrio.Actor[Wait]):
        async def receive(self, message: Wait) -> None:
            trace.append("waits")
            try:
                await wait(scene)
            except BaseException:
                trace.append("is ended")
                raise
            trace.append("goes on")

    trace: list[str] = []
    async with histrio.open_system() as system:
        scene = await open_scene(system, heard := list[str]())
        bystander, waiting = histrio.child("bystander", Bystander), histrio.child("waiting", Waiting)
        family = histrio.child("family", histrio.Supervisor, bystander, waiting, strategy=histrio.ONE_FOR_ALL)
        supervisor = await system.spawn(family)
        await supervisor.child(waiting).tell(Wait())
        await settle()
        if end == "kill":
            supervisor.child(waiting).control.kill()
        else:
            await supervisor.child(bystander).tell("fails")
        await settle()
        assert trace == ["waits", "is ended"]
        scene.small.control.resume()
        await settle()

    assert heard == ["1", "2"]


async def test_a_handler_that_reads_a_feed_gives_the_turn_away() -> None:
    """S8, A2: an actor goes on with its messages while one of its handlers waits for news."""

    class Reader(histrio.Actor[Wait | Say]):
        @histrio.handler(Wait)
        async def wait(self, message: Wait) -> None:
            with topic.subscribe() as feed, suppress(StopAsyncIteration):
                while True:
                    trace.append(f"news {(await feed.next()).word}")

        @histrio.handler(Say)
        async def say(self, message: Say) -> None:
            trace.append(f"told {message.word}")

    trace: list[str] = []
    async with histrio.open_system() as system:
        topic = Topic[Say](system, "news")
        reader = await system.spawn(Reader)
        await reader.tell(Wait())
        for word in "ab":
            await reader.tell(Say(word))
            await settle()
            await topic.publish(Say(word))
            await settle()
        topic.close()
        await settle()

    assert trace == ["told a", "news a", "told b", "news b"]
