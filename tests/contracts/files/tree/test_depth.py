"""What deep trees cost: a request looks at each level a few times, however deep it goes; and how deep that is."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from headwater.contracts.files.names import NamePolicy, name_key
from headwater.contracts.files.tree import page_rows
from headwater.store.tree import nodes
from headwater.web.call import Call
from tests.support.file_share import Device, FileShare, created, placed, updated
from tests.support.server.wire import packed, unpacked

DEPTH = 60
PATHS = ["/d" * depth for depth in range(1, DEPTH + 1)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes were looked at, one entry for each look-up."""
    found: list[int] = []
    child, ancestors, find, find_many = nodes.child, nodes.ancestors, nodes.find, nodes.find_many

    def counted_child(*asked: object) -> nodes.Node | None:
        found.append(1)
        return child(*asked)  # type: ignore[arg-type]

    def counted_find(*asked: object) -> nodes.Node | None:
        found.append(1)
        return find(*asked)  # type: ignore[arg-type]

    def counted_find_many(*asked: object) -> list[nodes.Node]:
        rows = find_many(*asked)  # type: ignore[arg-type]
        found.append(len(rows))
        return rows

    def counted_ancestors(*asked: object) -> list[nodes.Node]:
        rows = ancestors(*asked)  # type: ignore[arg-type]
        found.append(len(rows))
        return rows

    monkeypatch.setattr(nodes, "child", counted_child)
    monkeypatch.setattr(nodes, "ancestors", counted_ancestors)
    monkeypatch.setattr(nodes, "find", counted_find)
    monkeypatch.setattr(nodes, "find_many", counted_find_many)
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


def node_at(share: FileShare, path: str) -> str:
    node_id: str = share.client.get(f"/api/v1/shares/{share.id}/node?path={path}").json()["id"]
    return node_id


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


@pytest.mark.parametrize("function", [make_at_once, make_one_by_one, make_anew_below_a_deleted_folder, restore, cross])
def test_a_deep_request_looks_at_each_level_a_few_times(
    share: FileShare, laptop: Device, looks: list[int], function: Callable[[FileShare, Device], FileShare]
) -> None:
    found = function(share, laptop)
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


def of_the_leaf(share: FileShare) -> list[dict[str, Any]]:
    leaf = {"resource_type": "folder", "resource_id": node_at(share, PATHS[-1])}
    elsewhere = {**leaf, "change_type": "renamed", "old_path": "/elsewhere", "new_path": PATHS[-2] + "/e"}
    return [*[{**leaf, "change_type": "deleted"}] * 30, *[elsewhere] * 30]


def that_rename_the_leaf(share: FileShare) -> list[dict[str, Any]]:
    leaf, names = node_at(share, PATHS[-1]), [PATHS[-2] + "/" + "de"[turn % 2] for turn in range(61)]
    return [placed(leaf, old, new, kind="folder") for old, new in pairwise(names)]


def of_a_file_in_the_leaf(share: FileShare) -> list[dict[str, Any]]:
    device = share.device("desk")
    file = device.put(PATHS[-1] + "/file", b"one")
    return [updated(file, device.stage(b"%d" % turn)) for turn in range(60)]


def of_leaves_side_by_side(share: FileShare) -> list[dict[str, Any]]:
    device = share.device("desk")
    made = device.applied(*(created(f"{PATHS[-1]}/{turn}") for turn in range(30)))
    made = device.applied(*(created(f"{entry['path']}/file", device.stage(b"one")) for entry in made))
    return [updated(file, device.stage(b"two")) for file in made]


@pytest.mark.parametrize("items_of", [of_the_leaf, that_rename_the_leaf, of_a_file_in_the_leaf, of_leaves_side_by_side])
@pytest.mark.parametrize("strategy", ["LAST_WRITER_WINS", "KEEP_BOTH", "MANUAL"])
def test_items_about_one_deep_place_look_at_its_levels_once(
    share: FileShare,
    laptop: Device,
    looks: list[int],
    items_of: Callable[[FileShare], list[dict[str, Any]]],
    strategy: str,
) -> None:
    make_at_once(share, laptop)
    items = items_of(share)
    looks.clear()
    answer = laptop.apply(*items, strategy=strategy)
    assert answer.status == 200
    assert sum(looks) < 6 * DEPTH + 10 * len(items)
    looks.clear()
    listed = share.client.get("/api/v1/sync/conflicts?include_resolved=true").json()
    assert {told["id"] for told in listed} == {told["id"] for told in answer.json()["conflicts"]}
    assert sum(looks) < 2 * DEPTH + 2 * len(items)


def test_copies_of_one_name_in_one_second_ask_for_each_number_once(
    share: FileShare, laptop: Device, looks: list[int]
) -> None:
    laptop.put("/a.txt", b"one")
    items = [created("/a.txt", laptop.stage(b"%d" % turn)) for turn in range(40)]
    looks.clear()
    conflicts = laptop.apply(*items, strategy="KEEP_BOTH").json()["conflicts"]
    assert sum(looks) < 8 * len(items)
    copies = [conflict["kept_as"]["path"] for conflict in conflicts]
    assert [path.partition(")")[2] for path in copies] == [".txt", *(f" {number}.txt" for number in range(2, 41))]
    # The next request finds them taken.
    again = laptop.apply(created("/a.txt", laptop.stage(b"more")), strategy="KEEP_BOTH").json()["conflicts"]
    assert again[0]["kept_as"]["path"].endswith(") 41.txt")


def test_what_an_item_moved_is_where_it_was_once_the_item_is_undone(share: FileShare, laptop: Device) -> None:
    [a, _, inner, _] = laptop.applied(created("/a"), created("/a/b"), created("/a/b/c"), created("/z"))
    version = laptop.stage(b"of another file")
    file = laptop.put("/a/b/file", b"one")
    laptop.applied(created("/other", version))
    # Its place is given first; then its content fails, and the item with it.
    broken = placed(file["resource_id"], "/a/b/file", "/z/file", version_id=version, base_version_id=file["version_id"])
    leaf = {"resource_type": "folder", "resource_id": inner["resource_id"], "change_type": "deleted"}
    answer = laptop.apply(
        placed(a["resource_id"], "/a", "/z/a", kind="folder"),
        {**leaf, "old_path": "/a/b/c"},
        broken,
        placed(a["resource_id"], "/z/a", "/q", kind="folder"),
        created("/q/b/d"),
        {**leaf, "old_path": "/q/b/c"},
    ).json()
    assert [(entry["index"], entry["path"]) for entry in answer["applied"]] == [
        (0, "/z/a"), (3, "/q"), (4, "/q/b/d"), (5, None),
    ]  # fmt: skip
    assert [entry["index"] for entry in answer["errors"]] == [1, 2]
    assert set(share.tree()) == {"/other", "/q", "/q/b", "/q/b/d", "/q/b/file", "/z"}


def test_folders_are_created_on_the_way_only_when_the_whole_path_can_be(share: FileShare, laptop: Device) -> None:
    """A folder that other letters name by a shorter path: what is below it may be longer than any path may be."""
    wide = "\u1e9e" * 85  # CAPITAL SHARP S, three bytes; its key is ss
    for depth in range(1, 16):
        share.client.post(f"/api/v1/shares/{share.id}/folders", json={"path": f"/{wide}" * depth})
    before = share.tree()
    body = {"path": ("/" + "ss" * 85) * 15 + "/" + "n" * 200 + "/" + "n" * 200, "parents": True}
    answer = share.client.post(f"/api/v1/shares/{share.id}/folders", json=body)
    assert (answer.status, answer.json()["errors"][0]["code"]) == (422, "path_too_long")
    assert share.tree() == before
    assert laptop.apply(created("/fine")).json()["errors"] == []


def test_files_in_many_folders_of_one_deep_folder_climb_to_it_once(
    share: FileShare, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    def counted(name: str, *policy: NamePolicy) -> str:
        keys.append(name)
        return name_key(name, *policy)

    monkeypatch.setattr("headwater.contracts.files.paths.name_key", counted)
    stream = "".join(f'{{"path": "{PATHS[-1]}/{number}/x", "size": 1}}\nx' for number in range(100))
    for status in ("created", "unchanged"):
        keys.clear()
        answer = share.client.post(f"/api/v1/uploads/packed?share_id={share.id}", content=stream.encode())
        assert {result["status"] for result in answer.json()["results"]} == {status}
        # Each folder's own name once or twice, and the names above them a few times: not a hundred times sixty.
        assert len(keys) < 5 * (100 + DEPTH)


def deep_files(share: FileShare, laptop: Device) -> list[dict[str, Any]]:
    """A file in each of the folders of one deep path."""
    make_at_once(share, laptop)
    return [laptop.put(f"{path}/file", b"x") for path in PATHS]


@pytest.mark.sqlite_only
def test_a_page_of_the_trash_reads_each_folder_above_it_once(
    share: FileShare, laptop: Device, looks: list[int]
) -> None:
    for file in deep_files(share, laptop):
        assert share.client.delete(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}").status == 200
    looks.clear()
    listed = share.client.get(f"/api/v1/shares/{share.id}/trash?limit=200").json()
    assert sorted(node["path"] for node in listed["data"]) == sorted(f"{path}/file" for path in PATHS)
    assert sum(looks) < 3 * DEPTH


@pytest.mark.sqlite_only
def test_a_batch_of_files_of_deep_folders_reads_each_folder_once(
    share: FileShare, laptop: Device, looks: list[int]
) -> None:
    make_at_once(share, laptop)
    stream = packed(({"path": f"{path}/file"}, b"x") for path in PATHS)
    results = share.client.post(f"/api/v1/uploads/packed?share_id={share.id}", content=stream).json()["results"]
    ids = [result["resource_id"] for result in results]
    looks.clear()
    answer = share.client.post("/api/v1/downloads/batch", json={"share_id": share.id, "file_ids": ids})
    assert [content for _, content in unpacked(answer.body)] == [b"x"] * DEPTH
    assert sum(looks) < 3 * DEPTH


@pytest.mark.parametrize("limit", ["MAX_FOLDERS", "MAX_PATH_CHARACTERS"])
@pytest.mark.sqlite_only
def test_a_page_that_has_cost_enough_ends_early_and_the_next_one_continues(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    for file in deep_files(share, laptop):
        share.client.delete(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}")
    monkeypatch.setattr(page_rows, limit, 20)
    found: list[str] = []
    pages, cursor = 0, ""
    while True:
        page = share.client.get(f"/api/v1/shares/{share.id}/trash?limit=200&cursor={cursor}").json()
        found += [node["path"] for node in page["data"]]
        pages, cursor = pages + 1, page["cursor"]
        if not page["has_more"]:
            break
    assert sorted(found) == sorted(f"{path}/file" for path in PATHS)
    assert pages > 10


@pytest.mark.parametrize(
    ("query", "slow"),
    [
        ("children?limit=200", False),
        ("children?limit=201", True),
        ("children?path=/d/d", True),
        ("trash?limit=1", True),
    ],
)
@pytest.mark.sqlite_only
def test_a_listing_whose_cost_is_not_known_is_read_off_the_event_loop(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch, query: str, slow: bool
) -> None:
    laptop.folder("/d")
    laptop.folder("/d/d")
    seen: list[bool] = []
    read = Call.read

    async def noted(call: Call, function: Any, *, slow: bool = False) -> Any:
        seen.append(slow)
        return await read(call, function, slow=slow)

    monkeypatch.setattr(Call, "read", noted)
    assert share.client.get(f"/api/v1/shares/{share.id}/{query}").status == 200
    assert seen == [slow]
