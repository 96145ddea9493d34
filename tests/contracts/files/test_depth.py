"""What deep trees cost: a request looks at each level a few times, however deep it goes; and how deep that is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from headwater.store import tree
from tests.support.file_share import Device, FileShare, created

DEPTH = 60
PATHS = ["/d" * depth for depth in range(1, DEPTH + 1)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes were looked at, one entry for each look-up."""
    found: list[int] = []
    child, ancestors, find = tree.child, tree.ancestors, tree.find

    def counted_child(*asked: object) -> tree.Node | None:
        found.append(1)
        return child(*asked)  # type: ignore[arg-type]

    def counted_find(*asked: object) -> tree.Node | None:
        found.append(1)
        return find(*asked)  # type: ignore[arg-type]

    def counted_ancestors(*asked: object) -> list[tree.Node]:
        rows = ancestors(*asked)  # type: ignore[arg-type]
        found.append(len(rows))
        return rows

    monkeypatch.setattr(tree, "child", counted_child)
    monkeypatch.setattr(tree, "ancestors", counted_ancestors)
    monkeypatch.setattr(tree, "find", counted_find)
    return found


def make_at_once(share: FileShare, _device: Device) -> FileShare:
    body = {"path": PATHS[-1], "parents": True}
    assert share.client.post(f"/api/v1/shares/{share.id}/folders", json=body).status == 201
    return share


def make_one_by_one(share: FileShare, device: Device) -> FileShare:
    device.applied(*(created(path) for path in PATHS))
    return share


def make_anew_below_a_deleted_folder(share: FileShare, device: Device) -> FileShare:
    make_at_once(share, device)
    top = share.client.get(f"/api/v1/shares/{share.id}/node?path=/d").json()["id"]
    share.client.delete(f"/api/v1/shares/{share.id}/nodes/{top}")
    item = created(PATHS[-1] + "/file", device.stage(b"deep"))
    assert device.apply(item, strategy="CLIENT_WINS").json()["conflicts"][0]["resolution"] == "CLIENT_WINS"
    return share


def restore(share: FileShare, device: Device) -> FileShare:
    make_at_once(share, device)
    top = f"/api/v1/shares/{share.id}/nodes/" + share.client.get(f"/api/v1/shares/{share.id}/node?path=/d").json()["id"]
    share.client.delete(top)
    assert share.client.post(top + "/restore").status == 200
    return share


def cross(share: FileShare, device: Device) -> FileShare:
    make_at_once(share, device)
    top = share.client.get(f"/api/v1/shares/{share.id}/node?path=/d").json()["id"]
    other = FileShare(share.server)
    assert share.client.patch(f"/api/v1/shares/{share.id}/nodes/{top}", json={"share_id": other.id}).status == 200
    return other


@pytest.mark.parametrize("work", [make_at_once, make_one_by_one, make_anew_below_a_deleted_folder, restore, cross])
def test_a_deep_request_looks_at_each_level_a_few_times(
    share: FileShare, laptop: Device, looks: list[int], work: Callable[[FileShare, Device], FileShare]
) -> None:
    found = work(share, laptop)
    assert sum(looks) < 12 * DEPTH
    told = [change["new_path"] for change in found.drain(0)[0]]
    assert [path for path in told if path in PATHS] == PATHS


def test_folders_made_together_are_spelled_as_they_are_there(share: FileShare, laptop: Device) -> None:
    share.client.post(f"/api/v1/shares/{share.id}/folders", json={"path": "/Docs/Old", "parents": True})
    share.client.post(f"/api/v1/shares/{share.id}/folders", json={"path": "/docs/OLD/New/One", "parents": True})
    laptop.applied(created("/DOCS/old/new/Two"), created("/docs/old/NEW/two/Three"))
    paths = ["/Docs", "/Docs/Old", "/Docs/Old/New", "/Docs/Old/New/One", "/Docs/Old/New/Two", "/Docs/Old/New/Two/Three"]
    assert sorted(share.tree()) == paths
    assert sorted(change["new_path"] for change in share.drain(0)[0]) == paths


def test_a_folder_that_moved_or_went_in_the_same_request_is_not_taken_for_where_it_was(
    share: FileShare, laptop: Device
) -> None:
    [a, *_] = laptop.applied(created("/a"), created("/a/b"), created("/c"))
    answer = laptop.apply(
        created("/a/b/one"),
        {
            "resource_type": "folder",
            "change_type": "renamed",
            "resource_id": a["resource_id"],
            "old_path": "/a",
            "new_path": "/z",
        },
        created("/a/b/two"),
        created("/z/b/three"),
        {"resource_type": "folder", "change_type": "deleted", "resource_id": a["resource_id"], "old_path": "/z"},
        created("/z/b/four"),
        strategy="SERVER_WINS",
    ).json()
    assert [entry["index"] for entry in answer["applied"]] == [0, 1, 3, 4]
    assert [(entry["index"], entry["reason"]) for entry in answer["errors"]] == [(2, "parent_missing")]
    assert [entry["index"] for entry in answer["conflicts"]] == [5]
    assert set(share.tree()) == {"/c"}


def test_a_path_is_as_deep_as_its_bytes_allow(share: FileShare, laptop: Device) -> None:
    """4,096 bytes hold 2,048 names of one byte; the next one is refused, with nothing made on the way."""
    body = {"path": "/d" * 2049, "parents": True}
    answer = share.client.post(f"/api/v1/shares/{share.id}/folders", json=body)
    assert (answer.status, answer.json()["errors"][0]["code"]) == (422, "path_too_long")
    errors = laptop.apply(created("/d" * 2049)).json()["errors"]
    assert [(error["code"], error["reason"]) for error in errors] == [("INVALID", "path_too_long")]
    assert share.tree() == {}
