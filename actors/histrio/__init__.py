"""Histrio: a structured-concurrency actor kernel for Trio.

What a first program needs. Those who extend the engine import `histrio_kernel`.
"""

from importlib.metadata import version

from histrio.actor import Actor as Actor
from histrio.handlers import handler as handler
from histrio.messages import Askable as Askable
from histrio.messages import Envelope as Envelope
from histrio.messages import Request as Request
from histrio.ref import Ref as Ref
from histrio.system import System as System
from histrio.system import open_system as open_system
from histrio.system import run as run
from histrio.tree import Node as Node
from histrio_kernel.combinators import Left as Left
from histrio_kernel.combinators import Right as Right
from histrio_kernel.combinators import Winner as Winner
from histrio_kernel.combinators import all_of as all_of
from histrio_kernel.combinators import any_of as any_of
from histrio_kernel.combinators import await_both as await_both
from histrio_kernel.combinators import await_either as await_either
from histrio_kernel.combinators import both as both
from histrio_kernel.combinators import either as either
from histrio_kernel.combinators import first_of as first_of
from histrio_kernel.driver import DiskFailed as DiskFailed
from histrio_kernel.driver import Driver as Driver
from histrio_kernel.errors import ActorFailed as ActorFailed
from histrio_kernel.errors import ActorStopped as ActorStopped
from histrio_kernel.errors import AskCycle as AskCycle
from histrio_kernel.errors import Busy as Busy
from histrio_kernel.errors import End as End
from histrio_kernel.errors import FutureCancelled as FutureCancelled
from histrio_kernel.errors import HeldTurn as HeldTurn
from histrio_kernel.errors import HistrioError as HistrioError
from histrio_kernel.errors import InboxFull as InboxFull
from histrio_kernel.errors import LoserStuck as LoserStuck
from histrio_kernel.errors import MessageDropped as MessageDropped
from histrio_kernel.errors import NotStarted as NotStarted
from histrio_kernel.errors import Reason as Reason
from histrio_kernel.errors import Refusal as Refusal
from histrio_kernel.errors import SelectStalled as SelectStalled
from histrio_kernel.errors import StaleState as StaleState
from histrio_kernel.errors import SystemFailed as SystemFailed
from histrio_kernel.errors import Unbound as Unbound
from histrio_kernel.futures import Future as Future
from histrio_kernel.futures import Promise as Promise
from histrio_kernel.io import Retry as Retry
from histrio_kernel.letters import DeadLetter as DeadLetter
from histrio_kernel.lifecycle import Phase as Phase
from histrio_kernel.log import Log as Log
from histrio_kernel.overflow import DROP_NEW as DROP_NEW
from histrio_kernel.overflow import DROP_OLD as DROP_OLD
from histrio_kernel.overflow import LATEST as LATEST
from histrio_kernel.overflow import REFUSE as REFUSE
from histrio_kernel.overflow import WAIT as WAIT
from histrio_kernel.signals import Kind as Kind
from histrio_kernel.signals import Signal as Signal

__version__ = version("histrio")
