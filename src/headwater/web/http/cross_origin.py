"""Cross-origin requests: the pages of other origins that may call this server, and the answers to their preflights.

A page calls with a token, never with a cookie. Source: Fetch standard, "CORS protocol".
"""

from __future__ import annotations

from headwater.web.http.hosts import origin_of
from headwater.web.reply import Header

PREFLIGHT_SECONDS = 7200
"""How long a browser may keep the answer to a preflight; Chromium keeps none longer."""

ANY = "*"

EXPOSED = (
    "Accept-Ranges", "Allow", "Content-Disposition", "Content-Range", "ETag", "Link", "Location", "Repr-Digest",
    "Retry-After", "Tus-Checksum-Algorithm", "Tus-Extension", "Tus-Max-Size", "Tus-Resumable", "Tus-Version",
    "Upload-Defer-Length", "Upload-Expires", "Upload-Length", "Upload-Metadata", "Upload-Offset", "WWW-Authenticate",
    "X-Checksum-SHA256", "X-Commit-Error", "X-Modified-At", "X-Request-Id", "X-Resource-Id", "X-Version-Id",
)  # fmt: skip
"""The headers of answers that a page may read."""

ACCEPTED = (
    "Accept", "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "If-Range", "Range",
    "Tus-Resumable", "Upload-Checksum", "Upload-Defer-Length", "Upload-Length", "Upload-Metadata", "Upload-Offset",
    "Want-Repr-Digest", "X-Basecrm-Device-UUID", "X-Device-Id", "X-HTTP-Method-Override", "X-Request-Id",
)  # fmt: skip
"""The headers of requests that a page may send."""

_EXPOSE: Header = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
_ACCEPT: Header = (b"access-control-allow-headers", ", ".join(ACCEPTED).encode())
_AGE: Header = (b"access-control-max-age", str(PREFLIGHT_SECONDS).encode())
_VARY: Header = (b"vary", b"origin")


class CrossOrigin:
    """The origins that a setting allows; without any, no answer has a header of this protocol."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._any = ANY in origins
        self._origins = frozenset((origin_of(origin) or "").encode() for origin in origins if origin != ANY)
        self.is_used = bool(origins)

    def allows(self, origin: bytes | None) -> bool:
        """True when pages of this origin may call."""
        return origin is not None and (self._any or origin in self._origins)

    def headers(self, origin: bytes | None) -> tuple[Header, ...]:
        """Returns the headers of an answer to a page of this origin; a cache stores it for each origin apart."""
        if not self.is_used:
            return ()
        if origin is None or not self.allows(origin):
            return (_VARY,)
        return (_VARY, (b"access-control-allow-origin", b"*" if self._any else origin), _EXPOSE)

    def preflight(self, origin: bytes | None, methods: str) -> tuple[Header, ...]:
        """Returns what the answer to a preflight has beside ``headers``: methods, headers, and how long it holds."""
        if not self.allows(origin):
            return ()
        return ((b"access-control-allow-methods", methods.encode()), _ACCEPT, _AGE)
