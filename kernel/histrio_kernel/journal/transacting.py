"""A transactional effect has a connection of its own kind: it may change the program's tables, and nothing of the journal.

It cannot end the transaction that it is part of, so what it did is stored with its record or not at all.
"""

# Design note
# -----------
# `COMMIT` in an effect would store half of a batch, and what others of its group did. So SQLite itself is asked to refuse
# it (`set_authorizer`), whichever way it comes: as SQL, from `connection.commit()`, or at the end of `with connection`.

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from histrio_kernel.journal.schema import OUR_TABLES

__all__ = ["call_effect"]

_REFUSED: Final = frozenset(
    {sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT, sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
)
_READS: Final = frozenset({sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT})
_PRAGMAS: Final = frozenset({"table_info", "table_xinfo", "table_list", "index_list", "index_info"})


def call_effect(connection: sqlite3.Connection, call: Callable[[sqlite3.Connection], bytes]) -> bytes:
    """What `call` returns for this connection, which is as before afterwards, but for what was written."""
    rows, text = connection.row_factory, connection.text_factory
    connection.set_authorizer(_authorize)
    try:
        return call(connection)
    finally:
        connection.set_authorizer(None)
        connection.row_factory, connection.text_factory = rows, text


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    if action in _REFUSED or (action == sqlite3.SQLITE_PRAGMA and first not in _PRAGMAS):
        return sqlite3.SQLITE_DENY
    if action not in _READS and action != sqlite3.SQLITE_PRAGMA and not OUR_TABLES.isdisjoint({first, second}):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
