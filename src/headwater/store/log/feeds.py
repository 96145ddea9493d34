"""The feeds: ``org:<id>`` retains the newest change of each record, ``share:<id>`` retains the history."""

from __future__ import annotations

from typing import NamedTuple

from headwater.store.database import Transaction
from headwater.store.log import lost
from headwater.store.log.lost import LostNumbers

ACCESS = 0
"""A feed number without changes, which notifies listeners that the shares which some user may read have changed.

Every function that creates a share, changes its members, or changes the chapters of a user notifies it.
"""


class Feed(NamedTuple):
    """A feed: its number and its other properties, none of which ever changes."""

    feed: int
    name: str
    organisation: str
    history: bool


def organisation_feed(tx: Transaction, organisation: str) -> int | None:
    """Returns the number of an organisation's feed; None for an unknown organisation."""
    return find(tx, "org:" + organisation)


def find(tx: Transaction, name: str) -> int | None:
    """Returns the number of the feed with this name, or None."""
    number: int | None = tx.value("SELECT feed FROM feeds WHERE name = ?", name)
    return number


def read(tx: Transaction, feed: int) -> Feed | None:
    """Returns the feed with this number, or None."""
    row = tx.row("SELECT feed, name, organisation, history FROM feeds WHERE feed = ?", feed)
    return None if row is None else Feed(row[0], row[1], row[2], bool(row[3]))


def page(tx: Transaction, after: int, limit: int) -> list[Feed]:
    """Returns at most ``limit`` feeds with numbers above ``after``, in the order of their numbers."""
    sql = "SELECT feed, name, organisation, history FROM feeds WHERE feed > ? ORDER BY feed LIMIT ?"
    return [Feed(row[0], row[1], row[2], bool(row[3])) for row in tx.rows(sql, after, limit)]


def create(tx: Transaction, name: str, organisation: str, *, history: bool) -> int:
    """Creates a feed and returns its number. The name must be new."""
    feed = tx.mint("feed")[0]
    tx.run(
        "INSERT INTO feeds (feed, name, organisation, history) VALUES (?, ?, ?, ?)",
        feed, name, organisation, int(history),
    )  # fmt: skip
    # The counter that writers lock exists from the start.
    tx.bump(feed, "head", 0)
    _continue_lost(tx, feed, name)
    return feed


def _continue_lost(tx: Transaction, feed: int, name: str) -> None:
    """Continues the sequences of an organisation that a restore removed, so that its clients receive none again."""
    if not name.startswith("org:"):
        return
    sql = "SELECT counter, max(value) FROM lost_feeds WHERE name = ? OR name = '' GROUP BY counter"
    for counter, value in tx.rows(sql, name):
        tx.bump(feed, counter, value)
        if counter == "head" and value:
            lost.lose(tx, feed, 1, value)
            raise_floor(tx, feed, value)
        elif counter.startswith("number:"):
            lost.lose_numbers(tx, feed, counter.removeprefix("number:"), LostNumbers(1, value, value))


def head(tx: Transaction, feed: int) -> int:
    """Returns the position of the newest change; 0 when there is none."""
    return tx.counter(feed, "head")


def floor(tx: Transaction, feed: int) -> int:
    """Returns the position below which cursors have expired."""
    return int(tx.value("SELECT floor FROM feeds WHERE feed = ?", feed) or 0)


def raise_floor(tx: Transaction, feed: int, position: int) -> None:
    """Raises the floor, so that every cursor below ``position`` expires; a floor is never lowered."""
    tx.run("UPDATE feeds SET floor = ? WHERE feed = ? AND floor < ?", position, feed, position)
