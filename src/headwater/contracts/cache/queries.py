"""The SQL of the cache contract's own tables, and its reads of cached records, over a transaction."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.textkeys import search_prefixes
from headwater.store.database import Transaction
from headwater.store.log import changes
from headwater.store.log.records import COLUMNS, Record

_SYNC = "number, organisation, contacts_synced, notes_synced, status, synced_us, updated_us"


class Sync(NamedTuple):
    """A sync record; times in microseconds UTC since 1970."""

    number: int
    organisation: str
    contacts_synced: int
    notes_synced: int
    status: str
    synced_us: int
    updated_us: int


class CacheFilter(NamedTuple):
    """The cached records that a page shows: those after an id, by prefix of a search term, of one contact."""

    kind: str
    after: str
    limit: int
    text: str = ""
    contact_id: str | None = None


def sync(tx: Transaction, number: int) -> Sync | None:
    """One sync record, or None."""
    row = tx.row(f"SELECT {_SYNC} FROM cache_syncs WHERE number = ?", number)
    return None if row is None else Sync(*row)


def keep(tx: Transaction, sync: Sync) -> None:
    """Writes a sync record, new or changed."""
    tx.run(
        f"INSERT INTO cache_syncs ({_SYNC}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET"
        " contacts_synced = excluded.contacts_synced, notes_synced = excluded.notes_synced,"
        " status = excluded.status, updated_us = excluded.updated_us",
        *sync,
    )


def keep_success(tx: Transaction, organisation: str, number: int | None, at_us: int | None) -> None:
    """Notes an organisation's last success; with None that it has none any more."""
    tx.run(
        "INSERT INTO cache_successes (organisation, number, at_us) VALUES (?, ?, ?)"
        " ON CONFLICT (organisation) DO UPDATE SET number = excluded.number, at_us = excluded.at_us",
        organisation,
        number,
        at_us,
    )


def last_success(tx: Transaction, organisation: str) -> tuple[int, int] | None:
    """Number and instant of an organisation's last successful sync since it was last cleared, or None."""
    row = tx.row("SELECT number, at_us FROM cache_successes WHERE organisation = ?", organisation)
    return None if row is None or row[0] is None else (row[0], row[1])


def page(tx: Transaction, organisation: str | None, limit: int, offset: int) -> tuple[list[Sync], int]:
    """Sync records newest first, of one organisation or of all; and their number."""
    where, params = ("", ()) if organisation is None else (" WHERE organisation = ?", (organisation,))
    total = tx.value(f"SELECT count(*) FROM cache_syncs{where}", *params)
    # Numbers grow with time within an organisation only.
    order = "synced_us DESC, number DESC" if organisation is None else "number DESC"
    rows = tx.rows(f"SELECT {_SYNC} FROM cache_syncs{where} ORDER BY {order} LIMIT ? OFFSET ?", *params, limit, offset)
    return [Sync(*row) for row in rows], total


def live(tx: Transaction, feed: int, kind: str) -> list[Record]:
    """Every live record of a kind."""
    rows = tx.rows(f"SELECT {COLUMNS} FROM records WHERE feed = ? AND kind = ? AND deleted = 0", feed, kind)
    return [Record(*row) for row in rows]


def cached_page(tx: Transaction, feed: int, wanted: CacheFilter) -> tuple[bytes, str | None, bool]:
    """Bodies of cached records by id, joined with commas; the last id; True when more follow."""
    where = "r.feed = ? AND r.kind = ? AND r.deleted = 0 AND r.id > ?"
    params: list[object] = [feed, wanted.kind, wanted.after]
    forms = search_prefixes(wanted.text)
    if forms:
        where += " AND (" + " OR ".join(["instr(r.search, ?) > 0"] * len(forms)) + ")"
        params.extend("\n" + form for form in forms)
    if wanted.contact_id is not None:
        where += " AND r.parent = ?"
        params.append(wanted.contact_id)
    rows = tx.rows(
        "SELECT c.wire, p.id FROM (SELECT r.feed, r.id, r.position FROM records r"
        f" WHERE {where} ORDER BY r.id LIMIT ?) p"
        " JOIN changes c ON c.feed = p.feed AND c.position = p.position ORDER BY p.id",
        *params,
        wanted.limit + 1,
    )
    shown = rows[: wanted.limit]
    last = shown[-1][1] if shown else None
    return b",".join([changes.body_of(bytes(row[0])) for row in shown]), last, len(rows) > wanted.limit
