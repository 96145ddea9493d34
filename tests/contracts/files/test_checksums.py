"""A stored SHA-256 is that of the bytes: one that was taken from damaged bytes in earlier days is found and mended."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from headwater.contracts.files import checksums
from headwater.contracts.files.checksums import MendedChecksum
from tests.contracts.files.downloads.test_damage import Packs
from tests.support.content import KIB, content_of, make_file
from tests.support.file_share import FileShare
from tests.support.server.serving import ServerUnderTest

CONTENT = content_of(100 * KIB)
CHECKSUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(share: FileShare) -> dict[str, Any]:
    return make_file(share.client, share.id, "/a.bin", CONTENT, checksum_sha256=CHECKSUM)


def spoil(server: ServerUnderTest, version_id: str) -> None:
    server.database.write_now(lambda tx: tx.run("UPDATE versions SET sha256 = ? WHERE id = ?", "ab" * 32, version_id))


def mended(server: ServerUnderTest) -> list[MendedChecksum]:
    return list(checksums.mend(server.database, server.services.packs))


def test_a_wrong_checksum_is_mended_and_devices_get_the_right_one(
    server: ServerUnderTest, share: FileShare, file: dict[str, Any]
) -> None:
    make_file(share.client, share.id, "/same.bin", CONTENT, checksum_sha256=CHECKSUM)
    assert mended(server) == []
    spoil(server, file["version_id"])
    cursor = share.client.get(f"/api/v1/sync/changes?share_id={share.id}").json()["cursor"]
    assert mended(server) == [MendedChecksum(share.id, file["version_id"])]
    (change,) = share.client.get(f"/api/v1/sync/changes?share_id={share.id}&cursor={cursor}").json()["changes"]
    assert (change["version_id"], change["metadata"]["checksum_sha256"]) == (file["version_id"], CHECKSUM)
    answer = share.client.get(f"/api/v1/sync/download/{file['resource_id']}")
    assert answer.headers["x-checksum-sha256"] == CHECKSUM
    assert mended(server) == []


def test_damaged_content_keeps_its_checksum(server: ServerUnderTest, share: FileShare, file: dict[str, Any]) -> None:
    Packs(server).flip(file["version_id"])
    seen: list[int] = []
    assert list(checksums.mend(server.database, server.services.packs, seen.append)) == []
    assert seen == [len(CONTENT)]
    assert server.database.read_now(checksums.total_bytes) == len(CONTENT)
    assert share.read(lambda tx: tx.value("SELECT sha256 FROM versions")) == CHECKSUM


def test_an_old_version_is_mended_without_a_change(
    server: ServerUnderTest, share: FileShare, file: dict[str, Any]
) -> None:
    make_file(share.client, share.id, "/a.bin", b"newer")
    spoil(server, file["version_id"])
    head = share.client.get(f"/api/v1/sync/changes?share_id={share.id}").json()["cursor"]
    assert len(mended(server)) == 1
    assert share.client.get(f"/api/v1/sync/changes?share_id={share.id}&cursor={head}").json()["changes"] == []
