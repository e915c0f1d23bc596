"""Somebody who kills the parts of a pipeline at random."""

from random import Random

import trio

import histrio


async def kill_at_random(system: histrio.System, below: str, random: Random, seconds: float, every_s: float) -> int:
    """Kill one actor below that path now and then, for so long; the number of kills."""
    kills = 0
    with trio.move_on_after(seconds):
        while True:
            await trio.sleep(random.uniform(0, 2 * every_s))
            paths = [node.path for node in system.tree().walk() if node.path.startswith(below + "/")]
            ref = system.find(histrio.Actor, random.choice(paths)) if paths else None
            if ref is not None:
                ref.control.kill("chaos")
                kills += 1
    return kills
