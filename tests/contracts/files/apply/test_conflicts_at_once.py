"""Conflicts that are settled while somebody else writes to the same share."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from headwater.contracts.files.apply import conflicts
from headwater.contracts.files.apply.gather import Gathered, Question, gather
from headwater.contracts.files.apply.inputs import Strategy
from headwater.contracts.files.paths import PathIndex
from headwater.identity import organisations
from headwater.identity.principal import ANONYMOUS
from headwater.identity.roles import Role
from headwater.store.database import Transaction
from tests.support.file_share import Device, FileShare, created, updated
from tests.support.loop import WAIT_SECONDS


def test_an_answer_and_an_upload_at_once_give_their_versions_two_numbers(
    share: FileShare, laptop: Device, phone: Device
) -> None:
    """On PostgreSQL the upload runs beside the answer, which names no feed; on SQLite it waits."""
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    [conflict] = phone.apply(updated(file, phone.stage(b"three")), strategy="MANUAL").json()["conflicts"]
    database = share.server.database
    organisation = share.read(lambda tx: organisations.feed_of(tx, "default"))
    principal = ANONYMOUS._replace(token_id="tok", user_id=phone.user_id, role=Role.GLOBAL_ADMIN)
    answered, uploaded = threading.Event(), threading.Event()

    def transaction(tx: Transaction) -> None:
        conflicts.resolve(tx, principal, conflict["id"], Strategy.SERVER_WINS, "")
        answered.set()
        uploaded.wait(0.5)

    answering = threading.Thread(target=partial(database.write_now, transaction, feed=organisation))
    answering.start()
    assert answered.wait(WAIT_SECONDS)
    content = b'{"path": "/a.txt", "size": 4}\nfour'
    answer = share.client.post(f"/api/v1/uploads/packed?share_id={share.id}", content=content)
    uploaded.set()
    answering.join()
    assert answer.json()["results"][0]["status"] == "updated"
    history = share.client.get(f"/api/v1/shares/{share.id}/nodes/{file['resource_id']}/versions").json()["data"]
    assert [version["number"] for version in history] == [4, 3, 2, 1]


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("new_name", [False, True])
def test_a_version_that_expires_while_its_conflict_is_decided_is_never_reported_as_held(
    share: FileShare, laptop: Device, monkeypatch: pytest.MonkeyPatch, *, atomic: bool, new_name: bool
) -> None:
    """On PostgreSQL another process's clean-up of expired versions commits between the look-up and the hold."""
    file = laptop.put("/a.txt", b"one")
    laptop.edit(file, b"two")
    version_id = laptop.stage(b"three")

    def gather_before_it_expires(paths: PathIndex, question: Question) -> Gathered:
        gathered = gather(paths, question)
        paths.tx.run("DELETE FROM versions WHERE feed = ? AND id = ?", paths.row.feed, version_id)
        return gathered

    monkeypatch.setattr("headwater.contracts.files.apply.rules.gather", gather_before_it_expires)
    item = created("/a.txt", version_id) if new_name else updated(file, version_id)
    answer = laptop.apply(item, strategy="MANUAL", atomic=atomic).json()
    assert (answer["applied"], answer["conflicts"]) == ([], [])
    assert [error["code"] for error in answer["errors"]] == ["NOT_FOUND"]
    assert share.client.get(f"/api/v1/sync/conflicts?share_id={share.id}").json() == []
