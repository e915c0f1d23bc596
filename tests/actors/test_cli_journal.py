"""`histrio journal`: what it shows of a journal in a file, what it finds wrong with one, and what it removes."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import attrs
import pytest
import trio
from outcome import Value

from histrio.cli import main
from histrio_kernel.journal.codec import decode, encode
from histrio_kernel.journal.record import Record
from histrio_kernel.journal.sqlite import open_sqlite
from histrio_kernel.journal.store import ActorRow, Batch, DeadLetterRow, Mail
from histrio_kernel.signals import Kind

WAIT_S = 60
NOW = time.time()
DAY_S = 86_400

Past = Sequence[tuple[Kind, str, object]]

ORDER: Past = [
    (Kind.START, "", ("Order", 12)),
    (Kind.USE, "1.1", ("charge", "AT_LEAST_ONCE", (990,))),
    (Kind.RESOLVED, "1.1", Value("paid")),
    (Kind.STOP, "", Value(None)),
]


@attrs.frozen
class Book:
    """Something that the tools have no class for."""

    title: str


@attrs.frozen
class Kept:
    """An actor, as a test wants it to be in a journal."""

    path: str
    state: str = "live"
    past: Past = ((Kind.START, "", "Shop"),)
    at: float = NOW
    behaviour: str = "shop.shop"


def batch(kept: Kept) -> Batch:
    """All of it."""
    records = [
        Record(kept.path, seq, 1, kind, key, encode(payload), kept.at)
        for seq, (kind, key, payload) in enumerate(kept.past, 1)
    ]
    return Batch(records=records, actors=[ActorRow(kept.path, kept.behaviour, 3, kept.state, 0, 0, 1, 0, 0)])


@pytest.fixture
def journal(tmp_path: Path) -> Callable[..., Path]:
    """Makes a journal with these actors and this mail."""
    path = tmp_path / "orders.db"

    async def fill(actors: Sequence[Kept], mail: Sequence[Mail]) -> None:
        async with open_sqlite(path) as opened:
            for each in actors:
                await opened.commit(batch(each))
            await opened.commit(Batch(sends=mail))

    def make(*actors: Kept, mail: Sequence[Mail] = ()) -> Path:
        trio.run(fill, actors, mail)
        return path

    return make


@pytest.fixture
def shop(journal: Callable[..., Path]) -> Path:
    """A shop that lives, and an order below it that has ended."""
    return journal(
        Kept("/shop", past=[(Kind.START, "", "Shop"), (Kind.RECEIVE, "?", Book("Alice\nand Bob"))], at=0.25),
        Kept("/shop/order#1", "ended", ORDER, behaviour="shop.order"),
    )


Tool = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def tool(capsys: pytest.CaptureFixture[str]) -> Tool:
    """Does `histrio journal ...`: the exit code, the lines of stdout, and stderr."""

    def run(*arguments: object) -> tuple[int, list[str], str]:
        code = main(["journal", *map(str, arguments)])
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return run


def change(path: Path, sql: str, *values: object) -> None:
    """Do that to a journal, behind its back."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql, values)


def paths(path: Path) -> list[str]:
    """The actors that are in a journal."""
    with closing(sqlite3.connect(path)) as connection:
        return [found for (found,) in connection.execute("SELECT path FROM actors ORDER BY path")]


# -- ls and show ---------------------------------------------------------------------------------------------------------


def test_ls_lists_the_actors(shop: Path, tool: Tool) -> None:
    """J7: a line for each actor, with what the journal knows of it; numbers stand to the right."""
    assert tool("ls", shop) == (
        0,
        [
            "path           behaviour   version  state  incarnation  records  bytes  last seq",
            f"/shop          shop.shop         3  live             1        2  {size(shop, '/shop'):>5}         2",
            f"/shop/order#1  shop.order        3  ended            1        4  {size(shop, '/shop/order#1'):>5}         4",
        ],
        "",
    )


def size(path: Path, actor: str) -> int:
    """The bytes of its payloads."""
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT sum(length(payload)) FROM records WHERE path = ?", (actor,)).fetchone()
    return int(found)


def test_show_tells_the_past_in_words(shop: Path, tool: Tool) -> None:
    """J7: records in words, with no class imported; a line break in a value makes no second line."""
    assert tool("show", shop, "/shop") == (
        0,
        [
            "seq  at (UTC)                 incarnation  kind     key  what",
            "  1  1970-01-01 00:00:00.250            1  start         'Shop'",
            "  2  1970-01-01 00:00:00.250            1  receive  ?    Book(title='Alice\\nand Bob')",
        ],
        "",
    )


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        ([], [1, 2, 3, 4]),
        (["--since", "3"], [3, 4]),
        (["--since", "5"], []),
        (["--kind", "USE"], [2]),
        (["--kind", "use", "--kind", "stop"], [2, 4]),
        (["--kind", "use", "--since", "3"], []),
    ],
)
def test_show_shows_what_is_asked_for(shop: Path, tool: Tool, options: list[str], seqs: list[int]) -> None:
    """J7: `--since` is the first record, `--kind` may be said twice, in any case."""
    code, lines, _ = tool("show", shop, "/shop/order#1", *options)

    assert code == 0
    assert [int(line.split()[0]) for line in lines[1:]] == seqs


def test_show_shows_what_is_damaged_too(shop: Path, tool: Tool) -> None:
    """J7: a record that a journal would refuse is shown as what it is, and so are its neighbours."""
    change(shop, "UPDATE records SET payload = x'01' WHERE seq = 2 AND path = '/shop/order#1'")
    change(shop, "UPDATE records SET kind = 'wish' WHERE seq = 3 AND path = '/shop/order#1'")

    code, lines, _ = tool("show", shop, "/shop/order#1")

    assert code == 0
    assert [("DAMAGED" in line) for line in lines[1:]] == [False, True, True, False]
    assert "wish" in lines[3]


# -- verify --------------------------------------------------------------------------------------------------------------


def test_verify_finds_nothing_in_a_whole_journal(shop: Path, tool: Tool) -> None:
    """J7: no line, and exit code 0; also if the past of an actor was rolled up."""
    trio.run(roll_up, shop)

    assert tool("verify", shop) == (0, [], f"histrio: {shop}: 2 actors, no fault\n")


async def roll_up(path: Path) -> None:
    """Keep the newest record of the shop only."""
    record = Record("/shop", 3, 2, Kind.TRANSITION, "", encode("Shop"), 1.0)
    async with open_sqlite(path) as opened:
        await opened.commit(Batch(records=[record], keep_from=[("/shop", 3)]))


@pytest.mark.parametrize(
    ("sql", "faults"),
    [
        ("UPDATE records SET payload = payload || x'21' WHERE seq = 3", ["record 3 is damaged", "bytes"]),
        ("UPDATE records SET digest = x'00' WHERE seq = 3", ["record 3 is damaged"]),
        ("UPDATE records SET payload = CAST(payload AS TEXT) WHERE seq = 3", ["record 3 is damaged"]),
        ("UPDATE records SET kind = 'wish' WHERE seq = 3", ["record 3 is damaged"]),
        ("DELETE FROM records WHERE seq = 3", ["record 3 is missing", "records", "bytes"]),
        ("DELETE FROM records WHERE seq IN (2, 3)", ["records 2-3 are missing", "records", "bytes"]),
        ("DELETE FROM records WHERE seq = 1", ["record 1 is missing", "records", "bytes"]),
        ("DELETE FROM records WHERE seq = 4", ["record 4 is missing", "records", "bytes"]),
        ("DELETE FROM records", ["records 1-4 are missing", "records", "bytes"]),
        ("UPDATE actors SET last_seq = 3", ["is said to end at record 3, and ends at 4"]),
        ("UPDATE actors SET first_seq = 2", ["record 1 is from before its first one, 2"]),
        ("UPDATE actors SET records = 7", ["is said to have 7 records, and has 4"]),
        ("UPDATE actors SET bytes = 1", ["is said to have 1 bytes, and has"]),
        ("UPDATE actors SET incarnation = 0", ["is said to be of incarnation 0, and has a record of 1"]),
        ("UPDATE actors SET state = 'asleep'", ["is said to be 'asleep', which is no state"]),
        ("UPDATE records SET incarnation = 9 WHERE seq = 2", ["after one of 9", "after one of 9", "a record of 9"]),
        ("DELETE FROM actors", ["has 4 records, and is not in the list of actors"]),
    ],
)
def test_verify_names_each_fault(journal: Callable[..., Path], tool: Tool, sql: str, faults: list[str]) -> None:
    """J7: one line for each fault, which begins with the actor; exit code 1."""
    path = journal(Kept("/order", "ended", ORDER))
    change(path, sql)

    code, lines, said = tool("verify", path)

    assert code == 1
    assert len(lines) == len(faults), lines
    for line, fault in zip(lines, faults, strict=True):
        assert line.startswith("/order: ")
        assert fault in line
    assert said.endswith(f"actors, {len(faults)} faults\n")


def test_verify_finds_who_is_lost(journal: Callable[..., Path], tool: Tool) -> None:
    """J7: mail to nobody, and actors that nothing will make live again."""
    path = journal(
        Kept("/a", "ended"),
        Kept("/a/b"),
        Kept("/a/c", "ended"),
        Kept("/d/e"),
        Kept("/f"),
        mail=[Mail("/nobody", "/f", 4, b"", 0), Mail("/a", "", 5, b"", 0), Mail("/f", "/a", 6, b"", 0)],
    )

    assert tool("verify", path)[:2] == (
        1,
        [
            "/a/b: lives below /a, which has ended, so it will never go on",
            "/d/e: lives below /d, which is not in the journal, so it will never go on",
            "/nobody: is not in the journal, and message 4 of /f waits for it",
            "/a: has ended, and message 5 of nobody durable waits for it",
        ],
    )


def test_verify_looks_at_the_file(journal: Callable[..., Path], tool: Tool) -> None:
    """J7: pages of the file that are overwritten are found, without a traceback."""
    path = journal(*(Kept(f"/{number}", past=[*ORDER] * 5) for number in range(40)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(4096) + whole[len(whole) // 2 + 4096 :])

    code, lines, said = tool("verify", path)

    assert code == 1
    assert lines or "is not whole" in said


# -- compact -------------------------------------------------------------------------------------------------------------


def test_compact_removes_what_has_ended(journal: Callable[..., Path], tool: Tool) -> None:
    """J7: those below first; what lives is as it was, the file is smaller, and has no fault."""
    big: Past = [(Kind.START, "", "x" * 100_000)]
    path = journal(Kept("/shop"), Kept("/shop/o#1", "ended", big), Kept("/shop/o#1/mail", "ended"), Kept("/b", "ended"))
    before = path.stat().st_size

    code, lines, said = tool("compact", path)

    assert (code, lines) == (0, ["removed /shop/o#1/mail", "removed /shop/o#1", "removed /b"])
    assert paths(path) == ["/shop"]
    assert path.stat().st_size < before - 90_000
    assert f"3 actors and 0 dead letters removed; {before:,} bytes before, {path.stat().st_size:,} now" in said
    assert tool("verify", path)[0] == 0
    assert trio.run(epoch_of_next_owner, path) == 3


@pytest.mark.parametrize(("days", "kept"), [("0", []), ("1", ["new"]), ("4", ["old", "new"])])
def test_compact_removes_dead_letters(journal: Callable[..., Path], tool: Tool, days: str, kept: list[str]) -> None:
    """J7: messages that nobody took go with those that have ended; `--keep-days` counts from when they were sent."""
    path = journal(Kept("/shop"))
    ages = {"old": 2.0, "new": 0.01}

    async def bury() -> None:
        async with open_sqlite(path) as opened:
            dead = [DeadLetterRow("/a", "/b", encode(text), "gone", NOW - age * DAY_S) for text, age in ages.items()]
            await opened.commit(Batch(dead=dead))

    async def left() -> list[object]:
        async with open_sqlite(path, readonly=True) as opened:
            return [decode(each.payload) for each in await opened.dead_letters()]

    trio.run(bury)
    code, lines, said = tool("compact", path, "--keep-days", days)

    assert (code, lines) == (0, [])
    assert f"0 actors and {2 - len(kept)} dead letters removed" in said
    assert trio.run(left) == kept


async def epoch_of_next_owner(path: Path) -> int:
    """It is free at once."""
    async with open_sqlite(path) as opened:
        return opened.epoch


@pytest.mark.parametrize(
    ("days", "kept"), [("0", []), ("1", ["/new"]), ("2.5", ["/new", "/old"]), ("4", ["/new", "/older", "/old"])]
)
def test_compact_keeps_the_last_days(journal: Callable[..., Path], tool: Tool, days: str, kept: list[str]) -> None:
    """J7: `--keep-days` counts from the last record of an actor."""
    ages = {"/new": 0.01, "/old": 2.0, "/older": 3.0}
    path = journal(*(Kept(name, "ended", at=NOW - age * DAY_S) for name, age in ages.items()))

    assert tool("compact", path, "--keep-days", days)[0] == 0
    assert paths(path) == sorted(kept)


def test_compact_keeps_what_somebody_needs(journal: Callable[..., Path], tool: Tool) -> None:
    """J7: whose end is waited for, who has mail or has sent what is on its way, and what is above such a one."""
    waits: Past = [
        (Kind.START, "", "Shop"),
        (Kind.JOIN, "1.1", "/heard"),
        (Kind.JOIN, "1.2", "/waited/for"),
        (Kind.RESOLVED, "1.1", Value(None)),
    ]
    path = journal(
        Kept("/live", past=waits),
        *(Kept(name, "ended") for name in ("/heard", "/waited", "/waited/for", "/sender", "/receiver", "/above")),
        Kept("/above/lives"),
        Kept("/above/gone", "ended"),
        mail=[Mail("/live", "/sender", 3, b"", 0), Mail("/receiver", "", 4, b"", 0)],
    )

    code, lines, said = tool("compact", path)

    assert (code, lines) == (0, ["removed /above/gone", "removed /heard"])
    assert paths(path) == ["/above", "/above/lives", "/live", "/receiver", "/sender", "/waited", "/waited/for"]
    assert said.splitlines()[:-1] == [
        "histrio: kept /above: /above/lives is below it",
        "histrio: kept /receiver: a message of nobody durable waits for it",
        "histrio: kept /sender: a message of it waits for /live",
        "histrio: kept /waited: /waited/for is below it",
        "histrio: kept /waited/for: /live waits for its end",
    ]


def test_compact_is_refused_while_somebody_owns_the_journal(shop: Path, tool: Tool) -> None:
    """J7: nothing is changed; the other commands may look meanwhile."""

    async def meanwhile() -> None:
        async with open_sqlite(shop):
            code, lines, said = tool("compact", shop)
            assert (code, lines) == (2, [])
            assert "belongs to this process already" in said
            assert tool("verify", shop)[0] == tool("ls", shop)[0] == tool("show", shop, "/shop")[0] == 0

    trio.run(meanwhile)
    assert paths(shop) == ["/shop", "/shop/order#1"]


# -- export --------------------------------------------------------------------------------------------------------------


def test_export_writes_everything(shop: Path, tool: Tool) -> None:
    """J7: a line of JSON for each record, with the payload whole and in words."""
    code, lines, _ = tool("export", shop)
    found = [json.loads(line) for line in lines]

    assert code == 0
    assert [(each["path"], each["seq"]) for each in found] == [
        ("/shop", 1),
        ("/shop", 2),
        *(("/shop/order#1", seq) for seq in range(1, 5)),
    ]
    paid = found[4]
    assert paid["words"] == "Value('paid')"
    assert decode(base64.b64decode(paid["payload"])) == Value("paid")
    assert (paid["kind"], paid["key"], paid["is_whole"], paid["incarnation"]) == ("resolved", "1.1", True, 1)


@pytest.mark.parametrize(("pattern", "count"), [("/shop", 2), ("/shop/*", 4), ("*order*", 4), ("/nobody", 0)])
def test_export_takes_the_actors_that_match(shop: Path, tool: Tool, pattern: str, count: int) -> None:
    """J7: `--path` is a pattern; a star is anything, also a slash."""
    assert len(tool("export", shop, "--path", pattern)[1]) == count


def test_a_reader_that_goes_away_is_no_error(journal: Callable[..., Path]) -> None:
    """`histrio journal export ... | head` ends with 0 and without a traceback."""
    path = journal(Kept("/shop", past=[(Kind.START, "", "x" * 5_000)] * 200))
    read, write = os.pipe()
    command = [sys.executable, "-m", "histrio.cli", "journal", "export", str(path)]
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True) as process:
        os.close(write)
        os.read(read, 100)
        os.close(read)
        _, errors = process.communicate(timeout=WAIT_S)

    assert (process.returncode, errors) == (0, "")


# -- what cannot be used -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ls", "verify", "compact", "export"])
@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no such journal"), (b"hello", "is no journal of Histrio"), (b"", "no such table")],
)
def test_a_file_that_is_no_journal_is_one_line(
    tmp_path: Path, tool: Tool, name: str, content: bytes | None, said: str
) -> None:
    """It is named, exit code 2, and nothing is made or changed."""
    path = tmp_path / "some.file"
    if content is not None:
        path.write_bytes(content)

    code, lines, errors = tool(name, path)

    assert (code, lines) == (2, [])
    assert errors.count("\n") == 1
    assert str(path) in errors
    assert said in errors
    assert (path.read_bytes() if path.exists() else None) == content


def test_an_actor_that_is_not_there_is_one_line(shop: Path, tool: Tool) -> None:
    """The nearest path is told; exit code 2."""
    assert tool("show", shop, "/shop/order1") == (
        2,
        [],
        "histrio: the journal has no actor /shop/order1; did you mean /shop/order#1?\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "x.db", "/a", "--kind", "wish"], "'wish' is no kind of record; kinds are start, "),
        (["show", "x.db", "/a", "--since", "now"], "invalid int value: 'now'"),
        (["compact", "x.db", "--keep-days", "-1"], "'-1' is no number of days, 0 or more"),
        (["compact", "x.db", "--keep-days", "nan"], "'nan' is no number of days, 0 or more"),
        ([], "the following arguments are required: command"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    """They are named, before any file is looked at; exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        main(["journal", *arguments])

    assert said in capsys.readouterr().err
