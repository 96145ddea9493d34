"""A device belongs to its user; a draft that waits in a conflict to its author and to those who manage the share."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.file_share import Device, FileShare, created, updated
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest


@pytest.fixture
def share(server: ServerUnderTest) -> FileShare:
    return FileShare(server)


class Members:
    """A share with members of each access, each on a device of their own."""

    def __init__(self, server: ServerUnderTest, share: FileShare, **accesses: str) -> None:
        self.devices = {name: share.device(name, server.caller(role="peer_mentor")) for name in accesses}
        self.rows = [
            {"kind": "user", "id": self.devices[name].user_id, "access": access} for name, access in accesses.items()
        ]
        answer = share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": self.rows})
        assert answer.status == 200, answer.text


@pytest.fixture
def members(server: ServerUnderTest, share: FileShare) -> Members:
    return Members(server, share, alice="WRITE", bob="WRITE", rita="READ", mona="MANAGE")


Write = Callable[[Client, FileShare, dict[str, Any], str], Any]


def _packed(path: str) -> bytes:
    return json.dumps({"path": path, "size": 3}).encode() + b"\none"


def _session(client: Client, share: FileShare, file: dict[str, Any], device_id: str) -> Any:
    fields = {"share_id": share.id, "path": "/s.txt", "file_size": 3, "chunk_size": 1024, "commit": True}
    made = client.post("/api/v1/uploads", json=fields | {"device_id": device_id}).json()["session_id"]
    client.request("PUT", f"/api/v1/uploads/{made}/chunks/0", content=b"one")
    return client.post(f"/api/v1/uploads/{made}/complete")


def _tus(client: Client, share: FileShare, device_id: str, *, in_header: bool) -> Any:
    pairs = {"share_id": share.id, "path": "/t.txt"} | ({} if in_header else {"device_id": device_id})
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "3",
        "Upload-Metadata": ",".join(f"{key} {b64encode(value.encode()).decode()}" for key, value in pairs.items()),
        "Content-Type": "application/offset+octet-stream",
    }
    return client.post("/api/v1/uploads", content=b"one", headers=headers | _named(device_id if in_header else ""))


def _named(device_id: str) -> dict[str, str]:
    return {"X-Device-Id": device_id} if device_id else {}


WRITES: dict[str, Write] = {
    "delete": lambda c, s, f, d: c.request(
        "DELETE", f"/api/v1/shares/{s.id}/nodes/{f['resource_id']}", headers=_named(d)
    ),
    "rename": lambda c, s, f, d: c.request(
        "PATCH", f"/api/v1/shares/{s.id}/nodes/{f['resource_id']}", json={"name": "n.txt"}, headers=_named(d)
    ),
    "folder": lambda c, s, f, d: c.post(f"/api/v1/shares/{s.id}/folders", json={"path": "/f"}, headers=_named(d)),
    "version": lambda c, s, f, d: c.post(
        f"/api/v1/shares/{s.id}/nodes/{f['resource_id']}/versions/{f['first']}/restore", headers=_named(d)
    ),
    "packed": lambda c, s, f, d: c.post(
        f"/api/v1/uploads/packed?share_id={s.id}", content=_packed("/p.txt"), headers=_named(d)
    ),
    "packed query": lambda c, s, f, d: c.post(
        f"/api/v1/uploads/packed?share_id={s.id}&device_id={d}", content=_packed("/q.txt")
    ),
    "session": _session,
    "tus": lambda c, s, f, d: _tus(c, s, d, in_header=False),
    "tus header": lambda c, s, f, d: _tus(c, s, d, in_header=True),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(("named", "shown"), [("alice", None), ("nobody's", None), ("bob", "bob")])
def test_a_change_names_a_device_of_its_author_or_none(
    share: FileShare, members: Members, write: str, named: str, shown: str | None
) -> None:
    alice, bob = members.devices["alice"], members.devices["bob"]
    file = alice.put("/a.txt", b"first")
    file = alice.edit(file, b"second") | {"first": file["version_id"]}
    head = share.page()["cursor"]
    answer = WRITES[write](bob.client, share, file, named)
    assert answer.status < 300, answer.text
    changes = share.page(head)["changes"]
    assert changes
    assert {change["metadata"]["device_id"] for change in changes} == {shown}
    assert {change["changed_by"] for change in changes} == {bob.user_id}


def test_a_restore_and_an_answer_to_a_conflict_name_a_device_of_their_author_or_none(
    share: FileShare, members: Members
) -> None:
    alice, bob = members.devices["alice"], members.devices["bob"]
    file = alice.put("/a.txt", b"first")
    WRITES["delete"](bob.client, share, file, "bob")
    head = share.page()["cursor"]
    node = f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}"
    assert bob.client.post(node + "/restore", json={}, headers=_named("alice")).status == 200
    alice.edit(file, b"second")
    draft = bob.apply(updated(file, bob.stage(b"mine")), strategy="MANUAL").json()["conflicts"][0]["id"]
    settle = f"/api/v1/sync/conflicts/{draft}/resolve?resolution=CLIENT_WINS"
    assert bob.client.post(settle, headers=_named("alice")).status == 200
    by_bob = [change for change in share.page(head)["changes"] if change["changed_by"] == bob.user_id]
    assert [change["metadata"]["device_id"] for change in by_bob] == [None, None]


@pytest.fixture
def draft(share: FileShare, members: Members) -> dict[str, Any]:
    """A conflict in which a draft of alice waits, and the file that it is about."""
    file = members.devices["bob"].put("/a.txt", b"first")
    members.devices["bob"].edit(file, b"second")
    alice = members.devices["alice"]
    item = updated(file, alice.stage(b"private draft"))
    found: dict[str, Any] = alice.apply(item, strategy="MANUAL").json()["conflicts"][0]
    return found


def _listed(device: Device, share: FileShare) -> set[str]:
    answer = device.client.get(f"/api/v1/sync/conflicts?share_id={share.id}&include_resolved=true")
    assert answer.status == 200, answer.text
    return {conflict["id"] for conflict in answer.json()}


@pytest.mark.parametrize(("name", "reads"), [("alice", True), ("bob", False), ("rita", False), ("mona", True)])
def test_a_draft_is_read_by_its_author_and_by_those_who_manage_the_share(
    members: Members, draft: dict[str, Any], name: str, reads: bool
) -> None:
    client = members.devices[name].client
    places = (draft["id"], f"{draft['resource_id']}?version={draft['local_version_id']}")
    for place in places:
        answer = client.get(f"/api/v1/sync/download/{place}")
        # Its bytes are in no pack here, so that one who may read it learns that they are gone.
        assert (answer.status == 404) is not reads, (place, answer.text)


@pytest.mark.parametrize(("name", "status"), [("bob", 403), ("rita", 403), ("mona", 200), ("alice", 200)])
@pytest.mark.parametrize("resolution", ["CLIENT_WINS", "SERVER_WINS", "KEEP_BOTH"])
def test_a_draft_is_settled_by_its_author_and_by_those_who_manage_the_share(
    members: Members, draft: dict[str, Any], name: str, status: int, resolution: str
) -> None:
    client = members.devices[name].client
    answer = client.post(f"/api/v1/sync/conflicts/{draft['id']}/resolve?resolution={resolution}")
    assert answer.status == status, answer.text


def test_a_conflict_without_a_draft_is_settled_by_any_member_who_may_write(share: FileShare, members: Members) -> None:
    alice, bob = members.devices["alice"], members.devices["bob"]
    folder, _ = alice.folder("/f"), alice.folder("/g")
    item = {"resource_type": "folder", "change_type": "renamed", "resource_id": folder} | {
        "old_path": "/f",
        "new_path": "/g",
    }
    waiting = alice.apply(item, strategy="MANUAL").json()["conflicts"][0]["id"]
    settle = f"/api/v1/sync/conflicts/{waiting}/resolve?resolution=KEEP_BOTH"
    assert members.devices["rita"].client.post(settle).status == 403
    assert bob.client.post(settle).status == 200


def test_conflicts_of_others_are_listed_for_those_who_may_write(
    share: FileShare, members: Members, draft: dict[str, Any]
) -> None:
    seen = {name: _listed(device, share) for name, device in members.devices.items()}
    assert seen == {"alice": {draft["id"]}, "bob": {draft["id"]}, "rita": set(), "mona": {draft["id"]}}
    rows = [row | {"access": "READ"} for row in members.rows]
    share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": rows})
    assert {name: _listed(device, share) for name, device in members.devices.items()} == {
        "alice": {draft["id"]}, "bob": set(), "rita": set(), "mona": set(),
    }  # fmt: skip


def test_a_reader_sees_of_the_members_what_includes_them(share: FileShare, members: Members) -> None:
    def shown(name: str) -> set[str]:
        answer = members.devices[name].client.get(f"/api/v1/shares/{share.id}/members").json()
        return {row["id"] for row in answer["members"]}

    everybody = {device.user_id for device in members.devices.values()}
    assert shown("rita") == {members.devices["rita"].user_id}
    assert shown("alice") == shown("mona") == everybody


def test_a_creation_by_a_draft_is_published_by_its_author(share: FileShare, members: Members) -> None:
    members.devices["bob"].put("/a.txt", b"first")
    alice = members.devices["alice"]
    waiting = alice.apply(created("/a.txt", alice.stage(b"draft")), strategy="MANUAL").json()["conflicts"][0]["id"]
    settle = f"/api/v1/sync/conflicts/{waiting}/resolve?resolution=KEEP_BOTH"
    assert members.devices["bob"].client.post(settle).status == 403
    assert alice.client.post(settle).status == 200
    assert len(share.tree()) == 2
