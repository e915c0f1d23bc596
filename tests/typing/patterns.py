"""What keys, listings, feeds, topics and routers are known to carry: for type checkers, never executed."""

from typing import assert_type

import attrs

import histrio
from histrio import Key, Ref


@attrs.frozen
class Write(histrio.Request[None]):
    key: str


@attrs.frozen
class Read(histrio.Request[int]):
    key: str


STORE = Key[Write | Read]("store")
READS = Key[Read]("reads")


async def a_key_finds_refs_of_its_type(system: histrio.System) -> None:
    """S8: whatever looks a key up gives refs of the messages that the key names."""
    registry = system.registry
    assert_type(registry.find(STORE), Ref[Write | Read] | None)
    assert_type(registry.find_all(STORE), tuple[Ref[Write | Read], ...])
    assert_type(registry.wait(READS), histrio.Future[Ref[Read]])
    assert_type(await registry.wait(STORE), Ref[Write | Read])
    assert_type(registry.group(READS).refs, tuple[Ref[Read], ...])
    assert_type(await (await registry.wait(READS)).ask(Read("x")), int)


async def a_feed_carries_what_its_key_names(system: histrio.System) -> None:
    """S8: the listings of a key hold refs of its type."""
    feed = system.registry.subscribe(STORE, lag=histrio.Lag.LATEST)
    assert_type(feed, histrio.Feed[histrio.Listing[Write | Read]])
    async with feed:
        async for listing in feed:
            assert_type(listing.refs, tuple[Ref[Write | Read], ...])


async def what_is_found_takes_no_other_message(system: histrio.System) -> None:
    """S8: a ref that was found is as typed as the one that was spawned, and may be missing."""
    found = system.registry.find(READS)
    found.tell_nowait(Read("x"))  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess]
    (await system.registry.wait(READS)).tell_nowait(Write("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def what_takes_more_can_be_registered(system: histrio.System, store: Ref[Write | Read]) -> None:
    """S8, A13: a ref fits a key of fewer messages than it takes."""
    system.registry.register(READS, store)
    system.registry.register(STORE, store, unique=True)
    system.registry.unregister(READS, store)


def what_takes_less_cannot_be_registered(system: histrio.System, reads: Ref[Read], words: Ref[str]) -> None:
    """S8: a ref that does not take all that its key names does not type-check."""
    system.registry.register(STORE, reads)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    system.registry.register(READS, words)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    system.registry.register("store", reads)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_key_of_more_is_no_key_of_less(system: histrio.System) -> Ref[Write | Read] | None:
    """S8: who looks up readers does not get writers."""
    return system.registry.find(READS)  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]


def a_feed_cannot_make_its_source_wait(system: histrio.System) -> None:
    """S8: `Lag.WAIT` is no policy of a feed."""
    system.registry.subscribe(STORE, lag=histrio.Lag.WAIT)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_topic_carries_its_messages(system: histrio.System, store: Ref[Write | Read]) -> None:
    """S8: what subscribes to a topic takes all that is published to it, and a feed of it holds that."""
    reads = histrio.Topic[Read](system, "reads")
    assert_type(reads.subscribe(store), histrio.Subscription[Read])
    assert_type(reads.subscribe(store, lag=histrio.Lag.WAIT, feed_max=3), histrio.Subscription[Read])
    assert_type(reads.subscribe(), histrio.Feed[Read])
    assert_type(reads.subscribe(lag=histrio.Lag.LATEST), histrio.Feed[Read])
    async with reads.subscribe(lag=histrio.Lag.FAIL, feed_max=3) as feed:
        assert_type(await feed.next(), Read)
    await reads.publish(Read("x"))
    reads.publish_nowait(Read("x"))


async def nothing_else_is_published(system: histrio.System, reads: Ref[Read]) -> None:
    """S8: other messages, and subscribers that do not take all, do not type-check; nor does a feed with `WAIT`."""
    topic = histrio.Topic[Write | Read](system, "all")
    topic.subscribe(reads)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    topic.subscribe(lag=histrio.Lag.WAIT)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await topic.publish("x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    topic.publish(Read("x"))  # type: ignore[unused-coroutine]  # pyright: ignore[reportUnusedCoroutine]


async def a_router_is_as_typed_as_its_refs(system: histrio.System, store: Ref[Write | Read]) -> None:
    """S8, A13: a router over refs, or over a key, takes what they take and answers what they answer."""
    router = histrio.RoundRobin([store])
    await router.tell(Write("x"))
    assert_type(await router.ask(Read("x")), int)
    assert_type(router.ask_nowait(Read("x")), histrio.Future[int])
    hashed = histrio.ConsistentHash(system.registry.group(READS), lambda read: read.key)
    assert_type(hashed.ask(Read("x")), histrio.Future[int])
    everybody = histrio.Broadcast([store, store])
    assert_type(await everybody.ask(Read("x")), tuple[int, ...])
    fewer: histrio.Router[Read] = router
    fewer.tell_nowait(Read("x"))


async def a_router_takes_nothing_else(system: histrio.System, reads: Ref[Read]) -> None:
    """S8: other messages, plain refs where a list is wanted, and keys that are no key do not type-check."""
    router = histrio.LeastInbox([reads])
    await router.tell(Write("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await router.ask(Write("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.RoundRobin(reads)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    histrio.ConsistentHash([reads], lambda read: (read.key,))  # type: ignore[arg-type, return-value]  # pyright: ignore[reportArgumentType]
    histrio.Broadcast(READS)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_router_of_less_does_not_serve_as_one_of_more(reads: histrio.RoundRobin[Read]) -> histrio.Router[Write | Read]:
    """S8, A13: routers are contravariant, as refs are."""
    return reads  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
