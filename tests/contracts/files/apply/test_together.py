"""Items of one request that are one change: names that swap or rotate, and one resource in two spellings."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from tests.support.file_share import Device, FileShare, created, deleted, placed, updated

STRATEGIES = ["LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS", "MANUAL"]
RINGS = {
    "pair": ["/a", "/b"],
    "three": ["/a", "/b", "/c"],
    "five": ["/a", "/b", "/c", "/d", "/e"],
    "folders": ["/d1/a", "/d2/a", "/d2/b"],
    "case": ["/One", "/two"],
}


def make(device: Device, path: str, kind: str) -> str:
    """A file that holds its path, or a folder with such a file; its id."""
    above = path.rpartition("/")[0]
    if above:
        device.applied(created(above))
    if kind == "folder":
        folder = device.folder(path)
        device.put(path + "/inner.txt", path.encode())
        return folder
    return str(device.put(path, path.encode())["resource_id"])


def place_of(share: FileShare, node_id: str) -> str:
    """The path of a file or folder."""
    return str(share.client.get(f"/api/v1/shares/{share.id}/nodes/{node_id}").json()["path"])


def replay(share: FileShare, tree: dict[str, str], head: str) -> dict[str, str]:
    """Ids to paths after the changes since a position; no step gives two resources one path."""
    for change in share.drain(head)[0]:
        tree = tree | {change["resource_id"]: change["new_path"]}
        assert len(set(tree.values())) == len(tree), change
    return tree


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("ring", RINGS)
def test_names_that_rotate_end_as_they_are_wished_without_a_conflict(
    share: FileShare, laptop: Device, ring: str, kind: str, atomic: bool, strategy: str
) -> None:
    paths = RINGS[ring]
    ids = [make(laptop, path, kind) for path in paths]
    targets = [*paths[1:], paths[0]]
    items = [placed(*each, kind=kind) for each in zip(ids, paths, targets, strict=True)]
    head, tree = share.page()["cursor"], dict(zip(ids, paths, strict=True))
    applied = laptop.applied(*items, strategy=strategy, atomic=atomic)
    assert [entry["index"] for entry in applied] == list(range(len(items)))
    assert [entry["path"] for entry in applied] == targets
    assert [place_of(share, node_id) for node_id in ids] == targets
    assert share.client.get(f"/api/v1/sync/conflicts?share_id={share.id}&include_resolved=true").json() == []
    assert not any("swap" in path for path in share.tree())
    assert replay(share, tree, head) == dict(zip(ids, targets, strict=True))
    # Sent again after a lost answer, it changes nothing.
    head = share.page()["cursor"]
    assert {entry["outcome"] for entry in laptop.applied(*items, strategy=strategy)} == {"unchanged"}
    assert share.page(head)["changes"] == []


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_ring_ends_the_same_in_every_order_and_beside_other_items(
    share: FileShare, laptop: Device, order: tuple[int, ...]
) -> None:
    paths = RINGS["three"]
    ids = [make(laptop, path, "file") for path in paths]
    items = [placed(ids[at], paths[at], paths[(at + 1) % 3], client_change_id=f"e{at}") for at in order]
    items.insert(1, created("/new", client_change_id="new"))
    laptop.applied(*items)
    assert [place_of(share, node_id) for node_id in ids] == ["/b", "/c", "/a"]
    assert [entry["outcome"] for entry in laptop.applied(*items)] == ["applied"] * 4  # the first answers again


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("separate", [False, True])
def test_a_swap_with_edits_amid(share: FileShare, laptop: Device, strategy: str, separate: bool) -> None:
    a, b = laptop.put("/a", b"a"), laptop.put("/b", b"b")
    edit = {"version_id": laptop.stage(b"a edited"), "base_version_id": a["version_id"]}
    swap = placed(a["resource_id"], "/a", "/b"), placed(b["resource_id"], "/b", "/a")
    items: list[dict[str, Any]]
    items = [swap[0], updated(a, edit["version_id"]), swap[1]] if separate else [swap[0] | edit, swap[1]]
    laptop.applied(*items, strategy=strategy)
    assert share.tree() == {"/b": edit["version_id"], "/a": b["version_id"]}


@pytest.mark.parametrize("strategy", ["LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS"])
def test_a_swap_with_an_edit_that_another_device_crossed_still_swaps(
    share: FileShare, laptop: Device, phone: Device, strategy: str
) -> None:
    a, b = laptop.put("/a", b"a"), laptop.put("/b", b"b")
    phone.edit(a, b"a of the phone")
    edit = {"version_id": laptop.stage(b"a of the laptop"), "base_version_id": a["version_id"]}
    items = [placed(a["resource_id"], "/a", "/b") | edit, placed(b["resource_id"], "/b", "/a")]
    answer = laptop.apply(*items, strategy=strategy).json()
    assert [conflict["conflict_type"] for conflict in answer["conflicts"]] == ["content"]
    assert (place_of(share, a["resource_id"]), place_of(share, b["resource_id"])) == ("/b", "/a")


def test_a_swap_of_which_one_side_moved_meanwhile_is_decided_item_by_item(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    a, b = laptop.put("/a", b"a"), laptop.put("/b", b"b")
    phone.applied(placed(b["resource_id"], "/b", "/elsewhere"))
    items = [placed(a["resource_id"], "/a", "/b"), placed(b["resource_id"], "/b", "/a")]
    answer = laptop.apply(*items, strategy="SERVER_WINS").json()
    assert [entry["index"] for entry in answer["applied"]] == [0]
    assert [conflict["conflict_type"] for conflict in answer["conflicts"]] == ["crossed_move"]
    assert set(share.tree()) == {"/b", "/elsewhere"}


SPELLINGS = [("/Case.md", "/case.md"), ("/caf\u00e9.md", "/cafe\u0301.md"), ("/\u00c5se.md", "/a\u030ase.md")]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("deleted_first", [False, True])
@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("content", [b"same", b"edited"])
@pytest.mark.parametrize(("old", "new"), SPELLINGS)
def test_a_file_that_is_created_and_deleted_in_two_spellings_is_renamed(
    share: FileShare,
    laptop: Device,
    old: str,
    new: str,
    content: bytes,
    atomic: bool,
    deleted_first: bool,
    strategy: str,
) -> None:
    file = laptop.put(old, b"same")
    items = [created(new, laptop.stage(content)), deleted(file)]
    entries = laptop.applied(*(items[::-1] if deleted_first else items), strategy=strategy, atomic=atomic)
    assert {entry["resource_id"] for entry in entries} == {file["resource_id"]}
    [(path, version_id)] = share.tree().items()
    stored = {"/case.md": "/case.md", "/cafe\u0301.md": "/caf\u00e9.md", "/a\u030ase.md": "/\u00e5se.md"}[new]
    assert path == stored
    assert (version_id == file["version_id"]) is (content == b"same")


@pytest.mark.parametrize("deleted_first", [False, True])
def test_a_folder_that_is_created_and_deleted_in_two_spellings_is_renamed_with_all_that_is_in_it(
    share: FileShare, laptop: Device, deleted_first: bool
) -> None:
    folder = laptop.folder("/Docs")
    file = laptop.put("/Docs/a.md", b"one")
    made = [created("/docs"), created("/docs/a.md", laptop.stage(b"one"))]
    gone = [
        deleted(file),
        {"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/Docs"},
    ]
    laptop.applied(*(gone + made if deleted_first else made + gone))
    assert share.tree() == {"/docs": None, "/docs/a.md": file["version_id"]}
    assert place_of(share, folder) == "/docs"


def test_a_deletion_on_an_old_base_is_still_stale_beside_a_creation_in_another_spelling(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/Case.md", b"one")
    phone.edit(file, b"two")
    answer = laptop.apply(created("/case.md", laptop.stage(b"two")), deleted(file)).json()
    assert [error["code"] for error in answer["errors"]] == ["SYNC_VERSION_STALE"]
    assert len(share.tree()) == 1


def test_a_creation_after_a_deletion_at_the_very_same_path_is_a_new_file(share: FileShare, laptop: Device) -> None:
    file = laptop.put("/a.md", b"one")
    entries = laptop.applied(deleted(file), created("/a.md", laptop.stage(b"two")))
    assert entries[1]["resource_id"] != file["resource_id"]
