"""Machines a second time, written from the text of the design alone: as simple as can be, and without memory.

It shares no code with the machine that it is compared with, names states by their names, and keeps lists where the
machine keeps numbers and sets. What it answers is what M2, M3, M5 and M8 say.
"""

# What the text leaves open, and the machine decides, stands here as two constants and nothing else.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import attrs

from histrio_kernel.machine.core.schema import Definition

__all__ = ["CANCELED", "EXECUTED", "FULL", "QUEUED", "SAME", "STUCK", "Ask", "Deed", "Oracle"]

EXECUTED: Final = "executed"
CANCELED: Final = "canceled"
QUEUED: Final = "queued"
SAME: Final = "queued already"
FULL: Final = "full"
STUCK: Final = "DrainStuck"
SIGNS: Final = {"add": "+", "remove": "-", "set": "="}

AUTO_CANCELED_MAX: Final = 16
"""Auto transitions that an error in their negotiation may cancel in one drain, before no more are started."""
FAILED_AUTO: Final = AUTO_CANCELED_MAX
"""What one counts for that failed when its states had entered."""


@attrs.frozen
class Ask:
    """One operation of a script, or of a handler: `states` has at most one state if `op` is `fail`."""

    op: str
    states: tuple[str, ...] = ()
    args: bool = False


@attrs.frozen
class Deed:
    """What one call of a handler does: it asks for some operations, and then returns, vetoes or raises."""

    asks: tuple[Ask, ...] = ()
    ending: str = ""


@attrs.define(eq=False)
class Mutation:
    """One that waits or runs."""

    op: str
    called: tuple[str, ...]
    args: bool = False
    cause: str | None = None
    dry: bool = False
    is_auto: bool = False
    result: str = ""


class Oops(Exception):
    """A handler raises."""


def once(names: Iterable[str]) -> list[str]:
    """Repeats keep their first place."""
    found: list[str] = []
    for name in names:
        if name not in found:
            found.append(name)
    return found


class Rules:
    """M2 up to "Auto": what the relations of a schema lead to."""

    def __init__(self, rows: Mapping[str, Definition]) -> None:
        self.rows: Final = rows
        self.names: Final = list(rows)
        self.places: Final = self.post_order()

    def resolve(self, active: Sequence[str], op: str, called: Sequence[str], barred: Sequence[str] = ()) -> list[str]:
        """The five steps. `barred` names may not enter."""
        if op == "remove":
            names = [name for name in active if name not in called]
        else:
            base = [*called, *active] if op == "add" else [*called]
            names = self.closure(once(base), active, called, barred)
        before: list[str] = []
        while names != before:
            before = names
            names = self.without_removed(self.without_lacking(names))
        return self.order(names)

    def closure(
        self, base: Sequence[str], active: Sequence[str], called: Sequence[str], barred: Sequence[str]
    ) -> list[str]:
        """Step 1."""
        names = [name for name in base if name not in barred]
        for name in names:
            if name not in active or (self.rows[name].multi and name in called):
                names.extend(each for each in self.rows[name].add if each not in names and each not in barred)
        return names

    def without_lacking(self, names: Sequence[str]) -> list[str]:
        """Step 2."""
        left = list(names)
        for name in names:
            if any(each not in left for each in self.rows[name].require):
                left.remove(name)
                return self.without_lacking(left)
        return left

    def without_removed(self, names: Sequence[str]) -> list[str]:
        """Step 3."""
        left = list(names)
        for name in reversed(names):
            if any(name in self.rows[other].remove for other in left if other != name):
                left.remove(name)
        return left

    def order(self, names: Sequence[str]) -> list[str]:
        """Step 5."""
        waiting = sorted(names, key=lambda name: self.places.index(name) if name in self.places else -1)
        ordered: list[str] = []
        while waiting:
            free = [n for n in waiting if not any(a in waiting for a in self.rows[n].after if a != n)]
            ordered.append((free or waiting)[0])
            waiting.remove(ordered[-1])
        return ordered

    def post_order(self) -> list[str]:
        """The depth-first post-order of the require graph; none if it has a cycle."""
        done: list[str] = []

        def visit(name: str, path: tuple[str, ...]) -> bool:
            if name in path:
                return False
            if name not in done:
                if not all(visit(each, (*path, name)) for each in self.rows[name].require):
                    return False
                done.append(name)
            return True

        starts = [name for name in self.names if self.rows[name].require]
        return done if all(visit(name, ()) for name in starts) else []

    def candidates(self, active: Sequence[str]) -> list[str]:
        """The auto states that are called after a change."""
        removed = [other for name in active for other in self.rows[name].remove if other != name]
        return [n for n in self.names if self.rows[n].auto and n not in active and n not in removed]

    def resolve_auto(self, active: Sequence[str], called: Sequence[str]) -> list[str] | None:
        """Called names not in the result are let go and the rest resolved again; None if it is not accepted."""
        target = self.resolve(active, "add", called)
        if not any(name in target for name in called):
            return None
        while not all(name in target for name in called):
            called = [name for name in called if name in target]
            target = self.resolve(active, "add", called)
        return target


class Oracle:
    """A machine, its handlers, and a diary of all that anybody could see of it.

    Args:
        rows: the definitions of all states, `exception` among them.
        deeds: for every binding, by the text of its slot, what a handler does at each of its calls; more calls do nothing.
        queue_max: as of the machine.
        drain_max: as of the machine.
    """

    def __init__(
        self,
        rows: Mapping[str, Definition],
        deeds: Sequence[Mapping[str, Sequence[Deed]]],
        queue_max: int,
        drain_max: int,
    ) -> None:
        self.rules: Final = Rules(rows)
        self.rows: Final = rows
        self.deeds: Final = deeds
        self.queue_max: Final = queue_max
        self.drain_max: Final = drain_max
        self.active: list[str] = []
        self.ticks: Final = dict.fromkeys(rows, 0)
        self.error: str | None = None
        self.queue: list[Mutation] = []
        self.busy = False
        self.told = 0
        self.about_to_enter: list[str] = []
        self.auto_failures = 0
        self.counts: Final[dict[str, int]] = {}
        self.answers: Final[list[str]] = []
        """What handlers were answered, in order."""
        self.tickets: Final[list[Mutation]] = []
        """The tickets that they got, in order; one may stand here twice."""
        self.diary: Final[list[str]] = []
        """What a tracer sees."""
        self.heard: Final[list[str]] = []
        """What the shell hears."""
        self.unclaimed: Final[list[str]] = []
        """What the error hook gets."""

    # -- mutations -----------------------------------------------------------------------------------------------------

    def ask(self, ask: Ask) -> str:
        """One operation, from outside or from inside a handler."""
        mutation = self.mutation_of(ask)
        if not self.busy:
            return self.drain(mutation)
        if ask.op in {"remove", "toggle"} and mutation.op == "remove" and self.is_out(mutation):
            return EXECUTED
        return self.enqueue(mutation)

    def mutation_of(self, ask: Ask) -> Mutation:
        """What is asked for, as a mutation."""
        called = tuple(once(ask.states))
        if ask.op == "fail":
            self.told += 1
            self.error = f"told {self.told}"
            return Mutation("add", tuple(once([*called, "exception"])), cause=self.error)
        if ask.op in {"can_add", "can_remove"}:
            return Mutation(ask.op.removeprefix("can_"), called, ask.args, dry=True)
        op = ask.op
        if op == "toggle":
            op = "remove" if all(name in self.active for name in called) else "add"
        return Mutation(op, called, ask.args)

    def is_out(self, mutation: Mutation) -> bool:
        """M5: a remove of states neither active nor about to enter, with nothing queued."""
        return not self.queue and not any(n in self.active or n in self.about_to_enter for n in mutation.called)

    def enqueue(self, mutation: Mutation) -> str:
        """M5: it waits, unless the last one that waits is the same."""
        last = self.queue[-1] if self.queue else None
        if last is not None and self.are_one(last, mutation):
            self.tickets.append(last)
            return SAME
        if len(self.queue) >= self.queue_max and "exception" not in mutation.called:
            return FULL
        self.queue.insert(0 if mutation.dry else len(self.queue), mutation)
        self.tickets.append(mutation)
        self.diary.append(f"queued {spell(mutation)}")
        return QUEUED

    def are_one(self, last: Mutation, mutation: Mutation) -> bool:
        """Whether they are equal, without arguments and without Multi."""
        both = (last, mutation)
        if any(each.args or each.dry or each.cause is not None for each in both):
            return False
        equal = (last.op, last.called) == (mutation.op, mutation.called)
        return equal and not any(self.rows[name].multi for name in mutation.called)

    # -- one after the other -------------------------------------------------------------------------------------------

    def drain(self, mutation: Mutation) -> str:
        """M2, M3: this one, then what follows from it, then what waits."""
        self.busy, self.auto_failures, left = True, 0, self.drain_max
        self.diary.append(f"queued {spell(mutation)}")
        self.queue.append(mutation)
        while self.queue:
            if not left:
                self.give_up()
                break
            left -= 1
            self.step(self.queue.pop(0))
        self.busy = False
        self.diary.append("queue end")
        self.heard.append("queue ended")
        return mutation.result

    def give_up(self) -> None:
        """M9: what waits is CANCELED, and the machine has an `exception`."""
        self.cancel_all()
        self.error = STUCK
        self.auto_failures = AUTO_CANCELED_MAX
        self.step(Mutation("add", ("exception",), cause=STUCK))
        self.cancel_all()

    def cancel_all(self) -> None:
        """Nothing waits any more."""
        for mutation in self.queue:
            mutation.result = CANCELED
            if mutation.cause is not None:
                self.unclaimed.append(mutation.cause)
        self.queue.clear()

    def step(self, mutation: Mutation) -> None:
        """One transition, and what it puts in front of the queue."""
        before, ticks = list(self.active), dict(self.ticks)
        errors, failed_late = self.transition(mutation)
        mutation.result = mutation.result or EXECUTED
        self.diary.append(f"end {spell(mutation)} {mutation.result}")
        if ticks != self.ticks:
            self.heard.append("settled")
        self.about_to_enter = []
        self.conclude(mutation, before)
        if errors:
            self.take(mutation, errors[0], failed_late)
        elif mutation.result == EXECUTED and ticks != self.ticks and self.lets_autos_come(mutation):
            candidates = self.rules.candidates(self.active)
            if candidates:
                self.queue.insert(0, Mutation("add", tuple(candidates), is_auto=True))

    def conclude(self, mutation: Mutation, before: Sequence[str]) -> None:
        """M8: `error` ends with `exception`; one that was refused goes to the error hook."""
        if mutation.cause is not None:
            self.error = mutation.cause
            if mutation.result != EXECUTED:
                self.unclaimed.append(mutation.cause)
        elif "exception" in before and "exception" not in self.active:
            self.error = None

    def take(self, mutation: Mutation, error: str, failed_late: bool) -> None:
        """M3: an error becomes the next transition, but of one that calls `exception` itself."""
        if mutation.is_auto:
            self.auto_failures += FAILED_AUTO if failed_late else 1
        if "exception" in mutation.called:
            self.unclaimed.append(error)
        else:
            self.error = error
            self.queue.insert(0, Mutation("add", ("exception",), cause=error))

    def lets_autos_come(self, mutation: Mutation) -> bool:
        """M2: whether auto states are called after an accepted change."""
        quiet = mutation.op == "add" and len(mutation.called) == 1 and self.rows[mutation.called[0]].quiet
        return not (mutation.is_auto or mutation.dry or quiet) and self.auto_failures < AUTO_CANCELED_MAX

    # -- one transition ------------------------------------------------------------------------------------------------

    def transition(self, mutation: Mutation) -> tuple[list[str], bool]:
        """The errors of its handlers, and whether they came after the clocks had moved."""
        target = self.target_of(mutation)
        enters = self.entering(mutation, target or [])
        self.about_to_enter = [] if mutation.dry or target is None else [*target]
        self.diary.extend((f"init {spell(mutation)}", f"start {spell(mutation)}"))
        if target is None:
            mutation.result = CANCELED
            return [], False
        try:
            target = self.negotiate(mutation, target, enters)
        except Oops as error:
            mutation.result = CANCELED
            return [str(error)], False
        if target is None:
            mutation.result = CANCELED
            return [], False
        if mutation.dry:
            return [], False
        self.about_to_enter = [*target]
        before = dict(self.ticks)
        errors = self.apply(mutation, target)
        return errors, self.ticks != before

    def target_of(self, mutation: Mutation) -> list[str] | None:
        """The outcome of the relations; None if they do not accept it."""
        if mutation.is_auto:
            return self.rules.resolve_auto(self.active, mutation.called)
        target = self.rules.resolve(self.active, mutation.op, mutation.called)
        accepted = mutation.op == "remove" or all(name in target for name in mutation.called)
        return target if accepted else None

    def entering(self, mutation: Mutation, target: Sequence[str]) -> list[str]:
        """Those of the target that are inactive, or Multi and called."""
        again = [] if mutation.is_auto else [name for name in mutation.called if self.rows[name].multi]
        return [name for name in target if name not in self.active or name in again]

    def leaving(self, target: Sequence[str]) -> list[str]:
        """Those that leave, in order."""
        return self.rules.order([name for name in self.active if name not in target])

    def negotiate(self, mutation: Mutation, target: list[str], enters: list[str]) -> list[str] | None:
        """The target that the handlers leave; None if they cancel."""
        let_go: list[str] = []
        for slot, about in self.questions(mutation, target, enters):
            if slot == "any_state.may_enter" and mutation.is_auto and all(name in let_go for name in target):
                return None
            for binding in self.bindings(slot):
                if about in let_go:
                    break
                if self.call(binding, slot):
                    continue
                if not mutation.is_auto or about is None or not self.rows[about].auto:
                    return None
                let_go.append(about)
        if not let_go:
            return target
        return None if all(name in let_go for name in target) else self.after_vetoes(mutation, target, let_go)

    def after_vetoes(self, mutation: Mutation, target: Sequence[str], let_go: Sequence[str]) -> list[str]:
        """M2: resolved once more, where nobody enters who was not negotiated, or was vetoed."""
        may = [name for name in target if name not in let_go]
        barred = [name for name in self.rows if name not in self.active and name not in may]
        return self.rules.resolve(self.active, "add", [name for name in mutation.called if name in may], barred)

    def questions(
        self, mutation: Mutation, target: Sequence[str], enters: Sequence[str]
    ) -> Iterable[tuple[str, str | None]]:
        """M1: the slots of a negotiation in order, each with the state that a veto lets go."""
        yield from ((f"{name}.may_exit", None) for name in self.leaving(target))
        yield from ((f"{name}.may_enter", name) for name in enters)
        if mutation.op != "remove":
            yield from ((f"{name}.stays", name) for name in target if name in self.active)
        for first in list(self.active):
            yield from ((f"{first}.beside({name})", name) for name in target if name != first)
        yield "any_state.may_enter", None

    def apply(self, mutation: Mutation, target: list[str]) -> list[str]:
        """Move the clocks and tell the handlers; the errors of these."""
        exits, enters = self.leaving(target), self.entering(mutation, target)
        for name in [*exits, *enters]:
            self.ticks[name] += 2 if name in enters and name in self.active else 1
        self.active = target
        if exits or enters:
            self.heard.append("moved")
        self.diary.append("finals")
        errors: list[str] = []
        for slot in [f"{name}.exited" for name in exits]:
            self.tell(slot, errors, stop=False)
        for number, name in enumerate(enters):
            if not self.tell(f"{name}.entered", errors, stop=True):
                self.roll_back(enters[number:])
                break
        if not errors:
            self.tell("any_state.entered", errors, stop=True)
        if errors:
            mutation.result = CANCELED
        return errors

    def tell(self, slot: str, errors: list[str], stop: bool) -> bool:
        """Call the handlers of one final slot; False if one of them failed."""
        for binding in self.bindings(slot):
            try:
                self.call(binding, slot)
            except Oops as error:
                errors.append(str(error))
                if stop:
                    return False
        return True

    def roll_back(self, names: Sequence[str]) -> None:
        """These leave again, and whatever then lacks a requirement."""
        left = self.rules.without_lacking([name for name in self.active if name not in names])
        gone = [name for name in self.active if name not in left]
        for name in gone:
            self.ticks[name] += 1
        self.active = left
        self.heard.append(f"rolled back {', '.join(gone)}")

    def bindings(self, slot: str) -> list[int]:
        """The bindings that have a handler for that slot."""
        return [number for number, deeds in enumerate(self.deeds) if slot in deeds]

    def call(self, binding: int, slot: str) -> bool:
        """Call a handler; whether it accepts.

        Raises:
            Oops: it raises.
        """
        name = f"{binding}:{slot}"
        self.diary.append(f"handler {name}")
        number = self.counts.get(name, 0)
        self.counts[name] = number + 1
        deeds = self.deeds[binding][slot]
        deed = deeds[number] if number < len(deeds) else Deed()
        self.answers.extend(self.ask(each) for each in deed.asks)
        if deed.ending == "raise":
            raise Oops(f"{name} #{number}")
        return deed.ending != "veto"


def spell(mutation: Mutation) -> str:
    """As `+a,b`, with `a` before an auto one and `?` before a dry run."""
    prefix = ("a" if mutation.is_auto else "") + ("?" if mutation.dry else "")
    return f"{prefix}{SIGNS[mutation.op]}{','.join(mutation.called)}"
