"""The read SQL of the contacts contract; each query is given a transaction."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.textkeys import search_prefixes
from headwater.contracts.contacts.rules import KIND
from headwater.store import records
from headwater.store.database import Row, Transaction


class Wanted(NamedTuple):
    """Which contacts a list shows, out of these feeds."""

    feeds: tuple[int, ...]
    text: str = ""
    chapter_id: str | None = None
    updated_since_us: int | None = None
    limit: int = 20
    offset: int = 0


def page(tx: Transaction, wanted: Wanted) -> tuple[bytes, int]:
    """The JSON of the contacts on a page, joined with commas, by id; and how many there are in all."""
    where, params = _where(wanted)
    plain = not wanted.text.strip() and wanted.chapter_id is None and wanted.updated_since_us is None
    if plain:
        total = sum(records.live_count(tx, feed, KIND) for feed in wanted.feeds)
    else:
        total = tx.value(f"SELECT count(*) FROM records r WHERE {where}", *params)
    rows: list[Row] = tx.rows(
        "SELECT c.wire FROM (SELECT r.feed, r.id, r.position FROM records r"
        f" WHERE {where} ORDER BY r.id, r.feed LIMIT ? OFFSET ?) p"
        " JOIN changes c ON c.feed = p.feed AND c.position = p.position ORDER BY p.id, p.feed",
        *params, wanted.limit, wanted.offset,
    )  # fmt: skip
    return records.bodies(rows), total


def feed_of_contact(tx: Transaction, id: str, feeds: tuple[int, ...]) -> int | None:
    """The first of these feeds that holds a live contact with this id, or None."""
    for feed in feeds:
        if tx.value("SELECT 1 FROM records WHERE feed = ? AND kind = ? AND id = ? AND deleted = 0", feed, KIND, id):
            return feed
    return None


def _where(wanted: Wanted) -> tuple[str, list[object]]:
    # With one feed the key's own order is the list's order, and no sort is needed.
    feeds = "r.feed = ?" if len(wanted.feeds) == 1 else f"r.feed IN ({','.join('?' * len(wanted.feeds))})"
    parts = [feeds, "r.kind = ?", "r.deleted = 0"]
    values: list[object] = [*wanted.feeds, KIND]
    forms = search_prefixes(wanted.text)
    if forms:
        parts.append("(" + " OR ".join(["instr(r.search, ?) > 0"] * len(forms)) + ")")
        values.extend("\n" + form for form in forms)
    if wanted.chapter_id is not None:
        parts.append(
            "EXISTS (SELECT 1 FROM affiliations a WHERE a.feed = r.feed AND a.contact_id = r.id AND a.chapter_id = ?)"
        )
        values.append(wanted.chapter_id)
    if wanted.updated_since_us is not None:
        parts.append("r.updated_us >= ?")
        values.append(wanted.updated_since_us)
    return " AND ".join(parts), values
