from __future__ import annotations

import pytest

from headwater.base.errors import QuotaExceeded, TooLarge
from headwater.base.settings.table import FileSettings
from headwater.contracts.files import access, quota
from headwater.contracts.files.access import Access, ShareRow
from headwater.identity.principal import Principal
from headwater.identity.roles import Role
from headwater.store.database import Database
from headwater.store.tree import versions
from headwater.store.tree.versions import Piece, Staging
from tests.support.clock import MovableClock
from tests.support.file_share import FileShare

ADMIN = Principal("tok_1", "usr_1", "default", Role.GLOBAL_ADMIN, frozenset())
NO_LIMIT = FileSettings(quota_share_bytes=None, quota_organisation_bytes=None)


def row_of(share: FileShare, quota_bytes: int | None = None) -> ShareRow:
    row: ShareRow = share.read(lambda tx: access.require(tx, ADMIN, share.id, Access.MANAGE))
    return row._replace(quota_bytes=quota_bytes)


def stage(database: Database, share: FileShare, size_bytes: int, *, keep: bool = False) -> None:
    def transaction(tx: object) -> None:
        staging = Staging(share.feed, "default", "usr_1", "laptop", "", 0, None, tx.now_us + 60_000_000)  # type: ignore[attr-defined]
        version = versions.stage(tx, staging, [Piece(b"x" * 32, size_bytes)])  # type: ignore[arg-type]
        if keep:
            versions.keep(tx, share.feed, version, "fil_1", 0)  # type: ignore[arg-type]

    database.write_now(transaction, feed=share.feed)


def used(share: FileShare) -> int:
    found: int = share.read(lambda tx: quota.used_bytes(tx, share.feed))
    return found


def test_versions_count_whether_they_are_kept_or_staged(database: Database, share: FileShare) -> None:
    assert used(share) == 0
    stage(database, share, 100)
    stage(database, share, 20, keep=True)
    assert used(share) == 120


def test_staged_bytes_that_expired_no_longer_count(database: Database, share: FileShare, clock: MovableClock) -> None:
    stage(database, share, 100)
    stage(database, share, 20, keep=True)
    clock.advance(60)
    assert used(share) == 20


def test_an_upload_under_way_counts_with_the_size_that_it_announced(share: FileShare) -> None:
    body = {"share_id": share.id, "file_size": 5000, "chunk_size": 1024}
    assert share.client.post("/api/v1/uploads", json=body).status == 201
    assert used(share) == 5000


@pytest.mark.parametrize(
    ("own", "shares", "organisation", "level", "left"),
    [
        (None, None, None, None, None),
        (500, None, None, "the share", 400),
        (None, 600, None, "the share", 500),
        (500, 600, None, "the share", 400),
        (700, 600, None, "the share", 600),
        (None, None, 300, "the organisation", 200),
        (500, None, 300, "the organisation", 200),
        (300, None, 500, "the share", 200),
        (50, None, None, "the share", -50),
    ],
)
def test_the_quota_that_leaves_the_least_room_is_the_tightest(
    database: Database, share: FileShare, own: int | None, shares: int | None, organisation: int | None,
    level: str | None, left: int | None,
) -> None:  # fmt: skip
    stage(database, share, 100, keep=True)
    settings = FileSettings(quota_share_bytes=shares, quota_organisation_bytes=organisation)
    row = row_of(share, own)
    found = database.write_now(lambda tx: quota.tightest(tx, row, settings), feed=share.feed)
    assert (found and found.name, found and found.left_bytes) == (level, left)


@pytest.mark.parametrize(("size", "good"), [(0, True), (400, True), (401, False)])
def test_a_content_comes_when_it_fits_the_room_that_is_left(
    database: Database, share: FileShare, size: int, good: bool
) -> None:
    stage(database, share, 100, keep=True)
    row = row_of(share, 500)
    if good:
        assert database.write_now(lambda tx: quota.require_room(tx, row, NO_LIMIT, size)) is None
    else:
        with pytest.raises(QuotaExceeded, match=r"share.*400.*500.*401") as failure:
            database.write_now(lambda tx: quota.require_room(tx, row, NO_LIMIT, size))
        assert failure.value.extra == {"quota_bytes": 500, "left_bytes": 400}


def test_a_share_over_its_quota_has_nothing_left_and_never_less(database: Database, share: FileShare) -> None:
    stage(database, share, 100, keep=True)
    row = row_of(share, 50)
    with pytest.raises(QuotaExceeded) as failure:
        database.write_now(lambda tx: quota.require_left(tx, row, NO_LIMIT, 1))
    assert failure.value.extra["left_bytes"] == 0


def test_the_organisations_quota_counts_its_live_shares_together(database: Database, share: FileShare) -> None:
    other = FileShare(share.server)
    for each in (share, other):
        stage(database, each, 100, keep=True)
    settings, row = FileSettings(quota_organisation_bytes=250), row_of(share)
    with pytest.raises(QuotaExceeded, match=r"organisation.*50.*250"):
        database.write_now(lambda tx: quota.require_left(tx, row, settings, 51))
    assert share.client.delete(f"/api/v1/shares/{other.id}").status in {200, 204}
    assert database.write_now(lambda tx: quota.require_left(tx, row, settings, 150)) is None


@pytest.mark.parametrize(("size", "good"), [(1_048_576, True), (1_048_577, False)])
def test_a_file_is_at_most_as_large_as_the_setting_says(size: int, good: bool) -> None:
    settings = FileSettings(file_bytes=1_048_576)
    if good:
        quota.require_size(settings, size)
    else:
        with pytest.raises(TooLarge) as failure:
            quota.require_size(settings, size)
        assert failure.value.extra == {"limit_bytes": 1_048_576}
    assert (size <= settings.file_bytes) is good
