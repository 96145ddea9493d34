"""Contacts beyond the printed examples: readings 1 and 6."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.base.settings.table import Settings
from headwater.store.database import Transaction
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"
ALL = {"first_name": "Bjørn", "last_name": "Dahl", "email": "b@example.no", "phone": "+47 906 78 901"}


def make(client: Client, **fields: Any) -> str:
    """A new contact's path."""
    made = client.post(CONTACTS, json={"first_name": "Bjørn", **fields})
    assert made.status == 201, made.text
    return f"{CONTACTS}/{made.json()['contact_id']}"


def head(client: Client) -> int:
    """The position of the newest change."""
    changes = client.get("/api/v1/feed").json()["changes"]
    return max((change["position"] for change in changes), default=0)


@pytest.mark.parametrize("method", ["put", "patch"])
def test_absent_fields_are_kept_and_null_clears(client: Client, method: str) -> None:
    path = make(client, **ALL)
    changed = client.request(method.upper(), path, json={"email": None, "last_name": "Moe"})
    assert changed.status == 200
    body = changed.json()
    assert (body["email"], body["last_name"], body["phone"]) == (None, "Moe", "+47 906 78 901")
    assert client.get(path).json() == body


def test_an_update_that_changes_nothing_is_200_and_writes_nothing(server: ServerUnderTest, client: Client) -> None:
    path = make(client, **ALL)
    before, position = client.get(path), head(client)
    server.clock.advance(60)
    for body in ({}, {"email": "b@example.no"}, {"unknown": 1}):
        same = client.put(path, json=body)
        assert (same.status, same.json(), same.headers["etag"]) == (200, before.json(), before.headers["etag"])
    assert head(client) == position


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "first_name"),
        ({"first_name": None, "last_name": " "}, "first_name"),
        ({"first_name": "A", "email": "no address"}, "email"),
        ({"first_name": "A", "email": "a@"}, "email"),
        ({"first_name": "A", "date_of_birth": "2023-02-29"}, "date_of_birth"),
        ({"first_name": "A", "date_of_birth": "29.2.2024"}, "date_of_birth"),
        ({"first_name": "A", "date_of_birth": "2024-02-29\n"}, "date_of_birth"),
        ({"first_name": "A", "date_of_birth": "٢٠٢٤-٠٢-٢٩"}, "date_of_birth"),
        ({"first_name": "A", "date_of_birth": "0000-01-01"}, "date_of_birth"),
        ({"first_name": 7}, "first_name"),
        ({"first_name": "A" * 201}, "first_name"),
        ({"first_name": "A", "address": "x" * 1001}, "address"),
        ({"first_name": "A", "phone": []}, "phone"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_made(client: Client, body: dict[str, Any], field: str) -> None:
    refused = client.post(CONTACTS, json=body)
    assert refused.status == 422
    assert refused.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(refused.json())
    assert client.get(CONTACTS).json()["pagination"]["total"] == 0


def test_every_wrong_field_is_named_at_once(client: Client) -> None:
    refused = client.post(CONTACTS, json={"first_name": "A", "email": "x", "date_of_birth": "2023-02-30"})
    assert [error["field"] for error in refused.json()["errors"]] == ["email", "date_of_birth"]


def test_an_update_may_not_take_the_last_name_away(client: Client) -> None:
    path = make(client)
    assert client.put(path, json={"first_name": None}).status == 422
    assert client.put(path, json={"first_name": None, "last_name": "Dahl"}).status == 200


def test_malformed_json_is_400_and_a_wrong_type_422(client: Client) -> None:
    assert client.post(CONTACTS, content=b'{"first_name": ').status == 400
    assert client.post(CONTACTS, content=b"").status == 400
    assert client.post(CONTACTS, json=[]).status == 422


def test_text_is_echoed_unchanged_and_leap_days_and_long_addresses_are_fine(client: Client) -> None:
    fields = {
        "first_name": "  Åse-Ğ 🙂 ",
        "phone": "+47 906 78 901",
        "address": "Storgata 12\n0155 Oslo",
        "date_of_birth": "2024-02-29",
        "email": "Åse@exämple.no",
    }
    assert {name: client.get(make(client, **fields)).json()[name] for name in fields} == fields


def test_the_same_email_twice_is_allowed(client: Client) -> None:
    assert make(client, email="family@example.no") != make(client, email="family@example.no")


def test_a_deleted_contact_is_404_on_every_door_and_deleting_again_too(client: Client) -> None:
    path = make(client)
    assert client.delete(path).status == 200
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert client.request(method, path, json={}).problem() == (404, "NOT_FOUND")
    assert client.get(CONTACTS).json() == {"data": [], "pagination": {"page": 1, "limit": 20, "total": 0}}
    change = {"client_change_id": "1", "kind": "contact", "id": path.rpartition("/")[2], "op": "put"}
    pushed = client.post(
        "/api/v1/feed/push",
        json={"device_id": "d", "changes": [change | {"base_revision": 1, "fields": {"phone": "1"}}]},
    )
    assert pushed.json()["results"][0]["code"] == "DELETED"


def test_what_is_unknown_and_what_is_anothers_are_told_alike(server: ServerUnderTest, client: Client) -> None:
    path = make(client)
    foreign = server.caller("org_other", "org_admin")
    unknown = foreign.get(f"{CONTACTS}/c-99999")
    assert (unknown.problem(), foreign.get(path).problem()) == ((404, "NOT_FOUND"), (404, "NOT_FOUND"))
    assert foreign.put(path, json={"first_name": "X"}).status == foreign.delete(path).status == 404
    assert foreign.get(f"{CONTACTS}?org_id=default").status == foreign.get(f"{CONTACTS}?org_id=no").status == 404


def test_a_global_admin_sees_all_organisations_and_narrows_with_org_id(server: ServerUnderTest, client: Client) -> None:
    own = make(client, last_name="Own")
    other = server.caller("org_other", "org_admin")
    theirs = make(other, last_name="Theirs")
    assert client.get(CONTACTS).json()["pagination"]["total"] == 2
    narrowed = client.get(f"{CONTACTS}?org_id=org_other").json()
    assert ([row["last_name"] for row in narrowed["data"]], narrowed["pagination"]["total"]) == (["Theirs"], 1)
    assert client.get(theirs).json()["last_name"] == "Theirs"
    assert client.get(f"{own}?org_id=org_other").status == 404
    made = client.post(f"{CONTACTS}?org_id=org_other", json={"first_name": "New"}).json()["contact_id"]
    assert other.get(f"{CONTACTS}/{made}").status == 200
    assert other.get(CONTACTS).json()["pagination"]["total"] == 2
    assert client.put(theirs, json={"last_name": "Changed"}).status == 200
    assert other.get(theirs).json()["last_name"] == "Changed"


@pytest.mark.parametrize(
    ("method", "route", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"phone": "1"}),
        ("PATCH", "", {"phone": "1"}),
        ("GET", "/chapter-affiliations", None),
        ("PUT", "/chapter-affiliations", {"chapter_ids": ["a"]}),
        ("DELETE", "", None),
    ],
)
@pytest.mark.parametrize("homes", [("default", "org_b"), ("org_a", "org_b")])
def test_an_id_that_two_organisations_have_asks_a_global_admin_for_org_id(
    server: ServerUnderTest,
    client: Client,
    homes: tuple[str, str],
    method: str,
    route: str,
    body: dict[str, Any] | None,
) -> None:
    callers = [server.caller(home, "org_admin") for home in homes]
    edit = {"client_change_id": "1", "kind": "contact", "id": "shared-1", "op": "put", "fields": {"first_name": "A"}}
    for caller in callers:
        assert caller.post("/api/v1/feed/push", json={"device_id": "d", "changes": [edit]}).status == 200
    path = f"{CONTACTS}/shared-1{route}"
    refused = client.request(method, path, json=body)
    assert (refused.status, refused.json()["code"]) == (409, "ORG_AMBIGUOUS")
    assert "?org_id=" in refused.json()["detail"]
    assert all(caller.get(f"{CONTACTS}/shared-1").json()["phone"] is None for caller in callers)
    assert client.request(method, f"{path}?org_id={homes[1]}", json=body).status == 200, "named, it is one contact"
    assert callers[0].get(f"{CONTACTS}/shared-1").json()["chapter_ids"] == []
    callers[1].delete(f"{CONTACTS}/shared-1")
    assert client.request(method, path, json=body).status == 200


def test_contact_ids_of_one_organisation_tell_nothing_of_another(server: ServerUnderTest, client: Client) -> None:
    other = server.caller("org_other", "org_admin")
    theirs = [make(other) for _ in range(3)]
    assert make(client) == f"{CONTACTS}/c-00001"
    theirs += [make(other) for _ in range(4)]
    assert make(client) == f"{CONTACTS}/c-00002"
    numbers = [int(path.rpartition("-")[2]) for path in theirs]
    assert numbers == list(range(numbers[0], numbers[0] + 7))


def test_a_caller_without_a_token_works_in_the_default_organisation(server: ServerUnderTest, client: Client) -> None:
    make(server.caller("org_other", "org_admin"))
    make(server.public)
    assert server.public.get(CONTACTS).json()["pagination"]["total"] == 1
    assert client.get(f"{CONTACTS}?org_id=default").json()["pagination"]["total"] == 1
    assert server.public.get(f"{CONTACTS}?org_id=org_other").status == 404


class TestPublicAccessOff:
    @pytest.fixture
    def settings(self) -> Settings:
        access = msgspec.structs.replace(Settings().access, public_access="off")
        return msgspec.structs.replace(Settings(), access=access)

    def test_a_caller_without_a_token_is_asked_for_one(self, server: ServerUnderTest) -> None:
        refused = server.public.get(CONTACTS)
        assert refused.status == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")


def test_lists_are_paged_by_id_with_the_true_total_and_links(client: Client) -> None:
    ids = [make(client).rpartition("/")[2] for _ in range(5)]
    page = client.get(f"{CONTACTS}?page=2&limit=2")
    assert [row["contact_id"] for row in page.json()["data"]] == ids[2:4]
    assert page.json()["pagination"] == {"page": 2, "limit": 2, "total": 5}
    for relation in ("first", "prev", "next", "last"):
        assert f'rel="{relation}"' in page.headers["link"]
    past = client.get(f"{CONTACTS}?page=9").json()
    assert past == {"data": [], "pagination": {"page": 9, "limit": 20, "total": 5}}


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=-1", "limit=0", "limit=101", "limit=", "page=1.5"])
def test_a_page_out_of_range_is_422(client: Client, query: str) -> None:
    refused = client.get(f"{CONTACTS}?{query}")
    assert refused.status == 422
    assert refused.json()["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("bj", ["Bjørn"]),
        ("BJ%C3%98RN%20DA", ["Bjørn"]),
        ("dahl", ["Bjørn"]),
        ("ahl", []),
        ("ing.sol@ex", ["Ingrid"]),
        ("%2B47%20906", ["Bjørn"]),
        ("906%2078", ["Bjørn"]),
        ("0047906", ["Bjørn"]),
        ("91234567", ["Ingrid"]),
        ("%20%20", ["Bjørn", "Ingrid"]),
        ("%25", []),
    ],
)
def test_q_finds_the_beginning_of_a_name_an_email_or_a_phone_number(
    client: Client, typed: str, found: list[str]
) -> None:
    make(client, last_name="Dahl", phone="+47 906 78 901")
    make(client, first_name="Ingrid", last_name="Solberg", email="Ing.Sol@example.no", phone="912 34 567")
    answer = client.get(f"{CONTACTS}?q={typed}").json()
    assert [row["first_name"] for row in answer["data"]] == found
    assert answer["pagination"]["total"] == len(found)


def test_updated_since_takes_any_offset_and_counts_the_instant_itself(server: ServerUnderTest, client: Client) -> None:
    make(client, last_name="Old")
    server.clock.advance(3600)
    make(client, last_name="New")
    for since in ("2026-03-26T12:25:00Z", "2026-03-26T13:25:00%2B01:00"):
        found = client.get(f"{CONTACTS}?updated_since={since}").json()
        assert ([row["last_name"] for row in found["data"]], found["pagination"]["total"]) == (["New"], 1)
    assert client.get(f"{CONTACTS}?updated_since=2026-03-26").status == 422
    assert client.get(f"{CONTACTS}?updated_since=2026-03-26T12:25:01Z").json()["data"] == []


def test_etag_and_if_match_hold_a_late_change_back(client: Client) -> None:
    path = make(client)
    tag = client.get(path).headers["etag"]
    assert client.get(path, headers={"if-none-match": tag}).status == 304
    done = client.put(path, json={"last_name": "A"}, headers={"if-match": tag})
    assert done.headers["etag"] != tag
    for method in ("PUT", "PATCH", "DELETE"):
        assert client.request(method, path, json={"last_name": "B"}, headers={"if-match": tag}).status == 412
    assert client.get(path).json()["last_name"] == "A"
    assert client.delete(path, headers={"if-match": done.headers["etag"]}).status == 200


def test_a_body_that_names_another_organisation_than_the_requests_is_refused(
    server: ServerUnderTest, client: Client
) -> None:
    server.caller("org_b")
    path = make(client, org_id="default")
    for refused in (
        client.post(CONTACTS, json={"first_name": "Kari", "org_id": "org_b"}),
        client.post(CONTACTS, json={"first_name": "Kari", "org_id": "nobody"}),
        client.put(path, json={"first_name": "Kari", "org_id": "org_b"}),
    ):
        assert refused.status == 422
        assert refused.json()["errors"][0]["field"] == "org_id"
    assert client.post(f"{CONTACTS}?org_id=org_b", json={"first_name": "Kari", "org_id": "org_b"}).status == 201
    assert client.put(path, json={"last_name": "Dahl", "org_id": None}).status == 200
    assert client.get(f"{CONTACTS}?org_id=default").json()["pagination"]["total"] == 1


def test_a_global_admin_asks_the_database_as_often_among_many_organisations_as_among_few(
    server: ServerUnderTest, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Counting:
        """A transaction that counts what is asked of it."""

        def __init__(self, tx: Transaction) -> None:
            self._tx = tx

        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            return getattr(self._tx, name)

    read = server.database.read

    async def counted(function: Any, **options: Any) -> Any:
        return await read(lambda tx: function(Counting(tx)), **options)

    monkeypatch.setattr(server.database, "read", counted)
    asks: list[int] = []
    for count in (3, 30):
        for n in range(count):
            server.caller(f"org_{n}").post(CONTACTS, json={"first_name": "Kari"})
        asked.clear()
        assert [client.get(path).status for path in (f"{CONTACTS}/nobody", CONTACTS)] == [404, 200]
        asks.append(len(asked))
    assert asks[0] == asks[1]


def test_a_repeated_create_with_its_key_is_made_once(client: Client) -> None:
    key = {"idempotency-key": "k1"}
    first, second = (client.post(CONTACTS, json=ALL, headers=key) for _ in range(2))
    assert (first.status, first.body) == (second.status, second.body) == (201, first.body)
    assert client.post(CONTACTS, json={**ALL, "phone": "1"}, headers=key).status == 422
    assert client.get(CONTACTS).json()["pagination"]["total"] == 1


def test_a_contact_that_a_device_made_under_its_own_id_is_served_and_blocks_no_create(client: Client) -> None:
    changes = [
        {"client_change_id": id, "kind": "contact", "id": id, "op": "put", "fields": {"first_name": "Device"}}
        for id in ("my-own/id ü", "c-00001", "c-00002")
    ]
    pushed = client.post("/api/v1/feed/push", json={"device_id": "d", "changes": changes}).json()
    assert [row["outcome"] for row in pushed["results"]] == ["applied"] * 3
    assert client.get(f"{CONTACTS}/my-own%2Fid%20%C3%BC").json()["contact_id"] == "my-own/id ü"
    assert make(client) == f"{CONTACTS}/c-00003"
    assert client.get(f"{CONTACTS}/c-00001").json()["first_name"] == "Device"
    assert client.get(CONTACTS).json()["pagination"]["total"] == 4


@pytest.mark.parametrize(
    ("query", "status"), [("x=%FF", 400), ("x=%00", 422), ("o%72g_id=elsewhere", 404), ("o%72g_id=default", 200)]
)
def test_a_query_is_read_alike_on_every_route_also_where_one_contact_is_asked_for(
    client: Client, query: str, status: int
) -> None:
    path = make(client, **ALL)
    assert client.get(f"{path}?{query}").status == status
    assert client.get(f"{CONTACTS}?{query}").status == status


@pytest.mark.parametrize("step_hours", [2, 23, 24 * 400])
def test_times_of_a_contact_never_fall_and_a_poll_by_the_last_time_misses_nothing(
    server: ServerUnderTest, client: Client, step_hours: int
) -> None:
    path, other = make(client, phone="1"), make(client)
    server.clock.advance(60)
    client.put(path, json={"phone": "2"})
    seen = client.get(path).json()["updated_at"]
    server.clock.advance(-3600 * step_hours)
    edits = [client.put(path, json={"phone": str(n)}).json() for n in range(3, 6)]
    push = {"client_change_id": "1", "kind": "contact", "id": path.rpartition("/")[2], "op": "put", "base_revision": 6}
    client.post("/api/v1/feed/push", json={"device_id": "d", "changes": [push | {"fields": {"phone": "6"}}]})
    edits.append(client.get(path).json())
    client.put(f"{path}/chapter-affiliations", json={"chapter_ids": ["a"]})
    edits.append(client.get(path).json())
    times = [edit["updated_at"] for edit in edits]
    assert [seen, *times] == sorted([seen, *times])
    assert all(edit["created_at"] <= edit["updated_at"] for edit in edits)
    if step_hours < 24:
        client.put(other, json={"phone": "7"})
        made = make(client)
        polled = [row["contact_id"] for row in client.get(f"{CONTACTS}?updated_since={seen}").json()["data"]]
        assert [f"{CONTACTS}/{id}" for id in polled] == [path, other, made]
