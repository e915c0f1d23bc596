"""A8: who only sends, and never has to wait, lets others run all the same."""

import trio
import trio.testing

import histrio


async def settle() -> None:
    """Let every task go as far as it can."""
    await trio.testing.wait_all_tasks_blocked()


async def test_the_64th_tell_of_the_run_yields() -> None:
    """A8: `tell` yields and looks for cancellation every 64 calls, counted over all refs; before it delivers."""
    seen: list[int] = []

    class Sink(histrio.Actor[int]):
        async def receive(self, message: int) -> None:
            seen.append(message)

    async with histrio.open_system() as system:
        refs = [await system.spawn(Sink) for _ in range(3)]

        async def told_in_a_cancelled_scope() -> int:
            told = 0
            with trio.CancelScope() as scope:
                scope.cancel()
                while told < 1000:
                    await refs[told % 3].tell(told)
                    told += 1
            assert scope.cancelled_caught
            return told

        before = await told_in_a_cancelled_scope()  # from wherever the counter stands to the next yield
        assert await told_in_a_cancelled_scope() == 63
        assert await told_in_a_cancelled_scope() == 63
        await settle()
        assert len(seen) == before + 2 * 63


async def test_a_teller_that_never_waits_lets_others_run() -> None:
    """A8: with room for all of them, 640 `tell`s yield 10 times; another task runs in between."""

    class Sink(histrio.Actor[int]):
        async def receive(self, message: int) -> None:
            pass

    ran = 0

    async def other() -> None:
        nonlocal ran
        while True:
            await trio.lowlevel.checkpoint()
            ran += 1

    async with histrio.open_system() as system, trio.open_nursery() as nursery:
        sink = await system.spawn(Sink)
        nursery.start_soon(other)
        await settle_once()
        before = ran
        for number in range(640):
            await sink.tell(number)
        assert 9 <= ran - before <= 11  # Trio draws who of two goes first
        nursery.cancel_scope.cancel()


async def settle_once() -> None:
    """Let every task that is ready run once."""
    await trio.lowlevel.checkpoint()
