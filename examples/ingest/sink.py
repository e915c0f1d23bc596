"""Where lines are stored. It fails now and then, is started again, and whoever waits for its answer asks again."""

from collections.abc import Awaitable, Callable

import histrio
from examples.ingest.messages import Store

Write = Callable[[int, str], Awaitable[None]]
"""Makes one record safe. Raises `OSError` when it could not; then the record may be there or not."""


class Sink(histrio.Actor[Store]):
    """An error of `write` is not handled here: the actor fails, and begins anew with all that belongs to it.

    What waits in its inbox waits on; what it had in hand is answered with `ActorFailed`.
    """

    in_flight_max = 16

    def __init__(self, write: Write) -> None:
        self.write = write

    @histrio.handler(Store)
    async def store(self, m: Store) -> None:
        await self.io(self.write, m.number, m.record)
