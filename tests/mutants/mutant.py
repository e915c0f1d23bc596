"""A wrong change that some test must notice."""

import attrs

__all__ = ["Mutant"]


@attrs.frozen
class Mutant:
    """One wrong change: in which file, what stands there, what instead, why that is wrong, who sees it."""

    name: str
    file: str
    old: str
    new: str
    why: str
    killed_by: str
