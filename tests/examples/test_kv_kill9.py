"""E3 on a real process: `kill -9` of the service under load loses no write that it has acknowledged."""

# Each writer has a key of its own and counts up, so one look at the key tells: it must hold what was acknowledged last,
# or what was asked for after that and never answered. A later value could hide that an earlier one was lost; so the log
# is read as well, and must hold every write that was ever acknowledged, each key's in order.
#
# Real time, because the process is real; a seed gives the moments of the kills, as far as a machine can repeat them.

import random
import secrets
import signal
import time
from pathlib import Path

import attrs
import pytest
import trio
from examples.kv_service.client import Reply
from examples.kv_service.messages import Write
from examples.kv_service.wire import parse
from tests.conftest import Show
from tests.effort import count
from tests.examples.serving import Service, service

from histrio_kernel.log_format import scan

LOAD_MAX_S = 0.5  # the longest time from the first acknowledged write to the kill


@attrs.define
class Known:
    """What the writers know."""

    asked: dict[str, int] = attrs.Factory(dict[str, int])
    acknowledged: dict[str, list[int]] = attrs.Factory(dict[str, list[int]])

    @property
    def total(self) -> int:
        """How many writes were acknowledged."""
        return sum(map(len, self.acknowledged.values()))

    async def write(self, kv: Service, key: str, first: trio.Event) -> None:
        """Count up until the service is gone; *first* is set when a write was acknowledged."""
        values = self.acknowledged.setdefault(key, [])
        async with kv.client() as client:
            while True:
                value = self.asked[key] = self.asked.get(key, 0) + 1
                try:
                    reply = await client.command(f'Write "{key}" {value}')
                except OSError:
                    return
                assert reply == Reply(200, "Ok")
                values.append(value)
                first.set()

    async def load_and_kill(self, kv: Service, seconds: float) -> None:
        """Put the service under load, and kill it *seconds* after it has acknowledged the first write."""
        first = trio.Event()
        async with trio.open_nursery() as nursery:
            for number in range(count("kv_writers")):
                nursery.start_soon(self.write, kv, f"writer {number}", first)
            await first.wait()
            await trio.sleep(seconds)
            kv.process.kill()
        assert await trio.to_thread.run_sync(kv.process.wait) == -signal.SIGKILL

    async def check_service(self, kv: Service) -> None:
        """Each key holds what was acknowledged last, or what was asked for since."""
        async with kv.client() as client:
            for key, values in self.acknowledged.items():
                reply = await client.command(f'Read "{key}"')
                found = 0 if reply.text == "Result Nothing" else int(reply.text.removeprefix("Result "))
                assert max(values, default=0) <= found <= self.asked[key], key

    def check_log(self, path: Path) -> None:
        """The log holds every acknowledged write, each key's in order."""
        found: dict[str, list[int]] = {key: [] for key in self.acknowledged}
        for payload in scan(path, path.read_bytes()).payloads:
            command = parse(payload)
            assert isinstance(command, Write)
            found[command.key].append(command.value)
        for key, values in self.acknowledged.items():
            assert found[key] == sorted(found[key])
            assert set(values) <= set(found[key]), key


@pytest.mark.slow
@pytest.mark.alarm(900)
def test_kill_9_loses_no_acknowledged_write(tmp_path: Path, show: Show) -> None:
    """E3: after each kill at a random moment under 64 concurrent writers, every acknowledged write is there."""
    seed = secrets.randbits(32)
    chance, known, data = random.Random(seed), Known(), tmp_path / "data"
    rounds = count("kill9_rounds")
    print(f"seed {seed}")
    began = time.monotonic()
    for _ in range(rounds):
        with service(data) as kv:
            trio.run(known.check_service, kv)
            trio.run(known.load_and_kill, kv, chance.uniform(0, LOAD_MAX_S))
        known.check_log(data / "kv.log")
    with service(data) as kv:
        trio.run(known.check_service, kv)
        assert kv.end(signal.SIGTERM) == 0
    known.check_log(data / "kv.log")

    assert known.total >= rounds
    show(
        f"kill -9 under {count('kv_writers')} writers, {rounds} times, seed {seed}: all of {known.total:,} acknowledged"
        f" writes are there ({time.monotonic() - began:.0f} s)"
    )
