"""The pages of the store: nobody waits for a store that is not there."""

import trio
from examples.kv_service.messages import STORE, Health, Read, Status, Write
from examples.kv_service.pages import StorePages
from tests.examples.serving import StoreRef
from trio.testing import MockClock, wait_all_tasks_blocked

import histrio

AWAY_S = 100.0


class Stuck(histrio.Actor[Write | Read | Status]):
    """A store that is never done with what it has in hand; it is found when it has started."""

    serial = True

    async def started(self) -> None:
        self.system.registry.register(STORE, self.ref)

    async def receive(self, message: Write | Read | Status) -> Health | None:
        await trio.sleep_forever()
        return None


async def followed(system: histrio.System, nursery: trio.Nursery) -> StorePages:
    """The pages of the store of a system, with their watcher."""
    pages = StorePages(system)
    nursery.start_soon(pages.follow)
    await wait_all_tasks_blocked()
    return pages


async def spawn_stuck(system: histrio.System) -> StoreRef:
    """Such a store, which stays away for long when it has failed."""
    store = histrio.child("store", Stuck)
    data = histrio.child("data", histrio.Supervisor, store, backoff=histrio.Backoff(first_s=AWAY_S, max_s=AWAY_S))
    return (await system.spawn(data)).child(store)


async def test_who_waits_for_a_store_that_is_gone_is_told_at_once(autojump_clock: MockClock) -> None:
    """Asks in its hand and in its inbox are answered 503 when it fails, in no time; so are those that come later.

    What was in the inbox is withdrawn: the next store is not asked for what nobody waits for.
    """
    answered: list[tuple[int, float]] = []
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        store = await spawn_stuck(system)
        pages = await followed(system, nursery)

        async def ask(body: bytes) -> None:
            response = await pages.command(body)
            answered.append((response.status_code, trio.current_time()))
            assert response.headers["Retry-After"] == "1"
            assert len(bytes(response.body).splitlines()) == 1

        for body in (b'Read "in hand"', b'Read "in the inbox"', b'Write "in the inbox" 1'):
            nursery.start_soon(ask, body)
            await wait_all_tasks_blocked()
        assert store.control.inspect().queued == 2
        store.control.kill("by a test")
        await wait_all_tasks_blocked()
        assert answered == [(503, 0.0)] * 3
        await ask(b'Read "later"')
        assert (await pages.health(b"")).status_code == 503
        assert trio.current_time() == 0
        assert store.control.inspect().queued == 0

        await trio.sleep(AWAY_S + 1)
        nursery.start_soon(ask, b'Read "when it is back"')
        await wait_all_tasks_blocked()
        assert len(answered) == 4, "the next store was not asked"
        nursery.cancel_scope.cancel()
        store.control.kill("by a test")


async def test_without_a_store_it_is_503(autojump_clock: MockClock) -> None:
    """Pages may be there before the store, and after it."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        pages = await followed(system, nursery)
        before = await pages.command(b'Read "x"')
        store = await system.spawn(Stuck, name="store")
        await wait_all_tasks_blocked()
        with trio.move_on_after(1) as asked:
            await pages.command(b'Read "x"')
        await store.control.kill("by a test")
        await wait_all_tasks_blocked()
        after = await pages.command(b'Read "x"')
        nursery.cancel_scope.cancel()

    assert asked.cancelled_caught, "it did not ask"
    assert (before.status_code, after.status_code) == (503, 503)


async def test_health_does_not_wait_for_long(autojump_clock: MockClock) -> None:
    """A store that runs and does not answer is not well, which is told after a second."""
    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        store = await spawn_stuck(system)
        pages = await followed(system, nursery)
        response = await pages.health(b"")
        seconds = trio.current_time()
        await store.control.kill("by a test")
        nursery.cancel_scope.cancel()

    assert (response.status_code, seconds) == (503, 1.0)
    assert b"does not answer" in bytes(response.body)
