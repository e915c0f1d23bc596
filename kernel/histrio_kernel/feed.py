"""A feed is news for one reader: whoever has news never waits for it, and what is too much for it goes by its policy."""

# Design note
# -----------
# A source of news (the phases of an actor, a registry, a topic) must not wait for those who read about it, so `put`
# is synchronous and the queue is bounded. What then becomes of one item too many is the reader's choice, made when it
# subscribes: `Lag`.
#
# An item stays in the queue until its reader takes it: what wakes a waiting reader is a promise that says "there is
# news", and carries none. So a cancelled `next()` has nothing to give back, and between the waking and the reading a
# `LATEST` feed may still change its mind.
#
# `Feeds` is the source's side. It holds its feeds weakly, so a reader that forgets to close is no leak.

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Final, Generic, Literal, Self, TypeVar, cast, final
from weakref import ReferenceType

import trio
from trio.lowlevel import checkpoint, enable_ki_protection

from histrio_kernel.bounds import bound
from histrio_kernel.errors import Busy, Lagged
from histrio_kernel.futures import Promise, World

__all__ = ["Feed", "FeedLag", "Feeds", "Lag"]

T = TypeVar("T")


class Lag(enum.Enum):
    """What becomes of an item for which a reader has no room, because it reads too slowly."""

    WAIT = "wait"
    """Whoever has the item waits for room. Not for feeds: who puts into a feed never waits."""
    DROP_NEW = "drop_new"
    """The new item is dropped; `lost` counts."""
    DROP_OLD = "drop_old"
    """The oldest item is dropped; `lost` counts."""
    LATEST = "latest"
    """Only the newest item is kept, always, not only when there is no room; `lost` counts those it replaced."""
    FAIL = "fail"
    """The reader gets what is kept, then `Lagged`, and no more."""


FeedLag = Literal[Lag.DROP_NEW, Lag.DROP_OLD, Lag.LATEST, Lag.FAIL]
"""The policies that a feed can have."""


@final
class Feed(Generic[T]):
    """News for one reader, in order: `async for item in feed`, or `await feed.next()`.

    The source puts items in and never waits. At most *feed_max* are kept; `lag` says what happens then. Close it when
    you want no more, or use it as a context manager; what is forgotten unclosed is closed when it is collected.

    Attributes:
        lost: how many items this reader will never get, because it read too slowly.
    """

    __slots__ = (
        "__weakref__",
        "_about",
        "_closed",
        "_ended",
        "_error",
        "_feed_max",
        "_kept",
        "_lag",
        "_lagged",
        "_news",
        "_on_close",
        "_world",
        "lost",
    )

    def __init__(
        self,
        world: World,
        about: str = "news",
        lag: FeedLag = Lag.DROP_OLD,
        feed_max: int = bound("feed_max"),
        on_close: Callable[[], None] | None = None,
    ) -> None:
        if cast(Lag, lag) is Lag.WAIT:
            raise ValueError(f"{about}: Lag.WAIT is not for feeds, whoever puts into one never waits; choose another")
        if feed_max < 1:
            raise ValueError(f"{about}: feed_max is {feed_max}; a feed has room for one item at least")
        self.lost = 0
        self._world: Final = world
        self._about: Final = about
        self._lag: Final = lag
        self._feed_max: Final = 1 if lag is Lag.LATEST else feed_max
        self._on_close = on_close
        self._kept: deque[T] = deque()
        self._news: Promise[None] | None = None
        self._ended = False
        self._closed = False
        self._lagged = False
        self._error: Exception | None = None

    @property
    def kept(self) -> int:
        """How many items can be read without waiting."""
        return len(self._kept)

    @property
    def is_over(self) -> bool:
        """Whether nothing new can come in any more; what is kept can still be read."""
        return self._ended

    # -- the reader ----------------------------------------------------------------------------------------------

    @enable_ki_protection
    async def next(self) -> T:
        """The next item; waits for one if none is kept.

        A checkpoint if it waits, and every 64th time. In a handler a wait gives the turn away. A cancelled one has
        taken nothing: the item it would have got is the next.

        Raises:
            StopAsyncIteration: the source has ended, and all that was kept has been read.
            Lagged: the policy is `Lag.FAIL` and this reader was too slow; all that was kept has been read.
            Busy: another `next()` of this feed waits.
            trio.ClosedResourceError: the feed was closed, also while this waited.
            Exception: the source has ended by this error, and all that was kept has been read.
        """
        if self._world.pace.due():
            await checkpoint()
        if self._news is not None:
            raise Busy(f"{self!r}: another next() waits; a feed has one reader. Subscribe once for each reader")
        if not (self._kept or self._ended or self._lagged):
            await self._wait()
        if self._closed:
            raise trio.ClosedResourceError(f"{self!r} was closed by its reader")
        if self._kept:
            return self._kept.popleft()
        raise self._end_error()

    def __aiter__(self) -> Self:
        """Read until the source ends."""
        return self

    async def __anext__(self) -> T:
        """As `next`."""
        return await self.next()

    @enable_ki_protection
    def close(self) -> None:
        """Read no more: what is kept is dropped, and the source forgets this feed. Idempotent; not a checkpoint."""
        if not self._closed:
            self._closed = True
            self._kept.clear()
            self._finish()

    def __enter__(self) -> Self:
        """Leaving the block closes the feed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """The same as `with`: neither entering nor leaving is a checkpoint."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- the source ----------------------------------------------------------------------------------------------

    @enable_ki_protection
    def put(self, item: T) -> None:
        """Give the reader `item`. Never waits; does nothing when the feed is over. Not a checkpoint."""
        if self._ended:
            return
        if self._lagged or len(self._kept) >= self._feed_max:
            self.lost += 1
            self._lagged = self._lag is Lag.FAIL
            if self._lagged or self._lag is Lag.DROP_NEW:
                return
            self._kept.popleft()
        self._kept.append(item)
        assert len(self._kept) <= self._feed_max
        self._wake()

    @enable_ki_protection
    def end(self, error: Exception | None = None) -> None:
        """Nothing more will come. The reader gets what is kept, then the end, or `error`. Idempotent."""
        if not self._ended:
            self._error = error
            self._finish()

    def _finish(self) -> None:
        """Tell the reader and the source that nothing more comes in."""
        self._ended = True
        self._wake()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()

    # ------------------------------------------------------------------------------------------------------------

    async def _wait(self) -> None:
        """Wait until something is kept or the feed is over."""
        self._news = Promise(self._world)
        try:
            await self._news
        finally:
            self._news = None
        assert self._kept or self._ended

    def _wake(self) -> None:
        if self._news is not None and not self._news.is_done:
            self._news.set(None)

    def _end_error(self) -> Exception:
        """What a reader gets when all has been read. One that was too slow is counted against until it hears of it."""
        if self._lagged:
            self._lagged = False
            self._error = Lagged(self._about, self.lost, self._feed_max)
            if not self._ended:
                self._finish()
        assert self._ended
        return StopAsyncIteration() if self._error is None else self._error

    def __repr__(self) -> str:
        """Say what it tells of, and how much waits to be read."""
        state = "closed" if self._closed else f"{'ended, ' if self._ended else ''}{len(self._kept)} kept"
        return f"<Feed {self._about}: {state}{f', {self.lost} lost' if self.lost else ''}>"


@final
class Feeds(Generic[T]):
    """The feeds of one source: what is put here reaches all that are open, in the order in which they were opened.

    It keeps no feed alive. One that was closed, has failed by its lag, or that nobody has any more, is forgotten.
    """

    __slots__ = ("_about", "_ended", "_open", "_world")

    def __init__(self, world: World, about: str = "news") -> None:
        self._world: Final = world
        self._about: Final = about
        self._open: Final[dict[int, ReferenceType[Feed[T]]]] = {}
        self._ended: tuple[Exception | None] | None = None

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def open(self, lag: FeedLag = Lag.DROP_OLD, feed_max: int = bound("feed_max")) -> Feed[T]:
        """A feed of what is put from now on; one that is over already if the source has ended."""
        feed: Feed[T] = Feed(self._world, self._about, lag, feed_max)
        if self._ended is not None:
            feed.end(*self._ended)
            return feed
        key = id(feed)  # not used again before the weak reference has called `forget`

        def forget(_: object = None) -> None:
            self._open.pop(key, None)

        self._open[key] = ReferenceType(feed, forget)
        feed._on_close = forget
        return feed

    def put(self, item: T) -> None:
        """Give `item` to every open feed. Not a checkpoint."""
        for known in tuple(self._open.values()):  # a feed may be forgotten meanwhile
            feed = known()
            if feed is not None:
                feed.put(item)

    def end(self, error: Exception | None = None) -> None:
        """End every open feed, and those that are opened later. Idempotent."""
        if self._ended is None:
            self._ended = (error,)
            for known in tuple(self._open.values()):
                feed = known()
                if feed is not None:
                    feed.end(error)
            assert not self._open
