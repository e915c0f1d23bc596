"""M5, M9, M10: watchers and pipes of a machine that belongs to an actor."""

import attrs
import trio
from tests.machine.around.small import machine_of

import histrio
from histrio import Machine, State, States
from histrio_kernel.machine.around.history import History
from histrio_kernel.machine.around.logs import LogLevel, MachineLog
from histrio_kernel.machine.around.pipes import pipe, pipes_from
from histrio_kernel.machine.around.retrying import until_accepted


class Light(States):
    """One state."""

    on = State()


@attrs.frozen
class Hold(histrio.Request[Machine]):
    """Answered with the machine, against all good manners."""


class Lamp(histrio.Actor[str | Hold], states=Light):
    """Goes on, and off, and is watched."""

    async def started(self) -> None:
        self.history = History(self.states, self.io.clock.now)
        self.lines: list[str] = []
        MachineLog(self.states, self.lines.append, LogLevel.OPERATIONS)
        self.second = Machine(Light, "second")
        pipe(self.states, Light.on, self.second)

    @histrio.handler(Hold)
    async def hold(self, m: Hold) -> Machine:
        return self.states

    @histrio.handler(str)
    async def switch(self, m: str) -> None:
        if m == "try":
            await until_accepted(self.states, lambda s: s.add(Light.on), histrio.Retry(first_s=1), clock=self.io.clock)
        else:
            self.states.toggle(Light.on)
        assert (Light.on in self.second) is (Light.on in self.states)
        last = self.history.last_active(Light.on)
        assert last is not None
        assert last.began == self.io.clock.now() or last.ended == self.io.clock.now()


async def test_an_actor_watches_its_machine(autojump_clock: trio.abc.Clock) -> None:
    """M9, M10: history on the actor's clock, a log, and a pipe to another machine of the actor, from its own handlers."""
    async with histrio.open_system() as system:
        lamp = await system.spawn(Lamp, name="lamp")
        await lamp.tell("toggle")
        await trio.sleep(3)
        await lamp.tell("toggle")
        await trio.sleep(3)
        await lamp.tell("try")
        assert (await lamp.ask(Hold())).tick(Light.on) == 3


async def test_a_pipe_into_an_actor_is_broken_by_a_stranger(autojump_clock: trio.abc.Clock) -> None:
    """M5, M10: only an actor's own code mutates its machine, so a pipe from outside is closed the first time it is used."""
    async with histrio.open_system() as system:
        lamp = await system.spawn(Lamp, name="lamp")
        theirs = await lamp.ask(Hold())
        ours = Machine(Light, "ours")
        made = pipe(ours, Light.on, theirs)
        assert [str(edge) for edge in pipes_from(ours)] == ["ours.on -> /lamp.on"]
        assert ours.add(Light.on)

        assert made.is_closed
        assert theirs.none(Light.on)


async def test_two_machines_of_no_actor(autojump_clock: trio.abc.Clock) -> None:
    """M10: a pipe from a core's machine into one with waits: who waits for the target's state goes on."""
    source, target = machine_of("source", "up"), Machine(Light, "target")
    pipe(source, "up", target, Light.on)
    wait = target.when(Light.on)
    source.add("up")
    await wait

    assert Light.on in target
