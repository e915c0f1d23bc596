"""Worker processes come from trio-parallel, an extra; without it a call says how to get it."""

# Looked up by name, because an extra that is not installed must neither break an import nor a type checker.

import importlib
from collections.abc import Callable
from typing import Protocol, TypeVar, TypeVarTuple, cast

__all__ = ("RUN_IN_PROCESS", "ProcessRunner", "run_in_process")

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ProcessRunner(Protocol):
    """The shape of `trio_parallel.run_sync`."""

    async def __call__(self, fn: Callable[[*Ts], T], /, *args: *Ts, kill_on_cancel: bool) -> T:
        """Run `fn(*args)` in a worker process."""
        ...


def _find() -> ProcessRunner | None:
    """What the extra brings, or None if it is not installed."""
    try:
        return cast("ProcessRunner", importlib.import_module("trio_parallel").run_sync)
    except ModuleNotFoundError as error:
        if error.name == "trio_parallel":
            return None
        raise


RUN_IN_PROCESS = _find()


async def run_in_process(runner: ProcessRunner | None, fn: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run `fn(*args)` in a worker process of *runner*; cancelled, the process is killed.

    Raises:
        RuntimeError: there is no runner: the extra is not installed.

    """
    if runner is None:
        name = getattr(fn, "__qualname__", repr(fn))
        raise RuntimeError(
            f"process({name}) needs worker processes, which come with trio-parallel, and that is not installed:"
            " pip install histrio[process]"
        )
    return await runner(fn, *args, kill_on_cancel=True)
