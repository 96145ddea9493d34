"""A batch download that is read slowly costs the memory of a few pieces, whatever its files and chunks are."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any, cast

import pytest

from headwater.base.settings.table import FileSettings
from headwater.contracts.files.downloads import batch
from headwater.contracts.files.downloads.batch_frames import frames
from headwater.contracts.files.downloads.shapes import BatchFields
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from tests.support.content import MIB, content_of, make_file, make_share
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest
from tests.support.server.wire import unpacked

ADMIN = Principal("tok_1", "usr_1", "default", Role.GLOBAL_ADMIN, frozenset())


@pytest.fixture
def share(client: Client) -> str:
    return make_share(client)


def pieces_of(server: ServerUnderTest, share: str, **asked: Any) -> Iterator[bytes]:
    """The stream of a batch download, piece by piece."""
    fields = BatchFields(share_id=share, **asked)
    contents = server.database.read_now(lambda tx: batch.find(tx, ADMIN, fields, FileSettings()))
    return frames(server.services.packs, contents, server.database)


def hashes_of(client: Client, file: dict[str, Any]) -> list[str]:
    listed = client.get(f"/api/v1/sync/download/{file['resource_id']}/chunks").json()["chunks"]
    return [chunk["hash"] for chunk in listed]


@pytest.mark.parametrize("by", ["paths", "chunks"])
def test_a_reader_that_stops_holds_the_memory_of_a_few_pieces(
    client: Client, server: ServerUnderTest, share: str, by: str
) -> None:
    content = content_of(7 * MIB)
    file = make_file(client, share, "/large.bin", content, chunk_bytes=4 * MIB)
    make_file(client, share, "/small.bin", b"small")
    asked = ["/large.bin", "/small.bin"] if by == "paths" else hashes_of(client, file)
    held, found = [], bytearray()
    tracemalloc.start()
    try:
        at_first = tracemalloc.get_traced_memory()[0]
        for piece in pieces_of(server, share, **{by: asked}):
            held.append(tracemalloc.get_traced_memory()[0] - at_first - len(found))
            found += piece
    finally:
        tracemalloc.stop()
    bodies = {head.get("path") or head["chunk"]: bytes(body) for head, body in unpacked(bytes(found))}
    assert bodies.get("/large.bin") == content or b"".join(bodies[each] for each in asked) == content
    assert max(held) < 3 * MIB


def test_a_large_chunk_is_compared_before_its_line(client: Client, server: ServerUnderTest, share: str) -> None:
    file = make_file(client, share, "/large.bin", content_of(7 * MIB), chunk_bytes=4 * MIB)
    hashes = hashes_of(client, file)
    sql = "SELECT pack, start_bytes + length_bytes - 1 FROM chunks WHERE chunk = ?"
    pack, last = server.database.read_now(lambda tx: tx.rows(sql, bytes.fromhex(hashes[0]))[0])
    path = cast("PackFolder", server.services.packs)._path / pack_name(pack)
    damaged = bytearray(path.read_bytes())
    damaged[last] ^= 1
    path.write_bytes(damaged)
    lines = dict(enumerate(unpacked(b"".join(pieces_of(server, share, chunks=hashes)))))
    by_chunk = {head["chunk"]: (head["size"], head.get("error", {}).get("code")) for head, _ in lines.values()}
    assert by_chunk[hashes[0]] == (0, "CONTENT_DAMAGED")
    assert all(error is None and size for chunk, (size, error) in by_chunk.items() if chunk != hashes[0])
