"""What was deleted is removed for good when it was kept long enough, in short steps, and nothing that lives is."""

from __future__ import annotations

import pytest

from headwater.base.settings.table import FileSettings, Settings
from headwater.contracts.files.retention import gc, purge_shares
from headwater.store import integrity
from headwater.store.packs import gc as pack_gc
from tests.support.content import KIB, begin, content_of, make_file, make_share
from tests.support.file_share import FileShare
from tests.support.server.serving import ServerUnderTest

DAY_SECONDS = 86_400
KEPT_SECONDS = FileSettings().keep_deleted_shares_seconds

TABLES = (
    "shares", "feeds", "counters", "changes", "nodes", "versions", "version_chunks", "file_conflicts", "compacted",
    "share_members", "device_positions", "sync_preferences",
)  # fmt: skip


@pytest.fixture
def settings() -> Settings:
    return Settings(files=FileSettings(quota_organisation_bytes=300 * KIB))


class Ended(Exception):
    """A purge was cut off."""


def purge(server: ServerUnderTest, kept_seconds: int = KEPT_SECONDS) -> int:
    return purge_shares.purge_shares(server.database, FileSettings(keep_deleted_shares_seconds=kept_seconds))


def rows_of(server: ServerUnderTest, feed: int) -> dict[str, int]:
    """How many rows of a feed each table has."""
    return server.database.read_now(
        lambda tx: {
            table: found
            for table in TABLES
            if (found := tx.value(f"SELECT count(*) FROM {table} WHERE feed = ?", feed))
        }
    )


def fill(server: ServerUnderTest) -> FileShare:
    """A share with something in each of its tables."""
    share = FileShare(server)
    laptop = share.device("laptop")
    make_file(server.client, share.id, "/box/a", content_of(40 * KIB))
    make_file(server.client, share.id, "/box/a", content_of(40 * KIB, 2))
    edited = laptop.put("/b", b"one")
    laptop.edit(edited, b"two")
    laptop.apply(
        {
            "resource_type": "file",
            "resource_id": edited["resource_id"],
            "change_type": "updated",
            "version_id": laptop.stage(b"three"),
            "base_version_id": edited["version_id"],
        },
        strategy="MANUAL",
    )
    base = f"/api/v1/sync/devices/laptop/preferences/{share.id}"
    assert server.client.put(base, json={"sync_enabled": True}).status == 200
    assert server.client.get(f"/api/v1/sync/status?share_id={share.id}&device_id=laptop").status == 200
    members = {"members": [{"kind": "role", "id": "coordinator", "access": "READ"}]}
    assert server.client.put(f"/api/v1/shares/{share.id}/members", json=members).status == 200
    return share


def test_a_deleted_share_takes_no_room_of_its_organisation(server: ServerUnderTest) -> None:
    client = server.client
    share, other = make_share(client), make_share(client)
    make_file(client, share, "/a", content_of(250 * KIB))
    wanted = {"share_id": other, "file_size": 250 * KIB}
    assert client.post("/api/v1/uploads", json=wanted).problem() == (507, "QUOTA_EXCEEDED")
    assert client.delete(f"/api/v1/shares/{share}").status == 204
    assert begin(client, other, 250 * KIB)["session_id"]


def test_a_share_goes_for_good_with_all_that_it_held_when_it_was_kept_long_enough(server: ServerUnderTest) -> None:
    share, living = fill(server), fill(server)
    before = rows_of(server, living.feed)
    assert len(rows_of(server, share.feed)) == 11
    assert server.client.delete(f"/api/v1/shares/{share.id}").status == 204
    server.clock.advance(KEPT_SECONDS - 1)
    assert purge(server) == 0
    assert rows_of(server, share.feed)["version_chunks"] == 5
    server.clock.advance(2)
    assert purge(server, kept_seconds=0) == 0
    assert rows_of(server, share.feed)["version_chunks"] == 5
    assert purge(server) == 1
    assert rows_of(server, share.feed) == {}
    assert rows_of(server, living.feed) == before
    assert purge(server) == 0
    assert list(server.database.read_now(lambda tx: list(integrity.check(tx)))) == []
    assert [row["id"] for row in server.client.get("/api/v1/shares").json()["data"]] == [living.id]


def test_only_the_content_of_the_deleted_share_is_freed(server: ServerUnderTest) -> None:
    client = server.client
    share, other = make_share(client), make_share(client)
    make_file(client, share, "/a", content_of(100 * KIB))
    make_file(client, share, "/common", content_of(10 * KIB, 2))
    kept = make_file(client, other, "/common", content_of(10 * KIB, 2))["resource_id"]
    old = make_file(client, other, "/edited", content_of(10 * KIB, 3))["resource_id"]
    make_file(client, other, "/edited", content_of(10 * KIB, 4))
    trashed = make_file(client, other, "/trashed", content_of(10 * KIB, 5))["resource_id"]
    assert client.delete(f"/api/v1/shares/{other}/nodes/{trashed}").status == 200
    assert client.delete(f"/api/v1/shares/{share}").status == 204
    server.clock.advance(10 * KEPT_SECONDS)
    assert purge(server) == 1
    assert gc.free(server.database, server.services.packs, FileSettings()).dropped_bytes == 100 * KIB
    server.clock.advance(pack_gc.LINGER_US / 1_000_000 + 1)
    gc.free(server.database, server.services.packs, FileSettings())
    assert client.get(f"/api/v1/sync/download/{kept}").body == content_of(10 * KIB, 2)
    assert client.get(f"/api/v1/sync/download/{old}?version=1").body == content_of(10 * KIB, 3)
    assert client.post(f"/api/v1/shares/{other}/nodes/{trashed}/restore").status == 200
    assert client.get(f"/api/v1/sync/download/{trashed}").body == content_of(10 * KIB, 5)


def test_a_purge_goes_in_steps_and_one_that_was_cut_off_is_gone_on_with(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_shares, "ROWS_AT_ONCE", 4)
    share = fill(server)
    rows = sum(rows_of(server, share.feed).values())
    assert server.client.delete(f"/api/v1/shares/{share.id}").status == 204
    server.clock.advance(KEPT_SECONDS + 1)
    steps = 0

    def stop() -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise Ended

    with pytest.raises(Ended):
        purge_shares.purge_shares(server.database, FileSettings(), stop)
    left = rows_of(server, share.feed)
    assert rows - 8 <= sum(left.values()) <= rows
    assert left["shares"] == 1
    assert list(server.database.read_now(lambda tx: list(integrity.check(tx)))) == []
    assert purge(server) == 1
    assert rows_of(server, share.feed) == {}


def test_the_servers_own_sweep_purges_as_well(server: ServerUnderTest) -> None:
    share = fill(server)
    assert server.client.delete(f"/api/v1/shares/{share.id}").status == 204
    server.clock.advance(KEPT_SECONDS + 1)
    assert server.loop.run(server.server.gc_job.run()) is not None
    assert rows_of(server, share.feed) == {}
