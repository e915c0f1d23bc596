"""A log whose power is cut at every boundary, and read from every image: the right one, and four that are wrong.

Each wrong one is the right one with one line less: a sync of the file, a sync of the directory, a sync between two
writes, or a checksum that is looked at.
"""

import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TypeAlias

import attrs
import trio

from histrio_kernel.driver import Disk
from histrio_kernel.log import Log
from histrio_kernel.log_format import BREAKABLE, BROKEN, HEAD_BYTES, HEADER, MARKER, LogError
from histrio_kernel.simulation.disk import sim_disk
from histrio_kernel.simulation.files import SimFiles
from histrio_kernel.simulation.images import Image
from histrio_kernel.simulation.trio_schedule import seeded_schedule

PATH = "/d/log"
IMAGES_MAX = 200

Reader: TypeAlias = Callable[[Disk], Awaitable[list[bytes]]]


class PowerCutError(OSError):
    """The machine has no power."""


# Four ways to be wrong.


class WithoutSync(SimFiles):
    """Appends are acknowledged before they are synced."""

    def fsync(self, fd: int) -> None:
        if self.is_directory(fd):
            super().fsync(fd)

    def is_directory(self, fd: int) -> bool:
        return os.path.dirname(PATH) == self.path_of(fd)

    def path_of(self, fd: int) -> str:
        return self._opened[fd].path


class WithoutDirectorySync(WithoutSync):
    """A file is synced, its name is not."""

    def fsync(self, fd: int) -> None:
        if not self.is_directory(fd):
            SimFiles.fsync(self, fd)


class WithoutOrder(WithoutSync):
    """The header and the records after it share one sync, so a disk may write the records first."""

    def fsync(self, fd: int) -> None:
        if self.is_directory(fd) or self.fstat(fd).size != len(HEADER):
            SimFiles.fsync(self, fd)


async def read_log(disk: Disk) -> list[bytes]:
    """What the log holds, read as a program does."""
    async with await Log.open(disk, PATH) as log:
        return log.take_recovered()


async def read_without_checksums(disk: Disk) -> list[bytes]:
    """What the log holds, if a record is believed by its marker and its length."""
    await disk.close(await disk.open(PATH))
    image = await disk.read(PATH)
    payloads: list[bytes] = []
    start = len(HEADER)
    while image.startswith(MARKER, start) and len(image) >= start + HEAD_BYTES:
        length = int.from_bytes(image[start + 12 : start + 16], "little")
        start += HEAD_BYTES
        payloads.append(image[start : start + length].replace(BROKEN, BREAKABLE))
        start += length
    return payloads


# The program, and what it may rely on.


@attrs.define
class Told:
    """What the appenders asked for, and what they were told is safe."""

    asked: list[list[bytes]]
    safe: set[bytes] = attrs.Factory(set[bytes])

    def complaint(self, found: Sequence[bytes]) -> str | None:
        """What is wrong with a log that holds *found*; None if nothing is.

        Nothing is lost that is safe, nothing is there that nobody asked for, and what one appender asked for is there
        in its order, without a gap.
        """
        for asked in self.asked:
            own = [payload for payload in found if payload in asked]
            if own != asked[: len(own)]:
                return f"an appender asked for {asked} and got {own}"
        if lost := self.safe - set(found):
            return f"acknowledged and lost: {sorted(lost)}"
        if strange := [payload for payload in found if not any(payload in asked for asked in self.asked)]:
            return f"nobody asked for {strange}"
        return None


async def append_all(disk: Disk, told: Told) -> None:
    """Two appenders or more, until all is appended or the power is off."""

    async def appender(log: Log, asked: list[bytes]) -> None:
        with suppress(OSError):
            for payload in asked:
                await log.append(payload)
                told.safe.add(payload)

    with suppress(OSError):
        log = await Log.open(disk, PATH)
        async with trio.open_nursery() as nursery:
            for asked in told.asked:
                nursery.start_soon(appender, log, asked)


def cut_at(boundary: int, files: SimFiles) -> None:
    """Let the power of *files* go at that boundary, counted from 0."""
    numbers = count()

    def look(_: str) -> None:
        if next(numbers) == boundary:
            files.sever(PowerCutError("the machine has no power"))

    files.boundary = look


# Every boundary, every image.


@attrs.define
class Found:
    """What an enumeration found."""

    runs: int = 0
    images: int = 0
    seconds: float = 0.0
    violations: list[str] = attrs.Factory(list[str])

    def __str__(self) -> str:
        return (
            f"{self.runs} power cuts, {self.images} images, {len(self.violations)} violations in {self.seconds:.2f} s"
        )


def crash_everywhere(
    make: Callable[[], SimFiles] = SimFiles,
    reader: Reader = read_log,
    *,
    appenders: int = 2,
    records: int = 3,
    seed: int = 0,
    reordered: bool = True,
) -> Found:
    """Cut the power at each boundary of the program, and read each image of the disk."""
    found = Found()
    begin = time.process_time()
    for files, told in runs(make, appenders, records, seed):
        found.runs += 1
        for image in files.images(IMAGES_MAX, reordered=reordered):
            found.images += 1
            if (complaint := read_from(image, reader, told)) is not None:
                found.violations.append(f"cut {found.runs}, {image.survived or 'all is synced'}: {complaint}")
    found.seconds = time.process_time() - begin
    return found


def runs(make: Callable[[], SimFiles], appenders: int, records: int, seed: int) -> Iterator[tuple[SimFiles, Told]]:
    """The program, cut off at its first boundary, its second, and so on; the last run is whole."""
    for boundary in count():
        files = make()
        files.mkdir(str(Path(PATH).parent))
        cut_at(boundary, files)
        told = Told([[b"%d.%d of an appender" % (who, n) for n in range(records)] for who in range(appenders)])
        with seeded_schedule(seed):
            trio.run(append_all, sim_disk(files), told)
        yield files, told
        if len(told.safe) == appenders * records:
            return


def read_from(image: Image, reader: Reader, told: Told) -> str | None:
    """What is wrong with the log that a machine finds in *image*."""
    try:
        return told.complaint(trio.run(reader, sim_disk(SimFiles.from_image(image))))
    except LogError as error:
        return f"the log cannot be opened: {error}"


def crash_twice(*, records: int = 2) -> Found:
    """Cut the power at each boundary, then again at each boundary of the recovery from each image."""
    found = Found()
    begin = time.process_time()
    for files, told in runs(SimFiles, 1, records, 0):
        for image in files.images(IMAGES_MAX, reordered=True):
            for again in recoveries(image):
                found.runs += 1
                for left in again.images(IMAGES_MAX, reordered=True):
                    found.images += 1
                    if (complaint := read_from(left, read_log, told)) is not None:
                        found.violations.append(f"{image.survived}, then {left.survived}: {complaint}")
    found.seconds = time.process_time() - begin
    return found


def recoveries(image: Image) -> Iterator[SimFiles]:
    """The recovery from *image*, cut off at its first boundary, its second, and so on."""
    for boundary in count():
        files = SimFiles.from_image(image)
        cut_at(boundary, files)
        try:
            trio.run(read_log, sim_disk(files))
        except OSError:
            yield files
        else:
            return
