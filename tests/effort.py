"""How often the tests try: one table for all counts, and the one place that reads the effort of a run.

The same test code runs with three efforts. `make test` is quick; `make prove` shows every figure in full;
`make prove EFFORT=nightly` looks for what a working day is too short for. A test asks `count("kill9_rounds")` and
never compares efforts itself.
"""

# Why a table: what a quick run leaves out must be easy to see and impossible to forget. Each count that was asked for
# is remembered, and the run ends by naming those that it reduced.

import os
from collections.abc import Iterable
from enum import Enum
from typing import Final

import attrs


class Effort(Enum):
    """How much a run tries; the value is what the environment variable EFFORT holds."""

    QUICK = "quick"
    PROVE = "prove"
    NIGHTLY = "nightly"


@attrs.frozen
class Row:
    """One count: how many in each effort, and what is counted."""

    name: str
    quick: int
    prove: int
    nightly: int
    meaning: str

    def __attrs_post_init__(self) -> None:
        """A greater effort never tries less."""
        assert 0 <= self.quick <= self.prove <= self.nightly, self

    def at(self, effort: Effort) -> int:
        """The count in a run of that effort."""
        return {Effort.QUICK: self.quick, Effort.PROVE: self.prove, Effort.NIGHTLY: self.nightly}[effort]


# fmt: off
TABLE: Final = (
    #    name               quick   prove  nightly
    Row("examples",            50,    300,    1_000, "Hypothesis examples of a test that has no row of its own"),
    Row("turn_examples",      60,  1_000,   20_000, "A1, A2: runs of the stateful test of the turn against its model"),
    Row("a4_examples",         50,  1_000,   20_000, "A4: drawn orders of interleaving handlers"),
    Row("inbox_examples",     100,  1_000,   10_000, "A8, A11: programs of an inbox beside its model, for each policy"),
    Row("schedules",           20,    200,    2_000, "seeds of Trio's schedule under which a race is run"),
    Row("chaos_runs",         100,  2_000,   20_000, "A10: drawn programs, ended at drawn moments"),
    Row("supervision_examples", 60,  2_000,   20_000, "S1-S3: drawn trees and what happens to them, beside a model of OTP's rules"),
    Row("control_examples",    60,  2_000,   20_000, "S6: drawn controls of one actor, beside a level-triggered model"),
    Row("process_examples",    60,  2_000,   20_000, "S7: drawn controls of one process, in both drives, beside a level-triggered model"),
    Row("disk_examples",       50,    500,    5_000, "E3: drawn crashes of a disk"),
    Row("log_examples",       100,  1_000,   10_000, "drawn damages of a log file"),
    Row("kill9_rounds",         3,     20,      200, "kills of the key-value service under load"),
    Row("kv_writers",          64,     64,       64, "concurrent writers in each of those rounds"),
    Row("kv_chaos_seeds",       2,     50,    1_000, "minutes of a store that is killed at random, on the virtual clock"),
    Row("kv_order_rounds",     20,    200,    2_000, "rounds of 64 concurrent writes of one key of the key-value store"),
    Row("storm_deaths",      2_000, 10_000,  100_000, "deaths in a row of one supervised child"),
    Row("tree_actors",       1_000, 10_000,   30_000, "actors of the largest tree that starts, loses its middle, and stops"),
    Row("same_every_time",      2,      5,       20, "processes that run one example, whose outputs are compared"),
    Row("request_seeds",       40,    500,   20_000, "S1: a supervisor under drawn requests, failures and controls that cross"),
    Row("ingest_seeds",         2,     50,      500, "runs of the ingest pipeline under 60 s of random kills"),
    Row("reads_1000",       1_000,  1_000,    1_000, "A3: reads of 200 ms each in one actor"),
    Row("fresh_clones",         0,      1,        1, "clones of this repository that `make run` sets up and serves from"),
    Row("machine_examples",    40,  1_000,   20_000, "M2, M3, M11: drawn schemas, mutations and handlers of a machine"),
    Row("state_programs",      40,  3_000,   50_000, "M7: drawn machines whose states have tasks, operations and children"),
    Row("given_up_waits",   2_000, 100_000, 1_000_000, "M6: waits of one machine that are given up"),
    Row("golden_share",        10,    100,      100, "golden cases, of 100, that an automaton without memory replays"),
    Row("starve_seeds",        4,     50,      500, "D3: seeds under which priorities find who starves"),
    Row("starve_misses",      40,  1_000,    1_000, "D3: runs in which chance does not find who starves"),
    Row("strategy_seeds",      4,     50,      500, "D3: seeds under which a strategy finds a race"),
    Row("random_histories", 1_500, 100_000, 1_000_000, "D5: random histories on which the checker agrees with brute force"),
    Row("crashed_schedules",    2,    100,    2_000, "D4: schedules of a log that are cut off at every change of its disk"),
    Row("simulated_suites",     1,      2,       20, "D1: seeds under which the tests of before run in the simulator; one seed runs a few"),
    Row("explored_schedules",   20,  2_000,   50_000, "D3: schedules of each of our own programs that are explored"),
    Row("durable_seeds",       30,    200,    2_000, "J4: seeds of the order in which effects complete"),
    Row("durable_crashes",     24, 10_000,  100_000, "J3: power cuts of a durable tree, with all that may be left on its disk"),
    Row("durable_prefixes",     6,  1_000,   20_000, "J3: prefixes of a recorded run from which a durable tree goes on"),
    Row("counter_lives",      500, 10_000,   10_000, "J5: lives in which the example counts to ten million"),
    Row("rollup_kills",         8,  1_000,    2_000, "J5: kills before and inside of SQL statements, in each way of rolling up"),
    Row("durable_process_examples", 40, 1_500, 20_000, "J3, S7: drawn orders and crashes of one durable process, beside a level-triggered model"),
    Row("process_kills",        4,    100,    1_000, "S7, J3: kills of a program with a durable process"),
    Row("orders_kills",         6,    200,    2_000, "J3: kills of the order workflow at random moments"),
    Row("net_examples",        25,    600,   10_000, "D4: drawn programs on a simulated network, under drawn faults"),
    Row("same_seed_runs",      20,  1_000,    5_000, "D1: runs of one seed in one process, which have one trace"),
    Row("same_seed_processes",  2,      5,        5, "D1: processes that run one seed, which have one trace"),
    Row("ablation_runs",       20,    100,    1_000, "D1: runs of one seed without one of the remedies"),
    Row("toy_seeds",            2,     50,      500, "D3: seeds under which each of the classic races is found"),
    Row("toy_replays",         10,    100,      100, "D3: replays of one token, which have one trace"),
    Row("plain_misses",        20,    200,      200, "runs of plain Trio that do not show a race"),
    Row("race_programs",       20,  2_000,   50_000, "D3: drawn programs, every schedule of which is run beside those that are left"),
    Row("actor_programs",       2,    100,    2_000, "D3: drawn systems of sealed actors, searched beside chance"),
    Row("actor_schedules",     60,    500,    2_000, "D3: schedules of each of those, at most"),
    Row("plain_runs",         100,  1_201,    5_000, "D3: runs in which the search that leaves nothing out is not through"),
    Row("codec_examples",     100,  3_000,   50_000, "J3: drawn values that a journal stores and reads back"),
    Row("journal_kills",        3,     20,      200, "J2: kills of a process in the middle of its commits to a journal"),
    Row("journal_crashes",      1,     50,    1_000, "J2: schedules of a journal that are cut off at every change of its disk"),
    Row("mutants",              0,  1_000,    1_000, "mutants to kill, at most"),
)
# fmt: on

ROWS: Final = {row.name: row for row in TABLE}
assert len(ROWS) == len(TABLE), "two rows of one name"

_asked_for: dict[str, None] = {}  # a set in the order of asking


def effort() -> Effort:
    """The effort of this run, from the environment variable EFFORT; quick if it is not set.

    Raises:
        ValueError: EFFORT holds another word.

    """
    word = os.environ.get("EFFORT") or Effort.QUICK.value
    try:
        return Effort(word)
    except ValueError:
        words = ", ".join(each.value for each in Effort)
        raise ValueError(f"EFFORT is {word!r}, which is no effort of the tests. Set it to one of: {words}") from None


def count(name: str) -> int:
    """How many of *name* this run tries.

    Raises:
        KeyError: the table has no such row; add it there.

    """
    if name not in ROWS:
        raise KeyError(
            f"no count is called {name!r}: add a row to TABLE in tests/effort.py, which has {', '.join(ROWS)}"
        )
    _asked_for[name] = None
    return ROWS[name].at(effort())


def asked_for() -> list[str]:
    """The names of the counts that this process has asked for."""
    return list(_asked_for)


def reduced(names: Iterable[str] = ()) -> list[str]:
    """One line for each count that this run asked for, here or as one of *names*, and that `make prove` has larger."""
    rows = [row for row in TABLE if row.name in {*_asked_for, *names}]
    now = effort()
    return [f"{row.name}: {row.at(now)} of {row.prove:,} ({row.meaning})" for row in rows if row.at(now) < row.prove]
