"""Every rule of cursors, and what a device gets by them. Source: files contract, reading "Cursors"."""

from __future__ import annotations

import base64
import time

import pytest

from headwater.contracts.files.tree import restore
from headwater.store.log import feeds
from tests.properties.test_files_machine import Follower
from tests.support.file_share import Device, FileShare, created, deleted, placed
from tests.support.server.asgi import Answer
from tests.support.server.serving import ServerUnderTest


def refused(answer: Answer) -> str:
    assert answer.problem() == (400, "SYNC_CURSOR_INVALID"), answer.text
    reason: str = answer.json()["reason"]
    return reason


def test_without_a_cursor_reading_begins_now(share: FileShare, laptop: Device) -> None:
    laptop.folder("/before")
    page = share.page()
    assert page == {"changes": [], "cursor": page["cursor"], "has_more": False, "share_id": share.id}
    laptop.folder("/after")
    assert [change["new_path"] for change in share.page(page["cursor"])["changes"]] == ["/after"]


def test_a_bare_position_reads_what_comes_after_it(share: FileShare, laptop: Device) -> None:
    for name in "abc":
        laptop.folder(f"/{name}")
    assert [change["position"] for change in share.page(1)["changes"]] == [2, 3]
    assert share.page(3)["changes"] == []


def test_pages_follow_each_other_without_gap_or_repeat(share: FileShare, laptop: Device) -> None:
    for n in range(7):
        laptop.folder(f"/f{n}")
    page = share.page(1, limit=3)
    assert page["has_more"]
    rest = share.page(page["cursor"], limit=3)
    assert not rest["has_more"]
    assert [c["position"] for c in page["changes"] + rest["changes"]] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("limit", ["0", "5001", "-1", "many", ""])
def test_a_limit_out_of_range_is_422(share: FileShare, limit: str) -> None:
    assert share.changes(limit=limit).status == 422


def test_a_limit_of_5000_is_taken(share: FileShare) -> None:
    assert share.changes(limit=5000).status == 200


@pytest.mark.parametrize("cursor", ["", "c1.", "c1.AAAA", "-1", "1.5", "0x1", "%C2%B2", "c9.AAAA", "9" * 31, "c2.AAAA"])
def test_a_cursor_that_is_none_is_malformed(share: FileShare, cursor: str) -> None:
    assert refused(share.changes(cursor)) == "malformed"


def test_a_changed_cursor_is_forged(share: FileShare) -> None:
    cursor = share.page()["cursor"]
    raw = bytearray(base64.urlsafe_b64decode(cursor[3:] + "=" * (-len(cursor[3:]) % 4)))
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1
        text = "c1." + base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
        assert refused(share.changes(text)) == "forged"


def test_a_cursor_of_another_share_is_foreign(server: ServerUnderTest, share: FileShare) -> None:
    assert refused(share.changes(FileShare(server).page()["cursor"])) == "foreign"


def test_a_position_beyond_the_head_is_ahead(share: FileShare, laptop: Device) -> None:
    laptop.folder("/a")
    assert share.changes(1).status == 200
    assert refused(share.changes(2)) == "ahead"
    assert refused(share.changes("9" * 25)) == "ahead"


def test_below_the_floor_a_cursor_is_expired_and_the_answer_gives_one_to_list_again(
    share: FileShare, laptop: Device
) -> None:
    for n in range(4):
        laptop.folder(f"/f{n}")
    old = share.page(1, limit=1)["cursor"]
    share.server.database.write_now(lambda tx: feeds.raise_floor(tx, share.feed, 3))
    for cursor in (1, 2, old):
        answer = share.changes(cursor)
        assert refused(answer) == "expired"
        listed, live = share.drain(answer.json()["cursor"])
        assert [change["new_path"] for change in listed] == ["/f0", "/f1", "/f2", "/f3"]
        assert share.page(live)["changes"] == []
    assert len(share.page(3)["changes"]) == 1
    assert len(share.drain(0)[0]) == 4


def test_a_snapshot_that_began_below_the_floor_is_expired(share: FileShare, laptop: Device) -> None:
    for n in range(3):
        laptop.folder(f"/f{n}")
    begun = share.page(0, limit=1)["cursor"]
    laptop.folder("/later")
    share.server.database.write_now(lambda tx: feeds.raise_floor(tx, share.feed, 4))
    assert refused(share.changes(begun)) == "expired"


def test_zero_is_the_whole_tree_then_live(share: FileShare, laptop: Device) -> None:
    laptop.folder("/a")
    file = laptop.put("/a/b.txt", b"one")
    edited = laptop.edit(file, b"two")
    gone = laptop.put("/gone.txt", b"gone")
    laptop.applied(deleted(gone))
    page = share.page(0)
    assert [(c["change_type"], c["old_path"], c["new_path"], c["version_id"]) for c in page["changes"]] == [
        ("created", None, "/a", None),
        ("created", None, "/a/b.txt", edited["version_id"]),
    ]
    assert page["changes"][1]["metadata"]["size"] == 3
    assert page["changes"][1]["metadata"]["parent_id"] == page["changes"][0]["resource_id"]
    assert page["changes"][1]["changed_by"] == laptop.user_id
    laptop.folder("/later")
    assert [change["new_path"] for change in share.page(page["cursor"])["changes"]] == ["/later"]


def test_zero_on_an_empty_share_is_empty_and_goes_on_live(share: FileShare, laptop: Device) -> None:
    page = share.page(0)
    assert page["changes"] == []
    assert not page["has_more"]
    laptop.folder("/a")
    assert len(share.page(page["cursor"])["changes"]) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 5000])
def test_in_a_snapshot_parents_come_before_children_whatever_moved_into_younger_folders(
    share: FileShare, laptop: Device, limit: int
) -> None:
    file = laptop.put("/old.txt", b"one")
    inner = laptop.folder("/inner")
    for path in ("/young", "/young/younger"):
        laptop.folder(path)
    laptop.applied(placed(inner, "/inner", "/young/younger/inner", kind="folder"))
    laptop.applied(placed(file["resource_id"], "/old.txt", "/young/younger/inner/old.txt"))
    changes, _ = share.drain(0, limit=limit)
    known = {None}
    for change in changes:
        assert change["metadata"]["parent_id"] in known
        known.add(change["resource_id"])
    assert {change["new_path"] for change in changes} == set(share.tree())


def test_what_changes_during_a_snapshot_reaches_the_device_by_its_end(share: FileShare, laptop: Device) -> None:
    folders = [laptop.folder(f"/f{n}") for n in range(6)]
    file = laptop.put("/f5/x.txt", b"one")
    page = share.page(0, limit=2)
    laptop.applied(placed(folders[0], "/f0", "/f5/f0", kind="folder"))
    laptop.applied(placed(folders[5], "/f5", "/new", kind="folder"))
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folders[1], "old_path": "/f1"})
    laptop.edit(file, b"two")
    changes, _ = share.drain(page["cursor"], limit=2)
    paths: dict[str, str] = {}
    for change in page["changes"] + changes:
        if change["change_type"] == "deleted":
            del paths[change["resource_id"]]
        else:
            paths[change["resource_id"]] = change["new_path"]
    assert paths[file["resource_id"]] == "/new/x.txt"
    assert paths[folders[0]] in {"/f5/f0", "/new/f0"}
    assert folders[1] not in paths
    assert len(paths) == 6


def test_what_moved_into_a_folder_that_went_and_came_back_during_a_snapshot_is_not_lost(
    share: FileShare, laptop: Device
) -> None:
    top, other = laptop.folder("/top"), laptop.folder("/other")
    laptop.put("/other/x.txt", b"one")
    page = share.page(0, limit=1)
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": top, "old_path": "/top"})
    assert share.client.post(f"/api/v1/shares/{share.id}/nodes/{top}/restore", json={}).status == 200
    laptop.applied(placed(other, "/other", "/top/other", kind="folder"))
    follower = Follower("0")
    follower.take(page)
    while not follower.complete:
        follower.take(share.page(follower.cursor, limit=1))
    assert set(follower.tree()) == {"/top", "/top/other", "/top/other/x.txt"}
    assert share.page(follower.cursor)["changes"] == []


def test_a_snapshot_passes_over_any_amount_of_trash(share: FileShare, laptop: Device) -> None:
    for _ in range(2):
        items = [created(f"/t{n}") for n in range(600)]
        made = laptop.applied(*items)
        gone = [
            {
                "resource_type": "folder",
                "change_type": "deleted",
                "resource_id": e["resource_id"],
                "old_path": e["path"],
            }
            for e in made
        ]
        laptop.applied(*gone)
    laptop.folder("/kept")
    changes, _ = share.drain(0, limit=10)
    assert [change["new_path"] for change in changes] == ["/kept"]


def test_what_is_not_in_the_trash_is_told_apart_from_what_is_below_it(share: FileShare, laptop: Device) -> None:
    folder = laptop.folder("/a")
    file = laptop.put("/a/c.txt", b"one")["resource_id"]
    restore = f"/api/v1/shares/{share.id}/nodes/{file}/restore"
    assert share.client.post(restore, json={}).json()["detail"] == "this is not in the trash"
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"})
    assert "restore the folder" in share.client.post(restore, json={}).json()["detail"]


def test_a_restored_folder_is_told_with_all_that_returns(share: FileShare, laptop: Device) -> None:
    folder = laptop.folder("/a")
    laptop.folder("/a/b")
    file = laptop.put("/a/b/c.txt", b"one")
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"})
    after = share.page()["cursor"]
    assert share.client.post(f"/api/v1/shares/{share.id}/nodes/{folder}/restore", json={}).status == 200
    changes = share.page(after)["changes"]
    assert [(c["change_type"], c["new_path"]) for c in changes] == [
        ("created", "/a"),
        ("created", "/a/b"),
        ("created", "/a/b/c.txt"),
    ]
    assert changes[2]["version_id"] == file["version_id"]


def test_a_folder_with_more_than_can_be_told_asks_to_be_listed(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore, "MAX_ANNOUNCED", 3)
    folder = laptop.folder("/a")
    laptop.applied(*[created(f"/a/f{n}") for n in range(4)])
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"})
    after = share.page()["cursor"]
    assert share.client.post(f"/api/v1/shares/{share.id}/nodes/{folder}/restore", json={}).status == 200
    [change] = share.page(after)["changes"]
    assert change["metadata"]["relist"] is True
    assert len(share.tree()) == 5


@pytest.mark.parametrize("limit", [1, 100])
def test_a_folder_that_asks_to_be_listed_during_a_snapshot_still_does_when_it_was_renamed_since(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(restore, "MAX_ANNOUNCED", 3)
    folder = laptop.folder("/a")
    laptop.applied(*[created(f"/a/f{n}") for n in range(4)])
    laptop.applied(created("/one"), created("/two"))
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"})
    page = share.page(0, limit=1)
    assert share.client.post(f"/api/v1/shares/{share.id}/nodes/{folder}/restore", json={}).status == 200
    laptop.folder("/a/new")
    laptop.applied(placed(folder, "/a", "/b", kind="folder"))
    changes, _ = share.drain(page["cursor"], limit=limit)
    assert True in {change["metadata"].get("relist") for change in changes if change["resource_id"] == folder}


def test_a_long_poll_answers_as_soon_as_something_comes(share: FileShare, laptop: Device) -> None:
    cursor = share.page()["cursor"]
    waiting = share.client.start("GET", f"/api/v1/sync/changes?share_id={share.id}&cursor={cursor}&wait=60")
    time.sleep(0.05)
    assert not waiting.done()
    laptop.folder("/a")
    assert [change["new_path"] for change in waiting.result(30).json()["changes"]] == ["/a"]


def test_a_long_poll_ends_empty_with_a_cursor_to_go_on(share: FileShare, laptop: Device) -> None:
    page = share.page(wait=1)
    assert page["changes"] == []
    laptop.folder("/a")
    assert len(share.page(page["cursor"], wait=1)["changes"]) == 1


def test_a_wait_over_a_minute_is_422(share: FileShare) -> None:
    assert share.changes(wait=61).status == 422


def test_a_share_that_the_caller_may_not_read_is_404(server: ServerUnderTest, share: FileShare) -> None:
    for caller in (server.caller("other", "org_admin"), server.caller(role="peer_mentor")):
        answer = caller.get(f"/api/v1/sync/changes?share_id={share.id}&cursor=0")
        assert answer.problem() == (404, "NOT_FOUND")
        assert caller.get(f"/api/v1/sync/changes?share_id={share.id}&cursor=forged").status == 404
    assert share.client.get("/api/v1/sync/changes?share_id=shr_none").status == 404


def test_access_is_judged_anew_at_each_read(server: ServerUnderTest, share: FileShare) -> None:
    caller = server.caller(role="coordinator")
    members = f"/api/v1/shares/{share.id}/members"
    role = {"kind": "role", "id": "coordinator", "access": "READ"}
    share.client.put(members, json={"members": [role]})
    cursor = caller.get(f"/api/v1/sync/changes?share_id={share.id}").json()["cursor"]
    share.client.put(members, json={"members": []})
    assert caller.get(f"/api/v1/sync/changes?share_id={share.id}&cursor={cursor}").status == 404


class TestAllShares:
    def test_without_a_share_every_readable_one_is_read(self, server: ServerUnderTest) -> None:
        one, two, hidden = FileShare(server), FileShare(server), FileShare(server)
        caller = server.caller(role="coordinator")
        for share in (one, two):
            member = {"kind": "role", "id": "coordinator", "access": "READ"}
            share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": [member]})
        page = caller.get("/api/v1/sync/changes").json()
        assert page["changes"] == []
        assert page["share_id"] is None
        for share in (one, two, hidden):
            share.device().folder("/a")
        answer = caller.get(f"/api/v1/sync/changes?cursor={page['cursor']}&limit=1").json()
        rest = caller.get(f"/api/v1/sync/changes?cursor={answer['cursor']}&limit=1").json()
        assert answer["has_more"]
        assert not rest["has_more"]
        assert {c["share_id"] for c in answer["changes"] + rest["changes"]} == {one.id, two.id}

    def test_zero_is_every_tree_and_a_share_that_comes_later_comes_whole(self, server: ServerUnderTest) -> None:
        one = FileShare(server)
        one.device().folder("/a")
        page = server.client.get("/api/v1/sync/changes?cursor=0").json()
        assert [(c["share_id"], c["new_path"]) for c in page["changes"]] == [(one.id, "/a")]
        two = FileShare(server)
        laptop = two.device()
        laptop.applied(placed(laptop.folder("/b"), "/b", "/c", kind="folder"))
        later = server.client.get(f"/api/v1/sync/changes?cursor={page['cursor']}").json()
        assert [(c["share_id"], c["new_path"]) for c in later["changes"]] == [(two.id, "/c")]
        assert server.client.get(f"/api/v1/sync/changes?cursor={later['cursor']}").json()["changes"] == []

    def test_a_long_poll_wakes_for_any_share(self, server: ServerUnderTest) -> None:
        shares = [FileShare(server), FileShare(server)]
        waiting = server.client.start("GET", "/api/v1/sync/changes?wait=60")
        time.sleep(0.05)
        shares[1].device().folder("/a")
        assert [c["new_path"] for c in waiting.result(30).json()["changes"]] == ["/a"]

    def test_a_long_poll_wakes_for_a_share_that_comes_while_it_waits(self, server: ServerUnderTest) -> None:
        caller = server.caller(role="coordinator")
        waiting = caller.start("GET", "/api/v1/sync/changes?wait=60")
        own = server.client.start("GET", "/api/v1/sync/changes?wait=60")
        time.sleep(0.05)
        share = FileShare(server)
        share.device().folder("/a")
        assert [c["new_path"] for c in own.result(30).json()["changes"]] == ["/a"]
        assert not waiting.done()
        member = {"kind": "role", "id": "coordinator", "access": "READ"}
        share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": [member]})
        assert [c["new_path"] for c in waiting.result(30).json()["changes"]] == ["/a"]

    def test_the_two_forms_of_cursor_do_not_pass_for_each_other(
        self, server: ServerUnderTest, share: FileShare
    ) -> None:
        one, every = share.page()["cursor"], server.client.get("/api/v1/sync/changes").json()["cursor"]
        assert refused(server.client.get(f"/api/v1/sync/changes?cursor={one}")) == "foreign"
        assert refused(share.changes(every)) == "malformed"

    def test_a_bare_position_needs_a_share(self, server: ServerUnderTest, share: FileShare, laptop: Device) -> None:
        laptop.folder("/a")
        assert refused(server.client.get("/api/v1/sync/changes?cursor=1")) == "malformed"

    def test_a_changed_or_foreign_cursor_is_refused(self, server: ServerUnderTest, share: FileShare) -> None:
        cursor = server.client.get("/api/v1/sync/changes").json()["cursor"]
        raw = bytearray(base64.urlsafe_b64decode(cursor[3:] + "=" * (-len(cursor[3:]) % 4)))
        for at in range(len(raw)):
            changed = bytearray(raw)
            changed[at] ^= 1
            text = "c2." + base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
            assert refused(server.client.get(f"/api/v1/sync/changes?cursor={text}")) == "forged"
        other = server.caller("other", "org_admin")
        assert refused(other.get(f"/api/v1/sync/changes?cursor={cursor}")) == "foreign"

    def test_an_expired_share_starts_afresh_and_the_others_go_on(self, server: ServerUnderTest) -> None:
        one, two = FileShare(server), FileShare(server)
        cursor = server.client.get("/api/v1/sync/changes").json()["cursor"]
        for share in (one, two):
            for name in "ab":
                share.device().folder(f"/{name}")
        server.database.write_now(lambda tx: feeds.raise_floor(tx, one.feed, 1))
        answer = server.client.get(f"/api/v1/sync/changes?cursor={cursor}")
        assert refused(answer) == "expired"
        page = server.client.get(f"/api/v1/sync/changes?cursor={answer.json()['cursor']}").json()
        found = [(c["share_id"], c["new_path"]) for c in page["changes"]]
        assert sorted(found) == sorted((share.id, path) for share in (one, two) for path in ("/a", "/b"))


class TestStanding:
    def status(self, device: Device) -> dict[str, object]:
        answer = device.client.get(f"/api/v1/sync/status?share_id={device.share.id}&device_id={device.device_id}")
        assert answer.status == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def post(self, device: Device, position: object) -> Answer:
        query = f"share_id={device.share.id}&device_id={device.device_id}&position={position}"
        return device.client.post(f"/api/v1/sync/cursor?{query}")

    def test_a_first_status_begins_at_the_head(self, laptop: Device) -> None:
        laptop.folder("/a")
        assert self.status(laptop) == {
            "cursor_position": 1,
            "last_sync_at": "2026-03-26T11:25:00Z",
            "pending_changes": 0,
            "has_conflicts": False,
        }
        laptop.folder("/b")
        assert self.status(laptop)["pending_changes"] == 1
        assert self.status(laptop)["cursor_position"] == 1

    def test_the_cursor_moves_in_either_form_and_back_but_not_beyond_the_head(
        self, share: FileShare, laptop: Device
    ) -> None:
        laptop.folder("/a")
        laptop.folder("/b")
        share.server.clock.advance(60)
        answer = self.post(laptop, 2)
        assert answer.status == 200
        assert answer.json() == {"cursor_position": 2, "last_sync_at": "2026-03-26T11:26:00Z"}
        assert self.post(laptop, share.page(0, limit=5000)["cursor"]).json()["cursor_position"] == 2
        assert self.post(laptop, 1).json()["cursor_position"] == 1
        assert self.status(laptop)["pending_changes"] == 1
        assert refused(self.post(laptop, 3)) == "ahead"
        assert refused(self.post(laptop, "c1.forged")) == "malformed"
        assert self.status(laptop)["cursor_position"] == 1

    def test_the_origins_loop_of_position_and_cursor_works_both_ways(self, share: FileShare, laptop: Device) -> None:
        position = self.status(laptop)["cursor_position"]
        laptop.folder("/a")
        page = share.page(str(position))
        assert len(page["changes"]) == 1
        assert self.post(laptop, page["cursor"]).json()["cursor_position"] == 1
        assert self.status(laptop)["pending_changes"] == 0

    def test_a_device_that_still_reads_the_tree_holds_nothing_complete(self, share: FileShare, laptop: Device) -> None:
        for n in range(3):
            laptop.folder(f"/f{n}")
        begun = share.page(0, limit=1)["cursor"]
        assert self.post(laptop, begun).json()["cursor_position"] == 0

    def test_a_removed_devices_cursor_is_frozen_and_404(self, share: FileShare, laptop: Device) -> None:
        laptop.folder("/a")
        self.post(laptop, 1)
        before = share.read(lambda tx: tx.rows("SELECT * FROM device_positions"))
        laptop.client.delete("/api/v1/sync/devices/laptop")
        assert self.post(laptop, 0).problem() == (404, "NOT_FOUND")
        query = f"share_id={share.id}&device_id=laptop"
        assert laptop.client.get(f"/api/v1/sync/status?{query}").problem() == (404, "NOT_FOUND")
        assert share.read(lambda tx: tx.rows("SELECT * FROM device_positions")) == before

    @pytest.mark.parametrize("query", ["", "share_id=shr_1", "device_id=laptop"])
    def test_what_is_needed_and_missing_is_422(self, laptop: Device, query: str) -> None:
        assert laptop.client.get(f"/api/v1/sync/status?{query}").status == 422
        assert laptop.client.post(f"/api/v1/sync/cursor?{query}&position=0").status == 422

    def test_a_position_is_needed(self, share: FileShare, laptop: Device) -> None:
        answer = laptop.client.post(f"/api/v1/sync/cursor?share_id={share.id}&device_id=laptop")
        assert answer.status == 422

    def test_a_status_is_not_made_by_head(self, share: FileShare, laptop: Device) -> None:
        answer = laptop.client.request("HEAD", f"/api/v1/sync/status?share_id={share.id}&device_id=laptop")
        assert answer.status == 405
