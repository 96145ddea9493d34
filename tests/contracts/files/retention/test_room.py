"""Room can be had back: a full share is emptied and used again, and nothing that a conflict or a device needs goes."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.base.errors import Invalid
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.retention import door, empty_trash, gc, prune_versions, purge_trash
from headwater.contracts.files.retention.plan import plan
from headwater.contracts.files.retention.prune_versions import KeepRule
from headwater.identity.roles import Role
from tests.contracts.files.retention.test_purge_trash import findings, restore, rows, trash, used, wait
from tests.support.content import KIB, content_of, make_file
from tests.support.file_share import Device, FileShare, updated
from tests.support.server.serving import ServerUnderTest

DAY = 86_400


def put(share: FileShare, path: str, size: int, seed: int = 1) -> dict[str, Any]:
    return make_file(share.client, share.id, path, content_of(size, seed))


def empty(share: FileShare, what: str = "", client: Any = None) -> Any:
    return (client or share.client).delete(f"/api/v1/shares/{share.id}/trash{what}")


def prune(share: FileShare, **fields: Any) -> Any:
    return share.client.post(f"/api/v1/shares/{share.id}/versions/prune", json=fields)


def numbers(share: FileShare, file: dict[str, Any]) -> list[int]:
    found = share.client.get(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}/versions").json()["data"]
    return [version["number"] for version in found]


def forgotten(share: FileShare) -> tuple[int, ...]:
    """How many rows are left of what was emptied, and of what compaction left."""
    tables = ("emptied_nodes", "compacted")
    found: tuple[int, ...] = share.read(
        lambda tx: tuple(tx.value(f"SELECT count(*) FROM {table} WHERE feed = ?", share.feed) for table in tables)
    )
    return found


def test_a_full_share_is_emptied_and_used_again(server: ServerUnderTest) -> None:
    share = FileShare(server, quota_bytes=100 * KIB)
    for path in ("/a", "/box/in/b", "/box/c"):
        put(share, path, 30 * KIB)
    box = share.client.get(f"/api/v1/shares/{share.id}/node?path=/box").json()["id"]
    trash(share, share.client.get(f"/api/v1/shares/{share.id}/node?path=/a").json()["id"])
    trash(share, box)
    assert share.client.post("/api/v1/uploads", json={"share_id": share.id, "file_size": 90 * KIB}).status == 507
    answer = empty(share)
    assert (answer.status, answer.json()) == (
        200, {"removed": 5, "kept": 0, "freed_bytes": 90 * KIB, "used_bytes": 0, "complete": True},
    )  # fmt: skip
    assert (rows(share), used(share), findings(share)) == ((0, 0, 0, 0), 0, [])
    assert restore(share, box) == 404
    assert share.client.get(f"/api/v1/shares/{share.id}/trash").json()["data"] == []
    put(share, "/b", 90 * KIB, 2)
    assert empty(share).json()["removed"] == 0


def test_devices_and_cursors_stay_right_and_the_bytes_are_freed_by_gc(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    start = share.drain("0")[1]
    kept, gone = put(share, "/kept", 10 * KIB, 1), put(share, "/box/gone", 10 * KIB, 2)
    box = share.client.get(f"/api/v1/shares/{share.id}/node?path=/box").json()["id"]
    middle = share.drain(start)[1]
    trash(share, box)
    head = share.drain(start)[1]
    assert empty(share).json()["removed"] == 2
    # No new change: every device has the deletion, or gets it in its place.
    assert share.drain(head) == ([], head)
    assert [(change["change_type"], change["resource_id"]) for change in share.drain(middle)[0]] == [("deleted", box)]
    assert [change["resource_id"] for change in share.drain("0")[0]] == [kept["resource_id"]]
    edit = {
        "resource_type": "file", "resource_id": gone["resource_id"], "change_type": "updated", "metadata": {},
        "version_id": laptop.stage(b"edit"), "base_version_id": gone["version_id"],
    }  # fmt: skip
    assert laptop.apply(edit).json()["errors"][0]["code"] == "NOT_FOUND"
    laptop.folder("/box")
    assert laptop.put("/box/gone", b"again")["resource_id"] != gone["resource_id"]
    settings = FileSettings(gc_grace_seconds=DAY)
    server.clock.advance(2 * DAY)
    assert gc.free(server.database, server.services.packs, settings).dropped_bytes == 10 * KIB
    assert share.client.get(f"/api/v1/sync/download/{kept['resource_id']}").body == content_of(10 * KIB, 1)


def test_what_compaction_left_of_the_emptied_is_forgotten_once_no_device_reads_it(
    server: ServerUnderTest, share: FileShare
) -> None:
    put(share, "/box/a", KIB)
    trash(share, share.client.get(f"/api/v1/shares/{share.id}/node?path=/box").json()["id"])
    assert empty(share).json()["removed"] == 2
    assert forgotten(share) == (2, 0)
    assert purge_trash.purge_trash(server.database, FileSettings()) == 0
    assert forgotten(share) == (2, 0)
    put(share, "/later", KIB)
    wait(server)
    assert forgotten(share)[0] == 2
    purge_trash.purge_trash(server.database, FileSettings())
    # Of the living file one change is left.
    assert forgotten(share) == (0, 1)
    assert [change["new_path"] for change in share.drain("0")[0]] == ["/later"]


def test_only_what_lay_long_enough_goes(server: ServerUnderTest, share: FileShare) -> None:
    old, new = put(share, "/old", KIB), put(share, "/new", KIB, 2)
    trash(share, old["resource_id"])
    server.clock.advance(100)
    trash(share, new["resource_id"])
    assert empty(share, "?older_than_seconds=101").json()["removed"] == 0
    assert empty(share, "?older_than_seconds=100").json()["removed"] == 1
    assert (restore(share, old["resource_id"]), restore(share, new["resource_id"])) == (404, 200)
    assert empty(share, "?older_than_seconds=-1").problem()[0] == 422


def test_one_thing_of_the_trash_goes_alone(share: FileShare) -> None:
    file, other = put(share, "/a", KIB), put(share, "/b", KIB, 2)
    assert empty(share, f"/{file['resource_id']}").problem() == (409, "STATE_CONFLICT")
    for each in (file, other):
        trash(share, each["resource_id"])
    assert empty(share, f"/{file['resource_id']}").json()["freed_bytes"] == KIB
    assert empty(share, f"/{file['resource_id']}").problem() == (404, "NOT_FOUND")
    assert (restore(share, other["resource_id"]), used(share)) == (200, KIB)


def test_what_an_open_conflict_needs_stays_until_it_is_settled(share: FileShare, laptop: Device, phone: Device) -> None:
    file, other = laptop.put("/a", b"base"), laptop.put("/b", b"other")
    laptop.edit(file, b"theirs")
    conflict = phone.apply(updated(file, phone.stage(b"mine")), strategy="MANUAL").json()["conflicts"][0]
    for each in (file, other):
        trash(share, each["resource_id"])
    answer = empty(share).json()
    assert (answer["removed"], answer["kept"], answer["complete"]) == (1, 1, True)
    assert empty(share, f"/{file['resource_id']}").problem() == (409, "STATE_CONFLICT")
    path = f"/api/v1/sync/conflicts/{conflict['id']}/resolve?resolution=SERVER_WINS"
    assert share.client.post(path).status == 200
    assert empty(share).json()["removed"] == 1
    assert (used(share), findings(share)) == (0, [])


def test_only_who_manages_the_share_removes_for_good(server: ServerUnderTest, share: FileShare) -> None:
    user = server.caller(role=Role.PEER_MENTOR)
    trash(share, put(share, "/a", KIB)["resource_id"])
    paths = (("DELETE", "/trash"), ("DELETE", "/trash/fil_1"), ("POST", "/versions/prune"))
    for level, status in ((None, 404), ("READ", 403), ("WRITE", 403), ("MANAGE", 200)):
        if level is not None:
            members = [{"kind": "role", "id": "peer_mentor", "access": level}]
            share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": members})
        for method, path in paths:
            body = {"json": {"keep_last": 1}} if method == "POST" else {}
            found = user.request(method, f"/api/v1/shares/{share.id}{path}", **body).status
            assert found == (404 if status == 200 and path.endswith("fil_1") else status)


def test_a_large_trash_is_emptied_in_bounded_requests(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(purge_trash, "NODES_AT_ONCE", 2)
    monkeypatch.setattr(purge_trash, "ROWS_AT_ONCE", 2)
    for number in range(9):
        trash(share, laptop.put(f"/{number}", bytes([number]) * 100)["resource_id"])
    left = []
    while True:
        answer = empty(share).json()
        left.append(answer["used_bytes"])
        if answer["complete"]:
            break
    assert left == [500, 100, 0]


def test_versions_are_pruned_by_number_and_age(server: ServerUnderTest, share: FileShare) -> None:
    file = put(share, "/a", 10 * KIB, 0)
    for seed in range(1, 6):
        server.clock.advance(DAY)
        put(share, "/a", 10 * KIB, seed)
    server.clock.advance(DAY)
    single = put(share, "/single", KIB)
    cursor = share.drain("0")[1]
    assert prune(share).problem() == (422, "INVALID")
    planned = prune(share, keep_last=4, dry_run=True).json()
    assert (planned["removed"], planned["freed_bytes"], planned["dry_run"]) == (2, 20 * KIB, True)
    assert numbers(share, file) == [6, 5, 4, 3, 2, 1]
    done = prune(share, keep_last=4).json()
    assert (done["removed"], done["freed_bytes"], done["complete"]) == (2, 20 * KIB, True)
    assert (numbers(share, file), used(share)) == ([6, 5, 4, 3], 41 * KIB)
    # What either of the two keeps stays: of the last one and of those of two days, two.
    assert prune(share, keep_last=1, keep_younger_seconds=2 * DAY + 1).json()["removed"] == 2
    assert numbers(share, file) == [6, 5]
    assert prune(share, keep_younger_seconds=0).json()["removed"] == 1
    assert (numbers(share, file), numbers(share, single), used(share)) == ([6], [1], 11 * KIB)
    assert share.drain(cursor) == ([], cursor)
    download = f"/api/v1/sync/download/{file['resource_id']}"
    assert share.client.get(download).body == content_of(10 * KIB, 5)
    assert share.client.get(f"{download}?version=1").problem() == (404, "NOT_FOUND")
    server.clock.advance(3 * DAY)
    assert gc.free(server.database, server.services.packs, FileSettings()).dropped_bytes == 50 * KIB
    assert put(share, "/a", 10 * KIB, 9)["version_id"]
    assert (numbers(share, file), findings(share)) == ([7, 6], [])


def test_an_edit_of_a_pruned_base_is_a_conflict_like_any_other(share: FileShare, laptop: Device, phone: Device) -> None:
    file = laptop.put("/a.txt", b"base")
    laptop.edit(file, b"newer")
    assert prune(share, keep_last=1).json()["removed"] == 1
    stranger = updated(file, phone.stage(b"mine")) | {"base_version_id": "ver_never"}
    assert phone.apply(stranger).problem() == (409, "SYNC_VERSION_STALE")
    answer = phone.apply(updated(file, phone.stage(b"mine")), strategy="KEEP_BOTH").json()
    assert [each["resolution"] for each in answer["conflicts"]] == ["KEEP_BOTH"]
    assert len(share.tree()) == 2
    again = updated(file, file["version_id"])
    assert phone.apply(again, strategy="CLIENT_WINS").json()["errors"][0]["code"] == "NOT_FOUND"


def test_the_sides_of_an_open_conflict_are_not_pruned(share: FileShare, laptop: Device, phone: Device) -> None:
    file = laptop.put("/a.txt", b"base")
    theirs = laptop.edit(file, b"theirs")
    conflict = phone.apply(updated(file, phone.stage(b"mine")), strategy="MANUAL").json()["conflicts"][0]
    laptop.edit(file | {"version_id": theirs["version_id"]}, b"newest")
    assert prune(share, keep_last=1).json()["removed"] == 1
    assert numbers(share, file) == [3, 2]
    assert share.client.post(f"/api/v1/sync/conflicts/{conflict['id']}/resolve?resolution=SERVER_WINS").status == 200
    assert prune(share, keep_last=1).json()["removed"] >= 1


def test_gc_prunes_as_the_settings_say_and_its_plan_states_the_same(server: ServerUnderTest, share: FileShare) -> None:
    settings = FileSettings(keep_versions=2, gc_grace_seconds=DAY)
    file = put(share, "/a", 10 * KIB, 0)
    for seed in range(1, 5):
        put(share, "/a", 10 * KIB, seed)
    server.clock.advance(2 * DAY)
    planned = plan(server.database, server.services.packs, settings)
    assert gc.clean(server.database, server.services.packs, settings) == planned
    assert (planned.pruned_versions, planned.swept.dropped_bytes) == (3, 30 * KIB)
    assert numbers(share, file) == [5, 4]
    assert gc.clean(server.database, server.services.packs, FileSettings()).pruned_versions == 0


def test_a_pruning_that_was_cut_off_is_ended_by_the_next_gc(
    server: ServerUnderTest, share: FileShare, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(3):
        put(share, "/a", 200 * KIB, seed)
    with monkeypatch.context() as patched:
        patched.setattr(prune_versions, "drop_chunks", lambda *_: None)
        assert prune(share, keep_last=1).json()["removed"] == 2
    assert used(share) == 200 * KIB
    left = "SELECT count(*) FROM version_chunks WHERE feed = ?"
    assert share.read(lambda tx: tx.value(left, share.feed)) == 12
    monkeypatch.setattr(prune_versions, "ROWS_AT_ONCE", 3)
    gc.clean(server.database, server.services.packs, FileSettings())
    assert share.read(lambda tx: tx.value(left, share.feed)) == 4


def test_a_rule_that_names_nothing_to_keep_is_refused() -> None:
    with pytest.raises(Invalid):
        KeepRule.asked(None, None)


def test_a_caller_that_leaves_ends_the_emptying_between_two_steps(
    server: ServerUnderTest, share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_trash, "NODES_AT_ONCE", 1)
    for number in range(5):
        trash(share, laptop.put(f"/{number}", bytes([number]))["resource_id"])

    class _StopError(Exception):
        pass

    seen: list[int] = []

    def stop(so_far: empty_trash.Emptied) -> None:
        seen.append(so_far.removed)
        if so_far.removed == 2:
            raise _StopError

    with pytest.raises(_StopError):
        empty_trash.empty(server.database, share.feed, breathe=stop)
    assert seen[-1] == 2
    assert empty(share).json()["removed"] == 3
