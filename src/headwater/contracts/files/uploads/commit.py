"""Puts an uploaded version into the tree at once, for callers who need no offline merge: create, or update in place.

A named base version must still be the current one. Without a base the upload becomes the newest version; nothing is
lost, because the content before it stays in the file's history.
"""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import Invalid, VersionStale
from headwater.base.ids import random_id
from headwater.contracts.files import content, paths
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.names import name_key, parent_path, split_path, stored_path
from headwater.contracts.files.paths import PathIndex, Target
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor, Node
from headwater.store.tree.versions import Version
from headwater.store.tree.writer import TreeWriter


class Destination(NamedTuple):
    """The destination of an upload: a path, a folder (None: the root) and a name, or a file."""

    path: str | None = None
    folder_id: str | None = None
    file_name: str | None = None
    resource_id: str | None = None

    @property
    def is_named(self) -> bool:
        """True when it names a place."""
        return self.path is not None or self.file_name is not None or self.resource_id is not None


class Committed(NamedTuple):
    """A file after an upload; ``status`` is created, updated or unchanged."""

    status: str
    node: Node
    version: Version


def commit_version(
    tx: Transaction, row: ShareRow, actor: Actor, place: Destination, version: Version, base_version_id: str | None
) -> Committed:
    """Makes a staged version the content of the file at a place; missing folders above it are created.

    Raises: NotFound, Invalid, VersionStale (the base is not current), StateConflict (a folder has the name).
    """
    writer = TreeWriter(tx, row.share, actor)
    if place.resource_id is not None:
        return put_on(writer, row, paths.by_id(tx, row, place.resource_id), version, base_version_id)
    index = PathIndex(tx, row)
    target = _target_of(index, writer, place)
    taken = nodes.child(tx, row.feed, target.parent, target.name.key)
    if taken is not None:
        return put_on(writer, row, taken, version, base_version_id)
    require_no_base(base_version_id)
    if place.path is None:
        # The length of a path was checked itself; below a folder the path may be longer than allowed.
        index.require_reach(target)
    node_id = random_id("fil")
    kept = versions.keep(tx, row.feed, version, node_id, version.modified_us, is_first=True)
    folder_path = index.folder_path(target.parent)
    details = versions.details(kept)
    node = writer.create("file", target.parent, target.name, kept.id, details, id=node_id, folder_path=folder_path)
    return Committed("created", node, kept)


def put_on(writer: TreeWriter, row: ShareRow, node: Node, version: Version, base_version_id: str | None) -> Committed:
    """Puts a staged version on top of a file; equal content changes nothing, but mends what is damaged.

    Raises: StateConflict, VersionStale.
    """
    if node.type != "file":
        raise paths.name_taken(node.name)
    tx, feed = writer.tx, writer.share.feed
    current = versions.find(tx, feed, node.version) if node.version else None
    if current is not None and versions.is_same(current, version):
        return Committed("unchanged", node, content.mend_by(tx, row, current, version))
    if base_version_id is not None and base_version_id != node.version:
        raise VersionStale(
            f"the file is at {node.version}, not at {base_version_id}", extra={"version_id": node.version}
        )
    kept = versions.keep(tx, feed, version, node.id, version.modified_us)
    updated = writer.put_version(node, kept.id, versions.details(kept))
    return Committed("updated", updated, kept)


def require_no_base(base_version_id: str | None) -> None:
    """Refuses what should be an update, where no file exists. Raises: VersionStale."""
    if base_version_id is not None:
        raise VersionStale("there is no file of this name that could have the base version")


def require_name(tx: Transaction, row: ShareRow, place: Destination) -> None:
    """Refuses a place that the share cannot have, before its content arrives. Raises: Invalid, NotFound."""
    if place.path is None:
        paths.folder_by_id(tx, row, place.folder_id)
        if place.file_name is not None:
            paths.name_in(row, place.file_name, "file_name")
    elif not split_path(stored_path(place.path, row.policy)):
        raise Invalid.of("path", "incorrect_value", "the root has no name to give")


def _target_of(index: PathIndex, writer: TreeWriter, place: Destination) -> Target:
    """The folder and name of a place; folders that its path lacks are created."""
    row = index.row
    if place.path is not None:
        path = stored_path(place.path, row.policy)
        names = split_path(path)
        if not names:
            raise Invalid.of("path", "incorrect_value", "the root has no name to give")
        parent = index.make_folders(writer, parent_path(path)).id
        return Target(parent, nodes.Name(names[-1], name_key(names[-1], row.policy)))
    if place.file_name is None:
        raise Invalid.of("path", "missing", "name the file with path, or with file_name and folder_id")
    return Target(paths.folder_by_id(index.tx, row, place.folder_id), paths.name_in(row, place.file_name, "file_name"))
