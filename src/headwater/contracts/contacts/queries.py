"""The read SQL of the contacts contract, over a transaction."""

from __future__ import annotations

from typing import NamedTuple

from headwater.base.errors import NotFound, StateConflict
from headwater.base.textkeys import search_prefixes
from headwater.contracts.contacts.rules import KIND
from headwater.identity.scope import Scope
from headwater.store.database import Row, Transaction
from headwater.store.log import records

_EVERY_FEED = "r.feed IN (SELECT feed FROM feeds WHERE history = 0)"


class ContactFilter(NamedTuple):
    """The contacts that a list shows, of one feed or of every organisation's."""

    feed: int | None
    text: str = ""
    chapter_id: str | None = None
    updated_since_us: int | None = None
    limit: int = 20
    offset: int = 0


def page(tx: Transaction, wanted: ContactFilter) -> tuple[bytes, int]:
    """The JSON of the contacts on a page, joined with commas, by id; and the number of all."""
    where, params = _where(wanted)
    plain = not wanted.text.strip() and wanted.chapter_id is None and wanted.updated_since_us is None
    if plain:
        total = records.live_count(tx, wanted.feed, KIND) if wanted.feed else records.live_everywhere(tx, KIND)
    else:
        total = tx.value(f"SELECT count(*) FROM records r WHERE {where}", *params)
    rows: list[Row] = tx.rows(
        "SELECT c.wire FROM (SELECT r.feed, r.id, r.position FROM records r"
        f" WHERE {where} ORDER BY r.id, r.feed LIMIT ? OFFSET ?) p"
        " JOIN changes c ON c.feed = p.feed AND c.position = p.position ORDER BY p.id, p.feed",
        *params, wanted.limit, wanted.offset,
    )  # fmt: skip
    return records.bodies(rows), total


def holds(tx: Transaction, feed: int, id: str) -> bool:
    """True when a feed holds a live contact with this id."""
    found = tx.value("SELECT 1 FROM records WHERE feed = ? AND kind = ? AND id = ? AND deleted = 0", feed, KIND, id)
    return found is not None


def feed_of_contact(tx: Transaction, scope: Scope, id: str) -> int:
    """The feed of a contact in a scope. Raises: NotFound, StateConflict (several organisations have this id)."""
    if not scope.reaches_all:
        own = scope.feed(tx)
        found = [own] if holds(tx, own, id) else []
    else:
        sql = f"SELECT r.feed FROM records r WHERE {_EVERY_FEED} AND r.kind = ? AND r.id = ? AND r.deleted = 0 LIMIT 2"
        found = [row[0] for row in tx.rows(sql, KIND, id)]
    if len(found) > 1:
        # Devices choose ids, so two organisations may have the same one; the first one would be a guess.
        raise StateConflict(
            f"several organisations have a contact {id!r}: name one with ?org_id=", code="ORG_AMBIGUOUS"
        )
    if not found:
        raise NotFound(f"no contact {id!r}")
    return found[0]


def _where(wanted: ContactFilter) -> tuple[str, list[object]]:
    # With one feed the key's own order is the list's order, and no sort is needed.
    parts = ["r.feed = ?" if wanted.feed else _EVERY_FEED, "r.kind = ?", "r.deleted = 0"]
    values: list[object] = [wanted.feed, KIND] if wanted.feed else [KIND]
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
