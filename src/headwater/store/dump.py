"""Reads all rows of all tables in key order from one snapshot and writes them back, on either database.

Both databases give the same rows, so that a dump of one can be loaded into the other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from headwater.base.errors import HeadwaterError
from headwater.store.database import Row, Transaction
from headwater.store.migrate import steps

PAGE_ROWS = 5_000
"""Number of rows that are read, packed and written at a time."""

_CREATE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
_SQLITE_COLUMNS = "SELECT name, pk FROM pragma_table_info(?) ORDER BY cid"
_POSTGRES_COLUMNS = (
    "SELECT c.column_name, coalesce(k.ordinal_position, 0)"
    " FROM information_schema.columns c"
    " LEFT JOIN information_schema.table_constraints p ON p.table_schema = c.table_schema"
    " AND p.table_name = c.table_name AND p.constraint_type = 'PRIMARY KEY'"
    " LEFT JOIN information_schema.key_column_usage k ON k.constraint_name = p.constraint_name"
    " AND k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name"
    " WHERE c.table_schema = current_schema() AND c.table_name = ? ORDER BY c.ordinal_position"
)
_DECODER = msgspec.msgpack.Decoder(list[tuple[Any, ...]])


class Table(NamedTuple):
    """A table: its name, its columns, and the columns of its primary key, in order."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


def names(of_steps: Collection[str]) -> list[str]:
    """Returns the tables that the given schema steps create, in the order of their creation."""
    found = [table for name, text in steps() if name in of_steps for table in _CREATE.findall(text)]
    return list(dict.fromkeys(found))


def describe(tx: Transaction, name: str, *, embedded: bool) -> Table:
    """Returns a table as this database defines it now. Raises: HeadwaterError (missing, or without a primary key)."""
    columns = tx.rows(_SQLITE_COLUMNS if embedded else _POSTGRES_COLUMNS, name)
    key = sorted((place, column) for column, place in columns if place)
    if not key:
        raise HeadwaterError(f"the table {name} is missing, or has no primary key")
    return Table(name, tuple(column for column, _ in columns), tuple(column for _, column in key))


def count(tx: Transaction, name: str) -> int:
    """Returns the number of rows of a table."""
    return int(tx.value(f"SELECT count(*) FROM {name}"))


def pages(tx: Transaction, table: Table, page_rows: int = PAGE_ROWS) -> Iterator[list[Row]]:
    """Yields every row in the order of the primary key, in pages."""
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    places = [table.columns.index(column) for column in table.key]
    marks = ", ".join("?" * len(table.key))
    last: Sequence[Any] = ()
    while True:
        after = f" WHERE ({key}) > ({marks})" if last else ""
        rows = tx.rows(f"SELECT {columns} FROM {table.name}{after} ORDER BY {key} LIMIT ?", *last, page_rows)
        if rows:
            yield rows
        if len(rows) < page_rows:
            return
        last = [rows[-1][place] for place in places]


def pack(rows: Sequence[Row]) -> bytes:
    """Returns rows as MessagePack: a list of lists of integers, texts, bytes and nulls."""
    return msgspec.msgpack.encode(rows)


def unpack(content: bytes) -> list[Row]:
    """Returns the rows of packed bytes. Raises: HeadwaterError (not packed rows)."""
    try:
        return _DECODER.decode(content)
    except msgspec.MsgspecError as failure:
        raise HeadwaterError(f"packed rows cannot be read: {failure}") from None


def insert(tx: Transaction, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Inserts rows whose keys the table does not contain yet."""
    marks = ", ".join("?" * len(columns))
    tx.run_many(f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({marks})", rows)


def clear(tx: Transaction, name: str) -> None:
    """Deletes every row of a table."""
    tx.run(f"DELETE FROM {name}")
