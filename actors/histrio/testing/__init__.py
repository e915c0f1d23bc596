"""Deterministic simulation for tests: one thread, virtual time, every choice the simulator's."""

from histrio.testing.crashing import crash_points as crash_points
from histrio.testing.faults import Faults as Faults
from histrio.testing.report import Report as Report
from histrio.testing.report import Run as Run
from histrio.testing.running import explore as explore
from histrio.testing.running import replay as replay
from histrio.testing.running import simulate as simulate
from histrio.testing.sim_test import sim_test as sim_test
from histrio.testing.world import World as World
