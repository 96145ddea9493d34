"""How much an item of ``apply`` may say of itself: what is kept with a conflict stays small."""

from __future__ import annotations

import pytest

from headwater.contracts.files.apply import conflicts
from headwater.contracts.files.apply.conflicts import ConflictFilter
from tests.support.file_share import Device, FileShare, created, updated

LONGEST = {"checksum_sha256": 128, "modified_at": 64, "client_change_id": 128}


@pytest.mark.sqlite_only
@pytest.mark.parametrize("field", LONGEST)
def test_an_items_metadata_has_a_longest_length(share: FileShare, phone: Device, field: str) -> None:
    item = created("/a")
    answer = phone.apply({**item, "metadata": {field: "2" * (LONGEST[field] + 1)}})
    assert answer.status == 422
    assert f"metadata.{field}" in answer.json()["errors"][0]["field"]
    assert share.tree() == {}
    answer = phone.apply({**item, "metadata": {field: "2" * LONGEST[field]}})
    assert answer.status == 200
    assert [error["code"] for error in answer.json()["errors"]] == (["INVALID"] if field == "modified_at" else [])


def test_a_list_of_conflicts_reads_no_items_and_knows_every_path(share: FileShare, phone: Device) -> None:
    folder = phone.folder("/gone")
    item = {"resource_type": "folder", "change_type": "deleted", "resource_id": folder, "old_path": "/gone"}
    phone.applied(item)
    file = phone.put("/a.txt", b"one")
    phone.edit(file, b"two")
    for item in (created("/gone/new.txt", phone.stage(b"new")), updated(file, phone.stage(b"three"))):
        assert phone.apply(item, strategy="MANUAL").status == 409
    listed = share.client.get("/api/v1/sync/conflicts").json()
    assert [conflict["path"] for conflict in listed] == ["/a.txt", "/gone/new.txt"]
    rows = share.read(lambda tx: conflicts.of_share(tx, share.feed, ConflictFilter()))
    assert [(row.number, row.item) for row in rows] == [(2, None), (1, None)]
