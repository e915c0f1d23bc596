"""What waits for an actor's end give, what controls it, and what an actor may put by or become: for type checkers only."""

from typing import assert_type

import histrio


class Write:
    pass


class Read(histrio.Request[int]):
    pass


class Store(histrio.Actor[Write | Read]):
    async def receive(self, message: Write | Read) -> object:
        """S5: any result will do; what is put by, and what messages are handled by, is typed as the actor is."""
        self.stash(message)
        self.stash(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert_type(self.unstash(), int)
        self.become(self.closed)
        self.become(None)
        self.become(self.reading)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.become(self.at_once)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        self.finish("a result")
        return None

    async def closed(self, message: Write | Read) -> None: ...
    async def reading(self, message: Read) -> int:
        return 0

    def at_once(self, message: Write | Read) -> None: ...


async def waits_for_the_end(ref: histrio.Ref[Read]) -> None:
    """S5: without a kind a result is an object, with one it is of that kind; a monitor gives a `Down`, a watch phases."""
    assert_type(await ref.join(), object)
    assert_type(await ref.join(int), int)
    await ref.join(3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    assert_type(ref.monitor(), histrio.Future[histrio.Down])
    assert_type(ref.watch(latest=True), histrio.Feed[histrio.Phase])
    async for phase in ref.watch():
        assert_type(phase, histrio.Phase)


def controls(ref: histrio.Ref[Read]) -> None:
    """S6: what asks for something gives a future, to be awaited or not; what asks about it gives the answer."""
    control = ref.control
    assert_type(control.pause(), histrio.Future[None])
    assert_type(control.step(3), histrio.Future[None])
    assert_type(control.stop(grace_s=1), histrio.Future[histrio.Phase])
    assert_type(control.kill("why"), histrio.Future[histrio.Phase])
    assert_type((control.is_done, control.is_paused, control.status()), tuple[bool, bool, histrio.Phase])
    control.stop("why")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    control.step("3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
