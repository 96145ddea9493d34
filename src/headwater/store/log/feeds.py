"""Feeds by name: ``org:<id>`` keeps the freshest change of each record, ``share:<id>`` keeps history."""

from __future__ import annotations

from typing import NamedTuple

from headwater.store.database import Transaction

ACCESS = 0
"""The feed of nobody. Who listens to it hears that somebody may read other shares than before; whoever makes shares,
changes their members, or the chapters of users, tells it.
"""


class Feed(NamedTuple):
    """A feed's number, which never changes, with what is fixed about it."""

    feed: int
    name: str
    organisation: str
    history: bool


def organisation_feed(tx: Transaction, organisation: str) -> int | None:
    """The number of an organisation's feed; None for an unknown organisation."""
    return find(tx, "org:" + organisation)


def find(tx: Transaction, name: str) -> int | None:
    """The number of the feed with this name, or None."""
    number: int | None = tx.value("SELECT feed FROM feeds WHERE name = ?", name)
    return number


def read(tx: Transaction, feed: int) -> Feed | None:
    """What is fixed about a feed, or None."""
    row = tx.row("SELECT feed, name, organisation, history FROM feeds WHERE feed = ?", feed)
    return None if row is None else Feed(row[0], row[1], row[2], bool(row[3]))


def page(tx: Transaction, after: int, limit: int) -> list[Feed]:
    """At most ``limit`` feeds with a number above ``after``, in the order of their numbers."""
    sql = "SELECT feed, name, organisation, history FROM feeds WHERE feed > ? ORDER BY feed LIMIT ?"
    return [Feed(row[0], row[1], row[2], bool(row[3])) for row in tx.rows(sql, after, limit)]


def create(tx: Transaction, name: str, organisation: str, *, history: bool) -> int:
    """Make a feed; its number. The name must be new."""
    feed = tx.mint("feed")[0]
    tx.run(
        "INSERT INTO feeds (feed, name, organisation, history) VALUES (?, ?, ?, ?)",
        feed, name, organisation, int(history),
    )  # fmt: skip
    # The counter by which writers hold the feed is there from the beginning.
    tx.bump(feed, "head", 0)
    return feed


def head(tx: Transaction, feed: int) -> int:
    """The position of the newest change; 0 when there is none."""
    return tx.counter(feed, "head")


def floor(tx: Transaction, feed: int) -> int:
    """The position below which cursors have expired."""
    return int(tx.value("SELECT floor FROM feeds WHERE feed = ?", feed) or 0)


def raise_floor(tx: Transaction, feed: int, position: int) -> None:
    """Let every cursor below ``position`` expire; a floor never falls."""
    tx.run("UPDATE feeds SET floor = ? WHERE feed = ? AND floor < ?", position, feed, position)
