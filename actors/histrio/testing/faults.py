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
    """

    disk: DiskFaults = attrs.field(factory=DiskFaults)
    net: NetFaults = attrs.field(factory=NetFaults)
    clock_skew_s: float = 0.0
