"""J1: the signals of a run are in a file, as they were heard, and can be read while it grows and whatever tore it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import attrs
import msgspec
import pytest
from tests.kernel.hearing import Do, Worker

import histrio
from histrio_kernel.journal.codec import decode, shown
from histrio_kernel.journal.errors import ForeignFile, JournalDamaged, JournalTooNew
from histrio_kernel.journal.record import FORMAT, Record
from histrio_kernel.journal.recording import MAGIC, Recorder, Recording, Repr
from histrio_kernel.signals import Kind, Signal

HEADER_BYTES = len(MAGIC) + 4

SIGNALS = [
    Signal("/", 1, 1, Kind.SPAWN, "/shop"),
    Signal("/shop", 1, 1, Kind.START, cause=("/", 1)),
    Signal("/shop", 2, 2, Kind.SEND, ("/store", Do("go")), scope=1),
]


def ticks() -> Callable[[], float]:
    """A clock that is a second later at each look."""
    times = iter(range(1000))
    return lambda: float(next(times))


def recorded(path: Path, signals: list[Signal]) -> Path:
    """A file of these signals."""
    with Recorder(path, ticks()) as recorder:
        for signal in signals:
            recorder.hear(signal)
        assert recorder.count == len(signals)
    return path


def read(path: Path) -> list[Record]:
    """What is in a file."""
    with Recording(path) as recording:
        return list(recording.more())


def test_signals_are_read_as_they_were_heard(tmp_path: Path) -> None:
    """J1: who, when, what, to whom, in which handler, and what it follows from."""
    records = read(recorded(tmp_path / "f", SIGNALS))

    assert [(r.path, r.incarnation, r.seq, r.kind, r.key, r.at, r.scope, r.cause) for r in records] == [
        ("/", 1, 1, Kind.SPAWN, "/shop", 0.0, 0, ""),
        ("/shop", 1, 1, Kind.START, "", 1.0, 0, "/:1"),
        ("/shop", 2, 2, Kind.SEND, "/store", 2.0, 1, ""),
    ]
    assert [decode(record.payload) for record in records] == [signal.detail for signal in SIGNALS]


async def test_a_whole_run(tmp_path: Path) -> None:
    """J1: a recorder is a reader like any other: all that happens is in the file, numbered without a gap."""
    with Recorder(tmp_path / "f", ticks()) as recorder:
        async with histrio.open_system() as system:
            system.listen(recorder.hear)
            worker = await system.spawn(Worker, name="worker")
            for what in ("tell", "ask", "spawn", "refuse", "switch"):
                with contextlib.suppress(histrio.Refusal):
                    await worker.ask(Do(what))
            worker.control.stop()
            await worker.join()
        records = read(tmp_path / "f")

    of_worker = [record for record in records if record.path == "/worker"]
    assert [record.seq for record in of_worker] == list(range(1, len(of_worker) + 1))
    assert {Kind.START, Kind.RECEIVE, Kind.SEND, Kind.SPAWN, Kind.MUTATION, Kind.STOP} <= {r.kind for r in of_worker}
    assert not any("Repr" in shown(record.payload) for record in records)


@attrs.frozen
class Holds:
    """A message that cannot be stored."""

    what: object


class Unshowable:
    """Cannot even be shown."""

    def __repr__(self) -> str:
        raise ValueError("no")


def test_what_cannot_be_stored_is_marked(tmp_path: Path) -> None:
    """J1: instead of a value that cannot be stored stands its text, as a `Repr`; what is beside it is stored."""
    lock = threading.Lock()
    details = [lock, ("/store", Holds(lock)), Unshowable(), ("/store", "x" * 5_000_000)]
    records = read(recorded(tmp_path / "f", [Signal("/a", 1, n, Kind.SEND, d) for n, d in enumerate(details, 1)]))
    values = [decode(record.payload) for record in records]

    assert values[0] == Repr(repr(lock))
    assert values[1] == ("/store", Repr(repr(Holds(lock))))
    assert values[2] == Repr("<Unshowable, whose repr raises ValueError>")
    assert len(shown(records[3].payload, 10_000)) < 1_100


def test_a_file_is_read_while_it_grows(tmp_path: Path) -> None:
    """J1: each look gives what was added; a header or a record that is not whole yet is waited for."""
    whole = recorded(tmp_path / "f", SIGNALS).read_bytes()
    growing = tmp_path / "g"
    growing.write_bytes(b"")
    seen: list[Record] = []
    with Recording(growing) as recording:
        for size in range(len(whole) + 1):
            growing.write_bytes(whole[:size])
            seen += recording.more()

    assert seen == read(tmp_path / "f")


def test_a_torn_tail_is_no_mistake(tmp_path: Path) -> None:
    """J1: a file that ends anywhere, or with what was never written, gives the records before that."""
    path = recorded(tmp_path / "f", SIGNALS)
    whole, records = path.read_bytes(), read(path)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert read(path) == records[: len(read(path))]
    path.write_bytes(whole[:-3] + b"\0\0\0")

    assert read(path) == records[:2]


def test_damage_before_the_end_is_told(tmp_path: Path) -> None:
    """J1: what is wrong and not at the end is no torn tail: what is before it is given, then the place is told."""
    path = recorded(tmp_path / "f", SIGNALS)
    whole = path.read_bytes()
    seen: list[Record] = []
    path.write_bytes(whole.replace(b"/shop", b"/shoq", 1).replace(b"\xa1/", b"\xd1/", 1))
    with Recording(path) as recording, pytest.raises(JournalDamaged, match=f"from byte {HEADER_BYTES} on"):
        seen += recording.more()
    path.write_bytes(whole[:HEADER_BYTES] + b"\xff" * 50)
    with Recording(path) as recording, pytest.raises(JournalDamaged, match="which is not its end"):
        seen += recording.more()

    assert seen == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    """J1: a foreign file, and one of a newer format; neither is changed. A file that is there is not written over."""
    path = tmp_path / "f"
    path.write_bytes(b"SQLite format 3\0")
    with pytest.raises(ForeignFile, match="histrio record FILE module:Actor"):
        Recording(path)
    with pytest.raises(FileExistsError):
        Recorder(path, ticks())
    path.write_bytes(MAGIC + (FORMAT + 1).to_bytes(4, "little"))
    with pytest.raises(JournalTooNew, match=f"of format {FORMAT + 1}"):
        Recording(path)


def test_a_record_that_another_program_made(tmp_path: Path) -> None:
    """J1: a payload whose digest does not fit is damage, too."""
    path = recorded(tmp_path / "f", SIGNALS)
    bad = msgspec.msgpack.encode(msgspec.structs.replace(read(path)[0], digest=b"12345678"))
    path.write_bytes(path.read_bytes() + len(bad).to_bytes(4, "little") + bad + b"\0")

    with Recording(path) as recording, pytest.raises(JournalDamaged):
        list(recording.more())
