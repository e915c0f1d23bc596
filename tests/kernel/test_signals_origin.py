"""J1: a signal tells which handler it belongs to, and which signal of whom it follows from."""

from __future__ import annotations

import functools

import attrs
import pytest
import trio
import trio.testing
from tests.kernel.hearing import settle

import histrio
from histrio import Kind, Signal

Clock = trio.testing.MockClock


@attrs.frozen
class Go:
    """Have `Chief` do something."""

    what: str


@attrs.frozen
class Work:
    """For `Helper`."""

    number: int = 0


class Helper(histrio.Actor[Work]):
    """Is sent messages, and fails at the third."""

    inbox_max = 2

    async def receive(self, message: Work) -> None:
        if message.number == 3:
            raise ValueError("three")


class Chief(histrio.Actor[Go]):
    """Does what a handler can do to others."""

    def __init__(self, helper: histrio.Ref[Work]) -> None:
        self.helper = helper

    async def send(self) -> None:
        """Send one."""
        await self.helper.tell(Work())

    async def receive(self, message: Go) -> None:
        match message.what:
            case "tell":
                await self.send()
            case "operation":
                await self.io(self.send)
            case "nursery":
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self.send)
            case "stop":
                self.helper.control.stop()
            case "spawn":
                await self.spawn(Helper, name="child")
            case "wait":
                await self.io(trio.sleep, 1)
                await self.send()
            case "select":
                await self.select(Go)
                await self.send()
            case "withdraw":
                operations = [self.io(trio.sleep_forever) for _ in range(2)]
                for each in reversed(operations):
                    each.cancel()
            case _:
                raise ValueError(message.what)

    io_max = 1


async def heard_of(*whats: str) -> list[Signal]:
    """What is heard while a chief does these things."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        helper = await system.spawn(Helper, name="helper")
        chief = await system.spawn(Chief, helper, name="chief")
        system.listen(heard.append)
        for what in whats:
            await chief.tell(Go(what))
            await settle()
        await trio.sleep(5)
    return heard


def first(heard: list[Signal], path: str, kind: Kind) -> Signal:
    """The first of that kind of that actor."""
    return next(signal for signal in heard if signal.path == path and signal.kind is kind)


@pytest.mark.parametrize(("what", "scope"), [("tell", 1), ("operation", 0), ("nursery", 0)])
async def test_who_sent_a_message(what: str, scope: int, autojump_clock: Clock) -> None:
    """J1: SEND is the actor's whoever of it sends: a handler, its operation, a task of its nursery; RECEIVE follows from it."""
    heard = await heard_of(what)
    send = first(heard, "/chief", Kind.SEND)

    assert (send.detail, send.scope) == (("/helper", Work()), scope)
    assert first(heard, "/helper", Kind.RECEIVE).cause == ("/chief", send.seq)


async def test_what_a_handler_does_belongs_to_its_message(autojump_clock: Clock) -> None:
    """J1: handlers that take turns are kept apart: each thing belongs to the RECEIVE of its own handler."""
    heard = await heard_of("wait", "tell", "select", "tell")
    scopes = [(signal.kind.name, signal.seq, signal.scope) for signal in heard if signal.path == "/chief"]

    assert [each for each in scopes if each[0] not in ("CONTROL", "STOP")] == [
        ("RECEIVE", 1, 0),
        ("USE", 2, 1),
        ("RECEIVE", 3, 0),
        ("SEND", 4, 3),
        ("RECEIVE", 5, 0),
        ("RESUME", 6, 5),
        ("RECEIVE", 7, 5),  # the selected one
        ("SEND", 8, 5),
        ("RESOLVED", 9, 0),
        ("RESUME", 10, 1),
        ("SEND", 11, 1),
    ]


async def test_what_one_actor_does_to_another(autojump_clock: Clock) -> None:
    """J1: a child's START follows from the SPAWN, and a CONTROL from the RECEIVE of the handler that controls."""
    heard = await heard_of("spawn", "stop")

    assert first(heard, "/chief/child", Kind.START).cause == ("/chief", first(heard, "/chief", Kind.SPAWN).seq)
    stop = first(heard, "/helper", Kind.CONTROL)
    receive = [signal for signal in heard if signal.path == "/chief" and signal.detail == Go("stop")]
    assert stop.cause == ("/chief", receive[0].seq)
    assert stop.scope == 0


async def test_a_crash_belongs_to_its_handler(autojump_clock: Clock) -> None:
    """J1: CRASH tells which message it was, and what comes after belongs to no handler."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        above = await system.spawn(histrio.Supervisor, spec := histrio.child("helper", Helper))
        helper = above.child(spec)
        system.listen(heard.append)
        await helper.tell(Work(3))
        await trio.sleep(1)
        await helper.tell(Work())

    of_helper = [(signal.kind.name, signal.scope) for signal in heard if signal.path == helper.path]
    assert of_helper[:5] == [("RECEIVE", 0), ("CRASH", 1), ("STOP", 0), ("RESTART", 0), ("START", 0)]


async def test_a_refused_message_is_the_cause_of_nothing(autojump_clock: Clock) -> None:
    """J1: what was not delivered is forgotten, also if the same object is sent again."""
    heard: list[Signal] = []
    work = Work()

    class Insists(histrio.Actor[Go]):
        """Sends until it is taken."""

        async def receive(self, message: Go) -> None:
            for _ in range(9):
                try:
                    helper.tell_nowait(work)
                    break
                except histrio.InboxFull:
                    await self.io(trio.sleep, 1)

    async with histrio.open_system() as system:
        helper = await system.spawn(Helper, name="helper")
        system.listen(heard.append)
        await helper.control.pause()
        for number in (1, 2):
            await helper.tell(Work(number))
        insists = await system.spawn(Insists, name="insists")
        await insists.tell(Go("on"))
        await trio.sleep(2.5)
        helper.control.resume()
        await trio.sleep(5)

    sends = [signal.seq for signal in heard if signal.path == "/insists" and signal.kind is Kind.SEND]
    received = [signal for signal in heard if signal.path == "/helper" and signal.detail is work]
    assert len(sends) == 4
    assert [signal.cause for signal in received if signal.kind is Kind.RECEIVE] == [("/insists", sends[-1])]


async def test_an_operation_that_never_began_is_resolved(autojump_clock: Clock) -> None:
    """J1: each USE has its RESOLVED, also of an operation that was withdrawn before it had a place."""
    heard = await heard_of("withdraw")
    kinds = [signal.kind for signal in heard if signal.path == "/chief"]

    assert kinds.count(Kind.USE) == kinds.count(Kind.RESOLVED) == 2


@pytest.mark.parametrize("what", ["stop", "kill"])
async def test_control_of_one_that_waits_for_its_restart(what: str, autojump_clock: Clock) -> None:
    """J1: CONTROL is heard also while there is no incarnation."""
    heard: list[Signal] = []
    spec = histrio.child("helper", Helper)
    async with histrio.open_system() as system:
        waits = functools.partial(histrio.Supervisor, spec, backoff=histrio.Backoff(first_s=10, max_s=10))
        above = await system.spawn(waits, name="above")
        helper = above.child(spec)
        await helper.tell(Work(3))
        await trio.sleep(1)
        system.listen(heard.append)
        (helper.control.stop if what == "stop" else helper.control.kill)()
        await settle()

    assert [(signal.kind, signal.detail) for signal in heard if signal.path == helper.path][:1] == [
        (Kind.CONTROL, what)
    ]


async def test_nothing_is_kept_when_nobody_listens(autojump_clock: Clock) -> None:
    """J1: what was remembered for readers is forgotten with the last one."""
    heard: list[Signal] = []
    async with histrio.open_system() as system:
        helper = await system.spawn(Helper, name="helper")
        chief = await system.spawn(Chief, helper, name="chief")
        detach = system.listen(heard.append)
        await chief.tell(Go("wait"))
        await settle()
        signals = system.engine.signals
        assert len(signals._scopes) == 1
        detach()
        assert (len(signals._scopes), len(signals._sent), len(signals._spawned)) == (0, 0, 0)
        await trio.sleep(2)
        system.listen(heard.append)
        await chief.tell(Go("tell"))
        await settle()

        assert (len(signals._scopes), len(signals._sent), len(signals._spawned)) == (0, 0, 0)
