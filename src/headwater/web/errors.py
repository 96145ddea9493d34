"""Translates errors to HTTP: a status for each class, and the common problem+json envelope. No other module does.

Source: RFC 9457 (problem details).
"""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.base import errors
from headwater.base.errors import HeadwaterError
from headwater.base.wire import encode
from headwater.web.reply import Header, Reply

STATUSES: dict[type[HeadwaterError], int] = {
    errors.Malformed: 400,
    errors.HeadersTooLarge: 431,
    errors.BodyTimeout: 408,
    errors.Invalid: 422,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.UpgradeRequired: 426,
    errors.MediaUnsupported: 415,
    errors.StateConflict: 409,
    errors.Gone: 410,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.RangeUnsatisfiable: 416,
    errors.TooManyRequests: 429,
    errors.UpstreamFailed: 502,
    errors.Unavailable: 503,
    errors.QuotaExceeded: 507,
}
"""HTTP statuses by error class; a subclass has its parent's status."""

PROBLEM_TYPE = "application/problem+json"
TYPE_BASE = "/docs/errors#"


class FieldProblem(msgspec.Struct):
    """One wrong field: its path, a code, and a sentence."""

    field: str
    code: str
    detail: str


class Problem(msgspec.Struct):
    """An error answer; some errors have further members, such as a cursor's reason. Source: RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem]


def status_of(failure: HeadwaterError) -> int:
    """Returns the HTTP status of an error; 500 for a class without one."""
    for kind in type(failure).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500


def error_headers(failure: HeadwaterError, status: int) -> tuple[Header, ...]:
    """Returns the headers of an error in every envelope: WWW-Authenticate, Retry-After, Allow and others."""
    headers: list[Header] = [(b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="headwater"'))
    if failure.retry_after_seconds is not None:
        headers.append((b"retry-after", str(failure.retry_after_seconds).encode()))
    if "allow" in failure.extra:
        headers.append((b"allow", str(failure.extra["allow"]).encode()))
    if status == 415:
        headers.append((b"accept-encoding", b"identity"))
    if status == 426:
        headers += ((b"upgrade", b"websocket"), (b"connection", b"upgrade"))
    if status == 416:
        headers.append((b"content-range", f"bytes */{failure.extra.get('size_bytes', '*')}".encode()))
    return tuple(headers)


def problem(failure: HeadwaterError, status: int, request_id: str) -> Reply:
    """Returns an error as ``application/problem+json``: type, title, status, detail, code, request_id, errors."""
    content: dict[str, Any] = {
        "type": TYPE_BASE + failure.error_code,
        "title": failure.title,
        "status": status,
        "detail": failure.detail,
        "code": failure.error_code,
        "request_id": request_id,
        "errors": [field._asdict() for field in failure.fields],
    }
    for name, value in failure.extra.items():
        content.setdefault(name, value)
    headers = ((b"content-type", PROBLEM_TYPE.encode()), *error_headers(failure, status))
    return Reply(status, headers, encode(content))
