"""Workers that write down how they live, and start, stop, fail and hang as their test says."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Never, cast

import attrs
import trio
import trio.testing

import histrio
from histrio import Child, Ref
from histrio_kernel.errors import split_cancelled


@attrs.frozen(eq=False)
class Do(histrio.Request[object]):
    """Run the function with the worker, as a handler; its result is the reply."""

    function: "Body"


@attrs.frozen
class Say(histrio.Request[str]):
    """Write it down; "fail" fails. The answer is who did."""

    what: str


Job = Do | Say


class Worker(histrio.Actor[Job]):
    """It writes down each step of its lives, as `a1 started`: the first incarnation of a."""

    def __init__(
        self,
        name: str,
        log: list[str],
        *,
        made: Callable[[], object] | None = None,
        starts: "Body | None" = None,
        stops: "Body | None" = None,
    ) -> None:
        if made is not None:
            made()
        self.name = name
        self.log = log
        self.life = 0
        self.told: list[str] = []
        self.starts = starts
        self.stops = stops

    def note(self, what: str) -> None:
        """Write it down."""
        self.log.append(f"{self.name}{self.life} {what}")

    async def started(self) -> None:
        self.life = self.ref.control.inspect().incarnation
        self.note("starts")
        if self.starts is not None:
            await self.starts(self)
        self.note("started")

    async def stopped(self, reason: histrio.Reason) -> None:
        self.note("stops")
        if self.stops is not None:
            await self.stops(self)
        self.note("stopped")

    @histrio.handler(Do)
    async def do(self, m: Do) -> object:
        return await m.function(self)

    @histrio.handler(Say)
    async def say(self, m: Say) -> str:
        self.note(m.what)
        self.told.append(m.what)
        if m.what.startswith("fail"):
            raise ValueError(f"{self.name} failed")
        return f"{self.name}{self.life}"


Body = Callable[[Worker], Awaitable[object]]


class Crew(histrio.Supervisor):
    """A supervisor that its test can reach into: it puts itself into `met`."""

    def __init__(self, met: "list[Crew]", *children: Child[Never], **rules: Any) -> None:
        super().__init__(*children, **rules)
        met.append(self)


class DynamicCrew(histrio.DynamicSupervisor):
    """The same, dynamic."""

    def __init__(self, met: "list[DynamicCrew]", **rules: Any) -> None:
        super().__init__(**rules)
        met.append(self)


def worker(
    name: str,
    log: list[str],
    *,
    kind: type[Worker] = Worker,
    made: Callable[[], object] | None = None,
    starts: Body | None = None,
    stops: Body | None = None,
) -> Child[Job]:
    """A child of that name and kind."""
    return histrio.child(name, kind, name, log, made=made, starts=starts, stops=stops)


# -- what they are told to do ------------------------------------------------------------------------------------------


async def fail(_: Worker) -> None:
    """Fail."""
    raise ValueError("told to fail")


async def hang(actor: Worker) -> None:
    """Wait for ever, with the turn given away."""
    await actor.io(trio.sleep_forever)


async def hold(_: Worker) -> None:
    """Wait for ever, and keep the turn."""
    await trio.sleep_forever()


def shielded(seconds: float) -> Body:
    """Ignore cancellation for so long."""

    async def ignore(_: Worker) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds)

    return ignore


def takes(seconds: float) -> Body:
    """Take so long, and keep the turn."""

    async def take(_: Worker) -> None:
        await trio.sleep(seconds)

    return take


def once(body: Body, *, time: int = 1) -> Body:
    """Do that the given time only: 2 is the second."""
    times = itertools.count(1)

    async def maybe(actor: Worker) -> object:
        return await body(actor) if next(times) == time else None

    return maybe


# -- what is seen ------------------------------------------------------------------------------------------------------


async def settle() -> None:
    """Let every task go as far as it can, at this moment of the clock."""
    await trio.testing.wait_all_tasks_blocked()


async def when_up(ref: Ref[Never], incarnation: int) -> None:
    """Wait until that incarnation runs."""
    async for phase in ref.watch():
        if phase is histrio.Phase.RUNNING and ref.control.inspect().incarnation >= incarnation:
            return
    raise AssertionError(f"{ref.path} has ended")


async def ending_of(future: Awaitable[object]) -> str:
    """How it ended, in short: the value, or the kind of the error and what caused it."""
    try:
        return repr(await future)
    except histrio.HistrioError as error:
        cause = error.__cause__
        return type(error).__name__ + ("" if cause is None else f" by {type(cause).__name__}")


def failures(system: histrio.System) -> list[str]:
    """The failures that were reported; not who held a turn for long, which on a virtual clock many do."""
    return [str(report) for report in system.reports if isinstance(report, histrio.ActorFailed)]


def letters(system: histrio.System) -> list[object]:
    """The messages that nobody has handled; of a `Say` what was said."""
    return [
        letter.message.what if isinstance(letter.message, Say) else letter.message for letter in system.dead_letters
    ]


async def leaving(program: Callable[[histrio.System], Awaitable[object]], **keywords: Any) -> BaseException | None:
    """What leaves `open_system` around *program*; a cancellation goes on to its scope."""
    try:
        async with histrio.open_system(**keywords) as system:
            await program(system)
    except BaseException as error:
        cancelled, _ = split_cancelled(error)
        if cancelled is not None:
            raise
        return error
    return None


def members_of(error: BaseException | None) -> tuple[BaseException, ...]:
    """The errors in a group."""
    assert isinstance(error, BaseExceptionGroup)
    return cast("BaseExceptionGroup[BaseException]", error).exceptions
