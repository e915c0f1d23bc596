"""What a handler reaches the world through: `self.io` and the doors that hang on it (E1, E2).

Each operation behind a door is a future of the actor: it has started when the call returns, runs beside the handlers,
and is ended with the actor.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Final, TypeVar, TypeVarTuple, cast, final

import trio

from histrio_kernel.belonging import Period
from histrio_kernel.driver import Driver, File, FilePath, Listener, Random, Stream
from histrio_kernel.futures import Future
from histrio_kernel.io import IoPool, Retry
from histrio_kernel.machine.states.base import BaseState

__all__ = ["ClockDoor", "DiskDoor", "Io", "NetDoor"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


_Fakes = Mapping[Callable[..., object], Callable[..., Awaitable[object]]]


@final
class Io:
    """`self.io`: call it to run an async function beside the handlers; its attributes are the doors of the driver."""

    __slots__ = ("_driver", "_period_of", "_pool", "_replaced")

    def __init__(self, pool: IoPool, period_of: Callable[[BaseState], Period]) -> None:
        self._pool: Final = pool
        self._replaced: Final[_Fakes | None] = getattr(
            pool.engine.driver, "replaced", None
        )  # a simulated one may have some
        self._period_of: Final = period_of
        self._driver: Final[Driver] = pool.engine.driver

    def __call__(
        self,
        afn: Callable[[*Ts], Awaitable[T]],
        *args: *Ts,
        retry: Retry | None = None,
        timeout_s: float | None = None,
        keep: bool = False,
        within: BaseState | None = None,
    ) -> Future[T]:
        """Start `afn(*args)` in the actor's I/O nursery; `await` the future to give the turn away until it completes.

        At most `io_max` operations run at once; further ones queue. Keywords for *afn* go by `functools.partial`.
        Not a checkpoint.

        Args:
            afn: an async function; it runs in a task of its own, with a copy of the caller's context.
            retry: try again when it fails, see `Retry`.
            timeout_s: seconds that one attempt may take; beyond them it is cancelled and `trio.TooSlowError` raised.
            keep: let it go on when its last awaiter is cancelled; else it is cancelled with it, and that await ends
                when the operation has ended: with its outcome if it completed after all, else `trio.Cancelled`.
            within: a state of the actor's machine: the operation belongs to its present activation, is cancelled when
                that ends, and no handler waits for it at its end. An error that nobody awaits is the state's, by
                `machine.fail`. What a state's task starts belongs to its activation without being told.

        A future that the handler does not await is waited for at the handler's end, and its error is the handler's.

        Raises:
            TypeError: *afn* is no function, but a coroutine for example.
            NotActive: the state of *within* is not active; nothing was started.
        """
        if not callable(afn):
            raise TypeError(_not_callable(self._pool.owner.path, afn))
        if self._replaced:
            afn = self.real_or_fake(afn)
        period = None if within is None else self._period_of(within)
        if retry is None and timeout_s is None:
            return self._pool.start(afn, args, keep=keep, period=period)
        if timeout_s is not None and not timeout_s >= 0:
            raise ValueError(f"{self._pool.owner.path}: timeout_s is {timeout_s!r}; it must be seconds, 0 or more")
        attempts = _Attempts(self._pool, afn, args, retry, timeout_s)
        return cast(Future[T], self._pool.start(attempts.run, (), keep=keep, label=afn, period=period))

    def real_or_fake(self, afn: Callable[[*Ts], Awaitable[T]]) -> Callable[[*Ts], Awaitable[T]]:
        """What is called for *afn*: itself, or what a simulated world has put in its place."""
        return cast("Callable[[*Ts], Awaitable[T]]", self._replaced.get(afn, afn)) if self._replaced else afn

    def thread(self, fn: Callable[[*Ts], T], *args: *Ts) -> Future[T]:
        """Run the synchronous `fn(*args)` in a worker thread. A cancelled await waits until it returns."""
        return self._pool.start(self._driver.thread, (fn, *args))

    def process(self, fn: Callable[[*Ts], T], *args: *Ts) -> Future[T]:
        """Run the synchronous `fn(*args)` in a worker process (needs `histrio[process]`). Cancelling kills it."""
        return self._pool.start(self._driver.process, (fn, *args))

    @property
    def clock(self) -> ClockDoor:
        """The system's clock."""
        return ClockDoor(self._pool, self._driver)

    @property
    def random(self) -> Random:
        """The system's chance. Not for secrets."""
        return self._driver.random

    @property
    def disk(self) -> DiskDoor:
        """The disk; what has been appended is synced when the future has its value (E3)."""
        return DiskDoor(self._pool, self._driver)

    @property
    def net(self) -> NetDoor:
        """The network."""
        return NetDoor(self._pool, self._driver)


@final
class ClockDoor:
    """Time, in seconds of the system's clock."""

    __slots__ = ("_clock", "_pool")

    def __init__(self, pool: IoPool, driver: Driver) -> None:
        self._pool: Final = pool
        self._clock: Final = driver.clock

    def now(self) -> float:
        """What the clock reads. Its zero means nothing."""
        return self._clock.now()

    def sleep(self, seconds: float) -> Future[None]:
        """Complete *seconds* from now."""
        return self._pool.start(self._clock.sleep, (seconds,), counted=False)

    def deadline(self, at: float) -> Future[None]:
        """Complete when the clock reads *at*."""
        return self._pool.start(self._clock.deadline, (at,), counted=False)


@final
class DiskDoor:
    """Files that grow at their end, durably. It has the shape of `histrio_kernel.driver.Disk`; see there."""

    __slots__ = ("_disk", "_pool")

    def __init__(self, pool: IoPool, driver: Driver) -> None:
        self._pool: Final = pool
        self._disk: Final = driver.disk

    def open(self, path: FilePath) -> Future[File]:
        """Open the file at *path* for appending; it is made if it is not there."""
        return self._pool.start(self._disk.open, (path,))

    def append(self, file: File, data: bytes) -> Future[int]:
        """Write *data* at the end of *file*; the value is the length up to which the file is synced."""
        return self._pool.start(self._disk.append, (file, data))

    def read(self, path: FilePath, offset: int = 0, length: int | None = None) -> Future[bytes]:
        """Read *length* bytes from *offset*; to the end if *length* is None."""
        return self._pool.start(self._disk.read, (path, offset, length))

    def sync(self, file: File) -> Future[None]:
        """Complete when what was appended before is synced."""
        return self._pool.start(self._disk.sync, (file,))

    def rename(self, source: FilePath, target: FilePath) -> Future[None]:
        """Put *source* in the place of *target*, atomically and durably."""
        return self._pool.start(self._disk.rename, (source, target))

    def remove(self, path: FilePath) -> Future[None]:
        """Remove the file at *path*, durably."""
        return self._pool.start(self._disk.remove, (path,))

    def list(self, directory: FilePath) -> Future[tuple[str, ...]]:
        """The names in *directory*, sorted."""
        return self._pool.start(self._disk.list, (directory,))

    def truncate(self, file: File, size: int) -> Future[None]:
        """Cut *file* to *size* bytes, durably."""
        return self._pool.start(self._disk.truncate, (file, size))

    def close(self, file: File) -> Future[None]:
        """Give *file* back."""
        return self._pool.start(self._disk.close, (file,))


@final
class NetDoor:
    """The network. It has the shape of `histrio_kernel.driver.Net`; see there."""

    __slots__ = ("_net", "_pool")

    def __init__(self, pool: IoPool, driver: Driver) -> None:
        self._pool: Final = pool
        self._net: Final = driver.net

    def connect(self, host: str, port: int) -> Future[Stream]:
        """Open a TCP connection."""
        return self._pool.start(self._net.connect, (host, port))

    def listen(self, host: str, port: int) -> Future[tuple[Listener, ...]]:
        """One listener for each address of *host*; port 0 takes a free one."""
        return self._pool.start(self._net.listen, (host, port))


@final
class _Attempts:
    """An operation with a deadline for each attempt, and further attempts when one fails."""

    __slots__ = ("_afn", "_args", "_pool", "_retry", "_timeout_s")

    def __init__(
        self,
        pool: IoPool,
        afn: Callable[[*Ts], Awaitable[T]],
        args: tuple[*Ts],
        retry: Retry | None,
        timeout_s: float | None,
    ) -> None:
        self._pool: Final = pool
        self._afn: Final = cast(Callable[..., Awaitable[object]], afn)
        self._args: Final = cast(tuple[object, ...], args)
        self._retry: Final = retry if retry is not None else Retry(attempts_max=1)
        self._timeout_s: Final = timeout_s

    async def run(self) -> object:
        """Try until it succeeds, or the retry policy is used up."""
        retry = self._retry
        driver = self._pool.engine.driver
        give_up_at = driver.clock.now() + retry.total_s
        for tries, pause_s in enumerate((*retry.pauses_s(), None), start=1):
            try:
                return await self._try_once()
            except retry.on as error:
                wait_s = 0.0 if pause_s is None else pause_s * driver.random.uniform(1 - retry.jitter, 1 + retry.jitter)
                if pause_s is None or driver.clock.now() + wait_s > give_up_at:
                    if tries > 1:
                        error.add_note(f"{self._pool.owner.path}: given up after {tries} attempts")
                    raise
                await driver.clock.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    async def _try_once(self) -> object:
        if self._timeout_s is None:
            return await self._afn(*self._args)
        with trio.move_on_after(self._timeout_s) as scope:
            return await self._afn(*self._args)
        assert scope.cancelled_caught
        name = getattr(self._afn, "__qualname__", repr(self._afn))
        raise trio.TooSlowError(f"{self._pool.owner.path}: {name} took longer than timeout_s = {self._timeout_s} s")


def _not_callable(path: str, given: object) -> str:
    if isinstance(given, Coroutine):
        coroutine = cast(Coroutine[object, object, object], given)
        coroutine.close()
        name = getattr(coroutine, "__name__", "fetch")
        return (
            f"{path}: self.io() takes an async function and its arguments, and calls it itself.\n"
            f"  incorrect!  await self.io({name}(x))\n"
            f"  correct!    await self.io({name}, x)"
        )
    return f"{path}: self.io() takes an async function and its arguments, got {given!r} of type {type(given).__name__}"
