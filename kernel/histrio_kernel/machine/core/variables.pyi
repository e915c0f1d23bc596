# Type variables with defaults, which Python itself has from 3.13 on, and which every checker finds in
# typing_extensions without its being installed. So `Transition` and `Machine` need no brackets.

from collections.abc import Hashable

from typing_extensions import TypeVar

__all__ = ["A_co", "K"]

A_co = TypeVar("A_co", covariant=True, default=object)
K = TypeVar("K", bound=Hashable, default=Hashable)
