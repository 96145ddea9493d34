"""The sell contract: its printed flow, and readings 4."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from headwater.base.settings.table import Settings
from headwater.contracts.sell import shapes
from headwater.store.database import Transaction
from headwater.store.log import feeds
from tests.contracts.sell.conftest import DEVICE, Phone, events, keys
from tests.support.clock import MovableClock
from tests.support.printed import assert_printed
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"
BJORN = {
    "first_name": "Bjørn",
    "last_name": "Dahl",
    "email": "bjorn.dahl@example.no",
    "phone": "+47 906 78 901",
    "address": "Rosenkrantz gate 3, 0159 Oslo",
    "date_of_birth": "1982-07-25",
}


def make(client: Client, count: int = 1) -> list[str]:
    """New contacts' ids."""
    return [client.post(CONTACTS, json={"first_name": f"P{n}"}).json()["contact_id"] for n in range(count)]


def assert_bare(answer: Answer, status: int) -> None:
    """An empty body without a content type, as the official clients need it."""
    assert (answer.status, answer.body) == (status, b"")
    assert "content-type" not in answer.headers


def test_the_printed_flow_has_the_printed_shapes(server: ServerUnderTest, client: Client, phone: Phone) -> None:
    gone, kept = make(client, 2)
    phone.sync()
    client.put(f"{CONTACTS}/{kept}", json={"first_name": "New"})
    client.delete(f"{CONTACTS}/{gone}")
    started = phone.start()
    assert (started.status, started.headers["content-type"]) == (201, "application/json")
    assert_printed(started.json(), shapes.SESSION_EXAMPLE, "id", "self")
    session = started.json()["data"]["id"]
    link = started.json()["data"]["queues"][0]["meta"]["links"]["self"]
    assert link.endswith(f"/v2/sync/{session}/queues/main")
    assert "/" not in session
    page = phone.page(session).json()
    updated, deleted = page["items"]
    assert page["meta"] == {"type": "collection", "count": 2, "count_left": 0, "failed_objects": []}
    assert {"id", "creator_id", "name", "updated_at", "created_at"} <= set(updated["data"])
    assert updated["meta"]["sync"]["event_type"] == "updated"
    assert deleted["data"] == {"id": 1}
    assert deleted["meta"]["sync"] == {
        "event_type": "deleted", "ack_key": deleted["meta"]["sync"]["ack_key"], "revision": 0,
    }  # fmt: skip
    assert deleted["meta"]["sync"]["ack_key"].endswith("-0")
    assert_bare(phone.page(session), 204)
    assert_bare(phone.ack(*keys(page["items"])), 202)
    assert_bare(phone.start(), 204)


def test_start_needs_no_body_no_content_length_and_no_content_type(client: Client, phone: Phone) -> None:
    make(client)
    for body in ({}, {"content": b""}, {"content": [b""]}, {"content": b"null"}):
        assert client.post("/v2/sync/start", headers=phone.headers, **body).status == 201
    assert client.post("/v2/sync/start/", headers=phone.headers).status == 201


def test_an_item_is_offered_once_a_session_and_returns_until_it_is_acked(client: Client, phone: Phone) -> None:
    ids = make(client, 3)
    first = phone.drain()
    assert [id for _, id in events(first)] == ids
    phone.ack(keys(first)[1])
    assert [id for _, id in events(phone.drain())] == [ids[0], ids[2]]
    assert [event for event, _ in events(phone.drain())] == ["created", "created"]


def test_each_get_after_the_end_answers_204(client: Client, phone: Phone) -> None:
    make(client)
    session = phone.start().json()["data"]["id"]
    assert phone.page(session).status == 200
    for _ in range(3):
        assert_bare(phone.page(session), 204)


def test_pages_counts_and_revisions_are_exact_integers(server: ServerUnderTest, client: Client, phone: Phone) -> None:
    rows = [{"id": f"c{n:03d}", "name": "A", "updated_at": "2026-03-25T14:00:00Z"} for n in range(250)]
    client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": rows})
    queue = phone.start().json()["data"]
    assert queue["queues"][0]["data"] == {"name": "main", "pages": 3, "total_count": 250}
    metas = []
    while (page := phone.page(queue["id"])).status == 200:
        metas.append((page.json()["meta"]["count"], page.json()["meta"]["count_left"]))
        assert all(isinstance(item["meta"]["sync"]["revision"], int) for item in page.json()["items"])
    assert metas == [(100, 150), (100, 50), (50, 0)]


def test_several_workers_drain_one_session_without_a_repeat_or_a_gap(client: Client, phone: Phone) -> None:
    rows = [{"id": f"c{n:03d}", "name": "A", "updated_at": "2026-03-25T14:00:00Z"} for n in range(730)]
    client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": rows})
    session = phone.start().json()["data"]["id"]
    path = f"/v2/sync/{session}/queues/main"
    answers = client.together([("GET", path, {"headers": phone.headers})] * 12)
    assert sorted(answer.status for answer in answers) == [200] * 8 + [204] * 4
    ids = [item["data"]["id"] for answer in answers if answer.status == 200 for item in answer.json()["items"]]
    assert (len(ids), len(set(ids))) == (730, 730)


def test_created_updated_and_deleted_follow_from_what_the_device_acked(client: Client, phone: Phone) -> None:
    a, b, c = make(client, 3)
    client.delete(f"{CONTACTS}/{c}")
    assert events(phone.drain()) == [("created", a), ("created", b)]
    client.put(f"{CONTACTS}/{a}", json={"first_name": "X"})
    assert sorted(events(phone.sync())) == [("created", a), ("created", b)]
    client.put(f"{CONTACTS}/{a}", json={"first_name": "Y"})
    client.delete(f"{CONTACTS}/{b}")
    assert events(phone.sync()) == [("updated", a), ("deleted", 2)]
    assert phone.sync() == []


def test_what_was_made_and_deleted_before_the_first_sync_is_not_sent(client: Client, phone: Phone) -> None:
    (id,) = make(client)
    client.delete(f"{CONTACTS}/{id}")
    assert_bare(phone.start(), 204)


def test_a_late_ack_of_an_old_state_hides_no_newer_one(client: Client, phone: Phone) -> None:
    (id,) = make(client)
    late = keys(phone.drain())
    client.put(f"{CONTACTS}/{id}", json={"first_name": "New"})
    phone.ack(*late)
    (item,) = phone.drain()
    assert (item["meta"]["sync"]["event_type"], item["data"]["first_name"]) == ("updated", "New")


def test_a_late_ack_of_a_deletion_hides_no_rebirth(client: Client, phone: Phone) -> None:
    (id,) = make(client)
    phone.sync()
    client.delete(f"{CONTACTS}/{id}")
    deletion = keys(phone.drain())
    change = {"client_change_id": "1", "kind": "contact", "id": id, "op": "put", "fields": {"first_name": "Back"}}
    client.post("/api/v1/feed/push", json={"device_id": "d", "changes": [change | {"base_revision": 2}]})
    phone.ack(*deletion)
    assert events(phone.sync()) == [("created", id)]


def test_unknown_foreign_and_malformed_keys_are_ignored(client: Client, phone: Phone, tablet: Phone) -> None:
    make(client, 2)
    mine, theirs = keys(phone.drain()), keys(tablet.drain())
    assert_bare(phone.ack("", "x", "Contact-1-1", "Source-976368-1375200190", "Contact-99999999-0", *theirs), 202)
    assert len(phone.drain()) == 2
    assert_bare(phone.ack(*mine, *mine), 202)
    assert phone.drain() == []
    assert len(tablet.drain()) == 2


@pytest.mark.parametrize(
    "body",
    [{}, {"data": {}}, {"data": {"ack_keys": "x"}}, {"data": {"ack_keys": [1]}}, {"data": {"ack_keys": None}}, [], 7],
)
def test_an_ack_of_the_wrong_shape_is_422_in_the_envelope(client: Client, phone: Phone, body: Any) -> None:
    assert_envelope(client.post("/v2/sync/ack", json=body, headers=phone.headers), 422)


def assert_envelope(answer: Answer, status: int) -> dict[str, Any]:
    """Sell's own error body; its one error."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    body = answer.json()
    assert body["meta"]["type"] == "errors"
    assert body["meta"]["http_status"].startswith(f"{status} ")
    assert body["meta"]["logref"] == answer.headers["x-request-id"]
    assert body["errors"]
    for error in body["errors"]:
        assert {"code", "message", "details"} <= set(error["error"])
        assert error["meta"] == {"type": "error"}
    found: dict[str, Any] = body["errors"][0]["error"]
    return found


def test_every_error_under_v2_has_sells_envelope(server: ServerUnderTest, client: Client, phone: Phone) -> None:
    headers = phone.headers
    start, ack = "/v2/sync/start", "/v2/sync/ack"
    narrow = server.caller(scopes=("contacts",))
    cases = [
        (client.post(ack, content=b"{", headers=headers), 400, "invalid_payload"),
        (server.public.post(start, headers=headers), 401, "unauthorized"),
        (client.as_token("x" * 64).post(start, headers=headers), 401, "unauthorized"),
        (narrow.post(start, headers=headers), 403, "insufficient_scope"),
        (client.get("/v2/nothing", headers=headers), 404, "incorrect_path"),
        (client.get("/v2/sync/none/queues/main", headers=headers), 404, "not_found"),
        (client.get(start, headers=headers), 405, "incorrect_path"),
        (client.post(ack, content=b" " * (1024 * 1024 + 1), headers=headers), 413, "invalid_payload"),
        (client.post(start), 422, "missing"),
        (client.post(start, headers={DEVICE: "  "}), 422, "blank"),
        (client.post(start, headers={DEVICE: "x" * 256}), 422, "incorrect_value"),
    ]
    assert [assert_envelope(answer, status)["code"] for answer, status, _ in cases] == [code for _, _, code in cases]


def test_a_new_start_replaces_the_older_session_which_then_answers_204(client: Client, phone: Phone) -> None:
    make(client)
    older, newer = phone.start().json()["data"]["id"], phone.start().json()["data"]["id"]
    assert_bare(phone.page(older), 204)
    assert phone.page(newer).status == 200


def test_a_repeated_start_with_its_key_gives_the_same_session_and_starts_no_other(
    server: ServerUnderTest, client: Client, phone: Phone
) -> None:
    make(client, 2)
    keyed = {"headers": {**phone.headers, "idempotency-key": "k-1"}}
    first = client.post("/v2/sync/start", **keyed)
    session = first.json()["data"]["id"]
    again = client.post("/v2/sync/start", **keyed)
    assert (again.status, again.body) == (first.status, first.body)
    assert len(phone.page(session).json()["items"]) == 2
    assert client.post("/v2/sync/start", **keyed).json()["data"]["id"] == session
    assert_bare(phone.page(session), 204)


def test_starts_with_one_key_under_way_at_once_share_one_session(client: Client, phone: Phone) -> None:
    make(client)
    keyed = {"headers": {**phone.headers, "idempotency-key": "k-1"}}
    twins = client.together([("POST", "/v2/sync/start", keyed)] * 5)
    assert {twin.body for twin in twins} == {twins[0].body}
    assert phone.page(twins[0].json()["data"]["id"]).status == 200


def test_a_key_from_another_device_is_another_request(client: Client, phone: Phone, tablet: Phone) -> None:
    make(client)
    ack: dict[str, Any] = {"json": {"data": {"ack_keys": []}}}
    for path, body in (("start", {}), ("ack", ack)):
        key = {"idempotency-key": path}
        assert client.post(f"/v2/sync/{path}", headers=phone.headers | key, **body).status in (201, 202)
        other = client.post(f"/v2/sync/{path}", headers=tablet.headers | key, **body)
        assert other.status == 422
        assert other.json()["errors"][0]["error"]["field"] == "/Idempotency-Key"


def test_foreign_and_never_issued_sessions_are_404(
    server: ServerUnderTest, client: Client, phone: Phone, tablet: Phone
) -> None:
    make(client)
    session = phone.start().json()["data"]["id"]
    assert_envelope(tablet.page(session), 404)
    other = Phone(server.caller("org_other", "org_admin"), "phone-1")
    assert_envelope(other.page(session), 404)
    assert_envelope(phone.page(session[:-1] + "x"), 404)
    assert_envelope(client.get(f"/v2/sync/{session}/queues/other", headers=phone.headers), 404)
    assert phone.page(session).status == 200


def test_a_session_expires_after_an_idle_hour(client: Client, phone: Phone, clock: MovableClock) -> None:
    rows = [{"id": f"c{n:03d}", "name": "A", "updated_at": "2026-03-25T14:00:00Z"} for n in range(350)]
    client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": rows})
    session = phone.start().json()["data"]["id"]
    for _ in range(2):
        clock.advance(3600)
        assert phone.page(session).status == 200
    clock.advance(3601)
    assert_bare(phone.page(session), 204)
    assert_bare(phone.page(session), 204)
    assert phone.start().json()["data"]["queues"][0]["data"]["total_count"] == 350


def test_an_account_has_at_most_a_hundred_sessions_and_idle_ones_go_first(
    server: ServerUnderTest, client: Client, clock: MovableClock
) -> None:
    make(client)
    phones = [Phone(client, f"phone-{n}") for n in range(101)]
    first = phones[0].start().json()["data"]["id"]
    for other in phones[1:100]:
        assert other.start().status == 201
    refused = phones[100].start()
    assert assert_envelope(refused, 429)["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) > 0
    assert phones[5].start().status == 201
    clock.advance(120)
    assert phones[100].start().status == 201
    assert_bare(phones[0].page(first), 204)
    elsewhere = server.caller("org_other", "org_admin")
    make(elsewhere)
    assert Phone(elsewhere, "phone-0").start().status == 201


def test_a_row_that_cannot_be_shown_is_named_stays_pending_and_blocks_nothing(
    server: ServerUnderTest, client: Client, phone: Phone
) -> None:
    ids = make(client, 3)

    def spoil(tx: Transaction) -> None:
        feed = feeds.organisation_feed(tx, "default")
        wire = b'{"position":2,"kind":"contact","id":"c-00002","revision":1,"op":"put","at":"","body":{"contact_id":7}}'
        tx.run("UPDATE changes SET wire = ? WHERE feed = ? AND position = 2", wire, feed)

    server.database.write_now(spoil)
    for expected in ([ids[0], ids[2]], []):
        session = phone.start().json()["data"]["id"]
        page = phone.page(session).json()
        assert [id for _, id in events(page["items"])] == expected
        assert page["meta"]["failed_objects"] == [{"type": "contact", "id": 2}]
        assert page["meta"]["count_left"] == 0
        phone.ack(*keys(page["items"]))


def test_contacts_have_sells_field_names(client: Client, phone: Phone) -> None:
    made = client.post(CONTACTS, json=BJORN).json()
    client.put(f"{CONTACTS}/{made['contact_id']}/chapter-affiliations", json={"chapter_ids": ["ch-01"]})
    ((item),) = phone.drain()
    assert item["meta"]["type"] == "contact"
    data = item["data"]
    assert {name: data[name] for name in ("id", "name", "first_name", "last_name", "email", "phone", "mobile")} == {
        "id": 1, "name": "Bjørn Dahl", "first_name": "Bjørn", "last_name": "Dahl", "email": "bjorn.dahl@example.no",
        "phone": "+47 906 78 901", "mobile": None,
    }  # fmt: skip
    assert data["address"] == {
        "line1": "Rosenkrantz gate 3", "city": "Oslo", "postal_code": "0159", "state": None, "country": None,
    }  # fmt: skip
    assert (data["is_organization"], data["contact_id"], data["tags"]) == (False, None, ["ch-01"])
    assert data["custom_fields"]["headwater_id"] == made["contact_id"]
    assert (data["created_at"], "owner_id" in data, "creator_id" in data) == (made["created_at"], True, True)


def test_notes_are_sell_notes_of_their_contacts_integer(client: Client, phone: Phone) -> None:
    at = "2026-03-25T14:00:00Z"
    body = {
        "org_id": "default",
        "contacts": [{"id": "cnt_1", "name": "Ada Moe", "updated_at": at}],
        "notes": [
            {"id": "n1", "contact_id": "cnt_1", "content": "Hello", "updated_at": at},
            {"id": "n2", "contact_id": "late", "content": "Later", "updated_at": at},
        ],
    }
    client.post("/api/v1/cache/sync", json=body)
    contact, first, second = phone.sync()
    assert (contact["data"]["name"], contact["data"]["id"]) == ("Ada Moe", 1)
    assert (first["meta"]["type"], first["data"]["content"]) == ("note", "Hello")
    assert (first["data"]["resource_type"], first["data"]["resource_id"]) == ("contact", 1)
    assert (second["data"]["resource_id"], second["data"]["id"]) == (None, 2)
    late = {"org_id": "default", "contacts": [{"id": "late", "name": "L", "updated_at": at}]}
    client.post("/api/v1/cache/sync", json=late)
    assert [(item["meta"]["type"], item["meta"]["sync"]["event_type"]) for item in phone.drain()] == [
        ("contact", "created"),
        ("note", "updated"),
    ]


class TestContactsOnly:
    @pytest.fixture
    def settings(self) -> Settings:
        sell = msgspec.structs.replace(Settings().sell, resource_types=("contact",))
        return msgspec.structs.replace(Settings(), sell=sell)

    def test_only_the_types_of_the_setting_are_sent(self, client: Client, phone: Phone) -> None:
        at = "2026-03-25T14:00:00Z"
        notes = [{"id": "n1", "contact_id": "c", "content": "Hello", "updated_at": at}]
        client.post("/api/v1/cache/sync", json={"org_id": "default", "notes": notes})
        assert_bare(phone.start(), 204)
        make(client)
        assert [item["meta"]["type"] for item in phone.sync()] == ["contact"]


def test_a_device_drains_its_tokens_organisation_alone(server: ServerUnderTest, client: Client, phone: Phone) -> None:
    make(client)
    other = server.caller("org_other", "peer_mentor")
    assert_bare(Phone(other, "phone-1").start(), 204)
    assert len(phone.drain()) == 1


def test_what_changes_while_a_session_is_drained_comes_in_the_next(client: Client, phone: Phone) -> None:
    a, b = make(client, 2)
    session = phone.start().json()["data"]["id"]
    client.put(f"{CONTACTS}/{a}", json={"first_name": "New"})
    client.post(CONTACTS, json={"first_name": "Third"})
    page = phone.page(session).json()
    assert events(page["items"]) == [("created", b)]
    phone.ack(*keys(page["items"]))
    assert [event for event, _ in events(phone.sync())] == ["created", "created"]
