"""The small examples do what their first lines say."""

import subprocess
import sys

import pytest
from examples import replicas
from tests.examples.serving import ENDS_S, ROOT
from trio.testing import MockClock

import histrio


def run(module: str) -> str:
    """What a program prints; it must end well and say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_store_is_embedded_in_under_30_lines() -> None:
    """A Trio application has the store with one more scope, and the whole of it is short."""
    assert run("examples.embed_store") == "north 21\n"
    assert len((ROOT / "examples" / "embed_store.py").read_text(encoding="utf-8").splitlines()) < 30


def test_replicas(capsys: pytest.CaptureFixture[str]) -> None:
    """Writes take as long as the slower replica; reads as long as the faster one, and two of them run at once."""
    histrio.run(replicas.main, clock=MockClock(autojump_threshold=0))

    assert capsys.readouterr().out.splitlines() == [
        "0.5 s: both texts are at both replicas",
        "1.0 s: soup, from the cache; salad, from the source",
    ]


def test_replicas_is_a_program() -> None:
    """It runs in real time, too."""
    assert len(run("examples.replicas").splitlines()) == 2


def test_guest_mode() -> None:
    """Tasks of asyncio ask an actor, and both loops end."""
    assert run("examples.guest_mode") == "asked from asyncio: [1, 2, 3]\nboth loops have ended\n"


def test_add_proc() -> None:
    """S7: 6 and 4 are added by one nudge in FREE, and by two nudges, a state each, in STEP."""
    assert run("examples.add_proc").splitlines() == [
        "FREE: one nudge, and it runs to its end",
        "  6 + 4 = 10",
        "  the result is 10",
        "STEP: it advances once for each nudge",
        "  it is at its begin",
        "  6 + 4 = 10",
        "  it is at its end",
        "  the result is 10",
    ]
