"""Put the service under load and show how long it took to answer: `python -m examples.kv_service.load --help`.

It ends when all requests were made or the time is over, whichever comes first.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar, cast

import attrs
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.kv_service.client import Client
from examples.kv_service.messages import Read, Write
from examples.kv_service.wire import show

__all__ = ("Load", "Measured", "main", "percentile", "put_under_load")

T = TypeVar("T")

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9, 100.0)


def _option(default: T, about: str) -> T:
    """A field of `Load`, and the option of the command line that sets it."""
    return attrs.field(default=default, metadata={"about": about})


@attrs.frozen(kw_only=True)
class Load:
    """What is asked of the service."""

    host: str = _option("127.0.0.1", "where the service is")
    port: int = _option(8080, "and at which port")
    clients: int = _option(32, "connections, each with one request at a time")
    requests_max: int = _option(10_000, "how many requests are made, all clients together")
    seconds_max: float = _option(10.0, "after so many seconds no further request is made")
    writes: float = _option(0.1, "which part of the requests are writes, from 0 to 1")
    keys: int = _option(1_000, "how many different keys")
    seed: int = _option(0, "of the choice of keys")


class Measured:
    """How long each request took, in seconds, by kind; and how many were answered with an error, by what."""

    def __init__(self) -> None:
        self.seconds: Final[dict[str, list[float]]] = {"Read": [], "Write": []}
        self.errors: Final[Counter[str]] = Counter()
        self.elapsed_s = 0.0

    @property
    def answered(self) -> int:
        """How many requests were carried out."""
        return sum(map(len, self.seconds.values()))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of *ordered*, which is not empty, that at least *percent* of them do not exceed.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 50)
    2.0
    """
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(int(rank), 1) - 1]


async def put_under_load(load: Load, progress: Progress) -> Measured:
    """Make the requests of *load*.

    Raises:
        OSError: the service is not there.

    """
    async with Client(load.host, load.port) as first:
        await first.request("GET", "/health")
    measured = Measured()
    budget = iter(range(load.requests_max))  # one for all clients
    bar = progress.add_task("requests", total=load.requests_max)
    began = time.perf_counter()
    with trio.move_on_after(load.seconds_max):
        async with trio.open_nursery() as nursery:
            for number in range(load.clients):
                chance = random.Random(f"{load.seed} {number}")
                nursery.start_soon(_be_client, load, chance, budget, measured, lambda: progress.advance(bar))
    measured.elapsed_s = time.perf_counter() - began
    return measured


async def _be_client(
    load: Load, chance: random.Random, budget: Iterator[int], measured: Measured, advance: Callable[[], None]
) -> None:
    async with Client(load.host, load.port) as client:
        for number in budget:
            command = _command(load, chance, number)
            began = time.perf_counter()
            try:
                reply = await client.command(show(command))
            except OSError as error:
                measured.errors[type(error).__name__] += 1
                await trio.sleep(0.1)  # whoever is gone is not asked in a hurry
            else:
                if reply.status == 200:
                    measured.seconds[type(command).__name__].append(time.perf_counter() - began)
                else:
                    measured.errors[str(reply.status)] += 1
            advance()


def _command(load: Load, chance: random.Random, number: int) -> Write | Read:
    key = f"key {chance.randrange(load.keys)}"
    return Write(key, number) if chance.random() < load.writes else Read(key)


def report(measured: Measured) -> Table:
    """The measured times as a table, in milliseconds."""
    per_s = measured.answered / measured.elapsed_s if measured.elapsed_s else 0.0
    table = Table(title=f"{measured.answered:,} answered in {measured.elapsed_s:.1f} s: {per_s:,.0f}/s")
    for column in ("ms", "count", *(f"p{percent:g}" for percent in PERCENTILES[:-1]), "max"):
        table.add_column(column, justify="left" if column == "ms" else "right")
    for kind, seconds in measured.seconds.items():
        ordered = sorted(seconds)
        cells = [f"{1e3 * percentile(ordered, percent):.2f}" for percent in PERCENTILES] if ordered else []
        table.add_row(kind, f"{len(ordered):,}", *cells)
    for what, count in measured.errors.items():
        table.add_row(f"error {what}", f"{count:,}")
    return table


def _read_arguments(arguments: Sequence[str] | None) -> Load:
    parser = argparse.ArgumentParser(prog="python -m examples.kv_service.load", description=__doc__)
    for field in attrs.fields(Load):
        flag, about = f"--{field.name.replace('_', '-')}", f"{field.metadata['about']} (%(default)s)"
        parser.add_argument(flag, type=cast(type, field.type), default=field.default, help=about)
    return Load(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what *arguments* say; the exit code is 0 if all requests were answered, 1 if some failed, 2 without a service."""
    load = _read_arguments(arguments)
    console = Console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            measured = trio.run(put_under_load, load, progress)
    except OSError as error:
        print(f"load: no service at {load.host}:{load.port} ({error}); start it with `make run`", file=sys.stderr)
        return 2
    console.print(report(measured))
    return 1 if measured.errors else 0


if __name__ == "__main__":
    sys.exit(main())
