"""Operations and promises without an actor around them: what futures do is shown apart from turns and inboxes."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar, TypeVarTuple, cast

import trio
from tests.effort import count
from trio.testing import MockClock

from histrio_kernel.engine import Engine
from histrio_kernel.futures import Promise
from histrio_kernel.io import IoPool, Operation
from histrio_kernel.real import RealDriver
from histrio_kernel.simulation.trio_schedule import seeded_schedule

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Boom(Exception):
    """What operations fail with."""


class Works:
    """The owner of operations that no handler looks after; `failures` are the errors that nobody awaited."""

    def __init__(self, nursery: trio.Nursery, io_max: int) -> None:
        self.path: Final = "/works"
        self.engine: Final = Engine("works", RealDriver(), nursery)
        self.pool: Final = IoPool(self.engine, self, io_max)
        self.failures: Final[list[BaseException]] = []
        self.io_nursery: trio.Nursery | None = nursery

    def operation_failed(self, error: BaseException) -> None:
        self.failures.append(error)

    def io(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts, keep: bool = False) -> Operation[T]:
        return self.pool.start(function, args, keep=keep)

    def third_party(self, function: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run it beside, as a task that has nothing to do with futures."""
        self.engine.nursery.start_soon(function, *args)

    def value(self, value: T) -> Promise[T]:
        """A future that has completed with *value*."""
        promise: Promise[T] = Promise(self.engine)
        promise.set(value)
        return promise

    def error(self, error: Exception) -> Promise[None]:
        """A future that has failed with *error*."""
        promise: Promise[None] = Promise(self.engine)
        promise.fail(error)
        return promise

    def cancelled(self) -> Promise[None]:
        """A future that has been cancelled."""
        promise: Promise[None] = Promise(self.engine)
        promise.cancel()
        return promise

    def promise(self, kind: type[T]) -> Promise[T]:
        """A future that is completed by hand, with a value of type *kind*."""
        del kind
        return Promise(self.engine)


@asynccontextmanager
async def open_works(io_max: int = 256) -> AsyncGenerator[Works]:
    """Operations run until the block is left; then they are cancelled and waited for. An error leaves it bare."""
    raised: list[Exception] = []
    async with trio.open_nursery() as nursery:
        works = Works(nursery, io_max)
        try:
            yield works
        except Exception as error:
            raised.append(error)
        works.io_nursery = None
        nursery.cancel_scope.cancel()
    works.pool.close()
    if raised:
        raise raised[0]


class Act:
    """An operation that does one thing and remembers what became of it; its clean-up takes a while."""

    def __init__(self, name: str, *, after_s: float, cleanup_s: float = 0.25, fails: bool = False) -> None:
        self.name: Final = name
        self.after_s: Final = after_s
        self.cleanup_s: Final = cleanup_s
        self.fails: Final = fails
        self.cleaned_at: float | None = None

    async def run(self) -> str:
        try:
            await trio.sleep(self.after_s)
        except trio.Cancelled:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.cleanup_s)
            self.cleaned_at = trio.current_time()
            raise
        if self.fails:
            raise Boom(self.name)
        return self.name


async def forever(cleanup_s: float = 0) -> None:
    """Never ends by itself; cancelled, it takes *cleanup_s*."""
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(cleanup_s)


async def breaks(cleanup_s: float, name: str) -> None:
    """Never ends by itself; cancelled, it takes *cleanup_s* and fails."""
    try:
        await forever(cleanup_s)
    finally:
        raise Boom(name)


async def answer(value: T) -> T:
    """Give *value* back, after a checkpoint."""
    await trio.lowlevel.checkpoint()
    return value


async def fail(error: Exception) -> None:
    """Raise *error*, after a checkpoint."""
    await trio.lowlevel.checkpoint()
    raise error


def members(error: BaseException | None) -> tuple[BaseException, ...]:
    """What is in the group that *error* must be."""
    assert isinstance(error, BaseExceptionGroup)
    return cast("BaseExceptionGroup[BaseException]", error).exceptions


def under_all_schedules(program: Callable[[], Awaitable[T]]) -> list[T]:
    """What *program* returns, on a virtual clock, in an order of Trio's own for each seed."""
    results: list[T] = []
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            results.append(trio.run(program, clock=MockClock(autojump_threshold=0)))
    return results
