"""The service for tests: as a process of its own, started and ended here; or in the test's own system."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Final

import attrs
from examples.kv_service.client import Client
from examples.kv_service.front import Address, Front
from examples.kv_service.messages import STORE, StoreMessage
from examples.kv_service.pages import store_app
from examples.kv_service.place import listen_at

import histrio

ROOT: Final = Path(__file__).resolve().parents[2]
ENDS_S: Final = 20.0  # real seconds after which a process that should end has hung

StoreRef = histrio.Ref[StoreMessage]


@attrs.frozen
class Service:
    """A process that serves."""

    process: subprocess.Popen[str]
    port: int
    errors: Path

    def client(self) -> Client:
        """One more client of it."""
        return Client("127.0.0.1", self.port)

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and wait for the exit code."""
        self.process.send_signal(number)
        return self.process.wait(ENDS_S)

    def said(self) -> str:
        """What it has written to stderr."""
        return self.errors.read_text(encoding="utf-8")


def start(data: Path, errors: IO[str], module: str) -> subprocess.Popen[str]:
    """Start the service at a free port; it may refuse to serve."""
    environment = {**os.environ, "PORT": "0", "DATA": str(data)}
    command = [sys.executable, "-m", module]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True)


@contextmanager
def service(data: Path, module: str = "examples.kv_service") -> Generator[Service]:
    """A service that listens; whatever is left of it at the end is killed."""
    errors = data.with_suffix(".stderr")
    with errors.open("w", encoding="utf-8") as file, start(data, file, module) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            listens = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            assert listens is not None, f"it said {line!r} and {errors.read_text(encoding='utf-8')!r}"
            yield Service(process, int(listens[1]), errors)
        finally:
            process.kill()


@attrs.frozen
class Refused:
    """How a service ended that refused to serve."""

    code: int
    out: str
    errors: str


def refused(data: Path, *, port: int = 0, environment: dict[str, str] | None = None) -> Refused:
    """Start a service that will not serve, and see how it ends."""
    given = {**os.environ, "PORT": str(port), "DATA": str(data), **(environment or {})}
    command = [sys.executable, "-m", "examples.kv_service"]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, timeout=ENDS_S, check=False)
    return Refused(done.returncode, done.stdout, done.stderr)


@asynccontextmanager
async def front_of(system: histrio.System, store: StoreRef) -> AsyncGenerator[Client]:
    """A front for *store* in the same system, and a client of it."""
    system.registry.register(STORE, store)
    with listen_at({"PORT": "0"}) as listener:
        front = await system.spawn(Front, store_app, listener, name="front")
        url = await front.ask(Address())
        async with Client("127.0.0.1", int(url.rpartition(":")[2])) as client:
            yield client
