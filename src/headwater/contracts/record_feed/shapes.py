"""Requests and replies of the record feed. Source: readings, section 8."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from headwater.base.wire import Pagination

Id = Annotated[str, Meta(min_length=1, max_length=128)]
Revision = Annotated[int, Meta(ge=0, le=2**62)]


class FeedChange(msgspec.Struct, gc=False):
    """One change of the feed; ``body`` is null for a deletion."""

    position: int
    kind: str
    id: str
    revision: int
    op: Literal["put", "delete"]
    at: str
    body: dict[str, Any] | None


class FeedAnswer(msgspec.Struct, gc=False):
    """A page of the feed; pass ``cursor`` on."""

    changes: list[FeedChange]
    cursor: str
    has_more: bool


class PushedChange(msgspec.Struct, gc=False):
    """An edit that a device made: ``base_revision`` is the revision that it saw, 0 for a record of its own."""

    client_change_id: Id
    kind: Id
    id: Id
    op: Literal["put", "delete"]
    base_revision: Revision = 0
    fields: dict[str, Any] = {}


class Push(msgspec.Struct, gc=False):
    """A device's edits, in their order."""

    device_id: Id
    changes: Annotated[list[PushedChange], Meta(max_length=1000)]


class Sides(msgspec.Struct, gc=False):
    """Both values of a field that two sides changed; the device's one is in force."""

    server: Any
    client: Any


class PushOutcome(msgspec.Struct, gc=False, omit_defaults=True):
    """The outcome of one edit: applied, merged, conflict (applied, with the loser stored) or refused."""

    client_change_id: str
    outcome: Literal["applied", "merged", "conflict", "refused"]
    revision: int | None = None
    conflict_id: str | None = None
    fields: dict[str, Sides] | None = None
    code: str | None = None
    detail: str | None = None


class PushAnswer(msgspec.Struct, gc=False):
    """One outcome for each edit, in the same order."""

    results: list[PushOutcome]


class ConflictRecord(msgspec.Struct, gc=False):
    """A conflict between two edits of one record, with both sides' values. ``deleted``: which side deleted it."""

    id: str
    kind: str
    record_id: str
    device_id: str
    base_revision: int
    revision: int
    fields: dict[str, Sides]
    winner: str
    created_at: str
    resolved_at: str | None
    deleted: str | None


class ConflictList(msgspec.Struct, gc=False):
    """A page of conflicts, newest first."""

    data: list[ConflictRecord]
    pagination: Pagination


class Resolution(msgspec.Struct, gc=False):
    """The side whose values shall be in force."""

    take: Literal["server", "client"]


read_push = msgspec.json.Decoder(Push)
read_resolution = msgspec.json.Decoder(Resolution)
read_sides = msgspec.json.Decoder(dict[str, Sides])
read_outcome = msgspec.json.Decoder(PushOutcome)

PUSH_EXAMPLE: dict[str, Any] = {
    "device_id": "phone-1",
    "changes": [
        {
            "client_change_id": "e1",
            "kind": "contact",
            "id": "c-00001",
            "op": "put",
            "base_revision": 1,
            "fields": {"phone": "+47 906 78 902"},
        }
    ],
}
PUSH_ANSWER_EXAMPLE: dict[str, Any] = {"results": [{"client_change_id": "e1", "outcome": "applied", "revision": 2}]}
FEED_EXAMPLE: dict[str, Any] = {
    "changes": [
        {
            "position": 1,
            "kind": "contact",
            "id": "c-00001",
            "revision": 1,
            "op": "put",
            "at": "2026-03-26T11:25:00Z",
            "body": {"contact_id": "c-00001", "first_name": "Bjørn", "last_name": "Dahl"},
        }
    ],
    "cursor": "c1.AAAB",
    "has_more": False,
}
