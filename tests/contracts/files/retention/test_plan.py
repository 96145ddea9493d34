"""A plan states what the cleaning then does, and changes nothing."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.base.clock import SECOND_US
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.retention import gc
from headwater.contracts.files.retention.gc import Cleaned
from headwater.contracts.files.retention.plan import plan
from headwater.feed.compact import Retention, compact
from headwater.store import dump
from headwater.store.migrate import steps
from headwater.store.packs import gc as pack_gc
from headwater.store.packs.format import pack_name
from tests.support.content import KIB, begin, chunk_path, complete, content_of, make_file
from tests.support.file_share import FileShare
from tests.support.server.serving import ServerUnderTest

DAY_SECONDS = 86_400
SETTINGS = FileSettings(
    keep_trash_seconds=DAY_SECONDS, keep_deleted_shares_seconds=DAY_SECONDS, gc_grace_seconds=60
)  # fmt: skip


def state(server: ServerUnderTest) -> dict[str, Any]:
    """Every row of every table, and every file of content."""
    tables = dump.names([name for name, _ in steps()])
    rows = server.database.read_now(
        lambda tx: {table: sorted(map(repr, tx.rows(f"SELECT * FROM {table}"))) for table in tables}
    )
    return {**rows, "files of packs": sorted(server.services.packs.listing())}


def planned(server: ServerUnderTest) -> Cleaned:
    before = state(server)
    found = plan(server.database, server.services.packs, SETTINGS)
    assert state(server) == before
    return found


def clean(server: ServerUnderTest) -> Cleaned:
    return gc.clean(server.database, server.services.packs, SETTINGS)


def fill(server: ServerUnderTest, share: FileShare) -> None:
    """Something for each step of a cleaning, and beside each something that stays."""
    client = server.client
    deleted = FileShare(server)
    make_file(client, deleted.id, "/a", content_of(40 * KIB, 1))
    make_file(client, deleted.id, "/kept too", content_of(10 * KIB, 2))
    client.delete(f"/api/v1/shares/{deleted.id}")
    make_file(client, share.id, "/kept", content_of(10 * KIB, 2))
    make_file(client, share.id, "/kept", content_of(10 * KIB, 3))
    gone = make_file(client, share.id, "/gone", content_of(10 * KIB, 4))
    make_file(client, share.id, "/gone", content_of(10 * KIB, 3))
    for number, path in enumerate(("/box/a", "/box/in/b", "/box/in/c")):
        make_file(client, share.id, path, content_of(10 * KIB, 5 + number))
    box = client.get(f"/api/v1/shares/{share.id}/node?path=/box").json()["id"]
    for node in (gone["resource_id"], box):
        client.delete(f"/api/v1/shares/{share.id}/nodes/{node}")
    session = begin(client, share.id, 128 * KIB)
    client.put(chunk_path(session, 0), content=content_of(64 * KIB, 8))
    staged = begin(client, share.id, 5)
    client.put(chunk_path(staged, 0), content=b"stage")
    complete(client, staged)


def test_a_plan_states_what_the_cleaning_then_removes_and_changes_nothing(
    server: ServerUnderTest, share: FileShare
) -> None:
    fill(server, share)
    server.clock.advance(DAY_SECONDS + 1)
    compact(server.database, Retention(longest_us=SECOND_US, shortest_us=SECOND_US))
    first = planned(server)
    # Nine uploads that were committed, one under way, one that was staged, and its version.
    assert (first.purged_shares, first.purged_nodes, first.expired) == (1, 6, 12)
    # 40 KiB of the share, 10 of /gone and 30 of /box, 64 KiB of the upload and 5 bytes of the staged version.
    assert (first.swept.dropped_bytes, first.swept.freed_bytes) == (144 * KIB + 5, 0)
    assert first == clean(server)
    server.clock.advance(pack_gc.LINGER_US / SECOND_US + 1)
    second = planned(server)
    assert second.swept.freed_bytes > 144 * KIB
    assert second == clean(server)
    assert planned(server) == clean(server) == Cleaned(0, 0, 0, 0, pack_gc.Swept())


def test_a_plan_counts_the_versions_that_a_purge_cut_off_has_left(
    server: ServerUnderTest, share: FileShare, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(server, share)
    server.clock.advance(DAY_SECONDS + 1)
    compact(server.database, Retention(longest_us=SECOND_US, shortest_us=SECOND_US))

    def cut_off(_tx: object, **_options: object) -> bool:
        raise RuntimeError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr("headwater.contracts.files.retention.purge_trash.drop_versions", cut_off)
        with pytest.raises(RuntimeError, match="cut off"):
            clean(server)
    left = planned(server)
    assert (left.purged_shares, left.purged_nodes) == (0, 0)
    assert left.swept.dropped_bytes == 144 * KIB + 5
    assert left == clean(server)


def test_a_plan_names_the_packs_that_the_sweep_would_find_damaged(server: ServerUnderTest, share: FileShare) -> None:
    packs: Any = server.services.packs
    for number in range(pack_gc.CROWD_PACKS):
        make_file(server.client, share.id, f"/{number}", content_of(KIB, number))
    lost = next(iter(packs.listing())).pack
    packs.delete(lost)
    server.clock.advance(DAY_SECONDS)
    found, done = planned(server).swept, clean(server).swept
    assert [text.partition(":")[0] for text in found.damaged] == [pack_name(lost)]
    assert [text.partition(":")[0] for text in done.damaged] == [pack_name(lost)]
    assert found.rewritten_packs == done.rewritten_packs == pack_gc.CROWD_PACKS - 1
    assert found.retired_packs == done.retired_packs
