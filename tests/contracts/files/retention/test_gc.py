"""What nobody finished is forgotten, what nothing refers to is freed, and what is referred to stays."""

from __future__ import annotations

import pytest

from headwater.base.errors import NotFound
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.retention import gc
from headwater.store.packs import gc as pack_gc
from headwater.store.packs.gc import Swept
from headwater.store.tree import versions
from tests.support.content import KIB, begin, chunk_path, complete, content_of, make_file, make_share
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

DAY_SECONDS = 86_400


@pytest.fixture
def share(client: Client) -> str:
    return make_share(client)


def free(server: ServerUnderTest) -> Swept:
    return gc.free(server.database, server.services.packs, FileSettings(gc_grace_seconds=60))


def chunks_of(server: ServerUnderTest) -> int:
    return int(server.database.read_now(lambda tx: tx.value("SELECT count(*) FROM chunks")))


def test_unfinished_uploads_and_staged_versions_go_after_their_time_with_their_bytes(
    server: ServerUnderTest, share: str
) -> None:
    client = server.client
    kept = make_file(client, share, "/kept", content_of(10 * KIB, 1))
    open_session = begin(client, share, 128 * KIB)
    client.put(chunk_path(open_session, 0), content=content_of(64 * KIB, 2))
    staged = begin(client, share, 5)
    client.put(chunk_path(staged, 0), content=b"stage")
    assert complete(client, staged).json()["status"] == "staged"
    server.clock.advance(3600)
    assert free(server).dropped_chunks == 0
    assert chunks_of(server) == 3
    server.clock.advance(DAY_SECONDS)
    assert free(server).dropped_chunks == 2
    assert client.get(f"/api/v1/uploads/{open_session['session_id']}").status == 404
    server.clock.advance(pack_gc.LINGER_US / 1_000_000 + 1)
    assert free(server).freed_bytes > 64 * KIB
    assert client.get(f"/api/v1/sync/download/{kept['resource_id']}").body == content_of(10 * KIB, 1)


def test_content_that_is_sent_again_is_whole_again_for_every_file_that_has_it(
    server: ServerUnderTest, share: str
) -> None:
    client, packs = server.client, server.services.packs
    lost = make_file(client, share, "/lost", b"the same bytes")
    for stored in list(packs.listing()):
        packs.delete(stored.pack)
    again = make_file(client, share, "/again", b"the same bytes")
    for _ in range(2):
        server.clock.advance(2 * DAY_SECONDS)
        free(server)
    for file in (lost, again):
        assert client.get(f"/api/v1/sync/download/{file['resource_id']}").body == b"the same bytes"


def test_old_versions_and_the_trash_keep_their_content(server: ServerUnderTest, share: str) -> None:
    client = server.client
    made = make_file(client, share, "/a", b"first")
    make_file(client, share, "/a", b"second")
    gone = make_file(client, share, "/b", b"in the trash")
    client.delete(f"/api/v1/shares/{share}/nodes/{gone['resource_id']}")
    server.clock.advance(30 * DAY_SECONDS)
    assert free(server).dropped_chunks == 0
    assert client.get(f"/api/v1/sync/download/{made['resource_id']}?version=1").body == b"first"
    client.post(f"/api/v1/shares/{share}/nodes/{gone['resource_id']}/restore")
    assert client.get(f"/api/v1/sync/download/{gone['resource_id']}").body == b"in the trash"


def test_a_staged_version_counts_towards_the_used_bytes_once_it_is_kept(server: ServerUnderTest, share: str) -> None:
    client = server.client
    make_file(client, share, "/a", bytes(100))
    made = make_file(client, share, "/a", bytes(50))
    make_file(client, share, "/a", bytes(50))
    staged = begin(client, share, 7)
    client.put(chunk_path(staged, 0), content=bytes(7))
    complete(client, staged)
    assert client.get(f"/api/v1/shares/{share}").json()["used_bytes"] == 150
    restore = f"/api/v1/shares/{share}/nodes/{made['resource_id']}/versions"
    older = client.get(restore).json()["data"][-1]["id"]
    assert client.post(f"{restore}/{older}/restore").status == 200
    assert client.get(f"/api/v1/shares/{share}").json()["used_bytes"] == 250


def test_a_version_that_went_while_it_was_looked_at_is_not_kept(server: ServerUnderTest, share: str) -> None:
    session = begin(server.client, share, 5)
    server.client.put(chunk_path(session, 0), content=b"stage")
    staged = complete(server.client, session).json()["version_id"]
    feed, _ = server.database.read_now(lambda tx: tx.rows("SELECT feed, id FROM versions WHERE id = ?", staged))[0]
    version = server.database.read_now(lambda tx: versions.find(tx, feed, staged))
    assert version is not None
    server.clock.advance(DAY_SECONDS + 1)
    free(server)
    with pytest.raises(NotFound):
        server.database.write_now(lambda tx: versions.keep(tx, feed, version, "fil_1", 0))
