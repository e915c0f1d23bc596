"""What is published to a topic reaches every subscriber in the order of publishing, and a slow one hurts nobody else (S8).

What becomes of messages for which a subscriber has no room, it says itself when it subscribes: its `Lag`.
"""

# Design note
# -----------
# A topic belongs to whoever makes it, `Topic[Price](system, "prices")`, and is handed to those who use it, as a ref is.
# There is no look-up by name: whoever may publish or read has been given the topic, a type checker knows its messages,
# and its end is its owner's business. (Who must be found by name is an actor, under a key of the registry.)
#
# A subscriber is an actor, which gets messages through its inbox and has nothing else to do; or a feed, for any task.
#
# The fan-out is the fast path of `tell_nowait`, with all that is common to the subscribers done once: the types of the
# message are checked once for each class of actor, before anybody gets it. Whatever is unusual about a subscriber is
# left for a second round, and the publisher waits for somebody only when all others have the message.

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, Never, Self, TypeVar, cast, final, overload

import attrs
import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from histrio.handlers import HandlerTable
from histrio.patterns.ends import Land, at_close, check_member, on_end
from histrio.patterns.lines import Backlog, let_in, must_wait, stand
from histrio.ref import Ref
from histrio_kernel.bounds import bound
from histrio_kernel.errors import ActorStopped, HistrioError, InboxFull
from histrio_kernel.feed import Feed, FeedLag, Feeds, Lag
from histrio_kernel.futures import Future
from histrio_kernel.inbox import Inbox, Verdict
from histrio_kernel.signals import Kind

__all__ = ["Subscription", "Topic", "Unsubscribed"]

M = TypeVar("M")

_FEED_MAX: Final = bound("feed_max")


class Unsubscribed(HistrioError):
    """A report: an actor whose inbox was full has been unsubscribed from a topic, as its `Lag.FAIL` says.

    Attributes:
        path: whose inbox was full.
        topic: the name of the topic.

    It missed the message that it had no room for, and gets no further ones. Let it look at the present state and
    subscribe again; raise its `inbox_max`; or choose another `Lag`.
    """

    def __init__(self, path: str, topic: str, queued: int) -> None:
        self.path: Final = path
        self.topic: Final = topic
        super().__init__(
            f"{path} was unsubscribed from topic {topic!r}: {queued} messages wait in its inbox, and there was no room"
            " for one more (Lag.FAIL). Let it look at the present state and subscribe again; raise its inbox_max; or"
            " choose another Lag"
        )


@final
class Topic(Generic[M]):
    """A topic that messages of type `M` are published to, for actors and feeds of one system.

    It ends with its system; close one that is not needed for so long, or use it as a context manager.

    Examples:
        >>> import histrio
        >>> class Printer(histrio.Actor[str]):
        ...     async def receive(self, message: str) -> None:
        ...         print(self.ref.path, message)
        >>> async def main(system: histrio.System) -> None:
        ...     news = histrio.Topic[str](system, "news")
        ...     news.subscribe(await system.spawn(Printer, name="printer"))
        ...     async with news.subscribe(lag=histrio.Lag.LATEST) as feed:
        ...         await news.publish("hello")
        ...         print("a task", await feed.next())
        >>> histrio.run(main)
        a task hello
        /printer hello
    """

    def __init__(self, system: Land, name: str) -> None:
        self.name: Final = name
        self._land: Final = system
        self._subscriptions: Final[dict[Inbox, Subscription[M]]] = {}
        self._feeds: Final[Feeds[M]] = Feeds(system.engine, f"topic {name!r}")
        self._fan: _Fan | None = None
        self._is_closed = False
        self._forget_system: Callable[[], None] | None = None
        self._forget_system = at_close(system.engine, self.close)

    # -- publishing ----------------------------------------------------------------------------------------------

    @enable_ki_protection
    async def publish(self, message: M) -> None:
        """Give `message` to every subscriber: to all at once that have room, then wait for those with `Lag.WAIT`.

        A checkpoint as `tell` is: when it waits, and every 64th message that goes to an actor. Who subscribes while
        it waits gets the next message. Cancelled, it has reached nobody, if that was before the first; else all but
        those that it waited for, who do not get it. A subscriber that stops meanwhile is not waited for.

        Raises:
            TypeError: some subscriber does not take messages of this type; nobody got it.
            trio.ClosedResourceError: the topic is closed.
        """
        pace = self._land.engine.pace
        pace.left -= len(self._subscriptions) + 1
        if pace.left <= 0:
            pace.restart()
            await checkpoint()
        standing = self._fan_out(message)
        if standing:
            await let_in(standing)

    @enable_ki_protection
    def publish_nowait(self, message: M) -> None:
        """Give `message` to every subscriber now. Not a checkpoint.

        Raises:
            InboxFull: a subscriber with `Lag.WAIT` has no room; nobody got it.
            TypeError, trio.ClosedResourceError: as `publish`.
        """
        for inbox in self._present().waiting:
            if len(inbox.queue) >= inbox.limit and must_wait(inbox):
                raise InboxFull(
                    f"topic {self.name!r}: {len(inbox)} messages wait in the inbox of {inbox.path}, which is subscribed"
                    " with Lag.WAIT; nothing was delivered to anybody. Use await publish(), which waits, or subscribe it"
                    " with another Lag"
                )
        standing = self._fan_out(message)
        assert not standing

    def _fan_out(self, message: M) -> list[Future[None]]:
        """Deliver to all that have room; the others keep, drop or stand in line, as they have chosen."""
        fan = self._present()
        kind = message.__class__
        for table, path in fan.tables:
            if kind not in table:
                table.learn(f"topic {self.name!r} to {path}", message)
        slow: list[Inbox] | None = None
        for inbox in fan.inboxes:
            queue = inbox.queue
            if len(queue) < inbox.limit:
                queue.append(message)
                if inbox.hungry:
                    inbox.taker.kick()
            elif slow is None:
                slow = [inbox]
            else:
                slow.append(inbox)
        if self._feeds:
            self._feeds.put(message)
        return [] if slow is None else self._reach(slow, message)

    def _reach(self, slow: list[Inbox], message: M) -> list[Future[None]]:
        """Deliver to those that are not as usual; whose places in line must be waited for?"""
        standing: list[Future[None]] = []
        failed: list[Subscription[M]] = []
        for inbox in slow:
            subscription = self._subscriptions.get(inbox)
            if subscription is None or subscription._takes(message) or subscription.is_over:
                continue  # who hears the signals of it may have unsubscribed it
            match subscription.lag:
                case Lag.WAIT:
                    standing.append(subscription._stand(message))
                case Lag.FAIL:
                    failed.append(subscription)
                case Lag.DROP_NEW:
                    subscription._drop(message)
                case Lag.DROP_OLD | Lag.LATEST:
                    subscription._keep(message)
        for subscription in failed:  # last, because who hears of it may publish
            subscription._drop(message)
            subscription.close()
            self._land.engine.report(Unsubscribed(subscription.ref.path, self.name, len(subscription._inbox)))
        return standing

    # -- subscribing ---------------------------------------------------------------------------------------------

    @overload
    def subscribe(self, ref: Ref[M], *, lag: Lag = Lag.WAIT, feed_max: int = _FEED_MAX) -> Subscription[M]: ...
    @overload
    def subscribe(self, *, lag: FeedLag = Lag.DROP_OLD, feed_max: int = _FEED_MAX) -> Feed[M]: ...
    @enable_ki_protection
    def subscribe(
        self, ref: Ref[M] | None = None, *, lag: Lag | None = None, feed_max: int = _FEED_MAX
    ) -> Subscription[M] | Feed[M]:
        """Have an actor told of every message from now on; or, without a ref, get a feed of them.

        What a *lag* means for an actor whose inbox is full: `WAIT`, `publish` waits for it; `DROP_NEW`, it does not get
        the message; `DROP_OLD` and `LATEST`, the topic keeps the last *feed_max* messages, or the last one, until
        there is room; `FAIL`, it is unsubscribed, which `system.reports` tells. An actor whose own `overflow` policy
        drops messages has room always. For feeds see `Feed`; there is no `WAIT`.

        An actor is subscribed until it ends for good; to subscribe it again in the same way changes nothing, so
        `started()` may do it at each restart.

        Raises:
            ActorStopped: the actor has ended.
            TypeError: *ref* is no ref.
            ValueError: it is of another system, or subscribed already in another way; or *feed_max* is less than 1.
            trio.ClosedResourceError: the topic is closed.
        """
        self._check_open()
        if ref is None:
            return self._feeds.open(cast(FeedLag, lag or Lag.DROP_OLD), feed_max)
        check_member(self._land, ref, f"it cannot subscribe to topic {self.name!r}")
        return self._subscribe(ref, lag or Lag.WAIT, feed_max)

    def _subscribe(self, ref: Ref[M], lag: Lag, feed_max: int) -> Subscription[M]:
        known = self._subscriptions.get(ref._inbox)
        if known is None:
            if feed_max < 1:
                raise ValueError(f"topic {self.name!r}: feed_max is {feed_max}; keep one message at least")
            known = self._subscriptions[ref._inbox] = Subscription(self, ref, lag, feed_max)
            self._fan = None
        elif (known.lag, known.feed_max) != (lag, feed_max):
            raise ValueError(
                f"{ref.path} is subscribed to topic {self.name!r} with {known.lag} and feed_max = {known.feed_max};"
                " unsubscribe it first to change that"
            )
        return known

    @enable_ki_protection
    def unsubscribe(self, ref: Ref[M]) -> None:
        """The actor gets no more messages, also none that is kept or waits for room. Idempotent."""
        subscription = self._subscriptions.get(ref._inbox)
        if subscription is not None:
            subscription.close()

    @property
    def subscriptions(self) -> tuple[Subscription[M], ...]:
        """Of the actors, in the order in which they subscribed."""
        return tuple(self._subscriptions.values())

    def _forget(self, subscription: Subscription[Any]) -> None:
        self._subscriptions.pop(subscription._inbox, None)
        self._fan = None

    def _present(self) -> _Fan:
        """Who is subscribed at present, as the fan-out wants it."""
        self._check_open()
        if self._fan is None:
            subscriptions = self._subscriptions.values()
            tables = {id(one.ref._table): (one.ref._table, one.ref.path) for one in subscriptions}
            self._fan = _Fan(
                tuple(self._subscriptions),
                tuple(tables.values()),
                tuple(one._inbox for one in subscriptions if one.lag is Lag.WAIT),
            )
        return self._fan

    # -- the end -------------------------------------------------------------------------------------------------

    @enable_ki_protection
    def close(self) -> None:
        """Let nothing more be published. Actors and feeds still get what was. Idempotent; not a checkpoint."""
        if not self._is_closed:
            self._is_closed = True
            if self._forget_system is not None:
                self._forget_system()
            for subscription in self.subscriptions:
                subscription._end()
            self._feeds.end()

    def _check_open(self) -> None:
        if self._is_closed:
            raise trio.ClosedResourceError(f"topic {self.name!r} is closed, by close() or with its system")

    def __enter__(self) -> Self:
        """Leaving the block closes the topic."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Name it and count those who read it."""
        state = "closed" if self._is_closed else f"{len(self._subscriptions)} actors, {len(self._feeds)} feeds"
        return f"<Topic {self.name!r}: {state}>"


@attrs.frozen
class _Fan:
    """Everybody who is subscribed, so that publishing need not look anything up."""

    inboxes: tuple[Inbox, ...]
    tables: tuple[tuple[HandlerTable, str], ...]
    """What each class of subscribers takes, with the path of one of them."""
    waiting: tuple[Inbox, ...]
    """Those that a publisher has to wait for."""


@final
class Subscription(Generic[M]):
    """An actor's subscription to a topic; made by `Topic.subscribe`.

    Attributes:
        ref: the actor.
        lag: what becomes of messages for which it has no room.
        feed_max: how many of them the topic keeps for it, with `DROP_OLD`.
        lost: how many messages it will never get: too many for its lag, or published while it was stopping.
        is_over: whether it gets no more messages.
    """

    __slots__ = (
        "__weakref__",
        "_backlog",
        "_forget_ref",
        "_inbox",
        "_standing",
        "_topic",
        "feed_max",
        "is_over",
        "lag",
        "lost",
        "ref",
    )

    def __init__(self, topic: Topic[M], ref: Ref[M], lag: Lag, feed_max: int) -> None:
        self.ref: Final = ref
        self.lag: Final = lag
        self.feed_max: Final = feed_max
        self.lost = 0
        self.is_over = False
        self._topic: Final = topic
        self._inbox: Final = ref._inbox
        self._backlog: Backlog | None = None
        self._standing: list[Future[None]] = []
        self._forget_ref: Final = on_end(cast("Ref[Never]", ref), self.close, "it cannot subscribe")

    @property
    def kept(self) -> int:
        """How many messages the topic keeps for it until it has room."""
        return 0 if self._backlog is None else len(self._backlog.kept)

    @enable_ki_protection
    def close(self) -> None:
        """It gets no more messages, also none that is kept or waits for room. Idempotent; not a checkpoint."""
        self._end()
        for each in self._standing:
            each.cancel()
        if self._backlog is not None:
            self._backlog.drop()

    def _end(self) -> None:
        """It gets no more messages but those that were published."""
        if not self.is_over:
            self.is_over = True
            self._forget_ref()
            self._topic._forget(self)

    def __enter__(self) -> Self:
        """Leaving the block ends the subscription."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        """Say who gets what, and what it lost."""
        state = "over" if self.is_over else f"{self.lag.value}, {self.kept} kept, {self.lost} lost"
        return f"<Subscription of {self.ref.path} to {self._topic.name!r}: {state}>"

    # -- for the topic -------------------------------------------------------------------------------------------

    def _takes(self, message: object) -> bool:
        """Deliver `message`, if there is room and nothing is kept that comes before it."""
        if self._backlog is not None and not self._backlog.is_empty():
            return False
        self.ref._signal(message)
        try:
            return self._inbox.offer(message) is not Verdict.FULL
        except ActorStopped:  # it may live again; its final end is told otherwise
            self.lost += 1
            return True

    def _stand(self, message: object) -> Future[None]:
        """Let `message` stand in line; whoever publishes it waits there."""
        standing = stand(self._inbox, message)
        self._standing = [*(each for each in self._standing if not each.is_done), standing]
        return standing

    def _keep(self, message: object) -> None:
        if self._backlog is None:
            kept_max = 1 if self.lag is Lag.LATEST else self.feed_max
            self._backlog = Backlog(self._inbox, kept_max, self._drop)
        self._backlog.add(message)

    def _drop(self, message: object, why: str = "") -> None:
        """`message` will not reach it. What the topic had kept for one that stops is a dead letter (A10)."""
        self.lost += 1
        engine = self._topic._land.engine
        engine.signals.emit(self.ref.path, Kind.DROP, message)
        if self._inbox.closed is not None and why:
            engine.dead_letter(self.ref.path, message, f"kept by topic {self._topic.name!r}: {why}")
