"""The pytest plugin of Histrio: `--sim-replay` and `--sim-schedules`.

It imports nothing but pytest: what a simulation needs is imported by the tests that have one.
"""

from __future__ import annotations

from typing import Final

import pytest

__all__ = ["OPTIONS"]

OPTIONS: Final[dict[str, str | int | None]] = {"replay": None, "schedules": None}
"""What was asked for on the command line; `histrio.testing` looks here if this plugin is loaded."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("histrio", "deterministic simulation (histrio.testing)")
    group.addoption(
        "--sim-replay", metavar="TOKEN", default=None, help="run each simulated test once, along the schedule of TOKEN"
    )
    group.addoption(
        "--sim-schedules", metavar="N", type=int, default=None, help="explore N schedules of each simulated test"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Note what was asked for."""
    config.addinivalue_line(
        "markers", "simulation: explores many schedules in virtual time (`histrio.testing.sim_test`)"
    )
    OPTIONS["replay"] = config.getoption("--sim-replay")
    OPTIONS["schedules"] = config.getoption("--sim-schedules")
    schedules = OPTIONS["schedules"]
    if isinstance(schedules, int) and schedules < 1:
        raise pytest.UsageError(f"--sim-schedules is {schedules}; it must be 1 or more")
