"""The service as a tree of actors: what is started in which order, and what is started again when something fails."""

# Design note
# -----------
#     kv           Supervisor  one for one: HTTP stays up while the data comes back
#     ├─ data      Supervisor  rest for one, see there
#     │  ├─ log    LogFile     owns the file
#     │  └─ store  Store       keeps what the log holds in memory
#     └─ front     Front       serves HTTP
#
# Whoever stands to the right needs who stands to the left. All start from left to right, so nobody listens before the
# data is there; and stop from right to left: HTTP takes no more requests and finishes those that it has, then the store
# ends, then the log.
#
# Why not log, store and front under one REST_FOR_ONE: each failure of the store would end the front as well, and break
# the connection of every client, for a store that is back in a moment. Left of them the front would be safe from that,
# but it would stop last, after the store that its requests need. So the data is supervised by itself, and the front
# finds the store by its key, answers 503 while it does not run, and need not know whether it is the old one.
#
# When `data` has used up its budget, `kv` makes all of it anew, inboxes included; but only once in a minute. The second
# time it gives up, too, and the service ends with an error that tells all reasons.

from __future__ import annotations

from typing import Final

import histrio
from examples.kv_service.data import SupervisorSpec, kept_in
from examples.kv_service.front import Front
from examples.kv_service.pages import store_app
from examples.kv_service.place import Place

__all__ = ("FRONT", "served_at")

FRONT: Final = "/kv/front"


def served_at(place: Place) -> SupervisorSpec:
    """The whole service, at *place*."""
    front = histrio.child("front", Front, store_app, place.listener)
    return histrio.child("kv", histrio.Supervisor, kept_in(place.log), front, restarts_max=1, window_s=60)
