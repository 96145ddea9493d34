"""The headers of tus, in requests and in answers.

Source: tus resumable upload protocol 1.0.0.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from email.utils import formatdate
from typing import Any

from headwater.base.clock import SECOND_US
from headwater.base.errors import Invalid, Malformed, MediaUnsupported
from headwater.base.wire import format_seconds, parse_time
from headwater.contracts.files.caller import device_of
from headwater.contracts.files.uploads.rules import TUS, Beginning, Completed, Request, Upload
from headwater.web.call import Call
from headwater.web.reply import Header

CHECKSUMS = ("sha256", "sha1", "md5")
"""The algorithms of Upload-Checksum."""

_BODY_TYPE = "application/offset+octet-stream"
_MAX_DIGITS = 18


class Checksum:
    """The checksum that a request's body must have. Source: tus 1.0, "Checksum"."""

    def __init__(self, name: str, expected: bytes) -> None:
        self._digest: Any = hashlib.new(name, usedforsecurity=False)
        self._expected = expected

    @classmethod
    def of(cls, call: Call) -> Checksum | None:
        """The checksum in the header Upload-Checksum, or None. Raises: Malformed."""
        given = call.header(b"upload-checksum")
        if given is None:
            return None
        name, _, encoded = given.strip().partition(" ")
        if name not in CHECKSUMS:
            raise Malformed(f"Upload-Checksum: the algorithms are {', '.join(CHECKSUMS)}")
        return cls(name, _base64(encoded.strip(), "Upload-Checksum"))

    def update(self, piece: bytes) -> None:
        """Adds the next bytes."""
        self._digest.update(piece)

    def require_equal(self) -> None:
        """Refuses a body of another checksum. Raises: UnequalError."""
        if self._digest.digest() != self._expected:
            raise UnequalError("the bytes do not have the checksum that was given; none was kept")


class UnequalError(Invalid):
    """The body has another checksum than its header states."""

    code = "CHECKSUM_MISMATCH"
    title = "Checksum mismatch"


def state(upload: Upload, completed: Completed | None) -> tuple[Header, ...]:
    """The state of an upload as headers: its offset, its expiry, and the outcome once it is complete."""
    offset_bytes = upload.offset_bytes if upload.version is None else upload.size_bytes
    headers = [
        (b"upload-offset", str(offset_bytes).encode()),
        (b"upload-expires", formatdate(upload.expires_us // SECOND_US, usegmt=True).encode()),
    ]
    if completed is not None:
        headers.append((b"x-version-id", completed.version.id.encode()))
        headers.append((b"x-modified-at", format_seconds(completed.version.modified_us).encode()))
        if completed.landed is not None:
            headers.append((b"x-resource-id", completed.landed.node.id.encode()))
        if completed.failure is not None:
            headers.append((b"x-commit-error", completed.failure.error_code.encode()))
    return tuple(headers)


def size_of(call: Call) -> int | None:
    """The length that a creation states; None when it is deferred."""
    if call.header(b"upload-defer-length") == "1" and b"upload-length" not in call.headers:
        return None
    return integer(call, b"upload-length")


def integer(call: Call, name: bytes) -> int:
    """The number of bytes in a header. Raises: Malformed."""
    text = call.header(name)
    if text is None or not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise Malformed(f"{name.decode()} must be a number of bytes")
    return int(text)


def has_bytes(call: Call) -> bool:
    """True when the head announces bytes."""
    return b"transfer-encoding" in call.headers or call.headers.get(b"content-length", b"0") != b"0"


def require_type(call: Call) -> None:
    """Refuses bytes of another media type than that of tus. Raises: MediaUnsupported."""
    if (call.header(b"content-type") or "").partition(";")[0].strip().lower() != _BODY_TYPE:
        raise MediaUnsupported(f"bytes come as {_BODY_TYPE}")


def beginning_of(call: Call, size_bytes: int | None) -> tuple[str, Beginning]:
    """The share, and the upload that the metadata describes. Raises: Malformed, Invalid."""
    raw = call.header(b"upload-metadata") or ""
    found = _metadata(raw)
    share_id = found.get("share_id") or call.query.get("share_id")
    if not share_id:
        raise Invalid.of("share_id", "missing", "name the share in Upload-Metadata, or with ?share_id=")
    path = found.get("path")
    named = path is not None or "filename" in found or "name" in found
    request = Request(
        path=None if path is None else "/" + path.lstrip("/"),
        folder_id=found.get("folder_id") or call.query.get("folder_id"),
        file_name=found.get("filename") or found.get("name"),
        modified_us=parse_time(found["modified_at"], "modified_at") if "modified_at" in found else None,
        device_id=device_of(call, first=found.get("device_id")),
        commit=named and found.get("commit") != "false",
        base_version_id=found.get("base_version_id"),
        metadata=raw,
    )
    sha256 = found.get("checksum_sha256")
    if sha256 is not None and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
        raise Invalid.of("checksum_sha256", "incorrect_value", "64 hexadecimal digits are expected")
    mime_type = found.get("filetype") or found.get("mime_type")
    if mime_type is not None and not (mime_type.isascii() and mime_type.isprintable() and len(mime_type) <= 255):
        raise Invalid.of("filetype", "incorrect_value", "this is no media type")
    return share_id, Beginning(TUS, size_bytes, 0, mime_type, sha256, request)


def _metadata(raw: str) -> dict[str, str]:
    """The pairs of an Upload-Metadata header. Raises: Malformed."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in raw.split(","))):
        key, _, encoded = pair.partition(" ")
        try:
            found[key] = _base64(encoded.strip(), "Upload-Metadata").decode("utf-8")
        except UnicodeDecodeError:
            raise Malformed(f"Upload-Metadata: {key} is not UTF-8") from None
        if "\0" in found[key]:
            raise Invalid.of(key, "incorrect_value", "text may not hold the character U+0000")
    return found


def _base64(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Malformed(f"{name}: this is not base64") from None
