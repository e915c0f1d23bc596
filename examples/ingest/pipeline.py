"""The tree: what is started in which order, and what is started again when it ends."""

# Design note
# -----------
# ONE_FOR_ONE everywhere, although workers need the sink and the listener needs the workers: a ref and an inbox survive
# a restart, so nobody has to be started again because somebody else was. Order still matters for the end: the listener
# stops first, then connections, then the workers finish what they have, and the sink lives until the last of them.

from examples.ingest.listener import Listen, Listener
from examples.ingest.metrics import Metrics
from examples.ingest.sink import Sink, Write
from examples.ingest.worker import Worker
from histrio import Backoff, Child, ChildRequest, DynamicSupervisor, Supervisor, child

BACKOFF = Backoff(first_s=0.05, factor=2, max_s=1, jitter=0.5, reset_s=5)


def pipeline(listen: Listen, write: Write, *, workers: int = 4, restarts_max: int = 200) -> Child[ChildRequest]:
    """The whole pipeline, as the child of a system or of a supervisor."""
    metrics = child("metrics", Metrics)
    sink = child("sink", Sink, write)
    crew = [child(f"worker{number}", Worker, sink.ref, metrics.ref) for number in range(1, workers + 1)]
    connections = child("connections", DynamicSupervisor, children_max=100)
    listener = child("listener", Listener, listen, connections.ref)
    return child(
        "ingest",
        Supervisor,
        metrics,
        sink,
        child("workers", Supervisor, *crew, restarts_max=restarts_max, backoff=BACKOFF),
        connections,
        listener,
        restarts_max=restarts_max,
        backoff=BACKOFF,
    )
