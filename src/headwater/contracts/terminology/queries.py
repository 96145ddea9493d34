"""The SQL of the terminology contract's own tables, over a transaction."""

from __future__ import annotations

from typing import Final, NamedTuple

from headwater.contracts.terminology.shapes import SourceKind
from headwater.store.database import Transaction

OWN: Final = "own"
URL: Final = "url"
FILE: Final = "file"

_SYNC = (
    "organisation, ttl_seconds, last_sync_us, synced_version, edition, failures, retry_us, lease, lease_until_us,"
    " created_us, updated_us"
)
_KEPT = (
    "organisation, source, location, version, changed_us, etag, own, own_count, own_created_us, own_updated_us,"
    " published, published_us"
)
_STATE = (
    ", ".join("t." + name.strip() for name in _SYNC.split(","))
    + ", coalesce(k.source, 'own'), coalesce(k.version, 0), coalesce(k.changed_us, 0), k.own IS NOT NULL"
)
_LISTED = "((source = 'own' AND own IS NOT NULL) OR published IS NOT NULL)"


class LabelSource(NamedTuple):
    """The source of an organisation's labels, and what is stored of them; times in microseconds UTC since 1970."""

    organisation: str
    source: SourceKind = OWN
    location: str = ""
    version: int = 0
    changed_us: int = 0
    etag: str | None = None
    own: bytes | None = None
    own_count: int = 0
    own_created_us: int | None = None
    own_updated_us: int | None = None
    published: int | None = None
    published_us: int | None = None


class Tracked(NamedTuple):
    """A tracking record; times in microseconds UTC since 1970."""

    organisation: str
    ttl_seconds: int
    last_sync_us: int | None
    synced_version: str | None
    edition: int
    failures: int
    retry_us: int | None
    lease: str | None
    lease_until_us: int | None
    created_us: int
    updated_us: int


class State(NamedTuple):
    """A tracking record, and the state of its source; an organisation without one has version 0 of its own."""

    tracked: Tracked
    source: SourceKind
    version: int
    changed_us: int
    has_own: bool


class LabelCount(NamedTuple):
    """The number of labels that an organisation shows, and their time (microseconds UTC since 1970)."""

    organisation: str
    label_count: int
    updated_us: int


def state(tx: Transaction, organisation: str) -> State | None:
    """An organisation's tracking record with its source, or None."""
    found = states(tx, organisation, 1, 0)
    return found[0] if found else None


def states(tx: Transaction, organisation: str | None, limit: int, offset: int) -> list[State]:
    """Tracking records with their sources by organisation, of one or of all."""
    where, params = ("", ()) if organisation is None else (" WHERE t.organisation = ?", (organisation,))
    rows = tx.rows(
        f"SELECT {_STATE} FROM terminology_syncs t"
        f" LEFT JOIN terminology_labels k ON k.organisation = t.organisation{where}"
        " ORDER BY t.organisation LIMIT ? OFFSET ?",
        *params, limit, offset,
    )  # fmt: skip
    width = len(Tracked._fields)
    return [State(Tracked(*row[:width]), row[width], row[width + 1], row[width + 2], bool(row[-1])) for row in rows]


def count(tx: Transaction, organisation: str | None) -> int:
    """The number of tracking records, of one organisation or of all."""
    where, params = ("", ()) if organisation is None else (" WHERE organisation = ?", (organisation,))
    found: int = tx.value(f"SELECT count(*) FROM terminology_syncs{where}", *params)
    return found


def add(tx: Transaction, organisation: str, ttl_seconds: int) -> bool:
    """Writes a new tracking record; False when one exists."""
    return (
        tx.run(
            f"INSERT INTO terminology_syncs ({_SYNC}) VALUES (?, ?, NULL, NULL, 1, 0, NULL, NULL, NULL, ?, ?)"
            " ON CONFLICT (organisation) DO NOTHING",
            organisation, ttl_seconds, tx.at_us, tx.at_us,
        )
        == 1
    )  # fmt: skip


def keep_record(tx: Transaction, tracked: Tracked) -> None:
    """Writes a changed tracking record, under its next edition."""
    tx.run(
        "UPDATE terminology_syncs SET ttl_seconds = ?, last_sync_us = ?, synced_version = ?, edition = edition + 1,"
        " failures = ?, retry_us = ?, lease = ?, lease_until_us = ?, updated_us = ? WHERE organisation = ?",
        tracked.ttl_seconds, tracked.last_sync_us, tracked.synced_version, tracked.failures, tracked.retry_us,
        tracked.lease, tracked.lease_until_us, tracked.updated_us, tracked.organisation,
    )  # fmt: skip


def keep_attempt(tx: Transaction, tracked: Tracked) -> None:
    """Writes the lease and the failures; what callers see of the record does not change by that."""
    tx.run(
        "UPDATE terminology_syncs SET failures = ?, retry_us = ?, lease = ?, lease_until_us = ? WHERE organisation = ?",
        tracked.failures, tracked.retry_us, tracked.lease, tracked.lease_until_us, tracked.organisation,
    )  # fmt: skip


def remove(tx: Transaction, organisation: str) -> None:
    """Drops a tracking record."""
    tx.frees_room()
    tx.run("DELETE FROM terminology_syncs WHERE organisation = ?", organisation)


def kept(tx: Transaction, organisation: str) -> LabelSource:
    """The stored labels of an organisation; those of a new one when it has none."""
    row = tx.row(f"SELECT {_KEPT} FROM terminology_labels WHERE organisation = ?", organisation)
    if row is None:
        return LabelSource(organisation)
    found = LabelSource(*row)
    return found if found.own is None else found._replace(own=bytes(found.own))


def keep(tx: Transaction, kept: LabelSource) -> None:
    """Writes the stored labels of an organisation, new or changed."""
    names = [name.strip() for name in _KEPT.split(",")]
    changes = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    tx.run(
        f"INSERT INTO terminology_labels ({_KEPT}) VALUES ({', '.join('?' * len(names))})"
        f" ON CONFLICT (organisation) DO UPDATE SET {changes}",
        *kept,
    )


def listed(tx: Transaction, organisation: str | None, limit: int, offset: int) -> tuple[list[LabelCount], int]:
    """The organisations that show labels, of one or of all; and their number."""
    params: tuple[str, ...] = () if organisation is None else (organisation,)
    where = _LISTED + (" AND organisation = ?" if params else "")
    total = tx.value(f"SELECT count(*) FROM terminology_labels WHERE {where}", *params)
    rows = tx.rows(
        "SELECT organisation, source, own IS NOT NULL, own_count, own_updated_us, published, published_us"
        f" FROM terminology_labels WHERE {where} ORDER BY organisation LIMIT ? OFFSET ?",
        *params, limit, offset,
    )  # fmt: skip
    shown = [(row[0], *(row[3:5] if row[1] == OWN and row[2] else row[5:7])) for row in rows]
    return [LabelCount(*row) for row in shown], total


def wake(tx: Transaction, feed: int) -> None:
    """Wakes every listener of a feed after the commit, though nothing was appended to it."""
    tx.moved.setdefault(feed, 0)
