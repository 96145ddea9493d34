"""The path under which callers see this server, where a proxy puts it below a prefix.

A proxy takes the prefix from a request's path; the links in the answer must have it again. It is known from
``server.public_url``, or from ``X-Forwarded-Prefix`` of a trusted proxy. Where a header shows some proxy and nothing
names the prefix, links are relative to the request's own path, and lead back through any prefix.
Source: RFC 9110 section 10.2.2 (Location), RFC 8288 section 3.1 (Link), RFC 3986 section 4.2.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from headwater.base.settings.table import ServerSettings
from headwater.web.errors import TYPE_BASE
from headwater.web.http.hosts import is_forwarded
from headwater.web.http.peer import peer_of
from headwater.web.reply import Header, Reply

_PREFIX = re.compile(rb"(?:/[A-Za-z0-9._~-]{1,64}){1,8}/?")
_TYPE_START = f'{{"type":"{TYPE_BASE}'.encode()
_LINKS = frozenset((b"location", b"link"))

Scope = Mapping[str, Any]


class PublicPath:
    """The prefix of one server's public address, and what it does to requests and answers."""

    def __init__(self, settings: ServerSettings, paths: Iterable[str]) -> None:
        self._is_told = settings.public_url is not None
        self._own = urlsplit(settings.public_url or "").path.rstrip("/").encode()
        inside = self._own.decode() + "/"
        self._is_taken = not self._own or any((path + "/").startswith(inside) for path in paths)
        self._trusted = [ipaddress.ip_network(proxy, strict=False) for proxy in settings.trusted_proxies]

    def inward(self, path: bytes) -> bytes:
        """Returns a request's path without the prefix, for a proxy that leaves it in.

        A prefix with which paths of the server begin is left alone: a proxy takes that off itself.
        """
        if self._is_taken or not path.startswith(self._own):
            return path
        rest = path[len(self._own) :]
        return path if rest and not rest.startswith(b"/") else rest or b"/"

    def prefix_of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> bytes:
        """Returns the prefix under which the caller of a request sees the server; empty where none is known."""
        given = headers.get(b"x-forwarded-prefix")
        if self._own or given is None or not self._trusts(peer_of(scope).client.host):
            return self._own
        return given.rstrip(b"/") if _PREFIX.fullmatch(given) else b""

    def outward(self, scope: Scope, headers: Mapping[bytes, bytes], reply: Reply) -> Reply:
        """Returns a reply whose links lead back through the prefix."""
        is_problem = reply.body.startswith(_TYPE_START)
        if not is_problem and not any(name in _LINKS for name, _ in reply.headers):
            return reply
        prefix = self.prefix_of(scope, headers)
        if prefix:
            body = reply.body.replace(b'"/', b'"' + prefix + b"/", 1) if is_problem else reply.body
            return reply._replace(headers=tuple(_prefixed(header, prefix) for header in reply.headers), body=body)
        if self._is_told or not is_forwarded(headers):
            return reply
        path: bytes = scope["raw_path"]
        return reply._replace(headers=tuple(_relative(header, path) for header in reply.headers))

    def _trusts(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None)
        return any((mapped or address) in network for network in self._trusted)


def reference(base: bytes, target: bytes) -> bytes:
    """Returns a target of the same server relative to a base path, both beginning with a slash."""
    path, mark, rest = target.partition(b"?")
    base_parts, parts = base.split(b"/")[:-1], path.split(b"/")
    common = 0
    while common < min(len(base_parts), len(parts) - 1) and base_parts[common] == parts[common]:
        common += 1
    steps = [b".."] * (len(base_parts) - common) + parts[common:]
    # A first step with a colon would be read as a scheme, and an empty one as the base itself.
    if not steps[0] or b":" in steps[0]:
        steps = [b".", *steps]
    return b"/".join(steps) + mark + rest


def _prefixed(header: Header, prefix: bytes) -> Header:
    name, value = header
    if name == b"location" and value.startswith(b"/"):
        return name, prefix + value
    if name == b"link":
        return name, value.replace(b"</", b"<" + prefix + b"/")
    return header


def _relative(header: Header, path: bytes) -> Header:
    name, value = header
    if name == b"location" and value.startswith(b"/"):
        return name, reference(path, value)
    if name != b"link":
        return header
    parts = value.split(b"</")
    targets = [part.partition(b">") for part in parts[1:]]
    return name, parts[0] + b"".join(b"<" + reference(path, b"/" + its) + mark + rest for its, mark, rest in targets)
