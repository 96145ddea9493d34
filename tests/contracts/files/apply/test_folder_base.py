"""The base of a folder's deletion: what another device changed below it, and the deleter has not seen, is not lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.file_share import Device, FileShare, created, deleted, placed, updated


def head(share: FileShare) -> int:
    """The position of the newest change."""
    return int(share.read(lambda tx: tx.counter(share.feed, "head")))


def gone(folder: str, path: str, seen: int | None = None) -> dict[str, Any]:
    """The deletion of a folder by a device that has seen the share up to a position."""
    item = {"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": path}
    return item | ({} if seen is None else {"metadata": {"seen_position": seen}})


@pytest.fixture
def folder(laptop: Device) -> str:
    """A folder with a nested one and a file in it."""
    found = laptop.folder("/d")
    laptop.applied(created("/d/sub"))
    return found


def change(kind: str, device: Device, file: dict[str, Any], outside: dict[str, Any]) -> None:
    """One change of a device below /d, or beside it."""
    items = {
        "edit": lambda: updated(file, device.stage(b"edited")),
        "creation": lambda: created("/d/new", device.stage(b"new")),
        "nested creation": lambda: created("/d/sub/new", device.stage(b"new")),
        "folder": lambda: created("/d/sub/deeper"),
        "rename": lambda: placed(file["resource_id"], "/d/sub/f", "/d/sub/g"),
        "move in": lambda: placed(outside["resource_id"], "/o", "/d/sub/o"),
        "move out": lambda: placed(file["resource_id"], "/d/sub/f", "/f"),
        "deletion": lambda: deleted(file),
        "elsewhere": lambda: created("/e", device.stage(b"e")),
    }
    device.applied(items[kind]())


KINDS = {
    "edit": True, "creation": True, "nested creation": True, "folder": True, "rename": True, "move in": True,
    "move out": False, "deletion": False, "elsewhere": False,
}  # fmt: skip


@pytest.mark.parametrize("reported", [False, True])
@pytest.mark.parametrize("strategy", ["LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS", "MANUAL"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_deleted_only_with_what_its_deleter_has_seen(
    share: FileShare, laptop: Device, phone: Device, folder: str, kind: str, strategy: str, reported: bool
) -> None:
    file, outside = laptop.put("/d/sub/f", b"one"), laptop.put("/o", b"o")
    seen = head(share)
    if reported:
        path = f"/api/v1/sync/cursor?share_id={share.id}&device_id=laptop&position={seen}"
        assert laptop.client.post(path).status == 200
    change(kind, phone, file, outside)
    item = gone(folder, "/d", None if reported else seen)
    answer = laptop.apply(item, strategy=strategy)
    if KINDS[kind]:
        assert answer.problem() == (409, "SYNC_VERSION_STALE")
        assert "/d" in share.tree()
        laptop.applied(gone(folder, "/d", head(share)), strategy=strategy)  # once it has pulled
    assert not any(path.startswith("/d") for path in share.tree())


@pytest.mark.parametrize("kind", KINDS)
def test_a_devices_own_changes_are_no_news_to_it(share: FileShare, laptop: Device, folder: str, kind: str) -> None:
    file, outside = laptop.put("/d/sub/f", b"one"), laptop.put("/o", b"o")
    seen = head(share)
    change(kind, laptop, file, outside)
    laptop.applied(gone(folder, "/d", seen))
    assert not any(path.startswith("/d") for path in share.tree())


def test_a_device_that_told_no_position_deletes_as_it_says(
    share: FileShare, laptop: Device, phone: Device, folder: str
) -> None:
    laptop.client.get(f"/api/v1/sync/status?share_id={share.id}&device_id=laptop")  # a reading, no report
    phone.put("/d/new", b"new")
    laptop.applied(gone(folder, "/d"))
    assert share.tree() == {}


def test_an_explicit_deletion_by_a_person_does_as_it_says(
    share: FileShare, laptop: Device, phone: Device, folder: str
) -> None:
    phone.put("/d/new", b"new")
    answer = share.client.request("DELETE", f"/api/v1/shares/{share.id}/nodes/{folder}")
    assert answer.status == 200
    assert share.tree() == {}


def test_a_position_beyond_the_head_is_no_base(share: FileShare, laptop: Device, folder: str) -> None:
    assert laptop.apply(gone(folder, "/d", head(share) + 1)).problem() == (409, "SYNC_VERSION_STALE")


def test_a_folder_that_was_restored_whole_is_news(
    share: FileShare, laptop: Device, phone: Device, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.contracts.files.tree.restore.MAX_ANNOUNCED", 0)
    seen = head(share)
    phone.applied(gone(folder, "/d"))
    share.client.post(f"/api/v1/shares/{share.id}/nodes/{folder}/restore", json={})
    assert laptop.apply(gone(folder, "/d", seen)).problem() == (409, "SYNC_VERSION_STALE")


def test_within_one_request_what_moved_out_or_was_deleted_is_no_news_and_what_moved_in_is(
    share: FileShare, laptop: Device, phone: Device, folder: str
) -> None:
    seen = head(share)
    file = phone.put("/d/new", b"new")
    out = placed(file["resource_id"], "/d/new", "/new")
    laptop.applied(out, gone(folder, "/d", seen))
    other = laptop.folder("/d2")
    back = placed(file["resource_id"], "/new", "/d2/new")
    answer = laptop.apply(back, gone(other, "/d2", seen)).json()
    assert [error["code"] for error in answer["errors"]] == ["SYNC_VERSION_STALE"]
    laptop.applied(deleted(file), gone(other, "/d2", seen))


def test_a_device_that_is_far_behind_pulls_first(
    share: FileShare, laptop: Device, phone: Device, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headwater.contracts.files.folder_news._MAX_CHANGES", 3)
    seen = head(share)
    for number in range(4):
        phone.put(f"/{number}", b"elsewhere")
    assert laptop.apply(gone(folder, "/d", seen)).problem() == (409, "SYNC_VERSION_STALE")
    laptop.applied(gone(folder, "/d", seen + 1))
