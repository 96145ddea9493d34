"""Erased is erased: after the deletion of a record no key, no repeated push and no row gives its content."""

from __future__ import annotations

import itertools
from time import monotonic, sleep
from typing import Any

import pytest

from headwater.store import dump
from headwater.store.database import Database, Transaction
from headwater.store.log import copies
from headwater.store.migrate import steps
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest

CONTACTS, PUSH = "/api/v1/contacts", "/api/v1/feed/push"
MARK = "Tromsdalstind"
PERSON = {
    "first_name": MARK,
    "last_name": "Lind",
    "email": f"{MARK.lower()}@secret.example",
    "phone": "+47 906 78 901",
    "address": f"{MARK} 1, 0155 Oslo",
    "date_of_birth": "1970-01-02",
}
_ids = itertools.count(1)


def traces(database: Database, *marks: str) -> list[tuple[str, str]]:
    """The rows of every table that contain one of these texts, in any case: the table and the row."""

    def transaction(tx: Transaction) -> list[tuple[str, str]]:
        found = []
        for name in dump.names([step for step, _ in steps()]):
            table = dump.describe(tx, name, embedded=database.embedded)
            for page in dump.pages(tx, table):
                for row in page:
                    cells = b"\0".join(
                        bytes(cell) if isinstance(cell, (bytes, memoryview)) else str(cell).encode() for cell in row
                    ).lower()
                    if any(mark.lower().encode() in cells for mark in marks):
                        found.append((name, repr(row)[:300]))
        return found

    return database.read_now(transaction)


def create(client: Client, key: str | None = None, **fields: Any) -> Answer:
    return client.post(CONTACTS, json=PERSON | fields, headers={"Idempotency-Key": key} if key else {})


def edit(id: str, base: int, *, op: str = "put", change: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "client_change_id": change or f"e{next(_ids)}",
        "kind": "contact",
        "id": id,
        "op": op,
        "base_revision": base,
        "fields": fields,
    }


def push(client: Client, *edits: dict[str, Any], headers: dict[str, str] | None = None) -> list[dict[str, Any]]:
    answer = client.post(PUSH, json={"device_id": "phone-1", "changes": list(edits)}, headers=headers or {})
    assert answer.status == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def conflicting(client: Client, id: str) -> dict[str, Any]:
    """An edit whose conflict holds two values of the contact's email; it was pushed already."""
    base = client.get(f"{CONTACTS}/{id}").headers["etag"]
    revision = int(base.strip('"').rpartition("-")[2]) if base.strip('"').rpartition("-")[2].isdigit() else 1
    client.put(f"{CONTACTS}/{id}", json={"email": f"two@{MARK.lower()}.example"})
    change = edit(id, revision, email=f"three@{MARK.lower()}.example")
    [outcome] = push(client, change)
    assert outcome["outcome"] == "conflict"
    assert MARK.lower() in str(outcome["fields"])
    return change


def test_a_key_gives_its_answer_until_the_record_is_deleted(client: Client) -> None:
    first = create(client, "k1")
    assert create(client, "k1").body == first.body
    client.delete(f"{CONTACTS}/{first.json()['contact_id']}")
    again = create(client, "k1")
    assert again.problem() == (404, "ERASED")
    assert MARK not in again.text
    assert client.get(CONTACTS).json()["pagination"]["total"] == 0, "the retry must not make the person again"


def test_the_key_of_an_erased_answer_is_still_no_key_for_another_request(client: Client) -> None:
    first = create(client, "k1")
    client.delete(f"{CONTACTS}/{first.json()['contact_id']}")
    assert create(client, "k1", last_name="Other").problem() == (422, "IDEMPOTENCY_KEY_REUSED")


def test_another_records_answer_stays(client: Client) -> None:
    erased, kept = create(client, "k1"), create(client, "k2")
    client.delete(f"{CONTACTS}/{erased.json()['contact_id']}")
    assert create(client, "k2").body == kept.body


def test_a_repeated_push_gives_the_conflict_as_before_and_no_values_after_the_deletion(client: Client) -> None:
    id = create(client).json()["contact_id"]
    change = conflicting(client, id)
    [before] = push(client, change)
    assert MARK.lower() in str(before["fields"])
    client.delete(f"{CONTACTS}/{id}")
    [after] = push(client, change)
    assert after["outcome"] == "conflict"
    assert "fields" not in after
    assert client.get("/api/v1/feed/conflicts?include_resolved=true").json()["data"] == []


def test_a_push_with_a_key_gives_no_values_after_the_deletion(client: Client) -> None:
    id = create(client).json()["contact_id"]
    client.put(f"{CONTACTS}/{id}", json={"email": f"two@{MARK.lower()}.example"})
    change, key = edit(id, 1, email=f"three@{MARK.lower()}.example"), {"Idempotency-Key": "p1"}
    [first] = push(client, change, headers=key)
    assert push(client, change, headers=key) == [first]
    client.delete(f"{CONTACTS}/{id}")
    assert MARK.lower() not in str(push(client, change, headers=key)).lower()


@pytest.mark.parametrize("by", ["contacts", "push"])
def test_a_conflict_that_was_decided_with_a_key_gives_no_values_after_the_deletion(client: Client, by: str) -> None:
    id = create(client).json()["contact_id"]
    conflicting(client, id)
    [conflict] = client.get("/api/v1/feed/conflicts").json()["data"]
    path = f"/api/v1/feed/conflicts/{conflict['id']}/resolve"
    resolve = ("POST", path, {"json": {"take": "server"}, "headers": {"Idempotency-Key": "r1"}})
    assert client.request(resolve[0], resolve[1], **resolve[2]).status == 200
    if by == "push":
        revision = client.get("/api/v1/feed").json()["changes"][-1]["revision"]
        assert push(client, edit(id, revision, op="delete"))[0]["outcome"] == "applied"
    else:
        client.delete(f"{CONTACTS}/{id}")
    again = client.request(resolve[0], resolve[1], **resolve[2])
    assert again.status == 404
    assert MARK.lower() not in again.text.lower()


@pytest.mark.parametrize("door", ["contacts", "push"])
def test_no_row_of_any_table_holds_content_of_a_deleted_contact(server: ServerUnderTest, door: str) -> None:
    client = server.client
    id = create(client, "k1").json()["contact_id"]
    client.put(f"{CONTACTS}/{id}/chapter-affiliations", json={"chapter_ids": [f"{MARK}-chapter"]})
    conflicting(client, id)
    push(client, edit(id, 9, date_of_birth=f"{MARK}"), edit(id, 99, phone=MARK))
    server.database.write_now(
        lambda tx: tx.run(
            "INSERT INTO contact_keys (feed, uid, contact_id, extra) SELECT feed, ?, ?, ? FROM feeds"
            " WHERE name = 'org:default'",
            f"uid-{MARK}", id, f'{{"NOTE":["{MARK}"]}}',
        )
    )  # fmt: skip
    assert traces(server.database, MARK)
    if door == "push":
        revision = client.get("/api/v1/feed").json()["changes"][-1]["revision"]
        assert push(client, edit(id, revision, op="delete"))[0]["outcome"] == "applied"
    else:
        client.delete(f"{CONTACTS}/{id}")
    left = traces(server.database, MARK, "906 78 901", "90678901")
    assert [name for name, _ in left] == ["chapters"], left


def test_answers_of_before_the_upgrade_lose_their_content_at_the_first_deletion(server: ServerUnderTest) -> None:
    client = server.client
    id = create(client, "k1").json()["contact_id"]
    server.database.write_now(
        lambda tx: tx.run("UPDATE answers SET record_feed = 0, record_kind = '', record_id = '' WHERE key = ?", "k1")
    )
    assert create(client, "k1").status == 201
    client.delete(f"{CONTACTS}/{id}")
    assert create(client, "k1").problem() == (404, "ERASED")
    assert traces(server.database, MARK) == []
    # No later deletion writes them again: there may be very many of them.
    named = "SELECT count(*) FROM answers WHERE record_id IS NOT NULL AND key = ?"
    assert server.database.read_now(lambda tx: tx.value(named, "k1")) == 0


@pytest.mark.parametrize("refused", [{"kind": "nonsense"}, {"fields": {"email": f"{MARK} at nowhere"}}])
def test_a_refused_edit_leaves_no_content(server: ServerUnderTest, refused: dict[str, Any]) -> None:
    id = create(server.client, last_name="Berg", first_name="Kari").json()["contact_id"]
    assert push(server.client, edit(id, 1, phone=MARK) | refused)[0]["outcome"] == "refused"
    server.client.delete(f"{CONTACTS}/{id}")
    assert traces(server.database, MARK) == []


def test_the_tables_are_vacuumed_after_a_deletion(server: ServerUnderTest) -> None:
    """On SQLite the same call truncates the WAL; see tests/faults/test_erased_on_disk.py."""
    id = create(server.client).json()["contact_id"]
    server.client.delete(f"{CONTACTS}/{id}")
    before = vacuums(server.database)
    server.database.scrub()
    ends = monotonic() + 30
    while (after := vacuums(server.database)) == before and not server.database.embedded and monotonic() < ends:
        sleep(0.1)
    assert after == ({} if server.database.embedded else {table: count + 1 for table, count in before.items()})
    server.database.scrub()
    assert vacuums(server.database) == after, "no further one without a further deletion"


def vacuums(database: Database) -> dict[str, int]:
    """How often each table with content of records was vacuumed; nothing on SQLite."""
    if database.embedded:
        return {}
    sql = "SELECT relname, vacuum_count FROM pg_stat_user_tables"
    found: dict[str, int] = dict(database.read_now(lambda tx: tx.rows(sql)))
    return {table: found[table] for table in copies.CONTENT_TABLES}
