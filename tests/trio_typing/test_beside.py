"""An application that still annotates with trio-typing runs Histrio; its stubs stay out of where types are checked."""

# Trio carries its own types since 0.23. The stubs of trio-typing shadow them: a wrong `start_soon` goes unreported and
# mypy's plugin crashes. So this folder is collected only where the extra `trio-typing` is installed (an environment
# that .ci/run makes for it alone), and no type checker reads it.

import attrs
import trio
import trio_typing

import histrio


@attrs.frozen
class Double(histrio.Request[int]):
    """Ask for twice a number."""

    number: int


class Calculator(histrio.Actor[Double]):
    """Answers at once."""

    @histrio.handler(Double)
    async def double(self, m: Double) -> int:
        """Twice the number."""
        return 2 * m.number


async def serve(answer: int, *, task_status: trio_typing.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """What such an application has in its nurseries."""
    async with histrio.open_system() as system:
        calculator = await system.spawn(Calculator)
        task_status.started(await calculator.ask(Double(answer)))


async def test_histrio_runs_beside_trio_typing() -> None:
    """A task annotated with trio-typing starts a system and hands out what an actor answered."""
    async with trio.open_nursery() as nursery:
        assert await nursery.start(serve, 21) == 42
