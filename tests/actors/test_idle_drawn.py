"""For drawn systems of asks, `step_until_idle` says what a second account of who waits for whom says; and time agrees."""

# Each handler writes down what it waits for, in words of the test. From that, and from what each actor may do at once,
# follows who can go on: by another way than the one that is tested, which looks into the kernel and knows no handlers.

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import attrs
import trio
from hypothesis import event, given
from hypothesis import strategies as st
from trio.testing import MockClock

import histrio
from histrio import Idle, IdleState, Ref

How = Literal["plain", "io", "patient", "either"]
End = Literal["reply", "sleep", "promise", "hold"]
FAR: Final = 1_000_000.0


@attrs.frozen
class Hop:
    """Ask another actor, in some way; for "either" also a second one, who just does *side*."""

    to: int
    how: How
    other: int
    side: End


@attrs.frozen
class Walk(histrio.Request[None]):
    """Hop on, and at last do something that takes a while or not."""

    number: int
    hops: tuple[Hop, ...]
    end: End


@attrs.define(eq=False)
class Wait:
    """What a handler waits for at the moment: numbers of walks, one of which is enough; or the outside."""

    actor: int
    walks: tuple[int, ...] = ()
    outside: bool = False


@attrs.define
class World:
    """What the handlers have written down."""

    kinds: list[str]
    refs: list[Ref[Walk]] = attrs.field(factory=list)
    waits: dict[int, Wait] = attrs.field(factory=dict)
    queued: dict[int, int] = attrs.field(factory=dict)
    done: set[int] = attrs.field(factory=set)
    count: int = 0

    def new(self, to: int, hops: tuple[Hop, ...], end: End) -> Walk:
        """A walk that is about to be sent."""
        self.count += 1
        self.queued[self.count] = to
        return Walk(self.count, hops, end)

    def take_back(self, walks: Sequence[Walk]) -> None:
        """Nobody waits for these any more; what has not begun never will."""
        for walk in walks:
            self.queued.pop(walk.number, None)


class Walker(histrio.Actor[Walk]):
    """It hops, and writes down what it waits for."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number

    @histrio.handler(Walk)
    async def walk(self, m: Walk) -> None:
        world = self.world
        del world.queued[m.number]
        wait = world.waits[m.number] = Wait(self.number)
        if m.hops:
            await self.hop(wait, m.hops[0], m.hops[1:], m.end)
        else:
            await self.last(wait, m.end)
        del world.waits[m.number]
        world.done.add(m.number)

    async def hop(self, wait: Wait, hop: Hop, rest: tuple[Hop, ...], end: End) -> None:
        to = _another(self.number, hop.to, len(self.world.refs))
        asked = [self.world.new(to, rest, end)]
        answer = self.world.refs[to].ask(asked[0])
        if hop.how == "either":
            other = _another(self.number, hop.other, len(self.world.refs))
            asked.append(self.world.new(other, (), hop.side))
        wait.walks = tuple(walk.number for walk in asked)
        wait.outside = hop.how == "patient"
        if hop.how == "plain":
            await answer
        elif hop.how == "patient":
            with trio.move_on_after(50):
                await answer
        elif hop.how == "either":
            other = _another(self.number, hop.other, len(self.world.refs))
            await histrio.either(answer, self.world.refs[other].ask(asked[1]))
        else:

            async def fetch() -> None:
                await answer

            await self.io(fetch)
        self.world.take_back(asked)

    async def last(self, wait: Wait, end: End) -> None:
        wait.outside = True
        if end == "sleep":
            await self.io.clock.sleep(7)
        elif end == "promise":
            never: histrio.Promise[None] = self.promise()
            await never
        elif end == "hold":
            await trio.sleep(7)


class SerialWalker(Walker):
    serial = True


class OneWalker(Walker):
    in_flight_max = 1


class TwoWalker(Walker):
    in_flight_max = 2


KINDS: Final[dict[str, type[Walker]]] = {"plain": Walker, "serial": SerialWalker, "one": OneWalker, "two": TwoWalker}


def _another(here: int, to: int, count: int) -> int:
    """One of the others: an actor that asks itself is another subject."""
    to %= count
    return to if to != here else (to + 1) % count


hops = st.builds(
    Hop,
    st.integers(0, 3),
    st.sampled_from(["plain", "plain", "plain", "io", "either", "patient"]),
    st.integers(0, 3),
    st.sampled_from(["reply", "sleep", "promise", "hold"]),
)
walks = st.tuples(
    st.integers(0, 3),
    st.lists(hops, max_size=5).map(tuple),
    st.sampled_from(["reply", "reply", "reply", "sleep", "promise", "hold"]),
)
kinds = st.lists(st.sampled_from(["serial", "serial", "one", "two", "plain"]), min_size=2, max_size=4)


@attrs.frozen
class Verdict:
    """What the second account says."""

    state: IdleState
    stuck: dict[str, int]


def judge(world: World, paused: set[int]) -> Verdict:
    """Who can go on: those who wait for the outside, and whoever waits for one of those who can, until no more do."""
    live: set[int] = {number for number, wait in world.waits.items() if wait.outside}

    def takes(actor: int) -> bool:
        """Whether it can take one more message, now or when one of those who can has gone on."""
        if actor in paused:
            return False
        here = [number for number, wait in world.waits.items() if wait.actor == actor]
        return not here or any(number in live for number in here)

    def goes_on(number: int) -> bool:
        for asked in world.waits[number].walks:
            if asked in world.done or asked in live or (asked in world.queued and takes(world.queued[asked])):
                return True
        return False

    while fresh := {number for number in world.waits if number not in live and goes_on(number)}:
        live |= fresh
    stuck: dict[str, int] = {}
    for number, wait in world.waits.items():
        if number not in live:
            stuck[f"/{wait.actor}"] = stuck.get(f"/{wait.actor}", 0) + 1
    if not world.waits and not world.queued:
        state = IdleState.DONE
    elif world.waits and not live and not any(map(takes, world.queued.values())):
        state = IdleState.DEADLOCK
    else:
        state = IdleState.WAITING
    return Verdict(state, stuck)


def check(idle: Idle, world: World, paused: set[int]) -> None:
    """Both accounts agree, and the circle is one."""
    verdict = judge(world, paused)
    stuck: dict[str, int] = {}
    for one in idle.stuck:
        if one.what.startswith("Walker."):
            stuck[one.path] = stuck.get(one.path, 0) + 1
    assert (idle.state, stuck) == (verdict.state, verdict.stuck), f"{world}\n{idle}"
    assert bool(idle.cycle) <= bool(stuck)
    if stuck and not paused:
        assert idle.cycle
    waits = {(one.path, path) for one in idle.stuck for path in one.on}
    assert all(pair in waits for pair in zip(idle.cycle, idle.cycle[1:], strict=False)), str(idle)
    assert not idle.cycle or idle.cycle[0] == idle.cycle[-1]
    event(f"{idle.state.value}, {'stuck' if stuck else 'nobody stuck'}, {'paused' if paused else 'nobody paused'}")


async def play(named: list[str], program: list[tuple[int, tuple[Hop, ...], End]], paused: set[int]) -> None:
    """Send all, look, let time pass, and look again."""
    async with histrio.open_system(held_turn_s=FAR * 10) as system:
        world = World(named)
        for number, name in enumerate(named):
            world.refs.append(await system.spawn(KINDS[name], world, number, name=str(number)))
        paused = {number for number in paused if number < len(named)}
        for number in paused:
            await world.refs[number].control.pause()
        for first, walk, end in program:
            to = first % len(named)
            await world.refs[to].tell(world.new(to, walk, end))
        began = trio.current_time()
        idle = await system.step_until_idle()
        assert trio.current_time() == began
        check(idle, world, paused)
        before = (set(world.done), dict(world.queued), set(world.waits))
        await trio.sleep(FAR)
        later = await system.step_until_idle()
        check(later, world, paused)
        if idle.state is not IdleState.WAITING:
            assert (world.done, world.queued, set(world.waits)) == before
            assert later == idle
        elif idle.until is not None:
            assert (world.done, world.queued, set(world.waits)) != before
        system.kill()


@given(kinds, st.lists(walks, min_size=1, max_size=5), st.sets(st.integers(0, 3), max_size=1))
def test_drawn_systems(named: list[str], program: list[tuple[int, tuple[Hop, ...], End]], paused: set[int]) -> None:
    """DONE, WAITING, DEADLOCK and each stuck handler are as the handlers' own account has them; time proves it."""
    trio.run(play, named, program, paused, clock=MockClock(autojump_threshold=0))
