"""Deterministic simulation for tests: one thread, virtual time, every choice the simulator's.

What Hypothesis has a part in is in `histrio.testing.workload`, and models of objects are in `histrio.testing.models`.
"""

from histrio.testing.crashing import crash_points as crash_points
from histrio.testing.faults import Faults as Faults
from histrio.testing.history import History as History
from histrio.testing.history import Operation as Operation
from histrio.testing.linearizability import NotLinearizable as NotLinearizable
from histrio.testing.linearizability import check_linearizable as check_linearizable
from histrio.testing.linearizability import is_linearizable as is_linearizable
from histrio.testing.linearizability import lost_writes as lost_writes
from histrio.testing.nodes import Node as Node
from histrio.testing.plain_tests import sim_test as sim_test
from histrio.testing.report import Report as Report
from histrio.testing.report import Run as Run
from histrio.testing.running import explore as explore
from histrio.testing.running import replay as replay
from histrio.testing.running import simulate as simulate
from histrio.testing.world import World as World
from histrio_kernel.simulation.disk_faults import DiskFaults as DiskFaults
from histrio_kernel.simulation.errors import BadToken as BadToken
from histrio_kernel.simulation.errors import BrokenPromise as BrokenPromise
from histrio_kernel.simulation.errors import Deadlock as Deadlock
from histrio_kernel.simulation.errors import EscapedSimulation as EscapedSimulation
from histrio_kernel.simulation.errors import LeakedTasks as LeakedTasks
from histrio_kernel.simulation.errors import Nondeterministic as Nondeterministic
from histrio_kernel.simulation.errors import NotSealed as NotSealed
from histrio_kernel.simulation.errors import PowerCut as PowerCut
from histrio_kernel.simulation.errors import SimulationError as SimulationError
from histrio_kernel.simulation.errors import SimUnsupportedTrio as SimUnsupportedTrio
from histrio_kernel.simulation.errors import Unreachable as Unreachable
from histrio_kernel.simulation.errors import Unsettled as Unsettled
from histrio_kernel.simulation.errors import WalkFailed as WalkFailed
from histrio_kernel.simulation.net_faults import NetFaults as NetFaults
