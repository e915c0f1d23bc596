"""What README.md promises a newcomer: on a fresh clone, one command starts the service and another talks to it."""

# Not in a quick run: it sets up an environment from the package index, which takes as long as the network does.

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.conftest import Show
from tests.effort import count

ROOT: Final = Path(__file__).resolve().parent.parent
SET_UP_MAX_S: Final = 300.0

pytestmark = [pytest.mark.slow, pytest.mark.workshop, pytest.mark.alarm(2 * SET_UP_MAX_S)]


def clone(to: Path) -> None:
    """What a clone of the present state would hold: all files that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_healthy(url: str, service: subprocess.Popen[bytes]) -> None:
    """Real time: what is waited for is another process, and the package index."""
    end = time.monotonic() + SET_UP_MAX_S
    while time.monotonic() < end:
        assert service.poll() is None, f"`make run` ended with exit code {service.returncode}"
        try:
            if httpx.get(f"{url}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"`make run` did not answer within {SET_UP_MAX_S:g} s")


@pytest.mark.parametrize("_clone", range(count("fresh_clones")))
def test_make_run_serves_on_a_fresh_clone(_clone: int, tmp_path: Path, show: Show) -> None:
    """With no environment, `make run` sets one up and serves at PORT with its data in DATA."""
    house, data, port = tmp_path / "clone", tmp_path / "data", free_port()
    clone(house)
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PORT": str(port), "DATA": str(data)}
    began = time.monotonic()
    with subprocess.Popen(["make", "run"], cwd=house, env=environment, start_new_session=True) as service:
        try:
            wait_until_healthy(url, service)
            seconds = time.monotonic() - began
            written = httpx.post(url, content='Write "x" 1').text
            read = httpx.post(url, content='Read "x"').text
        finally:
            os.killpg(service.pid, signal.SIGTERM)

    assert written.strip() == "Ok"
    assert read.strip() == "Result 1"
    assert any(data.iterdir())
    show(
        f"a fresh clone: `make run` served after {seconds:.0f} s; Write answered {written.strip()}, Read {read.strip()}"
    )
