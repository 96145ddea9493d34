"""What brings no new bytes can still need room: a move into another share, and an old version on top again."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from headwater.base.errors import QuotaExceeded
from headwater.base.settings.table import FileSettings, Settings
from headwater.contracts.files.uploads import rules as upload_rules
from headwater.contracts.files.uploads.rules import TUS, Beginning, Request
from headwater.identity import organisations
from headwater.identity.principal import ANONYMOUS
from headwater.identity.roles import Role
from headwater.store.database import Database, Transaction
from tests.support.clock import MovableClock
from tests.support.content import KIB, content_of, make_file, make_share
from tests.support.server.asgi import Client
from tests.support.store.databases import address_of, open_at

ORGANISATION = FileSettings(quota_organisation_bytes=300 * KIB)
SHARE = FileSettings(quota_share_bytes=300 * KIB)
ADMIN = ANONYMOUS._replace(token_id="tok", role=Role.GLOBAL_ADMIN)


@pytest.fixture
def settings() -> Settings:
    return Settings(files=FileSettings(quota_share_bytes=300 * KIB, quota_organisation_bytes=650 * KIB))


def used(client: Client, share: str) -> int:
    """How much a share says that it holds."""
    found: int = client.get(f"/api/v1/shares/{share}").json()["used_bytes"]
    return found


def test_a_file_crosses_into_another_share_only_where_there_is_room_for_it(client: Client) -> None:
    here, there = make_share(client), make_share(client, quota_bytes=150 * KIB)
    small = make_file(client, here, "/small", content_of(100 * KIB))["resource_id"]
    large = make_file(client, here, "/box/large", content_of(100 * KIB, 2))["resource_id"]
    box = client.get(f"/api/v1/shares/{here}/node?path=/box").json()["id"]
    assert client.patch(f"/api/v1/shares/{here}/nodes/{small}", json={"share_id": there}).status == 200
    answer = client.patch(f"/api/v1/shares/{here}/nodes/{box}", json={"share_id": there})
    assert answer.problem() == (507, "QUOTA_EXCEEDED")
    assert answer.json()["left_bytes"] == 50 * KIB
    assert used(client, there) == 100 * KIB
    assert client.get(f"/api/v1/shares/{here}/nodes/{large}").json()["trashed_at"] is None


def test_crossing_counts_once_more_for_the_organisation(client: Client) -> None:
    shares = [make_share(client) for _ in range(3)]
    file = make_file(client, shares[0], "/a", content_of(250 * KIB))["resource_id"]
    moved = client.patch(f"/api/v1/shares/{shares[0]}/nodes/{file}", json={"share_id": shares[1]})
    assert moved.status == 200
    again = client.patch(f"/api/v1/shares/{shares[1]}/nodes/{moved.json()['id']}", json={"share_id": shares[2]})
    assert again.problem() == (507, "QUOTA_EXCEEDED")
    assert "organisation" in again.json()["detail"]


def test_an_old_version_goes_on_top_again_only_where_there_is_room_for_it(client: Client) -> None:
    share = make_share(client)
    first = make_file(client, share, "/a", content_of(100 * KIB))
    make_file(client, share, "/a", content_of(101 * KIB, 2))
    path = f"/api/v1/shares/{share}/nodes/{first['resource_id']}/versions/{first['version_id']}/restore"
    assert client.post(path).problem() == (507, "QUOTA_EXCEEDED")
    assert used(client, share) == 201 * KIB
    client.patch(f"/api/v1/shares/{share}", json={"quota_bytes": 301 * KIB})
    assert client.post(path).status == 200


def test_what_returns_from_the_trash_needs_no_room_because_it_never_gave_any_up(client: Client) -> None:
    share = make_share(client)
    file = make_file(client, share, "/a", content_of(300 * KIB))["resource_id"]
    client.delete(f"/api/v1/shares/{share}/nodes/{file}")
    assert used(client, share) == 300 * KIB
    assert client.post(f"/api/v1/shares/{share}/nodes/{file}/restore").status == 200
    assert used(client, share) == 300 * KIB


@pytest.mark.parametrize("files", [ORGANISATION, SHARE], ids=["organisation", "share"])
def test_two_uploads_begun_at_once_do_not_both_get_the_last_room(
    client: Client, database: Database, clock: MovableClock, files: FileSettings
) -> None:
    """The first has compared and is not committed when the second compares."""
    shares = [make_share(client) for _ in range(2)]
    targets = shares if files is ORGANISATION else shares[:1] * 2
    compared = threading.Event()
    other = open_at(address_of(database), clock=clock)
    refused: list[str] = []

    def begin(opened: Database, share: str, wait: Callable[[], object], feed: int = 0) -> None:
        def transaction(tx: Transaction) -> None:
            beginning = Beginning(TUS, 200 * KIB, 0, None, None, Request())
            upload_rules.begin(tx, ADMIN, share, beginning, files)
            wait()

        try:
            opened.write_now(transaction, feed=feed)
        except QuotaExceeded:
            refused.append(share)

    def linger() -> None:
        compared.set()
        second.join(0.5)

    def follow() -> None:
        assert compared.wait(30)
        begin(other, targets[1], lambda: None)

    second = threading.Thread(target=follow)
    second.start()
    home = database.read_now(lambda tx: organisations.feed_of(tx, "default"))
    begin(database, targets[0], linger, home)
    second.join()
    other.close()
    assert refused == [targets[1]]
