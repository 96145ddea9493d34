"""The nodes and versions that an item concerns: each is read once, and what is written replaces what was read.

Rows are valid for one savepoint, or for a transaction that only reads. An item that is undone drops its rows, and the
next one reads its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Node
from headwater.store.tree.versions import PrunedVersion, Version


class Rows:
    """Nodes and versions of one share, by id; None stands for an id that the share does not have."""

    def __init__(self, tx: Transaction, feed: int) -> None:
        self._tx = tx
        self._feed = feed
        self._nodes: dict[str, Node | None] = {}
        self._versions: dict[str, Version | None] = {}

    def node(self, node_id: str | None) -> Node | None:
        """The node with this id, wherever it is, or None."""
        if not node_id:
            return None
        if node_id not in self._nodes:
            self._nodes[node_id] = nodes.find(self._tx, self._feed, node_id)
        return self._nodes[node_id]

    def version(self, version_id: str | None) -> Version | None:
        """The version with this id, or None."""
        if not version_id:
            return None
        if version_id not in self._versions:
            self._versions[version_id] = versions.find(self._tx, self._feed, version_id)
        return self._versions[version_id]

    def pruned(self, version_id: str | None) -> PrunedVersion | None:
        """The version with this id that was removed from its history, or None."""
        return None if not version_id else versions.find_pruned(self._tx, self._feed, version_id)

    def read_nodes(self, node_ids: Iterable[str | None]) -> None:
        """Reads those of these nodes that are not known, in one statement."""
        unknown = {node_id for node_id in node_ids if node_id} - self._nodes.keys()
        if len(unknown) > 1:
            found = {node.id: node for node in nodes.find_many(self._tx, self._feed, sorted(unknown))}
            self._nodes |= {node_id: found.get(node_id) for node_id in unknown}

    def read_versions(self, version_ids: Iterable[str | None]) -> None:
        """Reads those of these versions that are not known, in one statement."""
        unknown = {version_id for version_id in version_ids if version_id} - self._versions.keys()
        if len(unknown) > 1:
            found = {version.id: version for version in versions.find_many(self._tx, self._feed, sorted(unknown))}
            self._versions |= {version_id: found.get(version_id) for version_id in unknown}

    def put_node(self, node: Node) -> None:
        """Knows a node as it was written."""
        self._nodes[node.id] = node

    def put_version(self, version: Version) -> None:
        """Knows a version as it was written."""
        self._versions[version.id] = version

    def forget_nodes(self) -> None:
        """Reads every node anew."""
        self._nodes.clear()
