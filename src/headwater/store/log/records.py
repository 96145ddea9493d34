"""Writes synced records: a row and its change, or its tombstone, in the caller's transaction.

A record's content is stored once, as the body inside its change; the row contains the position of that change.
A revision is the position of the change that made it, so that it is never given out again: not after a deletion or a
compaction, and not after a restore. No other module writes records.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from headwater.base.wire import encode
from headwater.store.database import Database, Row, Transaction
from headwater.store.log import changes, copies

COLUMNS = "id, number, revision, position, deleted, parent, created_us, updated_us, fields, born"
"""The columns of a ``Record``, in its order."""

_INSERT = (
    "INSERT INTO records (feed, kind, id, number, revision, position, deleted, parent, search, created_us,"
    " updated_us, fields, born) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)"
)
_LIVE_BY_PARENT = (
    f"SELECT {', '.join('r.' + column for column in COLUMNS.split(', '))}, c.wire FROM records r"
    " JOIN changes c ON c.feed = r.feed AND c.position = r.position"
    # The comparison is always true; without it SQLite reads every record of the kind in place of the index.
    " WHERE r.feed = ? AND r.kind = ? AND r.deleted = 0 AND r.parent > '' AND r.parent"
)
_PARENT = COLUMNS.split(", ").index("parent")
_UPSERT = _INSERT + (
    " ON CONFLICT (feed, kind, id) DO UPDATE SET number = excluded.number, revision = excluded.revision,"
    " position = excluded.position, deleted = 0, parent = excluded.parent, search = excluded.search,"
    " created_us = excluded.created_us, updated_us = excluded.updated_us, fields = excluded.fields,"
    " born = excluded.born"
)
_UPDATE = (
    "UPDATE records SET revision = ?, position = ?, parent = ?, search = ?, updated_us = ?, fields = ?"
    " WHERE feed = ? AND kind = ? AND id = ?"
)
_UPDATE_POSITION = "UPDATE records SET revision = ?, position = ?, fields = ? WHERE feed = ? AND kind = ? AND id = ?"
_MARK_DELETED = (
    "UPDATE records SET revision = ?, position = ?, deleted = 1, parent = NULL, search = '', updated_us = ?,"
    " fields = NULL WHERE feed = ? AND kind = ? AND id = ?"
)
_BODY = (
    "SELECT r.revision, c.wire FROM records r JOIN changes c ON c.feed = r.feed AND c.position = r.position"
    " WHERE r.feed = ? AND r.kind = ? AND r.id = ? AND r.deleted = 0"
)
_FAMILIES = {"cached_contact": "contact"}
_LINKED = {"contact": "note"}
"""By family: the kind of the records that belong to one of it (``parent``), and show its number to some devices."""

_LINKED_PAGE = 5_000


class Record(NamedTuple):
    """A record's row; times in microseconds UTC since 1970.

    ``born`` is the position at which its present life began; 0 for a row that an older version of the schema wrote.
    """

    id: str
    number: int
    revision: int
    position: int
    deleted: int
    parent: str | None
    created_us: int
    updated_us: int
    fields: str | None
    born: int


class Draft(NamedTuple):
    """A record to write: ``body`` is its JSON, ``search`` its folded terms (see ``search_text``)."""

    id: str
    body: bytes
    search: str
    parent: str | None
    created_us: int
    updated_us: int


def family(kind: str) -> str:
    """Returns the name of a kind's sequence of integers: cached contacts share that of contacts, for sell devices."""
    return _FAMILIES.get(kind, kind)


def search_text(terms: Collection[str]) -> str:
    """Returns the search column: a line feed before each folded term, so that a line feed + text finds prefixes."""
    return "".join("\n" + term for term in dict.fromkeys(terms) if term)


def find(tx: Transaction, feed: int, kind: str, id: str) -> Record | None:
    """Returns the row of a record, also of a deleted one; None when the record never existed."""
    row = tx.row(f"SELECT {COLUMNS} FROM records WHERE feed = ? AND kind = ? AND id = ?", feed, kind, id)
    return None if row is None else Record(*row)


def find_many(tx: Transaction, feed: int, kind: str, ids: Sequence[str]) -> dict[str, Record]:
    """Returns the rows of those ids that exist or existed."""
    found: dict[str, Record] = {}
    # In a first import no record exists; one query then replaces the look-up of each id.
    if tx.row("SELECT 1 FROM records WHERE feed = ? AND kind = ? LIMIT 1", feed, kind) is None:
        return found
    for start in range(0, len(ids), 5_000):
        part = ids[start : start + 5_000]
        sql = f"SELECT {COLUMNS} FROM records WHERE feed = ? AND kind = ? AND id"
        for row in tx.rows_in(sql, part, feed, kind):
            found[row[0]] = Record(*row)
    return found


def body(tx: Transaction, feed: int, kind: str, id: str) -> tuple[int, bytes] | None:
    """Returns the revision and JSON of a live record, or None."""
    return _body(tx.row(_BODY, feed, kind, id))


def bodies_of(tx: Transaction, feed: int, kind: str, ids: Sequence[str]) -> dict[str, bytes]:
    """Returns the JSON of those of the given records that are live, by id."""
    sql = (
        "SELECT r.id, c.wire FROM records r JOIN changes c ON c.feed = r.feed AND c.position = r.position"
        " WHERE r.feed = ? AND r.kind = ? AND r.deleted = 0 AND r.id"
    )
    return {row[0]: changes.body_of(bytes(row[1])) for row in tx.rows_in(sql, ids, feed, kind)}


def committed_body(database: Database, feed: int, kind: str, id: str) -> tuple[int, bytes] | None:
    """Returns the same as ``body`` from one query outside any transaction; only where the database is embedded."""
    return _body(database.committed_row(_BODY, feed, kind, id))


def _body(row: Row | None) -> tuple[int, bytes] | None:
    return None if row is None else (row[0], changes.body_of(bytes(row[1])))


def bodies(rows: Sequence[Row]) -> bytes:
    """Returns the JSON bodies, joined with commas, of rows whose first column contains wire bytes."""
    return b",".join([changes.body_of(row[0]) for row in rows])


def live_count(tx: Transaction, feed: int, kind: str) -> int:
    """Returns the number of live records of a kind in a feed."""
    return tx.counter(feed, "live:" + kind)


def live_everywhere(tx: Transaction, kind: str) -> int:
    """Returns the number of live records of a kind in all feeds together."""
    return int(tx.value("SELECT coalesce(sum(value), 0) FROM counters WHERE name = ?", "live:" + kind))


def create(tx: Transaction, feed: int, kind: str, draft: Draft, previous: Record | None = None) -> Record:
    """Writes a new record and its change. ``previous`` is the row of a deleted record with the same id.

    The record receives a new number, so that the state of the deleted record on a device cannot hide it.
    """
    number = tx.bump(feed, "number:" + family(kind))
    tx.bump(feed, "live:" + kind)
    position = changes.next_position(tx, feed)
    wire = changes.put_wire(position, kind, draft.id, position, tx.at_us, draft.body)
    changes.append(tx, feed, (position, kind, draft.id, number, 0, tx.now_us, wire))
    tx.put(
        _UPSERT if previous else _INSERT,
        feed, kind, draft.id, number, position, position, draft.parent, draft.search, draft.created_us,
        draft.updated_us, None, position,
    )  # fmt: skip
    _resend_linked(tx, feed, kind, [draft.id])
    return Record(
        draft.id, number, position, position, 0, draft.parent, draft.created_us, draft.updated_us, None, position
    )


def replace(tx: Transaction, feed: int, kind: str, current: Record, draft: Draft, changed: Collection[str]) -> Record:
    """Writes a record's new content, and its change in place of the older one; ``changed`` names the fields."""
    position = changes.next_position(tx, feed)
    fields = _fields_after(current, changed, position)
    wire = changes.put_wire(position, kind, draft.id, position, tx.at_us, draft.body)
    changes.forget(tx, feed, [current.position])
    changes.append(tx, feed, (position, kind, draft.id, current.number, 0, tx.now_us, wire))
    tx.put(
        _UPDATE,
        position,
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
        revision=position, position=position, parent=draft.parent, updated_us=draft.updated_us, fields=fields
    )


def field_revisions(record: Record) -> dict[str, int]:
    """Returns the revision in which each field last changed; ``*`` means all fields that are not named."""
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
    """Writes many records, each id once; returns the numbers of inserted and of updated records.

    ``current`` contains the rows of the records that exist. ``changed`` names, by id, the fields that the new
    content changes; a record that is missing there changes in all fields.
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
            mine, born = number, position
        else:
            stale.append(row.position)
            mine, born = row.number, row.born
            if draft.id in changed:
                fields = _fields_after(row, changed[draft.id], position)
        wire = changes.put_wire(position, kind, draft.id, position, tx.at_us, draft.body)
        log.append((feed, position, kind, draft.id, mine, 0, at_us, wire))
        rows.append(
            (feed, kind, draft.id, mine, position, position, draft.parent, draft.search, draft.created_us,
             draft.updated_us, fields, born)
        )  # fmt: skip
    if stale:
        changes.forget(tx, feed, stale)
    tx.run_many(changes.INSERT, log)
    tx.run_many(_UPSERT if current else _INSERT, rows)
    if new:
        tx.bump(feed, "live:" + kind, len(new))
        _resend_linked(tx, feed, kind, [draft.id for draft in new])
    return len(new), count - len(new)


def resend(tx: Transaction, feed: int, kind: str, live: Sequence[tuple[Record, bytes]]) -> None:
    """Appends changes of unchanged live records, each id once, so that every device receives the records again."""
    if not live:
        return
    first = changes.next_position(tx, feed, len(live))
    log: list[Row] = []
    rows: list[Row] = []
    for position, (record, content) in enumerate(live, first):
        wire = changes.put_wire(position, kind, record.id, position, tx.at_us, content)
        log.append((feed, position, kind, record.id, record.number, 0, tx.now_us, wire))
        fields = _fields_after(record, (), position)
        rows.append((position, position, fields, feed, kind, record.id))
    changes.forget(tx, feed, [record.position for record, _ in live])
    tx.run_many(changes.INSERT, log)
    tx.run_many(_UPDATE_POSITION, rows)


def delete(tx: Transaction, feed: int, kind: str, current: Record) -> Record:
    """Replaces a live record with its tombstone; returns the deleted row."""
    return delete_many(tx, feed, kind, [current])[0]


def delete_many(tx: Transaction, feed: int, kind: str, records: Sequence[Record]) -> list[Record]:
    """Replaces live records, each id once, with their tombstones; returns the deleted rows."""
    if not records:
        return []
    tx.frees_room()
    position = changes.next_position(tx, feed, len(records))
    tx.bump(feed, "live:" + kind, -len(records))
    deleted = [
        record._replace(
            revision=position + i, position=position + i, deleted=1, updated_us=max(tx.at_us, record.updated_us)
        )
        for i, record in enumerate(records)
    ]
    changes.forget(tx, feed, [record.position for record in records])
    tx.run_many(
        changes.INSERT,
        [
            (feed, r.position, kind, r.id, r.number, 1, tx.now_us,
             changes.delete_wire(r.position, kind, r.id, r.revision, tx.at_us))
            for r in deleted
        ],
    )  # fmt: skip
    copies.erase(tx, feed, kind, [r.id for r in deleted])
    tx.run_many(_MARK_DELETED, [(r.revision, r.position, r.updated_us, feed, kind, r.id) for r in deleted])
    _resend_linked(tx, feed, kind, [r.id for r in deleted])
    return deleted


def _resend_linked(tx: Transaction, feed: int, kind: str, ids: Sequence[str]) -> None:
    """Sends the records that belong to these ones again: the number that they show has come, changed or gone.

    Every creation and every deletion of every door passes here.
    """
    linked = _LINKED.get(family(kind))
    if linked is None or not live_count(tx, feed, linked):
        return
    for start in range(0, len(ids), _LINKED_PAGE):
        rows = tx.rows_in(_LIVE_BY_PARENT, ids[start : start + _LINKED_PAGE], feed, linked)
        unchanged = _shown_by_another(tx, feed, kind, [row[_PARENT] for row in rows])
        found = [(Record(*row[:-1]), changes.body_of(bytes(row[-1]))) for row in rows if row[_PARENT] not in unchanged]
        resend(tx, feed, linked, found)


def _shown_by_another(tx: Transaction, feed: int, kind: str, ids: Sequence[str]) -> set[str]:
    """Returns those of these ids whose number another record shows: a cached contact precedes our own of its id."""
    if kind not in _FAMILIES.values() or not ids:
        return set()
    sql = "SELECT id FROM records WHERE feed = ? AND deleted = 0 AND kind = ? AND id"
    twins = [name for name, its_family in _FAMILIES.items() if its_family == kind]
    return {row[0] for twin in twins for row in tx.rows_in(sql, list(dict.fromkeys(ids)), feed, twin)}


class LostTombstone(NamedTuple):
    """A deleted record whose tombstone was compacted away."""

    kind: str
    id: str
    number: int


def append_tombstones(tx: Transaction, feed: int, lost: Sequence[LostTombstone]) -> None:
    """Appends tombstones again, for a device that was offline while compaction removed them."""
    position = changes.next_position(tx, feed, len(lost))
    rows: list[Row] = []
    for at, tombstone in enumerate(lost, position):
        wire = changes.delete_wire(at, tombstone.kind, tombstone.id, at, tx.at_us)
        rows.append((feed, at, tombstone.kind, tombstone.id, tombstone.number, 1, tx.now_us, wire))
    tx.run_many(changes.INSERT, rows)
    tx.run_many(
        "UPDATE records SET revision = ?, position = ?"
        " WHERE feed = ? AND kind = ? AND id = ? AND number = ? AND deleted = 1",
        [(row[1], row[1], feed, row[2], row[3], row[4]) for row in rows],
    )
