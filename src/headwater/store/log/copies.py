"""Lists every place outside ``records`` and ``changes`` that stores content of a record, and erases it there.

A table that can hold content of a record is named here. ``tests/unit/store/log/test_copies.py`` compares this list
with every column of the schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.store.database import Transaction

ERASED = b""
"""The content of a stored answer whose record was deleted: the request must not run again, and shows nothing."""


class Copy(NamedTuple):
    """A table with content of records: the columns that contain it, and the statement that erases it.

    ``erase`` has the placeholders of ``given`` and then those of a record: feed, kind and id; without ``by_kind`` only
    feed and id. ``kinds`` limits a copy to some kinds of record; empty means every kind. Where the table's key does not
    begin with the record, ``keys`` finds the keys of the rows to erase, and takes the place of the record's id: SQLite
    would read every row of the feed for them.
    """

    table: str
    columns: tuple[str, ...]
    erase: str
    given: tuple[bytes, ...] = ()
    kinds: tuple[str, ...] = ()
    by_kind: bool = True
    keys: str = ""


COPIES = (
    Copy(
        "record_conflicts",
        ("record_id", "device_id", "fields"),
        "DELETE FROM record_conflicts WHERE feed = ? AND kind = ? AND record_id = ?",
    ),
    Copy(
        "answers",
        ("answer",),
        "UPDATE answers SET answer = ? WHERE record_feed = ? AND record_kind = ? AND record_id = ?",
        given=(ERASED,),
    ),
    Copy(
        "contact_keys",
        ("uid", "contact_id", "extra"),
        "DELETE FROM contact_keys WHERE feed = ? AND uid = ?",
        kinds=("contact",),
        by_kind=False,
        keys="SELECT uid FROM contact_keys WHERE feed = ? AND contact_id",
    ),
    Copy(
        "affiliations",
        ("contact_id", "chapter_id"),
        "DELETE FROM affiliations WHERE feed = ? AND contact_id = ?",
        kinds=("contact",),
        by_kind=False,
    ),
)
"""Every copy. The rows of ``records`` and ``changes`` themselves are replaced by a tombstone in ``records.py``."""

CONTENT_TABLES = ("changes", "records", *(copy.table for copy in COPIES))
"""Every table with content of records."""

_UNNAMED = (
    "UPDATE answers SET answer = ?, record_feed = NULL, record_kind = NULL, record_id = NULL"
    " WHERE record_feed = 0 AND record_kind = '' AND record_id = ''"
)
"""Leaves the answers that it erases unnamed, so that the next deletion does not write all of them again."""


def erase(tx: Transaction, feed: int, kind: str, ids: Sequence[str]) -> None:
    """Erases every copy of the content of deleted records, and has their traces removed from the database's files."""
    for copy in COPIES:
        if copy.kinds and kind not in copy.kinds:
            continue
        named = (feed, kind) if copy.by_kind else (feed,)
        last = [row[0] for row in tx.rows_in(copy.keys, ids, feed)] if copy.keys else ids
        if last:
            tx.run_many(copy.erase, [(*copy.given, *named, id) for id in last])
    # Answers of before answers named their record.
    tx.put(_UNNAMED, ERASED)
    tx.erased = True
