"""A full disk: what grows is refused until there is room again, and everything that frees room passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.base.errors import QuotaExceeded
from headwater.base.ids import random_id
from headwater.base.settings.field import MIB
from headwater.base.settings.table import DatabaseSettings, LimitSettings, Settings
from headwater.feed.compact import Retention, compact
from headwater.identity import tokens
from headwater.identity.roles import Role
from headwater.store.database import FULL, Transaction
from headwater.store.migrate import migrate
from headwater.store.sqlite import reserve
from headwater.store.sqlite.database import SqliteDatabase
from tests.support.clock import MovableClock
from tests.support.server.doors import Door, doors
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import fresh_sqlite
from tests.support.store.disk import Disk, faulty_disk
from tests.support.store.objects import Owner, ask, things_for, upload
from tests.support.store.transactions import Refused, bury, ids_of, make_feed, put, together

pytestmark = pytest.mark.sqlite_only

RESERVE_BYTES = 4 * MIB
BIG = b'"' + b"x" * 2_500_000 + b'"'
"""Two of them are larger than the reserve."""

SETTINGS = DatabaseSettings(reserve_file_bytes=RESERVE_BYTES)
MARKER = "headwater.full"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "TRY_SECONDS", 0.0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with faulty_disk(tmp_path / "headwater.reserve") as found:
        yield found
        found.free_bytes = None


def opened(folder: Path) -> SqliteDatabase:
    database = SqliteDatabase(folder / "headwater.sqlite", SETTINGS)
    migrate(database)
    return database


def refused(database: SqliteDatabase, feed: int, id: str, body: bytes = b'{"n":1}') -> bool:
    outcome = together(database, [put(feed, id, body)], feed)[0]
    assert not isinstance(outcome, Exception) or (
        isinstance(outcome, QuotaExceeded) and outcome.error_code == "DISK_FULL"
    )
    return isinstance(outcome, Exception)


def test_the_freed_reserve_is_for_deletions_alone_also_after_a_restart(tmp_path: Path, disk: Disk) -> None:
    database = opened(tmp_path)
    feed = make_feed(database)
    together(database, [put(feed, f"c{n}") for n in range(300)], feed)
    disk.fill()
    assert refused(database, feed, "big", BIG)
    assert not (tmp_path / "headwater.reserve").exists()
    for n in range(50):
        assert refused(database, feed, f"new{n}"), "a creation eats the reserve"
        assert refused(database, feed, f"c{n}"), "an edit eats the reserve"
    for n in range(100):
        database.write_now(bury(feed, f"c{n}"), feed=feed)
    assert database.refusal() == FULL
    database.close()
    database = opened(tmp_path)
    assert database.refusal() == FULL
    assert refused(database, feed, "after the restart")
    for n in range(100, 300):
        database.write_now(bury(feed, f"c{n}"), feed=feed)
    assert ids_of(database, feed) == set()
    disk.free_bytes = 4 * RESERVE_BYTES
    assert database.refusal() is None
    assert (tmp_path / "headwater.reserve").stat().st_size == RESERVE_BYTES
    assert not (tmp_path / MARKER).exists()
    assert not refused(database, feed, "again")
    database.close()


def test_what_deletions_free_inside_the_file_is_room_again(tmp_path: Path, disk: Disk) -> None:
    database = opened(tmp_path)
    feed = make_feed(database)
    together(database, [put(feed, f"big{n}", BIG) for n in range(4)], feed)
    database.write_now(lambda _tx: None)  # the WAL is truncated after the answers: now it is done
    disk.fill()
    assert refused(database, feed, "one more", BIG)
    assert refused(database, feed, "small")
    for n in range(2):
        database.write_now(bury(feed, f"big{n}"), feed=feed)
    assert database.refusal() is None
    assert not (tmp_path / "headwater.reserve").exists()
    for n in range(20):
        assert not refused(database, feed, f"small{n}")
    assert [refused(database, feed, f"big again{n}", BIG) for n in range(9)][-1], "the room inside the file ends too"
    for n in range(20):
        database.write_now(bury(feed, f"small{n}"), feed=feed)
    database.close()


def test_in_one_function_only_the_parts_that_free_room_pass(tmp_path: Path, disk: Disk) -> None:
    database = opened(tmp_path)
    feed = make_feed(database)
    together(database, [put(feed, f"c{n}") for n in range(3)], feed)
    disk.fill()
    assert refused(database, feed, "big", BIG)

    def mixed(tx: Transaction) -> list[str]:
        outcomes = []
        for function in (put(feed, "new"), bury(feed, "c0"), put(feed, "c1"), bury(feed, "c2")):
            try:
                with tx.savepoint():
                    function(tx)
                outcomes.append("passed")
            except QuotaExceeded:
                outcomes.append("refused")
        return outcomes

    assert database.write_now(mixed, feed=feed) == ["refused", "passed", "refused", "passed"]
    assert ids_of(database, feed) == {"c1"}
    assert database.write_now(lambda tx: tx.value("SELECT 1")) == 1

    def undone(tx: Transaction) -> None:
        try:
            with tx.savepoint():
                bury(feed, "c1")(tx)
                raise Refused
        except Refused:
            put(feed, "smuggled")(tx)

    with pytest.raises(QuotaExceeded):
        database.write_now(undone, feed=feed)
    database.close()


def test_a_command_beside_the_server_leaves_the_reserve_to_deletions_too(tmp_path: Path, disk: Disk) -> None:
    database = opened(tmp_path)
    feed = make_feed(database)
    database.write_now(put(feed, "c"), feed=feed)
    disk.fill()
    assert refused(database, feed, "big", BIG)
    beside = SqliteDatabase(tmp_path / "headwater.sqlite", DatabaseSettings(reserve_file_bytes=0))
    assert refused(beside, feed, "new")
    beside.write_now(bury(feed, "c"), feed=feed)
    beside.close()
    database.close()


# The doors, over a whole server whose disk has no room.


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    folder, clock = tmp_path_factory.mktemp("full"), MovableClock()
    limits = LimitSettings(rate_address_per_second=1_000_000, rate_address_burst=10_000_000)
    with fresh_sqlite(folder, clock) as database, serving(database, Settings(limits=limits), clock, folder) as under:
        yield under


@pytest.fixture
def full(server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The marker of a full disk; while the file exists, no reserve can be created."""

    def no_room(_path: Path, _size_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reserve, "allocate", no_room)
    assert isinstance(server.database, SqliteDatabase)
    marker = reserve.full_marker(server.database.path)
    yield marker
    marker.unlink(missing_ok=True)


def fill(marker: Path) -> None:
    marker.write_text(f"{1 << 40}\n", "ascii")


def owner(server: ServerUnderTest, role: Role = Role.ORG_ADMIN) -> Owner:
    organisation = random_id("org")
    return Owner(server.caller(organisation, role), organisation, server.client)


def each(method: str) -> pytest.MarkDecorator:
    found = [door for door in doors() if door.route.method == method]
    return pytest.mark.parametrize("door", found, ids=lambda door: door.name)


@each("DELETE")
def test_every_deletion_passes(server: ServerUnderTest, full: Path, door: Door) -> None:
    own = owner(server, Role.GLOBAL_ADMIN)
    ids = things_for(door, own)
    fill(full)
    if door.route.path.endswith("/trash/{node_id}"):
        own.client.delete(f"/api/v1/shares/{ids['share_id']}/nodes/{ids['node_id']}")
    answer = ask(own.client, door, ids)
    assert answer.status in {200, 204}, answer.text


GROWS = {
    "POST /api/v1/contacts", "POST /api/v1/chapters", "POST /api/v1/cache/sync", "POST /api/v1/shares",
    "POST /api/v1/shares/{share_id}/folders", "POST /api/v1/uploads", "PUT /api/v1/contacts/{id}",
    "POST /api/v1/terminology", "PATCH /api/v1/contacts/{id}", "PUT /api/v1/chapters/{id}",
    "PATCH /api/v1/shares/{share_id}",
}  # fmt: skip


@pytest.mark.parametrize("door", [door for door in doors() if door.name in GROWS], ids=lambda door: door.name)
def test_everything_that_grows_is_refused_with_507(server: ServerUnderTest, full: Path, door: Door) -> None:
    own = owner(server, Role.GLOBAL_ADMIN)
    ids = things_for(door, own)
    fill(full)
    assert ask(own.client, door, ids).problem() == (507, "DISK_FULL")
    full.unlink()
    assert ask(own.client, door, ids).status in {200, 201}


@each("GET")
def test_every_read_passes(server: ServerUnderTest, full: Path, door: Door) -> None:
    own = owner(server, Role.GLOBAL_ADMIN)
    ids = things_for(door, own)
    before = ask(own.client, door, ids)
    fill(full)
    after = ask(own.client, door, ids)
    if door.contract.name == "sell":
        # The first answer has offered everything that the session has.
        assert (before.status, after.status) == (200, 204)
    elif door.path == "/readyz":
        assert (before.status, after.problem()[0]) == (200, 503)
        assert after.json()["detail"] == FULL
        assert "retry-after" in after.headers
    else:
        assert after.status == before.status


def test_a_push_has_its_deletions_applied_and_its_edits_refused(server: ServerUnderTest, full: Path) -> None:
    own = owner(server)
    ids = [own.client.post("/api/v1/contacts", json={"first_name": "A"}).json()["contact_id"] for _ in range(2)]
    revisions = {row["id"]: row["revision"] for row in own.client.get("/api/v1/feed").json()["changes"]}
    fill(full)
    changes = [
        {"client_change_id": "1", "kind": "contact", "id": ids[0], "op": "put", "base_revision": revisions[ids[0]],
         "fields": {"phone": "1"}},
        {"client_change_id": "2", "kind": "contact", "id": ids[1], "op": "delete", "base_revision": revisions[ids[1]]},
    ]  # fmt: skip
    answer = own.client.post("/api/v1/feed/push", json={"device_id": "d", "changes": changes})
    first, second = answer.json()["results"]
    assert (first["outcome"], first["code"], second["outcome"]) == ("refused", "DISK_FULL", "applied")
    full.unlink()
    again = own.client.post("/api/v1/feed/push", json={"device_id": "d", "changes": changes})
    assert again.json()["results"][0]["outcome"] == "applied", "a refusal for want of room is not remembered"


def test_a_trash_is_emptied_and_old_versions_are_pruned(server: ServerUnderTest, full: Path) -> None:
    own = owner(server)
    share = own.client.post("/api/v1/shares", json={"name": "S"}).json()["id"]
    kept = upload(own, share, b"one", path="/kept.txt", commit=True)
    upload(own, share, b"two", path="/kept.txt", commit=True)
    gone = upload(own, share, b"gone", path="/gone.txt", commit=True)["resource_id"]
    fill(full)
    assert own.client.delete(f"/api/v1/shares/{share}/nodes/{gone}").status == 200
    emptied = own.client.delete(f"/api/v1/shares/{share}/trash")
    assert emptied.status == 200, emptied.text
    assert own.client.get(f"/api/v1/shares/{share}/trash").json()["data"] == []
    pruned = own.client.post(f"/api/v1/shares/{share}/versions/prune", json={"keep_last": 1})
    assert pruned.status == 200, pruned.text
    versions = own.client.get(f"/api/v1/shares/{share}/nodes/{kept['resource_id']}/versions").json()["data"]
    assert len(versions) == 1


def test_members_are_removed_and_tokens_revoked(server: ServerUnderTest, full: Path) -> None:
    own = owner(server)
    share = own.client.post("/api/v1/shares", json={"name": "S"}).json()["id"]
    text, row = server.token_row(own.organisation, Role.COORDINATOR)
    fill(full)
    assert own.client.put(f"/api/v1/shares/{share}/members", json={"members": []}).status == 200
    server.database.write_now(lambda tx: tokens.revoke(tx, row.id))
    assert server.client.as_token(text).get("/api/v1/shares").status == 401


def test_content_is_not_written_into_the_last_room(server: ServerUnderTest, full: Path) -> None:
    own = owner(server)
    share = own.client.post("/api/v1/shares", json={"name": "S"}).json()["id"]
    upload(own, share, b"before", path="/a.txt", commit=True)
    begun = own.client.post("/api/v1/uploads", json={"share_id": share, "file_size": 4, "chunk_size": 65536}).json()
    fill(full)
    put_part = own.client.put(f"/api/v1/uploads/{begun['session_id']}/chunks/0", content=b"abcd")
    assert put_part.problem() == (507, "DISK_FULL")


def test_compaction_passes(server: ServerUnderTest, full: Path) -> None:
    own = owner(server)
    made = own.client.post("/api/v1/contacts", json={"first_name": "A"}).json()["contact_id"]
    own.client.delete(f"/api/v1/contacts/{made}")
    server.clock.advance(400 * 86_400)
    fill(full)
    assert compact(server.database, Retention(0, 0)) > 0
