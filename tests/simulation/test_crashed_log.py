"""D4, E3: a log loses nothing that it has acknowledged, over every boundary and image; one that is wrong is found out."""

from collections.abc import Callable

import pytest
from tests.conftest import Show
from tests.effort import count
from tests.simulation.planted_logs import (
    Reader,
    Told,
    WithoutDirectorySync,
    WithoutOrder,
    WithoutSync,
    crash_everywhere,
    crash_twice,
    read_log,
    read_without_checksums,
)

from histrio_kernel.simulation.disk_faults import DiskFaults
from histrio_kernel.simulation.files import SimFiles


def test_a_log_loses_nothing_over_every_boundary_and_image(show: Show) -> None:
    """E3: wherever the power is cut, whatever the disk made of what was not synced: the log opens with all that is safe."""
    runs = images = 0
    seconds = 0.0
    for seed in range(count("schedules")):
        found = crash_everywhere(seed=seed)
        assert found.violations == []
        runs, images, seconds = runs + found.runs, images + found.images, seconds + found.seconds
    show(f"a log of 2 appenders: {runs} power cuts, {images} images, 0 violations, {seconds:.1f} s of CPU")
    assert images > 3 * runs > 3 * 10


def test_a_log_survives_a_second_power_cut_while_it_recovers() -> None:
    """E3: recovery itself may be cut off anywhere, and what is safe is there for the next."""
    found = crash_twice()
    assert found.violations == []
    assert found.runs > 50


def test_larger_groups_lose_nothing() -> None:
    """E3: a group of records that spans pages may lose any page of it."""
    found = crash_everywhere(lambda: SimFiles(page_bytes=64), appenders=5, records=1)
    assert found.violations == []
    assert found.images > 30


@pytest.mark.parametrize(
    ("make", "reader", "complaint"),
    [
        (WithoutSync, read_log, "acknowledged and lost"),
        (SimFiles, read_without_checksums, "nobody asked for"),
        (WithoutDirectorySync, read_log, "acknowledged and lost"),
        (WithoutOrder, read_log, "cannot be opened"),
    ],
    ids=["acknowledged before the sync", "no checksum", "no sync of the directory", "reordered writes"],
)
def test_a_planted_bug_is_found(make: Callable[[], SimFiles], reader: Reader, complaint: str, show: Show) -> None:
    """D4: each of four planted bugs is found, with the image that shows it."""
    found = crash_everywhere(make, reader)
    show(f"{make.__name__}, {reader.__name__}: {found}")
    assert any(complaint in violation for violation in found.violations)


def test_an_order_that_is_missing_is_seen_only_by_a_disk_that_reorders() -> None:
    """D4: a disk that keeps all writes in their order hides that a sync between two of them is missing."""
    assert crash_everywhere(WithoutOrder, reordered=False).violations == []
    assert crash_everywhere(WithoutOrder, reordered=True).violations != []


def test_a_disk_that_lies_is_found_out() -> None:
    """D4: over a disk whose syncs lie no log is safe, and the checker says so."""

    def lying() -> SimFiles:
        return SimFiles(faults=DiskFaults(lying_sync=True), strike=lambda _: True)

    assert any("acknowledged and lost" in violation for violation in crash_everywhere(lying).violations)


@pytest.mark.parametrize(
    ("found", "complaint"),
    [
        ([b"1", b"2", b"a"], None),
        ([b"a", b"1", b"2", b"b"], None),
        ([b"1", b"a"], "lost"),
        ([b"2", b"a"], "asked for"),
        ([b"1", b"1", b"2", b"a"], "asked for"),
        ([b"1", b"2", b"a", b"x"], "nobody"),
    ],
)
def test_the_check_can_fail(found: list[bytes], complaint: str | None) -> None:
    """D5: the check of a log complains of what is lost, out of order, there twice, or invented, and of nothing else."""
    told = Told([[b"1", b"2", b"3"], [b"a", b"b"]], {b"1", b"2", b"a"})
    said = told.complaint(found)
    assert (said is None) == (complaint is None)
    assert complaint is None or complaint in (said or "")
