"""What can be wrong with a simulated run, besides what the program itself raises."""

from __future__ import annotations

from histrio_kernel.errors import HistrioError

__all__ = ["Deadlock", "EscapedSimulation", "SimUnsupportedTrio", "SimulationError", "Unsettled", "WalkFailed"]


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
