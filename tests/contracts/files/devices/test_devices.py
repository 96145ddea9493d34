"""Devices, preferences and the socket of file sync. Source: files contract, "Devices" to "Real-time"."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from headwater.base.clock import SECOND_US
from headwater.contracts.files import access
from headwater.contracts.files.devices import rules as device_rules
from headwater.contracts.files.devices.shapes import DEVICE_EXAMPLE, PREFERENCES_EXAMPLE, REGISTER_EXAMPLE
from headwater.contracts.files.tree import restore
from headwater.feed.compact import Retention, compact
from tests.support.clock import MovableClock
from tests.support.file_share import Device, FileShare
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest
from tests.support.store.databases import address_of, open_at

DEVICES = "/api/v1/sync/devices"


def register(client: Client, device_id: str = "d-1", **more: Any) -> dict[str, Any]:
    answer = client.post(DEVICES, json={"device_id": device_id, "platform": "linux", **more})
    assert answer.status == 201, answer.text
    device: dict[str, Any] = answer.json()
    return device


def test_a_device_registers_as_the_readings_print_it(client: Client) -> None:
    answer = client.post(DEVICES, json=REGISTER_EXAMPLE)
    assert answer.status == 201
    assert set(answer.json()) == set(DEVICE_EXAMPLE)
    assert {name: answer.json()[name] for name in REGISTER_EXAMPLE} == REGISTER_EXAMPLE
    assert client.get(DEVICES).json() == [answer.json()]


def test_registering_again_renews_the_device_and_another_users_id_is_taken(
    server: ServerUnderTest, client: Client
) -> None:
    first = register(client)
    again = client.post(DEVICES, json={"device_id": "d-1", "platform": "macos", "device_name": "laptop"})
    assert (again.status, again.json()["id"], again.json()["platform"]) == (200, first["id"], "macos")
    other = server.caller("default", "coordinator")
    assert other.post(DEVICES, json={"device_id": "d-1", "platform": "linux"}).status == 409
    assert other.get(DEVICES).json() == []


@pytest.mark.parametrize(
    "body",
    [
        {"platform": "linux"},
        {"device_id": "d"},
        {"device_id": "", "platform": "linux"},
        {"device_id": "x" * 129, "platform": "linux"},
        {"device_id": "d", "platform": "amiga"},
        {"device_id": "d", "platform": "linux", "client_version": "latest"},
    ],
)
def test_a_device_that_is_not_described_properly_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert client.post(DEVICES, json=body).status == 422
    assert client.get(DEVICES).json() == []


def test_a_device_gets_another_name_and_rests(client: Client) -> None:
    register(client)
    changed = client.patch(f"{DEVICES}/d-1", json={"device_name": "desk", "is_active": False}).json()
    assert (changed["device_name"], changed["is_active"]) == ("desk", False)
    assert client.patch(f"{DEVICES}/unknown", json={}).status == 404


def test_a_removed_device_is_unknown_on_every_path(client: Client) -> None:
    register(client)
    assert client.delete(f"{DEVICES}/d-1").status == 204
    for method, path in (
        ("DELETE", ""),
        ("PATCH", ""),
        ("POST", "/heartbeat"),
        ("GET", "/preferences"),
    ):
        options: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        assert client.request(method, f"{DEVICES}/d-1{path}", **options).status == 404


def test_a_heartbeat_is_written_once_in_ten_seconds(client: Client, clock: MovableClock) -> None:
    before = register(client)["last_seen_at"]
    clock.advance(9)
    assert client.post(f"{DEVICES}/d-1/heartbeat").status == 204
    assert client.get(DEVICES).json()[0]["last_seen_at"] == before
    clock.advance(2)
    client.post(f"{DEVICES}/d-1/heartbeat")
    assert client.get(DEVICES).json()[0]["last_seen_at"] > before


def test_heartbeats_of_a_device_at_rest_are_written_no_more_often(client: Client, clock: MovableClock) -> None:
    register(client)
    before = client.patch(f"{DEVICES}/d-1", json={"is_active": False}).json()["last_seen_at"]
    clock.advance(9)
    client.post(f"{DEVICES}/d-1/heartbeat")
    assert client.get(DEVICES).json()[0]["last_seen_at"] == before


def test_preferences_are_set_one_by_one_and_together(client: Client) -> None:
    register(client)
    share_id = client.post("/api/v1/shares", json={"name": "Team"}).json()["id"]
    one = client.put(f"{DEVICES}/d-1/preferences/{share_id}", json={"selected_folders": ["/Docs/", "/Docs"]})
    assert one.json() == {
        "share_id": share_id,
        "sync_enabled": True,
        "selected_folders": ["/Docs"],
        "excluded_folders": [],
    }
    wanted = {"preferences": [PREFERENCES_EXAMPLE["preferences"][0] | {"share_id": share_id}]}
    assert client.put(f"{DEVICES}/d-1/preferences", json=wanted).json() == wanted
    assert client.get(f"{DEVICES}/d-1/preferences").json() == wanted


def test_bulk_preferences_are_all_or_none(client: Client) -> None:
    register(client)
    share_id = client.post("/api/v1/shares", json={"name": "Team"}).json()["id"]
    wanted = [{"share_id": share_id, "sync_enabled": False}, {"share_id": "shr_unknown", "sync_enabled": False}]
    assert client.put(f"{DEVICES}/d-1/preferences", json={"preferences": wanted}).status == 404
    assert client.get(f"{DEVICES}/d-1/preferences").json() == {"preferences": []}
    bad = client.put(f"{DEVICES}/d-1/preferences/{share_id}", json={"excluded_folders": ["/ok", "no"]})
    assert (bad.status, bad.json()["errors"][0]["field"]) == (422, "excluded_folders[1]")


def test_a_subscribed_socket_is_nudged_by_a_change_and_told_of_preferences(client: Client) -> None:
    register(client)
    share_id = client.post("/api/v1/shares", json={"name": "Team"}).json()["id"]
    with client.socket("/api/v1/sync/ws/d-1") as socket:
        socket.send({"type": "ping"})
        assert socket.receive() == {"type": "pong", "event_type": "pong"}
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        client.post(f"/api/v1/shares/{share_id}/folders", json={"path": "/a"})
        assert socket.receive() == {"type": "change", "event_type": "change", "share_id": share_id, "data": {}}
        client.put(f"{DEVICES}/d-1/preferences/{share_id}", json={"sync_enabled": False})
        frame = socket.receive()
        assert (frame["event_type"], frame["share_id"], frame["device_id"]) == (
            "sync_preference_updated",
            share_id,
            "d-1",
        )


def test_a_jwt_in_the_query_opens_a_socket(client: Client) -> None:
    register(client)
    jwt = client.post("/api/v1/auth/jwt").json()["token"]
    with client.socket(f"/api/v1/sync/ws/d-1?token={jwt}", token=None) as socket:
        socket.send({"type": "ping"})
        assert socket.receive()["type"] == "pong"


def test_a_bad_token_closes_with_4401_and_an_unknown_device_with_4404(client: Client) -> None:
    with client.socket("/api/v1/sync/ws/d-1?token=nonsense", token=None) as socket:
        assert socket.close_code == 4401
    with client.socket("/api/v1/sync/ws/unknown") as socket:
        socket.wait_closed()
        assert socket.close_code == 4404


def test_removing_a_device_closes_its_socket(client: Client) -> None:
    register(client)
    with client.socket("/api/v1/sync/ws/d-1") as socket:
        client.delete(f"{DEVICES}/d-1")
        socket.wait_closed()
        assert socket.close_code == 4404


def test_who_may_not_read_a_share_is_not_nudged_for_it(server: ServerUnderTest, client: Client) -> None:
    share_id = client.post("/api/v1/shares", json={"name": "Board"}).json()["id"]
    other = server.caller("default", "coordinator")
    register(other, "d-2")
    with other.socket("/api/v1/sync/ws/d-2") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        client.post(f"/api/v1/shares/{share_id}/folders", json={"path": "/a"})
        socket.send({"type": "ping"})
        assert socket.receive()["type"] == "pong"


def next_nudge(socket: Any) -> str:
    """The share of the next nudge; other frames are passed over."""
    while (frame := socket.receive())["type"] != "change":
        pass
    return str(frame["share_id"])


def test_a_share_made_after_subscribed_and_its_first_change_are_nudged(client: Client) -> None:
    register(client)
    with client.socket("/api/v1/sync/ws/d-1") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        for name in ("Board", "Team"):
            share_id = client.post("/api/v1/shares", json={"name": name}).json()["id"]
            assert client.post(f"/api/v1/shares/{share_id}/folders", json={"path": "/a"}).status == 201
            assert next_nudge(socket) == share_id


@pytest.mark.parametrize("granted", ["user", "role"])
def test_a_share_that_becomes_readable_is_nudged_for_what_it_holds(
    server: ServerUnderTest, client: Client, granted: str
) -> None:
    share_id = client.post("/api/v1/shares", json={"name": "Board"}).json()["id"]
    assert client.post(f"/api/v1/shares/{share_id}/folders", json={"path": "/a"}).status == 201
    text, row = server.token_row("default", "coordinator")
    other = server.client.as_token(text)
    register(other, "d-2")
    with other.socket("/api/v1/sync/ws/d-2") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        member = {"kind": granted, "id": row.user_id if granted == "user" else "coordinator", "access": "READ"}
        assert client.put(f"/api/v1/shares/{share_id}/members", json={"members": [member]}).status == 200
        assert next_nudge(socket) == share_id


def test_a_change_between_the_reading_of_the_shares_and_their_watch_is_nudged(
    server: ServerUnderTest, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(client)
    with client.socket("/api/v1/sync/ws/d-1") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        read = access.readable_states

        def change_comes_after(tx: Any, principal: Any) -> Any:
            found = read(tx, principal)
            if found:
                monkeypatch.undo()
                other = open_at(address_of(server.database), clock=server.clock)
                other.write_now(lambda tx: tx.bump(found[0].feed, "head"), feed=found[0].feed)
                other.close()
                server.services.wake.moved({found[0].feed: 1})
            return found

        monkeypatch.setattr(access, "readable_states", change_comes_after)
        share_id = client.post("/api/v1/shares", json={"name": "Board"}).json()["id"]
        assert next_nudge(socket) == share_id


def test_the_sockets_of_a_user_read_its_shares_once_for_all_and_not_again_while_idle(
    client: Client, server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(client)
    reads: list[object] = []
    read = access.readable_states

    def counted(tx: Any, principal: Any) -> Any:
        reads.append(principal)
        return read(tx, principal)

    monkeypatch.setattr(access, "readable_states", counted)
    with ExitStack() as contexts:
        sockets = [contexts.enter_context(client.socket("/api/v1/sync/ws/d-1")) for _ in range(5)]
        for socket in sockets:
            socket.send({"type": "subscribe"})
            assert socket.receive()["type"] == "subscribed"
        assert len(reads) == 1
        share_id = client.post("/api/v1/shares", json={"name": "Board"}).json()["id"]
        assert client.post(f"/api/v1/shares/{share_id}/folders", json={"path": "/a"}).status == 201
        assert [next_nudge(socket) for socket in sockets] == [share_id] * 5
        assert len(reads) <= 3


def test_a_device_that_another_process_removed_loses_its_socket(server: ServerUnderTest, client: Client) -> None:
    register(client)
    with client.socket("/api/v1/sync/ws/d-1") as socket:
        principal = server.loop.run(server.services.authenticator.principal(f"Bearer {client.token}".encode()))
        server.database.write_now(lambda tx: device_rules.remove(tx, principal, "d-1"))
        assert socket.wait_closed() == 4404


def stand_at(share: FileShare, device: str, position: int) -> None:
    at = f"share_id={share.id}&device_id={device}&position={position}"
    assert share.client.post(f"/api/v1/sync/cursor?{at}").status == 200


def compact_all(server: ServerUnderTest) -> None:
    server.clock.advance(100)
    assert compact(server.database, Retention(longest_us=SECOND_US, shortest_us=SECOND_US)) > 0


def forced(socket: Any) -> list[str]:
    """The shares that the device must list, until its ping is answered."""
    socket.send({"type": "ping"})
    told = []
    while (frame := socket.receive())["type"] != "pong":
        if frame["type"] == "force_sync":
            assert frame["event_type"] == "force_sync"
            told.append(frame["share_id"])
    return told


def test_a_device_below_the_floor_is_told_to_list_once_whenever_it_listens(
    server: ServerUnderTest, share: FileShare, laptop: Device, phone: Device
) -> None:
    laptop.folder("/a")
    stand_at(share, "laptop", 1)
    with laptop.client.socket("/api/v1/sync/ws/laptop") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        file = phone.put("/b.txt", b"one")
        phone.edit(file, b"two")
        compact_all(server)
        while (frame := socket.receive())["type"] == "change":
            pass
        assert frame == {"type": "force_sync", "event_type": "force_sync", "share_id": share.id}
        server.loop.run(asyncio.sleep(0.3))
        assert forced(socket) == []
    with laptop.client.socket("/api/v1/sync/ws/laptop") as socket:
        socket.send({"type": "subscribe"})
        assert [socket.receive()["type"] for _ in range(2)] == ["subscribed", "force_sync"]
    stand_at(share, "laptop", 3)
    with laptop.client.socket("/api/v1/sync/ws/laptop") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        server.loop.run(asyncio.sleep(0.1))
        assert forced(socket) == []


def test_devices_on_a_socket_are_told_to_list_a_folder_with_more_than_can_be_told(
    share: FileShare, laptop: Device, phone: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "MAX_ANNOUNCED", 1)
    folder = laptop.folder("/a")
    laptop.folder("/a/b")
    phone.folder("/a/c")
    node = f"/api/v1/shares/{share.id}/nodes/{folder}"
    for device in ("laptop", "phone"):
        with share.client.socket(f"/api/v1/sync/ws/{device}") as socket:
            if device == "laptop":
                stand_at(share, device, 3)
            socket.send({"type": "subscribe"})
            assert socket.receive()["type"] == "subscribed"
            assert share.client.delete(node).status == 200
            assert share.client.post(f"{node}/restore", json={}).status == 200
            while (frame := socket.receive())["type"] == "change":
                pass
            assert frame == {"type": "force_sync", "event_type": "force_sync", "share_id": share.id}


def test_a_device_that_reads_the_tree_just_now_is_not_told_to_list(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    laptop.edit(laptop.put("/b.txt", b"one"), b"two")
    compact_all(server)
    stand_at(share, "laptop", 0)
    with laptop.client.socket("/api/v1/sync/ws/laptop") as socket:
        socket.send({"type": "subscribe"})
        assert socket.receive()["type"] == "subscribed"
        server.loop.run(asyncio.sleep(0.1))
        assert forced(socket) == []
