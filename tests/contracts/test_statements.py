"""The SQL statements that one request of a main path runs: bounds that keep a row from being read again and again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from headwater.store.postgres.session import PostgresTransaction
from headwater.store.sqlite.session import SqliteTransaction
from tests.support.file_share import Device, FileShare, created, deleted, updated
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

STATEMENTS = ("rows", "row", "rows_in", "run", "put", "run_many", "joined")


class Counted:
    """The statements of the transactions of a test, in their order."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def at_most(self, limit: int) -> Iterator[None]:
        """Fail when what is done inside takes more statements."""
        self.found.clear()
        yield
        assert len(self.found) <= limit, "\n".join([f"{len(self.found)} statements", *self.found])


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted = Counted()
    is_inside = False

    def traced(kind: type, name: str) -> None:
        method = getattr(kind, name)

        def call(tx: Any, sql: str, *params: Any) -> Any:
            nonlocal is_inside
            if is_inside:  # a method that calls another one is one statement
                return method(tx, sql, *params)
            counted.found.append(f"{name}: {sql}")
            is_inside = True
            try:
                return method(tx, sql, *params)
            finally:
                is_inside = False

        monkeypatch.setattr(kind, name, call)

    for kind in (SqliteTransaction, PostgresTransaction):
        for name in STATEMENTS:
            traced(kind, name)
    return counted


@pytest.fixture
def share(server: ServerUnderTest) -> FileShare:
    return FileShare(server)


@pytest.fixture
def laptop(share: FileShare) -> Device:
    return share.device("laptop")


def test_an_update_on_the_current_version(laptop: Device, statements: Counted) -> None:
    file = laptop.put("/a.txt", b"one")
    item = updated(file, laptop.stage(b"second"))
    with statements.at_most(17):
        [entry] = laptop.applied(item)
    assert entry["version_id"] == item["version_id"]


def test_an_update_two_folders_down_with_an_id_of_its_own(laptop: Device, statements: Counted) -> None:
    laptop.applied(created("/a"), created("/a/b"))
    file = laptop.put("/a/b/c.txt", b"one")
    item = updated(file, laptop.stage(b"second"), client_change_id="e1")
    with statements.at_most(20):
        laptop.applied(item)
    with statements.at_most(9):
        laptop.applied(item)


def test_twenty_updates_in_one_request(laptop: Device, statements: Counted) -> None:
    files = [laptop.put(f"/{number}.txt", b"one") for number in range(20)]
    items = [updated(file, laptop.stage(b"second")) for file in files]
    with statements.at_most(9 + 20 * 7):
        laptop.applied(*items)


@pytest.mark.parametrize(
    ("strategy", "limit"), [("LAST_WRITER_WINS", 18), ("KEEP_BOTH", 21), ("SERVER_WINS", 18), ("CLIENT_WINS", 20)]
)
def test_a_conflict_of_two_contents(laptop: Device, statements: Counted, strategy: str, limit: int) -> None:
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"second")
    item = updated(file, laptop.stage(b"third on one"))
    with statements.at_most(limit):
        answer = laptop.apply(item, strategy=strategy)
    assert answer.json()["conflicts"][0]["resolution"] == strategy


def test_a_creation_and_a_deletion(laptop: Device, statements: Counted) -> None:
    item = created("/a.txt", laptop.stage(b"one"))
    with statements.at_most(17):
        [file] = laptop.applied(item)
    with statements.at_most(10):
        laptop.applied(deleted(file))


def test_a_packed_upload_of_one_file(share: FileShare, statements: Counted) -> None:
    body = json.dumps({"path": "/a/b.txt", "size": 3}).encode() + b"\none"
    with statements.at_most(19):
        answer = share.client.post(f"/api/v1/uploads/packed?share_id={share.id}", content=body)
    assert answer.json()["results"][0]["status"] == "created"


def test_changes_at_the_head(share: FileShare, laptop: Device, statements: Counted) -> None:
    laptop.put("/a.txt", b"one")
    cursor = share.page(0)["cursor"]
    with statements.at_most(3):
        assert share.page(cursor)["changes"] == []


def test_a_new_contact(client: Client, statements: Counted) -> None:
    with statements.at_most(15):
        assert client.post("/api/v1/contacts", json={"last_name": "Lind"}).status == 201


def chain_of(laptop: Device, name: str, depth: int) -> str:
    """A chain of folders that was put into the trash; its path."""
    path = f"/{name}" * depth
    entries = laptop.applied(*(created(f"/{name}" * count) for count in range(1, depth + 1)))
    gone = {"resource_type": "folder", "change_type": "deleted", "resource_id": entries[0]["resource_id"]}
    laptop.applied(gone | {"old_path": f"/{name}"})
    return path


@pytest.mark.parametrize("place", ["beside", "below", "case", "missing"])
def test_a_chain_in_the_trash_is_looked_up_once_for_all_items(laptop: Device, statements: Counted, place: str) -> None:
    chain = chain_of(laptop, "y", 100)
    paths = {
        "beside": [f"{chain}/n{at}" for at in range(200)],
        "below": [f"{chain}/n{at}/z" for at in range(200)],
        "case": [f"{chain[:-1]}{'yY'[at % 2]}/n{at}" for at in range(200)],
        "missing": [f"/x{chain}/n{at}" for at in range(200)],
    }[place]
    # Under SERVER_WINS nothing is created, so that the folders stay in the trash for every item.
    with statements.at_most(9 + 2 * 100 + 200 * 6):
        laptop.apply(*(created(path) for path in paths), strategy="SERVER_WINS")
    looked_up = [sql for sql in statements.found if "trashed_us IS NOT NULL" in sql and "nodes" in sql]
    assert len(looked_up) <= 100 + 200 + 2


def test_deletions_between_do_not_make_a_chain_be_looked_up_again(laptop: Device, statements: Counted) -> None:
    folders = [laptop.applied(created(f"/f{at}"))[0]["resource_id"] for at in range(20)]
    chain = chain_of(laptop, "y", 100)
    items: list[dict[str, Any]] = []
    for at, folder in enumerate(folders):
        gone = {"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": f"/f{at}"}
        items += [gone, created(f"{chain}/n{at}")]
    with statements.at_most(9 + 2 * 100 + 40 * 8):
        laptop.apply(*items, strategy="SERVER_WINS")


def test_what_one_request_looks_up_is_bounded_and_the_rest_is_an_error_of_its_item(
    laptop: Device, statements: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = laptop.put("/kept.txt", b"one")
    for name in "abcdef":
        chain_of(laptop, name, 40)
    monkeypatch.setattr("headwater.contracts.files.apply.rules.LOOKUPS", 200)
    items = [created(f"/{name}" * 40 + "/n") for name in "abcdef"]
    with statements.at_most(500):
        answer = laptop.apply(*items, deleted(file), strategy="SERVER_WINS").json()
    assert [entry["code"] for entry in answer["errors"]] == ["TOO_MANY_LOOKUPS"] * len(answer["errors"])
    assert answer["errors"]
    assert answer["conflicts"]
    # Split over more requests, all of them are answered.
    for item in items:
        assert laptop.apply(item, strategy="SERVER_WINS").json()["errors"] == []
