"""What lay in the trash for long goes for good where the operator set it, and nothing that anybody can need goes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from headwater.base.clock import SECOND_US
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.retention import gc, purge_trash
from headwater.feed.compact import Retention, compact
from headwater.store import integrity
from headwater.store.tree import versions
from tests.support.content import KIB, content_of, make_file
from tests.support.file_share import Device, FileShare, created, updated
from tests.support.server.serving import ServerUnderTest

KEPT_SECONDS = 86_400
SETTINGS = FileSettings(keep_trash_seconds=KEPT_SECONDS)
AT_ONCE = Retention(longest_us=SECOND_US, shortest_us=SECOND_US)


def wait(server: ServerUnderTest, seconds: int = KEPT_SECONDS + 1) -> None:
    """Let time go by, and compact the log to its end."""
    server.clock.advance(seconds)
    compact(server.database, AT_ONCE)


def purge(server: ServerUnderTest) -> int:
    """How many files and folders are removed: as many as a plan states before."""
    planned = purge_trash.plan_trash(server.database, SETTINGS).nodes
    removed = purge_trash.purge_trash(server.database, SETTINGS)
    assert removed == planned
    return removed


def remove(share: FileShare, *ids: str) -> int:
    """How many of these one step removes."""
    database = share.server.database
    before_us = share.server.clock() - KEPT_SECONDS * SECOND_US
    return database.write_now(
        partial(purge_trash.remove, feed=share.feed, before_us=before_us, ids=ids), feed=share.feed
    )


def trash(share: FileShare, node_id: str) -> None:
    assert share.client.delete(f"/api/v1/shares/{share.id}/nodes/{node_id}").status == 200


def restore(share: FileShare, node_id: str) -> int:
    return share.client.post(f"/api/v1/shares/{share.id}/nodes/{node_id}/restore", json={}).status


def settle(share: FileShare, conflict: str) -> None:
    path = f"/api/v1/sync/conflicts/{conflict}/resolve?resolution=SERVER_WINS"
    assert share.client.post(path).status == 200


def used(share: FileShare) -> int:
    found: int = share.client.get(f"/api/v1/shares/{share.id}").json()["used_bytes"]
    return found


def rows(share: FileShare) -> tuple[int, ...]:
    """How many nodes, versions and marks on chunks there are, and how many files that wait."""
    tables = ("nodes", "versions", "version_chunks", "purged_files")
    found: tuple[int, ...] = share.read(
        lambda tx: tuple(tx.value(f"SELECT count(*) FROM {table} WHERE feed = ?", share.feed) for table in tables)
    )
    return found


def findings(share: FileShare) -> list[Any]:
    found: list[Any] = share.read(lambda tx: list(integrity.check(tx)))
    return found


def test_the_trash_is_kept_for_ever_unless_the_operator_says_for_how_long(
    server: ServerUnderTest, share: FileShare
) -> None:
    file = make_file(server.client, share.id, "/a", b"one")["resource_id"]
    trash(share, file)
    wait(server, 3650 * 86_400)
    assert purge_trash.purge_trash(server.database, FileSettings()) == 0
    assert restore(share, file) == 200


def test_what_lay_in_the_trash_long_enough_goes_with_its_versions_and_their_content(
    server: ServerUnderTest, share: FileShare
) -> None:
    client = server.client
    kept = make_file(client, share.id, "/kept", content_of(10 * KIB, 1))["resource_id"]
    make_file(client, share.id, "/kept", content_of(10 * KIB, 2))
    gone = make_file(client, share.id, "/gone", content_of(10 * KIB, 3))["resource_id"]
    make_file(client, share.id, "/gone", content_of(10 * KIB, 4))
    for name in ("/box/a", "/box/in/b", "/box/in/c"):
        make_file(client, share.id, name, content_of(10 * KIB, 5))
    box = client.get(f"/api/v1/shares/{share.id}/node?path=/box").json()["id"]
    trash(share, gone)
    trash(share, box)
    wait(server, KEPT_SECONDS - 1)
    assert purge(server) == 0
    server.clock.advance(2)
    assert purge(server) == 6
    assert rows(share) == (1, 2, 2, 0)
    assert (used(share), findings(share)) == (20 * KIB, [])
    assert [restore(share, node) for node in (gone, box)] == [404, 404]
    assert client.get(f"/api/v1/shares/{share.id}/trash").json()["data"] == []
    assert [change["new_path"] for change in share.drain("0")[0]] == ["/kept"]
    server.clock.advance(3 * 86_400)
    assert gc.free(server.database, server.services.packs, SETTINGS).dropped_bytes == 30 * KIB
    assert client.get(f"/api/v1/sync/download/{kept}?version=1").body == content_of(10 * KIB, 1)
    assert client.get(f"/api/v1/sync/download/{kept}").body == content_of(10 * KIB, 2)


def test_what_lives_is_not_removed_though_it_was_in_the_trash_when_it_was_looked_for(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    box = laptop.folder("/box")
    file = laptop.put("/box/a", b"one")
    trash(share, box)
    wait(server)
    assert restore(share, box) == 200
    trash(share, laptop.put("/later", b"two")["resource_id"])
    wait(server)
    assert remove(share, file["resource_id"], box) == 0
    assert set(share.tree()) == {"/box", "/box/a"}


def test_what_went_lately_or_not_before_the_floor_is_not_removed_whoever_looked_for_it(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    file = laptop.put("/a", b"one")["resource_id"]
    server.clock.advance(2 * KEPT_SECONDS)
    trash(share, file)
    wait(server, 2)
    assert remove(share, file) == 0
    assert restore(share, file) == 200
    trash(share, file)
    server.clock.advance(2 * KEPT_SECONDS)
    assert remove(share, file) == 0
    wait(server, 1)
    assert remove(share, file) == 1


def test_what_a_device_can_still_read_of_stays_until_the_log_is_compacted(
    server: ServerUnderTest, share: FileShare
) -> None:
    file = make_file(server.client, share.id, "/a", b"one")["resource_id"]
    cursor = share.page()["cursor"]
    trash(share, file)
    server.clock.advance(2 * KEPT_SECONDS)
    assert purge(server) == 0
    assert [change["change_type"] for change in share.page(cursor)["changes"]] == ["deleted"]
    compact(server.database, AT_ONCE)
    assert purge(server) == 1
    assert share.changes(cursor).status == 400


def test_what_came_into_an_old_folder_lately_stays_and_keeps_the_folder(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    box = laptop.folder("/box")
    laptop.put("/box/old", b"old")
    trash(share, box)
    wait(server)
    answer = laptop.apply(created("/box/new", laptop.stage(b"new")), strategy="SERVER_WINS")
    assert answer.status == 200, answer.text
    assert purge(server) == 1
    assert rows(share)[:2] == (2, 1)
    new = answer.json()["conflicts"][0]["kept_as"]["resource_id"]
    assert [restore(share, node) for node in (box, new)] == [200, 200]
    wait(server)
    assert purge(server) == 0
    assert set(share.tree()) == {"/box", "/box/new"}


def test_a_deleted_file_stays_while_a_conflict_about_it_waits_and_until_it_was_settled_long_ago(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    file = laptop.put("/a", b"one")
    trash(share, file["resource_id"])
    wait(server)
    answer = laptop.apply(updated(file, laptop.stage(b"two")), strategy="MANUAL")
    conflict = answer.json()["conflicts"][0]["id"]
    wait(server)
    assert purge(server) == 0
    settle(share, conflict)
    assert purge(server) == 0
    wait(server)
    assert purge(server) == 1
    assert share.client.get(f"/api/v1/sync/conflicts?share_id={share.id}&include_resolved=true").status == 200


@pytest.mark.parametrize("resolution", ["CLIENT_WINS", "SERVER_WINS"])
def test_a_deleted_file_stays_while_a_conflict_about_another_file_needs_its_bytes(
    server: ServerUnderTest, share: FileShare, laptop: Device, resolution: str
) -> None:
    file = laptop.put("/a", b"base")
    laptop.edit(file, b"the server's")
    version = laptop.stage(b"the device's")
    conflict = laptop.apply(updated(file, version), strategy="MANUAL").json()["conflicts"][0]["id"]
    aside = laptop.applied(created("/aside", version))[0]["resource_id"]
    trash(share, aside)
    wait(server)
    assert purge(server) == 0
    assert share.read(lambda tx: versions.find(tx, share.feed, version)) is not None
    assert share.client.post(f"/api/v1/sync/conflicts/{conflict}/resolve?resolution={resolution}").status == 200
    wait(server)
    assert purge(server) == 1


@pytest.mark.parametrize("place", ["/a", "/new"])
def test_a_conflict_whose_bytes_are_gone_can_still_be_settled_for_the_server(
    share: FileShare, laptop: Device, place: str
) -> None:
    file = laptop.put("/a", b"base")
    laptop.put("/new", b"the server's")
    laptop.edit(file, b"the server's")
    version = laptop.stage(b"the device's")
    change = updated(file, version) if place == "/a" else created(place, version)
    conflict = laptop.apply(change, strategy="MANUAL").json()["conflicts"][0]["id"]
    share.server.database.write_now(
        lambda tx: tx.run("DELETE FROM versions WHERE feed = ? AND id = ?", share.feed, version), feed=share.feed
    )
    path = f"/api/v1/sync/conflicts/{conflict}/resolve?resolution="
    assert share.client.post(path + "CLIENT_WINS").status == 409
    before = share.tree()
    settle(share, conflict)
    assert share.tree() == before


def test_a_deleted_folder_stays_while_a_conflict_of_the_share_waits(
    server: ServerUnderTest, share: FileShare, laptop: Device
) -> None:
    box = laptop.folder("/box")
    laptop.put("/box/old", b"old")
    trash(share, box)
    answer = laptop.apply(created("/box/new", laptop.stage(b"new")), strategy="MANUAL")
    wait(server)
    assert purge(server) == 1
    assert rows(share)[0] == 1
    settle(share, answer.json()["conflicts"][0]["id"])
    wait(server)
    assert purge(server) == 2
    assert rows(share) == (0, 0, 0, 0)


def test_a_purge_goes_in_steps_and_one_that_was_cut_off_is_gone_on_with(
    server: ServerUnderTest, share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge_trash, "NODES_AT_ONCE", 1)
    monkeypatch.setattr(purge_trash, "ROWS_AT_ONCE", 2)
    box = laptop.folder("/box")
    for name in "abc":
        laptop.edit(laptop.put(f"/box/{name}", name.encode()), name.encode() * 2)
    laptop.edit(laptop.put("/kept", b"one"), b"two")
    trash(share, box)
    wait(server)
    most, steps = rows(share), 0
    while rows(share) != (1, 2, 2, 0):
        allowed = 1

        def stop() -> None:
            nonlocal allowed
            allowed -= 1
            if allowed < 0:
                raise InterruptedError

        try:
            purge_trash.purge_trash(server.database, SETTINGS, stop)
        except InterruptedError:
            steps += 1
        now = rows(share)
        assert sum(most[:3]) - sum(now[:3]) <= 4
        assert findings(share) == []
        most = now
    assert steps >= 3
    assert used(share) == 6
