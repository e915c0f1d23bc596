"""What a supervisor knows of one of its children."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Never, final

from histrio.ref import Ref
from histrio.supervision.spec import Child, Restart
from histrio_kernel.cell import Cell
from histrio_kernel.futures import PENDING, VALUE, Future, Promise, Waiter
from histrio_kernel.lifecycle import Phase

__all__ = ["Kid"]


@final
class Kid(Waiter):
    """A child of a supervisor: what it is made from, and where it stands.

    It has a cell from its first start until it has ended for good. `up` is true between the return of its `started()`
    and the end of that incarnation.
    """

    __slots__ = (
        "_on_started",
        "begun",
        "call_off",
        "cell",
        "dismissed",
        "first",
        "halting",
        "in_a_row",
        "is_passing",
        "name",
        "needs_siblings",
        "number",
        "resting",
        "spec",
        "up",
        "up_since",
    )

    is_leaf = False

    def __init__(self, name: str, number: int, spec: Child[Never], on_started: Callable[[Kid], None]) -> None:
        self.name: Final = name
        self.number: Final = number
        """Its place among its siblings: they are ordered by it."""
        self.spec: Final = spec
        self.needs_siblings: Final = bool(spec.sibling_refs)
        self._on_started: Final = on_started
        self.cell: Cell | None = None
        self.begun = False
        """It has been started before."""
        self.resting = False
        """Its last incarnation has ended, and the next one has not begun."""
        self.up = False
        self.up_since = 0.0
        self.in_a_row = 0
        """How many times it has been started again since it was last up for long."""
        self.first: Promise[Ref[object]] | None = None
        """Somebody waits for its first start: if that fails, it is not tried again."""
        self.halting = False
        """It is being ended in order to be started again together with others."""
        self.dismissed = False
        """It is being ended on request, and will not be started again by itself."""
        self.is_passing = False
        """It is to be forgotten when it has ended."""
        self.call_off: Callable[[], None] | None = None
        """Prevents the restart that its backoff will come to."""

    @property
    def is_awaited(self) -> bool:
        """Whether its first start is not over, so that a failure is somebody's who waits for it."""
        return self.first is not None and self.first._state == PENDING

    @property
    def restarts_with_others(self) -> bool:
        """Whether it is started again when its group is."""
        return self.is_awaited or self.spec.restart is not Restart.TEMPORARY

    @property
    def is_down(self) -> bool:
        """Whether nothing of it runs."""
        return self.cell is None or self.cell.phase is Phase.RESTARTING

    def settled(self, future: Future[object]) -> None:
        """Its start is over, well or not; of a failure the cell tells."""
        if self.cell is not None and self.cell.started is future and future._state == VALUE:
            self._on_started(self)

    def stop_waiting(self) -> None:
        """It is not to be started by its backoff any more."""
        call_off, self.call_off = self.call_off, None
        if call_off is not None:
            call_off()
