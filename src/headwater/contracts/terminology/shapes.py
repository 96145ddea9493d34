"""Requests and replies of the terminology contract and its sibling, with the contract's own examples.

Source: terminology contract, all headings.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from headwater.base.wire import Pagination

SourceKind = Literal["own", "url", "file"]
"""The source of labels: this server, an HTTPS upstream, or a JSON file of the operator's."""

Id = Annotated[str, Meta(min_length=1, max_length=128)]
TtlSeconds = Annotated[int, Meta(ge=1, le=2_592_000, description="How long a sync stays fresh, in seconds")]
LABEL_KEY = r"^[^\u0000-\u001f\u007f-\u009f]+$"
"""The pattern of a label's key: no control characters."""

LabelKey = Annotated[
    str, Meta(min_length=1, max_length=200, pattern=LABEL_KEY, extra={"form": "a text without control characters"})
]
LabelText = Annotated[str, Meta(max_length=2_000)]
SourceUrl = Annotated[
    str,
    Meta(
        max_length=2_048,
        pattern=r'^https?://[A-Za-z0-9.:\[\]-]+(/[!"$-\[\]-~]*)?$',
        extra={"form": "a URL that begins with https:// or http://"},
    ),
]


class SyncState(msgspec.Struct, gc=False):
    """The freshness of an organisation's labels, in a list; ``next_sync_due_at`` is null when it never synced."""

    organization_id: str
    is_stale: bool
    last_sync_at: str | None
    next_sync_due_at: str | None


class SyncStateDetails(SyncState, gc=False):
    """The freshness of an organisation's labels, with the time that a sync stays fresh."""

    ttl_seconds: int


class SyncRecordFields(msgspec.Struct, gc=False):
    """An organisation to track; without ``ttl_seconds`` the server's own default holds."""

    organization_id: Id
    ttl_seconds: TtlSeconds | UnsetType = UNSET


class CreatedSyncRecord(msgspec.Struct, gc=False):
    """The answer to a new tracking record."""

    organization_id: str
    is_stale: bool
    last_sync_at: str | None
    created_at: str


class SyncRecordChange(msgspec.Struct, gc=False):
    """The fields of a tracking record that may be changed: the time to live, and the last sync back to null."""

    ttl_seconds: TtlSeconds | UnsetType = UNSET
    last_sync_at: UnsetType | None = UNSET


class ChangedSyncRecord(msgspec.Struct, gc=False):
    """The answer to a change of a tracking record."""

    organization_id: str
    ttl_seconds: int
    updated_at: str


class Removed(msgspec.Struct, gc=False):
    """The answer to a deletion, of a tracking record or of labels."""

    organization_id: str
    deleted: bool


class SyncIfStale(msgspec.Struct, gc=False):
    """The outcome of a sync that was wanted only if the labels were stale."""

    organization_id: str
    was_stale: bool
    sync_triggered: bool
    synced_at: str


class ForcedSync(msgspec.Struct, gc=False):
    """The outcome of a forced sync: labels added, changed or removed, and its duration."""

    organization_id: str
    synced_at: str
    updated_keys: int
    duration_ms: int


class Staleness(msgspec.Struct, gc=False):
    """The staleness of labels, and the time since they are stale."""

    organization_id: str
    is_stale: bool
    last_sync_at: str | None
    stale_since: str | None


class SyncStateList(msgspec.Struct, gc=False):
    """A page of tracking records, by organisation."""

    data: list[SyncState]
    pagination: Pagination


class LabelsBody(msgspec.Struct):
    """Labels that an organisation shall have."""

    organization_id: Id
    labels: dict[LabelKey, LabelText]


class LabelsChangeBody(msgspec.Struct):
    """Labels to change: over the present ones, or in their place when ``merge`` is false; null removes one."""

    labels: dict[LabelKey, LabelText | None]
    merge: bool = True


class LabelSet(msgspec.Struct, gc=False):
    """An organisation's labels, as they are shown and as devices get them."""

    organization_id: str
    labels: dict[str, str]
    updated_at: str


class LabelSummary(msgspec.Struct, gc=False):
    """The number of labels that an organisation has, in a list."""

    organization_id: str
    label_count: int
    updated_at: str


class CreatedLabels(msgspec.Struct, gc=False):
    """The answer to a new set of labels."""

    organization_id: str
    label_count: int
    created_at: str
    updated_at: str


class ChangedLabels(msgspec.Struct, gc=False):
    """The answer to a change of labels: the number that differ now, and the number of all."""

    organization_id: str
    updated_keys: int
    total_label_count: int
    updated_at: str


class LabelSummaryList(msgspec.Struct, gc=False):
    """A page of organisations that have labels, by organisation."""

    data: list[LabelSummary]
    pagination: Pagination


class OwnSource(msgspec.Struct, gc=False, tag_field="source", tag="own"):
    """Names the set that is stored here as the source."""


class UrlSource(msgspec.Struct, gc=False, tag_field="source", tag="url"):
    """Labels shall be fetched from a URL."""

    url: SourceUrl


SourceFields = OwnSource | UrlSource


class SourceShown(msgspec.Struct, gc=False):
    """The source of labels, and the state of its last fetches."""

    organization_id: str
    source: SourceKind
    location: str | None
    changed_at: str | None
    failures: int
    retry_at: str | None


read_record = msgspec.json.Decoder(SyncRecordFields)
read_record_change = msgspec.json.Decoder(SyncRecordChange)
read_labels = msgspec.json.Decoder(LabelsBody)
read_labels_change = msgspec.json.Decoder(LabelsChangeBody)
read_source = msgspec.json.Decoder(SourceFields)

LIST_EXAMPLE: dict[str, Any] = {
    "data": [
        {
            "organization_id": "org_nhf_oslo",
            "is_stale": False,
            "last_sync_at": "2026-03-26T06:00:00.000Z",
            "next_sync_due_at": "2026-03-26T18:00:00.000Z",
        },
        {
            "organization_id": "org_hlf",
            "is_stale": True,
            "last_sync_at": "2026-03-24T12:00:00.000Z",
            "next_sync_due_at": "2026-03-25T00:00:00.000Z",
        },
    ],
    "pagination": {"page": 1, "limit": 20, "total": 7},
}
DETAILS_EXAMPLE: dict[str, Any] = {
    "organization_id": "org_nhf_oslo",
    "is_stale": False,
    "last_sync_at": "2026-03-26T06:00:00.000Z",
    "next_sync_due_at": "2026-03-26T18:00:00.000Z",
    "ttl_seconds": 43200,
}
CREATE_EXAMPLE: dict[str, Any] = {"organization_id": "org_nfb_bergen", "ttl_seconds": 43200}
CREATED_EXAMPLE: dict[str, Any] = {
    "organization_id": "org_nfb_bergen",
    "is_stale": True,
    "last_sync_at": None,
    "created_at": "2026-03-26T09:40:00.000Z",
}
CHANGE_EXAMPLE: dict[str, Any] = {"ttl_seconds": 86400}
CHANGED_EXAMPLE: dict[str, Any] = {
    "organization_id": "org_nhf_oslo",
    "ttl_seconds": 86400,
    "updated_at": "2026-03-26T09:42:00.000Z",
}
REMOVED_EXAMPLE: dict[str, Any] = {"organization_id": "org_nhf_oslo", "deleted": True}
SYNC_IF_STALE_EXAMPLE: dict[str, Any] = {
    "organization_id": "org_hlf",
    "was_stale": True,
    "sync_triggered": True,
    "synced_at": "2026-03-26T09:43:10.000Z",
}
FORCED_EXAMPLE: dict[str, Any] = {
    "organization_id": "org_nhf_oslo",
    "synced_at": "2026-03-26T09:44:00.000Z",
    "updated_keys": 18,
    "duration_ms": 342,
}
STALE_EXAMPLE: dict[str, Any] = {
    "organization_id": "org_hlf",
    "is_stale": True,
    "last_sync_at": "2026-03-24T12:00:00.000Z",
    "stale_since": "2026-03-25T00:00:00.000Z",
}
LABELS_EXAMPLE: dict[str, Any] = {
    "organization_id": "org_nhf_oslo",
    "labels": {"en.member": "Participant", "nb.member": "Deltaker"},
}
LABELS_CHANGE_EXAMPLE: dict[str, Any] = {"labels": {"nb.member": "Medlem"}, "merge": True}
SOURCE_EXAMPLE: dict[str, Any] = {"source": "url", "url": "https://labels.example.org/nhf.json"}
