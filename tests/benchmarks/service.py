"""The key-value service under `wrk -c32`: reads, beside the same server with a page that returns a constant.

Ours is `examples.kv_service`, asked `Read "x"`; the peer `examples.kv_service.constant`, sent the same requests. Each
is a process of its own and has been warmed up. The cost is the CPU time of that process for each request: it is what
bounds the requests per second where the server has a core to itself, and it compares where it has not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import attrs
import psutil  # type: ignore[import-untyped]

from tests.benchmarks.measure import Row

CONNECTIONS = 32
ROOT = Path(__file__).resolve().parents[2]
SCRIPT = 'wrk.method = "POST"\nwrk.body = \'Read "x"\'\n'


def no_wrk() -> str | None:
    """What to do if there is no load generator."""
    return None if shutil.which("wrk") else "it needs wrk; on Debian and Ubuntu: apt-get install wrk"


@attrs.frozen
class Server:
    """A server in a process of its own."""

    url: str
    process: psutil.Process

    def under_load(self, seconds: int) -> float:
        """Microseconds of its CPU for each request that `wrk` has answered in so many seconds."""
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(SCRIPT)
            script.flush()
            before = self._cpu_s()
            requests = _wrk(self.url, script.name, seconds)
            return (self._cpu_s() - before) / requests * 1e6

    def _cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user) + float(times.system)


@contextmanager
def _served(module: str, environment: Mapping[str, str]) -> Generator[Server]:
    """A server at a free port, until the end of the block."""
    command = [sys.executable, "-m", module]
    variables = {**os.environ, **environment, "PORT": "0"}
    with subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://[\d.:]+", line)
            if found is None:
                raise RuntimeError(f"{module} did not say where it listens, but: {line!r}")
            yield Server(found.group(), psutil.Process(process.pid))
        finally:
            process.terminate()


def _wrk(url: str, script: str, seconds: int) -> int:
    """How many requests were answered.

    Raises:
        RuntimeError: some were answered with an error, or not at all.
    """
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"(\d+) requests in", done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk could not read:\n{done.stdout}")
    return int(found.group(1))


@attrs.define
class Bench:
    """The two servers, while this row is measured."""

    service: Server | None = None
    constant: Server | None = None

    @contextmanager
    def set_up(self) -> Generator[None]:
        """Start both, give one something to read, and warm both up."""
        with (
            tempfile.TemporaryDirectory() as data,
            _served("examples.kv_service", {"DATA": data}) as self.service,
            _served("examples.kv_service.constant", {}) as self.constant,
        ):
            with urlopen(self.service.url, b'Write "x" 1') as answer:
                assert answer.read() == b"Ok\n"
            for server in (self.service, self.constant):
                server.under_load(1)
            yield

    def ours(self, seconds: int) -> float:
        """Microseconds of the service's CPU for each read."""
        assert self.service is not None
        return self.service.under_load(seconds)

    def peer(self, seconds: int) -> float:
        """The same of a page that does nothing."""
        assert self.constant is not None
        return self.constant.under_load(seconds)


_bench = Bench()
ROWS = (
    Row(
        name="key-value service, reads under wrk -c32",
        unit="us of CPU/request",
        ours=_bench.ours,
        peer=_bench.peer,
        budget=0.9,
        size=2,
        peer_size=2,
        set_up=_bench.set_up,
        why_not=no_wrk,
    ),
)
