"""Checks that the log, the records and the counters agree: each record has its change, each counter its count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from headwater.store.database import Row, Transaction
from headwater.store.log import feeds
from headwater.store.log.feeds import Feed
from headwater.store.log.records import family

PAGE_ROWS = 5_000

Progress = Callable[[int], None]
"""Called with the number of further changes that were checked."""


class Finding(NamedTuple):
    """An inconsistency: the rule that it breaks, its place, and the details."""

    rule: str
    place: str
    detail: str


class _Wire(msgspec.Struct):
    """The members of a change's wire bytes."""

    position: int
    kind: str
    id: str
    revision: int
    op: str
    body: msgspec.Raw


_DECODER = msgspec.json.Decoder(_Wire)


def changes_to_check(tx: Transaction) -> int:
    """Returns the number of changes that ``check`` will read."""
    return int(tx.value("SELECT count(*) FROM changes"))


def check(tx: Transaction, progress: Progress = lambda _count: None) -> Iterator[Finding]:
    """Yields every inconsistency, on one snapshot."""
    for row in tx.rows("SELECT feed, name, organisation, history FROM feeds ORDER BY feed"):
        feed = Feed(row[0], row[1], row[2], bool(row[3]))
        yield from check_counters(tx, feed)
        yield from _check_records(tx, feed)
        yield from _check_changes(tx, feed, progress)
    yield from check_owners(tx)


def check_counters(tx: Transaction, feed: Feed) -> Iterator[Finding]:
    """Compares a feed's head, number counters and live counts with its rows."""
    head = feeds.head(tx, feed.feed)
    last = int(tx.value("SELECT coalesce(max(position), 0) FROM changes WHERE feed = ?", feed.feed))
    if last > head:
        yield Finding("head", feed.name, f"the newest change is at {last}, beyond the head {head}")
    elif last < head and feeds.floor(tx, feed.feed) < head:
        yield Finding("head", feed.name, f"the head is {head}, but the newest change is at {last}")
    live: dict[str, int] = dict(
        tx.rows("SELECT kind, count(*) FROM records WHERE feed = ? AND deleted = 0 GROUP BY kind", feed.feed)
    )
    for name, value in _counters(tx, feed, "live:"):
        if live.pop(name, 0) != value:
            yield Finding("live", feed.name, f"the counter has {value} live records of kind {name}, the table does not")
    for name, value in live.items():
        yield Finding("live", feed.name, f"the table has {value} live records of kind {name}, the counter none")
    numbers: dict[str, int] = {}
    for kind, number in tx.rows("SELECT kind, max(number) FROM records WHERE feed = ? GROUP BY kind", feed.feed):
        numbers[family(kind)] = max(number, numbers.get(family(kind), 0))
    for name, number in numbers.items():
        if number > tx.counter(feed.feed, "number:" + name):
            yield Finding("number", feed.name, f"a {name} has number {number}, which its counter has not reached")


def check_owners(tx: Transaction) -> Iterator[Finding]:
    """Yields the rows that reference a missing row."""
    for rule, sentence, sql in _OWNERS:
        for row in tx.rows(sql):
            yield Finding(rule, str(row[0]), sentence)


def _counters(tx: Transaction, feed: Feed, prefix: str) -> list[tuple[str, int]]:
    rows = tx.rows("SELECT name, value FROM counters WHERE feed = ? ORDER BY name", feed.feed)
    return [(name.removeprefix(prefix), value) for name, value in rows if name.startswith(prefix)]


def _check_records(tx: Transaction, feed: Feed) -> Iterator[Finding]:
    """Checks that each record's change is at the row's position; a feed without history has no other changes."""
    if feed.history:
        return
    lost = tx.rows(
        "SELECT r.kind, r.id, r.position FROM records r"
        " LEFT JOIN changes c ON c.feed = r.feed AND c.position = r.position"
        " AND c.kind = r.kind AND c.id = r.id AND c.deleted = r.deleted AND c.number = r.number"
        " WHERE r.feed = ? AND c.position IS NULL AND (r.deleted = 0 OR r.position > ?) ORDER BY r.position",
        feed.feed, feeds.floor(tx, feed.feed),
    )  # fmt: skip
    for kind, id, position in lost:
        yield Finding("record", feed.name, f"{kind} {id}: its change at {position} is missing or another record's")
    spare = tx.rows(
        "SELECT c.kind, c.id, c.position FROM changes c"
        " LEFT JOIN records r ON r.feed = c.feed AND r.kind = c.kind AND r.id = c.id"
        " WHERE c.feed = ? AND (r.id IS NULL OR r.position <> c.position)"
        # A tombstone outlives its record's row when a new record has the same id, under another number.
        " AND NOT (c.deleted = 1 AND (r.id IS NULL OR r.number <> c.number)) ORDER BY c.position",
        feed.feed,
    )
    for kind, id, position in spare:
        yield Finding("change", feed.name, f"{kind} {id}: the change at {position} is not a record's present state")


def _check_changes(tx: Transaction, feed: Feed, progress: Progress) -> Iterator[Finding]:
    """Compares every change's wire bytes with its row."""
    after = 0
    while True:
        rows = tx.rows(
            "SELECT c.position, c.kind, c.id, c.deleted, c.wire, r.revision, r.position FROM changes c"
            " LEFT JOIN records r ON r.feed = c.feed AND r.kind = c.kind AND r.id = c.id"
            " WHERE c.feed = ? AND c.position > ? ORDER BY c.position LIMIT ?",
            feed.feed, after, PAGE_ROWS,
        )  # fmt: skip
        for row in rows:
            reason = _not_json(row) if feed.history else _mismatch(row)
            if reason:
                yield Finding("wire", feed.name, f"the change at {row[0]}: {reason}")
        progress(len(rows))
        if len(rows) < PAGE_ROWS:
            return
        after = rows[-1][0]


def _not_json(row: Row) -> str:
    """Returns a complaint when a share's change is not JSON; the form of such changes is not checked here."""
    try:
        msgspec.json.decode(bytes(row[4]))
    except msgspec.MsgspecError:
        return "its bytes are not JSON"
    return ""


def _mismatch(row: Row) -> str:
    position, kind, id, deleted, content, revision, freshest = row
    try:
        wire = _DECODER.decode(bytes(content))
    except msgspec.MsgspecError:
        return "its bytes are not a change"
    stated: tuple[Any, ...] = (wire.position, wire.kind, wire.id, wire.op, bytes(wire.body) == b"null")
    if stated != (position, kind, id, "delete" if deleted else "put", bool(deleted)):
        return "its bytes describe another change"
    if freshest == position and wire.revision != revision:
        return f"its bytes contain revision {wire.revision}, the record has revision {revision}"
    return ""


_OWNERS = (
    (
        "feed",
        "this organisation has no feed",
        "SELECT o.id FROM organisations o LEFT JOIN feeds f ON f.name = 'org:' || o.id WHERE f.feed IS NULL",
    ),
    (
        "token",
        "the token's user is missing",
        "SELECT t.id FROM tokens t LEFT JOIN users u ON u.id = t.user_id WHERE u.id IS NULL",
    ),
    (
        "user",
        "the user's organisation is missing",
        "SELECT u.id FROM users u LEFT JOIN organisations o ON o.id = u.organisation WHERE o.id IS NULL",
    ),
    (
        "affiliation",
        "the chapter's contact is missing or deleted",
        """SELECT a.contact_id FROM affiliations a LEFT JOIN records r ON r.feed = a.feed AND r.kind = 'contact'
           AND r.id = a.contact_id AND r.deleted = 0 WHERE r.id IS NULL""",
    ),
    (
        "position",
        "the device's position is beyond its feed's head",
        """SELECT p.device FROM device_positions p LEFT JOIN counters c ON c.feed = p.feed AND c.name = 'head'
           WHERE p.position > coalesce(c.value, 0)""",
    ),
    (
        "counter",
        "the counter belongs to no feed",
        "SELECT c.feed FROM counters c LEFT JOIN feeds f ON f.feed = c.feed WHERE c.feed > 0 AND f.feed IS NULL",
    ),
)
"""Checked references: the rule, the message, and the statement that finds rows without the row they reference."""
