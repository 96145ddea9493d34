"""The decisions about a share's tree when it is changed directly. ``apply`` has its own.

Source: files contract, readings "Names and tree".
"""

from __future__ import annotations

import re

from headwater.base.errors import Invalid, NotFound, StateConflict
from headwater.base.settings.table import FileSettings
from headwater.contracts.files import quota
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import join_path, split_path, stored_path
from headwater.contracts.files.paths import PathIndex, Target, folder_by_id, name_in, name_taken
from headwater.contracts.files.tree import restore as tree_restore
from headwater.contracts.files.tree.shapes import FolderFields
from headwater.feed.cursor import invalid
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor, Name, Node
from headwater.store.tree.writer import TreeWriter

_TRASH_KEY = re.compile(r"00[0-9]{18} ")
"""The start of a ``trash_key``: microseconds UTC since 1970 that both databases can hold."""


def create_folder(tx: Transaction, row: ShareRow, actor: Actor, fields: FolderFields) -> Node:
    """Creates a folder; with ``parents`` also those above that are missing.

    Raises: Invalid, NotFound (no parent), StateConflict (the name is taken).
    """
    index, writer = PathIndex(tx, row), TreeWriter(tx, row.share, actor)
    if fields.path is not None and fields.parents:
        return _create_folders(index, writer, fields.path)
    if fields.path is not None:
        target = index.target(fields.path)
    elif fields.name is not None:
        target = Target(folder_by_id(tx, row, fields.parent_id), name_in(row, fields.name))
    else:
        raise Invalid.of("path", "missing", "give a path, or a name and the parent's id")
    index.require_free(target)
    index.require_reach(target)
    folder_path = index.folder_path(target.parent)
    return writer.create("folder", target.parent, target.name, None, {}, folder_path=folder_path)


def move(tx: Transaction, row: ShareRow, actor: Actor, node: Node, target: Target) -> Node:
    """Gives a live node another name or folder; the same place changes nothing.

    Raises: StateConflict (the name is taken, or it would move into itself), Invalid (the path gets too long).
    """
    if (target.parent, target.name.text) == (node.parent, node.name):
        return node
    index = PathIndex(tx, row)
    index.require_free(target, node.id)
    if any(folder.id == node.id for folder in index.chain(target.parent).nodes()):
        raise StateConflict("a folder cannot be moved into itself", code="INTO_ITSELF")
    index.require_reach(target)
    writer = TreeWriter(tx, row.share, actor)
    return writer.place(node, target.parent, target.name, _details(tx, row.feed, node))


def trash(tx: Transaction, row: ShareRow, actor: Actor, node: Node) -> Node:
    """Puts a live node into the trash, with all that is below it."""
    return TreeWriter(tx, row.share, actor).trash(node, _details(tx, row.feed, node))


def restore(tx: Transaction, row: ShareRow, actor: Actor, node: Node, target: Target | None) -> Node:
    """Takes a node out of the trash, to its old place or to another one.

    Raises: StateConflict (it is not in the trash; its folder was removed; the name is taken).
    """
    if node.trashed_us is None:
        if nodes.is_live(tx, row.feed, node):
            raise StateConflict("this is not in the trash")
        raise StateConflict("this is not in the trash itself; restore the folder that is")
    if target is None:
        target = Target(node.parent, Name(node.name, node.name_key))
    above = nodes.find(tx, row.feed, target.parent) if target.parent else None
    if target.parent and (above is None or not nodes.is_live(tx, row.feed, above)):
        raise StateConflict("its folder is gone; name a path to restore it to")
    index = PathIndex(tx, row)
    index.require_free(target, node.id)
    index.require_reach(target)
    writer = TreeWriter(tx, row.share, actor)
    return tree_restore.restore(writer, node, target.parent, target.name, _details(tx, row.feed, node))


def restore_version(
    tx: Transaction, row: ShareRow, actor: Actor, node: Node, version_id: str, settings: FileSettings
) -> Node:
    """Puts an older content of a file on top again, as a new version; the current one stays in the history.

    Raises: NotFound (no such version of this file), QuotaExceeded (there is no room for it twice).
    """
    older = versions.find(tx, row.feed, version_id)
    if older is None or older.node != node.id:
        raise NotFound(f"no version {version_id!r} of this file")
    if older.id == node.version:
        return node
    quota.require_left(tx, row, settings, older.size_bytes)
    staging = versions.Staging(
        row.feed,
        row.organisation,
        actor.user_id,
        actor.device_id,
        older.mime_type,
        older.modified_us,
        older.sha256,
        None,
    )
    staged = versions.stage(tx, staging, versions.pieces(tx, row.feed, older.id))
    kept = versions.keep(tx, row.feed, staged, node.id, older.modified_us)
    return TreeWriter(tx, row.share, actor).put_version(node, kept.id, versions.details(kept))


def trash_key(node: Node) -> str:
    """The position of a node in the list of the trash."""
    return f"{node.trashed_us:020d} {node.id}"


def in_trash(tx: Transaction, row: ShareRow, after: str, limit: int) -> list[Node]:
    """The nodes put into the trash themselves, the oldest first, after a ``trash_key``. Raises: CursorInvalid."""
    if after and not _TRASH_KEY.match(after):
        raise invalid("malformed", "the cursor is not one of this server's")
    at_text, _, node_id = after.partition(" ")
    return nodes.trashed(tx, row.feed, int(at_text or 0), node_id, limit)


def _details(tx: Transaction, feed: int, node: Node) -> dict[str, object]:
    """The content of a node as the metadata of a change; empty for a folder."""
    version = versions.find(tx, feed, node.version) if node.version else None
    return versions.details(version) if version else {}


def _create_folders(index: PathIndex, writer: TreeWriter, raw: str) -> Node:
    """Creates the folder at a path, and those above it that are missing. Raises: Invalid, StateConflict (it exists)."""
    names = split_path(stored_path(raw, index.row.policy))
    if not names:
        raise Invalid.of("path", "incorrect_value", "the root has no name to give")
    created = index.make_folders(writer, join_path(names)).created
    if not created:
        raise name_taken(names[-1])
    return created[-1]
