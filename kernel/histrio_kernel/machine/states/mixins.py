"""Schemas that many machines begin with: subclass one or several of them, or take one in under a prefix."""

# Design note
# -----------
# The relations are those of the original's ready-made schemas. Each is a class of states like any other, so a program
# may define one of the states anew, and a schema that inherits from two of them has their common states once.

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from histrio_kernel.machine.states.family import States
from histrio_kernel.machine.states.state import State, exclusive

__all__ = ["Basic", "Connected", "ConnectionPool", "Disposable", "Disposal"]


class Basic(States):
    """What most machines have: they start, become ready, show that they live, and say what went wrong.

    Examples:
        >>> from histrio_kernel.machine.core.machine import Machine
        >>> class Pump(Basic):
        ...     pumping = State(require=[Basic.ready])
        >>> pump = Machine(Pump.schema())
        >>> pump.add(Pump.ready)
        CANCELED('the relations do not let ready be active')
        >>> pump.add(Pump.start, Pump.ready, Pump.pumping), pump
        (EXECUTED, <Machine: start, ready, pumping>)
        >>> pump.remove(Pump.start), pump
        (EXECUTED, <Machine: nothing active>)
    """

    err_network = State(multi=True, add=["exception"])
    """Something on the line failed: `machine.fail(error, Basic.err_network)`."""
    err_handler_timeout = State(multi=True, add=["exception"])
    """A handler took too long."""
    start = State()
    """It is meant to work. What works requires it, so all of that ends with it."""
    ready = State(require=[start])
    """Others may use it."""
    healthcheck = State(multi=True, quiet=True)
    """Each call is one check of its health. It starts no auto states."""
    heartbeat = State(quiet=True)
    """It showed that it lives. It starts no auto states."""


class Connected(Basic):
    """One connection: exactly one of four states, by itself `disconnected`."""

    err_connecting = State()
    connecting = State(require=[Basic.start])
    connected = State(require=[Basic.start])
    disconnecting = State()
    disconnected = State(auto=True)
    exclusive(connecting, connected, disconnecting, disconnected)


class ConnectionPool(Basic):
    """Many connections as one: `connected` with the first of them, `connected_fully` with the last."""

    err_connecting = State()
    disconnected = State(remove=["connecting", "connected_fully", "disconnecting"])
    connecting = State(require=[Basic.start], remove=["disconnecting"])
    connected = State(require=[Basic.start], remove=[disconnected])
    connected_fully = State(require=[connected], remove=[disconnected])
    disconnecting = State(remove=[connected_fully, connected, connecting])


@attrs.frozen
class Disposal:
    """What is to be done before a machine is disposed; it may wait."""

    callback: Callable[[], Awaitable[None] | None]


class Disposable(Basic):
    """A machine that cleans up before it is gone. Dispose of it by `machine.add(Disposable.disposing)`.

    The states by themselves do nothing: bind a `Disposer` for the work.
    """

    register_disposal = State(Disposal, multi=True)
    """Each call brings one callback: `machine.add(Disposable.register_disposal(close_files))`."""
    disposing = State(remove=[Basic.start, "exception"])
    """The callbacks run."""
    disposed = State(remove=[Basic.start, "exception", disposing])
    """All is cleaned up, and the machine takes no more mutations."""
