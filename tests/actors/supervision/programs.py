"""Programs for a tree of supervised actors as data: who is in it, and what happens from outside and when.

Times are whole *grains* of 2**-20 s, so that sums of them are exact on every clock. The drawn times are coarse ticks.
In a program of distinct times each has a bit added that no other has: then everything that happens has one cause, and
the order of all that follows is promised. In a program of simultaneous times it is not, and less is compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from random import Random
from typing import Final, Protocol

import attrs
from hypothesis import strategies as st

GRAINS_PER_S: Final = 2**20
TICK: Final = GRAINS_PER_S // 4
NEVER: Final = 1_000_000 * GRAINS_PER_S


class Restart(Enum):
    PERMANENT = "PERMANENT"
    TRANSIENT = "TRANSIENT"
    TEMPORARY = "TEMPORARY"


class Strategy(Enum):
    ONE_FOR_ONE = "ONE_FOR_ONE"
    ONE_FOR_ALL = "ONE_FOR_ALL"
    REST_FOR_ONE = "REST_FOR_ONE"


class AutoShutdown(Enum):
    NEVER = "NEVER"
    ANY_SIGNIFICANT = "ANY_SIGNIFICANT"
    ALL_SIGNIFICANT = "ALL_SIGNIFICANT"


@attrs.frozen(kw_only=True)
class Worker:
    """The spec of an actor that does what it is told: its lives take so long to start, to stop and to clean up."""

    name: str
    restart: Restart = Restart.PERMANENT
    significant: bool = False
    start: int = 0
    stop: int = 0
    unwind: int = 0
    start_failures: int = 0
    start_max: int = NEVER
    shutdown: int = NEVER
    redeliver_max: int = 0


@attrs.frozen(kw_only=True)
class Sup:
    """The spec of a supervisor."""

    name: str
    children: tuple[Worker | Sup, ...] = ()
    restart: Restart = Restart.PERMANENT
    significant: bool = False
    strategy: Strategy = Strategy.ONE_FOR_ONE
    restarts_max: int = 3
    window: int = 5 * GRAINS_PER_S
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    backoff: int = 0
    backoff_max: int = 0
    backoff_reset: int = NEVER
    shutdown: int = NEVER


Spec = Worker | Sup


class Do(Enum):
    """What can be done to an actor from outside; *amount* says how much."""

    NOTE = "tell it a note"
    ASK = "ask it a note"
    WORK = "tell it work that takes"
    ASK_WORK = "ask it work that takes"
    CRASH = "tell it to crash"
    ASK_CRASH = "ask it to crash"
    FINISH = "tell it to finish"
    BREAK = "break it from beside its handlers"
    STOP = "stop it"
    STOP_WITHIN = "stop it within"
    KILL = "kill it"
    STEP = "step it, so many messages:"
    NUDGE = "nudge it"
    HOLD = "tell it work that holds the turn for"
    PAUSE = "pause it"
    RESUME = "resume it"
    FAIL_STARTS = "fail its next starts, so many:"
    START_TAKES = "from now on its start takes"
    STOP_TAKES = "from now on its stop takes"
    UNWIND_TAKES = "from now on its clean-up takes"
    START_CHILD = "start_child of"
    TERMINATE_CHILD = "its supervisor: terminate_child"
    RESTART_CHILD = "its supervisor: restart_child"
    DELETE_CHILD = "its supervisor: delete_child"


MESSAGES: Final = (Do.HOLD, Do.NOTE, Do.ASK, Do.WORK, Do.ASK_WORK, Do.CRASH, Do.ASK_CRASH, Do.FINISH)
ASKS: Final = (Do.ASK, Do.ASK_WORK, Do.ASK_CRASH)
COMMANDS: Final = (Do.START_CHILD, Do.TERMINATE_CHILD, Do.RESTART_CHILD, Do.DELETE_CHILD)
_PLAIN: Final = (
    Do.NOTE,
    Do.ASK,
    Do.CRASH,
    Do.ASK_CRASH,
    Do.FINISH,
    Do.BREAK,
    Do.STOP,
    Do.KILL,
    Do.PAUSE,
    Do.RESUME,
    Do.NUDGE,
)


@attrs.frozen
class Op:
    """At that time do that to the actor at that path. The number of an op is its place in the program."""

    at: int
    do: Do
    path: str
    amount: int = 0
    spec: Worker | None = None

    @property
    def called(self) -> tuple[str, str]:
        """Of a command: the path of the supervisor, and the name of the child."""
        above, _, name = self.path.rpartition("/")
        return (above, name) if self.spec is None else (self.path, self.spec.name)

    def __str__(self) -> str:
        """One line of a script."""
        if self.spec is not None:
            amount = f" {' '.join(_drawn(self.spec, ''))}"
        elif self.do in (*_PLAIN, *COMMANDS):
            amount = ""
        else:
            amount = f" {self.amount}" if self.do in (Do.FAIL_STARTS, Do.STEP) else f" {seconds(self.amount)} s"
        return f"{seconds(self.at):>10} s  {self.path}: {self.do.value}{amount}"


class Printer(Protocol):
    """What is used here of Hypothesis's pretty printer."""

    def text(self, text: str) -> None: ...


@attrs.frozen
class Program:
    """A tree, what happens to it, when the block around it ends, and the schedule that Trio's tasks run by."""

    root: Sup
    ops: tuple[Op, ...]
    end: int
    schedule: int = 0
    heard: bool = False

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        """What Hypothesis prints of a program that fails."""
        printer.text("\n" + self.script() + "\n")

    def places(self) -> dict[str, Spec]:
        """Every place that there is at first, or that a child may be started at."""
        more = {f"{op.path}/{op.spec.name}": op.spec for op in self.ops if op.spec is not None}
        return {**dict(paths(self.root)), **more}

    def script(self) -> str:
        """The program for a reader."""
        ops = [f"{number:3} {op}" for number, op in enumerate(self.ops)]
        how = f"schedule {self.schedule}, {'' if self.heard else 'not '}heard"
        return "\n".join([how, *_drawn(self.root, ""), *ops, f"    {seconds(self.end):>10} s  the block ends"])


def seconds(grains: int) -> str:
    """Grains as a reader wants them."""
    return "never" if grains >= NEVER else f"{grains / GRAINS_PER_S:.6f}".rstrip("0").rstrip(".")


def _drawn(spec: Spec, indent: str) -> Iterator[str]:
    plain = type(spec)(name=spec.name)
    said: list[str] = []
    for field in attrs.fields(type(spec)):
        value = getattr(spec, field.name)
        if field.name in ("name", "children", "strategy") or value == getattr(plain, field.name):
            continue
        if isinstance(value, Enum):
            said.append(str(value.value))
        elif field.name in ("restarts_max", "start_failures", "redeliver_max", "significant"):
            said.append(f"{field.name}={value}")
        else:
            said.append(f"{field.name}={seconds(value)}s")
    kind = spec.strategy.value if isinstance(spec, Sup) else "worker"
    yield f"{indent}{spec.name}: {kind} {' '.join(said)}"
    for child in spec.children if isinstance(spec, Sup) else ():
        yield from _drawn(child, indent + "    ")


def paths(spec: Spec, above: str = "") -> Iterator[tuple[str, Spec]]:
    """Every place of a tree, parents first."""
    path = f"{above}/{spec.name}"
    yield path, spec
    for child in spec.children if isinstance(spec, Sup) else ():
        yield from paths(child, path)


# -- drawing -----------------------------------------------------------------------------------------------------------


@attrs.define
class Salt:
    """Makes each time distinct, if it is to be, and sums of them too: by bits that have no pattern."""

    distinct: bool
    count: int = 0

    def __call__(self, ticks: int) -> int:
        """So many ticks, in grains. None stay none."""
        if not ticks:
            return 0
        self.count += 1
        return ticks * TICK + (Random(self.count).getrandbits(17) if self.distinct else 0)


DEPTH_MAX: Final = 4
_RESTARTS: Final = st.sampled_from((Restart.PERMANENT, *Restart, Restart.TRANSIENT))
_SHORT: Final = st.sampled_from((0, 0, 0, 1, 2, 3))
_ENDING: Final = (Do.CRASH, Do.KILL, Do.STOP, Do.BREAK, Do.FINISH, Do.ASK_CRASH)  # what this is about
_DOINGS: Final = st.sampled_from((*_ENDING, *_ENDING, *(do for do in Do if do not in (Do.STEP, Do.NUDGE, Do.HOLD))))
_OPS: Final = st.tuples(st.sampled_from((1, 1, 2, 3, 0, 8)), _DOINGS, st.integers(0, 10**6), st.integers(1, 3))


@st.composite
def _workers(draw: st.DrawFn, salt: Salt, name: str, *, may_be_significant: bool) -> Worker:
    restart = draw(_RESTARTS)
    significant = may_be_significant and restart is not Restart.PERMANENT and draw(st.booleans())
    return Worker(
        name=name,
        restart=restart,
        significant=significant,
        start=salt(draw(_SHORT)),
        stop=salt(draw(_SHORT)),
        unwind=salt(draw(_SHORT)),
        start_max=salt(draw(st.sampled_from((30, 30, 30, 30, 3)))),
        shutdown=salt(draw(st.sampled_from((20, 20, 20, 2, 1)))),
        redeliver_max=draw(st.sampled_from((0, 0, 1))),
    )


@st.composite
def _sups(draw: st.DrawFn, salt: Salt, name: str, depth: int, *, may_be_significant: bool) -> Sup:
    auto_shutdown = draw(st.sampled_from((AutoShutdown.NEVER,) * 4 + (*AutoShutdown,)))
    restart = draw(_RESTARTS)
    children: list[Spec] = []
    for number in range(draw(st.integers(1, 4))):
        below = f"{name}{'abcd'[number]}"
        inner = auto_shutdown is not AutoShutdown.NEVER
        if depth < DEPTH_MAX and draw(st.sampled_from((False, False, True))):
            children.append(draw(_sups(salt, below, depth + 1, may_be_significant=inner)))
        else:
            children.append(draw(_workers(salt, below, may_be_significant=inner)))
    backoff = salt(draw(st.sampled_from((0, 0, 0, 1, 2))))
    return Sup(
        name=name,
        children=tuple(children),
        restart=restart,
        significant=may_be_significant and restart is not Restart.PERMANENT and draw(st.booleans()),
        strategy=draw(st.sampled_from(Strategy)),
        restarts_max=draw(st.integers(0, 4)),
        window=salt(draw(st.sampled_from((1, 4, 20)))),
        auto_shutdown=auto_shutdown,
        backoff=backoff,
        backoff_max=salt(draw(st.sampled_from((3, 6)))) if backoff else 0,
        backoff_reset=salt(draw(st.sampled_from((4, 1000)))) if backoff else NEVER,
        shutdown=draw(st.sampled_from((NEVER, NEVER, NEVER, salt(2)))),
    )


@st.composite
def programs(draw: st.DrawFn, *, distinct: bool = True) -> Program:
    """A program of distinct times, or of times of which many are equal."""
    salt = Salt(distinct)
    root = draw(_sups(salt, "r", 1, may_be_significant=False))
    places = list(paths(root))
    if draw(st.sampled_from((False,) * 7 + (True,))):
        root = _with_failing_start(root, places[-1][0].split("/")[2:])
    begun = sum(spec.start for _, spec in places if isinstance(spec, Worker)) + 1
    now = draw(st.sampled_from((begun, begun, begun, 0)))
    ops: list[Op] = []
    for gap, do, place, amount in draw(st.lists(_OPS, min_size=3, max_size=20)):
        now += salt(gap) if distinct and gap else gap * TICK + distinct
        able = [path for path, spec in places if _is_able(do, path, spec)]
        path, spec = able[place % len(able)], None
        if do is Do.START_CHILD:
            spec = draw(_workers(salt, f"x{len(ops)}", may_be_significant=False))
            places.append((f"{path}/{spec.name}", spec))
        ops.append(Op(now, do, path, amount if do is Do.FAIL_STARTS else salt(amount), spec))
    end = now + (salt(draw(st.sampled_from((60, 2)))))
    return Program(root, tuple(ops), end, schedule=draw(st.integers(0, 2**32 - 1)), heard=draw(st.booleans()))


def _is_able(do: Do, path: str, spec: Spec) -> bool:
    """Whether that can be done to whoever is there."""
    if do is Do.START_CHILD:
        return isinstance(spec, Sup)
    if do in COMMANDS:
        return path.count("/") > 1  # the root has no supervisor
    return isinstance(spec, Worker) or do in (Do.STOP, Do.STOP_WITHIN, Do.KILL)


def _with_failing_start(spec: Sup, names: list[str]) -> Sup:
    """The first start of the worker down there fails."""
    name, *below = names
    changed = [
        child
        if child.name != name
        else attrs.evolve(child, start_failures=1)
        if isinstance(child, Worker)
        else _with_failing_start(child, below)
        for child in spec.children
    ]
    return attrs.evolve(spec, children=tuple(changed))
