"""Finds the version that a download names, and checks the caller's access. Decides; the doors send."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import Invalid, NotFound
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.apply import conflicts
from headwater.contracts.files.apply.conflicts import ConflictRow
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Node
from headwater.store.tree.versions import Version

_FEEDS = "SELECT s.feed FROM shares s JOIN nodes n ON n.feed = s.feed AND n.id = ? WHERE s.deleted_us IS NULL"
_SIDES = (
    "SELECT 1 FROM file_conflicts WHERE feed = ? AND resource_id = ?"
    " AND (local_version_id = ? OR server_version_id = ?)"
)
_MAX_DIGITS = 18


class Found(NamedTuple):
    """A version in a share that the caller may read: of a file, or a side of a conflict (then ``id`` is its)."""

    row: ShareRow
    id: str
    name: str
    version: Version


def find(tx: Transaction, principal: Principal, id: str, version: str | None) -> Found:
    """The file's version with this number or id, without one the current; of a conflict, the device's side.

    Raises: NotFound (unknown, not readable, in the trash, no such version), Invalid (a folder).
    """
    conflict = conflicts.find(tx, id) if id.startswith(conflicts.PREFIX) else None
    if conflict is not None:
        return _find_side(tx, principal, conflict, version)
    row, node = find_file(tx, principal, id)
    return Found(row, node.id, node.name, version_of(tx, principal, row, node, version))


def find_file(tx: Transaction, principal: Principal, file_id: str) -> tuple[ShareRow, Node]:
    """A live file with its share. Raises: NotFound, Invalid (a folder)."""
    unknown = NotFound(f"no file {file_id!r}")
    where, params = ("", ()) if principal.sees_all else (" AND s.organisation = ?", (principal.organisation,))
    feed = tx.value(_FEEDS + where, file_id, *params)
    if feed is None:
        raise unknown
    try:
        row = access.require_feed(tx, principal, feed, Access.READ)
    except NotFound:
        raise unknown from None
    node = nodes.find(tx, feed, file_id)
    if node is None or not nodes.is_live(tx, feed, node):
        raise unknown
    if node.type != "file":
        raise Invalid.of("file_id", "incorrect_value", "this is a folder; only files have content")
    return row, node


def version_of(tx: Transaction, principal: Principal, row: ShareRow, node: Node, wanted: str | None) -> Version:
    """A file's version by number or id; also the side of a conflict that waits, for those who may read it.

    Raises: NotFound.
    """
    if wanted is None:
        found = versions.find(tx, row.feed, node.version or "")
    elif wanted.isascii() and wanted.isdigit():
        number = int(wanted) if len(wanted) <= _MAX_DIGITS else 0
        found = versions.find_number(tx, row.feed, node.id, number)
    else:
        found = versions.find(tx, row.feed, wanted)
        if found is not None and found.node != node.id:
            waits = _is_side(tx, row.feed, node, found) and conflicts.may_read(tx, principal, row, found)
            found = found if waits else None
    if found is None:
        raise NotFound(f"no version {wanted!r} of this file")
    return found


def store_sha256(tx: Transaction, feed: int, version_id: str, sha256: str) -> None:
    """Stores a SHA-256 that was computed, for later requests."""
    tx.run("UPDATE versions SET sha256 = ? WHERE feed = ? AND id = ? AND sha256 IS NULL", sha256, feed, version_id)


def _find_side(tx: Transaction, principal: Principal, conflict: ConflictRow, wanted: str | None) -> Found:
    """A side of a conflict: its bytes can be read before it is settled, whatever happened to the file."""
    try:
        row = access.require_feed(tx, principal, conflict.feed, Access.READ)
    except NotFound:
        raise NotFound(f"no file {conflict.id!r}") from None
    sides = (conflict.local_version_id, conflict.server_version_id)
    version_id = conflict.local_version_id if wanted is None else wanted
    version = versions.find(tx, row.feed, version_id) if version_id and version_id in sides else None
    if version_id is None:
        raise NotFound("the device brought no content to this conflict; name the other side with version")
    if version is None or not conflicts.may_read(tx, principal, row, version):
        raise NotFound(f"no version {version_id!r} of this conflict")
    node = nodes.find(tx, row.feed, conflict.resource_id) if conflict.resource_id else None
    name = node.name if node else (conflict.change.new_path or "").rstrip("/").rpartition("/")[2]
    return Found(row, conflict.id, name, version)


def _is_side(tx: Transaction, feed: int, node: Node, version: Version) -> bool:
    return version.node is None and tx.row(_SIDES, feed, node.id, version.id, version.id) is not None
