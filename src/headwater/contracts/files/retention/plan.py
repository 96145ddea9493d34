"""The plan of a cleaning: the counts of one that would run now, by the same decisions, without a change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.retention import prune_versions, purge_shares, purge_trash
from headwater.contracts.files.retention.gc import MARKS, Cleaned
from headwater.contracts.files.uploads import rules as upload_rules
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.chunks import among, batched
from headwater.store.packs.gc_plan import plan_sweep
from headwater.store.tree import versions

_BY_UPLOADS = batched("SELECT chunk, upload FROM upload_chunks WHERE organisation = ? AND chunk IN (BATCH)")
_BY_VERSIONS = batched(
    "SELECT c.chunk, c.feed, c.version, v.node FROM version_chunks c"
    " LEFT JOIN versions v ON v.feed = c.feed AND v.id = c.version WHERE c.organisation = ? AND c.chunk IN (BATCH)"
)


class _Doomed(NamedTuple):
    """The owners of chunks that the steps before the sweep would remove, and so keep no chunk."""

    shares: frozenset[int]
    files: frozenset[tuple[int, str]]
    uploads: frozenset[str]
    versions: frozenset[tuple[int, str]]

    def marks(self, tx: Transaction, organisation: str, ids: Sequence[bytes]) -> set[bytes]:
        """The chunks that an upload or version keeps which none of these steps would remove."""
        if not any(self):
            return MARKS(tx, organisation, ids)
        by_uploads = among(tx, _BY_UPLOADS, (organisation,), ids)
        marked = {chunk for chunk, upload in by_uploads if upload not in self.uploads}
        marked |= {
            chunk
            for chunk, feed, version, node in among(tx, _BY_VERSIONS, (organisation,), ids)
            if feed not in self.shares and (feed, version) not in self.versions and (feed, node) not in self.files
        }
        return marked


def plan(database: Database, packs: PackBackend, settings: FileSettings) -> Cleaned:
    """The counts of a ``gc.clean`` that would run now. It reads the packs that would be copied, and changes nothing.

    A server that runs meanwhile may change what the plan was made from.
    """
    shares = frozenset(feed for feed, _ in purge_shares.due(database, settings))
    trash = purge_trash.plan_trash(database, settings)
    uploads = frozenset(database.read_now(upload_rules.expired))
    staged = frozenset(row for row in database.read_now(versions.expired) if row[0] not in shares)
    pruned = frozenset(
        (feed, version.id)
        for feed, rule in prune_versions.due(database, settings)
        for version in prune_versions.plan(database, feed, rule)
        if (feed, version.node) not in trash.files
    )
    doomed = _Doomed(shares, trash.files, uploads, staged | pruned | database.read_now(_pruned_before))
    swept = plan_sweep(database, packs, doomed.marks, grace_us=settings.gc_grace_seconds * SECOND_US)
    return Cleaned(len(shares), trash.nodes, len(pruned), len(uploads) + len(staged), swept)


def _pruned_before(tx: Transaction) -> frozenset[tuple[int, str]]:
    """The versions whose pruning was cut off: their marks on content go first."""
    return frozenset((row[0], row[1]) for row in tx.rows("SELECT feed, id FROM pruned_versions WHERE chunks_left = 1"))
