"""The faults of a simulated disk, as data."""

import attrs

__all__ = ("DiskFaults",)


@attrs.frozen(kw_only=True)
class DiskFaults:
    """Which faults a simulated disk may have; none, unless it is said.

    Whether one strikes is asked each time (`strike` of `SimFiles`), so whoever answers owns the choice.

    Attributes:
        short_write: a write ends halfway, without an error.
        write_fails: a write raises EIO, and nothing was written.
        sync_fails: a sync raises EIO. As on Linux, the bytes that it was for are lost (a later sync of the file
            succeeds without them, and a power cut takes them), and reads still see them. Names are not lost.
        read_fails: a read raises EIO.
        full: a write raises ENOSPC, whatever room there is.
        capacity: how many bytes there is room for; what does not fit is not written (a short write), and ENOSPC if
            nothing fits. It is not asked for, it is so.
        slow_s: seconds that a trip to the disk takes if it is slow.
        lying_sync: a sync says that it has synced, and has not. No program survives that: it is for checking checkers.
        bit_flip: a read gives one wrong bit. What is synced stays as it is. A log cannot survive that in its last group
            (`histrio_kernel.log_format` says why).

    """

    short_write: bool = False
    write_fails: bool = False
    sync_fails: bool = False
    read_fails: bool = False
    full: bool = False
    capacity: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(0)))
    slow_s: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))
    lying_sync: bool = False
    bit_flip: bool = False

    @property
    def survivable(self) -> bool:
        """Whether a program that does all that can be done loses nothing that it has acknowledged."""
        return not (self.lying_sync or self.bit_flip)
