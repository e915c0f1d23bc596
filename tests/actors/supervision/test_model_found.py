"""Programs on which Histrio and a model once parted, and some that are hard to draw: each stays as the model has it."""

import pytest
from tests.actors.supervision.control_model import PATH
from tests.actors.supervision.model import predict
from tests.actors.supervision.programs import (
    GRAINS_PER_S,
    AutoShutdown,
    Do,
    Op,
    Program,
    Restart,
    Spec,
    Strategy,
    Sup,
    Worker,
)
from tests.actors.supervision.promises import broken_promises
from tests.actors.supervision.test_control_model import check
from tests.actors.supervision.test_supervision_model import compare
from tests.actors.supervision.world import play

S = GRAINS_PER_S
ALL, REST = Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE


def w(
    name: str,
    restart: Restart = Restart.PERMANENT,
    start: float = 0,
    stop: float = 0,
    unwind: float = 0,
    shutdown: float = 1000,
) -> Worker:
    """A worker whose lives take so many seconds."""
    start, stop, unwind, shutdown = (int(seconds * S) for seconds in (start, stop, unwind, shutdown))
    return Worker(name=name, restart=restart, start=start, stop=stop, unwind=unwind, shutdown=shutdown)


def s(
    name: str, *children: Spec, strategy: Strategy = Strategy.ONE_FOR_ONE, restarts_max: int = 3, backoff: float = 0
) -> Sup:
    """A supervisor that waits so many seconds before each restart."""
    grains = int(backoff * S)
    return Sup(
        name=name, children=children, strategy=strategy, restarts_max=restarts_max, backoff=grains, backoff_max=grains
    )


def at(when: float, do: Do, path: str = PATH, amount: float = 0) -> Op:
    """Something that happens, with seconds for grains; a number of starts or messages stays one."""
    return Op(int(when * S), do, path, int(amount) if do in (Do.FAIL_STARTS, Do.STEP) else int(amount * S))


TEMPORARY, TRANSIENT = Restart.TEMPORARY, Restart.TRANSIENT
TREES = {
    "a TEMPORARY child is halted at its first start": Program(
        s("r", w("a"), w("b", TEMPORARY, start=1), w("c"), strategy=ALL), (at(0.3, Do.CRASH, "/r/a"),), 9 * S
    ),
    "a first start fails while it is halted": Program(
        Sup(
            name="r",
            children=(w("a"), w("b"), Worker(name="c", start_failures=1, unwind=S // 4)),
            strategy=ALL,
            backoff=S // 3,
            backoff_max=S,
        ),
        (at(0.2, Do.CRASH, "/r/a"),),
        9 * S,
    ),
    "a sibling that is to be halted ends by itself": Program(
        s("r", w("a"), w("b"), w("c", stop=1), strategy=ALL, restarts_max=1),
        (at(1, Do.CRASH, "/r/a"), at(1.5, Do.CRASH, "/r/b")),
        9 * S,
    ),
    "a sibling that is to be halted has failed by itself, and is stopped": Program(
        s("r", w("a"), w("b", TRANSIENT), w("c", stop=1), strategy=ALL),
        (at(1, Do.CRASH, "/r/a"), at(1.2, Do.CRASH, "/r/b"), at(1.5, Do.STOP, "/r/b")),
        9 * S,
    ),
    "one that starts on request is stopped meanwhile": Program(
        s("r", w("a", TRANSIENT, start=0.25)),
        (at(1, Do.STOP, "/r/a"), at(2, Do.RESTART_CHILD, "/r/a"), at(2.1, Do.STOP, "/r/a")),
        9 * S,
    ),
    "one that was started by the restart going on ends again": Program(
        s("r", w("a"), w("b"), w("c", start=1), strategy=REST, restarts_max=2),
        (at(2, Do.CRASH, "/r/a"), at(2.5, Do.CRASH, "/r/b")),
        9 * S,
    ),
    "a start fails long after the child was up for long": Program(
        Sup(name="r", children=(w("a"),), backoff=S // 8, backoff_max=9 * S, backoff_reset=5 * S, restarts_max=9),
        (at(8, Do.FAIL_STARTS, "/r/a", 4), at(9, Do.CRASH, "/r/a")),
        30 * S,
    ),
    "a supervisor stops while siblings are halted for a restart": Program(
        s("r", w("a"), w("b"), w("c", stop=1), strategy=ALL),
        (
            at(1, Do.CRASH, "/r/a"),
            at(1.2, Do.PAUSE, "/r/b"),
            at(1.3, Do.ASK, "/r/b"),
            at(1.5, Do.STOP, "/r"),
        ),
        9 * S,
    ),
    "what waits and what is in hand at a restart, in order": Program(
        s("r", Worker(name="a", redeliver_max=1), backoff=1),
        (
            *(at(1, Do.WORK, "/r/a", 2), at(1.1, Do.WORK, "/r/a", 3), at(1.2, Do.ASK_WORK, "/r/a", 2)),
            *(at(1.5, Do.CRASH, "/r/a"), at(1.6, Do.NOTE, "/r/a"), at(1.7, Do.ASK, "/r/a")),
        ),
        19 * S,
    ),
    "a second restart late in the window": Program(
        Sup(name="r", children=(w("a"),), restarts_max=1, window=2 * S),
        (at(1, Do.CRASH, "/r/a"), at(2.5, Do.CRASH, "/r/a")),
        9 * S,
    ),
    "the last of two significant children": Program(
        Sup(
            name="r",
            children=tuple(Worker(name=name, restart=TRANSIENT, significant=True) for name in "ab"),
            auto_shutdown=AutoShutdown.ALL_SIGNIFICANT,
        ),
        (at(1, Do.FINISH, "/r/a"), at(2, Do.FINISH, "/r/b")),
        9 * S,
    ),
    "what start_child starts is halted, and its supervisor stops before it is started again": Program(
        s("r", w("a", start=0.5, unwind=0.375), strategy=ALL),
        (at(1.1, Do.CRASH, "/r/a"), Op(int(1.4 * S), Do.START_CHILD, "/r", spec=w("x", start=0.3))),
        int(1.9 * S),
    ),
    "a stop of what waits for a restart": Program(
        s("r", w("a"), w("b", TRANSIENT), backoff=1),
        (
            *(at(1, Do.CRASH, "/r/a"), at(1.1, Do.CRASH, "/r/b"), at(1.4, Do.STOP, "/r/a"), at(1.5, Do.KILL, "/r/b")),
            *(at(4, Do.CRASH, "/r/b"), at(4.5, Do.STOP, "/r/b")),
        ),
        9 * S,
    ),
}

UNORDERED = {
    "a supervisor is stopped while it starts": Program(
        s("r", s("s", w("a", start=0.3), w("b")), w("c")), (at(0.1, Do.STOP, "/r/s"),), 9 * S
    ),
    "a supervisor gives up while it starts": Program(
        s("r", w("a", unwind=0.3), w("b"), w("c", start=0.3), restarts_max=0), (at(0.2, Do.CRASH, "/r/b"),), 9 * S
    ),
    "a child is halted at its first start, and its supervisor stops in the backoff": Program(
        s("r", w("a"), w("b"), w("c", start=0.5), strategy=ALL, backoff=0.75),
        (at(0.25, Do.CRASH, "/r/a"), at(0.75, Do.STOP, "/r")),
        9 * S,
    ),
}

STARTED = Op(S, Do.START_CHILD, "/r", spec=w("x", start=0.3, unwind=0.3))
UNORDERED["a child that start_child starts is halted, and its supervisor stops"] = Program(
    s("r", w("a", start=0.25), strategy=ALL),
    (STARTED, at(1.2, Do.CRASH, "/r/a"), at(1.4, Do.STOP, "/r")),
    9 * S,
)


def controls(*ops: Op, backoff: float = 0, start: float = 0, unwind: float = 0, shutdown: float = 1000) -> Program:
    """A program of control for one PERMANENT actor."""
    worker = w("a", start=start, unwind=unwind, shutdown=shutdown)
    return Program(s("r", worker, restarts_max=10_000, backoff=backoff), ops, 20 * S)


CONTROLS = {
    "a step in a backoff": controls(
        at(1, Do.CRASH), at(1.5, Do.STEP, amount=1), at(3, Do.NOTE), at(4, Do.NOTE), backoff=1
    ),
    "steps that are left at a restart": controls(
        at(1, Do.STEP, amount=3), at(2, Do.CRASH), at(3, Do.NOTE), at(4, Do.NOTE), at(5, Do.NOTE), backoff=0.5
    ),
    "a step while it drains": controls(
        at(1, Do.HOLD, amount=1),
        at(1.1, Do.NOTE),
        at(1.1, Do.NOTE),
        at(1.2, Do.STOP),
        at(1.3, Do.STEP, amount=1),
        shutdown=5,
    ),
    "a stop ends a pause, for the next incarnation too": controls(
        at(1, Do.PAUSE), at(2, Do.NOTE), at(3, Do.STOP), at(4, Do.NOTE), backoff=0.5
    ),
    "a pause ends a step": controls(
        at(1, Do.STEP, amount=3), at(2, Do.PAUSE), at(3, Do.STEP, amount=1), *[at(4, Do.NOTE)] * 3
    ),
    "what a stop within a time leaves is for the next incarnation": controls(
        at(1, Do.HOLD, amount=3), at(1.1, Do.NOTE), at(1.2, Do.NOTE), at(1.5, Do.STOP_WITHIN, amount=1), backoff=0.5
    ),
    "steps add up": controls(
        at(1, Do.PAUSE), at(1, Do.STEP, amount=1), at(1, Do.STEP, amount=1), *[at(2, Do.NOTE)] * 4
    ),
    "resume and pause at one instant": controls(at(1, Do.PAUSE), at(2, Do.NOTE), at(3, Do.RESUME), at(3, Do.PAUSE)),
    "a kill in a backoff, at a start, and while it cleans up": controls(
        at(1, Do.KILL),
        at(1.5, Do.KILL),
        at(2.5, Do.KILL),
        at(4, Do.KILL),
        at(9, Do.KILL),
        start=0.75,
        unwind=0.75,
        backoff=1,
    ),
}


@pytest.mark.parametrize("program", TREES.values(), ids=TREES.keys())
def test_a_tree_that_was_hard_is_as_the_model_has_it(program: Program) -> None:
    """S1, S2, S3: What was found once is looked at in every run."""
    expected = predict(program)
    assert not expected.ambiguous
    compare(program, expected, play(program).outcome)


@pytest.mark.parametrize("program", UNORDERED.values(), ids=UNORDERED.keys())
def test_a_tree_in_which_much_happens_at_once_comes_to_its_end(program: Program) -> None:
    """S1, S2, A10: What was found once is looked at in every run: nobody is left waiting."""
    outcome = play(program).outcome
    assert broken_promises(program, outcome) == []
    assert outcome.ended_by == predict(program).ended_by


@pytest.mark.parametrize("program", CONTROLS.values(), ids=CONTROLS.keys())
def test_a_control_that_was_hard_is_as_the_model_has_it(program: Program) -> None:
    """S6: What was found once is looked at in every run."""
    check(program)
