"""The programs of examples/machines do what their first lines say: on a virtual clock, line by line."""

from collections.abc import Callable

import pytest
from tests.effort import count
from tests.examples.machine_programs import PROGRAMS, play

from histrio_kernel.simulation.trio_schedule import seeded_schedule

Play = Callable[[str], list[str]]


@pytest.fixture
def played(capsys: pytest.CaptureFixture[str]) -> Play:
    """Runs a program, and gives the lines that it prints; it must say nothing on stderr."""

    def lines(name: str) -> list[str]:
        play(name)
        said = capsys.readouterr()
        assert said.err == ""
        return said.out.splitlines()

    return lines


def test_minimal(played: Play) -> None:
    """M2, M5: a state whose requirement is not active is refused, with the reason; it comes with it, and goes with it."""
    assert played("minimal") == [
        "CANCELED('the relations do not let foo be active')",
        "False",
        "EXECUTED",
        "True",
        "EXECUTED <Machine: nothing active>",
        "False",
    ]


def test_complicated(played: Play) -> None:
    """M4, M6, M7: an event is waited for within a state: it comes, it comes too late, or the state ends before it."""
    assert played("complicated") == [
        "2: 4, clock of payload: 1; client: worker_ready, payload",
        "3: 9, clock of payload: 3; client: worker_ready, payload",
        "20: too late; client: exception, worker_ready, payload",
        "13: the worker is gone; client: exception",
    ]


def test_weather(played: Play) -> None:
    """M2: a state that is implied stays out while one that was active removes it, although that one leaves as well."""
    assert played("weather") == [
        "it is dry: wet 0, dry 1, water 0",
        "add water: wet 0, dry 2, water 1",
        "  wet is not there: water adds it, but dry, which was there until now, removes it",
        "  dry is gone: water removes it",
        "  is it wet? no",
        "it is dry: wet 0, dry 1, water 0",
        "set water: wet 1, dry 2, water 1",
        "  wet is there: water adds it, and nobody removes it",
        "  is it wet? yes",
    ]


def test_file_processor(played: Play) -> None:
    """M1, M6, M7, M8: a file is done, refused, fails or takes too long; what is left of it then is nothing."""
    begun = ["  processing_file", "  processing_file, in_progress"]

    assert played("file_processor") == [
        "good.txt",
        *begun,
        "  file_processed",
        "  done, 10 words",
        "empty.txt",
        "  refused, vetoed by processing_file.may_enter",
        "picture.png",
        *begun,
        "  exception, processing_file, in_progress",
        "  nothing",
        "  failed, this is no text",
        "endless.txt",
        *begun,
        "  nothing",
        "  it takes too long",
    ]


def test_connection(played: Play) -> None:
    """M7: a session owns its socket; who waits goes on in the next one, and the pauses between them grow."""
    assert played("connection") == [
        "0.0 s: wanted, session, connecting",
        "0.0 s: wanted, session, online",
        "  ONE",
        "  TWO",
        "0.0 s: wanted, session",
        "0.0 s: wanted",
        "0.0 s: wanted, resting",
        "0.1 s: wanted, session, connecting",
        "0.1 s: wanted",
        "0.1 s: wanted, resting",
        "0.3 s: wanted, session, connecting",
        "0.3 s: wanted",
        "0.3 s: wanted, resting",
        "0.7 s: wanted, session, connecting",
        "0.7 s: wanted, session, online",
        "  THREE",
        "  FOUR",
        "closed, after 4 answers",
    ]


def test_dependencies(played: Play) -> None:
    """M2: services come up as soon as what they need is up, fall with it and come back, and stop from the last on."""
    assert played("dependencies") == [
        "0.0 s: config",
        "0.1 s: config, cache",
        "0.3 s: config, database, cache",
        "0.5 s: config, database, cache, site",
        "the database fails",
        "0.5 s: config, cache",
        "0.8 s: config, database, cache",
        "1.0 s: config, database, cache, site",
        "stop",
        "1.0 s: config, database, cache",
        "1.0 s: config, database",
        "1.0 s: config",
        "1.0 s: nothing",
    ]


def test_fan_out(played: Play) -> None:
    """M2: a veto lets one auto state go and not the others, so as many run as there is room for; all are collected."""
    assert played("fan_out") == [
        "0.3 s: job 3 is done, 2 running",
        "0.4 s: job 1 is done, 2 running",
        "0.6 s: job 5 is done, 2 running",
        "0.7 s: job 2 is done, 2 running",
        "0.8 s: job 7 is done, 2 running",
        "0.9 s: job 4 is done, 2 running",
        "1.1 s: job 6 is done, 1 running",
        "1.3 s: job 8 is done, 0 running",
        "collected: [1, 4, 9, 16, 25, 36, 49, 64], 204 together",
    ]


def test_traffic_light(played: Play) -> None:
    """M7: a light that ends takes its timer with it; whoever presses shortens the green and walks at the next red."""
    assert played("traffic_light") == [
        "0.0 s: red",
        "0.4 s: green",
        "1.2 s: yellow",
        "1.3 s: red",
        "1.7 s: green",
        "1.7 s: green, pressed",
        "1.9 s: yellow, pressed",
        "2.0 s: red, pressed",
        "2.0 s: red, pressed, walk",
        "2.4 s: green, pressed",
        "2.4 s: green",
    ]


def test_nfa(played: Play) -> None:
    """M2: after each letter all states are active that the reading may be in; `add` is a move without a letter."""
    begin = ["c nothing c", "o nothing co"]
    end = ["l nothing col", "o nothing colo colou"]

    assert played("nfa") == [
        "a nothing",
        "  nothing",
        *begin,
        *begin,
        *end,
        "u nothing colou",
        "r nothing found",
        ", nothing",
        "  nothing",
        *begin,
        *end,
        "r nothing found",
        "found 2, which end at [10, 17]; clock of found: 3",
    ]


def test_expense(played: Play) -> None:
    """M1, M8: claims are paid at the first or the third try, not payable, refused, or overdue; a late word is void."""
    assert played("expense") == [
        "20: paid, closed",
        "50: paid, closed",
        "70: unpaid, exception, closed 70 not paid: the line is dead",
        "500: refused, closed",
        "5000: overdue, closed",
        "the boss: 20 decided, 50 decided, 70 decided, 500 decided, 5000 too late",
    ]


def test_file_pipeline(played: Play) -> None:
    """M7: a stay on a host ends with a clean-up on that host; after a host that is lost the file begins on the next."""
    assert played("file_pipeline") == [
        "first.csv",
        "  /lost: download",
        "  /lost has ended: killed (it was killed on request)",
        *["  /shaky refuses to download"] * 2,
        "  /shaky: download",
        "  /shaky: process",
        "  /shaky: upload",
        "  /shaky: removed",
        "  done",
        "second.csv",
        *["  /broken refuses to download"] * 3,
        "  /broken cannot download second.csv",
        "  /broken: removed",
        "  no host is left",
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_program_prints_does_not_depend_on_the_schedule(name: str, played: Play) -> None:
    """Nothing in a program hopes that one task runs before another: under every schedule it prints the same."""
    seen: set[str] = set()
    for seed in range(count("schedules")):
        with seeded_schedule(seed):
            seen.add("\n".join(played(name)))

    assert len(seen) == 1
