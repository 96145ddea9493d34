"""The bytes of an open conflict: kept for as long as it waits, and there to be looked at before it is settled."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from headwater.contracts.files.retention import gc
from tests.support.content import content_of, upload
from tests.support.file_share import Device, FileShare, created, deleted, placed, updated
from tests.support.server.serving import ServerUnderTest

DAY_SECONDS = 86_400
BASE, MINE = content_of(5000), content_of(7000, 2)


def staged(share: FileShare, content: bytes) -> str:
    """A version that a real upload staged."""
    version_id: str = upload(share.client, share.id, content)["version_id"]
    return version_id


def left_open(laptop: Device, item: dict[str, Any]) -> dict[str, Any]:
    """The conflict that an item makes under MANUAL."""
    answer = laptop.apply(item, strategy="MANUAL")
    assert answer.status == 409, answer.text
    [conflict] = answer.json()["conflicts"]
    found: dict[str, Any] = conflict
    return found


def make_file(share: FileShare, laptop: Device, path: str = "/a.txt") -> dict[str, Any]:
    return laptop.applied(created(path, staged(share, BASE)))[0]


def expire(share: FileShare) -> None:
    """Let a day pass and what nobody kept be forgotten."""
    share.server.clock.advance(DAY_SECONDS + 1)
    while share.server.database.write_now(gc.drop_expired):
        pass


def settle(share: FileShare, conflict: dict[str, Any], resolution: str) -> int:
    return share.client.post(f"/api/v1/sync/conflicts/{conflict['id']}/resolve?resolution={resolution}").status


@pytest.mark.parametrize("resolution", ["CLIENT_WINS", "SERVER_WINS", "KEEP_BOTH"])
def test_a_rename_with_the_servers_content_can_be_settled_when_its_upload_would_have_expired(
    share: FileShare, laptop: Device, resolution: str
) -> None:
    """It brings the bytes that are current; by the time of the answer they are only in its own upload."""
    file = make_file(share, laptop)
    again = laptop.applied(updated(file, staged(share, MINE)))[0]
    laptop.applied(placed(file["resource_id"], "/a.txt", "/b.txt"))
    item = placed(
        file["resource_id"], "/a.txt", "/c.txt", version_id=staged(share, MINE), base_version_id=file["version_id"]
    )
    conflict = left_open(laptop, item)
    assert conflict["kept_as"]["keeper"] == "held"
    laptop.applied(updated(again, staged(share, BASE)))
    expire(share)
    assert share.client.get(f"/api/v1/sync/download/{conflict['id']}").body == MINE
    assert settle(share, conflict, resolution) == 200
    listed = share.client.get(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}/versions").json()["data"]
    assert conflict["local_version_id"] in {row["id"] for row in listed} or resolution == "KEEP_BOTH"


class TestWithoutALivingFile:
    def creation_in_deleted_folder(self, share: FileShare, laptop: Device) -> dict[str, Any]:
        folder = laptop.folder("/gone")
        laptop.applied(
            {"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/gone"}
        )
        return left_open(laptop, created("/gone/new.txt", staged(share, MINE)))

    def edit_of_deleted(self, share: FileShare, laptop: Device) -> dict[str, Any]:
        file = make_file(share, laptop, "/new.txt")
        laptop.applied(deleted(file))
        return left_open(laptop, updated(file, staged(share, MINE)))

    @pytest.mark.parametrize("kind", ["creation_in_deleted_folder", "edit_of_deleted"])
    def test_the_bytes_of_a_conflict_are_there_before_it_is_settled_though_no_file_lives(
        self, share: FileShare, laptop: Device, kind: str
    ) -> None:
        conflict = getattr(self, kind)(share, laptop)
        expire(share)
        path = f"/api/v1/sync/download/{conflict['id']}"
        answer = share.client.get(path)
        assert (answer.status, answer.body) == (200, MINE)
        assert answer.headers["x-version-id"] == conflict["local_version_id"]
        assert "new.txt" in answer.headers["content-disposition"]
        assert share.client.get(path, headers={"range": "bytes=10-19"}).body == MINE[10:20]
        manifest = share.client.get(path + "/chunks").json()
        assert (manifest["size"], manifest["version_id"]) == (len(MINE), conflict["local_version_id"])
        assert settle(share, conflict, "CLIENT_WINS") == 200
        assert share.client.get(path).body == MINE

    def test_both_sides_have_their_bytes_and_no_other_version_passes_for_one(
        self, share: FileShare, laptop: Device
    ) -> None:
        conflict = self.edit_of_deleted(share, laptop)
        path = f"/api/v1/sync/download/{conflict['id']}?version="
        assert share.client.get(path + conflict["server_version_id"]).body == BASE
        assert share.client.get(path + conflict["local_version_id"]).body == MINE
        other = make_file(share, laptop, "/other.txt")["version_id"]
        for wanted in (other, "1", "ver_none"):
            assert share.client.get(path + wanted).status == 404

    def test_who_may_not_read_the_share_finds_no_conflict(
        self, server: ServerUnderTest, share: FileShare, laptop: Device
    ) -> None:
        path = f"/api/v1/sync/download/{self.edit_of_deleted(share, laptop)['id']}"
        unknown = share.client.get("/api/v1/sync/download/cfl_none")
        for stranger in (server.caller("default", "peer_mentor"), server.caller("other", "org_admin")):
            answer = stranger.get(path)
            assert answer.problem() == unknown.problem() == (404, "NOT_FOUND")
            assert share.id not in answer.text


@pytest.mark.sqlite_only
def test_a_rename_does_not_make_the_upload_of_somebody_else_a_side_of_its_conflict(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    member = server.caller("default", "coordinator", scopes=["files"])
    members = {"members": [{"kind": "role", "id": "coordinator", "access": "WRITE"}]}
    assert share.client.put(f"/api/v1/shares/{share.id}/members", json=members).status == 200
    secret = staged(share, MINE)
    file = make_file(share, laptop)
    make_file(share, laptop, "/b.txt")
    theirs = share.device("theirs", member)
    item = placed(file["resource_id"], "/a.txt", "/b.txt", version_id=secret, base_version_id=secret)
    conflict = left_open(theirs, item)
    assert conflict["local_version_id"] is None
    sides = f"/api/v1/sync/download/{conflict['id']}"
    for path in (sides, f"{sides}?version={secret}", f"/api/v1/sync/download/{file['resource_id']}?version={secret}"):
        assert member.get(path).status == 404
    assert "brought no content" in member.get(sides).json()["detail"]
    known = {**item, "version_id": file["version_id"], "base_version_id": file["version_id"]}
    conflict = left_open(theirs, known)
    assert conflict["local_version_id"] == file["version_id"]
    assert member.get(f"/api/v1/sync/download/{conflict['id']}").body == BASE


@pytest.mark.parametrize("resolution", ["CLIENT_WINS", "SERVER_WINS", "KEEP_BOTH", "LAST_WRITER_WINS"])
def test_it_can_be_settled_though_its_version_went_into_another_file(
    share: FileShare, laptop: Device, resolution: str
) -> None:
    file = make_file(share, laptop)
    current = laptop.applied(updated(file, staged(share, content_of(3000, 5))))[0]["version_id"]
    mine = staged(share, MINE)
    conflict = left_open(laptop, updated(file, mine))
    [other] = laptop.applied(created("/mine.txt", mine))
    assert settle(share, conflict, resolution) == 200
    tree = share.tree()
    assert tree["/mine.txt"] == other["version_id"] == mine
    assert (tree["/a.txt"] == current) == (resolution != "CLIENT_WINS")
    copies = [path for path in tree if "conflicted copy" in path]
    assert len(copies) == (resolution == "KEEP_BOTH")
    for path in ["/mine.txt", *copies, *(["/a.txt"] if resolution == "CLIENT_WINS" else [])]:
        node_id = share.client.get(f"/api/v1/shares/{share.id}/node?path={quote(path)}").json()["id"]
        assert share.client.get(f"/api/v1/sync/download/{node_id}").body == MINE
    listed = share.client.get(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}/versions").json()["data"]
    assert len(listed) == (2 if resolution == "KEEP_BOTH" else 3)
