"""A machine with the states of `Disposable` cleans up before it is gone: the callbacks, in reverse, then the end."""

from __future__ import annotations

import inspect
from typing import Final

from histrio_kernel.machine.around.watcher import unkeyed
from histrio_kernel.machine.core.machine import Machine
from histrio_kernel.machine.core.results import Canceled
from histrio_kernel.machine.core.transition import Transition
from histrio_kernel.machine.core.variables import K
from histrio_kernel.machine.states.handlers import Handlers
from histrio_kernel.machine.states.mixins import Disposable, Disposal

__all__ = ["Disposer"]


class Disposer(Handlers, states=Disposable):
    """The handlers of `Disposable`: bind one to a machine whose schema inherits from it, `machine.bind(Disposer(machine))`.

    `machine.add(Disposable.register_disposal(close))` brings a callback, sync or async. `machine.add(Disposable.disposing)`
    calls them, the last one first, within the state's own task. An error in one is `machine.error`, and the others are
    called all the same. Then comes `disposed`, and the machine is disposed.
    """

    def __init__(self, machine: Machine[K]) -> None:
        self._machine: Final = unkeyed(machine)
        self._callbacks: Final[list[Disposal]] = []

    @Disposable.register_disposal.entered
    def keep(self, transition: Transition[Disposal]) -> None:
        """One more to be called."""
        self._callbacks.append(transition.args)

    @Disposable.disposing.entered
    async def clean_up(self, transition: Transition[None]) -> None:
        """Call them all."""
        while self._callbacks:
            try:
                answer = self._callbacks.pop().callback()
                if inspect.isawaitable(answer):
                    await answer
            except Exception as error:
                self._machine.fail(error)
        if isinstance(self._machine.add("disposed"), Canceled):
            self._machine.dispose()

    @Disposable.disposed.entered
    def dispose(self, transition: Transition[None]) -> None:
        """Nothing is left to do."""
        self._machine.dispose()
