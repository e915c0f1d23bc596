"""A worker prepares a line and sees to it that it is stored."""

import histrio
from examples.ingest.messages import WORKERS, Counted, Line, Store


class Worker(histrio.Actor[Line]):
    """A line in its hand when it is killed is delivered again to the next incarnation, five times at most."""

    redeliver_max = 5
    in_flight_max = 8
    inbox_max = 20  # what is accepted and not begun: dead letters, if all workers are replaced

    def __init__(self, sink: histrio.Ref[Store], metrics: histrio.Ref[Counted]) -> None:
        self.sink = sink
        self.metrics = metrics

    async def started(self) -> None:
        self.system.registry.register(WORKERS, self.ref)  # it stays there over restarts

    @histrio.handler(Line)
    async def prepare(self, m: Line) -> None:
        record = " ".join(m.text.split()).lower()
        while not await self.is_stored(Store(m.number, record)):
            self.metrics.tell_nowait(Counted("asked again"))
            await self.io.clock.sleep(0.1)
        self.metrics.tell_nowait(Counted("stored"))

    async def is_stored(self, store: Store) -> bool:
        try:
            await self.sink.ask(store)
        except histrio.ActorFailed:
            return False  # it failed with this in hand, and is started again; storing twice does no harm
        return True
