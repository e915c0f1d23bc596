"""M9, M10: a machine as a part of another."""

import gc
import weakref

import pytest
from tests.machine.around.small import PLAIN, machine_of, when
from tests.machine.lab import Writer

from histrio_kernel.machine.around.logs import LogLevel, MachineLog
from histrio_kernel.machine.around.pipes import PipeRefused, pipes_from
from histrio_kernel.machine.around.submachines import nest, parent_of, submachines_of
from histrio_kernel.machine.core.errors import UnknownState
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.schema import Definition
from histrio_kernel.machine.core.transition import Transition


def car() -> Machine[str]:
    """A whole."""
    return machine_of("car", "start", "err_motor", moving=Definition(require=["start"]))


def motor() -> Machine[str]:
    """A part."""
    return machine_of("motor", "on", turning=Definition(auto=True, require=["on"]))


def test_states_go_down_and_up() -> None:
    """M10: the part follows the whole, and the whole the part, each by the states that are named."""
    whole, part = car(), motor()
    whole.add("start")
    submachine = nest(whole, part, down=[("start", "on")], up=[("turning", "moving")])
    assert set(part.names) == {"on", "turning"}
    assert set(whole.names) == {"start", "moving"}
    whole.remove("start")
    assert part.names == whole.names == ()
    assert repr(submachine) == "<Submachine motor of car>"


def test_a_state_does_not_come_back_to_itself() -> None:
    """M10: what goes down and comes up again is refused with its path, and nothing is left of the attempt."""
    whole, part = car(), motor()
    with pytest.raises(PipeRefused, match=r"motor.turning -> car.start -> motor.on -> motor.turning"):
        nest(whole, part, down=[("start", "on")], up=[("turning", "start")])

    assert pipes_from(whole) == ()
    assert parent_of(part) is None
    whole.add("start")
    assert part.names == ()


def test_errors_go_up() -> None:
    """M8, M10: an error of the part is one of the whole, with the state that is named."""
    whole, part = car(), motor()
    nest(whole, part, error_state="err_motor")
    part.fail(OSError("hot"))
    assert whole.all("err_motor", "exception")
    assert str(whole.error) == "hot"

    other, its_part = car(), motor()
    nest(other, its_part, errors=True)
    its_part.fail(OSError("hot"))
    assert other.names == ("exception",)


def test_the_part_is_disposed_with_the_whole() -> None:
    """M10: disposal goes down, through parts of parts, and not up."""
    whole, part, screw = car(), motor(), machine_of("screw", "tight")
    nest(whole, part)
    nest(part, screw)
    spare = motor()
    nest(whole, spare)
    spare.dispose()
    assert not whole.is_disposed

    whole.dispose()
    assert part.is_disposed
    assert screw.is_disposed


def test_what_belongs_to_what() -> None:
    """M12: a part knows its whole, a whole its parts; a part has one whole, and is not a part of its own part."""
    whole, part, screw = car(), motor(), machine_of("screw", "tight")
    first, second = nest(whole, part), nest(part, screw)
    assert parent_of(part) is whole
    assert parent_of(whole) is None
    assert submachines_of(whole) == (part,)
    with pytest.raises(PipeRefused, match="motor is a part of car already: close that submachine first"):
        nest(car(), part)
    for machine in (screw, whole):
        with pytest.raises(PipeRefused, match="car cannot be a part of"):
            nest(machine, whole)

    first.close()
    assert parent_of(part) is None
    assert submachines_of(whole) == ()
    whole.dispose()
    assert not part.is_disposed
    with second:
        pass
    assert second.is_closed


def test_a_part_is_there_at_once_within_a_transition() -> None:
    """M10: nested from a handler of the whole, it is a part at once, disposed with it and aligned with it."""
    whole, part = car(), motor()

    def build(transition: Transition) -> None:
        nest(whole, part, down=[("start", "on")])
        assert parent_of(part) is whole
        assert "on" in part

    when(whole, "start", build)
    whole.add("start")
    whole.remove("start")
    assert part.names == ()
    whole.dispose()
    assert part.is_disposed


class Heir(Writer):
    """A tracer that parts get, too."""

    inherited = True


def test_tracers_are_inherited_if_they_say_so() -> None:
    """M9: a tracer with `inherited` sees the parts, and theirs; another does not; a log makes one of its own for each."""
    whole, part, screw = car(), motor(), machine_of("screw", "tight")
    heir, loner = Heir(), Writer()
    lines: list[str] = []
    whole.attach(heir)
    whole.attach(loner)
    log = MachineLog(whole, lines.append, LogLevel.CHANGES)
    nest(whole, part)
    nest(part, screw)
    part.add("on")
    screw.add("tight")

    assert heir.seen == ["+on", "a+turning", "+tight"]
    assert loner.seen == []
    assert lines == ["motor [state] +on", "motor [state:auto] +turning", "screw [state] +tight"]
    log.close()
    screw.remove("tight")
    assert len(lines) == 3


def test_an_unknown_state_is_named() -> None:
    """M10: the state and the nearest name; nothing is left of the attempt."""
    whole, part = car(), motor()
    with pytest.raises(UnknownState, match="did you mean 'turning'"):
        nest(whole, part, down=[("start", "on")], up=[("turnin", "moving")])
    assert pipes_from(whole) == ()
    assert parent_of(part) is None


def test_the_part_does_not_keep_the_whole_alive() -> None:
    """M10: a whole that nobody holds is gone, and its part has no parent."""
    whole, part = car(), motor()
    nest(whole, part, down=[("start", "on")])
    gone = weakref.ref(whole)
    del whole
    gc.collect()

    assert gone() is None
    assert parent_of(part) is None
    nest(car(), part)


def test_definitions_are_not_shared() -> None:
    """M10: nesting changes no schema."""
    whole, part = car(), motor()
    before = dict(whole.schema.definitions)
    nest(whole, part)

    assert whole.schema.definitions == before
    assert before["start"] == PLAIN
