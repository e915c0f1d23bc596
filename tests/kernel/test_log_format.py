"""E3: what is read back of a log whose bytes were torn, zeroed, flipped, moved or made up."""

import pickle
import struct
import zlib
from pathlib import Path

import attrs
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from tests.effort import count

from histrio_kernel.log_format import (
    HEADER,
    LOG_PAYLOAD_BYTES_MAX,
    MAGIC,
    MARKER,
    LogCorrupt,
    LogError,
    LogFormat,
    encode,
    scan,
)

PATH = Path("/d/log")
HEAD = 24


@attrs.frozen
class Written:
    """A log as it was written: its bytes, its payloads, where each record begins, and where each group began."""

    image: bytes
    payloads: list[bytes]
    starts: list[int]
    groups: list[int]

    def before(self, offset: int) -> list[bytes]:
        """The payloads of the records that end at or before *offset*."""
        ends = [*self.starts[1:], len(self.image)]
        return [payload for payload, end in zip(self.payloads, ends, strict=True) if end <= offset]


def write(groups: list[list[bytes]]) -> Written:
    """The log of these groups of appends."""
    image = HEADER
    starts: list[int] = []
    group_starts: list[int] = []
    for group in groups:
        synced = len(image)
        group_starts.append(synced)
        for payload in group:
            starts.append(len(image))
            image += encode(payload, len(image), synced)
    return Written(image, [payload for group in groups for payload in group], starts, group_starts)


# Payloads of what could be taken for a marker, an escape, a head or zeros, and of anything.
fragments = st.sampled_from([MARKER, MARKER[:7], MARKER[:1], b"\xfe", b"\x01", b"\x00", b"\x00" * 24, MAGIC, HEADER])
payloads = st.one_of(st.binary(max_size=80), st.lists(fragments, max_size=6).map(b"".join))
logs = st.lists(st.lists(payloads, min_size=1, max_size=4), min_size=1, max_size=4).map(write)


@settings(max_examples=count("log_examples"))
@given(logs)
@example(write([]))
def test_a_log_reads_back(log: Written) -> None:
    """E3: what was appended comes back, in order, and all of the file is good."""
    found = scan(PATH, log.image)

    assert found.payloads == log.payloads
    assert found.end == len(log.image)
    assert found.known_synced == (log.groups[-1] if log.groups else len(HEADER))
    assert scan(PATH, bytearray(log.image)) == found


@settings(max_examples=count("log_examples"))
@given(logs)
def test_the_marker_stands_at_the_start_of_a_record_and_nowhere_else(log: Written) -> None:
    """E3: whatever the payloads are, looking for the marker finds exactly the records."""
    found = [n for n in range(len(log.image)) if log.image.startswith(MARKER, n)]

    assert found == log.starts


@settings(max_examples=count("log_examples"))
@given(logs, st.data())
def test_a_tail_cut_anywhere_leaves_the_records_before(log: Written, data: st.DataObject) -> None:
    """E3: a file that ends anywhere in the last group holds the whole records before that, and can go on there."""
    size = data.draw(st.integers(log.groups[-1], len(log.image)))
    found = scan(PATH, log.image[:size])

    assert found.payloads == log.before(size)
    assert log.groups[-1] <= found.end <= size
    went_on = log.image[: found.end] + encode(b"next", found.end, found.end)
    assert scan(PATH, went_on).payloads == [*found.payloads, b"next"]


def test_every_cut_of_a_small_log() -> None:
    """E3: each length that the last group can be torn to, and behind it nothing or zeros."""
    log = write([[b"one", b"two"], [b"three", MARKER, b"end"]])
    for size in range(log.groups[-1], len(log.image) + 1):
        for zeros in (0, 1, 40, 5000):
            assert scan(PATH, log.image[:size] + b"\0" * zeros).payloads == log.before(size), (size, zeros)


def test_every_flipped_bit_of_a_small_log() -> None:
    """E3: a flip in what a later record knows as synced is corruption; one above it cuts the tail off there."""
    log = write([[b"one", b"two"], [b"three", MARKER * 2, b""], [b"x", b"y", b"\0" * 9]])
    for bit in range(len(log.image) * 8):
        image = bytearray(log.image)
        image[bit // 8] ^= 1 << bit % 8
        if bit // 8 < log.groups[-1]:
            with pytest.raises(LogCorrupt) as caught:
                scan(PATH, image)
            assert caught.value.offset == max((start for start in log.starts if start <= bit // 8), default=0)
            assert caught.value.path == PATH
        else:
            found = scan(PATH, image)
            assert found.payloads == log.before(bit // 8)
            assert found.end == max(start for start in log.starts if start <= bit // 8)


@settings(max_examples=count("log_examples"))
@given(logs, st.data())
def test_a_flipped_bit_never_passes(log: Written, data: st.DataObject) -> None:
    """E3: of any log and any single flip, what is read is a beginning of what was written, or corruption."""
    bit = data.draw(st.integers(0, len(log.image) * 8 - 1))
    image = bytearray(log.image)
    image[bit // 8] ^= 1 << bit % 8
    try:
        found = scan(PATH, image)
    except LogCorrupt as error:
        assert error.offset <= bit // 8 < log.groups[-1]  # noqa: PT017 - both outcomes are right, each in its place
    else:
        assert bit // 8 >= log.groups[-1]
        assert found.payloads == log.before(bit // 8)


@settings(max_examples=count("log_examples"))
@given(logs, st.sampled_from([16, 64, 512, 4096]), st.data())
def test_any_pages_of_the_last_group_are_a_torn_tail(log: Written, page_bytes: int, data: st.DataObject) -> None:
    """E3: whichever pages of the last group are old, new or zeros after a crash, the groups before it come back."""
    synced, size = log.groups[-1], len(log.image)
    image = bytearray(log.image[:synced].ljust(size, b"\0"))
    for start in range(synced - synced % page_bytes, size, page_bytes):
        span = slice(max(start, synced), min(start + page_bytes, size))
        match data.draw(st.sampled_from(["old", "new", "zero", "torn", "noise"])):
            case "new":
                image[span] = log.image[span]
            case "torn":
                half = (span.start + span.stop) // 2
                image[span.start : half] = log.image[span.start : half]
            case "noise":
                length = span.stop - span.start
                image[span] = data.draw(st.binary(min_size=length, max_size=length))
            case _:
                pass  # an old page of a file that grows is zeros, or behind its end
    image = image[: data.draw(st.integers(synced, size))]
    found = scan(PATH, image)

    assert found.payloads == log.payloads[: len(found.payloads)]
    assert found.payloads[: len(log.before(synced))] == log.before(synced)


def test_a_lost_first_page_and_a_kept_second_are_a_torn_tail() -> None:
    """E3: readable records behind a lost page do not make corruption of it, as long as none knows it as synced."""
    log = write([[b"safe"], [b"%04d" % n * 64 for n in range(40)]])
    second_page = 4096 * (log.groups[-1] // 4096 + 1)
    image = log.image[: log.groups[-1]].ljust(second_page, b"\0") + log.image[second_page:]
    assert MARKER in image[second_page:]

    assert scan(PATH, image).payloads == [b"safe"]

    later = image + encode(b"a group after it", len(image), len(image))
    with pytest.raises(LogCorrupt) as caught:
        scan(PATH, later)
    assert (caught.value.offset, str(len(image)) in caught.value.text) == (log.groups[-1], True)


def test_a_record_within_a_payload_is_no_record() -> None:
    """E3: a payload that is a record, right for the very place where it lies, is not taken for one behind a tear."""
    start = len(HEADER) + len(encode(b"safe", len(HEADER), len(HEADER)))
    inner = start + HEAD
    forged = encode(b"forged", inner, inner)  # would know everything before it as synced
    log = write([[b"safe"], [forged]])
    assert scan(PATH, log.image).payloads == [b"safe", forged]

    torn = bytearray(log.image)
    torn[start] ^= 0xFF
    assert scan(PATH, torn).payloads == [b"safe"]


def test_a_log_within_a_log_is_no_log() -> None:
    """E3: a whole log kept as a payload comes back as it was, and does not speak when its record is torn."""
    inner = write([[b"a"], [b"b"], [b"c"]]).image
    log = write([[b"safe"], [inner, b"after"]])
    assert scan(PATH, log.image).payloads == [b"safe", inner, b"after"]

    torn = bytearray(log.image)
    torn[log.starts[1] + 8] ^= 0xFF
    assert scan(PATH, torn).payloads == [b"safe"]


def test_a_record_that_was_moved_is_not_readable() -> None:
    """E3: a record at another place than it was written for is bad: copied blocks and joined files are seen."""
    log = write([[b"one"], [b"two"], [b"six"]])
    first, second, third = log.starts
    with pytest.raises(LogCorrupt):
        scan(PATH, log.image[:first] + log.image[second:third] + log.image[first:second] + log.image[third:])
    copied = log.image + log.image[first:second]
    assert scan(PATH, copied) == scan(PATH, log.image)
    joined = log.image + log.image
    assert scan(PATH, joined).end == len(log.image)


@pytest.mark.parametrize("length", [1 << 24, 0xFFFFFFFF, 5000, LOG_PAYLOAD_BYTES_MAX])
def test_a_length_beyond_the_end_is_a_torn_tail(length: int) -> None:
    """E3: a record that claims more than there is, or more than a record may have, is bad."""
    log = write([[b"safe"]])
    offset = len(log.image)
    fields = struct.pack("<IQ", length, offset)
    checksum = zlib.crc32(b"payload", zlib.crc32(fields, zlib.crc32(struct.pack("<Q", offset))))
    image = log.image + MARKER + struct.pack("<I", checksum) + fields + b"payload"

    assert scan(PATH, image).payloads == [b"safe"]


def test_a_longer_record_than_any_is_no_record() -> None:
    """E3: a record with a right checksum and a length that no log has is bad."""
    offset, payload = len(HEADER), bytes(1 << 24)
    fields = struct.pack("<IQ", len(payload), offset)
    checksum = zlib.crc32(payload, zlib.crc32(fields, zlib.crc32(struct.pack("<Q", offset))))

    assert scan(PATH, HEADER + MARKER + struct.pack("<I", checksum) + fields + payload).payloads == []


@pytest.mark.parametrize("synced", [0, 15, 10_000, (1 << 64) - 1])
def test_an_impossible_synced_offset_is_no_witness(synced: int) -> None:
    """E3: a record with a right checksum that claims to know more than was written before it is bad."""
    log = write([[b"safe"]])
    offset = len(log.image)
    fields = struct.pack("<IQ", 1, synced)
    checksum = zlib.crc32(b"p", zlib.crc32(fields, zlib.crc32(struct.pack("<Q", offset))))

    assert scan(PATH, log.image + MARKER + struct.pack("<I", checksum) + fields + b"p").payloads == [b"safe"]


@pytest.mark.parametrize("size", range(len(HEADER)))
@pytest.mark.parametrize("zeros", [True, False])
def test_a_torn_creation_is_an_empty_log(size: int, zeros: bool) -> None:
    """E3: no header, a part of one, or zeros in its place: nothing was ever acknowledged here."""
    image = HEADER[:size].ljust(len(HEADER) if zeros else size, b"\0")

    assert scan(PATH, image).end == 0


@pytest.mark.parametrize(
    "image",
    [b"GIF89a" + bytes(100), b"x", b'{"a": 1}\n' * 1000, bytes(17), HEADER[:15] + b"?", HEADER[1:] + bytes(40)],
    ids=["picture", "letter", "json", "zeros", "almost", "shifted"],
)
def test_a_foreign_file_is_refused(image: bytes) -> None:
    """E3: a file that is no log is refused and named, never cut."""
    with pytest.raises(LogError, match=r"^/d/log, offset 0: .*"):
        scan(PATH, image)


def test_a_newer_log_is_refused() -> None:
    """E3: a log of another version is refused by both numbers, also if its records look like ours."""
    start = MAGIC + struct.pack("<I", 7)
    image = start + struct.pack("<I", zlib.crc32(start))
    for records in (b"", encode(b"x", 16, 16) + encode(b"y", 41, 41)):
        with pytest.raises(LogFormat, match="format 7, and this Histrio reads format 1"):
            scan(PATH, image + records)


@given(st.binary(max_size=200))
@example(HEADER + MARKER + bytes(16))
@example(HEADER + MARKER + b"\xff" * 16)
def test_no_bytes_break_the_reader(noise: bytes) -> None:
    """E3: any bytes at all give a log, or a typed error."""
    for image in (noise, HEADER + noise):
        try:
            found = scan(PATH, image)
        except LogError as error:
            assert error.offset <= len(image)  # noqa: PT017 - either outcome is right
        else:
            assert found.end <= len(image)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_different_payloads_are_different_records(one: bytes, other: bytes) -> None:
    """E3: what is stored tells the payload: no two payloads have one record."""
    assume(one != other)
    assert encode(one, 16, 16) != encode(other, 16, 16)


def test_the_largest_payload_fits() -> None:
    """E3: a payload of the largest size comes back, also if all of it has to be escaped."""
    payload = (MARKER[:7] * (LOG_PAYLOAD_BYTES_MAX // 7 + 1))[:LOG_PAYLOAD_BYTES_MAX]

    assert scan(PATH, HEADER + encode(payload, 16, 16)).payloads == [payload]


def test_the_errors_travel() -> None:
    """A LogCorrupt survives pickling, with what it knows."""
    error = pickle.loads(pickle.dumps(LogCorrupt(PATH, 7, "bad")))

    assert (type(error), error.path, error.offset, error.text) == (LogCorrupt, PATH, 7, "bad")
    assert str(error) == "/d/log, offset 7: bad"
