"""The account of this machine that opened a connection, as Linux reports it.

One question to the kernel names the two ends and gets the socket's user id, however many connections there are. Where
that is not possible, the table of all connections in ``/proc`` is read. Source: sock_diag(7), proc(5).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOCAL_FIELD, _REMOTE_FIELD, _ACCOUNT_FIELD = 1, 2, 7

_SOCK_DIAG = 4
_BY_FAMILY = 20
_REQUEST_FLAG = 1
_ALL_STATES = 0xFFFF_FFFF
_ANY_COOKIE = 0xFFFF_FFFF
_HEAD = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI")
_PORTS = struct.Struct("!HH")
_SOCKET = struct.Struct("=III")
_ACCOUNT = struct.Struct("=I")
_ACCOUNT_PLACE = _HEAD.size + 4 + 48 + 12
_WAIT_SECONDS = 0.2


class Endpoint(NamedTuple):
    """An address and a port of TCP."""

    host: str
    port: int


def asked_account(local: Endpoint, remote: Endpoint) -> int | None:
    """Returns the user id of this machine's socket between two ends, None for no such socket. Takes 0.1 ms.

    Raises: OSError where the system does not answer such questions.
    """
    ends = [_plain(end.host) for end in (local, remote)]
    if ends[0] is None or ends[1] is None or len(ends[0]) != len(ends[1]):
        return None
    family = socket.AF_INET if len(ends[0]) == 4 else socket.AF_INET6
    question = b"".join(
        (
            _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES),
            _PORTS.pack(local.port, remote.port),
            *(end.ljust(16, b"\0") for end in ends if end is not None),
            _SOCKET.pack(0, _ANY_COOKIE, _ANY_COOKIE),
        )
    )
    if not hasattr(socket, "AF_NETLINK"):
        raise OSError("this system has no netlink")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as link:
        link.settimeout(_WAIT_SECONDS)
        link.sendto(_HEAD.pack(_HEAD.size + len(question), _BY_FAMILY, _REQUEST_FLAG, 1, 0) + question, (0, 0))
        answer = link.recv(4096)
    if _HEAD.unpack_from(answer)[1] != _BY_FAMILY or len(answer) < _ACCOUNT_PLACE + _ACCOUNT.size:
        return None
    account: int = _ACCOUNT.unpack_from(answer, _ACCOUNT_PLACE)[0]
    return account


def listed_account(local: Endpoint, remote: Endpoint, tables: tuple[Path, ...] = _TABLES) -> int | None:
    """Returns the same from the table of all connections; None also where the system has no such table."""
    wanted = {(one, other) for one in _written(local) for other in _written(remote)}
    for table in tables:
        try:
            lines = table.read_text("ascii").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines[1:]:
            fields = line.split()
            if len(fields) > _ACCOUNT_FIELD and (fields[_LOCAL_FIELD], fields[_REMOTE_FIELD]) in wanted:
                return int(fields[_ACCOUNT_FIELD])
    return None


def _plain(host: str) -> bytes | None:
    """Returns an address as bytes, one of IPv4 that is written in IPv6 as IPv4; None for no address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).packed


def _written(end: Endpoint) -> Iterator[str]:
    """Yields an end as Linux writes it in its tables: words of the address in the byte order of the machine."""
    packed = _plain(end.host)
    if packed is None:
        return
    forms = [packed]
    if len(packed) == 4:
        forms.append(bytes(10) + b"\xff\xff" + packed)
    for form in forms:
        words = [int.from_bytes(form[at : at + 4], sys.byteorder) for at in range(0, len(form), 4)]
        yield "".join(f"{word:08X}" for word in words) + f":{end.port:04X}"
