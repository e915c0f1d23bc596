"""The deadline of a task that waits is found in every `with` that it is in, whatever kind of context manager it is."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from types import TracebackType
from typing import Final

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from histrio.waiting.scopes import deadline_of

SOON: Final = 50.0


@contextlib.contextmanager
def generated() -> Generator[None]:
    """A scope in a generator."""
    with trio.move_on_after(SOON):
        yield


@contextlib.asynccontextmanager
async def generated_nursery() -> AsyncGenerator[None]:
    """A nursery with a deadline, in an asynchronous generator."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + SOON
        yield


class Written:
    """A scope in an object."""

    def __enter__(self) -> None:
        self._scope = trio.CancelScope(deadline=trio.current_time() + SOON)
        self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        return self._scope.__exit__(kind, error, traceback)


async def _move_on() -> None:
    with trio.move_on_after(SOON):
        await trio.sleep_forever()


async def _fail() -> None:
    with trio.fail_after(SOON):
        await trio.sleep_forever()


async def _the_earliest() -> None:
    with trio.move_on_after(SOON + 9), trio.move_on_after(SOON), trio.move_on_after(SOON + 5):
        await trio.sleep_forever()


async def _in_a_generator() -> None:
    with generated():
        await trio.sleep_forever()


async def _in_an_async_generator() -> None:
    async with generated_nursery():
        await trio.sleep_forever()


async def _in_an_object() -> None:
    with Written():
        await trio.sleep_forever()


async def _on_a_stack() -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(generated())
        await trio.sleep_forever()


async def _on_an_async_stack() -> None:
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(generated_nursery())
        await trio.sleep_forever()


async def _in_a_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.deadline = trio.current_time() + SOON
        await trio.sleep_forever()


async def _deep_down() -> None:
    await _move_on()


async def _in_a_loop() -> None:
    async def numbers() -> AsyncGenerator[int]:
        with trio.move_on_after(SOON):
            await trio.sleep_forever()
            yield 1

    async with contextlib.aclosing(numbers()) as loop:
        async for _ in loop:
            pass


async def _asleep() -> None:
    await trio.sleep(SOON)


async def _no_longer() -> None:
    with trio.move_on_after(SOON):
        await trio.lowlevel.checkpoint()
    await trio.sleep_forever()


async def _never() -> None:
    await trio.sleep_forever()


async def _beside_others() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, SOON - 9)
        await trio.sleep_forever()


HAVE: Final = (
    _move_on, _fail, _the_earliest, _in_a_generator, _in_an_async_generator, _in_an_object, _on_a_stack, _on_an_async_stack,
    _in_a_nursery, _deep_down, _in_a_loop, _asleep,
)  # fmt: skip
HAVE_NOT: Final = (_no_longer, _never, _beside_others)


async def deadline_in(waits: Callable[[], Awaitable[None]], *, bare_exits: bool) -> float:
    """The deadline of a task that runs *waits*, from now; another task sleeps beside it, and a scope surrounds it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)
        nursery.cancel_scope.deadline = trio.current_time() + 10 * SOON
        async with trio.open_nursery() as inner:
            inner.start_soon(waits)
            await wait_all_tasks_blocked()
            (task,) = inner.child_tasks
            found = deadline_of(task, bare_exits=bare_exits) - trio.current_time()
            nursery.cancel_scope.cancel()
    return found


@pytest.mark.parametrize("bare_exits", [False, True])
@pytest.mark.parametrize("waits", HAVE)
async def test_those_that_have_one(
    waits: Callable[[], Awaitable[None]], *, bare_exits: bool, autojump_clock: MockClock
) -> None:
    """The earliest of all that the task is in."""
    assert await deadline_in(waits, bare_exits=bare_exits) == SOON


@pytest.mark.parametrize("waits", HAVE_NOT)
async def test_those_that_have_none(waits: Callable[[], Awaitable[None]], autojump_clock: MockClock) -> None:
    """A scope that was left, one around the nursery, or one of a child task is none."""
    assert await deadline_in(waits, bare_exits=False) == math.inf


async def test_certain() -> None:
    """When Trio has no deadline at all, nothing is searched."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await wait_all_tasks_blocked()
        (task,) = nursery.child_tasks
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == math.inf
        assert deadline_of(task) == math.inf
        nursery.cancel_scope.cancel()
