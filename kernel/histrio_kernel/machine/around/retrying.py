"""A mutation that is refused is tried again, with growing pauses, until it is accepted or the policy is used up."""

# Design note
# -----------
# The policy is `histrio.Retry`, the clock an actor's `self.io.clock`. Both live on a higher floor of the kernel than
# machines do, so here they are what they must be able to do.

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Canceled, Result
from histrio_kernel.machine.core.variables import K

__all__ = ["Policy", "until_accepted"]


class Policy(Protocol):
    """How often something is tried again, with which pauses, and how long in all: `histrio.Retry`."""

    @property
    def jitter(self) -> float:
        """How far a pause may be off, as a share of it."""
        ...

    @property
    def total_s(self) -> float:
        """No attempt is made later than so many seconds after the first."""
        ...

    @property
    def on(self) -> tuple[type[Exception], ...]:
        """Which errors are worth another attempt."""
        ...

    def pauses_s(self) -> tuple[float, ...]:
        """The pauses between the attempts, without jitter."""
        ...


class Timer(Protocol):
    """A clock with which to wait."""

    def now(self) -> float:
        """What it reads, in seconds."""
        ...

    def sleep(self, seconds: float, /) -> Awaitable[None]:
        """Complete so many seconds from now."""
        ...


class Chance(Protocol):
    """What jitter is drawn from."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between two others."""
        ...


class _TrioTimer:
    """Trio's clock."""

    now = staticmethod(trio.current_time)
    sleep = staticmethod(trio.sleep)


async def until_accepted(
    machine: Machine[K],
    mutate: Callable[[Machine[K]], Result],
    retry: Policy,
    *,
    clock: Timer | None = None,
    random: Chance | None = None,
) -> Result:
    """Mutate a machine until it accepts, and return the result of the last attempt.

    What was refused by the relations or vetoed is tried again; what a handler's error canceled is, too, if the error is
    one of `retry.on`. It is not tried again when the machine is disposed. A checkpoint if a pause is needed. Cancelling
    it is safe: a mutation is never half done.

    Args:
        machine: whose states.
        mutate: makes the mutation, as in `lambda machine: machine.add("online")`.
        retry: how often, with which pauses, and how long in all.
        clock: what pauses are slept on; Trio's if none is given. In an actor: `self.io.clock`.
        random: what the jitter of pauses is drawn from; needed only if `retry` has one.

    Raises:
        ValueError: the policy has a jitter, and there is no `random` to draw it from.

    Examples:
        >>> from histrio_kernel.io import Retry
        >>> from histrio_kernel.machine.core.schema import Schema
        >>> machine = Machine(Schema.from_data({"online": {"require": ["line"]}, "line": {}}))
        >>> trio.run(until_accepted, machine, lambda m: m.add("online"), Retry(attempts_max=2, first_s=0.01))
        CANCELED('the relations do not let online be active')
    """
    if retry.jitter and random is None:
        raise ValueError(f"{retry!r} has a jitter, which must be drawn from something: give `random`")
    timer: Timer = _TrioTimer() if clock is None else clock
    give_up_at = timer.now() + retry.total_s
    result = mutate(machine)
    for pause_s in retry.pauses_s():
        if not _is_tried_again(machine, result, retry):
            break
        wait_s = pause_s if random is None else pause_s * random.uniform(1 - retry.jitter, 1 + retry.jitter)
        if timer.now() + wait_s > give_up_at:
            break
        await timer.sleep(wait_s)
        result = mutate(machine)
    return result


def _is_tried_again(machine: Machine[K], result: Result, retry: Policy) -> bool:
    """Whether another attempt may come out better."""
    if machine.is_disposed or not isinstance(result, Canceled):
        return False
    return result.error is None or isinstance(result.error, retry.on)
