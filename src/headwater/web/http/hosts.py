"""Checks of the Host header, against DNS rebinding, and of the Origin header, against pages of other sites."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from headwater.base.errors import Malformed
from headwater.web.http.peer import is_loopback_address

_FORWARDING_NAMES = frozenset(
    (
        *(b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"client-ip", b"true-client-ip", b"x-cluster-client-ip"),
        *(b"x-remote-ip", b"x-remote-addr", b"x-host", b"x-scheme", b"x-url-scheme", b"x-request-start"),
        *(b"front-end-https", b"cdn-loop", b"x-script-name", b"x-original-to", b"x-coming-from", b"x-rewrite-url"),
        b"x-proxy-user",
    )
)  # fmt: skip
_FORWARDING_PREFIXES = (
    b"x-forwarded", b"x-forward-", b"x-original-", b"x-proxyuser", b"x-envoy-", b"x-amzn-", b"x-amz-cf-", b"x-arr-",
    b"x-azure-", b"x-appengine-", b"x-goog-", b"x-google-", b"x-vercel-", b"x-ngrok-", b"x-nginx-", b"x-haproxy-",
    b"x-sucuri-", b"x-akamai-", b"x-tailscale-", b"tailscale-", b"cf-", b"fastly-", b"fly-", b"akamai-", b"cloudfront-",
)  # fmt: skip
"""The headers that proxies, tunnels and content delivery networks add, by their documentation."""

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


def is_loopback_host(host: bytes | None) -> bool:
    """True when a Host header names this machine's loopback: ``localhost`` or a loopback address."""
    name = _name_of((host or b"").decode("latin-1").lower())
    return name == "localhost" or is_loopback_address(name)


def is_forwarded(headers: Iterable[bytes]) -> bool:
    """True when a header shows that a proxy or a tunnel passed the request on."""
    return any(name in _FORWARDING_NAMES or name.startswith(_FORWARDING_PREFIXES) for name in headers)


def same_site(headers: dict[bytes, bytes], public_url: str | None) -> bool:
    """True when no page of another site sent the request: its Origin, if it has one, is this server."""
    origin = headers.get(b"origin")
    if origin is None:
        return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")
    scheme, mark, host = origin.partition(b"://")
    if not mark or scheme not in (b"http", b"https"):
        return False
    return host == headers.get(b"host") or origin.decode("latin-1") == origin_of(public_url)


def origin_of(url: str | None) -> str | None:
    """Returns the origin of an address: its scheme and its host, without a path."""
    if url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()
