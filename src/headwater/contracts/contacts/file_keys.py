"""The keys of contacts in files, and the contacts of an organisation as an export reads them.

A contact may have several keys, of files of different origin; an export writes the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from headwater.base.wire import encode
from headwater.contracts.contacts.interchange.record import ContactRow
from headwater.contracts.contacts.rules import KIND
from headwater.contracts.contacts.shapes import FIELDS, Contact, read_contact
from headwater.store.database import Row, Transaction
from headwater.store.log import changes

Extra = dict[str, list[str]]
"""vCard lines that hold what the fields cannot, by property."""

_read_extra = msgspec.json.Decoder(Extra)


class FileKey(NamedTuple):
    """A key, the contact that it names, and what the file holds of it beyond our fields."""

    uid: str
    contact_id: str
    extra: Extra


class KnownKey(NamedTuple):
    """The contact that a key names, and the mark of its further lines (see ``mark_of``)."""

    contact_id: str
    mark: int


NO_MARK = 0
"""The mark of a key without further lines."""

_FOUND_AT_ONCE = 50


def mark_of(extra: Extra) -> int:
    """A number that equal lines share, so that a batch does not load all photos of its contacts."""
    return _mark(encode(extra).decode()) if extra else NO_MARK


def _mark(text: str | None) -> int:
    return hash(text) or 1 if text else NO_MARK


def find(tx: Transaction, feed: int, uids: Sequence[str]) -> dict[str, KnownKey]:
    """Those of these keys that earlier files contained."""
    sql = "SELECT uid, contact_id, extra FROM contact_keys WHERE feed = ? AND uid"
    found: dict[str, KnownKey] = {}
    wanted = list(dict.fromkeys(uids))
    for start in range(0, len(wanted), _FOUND_AT_ONCE):
        rows = tx.rows_in(sql, wanted[start : start + _FOUND_AT_ONCE], feed)
        found.update((row[0], KnownKey(row[1], _mark(row[2]))) for row in rows)
    return found


def keep(tx: Transaction, feed: int, keys: Iterable[FileKey]) -> None:
    """Writes keys, new or with other further lines."""
    tx.run_many(
        "INSERT INTO contact_keys (feed, uid, contact_id, extra) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (feed, uid) DO UPDATE SET contact_id = excluded.contact_id, extra = excluded.extra",
        [(feed, key.uid, key.contact_id, encode(key.extra).decode() if key.extra else None) for key in keys],
    )


def bodies(tx: Transaction, feed: int, ids: Sequence[str]) -> dict[str, bytes]:
    """The JSON of those of these contacts that live."""
    sql = (
        "SELECT r.id, c.wire FROM records r JOIN changes c ON c.feed = r.feed AND c.position = r.position"
        " WHERE r.feed = ? AND r.kind = ? AND r.deleted = 0 AND r.id"
    )
    return {row[0]: changes.body_of(bytes(row[1])) for row in tx.rows_in(sql, ids, feed, KIND)}


def page(tx: Transaction, feed: int, after: str, limit: int, *, with_keys: bool = True) -> list[ContactRow]:
    """The next contacts by id as a file carries them, with or without key and further lines; empty at the end."""
    rows = tx.rows(
        "SELECT p.id, c.wire FROM (SELECT id, feed, position FROM records"
        " WHERE feed = ? AND kind = ? AND deleted = 0 AND id > ? ORDER BY id LIMIT ?) p"
        " JOIN changes c ON c.feed = p.feed AND c.position = p.position ORDER BY p.id",
        feed, KIND, after, limit,
    )  # fmt: skip
    keys = _keys_of(tx, feed, [row[0] for row in rows]) if with_keys else {}
    return list(_rows(rows, keys))


def _rows(rows: Sequence[Row], keys: dict[str, FileKey]) -> Iterator[ContactRow]:
    for id, wire in rows:
        contact: Contact = read_contact.decode(changes.body_of(bytes(wire)))
        key = keys.get(id)
        yield ContactRow(
            uid=key.uid if key else None,
            contact_id=id,
            chapter_ids=tuple(contact.chapter_ids),
            created_at=contact.created_at,
            updated_at=contact.updated_at,
            extra=key.extra if key else {},
            **{name: getattr(contact, name) or None for name in FIELDS},
        )


def _keys_of(tx: Transaction, feed: int, ids: Sequence[str]) -> dict[str, FileKey]:
    """The first key of each of these contacts that has one."""
    rows = tx.rows_in("SELECT uid, contact_id, extra FROM contact_keys WHERE feed = ? AND contact_id", ids, feed)
    found: dict[str, FileKey] = {}
    for key in sorted(map(_key, rows)):
        found.setdefault(key.contact_id, key)
    return found


def _key(row: Row) -> FileKey:
    return FileKey(row[0], row[1], _read_extra.decode(row[2]) if row[2] else {})
