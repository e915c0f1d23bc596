"""J3: a strict tree refuses what a durable handler could not do again, where it is done, and says what to use instead."""

from __future__ import annotations

import datetime as dt
import gc
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic as seconds_now

import attrs
import pytest
import trio
from tests.durable.worlds import double, in_virtual_time

import histrio
from histrio.durable import DurableActor, NotRecorded, Quarantined, open_tree
from histrio_kernel.journal.memory import MemoryJournal
from histrio_kernel.journal.stored import Stored


@attrs.frozen
class Do(histrio.Request[object]):
    """Do what stands under that name."""

    name: str


async def sleep() -> None:
    """A plain wait."""
    await trio.sleep(1)


async def checkpoint() -> None:
    """A plain wait that takes no time."""
    await trio.lowlevel.checkpoint()


async def in_a_nursery() -> None:
    """A plain wait for tasks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 1)


DEEDS: dict[str, Callable[[], object]] = {
    "time.time": time.time,
    "a name of one's own for time.monotonic": seconds_now,
    "datetime.now": dt.datetime.now,
    "date.today": dt.date.today,
    "trio.current_time": trio.current_time,
    "random.random": random.random,
    "random.randint": lambda: random.randint(1, 6),
    "random.shuffle": lambda: random.shuffle([1, 2, 3]),
    "uuid4": uuid.uuid4,
    "secrets": secrets.token_hex,
    "os.urandom": lambda: os.urandom(8),
    "os.getpid": os.getpid,
    "open": lambda: open(__file__),  # noqa: SIM115
    "Path.read_text": lambda: Path(__file__).read_text(encoding="utf-8"),
    "os.listdir": os.listdir,
    "socket": lambda: socket.create_connection(("127.0.0.1", 9)),
    "getaddrinfo": lambda: socket.getaddrinfo("localhost", 80),
    "thread": threading.Thread(target=print).start,
    "subprocess": lambda: subprocess.run([sys.executable, "-c", "pass"], check=False),
    "time.sleep": lambda: time.sleep(0),
}

WAITS: dict[str, Callable[[], Awaitable[object]]] = {
    "trio.sleep": sleep,
    "checkpoint": checkpoint,
    "nursery": in_a_nursery,
}


class Doer(DurableActor[Do], behaviour="strict.doer"):
    """Does it."""

    def __init__(self) -> None:
        self.drawn: list[object] = []

    @histrio.handler(Do)
    async def do(self, do: Do) -> object:
        """See `Do`."""
        try:
            if do.name in DEEDS:
                return str(DEEDS[do.name]())
            if do.name in WAITS:
                await WAITS[do.name]()
                await self.spawn(Doer)
            if do.name.endswith(" and the end"):
                await WAITS[do.name.removesuffix(" and the end")]()
            if do.name == "allowed":
                return await self.all_that_is_allowed()
        except NotRecorded as error:
            return str(error)
        return "nothing was said"

    async def all_that_is_allowed(self) -> str:
        """What can be done again."""
        self.drawn.append((self.now(), self.random.random(), self.uuid(), random.Random(7).random()))
        self.drawn.append(sorted({"b", "a"}))
        assert await histrio.both(self.io(double, 1), self.io(double, 3)) == (2, 6)
        await histrio.either(self.io(double, 100), self.sleep(0.1))
        done = self.io(double, 4)
        await done
        for _ in range(1_000):
            await done  # now and then, this lets others go first
        child = await self.spawn(Doer)
        await child.tell(Do("nothing"))
        return f"{await child.ask(Do('nothing'))} {len(self.drawn)}"


def answers(*names: str, strict: bool = True, stored: Stored | None = None) -> list[str]:
    """What a doer answers."""

    async def main() -> list[str]:
        async with (
            histrio.open_system() as system,
            MemoryJournal(stored) as journal,
            open_tree(system, journal, strict=strict) as tree,
        ):
            doer = await tree.spawn(Doer, name="doer")
            return [str(await doer.ask(Do(name))) for name in names]

    return in_virtual_time(main)


@pytest.mark.parametrize("name", DEEDS)
def test_a_call_that_could_not_be_made_again_is_refused(name: str) -> None:
    """J3: with the path, the function, the line of the program, and what to use instead."""
    (answer,) = answers(name)

    assert answer.startswith("/doer: a durable handler calls ")
    assert f"{__file__}:" in answer
    assert "Use " in answer
    assert sys.getprofile() is None


@pytest.mark.parametrize("end", ["", " and the end"])
@pytest.mark.parametrize("name", WAITS)
def test_a_plain_wait_is_refused(name: str, end: str) -> None:
    """J3: its step never happened, with or without something behind the wait, and whoever catches the error."""
    with pytest.raises(histrio.ActorFailed, match=f"/doer waits for trio: .*, at {__file__}:.*self.io"):
        answers(f"{name}{end}")


def test_what_happens_to_be_collected_meanwhile_is_not_the_handlers() -> None:
    """J3: a finalizer of somebody else's garbage may run in any handler, and may do what it likes."""
    seen: list[float] = []

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            seen.append(time.time())

    def told(phase: str, _: object) -> None:
        seen.append(time.time())

    def make_and_collect() -> str:
        Garbage()
        gc.collect()
        time.time()
        return "not reached"

    DEEDS["garbage"] = make_and_collect
    gc.callbacks.append(told)  # as Hypothesis has one
    gc.disable()
    try:
        (answer,) = answers("garbage")
    finally:
        gc.enable()
        gc.callbacks.remove(told)
        del DEEDS["garbage"]

    assert len(seen) == 3
    assert "calls time.time" in answer, "what it calls itself is looked at again afterwards"


def test_what_can_be_done_again_is_not_refused() -> None:
    """J3: recorded time and chance, effects, timers, children and messages; and what a tree made so stores is as ever."""
    strict, other = Stored(), Stored()

    assert answers("allowed", stored=strict) == answers("allowed", strict=False, stored=other) == ["nothing was said 2"]
    for path in ("/doer", "/doer/doer#1"):
        first, second = (
            [
                (each.kind, each.key, each.payload)
                for each in stored.read(path, 0)
                if each.kind is not histrio.Kind.TIMER
            ]
            for stored in (strict, other)
        )
        assert first == second


def test_the_past_is_looked_at_too() -> None:
    """J3: what was recorded before it was looked at is found when it is done again."""
    stored = Stored()
    assert answers("time.time", strict=False, stored=stored)[0][0].isdigit()

    with pytest.raises(Quarantined, match="time"):
        answers("nothing", stored=stored)


def test_others_are_not_looked_at() -> None:
    """J3: a tree that is not strict refuses nothing of it."""
    for answer in answers("time.time", "random.random", "trio.sleep", strict=False):
        assert "durable handler" not in answer
