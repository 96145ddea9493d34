"""The door of a share's tree; decides nothing. Source: readings, section 7, "Content", "Names and tree"."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from msgspec import UNSET

from headwater.base.errors import Invalid
from headwater.base.wire import format_seconds
from headwater.contracts.files import access, paths
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.caller import actor_of, device_of
from headwater.contracts.files.paths import PathIndex, Target
from headwater.contracts.files.tree import cross_share, rules, shapes
from headwater.contracts.files.tree.page_rows import PageRows
from headwater.contracts.files.tree.shapes import NodeAnswer, NodePage, Placement, VersionAnswer, VersionPage
from headwater.feed.cursor import invalid
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import ROOT, Node
from headwater.store.tree.versions import Version
from headwater.web import reply
from headwater.web.call import Call
from headwater.web.http import etags
from headwater.web.http.paging import integer
from headwater.web.reply import Reply
from headwater.web.services import Services

_QUICK_ROWS = 200
"""Rows that are read and shown in well under a millisecond, on the event loop where the database is embedded."""


class TreeDoor:
    """The handlers below ``/api/v1/shares/{share_id}``: nodes, trash, versions."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings.files

    async def children(self, call: Call) -> Reply:
        """GET /{id}/children: the nodes of a folder, by ``folder_id`` or ``path`` (default: the root)."""
        limit = integer(call.query, "limit", 100, 1, 1000)
        after = _after(call.query.get("cursor"))
        path, folder_id = call.query.get("path"), call.query.get("folder_id")

        def transaction(tx: Transaction) -> NodePage:
            row = access.require(tx, call.principal, call.params["share_id"], Access.READ)
            folder = _folder(tx, row, path, folder_id)
            found = nodes.children(tx, row.feed, folder, after, limit + 1)
            return _page(tx, row, found, limit, [node.name_key for node in found])

        # Of a folder at the top the cost is known: its rows. Another one may be any number of levels deep.
        is_deep = folder_id is not None or path not in (None, "/")
        return reply.json(await call.read(transaction, slow=is_deep or limit > _QUICK_ROWS))

    async def trash(self, call: Call) -> Reply:
        """GET /{id}/trash: the deleted nodes, the oldest first."""
        limit = integer(call.query, "limit", 100, 1, 1000)
        after = _after(call.query.get("cursor"))

        def transaction(tx: Transaction) -> NodePage:
            row = access.require(tx, call.principal, call.params["share_id"], Access.READ)
            found = rules.in_trash(tx, row, after, limit + 1)
            return _page(tx, row, found, limit, [rules.trash_key(node) for node in found])

        # Each node may be in a folder of its own, any number of levels deep.
        return reply.json(await call.read(transaction, slow=True))

    async def create_folder(self, call: Call) -> Reply:
        """POST /{id}/folders: a new folder; 201."""
        fields = call.decoded(shapes.read_folder)
        device_id = device_of(call)

        def transaction(tx: Transaction) -> NodeAnswer:
            row = access.require(tx, call.principal, call.params["share_id"], Access.WRITE)
            return shown(tx, row, rules.create_folder(tx, row, actor_of(tx, call.principal, device_id), fields))

        return await call.act(transaction, lambda node: reply.json(node, 201, (_etag(node),)))

    async def node(self, call: Call) -> Reply:
        """GET /{id}/nodes/{node_id}: one file or folder, also from the trash."""

        def transaction(tx: Transaction) -> NodeAnswer:
            row = access.require(tx, call.principal, call.params["share_id"], Access.READ)
            return shown(tx, row, paths.by_id(tx, row, call.params["node_id"], trashed=True))

        return _shown(call, await call.read(transaction))

    async def node_at(self, call: Call) -> Reply:
        """GET /{id}/node?path=: the file or folder at a path."""
        path = call.query.get("path")
        if path is None:
            raise Invalid.of("path", "missing", "name a path with ?path=/...")

        def transaction(tx: Transaction) -> NodeAnswer:
            row = access.require(tx, call.principal, call.params["share_id"], Access.READ)
            return shown(tx, row, PathIndex(tx, row).node_at(path))

        return _shown(call, await call.read(transaction))

    async def place(self, call: Call) -> Reply:
        """PATCH /{id}/nodes/{node_id}: another name, folder or share."""
        wanted = call.decoded(shapes.read_placement)
        device_id, if_match = device_of(call), call.header(b"if-match")

        def transaction(tx: Transaction) -> NodeAnswer:
            row = access.require(tx, call.principal, call.params["share_id"], Access.WRITE)
            node = paths.by_id(tx, row, call.params["node_id"])
            _require(node, if_match)
            actor = actor_of(tx, call.principal, device_id)
            if wanted.share_id is not None and wanted.share_id != row.id:
                other = access.require(tx, call.principal, wanted.share_id, Access.WRITE)
                crossing = cross_share.Crossing(other, _target(tx, other, node, wanted))
                return shown(tx, other, cross_share.cross(tx, row, actor, node, crossing, self._settings))
            return shown(tx, row, rules.move(tx, row, actor, node, _target(tx, row, node, wanted)))

        return _shown(call, await call.write(transaction))

    async def remove(self, call: Call) -> Reply:
        """DELETE /{id}/nodes/{node_id}: into the trash; 200 with the deleted node."""
        device_id, if_match = device_of(call), call.header(b"if-match")

        def transaction(tx: Transaction) -> NodeAnswer:
            row = access.require(tx, call.principal, call.params["share_id"], Access.WRITE)
            node = paths.by_id(tx, row, call.params["node_id"])
            _require(node, if_match)
            return shown(tx, row, rules.trash(tx, row, actor_of(tx, call.principal, device_id), node))

        return reply.json(await call.write(transaction))

    async def restore(self, call: Call) -> Reply:
        """POST /{id}/nodes/{node_id}/restore: out of the trash, under the same id."""
        wanted = call.decoded(shapes.read_placement) if call.body else Placement()
        device_id = device_of(call)

        def transaction(tx: Transaction) -> NodeAnswer:
            row = access.require(tx, call.principal, call.params["share_id"], Access.WRITE)
            node = paths.by_id(tx, row, call.params["node_id"], trashed=True)
            elsewhere = wanted.path is not None or wanted.parent_id is not UNSET or wanted.name is not None
            target = _target(tx, row, node, wanted) if elsewhere else None
            return shown(tx, row, rules.restore(tx, row, actor_of(tx, call.principal, device_id), node, target))

        return await call.act(transaction, lambda node: reply.json(node, 200, (_etag(node),)))

    async def versions(self, call: Call) -> Reply:
        """GET /{id}/nodes/{node_id}/versions: the newest first; ``before`` continues."""
        limit = integer(call.query, "limit", 100, 1, 1000)
        before = integer(call.query, "before", 2**62, 1, 2**62)

        def transaction(tx: Transaction) -> VersionPage:
            row = access.require(tx, call.principal, call.params["share_id"], Access.READ)
            node = paths.by_id(tx, row, call.params["node_id"], trashed=True)
            found = versions.history(tx, row.feed, node.id, before, limit + 1)
            return VersionPage([_version(version, node) for version in found[:limit]], len(found) > limit)

        return reply.json(await call.read(transaction, slow=limit > _QUICK_ROWS))

    async def restore_version(self, call: Call) -> Reply:
        """POST /{id}/nodes/{node_id}/versions/{version_id}/restore: an old content on top again."""
        device_id = device_of(call)

        def transaction(tx: Transaction) -> NodeAnswer:
            row = access.require(tx, call.principal, call.params["share_id"], Access.WRITE)
            node = paths.by_id(tx, row, call.params["node_id"])
            version_id = call.params["version_id"]
            actor = actor_of(tx, call.principal, device_id)
            return shown(tx, row, rules.restore_version(tx, row, actor, node, version_id, self._settings))

        return await call.act(transaction, lambda node: reply.json(node, 200, (_etag(node),)))


def shown(tx: Transaction, row: ShareRow, node: Node, page: PageRows | None = None) -> NodeAnswer:
    """A node in its wire form; ``page`` has the rows that the nodes of a page have in common."""
    page = PageRows(tx, row) if page is None else page
    version = page.version(node)
    return NodeAnswer(
        node.id,
        row.id,
        node.type,
        node.name,
        page.path(node),
        node.parent or None,
        node.version,
        version.number if version else None,
        version.size_bytes if version else None,
        version.mime_type if version else None,
        version.sha256 if version else None,
        format_seconds(version.modified_us) if version else None,
        format_seconds(node.created_us),
        format_seconds(node.updated_us),
        None if node.trashed_us is None else format_seconds(node.trashed_us),
        node.position,
    )


def _folder(tx: Transaction, row: ShareRow, path: str | None, folder_id: str | None) -> str:
    if path is not None and path != "/":
        return paths.folder_by_id(tx, row, PathIndex(tx, row).node_at(path).id)
    return paths.folder_by_id(tx, row, folder_id)


def _target(tx: Transaction, row: ShareRow, node: Node, wanted: Placement) -> Target:
    """The place that a request names; a part that it leaves out stays as it is."""
    if wanted.path is not None:
        return PathIndex(tx, row).target(wanted.path)
    crossing = wanted.share_id is not None
    parent = (ROOT if crossing else node.parent) if wanted.parent_id is UNSET else wanted.parent_id
    folder = parent if parent == node.parent and not crossing else paths.folder_by_id(tx, row, parent or None)
    return Target(folder or ROOT, paths.name_in(row, wanted.name or node.name))


def _page(tx: Transaction, row: ShareRow, found: Sequence[Node], limit: int, keys: Sequence[str]) -> NodePage:
    page = PageRows(tx, row)
    page.read_versions(found[:limit])
    data = []
    for node in found[:limit]:
        if page.is_spent:
            break
        data.append(shown(tx, row, node, page))
    cursor = base64.urlsafe_b64encode(keys[len(data) - 1].encode()).decode() if data else None
    return NodePage(data, cursor, len(found) > len(data))


def _after(cursor: str | None) -> str:
    if not cursor:
        return ""
    try:
        after = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (ValueError, binascii.Error):
        after = "\0"
    if "\0" in after:
        raise invalid("malformed", "the cursor is not one of this server's")
    return after


def _version(version: Version, node: Node) -> VersionAnswer:
    return VersionAnswer(
        version.id,
        version.number,
        version.size_bytes,
        version.mime_type,
        version.sha256,
        format_seconds(version.modified_us),
        format_seconds(version.created_us),
        version.user_id,
        version.device_id or None,
        version.id == node.version,
    )


def _etag(node: NodeAnswer) -> tuple[bytes, bytes]:
    return b"etag", etags.etag(node.id, node.position).encode()


def _require(node: Node, if_match: str | None) -> None:
    if if_match is not None:
        etags.require(if_match, etags.etag(node.id, node.position))


def _shown(call: Call, node: NodeAnswer) -> Reply:
    given = call.header(b"if-none-match")
    tag = _etag(node)
    if given is not None and call.method == "GET" and etags.matches(given, tag[1].decode(), weak=True):
        return reply.empty(304, (tag,))
    return reply.json(node, headers=(tag,))
