"""Which faults a simulated world may have."""

from __future__ import annotations

import attrs

from histrio_kernel.simulation.disk_faults import DiskFaults
from histrio_kernel.simulation.net_faults import NetFaults

__all__ = ["Faults"]


@attrs.frozen(kw_only=True)
class Faults:
    """What may go wrong, all of it off by default. Which of it strikes, and when, is the simulator's choice.

    Turn on what the program claims to survive, and no more.

    Attributes:
        disk: of all disks.
        net: of the network between machines.
        clock_skew_s: the clocks of nodes are ahead by up to so many seconds.
        crashes: so many times in one run, at most, a node loses its power where something that it does in the world
            begins or has ended: a change of its disk, a trip there, a call in a thread or a process, a message, bytes of
            a connection. It is started again afterwards, and what it starts is what `Node.on_start` says.
        partitions: so many times in one run, at most, two nodes are cut off from one another when one of them sends, and
            are connected again afterwards.
        outage_max_s: how long that lasts, crashes and partitions: so many seconds, or a small part of it.
    """

    disk: DiskFaults = attrs.field(factory=DiskFaults)
    net: NetFaults = attrs.field(factory=NetFaults)
    clock_skew_s: float = 0.0
    crashes: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    partitions: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    outage_max_s: float = attrs.field(default=20.0, validator=attrs.validators.gt(0))
