"""What a tree of supervised actors does, said as OTP says it: the rules of supervisor.erl, one short function each.

`predict(program)` gives the log that a program must leave: who starts, has started, handles, stops and is gone, when and
in which incarnation, what became of each message and command, and what the whole tree ended by. Neither Trio nor
Histrio is imported here.
"""

from __future__ import annotations

import math
from typing import Final

from tests.actors.supervision.lives import SCRIPTS, Failed, Killed, Life, Place, Prediction, Script, Sim
from tests.actors.supervision.programs import COMMANDS, MESSAGES, Do, Op, Program, Worker
from tests.actors.supervision.supervisor_life import SupLife

__all__ = ["predict"]


class Top:
    """The system: nobody is restarted there, and the first failure ends it."""

    def __init__(self, program: Program) -> None:
        self.program: Final = program
        self.sim: Final = Sim(program)
        self.place: Final = Place(self.sim, f"/{program.root.name}", program.root, self)
        self.sim.places[self.place.path] = self.place

    def bear(self, place: Place) -> Life:
        return SupLife(place, self.program.root)

    def told_end(self, life: Life) -> None:
        self.place.end()

    def keeps(self, life: Life) -> bool:
        return False

    def starts_more(self) -> bool:
        return False

    def strike_resting(self, place: Place, *, stops: bool) -> None:
        raise AssertionError("nobody is restarted there")

    def run(self) -> Prediction:
        """The whole program."""
        sim, life = self.sim, self.place.begin()
        for number, op in enumerate(self.program.ops):
            sim.pass_time(op.at)
            if life.over and life.end == "FAILED":
                break  # the block is cancelled
            self.do(number, op)
        sim.pass_time(self.program.end)
        sim.pass_time(math.inf, lambda: life.started or life.over)  # the block waits for the start
        if not life.over:
            life.stop()
        sim.pass_time(math.inf)
        assert not sim.lives, f"they never end: {[one.place.path for one in sim.lives]}"
        if life.end == "FAILED":
            sim.prediction.ended_by = "SystemFailed" if life.started else "a failed start"
        sim.prediction.ambiguous = sim.is_ambiguous()
        return sim.prediction

    def do(self, number: int, op: Op) -> None:
        """What happens from outside."""
        place = self.sim.places.get(op.path)
        if op.do in COMMANDS:
            sup = self.sim.places.get(op.called[0])
            if sup is None or not sup.open:
                self.sim.prediction.replies[number] = "stopped"
            else:
                sup.inbox.append(number)
        elif op.do in SCRIPTS:
            if op.path in self.sim.scripts:
                self.sim.scripts[op.path].set(op)
        elif op.do in MESSAGES:
            if op.path not in self.sim.scripts:
                return  # supervisors take no such messages
            if place is None or not place.open:
                self.sim.prediction.fates[number] = "refused"
            else:
                place.inbox.append(number)
        elif place is not None:
            self._control(op, place)

    def _control(self, op: Op, place: Place) -> None:
        life = place.life
        assert life is not None, place.path
        if op.do is Do.PAUSE or op.do is Do.RESUME:
            place.paused = op.do is Do.PAUSE and isinstance(place.spec, Worker)
        elif life.over:
            if op.do is not Do.BREAK and place.over is False:
                place.above.strike_resting(place, stops=op.do is not Do.KILL)
        elif op.do is Do.KILL:
            life.strike(Killed())
        elif op.do is Do.BREAK:
            if isinstance(place.spec, Worker):
                life.strike(Failed())
        else:
            life.stop(op.amount if op.do is Do.STOP_WITHIN else None)


def predict(program: Program) -> Prediction:
    """What must come of it."""
    top = Top(program)
    for path, spec in program.places().items():
        if isinstance(spec, Worker):
            top.sim.scripts[path] = Script(spec.start, spec.stop, spec.unwind, spec.start_failures)
    return top.run()
