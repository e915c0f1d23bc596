"""M1, M8, M9, M10: tables of handlers, tracers, sources, interrupts, other schemas, and machines as data."""

import pytest
from tests.machine.lab import Keeper, Lab, Writer

from histrio_kernel.machine.core.errors import ImportRefused, MachineBusy, SchemaError, UnknownState
from histrio_kernel.machine.core.exporting import Exported
from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.moves import Mutation
from histrio_kernel.machine.core.results import Canceled
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Tracer

PLAIN = Definition()


def quiet(owner: object, transition: Transition) -> None:
    """A handler that does nothing."""


async def slow(owner: object, transition: Transition) -> None:
    """A handler that could wait."""


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"fetched": {}, "idle": {"remove": ["fetchd"]}}, "did you mean 'fetched'"),
        ({"a": {"require": ["b"], "remove": ["b"]}, "b": {}}, "both in its 'require'"),
        ({"a": {"add": ["b"], "remove": ["b"]}, "b": {}}, "both in its 'add'"),
        ({"a": {"remve": []}}, "did you mean 'remove'"),
        ({"a": {"auto": 1}}, "must be true or false"),
        ({"a": {"add": "b"}}, "must be a list"),
    ],
)
def test_a_bad_schema_is_refused(rows: dict[str, dict[str, object]], words: str) -> None:
    """M10: an unknown name, a contradiction or a wrong field is a `SchemaError` that names the nearest name."""
    with pytest.raises(SchemaError, match=words):
        Schema.from_data(rows)


def test_a_schema_goes_to_data_and_back() -> None:
    """M10: what `to_data` gives makes the same schema."""
    schema = Schema({"a": Definition(auto=True, require=["b"], tags=["x"]), "b": Definition(multi=True, quiet=True)})

    again = Schema.from_data(schema.to_data())

    assert again.definitions == schema.definitions
    assert again.names == schema.names


@pytest.mark.parametrize(
    ("handlers", "words"),
    [
        ([Handler(Slot(Kind.ENTERED, "a"), quiet)] * 2, "two handlers for a.entered"),
        ([Handler(Slot(Kind.MAY_ENTER, "a"), slow)], "coroutine function"),
        ([Handler(Slot(Kind.BESIDE, "a"), quiet)], "cannot be about"),
        ([Handler(Slot(Kind.BESIDE, "a", "a"), quiet)], "not beside itself"),
        ([Handler(Slot(Kind.ENTERED, "onlne"), quiet)], "did you mean 'online'"),
    ],
)
def test_a_bad_table_is_refused(handlers: list[Handler], words: str) -> None:
    """M1: a duplicate, a wrong kind, a coroutine or an unknown state is an error where the table is made or bound."""
    machine = Machine(Schema({"online": PLAIN, "a": PLAIN}))

    with pytest.raises(SchemaError, match=words):
        machine.bind(HandlerTable(handlers))
    assert machine.add("a")


def test_an_unknown_state_is_named() -> None:
    """M10: a call with an unknown name raises, tells the nearest name, and changes nothing."""
    machine = Machine(Schema({"online": PLAIN}))

    with pytest.raises(UnknownState, match="did you mean 'online'"):
        machine.add("onlin")
    assert machine.time == (0, 0)


def test_bindings_are_called_in_order() -> None:
    """M1: several bindings are called in the order of binding; the first veto stops the rest."""
    calls: list[object] = []

    def ask(owner: object, transition: Transition) -> bool:
        calls.append(owner)
        return owner != "second"

    machine, table = Machine(Schema({"a": PLAIN})), HandlerTable([Handler(Slot(Kind.MAY_ENTER, "a"), ask)])
    for owner in ("first", "second", "third"):
        machine.bind(table, owner)

    assert isinstance(machine.add("a"), Canceled)
    assert calls == ["first", "second"]
    for owner in ("first", "second", "third"):
        machine.unbind(table, owner)
    assert machine.add("a")
    with pytest.raises(ValueError, match="not bound"):
        machine.unbind(table, "first")


def test_an_interrupt_leaves_the_machine_whole() -> None:
    """M3: what is no error of a program goes on up; its transition is concluded, and what waits runs with the next."""

    def stop(transition: Transition) -> object:
        lab.machine.add("b")
        raise KeyboardInterrupt

    lab = Lab({"a": PLAIN, "b": PLAIN}, {Slot(Kind.ENTERED, "a"): stop})

    with pytest.raises(KeyboardInterrupt):
        lab.machine.add("a")
    assert "a" not in lab.machine
    assert lab.machine.error is None
    lab.machine.remove("a")
    assert lab.machine.names == ("b",)


def test_a_tracer_that_raises_is_detached() -> None:
    """M9: it is reported once, and the transition goes on as if it had not been there."""

    class Bad(Tracer):
        def start(self, transition: Transition) -> None:
            raise ValueError

    machine, keeper, bad = Machine(Schema({"a": PLAIN})), Keeper(), Bad()
    machine.set_shell(keeper)
    machine.attach(bad)

    assert machine.add("a")
    assert machine.remove("a")
    assert keeper.failed == [bad]


def test_what_is_attached_within_counts_from_the_next_transition() -> None:
    """M9: a tracer attached in a handler does not see the transition that runs."""
    writer = Writer()
    lab = Lab({"a": PLAIN, "b": PLAIN})

    def attach(owner: object, transition: Transition) -> None:
        lab.machine.attach(writer)

    lab.machine.bind(HandlerTable([Handler(Slot(Kind.MAY_ENTER, "a"), attach)]))

    lab.machine.add("a")
    lab.machine.add("b")

    assert writer.seen == ["+b"]


def test_a_mutation_knows_its_source() -> None:
    """M9: a mutation made within a transition of another machine carries that machine, transition and tick."""
    queued: list[Mutation] = []

    class Sources(Tracer):
        def queued(self, mutation: Mutation) -> None:
            queued.append(mutation)

    first, second = Machine(Schema({"a": PLAIN}), name="first"), Machine(Schema({"b": PLAIN}))
    second.attach(Sources())

    def add(owner: object, transition: Transition) -> None:
        second.add("b")

    first.bind(HandlerTable([Handler(Slot(Kind.ENTERED, "a"), add)]))
    first.add("a")
    first.remove("a")
    first.add("a")
    second.remove("b")

    sources = [mutation.source for mutation in queued]
    assert [(each.machine, each.transition, each.tick) for each in sources if each] == [
        ("first", 1, 0),
        ("first", 3, 2),
    ]
    assert sources[2] is None


def test_what_a_tracer_mutates_is_queued() -> None:
    """M9: a mutation from any callback of a tracer waits until the transition that it saw is over."""
    seen: list[str] = []

    class Eager(Tracer):
        def queued(self, mutation: Mutation) -> None:
            if mutation.called == (0,):
                machine.add("b")

        def end(self, transition: Transition) -> None:
            seen.append(transition.schema.spell(transition.called))

    machine = Machine(Schema({"a": PLAIN, "b": PLAIN}))
    machine.attach(Eager())

    machine.add("a")

    assert seen == ["a", "b"]


def test_a_machine_goes_on_under_another_schema() -> None:
    """M10: ticks of kept states stay, what is gone leaves, and the rest is resolved under the new relations."""
    machine = Machine(Schema({"gone": PLAIN, "a": PLAIN, "b": PLAIN}))
    machine.add("gone", "a", "b")
    machine.toggle("b")
    machine.toggle("b")

    assert machine.evolve(Schema({"b": Definition(remove=["a"]), "a": PLAIN, "new": PLAIN}))

    assert machine.names == ("b",)
    assert [machine.tick(name) for name in ("b", "a", "new")] == [3, 2, 0]
    with pytest.raises(UnknownState):
        machine.tick("gone")


def test_evolving_within_is_queued() -> None:
    """M10: from inside a handler the new schema comes after the transition, and waiting mutations mean the same states."""

    def evolve(transition: Transition) -> object:
        lab.machine.evolve(Schema({"new": PLAIN, "b": PLAIN, "a": PLAIN}))
        lab.machine.add("b")
        return None

    lab = Lab({"a": PLAIN, "b": PLAIN}, {Slot(Kind.ENTERED, "a"): evolve})

    lab.machine.add("a")

    assert lab.machine.schema.names == ("new", "b", "a", "exception")
    assert set(lab.machine.names) == {"a", "b"}


def test_a_machine_goes_to_data_and_back() -> None:
    """M10: an import sets ticks and active states, in their order, without a handler."""
    lab = Lab({"a": PLAIN, "b": PLAIN})
    other = Machine(Schema({"b": PLAIN, "a": PLAIN}))
    other.add("b")
    other.add("a")

    lab.machine.load(other.export())

    assert lab.machine.names == other.names
    assert lab.machine.tick("a") == 1
    assert lab.calls == []


@pytest.mark.parametrize(
    "data",
    [
        Exported(["a", "b"], [0, 0], []),
        Exported(["a", "exception"], [1, 0], []),
        Exported(["a", "exception"], [0, -2], []),
        Exported(["a"], [0], []),
    ],
)
def test_a_strange_import_is_refused(data: Exported) -> None:
    """M10: data of another schema, or that contradicts itself, changes nothing."""
    machine = Machine(Schema({"a": PLAIN}))
    machine.add("a")

    with pytest.raises(ImportRefused):
        machine.load(data)
    assert machine.time == (1, 0)


def test_no_import_within_a_transition() -> None:
    """M10: an import from inside a handler is refused."""
    seen: list[MachineBusy] = []

    def load(transition: Transition) -> object:
        with pytest.raises(MachineBusy) as caught:
            lab.machine.load(lab.machine.export())
        seen.append(caught.value)
        return None

    lab = Lab({"a": PLAIN}, {Slot(Kind.ENTERED, "a"): load})

    assert lab.machine.add("a")
    assert len(seen) == 1


def test_a_disposed_machine_takes_nothing() -> None:
    """M5: after `dispose` mutations are CANCELED, and what waited is."""
    machine = Machine(Schema({"a": PLAIN}))
    machine.add("a")
    machine.dispose()

    assert isinstance(machine.remove("a"), Canceled)
    assert isinstance(machine.can_remove("a"), Canceled)
    assert "a" in machine


def test_questions() -> None:
    """M4: all, none, any, was, switch and membership."""
    machine = Machine(Schema({"a": PLAIN, "b": PLAIN, "c": PLAIN}))
    machine.add("a", "b")

    assert machine.all("a", "b")
    assert not machine.all("a", "c")
    assert machine.none("c")
    assert machine.any("c", "a")
    assert machine.was({"a": 1, "c": 0})
    assert not machine.was({"a": 2})
    assert machine.switch(["c"], ["b", "a"]) == "b"
    assert machine.switch(["c"]) is None
