"""The cache contract: its printed examples, and readings 3."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from headwater.base.settings.table import Settings
from headwater.contracts.cache import door, shapes
from tests.support.clock import MovableClock
from tests.support.printed import assert_printed
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest

SYNC = "/api/v1/cache/sync"
ORG = "org_NOR_0042"
BASES = pytest.mark.parametrize("base", [SYNC, SYNC + SYNC])


def contact(id: str = "cnt_1", at: str = "2026-03-25T14:00:00Z", **more: Any) -> dict[str, Any]:
    return {"id": id, "name": f"Name {id}", "updated_at": at, **more}


def note(id: str = "note_1", of: str = "cnt_1", at: str = "2026-03-25T14:00:00Z") -> dict[str, Any]:
    return {"id": id, "contact_id": of, "content": f"Content {id}", "updated_at": at}


def bring(client: Client, contacts: Any = (), notes: Any = (), org: str = ORG) -> Answer:
    return client.post(SYNC, json={"org_id": org, "contacts": list(contacts), "notes": list(notes)})


def cached(client: Client, what: str = "contacts", query: str = "") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = client.get(f"/api/v1/cache/{what}?org_id={ORG}{query}").json()["data"]
    return rows


@BASES
def test_the_printed_requests_get_the_printed_answers(server: ServerUnderTest, base: str) -> None:
    public = server.public
    first = public.post(base, json=shapes.SYNC_EXAMPLE)
    assert first.status == 201
    assert first.json()["id"] == "sync_00000001"
    again = public.post(base, json=shapes.SYNC_EXAMPLE).json()
    assert_printed(
        again,
        {
            "id": "sync_00000011", "org_id": ORG, "contacts_synced": 1, "notes_synced": 1, "contacts_inserted": 0,
            "contacts_updated": 1, "notes_inserted": 0, "notes_updated": 1, "status": "success",
            "synced_at": "2026-03-26T09:30:00Z",
        },
    )  # fmt: skip
    extended = public.put(f"{base}/{again['id']}", json=shapes.EXTEND_EXAMPLE)
    assert extended.status == 200
    printed = {"id": "sync_00000011", "org_id": ORG, "notes_synced": 1, "status": "success"}
    assert_printed(extended.json(), {**printed, "updated_at": "2026-03-26T09:32:00Z"})
    shown = public.get(f"{base}/{again['id']}")
    assert shown.status == 200
    assert_printed(shown.json(), shapes.DETAILS_EXAMPLE | {"contacts_synced": 1, "notes_synced": 2})
    last = public.get(f"{base}/timestamp?org_id={ORG}").json()
    assert_printed(last, shapes.LAST_SYNC_EXAMPLE)
    assert last["sync_id"] == again["id"]
    listed = public.get(base).json()
    assert [row["id"] for row in listed["data"]] == ["sync_00000002", "sync_00000001"]
    assert_printed(
        listed["data"][0],
        {"id": "sync_00000010", "org_id": ORG, "contacts_synced": 1, "notes_synced": 2,
         "synced_at": "2026-03-26T06:00:00Z", "status": "success"},
    )  # fmt: skip
    cleared = public.delete(f"{base}/{again['id']}")
    assert cleared.status == 200
    assert_printed(cleared.json(), shapes.CLEARED_EXAMPLE | {"contacts_removed": 1, "notes_removed": 2})


def test_counts_are_of_the_rows_accepted_in_the_call_and_the_record_adds_them_up(client: Client) -> None:
    first = bring(client, [contact("a"), contact("b")], [note("n", "a")]).json()
    assert (first["contacts_synced"], first["contacts_inserted"], first["contacts_updated"]) == (2, 2, 0)
    body = {"org_id": ORG, "contacts": [contact("b"), contact("c")], "notes": []}
    put = client.put(f"{SYNC}/{first['id']}", json=body).json()
    assert (put["contacts_synced"], put["contacts_inserted"], put["contacts_updated"]) == (2, 1, 1)
    assert put["notes_synced"] == 0
    kept = client.get(f"{SYNC}/{first['id']}").json()
    assert (kept["contacts_synced"], kept["notes_synced"]) == (4, 1)


def test_clearing_empties_the_whole_organisation_and_the_history_stays(client: Client) -> None:
    first = bring(client, [contact("a")], [note("n", "a")]).json()["id"]
    bring(client, [contact("b")])
    bring(client, [contact("z")], org="org_other")
    cleared = client.delete(f"{SYNC}/{first}").json()
    assert (cleared["contacts_removed"], cleared["notes_removed"]) == (2, 1)
    assert cached(client) == cached(client, "notes") == []
    assert client.get(f"{SYNC}/{first}").json()["status"] == "cleared"
    assert client.get(SYNC).json()["pagination"]["total"] == 3
    assert client.get("/api/v1/cache/contacts?org_id=org_other").json()["data"][0]["id"] == "z"
    assert client.delete(f"{SYNC}/{first}").status == 404
    last = client.get(f"{SYNC}/timestamp?org_id={ORG}").json()
    assert last == {"org_id": ORG, "last_sync_timestamp": None, "sync_id": None, "status": "never"}


def test_an_older_row_is_skipped_an_equal_one_accepted(client: Client) -> None:
    bring(client, [contact("a", name="First")])
    again = bring(
        client,
        [contact("a", "2026-03-25T13:59:59Z", name="Old"), contact("a", "2026-03-25T15:00:00+01:00", name="Same")],
    ).json()
    assert again["skipped"] == [{"index": 0, "collection": "contacts", "id": "a"}]
    assert (again["contacts_updated"], again["status"]) == (1, "success")
    assert cached(client)[0]["name"] == "Same"


def test_rows_sent_again_as_they_stand_are_accepted_and_are_no_news(client: Client) -> None:
    bring(client, [contact(), contact("cnt_2")], [note()])
    cursor = client.get(f"/api/v1/feed?org_id={ORG}").json()["cursor"]
    again = bring(client, [contact(), contact("cnt_2", name="Other")], [note()]).json()
    assert (again["contacts_synced"], again["contacts_updated"], again["notes_updated"]) == (2, 2, 1)
    assert (again["contacts_inserted"], again["status"], again["skipped"]) == (0, "success", [])
    news = client.get(f"/api/v1/feed?org_id={ORG}&cursor={cursor}").json()["changes"]
    assert [(change["id"], change["revision"]) for change in news] == [("cnt_2", 4)]
    later = bring(client, [contact(at="2026-03-25T15:00:00Z")]).json()
    assert later["contacts_updated"] == 1
    assert {row["id"]: row["updated_at"] for row in cached(client)}["cnt_1"] == "2026-03-25T15:00:00Z"


def test_a_batch_leaves_the_history_of_fields_that_it_does_not_change(client: Client) -> None:
    bring(client, [contact(email="old@example.no")])
    bring(client, [contact(at="2026-03-25T15:00:00Z", name="New", email="old@example.no")])
    edit = {"client_change_id": "e1", "kind": "cached_contact", "id": "cnt_1", "op": "put", "base_revision": 1}
    pushed = {"device_id": "phone-1", "changes": [{**edit, "fields": {"email": "new@example.no"}}]}
    (outcome,) = client.post(f"/api/v1/feed/push?org_id={ORG}", json=pushed).json()["results"]
    assert outcome == {"client_change_id": "e1", "outcome": "merged", "revision": 3}
    (row,) = cached(client)
    assert (row["name"], row["email"]) == ("New", "new@example.no")


def test_of_two_rows_of_one_id_the_later_in_time_stays(client: Client) -> None:
    rows = [contact("a", "2026-03-25T15:00:00Z", name="Late"), contact("a", "2026-03-25T14:00:00Z", name="Early")]
    assert len(bring(client, rows).json()["skipped"]) == 1
    assert [row["name"] for row in cached(client)] == ["Late"]


def test_a_row_over_five_minutes_ahead_is_refused_alone(server: ServerUnderTest, client: Client) -> None:
    rows = [contact("a", "2026-03-26T11:30:00Z"), contact("b", "2026-03-26T11:30:01Z")]
    answer = bring(client, rows).json()
    assert (answer["status"], answer["contacts_synced"]) == ("partial", 1)
    (error,) = answer["errors"]
    assert (error["index"], error["collection"], error["id"], error["code"]) == (1, "contacts", "b", "in_the_future")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"id": "a"}, "missing"),
        ({"id": "a", "name": 1, "updated_at": "2026-03-25T14:00:00Z"}, "invalid_type"),
        ({"id": "", "name": "A", "updated_at": "2026-03-25T14:00:00Z"}, "blank"),
        ({"id": "a\n", "name": "A", "updated_at": "2026-03-25T14:00:00Z"}, "incorrect_value"),
        ({"id": "a", "name": "A", "updated_at": "yesterday"}, "incorrect_value"),
        ("text", "invalid_type"),
        (None, "invalid_type"),
    ],
)
def test_a_refused_row_is_named_and_the_others_are_taken(client: Client, row: Any, code: str) -> None:
    partial = bring(client, [row, contact("b")]).json()
    assert (partial["status"], partial["contacts_synced"]) == ("partial", 1)
    assert [(error["index"], error["code"]) for error in partial["errors"]] == [(0, code)]
    failed = bring(client, [row]).json()
    assert (failed["status"], failed["contacts_synced"]) == ("failed", 0)
    assert client.get(f"{SYNC}/timestamp?org_id={ORG}").json()["status"] == "never"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"org_id": ORG, "contacts": {}},
        {"org_id": ORG, "notes": 1},
        {"org_id": ""},
        {"org_id": 7},
        [],
        {"contacts": []},
    ],
)
def test_nonsense_as_a_whole_is_422_and_changes_nothing(client: Client, body: Any) -> None:
    assert client.post(SYNC, json=body).status == 422
    assert client.get(SYNC).json()["pagination"]["total"] == 0


def test_a_note_of_an_unknown_contact_waits_and_is_linked_when_the_contact_arrives(client: Client) -> None:
    first = bring(client, [], [note("n", "late")]).json()
    assert (first["status"], first["unlinked_notes"], first["notes_synced"]) == ("success", 1, 1)
    cursor = client.get(f"/api/v1/feed?org_id={ORG}").json()["cursor"]
    assert bring(client, [contact("late")]).json()["unlinked_notes"] == 0
    moved = client.get(f"/api/v1/feed?org_id={ORG}&cursor={cursor}").json()["changes"]
    assert [(change["kind"], change["id"]) for change in moved] == [("cached_contact", "late"), ("note", "n")]
    assert cached(client, "notes", "&contact_id=late")[0]["id"] == "n"


def test_a_record_is_extended_by_its_own_organisation_only(server: ServerUnderTest, client: Client) -> None:
    id = bring(client, [contact()]).json()["id"]
    bring(client, [], org="org_other")
    assert client.put(f"{SYNC}/{id}", json={"org_id": "org_other"}).status == 409
    foreign = server.caller("org_other", "org_admin")
    assert foreign.put(f"{SYNC}/{id}", json={"org_id": "org_other"}).status == 404
    assert foreign.delete(f"{SYNC}/{id}").status == foreign.get(f"{SYNC}/{id}").status == 404
    assert client.put(f"{SYNC}/sync_99999999", json={"org_id": ORG}).status == 404


def test_timestamp_comes_before_id_and_needs_an_organisation(server: ServerUnderTest, client: Client) -> None:
    assert client.get(f"{SYNC}/timestamp").status == 422
    assert server.public.get(f"{SYNC}/timestamp").status == 422
    assert client.get(f"{SYNC}/timestamp?org_id=org_nobody").status == 404
    own = server.caller("org_mine", "coordinator")
    assert own.get(f"{SYNC}/timestamp").json()["status"] == "never"


def test_ten_thousand_contacts_in_one_call_are_normal_work(client: Client) -> None:
    rows = [contact(f"cnt_{n:05d}") for n in range(10_000)]
    answer = bring(client, rows)
    assert (answer.status, answer.json()["contacts_inserted"]) == (201, 10_000)
    assert bring(client, rows).json()["contacts_updated"] == 10_000


class TestSmallLimits:
    @pytest.fixture
    def settings(self) -> Settings:
        limits = msgspec.structs.replace(Settings().limits, cache_rows=3, cache_body_bytes=2048)
        return msgspec.structs.replace(Settings(), limits=limits)

    def test_more_rows_or_bytes_than_the_limit_are_413_and_change_nothing(self, client: Client) -> None:
        assert bring(client, [contact(str(n)) for n in range(2)], [note("a"), note("b")]).status == 413
        assert bring(client, [contact("a", name="x" * 3000)]).status == 413
        assert client.get(SYNC).json()["pagination"]["total"] == 0


def test_the_limits_are_fifty_thousand_rows_and_sixteen_mebibytes() -> None:
    limits = Settings().limits
    assert (limits.cache_rows, limits.cache_body_bytes) == (50_000, 16 * 1024 * 1024)


def test_the_cache_is_read_by_keyset_pages_and_by_prefix(client: Client) -> None:
    bring(client, [contact(f"c{n}") for n in range(5)] + [contact("x", phone="+47 906 78 901", email="Åse@x.no")])
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get(f"/api/v1/cache/contacts?org_id={ORG}&limit=4{cursor}").json()
        seen += [row["id"] for row in page["data"]]
        cursor = f"&cursor={page['cursor']}"
        if not page["has_more"]:
            break
    assert seen == ["c0", "c1", "c2", "c3", "c4", "x"]
    assert [row["id"] for row in cached(client, query="&q=90678")] == ["x"]
    assert [row["id"] for row in cached(client, query="&q=ase%40")] == ["x"]
    assert client.get(f"/api/v1/cache/contacts?org_id={ORG}&cursor=!").status == 400
    assert client.get(f"/api/v1/cache/contacts?org_id={ORG}&limit=1001").status == 422


class TestClosedProvisioning:
    @pytest.fixture
    def settings(self) -> Settings:
        access = msgspec.structs.replace(Settings().access, provisioning="closed")
        return msgspec.structs.replace(Settings(), access=access)

    def test_an_unknown_organisation_in_a_body_is_422_naming_it(self, client: Client) -> None:
        refused = bring(client, [contact()])
        assert refused.status == 422
        assert refused.json()["errors"][0]["field"] == "org_id"
        assert bring(client, [contact()], org="default").status == 201


def test_a_token_of_one_organisation_reaches_no_other(server: ServerUnderTest, client: Client) -> None:
    bring(client, [contact()])
    own = server.caller("org_mine", "org_admin")
    assert bring(own, [contact()]).status == 404
    assert own.get(f"/api/v1/cache/contacts?org_id={ORG}").status == 404
    assert own.get(SYNC).json()["pagination"]["total"] == 0
    assert own.get(f"{SYNC}?org_id={ORG}").status == 404


def test_a_sync_record_has_an_etag_and_if_match_holds_a_late_change_back(
    server: ServerUnderTest, client: Client
) -> None:
    id = bring(client, [contact()]).json()["id"]
    tag = client.get(f"{SYNC}/{id}").headers["etag"]
    assert client.get(f"{SYNC}/{id}", headers={"if-none-match": tag}).status == 304
    server.clock.advance(1)
    assert client.put(f"{SYNC}/{id}", json={"org_id": ORG}, headers={"if-match": tag}).status == 200
    assert client.delete(f"{SYNC}/{id}", headers={"if-match": tag}).status == 412


def test_sync_ids_of_one_organisation_tell_nothing_of_another_and_lists_of_all_are_newest_first(
    server: ServerUnderTest, client: Client, clock: MovableClock
) -> None:
    made: list[str] = []
    for organisation in ("org_a", "org_b", "org_b", "org_a", "org_b"):
        clock.advance(1)
        answer = client.post("/api/v1/cache/sync", json={"org_id": organisation, "contacts": [], "notes": []})
        made.append(answer.json()["id"])
    assert [made[0], made[3]] == ["sync_00000001", "sync_00000002"]
    assert int(made[4][5:]) == int(made[2][5:]) + 1 == int(made[1][5:]) + 2
    listed = client.get("/api/v1/cache/sync").json()["data"]
    assert [row["id"] for row in listed] == made[::-1]


def test_the_operator_learns_when_most_rows_are_ahead_of_our_clock(
    client: Client, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[dict[str, Any]] = []

    def note(event: str, **fields: Any) -> None:
        warned.append({"event": event, **fields})

    monkeypatch.setattr(door, "_log", SimpleNamespace(warning=note))
    rows = [contact(f"c{n}", at="2026-03-26T12:00:00Z") for n in range(3)]
    for batch, expected in (([rows[0], contact()], 0), ([*rows, contact()], 1), (rows, 1)):
        clock.set("2026-03-26T11:00:00+00:00")
        bring(client, batch)
        assert len(warned) == expected
    assert warned[0]["ahead_rows"] == 3
    assert "clock" in warned[0]["event"]
