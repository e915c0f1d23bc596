"""What every test may rely on: counts by effort, figures to show, and trio-typing kept apart."""

import gc
import importlib.util
import secrets
import signal
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import cast

import pytest
from hypothesis import HealthCheck, settings

from tests.effort import Effort, asked_for, count, effort, reduced

# Only an environment that has the stubs can run their test (see tests/trio_typing).
collect_ignore = [] if importlib.util.find_spec("trio_typing") else ["trio_typing"]

Show = Callable[[str], None]
_shown = pytest.StashKey[list[str]]()
_counted = pytest.StashKey[set[str]]()  # the counts that the processes of a parallel run have asked for


def _register_profile() -> None:
    """Hypothesis by effort: a quick run is the same every time; the others draw anew and print their seed."""
    settings.register_profile(
        effort().value,
        max_examples=count("examples"),
        derandomize=effort() is Effort.QUICK,
        deadline=None,  # examples on a virtual clock take what real time the machine gives them
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],  # real time again; the process alarm has the last word
    )
    settings.load_profile(effort().value)


@pytest.hookimpl(tryfirst=True)  # before Hypothesis reads its options
def pytest_configure(config: pytest.Config) -> None:
    """Set Hypothesis up for the effort of this run, and let Control-C through."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[_shown] = []
    config.stash[_counted] = set()
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Gathering(config))
    try:
        _register_profile()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    if effort() is not Effort.QUICK and config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(secrets.randbits(32))


def pytest_report_header(config: pytest.Config) -> str:
    """Name the effort and the seed, so that a run can be had again."""
    seed = config.getoption("hypothesis_seed", None)
    again = "" if seed is None else f", again with: --hypothesis-seed={seed}"
    return f"effort: {effort().value}{again}"


@pytest.fixture
def set_aside() -> Iterator[None]:
    """Collections by a test do not go through what pytest holds of all others: two seconds each, in a whole run."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def set_aside_where_a_module_collects(request: pytest.FixtureRequest) -> None:
    """For modules that import `gc`. Not for drawn tests: Hypothesis 6.100 does not see what was set aside, and calls them flaky."""
    is_drawn: bool = getattr(cast(object, request.function), "is_hypothesis_test", False)
    if "gc" in vars(cast(ModuleType, request.module)) and not is_drawn:
        request.getfixturevalue("set_aside")


@pytest.fixture
def show(request: pytest.FixtureRequest) -> Show:
    """Print a line at the end of the run, in every effort: for figures that a reader should see, not trust."""
    lines = request.config.stash[_shown]
    return lines.append


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process of a parallel run: send the figures, and which counts were asked for, to the one that prints."""
    output: dict[str, object] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["figures"] = session.config.stash[_shown]
        output["counted"] = asked_for()


class Gathering:
    """In the process that prints: take what the others have sent."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_testnodedown(self, node: object) -> None:
        """One of them has ended."""
        output: dict[str, list[str]] = getattr(node, "workeroutput", {})
        self.config.stash[_shown] += output.get("figures", [])
        self.config.stash[_counted].update(output.get("counted", []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The figures, and what this run reduced."""
    if config.stash[_shown]:
        terminalreporter.section("figures")
        for line in config.stash[_shown]:
            terminalreporter.write_line(line)
    counted = config.stash[_counted]
    if smaller := reduced(counted):
        terminalreporter.section(f"reduced in a {effort().value} run; `make prove` runs all of it")
        for line in smaller:
            terminalreporter.write_line(line)
