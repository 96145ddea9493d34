"""Requests and replies of the cache contract, with the contract's own examples. Source: cache contract."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headwater.base.wire import Pagination

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Short = Annotated[str, Meta(max_length=500)]
Content = Annotated[str, Meta(max_length=100_000)]


class CacheBatch(msgspec.Struct, gc=False):
    """A sync's body; the rows stay unread until each is judged for itself."""

    org_id: Id
    contacts: list[msgspec.Raw] = []
    notes: list[msgspec.Raw] = []


class CachedContact(msgspec.Struct, gc=False):
    """A contact as its source knows it; ``updated_at`` orders the source's own versions."""

    id: Id
    name: Short
    updated_at: str
    email: Short | None = None
    phone: Short | None = None
    org_name: Short | None = None


class CachedNote(msgspec.Struct, gc=False):
    """A note about a contact, which may arrive before the contact does."""

    id: Id
    contact_id: Id
    content: Content
    updated_at: str
    author_name: Short | None = None


class StoredContact(msgspec.Struct, gc=False):
    """A cached contact in the order in which the contract prints it."""

    id: str
    name: str
    email: str | None
    phone: str | None
    org_name: str | None
    updated_at: str


class StoredNote(msgspec.Struct, gc=False):
    """A cached note in the order in which the contract prints it."""

    id: str
    contact_id: str
    content: str
    author_name: str | None
    updated_at: str


class BatchBody(msgspec.Struct):
    """A sync's body as the API description shows it."""

    org_id: Id
    contacts: list[CachedContact] = []
    notes: list[CachedNote] = []


class RowError(msgspec.Struct, gc=False):
    """A row that was refused, by its place in its collection."""

    index: int
    collection: str
    id: str | None
    code: str
    detail: str


class SkippedRow(msgspec.Struct, gc=False):
    """A row that is older than the stored one."""

    index: int
    collection: str
    id: str


class SyncResult(msgspec.Struct, gc=False):
    """The answer to a batch: the rows of this call that were accepted, and those that were not."""

    id: str
    org_id: str
    contacts_synced: int
    notes_synced: int
    contacts_inserted: int
    contacts_updated: int
    notes_inserted: int
    notes_updated: int
    status: str
    synced_at: str
    updated_at: str
    unlinked_notes: int
    skipped: list[SkippedRow]
    errors: list[RowError]


class SyncRecord(msgspec.Struct, gc=False):
    """A sync operation in a list."""

    id: str
    org_id: str
    contacts_synced: int
    notes_synced: int
    synced_at: str
    status: str


class SyncRecordDetails(SyncRecord, gc=False):
    """A sync operation by itself, with the time of its organisation's last success."""

    last_sync_timestamp: str | None


class SyncList(msgspec.Struct, gc=False):
    """A page of sync operations, newest first."""

    data: list[SyncRecord]
    pagination: Pagination


class Cleared(msgspec.Struct, gc=False):
    """The answer to clearing an organisation's cache."""

    id: str
    org_id: str
    contacts_removed: int
    notes_removed: int
    cleared_at: str


class LastSync(msgspec.Struct, gc=False):
    """An organisation's last successful sync; nulls and status ``never`` without one."""

    org_id: str
    last_sync_timestamp: str | None
    sync_id: str | None
    status: str


class ContactPage(msgspec.Struct, gc=False):
    """Cached contacts by id; pass ``cursor`` on while ``has_more``."""

    data: list[StoredContact]
    cursor: str | None
    has_more: bool


class NotePage(msgspec.Struct, gc=False):
    """Cached notes by id; pass ``cursor`` on while ``has_more``."""

    data: list[StoredNote]
    cursor: str | None
    has_more: bool


read_batch = msgspec.json.Decoder(CacheBatch)
read_contact = msgspec.json.Decoder(CachedContact)
read_note = msgspec.json.Decoder(CachedNote)

SYNC_EXAMPLE: dict[str, Any] = {
    "org_id": "org_NOR_0042",
    "contacts": [
        {
            "id": "cnt_00000112",
            "name": "John Smith",
            "email": "j.smith@bridgecorp.no",
            "phone": "+47 901 23 456",
            "org_name": "BridgeCorp AS",
            "updated_at": "2026-03-25T14:00:00Z",
        }
    ],
    "notes": [
        {
            "id": "note_00000831",
            "contact_id": "cnt_00000112",
            "content": "Bridge project kick-off confirmed for April 2026.",
            "author_name": "Marius Dahl",
            "updated_at": "2026-03-15T11:00:00Z",
        }
    ],
}
EXTEND_EXAMPLE: dict[str, Any] = {
    "org_id": "org_NOR_0042",
    "contacts": [],
    "notes": [
        {
            "id": "note_00000900",
            "contact_id": "cnt_00000200",
            "content": "Follow-up scheduled for next Tuesday.",
            "author_name": "Marius Dahl",
            "updated_at": "2026-03-26T09:00:00Z",
        }
    ],
}
DETAILS_EXAMPLE: dict[str, Any] = {
    "id": "sync_00000010",
    "org_id": "org_NOR_0042",
    "contacts_synced": 312,
    "notes_synced": 847,
    "synced_at": "2026-03-26T06:00:00Z",
    "status": "success",
    "last_sync_timestamp": "2026-03-26T06:00:00Z",
}
CLEARED_EXAMPLE: dict[str, Any] = {
    "id": "sync_00000011",
    "org_id": "org_NOR_0042",
    "contacts_removed": 312,
    "notes_removed": 848,
    "cleared_at": "2026-03-26T09:35:00Z",
}
LAST_SYNC_EXAMPLE: dict[str, Any] = {
    "org_id": "org_NOR_0042",
    "last_sync_timestamp": "2026-03-26T06:00:00Z",
    "sync_id": "sync_00000010",
    "status": "success",
}
