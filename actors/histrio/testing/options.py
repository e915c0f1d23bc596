"""What the command line of pytest says, if pytest runs, and with our plugin."""

from __future__ import annotations

import sys
from typing import Final, cast

__all__ = ["asked_schedules", "asked_token"]

_PLUGIN: Final = "histrio_pytest"


def asked_token() -> str | None:
    """What `--sim-replay` says."""
    token = _option("replay")
    return token if isinstance(token, str) else None


def asked_schedules() -> int | None:
    """What `--sim-schedules` says."""
    count = _option("schedules")
    return count if isinstance(count, int) else None


def _option(name: str) -> object:
    plugin = sys.modules.get(_PLUGIN)
    return None if plugin is None else cast("dict[str, object]", plugin.OPTIONS)[name]
