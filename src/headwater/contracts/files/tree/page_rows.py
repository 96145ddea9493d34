"""The rows that the nodes of one page have in common: the folders above them, and their versions.

Each folder is read once a page, however many nodes are below it. So a page costs its nodes and the folders above them,
not their product; and it ends early where these are very many.
"""

from __future__ import annotations

from collections.abc import Sequence

from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.paths import PathIndex
from headwater.store.database import Transaction
from headwater.store.tree import versions
from headwater.store.tree.nodes import Node
from headwater.store.tree.versions import Version

MAX_FOLDERS = 10_000
"""Folders that one page reads; it ends after the node that reached the number."""

MAX_PATH_CHARACTERS = 4_000_000
"""Characters of the paths that one page shows, likewise: those of deep folders are long."""


class PageRows:
    """Folders and versions of one share, by id, for one page."""

    def __init__(self, tx: Transaction, row: ShareRow) -> None:
        self._tx = tx
        self._row = row
        self._index = PathIndex(tx, row)
        self._paths: dict[str, str] = {}
        self._versions: dict[str, Version] = {}
        self._characters = 0

    @property
    def is_spent(self) -> bool:
        """True when the page has cost enough and ends."""
        return self._index.folders_known >= MAX_FOLDERS or self._characters >= MAX_PATH_CHARACTERS

    def path(self, node: Node) -> str:
        """The path of a node; for one in the trash the path that it had."""
        folder = self._paths.get(node.parent)
        if folder is None:
            folder = self._paths[node.parent] = self._index.folder_path(node.parent)
        self._characters += len(folder)
        return f"{folder}/{node.name}"

    def version(self, node: Node) -> Version | None:
        """The current version of a file; None for a folder."""
        if node.version is not None and node.version not in self._versions:
            self.read_versions([node])
        return self._versions.get(node.version or "")

    def read_versions(self, page: Sequence[Node]) -> None:
        """Reads the versions of these nodes in one statement."""
        wanted = [node.version for node in page if node.version]
        if wanted:
            self._versions |= {each.id: each for each in versions.find_many(self._tx, self._row.feed, wanted)}
