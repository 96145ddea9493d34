"""The same losing change again: one copy and one conflict; a later wish, or another strategy, is carried out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.file_share import Device, FileShare, created, placed, updated

STRATEGIES = ["LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS", "MANUAL"]


def conflicts(share: FileShare) -> list[dict[str, Any]]:
    """Every conflict of a share, the resolved ones too."""
    answer = share.client.get(f"/api/v1/sync/conflicts?share_id={share.id}&include_resolved=true").json()
    listed: list[dict[str, Any]] = answer if isinstance(answer, list) else answer["conflicts"]
    return listed


def moved(device: Device, resource_id: str, old_path: str, new_path: str, kind: str = "file") -> None:
    """A rename that must be applied."""
    device.applied(placed(resource_id, old_path, new_path, kind=kind))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_losing_bytes_staged_three_times_make_one_copy_and_one_conflict(
    share: FileShare, laptop: Device, phone: Device, strategy: str
) -> None:
    file = laptop.put("/doc.txt", b"one")
    laptop.edit(file, b"two")
    answers = [phone.apply(updated(file, phone.stage(b"mine")), strategy=strategy).json() for _ in range(3)]
    assert not any(answer["errors"] for answer in answers)
    assert len(conflicts(share)) == 1
    assert len(share.tree()) == (2 if strategy == "KEEP_BOTH" else 1)
    history = share.client.get(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}/versions").json()["data"]
    assert len(history) == (2 if strategy in {"KEEP_BOTH", "MANUAL"} else 3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_losing_creation_staged_three_times_is_one(
    share: FileShare, laptop: Device, phone: Device, strategy: str
) -> None:
    laptop.put("/doc.txt", b"one")
    for _ in range(3):
        assert not phone.apply(created("/doc.txt", phone.stage(b"mine")), strategy=strategy).json()["errors"]
    assert len(conflicts(share)) == 1
    assert len(share.tree()) == (2 if strategy == "KEEP_BOTH" else 1)


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("first", ["CLIENT_WINS", "SERVER_WINS", "KEEP_BOTH", "MANUAL"])
@pytest.mark.parametrize("second", ["CLIENT_WINS", "KEEP_BOTH"])
def test_a_rename_that_met_a_conflict_is_carried_out_when_it_is_wished_again(
    share: FileShare, laptop: Device, phone: Device, kind: str, first: str, second: str
) -> None:
    def make(path: str) -> str:
        return laptop.folder(path) if kind == "folder" else laptop.put(path, path.encode())["resource_id"]

    f, g = make("/f"), make("/g")
    wish = placed(f, "/f", "/g", kind=kind)
    recorded = laptop.apply(wish, strategy=first).json()["conflicts"][0]["id"]
    paths = {share.client.get(f"/api/v1/shares/{share.id}/nodes/{id}").json()["path"]: id for id in (f, g)}
    for path in sorted(paths):  # both are put back by hand
        moved(phone, paths[path], path, "/f-back" if paths[path] == f else "/g-back", kind)
    moved(phone, f, "/f-back", "/f", kind)
    moved(phone, g, "/g-back", "/g", kind)
    answer = laptop.apply(wish, strategy=second).json()["conflicts"][0]
    assert (answer["id"] != recorded, answer["resolution"]) == (True, second)
    assert answer["change_id"] is not None
    assert share.client.get(f"/api/v1/shares/{share.id}/nodes/{f}").json()["path"] != "/f"


@pytest.mark.parametrize("second", ["CLIENT_WINS", "KEEP_BOTH"])
def test_another_strategy_is_another_wish_though_both_sides_stand(
    share: FileShare, laptop: Device, phone: Device, second: str
) -> None:
    file = laptop.put("/doc.txt", b"one")
    laptop.edit(file, b"two")
    item = updated(file, phone.stage(b"mine"))
    first = phone.apply(item, strategy="MANUAL").json()["conflicts"][0]
    answer = phone.apply(updated(file, phone.stage(b"mine")), strategy=second).json()["conflicts"][0]
    assert (answer["id"] != first["id"], answer["resolution"]) == (True, second)
    assert len(share.tree()) == (2 if second == "KEEP_BOTH" else 1)


def test_a_copy_that_a_person_removed_is_made_again_for_bytes_that_would_be_lost(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/doc.txt", b"one")
    laptop.edit(file, b"two")
    first = phone.apply(updated(file, phone.stage(b"mine")), strategy="KEEP_BOTH").json()["conflicts"][0]
    assert share.client.request("DELETE", f"/api/v1/shares/{share.id}/nodes/{first['copy_id']}").status == 200
    again = phone.apply(updated(file, phone.stage(b"mine")), strategy="KEEP_BOTH").json()["conflicts"][0]
    assert again["id"] != first["id"]
    assert len(share.tree()) == 2


def test_a_conflict_that_a_person_settled_is_known_again_with_the_answer(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    file = laptop.put("/doc.txt", b"one")
    laptop.edit(file, b"two")
    first = phone.apply(updated(file, phone.stage(b"mine")), strategy="MANUAL").json()["conflicts"][0]
    share.client.post(f"/api/v1/sync/conflicts/{first['id']}/resolve?resolution=KEEP_BOTH")
    again = phone.apply(updated(file, phone.stage(b"mine")), strategy="MANUAL").json()["conflicts"][0]
    assert (again["id"], again["resolution"]) == (first["id"], "KEEP_BOTH")
    assert len(share.tree()) == 2
