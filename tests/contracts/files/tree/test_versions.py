"""A version belongs to one file."""

from __future__ import annotations

import pytest

from headwater.store.database import Transaction
from headwater.store.tree import versions
from tests.support.file_share import Device, FileShare


def test_a_version_of_one_file_never_becomes_the_content_of_another(share: FileShare, laptop: Device) -> None:
    one, other = laptop.put("/one", b"1"), laptop.put("/other", b"2")
    listed = share.client.get(f"/api/v1/shares/{share.id}/nodes/{one['resource_id']}/versions").json()["data"]

    def move(tx: Transaction) -> None:
        version = versions.find(tx, share.feed, listed[0]["id"])
        assert version is not None
        versions.keep(tx, share.feed, version, other["resource_id"], 0)

    with pytest.raises(AssertionError, match="stays with its file"):
        share.server.database.write_now(move, feed=share.feed)
    again = share.client.get(f"/api/v1/shares/{share.id}/nodes/{one['resource_id']}/versions").json()["data"]
    assert again == listed
