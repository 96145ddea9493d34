"""Removes what was deleted long ago and uploads that expired, and frees the content that nothing refers to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.retention import prune_versions, purge_shares, purge_trash
from headwater.contracts.files.uploads import rules as upload_rules
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.gc import Swept, marked_by, sweep
from headwater.store.tree import versions

MARKS = marked_by(upload_rules.CHUNKS_TABLE, versions.CHUNKS_TABLE)
"""The marks that keep a chunk: of uploads under way, and of versions.

In this order, because completing an upload moves its marks to a version: where each statement sees what was committed
before it, the other order could miss them in both tables.
"""

ROWS_AT_ONCE = 500


class Cleaned(NamedTuple):
    """The counts of what a cleaning removed for good, and of its sweep; ``expired`` are uploads and staged versions."""

    purged_shares: int
    purged_nodes: int
    pruned_versions: int
    expired: int
    swept: Swept


def clean(
    database: Database, packs: PackBackend, settings: FileSettings, breathe: Callable[[], None] = lambda: None
) -> Cleaned:
    """Purges deleted shares, old trash and old versions, then frees the content that nothing refers to.

    A server may run meanwhile.
    ``breathe`` as for ``sweep``.
    """
    shares = purge_shares.purge_shares(database, settings, breathe)
    nodes = purge_trash.purge_trash(database, settings, breathe)
    pruned = prune_versions.prune_by_settings(database, settings, breathe)
    expired = forget_expired(database, breathe)
    return Cleaned(shares, nodes, pruned, expired, free(database, packs, settings, breathe))


def drop_expired(tx: Transaction) -> int:
    """Removes some of the uploads and staged versions that expired; returns their number."""
    return upload_rules.drop_expired(tx, ROWS_AT_ONCE) + versions.drop_expired(tx, ROWS_AT_ONCE)


def free(
    database: Database, packs: PackBackend, settings: FileSettings, breathe: Callable[[], None] = lambda: None
) -> Swept:
    """Removes all that has expired, then frees the content that nothing refers to; a server may run meanwhile.

    ``breathe`` as for ``sweep``.
    """
    forget_expired(database, breathe)
    return sweep(database, packs, MARKS, grace_us=settings.gc_grace_seconds * SECOND_US, breathe=breathe)


def forget_expired(database: Database, breathe: Callable[[], None] = lambda: None) -> int:
    """Removes all uploads and staged versions that expired; returns their number."""
    removed = 0
    while count := database.write_now(drop_expired):
        removed += count
        breathe()
    return removed
