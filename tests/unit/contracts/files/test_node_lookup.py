"""Nodes and folders by their ids, and names as a share stores them."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.base.errors import Invalid, NotFound
from headwater.contracts.files import access, paths
from headwater.contracts.files.access import Access, ShareRow
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.tree.nodes import ROOT, Name
from tests.support.file_share import Device, FileShare, deleted

ADMIN = Principal("tok_1", "usr_1", "default", Role.GLOBAL_ADMIN, frozenset())


@pytest.fixture
def row(share: FileShare) -> ShareRow:
    found: ShareRow = share.read(lambda tx: access.require(tx, ADMIN, share.id, Access.MANAGE))
    return found


def by_id(share: FileShare, row: ShareRow, id: str, *, trashed: bool = False) -> Any:
    return share.read(lambda tx: paths.by_id(tx, row, id, trashed=trashed))


def test_a_live_node_is_found_by_its_id(share: FileShare, row: ShareRow, laptop: Device) -> None:
    folder = laptop.folder("/Box")
    file = laptop.put("/Box/a.txt", b"a")
    assert by_id(share, row, folder).name == "Box"
    assert by_id(share, row, file["resource_id"]).parent == folder


def test_what_is_in_the_trash_or_below_it_is_found_only_when_asked_for(
    share: FileShare, row: ShareRow, laptop: Device
) -> None:
    folder = laptop.folder("/Box")
    inner = laptop.put("/Box/a.txt", b"a")["resource_id"]
    top = laptop.put("/b.txt", b"b")
    laptop.applied(deleted(top))
    assert share.client.delete(f"/api/v1/shares/{share.id}/nodes/{folder}").status in {200, 204}
    for id in (folder, inner, top["resource_id"]):
        with pytest.raises(NotFound):
            by_id(share, row, id)
        assert by_id(share, row, id, trashed=True).id == id


def test_an_unknown_node_and_one_of_another_share_are_not_found(
    share: FileShare, row: ShareRow, laptop: Device
) -> None:
    other = FileShare(share.server)
    elsewhere = other.device("phone").folder("/Box")
    for id in ("fld_0", elsewhere):
        for trashed in (False, True):
            with pytest.raises(NotFound):
                by_id(share, row, id, trashed=trashed)


class TestFolder:
    def folder(self, share: FileShare, row: ShareRow, id: str | None) -> Any:
        return share.read(lambda tx: paths.folder_by_id(tx, row, id))

    def test_no_id_is_the_root(self, share: FileShare, row: ShareRow) -> None:
        assert self.folder(share, row, None) == ROOT

    def test_a_folder_is_found_and_a_file_is_none(self, share: FileShare, row: ShareRow, laptop: Device) -> None:
        folder = laptop.folder("/Box")
        assert self.folder(share, row, folder) == folder
        file = laptop.put("/a.txt", b"a")["resource_id"]
        with pytest.raises(Invalid) as failure:
            self.folder(share, row, file)
        assert failure.value.fields[0].field == "parent_id"


@pytest.mark.parametrize(
    ("case_sensitive", "text", "name"),
    [
        (0, "Paper.TXT", Name("Paper.TXT", "paper.txt")),
        (1, "Paper.TXT", Name("Paper.TXT", "Paper.TXT")),
        (0, "A\u030as", Name("\u00c5s", "\u00e5s")),
    ],
)
@pytest.mark.sqlite_only
def test_a_name_is_stored_in_nfc_with_the_key_by_which_the_share_compares_it(
    row: ShareRow, case_sensitive: int, text: str, name: Name
) -> None:
    assert paths.name_in(row._replace(case_sensitive=case_sensitive), text) == name


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\0b", "con", "x" * 256])
@pytest.mark.sqlite_only
def test_a_name_that_the_share_does_not_take_is_refused_by_its_field(row: ShareRow, text: str) -> None:
    with pytest.raises(Invalid) as failure:
        paths.name_in(row, text, field="file_name")
    assert failure.value.fields[0].field == "file_name"
