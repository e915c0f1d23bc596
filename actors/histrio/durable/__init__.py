"""Durable actors: what happens to them is kept in a journal, and after a crash they are where they were.

A program imports these from `histrio.durable`.
"""

from histrio.durable.actor import DurableActor as DurableActor
from histrio.durable.behaviours import ContinueAs as ContinueAs
from histrio.durable.boards import Standing as Standing
from histrio.durable.control import DurableControl as DurableControl
from histrio.durable.effects import Effect as Effect
from histrio.durable.effects import Mode as Mode
from histrio.durable.effects import this_effect as this_effect
from histrio.durable.errors import EffectUncertain as EffectUncertain
from histrio.durable.errors import NotRecorded as NotRecorded
from histrio.durable.errors import PastTooLong as PastTooLong
from histrio.durable.errors import Quarantined as Quarantined
from histrio.durable.errors import SnapshotFailed as SnapshotFailed
from histrio.durable.errors import StepFailed as StepFailed
from histrio.durable.errors import StillPending as StillPending
from histrio.durable.errors import TooManyCrashes as TooManyCrashes
from histrio.durable.errors import UnknownBehaviour as UnknownBehaviour
from histrio.durable.orders import Order as Order
from histrio.durable.ports import WrongInputs as WrongInputs
from histrio.durable.ports import WrongOutputs as WrongOutputs
from histrio.durable.process import DurableNext as DurableNext
from histrio.durable.process import DurableProcess as DurableProcess
from histrio.durable.refs import DurableRef as DurableRef
from histrio.durable.ticks import Late as Late
from histrio.durable.ticks import Tick as Tick
from histrio.durable.ticks import Ticks as Ticks
from histrio.durable.tree import DurableTree as DurableTree
from histrio.durable.tree import open_tree as open_tree
from histrio_kernel.journal.cursor import NonDeterminism as NonDeterminism
