"""What the service does at its start with the log that it finds: recover it, cut off a torn tail, or refuse."""

import signal
from collections.abc import Iterable
from pathlib import Path

import pytest
import trio
from tests.conftest import Show
from tests.examples.serving import Service, refused, service

from histrio_kernel.log_format import HEADER, encode

PAGE = 4096


def log_of(*groups: Iterable[bytes]) -> tuple[bytes, list[int]]:
    """A log to which each group was appended with one write and one sync; and the offset where each group begins."""
    image, starts = HEADER, list[int]()
    for group in groups:
        starts.append(len(image))
        for payload in group:
            image += encode(payload, len(image), starts[-1])
    return image, starts


def writes(key: str, many: int) -> list[bytes]:
    """Commands of about 40 bytes."""
    return [f'Write "{key} {number:06}" {number}'.encode() for number in range(many)]


def planted(data: Path, image: bytes) -> Path:
    """A data directory with that log."""
    data.mkdir()
    (data / "kv.log").write_bytes(image)
    return data


async def read(kv: Service, *keys: str) -> list[str]:
    """The answers to Reads."""
    async with kv.client() as client:
        return [(await client.command(f'Read "{key}"')).text for key in keys]


def test_a_batch_whose_first_page_is_lost_is_a_torn_tail(tmp_path: Path, show: Show) -> None:
    """A batch of several pages of which a power cut has lost the first and kept the rest was never acknowledged.

    It is cut off at the start, with a warning; what was synced before is there, and the service goes on.
    """
    image, (_, batch) = log_of(writes("synced", 100), writes("torn", 1_000))
    page_end = -(-batch // PAGE) * PAGE
    torn = image[:batch] + bytes(page_end - batch) + image[page_end:]
    data = planted(tmp_path / "data", torn)

    with service(data) as kv:
        found = trio.run(read, kv, "synced 000000", "synced 000099", "torn 000000", "torn 000999")
        warning = kv.said()
        assert kv.end(signal.SIGTERM) == 0

    assert found == ["Result 0", "Result 99", "Result Nothing", "Result Nothing"]
    assert (data / "kv.log").read_bytes() == image[:batch]
    assert warning.startswith(f"kv_service: WARNING: {data / 'kv.log'}: cut off a torn tail")
    assert len(warning.splitlines()) == 1
    show(
        f"a batch of {len(image) - batch:,} bytes that lost its first page was cut off; 100 writes before it are there"
    )


def test_damage_to_what_was_acknowledged_is_corruption(tmp_path: Path) -> None:
    """One bad byte below what is known to be synced: one line that names file and offset, and exit code 3."""
    image, (first, _) = log_of(writes("a", 1), writes("b", 1))
    damaged = bytearray(image)
    damaged[first + 30] ^= 1
    data = planted(tmp_path / "data", bytes(damaged))
    end = refused(data)

    assert (end.code, end.out) == (3, "")
    assert len(end.errors.splitlines()) == 1
    assert end.errors.startswith(f"kv_service: {data / 'kv.log'}, offset {first}: the record here cannot be read")
    assert (data / "kv.log").read_bytes() == bytes(damaged)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"not a log at all, but a text of somebody", "offset 0: this file is no log of Histrio"),
        (b"\0" + log_of(writes("a", 1), writes("b", 1))[0][1:], "offset 0: the header here cannot be read"),
        (log_of([b"something else"])[0], "record 1 was not written by this store"),
    ],
)
def test_a_file_that_is_no_log_of_the_store_is_refused(image: bytes, said: str, tmp_path: Path) -> None:
    """One line that names the file, exit code 3, and the file is left as it is."""
    data = planted(tmp_path / "data", image)
    end = refused(data)

    assert (end.code, end.out) == (3, "")
    assert len(end.errors.splitlines()) == 1
    assert said in end.errors
    assert (data / "kv.log").read_bytes() == image
