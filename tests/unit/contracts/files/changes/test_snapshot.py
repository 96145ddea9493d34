"""The whole tree of a share page by page, while it changes between two pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.changes import snapshot
from headwater.contracts.files.changes.snapshot import SharePage
from headwater.feed.cursor import Place
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.log import feeds
from tests.support.file_share import Device, FileShare, deleted, placed

ADMIN = Principal("tok_1", "usr_1", "default", Role.GLOBAL_ADMIN, frozenset())


class Reader:
    """A device that reads the tree, and what it then has: the folder and the name of each node by its id."""

    def __init__(self, share: FileShare, limit: int) -> None:
        self.share = share
        self.limit = limit
        self.place: Place = share.read(lambda tx: snapshot.begin(tx, share.feed))
        self.row: ShareRow = share.read(lambda tx: access.require(tx, ADMIN, share.id, Access.READ))
        self.told: list[dict[str, Any]] = []
        self.held: dict[str, tuple[str | None, str]] = {}

    @property
    def is_done(self) -> bool:
        return not self.place.snapshot_head

    def step(self) -> SharePage:
        page: SharePage = self.share.read(lambda tx: snapshot.read(tx, self.row, self.place, self.limit))
        changes: list[dict[str, Any]] = json.loads(b"[" + page.wires + b"]")
        assert len(changes) == page.size
        for change in changes:
            self.told.append(change)
            if change["change_type"] == "deleted":
                self.held.pop(change["resource_id"], None)
            else:
                folder = change["metadata"]["parent_id"]
                assert folder is None or folder in self.held, change
                self.held[change["resource_id"]] = folder, change["new_path"].rpartition("/")[2]
                assert self.path_of(change["resource_id"]) == change["new_path"]
        self.place = page.place
        return page

    def path_of(self, id: str) -> str | None:
        """The path of a node; None for what is below a folder that was deleted."""
        if id not in self.held:
            return None
        folder, name = self.held[id]
        above = "" if folder is None else self.path_of(folder)
        return None if above is None else f"{above}/{name}"

    def finish(self) -> None:
        """Read to the end of the tree."""
        while not self.is_done:
            self.step()

    def paths(self) -> list[str]:
        return sorted(path for id in self.held if (path := self.path_of(id)) is not None)


@pytest.fixture
def filled(share: FileShare, laptop: Device) -> FileShare:
    for path in ("/A", "/A/in"):
        laptop.folder(path)
    for path in ("/A/1.txt", "/A/in/2.txt", "/3.txt"):
        laptop.put(path, path.encode())
    return share


def id_of(share: FileShare, path: str) -> str:
    reader = Reader(share, 100)
    reader.finish()
    return next(id for id in reader.held if reader.path_of(id) == path)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100])
def test_the_tree_comes_whole_in_pages_of_any_length(filled: FileShare, limit: int) -> None:
    reader = Reader(filled, limit)
    reader.finish()
    assert reader.paths() == sorted(filled.tree())
    assert len(reader.told) == 5
    assert reader.place == Place(filled.read(lambda tx: feeds.head(tx, filled.feed)))


def test_an_empty_share_is_one_page_of_nothing(share: FileShare) -> None:
    reader = Reader(share, 10)
    assert reader.step() == SharePage(b"", 0, Place(0), has_more=False)


def test_a_folder_that_is_younger_than_what_is_in_it_comes_first(filled: FileShare, laptop: Device) -> None:
    laptop.folder("/Young")
    laptop.applied(placed(id_of(filled, "/3.txt"), "/3.txt", "/Young/3.txt"))
    for limit in (1, 100):
        reader = Reader(filled, limit)
        reader.finish()
        assert reader.paths() == sorted(filled.tree())


def test_what_is_in_the_trash_or_below_it_does_not_come(filled: FileShare, laptop: Device) -> None:
    filled.client.delete(f"/api/v1/shares/{filled.id}/nodes/{id_of(filled, '/A/in')}")
    reader = Reader(filled, 100)
    reader.finish()
    assert reader.paths() == ["/3.txt", "/A", "/A/1.txt"]
    assert {change["change_type"] for change in reader.told} == {"created"}


Change = Callable[[FileShare, Device], object]


def rename_folder(share: FileShare, laptop: Device) -> object:
    return laptop.applied(placed(id_of(share, "/A"), "/A", "/B", kind="folder"))


def move_file_down(share: FileShare, laptop: Device) -> object:
    return laptop.applied(placed(id_of(share, "/3.txt"), "/3.txt", "/A/in/3.txt"))


def delete_folder(share: FileShare, _laptop: Device) -> object:
    return share.client.delete(f"/api/v1/shares/{share.id}/nodes/{id_of(share, '/A')}")


def add_file(_share: FileShare, laptop: Device) -> object:
    return laptop.put("/new.txt", b"new")


def add_and_delete_file(_share: FileShare, laptop: Device) -> object:
    return laptop.applied(deleted(laptop.put("/short.txt", b"short")))


def delete_and_restore_folder(share: FileShare, laptop: Device) -> object:
    folder = id_of(share, "/A")
    delete_folder(share, laptop)
    restored = share.client.post(f"/api/v1/shares/{share.id}/nodes/{folder}/restore", json={})
    assert restored.status == 200, restored.text
    return restored


@pytest.mark.parametrize(
    "change", [rename_folder, move_file_down, delete_folder, add_file, add_and_delete_file, delete_and_restore_folder]
)
@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4])
@pytest.mark.sqlite_only
def test_what_changes_between_two_pages_is_made_good_by_the_end(
    filled: FileShare, laptop: Device, change: Change, pages: int
) -> None:
    reader = Reader(filled, 1)
    for _ in range(pages):
        reader.step()
    change(filled, laptop)
    reader.finish()
    assert reader.paths() == sorted(filled.tree())


def test_a_change_comes_as_it_is_now_however_often_it_happened(filled: FileShare, laptop: Device) -> None:
    reader = Reader(filled, 100)
    file = laptop.put("/new.txt", b"1")
    for number in range(3):
        file = laptop.edit(file, b"%d!" % number)
    reader.finish()
    told = [change for change in reader.told if change["resource_id"] == file["resource_id"]]
    assert {change["version_id"] for change in told} == {file["version_id"]}
    assert len(told) <= 2


def test_a_listed_file_has_its_folder_its_version_and_what_is_known_of_it(share: FileShare, laptop: Device) -> None:
    folder = laptop.folder("/A")
    file = laptop.put("/A/1.txt", b"abc")
    reader = Reader(share, 100)
    reader.finish()
    change = reader.told[1]
    assert (change["resource_id"], change["version_id"]) == (file["resource_id"], file["version_id"])
    assert (change["metadata"]["parent_id"], change["metadata"]["size"]) == (folder, 3)
    assert (change["old_path"], change["new_path"]) == (None, "/A/1.txt")


def test_positions_of_a_listing_are_not_after_the_head_at_which_it_began(filled: FileShare) -> None:
    reader = Reader(filled, 2)
    head = reader.place.snapshot_head
    reader.finish()
    assert all(change["position"] <= head for change in reader.told)
