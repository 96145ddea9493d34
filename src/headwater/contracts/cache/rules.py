"""The decisions of the cache contract: the rows of a batch that are accepted, a sync's status, and clearing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.base.ids import sync_id
from headwater.base.wire import format_seconds
from headwater.contracts.cache import queries
from headwater.contracts.cache.batches import CONTACTS, NOTES, Prepared, changed_fields
from headwater.contracts.cache.queries import Sync
from headwater.contracts.cache.shapes import Cleared, SkippedRow, SyncResult
from headwater.store.database import Transaction
from headwater.store.log import records, unique_numbers
from headwater.store.log.records import Draft, Record

CONTACT = "cached_contact"
NOTE = "note"
_MASTER = "contact"


class Taken(NamedTuple):
    """The rows of a collection that were accepted, and those refused."""

    inserted: int
    updated: int
    skipped: list[SkippedRow]

    @property
    def accepted(self) -> int:
        """The number of rows that were accepted."""
        return self.inserted + self.updated


def sync(tx: Transaction, feed: int, organisation: str, contacts: Prepared, notes: Prepared) -> SyncResult:
    """Writes a batch to an organisation's cache, under a new sync record."""
    number = unique_numbers.take(tx, feed, "sync")[0]
    return _take(tx, feed, Sync(number, organisation, 0, 0, "", tx.at_us, tx.at_us), contacts, notes)


def extend(
    tx: Transaction, feed: int, number: int, organisation: str, contacts: Prepared, notes: Prepared
) -> SyncResult:
    """Writes a further batch under an existing sync record. Raises: NotFound, StateConflict (another organisation)."""
    found = queries.sync(tx, number)
    if found is None:
        raise NotFound(f"no sync {sync_id(number)!r}")
    if found.organisation != organisation:
        raise StateConflict(f"{sync_id(number)} belongs to another organisation than the body names")
    return _take(tx, feed, found, contacts, notes)


def clear(tx: Transaction, feed: int, found: Sync) -> Cleared:
    """Empties an organisation's cache: each contact and note leaves a tombstone. Raises: NotFound (cleared already)."""
    if found.status == "cleared":
        raise NotFound(f"{sync_id(found.number)} was cleared before")
    # Notes first: those of a deleted contact would be sent again only to be deleted.
    removed_notes = records.delete_many(tx, feed, NOTE, queries.live(tx, feed, NOTE))
    removed_contacts = records.delete_many(tx, feed, CONTACT, queries.live(tx, feed, CONTACT))
    queries.keep(tx, found._replace(status="cleared", updated_us=max(tx.at_us, found.updated_us)))
    queries.keep_success(tx, found.organisation, None, None)
    return Cleared(
        sync_id(found.number), found.organisation, len(removed_contacts), len(removed_notes), format_seconds(tx.at_us)
    )


def _take(tx: Transaction, feed: int, record: Sync, contacts: Prepared, notes: Prepared) -> SyncResult:
    taken = _upsert(tx, feed, CONTACT, CONTACTS, contacts)
    taken_notes = _upsert(tx, feed, NOTE, NOTES, notes)
    errors = contacts.errors + notes.errors
    skipped = taken.skipped + taken_notes.skipped
    status = _status(taken.accepted + taken_notes.accepted, len(errors))
    kept = record._replace(
        contacts_synced=record.contacts_synced + taken.accepted,
        notes_synced=record.notes_synced + taken_notes.accepted,
        status=status,
        updated_us=max(tx.at_us, record.updated_us),
    )
    queries.keep(tx, kept)
    if status == "success":
        queries.keep_success(tx, record.organisation, record.number, tx.at_us)
    return SyncResult(
        sync_id(record.number),
        record.organisation,
        taken.accepted,
        taken_notes.accepted,
        taken.inserted,
        taken.updated,
        taken_notes.inserted,
        taken_notes.updated,
        status,
        format_seconds(record.synced_us),
        format_seconds(kept.updated_us),
        _count_unlinked(tx, feed, notes.rows),
        skipped,
        errors,
    )


def _upsert(tx: Transaction, feed: int, kind: str, collection: str, prepared: Prepared) -> Taken:
    """Writes the rows that are not older than the stored ones; of twins in one batch the later one stays."""
    current = records.find_many(tx, feed, kind, [draft.id for _, draft in prepared.rows])
    latest: dict[str, int] = {id: row.updated_us for id, row in current.items() if not row.deleted}
    chosen: dict[str, Draft] = {}
    skipped: list[SkippedRow] = []
    repeated = 0
    for index, draft in prepared.rows:
        known_us = latest.get(draft.id)
        if known_us is not None and draft.updated_us < known_us:
            skipped.append(SkippedRow(index, collection, draft.id))
            continue
        repeated += draft.id in chosen
        latest[draft.id] = draft.updated_us
        chosen[draft.id] = _since(current.get(draft.id), draft)
    known = [id for id in chosen if (row := current.get(id)) is not None and not row.deleted]
    changed: dict[str, list[str]] = {}
    for id, stored in records.bodies_of(tx, feed, kind, known).items():
        if chosen[id].body == stored and chosen[id].updated_us == current[id].updated_us:
            # An unchanged row that is sent again is accepted, and is no change for any device.
            del chosen[id]
        else:
            changed[id] = changed_fields(stored, chosen[id].body)
    inserted, _ = records.put_many(tx, feed, kind, list(chosen.values()), current, changed)
    return Taken(inserted, len(known) + repeated, skipped)


def _since(current: Record | None, draft: Draft) -> Draft:
    """The draft with the creation time of the record that it replaces."""
    return draft if current is None or current.deleted else draft._replace(created_us=current.created_us)


def _count_unlinked(tx: Transaction, feed: int, notes: Iterable[tuple[int, Draft]]) -> int:
    """The number of a batch's notes whose contact has not arrived yet."""
    parents = [draft.parent for _, draft in notes if draft.parent is not None]
    wanted = list(dict.fromkeys(parents))
    known: set[str] = set()
    for kind in (CONTACT, _MASTER):
        found = records.find_many(tx, feed, kind, [id for id in wanted if id not in known])
        known.update(id for id, row in found.items() if not row.deleted)
    return sum(parent not in known for parent in parents)


def _status(accepted: int, refused: int) -> str:
    """The status of a call: no row refused, some accepted beside those refused, or none accepted."""
    if not refused:
        return "success"
    return "partial" if accepted else "failed"


def number_of(text: str) -> int:
    """The number in a sync record's id. Raises: NotFound for any other text."""
    digits = text.removeprefix("sync_")
    if text.startswith("sync_") and digits.isascii() and digits.isdigit() and 8 <= len(digits) <= 18:
        return int(digits)
    raise NotFound(f"no sync {text!r}")


def require_acceptable(organisation: str) -> None:
    """Refuses an organisation id that cannot be one. Raises: Invalid."""
    if not organisation.isprintable():
        raise Invalid.of("org_id", "incorrect_value", "an organisation id has 1-128 printable characters")
