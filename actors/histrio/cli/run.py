"""`histrio run module:Actor`: a system with one actor at its top, until that has ended or a signal comes."""

from __future__ import annotations

import argparse
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Final, final

import trio
from outcome import acapture

from histrio.actor import Actor
from histrio.cli.command import Command, say
from histrio.cli.numbers import seconds
from histrio.cli.stopping import Stopping
from histrio.cli.target import Target, load
from histrio.system import System, open_system
from histrio_kernel.errors import ActorFailed, ActorStopped, End, Reason, SystemFailed
from histrio_kernel.signals import Reader

__all__ = ["RUN", "Beside", "Service", "add_actor_arguments", "serve", "set_up_logging"]

Beside = Callable[[System, Callable[[str], None]], Awaitable[None]]
"""What goes on beside the actor. It is given the system, and a function that has the actor stopped and says why."""

_DESCRIPTION: Final = """\
Open a system, spawn the actor in it, and wait for its end.

The first SIGINT or SIGTERM closes its intake: what was accepted is handled, its children are stopped, stopped() runs,
and the exit code is 0. A second signal kills. Logs go to stderr."""


def add_actor_arguments(parser: argparse.ArgumentParser) -> None:
    """Which actor, what it is called, and how long it may take to stop."""
    parser.add_argument("actor", metavar="module:Actor", help="an actor class, or a functools.partial of one")
    parser.add_argument("--name", metavar="N", type=_name, help="its name (default: the class's, in small letters)")
    parser.add_argument(
        "--grace", metavar="S", type=seconds, help="seconds that stopping may take (default: the actor's shutdown_s)"
    )


def _name(text: str) -> str:
    if not text or "/" in text or "#" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no name: a name is not empty and has no '/' or '#'")
    return text


def _run(given: argparse.Namespace) -> int:
    target = load(given.actor)
    set_up_logging()
    return serve(Service(target, given.name, given.grace))


def set_up_logging() -> None:
    """Log to stderr, unless the user's module has set logging up when it was imported."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")


def serve(service: Service) -> int:
    """Serve until it is over, and tell of failures; the value is the exit code."""
    try:
        return trio.run(service.serve)
    except SystemFailed as failed:
        return _tell_failures(failed.failures)
    except ActorFailed as failed:  # it did not even start
        return _tell_failures((failed,))


@final
class Service:
    """One actor, served until it has ended or somebody wants it to."""

    def __init__(
        self,
        target: Target,
        name: str | None,
        grace_s: float | None,
        beside: Beside | None = None,
        reader: Reader | None = None,
    ) -> None:
        self._target: Final = target
        self._name: Final = name or target.name
        self._grace_s: Final = grace_s
        self._beside: Final = beside
        self._reader: Final = reader
        self._system: System | None = None
        self._leaves = False
        """Whether what goes on beside the actor has had it stopped: then it need not have ended in time."""

    async def serve(self) -> int:
        """Spawn the actor, wait for its end, and return the exit code.

        Raises:
            ActorFailed: the actor failed, or failed to start.
        """
        stopping = Stopping(self._stop, self._kill)
        with stopping.heeded():  # until the system is closed: a second signal may come then
            async with open_system() as self._system:
                if self._reader is not None:
                    self._system.listen(self._reader)
                reason = await self._until_over(self._system)
        if reason.end is End.STOPPED or (self._leaves and stopping.last is None):
            return 0
        return 1 if stopping.last is None else 128 + stopping.last

    async def _until_over(self, system: System) -> Reason:
        if self._beside is None:
            return await self._until_ended(system)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beside, system, self._leave)
            over = await acapture(self._until_ended, system)  # so that an error leaves bare, in no group
            nursery.cancel_scope.cancel()
        return over.unwrap()

    async def _until_ended(self, system: System) -> Reason:
        try:
            ref = await system.spawn(self._target.make, name=self._name)
            say(f"{ref.path} has started")
            await ref.join()
            phase = ref.control.status()
        except ActorFailed:
            raise
        except ActorStopped as over:
            say(f"{over.path} has ended: {over.reason}")
            return over.reason
        raise AssertionError(f"an actor that has ended is {phase}")

    def _leave(self, why: str) -> None:
        self._leaves = True
        self._stop(why)

    def _stop(self, why: str) -> None:
        ref = None if self._system is None else self._system.find(Actor, f"/{self._name}")
        if ref is not None:
            ref.control.stop(self._grace_s, why)

    def _kill(self) -> None:
        if self._system is not None:
            self._system.kill()


def _tell_failures(failures: tuple[ActorFailed, ...]) -> int:
    for failed in failures:
        traceback.print_exception(failed.with_traceback(None))  # where it was raised again is of no interest
        say(str(failed))
    return 1


RUN: Final = Command(
    name="run", about="run one actor", description=_DESCRIPTION, add_arguments=add_actor_arguments, run=_run
)
