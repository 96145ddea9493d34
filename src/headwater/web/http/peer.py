"""The peer of a connection: its address, and the account of this machine that opened it.

A proxy on the same machine that adds no header looks like a person at the machine. The account shows the difference: a
web server runs under a system account. Decision: docs/decisions/0009-who-is-this-machine.md.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Mapping
from typing import Any

from headwater.web.http.socket_account import Endpoint, asked_account, listed_account

_STATE = "peer"
PERSON_ACCOUNTS = range(1000, 60_514)
"""The user ids that systems give to people. Source: login.defs (UID_MIN, UID_MAX), systemd's "Users, groups, UIDs"."""


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

        Where the system does not report the account, a loopback address is enough.
        """
        if not is_loopback_address(self.client.host):
            return False
        if self._account is False:
            try:
                self._account = asked_account(self.client, self.server)
            except OSError:
                # A thread reads the table, which may be long; once a connection.
                self._account = await asyncio.to_thread(listed_account, self.client, self.server)
        return is_person(self._account)


def is_person(account: int | None) -> bool:
    """True for the user id of a person or of this process, and when the system does not report it."""
    return account is None or account == os.getuid() or account in PERSON_ACCOUNTS


def is_loopback_address(host: str) -> bool:
    """True for an address of the loopback interface, also one of IPv4 that is written in IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def put(scope: Mapping[str, Any], peer: Peer) -> None:
    """Puts the peer of a connection into an ASGI scope."""
    scope["state"][_STATE] = peer


def peer_of(scope: Mapping[str, Any]) -> Peer:
    """Returns the peer that the connection put into an ASGI scope; without a connection, the scope's own client."""
    found = scope.get("state", {}).get(_STATE)
    if isinstance(found, Peer):
        return found
    return Peer(Endpoint(*(scope.get("client") or NOWHERE)), Endpoint(*(scope.get("server") or NOWHERE)))
