"""What futures and their combinators are known to give, and what `self.io` accepts; never executed."""

from functools import partial
from typing import assert_type

import histrio


async def fetch(url: str, tries: int = 3) -> bytes:
    """An operation with a default."""
    return url.encode() * tries


async def store(data: bytes, *, sync: bool) -> int:
    """An operation that needs a keyword."""
    return len(data)


def digest(data: bytes, size: int) -> str:
    """Work for a thread or a process."""
    return data.hex()[:size]


class Worker(histrio.Actor[str]):
    async def receive(self, message: str) -> None:
        """E1: an operation is called with its own arguments, and its future carries what it returns."""
        assert_type(self.io(fetch, message), histrio.Future[bytes])
        assert_type(await self.io(fetch, message, 2, timeout_s=3.0), bytes)
        assert_type(await self.io(partial(store, sync=True), b"x", keep=True), int)
        assert_type(await self.io(fetch, message, retry=histrio.Retry(attempts_max=3)), bytes)
        assert_type(self.background(fetch, message), histrio.Future[bytes])
        assert_type(await self.io.thread(digest, b"x", 3), str)
        assert_type(await self.io.process(digest, b"x", 3), str)
        assert_type(await self.io.clock.sleep(1), None)
        assert_type(self.io.clock.now(), float)

    async def unhandled(self, message: str) -> None:
        """E1: wrong arguments, a coroutine instead of a function, or a synchronous function do not type-check."""
        await self.io(fetch, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.io(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.io(fetch("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.io(fetch, "x", tries=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        await self.io(digest, b"x", 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.io(store, b"x")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.io(fetch, "x", timeout_s="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        await self.io.thread(digest, "x", 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.background(fetch, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]

    async def stopped(self, reason: histrio.Reason) -> None:
        """F9: a promise takes the value that it is annotated with."""
        done: histrio.Promise[int] = self.promise()
        done.set(1)
        done.set("one")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        done.fail("why")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert_type(await done, int)


async def pairs_keep_both_types(a: histrio.Future[int], b: histrio.Future[str]) -> None:
    """F2: `both` is a pair, `either` one of two marked values."""
    assert_type(await histrio.both(a, b), tuple[int, str])
    assert_type(await histrio.await_both(a, b), tuple[int, str])
    assert_type(await histrio.either(a, b), histrio.Left[int] | histrio.Right[str])
    assert_type(await histrio.either(a, b, keep=True, cleanup_s=1), histrio.Left[int] | histrio.Right[str])
    assert_type(await histrio.both(a, histrio.either(b, a)), tuple[int, histrio.Left[str] | histrio.Right[int]])
    match await histrio.either(a, b):
        case histrio.Left(value):
            assert_type(value, int)
        case histrio.Right(value):
            assert_type(value, str)


async def many_keep_their_types(
    a: histrio.Future[int], b: histrio.Future[str], all_: list[histrio.Future[int]]
) -> None:
    """F3: the n-ary combinators keep each type as far as the type system can count."""
    assert_type(await histrio.all_of(), tuple[()])
    assert_type(await histrio.all_of(a), tuple[int])
    assert_type(await histrio.all_of(a, b), tuple[int, str])
    assert_type(await histrio.all_of(a, b, a), tuple[int, str, int])
    assert_type(await histrio.all_of(a, b, a, b), tuple[int, str, int, str])
    assert_type(await histrio.all_of(*all_), tuple[int, ...])
    assert_type(await histrio.any_of(a, a), histrio.Winner[int])
    mixed: histrio.Future[histrio.Winner[int | str]] = histrio.any_of(a, b)  # without it, mypy joins them to object
    assert_type(await mixed, histrio.Winner[int | str])
    assert_type(await histrio.first_of(*all_), histrio.Winner[int])


async def only_futures_are_combined(a: histrio.Future[int]) -> None:
    """F2: a coroutine, which has not started, or a value does not type-check."""
    await histrio.both(a, fetch("x"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await histrio.either(fetch("x"), a)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await histrio.all_of(a, 3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await histrio.any_of(a, None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await histrio.both(a)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def a_future_of_a_narrower_value_serves(a: histrio.Future[bool]) -> histrio.Future[int | str]:
    """F1: futures are covariant."""
    return a


def a_future_of_a_wider_value_does_not(a: histrio.Future[int | str]) -> histrio.Future[int]:
    """F1: the other way round does not type-check."""
    return a  # type: ignore[return-value]  # pyright: ignore[reportReturnType]
