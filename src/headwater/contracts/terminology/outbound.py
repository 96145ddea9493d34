"""The hosts that the server may fetch from: listed ones over HTTPS, at addresses of the public Internet or listed ones.

Every check is made on the address that is then connected to, so that a name cannot point elsewhere in between.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from headwater.base.errors import Invalid, StateConflict
from headwater.base.settings.table import is_loopback

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PLAIN = re.compile(r"[!-~]+")
# They carry an IPv4 address inside, which could be a private one.
_TRANSLATED = tuple(
    ipaddress.IPv6Network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32", "::/96")
)


class OutboundTarget(NamedTuple):
    """The parts of an acceptable URL; ``host`` is in lower case and without brackets."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"

    def at(self, address: str) -> str:
        """The URL with an address in place of the host's name."""
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def target(url: str, allowed_hosts: Sequence[str]) -> OutboundTarget:
    """The parts of a URL from which labels may be fetched. Raises: Invalid, StateConflict (the host is not listed)."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        if not _PLAIN.fullmatch(url) or "\\" in url or not host:
            raise _refused("it is no URL in plain ASCII with a host")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise _refused("a user, a password and a fragment have no place in it")
        if host not in {allowed.lower().strip("[]") for allowed in allowed_hosts}:
            raise StateConflict(
                f"the setting terminology.allowed_hosts does not name {host}; add it there first",
                code="SOURCE_HOST_NOT_ALLOWED",
            )
        port = parts.port
    except ValueError:
        raise _refused("it is no URL") from None
    # Without TLS only within this machine, where no one can listen in.
    if parts.scheme not in (("https", "http") if is_loopback(host) else ("https",)):
        raise _refused("labels are fetched over https only")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return OutboundTarget(parts.scheme, host, port or {"https": 443, "http": 80}[parts.scheme], path)


def usable(addresses: Sequence[str], allowed_hosts: Sequence[str]) -> list[str]:
    """Those of a host's addresses that may be connected to: public ones, and those that are listed themselves."""
    listed = {address for host in allowed_hosts if (address := _parsed(host.strip("[]"))) is not None}
    return [
        text for text in addresses if (found := _parsed(text)) is not None and (found in listed or is_public(found))
    ]


def is_public(address: Address) -> bool:
    """True for an address of the public Internet that hides no other one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.is_site_local or any(address in network for network in _TRANSLATED):
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _parsed(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _refused(reason: str) -> Invalid:
    return Invalid.of("url", "incorrect_value", reason)
