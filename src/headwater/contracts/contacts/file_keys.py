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


def find(tx: Transaction, feed: int, uids: Sequence[str]) -> dict[str, FileKey]:
    """Those of these keys that earlier files contained."""
    sql = "SELECT uid, contact_id, extra FROM contact_keys WHERE feed = ? AND uid"
    return {row[0]: _key(row) for row in tx.rows_in(sql, list(dict.fromkeys(uids)), feed)}


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


def page(tx: Transaction, feed: int, after: str, limit: int) -> list[ContactRow]:
    """The next contacts by id as a file carries them; an empty list at the end."""
    rows = tx.rows(
        "SELECT p.id, c.wire FROM (SELECT id, feed, position FROM records"
        " WHERE feed = ? AND kind = ? AND deleted = 0 AND id > ? ORDER BY id LIMIT ?) p"
        " JOIN changes c ON c.feed = p.feed AND c.position = p.position ORDER BY p.id",
        feed, KIND, after, limit,
    )  # fmt: skip
    keys = _keys_of(tx, feed, [row[0] for row in rows])
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
