"""The lost update of three tasks, three times each, under simloom: run by a Python of its own, see `simulating`.

Prints the microseconds of process CPU time that one run took: `python simloom_peer.py RUNS`.
"""

import asyncio
import gc
import sys
import time

import simloom  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports] - in an environment of its own


async def main() -> int:
    """Three tasks that read, let others go first, and write."""
    count = 0

    async def increment() -> None:
        nonlocal count
        for _ in range(3):
            before = count
            await asyncio.sleep(0)
            count = before + 1

    await asyncio.gather(*(increment() for _ in range(3)))
    return count


def run(runs: int) -> float:
    """What one run costs, in microseconds."""
    gc.collect()
    gc.disable()
    began = time.process_time()
    for seed in range(runs):
        simloom.run(main, seed=seed)  # pyright: ignore[reportUnknownMemberType]
    return (time.process_time() - began) / runs * 1e6


if __name__ == "__main__":
    run(20)
    print(run(int(sys.argv[1])))
