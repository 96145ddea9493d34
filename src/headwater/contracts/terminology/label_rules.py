"""The decisions about the labels themselves: the set that an organisation shows, its edits, and what is published."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import NotFound, StateConflict
from headwater.base.wire import encode, format_millis
from headwater.contracts.terminology import label_sets, queries
from headwater.contracts.terminology.label_sets import Labels
from headwater.contracts.terminology.queries import OWN, LabelSource
from headwater.store.database import Transaction
from headwater.store.log import records
from headwater.store.log.records import Draft

KIND = "labels"
"""The kind of a published set of labels in the log; an organisation has one record of it, with this id."""

FIELDS = ("labels", "updated_at")


class ShownLabels(NamedTuple):
    """The labels that an organisation shows: their JSON, the state that it names, and its parts."""

    body: bytes
    state: str
    labels: Labels
    updated_us: int


class Edited(NamedTuple):
    """The outcome of a change; times in microseconds UTC since 1970."""

    updated_keys: int
    total: int
    updated_us: int


def show(tx: Transaction, feed: int, organisation: str) -> ShownLabels:
    """The labels stored here, where they are the source; else those that were last published. Raises: NotFound."""
    found = _visible(tx, feed, queries.kept(tx, organisation))
    if found is None:
        raise NotFound(f"no labels of organisation {organisation!r}")
    return found


def create(tx: Transaction, feed: int, organisation: str, labels: Labels) -> int:
    """Stores the first labels; returns their number. Raises: StateConflict (one exists, or another source is named)."""
    kept = _editable(tx, organisation)
    if kept.own is not None:
        raise StateConflict(f"organisation {organisation!r} has labels already; change them with PUT")
    _keep_own(tx, feed, kept, labels)
    return len(labels)


def change(tx: Transaction, feed: int, organisation: str, given: dict[str, str | None], *, merge: bool) -> Edited:
    """Changes the labels that are shown; a change that alters nothing writes nothing.

    Raises: NotFound, StateConflict (an upstream is the source), Invalid (too many).
    """
    kept = _editable(tx, organisation)
    before = _visible(tx, feed, kept)
    if before is None:
        raise NotFound(f"no labels of organisation {organisation!r}")
    after = label_sets.merged(before.labels, given, merge=merge)
    changed = label_sets.differences(before.labels, after)
    if not changed:
        return Edited(0, len(after), before.updated_us)
    return Edited(changed, len(after), _keep_own(tx, feed, kept, after))


def delete(tx: Transaction, feed: int, organisation: str) -> None:
    """Drops an organisation's labels, those that devices have too. Raises: NotFound, StateConflict."""
    kept = _editable(tx, organisation)
    if kept.own is None and kept.published is None:
        raise NotFound(f"no labels of organisation {organisation!r}")
    tx.frees_room()
    changed = kept._replace(own=None, own_count=0, own_created_us=None, own_updated_us=None)
    queries.keep(tx, renewed(changed, tx.now_us)._replace(published=None, published_us=None))
    current = records.find(tx, feed, KIND, KIND)
    if current is not None and not current.deleted:
        records.delete(tx, feed, KIND, current)
    queries.wake(tx, feed)


def publish(tx: Transaction, feed: int, kept: LabelSource, labels: Labels) -> tuple[int, LabelSource]:
    """Puts a set into the organisation's feed when it differs from the present one.

    Returns the number of labels that differ, and the row to store, not written yet.
    """
    current = records.find(tx, feed, KIND, KIND)
    before = _published(tx, feed)
    updated = label_sets.differences(before.labels if before else {}, labels)
    if before is not None and not updated:
        return 0, kept
    at_us = max(tx.at_us, current.updated_us if current else 0)
    body = _body(kept.organisation, labels, at_us)
    if current is None or current.deleted:
        records.create(tx, feed, KIND, Draft(KIND, body, "", None, at_us, at_us), current)
    else:
        draft = Draft(KIND, body, "", None, current.created_us, at_us)
        records.replace(tx, feed, KIND, current, draft, FIELDS)
    return updated, kept._replace(published=len(labels), published_us=at_us)


def adopt_published(tx: Transaction, feed: int, kept: LabelSource) -> LabelSource:
    """The same row, with the last published set stored here unless another one is; not written yet."""
    published = _published(tx, feed)
    if kept.own is not None or published is None:
        return kept
    return _with_own(kept, published.labels, _next_us(tx, kept))


def renewed(kept: LabelSource, now_us: int) -> LabelSource:
    """The same row under the source's next version, which marks the published set as old."""
    return kept._replace(version=kept.version + 1, changed_us=now_us)


def _editable(tx: Transaction, organisation: str) -> LabelSource:
    kept = queries.kept(tx, organisation)
    if kept.source != OWN:
        raise StateConflict(f"the labels of organisation {organisation!r} come from an upstream; change them there")
    return kept


def _keep_own(tx: Transaction, feed: int, kept: LabelSource, labels: Labels) -> int:
    """Stores a set of labels here; returns the time that it shows."""
    at_us = _next_us(tx, kept)
    queries.keep(tx, renewed(_with_own(kept, labels, at_us), tx.now_us))
    queries.wake(tx, feed)
    return at_us


def _next_us(tx: Transaction, kept: LabelSource) -> int:
    """The time of the next set of labels, which is never before that of the last one."""
    return max(tx.at_us, kept.own_updated_us or 0)


def _with_own(kept: LabelSource, labels: Labels, now_us: int) -> LabelSource:
    return kept._replace(
        own=label_sets.to_json(labels),
        own_count=len(labels),
        own_created_us=now_us if kept.own_created_us is None else kept.own_created_us,
        own_updated_us=now_us,
    )


def _visible(tx: Transaction, feed: int, kept: LabelSource) -> ShownLabels | None:
    if kept.source == OWN and kept.own is not None:
        updated_us = kept.own_updated_us or 0
        labels = label_sets.from_json(kept.own)
        return ShownLabels(_body(kept.organisation, labels, updated_us), f"own-{kept.version}", labels, updated_us)
    return _published(tx, feed)


def _published(tx: Transaction, feed: int) -> ShownLabels | None:
    current = records.find(tx, feed, KIND, KIND)
    found = records.body(tx, feed, KIND, KIND)
    if current is None or found is None:
        return None
    labels = label_sets.of_published(found[1])
    return ShownLabels(bytes(found[1]), f"feed-{found[0]}", labels, current.updated_us)


def _body(organisation: str, labels: Labels, updated_us: int) -> bytes:
    return b'{"organization_id":%b,"labels":%b,"updated_at":"%b"}' % (
        encode(organisation), label_sets.to_json(labels), format_millis(updated_us).encode(),
    )  # fmt: skip
