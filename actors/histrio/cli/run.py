"""`histrio run module:Actor`: a system with one actor at its top, until that has ended or a signal comes."""

from __future__ import annotations

import argparse
import logging
import math
import traceback
from typing import Final, final

import trio

from histrio.actor import Actor
from histrio.cli.command import Command, say
from histrio.cli.stopping import Stopping
from histrio.cli.target import Target, load
from histrio.system import System, open_system
from histrio_kernel.errors import ActorFailed, ActorStopped, End, Reason, SystemFailed

__all__ = ["RUN"]

_DESCRIPTION: Final = """\
Open a system, spawn the actor in it, and wait for its end.

The first SIGINT or SIGTERM closes its intake: what was accepted is handled, its children are stopped, stopped() runs,
and the exit code is 0. A second signal kills. Logs go to stderr."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("actor", metavar="module:Actor", help="an actor class, or a functools.partial of one")
    parser.add_argument("--name", metavar="N", type=_name, help="its name (default: the class's, in small letters)")
    parser.add_argument(
        "--grace", metavar="S", type=_seconds, help="seconds that stopping may take (default: the actor's shutdown_s)"
    )


def _name(text: str) -> str:
    if not text or "/" in text or "#" in text:
        raise argparse.ArgumentTypeError(f"{text!r} is no name: a name is not empty and has no '/' or '#'")
    return text


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds, 0 or more")
    return seconds


def _run(given: argparse.Namespace) -> int:
    target = load(given.actor)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")  # the module's own wins
    try:
        return trio.run(_Service(target, given.name or target.name, given.grace).serve)
    except SystemFailed as failed:
        return _tell_failures(failed.failures)
    except ActorFailed as failed:  # it did not even start
        return _tell_failures((failed,))


@final
class _Service:
    """One actor, served until it has ended or somebody wants it to."""

    def __init__(self, target: Target, name: str, grace_s: float | None) -> None:
        self._target: Final = target
        self._name: Final = name
        self._grace_s: Final = grace_s
        self._system: System | None = None

    async def serve(self) -> int:
        """Spawn the actor, wait for its end, and return the exit code.

        Raises:
            ActorFailed: the actor failed, or failed to start.
        """
        stopping = Stopping(self._stop, self._kill)
        with stopping.heeded():  # until the system is closed: a second signal may come then
            async with open_system() as self._system:
                reason = await self._until_over(self._system)
        if reason.end is End.STOPPED:
            return 0
        return 1 if stopping.last is None else 128 + stopping.last

    async def _until_over(self, system: System) -> Reason:
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
    name="run", about="run one actor", description=_DESCRIPTION, add_arguments=_add_arguments, run=_run
)
