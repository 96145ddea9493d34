"""The peer of a connection: the account that opened it, as the system tells it, and who counts as a person."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.web.http import peer
from headwater.web.http.peer import NOWHERE, Peer, is_loopback_address, is_person, peer_of
from headwater.web.http.socket_account import Endpoint, asked_account, listed_account
from tests.support.server.live import LiveServer

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LINE = "   0: {local} {remote} 01 00000000:00000000 00:00000000 00000000  {uid}        0 1145 1 0 100 0 0 10 0\n"
CLIENT, SERVER = Endpoint("127.0.0.1", 40_000), Endpoint("127.0.0.1", 8484)


def table(folder: Path, local: str, remote: str, uid: int) -> tuple[Path]:
    path = folder / "tcp"
    path.write_text(HEAD + LINE.format(local=local, remote=remote, uid=uid))
    return (path,)


@pytest.mark.skipif(sys.byteorder != "little", reason="the lines are those of a little-endian machine")
@pytest.mark.parametrize(
    ("client", "server", "local", "remote"),
    [
        (CLIENT, SERVER, "0100007F:9C40", "0100007F:2124"),
        (CLIENT, SERVER, "0000000000000000FFFF00000100007F:9C40", "0000000000000000FFFF00000100007F:2124"),
        (
            Endpoint("::1", 40_000), Endpoint("::1", 8484),
            "00000000000000000000000001000000:9C40", "00000000000000000000000001000000:2124",
        ),
        (Endpoint("::ffff:127.0.0.1", 40_000), Endpoint("::ffff:127.0.0.1", 8484), "0100007F:9C40", "0100007F:2124"),
    ],
)  # fmt: skip
def test_the_account_is_read_from_the_line_of_the_clients_socket(
    tmp_path: Path, client: Endpoint, server: Endpoint, local: str, remote: str
) -> None:
    assert listed_account(client, server, table(tmp_path, local, remote, 33)) == 33
    assert listed_account(server, client, table(tmp_path, local, remote, 33)) is None
    assert listed_account(client._replace(port=40_001), server, table(tmp_path, local, remote, 33)) is None


def test_a_system_without_the_table_tells_no_account(tmp_path: Path) -> None:
    assert listed_account(CLIENT, SERVER, (tmp_path / "none",)) is None
    assert listed_account(Endpoint("/run/socket", 0), SERVER) is None


def test_a_person_is_an_account_of_people_or_the_servers_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 990)
    persons = {None, 990, 1000, 1001, 60_000, 60_513}
    others = {0, 1, 33, 101, 999, 61_184, 65_534, 100_033}
    assert {account for account in persons | others if is_person(account)} == persons
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert is_person(0)
    assert not is_person(33)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False), ("", False), ("localhost", False), ("testclient", False),
    ],
)  # fmt: skip
def test_only_an_address_of_the_loopback_interface_is_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback_address(host) is loopback
    assert asyncio.run(Peer(Endpoint(host, 0), SERVER).is_person()) is loopback


def test_the_account_is_asked_for_once_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Endpoint] = []

    def account(local: Endpoint, _remote: Endpoint) -> int:
        asked.append(local)
        return 33

    monkeypatch.setattr(peer, "asked_account", account)
    one = Peer(CLIENT, SERVER)
    assert [asyncio.run(one.is_person()) for _ in range(3)] == [False] * 3
    assert asked == [CLIENT]


def test_a_system_that_does_not_answer_has_its_table_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_local: Endpoint, _remote: Endpoint) -> int:
        raise OSError("no netlink")

    monkeypatch.setattr(peer, "asked_account", refused)
    monkeypatch.setattr(peer, "listed_account", lambda _local, _remote: 33)
    assert asyncio.run(Peer(CLIENT, SERVER).is_person()) is False


def test_a_request_without_a_connection_has_the_peer_that_its_scope_names() -> None:
    assert peer_of({"client": ("10.0.0.1", 5), "server": ("127.0.0.1", 8484)}).client == Endpoint("10.0.0.1", 5)
    assert peer_of({}).client == NOWHERE
    known = Peer(CLIENT, SERVER)
    scope = {"state": {}, "client": ("10.0.0.1", 5)}
    peer.put(scope, known)
    assert peer_of(scope) is known


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system has no such table")
def test_a_real_connection_tells_the_account_of_its_client() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, address = server.accept()
        with accepted:
            ends = Endpoint(*address), Endpoint(*server.getsockname())
            assert listed_account(*ends) == asked_account(*ends) == os.getuid()
            assert asked_account(ends[0]._replace(port=1), ends[1]) is None
            assert client.getsockname() == address


ASK = """
import os, socket, sys
os.setuid(int(sys.argv[2]))
link = socket.socket()
link.connect(("127.0.0.1", int(sys.argv[1])))
link.sendall(b"GET /api/v1/contacts HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
print(link.recv(4096).split()[1].decode())
"""


@pytest.mark.sqlite_only
@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another account")
@pytest.mark.parametrize(("account", "status"), [(33, "401"), (999, "401"), (65_534, "401"), (1000, "200")])
def test_a_system_account_of_the_same_machine_needs_a_token(live_server: LiveServer, account: int, status: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(live_server.port), str(account)], capture_output=True, text=True, check=True
    )
    assert asked.stdout.strip() == status


@pytest.mark.sqlite_only
def test_the_servers_own_account_needs_none(live_server: LiveServer) -> None:
    link = http.client.HTTPConnection("127.0.0.1", live_server.port, timeout=10)
    link.request("GET", "/api/v1/contacts")
    assert link.getresponse().status == 200
    link.close()
