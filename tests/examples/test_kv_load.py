"""The load client: bounded in count and in time, and honest about what failed."""

import re
import socket
from pathlib import Path

import pytest
from examples.kv_service.load import main, percentile
from hypothesis import given
from hypothesis import strategies as st
from tests.examples.serving import service

# Real time, because a real service is asked.


def test_it_ends_after_so_many_requests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All requests are made and answered; reads and writes have a row of percentiles each; the exit code is 0."""
    with service(tmp_path / "data") as kv:
        code = main(["--port", str(kv.port), "--requests-max", "200", "--clients", "8", "--writes", "0.5"])
    shown = capsys.readouterr().out

    assert code == 0
    assert "200 answered" in shown
    for title in ("count", "p50", "p90", "p99", "p99.9", "max"):
        assert title in shown
    reads, writes = (re.search(rf"{kind} +│ +(\d+)((?: +│ +\d+\.\d\d){{5}})", shown) for kind in ("Read", "Write"))
    assert reads is not None
    assert writes is not None
    assert int(reads[1]) + int(writes[1]) == 200
    assert min(int(reads[1]), int(writes[1])) > 0


def test_it_ends_after_so_many_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When the time is over no further request is made. In real time, of which a busy machine needs some for the first one."""
    with service(tmp_path / "data") as kv:
        code = main(["--port", str(kv.port), "--requests-max", "1000000000", "--seconds-max", "2"])
    shown = capsys.readouterr().out

    assert code == 0
    assert re.search(r"[1-9]\d* answered in \d+\.\d s", shown)


def test_without_a_service_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on stderr, and exit code 2."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        code = main(["--port", str(nobody.getsockname()[1])])
    said = capsys.readouterr().err

    assert code == 2
    assert len(said.splitlines()) == 1
    assert "make run" in said


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0, 100))
def test_a_percentile_is_one_of_the_values(values: list[float], percent: float) -> None:
    """At least that part of the values is not above it, and less than that part is below it."""
    ordered = sorted(values)
    found = percentile(ordered, percent)

    assert sum(value <= found for value in ordered) >= len(ordered) * percent / 100
    assert sum(value < found for value in ordered) <= len(ordered) * percent / 100
