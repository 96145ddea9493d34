"""The files that a damaged chunk belongs to, for the person who is to send them again."""

from __future__ import annotations

from headwater.store.database import Transaction
from headwater.store.tree import nodes

FILES_NAMED = 3
"""Files named for one chunk; equal content may be in many."""

_VERSIONS = (
    "SELECT s.id, v.feed, v.node, v.number FROM version_chunks c"
    " JOIN versions v ON v.feed = c.feed AND v.id = c.version JOIN shares s ON s.feed = v.feed"
    " WHERE c.organisation = ? AND c.chunk = ? AND v.node IS NOT NULL AND s.deleted_us IS NULL LIMIT ?"
)


def named(tx: Transaction, organisation: str, chunk: bytes) -> list[str]:
    """Some files with this chunk, each as its share, path and version; those of the trash with the path they had."""
    found = []
    for share, feed, node_id, number in tx.rows(_VERSIONS, organisation, chunk, FILES_NAMED):
        node = nodes.find(tx, feed, node_id)
        if node is not None:
            found.append(f"{share}:{nodes.path_of(tx, feed, node)} version {number}")
    return sorted(found)
