"""Replay golden cases: `python tests/conformance/run_vectors.py [--edges N] [FILE...]`; without a file, our own.

Each case is replayed twice: on a bare machine, whose plain path is one look-up, and with a tracer attached, which also
shows every transition. Both must give what the file says. The last line is `N passed, N failed`; the exit code is 1 if
any failed, and each failed case comes with its differences. vectors/README.md has the format.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypedDict

from histrio_kernel.machine.core.automaton import EDGES_MAX, Automaton
from histrio_kernel.machine.core.handlers import NEGOTIATING, Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import EXECUTED, Queued, Result
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.watching import Shell, Tracer

VECTORS: Final = Path(__file__).resolve().parent / "vectors"
OWN: Final = (VECTORS / "relations.jsonl.gz", VECTORS / "handlers.jsonl.gz")
QUIET: Final = frozenset({"Healthcheck", "Heartbeat"})
DIFFERENCES_MAX: Final = 3
"""Of one case that are printed; what follows the first is mostly its consequence."""


class Operation(TypedDict):
    op: str
    states: list[str]


class Behaviour(TypedDict, total=False):
    then: list[Operation]
    then_max: int
    panic: bool
    panic_on: list[int]
    veto: bool
    veto_on: list[int]


class Snapshot(TypedDict):
    active: list[str]
    time: list[int]


Nested = TypedDict("Nested", {"in": str, "op": str, "states": list[str], "result": str}, total=False)


class _Outcome(Operation, Snapshot):
    """What every step has."""

    result: str


class Step(_Outcome, total=False):
    """One mutation from outside, and what came of it."""

    txs: list[str]
    calls: list[str] | None
    nested: list[Nested] | None


class Relations(TypedDict):
    """A schema, of which the number of a state is its place in `states`."""

    states: list[str]
    schema: dict[str, dict[str, object]]


class _Script(Relations):
    """What every case has."""

    id: str
    init: Snapshot
    steps: list[Step]


class Case(_Script, total=False):
    """One line of a file."""

    handlers_all: bool
    handlers: dict[str, Behaviour] | None
    handlers2: dict[str, Behaviour] | None


class Panic(Exception):
    """What a handler raises that is told to."""


class Silent(Shell):
    """Errors that no state takes are a part of the game."""

    def unclaimed(self, error: BaseException, transition: Transition | None) -> None:
        """Say nothing."""


class Watcher(Tracer):
    """Writes down each transition as the files have it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def end(self, transition: Transition) -> None:
        """Prefix, sign, names in the order of the schema, and whether it was not accepted."""
        prefix = ("a" if transition.is_auto else "") + ("?" if transition.dry else "")
        names = ",".join(transition.schema.names[state] for state in sorted(transition.called))
        self.seen.append(f"{prefix}{transition.op.sign}{names}{'' if transition.result else '!'}")


def all_slots(states: Sequence[str]) -> dict[str, Slot]:
    """Every handler that could be, by the name that the original puts together for it."""
    slots = {"AnyEnter": Slot(Kind.ANY_MAY_ENTER), "AnyState": Slot(Kind.ANY_ENTERED)}
    for state in states:
        slots[f"{state}Enter"] = Slot(Kind.MAY_ENTER, state)
        slots[f"{state}Exit"] = Slot(Kind.MAY_EXIT, state)
        slots[f"{state}State"] = Slot(Kind.ENTERED, state)
        slots[f"{state}End"] = Slot(Kind.EXITED, state)
    for first in states:
        for state in states:
            slot = Slot(Kind.STAYS, state) if first == state else Slot(Kind.BESIDE, state, first)
            slots.setdefault(f"{first}{state}", slot)
    return slots


def spell(result: Result) -> str:
    """A result in the words of the files, in which a duplicate counts as executed."""
    if isinstance(result, Queued):
        return "queued" if result.is_new else "executed"
    return "executed" if result is EXECUTED else "canceled"


class Replay:
    """One case on one machine."""

    def __init__(self, case: Case, edges_max: int, traced: bool) -> None:
        self.case: Final = case
        self.calls: list[str] = []
        self.nested: list[Nested] = []
        self.watcher: Final = Watcher() if traced else None
        self.machine: Final = Machine(Automaton(schema_of(case), edges_max=edges_max))
        self.machine.set_shell(Silent())
        self._bind(case.get("handlers"), "", case.get("handlers_all", False))
        self._bind(case.get("handlers2"), "2:", False)
        if self.watcher is not None:
            self.machine.attach(self.watcher)

    def _bind(self, behaviours: dict[str, Behaviour] | None, prefix: str, everything: bool) -> None:
        """Bind the handlers of one binding."""
        if behaviours is None and not everything:
            return
        slots, given = all_slots(self.case["states"]), behaviours or {}
        names = slots if everything else given
        table = HandlerTable(self._handler(slots[name], prefix + name, given.get(name, {})) for name in names)
        self.machine.bind(table)

    def _handler(self, slot: Slot, name: str, behaviour: Behaviour) -> Handler:
        """One handler that does what it is told, call by call."""
        count = 0

        def call(owner: object, transition: Transition) -> bool | None:
            nonlocal count
            count += 1
            self.calls.append(name)
            if count <= (behaviour.get("then_max", 0) or count):
                self._mutate_within(name, behaviour.get("then", []))
            if behaviour.get("panic") or count in behaviour.get("panic_on", []):
                raise Panic(name)
            vetoes = behaviour.get("veto") or count in behaviour.get("veto_on", [])
            return False if vetoes and slot.kind in NEGOTIATING else None

        return Handler(slot, call)

    def _mutate_within(self, name: str, operations: Iterable[Operation]) -> None:
        """What a handler issues."""
        for each in operations:
            result = spell(self.mutate(each["op"], each["states"]))
            self.nested.append({"in": name, "op": each["op"], "states": each["states"], "result": result})

    def mutate(self, op: str, states: Sequence[str]) -> Result:
        """One operation of a file."""
        machine = self.machine
        if op == "add_err":
            return machine.fail(Panic("told to"), *states)
        calls = {
            "add": machine.add,
            "remove": machine.remove,
            "set": machine.set,
            "toggle": machine.toggle,
            "can_add": machine.can_add,
            "can_remove": machine.can_remove,
        }
        return calls[op](*states)

    def differences(self) -> Iterator[str]:
        """Whatever is not as the case says, in order."""
        yield from self._compare("init", self.case["init"])
        for number, step in enumerate(self.case["steps"], 1):
            self.calls, self.nested = [], []
            if self.watcher is not None:
                self.watcher.seen = []
            result = spell(self.mutate(step["op"], step["states"]))
            where = f"step {number} {step['op']} {step['states']}"
            yield from self._differ(where, "result", step["result"], result)
            yield from self._compare(where, step)
            yield from self._differ(where, "calls", step.get("calls") or [], self.calls)
            expected = [{**each, "value": 0} for each in step.get("nested") or []]
            yield from self._differ(where, "nested", expected, [{**each, "value": 0} for each in self.nested])
            if self.watcher is not None:
                yield from self._differ(where, "txs", step.get("txs") or [], self.watcher.seen)

    def _compare(self, where: str, snapshot: Snapshot) -> Iterator[str]:
        """The states and clocks."""
        yield from self._differ(where, "active", sorted(snapshot["active"]), sorted(self.machine.names))
        yield from self._differ(where, "time", snapshot["time"], list(self.machine.time))

    def _differ(self, where: str, what: str, expected: object, got: object) -> Iterator[str]:
        """One line on a difference."""
        if expected != got:
            kind = "bare" if self.watcher is None else "traced"
            yield f"  {where} ({kind}): {what}\n    expected {expected}\n    got      {got}"


def schema_of(case: Relations) -> Schema:
    """The schema of a case, its states in the order of the case."""
    rows: dict[str, dict[str, object]] = {}
    for name in case["states"]:
        if name in case["schema"]:
            rows[name] = {**case["schema"][name], "quiet": name in QUIET}
        else:
            rows[name] = {"multi": name == "Exception"}
    return Schema.from_data(rows, exception="Exception")


def failures(case: Case, edges_max: int = EDGES_MAX) -> list[str]:
    """The first differences of a case, bare and traced; none if it passes."""
    found: list[str] = []
    for traced in (False, True):
        try:
            for difference in Replay(case, edges_max, traced).differences():
                found.append(difference)
                if len(found) >= DIFFERENCES_MAX:
                    return found
        except Exception as error:
            found.append(f"  {'traced' if traced else 'bare'}: raised {error!r}")
    return found


def cases_of(path: Path) -> Iterator[Case]:
    """The cases of a .jsonl or .jsonl.gz file."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                case: Case = json.loads(line)
                yield case


def main(arguments: Sequence[str]) -> int:
    """Replay the files and tell; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--edges", type=int, default=EDGES_MAX, help="the bound of the automaton (3: it always forgets)"
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    outcome: Counter[bool] = Counter()
    for path in options.files or OWN:
        for case in cases_of(path):
            found = failures(case, options.edges)
            outcome[not found] += 1
            if found:
                print(f"{path.name} {case['id']} {case.get('tags', [])}", *found, sep="\n")
    print(f"{outcome[True]} passed, {outcome[False]} failed")
    return 1 if outcome[False] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
