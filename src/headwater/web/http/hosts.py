"""Checks of the Host header, against DNS rebinding, and of the Origin header, against pages of other sites."""

from __future__ import annotations

from headwater.base.errors import Malformed

_CACHED_HOSTS = 1000


class AllowedHosts:
    """Compares a request's Host header with the allowed names; a port is ignored."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._good: set[bytes] = set()

    def check(self, host: bytes | None, count: int) -> None:
        """Raises Malformed unless the request has exactly one Host header, with an allowed name."""
        if host in self._good and count == 1:
            return
        if host is None or count != 1:
            raise Malformed("exactly one Host header is needed", code="HOST_INVALID")
        if _name_of(host.decode("latin-1").lower()) not in self._names:
            raise Malformed(
                "this server does not answer to that Host name; an operator adds it to server.allowed_hosts",
                code="HOST_INVALID",
            )
        if len(self._good) < _CACHED_HOSTS:
            self._good.add(host)


def _name_of(host: str) -> str:
    """Returns the name without its port and, for an IPv6 address, without its brackets."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit() or name.endswith(":"):
        name = host
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name


def same_site(headers: dict[bytes, bytes], public_url: str | None) -> bool:
    """True when no page of another site sent the request: its Origin, if it has one, is this server."""
    origin = headers.get(b"origin")
    if origin is None:
        return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")
    host = origin.split(b"://", 1)[-1]
    return host == headers.get(b"host") or origin.decode("latin-1") == (public_url or "").rstrip("/")
