"""The room that a share and its organisation have left.

Content counts in full wherever it appears: storing equal chunks once saves the operator's disk, not the quota.
"""

from __future__ import annotations

from headwater.base.errors import QuotaExceeded, TooLarge
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.access import ShareRow
from headwater.identity import organisations
from headwater.store.database import Transaction
from headwater.store.tree import versions

_OPEN = (
    "SELECT CAST(coalesce(sum(coalesce(size_bytes, offset_bytes)), 0) AS BIGINT) FROM uploads"
    " WHERE feed = ? AND version IS NULL AND expires_us > ?"
)
_STAGED = (
    "SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM versions"
    " WHERE feed = ? AND state = 'staged' AND expires_us > ?"
)
# A deleted share uses the operator's disk until it is purged, but no quota.
_SHARES = "SELECT feed FROM shares WHERE organisation = ? AND deleted_us IS NULL"


def used_bytes(tx: Transaction, feed: int) -> int:
    """The bytes that a share uses: its versions, those that are staged, and uploads under way."""
    return (
        tx.counter(feed, versions.BYTES)
        + int(tx.value(_OPEN, feed, tx.now_us) or 0)
        + int(tx.value(_STAGED, feed, tx.now_us) or 0)
    )


def tightest(tx: Transaction, row: ShareRow, settings: FileSettings) -> Level | None:
    """The quota that leaves a share the least room; None when nothing limits it."""
    return min(_levels(tx, row, settings), key=lambda level: level.left_bytes, default=None)


def estimate(tx: Transaction, row: ShareRow, settings: FileSettings) -> Level | None:
    """As ``tightest``, on a snapshot: to refuse content before it is written. Storing it asks the quota itself."""
    levels = _levels(tx, row, settings, locked=False)
    return min(levels, key=lambda level: level.left_bytes, default=None)


def require_room(tx: Transaction, row: ShareRow, settings: FileSettings, size_bytes: int) -> None:
    """Refuses a content that is larger than a file may be, or than the room that is left.

    Raises: TooLarge, QuotaExceeded (naming the level).
    """
    require_size(settings, size_bytes)
    require_left(tx, row, settings, size_bytes)


def require_left(tx: Transaction, row: ShareRow, settings: FileSettings, size_bytes: int) -> None:
    """Refuses what is larger than the room that is left, be it one file or many. Raises: QuotaExceeded."""
    for level in _levels(tx, row, settings):
        if size_bytes > level.left_bytes:
            raise level.refusal(size_bytes)


def require_size(settings: FileSettings, size_bytes: int) -> None:
    """Refuses a content that is larger than a file may be. Raises: TooLarge."""
    if size_bytes > settings.file_bytes:
        raise TooLarge(
            f"a file has at most {settings.file_bytes} bytes; this one has {size_bytes}",
            extra={"limit_bytes": settings.file_bytes},
        )


class Level:
    """A quota of the share or its organisation, and the bytes left of it."""

    def __init__(self, name: str, quota_bytes: int, used: int) -> None:
        self.name = name
        self.quota_bytes = quota_bytes
        self.left_bytes = quota_bytes - used

    def refusal(self, size_bytes: int) -> QuotaExceeded:
        """The refusal of this many bytes, naming the level."""
        left_bytes = max(0, self.left_bytes)
        return QuotaExceeded(
            f"{self.name} has {left_bytes} of {self.quota_bytes} bytes left, and this needs {size_bytes}",
            extra={"quota_bytes": self.quota_bytes, "left_bytes": left_bytes},
        )


def _levels(tx: Transaction, row: ShareRow, settings: FileSettings, *, locked: bool = True) -> list[Level]:
    """The quotas that bind a share; nothing is counted without one.

    A transaction that counts blocks others until its commit: two that compare at once would both find the same room.
    """
    levels = []
    share_quota = row.quota_bytes if row.quota_bytes is not None else settings.quota_share_bytes
    if share_quota is not None:
        if locked:
            tx.lock(row.feed)
        levels.append(Level("the share", share_quota, used_bytes(tx, row.feed)))
    if settings.quota_organisation_bytes is not None:
        if locked:
            tx.lock(organisations.feed_of(tx, row.organisation))
        used = sum(used_bytes(tx, found[0]) for found in tx.rows(_SHARES, row.organisation))
        levels.append(Level("the organisation", settings.quota_organisation_bytes, used))
    return levels
