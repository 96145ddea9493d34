"""The chapters that a contact belongs to: the decisions and their SQL.

The ids are also in the contact's stored body, so that a changed set is a change of the contact.
Source: contacts contract, "chapter-affiliations"; readings 1.11 and 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headwater.base.wire import format_seconds
from headwater.contracts.contacts import rules
from headwater.contracts.contacts.shapes import Affiliation, AffiliationsSet
from headwater.identity import chapters
from headwater.store.database import Transaction
from headwater.store.log import feeds

FIELD = "chapter_ids"
"""The field of a contact's body that holds its chapters."""

_ROW = "INSERT INTO affiliations (feed, contact_id, place, chapter_id, joined_us) VALUES (?, ?, ?, ?, ?)"


class AffiliationState(NamedTuple):
    """The state behind the tag of a contact's chapters: the contact's revision and the last renaming of any of them."""

    revision: int
    renamed_us: int


def organisation_of(tx: Transaction, feed: int) -> str:
    """The organisation whose feed this is."""
    found = feeds.read(tx, feed)
    return found.organisation if found else ""


def state_of(tx: Transaction, feed: int, id: str) -> AffiliationState:
    """The present state of a contact's chapters. Raises: NotFound."""
    current = rules.live(tx, feed, id)
    renamed_us = tx.value(
        "SELECT max(c.updated_us) FROM affiliations a JOIN chapters c ON c.id = a.chapter_id"
        " WHERE c.organisation = ? AND a.feed = ? AND a.contact_id = ?",
        organisation_of(tx, feed), feed, id,
    )  # fmt: skip
    return AffiliationState(current.revision, renamed_us or 0)


def page(tx: Transaction, feed: int, id: str, limit: int, offset: int) -> tuple[list[Affiliation], int]:
    """A contact's chapters in their order, and their number."""
    total = tx.value("SELECT count(*) FROM affiliations WHERE feed = ? AND contact_id = ?", feed, id)
    rows = tx.rows(
        "SELECT a.chapter_id, c.name, a.joined_us FROM affiliations a JOIN chapters c ON c.id = a.chapter_id"
        " WHERE c.organisation = ? AND a.feed = ? AND a.contact_id = ? ORDER BY a.place LIMIT ? OFFSET ?",
        organisation_of(tx, feed), feed, id, limit, offset,
    )  # fmt: skip
    return [Affiliation(chapter_id, name, format_seconds(joined_us)) for chapter_id, name, joined_us in rows], total


def replace(tx: Transaction, feed: int, id: str, ids: Sequence[str], *, open_provisioning: bool) -> AffiliationsSet:
    """Replaces a contact's chapters by these; the same ones in the same order write nothing.

    Duplicates are dropped; chapters that stay keep their ``joined_at``.
    Raises: NotFound, Invalid (unknown chapters where provisioning is closed, unusable ids).
    """
    current, contact = rules.read(tx, feed, id)
    # Provided before duplicates are dropped, so that an error names the place in the list as it was sent.
    known = chapters.provide(tx, organisation_of(tx, feed), ids, open_provisioning=open_provisioning)
    wanted = list(dict.fromkeys(chapter.id for chapter in known))
    if wanted != contact.chapter_ids:
        contact.chapter_ids = wanted
        put(tx, feed, id, wanted)
        rules.write(tx, feed, current, contact, [FIELD])
    return AffiliationsSet(id, wanted, contact.updated_at)


def put(tx: Transaction, feed: int, id: str, wanted: Sequence[str]) -> None:
    """Writes the rows of a contact's chapters, each once and known; those it had keep their time."""
    joined: dict[str, int] = dict(
        tx.rows("SELECT chapter_id, joined_us FROM affiliations WHERE feed = ? AND contact_id = ?", feed, id)
    )
    if joined:
        forget(tx, feed, [id])
    tx.run_many(_ROW, [(feed, id, place, name, joined.get(name, tx.at_us)) for place, name in enumerate(wanted)])


def put_new(tx: Transaction, feed: int, chapters_of: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Writes the rows of contacts that have none yet."""
    tx.run_many(
        _ROW,
        [(feed, id, place, name, tx.at_us) for id, wanted in chapters_of for place, name in enumerate(wanted)],
    )


def forget(tx: Transaction, feed: int, ids: Sequence[str]) -> None:
    """Removes contacts from their chapters."""
    tx.run_many("DELETE FROM affiliations WHERE feed = ? AND contact_id = ?", [(feed, id) for id in ids])
