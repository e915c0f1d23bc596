"""Drawn schemas, and what drawn tasks and handlers do in their states; a stage says what else can be done."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, cast

import attrs
import trio
from tests.machine.cases import row
from tests.machine.shell.lab import Oops
from tests.machine.shell.witness import Binding, Witness

from histrio_kernel.machine.core.handlers import Handler, HandlerTable, Kind, Slot
from histrio_kernel.machine.core.schema import Schema
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.shell.errors import Disposed, NotActive
from histrio_kernel.machine.shell.machine import Machine
from histrio_kernel.machine.states.family import States, StatesMeta
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.state import State

__all__ = [
    "Act",
    "Conduct",
    "Drawn",
    "Stage",
    "Troupe",
    "act_of",
    "drawn_machine",
    "handlers_for",
    "linger",
    "namespace",
    "table",
]

OPS: Final = ("add", "add", "remove", "set", "toggle")
ENDLESS: Final = frozenset({"nested", "scope", "await", "visit"})
"""What may take as long as somebody else wants, which no clean-up should."""

BUDGET: Final = 60
"""Mutations and errors that tasks and handlers of one machine may make: without a bound they would keep each other busy."""

AnyState: TypeAlias = "State[..., Any]"


@attrs.frozen
class Act:
    """One thing that a task, a handler, or somebody outside does."""

    kind: str
    states: tuple[str, ...] = ()
    seconds: float = 0.0
    op: str = "add"


@attrs.frozen
class Conduct:
    """What the `entered` of a state in one binding does, and what its `exited`, if it has one."""

    acts: tuple[Act, ...]
    returns: bool
    clean_up_s: float
    last: Act | None
    """In the clean-up."""
    deadline_s: float | None
    exit_s: float | None
    exit_raises: bool


Binds: TypeAlias = "Mapping[str, Conduct]"
"""The conducts of one binding, by state."""


@attrs.frozen
class Drawn:
    """A machine: its states, what is bound to it, and what its sync handlers do."""

    family: StatesMeta
    binds: Sequence[Binds]
    sync: Mapping[Slot, Sequence[Act]]
    free: frozenset[str]
    """States that no handler is for: another schema may lack them."""

    def bindings(self) -> dict[int, Binding]:
        """What the witness needs to know."""
        return {
            number: Binding(
                frozenset(state for state in binds),
                frozenset(state for state, conduct in binds.items() if conduct.exit_s is not None),
            )
            for number, binds in enumerate(self.binds)
        }


# -- chance ------------------------------------------------------------------------------------------------------------


def drawn_machine(dice: random.Random, kinds: Sequence[str]) -> Drawn:
    """One of them; tasks do what is in *kinds*."""
    names = [f"s{number}" for number in range(dice.randint(1, 6))]
    density = dice.choice((0.2, 0.5))
    rows = {name: row(dice, name, [*names, "exception"], density) for name in names}
    rows = {name: attrs.evolve(each, until_done=dice.random() < 0.2) for name, each in rows.items()}
    rows = {name: attrs.evolve(each, keep=each.multi and dice.random() < 0.4) for name, each in rows.items()}
    family = States.from_data(Schema(rows).to_data())
    free = frozenset(name for name in names if dice.random() < 0.25)
    handled = [name for name in names if name not in free]
    binds = [
        {name: conduct_of(dice, names, kinds) for name in handled if dice.random() < 0.7}
        for _ in range(dice.randint(1, 3))
    ]
    slots = [
        Slot(kind, name) for kind in (Kind.MAY_ENTER, Kind.MAY_EXIT, Kind.ENTERED, Kind.EXITED) for name in handled
    ]
    some = dice.sample(slots, min(len(slots), dice.randint(0, 4)))
    sync = {slot: [sync_act_of(dice, names) for _ in range(dice.randint(1, 5))] for slot in some}
    if dice.random() < 0.85:
        sync.setdefault(Slot(Kind.ENTERED, "exception"), [])
    return Drawn(family, binds, sync, free)


def act_of(dice: random.Random, names: Sequence[str], kinds: Sequence[str]) -> Act:
    """One of these kinds."""
    states = tuple(dice.sample(names, min(dice.randint(1, 2), len(names))))
    return Act(dice.choice(kinds), states, dice.choice((0.0, 0.5, 1.0, 2.0)), dice.choice(OPS))


def sync_act_of(dice: random.Random, names: Sequence[str]) -> Act:
    """What a sync handler does the next time."""
    return act_of(dice, names, ("nothing", "nothing", "mutate", "veto", "raise", "gift"))


def conduct_of(dice: random.Random, names: Sequence[str], kinds: Sequence[str]) -> Conduct:
    """What a task does."""
    rare = dice.random() < 0.2
    return Conduct(
        acts=tuple(act_of(dice, names, kinds) for _ in range(dice.randint(0, 3))),
        returns=dice.random() < 0.4,
        clean_up_s=dice.choice((0.0, 0.0, 0.5, 1.0, 2.0)),
        last=act_of(dice, names, [kind for kind in kinds if kind not in ENDLESS]) if rare else None,
        deadline_s=dice.choice((0.25, 1.5)) if dice.random() < 0.1 else None,
        exit_s=dice.choice((0.0, 0.5, 1.0)) if dice.random() < 0.7 else None,
        exit_raises=dice.random() < 0.1,
    )


# -- what is done ------------------------------------------------------------------------------------------------------


class Stage(Protocol):
    """Where a machine is: what can be done there besides."""

    async def act(self, act: Act, state: str, key: int) -> None:
        """An act of a task of this state, in that activation."""
        ...

    def gift(self, act: Act, state: str, key: int) -> None:
        """What a sync handler gives to the present activation of a state."""
        ...


class Troupe:
    """Those who act in one machine, in all its bindings."""

    def __init__(self, drawn: Drawn, machine: Machine, stage: Stage) -> None:
        self.drawn: Final = drawn
        self.machine: Final = machine
        self.stage: Final = stage
        self.witness: Final = Witness(machine, drawn.bindings())
        self.left = BUDGET
        self.sync: Final = {slot: list(acts) for slot, acts in drawn.sync.items()}

    def spend(self) -> bool:
        """Whether one more may be made."""
        self.left -= 1
        return self.left >= 0

    # -- tasks ---------------------------------------------------------------------------------------------------------

    async def entered(self, binding: int, state: str, transition: Transition[object]) -> None:
        """The task of a state in a binding."""
        conduct = self.drawn.binds[binding][state]
        with self.witness.task(state, binding, transition) as key:
            try:
                for act in conduct.acts:
                    await self.act(act, state, key)
                if not conduct.returns:
                    await trio.sleep_forever()
                await trio.sleep(0.5)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(conduct.clean_up_s)
                    if conduct.last is not None:
                        await self.act(conduct.last, state, key)

    async def exited(self, binding: int, state: str) -> None:
        """Behind it."""
        conduct = self.drawn.binds[binding][state]
        assert conduct.exit_s is not None
        with self.witness.exit(state, binding):
            await trio.sleep(conduct.exit_s)
            if conduct.exit_raises and self.spend():
                raise Oops

    async def act(self, act: Act, state: str, key: int) -> None:
        """One act."""
        match act.kind:
            case "sleep":
                await trio.sleep(act.seconds)
            case "mutate":
                self.mutate(act)
            case "raise":
                if self.spend():
                    raise Oops
            case "nested":
                async with trio.open_nursery() as nursery:
                    for _ in range(2):
                        nursery.start_soon(linger, self, state, key, "child task", act.seconds)
                    await trio.sleep(act.seconds)
                    nursery.cancel_scope.cancel()
            case "scope":
                await self.scope(act)
            case _:
                await self.stage.act(act, state, key)

    def mutate(self, act: Act) -> None:
        """A mutation, of the states that there are."""
        if self.spend():
            states = [state for state in act.states if state in self.machine.schema.definitions]
            getattr(self.machine, act.op)(*states)

    async def scope(self, act: Act) -> None:
        """A block in some state, with a clean-up."""
        state = act.states[0]
        key = self.witness.key.get(state)
        if key is None:
            return
        try:
            with self.machine.scope(state):
                await linger(self, state, key, "block", act.seconds / 2)
        except (NotActive, Disposed):
            pass

    # -- sync handlers -------------------------------------------------------------------------------------------------

    def told(self, slot: Slot, owner: object, transition: Transition[object]) -> object:
        """What a sync handler does the next time that it is called."""
        acts = self.sync[slot]
        if not acts or transition.dry:
            return None
        act = acts.pop()
        match act.kind:
            case "veto":
                return False if slot.kind in {Kind.MAY_ENTER, Kind.MAY_EXIT} else None
            case "raise":
                raise Oops
            case "mutate":
                self.mutate(act)
            case "gift":
                key = self.witness.key.get(act.states[0])
                if key is not None and slot.kind in {Kind.ENTERED, Kind.EXITED}:
                    self.stage.gift(act, act.states[0], key)
            case _:
                pass
        return None

    # -- from outside of the machine -----------------------------------------------------------------------------------

    def load(self, act: Act) -> None:
        """Take over the data of another machine."""
        machine = self.machine
        other = Machine(machine.schema)
        other.add(*(state for state in act.states if state in machine.schema.definitions))
        before = {name: machine.tick(name) for name in machine.schema.names}
        machine.load(other.export())
        self.witness.loaded(before)

    def evolve(self, act: Act) -> None:
        """Go on under a schema that lacks some of the states that no handler is for."""
        gone = self.drawn.free.intersection(act.states)
        data = self.machine.schema.to_data()
        names = [name for name in data if name not in gone]
        self.machine.evolve(Schema.from_data({name: _without(data[name], names) for name in names}))


def _without(fields: dict[str, object], names: Sequence[str]) -> dict[str, object]:
    """A state without relations to what is not there."""
    relations = {"require", "add", "remove", "after"}
    return {
        field: [name for name in cast("list[str]", value) if name in names] if field in relations else value
        for field, value in fields.items()
    }


async def linger(troupe: Troupe, state: str, key: int, what: str, clean_up_s: float) -> None:
    """Run in an activation until cancelled, and then so long."""
    with troupe.witness.does(state, key, what):
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(clean_up_s)


# -- bindings ----------------------------------------------------------------------------------------------------------


def namespace(drawn: Drawn, number: int, troupe: Callable[[Any], Troupe]) -> dict[str, object]:
    """The marked methods of one binding; *troupe* finds the troupe of the object that is bound."""
    methods: dict[str, object] = {}
    for name, conduct in drawn.binds[number].items():
        state = cast(AnyState, drawn.family[name])
        methods[f"{name}_entered"] = _entered(state, conduct, number, troupe)
        if conduct.exit_s is not None:
            methods[f"{name}_exited"] = _exited(state, number, troupe)
    return methods


def _entered(state: AnyState, conduct: Conduct, number: int, troupe: Callable[[Any], Troupe]) -> object:
    async def entered(self: object, transition: Transition[Any]) -> None:
        await troupe(self).entered(number, state.name, transition)

    if conduct.deadline_s is None:
        return state.entered(entered)
    marked: Callable[..., Awaitable[None]] = state.entered(deadline_s=conduct.deadline_s)(entered)
    return marked


def _exited(state: AnyState, number: int, troupe: Callable[[Any], Troupe]) -> object:
    async def exited(self: object, transition: Transition[Any]) -> None:
        await troupe(self).exited(number, state.name)

    return state.exited(exited)


def handlers_for(troupe: Troupe, number: int) -> Handlers | None:
    """An object for one binding; None if that has no handlers."""
    methods = namespace(troupe.drawn, number, lambda _: troupe)
    if not methods:
        return None
    kind: type[Handlers] = type(f"Binding{number}", (Handlers,), methods)
    return kind()


def table(troupe: Troupe) -> HandlerTable:
    """The sync handlers."""
    return HandlerTable(Handler(slot, partial(troupe.told, slot)) for slot in troupe.sync)
