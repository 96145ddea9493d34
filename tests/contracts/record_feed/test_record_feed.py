"""The record feed: reading by cursor, pushing edits made offline, conflicts and nudges. Readings 8."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.contracts.record_feed import shapes
from headwater.store.database import Transaction
from headwater.store.log import feeds
from tests.support.printed import assert_printed
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

FEED = "/api/v1/feed"
CONTACTS = "/api/v1/contacts"
BJORN: dict[str, Any] = {"first_name": "Bjørn", "last_name": "Dahl", "phone": "+47 906 78 901"}


def make(client: Client, **fields: Any) -> str:
    """A new contact's id."""
    made = client.post(CONTACTS, json={"first_name": "Bjørn", **fields})
    return str(made.json()["contact_id"])


def edit(n: int | str, id: str, base: int = 0, op: str = "put", kind: str = "contact", **fields: Any) -> dict[str, Any]:
    """One pushed change."""
    return {"client_change_id": f"e{n}", "kind": kind, "id": id, "op": op, "base_revision": base, "fields": fields}


def push(client: Client, *changes: dict[str, Any], device: str = "phone-1") -> list[dict[str, Any]]:
    """The outcomes of pushed changes."""
    answer = client.post(f"{FEED}/push", json={"device_id": device, "changes": list(changes)})
    assert answer.status == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def outcomes(client: Client, *changes: dict[str, Any]) -> list[str]:
    return [row["outcome"] for row in push(client, *changes)]


def everything(client: Client, limit: int, cursor: str | None = None) -> tuple[list[dict[str, Any]], str]:
    """Every change from a cursor to the head, page by page; the last cursor."""
    changes: list[dict[str, Any]] = []
    while True:
        page = client.get(f"{FEED}?limit={limit}" + (f"&cursor={cursor}" if cursor else "")).json()
        changes += page["changes"]
        cursor = str(page["cursor"])
        assert len(page["changes"]) <= limit
        if not page["has_more"]:
            return changes, cursor


def test_the_examples_of_the_description_get_their_answers(client: Client) -> None:
    id = make(client, last_name="Dahl")
    page = client.get(FEED).json()
    assert_printed(page, shapes.FEED_EXAMPLE, "cursor")
    pushed = client.post(f"{FEED}/push", json=shapes.PUSH_EXAMPLE)
    assert (pushed.status, pushed.json(), id) == (200, shapes.PUSH_ANSWER_EXAMPLE, "c-00001")


def test_without_a_cursor_the_present_state_comes_first_without_deletions(client: Client) -> None:
    kept, gone = make(client), make(client)
    client.delete(f"{CONTACTS}/{gone}")
    changes, cursor = everything(client, 1)
    assert [(change["id"], change["op"]) for change in changes] == [(kept, "put")]
    client.delete(f"{CONTACTS}/{kept}")
    (deletion,), _ = everything(client, 5, cursor)
    assert (deletion["op"], deletion["body"], deletion["id"], deletion["revision"]) == ("delete", None, kept, 4)


def test_what_changes_while_the_present_state_is_read_follows_it_without_a_gap(client: Client) -> None:
    ids = [make(client) for _ in range(6)]
    first = client.get(f"{FEED}?limit=2").json()
    client.put(f"{CONTACTS}/{ids[0]}", json={"last_name": "Read before"})
    client.put(f"{CONTACTS}/{ids[4]}", json={"last_name": "Not read yet"})
    client.delete(f"{CONTACTS}/{ids[1]}")
    client.delete(f"{CONTACTS}/{ids[5]}")
    new = make(client)
    rest, _ = everything(client, 2, first["cursor"])
    state = {change["id"]: change for change in [*first["changes"], *rest]}
    live = {id: change["body"]["last_name"] for id, change in state.items() if change["op"] == "put"}
    assert live == {ids[0]: "Read before", ids[2]: None, ids[3]: None, ids[4]: "Not read yet", new: None}
    positions = [change["position"] for change in rest]
    assert positions == sorted(positions)


def test_only_the_freshest_change_of_a_record_is_kept(client: Client) -> None:
    id = make(client)
    _, cursor = everything(client, 10)
    for name in "ABC":
        client.put(f"{CONTACTS}/{id}", json={"last_name": name})
    (change,), _ = everything(client, 10, cursor)
    assert (change["revision"], change["body"]["last_name"]) == (4, "C")


def test_kinds_narrow_and_the_cursor_still_moves_on(client: Client) -> None:
    make(client)
    rows = [{"id": "a", "name": "A", "updated_at": "2026-03-25T14:00:00Z"}]
    client.post("/api/v1/cache/sync", json={"org_id": "default", "contacts": rows})
    page = client.get(f"{FEED}?kinds=cached_contact,note").json()
    assert [change["kind"] for change in page["changes"]] == ["cached_contact"]
    assert client.get(f"{FEED}?kinds=contact&cursor={page['cursor']}").json()["changes"] == []


def test_more_than_twenty_kinds_are_refused_and_not_cut_short(client: Client) -> None:
    make(client)
    kinds = ["contact", *(f"k{n}" for n in range(19))]
    page = client.get(f"{FEED}?kinds={','.join([*kinds, 'contact', ''])}").json()
    assert len(page["changes"]) == 1
    for cursor in ("", f"&cursor={page['cursor']}"):
        refused = client.get(f"{FEED}?kinds={','.join(kinds)},k20{cursor}")
        assert refused.status == 422
        assert refused.json()["errors"][0]["field"] == "kinds"


@pytest.mark.parametrize("query", ["limit=0", "limit=5001", "limit=x", "wait=61", "wait=-1"])
def test_a_limit_or_wait_out_of_range_is_422(client: Client, query: str) -> None:
    assert client.get(f"{FEED}?{query}").status == 422


def test_a_cursor_that_is_malformed_forged_foreign_or_ahead_is_refused_with_its_reason(
    server: ServerUnderTest, client: Client
) -> None:
    make(client)
    good = client.get(FEED).json()["cursor"]
    other = server.caller("org_other", "org_admin")
    foreign = other.get(FEED).json()["cursor"]
    # Not its last character: of that one base64 does not use every bit.
    forged = good[:-6] + ("A" if good[-6] != "A" else "B") + good[-5:]
    feed = server.database.read_now(lambda tx: feeds.organisation_feed(tx, "default") or 0)
    ahead = server.services.cursors.encode(feed, server.services.cursors.decode(good, feed)._replace(position=99))
    found = {}
    for name, text in {"malformed": "x", "forged": forged, "foreign": foreign, "ahead": ahead}.items():
        refused = client.get(f"{FEED}?cursor={text}")
        assert refused.problem() == (400, "SYNC_CURSOR_INVALID")
        found[name] = refused.json()["reason"]
    assert found == {name: name for name in found}
    assert client.get(f"{FEED}?cursor=").problem() == (400, "SYNC_CURSOR_INVALID")


def test_a_cursor_below_the_floor_is_expired_and_one_at_it_is_good(server: ServerUnderTest, client: Client) -> None:
    make(client)
    old = client.get(FEED).json()["cursor"]
    id = make(client)
    client.delete(f"{CONTACTS}/{id}")
    now = client.get(f"{FEED}?cursor={old}").json()["cursor"]

    def compact(tx: Transaction) -> None:
        feed = feeds.organisation_feed(tx, "default") or 0
        tx.run("DELETE FROM changes WHERE feed = ? AND deleted = 1", feed)
        feeds.raise_floor(tx, feed, feeds.head(tx, feed))

    server.database.write_now(compact)
    refused = client.get(f"{FEED}?cursor={old}")
    assert (refused.problem(), refused.json()["reason"]) == ((400, "SYNC_CURSOR_INVALID"), "expired")
    assert client.get(f"{FEED}?cursor={now}").json() == {"changes": [], "cursor": now, "has_more": False}
    assert len(client.get(FEED).json()["changes"]) == 1


def test_a_long_poll_answers_at_once_when_something_changes_and_empty_when_nothing_does(client: Client) -> None:
    cursor = client.get(FEED).json()["cursor"]
    waiting = client.start("GET", f"{FEED}?cursor={cursor}&wait=60")
    id = make(client)
    page = waiting.result(30).json()
    assert [change["id"] for change in page["changes"]] == [id]
    empty = client.get(f"{FEED}?cursor={page['cursor']}&wait=1").json()
    assert (empty["changes"], empty["has_more"]) == ([], False)


def test_another_organisations_changes_are_never_seen(server: ServerUnderTest, client: Client) -> None:
    make(client)
    other = server.caller("org_other", "org_admin")
    assert other.get(FEED).json()["changes"] == []
    assert other.get(f"{FEED}?org_id=default").status == 404
    assert outcomes(other, edit(1, "c-00001", 1, last_name="X")) == ["refused"]
    assert len(client.get(f"{FEED}?org_id=default").json()["changes"]) == 1


def test_a_pushed_record_is_applied_and_is_a_contact_like_any_other(client: Client) -> None:
    (done,) = push(client, edit(1, "mine-1", **BJORN))
    assert done == {"client_change_id": "e1", "outcome": "applied", "revision": 1}
    body = client.get(f"{CONTACTS}/mine-1").json()
    assert {name: body[name] for name in BJORN} == BJORN
    assert client.get(f"{CONTACTS}?q=dahl").json()["pagination"]["total"] == 1


def test_fields_that_only_one_side_changed_merge(client: Client) -> None:
    id = make(client)
    client.put(f"{CONTACTS}/{id}", json={"last_name": "Server"})
    (merged,) = push(client, edit(1, id, 1, phone="1"))
    assert (merged["outcome"], merged["revision"]) == ("merged", 3)
    body = client.get(f"{CONTACTS}/{id}").json()
    assert (body["last_name"], body["phone"]) == ("Server", "1")
    assert client.get(f"{FEED}/conflicts").json()["data"] == []


def test_a_field_that_both_changed_takes_the_later_arrival_and_keeps_the_loser(client: Client) -> None:
    id = make(client, phone="0")
    client.put(f"{CONTACTS}/{id}", json={"phone": "server", "last_name": "Server"})
    (lost,) = push(client, edit(1, id, 1, phone="device", email="d@example.no"))
    assert (lost["outcome"], lost["fields"]) == ("conflict", {"phone": {"server": "server", "client": "device"}})
    body = client.get(f"{CONTACTS}/{id}").json()
    assert (body["phone"], body["last_name"], body["email"]) == ("device", "Server", "d@example.no")
    (kept,) = client.get(f"{FEED}/conflicts").json()["data"]
    assert (kept["id"], kept["record_id"], kept["winner"]) == (lost["conflict_id"], id, "client")
    assert (kept["fields"], kept["base_revision"], kept["resolved_at"]) == (lost["fields"], 1, None)


def test_both_sides_setting_the_same_value_is_no_conflict(client: Client) -> None:
    id = make(client)
    client.put(f"{CONTACTS}/{id}", json={"phone": "1"})
    assert outcomes(client, edit(1, id, 1, phone="1")) == ["merged"]


def test_a_conflict_is_resolved_once(client: Client) -> None:
    id = make(client, phone="0")
    client.put(f"{CONTACTS}/{id}", json={"phone": "server"})
    conflict = push(client, edit(1, id, 1, phone="device"))[0]["conflict_id"]
    path = f"{FEED}/conflicts/{conflict}/resolve"
    done = client.post(path, json={"take": "server"})
    assert (done.status, done.json()["winner"]) == (200, "server")
    assert done.json()["resolved_at"] is not None
    assert client.get(f"{CONTACTS}/{id}").json()["phone"] == "server"
    assert client.post(path, json={"take": "server"}).json() == done.json()
    assert client.post(path, json={"take": "client"}).status == 409
    assert client.post(path, json={"take": "both"}).status == 422
    assert client.post(f"{FEED}/conflicts/cfl_none/resolve", json={"take": "server"}).status == 404
    assert client.get(f"{FEED}/conflicts").json()["pagination"]["total"] == 0
    assert client.get(f"{FEED}/conflicts?include_resolved=true").json()["pagination"]["total"] == 1


def test_conflicts_go_with_the_record_that_is_deleted(client: Client) -> None:
    id = make(client, phone="0")
    client.put(f"{CONTACTS}/{id}", json={"phone": "server"})
    conflict = push(client, edit(1, id, 1, phone="device"))[0]["conflict_id"]
    client.delete(f"{CONTACTS}/{id}")
    assert client.get(f"{FEED}/conflicts?include_resolved=true").json()["data"] == []
    assert client.post(f"{FEED}/conflicts/{conflict}/resolve", json={"take": "server"}).status == 404


def test_an_edit_beats_a_deletion_on_either_side(client: Client) -> None:
    id = make(client, last_name="Dahl")
    client.put(f"{CONTACTS}/{id}", json={"phone": "server"})
    (kept,) = push(client, edit(1, id, 1, "delete"))
    assert (kept["outcome"], client.get(f"{CONTACTS}/{id}").status) == ("conflict", 200)
    client.delete(f"{CONTACTS}/{id}")
    (back,) = push(client, edit(2, id, 2, first_name="Back", phone="device"))
    assert back["outcome"] == "conflict"
    assert client.get(f"{CONTACTS}/{id}").json()["first_name"] == "Back"


def test_a_deletion_on_the_present_base_is_applied_and_again_harmless(client: Client) -> None:
    id = make(client)
    assert outcomes(client, edit(1, id, 1, "delete"), edit(2, id, 1, "delete")) == ["applied", "applied"]
    assert client.get(f"{CONTACTS}/{id}").status == 404


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (edit(1, "a", kind="labels", x=1), "KIND_UNKNOWN"),
        (edit(1, "a", kind="nothing"), "KIND_UNKNOWN"),
        (edit(1, "a", color="red"), "INVALID"),
        (edit(1, "a", phone="1"), "INVALID"),
        (edit(1, "a", first_name=7), "INVALID"),
        (edit(1, "a", first_name="A", email="no address"), "INVALID"),
        (edit(1, "a", first_name="A", date_of_birth="2023-02-29"), "INVALID"),
        (edit(1, "a\n", first_name="A"), "INVALID"),
        (edit(1, "a", 0, "delete"), "NOT_FOUND"),
        (edit(1, "c-00001", 2, first_name="A"), "BASE_UNKNOWN"),
        (edit(1, "never-here", 1, first_name="A"), "BASE_UNKNOWN"),
    ],
)
def test_a_refused_edit_says_why_and_stops_no_other(client: Client, change: dict[str, Any], code: str) -> None:
    make(client)
    before, refused, after = push(client, edit(8, "b", **BJORN), change, edit(9, "c", **BJORN))
    assert (before["outcome"], after["outcome"]) == ("applied", "applied")
    assert (refused["outcome"], refused["code"]) == ("refused", code)
    assert refused["detail"]
    assert client.get(CONTACTS).json()["pagination"]["total"] == 3


def test_a_repeated_change_gets_its_first_answer_and_another_one_under_its_id_is_refused(client: Client) -> None:
    id = make(client)
    change = edit(1, id, 1, phone="1")
    first = push(client, change)
    client.put(f"{CONTACTS}/{id}", json={"phone": "2"})
    assert push(client, change) == first
    assert push(client, change, change) == first * 2
    assert client.get(f"{CONTACTS}/{id}").json()["phone"] == "2"
    assert push(client, edit(1, id, 1, phone="other"))[0]["code"] == "CHANGE_ID_REUSED"
    assert push(client, edit(1, id, 3, phone="3"), device="tablet")[0]["outcome"] == "applied"


def test_a_push_needs_the_scope_of_the_kind_that_it_writes(server: ServerUnderTest, client: Client) -> None:
    id = make(client)
    reader = server.caller(scopes=("sync", "contacts:read"))
    assert push(reader, edit(1, id, 1, phone="1"))[0]["code"] == "FORBIDDEN"
    assert server.caller(scopes=("sync:read",)).post(f"{FEED}/push", json=shapes.PUSH_EXAMPLE).status == 403
    assert server.public.get(FEED).status == 401


@pytest.mark.parametrize(
    "body",
    [{}, {"device_id": "d"}, {"device_id": "", "changes": []}, {"device_id": "d", "changes": [{}]},
     {"device_id": "d", "changes": [edit(1, "a", -1)]}, {"device_id": "d", "changes": [edit(1, "a", op="move")]},
     {"device_id": "d", "changes": [edit(n, "a") for n in range(1001)]}],
)  # fmt: skip
def test_a_push_of_the_wrong_shape_is_422_and_changes_nothing(client: Client, body: Any) -> None:
    assert client.post(f"{FEED}/push", json=body).status == 422
    assert client.get(FEED).json()["changes"] == []


def test_cached_contacts_and_notes_are_pushed_too_and_linked(client: Client) -> None:
    assert outcomes(
        client,
        edit(1, "n", kind="note", contact_id="k", content="Hello"),
        edit(2, "k", kind="cached_contact", name="Kari"),
        edit(3, "n", 3, kind="note", author_name="Ada"),
    ) == ["applied", "applied", "applied"]
    changes, _ = everything(client, 10)
    assert [(change["kind"], change["revision"]) for change in changes] == [("cached_contact", 2), ("note", 4)]
    rows = client.get("/api/v1/cache/notes?org_id=default&contact_id=k").json()["data"]
    assert [(row["id"], row["author_name"]) for row in rows] == [("n", "Ada")]


def test_a_socket_is_nudged_and_told_nothing_of_the_content(client: Client) -> None:
    with client.socket(f"{FEED}/ws") as socket:
        assert socket.accepted
        assert socket.receive() == {"type": "moved", "feed": "org:default", "head": 0}
        make(client, last_name="Secret")
        assert socket.receive() == {"type": "moved", "feed": "org:default", "head": 1}
        socket.send({"type": "ping"})
        assert socket.receive() == {"type": "pong"}


def test_a_socket_with_a_bad_token_is_closed_with_4401(client: Client) -> None:
    with client.socket(f"{FEED}/ws", token="x" * 64) as socket:
        assert socket.wait_closed() == 4401
