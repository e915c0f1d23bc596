"""Every row of the benchmarks still runs: once, small, and without a word about how fast."""

import pytest

from tests.benchmarks.__main__ import ROWS
from tests.benchmarks.measure import Row

BY_NAME = {row.name: row for row in ROWS}
FEW = 2_000  # items are enough to run a row, unless it needs all of them even in a quick run


@pytest.mark.slow
@pytest.mark.workshop
@pytest.mark.usefixtures("set_aside")
@pytest.mark.parametrize("name", BY_NAME)
def test_both_sides_of_a_row_run(name: str) -> None:
    """Each side does its work and says what an item of it has cost."""
    row: Row = BY_NAME[name]
    if (why_not := row.why_not()) is not None:
        pytest.skip(why_not)
    ours_size, peer_size = row.sizes(quick=True)
    if row.quick < 1:
        ours_size, peer_size = min(ours_size, FEW), min(peer_size, FEW)

    with row.set_up():
        assert row.ours(ours_size) > 0
        assert row.peer is None or row.peer(peer_size) > 0


def test_every_row_has_a_budget() -> None:
    """A row without a budget could not be missed; and no two rows share a name."""
    assert len(BY_NAME) == len(ROWS)
    assert all(row.budget > 0 for row in ROWS)
