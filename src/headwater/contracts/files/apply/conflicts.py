"""Conflict records: written, listed, recognised when a change is repeated, and settled by a person.

Source: files contract, "Conflicts"; readings "Strategies".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from headwater.base.errors import Forbidden, NotFound, StateConflict
from headwater.base.ids import random_id
from headwater.base.wire import encode, format_seconds
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.apply import execute
from headwater.contracts.files.apply.decide import resolve_later
from headwater.contracts.files.apply.decision import Decision, NewConflict, Outcome
from headwater.contracts.files.apply.execute import ActingDevice, Executed
from headwater.contracts.files.apply.gather import Question, gather
from headwater.contracts.files.apply.inputs import RecordedConflict, Strategy
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.apply.shapes import ChangeItem, read_item
from headwater.contracts.files.apply.shapes import FileConflict as ConflictShown
from headwater.contracts.files.paths import PathIndex
from headwater.identity.principal import Principal
from headwater.store import idempotency
from headwater.store.database import Transaction
from headwater.store.tree import versions
from headwater.store.tree.nodes import Actor
from headwater.store.tree.versions import Version

_COLUMNS = (
    "feed, id, number, device_id, resource_type, resource_id, kind, local_version_id, server_version_id, item,"
    " item_hash, copy_id, resolution, created_us, resolved_us, resolved_by, sides"
)
_LISTED = _COLUMNS.replace(" item,", " NULL,").replace("sides", "NULL")
"""The columns for a list, without the items: a share may hold thousands, each with two long paths."""

_read_sides = msgspec.json.Decoder(dict[str, int | None])

PREFIX = "cfl_"
"""The prefix of a conflict's id; no file's id has it."""


class ConflictRow(NamedTuple):
    """A conflict's row; times in microseconds UTC since 1970. ``item`` is left out of a list."""

    feed: int
    id: str
    number: int
    device_id: str
    resource_type: str
    resource_id: str | None
    kind: str
    local_version_id: str | None
    server_version_id: str | None
    item: bytes | None
    item_hash: bytes
    copy_id: str | None
    resolution: str | None
    created_us: int
    resolved_us: int | None
    resolved_by: str | None
    sides: str | None = None

    @property
    def recorded(self) -> RecordedConflict:
        """The part that the choice needs."""
        return RecordedConflict(self.id, Strategy(self.resolution) if self.resolution else None)

    @property
    def change(self) -> ChangeItem:
        """The change of the item; a row of a list has none."""
        assert self.item is not None, "a list leaves the items out; find() reads one"
        return read_item.decode(bytes(self.item))


class ConflictFilter(NamedTuple):
    """The conflicts to list; ``before`` continues the list of one share below a number."""

    device_id: str | None = None
    resolved: bool = False
    devices: tuple[str, ...] | None = None
    """Only the conflicts of these devices: a member who may not write sees their own."""

    before: int | None = None
    limit: int = 1000


class Wish(NamedTuple):
    """An item as a repeat of it is recognised: by its device, its strategy, and the content that it brings."""

    device_id: str
    strategy: Strategy
    change: ChangeItem
    content_hash: str | None

    @property
    def hash(self) -> bytes:
        """The hash of resource, base, content and places; another upload of the same bytes has the same one."""
        change = self.change
        kind = (self.strategy.value, change.resource_type, change.change_type, change.resource_id)
        # An update keeps the path, whatever it names; a creation has no base.
        places = (None, None) if change.change_type == "updated" else (change.old_path, change.new_path)
        # Where the last writer wins, another time of the edit is another wish.
        at = change.metadata.modified_at if self.strategy is Strategy.LAST_WRITER_WINS else None
        parts = (*kind, change.base_version_id, self.content_hash, *places, at)
        return idempotency.request_hash(self.device_id.encode(), encode(parts))


def earlier(tx: Transaction, rows: Rows, feed: int, wish: Wish) -> ConflictRow | None:
    """The conflict that this very wish already caused, while both sides stand as they stood then; or None."""
    row = tx.row(
        f"SELECT {_COLUMNS} FROM file_conflicts WHERE feed = ? AND device_id = ? AND item_hash = ?"
        " ORDER BY number DESC LIMIT 1",
        feed,
        wish.device_id,
        wish.hash,
    )
    if row is None:
        return None
    found = ConflictRow(*row)
    if found.sides is None:
        return None
    stood: dict[str, int | None] = _read_sides.decode(found.sides)
    rows.read_nodes(stood)
    return found if _sides(rows, stood) == stood else None


def record(
    tx: Transaction, rows: Rows, feed: int, wish: Wish, conflict: NewConflict, executed: Executed | None = None
) -> ConflictRow:
    """Writes a conflict; one for which a strategy ran is resolved from the start."""
    ran, change, copy_id = conflict.resolution, wish.change, executed.copy_id if executed else None
    row = ConflictRow(
        feed, random_id(PREFIX.rstrip("_")), tx.bump(feed, "number:conflict"), wish.device_id, change.resource_type,
        conflict.resource_id, conflict.kind.value, conflict.local_version_id, conflict.server_version_id,
        encode(change), wish.hash, copy_id, ran.value if ran else None, tx.now_us,
        tx.now_us if ran else None, None, _stand(rows, change, conflict.resource_id, executed),
    )  # fmt: skip
    tx.run(f"INSERT INTO file_conflicts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", *row)
    return row


def _stand(rows: Rows, change: ChangeItem, opponent_id: str | None, executed: Executed | None) -> str:
    """The two sides as they stand now: the item's resource, the opponent, and all that was written for the item."""
    created = executed.created if executed else None
    written = [*(executed.positions if executed else ()), *([created.id] if created else ())]
    return encode(_sides(rows, [change.resource_id, opponent_id, *written])).decode()


def _sides(rows: Rows, node_ids: Iterable[str | None]) -> dict[str, int | None]:
    """The position of the newest change of each node; None for one that the share does not have."""
    found = {node_id: rows.node(node_id) for node_id in node_ids if node_id}
    return {node_id: node.position if node else None for node_id, node in found.items()}


def find(tx: Transaction, id: str) -> ConflictRow | None:
    """The conflict with this id, or None."""
    row = tx.row(f"SELECT {_COLUMNS} FROM file_conflicts WHERE id = ?", id)
    return None if row is None else ConflictRow(*row)


def may_read(tx: Transaction, principal: Principal, share: ShareRow, version: Version) -> bool:
    """True when the caller may read a version, and settle what waits with it.

    A version that no file holds was never published: its author reads it, and a member with MANAGE.
    """
    if version.node is not None or version.user_id == principal.user_id:
        return True
    return access.access_of(tx, principal, share) >= Access.MANAGE


def has_open(tx: Transaction, feed: int, device_id: str) -> bool:
    """True when a conflict of this device waits for a person."""
    found = tx.row(
        "SELECT 1 FROM file_conflicts WHERE feed = ? AND device_id = ? AND resolution IS NULL LIMIT 1", feed, device_id
    )
    return found is not None


def of_share(tx: Transaction, feed: int, wanted: ConflictFilter) -> list[ConflictRow]:
    """Conflicts of a share, the newest first."""
    where, params = "feed = ?", [feed]  # type: tuple[str, list[object]]
    if not wanted.resolved:
        where += " AND resolution IS NULL"
    if wanted.device_id is not None:
        where += " AND device_id = ?"
        params.append(wanted.device_id)
    if wanted.devices is not None:
        where += f" AND device_id IN ({', '.join('?' * len(wanted.devices)) or 'NULL'})"
        params += wanted.devices
    if wanted.before is not None:
        where += " AND number < ?"
        params.append(wanted.before)
    rows = tx.rows(
        f"SELECT {_LISTED} FROM file_conflicts WHERE {where} ORDER BY number DESC LIMIT ?", *params, wanted.limit
    )
    return [ConflictRow(*row) for row in rows]


def resolve(tx: Transaction, principal: Principal, id: str, resolution: Strategy, device_id: str) -> ConflictShown:
    """Settles a conflict with a person's answer, on the present state.

    ``device_id`` is the device that the person uses, empty when unknown.
    Raises: NotFound, Forbidden (no WRITE, or the draft of another member), Malformed (MANUAL), StateConflict (another
    answer before; or it cannot be carried out now, and stays open).
    """
    row = find(tx, id)
    try:
        share = None if row is None else access.require_feed(tx, principal, row.feed, Access.WRITE)
    except NotFound:
        # The share of another caller's conflict is not named: that would disclose that the conflict exists.
        share = None
    if row is None or share is None:
        raise NotFound(f"no conflict {id!r}")
    draft = versions.find(tx, row.feed, row.local_version_id) if row.local_version_id else None
    if draft is not None and not may_read(tx, principal, share, draft):
        raise Forbidden("the author of the draft that waits here settles it, or a member with MANAGE")
    # The state that the answer is carried out on must not change before the commit.
    tx.lock(row.feed)
    question = Question(row.change, resolution, row.created_us, None)
    paths = PathIndex(tx, share)
    situation, rows = gather(paths, question)
    decision = resolve_later(row.recorded, resolution, situation)
    if row.resolution is not None:
        return shown(paths, rows, row)
    if decision.outcome in {Outcome.REFUSED, Outcome.STALE}:
        reason = decision.reason.value if decision.reason else ""
        raise StateConflict(
            f"this cannot be carried out on the present state ({reason}); the conflict stays open",
            extra={"reason": reason},
        )
    acting = ActingDevice(Actor(principal.user_id, device_id), _device_name(tx, share, row.device_id), settles=True)
    executed = execute.carry_out(paths, rows, acting, situation.item, decision)
    _release(tx, rows, row, decision, executed)
    settled = row._replace(
        resolution=resolution.value, resolved_us=tx.now_us, resolved_by=principal.user_id,
        copy_id=executed.copy_id or row.copy_id, sides=_stand(rows, row.change, row.resource_id, executed),
    )  # fmt: skip
    tx.run(
        "UPDATE file_conflicts SET resolution = ?, resolved_us = ?, resolved_by = ?, copy_id = ?, sides = ?"
        " WHERE feed = ? AND id = ?",
        settled.resolution, settled.resolved_us, settled.resolved_by, settled.copy_id, settled.sides, row.feed, row.id,
    )  # fmt: skip
    return shown(paths, rows, settled)


def shown(paths: PathIndex, rows: Rows, row: ConflictRow) -> ConflictShown:
    """A conflict in its wire form; its path is where the resource is now."""
    node = rows.node(row.resource_id)
    return ConflictShown(
        id=row.id,
        share_id=paths.row.id,
        device_id=row.device_id,
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        local_version_id=row.local_version_id,
        server_version_id=row.server_version_id,
        resolution=row.resolution,
        created_at=format_seconds(row.created_us),
        resolved_at=None if row.resolved_us is None else format_seconds(row.resolved_us),
        conflict_type=row.kind,
        path=paths.path(node) if node else _wanted_path(paths.tx, row),
        copy_id=row.copy_id,
        resolved_by=row.resolved_by,
    )


def _wanted_path(tx: Transaction, row: ConflictRow) -> str | None:
    """The path that the change asked for, where no resource exists."""
    whole = row if row.item is not None else find(tx, row.id)
    return None if whole is None else whole.change.new_path


def _release(tx: Transaction, rows: Rows, row: ConflictRow, decision: Decision, executed: Executed) -> None:
    """Retains bytes that the answer did not need, beside the equal ones, in the history of the same file."""
    version = rows.version(row.local_version_id)
    if version is None or version.state != "held":
        return
    resource_id = decision.resource_id or row.resource_id or (executed.created.id if executed.created else None)
    node = rows.node(resource_id)
    if node is not None and node.type == "file":
        versions.keep(tx, row.feed, version, node.id, min(version.modified_us, tx.now_us))


def _device_name(tx: Transaction, share: ShareRow, device_id: str) -> str:
    name = tx.value(
        "SELECT device_name FROM devices WHERE organisation = ? AND door = 'files' AND device_id = ?",
        share.organisation,
        device_id,
    )
    return name or device_id
