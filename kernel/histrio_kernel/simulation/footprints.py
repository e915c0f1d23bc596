"""What each step of a run touches, so that two that touch nothing in common need not be run in both orders.

Invariant: a footprint names too much rather than too little. Whatever is not known here makes a step unknown.
"""

# Design note
# -----------
# A step touches the actor that it runs, if that is sealed; the owners of all tasks that it wakes, begins or ends; and
# whatever of the kernel's objects it calls. That is seen by Python's own hook for debuggers (for profilers, if there is a
# debugger, or somebody measures coverage), set while a task runs: each call of a method of an inbox, a turn, a cell, a ref or an ask names the actor that it belongs to. So nobody in the
# kernel has to tell, and what is added to it later is unknown until it is listed in `owners`. An ask belongs to whom it
# was sent to: who awaits it touches that actor, and so its order with the reply matters.
#
# Who is not sealed has state that nobody can see, so its steps are unknown, and so is everything while somebody watches
# the state between steps (`world.always`). Sealing is checked at the same calls: what an actor is made with, what it is
# sent and answered, and each piece of code that it runs. A breach fails the run: what it says of itself is not true.
#
# `Pace` counts for all actors together, so the order of calls decides who yields at the 64th. A run that gets so far is
# `paced`, and from then on nothing may be left out. (In a run that does not, no other order does: it has the same calls.)

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from random import Random
from types import CodeType, FrameType
from typing import Any, Final, TypeAlias, cast, final

import trio
from trio.lowlevel import Task

from histrio_kernel.signals import Signal
from histrio_kernel.simulation.errors import NotSealed
from histrio_kernel.simulation.owners import WORLD, Whose, free_functions_are_known, whose
from histrio_kernel.simulation.run import Completion, Simulation
from histrio_kernel.simulation.sealed import Seals, is_own

__all__ = ["Footprint", "Footprints"]

Footprint: TypeAlias = frozenset[str] | None
"""What a step has touched; None if that is not known."""

Ran: TypeAlias = Callable[[int, Footprint, bool], None]

_OBSERVERS: Final = (": watchdog", ": loop watchdog", ": what does not end")
"""How the names of tasks end that only observe a system."""
_CHANCE: Final = "chance"
_SEALED: Final = "sealed actors share nothing by what C code or Python's library keeps for all, such as os.environ"
_TRIO: Final = "Trio itself"
"""The name of Trio's own tasks in a simulation."""
_TRIOS_OWN: Final = "<TrioToken.run_sync_soon task>"
_INTERESTING: Final = ("histrio", "trio")
"""How the names of those modules begin, besides the program's own, that are looked at."""
_GLOBAL_IN_TRIO: Final = frozenset(
    {"wait_all_tasks_blocked", "current_statistics", "spawn_system_task", "add_instrument"}
)


@final
class Footprints(trio.abc.Instrument):
    """Looks at one run, and tells what each step has touched.

    Args:
        simulation: the run, which is about to begin.
        ran: called after each step with whose it was, what it touched, and whether it waited for all to be idle.
        reduces: whether it is worth to look; else every step is unknown, and nothing is slowed down.

    Attributes:
        assumed: what is relied on, for reports.
        sealed: the names of the sealed classes that were looked at.
        reduces: whether it looks at the run at all.
        reduced: whether it has known what some step of an actor touched.
        paced: whether the order of calls has had a say that no footprint shows.
    """

    def __init__(self, simulation: Simulation, ran: Ran, *, reduces: bool = True) -> None:
        self._simulation: Final = simulation
        self._ran: Final = ran
        self._tell_of_calls: Final[Callable[..., None]] = sys.settrace if sys.gettrace() is None else sys.setprofile
        self.reduces: Final = reduces and sys.getprofile() is None
        self.assumed: Final[dict[str, None]] = {}
        self.paced = self.reduced = False
        self._seals: Final = Seals()
        self._sent_by_sealed: Final[dict[int, object]] = {}
        """What sealed actors have sent, by its id, which it keeps."""
        self._owners: Final[dict[Task, str | None]] = {}
        self._rules: Final[dict[type, Whose]] = {}
        self._engines: Final[list[Any]] = []
        self._chances: Final[dict[Any, object]] = {}
        self.sealed: Final[dict[str, None]] = {}
        self._sealed: Final[set[type]] = set()
        self._begun: Final[set[int]] = set()
        self._identity = -1  # of whoever makes the step that is open
        self._touched: set[str] = set()
        self._known = False
        self._owner: str | None = None
        self._is_trios = self._by_all = False
        self._is_over = False
        self._waited_for_all: Final[set[Task]] = set()
        simulation.on_turn = self._begin
        self._installed = False

    # -- one step ------------------------------------------------------------------------------------------------------

    def observer_among(self, options: Sequence[int]) -> int:
        """The place of one who only observes, and so goes on at once; -1 if there is none."""
        for index, identity in enumerate(options):
            name = self._simulation.name_of(identity)
            if name.startswith("histrio ") and name.endswith(_OBSERVERS):
                self.assumed["the watchdogs of a system only observe, and go on at once"] = None
                return index
            if name == _TRIO and identity not in self._begun:
                return index  # what it does first is seen by nobody
        return -1

    def close(self) -> None:
        """The step that is open is over."""
        identity, self._identity = self._identity, -1
        if identity >= 0:
            if self._owner is not None and (rebound := self._seals.rebound()) is not None:
                self._refuse(self._owner, rebound)
            self._touch_chance()
            known = self._known and not self._simulation.watched
            self.reduced |= known and self._owner is not None
            self._ran(identity, frozenset(self._touched) if known and not self._by_all else None, self._by_all)
            self._listen()

    def _begin(self, identity: int) -> None:
        """Somebody goes on."""
        self.close()
        if self.reduces and not self._installed:
            self._installed = True
            trio.lowlevel.add_instrument(self)
        self._identity = identity
        self._begun.add(identity)
        self._owner = None
        self._by_all = self._is_over = False
        self._touched = set()
        completion = self._simulation.completion(identity)
        self._known = completion is not None
        if completion is not None:
            self._touch(self._of_completion(completion))
        if not self.reduces:
            self._known = False

    def _touch_chance(self) -> None:
        """Look whether somebody has drawn from what the actors of a machine draw from: it is written in C."""
        for engine, before in self._chances.items():
            now = engine.driver.random.getstate()
            if now != before:
                self._chances[engine] = now
                self._touched.add(_CHANCE)

    def _touch(self, whose: str | None) -> None:
        if whose is None:
            self._known = False
        elif whose:
            self._touched.add(whose)

    def _of_completion(self, completion: Completion) -> str | None:
        """What it touches besides those whom it wakes: calls in threads and processes may do anything."""
        return WORLD if completion.label.startswith("disk of ") else None

    def _listen(self) -> None:
        """Have each reply go by a call, which it does while signals are heard."""
        while self._engines:
            engine = self._engines.pop()
            engine.signals.attach(_hear)
            if isinstance(engine.driver.random, Random):
                self._chances[engine] = engine.driver.random.getstate()

    # -- what Trio tells -----------------------------------------------------------------------------------------------

    def before_task_step(self, task: Task) -> None:
        """A task goes on."""
        self._owner = self._owner_of(task)
        self._is_trios = task.parent_nursery is None or task.name == _TRIOS_OWN
        self._known = self._owner is not None or self._is_trios or _observes(task)
        self._touch_task(task)
        if task in self._waited_for_all:
            self._waited_for_all.discard(task)
            self._by_all = True
        self._tell_of_calls(self._called)

    def after_task_step(self, task: Task) -> None:
        """It has stopped again."""
        self._tell_of_calls(None)
        self._is_over = True

    def task_scheduled(self, task: Task) -> None:
        """A task can go on from now on."""
        if self._is_over and task.name != _TRIOS_OWN:  # between two steps: it is woken because all are idle
            self._waited_for_all.add(task)
        else:
            self._touch_task(task)

    def task_spawned(self, task: Task) -> None:
        """A task begins: it belongs to whom it works for, or to whoever has begun it."""
        owner = self._owner_by_code(task)
        self._owners[task] = owner if owner is not None else self._owner
        self._touch_parent(task)

    def task_exited(self, task: Task) -> None:
        """A task has ended, of which its nursery hears."""
        self._touch_parent(task)
        self._owners.pop(task, None)

    def _touch_parent(self, task: Task) -> None:
        if task.parent_nursery is not None:
            self._touch_task(task.parent_nursery.parent_task)

    def _touch_task(self, task: Task) -> None:
        """Something happens to a task: to whom it works for, or to itself."""
        if not _observes(task):
            self._touched.add(self._owner_of(task) or f"task {task.name}")

    # -- whose a task is -----------------------------------------------------------------------------------------------

    def _owner_of(self, task: Task) -> str | None:
        """The path of the sealed actor that a task works for."""
        return self._owners.get(task)

    def _owner_by_code(self, task: Task) -> str | None:
        """That of the actor whose method a new task runs."""
        frame = getattr(task.coro, "cr_frame", None)
        it: Any = None if frame is None else frame.f_locals.get("self", frame.f_locals.get("pool"))
        kind = f"{type(it).__module__}.{type(it).__qualname__}"
        if kind == "histrio_kernel.io.IoPool":
            it = it.owner
        elif kind != "histrio_kernel.cell.Cell":
            return None
        settings = getattr(it, "settings", None)
        if settings is None or not settings.sealed:
            return None
        self._check_class(settings.kind, it.path)
        return cast(str, it.path)

    # -- what a task calls ---------------------------------------------------------------------------------------------

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        """Python calls a function, or goes on with one that had waited."""
        if event == "call" and id(frame.f_globals) not in _DULL:  # that is quicker than to ask for its code
            code = frame.f_code
            try:
                look = _LOOKS[id(code)] if id(code) in _LOOKS else _new_look(frame, code)
                if look is not None:
                    look(self, frame)
            except Exception:  # it must not reach the program that is looked at
                self._known = False

    def _method(self, frame: FrameType, name: str) -> None:
        """A method of that name of one of our objects."""
        if self._known:
            it = frame.f_locals["self"]
            cls = cast("type[object]", type(it))
            rule = self._rules.get(cls)
            if rule is None:
                rule = self._rules[cls] = whose(cls)
            self._touch(rule(it, name))

    def _new_engine(self, frame: FrameType) -> None:
        self._engines.append(frame.f_locals["self"])

    def _unknown(self, _: FrameType) -> None:
        self._known = False

    def _pace(self, _: FrameType) -> None:
        self.paced = True
        self._known = False
        self.assumed[
            "nothing was left out, because a run makes so many calls that their order has a say of its own"
        ] = None

    # -- sealing -------------------------------------------------------------------------------------------------------

    def _users(self, frame: FrameType) -> None:
        """A function of the program."""
        code = frame.f_code
        it: Any = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        settings: Any = getattr(it, "__histrio_settings__", None)
        if settings is not None and settings.sealed and not isinstance(it, type):
            whose = self._owner or settings.kind.__qualname__
            if code.co_name == "__init__":
                self._check_class(settings.kind, whose)
                for name in code.co_varnames[1 : frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]:
                    self._check(whose, frame.f_locals.get(name), f"the argument {name}")
        elif self._owner is None:
            self._known &= not self._is_trios  # somebody has had it called by Trio
            return
        else:
            whose = self._owner
        if not code.co_filename.startswith("<"):
            found = self._seals.code(code, frame.f_globals, code.co_qualname)
            if found is not None:
                self._refuse(whose, found)

    def _sent(self, frame: FrameType) -> None:
        """Somebody sends something to an actor."""
        ref = frame.f_locals["self"]
        self._touch(ref.path)
        message = frame.f_locals["message"]
        if self._owner is not None:
            self._sent_by_sealed[id(message)] = message
        if self._owner is not None or _is_sealed(ref._inbox):
            self._check(ref.path, message, "a message to it")

    def _replied(self, frame: FrameType) -> None:
        """An actor answers; what it shares by that concerns the two of them."""
        ask = frame.f_locals["self"]
        path = ask.inbox.path
        self._touch(path)
        if _is_sealed(ask.inbox) or self._sent_by_sealed.pop(id(ask.message), None) is not None:
            self._check(path, frame.f_locals["value"], "its reply")

    def _check_class(self, cls: type, whose: str) -> None:
        if cls not in self._sealed:
            self._sealed.add(cls)
            self.assumed[_SEALED] = None
            self.sealed[cls.__qualname__] = None
            self._check(whose, cls, "its class")

    def _check(self, whose: str, value: object, where: str) -> None:
        found = self._seals.shared(value, where)
        if found is not None:
            self._refuse(whose, found)

    def _refuse(self, whose: str, found: str) -> None:
        self._known = False
        self._simulation.fail(
            NotSealed(
                f"{whose} is sealed, and {found}. Share data that cannot change (str, numbers, bytes, enums, tuples, frozen "
                "classes, refs), keep the rest in one actor, or do not say that it is sealed"
            )
        )


# -- what is looked at when which code is called -------------------------------------------------------------------------


def _new_look(frame: FrameType, code: CodeType) -> _Look | None:
    """What is to be done from now on when this code is called."""
    module = str(frame.f_globals.get("__name__", ""))
    if is_own(module) and not module.startswith(_INTERESTING):
        _DULL[id(frame.f_globals)] = frame.f_globals
        return None
    _CODES[id(code)] = code
    look = _LOOKS[id(code)] = _look_for(module, code)
    return look


def _look_for(module: str, code: CodeType) -> _Look | None:
    """What is to be done when this code of that module is called."""
    if not is_own(module):
        return None if code.co_filename.startswith("<") and code.co_name != "__init__" else Footprints._users
    has_self = code.co_argcount > 0 and code.co_varnames[0] == "self"
    if module.startswith("trio"):
        return _look_in_trio(code, has_self)
    if not has_self:
        return None if free_functions_are_known(module) else Footprints._unknown
    if code.co_name == "__init__":  # it is nobody's yet
        return Footprints._new_engine if module == "histrio_kernel.engine" else None
    special = _SPECIAL.get(f"{module}.{code.co_qualname}")
    if special is not None:
        return special
    name = code.co_name
    return lambda footprints, frame: footprints._method(frame, name)


def _look_in_trio(code: CodeType, has_self: bool) -> _Look | None:
    owner = code.co_qualname.partition(".")[0]
    if owner == "Task" and has_self:
        return lambda footprints, frame: footprints._touch_task(frame.f_locals["self"])
    return Footprints._unknown if owner == "RunVar" or code.co_name in _GLOBAL_IN_TRIO else None


_Look: TypeAlias = Callable[[Footprints, FrameType], None]
_SPECIAL: Final[dict[str, _Look]] = {
    "histrio.ref.Ref.tell": Footprints._sent,
    "histrio.ref.Ref.tell_nowait": Footprints._sent,
    "histrio.ref.Ref.ask": Footprints._sent,
    "histrio.ref.Ref.ask_nowait": Footprints._sent,
    "histrio_kernel.asks.Ask.reply": Footprints._replied,
    "histrio_kernel.futures.Pace.restart": Footprints._pace,
}
_DULL: Final[dict[int, object]] = {}
"""The globals of modules none of whose functions need be looked at, by their ids."""
_LOOKS: Final[dict[int, _Look | None]] = {}
"""What is done when some code is called, by its id, which is quicker than itself."""
_CODES: Final[dict[int, CodeType]] = {}
"""That code, so that no other gets its id."""


def _is_sealed(inbox: Any) -> bool:
    """Whether the actor behind it says so of itself."""
    owner = getattr(inbox.taker, "owner", None)
    return owner is not None and bool(owner.settings.sealed)


def _observes(task: Task) -> bool:
    """Whether a task only observes a system."""
    return task.name.startswith("histrio ") and task.name.endswith(_OBSERVERS)


def _hear(_: Signal) -> None:
    """Nobody needs to know."""
