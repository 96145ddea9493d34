"""A contact's chapters, and an organisation's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.base.settings.table import Settings
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"
CHAPTERS = "/api/v1/chapters"


@pytest.fixture
def contact(client: Client) -> str:
    """The path of a contact's chapters."""
    made = client.post(CONTACTS, json={"first_name": "Ingrid"}).json()
    return f"{CONTACTS}/{made['contact_id']}"


def joined(client: Client, contact: str) -> dict[str, str]:
    rows = client.get(f"{contact}/chapter-affiliations").json()["data"]
    return {row["chapter_id"]: row["joined_at"] for row in rows}


def feed_after(client: Client, cursor: str) -> list[dict[str, Any]]:
    changes: list[dict[str, Any]] = client.get(f"/api/v1/feed?cursor={cursor}").json()["changes"]
    return changes


def test_replacing_drops_duplicates_keeps_order_and_kept_chapters_keep_their_time(
    server: ServerUnderTest, client: Client, contact: str
) -> None:
    path = f"{contact}/chapter-affiliations"
    first = client.put(path, json={"chapter_ids": ["b", "a", "b", "c"]}).json()
    assert first["chapter_affiliations"] == ["b", "a", "c"]
    before = joined(client, contact)
    server.clock.advance(60)
    assert client.put(path, json={"chapter_ids": ["d", "c", "b"]}).json()["chapter_affiliations"] == ["d", "c", "b"]
    after = joined(client, contact)
    assert list(after) == ["d", "c", "b"]
    assert (after["c"], after["b"]) == (before["c"], before["b"])
    assert after["d"] > before["a"]


def test_a_changed_set_is_a_change_of_the_contact_and_the_same_set_is_none(client: Client, contact: str) -> None:
    cursor = client.get("/api/v1/feed").json()["cursor"]
    path = f"{contact}/chapter-affiliations"
    client.put(path, json={"chapter_ids": ["a", "b"]})
    (change,) = feed_after(client, cursor)
    assert (change["revision"], change["body"]["chapter_ids"]) == (2, ["a", "b"])
    cursor = client.get(f"/api/v1/feed?cursor={cursor}").json()["cursor"]
    again = client.put(path, json={"chapter_ids": ["a", "b", "a"]})
    assert (again.status, again.json()["chapter_affiliations"]) == (200, ["a", "b"])
    assert feed_after(client, cursor) == []
    assert client.get(contact).json()["chapter_ids"] == ["a", "b"]


def test_an_empty_set_takes_the_contact_out_of_every_chapter(client: Client, contact: str) -> None:
    path = f"{contact}/chapter-affiliations"
    client.put(path, json={"chapter_ids": ["a"]})
    assert client.put(path, json={"chapter_ids": []}).json()["chapter_affiliations"] == []
    assert client.get(path).json() == {"data": [], "pagination": {"page": 1, "limit": 20, "total": 0}}


def test_affiliations_are_paged(client: Client, contact: str) -> None:
    path = f"{contact}/chapter-affiliations"
    client.put(path, json={"chapter_ids": ["a", "b", "c"]})
    page = client.get(f"{path}?page=2&limit=2")
    assert [row["chapter_id"] for row in page.json()["data"]] == ["c"]
    assert page.json()["pagination"] == {"page": 2, "limit": 2, "total": 3}
    assert 'rel="prev"' in page.headers["link"]
    assert client.get(f"{path}?limit=101").problem() == (422, "INVALID")


def test_an_unknown_chapter_is_made_on_first_use_with_its_id_as_name(client: Client, contact: str) -> None:
    client.put(f"{contact}/chapter-affiliations", json={"chapter_ids": ["ch-09"]})
    assert client.get(f"{CHAPTERS}/ch-09").json()["name"] == "ch-09"


class TestClosedProvisioning:
    @pytest.fixture
    def settings(self) -> Settings:
        return msgspec.structs.replace(
            Settings(), access=msgspec.structs.replace(Settings().access, provisioning="closed")
        )

    def test_an_unknown_chapter_is_refused_by_its_place_and_nothing_changes(self, client: Client, contact: str) -> None:
        client.post(CHAPTERS, json={"chapter_id": "a", "name": "A"})
        refused = client.put(f"{contact}/chapter-affiliations", json={"chapter_ids": ["a", "nope"]})
        assert refused.status == 422
        assert [error["field"] for error in refused.json()["errors"]] == ["chapter_ids[1]"]
        assert joined(client, contact) == {}
        assert client.put(f"{contact}/chapter-affiliations", json={"chapter_ids": ["a"]}).status == 200


@pytest.mark.parametrize(
    "body", [{}, {"chapter_ids": "a"}, {"chapter_ids": [1]}, {"chapter_ids": [""]}, {"chapter_ids": ["a\n"]}, []]
)
def test_a_set_of_the_wrong_shape_is_refused(client: Client, contact: str, body: Any) -> None:
    assert client.put(f"{contact}/chapter-affiliations", json=body).status == 422


def test_affiliations_have_an_etag_that_a_new_set_and_a_new_name_change(
    server: ServerUnderTest, client: Client, contact: str
) -> None:
    path = f"{contact}/chapter-affiliations"
    empty = client.get(path).headers["etag"]
    done = client.put(path, json={"chapter_ids": ["a"]}, headers={"if-match": empty})
    tag = done.headers["etag"]
    assert (done.status, client.get(path).headers["etag"]) == (200, tag)
    assert client.get(path, headers={"if-none-match": tag}).status == 304
    assert client.put(path, json={"chapter_ids": []}, headers={"if-match": empty}).status == 412
    server.clock.advance(1)
    client.put(f"{CHAPTERS}/a", json={"name": "Alpha"})
    assert client.get(path, headers={"if-none-match": tag}).json()["data"][0]["chapter_name"] == "Alpha"


def test_the_affiliations_of_a_deleted_unknown_or_foreign_contact_are_not_found(
    server: ServerUnderTest, client: Client, contact: str
) -> None:
    path = f"{contact}/chapter-affiliations"
    client.put(path, json={"chapter_ids": ["a"]})
    foreign = server.caller("org_other", "org_admin")
    assert (foreign.get(path).status, foreign.put(path, json={"chapter_ids": []}).status) == (404, 404)
    client.delete(contact)
    assert (client.get(path).status, client.put(path, json={"chapter_ids": ["a"]}).status) == (404, 404)
    assert client.get(f"{CONTACTS}/c-99999/chapter-affiliations").status == 404


def test_a_contact_that_a_device_deleted_and_brings_back_is_in_no_chapter(client: Client, contact: str) -> None:
    id = contact.rpartition("/")[2]
    client.put(f"{contact}/chapter-affiliations", json={"chapter_ids": ["a"]})
    for n, (op, base, fields) in enumerate((("delete", 2, {}), ("put", 3, {"first_name": "Ingrid"}))):
        change = {"client_change_id": str(n), "kind": "contact", "id": id, "op": op, "base_revision": base}
        pushed = client.post("/api/v1/feed/push", json={"device_id": "d", "changes": [change | {"fields": fields}]})
        assert pushed.json()["results"][0]["outcome"] == "applied"
    assert client.get(contact).json()["chapter_ids"] == []
    assert joined(client, contact) == {}
    assert client.get(f"{CONTACTS}?chapter_id=a").json()["data"] == []


def test_a_list_is_narrowed_to_a_chapter(client: Client, contact: str) -> None:
    client.post(CONTACTS, json={"first_name": "Else"})
    client.put(f"{contact}/chapter-affiliations", json={"chapter_ids": ["a", "b"]})
    found = client.get(f"{CONTACTS}?chapter_id=b").json()
    assert ([row["first_name"] for row in found["data"]], found["pagination"]["total"]) == (["Ingrid"], 1)
    assert client.get(f"{CONTACTS}?chapter_id=none").json()["pagination"]["total"] == 0


def test_chapters_are_created_listed_fetched_and_renamed(server: ServerUnderTest, client: Client) -> None:
    made = client.post(CHAPTERS, json={"chapter_id": "ch-04", "name": "Sagene"})
    assert (made.status, made.headers["location"]) == (201, f"{CHAPTERS}/ch-04")
    assert made.json() == {
        "chapter_id": "ch-04",
        "name": "Sagene",
        "created_at": "2026-03-26T11:25:00Z",
        "updated_at": "2026-03-26T11:25:00Z",
    }
    own = client.post(CHAPTERS, json={"name": "Majorstuen"}).json()["chapter_id"]
    assert client.post(CHAPTERS, json={"chapter_id": "ch-04", "name": "X"}).problem() == (409, "CHAPTER_EXISTS")
    listed = client.get(f"{CHAPTERS}?limit=1").json()
    assert (listed["data"][0]["chapter_id"], listed["pagination"]["total"]) == ("ch-04", 2)
    server.clock.advance(1)
    tag = client.get(f"{CHAPTERS}/ch-04").headers["etag"]
    renamed = client.put(f"{CHAPTERS}/ch-04", json={"name": "Torshov"}, headers={"if-match": tag})
    assert (renamed.status, renamed.json()["name"]) == (200, "Torshov")
    assert client.patch(f"{CHAPTERS}/ch-04", json={"name": "X"}, headers={"if-match": tag}).status == 412
    assert client.get(f"{CHAPTERS}/ch-04", headers={"if-none-match": renamed.headers["etag"]}).status == 304
    assert client.put(f"{CHAPTERS}/nope", json={"name": "X"}).status == 404
    assert client.get(f"{CHAPTERS}/{own}").json()["name"] == "Majorstuen"


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "  "}, {"name": 1}, {"name": "a\nb"}, {"name": "A", "chapter_id": ""}]
)
def test_a_chapter_needs_a_name_that_can_be_shown(client: Client, body: dict[str, Any]) -> None:
    assert client.post(CHAPTERS, json=body).status == 422


def test_chapters_of_another_organisation_are_not_in_sight(server: ServerUnderTest, client: Client) -> None:
    other = server.caller("org_other", "org_admin")
    other.post(CHAPTERS, json={"chapter_id": "secret", "name": "Secret"})
    own = server.caller("org_mine", "org_admin")
    assert own.get(CHAPTERS).json()["data"] == []
    assert own.get(f"{CHAPTERS}/secret").status == 404
    assert own.get(f"{CHAPTERS}?org_id=org_other").status == 404
    assert [row["name"] for row in client.get(f"{CHAPTERS}?org_id=org_other").json()["data"]] == ["Secret"]
