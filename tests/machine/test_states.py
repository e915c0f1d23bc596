"""M10: schemas as classes: what is inherited, defined anew, prefixed, grouped, tagged, and refused."""

from __future__ import annotations

import json
from typing import cast

import pytest

from histrio_kernel.machine.core.errors import SchemaError, UnknownState
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition, Schema
from histrio_kernel.machine.states.family import States, StatesMeta, schema_of
from histrio_kernel.machine.states.mixins import Basic, Connected, ConnectionPool, Disposable
from histrio_kernel.machine.states.state import State, StateGroup, exclusive, group


class Line(States):
    """One connection."""

    up = State(tags=["open"], remove=["down"])
    down = State(auto=True)
    err_line = State(remove=[up])
    either = group(up, down)


class Phone(Line):
    """A line that rings."""

    ringing = State(require=[Line.up])


def names_of(family: StatesMeta) -> tuple[str, ...]:
    """The states, in order."""
    return StatesMeta.schema(family).names


def row_of(family: StatesMeta, name: str) -> Definition:
    """One state as data."""
    return StatesMeta.schema(family).definitions[name]


# -- a class -------------------------------------------------------------------------------------------------------------


def test_states_are_in_the_order_of_the_class() -> None:
    """M10, M8: `exception` is the last one, Multi, and keeps its scope; it has no relations."""
    assert names_of(Line) == ("up", "down", "err_line", "exception")
    assert row_of(Line, "exception") == Definition(multi=True, keep=True)
    assert [state.name for state in Line] == list(names_of(Line))
    assert len(Line) == 4
    assert Line["down"] is Line.down
    assert Line.up in Line
    assert "up" not in Line
    assert repr(Line) == "<States Line: up, down, err_line, exception>"
    assert repr(Line.up) == "<State Line.up>"


def test_states_whose_names_say_so_are_errors() -> None:
    """M8: `err_...` requires `exception`."""
    machine = Machine(Line.schema())

    assert row_of(Line, "err_line").require == ("exception",)
    assert not machine.add("err_line")
    assert machine.fail(ValueError(), "err_line")
    assert machine.all("err_line", "exception")
    machine.remove("exception")
    assert "err_line" not in machine


def test_every_relation_and_flag_arrives() -> None:
    """M10: what a state is given is what the schema has."""

    class Many(States):
        a = State()
        b = State(
            auto=True,
            multi="keep",
            require=[a],
            add=["c"],
            after=[a, "c"],
            quiet=True,
            tags=["x", "y"],
            until_done=True,
        )
        c = State(multi=True, remove=["d"])
        d = State()

    assert row_of(Many, "b") == Definition(
        auto=True,
        multi=True,
        keep=True,
        require=["a"],
        add=["c"],
        after=["a", "c"],
        quiet=True,
        tags=["x", "y"],
        until_done=True,
    )
    assert row_of(Many, "c") == Definition(multi=True, remove=["d"])


def test_a_state_is_found_by_its_object_and_by_its_name() -> None:
    """M10: in every call of a machine."""
    machine = Machine(Phone.schema())

    assert machine.add(Phone.up, "ringing")
    assert machine.all("up", Phone.ringing, Line.up)
    assert machine.tick(Phone.up) == machine.tick("up") == 1
    assert machine.switch([Phone.down, Phone.ringing]) is Phone.ringing


def test_the_functions_of_a_class_may_be_names_of_states() -> None:
    """M10: a state may be called what it likes."""

    class Odd(States):
        schema = State(tags=["t"])
        groups = State()
        tagged = State()
        prefixed = State(require=[schema])
        from_data = State()
        name = State()
        mro = State()

    expected = ("schema", "groups", "tagged", "prefixed", "from_data", "name", "mro", "exception")
    family: StatesMeta = Odd
    assert schema_of(family).names == expected
    assert StatesMeta.tagged(Odd, "t") == (vars(Odd)["schema"],)
    assert StatesMeta.groups(Odd)["Odd"] is not None
    other = StatesMeta.prefixed(Odd, "x_")
    assert names_of(other)[3] == "x_prefixed"
    assert row_of(other, "x_prefixed").require == ("x_schema",)


def test_two_attributes_may_name_one_state() -> None:
    """M10: the first is its name."""

    class Twice(States):
        first = second = State()

    assert names_of(Twice) == ("first", "exception")
    assert Twice.second is Twice.first


# -- inheritance ---------------------------------------------------------------------------------------------------------


def test_a_subclass_has_all_states_and_may_name_them() -> None:
    """M10: those of the base first; one object serves both classes."""
    assert names_of(Phone) == ("up", "down", "err_line", "ringing", "exception")
    assert Phone.up is Line.up
    assert row_of(Phone, "ringing").require == ("up",)
    assert names_of(Line) == ("up", "down", "err_line", "exception")


def test_a_state_defined_anew_takes_the_place_of_the_inherited_one() -> None:
    """M10: for everybody who names it, by the old object too, and in its old place; the base is not touched."""

    class Quick(Phone):
        up = State(auto=True)

    assert names_of(Quick) == names_of(Phone)
    assert row_of(Quick, "up") == Definition(auto=True)
    assert row_of(Phone, "up") == Definition(tags=["open"], remove=["down"])
    machine = Machine(Quick.schema())
    assert machine.add(Line.up)
    assert machine.all(Quick.up, Phone.up, "up")
    assert row_of(Quick, "ringing").require == ("up",)


def test_several_bases_are_merged() -> None:
    """M10: a diamond has its states once; of two that have one name the first base's counts, as in Python."""

    class Left(Line):
        common = State(tags=["left"])
        left = State()

    class Right(Line):
        common = State(tags=["right"])
        right = State()

    class Both(Left, Right):
        both = State(require=[Left.left, Right.right])

    assert set(names_of(Both)) == {"up", "down", "err_line", "common", "left", "right", "both", "exception"}
    assert len(names_of(Both)) == len(set(names_of(Both)))
    assert row_of(Both, "common").tags == ("left",)
    machine = Machine(Both.schema())
    assert machine.add(Right.common)
    assert Left.common in machine


def test_an_exception_may_be_defined() -> None:
    """M8: with relations; it stands where it is defined, and the inherited name means it too."""

    class Own(States):
        busy = State()
        exception = State(multi=True, remove=[busy])
        calm = State()

    machine = Machine(Own.schema())
    machine.add(Own.busy)

    assert names_of(Own) == ("busy", "exception", "calm")
    machine.fail(ValueError())
    assert machine.names == ("exception",)
    assert States.exception in machine
    assert Own.exception in machine


# -- prefixes ------------------------------------------------------------------------------------------------------------


class Exchange(States):
    """Two lines in one schema."""

    out = Line.prefixed("out_")
    back = Phone.prefixed("back_")
    talking = State(require=[out.up, back.ringing])


def test_prefixed_states_are_copies_with_their_relations() -> None:
    """M10: under their new names, and found by the old attributes; `exception` is one for all."""
    assert names_of(Exchange) == (
        "out_up",
        "out_down",
        "out_err_line",
        "back_up",
        "back_down",
        "back_err_line",
        "back_ringing",
        "talking",
        "exception",
    )
    assert Exchange.out.up.name == "out_up"
    assert row_of(Exchange, "out_down") == Definition(auto=True)
    assert row_of(Exchange, "out_up") == Definition(tags=["open"], remove=["out_down"])
    assert row_of(Exchange, "back_ringing").require == ("back_up",)
    assert row_of(Exchange, "out_err_line") == Definition(require=["exception"], remove=["out_up"])
    assert row_of(Exchange, "talking").require == ("out_up", "back_ringing")
    machine = Machine(Exchange.schema())
    assert machine.add(Exchange.out.up, Exchange.back.up, Exchange.back.ringing, Exchange.talking)
    with pytest.raises(UnknownState):
        machine.add(Line.up)


def test_prefixed_groups_are_of_the_copies() -> None:
    """M10: each part is a group of its attribute's name, too."""
    groups = StatesMeta.groups(Exchange)

    assert [state.name for state in Exchange.out.either] == ["out_up", "out_down"]
    assert [state.name for state in groups["out"]] == ["out_up", "out_down", "out_err_line"]
    assert [state.name for state in groups["Exchange"]] == ["talking"]


def test_a_prefix_on_a_prefix() -> None:
    """M10: as deep as one likes."""
    deep = StatesMeta.prefixed(Exchange, "x_")

    assert names_of(deep)[0] == "x_out_up"
    assert row_of(deep, "x_talking").require == ("x_out_up", "x_back_ringing")
    out = cast("type[Line]", vars(deep)["out"])
    assert out.up.name == "x_out_up"
    machine = Machine(StatesMeta.schema(deep))
    assert machine.add(out.up)
    assert "x_out_up" in machine


def test_names_that_stand_further_down_are_prefixed_too() -> None:
    """M10: relations by text mean the copies."""

    class Forward(States):
        first = State(add=["second"], remove=["exception"])
        second = State()

    assert row_of(Forward.prefixed("p_"), "p_first") == Definition(add=["p_second"], remove=["exception"])


def test_a_defined_exception_keeps_its_name_under_a_prefix() -> None:
    """M8, M10: a machine has one `exception`, whatever its parts are called."""

    class Own(States):
        busy = State()
        exception = State(multi=True, remove=[busy])

    class Two(States):
        part = Own.prefixed("p_")

    assert names_of(Own.prefixed("p_")) == ("p_busy", "exception")
    assert row_of(Two, "exception") == Definition(multi=True, remove=["p_busy"])


# -- groups, tags, exclusion ---------------------------------------------------------------------------------------------


def test_groups() -> None:
    """M10: named by their attributes, inherited, nested, without repeats; each class is a group of its own states."""

    class Wide(Line):
        far = State()
        far_or_not = group(Line.either, far, Line.up)

    groups = StatesMeta.groups(Wide)

    assert [state.name for state in Wide.far_or_not] == ["up", "down", "far"]
    assert {"either", "far_or_not", "Line", "Wide"} <= set(groups)
    assert [state.name for state in groups["Wide"]] == ["far"]
    assert Line.up in Wide.either
    assert len(Wide.far_or_not) == 3
    assert repr(Wide.far_or_not) == "<StateGroup far_or_not: up, down, far>"
    machine = Machine(Wide.schema())
    machine.add(Wide.far)
    assert machine.any(*Wide.far_or_not)
    assert machine.switch(Wide.either, Wide.far_or_not) is Line.down


def test_tags() -> None:
    """M10: words for whoever reads the schema."""
    assert Line.tagged("open") == (Line.up,)
    assert Phone.tagged("open") == (Line.up,)
    assert Line.tagged("nothing") == ()


def test_exclusive_states_remove_each_other() -> None:
    """M10, M2: each removes all the others; the one called last wins."""

    class Light(States):
        red = State()
        yellow = State()
        green = State()
        broken = State()
        exclusive(red, yellow, green)

    machine = Machine(Light.schema())
    assert row_of(Light, "red").remove == ("yellow", "green")
    assert row_of(Light, "broken").remove == ()
    for state in (Light.red, Light.green, Light.yellow):
        machine.add(state)
        assert machine.names == (state.name,)


def test_exclusive_with_an_inherited_state_is_for_that_class_only() -> None:
    """M10: the base and other subclasses of it are not touched."""

    class Mute(Line):
        muted = State()
        exclusive(Line.up, muted)

    class Loud(Line):
        loud = State()

    assert row_of(Mute, "up").remove == ("down", "muted")
    assert row_of(Mute, "muted").remove == ("up",)
    assert row_of(Mute.prefixed("m_"), "m_up").remove == ("m_down", "m_muted")
    assert row_of(Line, "up").remove == row_of(Loud, "up").remove == ("down",)

    class Calm(Mute):
        calm = State()

    assert row_of(Calm, "up").remove == ("down", "muted")


def test_exclusive_with_the_exception() -> None:
    """M8, M10: also where the class does not define one."""

    class Fine(States):
        fine = State()
        exclusive(fine, States.exception)

    assert row_of(Fine, "exception").remove == ("fine",)
    assert names_of(Fine) == ("fine", "exception")
    assert row_of(Line, "exception").remove == ()


# -- data ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [Line, Phone, Exchange, Basic, Connected, ConnectionPool, Disposable])
def test_a_class_goes_to_data_and_back(family: StatesMeta) -> None:
    """M10: through JSON; the new class has the same states, relations and order, and the checks are the same."""
    data = json.loads(json.dumps(StatesMeta.schema(family).to_data()))

    again = States.from_data(data, "Again")

    assert StatesMeta.schema(again).definitions == StatesMeta.schema(family).definitions
    assert names_of(again) == names_of(family)
    assert again.__name__ == "Again"
    state = again[names_of(family)[0]]
    machine = Machine(StatesMeta.schema(again))
    assert bool(machine.add(state)) == bool(Machine(StatesMeta.schema(family)).add(state.name))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"a": {"require": ["b"]}}, "'b'"),
        ({"a": {"requires": []}}, "did you mean 'require'"),
        ({"a": {"auto": "yes"}}, "true or false"),
        ({"a": {"keep": True}}, "'keep' without 'multi'"),
        ({"a": {"add": [1]}}, "must be a name"),
        ({"a": {}, "b": {"require": ["a"], "remove": ["a"]}}, "both in its 'require'"),
    ],
)
def test_bad_data_is_refused(data: dict[str, dict[str, object]], words: str) -> None:
    """M10: "To and from data with the same checks"."""
    with pytest.raises(SchemaError, match=words):
        States.from_data(data)
    with pytest.raises(SchemaError, match=words):
        Schema.from_data(data)


# -- mixins --------------------------------------------------------------------------------------------------------------


def test_the_mixins_are_classes_like_any_other() -> None:
    """M10: basic, connected, connection pool, disposed: to inherit from, alone or together, and to prefix."""

    class Server(ConnectionPool, Disposable):
        clients = Connected.prefixed("client_")

    assert issubclass(Server, Basic)
    assert {"start", "connected_fully", "disposing", "client_connected"} <= set(names_of(Server))
    machine = Machine(Server.schema())
    machine.add(Server.start, Server.connected)
    machine.add(Server.clients.start)
    assert machine.all(Server.connected, Server.clients.disconnected)


def test_a_connection_is_in_one_state_at_a_time() -> None:
    """M10: exactly one of four, by itself `disconnected`."""
    machine = Machine(Connected.schema())
    four = (Connected.connecting, Connected.connected, Connected.disconnecting, Connected.disconnected)

    for call in (Connected.start, Connected.connecting, Connected.connected, Connected.disconnecting):
        machine.add(call)
        assert sum(state in machine for state in four) == 1
    machine.remove(Connected.disconnecting)
    assert Connected.disconnected in machine
    machine.add(Connected.connecting)
    machine.remove(Connected.start)
    assert Connected.disconnected in machine


def test_heartbeats_start_nothing() -> None:
    """M10, M2: the quiet states of `Basic`."""

    class Idle(Basic):
        idle = State(auto=True)

    machine = Machine(Idle.schema())
    machine.add(Idle.heartbeat)
    machine.add(Idle.healthcheck)
    assert machine.names == ("healthcheck", "heartbeat")
    machine.add(Idle.start)
    assert Idle.idle in machine


def test_a_group_is_a_collection() -> None:
    """M10: it iterates, has a length, and knows its members."""
    pair: StateGroup = group(Line.up, Line.up, Line.down)

    assert list(pair) == [Line.up, Line.down]
    assert Line.err_line not in pair
