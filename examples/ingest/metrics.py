"""Metrics are worth having and never worth waiting for: when there are too many, the oldest are dropped."""

import histrio
from examples.ingest.messages import Counted, Counts


class Metrics(histrio.Actor[Counted | Counts]):
    """Counts since it was last started."""

    overflow = histrio.DROP_OLD

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    @histrio.handler(Counted)
    async def count(self, m: Counted) -> None:
        self.counts[m.what] = self.counts.get(m.what, 0) + 1

    @histrio.handler(Counts)
    async def tell(self, m: Counts) -> dict[str, int]:
        return dict(self.counts)
