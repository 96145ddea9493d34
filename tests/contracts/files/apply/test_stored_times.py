"""The time that is stored is in the answer, so that a device that compares times does not sync for ever."""

from __future__ import annotations

import pytest

from tests.support.file_share import Device, FileShare, created, updated


@pytest.mark.parametrize(("sent", "is_kept"), [("1601-01-01T00:00:00Z", True), ("2106-02-07T06:28:16Z", False)])
def test_an_applied_item_carries_the_stored_time(share: FileShare, laptop: Device, sent: str, is_kept: bool) -> None:
    [made] = laptop.applied(created("/a.txt", laptop.stage(b"one"), modified_at=sent))
    assert (made["modified_at"] == sent) is is_kept
    change = share.page(0)["changes"][0]
    assert change["metadata"]["modified_at"] == made["modified_at"]
    [again] = laptop.applied(updated(made, laptop.stage(b"one"), modified_at=sent))
    assert (again["outcome"], again["modified_at"]) == ("unchanged", made["modified_at"])


def test_a_folder_has_no_time(laptop: Device) -> None:
    assert laptop.applied(created("/a"))[0]["modified_at"] is None
