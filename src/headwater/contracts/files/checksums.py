"""Compares the stored SHA-256 of versions with their bytes, and replaces those that were taken from damaged bytes.

Earlier revisions computed a checksum from whatever they read. A wrong one outlives the damage: every careful client
then refuses content that is good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from headwater.base.errors import Damaged
from headwater.contracts.files import content
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Actor
from headwater.store.tree.writer import TreeWriter

VERSIONS_AT_ONCE = 500
CONTENTS_KNOWN = 50_000
"""Contents whose checksum is remembered while others are read: equal contents are then read once."""

_TOTAL = "SELECT CAST(coalesce(sum(size_bytes), 0) AS BIGINT) FROM versions WHERE sha256 IS NOT NULL"
_PAGE = (
    "SELECT v.feed, v.id, v.content_hash, v.sha256, v.size_bytes, s.organisation, s.id FROM versions v"
    " JOIN shares s ON s.feed = v.feed WHERE v.sha256 IS NOT NULL AND (v.feed, v.id) > (?, ?)"
    " ORDER BY v.feed, v.id LIMIT ?"
)


class _StoredChecksum(NamedTuple):
    """A version with its stored checksum, and the share that it is in."""

    feed: int
    id: str
    content_hash: str
    sha256: str
    size_bytes: int
    organisation: str
    share_id: str


class MendedChecksum(NamedTuple):
    """A version whose stored SHA-256 was not that of its bytes, and was replaced."""

    share_id: str
    version_id: str


def total_bytes(tx: Transaction) -> int:
    """The bytes of all versions that have a stored checksum."""
    return int(tx.value(_TOTAL))


def mend(
    database: Database, packs: PackBackend, progress: Callable[[int], None] = lambda _bytes: None
) -> Iterator[MendedChecksum]:
    """Reads every version that has a SHA-256, and mends the wrong ones; damaged content is left out.

    ``progress`` receives the bytes of each version. It may run beside a server.
    """
    known: dict[tuple[str, str], str | None] = {}
    after = (0, "")
    while page := database.read_now(partial(_page, after=after)):
        for stored in page:
            key = (stored.organisation, stored.content_hash)
            if key not in known:
                if len(known) >= CONTENTS_KNOWN:
                    known.clear()
                known[key] = _sha256(database, packs, stored)
            found = known[key]
            if found not in (None, stored.sha256) and database.write_now(
                partial(_correct, stored=stored, sha256=found), feed=stored.feed
            ):
                yield MendedChecksum(stored.share_id, stored.id)
            progress(stored.size_bytes)
        after = (page[-1].feed, page[-1].id)


def _page(tx: Transaction, after: tuple[int, str]) -> list[_StoredChecksum]:
    return [_StoredChecksum(*row) for row in tx.rows(_PAGE, *after, VERSIONS_AT_ONCE)]


def _sha256(database: Database, packs: PackBackend, stored: _StoredChecksum) -> str | None:
    """The SHA-256 of a content; None when it cannot be read whole."""
    try:
        return content.sha256_of(packs, content.refs_by_page(database, stored.feed, stored.organisation, stored.id))
    except Damaged:
        return None


def _correct(tx: Transaction, stored: _StoredChecksum, sha256: str) -> bool:
    """Stores the right checksum, if the wrong one is still there; devices get it with a change of the file."""
    tx.lock(stored.feed)
    version = versions.find(tx, stored.feed, stored.id)
    if version is None or (version.content_hash, version.sha256) != (stored.content_hash, stored.sha256):
        return False
    version = versions.correct_sha256(tx, stored.feed, version, sha256)
    node = nodes.find(tx, stored.feed, version.node) if version.node else None
    if node is not None and node.version == version.id and nodes.is_live(tx, stored.feed, node):
        share = nodes.Share(stored.feed, stored.share_id, stored.organisation)
        TreeWriter(tx, share, Actor(version.user_id)).put_version(node, version.id, versions.details(version))
    return True
