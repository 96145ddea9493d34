"""The only tree of errors: what went wrong, as meaning; web/errors.py alone turns it into HTTP.

HeadwaterError
├── Malformed            the bytes are not what the format says (bad JSON, bad parameter syntax)
│   ├── CursorInvalid    a cursor that is forged, foreign, beyond the head, or expired
│   ├── HeadersTooLarge  the request line and headers are over their limit
│   └── BodyTimeout      the body came too slowly
├── Invalid              well-formed, but a field has a wrong type or value
├── Unauthenticated      no token, or none that we know
├── Forbidden            the caller may see it but not do this
├── NotFound             unknown, or another tenant's: told alike
├── MethodNotAllowed     the path exists, the method does not
├── UpgradeRequired      the path is a WebSocket, and the request is none
├── MediaUnsupported     the body's coding or type is not one that we read
├── StateConflict        the present state does not allow it
│   ├── VersionStale     the base version is outdated, missing or unknown
│   └── SyncConflict     both sides changed the same thing
├── Gone                 it ended, and the caller should begin anew
├── PreconditionFailed   If-Match does not hold
├── TooLarge             more bytes or rows than allowed
├── RangeUnsatisfiable   the range lies outside the content
├── TooManyRequests      over the rate or session limit
├── Unavailable          overloaded or stopping; retry later
├── QuotaExceeded        the organisation's, share's or disk's space is used up
├── UpstreamFailed       a source that we depend on did not answer properly
├── Damaged              stored content is missing or fails its hash
└── Fatal                the store can no longer promise anything: stop the server
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple


class FieldError(NamedTuple):
    """One wrong field: its path (``contacts[3].email``), a code, and a sentence."""

    field: str
    code: str
    detail: str


class HeadwaterError(Exception):
    """Any failure that Headwater names; ``detail`` says what was wrong and where, for the caller to read."""

    code: ClassVar[str] = "INTERNAL"
    title: ClassVar[str] = "Internal error"
    hint: ClassVar[str] = "Look in the server's log for the request id."

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
    """A cursor that cannot be used; its ``reason`` is malformed, forged, foreign, ahead or expired.

    Source: files contract, "Error codes": SYNC_CURSOR_INVALID.
    """

    code = "SYNC_CURSOR_INVALID"
    title = "Cursor invalid"
    hint = (
        "When the reason is 'expired', go on from the cursor in the answer. Otherwise begin anew: files with cursor=0"
        " (without one they begin now, and what was before is lost), the record feed without a cursor."
    )


class HeadersTooLarge(Malformed):
    """The request line and headers together are over their limit."""

    code = "HEADERS_TOO_LARGE"
    title = "Request head too large"
    hint = "Send fewer or shorter headers and parameters."


class BodyTimeout(Malformed):
    """The body did not arrive in the time that its size allows."""

    code = "BODY_TIMEOUT"
    title = "Body too slow"
    hint = "Send the request again over a faster line, or send less at once."


class Invalid(HeadwaterError):
    """The request is well-formed but a field has a wrong type or value; ``errors`` names each."""

    code = "INVALID"
    title = "Invalid value"
    hint = "Mend the fields that 'errors' names and send the request again."

    @classmethod
    def of(cls, field: str, code: str, detail: str) -> Invalid:
        """The error of one field: its path, a code, and what is wrong with it."""
        return cls(f"{field}: {detail}", fields=(FieldError(field, code, detail),))


class Unauthenticated(HeadwaterError):
    """No token, or one that is unknown, revoked or expired."""

    code = "UNAUTHENTICATED"
    title = "Authentication required"
    hint = "Send 'Authorization: Bearer TOKEN'; make one with 'headwater token create'."


class Forbidden(HeadwaterError):
    """The caller may see the thing, but its role or scope is too low for this."""

    code = "FORBIDDEN"
    title = "Not allowed"
    hint = "Use a token with the role or scope that the detail names."


class NotFound(HeadwaterError):
    """Unknown, deleted, or another tenant's: told alike, so that nobody can probe."""

    code = "NOT_FOUND"
    title = "Not found"
    hint = "Check the id and that the token belongs to the right organisation."


class MethodNotAllowed(HeadwaterError):
    """The path exists, but not with this method; ``allow`` lists those that do."""

    code = "METHOD_NOT_ALLOWED"
    title = "Method not allowed"
    hint = "Use one of the methods in the Allow header."


class UpgradeRequired(HeadwaterError):
    """The path is a WebSocket; a plain request has nothing to get there."""

    code = "UPGRADE_REQUIRED"
    title = "WebSocket required"
    hint = "Open the path with a WebSocket client."


class MediaUnsupported(HeadwaterError):
    """The body is coded or typed in a way that this server does not read."""

    code = "MEDIA_UNSUPPORTED"
    title = "Body not readable"
    hint = "Send the body without Content-Encoding, in the type that the API description names."


class StateConflict(HeadwaterError):
    """The present state does not allow the change."""

    code = "STATE_CONFLICT"
    title = "Conflict with the present state"
    hint = "Read the present state, decide anew, and repeat."


class VersionStale(StateConflict):
    """The base version is outdated, missing or unknown: pull first.

    Source: files contract, "Error codes": SYNC_VERSION_STALE.
    """

    code = "SYNC_VERSION_STALE"
    title = "Base version outdated"
    hint = "Pull the changes since your cursor, then apply on the present version."


class SyncConflict(StateConflict):
    """Both sides changed the same thing; a conflict record exists.

    Source: files contract, "Error codes": SYNC_CONFLICT.
    """

    code = "SYNC_CONFLICT"
    title = "Version conflict"
    hint = "Look at the conflict record and resolve it with one of the strategies."


class Gone(HeadwaterError):
    """It existed and ended; begin anew."""

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
    """The asked range lies outside the content; ``size_bytes`` is its length."""

    code = "RANGE_UNSATISFIABLE"
    title = "Range not satisfiable"
    hint = "Ask for a range inside the length that Content-Range gives."


class TooManyRequests(HeadwaterError):
    """Over a rate or session limit; ``Retry-After`` says how many seconds to wait."""

    code = "TOO_MANY_REQUESTS"
    title = "Too many requests"
    hint = "Wait as long as Retry-After says; raise the limit in the settings if it is too low."


class Unavailable(HeadwaterError):
    """Overloaded, stopping or out of disk for the moment."""

    code = "UNAVAILABLE"
    title = "Temporarily unavailable"
    hint = "Retry after the time in Retry-After."


class QuotaExceeded(HeadwaterError):
    """The space of the organisation, the share or the disk is used up; the detail names the level."""

    code = "QUOTA_EXCEEDED"
    title = "Out of space"
    hint = (
        "Raise the quota of the level that the detail names, or delete a share: what it holds stops counting at once."
        " The trash and older versions count. A disk that is full needs room made on it."
    )


class UpstreamFailed(HeadwaterError):
    """A source that we depend on failed or answered nonsense; nothing was changed."""

    code = "UPSTREAM_FAILED"
    title = "Upstream failed"
    hint = "The last good state is still served; look at the source and try again later."


class Damaged(HeadwaterError):
    """Stored content is missing or fails its hash; what can be read elsewhere still is."""

    code = "CONTENT_DAMAGED"
    title = "Stored content damaged"
    hint = "Run 'headwater verify' to see what is hit, then restore the packs that it names from a backup."


class Fatal(HeadwaterError):
    """The store can no longer promise durability (a failed fsync): writing stops and the server exits."""

    code = "FATAL"
    title = "Storage failure"
    hint = "Check the disk, then start again: everything acknowledged before is on disk."
