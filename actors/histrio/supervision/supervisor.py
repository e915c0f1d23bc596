"""Supervisors: actors whose children are data, and who start again what has ended (S1)."""

# Design note
# -----------
# A supervisor is an actor like any other: it has a place in a tree, may be a child of another supervisor, and takes
# requests as messages. What it decides, and when, is in `overseer`; here is what a program sees.
#
# Its own start and stop have no deadline: they take as long as those of its children, which each have one.

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Never, TypeVar, cast

import attrs

from histrio.actor import Actor, cell_of
from histrio.handlers import handler
from histrio.messages import ChildRequest, DeleteChild, RestartChild, StartChild, TerminateChild
from histrio.ref import Ref
from histrio.spawning import next_name
from histrio.supervision.errors import ChildNotStarted, ChildrenFull, ChildRunning, NoSuchChild
from histrio.supervision.kid import Kid
from histrio.supervision.overseer import Overseer
from histrio.supervision.rules import Rules
from histrio.supervision.spec import (
    NEVER,
    ONE_FOR_ONE,
    AutoShutdown,
    Backoff,
    Child,
    Restart,
    Strategy,
)
from histrio_kernel.bounds import bound
from histrio_kernel.errors import ActorStopped, Refusal, shown, told
from histrio_kernel.lifecycle import Phase

__all__ = ["DynamicSupervisor", "Supervised", "Supervisor"]

N = TypeVar("N")


@attrs.frozen
class Supervised:
    """One child of a supervisor at one moment: `phase` is None if it has ended and is still known."""

    name: str
    actor: str
    restart: Restart
    phase: Phase | None
    incarnation: int
    ref: Ref[object] | None


class _Supervising(Actor[ChildRequest]):
    """What both kinds of supervisors have in common."""

    start_s = math.inf
    shutdown_s = math.inf

    _overseer: Overseer

    def _begin(self, rules: Rules) -> Overseer:
        cell = cell_of(self, "started")
        self._overseer = cell.guardian = Overseer(cell, self.system, rules)
        return self._overseer

    def which_children(self) -> tuple[Supervised, ...]:
        """The children that it knows, from left to right."""
        return tuple(self._supervised(kid) for kid in self._overseer.kids.values())

    def _supervised(self, kid: Kid) -> Supervised:
        cell = kid.cell
        return Supervised(
            kid.name,
            kid.spec.settings.kind.__qualname__,
            kid.spec.restart,
            None if cell is None else cell.phase,
            0 if cell is None else cell.incarnation,
            None if cell is None else self._overseer.ref_of(kid),
        )

    def child(self, spec: Child[N]) -> Ref[N]:
        """The ref of a child. It stays the same when the child is started again.

        Raises:
            ValueError: there is no such child at present.
        """
        kid = next((kid for kid in self._overseer.kids.values() if kid.spec.ref is cast(object, spec.ref)), None)
        if kid is None or kid.cell is None:
            known = ", ".join(repr(name) for name in self._overseer.kids) or "none"
            raise ValueError(f"{self.ref.path} has no child {spec.label!r} at present; it has {known}")
        return cast(Ref[N], self._overseer.ref_of(kid))

    async def start_child(self, spec: Child[N]) -> Ref[N]:
        """Start another child, to the right of those that there are. Gives the turn away.

        Raises:
            ChildNotStarted: it failed to start, and is forgotten.
            ChildRunning: the name is taken.
            ChildrenFull: there are `children_max` already.
        """
        overseer, cell = self._overseer, cell_of(self, "start_child")
        self._check_room()
        name = spec.name or next_name(cell, spec.settings.stem)
        if name in overseer.kids or name in (cell.children or ()):
            raise ChildRunning(f"{self.ref.path} knows a child {name!r} already; restart_child starts it again")
        self._check_spec(spec)
        return cast(Ref[N], await self._start(overseer.add(name, spec)))

    def _check_room(self) -> None:
        """Whether one more child may come."""

    def _check_spec(self, spec: Child[N]) -> None:
        """Whether such a child may come."""
        overseer = self._overseer
        path = self.ref.path
        _check_significant(path, spec, overseer.rules.auto_shutdown)
        _check_arguments(path, spec, (kid.spec for kid in overseer.kids.values()))

    async def _start(self, kid: Kid, *, is_known: bool = False) -> Ref[object]:
        try:
            return await self._overseer.start(kid)
        except ChildRunning:
            raise
        except Exception as error:
            if not is_known:
                self._overseer.forget(kid)
            raise ChildNotStarted(f"{self.ref.path}: child {kid.name!r} did not start: {told(error)}") from error
        except BaseException:
            self._overseer.undo(kid, forget=not is_known)
            raise

    async def terminate_child(self, child: Child[N] | Ref[N] | str) -> None:
        """Stop a child, which is not started again by itself, and wait for its end. Gives the turn away.

        It is still known, and `restart_child` starts it again, unless it is TEMPORARY or its supervisor is dynamic.

        Raises:
            NoSuchChild: it is not known.
        """
        kid = self._known(child)
        if kid.cell is None:
            self._overseer.call_off(kid)
            return
        kid.dismissed = True
        over = kid.cell.over()
        kid.cell.stop(f"its supervisor {self.ref.path} was asked to terminate it")
        await over

    async def restart_child(self, child: Child[N] | str) -> Ref[N]:
        """Start a child again that was terminated or has ended, in its old place among its siblings.

        It is a new actor with a new inbox: a ref to the one that was terminated stays dead. Gives the turn away.

        Raises:
            ChildNotStarted: it failed to start.
            ChildRunning: it has not ended.
            NoSuchChild: it is not known.
        """
        kid = self._known(child)
        self._check_down(kid, "cannot be started again")
        return cast(Ref[N], await self._start(kid, is_known=True))

    async def delete_child(self, child: Child[N] | str) -> None:
        """Forget a child that has ended.

        Raises:
            ChildRunning: it has not ended.
            NoSuchChild: it is not known.
        """
        kid = self._known(child)
        self._check_down(kid, "cannot be deleted")
        self._overseer.forget(kid)

    def _known(self, child: Child[N] | Ref[N] | str) -> Kid:
        kids = self._overseer.kids
        if isinstance(child, Child):
            kid = next((kid for kid in kids.values() if kid.spec.ref is cast(object, child.ref)), None)
            name = child.label
        else:
            name = child if isinstance(child, str) else child.path.rpartition("/")[2]
            kid = kids.get(name)
        if kid is None:
            known = ", ".join(repr(one) for one in kids) or "none"
            raise NoSuchChild(f"{self.ref.path} knows no child {name!r}; it knows {known}")
        return kid

    def _check_down(self, kid: Kid, what: str) -> None:
        if kid.cell is not None or kid.first is not None:
            phase = "starting" if kid.cell is None else kid.cell.phase.value
            raise ChildRunning(f"{self.ref.path}: child {kid.name!r} {what}, it is {phase}; terminate it first")

    # -- requests ------------------------------------------------------------------------------------------------

    @handler(StartChild)
    async def _on_start(self, request: StartChild) -> Ref[object]:
        if not isinstance(request.spec, Child):
            raise Refusal(f"{self.ref.path}: start_child takes what child(...) makes, got {shown(request.spec)}")
        spec = cast("Child[object]", request.spec)
        try:
            self._check_spec(spec)
        except ValueError as error:
            raise Refusal(str(error)) from error
        return await self.start_child(spec)

    @handler(TerminateChild)
    async def _on_terminate(self, request: TerminateChild) -> None:
        await self.terminate_child(request.name)

    @handler(RestartChild)
    async def _on_restart(self, request: RestartChild) -> Ref[object]:
        return await self.restart_child(request.name)

    @handler(DeleteChild)
    async def _on_delete(self, request: DeleteChild) -> None:
        await self.delete_child(request.name)


class Supervisor(_Supervising):
    """Starts its children from left to right, starts again what has ended, and stops them from right to left.

    `spawn(Supervisor, store, front)` takes the rules as they are below; for others it is a child itself:
    `spawn(child("kv", Supervisor, store, front, strategy=REST_FOR_ONE))`. The rules are OTP's:

    Args:
        children: what `child(...)` makes, each under a name of its own.
        strategy: which children are started again together: `ONE_FOR_ONE`, `ONE_FOR_ALL`, `REST_FOR_ONE`.
        restarts_max: how many restarts there may be within *window_s* seconds; at one more it stops its children and
            fails by `TooManyRestarts`, and whoever supervises it decides.
        window_s: that window, in seconds of the system's clock.
        backoff: how long to wait before a restart; None: not at all.
        auto_shutdown: whether it stops when significant children have ended by themselves.

    A restarted child keeps its ref, its inbox, its stash and its monitors. The messages in its handlers' hands have
    failed: asks get `ActorFailed`, tells are delivered again as often as `redeliver_max` of the class says. A failure
    that is handled so is a report: see `system.reports`.

    Raises:
        ValueError: a rule is none, a child is none, or two have one name; says which, and what is allowed.

    Examples:
        >>> import histrio, trio.testing
        >>> class Counter(histrio.Actor[str]):
        ...     def __init__(self) -> None:
        ...         self.count = 0
        ...     async def receive(self, message: str) -> None:
        ...         self.count += 1
        ...         print(message, self.count)
        ...         assert message != "fail"
        >>> async def main(system: histrio.System) -> None:
        ...     counter = histrio.child("counter", Counter)
        ...     supervisor = await system.spawn(histrio.Supervisor, counter)
        ...     for message in ("one", "fail", "after"):
        ...         await supervisor.child(counter).tell(message)
        ...     await trio.testing.wait_all_tasks_blocked()
        >>> histrio.run(main)
        one 1
        fail 2
        after 1
    """

    def __init__(
        self,
        *children: Child[Never],
        strategy: Strategy = ONE_FOR_ONE,
        restarts_max: int = bound("restarts_max"),
        window_s: float = 5.0,
        backoff: Backoff | None = None,
        auto_shutdown: AutoShutdown = NEVER,
    ) -> None:
        self._rules: Final = Rules(
            strategy=strategy,
            restarts_max=restarts_max,
            window_s=window_s,
            backoff=backoff,
            auto_shutdown=auto_shutdown,
        )
        what = type(self).__qualname__
        self._rules.check(what)
        self._specs: Final = children
        _check_children(what, children, auto_shutdown)

    async def started(self) -> None:
        """Start the children from left to right; if one fails, stop those before it in reverse, and fail."""
        cell = cell_of(self, "started")
        overseer = self._begin(self._rules)
        kids = [overseer.add(spec.name or next_name(cell, spec.settings.stem), spec) for spec in self._specs]
        for kid in kids:
            try:
                await overseer.start(kid)
            except ActorStopped:
                if overseer.is_stopping:
                    return  # it was stopped meanwhile; those that have started are stopped in order
                await overseer.roll_back()
                raise


class DynamicSupervisor(_Supervising):
    """Starts children on request, each for itself, and starts again what has ended.

    `dynamic = await system.spawn(DynamicSupervisor)`, then `ref = await dynamic.start_child(child(None, Worker, job))`.
    It has no children at first, knows them while they live, and starts them again one for one. Its children have no
    order; they are stopped from the latest to the first.

    Args:
        children_max: how many there may be at once; at the bound `start_child` fails with `ChildrenFull`.
        restarts_max: as `Supervisor`, counted over all children.
        window_s: as `Supervisor`.
        backoff: as `Supervisor`.

    Raises:
        ValueError: a rule is none; says which, and what is allowed.
    """

    def __init__(
        self,
        *,
        children_max: int | None = None,
        restarts_max: int = bound("restarts_max"),
        window_s: float = 5.0,
        backoff: Backoff | None = None,
    ) -> None:
        self._rules: Final = Rules(
            strategy=ONE_FOR_ONE,
            restarts_max=restarts_max,
            window_s=window_s,
            backoff=backoff,
            auto_shutdown=NEVER,
            children_max=children_max,
            forgets=True,
        )
        self._rules.check(type(self).__qualname__)

    async def started(self) -> None:
        """It begins without children."""
        self._begin(self._rules)

    def _check_room(self) -> None:
        most = self._rules.children_max
        if most is not None and len(self._overseer.kids) >= most:
            raise ChildrenFull(
                f"{self.ref.path} has {len(self._overseer.kids)} children, and children_max is {most}; nothing was started"
            )


def _check_children(what: str, children: Sequence[Child[Never]], auto_shutdown: AutoShutdown) -> None:
    """Refuse children that cannot be."""
    names: set[str] = set()
    for index, spec in enumerate(children):
        if not isinstance(cast(object, spec), Child):
            raise ValueError(  # noqa: TRY004 - all that is wrong with a spec is a ValueError
                f"{what}: child {index} is {spec!r}; allowed: what child(name, cls, ...) makes"
            )
        if spec.name is not None and spec.name in names:
            raise ValueError(f"{what}: two children are called {spec.name!r}; the names of siblings differ")
        names.add(spec.name or "")
        _check_significant(what, spec, auto_shutdown)
        _check_arguments(what, spec, children[:index])


def _check_significant(what: str, spec: Child[Never], auto_shutdown: AutoShutdown) -> None:
    if spec.significant and auto_shutdown is NEVER:
        raise ValueError(
            f"{what}: child {spec.label!r} is significant, and auto_shutdown is NEVER, so that would mean nothing;"
            " allowed with it: ANY_SIGNIFICANT, ALL_SIGNIFICANT"
        )


def _check_arguments(what: str, spec: Child[Never], before: Iterable[Child[Never]]) -> None:
    """An argument that stands for the ref of a sibling needs that sibling to stand before it."""
    refs = spec.sibling_refs
    known = {id(one.ref) for one in before} if refs else set[int]()  # most have none, and siblings may be very many
    for ref in refs:
        if id(ref) not in known:
            raise ValueError(
                f"{what}: child {spec.label!r} is given the ref of {ref.path!r}, which is no child before it; give the"
                " supervisor that child first, from the left, and its very spec"
            )
