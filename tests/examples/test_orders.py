"""J2, J3, J6: the order workflow, killed at random moments, ends as if it had not been."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest
import trio
from examples.orders.outside import LEDGER
from tests.conftest import Show
from tests.effort import count

from histrio_kernel.journal.codec import shown
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.sqlite import open_sqlite
from histrio_kernel.signals import Kind

ROOT: Final = Path(__file__).resolve().parent.parent.parent
ORDERS: Final = ("ann book 100", "ben pen 5", "poor book 1", "cid book 20", "dan pen 5", "poor pen 7", "eve book 3")
KILLS_OF_A_ROUND: Final = 6
NOT_COMPARED: Final = frozenset({Kind.CRASH, Kind.RESTART, Kind.CONTROL})


class Shop:
    """The program, in a process of its own, on one journal and one world outside."""

    def __init__(self, folder: Path) -> None:
        self.journal = folder / "orders.db"
        self.ledger = folder / "ledger.jsonl"
        self.ledger.touch()
        self.begun = 0

    def start(self) -> subprocess.Popen[str]:
        """Start it, with the orders that it has not confirmed yet."""
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.orders", str(self.journal)],
            cwd=ROOT,
            env={**os.environ, LEDGER: str(self.ledger)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write("\n".join(ORDERS) + "\n" if not self.begun else "")
        process.stdin.close()
        return process

    def run(self) -> str:
        """To the end."""
        process = self.start()
        assert process.stdout is not None
        with process.stdout:
            printed = process.stdout.read()
        assert process.wait() == 0, printed
        return printed

    def read(self) -> tuple[str, dict[str, list[Record]]]:
        """The identity of the journal, and what is in it, by path."""

        async def read() -> tuple[str, dict[str, list[Record]]]:
            async with open_sqlite(self.journal, readonly=True) as journal:
                rows = await journal.actors()
                return journal.identity, {row.path: list(await journal.records(row.path)) for row in rows}

        return trio.run(read)

    def traces(self) -> dict[str, list[tuple[str, str, str]]]:
        """What each order did: kind, key and payload, without what tells of crashes, of time, and of which journal this is."""
        identity, found = self.read()
        return {
            path: [
                (each.kind.name, each.key, "" if each.kind is Kind.TIMER else shown(each.payload).replace(identity, ""))
                for each in records
                if each.kind not in NOT_COMPARED
            ]
            for path, records in found.items()
            if "order#" in path
        }

    def outside(self) -> list[dict[str, object]]:
        """What was done to the world."""
        return [json.loads(line) for line in self.ledger.read_text(encoding="utf-8").splitlines()]


def test_without_a_kill_each_effect_happens_once(tmp_path: Path) -> None:
    """J6: four are paid and shipped, two are declined, and each customer has one mail."""
    shop = Shop(tmp_path)
    printed = shop.run()

    assert printed.count("has begun") == len(ORDERS)
    assert printed.splitlines()[-1] == "all is done"
    done = Counter(str(each["what"]) for each in shop.outside())
    assert done == {"charge": 7, "ship": 5, "mail": 7}
    assert all(each["attempt"] == 1 for each in shop.outside())


@pytest.mark.slow
@pytest.mark.alarm(3_000)
def test_killed_at_random_moments_it_ends_as_if_it_had_not_been(tmp_path: Path, show: Show) -> None:
    """J2, J3, J6: the traces of all orders are those of a run without kills, and each key keeps the rule of its mode.

    Real time: a process is killed after some milliseconds, wherever it is then.
    """
    whole = tmp_path / "whole"
    whole.mkdir()
    expected = Shop(whole)
    expected.run()
    traces = expected.traces()
    draw = random.Random(9)

    kills = rounds = 0
    while kills < count("orders_kills"):
        rounds += 1
        folder = tmp_path / str(rounds)
        folder.mkdir()
        shop = Shop(folder)
        for _ in range(KILLS_OF_A_ROUND):
            process = shop.start()
            assert process.stdout is not None
            with process.stdout:
                line = process.stdout.readline()
                while line and shop.begun < len(ORDERS):  # once all orders are in, the rest is the shop's own doing
                    line = process.stdout.readline()
                    shop.begun += "has begun" in line
                time.sleep(draw.random() * 0.06)
                process.kill()
                process.wait()
            kills += 1
        shop.run()
        assert shop.traces() == traces, told(shop)
        look_at(shop.outside(), *shop.read())
    show(f"J3: the order workflow was killed {kills} times in {rounds} rounds; each ended as if it had not been")


def look_at(outside: list[dict[str, object]], identity: str, records: dict[str, list[Record]]) -> None:
    """Each key was asked for as often as its mode allows."""
    asked = Counter((str(each["what"]), str(each["key"])) for each in outside)
    uses = {
        f"{identity}{path}/{each.key}" for path, those in records.items() for each in those if each.kind is Kind.USE
    }
    assert {key for _, key in asked} <= uses, "what was done is in the journal"
    assert max((number for (what, _), number in asked.items() if what == "mail"), default=0) <= 1
    charged = {key for what, key in asked if what == "charge"}
    assert len(charged) == len(ORDERS), "each order was charged, under one key"


def told(shop: Shop) -> str:
    """The records, in words."""
    return "\n".join(
        f"{path} {each.seq} {each.kind.name} {each.key} {shown(each.payload) if each.payload else ''}"
        for path, records in shop.read()[1].items()
        for each in records
        if "order#" in path
    )
