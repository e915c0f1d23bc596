"""What can be wrong with a simulated run, besides what the program itself raises."""

from __future__ import annotations

from histrio_kernel.errors import HistrioError

__all__ = [
    "BadToken",
    "BrokenPromise",
    "Deadlock",
    "EscapedSimulation",
    "LeakedTasks",
    "Nondeterministic",
    "NotSealed",
    "PowerCut",
    "SimUnsupportedTrio",
    "SimulationError",
    "Unreachable",
    "Unsettled",
    "WalkFailed",
]


class SimulationError(HistrioError):
    """A simulated run was ended by the simulator, not by the program."""


class Deadlock(SimulationError):
    """Nothing can happen any more, and the program has not ended. The text names who waits, and where."""


class EscapedSimulation(SimulationError):
    """The program reached past its driver: to a real socket, thread, process or signal. The text names the line.

    In a simulation all of these come from the world: `self.io.net`, `self.io.thread`, `self.io.process`.
    """


class Unsettled(SimulationError):
    """The run was stopped at its bound of steps. The text names what kept it busy."""


class WalkFailed(SimulationError):
    """A strategy raised, or chose what was not on offer. `__cause__` is what it raised."""


class SimUnsupportedTrio(SimulationError):
    """This version of Trio runs its tasks in a way that the simulator does not know, so it cannot choose."""


class PowerCut(SimulationError):
    """A machine of the simulation has crashed: whatever still runs on it can reach nothing any more."""


class BrokenPromise(SimulationError, AssertionError):
    """What should always hold did not, or what should come in the end did not come."""


class LeakedTasks(BrokenPromise):
    """The program has returned, and tasks that it began have not ended. The text names them."""


class Nondeterministic(SimulationError):
    """One tape led to two different runs, so no failure could be repeated. The text shows where they part."""


class NotSealed(SimulationError, TypeError):
    """An actor says that it is sealed, and shares something that can change. The text names what, and where it was found."""


class BadToken(SimulationError, ValueError):
    """A token cannot be read, was made elsewhere, or does not fit the program any more."""


class Unreachable(HistrioError):
    """Another node has not answered: the message or its answer was lost or late, or that node has crashed.

    Whether the message was handled cannot be known, so send again only what may be done twice.
    """
