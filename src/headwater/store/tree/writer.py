"""The only writer of files and folders: a node and its change in one transaction. Moves and deletions are O(1).

Names come with their key (``contracts/files/names.py`` makes both). The caller has checked that the name is free and
that nothing moves into itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from headwater.base.ids import random_id
from headwater.base.wire import encode, format_seconds
from headwater.store.database import Transaction
from headwater.store.log import changes
from headwater.store.tree import nodes
from headwater.store.tree.nodes import Actor, Name, Node, Paths, Share

Details = Mapping[str, Any]
"""The metadata of a change: what is known of a node's content."""


class TreeWriter(NamedTuple):
    """Writes the nodes of one share for one actor, within one transaction."""

    tx: Transaction
    share: Share
    actor: Actor

    def create(
        self, type: str, parent: str, name: Name, version: str | None, details: Details,
        *, id: str | None = None, trashed: bool = False, folder_path: str | None = None,
    ) -> Node:  # fmt: skip
        """Creates a file (with its version) or a folder, and its change ``created``.

        ``folder_path`` is the path of the parent (empty for the root) where the caller knows it. A node created
        ``trashed`` keeps bytes for a later restore and changes no tree: it gets no change of its own.
        """
        tx, actor = self.tx, self.actor
        node_id = id or random_id("fld" if type == "folder" else "fil")
        number = tx.bump(self.share.feed, "number:node")
        trashed_us = tx.now_us if trashed else None
        node = Node(
            node_id, number, type, parent, name.text, name.key, version, 0, trashed_us,
            actor.user_id if trashed else None, tx.at_us, tx.at_us, tx.at_us,
        )  # fmt: skip
        if not trashed:
            path = self._path(node) if folder_path is None else f"{folder_path}/{name.text}"
            node = node._replace(position=self.append_change(node, "created", Paths(None, path), details))
        tx.run(nodes.INSERT, self.share.feed, *node)
        return node

    def put_version(self, node: Node, version: str, details: Details, *, path: str | None = None) -> Node:
        """Makes a version the current one of a file, with its change ``updated``; at ``path``, where it is known."""
        path = self._path(node) if path is None else path
        changed = node._replace(version=version, updated_us=max(self.tx.at_us, node.updated_us))
        return self._update(changed, "updated", Paths(path, path), details)

    def place(self, node: Node, parent: str, name: Name, details: Details, *, paths: Paths | None = None) -> Node:
        """Gives a node another name or folder: one change, ``renamed`` under the same folder, else ``moved``.

        ``paths`` is its path before and after, where the caller knows it.
        """
        at_us = max(self.tx.at_us, node.updated_us)
        moved = node._replace(parent=parent, name=name.text, name_key=name.key, updated_us=at_us, placed_us=at_us)
        kind = "renamed" if parent == node.parent else "moved"
        return self._update(moved, kind, paths or Paths(self._path(node), self._path(moved)), details)

    def trash(self, node: Node, details: Details, *, path: str | None = None) -> Node:
        """Puts a node, and with it all that is below, into the trash: one change ``deleted``."""
        self.tx.frees_room()
        path = self._path(node) if path is None else path
        gone = node._replace(trashed_us=self.tx.now_us, trashed_by=self.actor.user_id)
        return self._update(gone, "deleted", Paths(path, None), details)

    def restore(self, node: Node, parent: str, name: Name, details: Details, *, path: str | None = None) -> Node:
        """Takes a node out of the trash, under its id, to this place: one change ``created``."""
        at_us = max(self.tx.at_us, node.updated_us)
        back = node._replace(
            parent=parent, name=name.text, name_key=name.key, trashed_us=None, trashed_by=None, updated_us=at_us,
            placed_us=at_us,
        )  # fmt: skip
        return self._update(back, "created", Paths(None, self._path(back) if path is None else path), details)

    def announce(self, node: Node, path: str, details: Details) -> Node:
        """Writes the change ``created`` of a live node that returned because its folder was restored."""
        return self._update(node, "created", Paths(None, path), details)

    def append_change(self, node: Node, change_type: str, paths: Paths, details: Details) -> int:
        """Appends a change about a node; its position. Source: files contract, "Change object"."""
        tx, feed = self.tx, self.share.feed
        position = changes.next_position(tx, feed)
        content = change(self.share, self.actor, node, change_type, paths, details) | {
            "id": f"chg_{feed}_{position}",
            "changed_at": format_seconds(tx.at_us),
            "position": position,
        }
        deleted = int(change_type == "deleted")
        changes.append(tx, feed, (position, node.type, node.id, 0, deleted, tx.now_us, encode(content)))
        return position

    def _path(self, node: Node) -> str:
        return nodes.path_of(self.tx, self.share.feed, node)

    def _update(self, node: Node, change_type: str, paths: Paths, details: Details) -> Node:
        """Writes a changed node and its change."""
        node = node._replace(position=self.append_change(node, change_type, paths, details))
        self.tx.run(
            "UPDATE nodes SET parent = ?, name = ?, name_key = ?, version = ?, position = ?, trashed_us = ?,"
            " trashed_by = ?, updated_us = ?, placed_us = ? WHERE feed = ? AND id = ?",
            node.parent, node.name, node.name_key, node.version, node.position, node.trashed_us, node.trashed_by,
            node.updated_us, node.placed_us, self.share.feed, node.id,
        )  # fmt: skip
        return node


def change(share: Share, actor: Actor, node: Node, change_type: str, paths: Paths, details: Details) -> dict[str, Any]:
    """A change in its wire form; ``metadata`` also names the folder, and the device, by which echoes are known."""
    return {
        "id": "",
        "tenant_id": share.organisation,
        "share_id": share.id,
        "resource_type": node.type,
        "resource_id": node.id,
        "change_type": change_type,
        "changed_by": actor.user_id,
        "changed_at": "",
        "old_path": paths.old,
        "new_path": paths.new,
        "version_id": node.version,
        "metadata": {**details, "parent_id": node.parent or None, "device_id": actor.device_id or None},
    }
