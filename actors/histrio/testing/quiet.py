"""While hundreds of schedules are tried, what actors report of each would bury what was found."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["quiet"]


@contextmanager
def quiet() -> Generator[None]:
    """Histrio logs nothing inside the block. Replaying a token logs as usual."""
    logger = logging.getLogger("histrio")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
