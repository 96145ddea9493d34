"""The positions and integers that ended with a restore: given out after the backup, or skipped by the restore.

None of them is given out again, so each one that a client names was given out in an epoch that ended.
"""

from __future__ import annotations

from typing import NamedTuple

from headwater.store.database import Transaction

SKIPPED = (
    "(SELECT coalesce(sum(l.last - CASE WHEN l.first > {position} THEN l.first - 1 ELSE {position} END), 0)"
    " FROM lost_positions l WHERE l.feed = {feed} AND l.last > {position})"
)
"""The number of positions after one that ended with a restore: no change has any of them."""


class LostNumbers(NamedTuple):
    """A range of a kind's integers that ended: ``first`` to ``last``, of which those up to ``given`` were given out."""

    first: int
    given: int
    last: int

    @property
    def is_assumed(self) -> bool:
        """True when the replaced state was not known, so that ``given`` is an assumption."""
        return self.given < self.last


def is_lost(tx: Transaction, feed: int, position: int) -> bool:
    """True for a position that ended with a restore."""
    sql = "SELECT 1 FROM lost_positions WHERE feed = ? AND first <= ? AND last >= ?"
    return tx.row(sql, feed, position, position) is not None


def skipped_after(tx: Transaction, feed: int, position: int) -> int:
    """Returns the number of positions after this one that ended with a restore, so that no change has them."""
    sql = "SELECT " + SKIPPED.format(feed="p.feed", position="p.position")
    return int(tx.value(f"{sql} FROM (SELECT ? AS feed, ? AS position) p", feed, position))


def renewed_upto(tx: Transaction, feed: int) -> int:
    """Returns the position at which the present epoch of a feed began; 0 when it was never restored."""
    return int(tx.value("SELECT max(last) FROM lost_positions WHERE feed = ?", feed) or 0)


def lose(tx: Transaction, feed: int, first: int, last: int) -> None:
    """Ends the positions ``first`` to ``last`` of a feed, which a restore has skipped."""
    tx.run("INSERT INTO lost_positions (feed, first, last, at_us) VALUES (?, ?, ?, ?)", feed, first, last, tx.now_us)


def numbers(tx: Transaction, feed: int, name: str) -> list[LostNumbers]:
    """Returns the ranges of a kind's integers that ended, ascending."""
    sql = "SELECT first, given, last FROM lost_numbers WHERE feed = ? AND name = ? ORDER BY first"
    return [LostNumbers(*row) for row in tx.rows(sql, feed, name)]


def lose_numbers(tx: Transaction, feed: int, name: str, ended: LostNumbers) -> None:
    """Ends a range of a kind's integers, which a restore has skipped."""
    tx.run(
        "INSERT INTO lost_numbers (feed, name, first, given, last) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (feed, name, first) DO UPDATE SET given = excluded.given, last = excluded.last",
        feed, name, *ended,
    )  # fmt: skip
