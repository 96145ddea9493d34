"""What may not happen to a tree that is changed directly."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from headwater.store.database import Transaction
from headwater.store.tree import versions
from headwater.store.tree.versions import Piece
from tests.support.file_share import FileShare
from tests.support.server.serving import ServerUnderTest


class Tree:
    """A share that a test changes; each call gives the answer's JSON and must have gone well."""

    def __init__(self, server: ServerUnderTest, **fields: Any) -> None:
        self.client = server.client
        made = self.client.post("/api/v1/shares", json={"name": "Documents", **fields})
        assert made.status == 201, made.text
        self.id = made.json()["id"]
        self.path = f"/api/v1/shares/{self.id}"

    def folder(self, **fields: Any) -> dict[str, Any]:
        made = self.client.post(self.path + "/folders", json=fields)
        assert made.status == 201, made.text
        node: dict[str, Any] = made.json()
        return node

    def remove(self, node: dict[str, Any]) -> None:
        assert self.client.delete(f"{self.path}/nodes/{node['id']}").status == 200


def test_nothing_is_restored_into_a_folder_that_is_gone(server: ServerUnderTest) -> None:
    tree = Tree(server)
    above = tree.folder(path="/above")
    below = tree.folder(path="/above/below")
    tree.remove(below)
    tree.remove(above)
    answer = tree.client.post(f"{tree.path}/nodes/{below['id']}/restore", json={"name": "back"})
    assert answer.status in (404, 409)
    again = tree.client.post(f"{tree.path}/nodes/{below['id']}/restore", json={"path": "/back"})
    assert (again.status, again.json()["path"]) == (200, "/back")


def test_a_folder_with_names_that_are_one_name_there_crosses_as_a_whole_or_not_at_all(server: ServerUnderTest) -> None:
    fine, coarse = Tree(server, case_sensitive=True), Tree(server)
    box = fine.folder(path="/box")
    for name in ("a", "A"):
        fine.folder(parent_id=box["id"], name=name)
    answer = fine.client.patch(f"{fine.path}/nodes/{box['id']}", json={"share_id": coarse.id})
    assert answer.problem() == (409, "NAME_TAKEN")
    assert coarse.client.get(coarse.path + "/children").json()["data"] == []
    assert fine.client.get(f"{fine.path}/nodes/{box['id']}").json()["trashed_at"] is None


def test_no_folder_is_made_or_moved_beyond_the_longest_path(server: ServerUnderTest) -> None:
    tree = Tree(server)
    above: str | None = None
    for _ in range(16):
        above = tree.folder(parent_id=above, name="x" * 254)["id"]
    made = tree.client.post(tree.path + "/folders", json={"parent_id": above, "name": "y" * 20})
    assert made.status == 422
    assert made.json()["errors"][0]["code"] == "path_too_long"
    other = tree.folder(path="/" + "z" * 20)
    moved = tree.client.patch(f"{tree.path}/nodes/{other['id']}", json={"parent_id": above})
    assert moved.status == 422
    tree.remove(other)
    back = tree.client.post(f"{tree.path}/nodes/{other['id']}/restore", json={"parent_id": above})
    assert back.status == 422


@pytest.mark.parametrize("after", ["9" * 30 + " x", "\u00b2 x", "\u00b2", "9" * 5000 + " x", "", "x\0y", "5 \0"])
@pytest.mark.parametrize("page", ["/trash", "/children"])
def test_a_cursor_that_was_made_up_is_refused_or_harmless(server: ServerUnderTest, page: str, after: str) -> None:
    tree = Tree(server)
    cursor = base64.urlsafe_b64encode(after.encode()).decode()
    answer = tree.client.get(f"{tree.path}{page}?cursor={cursor}")
    assert answer.status in (200, 400), answer.text


def test_a_file_that_crosses_into_another_share_and_back_is_there_with_its_content(server: ServerUnderTest) -> None:
    here, there = FileShare(server), FileShare(server)
    laptop = here.device()
    file = laptop.put("/a.txt", b"content")["resource_id"]
    node = here.client.get(f"/api/v1/shares/{here.id}/nodes/{file}").json()
    path, content = f"/api/v1/shares/{here.id}/nodes/{file}", content_of(server, here, node)
    for source, target in ((here, there), (there, here)):
        answer = here.client.patch(path, json={"share_id": target.id})
        assert answer.status == 200, answer.text
        node = answer.json()
        assert source.client.get(path).json()["trashed_at"] is not None
        assert content_of(server, target, node) == content
        path = f"/api/v1/shares/{target.id}/nodes/{node['id']}"
    assert (node["path"], node["version_number"]) == ("/a.txt", 1)


def content_of(server: ServerUnderTest, share: FileShare, node: dict[str, Any]) -> tuple[str, list[Piece]]:
    """The content of a node's version: its hash and its chunks."""

    def transaction(tx: Transaction) -> tuple[str, list[Piece]]:
        version = versions.find(tx, share.feed, node["version_id"])
        assert version is not None
        return version.content_hash, versions.pieces(tx, share.feed, version.id)

    return server.database.read_now(transaction)
