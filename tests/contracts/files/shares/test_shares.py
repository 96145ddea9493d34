"""Shares, their trees and their trash over REST. Source: readings, section 7."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.identity import chapters
from headwater.identity.roles import SCOPES
from headwater.store.tree import nodes
from tests.support.file_share import Device, FileShare
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

SHARES = "/api/v1/shares"


@pytest.fixture
def share_id(client: Client) -> str:
    found: str = client.post(SHARES, json={"name": "Team"}).json()["id"]
    return found


def folder(client: Client, share_id: str, path: str, **more: Any) -> dict[str, Any]:
    answer = client.post(f"{SHARES}/{share_id}/folders", json={"path": path, **more})
    assert answer.status == 201, answer.text
    node: dict[str, Any] = answer.json()
    return node


def paths(client: Client, share_id: str, at: str = "/") -> list[str]:
    answer = client.get(f"{SHARES}/{share_id}/children?path={at}")
    assert answer.status == 200, answer.text
    return [node["path"] for node in answer.json()["data"]]


def test_a_new_share_belongs_to_its_maker_and_is_empty(client: Client) -> None:
    answer = client.post(SHARES, json={"name": "Team", "quota_bytes": 1000})
    share = answer.json()
    assert answer.status == 201
    assert answer.headers["location"] == f"{SHARES}/{share['id']}"
    assert (share["access"], share["used_bytes"], share["quota_bytes"]) == ("MANAGE", 0, 1000)
    assert share["case_sensitive"] is False
    assert client.get(SHARES).json()["data"] == [share]
    assert client.get(f"{SHARES}/{share['id']}/children").json() == {"data": [], "cursor": None, "has_more": False}


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "  "}, {"name": "a\x00b"}, {"name": "x", "quota_bytes": -1}]
)
def test_a_share_without_a_proper_name_or_quota_is_refused(client: Client, body: dict[str, Any]) -> None:
    assert client.post(SHARES, json=body).status == 422
    assert client.get(SHARES).json()["data"] == []


def test_a_share_is_renamed_and_its_quota_cleared(client: Client, share_id: str) -> None:
    assert client.patch(f"{SHARES}/{share_id}", json={"name": "Board", "quota_bytes": 5}).json()["quota_bytes"] == 5
    changed = client.patch(f"{SHARES}/{share_id}", json={"quota_bytes": None}).json()
    assert (changed["name"], changed["quota_bytes"]) == ("Board", None)


def test_a_deleted_share_is_unknown_to_everybody(client: Client, share_id: str) -> None:
    assert client.delete(f"{SHARES}/{share_id}").status == 204
    assert client.delete(f"{SHARES}/{share_id}").status == 404
    assert client.get(f"{SHARES}/{share_id}/children").status == 404
    assert client.get(SHARES).json()["data"] == []


def test_another_organisation_learns_nothing_of_a_share(server: ServerUnderTest, client: Client, share_id: str) -> None:
    stranger = server.caller("elsewhere", "org_admin")
    unknown = stranger.get(f"{SHARES}/shr_unknown")
    foreign = stranger.get(f"{SHARES}/{share_id}")
    assert (foreign.status, foreign.json()["code"]) == (unknown.status, unknown.json()["code"]) == (404, "NOT_FOUND")
    assert stranger.get(SHARES).json()["data"] == []
    assert stranger.post(f"{SHARES}/{share_id}/folders", json={"path": "/a"}).status == 404


def test_members_by_role_user_and_chapter_get_what_they_were_given(
    server: ServerUnderTest, client: Client, share_id: str
) -> None:
    reader = server.caller("default", "coordinator", scopes=SCOPES)
    assert reader.get(f"{SHARES}/{share_id}").status == 404
    members = [{"kind": "role", "id": "coordinator", "access": "READ"}]
    assert client.put(f"{SHARES}/{share_id}/members", json={"members": members}).json() == {"members": members}
    assert reader.get(f"{SHARES}/{share_id}").json()["access"] == "READ"
    assert reader.post(f"{SHARES}/{share_id}/folders", json={"path": "/a"}).status == 403
    assert reader.put(f"{SHARES}/{share_id}/members", json={"members": []}).status == 403
    members = [{"kind": "role", "id": "peer_mentor", "access": "WRITE"}]
    client.put(f"{SHARES}/{share_id}/members", json={"members": members})
    assert reader.post(f"{SHARES}/{share_id}/folders", json={"path": "/a"}).status == 201
    client.put(f"{SHARES}/{share_id}/members", json={"members": []})
    assert reader.get(f"{SHARES}/{share_id}").status == 404


def test_a_chapter_is_a_member_only_when_it_exists(server: ServerUnderTest, client: Client, share_id: str) -> None:
    wanted = {"members": [{"kind": "chapter", "id": "ch-01", "access": "READ"}]}
    refused = client.put(f"{SHARES}/{share_id}/members", json=wanted)
    assert refused.status == 422
    assert refused.json()["errors"][0]["field"] == "members[0].id"
    server.database.write_now(lambda tx: chapters.create(tx, "default", "Oslo", id="ch-01"))
    assert client.put(f"{SHARES}/{share_id}/members", json=wanted).json() == wanted


def test_folders_are_made_with_their_parents_and_found_whatever_the_case(client: Client, share_id: str) -> None:
    assert client.post(f"{SHARES}/{share_id}/folders", json={"path": "/A/b/C"}).status == 404
    made = folder(client, share_id, "/A/b/C", parents=True)
    assert made["path"] == "/A/b/C"
    assert paths(client, share_id, "/a/B") == ["/A/b/C"]
    assert client.get(f"{SHARES}/{share_id}/node?path=/a/B/c").json()["id"] == made["id"]
    taken = client.post(f"{SHARES}/{share_id}/folders", json={"path": "/a"})
    assert (taken.status, taken.json()["code"]) == (409, "NAME_TAKEN")


def test_a_case_sensitive_share_holds_both_names(client: Client) -> None:
    share_id = client.post(SHARES, json={"name": "Code", "case_sensitive": True}).json()["id"]
    folder(client, share_id, "/a")
    folder(client, share_id, "/A")
    assert paths(client, share_id) == ["/A", "/a"]


@pytest.mark.parametrize("path", ["a", "/..", "/./a", "/con", "/a.", "/a:b", "/a//b", "/", "/" + "x" * 256])
def test_a_name_that_no_portable_share_holds_is_refused(client: Client, share_id: str, path: str) -> None:
    assert client.post(f"{SHARES}/{share_id}/folders", json={"path": path}).status == 422
    assert paths(client, share_id) == []


def test_a_folder_is_renamed_and_moved_with_all_below_it_by_one_change(client: Client, share_id: str) -> None:
    top = folder(client, share_id, "/A/b/c", parents=True)
    a = client.get(f"{SHARES}/{share_id}/node?path=/A").json()
    folder(client, share_id, "/Z")
    moved = client.patch(f"{SHARES}/{share_id}/nodes/{a['id']}", json={"path": "/Z/New"})
    assert moved.json()["path"] == "/Z/New"
    assert client.get(f"{SHARES}/{share_id}/nodes/{top['id']}").json()["path"] == "/Z/New/b/c"
    changes = client.get(f"/api/v1/sync/changes?share_id={share_id}&cursor=4").json()["changes"]
    assert [(change["change_type"], change["old_path"], change["new_path"]) for change in changes] == [
        ("moved", "/A", "/Z/New")
    ]


def test_a_folder_does_not_go_into_itself(client: Client, share_id: str) -> None:
    folder(client, share_id, "/A/b", parents=True)
    a = client.get(f"{SHARES}/{share_id}/node?path=/A").json()
    refused = client.patch(f"{SHARES}/{share_id}/nodes/{a['id']}", json={"path": "/A/b/A"})
    assert (refused.status, refused.json()["code"]) == (409, "INTO_ITSELF")
    assert paths(client, share_id, "/A") == ["/A/b"]


def test_a_rename_that_changes_only_the_case_is_one_rename(client: Client, share_id: str) -> None:
    a = folder(client, share_id, "/readme")
    renamed = client.patch(f"{SHARES}/{share_id}/nodes/{a['id']}", json={"name": "README"})
    assert (renamed.status, renamed.json()["path"]) == (200, "/README")


def test_if_match_holds_a_change_back_that_was_made_on_an_older_state(client: Client, share_id: str) -> None:
    a = folder(client, share_id, "/a")
    first = client.get(f"{SHARES}/{share_id}/nodes/{a['id']}").headers["etag"]
    client.patch(f"{SHARES}/{share_id}/nodes/{a['id']}", json={"name": "b"})
    stale = client.patch(f"{SHARES}/{share_id}/nodes/{a['id']}", json={"name": "c"}, headers={"if-match": first})
    assert stale.status == 412
    assert client.delete(f"{SHARES}/{share_id}/nodes/{a['id']}", headers={"if-match": first}).status == 412
    assert paths(client, share_id) == ["/b"]
    now = client.get(f"{SHARES}/{share_id}/nodes/{a['id']}")
    same = client.get(f"{SHARES}/{share_id}/nodes/{a['id']}", headers={"if-none-match": now.headers["etag"]})
    assert same.status == 304


def test_what_is_deleted_lies_in_the_trash_and_comes_back_under_its_id(client: Client, share_id: str) -> None:
    below = folder(client, share_id, "/A/b", parents=True)
    a = client.get(f"{SHARES}/{share_id}/node?path=/A").json()
    assert client.delete(f"{SHARES}/{share_id}/nodes/{a['id']}").json()["trashed_at"] is not None
    assert client.delete(f"{SHARES}/{share_id}/nodes/{a['id']}").status == 404
    assert paths(client, share_id) == []
    assert client.patch(f"{SHARES}/{share_id}/nodes/{below['id']}", json={"name": "x"}).status == 404
    trash = client.get(f"{SHARES}/{share_id}/trash").json()["data"]
    assert [node["id"] for node in trash] == [a["id"]]
    back = client.post(f"{SHARES}/{share_id}/nodes/{a['id']}/restore")
    assert (back.status, back.json()["path"]) == (200, "/A")
    assert client.get(f"{SHARES}/{share_id}/nodes/{below['id']}").json()["path"] == "/A/b"
    assert client.post(f"{SHARES}/{share_id}/nodes/{a['id']}/restore").status == 409


def test_a_restore_to_a_taken_name_asks_for_another_place(client: Client, share_id: str) -> None:
    a = folder(client, share_id, "/a")
    client.delete(f"{SHARES}/{share_id}/nodes/{a['id']}")
    folder(client, share_id, "/A")
    assert client.post(f"{SHARES}/{share_id}/nodes/{a['id']}/restore").status == 409
    back = client.post(f"{SHARES}/{share_id}/nodes/{a['id']}/restore", json={"path": "/b"})
    assert back.json()["path"] == "/b"


def test_a_folder_lists_page_by_page_in_the_order_of_its_names(client: Client, share_id: str) -> None:
    for name in ("d", "B", "a", "C"):
        folder(client, share_id, "/" + name)
    seen: list[str] = []
    cursor, more = "", True
    while more:
        page = client.get(f"{SHARES}/{share_id}/children?limit=3&cursor={cursor}").json()
        seen += [node["name"] for node in page["data"]]
        cursor, more = page["cursor"], page["has_more"]
    assert seen == ["a", "B", "C", "d"]
    assert client.get(f"{SHARES}/{share_id}/children?cursor=%FF").status == 400
    assert client.get(f"{SHARES}/{share_id}/children?limit=0").status == 422


def test_a_folder_that_crosses_into_another_share_is_deleted_there_and_created_here(
    client: Client, share_id: str
) -> None:
    folder(client, share_id, "/A/b", parents=True)
    a = client.get(f"{SHARES}/{share_id}/node?path=/A").json()
    other = client.post(SHARES, json={"name": "Archive"}).json()["id"]
    crossed = client.patch(f"{SHARES}/{share_id}/nodes/{a['id']}", json={"share_id": other, "path": "/Old"})
    assert (crossed.status, crossed.json()["share_id"], crossed.json()["path"]) == (200, other, "/Old")
    assert paths(client, share_id) == []
    assert paths(client, other, "/Old") == ["/Old/b"]


def test_files_are_counted_without_what_is_in_the_trash_or_below_it(share: FileShare, laptop: Device) -> None:
    outer = folder(share.client, share.id, "/outer")
    folder(share.client, share.id, "/outer/inner")
    for path in ("/outer/inner/a.txt", "/outer/b.txt", "/c.txt"):
        laptop.put(path, path.encode())
    gone = laptop.put("/d.txt", b"d")["resource_id"]
    assert share.read(lambda tx: nodes.count_files(tx, share.feed)) == 4
    for node in (gone, outer["id"]):
        assert share.client.delete(f"{SHARES}/{share.id}/nodes/{node}").status == 200
    assert share.read(lambda tx: nodes.count_files(tx, share.feed)) == 1


@pytest.mark.sqlite_only
def test_counting_files_goes_from_folder_to_folder_by_their_names(share: FileShare) -> None:
    plan = share.read(lambda tx: tx.rows("EXPLAIN QUERY PLAN " + nodes.COUNT_FILES, *[share.feed] * 3))
    steps = [row[3] for row in plan]
    below = steps[steps.index("RECURSIVE STEP") + 1 :][:2]
    assert (below[0], "nodes_by_name (feed=? AND parent=?" in below[1]) == ("SCAN live", True)
