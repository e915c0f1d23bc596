"""S8: a feed gives one reader the news in order, never makes the source wait, and says what it lost."""

import weakref
from contextlib import suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.works import Boom, open_works, under_all_schedules
from trio.testing import MockClock, assert_checkpoints, assert_no_checkpoints, wait_all_tasks_blocked

from histrio_kernel.bounds import bound
from histrio_kernel.errors import Busy, Lagged
from histrio_kernel.feed import Feed, FeedLag, Feeds, Lag

FEED_LAGS: tuple[FeedLag, ...] = (Lag.DROP_NEW, Lag.DROP_OLD, Lag.LATEST, Lag.FAIL)


async def read_all(feed: Feed[int]) -> list[int]:
    """All until the end."""
    return [item async for item in feed]


# -- reading -----------------------------------------------------------------------------------------------------------


async def test_items_come_in_order_and_then_the_end(autojump_clock: MockClock) -> None:
    """S8: what was put is read in order, also after the end of the source; then the iteration ends, each time."""
    async with open_works() as works:
        feed: Feed[int] = Feed(works.engine)
        for number in range(3):
            feed.put(number)
        feed.end()
        feed.put(3)

        assert feed.is_over
        assert (await read_all(feed), await read_all(feed)) == ([0, 1, 2], [])


async def test_a_reader_that_waits_is_woken(autojump_clock: MockClock) -> None:
    """S8: a reader that came first gets each item when it is put, and the end when it comes."""
    got: list[tuple[float, int]] = []

    async def read(feed: Feed[int]) -> None:
        got.extend([(trio.current_time() - start, item) async for item in feed])

    async with open_works() as works, trio.open_nursery() as nursery:
        start = trio.current_time()
        feed: Feed[int] = Feed(works.engine)
        nursery.start_soon(read, feed)
        for number in range(3):
            await trio.sleep(1)
            feed.put(number)
        await trio.sleep(1)
        feed.end()

    assert got == [(1, 0), (2, 1), (3, 2)]


async def test_an_error_ends_it_after_what_is_kept(autojump_clock: MockClock) -> None:
    """S8: the error of a source comes behind what is kept, and at every further read; a second end changes nothing."""
    async with open_works() as works:
        feed: Feed[int] = Feed(works.engine)
        feed.put(1)
        feed.end(Boom("gone"))
        feed.end()

        assert await feed.next() == 1
        for _ in range(2):
            with pytest.raises(Boom, match="gone"):
                await feed.next()


async def test_a_second_reader_is_refused(autojump_clock: MockClock) -> None:
    """S8: while one `next()` waits, another raises `Busy` and takes nothing from the first."""
    got: list[int] = []

    async def read(feed: Feed[int]) -> None:
        got.append(await feed.next())

    async with open_works() as works, trio.open_nursery() as nursery:
        feed: Feed[int] = Feed(works.engine, "news of /store")
        nursery.start_soon(read, feed)
        await wait_all_tasks_blocked()
        with pytest.raises(Busy, match=r"news of /store.*one reader"):
            await feed.next()
        feed.put(1)
        feed.put(2)
        with pytest.raises(Busy):  # woken, but it has not read yet
            await feed.next()

    assert got == [1]


async def test_reading_is_a_checkpoint_when_it_waits_and_every_64th_time(autojump_clock: MockClock) -> None:
    """S8: what is kept is read at once, but a reader that never waits still yields."""
    async with open_works() as works, trio.open_nursery() as nursery:
        feed: Feed[int] = Feed(works.engine)
        for number in range(200):
            feed.put(number)
        works.engine.pace.restart()
        for _ in range(bound("pace_max") - 1):
            with assert_no_checkpoints():
                await feed.next()
        with assert_checkpoints():
            await feed.next()
        empty: Feed[int] = Feed(works.engine)
        nursery.start_soon(trio.testing.wait_all_tasks_blocked)
        nursery.start_soon(put_later, empty, 1)
        with assert_checkpoints():
            await empty.next()


async def put_later(feed: Feed[int], item: int) -> None:
    """Put *item* when a second has passed."""
    await trio.sleep(1)
    feed.put(item)


# -- cancellation ------------------------------------------------------------------------------------------------------


async def test_a_cancelled_read_loses_nothing(autojump_clock: MockClock) -> None:
    """S8: what comes in at the moment of a cancellation is read by the next `next()`."""
    async with open_works() as works:
        feed: Feed[int] = Feed(works.engine)
        with trio.move_on_after(1) as scope:
            await feed.next()
        feed.put(1)

        assert scope.cancelled_caught
        assert await feed.next() == 1


def test_a_cancellation_that_races_with_an_item_loses_nothing() -> None:
    """S8: put and cancel in any order, at one moment: each item is read exactly once, in order, in every schedule."""

    async def program() -> tuple[list[int], int]:
        got: list[int] = []

        async def read() -> None:
            while len(got) < 20:
                with trio.CancelScope() as scope:
                    scopes.append(scope)
                    got.append(await feed.next())

        async def put() -> None:
            for number in range(20):
                await trio.sleep(0.5)
                feed.put(number)

        async def disturb() -> None:
            for _ in range(20):
                await trio.sleep(0.5)
                scopes[-1].cancel()

        scopes: list[trio.CancelScope] = []
        async with open_works() as works:
            feed: Feed[int] = Feed(works.engine)
            async with trio.open_nursery() as nursery:
                for task in (read, put, disturb):
                    nursery.start_soon(task)
            return got, feed.lost

    assert set(map(str, under_all_schedules(program))) == {str((list(range(20)), 0))}


# -- lag ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lag", "kept", "lost"),
    [(Lag.DROP_OLD, [2, 3, 4], 2), (Lag.DROP_NEW, [0, 1, 2], 2), (Lag.LATEST, [4], 4)],
    ids=["drop_old", "drop_new", "latest"],
)
async def test_a_slow_reader_loses_what_its_policy_says(
    autojump_clock: MockClock, lag: FeedLag, kept: list[int], lost: int
) -> None:
    """S8: five items, room for three: each policy keeps what it names, and `lost` counts the others."""
    async with open_works() as works:
        feed: Feed[int] = Feed(works.engine, lag=lag, feed_max=3)
        for number in range(5):
            feed.put(number)
        assert feed.lost == lost
        assert feed.kept == len(kept)
        feed.end()

        assert await read_all(feed) == kept


async def test_a_reader_that_must_not_lag_is_told(autojump_clock: MockClock) -> None:
    """S8: with `FAIL` the reader gets what was kept, then `Lagged` with the number lost until it heard of it."""
    closed: list[str] = []
    async with open_works() as works:
        feed: Feed[int] = Feed(works.engine, "news", Lag.FAIL, 2, lambda: closed.append("closed"))
        for number in range(5):
            feed.put(number)
        got = [await feed.next()]
        feed.put(5)  # there is room again, but a gap must not be papered over
        got.append(await feed.next())
        assert (got, closed) == ([0, 1], [])
        for _ in range(2):
            with pytest.raises(Lagged, match=r"news: 4 items are lost") as caught:
                await feed.next()
            assert caught.value.lost == feed.lost == 4
        feed.put(6)

        assert closed == ["closed"]
        assert feed.lost == 4


async def test_a_lag_is_told_also_when_the_source_has_ended(autojump_clock: MockClock) -> None:
    """S8: the end of the source does not hide that something was lost."""
    async with open_works() as works:
        feed: Feed[int] = Feed(works.engine, lag=Lag.FAIL, feed_max=1)
        feed.put(1)
        feed.put(2)
        feed.end(Boom())

        assert await feed.next() == 1
        with pytest.raises(Lagged):
            await feed.next()


@given(st.lists(st.sampled_from(["put", "read"]), max_size=40), st.sampled_from(FEED_LAGS), st.integers(1, 4))
def test_nothing_is_lost_uncounted(steps: list[str], lag: FeedLag, feed_max: int) -> None:
    """S8: for every policy and order of puts and reads: read and lost together are all, and the order is that of put."""

    async def program() -> None:
        got: list[int] = []
        put = 0
        async with open_works() as works:
            feed: Feed[int] = Feed(works.engine, lag=lag, feed_max=feed_max)
            for step in steps:
                if step == "put":
                    feed.put(put)
                    put += 1
                elif feed.kept:
                    got.append(await feed.next())
            assert feed.kept <= feed_max
            feed.end()
            with suppress(Lagged, StopAsyncIteration):
                while True:
                    got.append(await feed.next())
        assert got == sorted(set(got))
        assert len(got) + feed.lost == put
        if lag is Lag.FAIL:
            assert got == list(range(len(got)))

    trio.run(program)


@pytest.mark.parametrize(
    ("lag", "feed_max", "told"), [(Lag.WAIT, 1, "WAIT is not for feeds"), (Lag.FAIL, 0, "feed_max is 0")]
)
async def test_what_no_feed_can_be_is_refused(lag: FeedLag, feed_max: int, told: str) -> None:
    """S8: a policy that would make the source wait, and a feed without room, are errors when it is made."""
    async with open_works() as works:
        with pytest.raises(ValueError, match=told):
            Feed[int](works.engine, lag=lag, feed_max=feed_max)


# -- closing -----------------------------------------------------------------------------------------------------------


async def test_closing_tells_the_source_once(autojump_clock: MockClock) -> None:
    """S8: a reader that wants no more closes: the source hears of it once, and puts go nowhere."""
    closed: list[str] = []
    async with open_works() as works:
        with Feed[int](works.engine, on_close=lambda: closed.append("closed")) as feed:
            feed.put(1)
        feed.close()
        feed.put(2)
        feed.end(Boom())

        assert closed == ["closed"]
        assert (feed.kept, feed.lost, feed.is_over) == (0, 0, True)
        with pytest.raises(trio.ClosedResourceError, match="closed by its reader"):
            await feed.next()


async def test_closing_wakes_who_waits(autojump_clock: MockClock) -> None:
    """S8: a `next()` that waits while the feed is closed raises `ClosedResourceError`, also if an item came just before."""

    async def read(feed: Feed[int]) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await feed.next()

    async with open_works() as works, trio.open_nursery() as nursery:
        quiet, busy = Feed[int](works.engine), Feed[int](works.engine)
        async with quiet, busy:
            nursery.start_soon(read, quiet)
            nursery.start_soon(read, busy)
            await wait_all_tasks_blocked()
            busy.put(1)


# -- the readers of one source ----------------------------------------------------------------------------------------


async def test_every_open_feed_gets_what_is_put(autojump_clock: MockClock) -> None:
    """S8: each reader has its own queue, from its opening to its closing; the end is for all, and for who comes later."""
    async with open_works() as works:
        feeds: Feeds[int] = Feeds(works.engine)
        first = feeds.open()
        feeds.put(1)
        second = feeds.open(Lag.LATEST)
        third = feeds.open()
        feeds.put(2)
        third.close()
        feeds.put(3)
        assert len(feeds) == 2
        feeds.end()
        feeds.end(Boom())
        late = feeds.open()

        assert [await read_all(feed) for feed in (first, second, late)] == [[1, 2, 3], [3], []]
        assert len(feeds) == 0


async def test_a_forgotten_feed_is_no_leak(autojump_clock: MockClock) -> None:
    """S8: a feed that nobody has any more is forgotten by its source, and nothing of it is left; a source is let go of."""
    async with open_works() as works:
        feeds: Feeds[int] = Feeds(works.engine)
        for _ in range(10):
            feeds.open()
        kept = feeds.open()
        feeds.put(1)
        gone = weakref.ref(kept)
        assert len(feeds) == 1
        assert await kept.next() == 1
        del kept
        assert (len(feeds), gone()) == (0, None)


async def test_one_that_lagged_is_forgotten_when_it_has_been_told(autojump_clock: MockClock) -> None:
    """S8: a feed that failed by its policy is counted against until its reader hears of it, then forgotten."""
    async with open_works() as works:
        feeds: Feeds[int] = Feeds(works.engine)
        feed = feeds.open(Lag.FAIL, feed_max=1)
        for number in range(4):
            feeds.put(number)
        assert len(feeds) == 1
        assert await feed.next() == 0
        with pytest.raises(Lagged, match="3 items"):
            await feed.next()

        assert len(feeds) == 0
