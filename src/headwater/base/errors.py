"""The tree of errors, by meaning; only web/errors.py translates them to HTTP.

HeadwaterError
├── Malformed            the bytes do not follow their format (bad JSON, bad parameter syntax)
│   ├── CursorInvalid    a cursor that is malformed, forged, foreign, ahead of the head, or expired
│   ├── HeadersTooLarge  the request line and headers are over their limit
│   └── BodyTimeout      the body arrived too slowly
├── Invalid              well-formed, but a field has a wrong type or value
├── Unauthenticated      no token, or an unknown one
├── Forbidden            the caller may see the resource, but may not perform this operation
│   └── DeviceOfAnother  the device that the request names belongs to another user
├── NotFound             unknown, or another tenant's: both get the same answer
├── MethodNotAllowed     the path exists, the method does not
├── UpgradeRequired      the path is a WebSocket, and the request is a plain one
├── MediaUnsupported     the server does not read the body's coding or type
├── StateConflict        the present state does not allow the change
│   ├── VersionStale     the base version is outdated, missing or unknown
│   └── SyncConflict     both sides changed the same thing
├── Gone                 the resource ended; the caller starts a new one
├── PreconditionFailed   If-Match names an outdated state
├── TooLarge             more bytes or rows than allowed
├── RangeUnsatisfiable   the range lies outside the content
├── TooManyRequests      over the rate or session limit
├── Unavailable          overloaded or stopping; retry later
├── QuotaExceeded        the organisation's, share's or disk's space is used up
├── UpstreamFailed       an upstream source did not answer properly
├── Damaged              stored content is missing or does not match its hash
└── Fatal                the store can no longer guarantee durability: stop the server
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple


class FieldError(NamedTuple):
    """One wrong field: its path (``contacts[3].email``), a code, and a sentence."""

    field: str
    code: str
    detail: str


class HeadwaterError(Exception):
    """Any failure that Headwater names; ``detail`` states for the caller what was wrong and where."""

    code: ClassVar[str] = "INTERNAL"
    title: ClassVar[str] = "Internal error"
    hint: ClassVar[str] = "Search the server's log for the request id."

    def __init__(
        self,
        detail: str = "",
        *,
        code: str | None = None,
        fields: tuple[FieldError, ...] = (),
        retry_after_seconds: int | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.error_code = code or self.code
        self.fields = fields
        self.retry_after_seconds = retry_after_seconds
        self.extra = extra or {}


class Malformed(HeadwaterError):
    """The bytes or the parameter do not follow their format."""

    code = "MALFORMED"
    title = "Malformed request"
    hint = "Check the syntax of the body or parameter that the detail names."


class CursorInvalid(Malformed):
    """A cursor that cannot be used; its ``reason`` is malformed, forged, foreign, ahead, expired or restored.

    Source: files contract, "Error codes": SYNC_CURSOR_INVALID.
    """

    code = "SYNC_CURSOR_INVALID"
    title = "Cursor invalid"
    hint = (
        "When the reason is 'expired' or 'restored', continue from the cursor in the answer; after 'restored', delete"
        " nothing because it is absent there. Otherwise start again: files with cursor=0 (without a cursor they start"
        " now and skip all earlier changes), the record feed without a cursor."
    )


class HeadersTooLarge(Malformed):
    """The request line and headers together are over their limit."""

    code = "HEADERS_TOO_LARGE"
    title = "Request head too large"
    hint = "Send fewer or shorter headers and parameters."


class BodyTimeout(Malformed):
    """The body did not arrive within the time that its size allows."""

    code = "BODY_TIMEOUT"
    title = "Body too slow"
    hint = "Send the request again over a faster connection, or send less at once."


class Invalid(HeadwaterError):
    """The request is well-formed but a field has a wrong type or value; ``errors`` names each."""

    code = "INVALID"
    title = "Invalid value"
    hint = "Correct the fields that 'errors' names and send the request again."

    @classmethod
    def of(cls, field: str, code: str, detail: str) -> Invalid:
        """Returns the error of one field: its path, a code, and what is wrong with it."""
        return cls(f"{field}: {detail}", fields=(FieldError(field, code, detail),))


class Unauthenticated(HeadwaterError):
    """No token, or one that is unknown, revoked or expired."""

    code = "UNAUTHENTICATED"
    title = "Authentication required"
    hint = "Send 'Authorization: Bearer TOKEN'; 'headwater token create' creates a token."


class Forbidden(HeadwaterError):
    """The caller may see the resource, but its role or scope does not allow the operation."""

    code = "FORBIDDEN"
    title = "Not allowed"
    hint = "Use a token with the role or scope that the detail names."


class DeviceOfAnother(Forbidden):
    """The device that the request names belongs to another user."""

    code = "DEVICE_OF_ANOTHER"
    title = "Another user's device"
    hint = "Use another device id; or deactivate the device with 'headwater device deactivate', then it is yours."


class NotFound(HeadwaterError):
    """Unknown, deleted, or another tenant's; all get the same answer, so that existence cannot be probed."""

    code = "NOT_FOUND"
    title = "Not found"
    hint = "Check the id and that the token belongs to the right organisation."


class MethodNotAllowed(HeadwaterError):
    """The path exists, but not with this method; ``allow`` lists the methods that it accepts."""

    code = "METHOD_NOT_ALLOWED"
    title = "Method not allowed"
    hint = "Use one of the methods in the Allow header."


class UpgradeRequired(HeadwaterError):
    """The path is a WebSocket and does not answer plain requests."""

    code = "UPGRADE_REQUIRED"
    title = "WebSocket required"
    hint = "Open the path with a WebSocket client."


class MediaUnsupported(HeadwaterError):
    """The body has a coding or a type that this server does not read."""

    code = "MEDIA_UNSUPPORTED"
    title = "Body not readable"
    hint = "Send the body without Content-Encoding, in the type that the API description names."


class StateConflict(HeadwaterError):
    """The present state does not allow the change."""

    code = "STATE_CONFLICT"
    title = "Conflict with the present state"
    hint = "Read the present state, decide again, and repeat."


class VersionStale(StateConflict):
    """The base version is outdated, missing or unknown; the client must pull first.

    Source: files contract, "Error codes": SYNC_VERSION_STALE.
    """

    code = "SYNC_VERSION_STALE"
    title = "Base version outdated"
    hint = "Pull the changes since your cursor, then apply to the present version."


class SyncConflict(StateConflict):
    """Both sides changed the same thing; a conflict record exists.

    Source: files contract, "Error codes": SYNC_CONFLICT.
    """

    code = "SYNC_CONFLICT"
    title = "Version conflict"
    hint = "Read the conflict record and resolve it with one of the strategies."


class Gone(HeadwaterError):
    """The resource existed and has ended."""

    code = "GONE"
    title = "No longer available"
    hint = "Start a new one."


class PreconditionFailed(HeadwaterError):
    """If-Match names a state that is no longer the present one."""

    code = "PRECONDITION_FAILED"
    title = "Precondition failed"
    hint = "Fetch the resource again and repeat with its new ETag."


class TooLarge(HeadwaterError):
    """More bytes or rows than the limit allows."""

    code = "TOO_LARGE"
    title = "Too large"
    hint = "Send less at once; the detail names the limit."


class RangeUnsatisfiable(HeadwaterError):
    """The requested range lies outside the content; ``size_bytes`` is the content's length."""

    code = "RANGE_UNSATISFIABLE"
    title = "Range not satisfiable"
    hint = "Ask for a range inside the length that Content-Range gives."


class TooManyRequests(HeadwaterError):
    """Over a rate or session limit; ``Retry-After`` gives the seconds to wait."""

    code = "TOO_MANY_REQUESTS"
    title = "Too many requests"
    hint = "Wait as long as Retry-After says; raise the limit in the settings if it is too low."


class Unavailable(HeadwaterError):
    """The server is overloaded, stopping, or out of disk space for the moment."""

    code = "UNAVAILABLE"
    title = "Temporarily unavailable"
    hint = "Retry after the time in Retry-After."


class QuotaExceeded(HeadwaterError):
    """The space of the organisation, the share or the disk is used up; the detail names the level."""

    code = "QUOTA_EXCEEDED"
    title = "Out of space"
    hint = (
        "Raise the quota of the level that the detail names, or delete a share: its content stops counting at once."
        " The trash and older versions count. When the disk is full, free space on it."
    )


class UpstreamFailed(HeadwaterError):
    """An upstream source failed or sent an invalid answer; nothing was changed."""

    code = "UPSTREAM_FAILED"
    title = "Upstream failed"
    hint = "The last good state is still served; check the source and try again later."


class Damaged(HeadwaterError):
    """Stored content is missing or does not match its hash; all other content stays readable."""

    code = "CONTENT_DAMAGED"
    title = "Stored content damaged"
    hint = (
        "Upload the same bytes again, which makes every file with them whole. Or run 'headwater verify' to list the"
        " damage, and put the packs that it names back from a backup."
    )


class Fatal(HeadwaterError):
    """The store can no longer guarantee durability (a failed fsync): writing stops and the server exits."""

    code = "FATAL"
    title = "Storage failure"
    hint = "Check the disk, then start again: everything acknowledged before is on disk."
