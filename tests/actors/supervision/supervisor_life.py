"""The life of a supervisor, said as OTP says it: the rules of supervisor.erl, one short function each."""

# How it is written
# -----------------
# OTP's supervisor is one process that does one thing after the other: it stops a child and waits, it starts a child and
# waits, and what happens meanwhile lies in its mailbox. Here its life is a generator that reads like supervisor.erl and
# yields what it waits for (see `lives`). Other than in OTP it takes mail while children of its are halted and started:
# that is a `Wave`, which goes on beside; and commands from outside may overlap.
#
# What Histrio adds to OTP is said where it is: a budget that is used up is a failure and no normal end, a backoff may
# come before a restart, those who are stopped for a restart keep what waits for them.

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import attrs
from tests.actors.supervision.lives import (
    Failed,
    Killed,
    Life,
    Place,
    Steps,
    Wait,
    WorkerLife,
)
from tests.actors.supervision.programs import (
    AutoShutdown,
    Do,
    Restart,
    Spec,
    Strategy,
    Sup,
    Worker,
)

__all__ = ["SupLife"]


class TooManyRestarts(Exception):
    """The budget is used up: the supervisor terminates all children and then itself. In Histrio it fails."""


@attrs.define(eq=False)
class Slot:
    """A supervisor's record of a child (#child{}). Without a place it has ended, as a pid that is `undefined`."""

    spec: Spec
    place: Place | None = None
    begun: bool = False
    wanted: bool = False  # somebody waits for its first start, which is not tried again
    dismissed: bool = False  # terminate_child is ending it
    up_since: float = math.inf
    in_a_row: int = 0

    @property
    def life(self) -> Life | None:
        """Its incarnation, if one lives."""
        life = self.place.life if self.place is not None else None
        return None if life is None or life.over else life

    @property
    def has_come_up(self) -> bool:
        """Whether the start that was last asked for has succeeded."""
        return self.up_since < math.inf

    @property
    def is_temporary(self) -> bool:
        return self.spec.restart is Restart.TEMPORARY


def is_no_more_wanted(slot: Slot) -> bool:
    """Whether its first start is over, well or not."""
    return not slot.wanted


def is_no_more_starting(slot: Slot) -> bool:
    """Whether its life has started, or is over."""
    return slot.life is None or slot.life.started


def is_over(life: Life) -> bool:
    """Whether nothing of it runs any more."""
    return life.over


class Wave:
    """A restart of several children: they are halted from right to left, and started from left to right."""

    def __init__(self, sup: SupLife, halts: list[Slot], starts: list[Slot], due: float) -> None:
        self.sup: Final = sup
        self.halts: Final = halts
        self.starts: Final = starts
        self.due: Final = due
        self.steps: Final = self._run()
        self.wait = Wait(lambda: True)

    def _run(self) -> Steps:
        # supervisor:terminate_children/2: from right to left, each waited for.
        while self.halts:
            life = self.halts[0].life
            if life is not None:
                life.halt()
                yield Wait(partial(is_over, life))
            self.halts.pop(0)
        if self.sup.sim.now < self.due:
            yield Wait(until=self.due)
        # supervisor:start_children/2: from left to right, each waited for.
        while self.starts:
            slot = self.starts[0]
            self.sup.begin(slot)
            yield Wait(partial(self._is_done_with, slot))
            if slot in self.starts:
                self.starts.remove(slot)

    def _is_done_with(self, slot: Slot) -> bool:
        return slot not in self.starts or (slot.life is not None and slot.life.started)

    def go_on(self) -> bool:
        """As far as possible; whether it is over."""
        while self.wait.ready() or self.wait.until <= self.sup.sim.now:
            try:
                self.wait = next(self.steps)
            except StopIteration:
                return True
        return False


class SupLife(Life):
    """A supervisor: supervisor.erl, function by function."""

    def __init__(self, place: Place, spec: Sup) -> None:
        super().__init__(place)
        self.spec: Final = spec
        self.slots = [Slot(spec) for spec in self.spec.children]
        self.mail: list[Life] = []
        self.wave: Wave | None = None
        self.closed = False
        self.calls: list[Call] = []
        self.restarted: list[tuple[float, str]] = []

    def is_up(self) -> None:
        super().is_up()
        self.sim.prediction.ambiguous |= bool(self.place.inbox)  # commands begin while whoever started it goes on

    def bear(self, place: Place) -> Life:
        spec = place.spec
        return WorkerLife(place, spec) if isinstance(spec, Worker) else SupLife(place, spec)

    def told_end(self, life: Life) -> None:
        for slot in self.slots:
            if slot.place is life.place and life.started and self.sim.now - slot.up_since >= self.spec.backoff_reset:
                slot.in_a_row = 0
        if not self.closed:
            self.mail.append(life)  # the message 'EXIT'
            return
        for slot in self.slots[:]:
            if slot.place is life.place:
                self.del_child(slot)

    def body(self) -> Steps:
        try:
            yield from self.init()
            self.is_up()
            yield from self.attend(lambda: False)
        except TooManyRestarts:
            yield from self.give_up()
        yield from self.drain()
        yield from self.terminate()

    # From now on nothing is started, and whoever ends has ended for good.
    def close(self) -> None:
        self.closed, self.wave = True, None
        mail, self.mail = self.mail, []
        for life in mail:
            self.told_end(life)
        for slot in self.slots[:]:
            if slot.wanted and slot.place is None:
                self.del_child(slot)  # it was halted at its first start, which is not tried again now

    # "If more than MaxR restarts occur within MaxT seconds, it terminates all children and then itself": in OTP by reason
    # `shutdown`; in Histrio that is a failure, also if it is killed meanwhile.
    def give_up(self) -> Steps:
        self.close()
        self.sim.prediction.escalations.append((self.place.path, tuple(name for _, name in self.restarted)))
        self.end_resting()
        with suppress(Killed):
            yield from self.terminate()
        self.sim.prediction.ambiguous |= bool(self.calls or self.place.inbox)  # they are carried out at the same time
        raise Failed

    # supervisor:init/1: start from left to right; if one fails, stop those before it in reverse, and fail.
    def init(self) -> Steps:
        for slot in self.slots[:]:
            yield from self.attend(lambda: self.wave is None)
            if self.stopping:
                return
            self.want(slot)
            yield from self.attend(partial(is_no_more_wanted, slot))
            if self.stopping:
                self.close()
                yield Wait(partial(is_no_more_starting, slot))
            elif slot.place is None:
                self.end_resting()
                yield from self.terminate()
                raise Failed

    # supervisor:handle_info/2: one event after the other. Other than OTP's process, this one does not block meanwhile.
    def attend(self, is_done: Callable[[], bool]) -> Steps:
        while not (is_done() or self.stopping):
            yield Wait(
                lambda: is_done() or self.stopping or self.has_news(), self.wave.wait.until if self.wave else math.inf
            )
            while self.mail and not self.stopping:
                life = self.mail.pop(0)
                for slot in self.slots[:]:
                    if slot.place is life.place:
                        self.child_ended(slot, life)
            while self.started and self.place.inbox and not self.halted:
                self.calls.append(Call(self, self.place.inbox.popleft()))
            self.calls = [call for call in self.calls if not call.go_on()]
            if self.wave is not None and not self.stopping and self.wave.go_on():  # type: ignore[redundant-expr]
                self.wave = None

    # Calls that were accepted are carried out before it stops; but nothing is started any more.
    def drain(self) -> Steps:
        self.close()
        self.calls += [Call(self, number) for number in self.place.inbox if not self.halted]
        if not self.halted:
            self.place.inbox.clear()
        while self.calls and not self.halted:
            self.calls = [call for call in self.calls if not call.go_on()]
            yield Wait(
                lambda: (
                    self.halted or not self.calls or bool(self.mail) or any(call.wait.ready() for call in self.calls)
                )
            )
        for call in self.calls:
            self.sim.fate(call.number, "ended")

    def has_news(self) -> bool:
        can_go_on = any(step.wait.ready() for step in (*self.calls, *([self.wave] if self.wave else ())))
        return bool(self.mail) or can_go_on or bool(self.started and self.place.inbox)

    # supervisor:do_restart/3: a permanent child always, a transient one unless its end was normal, a temporary one never.
    def child_ended(self, slot: Slot, life: Life) -> None:
        kind = slot.spec.restart
        if slot.wanted and (life.end == "FAILED" or not life.halted):
            self.del_child(slot)  # its first start has failed, and is not tried again
        elif slot.dismissed:
            self.del_child(slot)
        elif self.wave is not None and slot in self.wave.halts:
            # supervisor:unlink_flush/2: it is restarted with the others anyway; that it has ended is no news.
            if slot.wanted and slot.place is not None:
                slot.place.end()  # nobody knows it yet
                slot.place = None
            elif slot.is_temporary:
                self.del_child(slot)
        elif kind is Restart.PERMANENT or (kind is Restart.TRANSIENT and life.end != "STOPPED"):
            self.restart(slot)
        else:
            self.del_child(slot)
            self.do_auto_shutdown(slot)

    # supervisor:do_auto_shutdown/2: by any significant child, or by the last of them, that ends and is not restarted.
    def do_auto_shutdown(self, ended: Slot) -> None:
        if self.spec.auto_shutdown is AutoShutdown.NEVER or not ended.spec.significant:
            return
        others = (slot for slot in self.slots if slot.spec.significant)
        if self.spec.auto_shutdown is AutoShutdown.ANY_SIGNIFICANT or not any(slot.place for slot in others):
            self.stop()

    # supervisor:restart/2: if the budget allows it.
    def restart(self, slot: Slot) -> None:
        self.add_restart(slot)
        if len(self.restarted) > self.spec.restarts_max:
            raise TooManyRestarts
        due = self.sim.now + self.backoff(slot)
        if self.spec.strategy is Strategy.ONE_FOR_ONE:
            if due == self.sim.now:
                self.begin(slot)
            else:
                self.sim.at(due, partial(self.begin_if_waiting, slot, slot.place))
        else:
            self.restart_group(slot, due)

    # supervisor:add_restart/1: those as old as the period still count.
    def add_restart(self, slot: Slot) -> None:
        begin = self.sim.now - self.spec.window
        self.restarted = [(at, name) for at, name in self.restarted if at >= begin]
        self.restarted.append((self.sim.now, slot.spec.name))

    # Histrio's backoff: no OTP rule. It doubles from restart to restart, until an incarnation was up for long.
    def backoff(self, slot: Slot) -> int:
        slot.in_a_row += 1
        return min(self.spec.backoff << (slot.in_a_row - 1), self.spec.backoff_max)

    # supervisor:restart/3: who is restarted together with this child; those who had ended for good too.
    def restart_group(self, slot: Slot, due: float) -> None:
        first = 0
        if self.spec.strategy is Strategy.REST_FOR_ONE:
            first = min(self.slots.index(one) for one in (slot, *(self.wave.starts[:1] if self.wave else ())))
        group = [one for one in self.slots[first:] if one.begun]
        halts = [one for one in reversed(group) if one.life is not None]
        self.wave = Wave(self, halts, [one for one in group if one.wanted or not one.is_temporary], due)

    # supervisor:do_start_child/2: at its old place, if it has one.
    def begin(self, slot: Slot) -> None:
        if slot.place is None:
            path = f"{self.place.path}/{slot.spec.name}"
            slot.place = self.sim.places[path] = Place(self.sim, path, slot.spec, self)
        slot.begun = True
        life = slot.place.begin()
        life.on_started = partial(self.child_is_up, slot)

    def child_is_up(self, slot: Slot) -> None:
        slot.up_since, slot.wanted = self.sim.now, False

    def want(self, slot: Slot) -> None:
        slot.wanted, slot.up_since = True, math.inf
        self.begin(slot)

    def begin_if_waiting(self, slot: Slot, place: Place | None) -> None:
        if slot.place is place and not self.stopping and not self.closed:
            self.begin(slot)

    # supervisor:del_child/2: the spec of a temporary child is forgotten.
    def del_child(self, slot: Slot) -> None:
        slot.wanted = False
        if slot.place is not None:
            slot.place.end()
            slot.place = None
        self.leave_wave(slot)
        if slot.is_temporary and slot in self.slots:
            self.slots.remove(slot)

    def leave_wave(self, slot: Slot) -> None:
        if self.wave is not None and slot in self.wave.starts:
            self.wave.starts.remove(slot)

    # Histrio: who waits for a restart when all is given up has ended at once.
    def end_resting(self) -> None:
        for slot in self.slots[:]:
            if slot.life is None:
                self.del_child(slot)

    # supervisor:terminate_children/2: from right to left. Who waits for a restart has ended.
    def terminate(self) -> Steps:
        self.close()
        for slot in reversed(self.slots[:]):
            life = slot.life
            if life is not None:
                life.stop()
                yield Wait(partial(is_over, life))
            self.del_child(slot)

    # Histrio: a stop while it waits for its restart is a normal end, and a kill is no news; what is permanent comes back.
    def starts_more(self) -> bool:
        return self.wave is not None or not self.started

    def strike_resting(self, place: Place, *, stops: bool) -> None:
        for slot in self.slots[:]:
            if slot.place is place and stops and slot.spec.restart is Restart.TRANSIENT:
                self.del_child(slot)
                self.do_auto_shutdown(slot)

    def keeps(self, life: Life) -> bool:
        slot = next((one for one in self.slots if one.place is life.place), None)
        if (
            slot is None
            or self.stopping
            or self.cleaning
            or self.closed
            or slot.dismissed
            or slot.is_temporary
            or slot.wanted
        ):
            return False
        return life.halted or slot.spec.restart is Restart.PERMANENT or life.end != "STOPPED"

    def clean_up(self) -> Steps:
        """Killed or failed: whoever still lives below is killed, all at once."""
        self.close()
        below = [slot.life for slot in self.slots if slot.life is not None]
        for life in below:
            life.strike(Killed())
        yield Wait(lambda: all(life.over for life in below))
        for slot in self.slots[:]:
            self.del_child(slot)
        for call in self.calls:
            self.sim.fate(call.number, "stopped")


class Call:
    """supervisor:handle_call/3 of terminate_child, restart_child, delete_child; in Histrio they may overlap."""

    def __init__(self, sup: SupLife, number: int) -> None:
        self.sup: Final = sup
        self.number: Final = number
        self.steps: Final = self._run()
        self.wait = Wait(lambda: True)

    def _run(self) -> Steps:
        sup, op = self.sup, self.sup.sim.program.ops[self.number]
        name = op.called[1]
        others = (sup.sim.program.ops[call.number].called[1] for call in sup.calls if call is not self)
        sup.sim.prediction.ambiguous |= name in others  # two that cross: the order of what they do is open
        if op.spec is not None:
            yield from self._start(Slot(op.spec))
            return
        slot = next((one for one in sup.slots if one.spec.name == name), None)
        if slot is None:
            yield from self._reply("not found")
        elif op.do is Do.TERMINATE_CHILD:
            yield from self._terminate(slot)
        elif slot.place is not None or slot.wanted:
            yield from self._reply("running")
        elif op.do is Do.DELETE_CHILD:
            sup.slots.remove(slot)
            sup.leave_wave(slot)
            yield from self._reply("ok")
        else:
            yield from self._restart(slot)

    def _start(self, slot: Slot) -> Steps:
        self.sup.slots.append(slot)
        yield from self._restart(slot)
        if not slot.has_come_up and slot in self.sup.slots:
            self.sup.slots.remove(slot)

    def _terminate(self, slot: Slot) -> Steps:
        place = slot.place
        if place is not None:
            slot.dismissed = True
            if slot.life is not None:
                slot.life.stop()
            else:
                self.sup.del_child(slot)
            yield Wait(lambda: place.over)
            slot.dismissed = False
        self.sup.leave_wave(slot)
        yield from self._reply("ok")

    def _restart(self, slot: Slot) -> Steps:
        if self.sup.wave is not None and slot in self.sup.wave.starts:
            self.sup.sim.prediction.ambiguous = True  # both start it
        yield Wait(lambda: self.sup.wave is None or self.sup.closed)
        if self.sup.closed:
            yield from self._reply("stopped")
            return
        if slot.place is not None or slot.wanted:
            yield from self._reply("running")
            return
        self.sup.want(slot)
        yield Wait(partial(is_no_more_wanted, slot))
        yield from self._reply("ok" if slot.has_come_up else "failed")  # it may have ended at that very moment

    def _reply(self, reply: str) -> Steps:
        self.sup.sim.prediction.replies[self.number] = reply
        yield from ()

    def go_on(self) -> bool:
        """As far as possible; whether it is over."""
        while self.wait.ready():
            try:
                self.wait = next(self.steps)
            except StopIteration:
                return True
        return False
