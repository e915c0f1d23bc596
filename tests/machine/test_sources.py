"""M7, M9: what a mutation says about where it came from, whatever machine was mutated before; and slow handlers."""

import gc
import logging
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from weakref import ref

import pytest
from tests.machine.lab import Keeper

from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.source import ORIGIN, Source
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer


class Sources(Tracer):
    """Writes down where mutations came from."""

    def __init__(self, into: list[Source | None]) -> None:
        self.seen = into

    def queued(self, mutation: Mutation) -> None:
        """Note it."""
        self.seen.append(mutation.source)


def machine(name: str, deed: Callable[[], object] = lambda: None) -> Machine:
    """One of two states, which does a deed whenever one enters."""

    def entered(owner: object, transition: Transition) -> None:
        deed()

    made = Machine(Schema({"a": Definition(multi=True), "b": Definition()}), name)
    made.bind(HandlerTable(Handler(Slot(Kind.ENTERED, state), entered) for state in ("a", "b")))
    return made


def traced(seen: list[Source | None], name: str = "traced") -> Machine:
    """One that notes the sources of its mutations."""
    made = machine(name)
    made.attach(Sources(seen))
    return made


def test_what_follows_a_transition_comes_from_outside() -> None:
    """M9: once a transition is over, mutations of other machines in the same context have no source."""
    seen: list[Source | None] = []
    first, second = machine("first"), traced(seen)

    for _ in range(2):
        first.add("a")
        second.add("a")

    assert seen == [None, None]


def test_the_source_is_the_innermost_transition() -> None:
    """M9: within a handler that mutates a second machine, whose handler mutates a third, each knows its own source."""
    seen: list[Source | None] = []
    third = traced(seen)

    def deeper() -> None:
        second.add("a")
        third.add("a")

    second, outer = machine("second", lambda: third.add("a")), machine("outer", deeper)

    outer.add("a")
    outer.add("a")

    assert seen == [
        Source("second", 1, 0),
        Source("outer", 1, 0),
        Source("second", 2, 1),
        Source("outer", 2, 1),
    ]


def test_without_a_tracer_on_the_way_it_is_the_same() -> None:
    """M9: the source reaches a transition also where nobody but a handler takes part."""
    seen: list[Source | None] = []

    def entered(owner: object, transition: Transition) -> None:
        seen.append(transition.source)

    second = Machine(Schema({"a": Definition(multi=True)}))
    second.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "a"), entered)]))
    first = machine("first", lambda: second.add("a"))

    second.add("a")
    first.add("a")
    second.add("a")

    assert seen == [None, Source("first", 1, 0), None]


def test_a_task_keeps_its_source() -> None:
    """M9: in a task that was started for a transition, each mutation comes from that one, however many there are."""
    seen: list[Source | None] = []
    mine, other, source = machine("mine"), traced(seen), Source("elsewhere", 7, 3)

    def task() -> None:
        ORIGIN.set(source)
        other.add("a")
        mine.add("a")
        other.add("a", args=1)
        assert ORIGIN.get() is source

    copy_context().run(task)

    assert seen == [source, source]


def test_no_source_in_another_thread() -> None:
    """M9: a thread that inherited the context mutates its own machine while a transition runs: it is not a part of it."""
    seen: list[Source | None] = []
    theirs = traced(seen)

    def while_it_runs() -> None:
        thread = Thread(target=copy_context().run, args=(theirs.add, "a"))
        thread.start()
        thread.join()

    ours = machine("ours", while_it_runs)

    ours.add("a")

    assert seen == [None]


def test_a_context_does_not_keep_a_machine() -> None:
    """M9: what a context knows of the machine that was mutated last does not keep it alive."""
    gone = machine("gone")
    gone.add("a")
    watched = ref(gone)

    del gone
    gc.collect()

    assert watched() is None


def quick(owner: object, transition: Transition) -> None:
    """A handler that takes next to no time."""


class SlowKeeper(Keeper):
    """Keeps what was slow."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_ones: list[tuple[Transition, float]] = []

    def slow(self, transition: Transition, seconds: float) -> None:
        """Note it."""
        self.slow_ones.append((transition, seconds))


@pytest.mark.parametrize("kind", [Kind.MAY_ENTER, Kind.ENTERED])
@pytest.mark.parametrize(("slow_handler_s", "times"), [(0.0, 1), (1_000.0, 0)])
def test_slow_handlers_are_reported(kind: Kind, slow_handler_s: float, times: int) -> None:
    """M7: a transition whose sync handlers took longer than `slow_handler_s` of real time is told to the shell, once."""
    keeper, slow = SlowKeeper(), Machine(Schema({"a": Definition(), "b": Definition()}), slow_handler_s=slow_handler_s)
    slow.set_shell(keeper)
    slow.bind(HandlerTable(Handler(Slot(kind, state), quick) for state in ("a", "b")))

    assert slow.add("a", "b")
    assert slow.remove("a", "b")  # without a handler

    assert len(keeper.slow_ones) == times
    assert all(seconds > 0 and transition.op.name == "add" for transition, seconds in keeper.slow_ones)


def test_a_machine_without_a_shell_logs_slow_handlers(caplog: pytest.LogCaptureFixture) -> None:
    """M7: without a shell the report is a warning in the log."""
    slow = Machine(Schema({"a": Definition()}), slow_handler_s=0.0)
    slow.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "a"), quick)]))

    with caplog.at_level(logging.WARNING, "histrio.machine"):
        slow.add("a")

    assert "took" in caplog.text
