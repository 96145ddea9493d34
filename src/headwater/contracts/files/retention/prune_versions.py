"""Removes old versions of files by rule, to have their room back: by an explicit call, or as the settings say.

A rule keeps the last versions of each file, or those that are younger than a time, or what either of the two keeps.
The current version always stays, and so does a version that is a side of an open conflict. What was pruned is still
known as a base: a device that edited it offline meets a conflict, and not a file that it must fetch first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.base.errors import Invalid
from headwater.base.settings.table import FileSettings
from headwater.store.database import Database, Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.versions import Version

FILES_AT_ONCE = 200
VERSIONS_AT_ONCE = 500
"""Versions that one transaction removes."""

ROWS_AT_ONCE = 2000
"""Marks on content that one transaction removes."""

_FILES = "SELECT DISTINCT node FROM versions WHERE feed = ? AND node > ? ORDER BY node LIMIT ?"
_SIDES = (
    "SELECT local_version_id FROM file_conflicts WHERE feed = ? AND resolution IS NULL AND local_version_id IS NOT NULL"
    " UNION SELECT server_version_id FROM file_conflicts"
    " WHERE feed = ? AND resolution IS NULL AND server_version_id IS NOT NULL"
)
_SHARES = "SELECT feed FROM shares WHERE deleted_us IS NULL AND feed > ? ORDER BY feed LIMIT 1"
_WITH_CHUNKS = "SELECT feed FROM pruned_versions WHERE chunks_left = 1 AND feed > ? ORDER BY feed LIMIT 1"


class KeepRule(NamedTuple):
    """The versions of a file that stay: its last ones, and those younger than this; 0 keeps none for that reason."""

    last: int
    younger_seconds: int

    @classmethod
    def asked(cls, last: int | None, younger_seconds: int | None) -> KeepRule:
        """The rule of an explicit call. Raises: Invalid (it names nothing to keep)."""
        if last is None and younger_seconds is None:
            raise Invalid.of("keep_last", "missing", "say how many versions to keep, or for how long, or both")
        return cls(last or 0, younger_seconds or 0)

    def is_doomed(self, rank: int, version: Version, now_us: int) -> bool:
        """True for a version that is not kept; ``rank`` counts the newer ones."""
        return rank >= self.last and version.created_us <= now_us - self.younger_seconds * SECOND_US


class Pruned(NamedTuple):
    """The counts of what was removed, or would be; ``complete``: every file was looked at."""

    versions: int
    freed_bytes: int
    complete: bool


def prune(
    database: Database,
    feed: int,
    rule: KeepRule,
    *,
    most_versions: int | None = None,
    breathe: Callable[[Pruned], None] = lambda _so_far: None,
) -> Pruned:
    """Removes the versions of a share that the rule does not keep, up to ``most_versions``, in short transactions.

    ``breathe`` receives the counts between two steps: it may wait, and by raising it ends the pruning.
    """
    count = freed_bytes = 0
    for page in _files(database, feed):
        doomed = database.read_now(partial(doomed_versions, feed=feed, files=page, rule=rule))
        while doomed:
            if most_versions is not None and count >= most_versions:
                return Pruned(count, freed_bytes, complete=False)
            step = [version.id for version in doomed[:VERSIONS_AT_ONCE]]
            doomed = doomed[VERSIONS_AT_ONCE:]
            removed, freed = database.write_now(partial(_prune, feed=feed, ids=step), feed=feed)
            count, freed_bytes = count + removed, freed_bytes + freed
            drop_chunks(database, feed)
            breathe(Pruned(count, freed_bytes, complete=False))
    return Pruned(count, freed_bytes, complete=True)


def plan(database: Database, feed: int, rule: KeepRule) -> Iterator[Version]:
    """The versions that ``prune`` would remove now; changes nothing."""
    for page in _files(database, feed):
        yield from database.read_now(partial(doomed_versions, feed=feed, files=page, rule=rule))


def prune_by_settings(database: Database, settings: FileSettings, breathe: Callable[[], None]) -> int:
    """Prunes every share as the settings say, and ends what was cut off; returns the number of versions."""
    count = 0
    for feed, rule in due(database, settings):
        count += prune(database, feed, rule, breathe=lambda _so_far: breathe()).versions
        breathe()
    for feed in _feeds(database, _WITH_CHUNKS):
        drop_chunks(database, feed)
        breathe()
    return count


def due(database: Database, settings: FileSettings) -> Iterator[tuple[int, KeepRule]]:
    """The feed of each share with the rule of the settings; none when they keep every version."""
    if settings.keep_versions or settings.keep_versions_seconds:
        rule = KeepRule(settings.keep_versions, settings.keep_versions_seconds)
        for feed in _feeds(database, _SHARES):
            yield feed, rule


def doomed_versions(tx: Transaction, feed: int, files: Sequence[str], rule: KeepRule) -> list[Version]:
    """The versions of these files that the rule does not keep."""
    current = {node.id: node.version for node in nodes.find_many(tx, feed, files)}
    needed = _sides(tx, feed)
    doomed: list[Version] = []
    rank, node = 0, ""
    for version in versions.of_files(tx, feed, sorted(current)):
        rank = rank + 1 if version.node == node else 0
        node = version.node or ""
        if version.id in needed or version.id == current[node] or version.state != "kept":
            continue
        if rule.is_doomed(rank, version, tx.now_us):
            doomed.append(version)
    return doomed


def drop_chunks(database: Database, feed: int) -> None:
    """Removes the marks on content of the versions of a share that were pruned."""
    while database.write_now(partial(versions.drop_pruned_chunks, feed=feed, limit=ROWS_AT_ONCE), feed=feed):
        pass


def _prune(tx: Transaction, feed: int, ids: Sequence[str]) -> tuple[int, int]:
    """Removes those of these versions that nothing needs by now; returns their number and bytes.

    A version that a rule does not keep is never kept by it later: it only gets older, and newer ones follow.
    """
    tx.lock(feed)
    found = [version for version in versions.find_many(tx, feed, ids) if version.node is not None]
    current = {node.version for node in nodes.find_many(tx, feed, sorted({each.node or "" for each in found}))}
    needed = _sides(tx, feed) | current
    doomed = [version for version in found if version.id not in needed]
    return len(doomed), versions.prune(tx, feed, doomed)


def _sides(tx: Transaction, feed: int) -> set[str | None]:
    """The versions that are a side of an open conflict."""
    return {row[0] for row in tx.rows(_SIDES, feed, feed)}


def _files(database: Database, feed: int) -> Iterator[list[str]]:
    """The files of a share that have a history, page by page."""
    after = ""
    while page := database.read_now(partial(_page, feed=feed, after=after)):
        yield page
        after = page[-1]


def _page(tx: Transaction, feed: int, after: str) -> list[str]:
    return [row[0] for row in tx.rows(_FILES, feed, after, FILES_AT_ONCE)]


def _feeds(database: Database, sql: str) -> Iterator[int]:
    """The feeds that a statement finds, in order, read one at a time."""

    def following(tx: Transaction, after: int) -> int | None:
        found: int | None = tx.value(sql, after)
        return found

    feed = database.read_now(partial(following, after=0))
    while feed is not None:
        yield feed
        feed = database.read_now(partial(following, after=feed))
