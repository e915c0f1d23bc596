"""What is built around machines: schemas to begin with, history, logs and diagrams, and machines that feed each other.

Machines themselves are in `histrio`: `Machine`, `States`, `State`.
"""

from histrio_kernel.machine.around.conditions import Condition
from histrio_kernel.machine.around.diagrams import mermaid
from histrio_kernel.machine.around.disposal import Disposer
from histrio_kernel.machine.around.explaining import Explanation, explain
from histrio_kernel.machine.around.flows import Edge
from histrio_kernel.machine.around.groups import MachineGroup
from histrio_kernel.machine.around.history import Forgotten, History, NotTracked
from histrio_kernel.machine.around.inspecting import Breakpoint, inspect, one_line
from histrio_kernel.machine.around.logs import LogLevel, MachineLog, allowed
from histrio_kernel.machine.around.mirror import Mirror, ReadOnly
from histrio_kernel.machine.around.pipes import (
    Pipe,
    PipeRefused,
    pipe,
    pipe_all,
    pipe_errors,
    pipe_many,
    pipes_from,
    pipes_into,
)
from histrio_kernel.machine.around.plain import plain
from histrio_kernel.machine.around.records import Activation, Record, Snapshot
from histrio_kernel.machine.around.retrying import until_accepted
from histrio_kernel.machine.around.stories import Stories, Story
from histrio_kernel.machine.around.submachines import Submachine, nest, parent_of, submachines_of
from histrio_kernel.machine.states.mixins import Basic, Connected, ConnectionPool, Disposable, Disposal

__all__ = [
    "Activation",
    "Basic",
    "Breakpoint",
    "Condition",
    "Connected",
    "ConnectionPool",
    "Disposable",
    "Disposal",
    "Disposer",
    "Edge",
    "Explanation",
    "Forgotten",
    "History",
    "LogLevel",
    "MachineGroup",
    "MachineLog",
    "Mirror",
    "NotTracked",
    "Pipe",
    "PipeRefused",
    "ReadOnly",
    "Record",
    "Snapshot",
    "Stories",
    "Story",
    "Submachine",
    "allowed",
    "explain",
    "inspect",
    "mermaid",
    "nest",
    "one_line",
    "parent_of",
    "pipe",
    "pipe_all",
    "pipe_errors",
    "pipe_many",
    "pipes_from",
    "pipes_into",
    "plain",
    "submachines_of",
    "until_accepted",
]
