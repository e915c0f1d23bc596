"""What is built around machines: schemas to begin with, history, logs and diagrams, and machines that feed each other.

Machines themselves are in `histrio`: `Machine`, `States`, `State`.
"""

from histrio_kernel.machine.around.conditions import Condition as Condition
from histrio_kernel.machine.around.diagrams import mermaid as mermaid
from histrio_kernel.machine.around.disposal import Disposer as Disposer
from histrio_kernel.machine.around.explaining import Explanation as Explanation
from histrio_kernel.machine.around.explaining import explain as explain
from histrio_kernel.machine.around.groups import MachineGroup as MachineGroup
from histrio_kernel.machine.around.history import Forgotten as Forgotten
from histrio_kernel.machine.around.history import History as History
from histrio_kernel.machine.around.history import NotTracked as NotTracked
from histrio_kernel.machine.around.inspecting import Breakpoint as Breakpoint
from histrio_kernel.machine.around.inspecting import inspect as inspect
from histrio_kernel.machine.around.inspecting import one_line as one_line
from histrio_kernel.machine.around.logs import LogLevel as LogLevel
from histrio_kernel.machine.around.logs import MachineLog as MachineLog
from histrio_kernel.machine.around.logs import allowed as allowed
from histrio_kernel.machine.around.mirror import Mirror as Mirror
from histrio_kernel.machine.around.mirror import ReadOnly as ReadOnly
from histrio_kernel.machine.around.pipes import Pipe as Pipe
from histrio_kernel.machine.around.pipes import PipeRefused as PipeRefused
from histrio_kernel.machine.around.pipes import pipe as pipe
from histrio_kernel.machine.around.pipes import pipe_all as pipe_all
from histrio_kernel.machine.around.pipes import pipe_errors as pipe_errors
from histrio_kernel.machine.around.pipes import pipe_many as pipe_many
from histrio_kernel.machine.around.pipes import pipes_from as pipes_from
from histrio_kernel.machine.around.pipes import pipes_into as pipes_into
from histrio_kernel.machine.around.plain import plain as plain
from histrio_kernel.machine.around.records import Record as Record
from histrio_kernel.machine.around.records import Snapshot as Snapshot
from histrio_kernel.machine.around.retrying import until_accepted as until_accepted
from histrio_kernel.machine.around.stories import Stories as Stories
from histrio_kernel.machine.around.stories import Story as Story
from histrio_kernel.machine.around.submachines import Submachine as Submachine
from histrio_kernel.machine.around.submachines import nest as nest
from histrio_kernel.machine.around.submachines import parent_of as parent_of
from histrio_kernel.machine.around.submachines import submachines_of as submachines_of
from histrio_kernel.machine.states.mixins import Basic as Basic
from histrio_kernel.machine.states.mixins import Connected as Connected
from histrio_kernel.machine.states.mixins import ConnectionPool as ConnectionPool
from histrio_kernel.machine.states.mixins import Disposable as Disposable
from histrio_kernel.machine.states.mixins import Disposal as Disposal
