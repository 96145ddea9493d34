"""What ``apply`` promises of items, lists, statuses and repetition. Source: files contract, reading "apply"."""

from __future__ import annotations

import pytest

from headwater.contracts.files import paths
from tests.support.clock import MovableClock
from tests.support.file_share import Device, FileShare, created, deleted, placed, updated
from tests.support.server.serving import ServerUnderTest

DAY_SECONDS = 86_400


def test_a_created_file_is_applied_with_its_change_resource_and_version(share: FileShare, laptop: Device) -> None:
    version_id = laptop.stage(b"one")
    start = share.page()["cursor"]
    answer = laptop.apply(created("/a.txt", version_id))
    assert answer.status == 200
    [entry] = answer.json()["applied"]
    changes, _ = share.drain(start)
    assert [change["id"] for change in changes] == [entry["change_id"]]
    assert entry == {
        "index": 0,
        "change_id": entry["change_id"],
        "resource_id": changes[0]["resource_id"],
        "version_id": version_id,
        "path": "/a.txt",
        "outcome": "applied",
        "modified_at": changes[0]["metadata"]["modified_at"],
    }


def test_a_change_on_the_wire_has_every_key_of_the_contract(share: FileShare, laptop: Device) -> None:
    laptop.folder("/a")
    file = laptop.put("/a/b.txt", b"one")
    edited = laptop.edit(file, b"second")
    [live] = [c for c in share.drain(1)[0] if c["change_type"] == "updated"]
    assert live["id"] == edited["change_id"]
    assert live["resource_id"] == file["resource_id"]
    assert live["resource_type"] == "file"
    assert live["old_path"] == live["new_path"] == "/a/b.txt"
    assert live["version_id"] == edited["version_id"]
    assert live["changed_by"] == laptop.user_id
    assert live["tenant_id"] == "default"
    assert live["share_id"] == share.id
    assert live["changed_at"] == "2026-03-26T11:25:00Z"
    assert live["metadata"]["size"] == len(b"second")
    assert live["metadata"]["mime_type"] == "text/plain"
    assert live["metadata"]["device_id"] == "laptop"


def test_items_are_applied_in_order_each_in_a_savepoint_and_each_in_one_list(share: FileShare, laptop: Device) -> None:
    answer = laptop.apply(
        created("/a"),
        created("/a/one.txt", laptop.stage(b"one")),
        created("/nowhere/two.txt", laptop.stage(b"two")),
        created("/a/three.txt", "ver_unknown"),
        created("/b"),
    )
    assert answer.status == 200
    lists = answer.json()
    assert [entry["index"] for entry in lists["applied"]] == [0, 1, 4]
    assert [(entry["index"], entry["reason"], entry["code"]) for entry in lists["errors"]] == [
        (2, "parent_missing", "NOT_FOUND"),
        (3, "version_unknown", "NOT_FOUND"),
    ]
    assert lists["conflicts"] == []
    assert set(share.tree()) == {"/a", "/a/one.txt", "/b"}


def test_an_atomic_request_is_all(share: FileShare, laptop: Device) -> None:
    answer = laptop.apply(created("/a"), created("/a/b"), atomic=True)
    assert answer.status == 200
    assert len(answer.json()["applied"]) == 2
    assert set(share.tree()) == {"/a", "/a/b"}


def test_an_atomic_request_is_nothing_when_one_item_fails_and_still_carries_the_lists(
    share: FileShare, laptop: Device
) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    head = share.page()["cursor"]
    stale = updated(file, laptop.stage(b"three"), base_version_id="ver_unknown")
    answer = laptop.apply(created("/made"), stale, created("/also"), atomic=True)
    assert answer.problem() == (409, "SYNC_VERSION_STALE")
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["applied"] == body["conflicts"] == []
    assert [(e["index"], e["code"], e["field"]) for e in body["errors"]] == [
        (0, "NOT_APPLIED", "changes[0]"),
        (1, "SYNC_VERSION_STALE", "changes[1]"),
        (2, "NOT_APPLIED", "changes[2]"),
    ]
    assert set(share.tree()) == {"/a.txt"}
    assert share.page(head)["changes"] == []


def test_an_atomic_request_that_waits_for_a_person_applies_nothing_but_records_the_conflict(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    mine = phone.stage(b"mine")
    answer = phone.apply(created("/made"), updated(file, mine), strategy="MANUAL", atomic=True)
    assert answer.problem() == (409, "SYNC_CONFLICT")
    [conflict] = answer.json()["conflicts"]
    assert conflict["resolution"] is None
    assert set(share.tree()) == {"/a.txt"}
    listed = phone.client.get(f"/api/v1/sync/conflicts?share_id={share.id}").json()
    assert [entry["id"] for entry in listed] == [conflict["id"]]
    assert share.read(lambda tx: tx.value("SELECT state FROM versions WHERE id = ?", mine)) == "held"


def test_an_atomic_request_that_waits_for_a_person_is_told_the_same_again_and_recorded_once(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    edit = updated(file, phone.stage(b"mine"), client_change_id="c-2")
    items = (created("/made", client_change_id="c-1"), edit, edit)
    first = phone.apply(*items, strategy="MANUAL", atomic=True)
    assert first.problem() == (409, "SYNC_CONFLICT")
    for _ in range(2):
        again = phone.apply(*items, strategy="MANUAL", atomic=True)
        assert [again.json()[name] for name in ("applied", "conflicts", "errors")] == [
            first.json()[name] for name in ("applied", "conflicts", "errors")
        ]
        assert again.status == 409
    listed = phone.client.get(f"/api/v1/sync/conflicts?share_id={share.id}").json()
    assert {entry["id"] for entry in listed} == {entry["id"] for entry in first.json()["conflicts"]}
    assert len(listed) == 1
    assert set(share.tree()) == {"/a.txt"}


def test_a_single_item_on_an_unknown_base_is_stale_with_409_and_leaves_no_record(
    share: FileShare, laptop: Device
) -> None:
    file = laptop.put("/a.txt", b"one")
    for base in ("ver_unknown", None):
        answer = laptop.apply(updated(file, laptop.stage(b"two"), base_version_id=base))
        assert answer.problem() == (409, "SYNC_VERSION_STALE")
        assert answer.json()["errors"][0]["current_version_id"] == file["version_id"]
    assert laptop.client.get("/api/v1/sync/conflicts?include_resolved=true").json() == []


@pytest.mark.parametrize("strategy", ["LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS", "MANUAL"])
def test_a_deletion_on_an_old_base_is_stale_under_every_strategy(
    share: FileShare, laptop: Device, strategy: str
) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    answer = laptop.apply(deleted(file), strategy=strategy)
    assert answer.problem() == (409, "SYNC_VERSION_STALE")
    assert set(share.tree()) == {"/a.txt"}


def test_a_single_item_left_to_a_person_is_a_conflict_with_409_and_in_a_batch_with_200(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    single = phone.apply(updated(file, phone.stage(b"mine")), strategy="MANUAL")
    assert single.problem() == (409, "SYNC_CONFLICT")
    assert len(single.json()["conflicts"]) == 1
    batch = phone.apply(updated(file, phone.stage(b"mine too")), created("/b"), strategy="MANUAL")
    assert batch.status == 200
    assert [len(batch.json()[name]) for name in ("applied", "conflicts", "errors")] == [1, 1, 0]


def test_a_refused_single_item_answers_200_with_its_error(laptop: Device) -> None:
    answer = laptop.apply(created("/nowhere/a"))
    assert answer.status == 200
    assert answer.json()["errors"][0]["reason"] == "parent_missing"


def test_the_same_content_makes_no_version_no_change_and_no_conflict(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/a.txt", b"one")
    edited = laptop.edit(file, b"two")
    head = share.page()["cursor"]
    [entry] = phone.applied(updated(file, phone.stage(b"two")))
    assert entry["outcome"] == "unchanged"
    assert entry["change_id"] is None
    assert entry["version_id"] == edited["version_id"]
    assert share.page(head)["changes"] == []


def test_a_rename_merges_with_an_edit_of_the_content(share: FileShare, laptop: Device, phone: Device) -> None:
    file = laptop.put("/a.txt", b"one")
    edited = laptop.edit(file, b"two")
    phone.applied(placed(file["resource_id"], "/a.txt", "/b.txt", base_version_id=file["version_id"]))
    assert share.tree() == {"/b.txt": edited["version_id"]}


def test_a_repeated_client_change_id_gets_its_first_result_wherever_it_stands(share: FileShare, laptop: Device) -> None:
    item = created("/a.txt", laptop.stage(b"one"), client_change_id="e1")
    [first] = laptop.applied(item)
    head = share.page()["cursor"]
    again = laptop.applied(created("/b"), item)
    assert again[1] == first | {"index": 1}
    assert [change["new_path"] for change in share.page(head)["changes"]] == ["/b"]


def test_a_client_change_id_belongs_to_its_device(share: FileShare, laptop: Device, phone: Device) -> None:
    laptop.applied(created("/a", client_change_id="e1"))
    phone.applied(created("/b", client_change_id="e1"))
    assert set(share.tree()) == {"/a", "/b"}


def test_a_client_change_id_with_another_change_is_an_error(laptop: Device) -> None:
    laptop.applied(created("/a", client_change_id="e1"))
    answer = laptop.apply(created("/b", client_change_id="e1"))
    assert answer.json()["errors"][0]["code"] == "CHANGE_ID_REUSED"


def test_what_failed_under_a_client_change_id_is_tried_again(laptop: Device) -> None:
    item = created("/a/b", client_change_id="e1")
    assert laptop.apply(item).json()["errors"]
    laptop.folder("/a")
    assert laptop.applied(item)[0]["path"] == "/a/b"


def test_a_client_change_id_is_forgotten_after_a_day(clock: MovableClock, laptop: Device) -> None:
    laptop.applied(created("/a", client_change_id="e1"))
    clock.advance(DAY_SECONDS + 1)
    assert laptop.applied(created("/b", client_change_id="e1"))[0]["path"] == "/b"


def test_a_conflict_sent_again_without_a_change_id_is_told_again_and_done_once(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    item = updated(file, phone.stage(b"mine"))
    first = phone.apply(item, strategy="KEEP_BOTH").json()["conflicts"][0]
    again = phone.apply(item, strategy="KEEP_BOTH").json()["conflicts"][0]
    assert first["id"] == again["id"]
    assert len(share.tree()) == 2


def test_a_device_that_is_unknown_removed_or_another_users_is_404(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    other = share.device("tablet", server.caller(role="org_admin"))
    laptop.client.delete("/api/v1/sync/devices/laptop")
    for device_id in ("never", "tablet", "laptop"):
        answer = laptop.apply(created("/a"), device_id=device_id)
        assert answer.problem() == (404, "NOT_FOUND")
    other.applied(created("/a"))


def test_apply_needs_write_on_the_share(server: ServerUnderTest, share: FileShare) -> None:
    caller = server.caller(role="peer_mentor")
    device = share.device("tablet", caller)
    assert device.apply(created("/a")).status == 404
    member = {"kind": "user", "id": device.user_id, "access": "READ"}
    share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": [member]})
    assert device.apply(created("/a")).status == 403
    share.client.put(f"/api/v1/shares/{share.id}/members", json={"members": [member | {"access": "WRITE"}]})
    device.applied(created("/a"))
    assert caller.as_token(server.token(scopes=("files:read",))).post(
        "/api/v1/sync/apply", json={"device_id": "tablet", "share_id": share.id, "changes": []}
    ).status == 403  # fmt: skip


def test_a_version_that_somebody_else_staged_cannot_be_used(server: ServerUnderTest, share: FileShare) -> None:
    laptop = share.device("laptop")
    tablet = share.device("tablet", server.caller(role="org_admin"))
    answer = tablet.apply(created("/a.txt", laptop.stage(b"secret")))
    assert answer.json()["errors"][0]["reason"] == "version_unknown"


def test_a_version_of_one_file_cannot_become_another_files(laptop: Device) -> None:
    file = laptop.put("/a.txt", b"one")
    answer = laptop.apply(created("/b.txt", file["version_id"]))
    assert answer.json()["errors"][0]["code"] == "VERSION_USED"


def test_items_about_one_file_see_what_those_before_them_wrote_and_not_what_was_undone(
    share: FileShare, laptop: Device
) -> None:
    used, file = laptop.put("/used", b"used"), laptop.put("/a", b"one")
    second, third, fourth = (laptop.stage(content) for content in (b"second", b"third", b"fourth"))
    on_second = {"resource_id": file["resource_id"], "version_id": second}
    # Its place is given first; then its content fails, and the item with it.
    fails = placed(file["resource_id"], "/a", "/b", version_id=used["version_id"], base_version_id=second)
    answer = laptop.apply(
        updated(file, second), fails, updated(on_second, third), updated(file, fourth), strategy="SERVER_WINS"
    ).json()
    applied = [(entry["index"], entry["version_id"], entry["path"]) for entry in answer["applied"]]
    assert applied == [(0, second, "/a"), (2, third, "/a")]
    assert [(error["index"], error["code"]) for error in answer["errors"]] == [(1, "VERSION_USED")]
    [conflict] = answer["conflicts"]
    kept = (conflict["server_version_id"], conflict["kept_as"]["keeper"], conflict["kept_as"]["version_id"])
    assert kept == (third, "history", fourth)
    history = share.client.get(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}/versions").json()["data"]
    assert [(version["id"], version["number"]) for version in history] == [
        (fourth, 4), (third, 3), (second, 2), (file["version_id"], 1),
    ]  # fmt: skip
    assert set(share.tree()) == {"/a", "/used"}


def test_more_than_a_thousand_items_are_refused(laptop: Device) -> None:
    assert laptop.apply(*[created("/a")] * 1001).status == 422
    assert laptop.apply(*[created("/a")] * 1000).status == 200


def test_names_that_the_share_refuses_are_errors_of_their_item(laptop: Device) -> None:
    answer = laptop.apply(created("/CON"), created("/a/../b"), created("relative"), created("/"), created("/fine"))
    errors = answer.json()["errors"]
    assert [(e["index"], e["code"], e["reason"]) for e in errors] == [
        (0, "INVALID", "reserved"),
        (1, "INVALID", "dots"),
        (2, "INVALID", "not_absolute"),
        (3, "INVALID", "incorrect_value"),
    ]
    assert len(answer.json()["applied"]) == 1


def test_a_renamed_folder_is_one_change_whatever_is_below(share: FileShare, laptop: Device) -> None:
    folder = laptop.folder("/a")
    laptop.applied(*[created(f"/a/f{n}") for n in range(200)])
    laptop.put("/a/f0/deep.txt", b"x")
    head = share.page()["cursor"]
    laptop.applied(placed(folder, "/a", "/b", kind="folder"))
    [change] = share.page(head)["changes"]
    assert (change["change_type"], change["old_path"], change["new_path"]) == ("renamed", "/a", "/b")
    assert "/b/f0/deep.txt" in share.tree()


def test_renaming_a_folder_writes_the_same_rows_at_any_size(share: FileShare, laptop: Device) -> None:
    def rows_written(path: str, to: str, folder: str) -> int:
        before = share.read(lambda tx: tx.value("SELECT count(*) FROM changes"))
        laptop.applied(placed(folder, path, to, kind="folder"))
        return int(share.read(lambda tx: tx.value("SELECT count(*) FROM changes"))) - int(before)

    small, large = laptop.folder("/small"), laptop.folder("/large")
    laptop.applied(*[created(f"/large/f{n}") for n in range(900)])
    assert rows_written("/small", "/s", small) == rows_written("/large", "/l", large) == 1


def test_a_folder_does_not_go_into_itself(share: FileShare, laptop: Device) -> None:
    folder = laptop.folder("/a")
    laptop.folder("/a/b")
    answer = laptop.apply(placed(folder, "/a", "/a/b/a", kind="folder"))
    assert answer.json()["errors"][0]["reason"] == "into_itself"
    assert set(share.tree()) == {"/a", "/a/b"}


def test_creating_a_folder_onto_a_folder_merges(laptop: Device, phone: Device) -> None:
    folder = laptop.folder("/a")
    [entry] = phone.applied(created("/A"))
    assert (entry["resource_id"], entry["outcome"]) == (folder, "unchanged")


def test_a_folders_deletion_asks_for_the_place_where_the_device_saw_it(share: FileShare, laptop: Device) -> None:
    folder = laptop.folder("/a")
    laptop.applied(placed(folder, "/a", "/b", kind="folder"))
    item = {"resource_type": "folder", "change_type": "deleted", "resource_id": folder}
    assert laptop.apply(item | {"old_path": "/a"}).problem() == (409, "SYNC_VERSION_STALE")
    assert laptop.apply(item).problem() == (409, "SYNC_VERSION_STALE")
    laptop.applied(item | {"old_path": "/b"})
    assert share.tree() == {}


def test_an_idempotency_key_gives_a_409_again_as_it_was(share: FileShare, laptop: Device, phone: Device) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    body = {
        "device_id": "phone",
        "share_id": share.id,
        "conflict_resolution": "MANUAL",
        "changes": [updated(file, phone.stage(b"mine"))],
    }
    first, again = (
        phone.client.post("/api/v1/sync/apply", json=body, headers={"idempotency-key": "k1"}) for _ in range(2)
    )
    assert first.status == again.status == 409
    assert first.body == again.body


def test_without_a_strategy_the_last_writer_wins(share: FileShare, laptop: Device, phone: Device) -> None:
    file = laptop.put("/a.txt", b"one", modified_at="2026-03-26T10:00:00Z")
    edited = laptop.edit(file, b"two", modified_at="2026-03-26T11:20:00Z")
    for minute, current in (("19", edited["version_id"]), ("21", None)):
        mine = phone.stage(minute.encode())
        item = updated(file, mine, modified_at=f"2026-03-26T11:{minute}:00Z")
        body = {"device_id": "phone", "share_id": share.id, "changes": [item]}
        answer = phone.client.post("/api/v1/sync/apply", json=body)
        assert answer.json()["conflicts"][0]["resolution"] == "LAST_WRITER_WINS"
        assert share.tree() == {"/a.txt": current or mine}


def test_a_share_itself_is_not_changed_by_apply(share: FileShare, laptop: Device) -> None:
    item = {"resource_type": "share", "change_type": "deleted", "resource_id": share.id}
    answer = laptop.apply(item)
    assert answer.json()["errors"][0]["reason"] == "type_unsupported"
    assert share.changes().status == 200


def test_a_device_may_be_named_by_our_id_of_it(share: FileShare, laptop: Device) -> None:
    [device] = laptop.client.get("/api/v1/sync/devices").json()
    [entry] = laptop.applied(created("/a", client_change_id="e1"), device_id=device["id"])
    assert laptop.applied(created("/a", client_change_id="e1")) == [entry]
    assert share.drain(0)[0][0]["metadata"]["device_id"] == "laptop"


def test_a_rename_that_changes_only_the_case_is_applied(share: FileShare, laptop: Device) -> None:
    file = laptop.put("/readme.txt", b"one")
    head = share.page()["cursor"]
    laptop.applied(placed(file["resource_id"], "/readme.txt", "/README.txt"))
    [change] = share.page(head)["changes"]
    assert (change["change_type"], change["new_path"]) == ("renamed", "/README.txt")


def test_a_composed_and_a_decomposed_name_are_one(share: FileShare, laptop: Device, phone: Device) -> None:
    file = laptop.put("/caf\u00e9.txt", b"one")
    [entry] = phone.applied(created("/cafe\u0301.txt", phone.stage(b"one")))
    assert (entry["resource_id"], entry["outcome"]) == (file["resource_id"], "unchanged")
    assert set(share.tree()) == {"/caf\u00e9.txt"}


def test_deep_paths_deleted_many_times_over_do_not_hold_up_the_writer(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        folder = laptop.folder("/a")
        laptop.applied(created("/a/b"), created("/a/b/c"))
        laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/a"})
    known = laptop.apply(created("/a/b/c/d"), strategy="SERVER_WINS").json()
    assert [conflict["conflict_type"] for conflict in known["conflicts"]] == ["edit_delete"]
    monkeypatch.setattr(paths, "_MAX_LOOKUPS", 3)
    bounded = laptop.apply(created("/a/b/c/e"), strategy="SERVER_WINS").json()
    assert [error["reason"] for error in bounded["errors"]] == ["parent_missing"]


def test_applying_never_moves_the_devices_cursor(share: FileShare, laptop: Device) -> None:
    status = f"/api/v1/sync/status?share_id={share.id}&device_id=laptop"
    before = laptop.client.get(status).json()
    laptop.folder("/a")
    after = laptop.client.get(status).json()
    assert after == before | {"pending_changes": 1}
