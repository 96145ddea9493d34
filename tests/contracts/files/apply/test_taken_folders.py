"""An edit whose deleted folder's name is a file's by now: the folder is made beside it, under a copy's name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.file_share import Device, FileShare, created, deleted, placed, updated

KEEPING = ["LAST_WRITER_WINS", "KEEP_BOTH", "CLIENT_WINS"]
DEPTHS = ["/g", "/g/h", "/top/g/h/i"]


def taken(share: FileShare, laptop: Device, phone: Device, folder: str) -> tuple[dict[str, Any], str]:
    """A file whose folders were deleted, and the path of the file that has the name of the topmost one."""
    names = folder[1:].split("/")
    for depth in range(1, len(names) + 1):
        laptop.applied(created("/" + "/".join(names[:depth])))
    file = laptop.put(f"{folder}/e.txt", b"one")
    top = folder[: folder.index("g") + 1]
    node = share.client.get(f"/api/v1/shares/{share.id}/node?path={top}").json()["id"]
    laptop.applied(deleted(file))
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": node, "old_path": top})
    phone.put(top, b"a file now")
    return file, top


@pytest.mark.parametrize("strategy", KEEPING)
@pytest.mark.parametrize("folder", DEPTHS)
def test_an_edit_comes_back_in_a_folder_beside_the_file_that_has_its_folders_name(
    share: FileShare, laptop: Device, phone: Device, folder: str, strategy: str
) -> None:
    file, top = taken(share, laptop, phone, folder)
    item = updated(file, phone.stage(b"edited"))
    [conflict] = phone.apply(item, strategy=strategy).json()["conflicts"]
    assert (conflict["conflict_type"], conflict["kept_as"]["keeper"]) == ("edit_delete", "current")
    path = conflict["kept_as"]["path"]
    assert path.startswith(f"{top} (conflicted copy phone ")
    assert path.endswith(folder[len(top) :] + "/e.txt")
    assert share.tree()[path] == item["version_id"]
    assert top in share.tree()


@pytest.mark.parametrize("strategy", KEEPING)
@pytest.mark.parametrize("folder", DEPTHS)
def test_a_creation_a_move_and_an_edit_of_one_request_share_the_folder(
    share: FileShare, laptop: Device, phone: Device, folder: str, strategy: str
) -> None:
    file, top = taken(share, laptop, phone, folder)
    other = phone.put("/o.txt", b"o")
    items = [
        created(f"{folder}/new.txt", phone.stage(b"new")),
        placed(other["resource_id"], "/o.txt", f"{folder}/o.txt"),
        updated(file, phone.stage(b"edited")),
    ]
    answer = phone.apply(*items, strategy=strategy).json()
    assert not answer["errors"], answer
    files = {path for path, version_id in share.tree().items() if version_id} - {top}
    assert {path.rpartition("/")[2] for path in files} == {"new.txt", "o.txt", "e.txt"}
    assert len({path.rpartition("/")[0] for path in files}) == 1


@pytest.mark.parametrize("strategy", KEEPING)
def test_what_lies_at_several_depths_of_one_request_returns_in_one_folder_however_it_is_spelled(
    share: FileShare, laptop: Device, phone: Device, strategy: str
) -> None:
    file, _ = taken(share, laptop, phone, "/g/h")
    items = [
        created("/g/new.txt", phone.stage(b"new")),
        created("/G/H/new.txt", phone.stage(b"below")),
        updated(file, phone.stage(b"edited")),
    ]
    answer = phone.apply(*items, strategy=strategy).json()
    assert not answer["errors"], answer
    folders = {path.split("/")[1] for path in share.tree()}
    assert len(folders) == 2, share.tree()
    assert len([path for path, version in share.tree().items() if version]) == 4


def test_under_server_wins_the_bytes_stay_in_the_trash_and_under_manual_they_wait(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file, _ = taken(share, laptop, phone, "/g")
    before = share.tree()
    lost = phone.apply(updated(file, phone.stage(b"edited")), strategy="SERVER_WINS").json()["conflicts"][0]
    assert (lost["resolution"], share.tree()) == ("SERVER_WINS", before)
    waits = phone.apply(updated(file, phone.stage(b"other")), strategy="MANUAL").json()["conflicts"][0]
    assert (waits["resolution"], waits["kept_as"]["keeper"], share.tree()) == (None, "held", before)
    settle = f"/api/v1/sync/conflicts/{waits['id']}/resolve?resolution=CLIENT_WINS"
    assert share.client.post(settle).status == 200
    assert sum(path.endswith("/e.txt") for path in share.tree()) == 1


def test_a_creation_below_a_file_that_never_was_a_folder_is_still_refused(share: FileShare, laptop: Device) -> None:
    laptop.put("/f", b"one")
    answer = laptop.apply(created("/f/new.txt", laptop.stage(b"new"))).json()
    assert [error["reason"] for error in answer["errors"]] == ["parent_not_folder"]


@pytest.mark.parametrize("strategy", KEEPING)
def test_a_repeated_move_below_the_file_that_has_its_own_old_name_gets_its_first_conflict_again(
    share: FileShare, laptop: Device, phone: Device, strategy: str
) -> None:
    [folder] = laptop.applied(created("/a"))
    laptop.applied({"resource_type": "folder", "change_type": "deleted", "resource_id": folder["resource_id"],
                    "old_path": "/a"})  # fmt: skip
    laptop.put("/a", b"a file now")
    item = {"resource_type": "folder", "change_type": "moved", "resource_id": folder["resource_id"],
            "old_path": "/a", "new_path": "/a/b"}  # fmt: skip
    first = phone.apply(item, strategy=strategy).json()
    tree = share.tree()
    assert len(first["conflicts"]) == 1, first
    again = phone.apply(item, strategy=strategy).json()
    assert [one["id"] for one in again["conflicts"]] == [one["id"] for one in first["conflicts"]], again
    assert share.tree() == tree
