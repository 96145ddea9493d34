"""Applying a device's changes: each item in a savepoint of its own, each in exactly one of three lists.

Source: files contract, "POST /api/v1/sync/apply"; readings "apply" and "Strategies".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from headwater.base.errors import HeadwaterError
from headwater.base.wire import encode, format_seconds
from headwater.contracts.files import access
from headwater.contracts.files.access import Access, ShareRow
from headwater.contracts.files.apply import conflicts, execute, together
from headwater.contracts.files.apply.conflicts import ConflictRow, Wish
from headwater.contracts.files.apply.decide import decide
from headwater.contracts.files.apply.decision import ConflictKind, Decision, HoldVersion, Keeper, Outcome, Reason
from headwater.contracts.files.apply.execute import ActingDevice, Executed
from headwater.contracts.files.apply.gather import Question, gather
from headwater.contracts.files.apply.inputs import Situation, Strategy
from headwater.contracts.files.apply.rows import Rows
from headwater.contracts.files.apply.shapes import (
    Applied,
    Apply,
    ApplyAnswer,
    ChangeItem,
    ConflictItem,
    ErrorItem,
    KeptAs,
)
from headwater.contracts.files.apply.together import Group, Rotation
from headwater.contracts.files.devices import checkpoints
from headwater.contracts.files.devices import rules as device_rules
from headwater.contracts.files.devices.rules import DeviceRow
from headwater.contracts.files.folder_news import FolderNews
from headwater.contracts.files.paths import Budget, PathIndex
from headwater.identity.principal import Principal
from headwater.store import idempotency
from headwater.store.database import Transaction
from headwater.store.idempotency import AnswerKey
from headwater.store.log import feeds
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor, Node

CONFLICT = "SYNC_CONFLICT"
STALE = "SYNC_VERSION_STALE"
_CODES = {
    Outcome.STALE: STALE,
    Reason.RESOURCE_UNKNOWN: "NOT_FOUND",
    Reason.VERSION_UNKNOWN: "NOT_FOUND",
    Reason.PARENT_MISSING: "NOT_FOUND",
    Reason.RESOURCE_EXISTS: "STATE_CONFLICT",
    Reason.PARENT_NOT_FOLDER: "STATE_CONFLICT",
    Reason.INTO_ITSELF: "STATE_CONFLICT",
}
_DETAILS = {
    Reason.BASE_MISSING: "the item names no base: pull first, then apply on the present version",
    Reason.BASE_UNKNOWN: "the base is no version of this file: pull first, then apply on the present version",
    Reason.BASE_OLD: "it changed since the base: pull first, then delete what is there now",
    Reason.RESOURCE_UNKNOWN: "the share has no such file or folder",
    Reason.RESOURCE_EXISTS: "this id is in use by another file or folder",
    Reason.TYPE_DIFFERS: "the id is of a file where the item says folder, or the other way round",
    Reason.TYPE_UNSUPPORTED: "a share itself is changed at /api/v1/shares",
    Reason.VERSION_MISSING: "the item needs the version_id of a staged version",
    Reason.VERSION_UNKNOWN: "no version of yours with this id is staged in this share: upload it first",
    Reason.FOLDER_CONTENT: "a folder has no version",
    Reason.PATH_MISSING: "the item needs a new_path",
    Reason.PATHS_DIFFER: "an update keeps the path; send a rename or a move as well",
    Reason.PARENT_MISSING: "there is no folder to put it into",
    Reason.PARENT_NOT_FOLDER: "what should hold it is a file",
    Reason.INTO_ITSELF: "a folder cannot be moved into itself",
}

LOOKUPS = 20_000
"""Rows that one request may look up to find its folders; what is beyond them is refused item by item."""

Result = Applied | ConflictItem | ErrorItem
Told = tuple[Result, Decision | None]
"""The result of an item, and the decision that led to it; None for one that was remembered or failed."""


class _StoredResult(msgspec.Struct, omit_defaults=True):
    """A result as it is stored for a repeated item."""

    applied: Applied | None = None
    conflict: ConflictItem | None = None


_read_stored = msgspec.json.Decoder(_StoredResult)


class Applier(NamedTuple):
    """The caller of an apply, its share, device and strategy; stored answers older than ``oldest_us`` do not count."""

    principal: Principal
    row: ShareRow
    device: DeviceRow
    strategy: Strategy
    oldest_us: int
    paths: PathIndex
    news: FolderNews

    @property
    def actor(self) -> Actor:
        """The author of the changes."""
        return Actor(self.principal.user_id, self.device.device_id)


@dataclass
class Verdict:
    """The three lists, and the code of what is unresolved, if any."""

    answer: ApplyAnswer = field(default_factory=lambda: ApplyAnswer(applied=[], conflicts=[], errors=[]))
    unresolved: str | None = None

    def add(self, result: Result) -> None:
        """Puts a result into its list."""
        if isinstance(result, Applied):
            self.answer.applied.append(result)
        elif isinstance(result, ConflictItem):
            self.answer.conflicts.append(result)
        else:
            self.answer.errors.append(result)


class _ApartError(Exception):
    """Items that belong together do not fit as one change."""


class _UndoneError(Exception):
    """Carries the results out of an atomic request that is undone."""

    def __init__(self, results: list[Told]) -> None:
        super().__init__()
        self.results = results


def apply(tx: Transaction, principal: Principal, asked: Apply, oldest_us: int) -> Verdict:
    """Applies a device's items in their order.

    Raises: NotFound (share, or a device that is not the caller's), Forbidden (no WRITE).
    """
    row = access.require(tx, principal, asked.share_id, Access.WRITE)
    tx.lock(row.feed)
    device = device_rules.find(tx, principal, asked.device_id)
    paths = PathIndex(tx, row, Budget(LOOKUPS))
    news = FolderNews(paths, device.device_id)
    applier = Applier(principal, row, device, Strategy(asked.conflict_resolution), oldest_us, paths, news)
    if asked.atomic:
        return _atomic(tx, applier, asked.changes)
    verdict = Verdict()
    for result, _ in _all(tx, applier, asked.changes):
        verdict.add(result)
    if len(asked.changes) == 1:
        verdict.unresolved = _unresolved(verdict.answer)
    return verdict


def _atomic(tx: Transaction, applier: Applier, items: list[ChangeItem]) -> Verdict:
    """All items or none; a conflict that waits for a person is recorded even then."""
    results: list[Told] = []

    def every() -> None:
        results.extend(_all(tx, applier, items))
        if any(_code_of(result) is not None for result, _ in results):
            raise _UndoneError(results)

    verdict = Verdict()
    try:
        tx.attempt(every)
    except _UndoneError as undone:
        applier.paths.forget()
        for result, decision in undone.results:
            verdict.add(_undone(tx, applier, items[result.index], result, decision))
        first = next(code for result, _ in undone.results if (code := _code_of(result)) is not None)
        verdict.unresolved = first if first in {CONFLICT, STALE} else "STATE_CONFLICT"
        return verdict
    for result, _ in results:
        verdict.add(result)
    return verdict


def _undone(tx: Transaction, applier: Applier, change: ChangeItem, result: Result, decision: Decision | None) -> Result:
    """The result of an item of an undone request."""
    if isinstance(result, ErrorItem):
        return result
    if isinstance(result, ConflictItem) and result.resolution is None:
        if conflicts.find(tx, result.id) is not None:
            return result
        again = _remembered(tx, applier, result.index, change)
        if isinstance(again, ConflictItem):
            return again
        opponent = result.resource_id
        known = opponent is None or nodes.find(tx, applier.row.feed, opponent) is not None
        if known and decision is not None and decision.conflict is not None:
            for effect in decision.effects:
                if isinstance(effect, HoldVersion):
                    versions.hold(tx, applier.row.feed, effect.version_id)
            rows = Rows(tx, applier.row.feed)
            version = rows.version(change.version_id)
            content_hash = version.content_hash if version else None
            wish = Wish(applier.device.device_id, applier.strategy, change, content_hash)
            kept = conflicts.record(tx, rows, applier.row.feed, wish, decision.conflict)
            again = _conflict_item(applier, rows, result.index, kept, None, result.kept_as)
            _remember(tx, applier, change, again)
            return again
    return ErrorItem(
        index=result.index, code="NOT_APPLIED", detail="undone, because another item of the atomic request failed"
    )


def _all(tx: Transaction, applier: Applier, items: list[ChangeItem]) -> list[Told]:
    """The results of all items in their order; items that are one change are carried out as one where that fits."""
    groups = together.groups(applier.paths, items)
    told: dict[int, Told] = {}
    for index, change in enumerate(items):
        group = groups.get(index)
        if group is not None:
            told |= _together(tx, applier, items, group)
        if index not in told:
            told[index] = _once(tx, applier, index, change)
    return [told[index] for index in range(len(items))]


def _together(tx: Transaction, applier: Applier, items: list[ChangeItem], group: Group) -> dict[int, Told]:
    """The results of items that are one change; empty where they do not fit, so that each is applied alone."""
    if any(_remembered(tx, applier, at, items[at]) is not None for at in group.members):
        return {}
    run = _rotated if isinstance(group, Rotation) else _respelled
    try:
        told: dict[int, Told] = tx.attempt(lambda: run(tx, applier, items, group))
    except (_ApartError, HeadwaterError):
        applier.paths.forget()
        return {}
    for at, (result, _) in told.items():
        _remember(tx, applier, items[at], result)
    return told


def _rotated(tx: Transaction, applier: Applier, items: list[ChangeItem], group: Group) -> dict[int, Told]:
    """Names that swap or rotate: the first resource steps aside, each of the others takes the free name, then it."""
    first = group.members[0]
    node_id, old_path = items[first].resource_id or "", items[first].old_path or "/"
    aside = execute.step_aside(applier.paths, applier.actor, node_id, old_path)
    told: dict[int, Told] = {}
    for at in reversed(group.members):
        change = msgspec.structs.replace(items[at], old_path=aside) if at == first else items[at]
        result, decision = told[at] = _tried(tx, applier, at, change, items[at])
        kind = decision.conflict.kind if decision and decision.conflict else None
        if _code_of(result) is not None or kind not in {None, ConflictKind.CONTENT}:
            raise _ApartError
    return told


def _respelled(tx: Transaction, applier: Applier, items: list[ChangeItem], group: Group) -> dict[int, Told]:
    """One resource that was created and deleted under two spellings of its path: a rename, perhaps with an edit."""
    created, deleted = (items[at] for at in group.members)
    node = nodes.find(tx, applier.row.feed, deleted.resource_id or "")
    if node is None:
        raise _ApartError
    rename = msgspec.structs.replace(
        created,
        change_type="renamed",
        resource_id=node.id,
        base_version_id=deleted.base_version_id,
        old_path=applier.paths.path(node),
    )
    result, decision = _tried(tx, applier, group.members[0], rename)
    if not isinstance(result, Applied):
        raise _ApartError
    second = msgspec.structs.replace(result, index=group.members[1])
    return {group.members[0]: (result, decision), group.members[1]: (second, decision)}


def _once(tx: Transaction, applier: Applier, index: int, change: ChangeItem) -> Told:
    """The result of an item; one that was acknowledged before under its ``client_change_id`` gets that again."""
    known = _remembered(tx, applier, index, change)
    if known is not None:
        return known, None
    result, decision = _tried(tx, applier, index, change)
    _remember(tx, applier, change, result)
    return result, decision


def _remembered(tx: Transaction, applier: Applier, index: int, change: ChangeItem) -> Result | None:
    """The stored result of an item under its ``client_change_id``; None when it arrives for the first time."""
    key = _key(applier, change)
    kept = None if key is None else idempotency.find(tx, key[0], applier.oldest_us)
    if key is None or kept is None:
        return None
    if kept.request_hash != key[1]:
        detail = "this client_change_id came before with another change"
        return ErrorItem(index=index, code="CHANGE_ID_REUSED", detail=detail)
    first = _read_stored.decode(kept.answer)
    known = first.applied or first.conflict
    if known is not None:
        known.index = index
    return known


def _remember(tx: Transaction, applier: Applier, change: ChangeItem, result: Result) -> None:
    """Stores the result of an item for its repeat.

    A failure was not acknowledged: the same item may succeed later, once its folder or version exists.
    """
    key = _key(applier, change)
    if key is not None and isinstance(result, Applied):
        idempotency.keep(tx, *key, encode(_StoredResult(applied=result)))
    elif key is not None and isinstance(result, ConflictItem):
        idempotency.keep(tx, *key, encode(_StoredResult(conflict=result)))


def _key(applier: Applier, change: ChangeItem) -> tuple[AnswerKey, bytes] | None:
    """The key under which an item's result is stored, and the item's hash; None when it has no id of its own."""
    change_id = change.metadata.client_change_id
    if change_id is None:
        return None
    answer_key = AnswerKey(applier.row.organisation, "apply:" + applier.device.id, change_id)
    # Hashes of before this field existed lack it. No text can contain these bytes: its quotation marks are escaped.
    request = encode(change).replace(b',"seen_position":null', b"")
    return answer_key, idempotency.request_hash(applier.row.id.encode(), request)


def _tried(tx: Transaction, applier: Applier, index: int, change: ChangeItem, wished: ChangeItem | None = None) -> Told:
    """The result of an item in a savepoint of its own; ``wished`` is the item as it was sent, where that differs."""
    applier.paths.begin()
    try:
        return tx.attempt(lambda: _apply_item(tx, applier, index, change, wished or change))
    except HeadwaterError as failure:
        applier.paths.undone()
        reason = failure.fields[0].code if failure.fields else None
        return (
            ErrorItem(
                index=index,
                code=failure.error_code,
                detail=failure.detail,
                reason=reason,
                resource_id=change.resource_id,
            ),
            None,
        )


def _apply_item(
    tx: Transaction, applier: Applier, index: int, change: ChangeItem, wished: ChangeItem
) -> tuple[Result, Decision]:
    row, device = applier.row, applier.device
    question = Question(change, applier.strategy, tx.now_us, applier.principal.user_id)
    situation, rows = gather(applier.paths, question)
    situation = replace(situation, has_news=_has_news(tx, applier, change, situation))
    decision = decide(situation)
    wish = Wish(device.device_id, applier.strategy, wished, situation.item.content_hash)
    may_be_known = decision.conflict is not None or decision.outcome is Outcome.REFUSED
    if may_be_known and change.metadata.client_change_id is None:
        before = conflicts.earlier(tx, rows, row.feed, wish)
        decision = decide(replace(situation, earlier=before.recorded)) if before else decision
        if decision.repeat and before is not None:
            return _conflict_item(applier, rows, index, before, None, None), decision
    if decision.outcome in {Outcome.STALE, Outcome.REFUSED}:
        current = situation.resource.version_id if situation.resource else None
        return _error_item(index, change, decision, current), decision
    acting = ActingDevice(applier.actor, device.device_name)
    executed = execute.carry_out(applier.paths, rows, acting, situation.item, decision)
    if change.change_type != "deleted":
        applier.news.placed()
    if decision.conflict is not None:
        kept = conflicts.record(tx, rows, row.feed, wish, decision.conflict, executed)
        kept_as = _kept_as(applier, rows, change, decision, executed)
        return _conflict_item(applier, rows, index, kept, _change_id(row, decision, executed), kept_as), decision
    return _applied_item(applier.paths, rows, index, change, decision, executed), decision


def _has_news(tx: Transaction, applier: Applier, change: ChangeItem, situation: Situation) -> bool:
    """True when a folder is to be deleted below which another device changed what this device has not seen.

    A device that names no position, and never reported one, deletes as it says.
    """
    resource = situation.resource
    if change.change_type != "deleted" or change.resource_type != "folder" or resource is None or resource.deleted:
        return False
    seen = change.metadata.seen_position
    if seen is None:
        seen = checkpoints.reported(tx, applier.row.feed, applier.device)
    if seen is None:
        return False
    return seen > feeds.head(tx, applier.row.feed) or applier.news.has(resource.resource_id, seen)


def _applied_item(
    paths: PathIndex, rows: Rows, index: int, change: ChangeItem, decision: Decision, executed: Executed
) -> Applied:
    created = executed.created
    resource_id = decision.resource_id or (created.id if created else change.resource_id or "")
    node, path = created, executed.created_path
    if node is None or node.id != resource_id or path is None:
        node = rows.node(resource_id)
        location = paths.location(node) if node else None
        path = location.path if location and location.is_live else None
    version = rows.version(node.version) if node else None
    return Applied(
        index=index,
        change_id=_change_id(paths.row, decision, executed),
        resource_id=resource_id,
        version_id=node.version if node else None,
        path=path,
        outcome=decision.outcome.value,
        modified_at=format_seconds(version.modified_us) if version else None,
    )


def _conflict_item(
    applier: Applier,
    rows: Rows,
    index: int,
    kept: ConflictRow,
    change_id: str | None,
    kept_as: KeptAs | None,
) -> ConflictItem:
    shown = msgspec.structs.asdict(conflicts.shown(applier.paths, rows, kept))
    return ConflictItem(**shown, index=index, code=CONFLICT, change_id=change_id, kept_as=kept_as)


def _kept_as(applier: Applier, rows: Rows, change: ChangeItem, decision: Decision, executed: Executed) -> KeptAs:
    """The place where the item ended up, so that the device can follow its own file."""
    resource_id = executed.created.id if executed.created else decision.resource_id
    node = rows.node(resource_id)
    return KeptAs(
        keeper=decision.client_bytes.value,
        resource_id=resource_id,
        version_id=_kept_version(rows, change, node, decision.client_bytes),
        path=applier.paths.path(node) if node else None,
    )


def _kept_version(rows: Rows, change: ChangeItem, node: Node | None, keeper: Keeper) -> str | None:
    """The version with the item's content: its own, unless the file had these bytes already."""
    version = rows.version(change.version_id)
    if version is None or version.state != "staged":
        return change.version_id
    return change.base_version_id if keeper is Keeper.HISTORY else node.version if node else None


def _error_item(index: int, change: ChangeItem, decision: Decision, current: str | None) -> ErrorItem:
    reason = decision.reason
    code = _CODES.get(decision.outcome) or (_CODES.get(reason) if reason else None) or "INVALID"
    return ErrorItem(
        index=index,
        code=code,
        detail=_DETAILS[reason] if reason else "",
        reason=reason.value if reason else None,
        resource_id=change.resource_id,
        current_version_id=current,
    )


def _change_id(row: ShareRow, decision: Decision, executed: Executed) -> str | None:
    """The change that a device will find in the log: the resource's own, or the last that was written."""
    if not executed.positions:
        return None
    position = executed.positions.get(decision.resource_id or "") or max(executed.positions.values())
    return f"chg_{row.feed}_{position}"


def _code_of(result: Result) -> str | None:
    """The code of a result that undoes an atomic request; None when it does not."""
    if isinstance(result, ErrorItem):
        return result.code
    return CONFLICT if isinstance(result, ConflictItem) and result.resolution is None else None


def _unresolved(answer: ApplyAnswer) -> str | None:
    """The code of a one-item request that ended unresolved."""
    if answer.errors:
        return STALE if answer.errors[0].code == STALE else None
    return CONFLICT if answer.conflicts and answer.conflicts[0].resolution is None else None
