"""Requests and replies of the sell contract: Sell's own field names, its envelopes, and how our records become both.

Source: sell contract, all headings; Sell's resource fields as its official clients read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from headwater.base.errors import HeadwaterError
from headwater.base.wire import encode

AckKeyText = Annotated[str, Meta(max_length=1000)]
_POSTAL_PLACE = re.compile(r"\s*+(?P<postal_code>\d{4,5})\s++(?P<city>.+)", re.DOTALL)


class AckKeys(msgspec.Struct, gc=False):
    """The keys of what a device has stored."""

    ack_keys: Annotated[list[AckKeyText], Meta(max_length=10_000)]


class AckRequest(msgspec.Struct, gc=False):
    """An ack's body."""

    data: AckKeys


class Queue(msgspec.Struct, gc=False):
    """A queue to drain."""

    name: str
    pages: int
    total_count: int


class Links(msgspec.Struct, gc=False):
    """The link of a queue."""

    self: str


class QueueMeta(msgspec.Struct, gc=False):
    """The kind of a queue, and its link."""

    links: Links
    type: str = "sync_queue"


class QueueEnvelope(msgspec.Struct, gc=False):
    """A queue as Sell wraps it: the object beside its metadata."""

    data: Queue
    meta: QueueMeta


class SellSession(msgspec.Struct, gc=False):
    """A session and its queues."""

    id: str
    queues: list[QueueEnvelope]


class TypeMeta(msgspec.Struct, gc=False):
    """The kind of an object."""

    type: str


class SessionEnvelope(msgspec.Struct, gc=False):
    """A session as Sell wraps it, the answer to a start."""

    data: SellSession
    meta: TypeMeta


class SyncMeta(msgspec.Struct, gc=False):
    """The change of an item for this device, and the key that acknowledges it."""

    event_type: str
    ack_key: str
    revision: int


class ItemMeta(msgspec.Struct, gc=False):
    """An item's type and sync attributes."""

    type: str
    sync: SyncMeta


class SellItem(msgspec.Struct, gc=False):
    """A resource on its way to a device; a deleted one has only its id."""

    data: dict[str, Any]
    meta: ItemMeta


class FailedObject(msgspec.Struct, gc=False):
    """An item that could not be shown; it stays pending."""

    type: str
    id: int


class PageMeta(msgspec.Struct, gc=False):
    """The number of items in this page and the number left."""

    type: str
    count: int
    count_left: int
    failed_objects: list[FailedObject]


class QueuePage(msgspec.Struct, gc=False):
    """One page of a session: its items and the number left."""

    items: list[SellItem]
    meta: PageMeta


class PostalAddress(msgspec.Struct, gc=False):
    """Sell's address."""

    line1: str | None = None
    city: str | None = None
    postal_code: str | None = None
    state: str | None = None
    country: str | None = None


class SellContact(msgspec.Struct, gc=False, kw_only=True):
    """A contact with Sell's field names; ours that Sell lacks travel in ``custom_fields``."""

    id: int
    creator_id: int | None = None
    owner_id: int | None = None
    contact_id: int | None = None
    is_organization: bool = False
    name: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    mobile: str | None = None
    address: PostalAddress
    tags: list[str]
    custom_fields: dict[str, str | None]
    created_at: str
    updated_at: str


class SellNote(msgspec.Struct, gc=False, kw_only=True):
    """A note with Sell's field names."""

    id: int
    creator_id: int | None = None
    resource_type: str = "contact"
    resource_id: int | None
    content: str
    tags: list[str] = []
    custom_fields: dict[str, str | None]
    created_at: str
    updated_at: str


class SourceContact(msgspec.Struct, gc=False, kw_only=True):
    """The fields that this door reads of a stored contact."""

    contact_id: str
    first_name: str | None
    last_name: str | None
    email: str | None
    phone: str | None
    address: str | None
    date_of_birth: str | None
    created_at: str
    updated_at: str
    chapter_ids: list[str] = []


class StoredCachedContact(msgspec.Struct, gc=False):
    """The fields that this door reads of a cached contact."""

    id: str
    name: str
    updated_at: str
    email: str | None = None
    phone: str | None = None
    org_name: str | None = None


class SourceNote(msgspec.Struct, gc=False):
    """The fields that this door reads of a note."""

    id: str
    contact_id: str
    content: str
    updated_at: str
    author_name: str | None = None


class ErrorDetail(msgspec.Struct, gc=False, omit_defaults=True):
    """One error as Sell's clients read it."""

    code: str
    message: str
    details: str
    resource: str | None = None
    field: str | None = None


class SellErrorItem(msgspec.Struct, gc=False):
    """One error in its envelope."""

    error: ErrorDetail
    meta: TypeMeta


class ErrorsMeta(msgspec.Struct, gc=False):
    """The status, and the request id under Sell's name."""

    type: str
    http_status: str
    logref: str


class Errors(msgspec.Struct, gc=False):
    """Every 4xx and 5xx of this door."""

    errors: list[SellErrorItem]
    meta: ErrorsMeta


read_ack = msgspec.json.Decoder(AckRequest)
_read_contact = msgspec.json.Decoder(SourceContact)
_read_cached_contact = msgspec.json.Decoder(StoredCachedContact)
_read_note = msgspec.json.Decoder(SourceNote)


def contact(number: int, body: bytes) -> bytes:
    """Sell's JSON of a stored contact."""
    stored = _read_contact.decode(body)
    return encode(
        SellContact(
            id=number,
            name=" ".join(part for part in (stored.first_name, stored.last_name) if part),
            first_name=stored.first_name,
            last_name=stored.last_name,
            email=stored.email,
            phone=stored.phone,
            address=address(stored.address),
            tags=stored.chapter_ids,
            custom_fields={"headwater_id": stored.contact_id, "date_of_birth": stored.date_of_birth},
            created_at=stored.created_at,
            updated_at=stored.updated_at,
        )
    )


def cached_contact(number: int, body: bytes) -> bytes:
    """Sell's JSON of a cached contact; its source states no time of creation."""
    stored = _read_cached_contact.decode(body)
    first, _, last = stored.name.rpartition(" ")
    return encode(
        SellContact(
            id=number,
            name=stored.name,
            first_name=first or None,
            last_name=last or None,
            email=stored.email,
            phone=stored.phone,
            address=PostalAddress(),
            tags=[],
            custom_fields={"headwater_id": stored.id, "org_name": stored.org_name},
            created_at=stored.updated_at,
            updated_at=stored.updated_at,
        )
    )


def parent_of(body: bytes) -> str:
    """The id of the contact that a stored note belongs to."""
    return _read_note.decode(body).contact_id


def note(number: int, body: bytes, contacts: Mapping[str, int]) -> bytes:
    """Sell's JSON of a note; ``contacts`` holds the integers of those that exist."""
    stored = _read_note.decode(body)
    return encode(
        SellNote(
            id=number,
            resource_id=contacts.get(stored.contact_id),
            content=stored.content,
            custom_fields={
                "headwater_id": stored.id,
                "contact_id": stored.contact_id,
                "author_name": stored.author_name,
            },
            created_at=stored.updated_at,
            updated_at=stored.updated_at,
        )
    )


def address(text: str | None) -> PostalAddress:
    """An address of one text in Sell's parts: ``Storgata 12, 0155 Oslo`` is split, any other is line 1."""
    if text is None:
        return PostalAddress()
    street, _, place = text.rpartition(",")
    line1, match = street.rstrip(), _POSTAL_PLACE.fullmatch(place)
    if match is None or not line1 or "\n" in line1:
        return PostalAddress(line1=text)
    return PostalAddress(line1, match["city"], match["postal_code"])


def item(data: bytes, sell_type: str, event_type: str, ack_key: str, revision: int) -> bytes:
    """The JSON of an item."""
    return b'{"data":%b,"meta":{"type":"%b","sync":{"event_type":"%b","ack_key":"%b","revision":%d}}}' % (
        data,
        sell_type.encode(),
        event_type.encode(),
        ack_key.encode(),
        revision,
    )


def page(items: list[bytes], count_left: int, failed: list[FailedObject]) -> bytes:
    """The JSON of a page."""
    return b'{"items":[%b],"meta":{"type":"collection","count":%d,"count_left":%d,"failed_objects":%b}}' % (
        b",".join(items),
        len(items),
        count_left,
        encode(failed),
    )


def errors(failure: HeadwaterError, status: int, phrase: str, request_id: str) -> bytes:
    """Sell's JSON of an error; ``logref`` equals X-Request-Id."""
    code = _code(failure, status)
    details = [ErrorDetail(code, failure.title, failure.detail)]
    if failure.fields:
        details = [
            ErrorDetail(
                "incorrect_value" if field.code not in _FIELD_CODES else field.code,
                failure.title,
                field.detail,
                "sync",
                field.field if field.field.startswith("X-") else "/" + field.field.replace(".", "/"),
            )
            for field in failure.fields
        ]
    return encode(
        Errors(
            [SellErrorItem(detail, TypeMeta("error")) for detail in details],
            ErrorsMeta("errors", f"{status} {phrase}", request_id),
        )
    )


_FIELD_CODES = frozenset(("missing", "blank", "unknown", "invalid_type", "incorrect_value", "already_exists"))
_CODES = {
    400: "invalid_payload",
    401: "unauthorized",
    403: "insufficient_scope",
    404: "not_found",
    405: "incorrect_path",
    413: "invalid_payload",
    422: "incorrect_payload",
    429: "rate_limit_exceeded",
    500: "server_error",
    503: "temporarily_unavailable",
}
_OWN_CODES = {
    "PATH_NOT_FOUND": "incorrect_path",
    "HOST_INVALID": "invalid_header",
    "HEADERS_TOO_LARGE": "invalid_header",
}


def _code(failure: HeadwaterError, status: int) -> str:
    return _OWN_CODES.get(failure.error_code) or _CODES.get(
        status, "server_error" if status >= 500 else "invalid_param"
    )


ACK_EXAMPLE: dict[str, Any] = {"data": {"ack_keys": ["Source-976368-1375200190", "Source-976369-0"]}}
SESSION_EXAMPLE: dict[str, Any] = {
    "data": {
        "id": "$SESSION_ID",
        "queues": [
            {
                "data": {"name": "main", "pages": 1, "total_count": 2},
                "meta": {
                    "type": "sync_queue",
                    "links": {"self": "https://api.getbase.com/v2/sync/$SESSION_ID/queues/main"},
                },
            }
        ],
    },
    "meta": {"type": "sync_session"},
}
PAGE_EXAMPLE: dict[str, Any] = {
    "items": [
        {
            "data": {
                "id": 1,
                "creator_id": 1,
                "name": "Our website",
                "updated_at": "2015-05-07T11:44:01Z",
                "created_at": "2014-08-27T16:32:57Z",
            },
            "meta": {
                "type": "source",
                "sync": {"event_type": "updated", "ack_key": "Source-976368-1375200190", "revision": 1375200190},
            },
        },
        {
            "data": {"id": 3},
            "meta": {
                "type": "source",
                "sync": {"event_type": "deleted", "ack_key": "Source-976369-0", "revision": 0},
            },
        },
    ],
    "meta": {"type": "collection", "count": 2, "count_left": 0, "failed_objects": []},
}
