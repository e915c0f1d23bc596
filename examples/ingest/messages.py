"""What the parts of the pipeline say to each other."""

import attrs

import histrio


@attrs.frozen
class Line:
    """One line of a client, under the number that the client gave it."""

    number: int
    text: str


@attrs.frozen
class Store(histrio.Request[None]):
    """Store this; the answer comes when it is safe."""

    number: int
    record: str


@attrs.frozen
class Counted:
    """Something has happened that is worth counting."""

    what: str


@attrs.frozen
class Counts(histrio.Request[dict[str, int]]):
    """How often has what happened?"""


WORKERS: histrio.Key[Line] = histrio.Key("workers")
"""Under this key the workers are registered, for whoever has a line."""
