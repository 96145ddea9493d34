"""Empties the trash of a share at once, because a person asked for its room: all of it, or one file or folder.

It runs in short transactions, so that other writers have their turn, and ends after a bounded number of nodes: the
caller asks again for the rest. The bytes count as free at once; gc frees the disk after its grace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from headwater.base.clock import SECOND_US
from headwater.base.errors import NotFound, StateConflict
from headwater.contracts.files.retention import purge_trash
from headwater.store.database import Database, Transaction
from headwater.store.tree import nodes

_NO_FLOOR = 1 << 62


class Emptied(NamedTuple):
    """The counts of what was removed for good; ``kept`` stays because an open conflict needs it.

    ``complete``: all that was asked for was looked at. Otherwise the caller asks again.
    """

    removed: int
    kept: int
    freed_bytes: int
    complete: bool


def empty(
    database: Database,
    feed: int,
    older_than_seconds: int = 0,
    *,
    most_nodes: int | None = None,
    breathe: Callable[[Emptied], None] = lambda _so_far: None,
) -> Emptied:
    """Removes what has been in the trash for longer than this, up to ``most_nodes`` files and folders.

    ``breathe`` receives the counts between two steps: it may wait, and by raising it ends the emptying.
    """
    before_us = database.read_now(lambda tx: tx.now_us) - older_than_seconds * SECOND_US
    found = purge_trash.candidates(database, feed, before_us, _NO_FLOOR)
    return _remove(database, feed, before_us, found, most_nodes, breathe)


def remove_one(
    database: Database,
    feed: int,
    node_id: str,
    *,
    most_nodes: int | None = None,
    breathe: Callable[[Emptied], None] = lambda _so_far: None,
) -> Emptied:
    """Removes one file or folder of the trash, with all that is below it.

    Raises: NotFound, StateConflict (it is not in the trash; an open conflict needs it).
    """
    database.read_now(partial(_require_in_trash, feed=feed, node_id=node_id))
    before_us = database.read_now(lambda tx: tx.now_us)

    def below() -> Iterator[str]:
        yield from purge_trash.all_below(database, feed, node_id)
        yield node_id

    done = _remove(database, feed, before_us, below(), most_nodes, breathe)
    if not done.removed and done.kept:
        raise StateConflict("a conflict that waits for a person needs this; settle it first")
    return done


def _require_in_trash(tx: Transaction, feed: int, node_id: str) -> None:
    node = nodes.find(tx, feed, node_id)
    if node is None:
        raise NotFound(f"no file or folder {node_id!r}")
    if nodes.is_live(tx, feed, node):
        raise StateConflict("this is not in the trash; delete it first")


def _remove(
    database: Database,
    feed: int,
    before_us: int,
    found: Iterator[str],
    most_nodes: int | None,
    breathe: Callable[[Emptied], None],
) -> Emptied:
    """Removes the candidates page by page, and after each page the versions of its files."""
    removed = kept = freed_bytes = 0
    complete = True
    for page in purge_trash.pages(found):
        if most_nodes is not None and removed >= most_nodes:
            complete = False
            break
        gone = database.write_now(
            partial(purge_trash.remove, feed=feed, before_us=before_us, ids=page, explicit=True), feed=feed
        )
        removed, kept = removed + gone, kept + len(page) - gone
        more = True
        while more:
            more, freed = database.write_now(partial(purge_trash.drop_versions, feed=feed), feed=feed)
            freed_bytes += freed
            breathe(Emptied(removed, kept, freed_bytes, complete=False))
    return Emptied(removed, kept, freed_bytes, complete)
