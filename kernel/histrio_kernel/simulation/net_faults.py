"""The faults of a simulated network, as data (D4)."""

import attrs

__all__ = ("NetFaults",)


@attrs.frozen(kw_only=True)
class NetFaults:
    """Which faults a simulated network may have; none, unless it is said.

    Whether one strikes is decided each time by the walk of the run. The first three are those of single messages; a TCP
    connection hides them from its users. Partitions and crashes are not here: they are faults of a whole world, or a
    test makes them (`Links`).

    Attributes:
        drop: a message is lost.
        duplicate: a message arrives twice.
        reorder: a message overtakes others of its link.
        delay_max_s: a message, or a segment of a connection, takes up to so many seconds; what follows it on its link
            waits for it, unless it overtakes.
        split: a segment of a connection arrives in two parts. It is no fault, but what TCP may do at any time, so it is
            on: turn it off where it only makes a search longer.

    """

    drop: bool = False
    duplicate: bool = False
    reorder: bool = False
    delay_max_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    split: bool = True
