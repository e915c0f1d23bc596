"""M10: pipes between machines: in order, without tasks, never in a circle, and gone with either end."""

import gc
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count
from tests.machine.around.small import MULTI, PLAIN, machine_of, when, written
from tests.machine.drawn import mutate, mutations, schemas
from tests.machine.lab import Keeper

from histrio_kernel.machine.around.pipes import (
    PipeRefused,
    pipe,
    pipe_all,
    pipe_errors,
    pipe_many,
    pipes_from,
    pipes_into,
)
from histrio_kernel.machine.around.watcher import unkeyed
from histrio_kernel.machine.core.handlers import Kind
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition


def test_a_state_feeds_another() -> None:
    """M10: what enters is added, what leaves is removed, at once and in order; twenty pairs end as they should."""
    source, target = machine_of("source", "up"), machine_of("target", "usable", "other")
    seen = written(target)
    pipe(source, "up", target, "usable")
    for _ in range(20):
        source.add("up")
        assert "usable" in target
        source.remove("up")
        assert "usable" not in target

    assert seen == ["+usable", "-usable"] * 20
    assert target.tick("usable") == source.tick("up") == 40


@settings(max_examples=count("machine_examples"))
@given(st.data(), st.booleans())
def test_piped_states_are_equal_after_every_mutation(data: st.DataObject, flat: bool) -> None:
    """M10: all states of a drawn machine piped into a machine without relations: equal after each mutation, in order."""
    schema = data.draw(schemas())
    source: Machine[str] = Machine(schema, "source")
    names = [name for name in schema.names if name != "exception"]
    target: Machine[str] = Machine(
        Schema({name: Definition(multi=schema.definitions[name].multi) for name in names}), "target"
    )
    pipe_all(source, target, flat=flat)
    for mutation in data.draw(mutations(schema, 12)):
        mutate(unkeyed(source), mutation)

        assert [name for name in names if name in source] == [name for name in names if name in target]
    if not flat:
        assert [source.tick(name) for name in names] == [target.tick(name) for name in names]


def test_left_before_entered_and_in_the_order_of_the_source() -> None:
    """M10: of one transition of the source, what left is removed first; each in the order of the source's handlers."""
    source = machine_of("source", "c", "d", a=Definition(after=["b"]), b=PLAIN)
    target = machine_of("target", "a", "b", "c", "d")
    seen = written(target)
    pipe_many(source, target, ("a", "a"), ("b", "b"), ("c", "c"), ("d", "d"))
    source.set("c", "d")
    source.set("a", "b")
    source.set()

    assert seen == ["+c", "+d", "-c", "-d", "+b", "+a", "-b", "-a"]


def test_another_state_instead_of_removal() -> None:
    """M10: with `left`, the state that is given is added when the source's state leaves, and nothing is removed."""
    source = machine_of("source", "up")
    target = machine_of("target", "on", off=Definition(remove=["on"]))
    pipe(source, "up", target, "on", left="off")
    source.add("up")
    assert target.names == ("on",)
    source.remove("up")

    assert target.names == ("off",)


def test_a_multi_is_passed_on_each_time() -> None:
    """M10: a Multi that is called again is added again, unless the pipe is flat."""
    source = machine_of("source", tick=MULTI)
    target, flat = machine_of("target", tick=MULTI), machine_of("flat", tick=MULTI)
    pipe(source, "tick", target)
    pipe(source, "tick", flat, flat=True)
    source.add("tick")
    source.add("tick")

    assert target.tick("tick") == 3
    assert flat.tick("tick") == 1


def test_a_flat_pipe_makes_no_mutation_for_nothing() -> None:
    """M10: flat, what is so already is left alone; not flat, it is a transition of the target."""
    source, target, flat = machine_of("source", "x"), machine_of("target", "x"), machine_of("flat", "x")
    pipe(source, "x", target)
    pipe(source, "x", flat, flat=True)
    target.add("x")
    flat.add("x")
    seen, seen_flat = written(target), written(flat)
    source.add("x")

    assert seen == ["+x"]
    assert seen_flat == []


def test_a_flat_pipe_is_not_misled_by_what_waits() -> None:
    """M10: a target that is about to change is not looked at: the mutation waits behind what waits already."""
    source, target = machine_of("source", "x"), machine_of("target", "x", "go")
    pipe(source, "x", target, flat=True)
    target.add("x")

    def remove_then_feed(transition: Transition) -> None:
        target.remove("x")
        source.add("x")

    when(target, "go", remove_then_feed)
    target.add("go")

    assert "x" in target
    assert target.tick("x") == 3


def test_a_busy_target_takes_it_in_its_queue() -> None:
    """M10: a source that is mutated from a handler of the target feeds its queue, in order, after what waits there."""
    source, target = machine_of("source", "x", "y"), machine_of("target", "x", "y", "z", "go")
    seen = written(target)
    pipe_all(source, target)

    def feed(transition: Transition) -> None:
        target.add("z")
        assert source.add("x")
        assert source.add("y")
        assert source.remove("x")
        assert target.names == ("go",)

    when(target, "go", feed)
    target.add("go")

    assert seen == ["+go", "+z", "+x", "+y", "-x"]


def test_a_source_in_its_drain_feeds_between_its_transitions() -> None:
    """M10: each transition of a drain is passed on when it is over, before the next: the target sees the same steps."""
    source = machine_of("source", "a", "b", idle=Definition(auto=True, remove=["a"]), a=Definition(remove=["idle"]))
    target = machine_of("target", "a", "b", "idle")
    pipe_all(source, target)
    steps: list[tuple[tuple[str, ...], tuple[str, ...]]] = []
    when(target, "b", lambda _: steps.append((source.names, target.names)))
    when(source, "a", lambda _: source.add("b"))
    source.add("a")
    source.remove("a")

    assert steps == [(("b", "a"), ("b", "a"))], "the target got b when the source was at b"
    assert set(target.names) == {"b", "idle"}


def test_what_was_rolled_back_has_passed_nothing() -> None:
    """M3, M10: a state whose handler failed has not entered for the target; its error is passed on by `pipe_errors`."""
    source, target = machine_of("source", "x"), machine_of("target", "x", "err_source")
    pipe(source, "x", target)
    pipe_errors(source, target, "err_source")
    seen = written(target)

    def fail(transition: Transition) -> None:
        raise OSError("no")

    when(source, "x", fail)
    assert not source.add("x")

    assert seen == ["+err_source,exception"]
    assert target.all("err_source", "exception")
    assert target.error is source.error
    assert isinstance(target.error, OSError)


def test_errors_come_one_by_one() -> None:
    """M8, M10: every error of the source is one of the target, also a second one; that it is over is not passed on."""
    source, target = machine_of("source", "x"), machine_of("target", "y")
    pipe_errors(source, target)
    source.fail(OSError("one"))
    source.fail(OSError("two"))
    assert str(target.error) == "two"
    assert target.tick("exception") == 3
    source.remove("exception")
    assert "exception" in target

    target.remove("exception")
    source.add("exception")
    assert "exception" in target
    assert target.error is None


def test_errors_that_wait_are_not_taken_for_each_other() -> None:
    """M8, M10: of two errors reported from inside one transition, the target gets each, in order, and not the last twice."""
    source, target = machine_of("source", "x"), machine_of("target", "y")
    pipe_errors(source, target)
    errors: list[str] = []
    when(target, "exception", lambda t: errors.append(str(t.cause)))

    def fail_twice(transition: Transition) -> None:
        source.fail(OSError("one"))
        source.fail(OSError("two"))

    when(source, "x", fail_twice)
    source.add("x")

    assert errors == ["one", "two"]


def test_the_whole_machine_but_not_its_exception() -> None:
    """M10: `pipe_all` takes the states of the same names; `exception` has an error, which is not a state's business."""
    source, target = machine_of("source", "a", "b", "c"), machine_of("target", "b", "c", "d")
    made = pipe_all(source, target)
    source.fail(OSError())
    source.set("a", "b")

    assert [str(edge) for edge in made.edges] == ["source.b -> target.b", "source.c -> target.c"]
    assert target.names == ("b",)


def test_arguments_go_along_by_a_function() -> None:
    """M10: the target's handlers get what the function makes of the source's transition, also when a state leaves."""
    source, target = machine_of("source", "x"), machine_of("target", "y", "z")
    got: list[object] = []
    when(target, "y", lambda t: got.append(t.args))
    when(target, "y", lambda t: got.append(t.args), Kind.EXITED)
    when(target, "z", lambda t: got.append(t.args))
    pipe(source, "x", target, "y", args=lambda transition: ("seen", transition.args))
    pipe_many(source, target, ("x", "z"), args=lambda transition, state: state)
    source.add("x", args=3)
    source.remove("x", args=4)

    assert got == [("seen", 3), "x", ("seen", 4)]


def test_the_target_may_refuse() -> None:
    """M10: a veto or a relation of the target is its own affair: the pipe goes on with what comes next."""
    source = machine_of("source", "x")
    target = machine_of("target", "ok", x=Definition(require=["ok"]))
    made = pipe(source, "x", target)
    source.add("x")
    assert "x" not in target
    source.remove("x")
    target.add("ok")
    source.add("x")

    assert "x" in target
    assert not made.is_closed


def test_sync_aligns_what_was_missed() -> None:
    """M10: what was active before, or was changed behind the pipe's back, is aligned by `sync`, and nothing else moves."""
    source, target = machine_of("source", "a", "b"), machine_of("target", "a", "b", "other")
    source.add("a")
    target.add("b", "other")
    seen = written(target)
    made = pipe_all(source, target)
    assert seen == []
    assert made.sync() == (EXECUTED, EXECUTED)
    assert set(target.names) == {"a", "other"}
    assert made.sync() == ()
    assert seen == ["-b", "+a"]

    exported = source.export()
    source.add("b")
    source.load(exported)
    made.sync()
    assert set(target.names) == {"a", "other"}


def test_a_pipe_ends_with_its_block_or_by_close() -> None:
    """M10: after its block, or `close`, nothing passes, and neither end lists it."""
    source, target = machine_of("source", "x"), machine_of("target", "x")
    with pipe(source, "x", target) as made:
        assert [str(edge) for edge in pipes_from(source)] == ["source.x -> target.x"]
        assert pipes_into(target) == pipes_from(source)
        assert pipes_from(target) == pipes_into(source) == ()
        source.add("x")
    source.remove("x")

    assert "x" in target
    assert made.is_closed
    assert made.sync() == ()
    assert pipes_from(source) == pipes_into(target) == ()
    assert repr(made) == "<Pipe source.x -> target.x, closed>"
    made.close()


def test_a_pipe_closed_within_a_transition_passes_nothing_more() -> None:
    """M10: closing counts at once, also from a handler of the transition that would have been passed on."""
    source, target = machine_of("source", "x"), machine_of("target", "x")
    made = pipe(source, "x", target)
    when(source, "x", lambda _: made.close())
    source.add("x")

    assert "x" not in target


@pytest.mark.parametrize("end", ["source", "target"])
def test_disposal_of_either_end_closes_it(end: str) -> None:
    """M10: a disposed machine has no open pipes, and the other one works on."""
    machines = {"source": machine_of("source", "x"), "target": machine_of("target", "x")}
    source, target = machines["source"], machines["target"]
    made = pipe(source, "x", target)
    machines[end].dispose()

    assert made.is_closed
    assert pipes_from(source) == pipes_into(target) == ()
    if end == "target":
        assert source.add("x")
        assert source.more is not None
        assert source.more.tracers == ()
    with pytest.raises(PipeRefused, match=f"{end} is disposed"):
        pipe(source, "x", target)


def test_over_evolve_of_the_source() -> None:
    """M10: states keep feeding under their new numbers; one that is gone has left for the target, too."""
    source, target = machine_of("source", "a", "b", "c"), machine_of("target", "a", "b", "c")
    made = pipe_all(source, target)
    source.add("a", "b")
    source.evolve(Schema({"z": PLAIN, "c": PLAIN, "b": PLAIN}))
    assert set(target.names) == {"b"}
    source.set("c")
    assert set(target.names) == {"c"}
    source.evolve(Schema({"a": PLAIN}))
    assert target.none("a", "b", "c")
    source.add("a")
    assert set(target.names) == {"a"}
    assert made.sync() == ()


def test_a_target_that_lost_the_state_breaks_the_pipe() -> None:
    """M9, M10: what cannot be passed on closes the pipe and is reported once, with the pipe in the note; both work on."""
    source, target = machine_of("source", "a"), machine_of("target", "a")
    keeper = Keeper()
    source.set_shell(keeper)
    made = pipe(source, "a", target)
    target.evolve(Schema({"b": PLAIN}))

    assert source.add("a")
    assert keeper.failed == [made]
    assert made.is_closed
    assert source.remove("a")
    assert keeper.failed == [made]


def test_a_full_queue_breaks_the_pipe() -> None:
    """M5, M10: a target that cannot take it is not left to differ silently."""
    source = machine_of("source", "a")
    target: Machine[str] = Machine(Schema({"a": PLAIN, "go": PLAIN}), "target", queue_max=1)
    keeper = Keeper()
    source.set_shell(keeper)
    made = pipe(source, "a", target)

    def feed(transition: Transition) -> None:
        source.add("a")
        source.remove("a")

    when(target, "go", feed)
    target.add("go")

    assert made.is_closed
    assert keeper.failed == [made]
    assert "a" in target


def test_a_function_for_arguments_that_raises_breaks_the_pipe() -> None:
    """M9, M10: its error is reported as a tracer's, and the source does not notice."""
    source, target = machine_of("source", "a"), machine_of("target", "a")
    keeper = Keeper()
    source.set_shell(keeper)
    made = pipe(source, "a", target, args=lambda transition: 1 // 0)

    assert source.add("a") is EXECUTED
    assert "a" not in target
    assert keeper.failed == [made]


def test_a_mutation_by_a_pipe_tells_where_it_came_from() -> None:
    """M9, M10: the source of the target's transition is the source's transition, through several machines."""
    a, b, c = machine_of("a", "x"), machine_of("b", "x"), machine_of("c", "x")
    sources: list[str] = []

    def note(transition: Transition) -> None:
        assert transition.source is not None
        sources.append(f"{transition.source.machine}/{transition.source.transition}")

    when(b, "x", note)
    when(c, "x", note)
    pipe(a, "x", b)
    pipe(b, "x", c)
    a.add()
    a.add("x")

    assert sources == ["a/2", "b/1"]


def test_a_pipe_keeps_its_source_alive_no_longer_than_others_do() -> None:
    """M10: a source that nobody holds is gone with its pipes, and the target does not list them."""
    target = machine_of("target", "x")
    source = machine_of("source", "x")
    gone = weakref.ref(source)
    pipe(source, "x", target)
    assert len(pipes_into(target)) == 1
    del source
    gc.collect()

    assert gone() is None
    assert pipes_into(target) == ()
