"""The server as other people's infrastructure sees it: proxies with a prefix, probes, browsers of other origins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from headwater.base.settings.table import Settings
from headwater.web.contract import Contract
from headwater.web.http.bodies import Message
from headwater.web.http.cross_origin import CrossOrigin
from headwater.web.http.hosts import same_site
from headwater.web.http.public_path import PublicPath
from headwater.web.reply import Header, Reply

PROBES = frozenset((b"/healthz", b"/readyz"))
"""The paths that a load balancer asks for, also over HTTP/1.0 without a Host."""

_UPLOADS = "/api/v1/uploads/"
_OVERRIDES = frozenset((b"PATCH", b"DELETE"))


class Outside:
    """Fits requests and answers to callers that reach the server through a proxy or from a page of another origin."""

    def __init__(self, settings: Settings, contracts: Iterable[Contract]) -> None:
        paths = [
            prefix + path
            for contract in contracts
            for prefix in contract.prefixes
            for path in (*(route.path for route in contract.routes), *(socket.path for socket in contract.sockets))
        ]
        self._public_url = settings.server.public_url
        self._public_path = PublicPath(settings.server, paths)
        self._cross_origin = CrossOrigin(settings.server.allowed_origins)

    def inward(self, scope: Message) -> Message:
        """Returns a request's scope, its path without the public prefix."""
        path = self._public_path.inward(scope["raw_path"])
        return scope if path is scope["raw_path"] else {**scope, "raw_path": path}

    def prefix(self, scope: Message, headers: Mapping[bytes, bytes]) -> str:
        """Returns the prefix under which the caller sees the server."""
        return self._public_path.prefix_of(scope, headers).decode("ascii")

    def outward(self, scope: Message, headers: Mapping[bytes, bytes], reply: Reply, allow: str = "") -> Reply:
        """Returns a reply with what its caller's place needs; ``allow`` are the methods of an OPTIONS request."""
        reply = self._public_path.outward(scope, headers, reply)
        more: tuple[Header, ...] = ((b"allow", allow.encode()),) if allow else ()
        if self._cross_origin.is_used:
            origin = headers.get(b"origin") or _origin_of(scope)
            more += self._cross_origin.headers(origin)
            if allow and b"access-control-request-method" in headers:
                more += self._cross_origin.preflight(origin, allow)
        return reply._replace(headers=(*reply.headers, *more)) if more else reply

    def admits_socket(self, headers: Mapping[bytes, bytes]) -> bool:
        """True when a page that opens a socket is ours, or of an origin that the setting allows."""
        return same_site(dict(headers), self._public_url) or self._cross_origin.allows(headers.get(b"origin"))


def is_probe(scope: Mapping[str, Any]) -> bool:
    """True for a probe over HTTP/1.0, which has no Host."""
    return scope.get("http_version") == "1.0" and scope["raw_path"].rstrip(b"/") in PROBES


def method_of(method: str, path: str, headers: Mapping[bytes, bytes]) -> str:
    """Returns the method of a request: that of X-HTTP-Method-Override for a POST of tus to an upload.

    On every other path the header is ignored: a proxy that lets no DELETE through must not be passed by a POST.
    Source: tus 1.0, "X-HTTP-Method-Override".
    """
    override = headers.get(b"x-http-method-override")
    if override is None or method != "POST" or b"tus-resumable" not in headers or not path.startswith(_UPLOADS):
        return method
    return override.decode("ascii") if override in _OVERRIDES else method


def _origin_of(scope: Message) -> bytes | None:
    """Returns the origin of a request that was refused before its headers were read."""
    return next((value for name, value in scope["headers"] if name == b"origin"), None)
