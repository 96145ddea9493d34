"""Uploads that several processes touch at once, and what may not hold up the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from headwater.base.clock import SECOND_US
from headwater.base.errors import Gone
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.retention import gc
from headwater.contracts.files.uploads import rules as upload_rules
from headwater.contracts.files.uploads.rules import Completed
from headwater.identity import organisations
from headwater.identity.principal import ANONYMOUS, Principal
from headwater.identity.roles import Role
from headwater.store.database import Database, Transaction
from headwater.store.packs.writer import PackWriter
from headwater.store.tree import versions
from headwater.store.tree.versions import Version
from tests.support.clock import MovableClock
from tests.support.content import begin, chunk_path, complete, make_share, send
from tests.support.server.serving import ServerUnderTest
from tests.support.store.databases import address_of, open_at


def owner_of(server: ServerUnderTest, session: dict[str, Any]) -> Principal:
    """The principal that began a session."""
    sql = "SELECT user_id FROM uploads WHERE id = ?"
    user = server.database.read_now(lambda tx: tx.value(sql, session["session_id"]))
    return ANONYMOUS._replace(token_id="tok", user_id=user, role=Role.GLOBAL_ADMIN)


def test_an_upload_completed_twice_at_once_stages_one_version(
    server: ServerUnderTest, database: Database, clock: MovableClock
) -> None:
    """The first has staged and is not committed when the second looks; it names no feed, as a direct caller may."""
    session = begin(server.client, make_share(server.client), 5)
    send(server.client, session, b"twice")
    principal, staged = owner_of(server, session), threading.Event()
    other = open_at(address_of(database), clock=clock)
    found: list[str] = []

    def run(opened: Database, wait: Callable[[], object], feed: int = 0) -> None:
        def transaction(tx: Transaction) -> Completed:
            done = upload_rules.complete(tx, principal, session["session_id"], None, FileSettings())
            wait()
            return done

        found.append(opened.write_now(transaction, feed=feed).version.id)

    def linger() -> None:
        staged.set()
        second.join(0.5)

    def follow() -> None:
        assert staged.wait(30)
        run(other, lambda: None)

    second = threading.Thread(target=follow)
    second.start()
    run(database, linger, database.read_now(lambda tx: organisations.feed_of(tx, "default")))
    second.join()
    other.close()
    assert len(found) == 2
    assert len(set(found)) == 1
    assert database.read_now(lambda tx: tx.value("SELECT count(*) FROM versions")) == 1


def test_an_upload_that_took_bytes_since_it_was_found_expired_lives_on(
    server: ServerUnderTest, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client
    session = begin(client, make_share(client), 5)
    send(client, session, b"lives")
    late = begin(client, make_share(client), 5)
    clock.advance(86_400)

    def transaction(tx: Transaction) -> int:
        rows = tx.rows

        def renewed_after(sql: str, *params: Any) -> Any:
            found = rows(sql, *params)
            if sql.startswith("SELECT id FROM uploads WHERE expires_us"):
                later_us = tx.now_us + SECOND_US
                tx.run("UPDATE uploads SET expires_us = ? WHERE id = ?", later_us, session["session_id"])
            return found

        with monkeypatch.context() as patched:
            patched.setattr(tx, "rows", renewed_after)
            return upload_rules.drop_expired(tx)

    server.database.write_now(transaction)
    assert client.get(f"/api/v1/uploads/{late['session_id']}").status == 404
    assert complete(client, session).status == 200


def test_bytes_for_an_upload_that_was_forgotten_meanwhile_are_not_acknowledged(server: ServerUnderTest) -> None:
    session = begin(server.client, make_share(server.client), 5)
    principal = owner_of(server, session)

    def transaction(tx: Transaction) -> None:
        upload, _ = upload_rules.find_open(tx, principal, session["session_id"])
        tx.run("DELETE FROM uploads WHERE id = ?", upload.id)
        upload_rules._renew(tx, upload, FileSettings(), 5)

    with pytest.raises(Gone):
        server.database.write_now(transaction)


def test_an_upload_that_expires_while_it_is_completed_keeps_its_bytes(
    server: ServerUnderTest, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On PostgreSQL another process sweeps in the middle; on SQLite it has to wait for its turn."""
    client = server.client
    session = begin(client, make_share(client), 5, path="/a", commit=True)
    send(client, session, b"bytes")
    idle_seconds = server.settings.files.upload_idle_seconds
    clock.advance(idle_seconds - 1)
    stage = versions.stage
    settings = FileSettings(gc_grace_seconds=60)
    sweep = threading.Thread(target=partial(gc.free, server.database, server.services.packs, settings))

    def overtaken(*args: Any) -> Version:
        if not sweep.ident:
            clock.advance(idle_seconds)
            sweep.start()
            sweep.join(0.5)
        return stage(*args)

    monkeypatch.setattr(versions, "stage", overtaken)
    done = complete(client, session)
    sweep.join()
    assert done.status == 200, done.text
    assert client.get(f"/api/v1/sync/download/{done.json()['resource_id']}").body == b"bytes"


@pytest.mark.sqlite_only
def test_what_a_refused_upload_wrote_is_removed_off_the_event_loop(
    server: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    abort = PackWriter.abort
    on_loop: list[bool] = []

    def watched(self: PackWriter) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            on_loop.append(False)
        else:
            on_loop.append(True)
        abort(self)

    monkeypatch.setattr(PackWriter, "abort", watched)
    client = server.client
    share = make_share(client)
    session = begin(client, share, 5)
    assert client.put(chunk_path(session, 0) + "?blake3=" + "0" * 64, content=b"wrong").status == 422
    broken = b'{"path": "/a", "size": 5}\nhello{"path": "/b", "size": 9}\ncut'
    assert client.post(f"/api/v1/uploads/packed?share_id={share}", content=broken).status == 400
    tus = {"tus-resumable": "1.0.0", "content-type": "application/offset+octet-stream"}
    made = client.post(f"/api/v1/uploads?share_id={share}", headers={**tus, "upload-length": "5"})
    headers = {**tus, "upload-offset": "0", "upload-checksum": "sha256 " + "A" * 43 + "="}
    assert client.patch(made.headers["location"], content=b"wrong", headers=headers).status == 460
    assert len(on_loop) == 3
    assert not any(on_loop)
