"""J1, J2, J3: a durable process is, after a crash, what it was said to be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import trio
from tests.durable.jobs import DONE, Job, Outputs, Plain, Rolling, Stage, Stepped, Waiting, job, work
from tests.durable.worlds import in_virtual_time, open_world, told, until_cut

import histrio
from histrio.durable import DurableActor, DurableNext, DurableTree, Standing
from histrio.durable.dry import replay
from histrio_kernel.journal.errors import Unencodable
from histrio_kernel.journal.stored import Stored
from histrio_kernel.lifecycle import Phase
from histrio_kernel.signals import Kind


@pytest.fixture(autouse=True)
def _nothing_done() -> Iterator[None]:
    DONE.clear()
    yield
    DONE.clear()


def test_it_advances_until_it_is_done() -> None:
    """J3: each state is told once, in order, and the result is there after a restart of the program."""
    stored = Stored()

    async def main() -> list[Stage]:
        async with open_world(stored) as tree:
            ref = await job(tree, "to TWO", "work", "to THREE", kind=Waiting)
            states = ref.control.watch_states(Stage)
            assert await ref.control.nudge() is Phase.RUNNING
            assert await ref.join() == Outputs(3)
            return [state async for state in states]

    async def again() -> object:
        async with open_world(stored) as tree:
            return await tree.ref("/job").join()

    assert in_virtual_time(main) == [Stage.ONE, Stage.TWO, Stage.THREE]
    assert in_virtual_time(again) == Outputs(3)
    assert DONE == ["work 1 begins as 5.1", "work 1 ends"]


def test_its_journal_has_every_order_and_every_advance() -> None:
    """J1: orders are CONTROL records with the word and the sender, an advance is one that begins a step."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "to TWO", "ask", kind=Waiting)
            await ref.control.pause()
            await ref.control.resume()
            await ref.control.step(2)
            await ref.control.resume("yes")
            await ref.join()

    in_virtual_time(main)
    assert [line.partition("(")[0] for line in told(stored, "/job")[1:]] == [
        "CONTROL pause ? Pause",
        "SEND ?! Value",
        "CONTROL resume ? Resume",
        "SEND ?! Value",
        "CONTROL step ? Step",
        "CONTROL advance",
        "CONTROL advance",
        "SEND ?! Value",
        "CONTROL resume ? Resume",
        "SEND ?! Value",
        "CONTROL advance",
        "STOP Value",
    ]


def test_paused_stays_paused() -> None:
    """J3: a process that was said to be paused is paused after a crash, and goes on when it is resumed, and only then."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "sleep", "work")
            assert await ref.control.pause() is Phase.PAUSED

    async def again() -> object:
        async with open_world(stored) as tree:
            ref = await job(tree, "sleep", "work")
            assert ref.control.is_paused
            await trio.sleep(100)
            assert ref.control.inspect().phase is Phase.PAUSED
            assert DONE == []
            assert await ref.control.resume() is Phase.RUNNING
            return await ref.join()

    in_virtual_time(main)
    assert in_virtual_time(again) == Outputs(2)


def test_a_pause_is_acknowledged_when_the_advance_is_over() -> None:
    """J2: nobody is told that it is paused before it is, and a resume that comes first ends the asking."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, "work", "work", "work")
            await trio.sleep(0.5)
            asked = ref.control.pause()
            await trio.sleep(0.25)
            assert not asked.is_done
            assert await asked is Phase.PAUSED
            assert trio.current_time() == pytest.approx(1)
            await ref.control.resume()
            await trio.sleep(0.5)
            asked = ref.control.pause()
            await ref.control.resume()
            assert await asked is Phase.RUNNING
            assert await ref.join() == Outputs(3)

    in_virtual_time(main)


@pytest.mark.parametrize("last", ["work and finish", "work and fail"])
def test_a_pause_in_the_last_advance_is_refused(last: str) -> None:
    """J3: a process that is done is not paused: whoever asked is told that it has ended."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, last, kind=Plain)
            await trio.sleep(0.1)  # so that it is in that advance
            asked = ref.control.pause()
            with pytest.raises(histrio.ActorStopped):
                await asked
            assert ref.control.is_done
            with pytest.raises(histrio.ActorStopped):
                ref.control.pause()
            with pytest.raises(histrio.ActorStopped):
                ref.control.inspect()

    in_virtual_time(main)


def test_a_resumed_value_is_handed_over_once() -> None:
    """J3: cut after each commit, each value whose acknowledgement has come is handed to one advance, in order."""
    acknowledged: list[str] = []

    async def main(tree: DurableTree) -> None:
        ref = await job(tree, *["ask"] * 6, kind=Plain)
        for number in range(3):
            await ref.control.resume(f"value {number}")
            acknowledged.append(f"value {number}")

    async def to_the_end(stored: Stored) -> list[object]:
        async with open_world(stored) as tree:
            ref = await job(tree, *["ask"] * 6, kind=Plain)
            ended = trio.Event()

            async def resume() -> None:
                while not ref.control.is_done:
                    await ref.control.resume("more")
                    await trio.sleep(1)
                ended.set()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(resume)
                outputs = await ref.join()
                await ended.wait()
            assert isinstance(outputs, Outputs)
            return list(outputs.got)

    came: set[int] = set()
    for commits in range(1, 20):
        stored = Stored()
        acknowledged.clear()
        in_virtual_time(partial(until_cut, stored, commits, main))
        came.add(len(acknowledged))
        got = [value for value in in_virtual_time(partial(to_the_end, stored)) if value != "more"]
        stored_values = [f"value {number}" for number in range(len(got))]
        assert got == stored_values
        assert len(acknowledged) <= len(got) <= len(acknowledged) + 1
    assert {0, 3} <= came
    assert came & {1, 2}  # which of them, and when, depends on what it does first: hear the next one, or go on


def test_a_value_that_nobody_waits_for() -> None:
    """J3: it is for the next advance, whenever that is; without one, who waits for a value gets None."""

    async def main() -> object:
        async with open_world(Stored()) as tree:
            ref = await job(tree, "to TWO", "ask", kind=Waiting)
            await ref.control.resume("early")
            await ref.control.resume()
            await ref.control.nudge()
            await trio.sleep(1)
            assert ref.control.inspect().state is Stage.TWO
            await ref.control.pause()
            await ref.control.resume()
            return await ref.join()

    assert in_virtual_time(main) == Outputs(2, ("early",))


def test_nudges_are_advances() -> None:
    """J3: n nudges of one that is driven by STEP are n advances, over a crash; one more than `nudges_max` is refused."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "to TWO", "to THREE", "to ONE", kind=Stepped)
            await ref.control.pause()
            for _ in range(3):
                await ref.control.nudge()
            with pytest.raises(histrio.Refusal, match=r"/job: 3 nudges are not used up yet \(nudges_max\)"):
                await ref.control.nudge()

    async def again() -> Stage:
        async with open_world(stored) as tree:
            ref = await job(tree, "to TWO", kind=Stepped)
            states = ref.control.watch_states(Stage)
            await ref.control.resume()
            await trio.sleep(1)
            assert [await states.next() for _ in range(states.kept)] == [Stage.ONE, Stage.TWO, Stage.THREE, Stage.ONE]
            state = ref.control.inspect().state
            assert isinstance(state, Stage)
            await ref.control.nudge()
            assert await ref.join() == Outputs(3)
            return state

    in_virtual_time(main)
    assert in_virtual_time(again) is Stage.ONE


def test_steps_end_in_a_pause() -> None:
    """J3: so many advances, also of one that was never nudged, and also if it crashes between them."""
    stored = Stored()

    async def main(tree: DurableTree) -> None:
        ref = await job(tree, "work", "to TWO", "to THREE", "to ONE", kind=Waiting)
        await ref.control.step(3)

    in_virtual_time(lambda: until_cut(stored, 3, main))

    async def again() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "work", kind=Waiting)
            await trio.sleep(10)
            assert ref.control.inspect() == Standing(Phase.PAUSED, Stage.THREE)
            assert await ref.control.step() is Phase.PAUSED
            assert ref.control.inspect().state is Stage.ONE
            with pytest.raises(ValueError, match=r"/job: step\(0\): it must be a whole number, 1 or more"):
                ref.control.step(0)

    in_virtual_time(again)


def test_an_advance_is_cut_off_and_made_again() -> None:
    """J3: `pause(now=True)` cancels the effects of this advance, which is made again after `resume`, and only if allowed."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, "work")
            await trio.sleep(0.5)
            assert await ref.control.pause(now=True) is Phase.PAUSED
            assert trio.current_time() == pytest.approx(0.5)
            await ref.control.resume()
            assert await ref.join() == Outputs(1)
            assert DONE == ["work 0 begins as 2.1", "work 0 is cancelled", "work 0 begins as 8.1", "work 0 ends"]
            other = await tree.spawn(Plain, {"script": ("work",)}, name="other")
            with pytest.raises(histrio.NotRerunnable):
                await other.control.pause(now=True)
            assert other.control.inspect().phase is Phase.RUNNING

    in_virtual_time(main)


def test_an_advance_that_fails_is_the_end() -> None:
    """J3: the process has failed, today and tomorrow, and the step that failed has not happened."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "to TWO", "work and fail")
            with pytest.raises(histrio.ActorFailed, match="ValueError: it was told to fail"):
                await ref.join()
            assert await ref.control.kill() is Phase.FAILED
            assert tree.states() == {"/job": "ended"}

    for _ in range(2):
        in_virtual_time(main)
    assert [each.kind for each in stored.read("/job", 0)][-2:] == [Kind.CRASH, Kind.STOP]


@pytest.mark.parametrize("script", [("lose", "to TWO", "ask"), ("leave failing",), ("leave failing", "sleep")])
def test_an_error_that_nobody_looks_at_is_one_of_the_process(script: tuple[str, ...]) -> None:
    """J3: that of what it waits for fails it, if the next advance does not look at it, and that of what it left, at its end."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, *script)
            with pytest.raises(histrio.ActorFailed, match="OSError: l"):
                await ref.join()

    in_virtual_time(main)


def test_it_ends_when_what_it_has_begun_has() -> None:
    """J3: an effect that an advance began and did not await goes on, and is waited for at the end."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, "leave", *["to TWO", "to ONE"] * 10, kind=Rolling, seconds=5)
            await trio.sleep(1)
            assert ref.control.inspect().state is Stage.ONE
            assert await ref.join() == Outputs(21)
            assert trio.current_time() == pytest.approx(5)
            assert DONE == ["left 1 begins as 2.1", "left 1 ends"]

    in_virtual_time(main)


def test_a_value_that_cannot_be_stored_is_refused() -> None:
    """J2: `resume` of an object of no lasting kind raises, and nothing has changed."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, "ask")
            await ref.control.pause()
            with pytest.raises(Unencodable, match=r"Resume\.value"):
                await ref.control.resume(object())
            assert ref.control.is_paused

    in_virtual_time(main)


def test_its_past_is_rolled_up() -> None:
    """J5: with `snapshot` and `restore` it runs in constant space, and what is wanted of it is kept."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, *(["to TWO", "to ONE"] * 50), "ask", kind=Rolling)
            await ref.control.resume("early")
            await trio.sleep(1)
            await ref.control.pause()
            for _ in range(20):
                await ref.control.nudge()

    async def again() -> object:
        async with open_world(stored) as tree:
            ref = await job(tree, "ask", kind=Rolling)
            assert ref.control.is_paused
            await ref.control.resume("late")
            return await ref.join()

    in_virtual_time(main)
    assert len(stored.read("/job", 0)) < 20
    result = in_virtual_time(again)
    assert isinstance(result, Outputs)
    assert result.made == 101
    assert result.got == ("early", "late")


class Later(Rolling, behaviour="process.later"):
    """Looks at what its first advance has begun in its last one."""

    async def advance(self) -> DurableNext[Stage, Outputs]:
        self.made += 1
        if self.made == 1:
            self.left = self.io(work, "early", 1)
        if self.made == 2:
            return self.wait(self.sleep(2))
        if self.made < 20:
            return self.to(self.state)
        return histrio.Done(Outputs(self.made, (await self.left,)))


def test_what_nobody_has_looked_at_is_kept() -> None:
    """J5: no past is rolled up while an outcome is there that no advance has looked at, for it would be lost."""

    async def main() -> object:
        async with open_world(Stored()) as tree:
            return await (await job(tree, "?", kind=Later)).join()

    assert in_virtual_time(main) == Outputs(20, ("early done",))


def test_a_process_that_never_waits_is_heard() -> None:
    """J3: one that only goes from state to state is paused and killed all the same."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await job(tree, *(["to TWO", "to ONE"] * 2_000), kind=Plain)
            assert await ref.control.pause() is Phase.PAUSED
            await ref.control.resume()
            assert await ref.control.kill() is Phase.KILLED

    in_virtual_time(main)


def test_its_past_is_looked_at() -> None:
    """J7: the past of a process is done again as far as any record, and shows its phase and its state there."""
    stored = Stored()

    async def main() -> None:
        async with open_world(stored) as tree:
            ref = await job(tree, "to TWO", "work", kind=Waiting)
            await ref.control.nudge()
            await trio.sleep(0.5)
            await ref.control.pause()
            await ref.control.kill()

    async def look() -> list[tuple[str, str, str]]:
        records = stored.read("/job", 0)
        looked = [await replay(records, record.seq, identity=stored.identity) for record in records]
        assert [each.error for each in looked] == [None] * len(records)
        return [
            (
                dict(each.attributes)["phase"].removeprefix("Phase."),
                dict(each.attributes)["state"].removeprefix("Stage."),
                ", ".join(waiting.handler for waiting in each.waiting),
            )
            for each in looked
        ]

    in_virtual_time(main)
    seen = list(dict.fromkeys(in_virtual_time(look)))
    assert seen == [
        ("RUNNING", "ONE", ""),
        ("RUNNING", "TWO", ""),
        ("RUNNING", "TWO", "its advance"),
        ("PAUSED", "TWO", ""),
        ("DYING", "TWO", "its clean-up"),
        ("KILLED", "TWO", ""),
    ]


def test_an_actor_that_is_no_process_has_no_control() -> None:
    """J3: there is nothing to see of it, and it takes no orders."""

    class Other(DurableActor[str], behaviour="process.other"):
        async def receive(self, message: str) -> None:
            """Nothing."""

    async def main() -> None:
        async with open_world(Stored()) as tree:
            ref = await tree.spawn(Other, name="other")
            with pytest.raises(TypeError, match="/other is no DurableProcess"):
                ref.control.inspect()
            with pytest.raises(TypeError, match="/other: it takes str, not Pause"):
                await ref.control.pause()
            good = await tree.spawn(Job, {"script": ("ask",)}, name="good")
            with pytest.raises(
                TypeError, match=r"/good: watch_states\(<enum 'Phase'>\), but its states are of type Stage"
            ):
                good.control.watch_states(Phase)

    in_virtual_time(main)
