"""M3: what is no error of a program (KeyboardInterrupt, Cancelled) goes on up, and leaves the machine whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest
from tests.machine.lab import Lab, raises
from tests.machine.test_resolution import assert_consistent

from histrio_kernel.machine.core.handlers import Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Canceled, Queued, Ticket
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

PLAIN: Final = Definition()
FINAL: Final = (Kind.ENTERED, Kind.EXITED, Kind.ANY_ENTERED)


def stop(transition: Transition) -> object:
    """What Ctrl-C does in a handler."""
    raise KeyboardInterrupt


def assert_whole(machine: Machine) -> None:
    """Nothing runs, all invariants hold, and the next mutation is executed."""
    assert machine.transition is None
    assert_consistent(machine)
    assert machine.add("free") is EXECUTED
    assert "free" in machine


SLOTS: Final = [
    Slot(Kind.MAY_ENTER, "a"),
    Slot(Kind.MAY_EXIT, "old"),
    Slot(Kind.STAYS, "stay"),
    Slot(Kind.BESIDE, "a", "stay"),
    Slot(Kind.ANY_MAY_ENTER),
    Slot(Kind.EXITED, "old"),
    Slot(Kind.ENTERED, "a"),
    Slot(Kind.ANY_ENTERED),
]


@pytest.mark.parametrize("slot", SLOTS, ids=str)
def test_an_interrupted_handler(slot: Slot) -> None:
    """M3: wherever it strikes, the transition is concluded as after an error, and no `exception` comes of it."""
    armed: list[bool] = []
    lab = Lab(
        {"old": PLAIN, "stay": PLAIN, "a": Definition(remove=["old"]), "free": PLAIN},
        {slot: lambda t: stop(t) if armed else None},
    )
    lab.machine.add("old", "stay")
    armed.append(True)

    with pytest.raises(KeyboardInterrupt):
        lab.machine.add("a")

    armed.clear()
    left = lab.machine.tick("old") == 2
    assert left == (slot.kind in FINAL)
    assert ("a" in lab.machine) == (slot.kind is Kind.ANY_ENTERED)
    assert "exception" not in lab.machine
    assert lab.machine.error is None
    assert lab.writer.seen[-1] == "+a!"
    assert_whole(lab.machine)


def test_an_interrupt_in_exited_lets_nobody_in() -> None:
    """M3: after an interrupt no further handler is told, so what has not been told of its entering leaves again."""
    lab = Lab({"old": PLAIN, "a": PLAIN, "free": PLAIN}, {Slot(Kind.EXITED, "old"): stop})
    lab.machine.add("old")
    lab.calls.clear()

    with pytest.raises(KeyboardInterrupt):
        lab.machine.set("a")

    assert [call for call in lab.calls if "entered" in call] == []
    assert lab.machine.names == ()
    assert "rolled back a" in lab.keeper.heard


def test_an_interrupt_goes_before_an_error() -> None:
    """M3: after an error in one `exited` an interrupt in the next one is what goes up; the error is its note."""
    lab = Lab({"a": PLAIN, "b": PLAIN, "free": PLAIN}, {Slot(Kind.EXITED, "a"): raises, Slot(Kind.EXITED, "b"): stop})
    lab.machine.add("a", "b")

    with pytest.raises(KeyboardInterrupt) as caught:
        lab.machine.set()

    assert "Oops" in "".join(caught.value.__notes__)
    assert_whole(lab.machine)


def test_what_waits_runs_with_the_next_mutation() -> None:
    """M3, M5: mutations that were queued before the interrupt are not lost: they run first, and their tickets resolve."""
    tickets: list[Ticket] = []

    def queue(transition: Transition) -> object:
        for state in ("b", "c"):
            result = lab.machine.add(state)
            assert isinstance(result, Queued)
            tickets.append(result.ticket)
        return stop(transition)

    lab = Lab({"a": PLAIN, "b": PLAIN, "c": PLAIN, "free": PLAIN}, {Slot(Kind.ENTERED, "a"): queue})
    with pytest.raises(KeyboardInterrupt):
        lab.machine.add("a")
    assert [ticket.result for ticket in tickets] == [None, None]
    assert lab.machine.pending("b")

    assert lab.machine.add("free")

    assert lab.writer.seen == ["+a!", "+b", "+c", "+free"]
    assert [ticket.result for ticket in tickets] == [EXECUTED, EXECUTED]


def test_an_interrupt_among_what_waits() -> None:
    """M3: one that strikes in a leftover stops the mutation that set it going; what is behind still waits."""

    def queue(transition: Transition) -> object:
        lab.machine.add("b")
        lab.machine.add("c")
        return stop(transition)

    deeds = {Slot(Kind.ENTERED, "a"): queue, Slot(Kind.ENTERED, "b"): stop}
    lab = Lab({"a": PLAIN, "b": PLAIN, "c": PLAIN, "free": PLAIN}, deeds)
    with pytest.raises(KeyboardInterrupt):
        lab.machine.add("a")

    with pytest.raises(KeyboardInterrupt):
        lab.machine.add("free")
    assert lab.machine.names == ()
    assert lab.machine.add("free")
    assert set(lab.machine.names) == {"c", "free"}


def test_an_interrupted_dry_run_changes_nothing() -> None:
    """M3, M10: an interrupt in a dry run goes up, and that is all."""
    lab = Lab({"a": PLAIN, "free": PLAIN}, {Slot(Kind.MAY_ENTER, "a"): stop})

    with pytest.raises(KeyboardInterrupt):
        lab.machine.can_add("a")

    assert lab.machine.time == (0, 0, 0)
    assert_whole(lab.machine)


class Striking(Tracer):
    """A tracer in which the interrupt strikes once, at one step."""

    def __init__(self) -> None:
        self.at = ""

    def strike(self, step: str) -> None:
        """If it is this step."""
        if self.at == step:
            self.at = ""
            raise KeyboardInterrupt

    def queued(self, mutation: object) -> None:
        self.strike("queued")

    def init(self, transition: Transition) -> None:
        self.strike("init")

    def start(self, transition: Transition) -> None:
        self.strike("start")

    def handler(self, transition: Transition, slot: Slot, binding: int) -> None:
        self.strike("handler")

    def finals(self, transition: Transition) -> None:
        self.strike("finals")

    def end(self, transition: Transition) -> None:
        self.strike("end")

    def queue_end(self) -> None:
        self.strike("queue_end")


@pytest.mark.parametrize("step", ["init", "start", "handler", "finals", "end"])
@pytest.mark.parametrize("known", [False, True])
def test_an_interrupt_in_a_tracer(step: str, known: bool) -> None:
    """M3, M5, M9: its transition ends there, with a result for whoever has the ticket; nobody is left half in."""
    tickets: list[Ticket] = []
    tracer = Striking()

    def queue(transition: Transition) -> object:
        result = lab.machine.add("b")
        assert isinstance(result, Queued)
        tickets.append(result.ticket)
        return None

    def arm(transition: Transition) -> object:
        if not strikes_in and transition.called == (0,):
            strikes_in.append("a" if step == "end" else "b")  # the first one, which calls this, has its `end` to come
            tracer.at = step
        return None

    strikes_in: list[str] = []
    lab = Lab({"a": PLAIN, "b": PLAIN, "free": PLAIN}, {Slot(Kind.ENTERED, "a"): queue, Slot(Kind.ANY_ENTERED): arm})
    for _ in range(2 * known):
        lab.machine.toggle("b")
    lab.machine.attach(tracer)
    lab.keeper.heard.clear()

    with pytest.raises(KeyboardInterrupt):
        lab.machine.add("a")

    ticket = tickets[0]
    if strikes_in == ["b"]:
        assert isinstance(ticket.result, Canceled)
        assert lab.machine.names == ("a",)
        assert lab.keeper.heard.count("moved") == lab.keeper.heard.count("settled")
    assert_whole(lab.machine)
    assert ticket.result is not None


@pytest.mark.parametrize("step", ["queued", "queue_end"])
def test_an_interrupt_before_or_after_all_transitions(step: str) -> None:
    """M3, M9: a mutation that was interrupted before it began has changed nothing; after the queue, all is done."""
    tracer = Striking()
    lab = Lab({"a": PLAIN, "free": PLAIN})
    lab.machine.attach(tracer)
    tracer.at = step

    with pytest.raises(KeyboardInterrupt):
        lab.machine.add("a")

    assert ("a" in lab.machine) == (step == "queue_end")
    assert_whole(lab.machine)


@pytest.mark.parametrize("deed", [stop, raises])
def test_the_source_is_reset(deed: Callable[[Transition], object]) -> None:
    """M9: after whatever a handler raised, a mutation from outside has no source."""
    lab = Lab({"a": PLAIN, "free": PLAIN}, {Slot(Kind.ENTERED, "a"): deed})
    sources: list[object] = []

    class Sources(Tracer):
        def init(self, transition: Transition) -> None:
            sources.append(transition.source)

    lab.machine.attach(Sources())
    with suppress(KeyboardInterrupt):
        lab.machine.add("a")
    sources.clear()

    lab.machine.add("free")

    assert sources == [None]
