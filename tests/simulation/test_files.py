"""D4: files in memory answer as the operating system does, are cut off at each change, and have the faults asked for."""

import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import count

from histrio_kernel.real.syscalls import FileStatus, Syscalls
from histrio_kernel.simulation.disk_faults import DiskFaults
from histrio_kernel.simulation.files import SimFiles

CREATE = os.O_RDWR | os.O_CREAT
ODD_PATHS = ("/d/e/../a", "/d/.", "/d/e/..", "/a/", "/d/", "/n/", "/no/a", "/a/b", "/a/..", "/" + "x" * 256, "/d/e/x/y")
PATHS = ("/a", "/b", "/d/a", "/d/b", "/d", "/d/e", "/d/e/a")
Step: TypeAlias = tuple[str | int | bytes, ...]


class SoonSynced(Syscalls):
    """The operating system, without waiting for its disk."""

    def fsync(self, fd: int) -> None:
        os.fstat(fd)


class Side:
    """One of two file systems that get the same calls."""

    def __init__(self, calls: Syscalls, root: str) -> None:
        self.calls = calls
        self.root = root
        self.descriptors: list[int] = []

    def do(self, step: Step) -> object:
        """Make one call; its answer, or the number of its error."""
        name, *arguments = step
        call = getattr(self.calls, str(name))
        if name in ("open", "open_directory", "lstat", "unlink", "listdir", "replace"):
            arguments = [self.root + each if isinstance(each, str) else each for each in arguments]
        elif not self.descriptors:
            return None
        else:
            arguments[0] = self.descriptors[int(arguments[0]) % len(self.descriptors)]
        answer = outcome(lambda: call(*arguments))
        if name == "close":
            self.descriptors.remove(int(arguments[0]))
        return self.without_numbers(str(name), answer)

    def without_numbers(self, name: str, answer: object) -> object:
        """An answer that does not depend on what descriptors and files are called."""
        if name.startswith("open") and not isinstance(answer, Failed):
            assert isinstance(answer, int)
            self.descriptors.append(answer)
            return "a descriptor"
        return None if isinstance(answer, FileStatus | list) else answer  # `look` compares them all

    def look(self) -> object:
        """All that can be seen: names; and which names and descriptors are of one file, how long, with what in it."""
        names = [sorted(self.calls.listdir(self.root + path)) for path in ("/", "/d", "/d/e")]
        found = [(each, outcome(lambda each=each: self.calls.lstat(self.root + each))) for each in PATHS]  # type: ignore[misc]
        statuses = [status for _, status in found if isinstance(status, FileStatus)]
        statuses += [self.calls.fstat(fd) for fd in self.descriptors]
        numbers: dict[object, int] = {}
        same = [numbers.setdefault(status.identity, len(numbers)) for status in statuses]
        contents = [outcome(lambda fd=fd: self.calls.pread(fd, 100, 0)) for fd in self.descriptors]  # type: ignore[misc]
        sizes = [
            None if isinstance(content, Failed) else self.calls.fstat(fd).size
            for fd, content in zip(self.descriptors, contents, strict=True)
        ]
        return names, same, contents, sizes


class Failed(int):
    """The number of an error."""


def outcome(call: Callable[[], object]) -> object:
    """What a call answers, or the number of its error."""
    try:
        return call()
    except OSError as error:
        return Failed(error.errno or 0)


paths = st.sampled_from(PATHS) | st.sampled_from(PATHS + ODD_PATHS)
descriptors = st.integers(0, 20)
numbers = st.integers(-1, 9)
flags = st.sampled_from([CREATE, CREATE, os.O_RDWR, os.O_RDONLY, os.O_WRONLY | os.O_CREAT, os.O_CREAT])
programs = st.lists(
    st.one_of(
        st.tuples(st.just("open"), paths, flags),
        st.tuples(st.sampled_from(["open_directory", "lstat", "unlink", "listdir"]), paths),
        st.tuples(st.just("replace"), paths, paths),
        st.tuples(st.just("pwrite"), descriptors, st.binary(max_size=5), numbers),
        st.tuples(st.just("pread"), descriptors, numbers, numbers),
        st.tuples(st.just("ftruncate"), descriptors, numbers),
        st.tuples(st.sampled_from(["fsync", "close"]), descriptors),
    ),
    max_size=25,
)


@pytest.mark.skipif(sys.platform != "linux", reason="it stands for Linux: other systems have other numbers for errors")
@settings(max_examples=count("disk_examples"))
@given(program=programs)
def test_it_answers_as_the_operating_system_does(program: list[Step]) -> None:
    """D4: each call has the answer or the error number that the operating system gives, and the same is seen after it."""
    with tempfile.TemporaryDirectory() as root:
        real, simulated = Side(SoonSynced(), root), Side(SimFiles(), "")
        for path in ("/d", "/d/e"):
            os.mkdir(root + path)
            assert isinstance(simulated.calls, SimFiles)
            simulated.calls.mkdir(path)
        try:
            for step in program:
                answer = simulated.do(step)
                if answer != errno.EOPNOTSUPP:  # a directory that moves: said to be missing
                    assert real.do(step) == answer
                assert real.look() == simulated.look()
        finally:
            for fd in real.descriptors:
                os.close(fd)


def test_errors_are_pythons_own() -> None:
    """D4: an error is the subclass of OSError that Python has for it, and names the path."""
    files = SimFiles()
    with pytest.raises(FileNotFoundError, match="/no/a") as caught:
        files.open("/no/a", CREATE)
    assert caught.value.filename == "/no/a"
    with pytest.raises(IsADirectoryError):
        files.unlink("/")
    with pytest.raises(FileNotFoundError):
        files.lstat("")
    with pytest.raises(ValueError, match="null byte"):
        files.lstat("/a\0")
    with pytest.raises(OSError, match="does not know all of these flags"):
        files.open("/a", CREATE | os.O_APPEND)
    files.mkdir("/d")
    with pytest.raises(FileExistsError):
        files.mkdir("/d")
    with pytest.raises(OSError, match="does not move"):
        files.replace("/d", "/e")


def test_a_descriptor_is_never_given_twice() -> None:
    """D4: a descriptor that was closed stands for nothing, whatever is opened later."""
    files = SimFiles()
    closed = files.open("/a", CREATE)
    files.close(closed)
    assert files.open("/a", CREATE) != closed
    for call in (
        lambda: files.close(closed),
        lambda: files.fsync(closed),
        lambda: files.fstat(closed),
        lambda: files.pread(closed, 1, 0),
        lambda: files.pwrite(closed, b"x", 0),
        lambda: files.ftruncate(closed, 0),
    ):
        assert outcome(call) == errno.EBADF


def test_a_file_has_its_number_while_anything_leads_to_it() -> None:
    """D4: a file is the same under another name and without one; when it is gone, the next file gets its number."""
    files = SimFiles()
    fd = files.open("/a", CREATE)
    identity = files.fstat(fd).identity
    files.replace("/a", "/b")
    assert files.lstat("/b").identity == identity
    files.unlink("/b")
    assert files.fstat(files.open("/c", CREATE)).identity != identity
    assert files.fstat(fd).identity == identity
    files.close(fd)
    assert files.fstat(files.open("/d", CREATE)).identity == identity


def every_change(files: SimFiles) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each call that changes something, with what its boundary is called."""
    fd = files.open("/d/a", CREATE)
    yield "create /d/b", lambda: files.open("/d/b", CREATE)
    yield "pwrite /d/a", lambda: files.pwrite(fd, b"xyz", 0)
    yield "ftruncate /d/a", lambda: files.ftruncate(fd, 1)
    yield "fsync /d/a", lambda: files.fsync(fd)
    yield "fsync /d", lambda: files.fsync(directory)
    directory = files.open_directory("/d")
    yield "replace /d/a -> /d/c", lambda: files.replace("/d/a", "/d/c")
    yield "unlink /d/c", lambda: files.unlink("/d/c")


def test_there_is_a_boundary_before_each_change() -> None:
    """D4: each change is told just before it is made; what only looks, or is refused, is not told."""
    files = SimFiles()
    files.mkdir("/d")
    told: list[str] = []
    files.boundary = told.append
    changes = list(every_change(files))
    assert told.pop() == "create /d/a"
    for label, change in changes:
        change()
        assert told.pop() == label
        assert told == []

    fd = files.open("/d/b", CREATE)
    for looks in (lambda: files.fstat(fd), lambda: files.lstat("/d/b"), lambda: files.pread(fd, 1, 0)):
        looks()
    assert files.listdir("/d") == ["b"]
    files.close(fd)
    for refused in (lambda: files.open("/d", CREATE), lambda: files.fsync(fd), lambda: files.unlink("/d/no")):
        assert isinstance(outcome(refused), Failed)
    assert told == []


@pytest.mark.parametrize("cut", range(7))
@pytest.mark.parametrize("severs", [True, False], ids=["severs", "raises"])
def test_the_power_can_be_cut_at_each_boundary(cut: int, severs: bool) -> None:
    """D4: the power is cut at a boundary: that change is not made and no other is, and each call raises the error."""
    files = SimFiles()
    files.mkdir("/d")
    changes = list(every_change(files))
    for _, change in changes[:cut]:
        change()
    before = list(files.images(reordered=True))
    error = ConnectionError("no power")

    def power_cut(_: str) -> None:
        files.sever(error)
        if not severs:
            raise error

    files.boundary = power_cut
    for _, change in changes[cut:]:
        with pytest.raises(ConnectionError) as caught:
            change()
        assert caught.value is error
    for call in (
        lambda: files.listdir("/d"),
        lambda: files.lstat("/d"),
        lambda: files.fstat(3),
        lambda: files.pread(3, 1, 0),
        lambda: files.close(3),
        lambda: files.open_directory("/d"),
    ):
        with pytest.raises(ConnectionError):
            call()
    assert list(files.images(reordered=True)) == before


class Striking:
    """Lets one fault strike, as often as it is told, and remembers what was asked."""

    def __init__(self) -> None:
        self.times = 0
        self.asked: list[str] = []

    def __call__(self, label: str) -> bool:
        self.asked.append(label)
        self.times -= 1
        return self.times >= 0


def with_faults(faults: DiskFaults) -> tuple[SimFiles, Striking, int]:
    """Files with a synced file `/a` that holds b"synced"; no fault has struck yet."""
    strike = Striking()
    files = SimFiles(faults=faults, strike=strike)
    fd = files.open("/a", CREATE)
    files.pwrite(fd, b"synced", 0)
    files.fsync(fd)
    files.fsync(files.open_directory("/"))
    strike.asked.clear()
    return files, strike, fd


def test_without_faults_nobody_is_asked() -> None:
    """D4: a fault that is not enabled is not asked for, so it takes no choice of the tape."""
    files, strike, fd = with_faults(DiskFaults())
    files.pwrite(fd, b"x", 6)
    files.pread(fd, 9, 0)
    files.fsync(fd)
    assert files.delay() == 0
    assert strike.asked == []
    assert DiskFaults().survivable


def test_writes_fail() -> None:
    """D4: a write that fails, or finds no room, raises and writes nothing; a short one writes half and says so."""
    for faults, label, number in (
        (DiskFaults(write_fails=True), "write fails /a", errno.EIO),
        (DiskFaults(full=True), "disk full /a", errno.ENOSPC),
        (DiskFaults(short_write=True), "short write /a", None),
    ):
        files, strike, fd = with_faults(faults)
        strike.times = 1
        written = outcome(lambda files=files, fd=fd: files.pwrite(fd, b"wxyz", 6))  # type: ignore[misc]
        assert strike.asked == [label]
        assert written == (2 if number is None else number)
        assert files.pread(fd, 99, 0) == b"synced" + (b"wx" if number is None else b"")
        assert files.pwrite(fd, b"wxyz", 6) == 4


def test_room_is_bounded() -> None:
    """D4: of a write there is as much as there is room for; without room it raises ENOSPC; what goes makes room."""
    files, strike, fd = with_faults(DiskFaults(capacity=10))
    assert files.pwrite(fd, b"123456", 6) == 4
    assert outcome(lambda: files.pwrite(fd, b"x", 10)) == errno.ENOSPC
    assert files.pwrite(fd, b"over", 0) == 4
    other = files.open("/b", CREATE)
    assert outcome(lambda: files.pwrite(other, b"x", 0)) == errno.ENOSPC
    files.unlink("/a")
    assert outcome(lambda: files.pwrite(other, b"x", 0)) == errno.ENOSPC
    files.close(fd)
    assert files.pwrite(other, b"x" * 20, 0) == 10
    assert strike.asked == []


def test_a_failed_sync_loses_its_bytes() -> None:
    """D4: as on Linux, after a failed sync reads see the bytes, the next sync succeeds, and a power cut takes them."""
    files, strike, fd = with_faults(DiskFaults(sync_fails=True))
    files.pwrite(fd, b"lost", 6)
    strike.times = 1
    assert outcome(lambda: files.fsync(fd)) == errno.EIO
    assert files.pread(fd, 99, 0) == b"syncedlost"
    files.pwrite(fd, b"!", 10)
    files.fsync(fd)
    assert strike.asked == ["sync fails /a", "sync fails /a"]
    assert [image.files for image in files.images()] == [(("/a", b"synced\0\0\0\0!"),)]


def test_a_failed_sync_loses_no_name() -> None:
    """D4: the names of a directory whose sync failed are not certain, and are made so by the next."""
    files, strike, _ = with_faults(DiskFaults(sync_fails=True))
    files.open("/b", CREATE)
    directory = files.open_directory("/")
    strike.times = 1
    assert outcome(lambda: files.fsync(directory)) == errno.EIO
    assert len(list(files.images())) == 2
    files.fsync(directory)
    assert [image.read("/b") for image in files.images()] == [b""]


def test_a_lying_sync_syncs_nothing() -> None:
    """D4: a lying sync returns and nothing is certain, until one that does not lie; no program survives it."""
    files, strike, fd = with_faults(DiskFaults(lying_sync=True))
    files.pwrite(fd, b"!", 6)
    strike.times = 1
    files.fsync(fd)
    assert {image.read("/a") for image in files.images()} == {b"synced", b"synced!", b"synced\0"}
    files.fsync(fd)
    assert {image.read("/a") for image in files.images()} == {b"synced!"}
    assert not DiskFaults(lying_sync=True).survivable


def test_reads_fail() -> None:
    """D4: a read raises, or has one wrong bit, each time another; what is on the disk stays as it is."""
    files, strike, fd = with_faults(DiskFaults(read_fails=True))
    strike.times = 1
    assert outcome(lambda: files.pread(fd, 9, 0)) == errno.EIO
    files, strike, fd = with_faults(DiskFaults(bit_flip=True))
    strike.times = 2
    read = [files.pread(fd, 9, 0) for _ in range(3)]
    wrong = [int.from_bytes(each, "big") ^ int.from_bytes(b"synced", "big") for each in read]
    assert [each.bit_count() for each in wrong] == [1, 1, 0]
    assert wrong[0] != wrong[1]
    assert strike.asked == ["bit flip /a"] * 3
    assert not DiskFaults(bit_flip=True).survivable


def test_a_slow_disk_says_how_slow() -> None:
    """D4: a trip takes the seconds of the fault if it strikes, and none otherwise."""
    files, strike, _ = with_faults(DiskFaults(slow_s=2.5))
    strike.times = 1
    assert [files.delay(), files.delay()] == [2.5, 0]
    assert strike.asked == ["slow disk"] * 2


def test_faults_are_checked() -> None:
    """D4: a fault that makes no sense is refused where it is written."""
    with pytest.raises(ValueError, match="capacity"):
        DiskFaults(capacity=-1)
    with pytest.raises(ValueError, match="slow_s"):
        DiskFaults(slow_s=-1)
