"""An effect that a durable actor wants: what to call, and how often at most or at least."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

import attrs

from histrio.durable.effects import Mode
from histrio_kernel.io import Retry

__all__ = ["EffectOf"]


@final
@attrs.frozen
class EffectOf:
    """What `self.io` was given."""

    afn: Callable[..., Awaitable[object]]
    args: tuple[object, ...]
    mode: Mode
    reconcile: Callable[[str], Awaitable[object]] | None
    retry: Retry | None
    timeout_s: float | None
