"""Classes that a test makes as it runs, for what a class statement cannot be a parameter of."""

import types
from typing import Any, cast

import histrio


def new_actor(*bases: Any, **body: object) -> type[histrio.Actor[Any]]:
    """A class `Made` with these bases and this body; it stands in this module unless the body says another."""

    def fill(namespace: dict[str, object]) -> None:
        namespace.update({"__module__": __name__, **body})

    return cast("type[histrio.Actor[Any]]", types.new_class("Made", bases, exec_body=fill))
