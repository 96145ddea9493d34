"""The decisions of the record feed: the merge of an edit made offline with what happened meanwhile.

Fields that only one side changed since the base merge. A field that both changed gets the edit that reaches
the server later, and the other value is kept in a conflict record. An edit of a state that its device saw beats a
deletion; an edit upon no state of that life, or of an epoch before a restore, does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from headwater.base.errors import Forbidden, HeadwaterError, Invalid, NotFound, QuotaExceeded, StateConflict
from headwater.base.ids import is_acceptable, random_id
from headwater.base.wire import encode
from headwater.contracts.record_feed import queries, shapes
from headwater.contracts.record_feed.queries import FieldConflict
from headwater.contracts.record_feed.shapes import PushedChange, PushOutcome, Sides
from headwater.feed import devices
from headwater.feed.kinds import RecordKind
from headwater.feed.sightings import CallingDevice
from headwater.identity import organisations
from headwater.identity.principal import Principal
from headwater.identity.roles import allows
from headwater.store import idempotency
from headwater.store.database import Transaction
from headwater.store.idempotency import AnswerKey, StoredAnswer
from headwater.store.log import records
from headwater.store.log.lives import BaseState, base_of
from headwater.store.log.records import Record

Kinds = Mapping[str, RecordKind]


class Pusher(NamedTuple):
    """The caller, its device, and where it pushes; answers older than ``oldest_us`` are forgotten."""

    principal: Principal
    organisation: str
    feed: int
    device_id: str
    oldest_us: int


class _Meeting(NamedTuple):
    """An edit beside the record that it meets; ``base`` is the state that its device saw."""

    change: PushedChange
    kind: RecordKind
    current: Record | None
    body: bytes | None
    base: BaseState


def push(tx: Transaction, pusher: Pusher, pushed: list[PushedChange], kinds: Kinds) -> list[PushOutcome]:
    """Applies edits in their order, each by itself: one that is refused writes nothing and stops no other.

    Raises: DeviceOfAnother.
    """
    devices.claim(tx, CallingDevice(pusher.organisation, "feed", pusher.device_id, pusher.principal.user_id))
    return [_once(tx, pusher, change, kinds) for change in pushed]


def feed_of(tx: Transaction, organisation: str) -> int:
    """The number of an organisation's feed. Raises: NotFound."""
    return organisations.feed_of(tx, organisation)


def resolve(tx: Transaction, principal: Principal, feed: int, id: str, take: str, kinds: Kinds) -> FieldConflict:
    """Puts the chosen side's values in force and closes the conflict; the same choice again changes nothing.

    The side that is in force since the conflict stays as it is now, with all that was edited later. Choosing a side
    that deleted the record deletes it.
    Raises: NotFound, Forbidden (the token may not write such records), StateConflict (decided otherwise before, or
    the record was deleted).
    """
    conflict = queries.find(tx, feed, id)
    if conflict is None:
        raise NotFound(f"no conflict {id!r}")
    _permit(principal, kinds, conflict.kind)
    if conflict.resolved_us is not None:
        if conflict.winner != take:
            raise StateConflict(f"the conflict was resolved for the {conflict.winner}'s side before")
        return conflict
    sides = shapes.read_sides.decode(bytes(conflict.fields))
    chosen = {name: getattr(side, take) for name, side in sides.items()}
    meeting = _meet(tx, feed, PushedChange(id, conflict.kind, conflict.record_id, "put", 0, chosen), kinds)
    if meeting.current is None or meeting.body is None:
        raise StateConflict("the record was deleted; there is nothing left to put the values into")
    if take == _deleted_by(conflict, sides):
        # The record's conflicts go with it, this one among them.
        records.delete(tx, feed, meeting.kind.name, meeting.current)
        return conflict._replace(winner=take, resolved_us=tx.now_us)
    if take != conflict.winner:
        present = meeting.kind.values(meeting.body)
        if any(present.get(name) != value for name, value in chosen.items()):
            _replace(tx, feed, meeting, {**present, **chosen}, list(chosen))
    queries.resolve(tx, feed, id, take)
    return queries.find(tx, feed, id) or conflict


def _deleted_by(conflict: FieldConflict, sides: Mapping[str, Sides]) -> str | None:
    """The side that deleted the record; conflicts of before this was noted have no values when it was the device."""
    return conflict.deleted or (None if sides else "client")


def _once(tx: Transaction, pusher: Pusher, change: PushedChange, kinds: Kinds) -> PushOutcome:
    """The outcome of an edit; one that was sent before gets its first answer."""
    answer_key = AnswerKey(pusher.principal.organisation, "push:" + pusher.device_id, change.client_change_id)
    request = idempotency.request_hash(str(pusher.feed).encode(), encode(change))
    kept = idempotency.find(tx, answer_key, pusher.oldest_us)
    if kept is not None:
        if kept.request_hash == request:
            return _remembered(tx, pusher.feed, change, kept)
        return _refused(change, "CHANGE_ID_REUSED", "this client_change_id came before with another edit")
    try:
        with tx.savepoint():
            outcome = _apply(tx, pusher, change, kinds)
    except (Invalid, Forbidden, QuotaExceeded) as failure:
        # Decided on the edit, the token or the disk, not on the record: it changed nothing, and may be right next time.
        return _refused(change, failure.error_code, failure.detail)
    except HeadwaterError as failure:
        outcome = _refused(change, failure.error_code, failure.detail)
    # The values of a conflict are stored with the conflict alone, so that they are erased with the record.
    idempotency.keep(tx, answer_key, request, encode(msgspec.structs.replace(outcome, fields=None)))
    return outcome


def _remembered(tx: Transaction, feed: int, change: PushedChange, kept: StoredAnswer) -> PushOutcome:
    """The first outcome of an edit; without the values of its conflict when the record was deleted since."""
    if kept.erased:
        return _refused(change, "ERASED", "the record was deleted since this edit arrived; read the record")
    outcome = shapes.read_outcome.decode(kept.answer)
    if outcome.conflict_id is None:
        return outcome
    conflict = queries.find(tx, feed, outcome.conflict_id)
    fields = None if conflict is None else shapes.read_sides.decode(bytes(conflict.fields))
    return msgspec.structs.replace(outcome, fields=fields)


def _apply(tx: Transaction, pusher: Pusher, change: PushedChange, kinds: Kinds) -> PushOutcome:
    meeting = _meet(tx, pusher.feed, change, kinds)
    kind, current = meeting.kind, meeting.current
    if not allows(pusher.principal.scopes, kind.scope, write=True):
        raise Forbidden(f"the token lacks the scope {kind.scope!r}")
    if current is not None and meeting.base is BaseState.UNKNOWN:
        return _refused(change, "BASE_UNKNOWN", f"the record is at revision {current.revision}")
    if current is not None and current.deleted and meeting.base is BaseState.ENDED:
        # The device never saw the life that was deleted, so its edit is no answer to the deletion.
        return _refused(change, "DELETED", "the record was deleted; a new record needs a new id")
    if change.op == "delete":
        return _delete(tx, pusher, meeting)
    if current is None and change.base_revision:
        # A few fields over a base that is not here would make half a record.
        return _refused(change, "BASE_UNKNOWN", "there is no such record; send it whole with base_revision 0")
    if current is None or current.deleted or meeting.body is None:
        return _create(tx, pusher, meeting)
    return _merge(tx, pusher, meeting, current, meeting.body)


def _meet(tx: Transaction, feed: int, change: PushedChange, kinds: Kinds) -> _Meeting:
    """The record that an edit is about. Raises: Invalid (unknown kind or field, unusable id)."""
    kind = kinds.get(change.kind)
    if kind is None:
        raise Invalid(f"records of kind {change.kind!r} are not written here", code="KIND_UNKNOWN")
    unknown = set(change.fields) - kind.fields
    if unknown:
        name = min(unknown)
        raise Invalid.of(f"fields.{name}", "unknown", f"a {kind.name} has no such field that a device may set")
    if not is_acceptable(change.id):
        raise Invalid.of("id", "incorrect_value", "must have 1-128 printable characters")
    current = records.find(tx, feed, kind.name, change.id)
    found = records.body(tx, feed, kind.name, change.id)
    base = BaseState.ENDED if current is None else base_of(tx, feed, current, change.base_revision)
    return _Meeting(change, kind, current, found[1] if found else None, base)


def _create(tx: Transaction, pusher: Pusher, meeting: _Meeting) -> PushOutcome:
    """Creates a record of the device's own; or restores it, when it was deleted behind the device's back.

    A device that saw the deletion, and names its revision as the base, restores the record without a conflict.
    """
    change, kind, current = meeting.change, meeting.kind, meeting.current
    try:
        draft = kind.draft(tx, change.id, dict.fromkeys(kind.fields) | change.fields, None)
    except Invalid:
        if current is None and change.base_revision == 0:
            raise
        return _refused(change, "DELETED", "the record was deleted; send all its fields to bring it back")
    record = records.create(tx, pusher.feed, kind.name, draft, current)
    if current is None or meeting.base is BaseState.CURRENT:
        return PushOutcome(change.client_change_id, "applied", record.revision)
    sides = {name: Sides(None, value) for name, value in change.fields.items()}
    return _conflict(tx, pusher, change, record.revision, sides, "client", deleted="server")


def _merge(tx: Transaction, pusher: Pusher, meeting: _Meeting, current: Record, body: bytes) -> PushOutcome:
    """Writes the device's fields over the present ones; where both changed one, stores the loser's value."""
    change = meeting.change
    present = meeting.kind.values(body)
    differing = {name: value for name, value in change.fields.items() if present.get(name) != value}
    behind = meeting.base is not BaseState.CURRENT
    if not differing:
        return PushOutcome(change.client_change_id, "merged" if behind else "applied", current.revision)
    record = _replace(tx, pusher.feed, meeting, {**present, **differing}, list(differing))
    if not behind:
        return PushOutcome(change.client_change_id, "applied", record.revision)
    revisions = records.field_revisions(current)
    both = {
        name: Sides(present.get(name), value)
        for name, value in differing.items()
        if meeting.base is BaseState.ENDED or revisions.get(name, revisions.get("*", 1)) > change.base_revision
    }
    if not both:
        return PushOutcome(change.client_change_id, "merged", record.revision)
    return _conflict(tx, pusher, change, record.revision, both, "client")


def _delete(tx: Transaction, pusher: Pusher, meeting: _Meeting) -> PushOutcome:
    """Deletes the record that the device saw; one that was edited since stays, and a conflict notes it."""
    change, current = meeting.change, meeting.current
    if current is None:
        raise NotFound(f"no {meeting.kind.name} {change.id!r}")
    if current.deleted:
        return PushOutcome(change.client_change_id, "applied", current.revision)
    # A record that was only sent again is the one that the device saw.
    edited = max(records.field_revisions(current).values()) > change.base_revision
    if meeting.base is not BaseState.CURRENT and (edited or meeting.base is not BaseState.EARLIER):
        return _conflict(tx, pusher, change, current.revision, {}, "server", deleted="client")
    buried = records.delete(tx, pusher.feed, meeting.kind.name, current)
    return PushOutcome(change.client_change_id, "applied", buried.revision)


def _replace(tx: Transaction, feed: int, meeting: _Meeting, values: Mapping[str, Any], changed: list[str]) -> Record:
    if meeting.current is None or meeting.body is None:
        raise NotFound(f"no {meeting.kind.name} {meeting.change.id!r}")
    draft = meeting.kind.draft(tx, meeting.change.id, values, (meeting.current, meeting.body))
    return records.replace(tx, feed, meeting.kind.name, meeting.current, draft, changed)


def _conflict(
    tx: Transaction, pusher: Pusher, change: PushedChange, revision: int, sides: dict[str, Sides], winner: str,
    *, deleted: str | None = None,
) -> PushOutcome:  # fmt: skip
    conflict_id = random_id("cfl", 16)
    number = tx.bump(pusher.feed, "conflicts")
    queries.insert(
        tx,
        FieldConflict(
            conflict_id, pusher.feed, number, change.kind, change.id, pusher.device_id, change.base_revision,
            revision, encode(sides), winner, tx.now_us, None, deleted,
        ),
    )  # fmt: skip
    return PushOutcome(change.client_change_id, "conflict", revision, conflict_id, sides)


def _permit(principal: Principal, kinds: Kinds, name: str) -> None:
    """Requires what writing a kind of record needs. Raises: Forbidden."""
    kind = kinds.get(name)
    if kind is None or not allows(principal.scopes, kind.scope, write=True):
        missing = kind.scope if kind else name
        raise Forbidden(f"the token lacks the scope {missing!r}", extra={"missing": missing})


def _refused(change: PushedChange, code: str, detail: str) -> PushOutcome:
    return PushOutcome(change.client_change_id, "refused", code=code, detail=detail)
