"""Cursors of before a restore, bare positions among them. Source: files contract, reading "Cursors"."""

from __future__ import annotations

import pytest

from headwater.feed import devices
from headwater.store.database import Transaction
from headwater.store.log import feeds, lost
from tests.contracts.files.changes.test_changes import refused
from tests.support.file_share import Device, FileShare


class TestAfterARestore:
    """The positions up to 3 are the backup's; 4 to 10 were given out after it, or are the gap."""

    @pytest.fixture
    def restored(self, share: FileShare, laptop: Device) -> FileShare:
        for n in range(3):
            laptop.folder(f"/f{n}")

        def transaction(tx: Transaction) -> None:
            lost.lose(tx, share.feed, 4, 10)
            feeds.raise_floor(tx, share.feed, tx.bump(share.feed, "head", 7))

        share.server.database.write_now(transaction)
        return share

    @pytest.mark.parametrize("position", [1, 2, 3, 4, 9])
    def test_a_bare_position_of_before_says_so_and_the_answer_gives_one_to_list_again(
        self, restored: FileShare, position: int
    ) -> None:
        answer = restored.changes(position)
        assert refused(answer) == "restored"
        assert "delete nothing" in answer.json()["detail"]
        listed, live = restored.drain(answer.json()["cursor"])
        assert [change["new_path"] for change in listed] == ["/f0", "/f1", "/f2"]
        assert restored.page(live)["changes"] == []

    def test_the_gap_counts_as_no_pending_changes_and_no_lag(self, restored: FileShare, laptop: Device) -> None:
        status = f"/api/v1/sync/status?share_id={restored.id}&device_id={laptop.device_id}"
        report = f"/api/v1/sync/cursor?share_id={restored.id}&device_id={laptop.device_id}&position="
        assert laptop.client.post(f"{report}10").status == 200
        restored.server.database.write_now(
            lambda tx: tx.run("UPDATE device_positions SET position = 1 WHERE feed = ?", restored.feed)
        )
        laptop.folder("/f3")
        assert laptop.client.get(status).json()["pending_changes"] == 3
        listed = restored.server.database.read_now(devices.read_all)
        assert [row.lag for row in listed if row.feed == f"share:{restored.id}"] == [3]

    def test_what_begins_after_it_is_good_and_compaction_is_told_apart(
        self, restored: FileShare, laptop: Device
    ) -> None:
        assert restored.page(10)["changes"] == []
        assert len(restored.drain(0)[0]) == 3
        laptop.folder("/f3")
        laptop.folder("/f4")
        assert [change["new_path"] for change in restored.page(10)["changes"]] == ["/f3", "/f4"]
        restored.server.database.write_now(lambda tx: feeds.raise_floor(tx, restored.feed, 11))
        assert [refused(restored.changes(position)) for position in (9, 10)] == ["restored", "expired"]
        assert refused(restored.changes(99)) == "ahead"
