"""Which faults a simulated world may have."""

from __future__ import annotations

import attrs

from histrio_kernel.simulation.disk_faults import DiskFaults

__all__ = ["Faults"]


@attrs.frozen(kw_only=True)
class Faults:
    """What may go wrong, all of it off by default. Which of it strikes, and when, is the simulator's choice.

    Turn on what the program claims to survive, and no more.

    Attributes:
        disk: of all disks.
        clock_skew_s: the clocks of nodes are ahead by up to so many seconds.
    """

    disk: DiskFaults = attrs.field(factory=DiskFaults)
    clock_skew_s: float = 0.0
