"""M10: the ready-made schemas."""

from collections.abc import Iterable

import pytest

from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.states.mixins import Basic, Connected, ConnectionPool, Disposable
from histrio_kernel.machine.states.state import State


def relations(rows: dict[str, Definition]) -> dict[str, tuple[set[str], set[str], set[str]]]:
    """Of each state what it requires, adds and removes."""
    return {name: (set(row.require), set(row.add), set(row.remove)) for name, row in rows.items()}


def named(text: str) -> set[str]:
    """The names in a text."""
    return set(text.split())


# Each line is a state, with what it requires, adds and removes between bars.
POOL = """
err_connecting: exception | |
disconnected: | | connecting connected_fully disconnecting
connecting: start | | disconnecting
connected: start | | disconnected
connected_fully: connected | | disconnected
disconnecting: | | connected_fully connected connecting
"""
BASIC = """
err_network: exception | exception |
err_handler_timeout: exception | exception |
start: | |
ready: start | |
healthcheck: | |
heartbeat: | |
exception: | |
"""
CONNECTED = """
err_connecting: exception | |
connecting: start | | connected disconnecting disconnected
connected: start | | connecting disconnecting disconnected
disconnecting: | | connecting connected disconnected
disconnected: | | connecting connected disconnecting
"""
DISPOSED = """
register_disposal: | |
disposing: | | start exception
disposed: | | start exception disposing
"""


def table(*texts: str) -> dict[str, tuple[set[str], set[str], set[str]]]:
    """The tables above as data."""
    rows: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for line in "".join(texts).split("\n"):
        if line:
            name, _, rest = line.partition(":")
            require, add, remove = rest.split("|")
            rows[name] = named(require), named(add), named(remove)
    return rows


@pytest.mark.parametrize(
    ("family", "texts"),
    [
        (Basic, [BASIC]),
        (Connected, [BASIC, CONNECTED]),
        (ConnectionPool, [BASIC, POOL]),
        (Disposable, [BASIC, DISPOSED]),
    ],
)
def test_relations_are_those_of_the_reference(family: type[Basic], texts: Iterable[str]) -> None:
    """M10: each ready-made schema has the relations that its page in the docs gives."""
    assert relations(dict(family.schema().definitions)) == table(*texts)


def test_flags_are_those_of_the_reference() -> None:
    """M10: what is auto, multi and quiet in the ready-made schemas."""

    class All(Connected, Disposable):
        """Two of them at once."""

    rows = All.schema().definitions

    assert {name for name, row in rows.items() if row.auto} == {"disconnected"}
    assert {name for name, row in rows.items() if row.quiet} == {"healthcheck", "heartbeat"}
    multi = {"err_network", "err_handler_timeout", "healthcheck", "register_disposal", "exception"}
    assert {name for name, row in rows.items() if row.multi} == multi


def test_a_connection_goes_round() -> None:
    """M10: a machine with `Connected` is in exactly one of four states, and falls back when it stops."""
    machine = Machine(Connected.schema())
    group = Connected.groups()["Connected"]
    seen: list[object] = []
    for step in (Connected.start, Connected.connecting, Connected.connected, Connected.disconnecting):
        machine.add(step)
        seen.append([state.name for state in group if state in machine])
    machine.remove(Connected.disconnecting)

    assert seen == [["disconnected"], ["connecting"], ["connected"], ["disconnecting"]]
    assert set(machine.names) == {"start", "disconnected"}


def test_what_works_ends_with_start() -> None:
    """M10: `remove(start)` ends all that requires it."""
    pool = Machine(ConnectionPool.schema())
    pool.add(Basic.start, Basic.ready, ConnectionPool.connected, ConnectionPool.connected_fully)
    assert pool.all("ready", "connected", "connected_fully")

    pool.remove(Basic.start)

    assert pool.names == ()


def test_an_error_state_brings_the_exception() -> None:
    """M8, M10: `fail(error, err_network)` makes both active; a second one is one more activation."""
    machine = Machine(Basic.schema())
    machine.fail(OSError("gone"), Basic.err_network)
    machine.fail(OSError("again"), Basic.err_network)

    assert machine.all("err_network", "exception")
    assert machine.tick("err_network") == 3
    assert str(machine.error) == "again"


def test_a_mixin_can_be_prefixed_and_redefined() -> None:
    """M10: two connections of one machine, under prefixes, do not touch each other; a state may be defined anew."""

    class Proxy(Basic):
        """A connection on either side."""

        front = Connected.prefixed("front_")
        back = Connected.prefixed("back_")
        ready = State(require=[Basic.start, front.connected, back.connected])

    proxy = Machine(Proxy.schema())
    proxy.add(Proxy.start, Proxy.front.start, Proxy.front.connected)

    assert "back_disconnected" in proxy
    assert "front_disconnected" not in proxy
    assert not proxy.add(Proxy.ready)
    assert proxy.add(Proxy.back.start, Proxy.back.connected, Proxy.ready)
    assert proxy.fail(OSError(), "front_err_network")
    assert "exception" in proxy
