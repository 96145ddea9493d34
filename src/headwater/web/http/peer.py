"""The peer of a connection: its address, and the account of this machine that opened it.

A proxy on the same machine that adds no header looks like a person at the machine. The account tells them apart: a
web server runs under a system account. Decision: docs/decisions/0009-who-is-this-machine.md.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

_STATE = "peer"
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_SHORT_BYTES = 64 * 1024
_PAGE_BYTES = 16 * 1024
_LOCAL_FIELD, _REMOTE_FIELD, _ACCOUNT_FIELD = 1, 2, 7

PERSON_ACCOUNTS = range(1000, 60_514)
"""The user ids that systems give to people. Source: login.defs (UID_MIN, UID_MAX), systemd's "Users, groups, UIDs"."""


class _TableLong(Exception):
    """The table of connections has more lines than are read at once."""


class Endpoint(NamedTuple):
    """An address and a port of TCP."""

    host: str
    port: int


NOWHERE = Endpoint("", 0)
"""The end of a connection that has no address, such as a socket in the file system."""


class Peer:
    """The two ends of a connection, as the system knows them: no header changes them."""

    __slots__ = ("_account", "client", "server")

    def __init__(self, client: Endpoint, server: Endpoint) -> None:
        self.client = client
        self.server = server
        self._account: int | bool | None = False

    async def is_person(self) -> bool:
        """True when the connection was opened on this machine by a person's account, or by the server's own.

        Where the system does not tell the account, a loopback address is enough.
        """
        if not is_loopback_address(self.client.host):
            return False
        if self._account is False:
            # Once a connection. A short table of the system's connections is read at once, a long one by a thread.
            try:
                self._account = account_of(self.client, self.server, most_bytes=_SHORT_BYTES)
            except _TableLong:
                self._account = await asyncio.to_thread(account_of, self.client, self.server)
        return is_person(self._account)


def is_person(account: int | None) -> bool:
    """True for the user id of a person or of this process, and when the system does not tell it."""
    return account is None or account == os.getuid() or account in PERSON_ACCOUNTS


def is_loopback_address(host: str) -> bool:
    """True for an address of the loopback interface, also one of IPv4 that is written in IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def account_of(
    local: Endpoint, remote: Endpoint, tables: tuple[Path, ...] = _TABLES, most_bytes: int | None = None
) -> int | None:
    """Returns the user id of this machine's socket between two ends; None where the system does not tell it.

    Raises: _TableLong when it is not in the first ``most_bytes`` of a table that has more.
    """
    wanted = {(one, other) for one in _written(local) for other in _written(remote)}
    for table in tables:
        try:
            with table.open("rb", buffering=0) as file:
                content = _read(file, most_bytes)
        except OSError:
            continue
        for line in content.decode("ascii", "replace").splitlines()[1:]:
            fields = line.split()
            if len(fields) > _ACCOUNT_FIELD and (fields[_LOCAL_FIELD], fields[_REMOTE_FIELD]) in wanted:
                return int(fields[_ACCOUNT_FIELD])
        if most_bytes is not None and len(content) >= most_bytes:
            raise _TableLong
    return None


def _read(file: IO[bytes], most_bytes: int | None) -> bytes:
    """Reads a table, which gives a page at a time, up to a number of bytes or to its end."""
    pieces, size_bytes = [], 0
    while (most_bytes is None or size_bytes < most_bytes) and (piece := file.read(_PAGE_BYTES)):
        pieces.append(piece)
        size_bytes += len(piece)
    return b"".join(pieces)


def put(scope: Mapping[str, Any], peer: Peer) -> None:
    """Puts the peer of a connection into an ASGI scope."""
    scope["state"][_STATE] = peer


def peer_of(scope: Mapping[str, Any]) -> Peer:
    """Returns the peer that the connection put into an ASGI scope; without a connection, the scope's own client."""
    found = scope.get("state", {}).get(_STATE)
    if isinstance(found, Peer):
        return found
    return Peer(Endpoint(*(scope.get("client") or NOWHERE)), Endpoint(*(scope.get("server") or NOWHERE)))


def _written(end: Endpoint) -> Iterator[str]:
    """Yields an end as Linux writes it in its tables: words of the address in the byte order of the machine."""
    try:
        address = ipaddress.ip_address(end.host)
    except ValueError:
        return
    forms = [address.packed]
    if address.version == 4:
        forms.append(bytes(10) + b"\xff\xff" + address.packed)
    elif address.ipv4_mapped is not None:
        forms.append(address.ipv4_mapped.packed)
    for packed in forms:
        words = [int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)]
        yield "".join(f"{word:08X}" for word in words) + f":{end.port:04X}"
