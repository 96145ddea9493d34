"""The only writer of synced records: a row and its change, or its tombstone, in the caller's transaction.

A record's content is stored once, as the body inside its change; the row says where that change stands.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from headwater.base.wire import encode
from headwater.store.database import Database, Row, Transaction
from headwater.store.log import changes

_COLUMNS = "id, number, revision, position, deleted, parent, created_us, updated_us, fields"
_INSERT = (
    "INSERT INTO records (feed, kind, id, number, revision, position, deleted, parent, search, created_us,"
    " updated_us, fields) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)"
)
_UPSERT = _INSERT + (
    " ON CONFLICT (feed, kind, id) DO UPDATE SET number = excluded.number, revision = excluded.revision,"
    " position = excluded.position, deleted = 0, parent = excluded.parent, search = excluded.search,"
    " created_us = excluded.created_us, updated_us = excluded.updated_us, fields = excluded.fields"
)
_UPDATE = (
    "UPDATE records SET revision = ?, position = ?, parent = ?, search = ?, updated_us = ?, fields = ?"
    " WHERE feed = ? AND kind = ? AND id = ?"
)
_MOVE = "UPDATE records SET revision = ?, position = ?, fields = ? WHERE feed = ? AND kind = ? AND id = ?"
_BURY = (
    "UPDATE records SET revision = ?, position = ?, deleted = 1, parent = NULL, search = '', updated_us = ?,"
    " fields = NULL WHERE feed = ? AND kind = ? AND id = ?"
)
_BODY = (
    "SELECT r.revision, c.wire FROM records r JOIN changes c ON c.feed = r.feed AND c.position = r.position"
    " WHERE r.feed = ? AND r.kind = ? AND r.id = ? AND r.deleted = 0"
)
_FAMILIES = {"cached_contact": "contact"}


class Record(NamedTuple):
    """A record's row; times in microseconds UTC since 1970."""

    id: str
    number: int
    revision: int
    position: int
    deleted: int
    parent: str | None
    created_us: int
    updated_us: int
    fields: str | None


class Draft(NamedTuple):
    """What a rule wants written: the body is the record's JSON, ``search`` its folded terms (see ``search_text``)."""

    id: str
    body: bytes
    search: str
    parent: str | None
    created_us: int
    updated_us: int


def family(kind: str) -> str:
    """The kinds that share one sequence of integers: cached contacts are contacts to a sell device."""
    return _FAMILIES.get(kind, kind)


def search_text(terms: Collection[str]) -> str:
    """The search column of folded terms: a line feed before each, so that a prefix is a line feed + what is typed."""
    return "".join("\n" + term for term in dict.fromkeys(terms) if term)


def find(tx: Transaction, feed: int, kind: str, id: str) -> Record | None:
    """The row of a record, also when only its tombstone is left; None when it never was."""
    row = tx.row(f"SELECT {_COLUMNS} FROM records WHERE feed = ? AND kind = ? AND id = ?", feed, kind, id)
    return None if row is None else Record(*row)


def find_many(tx: Transaction, feed: int, kind: str, ids: Sequence[str]) -> dict[str, Record]:
    """The rows of those ids that exist or existed."""
    found: dict[str, Record] = {}
    # A first import finds nothing at all; one look spares it the look-up of each id.
    if tx.row("SELECT 1 FROM records WHERE feed = ? AND kind = ? LIMIT 1", feed, kind) is None:
        return found
    for start in range(0, len(ids), 5_000):
        part = ids[start : start + 5_000]
        sql = f"SELECT {_COLUMNS} FROM records WHERE feed = ? AND kind = ? AND id"
        for row in tx.rows_in(sql, part, feed, kind):
            found[row[0]] = Record(*row)
    return found


def body(tx: Transaction, feed: int, kind: str, id: str) -> tuple[int, bytes] | None:
    """The revision and JSON of a live record, or None."""
    return _body(tx.row(_BODY, feed, kind, id))


def bodies_of(tx: Transaction, feed: int, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
    """The JSON of those of these records that live."""
    sql = (
        "SELECT r.id, c.wire FROM records r JOIN changes c ON c.feed = r.feed AND c.position = r.position"
        " WHERE r.feed = ? AND r.kind = ? AND r.deleted = 0 AND r.id"
    )
    return {row[0]: changes.body_of(bytes(row[1])) for row in tx.rows_in(sql, ids, feed, kind)}


def glance_body(database: Database, feed: int, kind: str, id: str) -> tuple[int, bytes] | None:
    """As ``body``, in one look outside any transaction; only where the database is embedded."""
    return _body(database.glance(_BODY, feed, kind, id))


def _body(row: Row | None) -> tuple[int, bytes] | None:
    return None if row is None else (row[0], changes.body_of(bytes(row[1])))


def bodies(rows: Sequence[Row]) -> bytes:
    """The JSON bodies of rows whose first column is a wire, joined with commas."""
    return b",".join([changes.body_of(row[0]) for row in rows])


def live_count(tx: Transaction, feed: int, kind: str) -> int:
    """How many records of a kind live in a feed."""
    return tx.counter(feed, "live:" + kind)


def live_everywhere(tx: Transaction, kind: str) -> int:
    """How many records of a kind live in all feeds together."""
    return int(tx.value("SELECT coalesce(sum(value), 0) FROM counters WHERE name = ?", "live:" + kind))


def create(tx: Transaction, feed: int, kind: str, draft: Draft, previous: Record | None = None) -> Record:
    """Write a new record and its change. ``previous`` is the row of a deleted one with the same id.

    It takes a new number, so that nothing a device knows of the deleted one can hide it.
    """
    number = tx.bump(feed, "number:" + family(kind))
    tx.bump(feed, "live:" + kind)
    position = changes.next_position(tx, feed)
    revision = previous.revision + 1 if previous else 1
    wire = changes.put_wire(position, kind, draft.id, revision, tx.now_us, draft.body)
    changes.append(tx, feed, (position, kind, draft.id, number, 0, tx.now_us, wire))
    tx.put(
        _UPSERT if previous else _INSERT,
        feed, kind, draft.id, number, revision, position, draft.parent, draft.search, draft.created_us,
        draft.updated_us, None,
    )  # fmt: skip
    return Record(draft.id, number, revision, position, 0, draft.parent, draft.created_us, draft.updated_us, None)


def replace(tx: Transaction, feed: int, kind: str, current: Record, draft: Draft, changed: Collection[str]) -> Record:
    """Write a record's new content and its change in place of the older one; ``changed`` names the fields."""
    position = changes.next_position(tx, feed)
    revision = current.revision + 1
    fields = _fields_after(current, changed, revision)
    wire = changes.put_wire(position, kind, draft.id, revision, tx.now_us, draft.body)
    changes.forget(tx, feed, [current.position])
    changes.append(tx, feed, (position, kind, draft.id, current.number, 0, tx.now_us, wire))
    tx.put(
        _UPDATE,
        revision,
        position,
        draft.parent,
        draft.search,
        draft.updated_us,
        fields,
        feed,
        kind,
        draft.id,
    )
    return current._replace(
        revision=revision, position=position, parent=draft.parent, updated_us=draft.updated_us, fields=fields
    )


def field_revisions(record: Record) -> dict[str, int]:
    """At which revision each field last changed; ``*`` stands for the fields that are not named."""
    if record.fields is None:
        return {"*": record.revision}
    revisions: dict[str, int] = msgspec.json.decode(record.fields)
    return revisions


def _fields_after(record: Record, changed: Collection[str], revision: int) -> str:
    return encode(field_revisions(record) | dict.fromkeys(changed, revision)).decode()


def put_many(
    tx: Transaction,
    feed: int,
    kind: str,
    drafts: Sequence[Draft],
    current: Mapping[str, Record],
    changed: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> tuple[int, int]:
    """Write many records, each id once; ``current`` holds the rows of those that exist. (inserted, updated).

    ``changed`` names the fields that a record's new content changes; without a name there, all of them.
    """
    if not drafts:
        return 0, 0
    at_us, count = tx.now_us, len(drafts)
    new = [draft for draft in drafts if (row := current.get(draft.id)) is None or row.deleted]
    number = tx.bump(feed, "number:" + family(kind), len(new)) - len(new)
    position = changes.next_position(tx, feed, count) - 1
    log: list[Row] = []
    rows: list[Row] = []
    stale: list[int] = []
    for draft in drafts:
        position += 1
        row, fields = current.get(draft.id), None
        if row is None or row.deleted:
            number += 1
            mine, revision = number, row.revision + 1 if row else 1
        else:
            stale.append(row.position)
            mine, revision = row.number, row.revision + 1
            if draft.id in changed:
                fields = _fields_after(row, changed[draft.id], revision)
        wire = changes.put_wire(position, kind, draft.id, revision, at_us, draft.body)
        log.append((feed, position, kind, draft.id, mine, 0, at_us, wire))
        rows.append(
            (feed, kind, draft.id, mine, revision, position, draft.parent, draft.search, draft.created_us,
             draft.updated_us, fields)
        )  # fmt: skip
    if stale:
        changes.forget(tx, feed, stale)
    tx.run_many(changes.INSERT, log)
    tx.run_many(_UPSERT if current else _INSERT, rows)
    if new:
        tx.bump(feed, "live:" + kind, len(new))
    return len(new), count - len(new)


def resend(tx: Transaction, feed: int, kind: str, live: Sequence[tuple[Record, bytes]]) -> None:
    """Put live records and their bodies into the feed again as they are, each once: no field of them has changed."""
    if not live:
        return
    first = changes.next_position(tx, feed, len(live))
    log: list[Row] = []
    rows: list[Row] = []
    for position, (record, content) in enumerate(live, first):
        revision = record.revision + 1
        wire = changes.put_wire(position, kind, record.id, revision, tx.now_us, content)
        log.append((feed, position, kind, record.id, record.number, 0, tx.now_us, wire))
        fields = _fields_after(record, (), revision)
        rows.append((revision, position, fields, feed, kind, record.id))
    changes.forget(tx, feed, [record.position for record, _ in live])
    tx.run_many(changes.INSERT, log)
    tx.run_many(_MOVE, rows)


def delete(tx: Transaction, feed: int, kind: str, current: Record) -> Record:
    """Leave only a tombstone of a live record."""
    return delete_many(tx, feed, kind, [current])[0]


def delete_many(tx: Transaction, feed: int, kind: str, records: Sequence[Record]) -> list[Record]:
    """Leave only tombstones of these live records, each id once."""
    if not records:
        return []
    position = changes.next_position(tx, feed, len(records))
    tx.bump(feed, "live:" + kind, -len(records))
    buried = [
        record._replace(revision=record.revision + 1, position=position + i, deleted=1, updated_us=tx.now_us)
        for i, record in enumerate(records)
    ]
    changes.forget(tx, feed, [record.position for record in records])
    tx.run_many(
        changes.INSERT,
        [
            (feed, r.position, kind, r.id, r.number, 1, tx.now_us,
             changes.delete_wire(r.position, kind, r.id, r.revision, tx.now_us))
            for r in buried
        ],
    )  # fmt: skip
    # The values that conflicts kept are the record's content too, and go with it.
    tx.run_many(
        "DELETE FROM record_conflicts WHERE feed = ? AND kind = ? AND record_id = ?",
        [(feed, kind, r.id) for r in buried],
    )
    tx.run_many(_BURY, [(r.revision, r.position, tx.now_us, feed, kind, r.id) for r in buried])
    return buried


class Tomb(NamedTuple):
    """A deleted record whose tombstone is gone from the log."""

    kind: str
    id: str
    number: int


def bury_again(tx: Transaction, feed: int, tombs: Sequence[Tomb]) -> None:
    """Append tombstones anew, for a device that was away while compaction dropped them."""
    position = changes.next_position(tx, feed, len(tombs))
    rows: list[Row] = []
    for offset, tomb in enumerate(tombs):
        row = find(tx, feed, tomb.kind, tomb.id)
        revision = row.revision if row and row.number == tomb.number else 1
        wire = changes.delete_wire(position + offset, tomb.kind, tomb.id, revision, tx.now_us)
        rows.append((feed, position + offset, tomb.kind, tomb.id, tomb.number, 1, tx.now_us, wire))
    tx.run_many(changes.INSERT, rows)
    tx.run_many(
        "UPDATE records SET position = ? WHERE feed = ? AND kind = ? AND id = ? AND number = ? AND deleted = 1",
        [(row[1], feed, row[2], row[3], row[4]) for row in rows],
    )
