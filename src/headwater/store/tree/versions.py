"""Versions of files: staged by an upload, then stored in a file's history for good. Content never changes in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from headwater.base.errors import NotFound
from headwater.base.ids import random_id
from headwater.base.wire import format_seconds
from headwater.store.database import Transaction

_COLUMNS = (
    "id, node, number, state, size_bytes, content_hash, sha256, mime_type, modified_us, created_us, user_id,"
    " device_id, expires_us"
)
BYTES = "bytes"
"""The counter of a share's feed that holds how many bytes its versions take; without the staged ones."""

RESTORED_UPTO = "number:version"
"""The counter of a share's feed below which no file of before a restore gets a version any more."""

CHUNKS_TABLE = "version_chunks"
"""The table that marks the chunks of versions as live."""

_NO_LIMIT = 1 << 62
_DROP_SOME_CHUNKS = (
    "DELETE FROM version_chunks WHERE feed = ? AND version = ? AND place IN"
    " (SELECT place FROM version_chunks WHERE feed = ? AND version = ? ORDER BY place LIMIT ?)"
)


class Version(NamedTuple):
    """A version; times in microseconds UTC since 1970."""

    id: str
    node: str | None
    number: int
    state: str
    size_bytes: int
    content_hash: str
    sha256: str | None
    mime_type: str
    modified_us: int
    created_us: int
    user_id: str
    device_id: str
    expires_us: int | None


class Piece(NamedTuple):
    """A chunk of a version: its id and its length."""

    chunk: bytes
    length_bytes: int


class Staging(NamedTuple):
    """The properties of a version that an upload stages."""

    feed: int
    organisation: str
    user_id: str
    device_id: str
    mime_type: str
    modified_us: int
    sha256: str | None
    expires_us: int | None


def content_hash(pieces: Sequence[Piece]) -> str:
    """The name of a content: equal pieces, equal name; a content of one chunk is named by its BLAKE3."""
    if len(pieces) == 1:
        return "b3:" + pieces[0].chunk.hex()
    digest = blake3()
    for piece in pieces:
        digest.update(piece.chunk + piece.length_bytes.to_bytes(8, "big"))
    return "m3:" + digest.hexdigest()


def only_chunk(content_hash: str) -> bytes | None:
    """The id of the one chunk that a content of this name is; None when it has none or several."""
    return bytes.fromhex(content_hash[3:]) if content_hash.startswith("b3:") else None


def stage(tx: Transaction, staging: Staging, pieces: Sequence[Piece]) -> Version:
    """Stages a version of registered chunks; it expires at ``expires_us`` unless ``keep`` or ``hold`` retains it."""
    version = Version(
        random_id("ver"), None, 0, "staged", sum(piece.length_bytes for piece in pieces), content_hash(pieces),
        staging.sha256, staging.mime_type, staging.modified_us, tx.now_us, staging.user_id, staging.device_id,
        staging.expires_us,
    )  # fmt: skip
    insert_many(tx, staging.feed, staging.organisation, [(version, pieces)])
    return version


def insert_many(tx: Transaction, feed: int, organisation: str, rows: Sequence[tuple[Version, Sequence[Piece]]]) -> None:
    """Writes versions with their chunks."""
    tx.run_many(
        f"INSERT INTO versions (feed, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(feed, *version) for version, _ in rows],
    )
    tx.run_many(
        "INSERT INTO version_chunks (feed, version, place, organisation, chunk, length_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [
            (feed, version.id, place, organisation, piece.chunk, piece.length_bytes)
            for version, pieces in rows
            for place, piece in enumerate(pieces)
        ],
    )


def find(tx: Transaction, feed: int, id: str) -> Version | None:
    """The version with this id in a share, or None."""
    row = tx.row(f"SELECT {_COLUMNS} FROM versions WHERE feed = ? AND id = ?", feed, id)
    return None if row is None else Version(*row)


def find_many(tx: Transaction, feed: int, ids: Sequence[str]) -> list[Version]:
    """The versions with these ids in a share, in no order."""
    return [Version(*row) for row in tx.rows_in(f"SELECT {_COLUMNS} FROM versions WHERE feed = ? AND id", ids, feed)]


def find_number(tx: Transaction, feed: int, node: str, number: int) -> Version | None:
    """A file's version by its number, or None."""
    row = tx.row(f"SELECT {_COLUMNS} FROM versions WHERE feed = ? AND node = ? AND number = ?", feed, node, number)
    return None if row is None else Version(*row)


def history(tx: Transaction, feed: int, node: str, before_number: int, limit: int) -> list[Version]:
    """A file's versions, the newest first, below a number."""
    rows = tx.rows(
        f"SELECT {_COLUMNS} FROM versions WHERE feed = ? AND node = ? AND number < ? ORDER BY number DESC LIMIT ?",
        feed,
        node,
        before_number,
        limit,
    )
    return [Version(*row) for row in rows]


def of_files(tx: Transaction, feed: int, files: Sequence[str]) -> list[Version]:
    """The versions in the histories of files, file by file, the newest first."""
    rows = tx.rows_in(f"SELECT {_COLUMNS} FROM versions WHERE feed = ? AND node", files, feed)
    return sorted((Version(*row) for row in rows), key=lambda version: (version.node or "", -version.number))


def keep(
    tx: Transaction, feed: int, version: Version, node: str, modified_us: int, *, is_first: bool = False
) -> Version:
    """Puts a staged version into a file's history for good, under the next number; ``is_first`` in that of a new file.

    Raises: NotFound (it expired).
    """
    assert version.node in (None, node), "a version stays with its file"
    # No other transaction may give a version of this file the same number.
    tx.lock(feed)
    last = None if is_first else tx.value("SELECT max(number) FROM versions WHERE feed = ? AND node = ?", feed, node)
    number = (last or 0) + 1
    floor = tx.counter(feed, RESTORED_UPTO)
    if last and last < floor and _is_older_than_restore(tx, feed, node):
        # The numbers up to here may have been given out to versions that a restore has undone.
        number = floor + 1
    kept = version._replace(node=node, number=number, state="kept", modified_us=modified_us, expires_us=None)
    found = tx.run(
        "UPDATE versions SET node = ?, number = ?, state = ?, modified_us = ?, expires_us = NULL"
        " WHERE feed = ? AND id = ?",
        kept.node, kept.number, kept.state, kept.modified_us, feed, kept.id,
    )  # fmt: skip
    _require(found, kept.id)
    if version.state == "staged":
        tx.bump(feed, BYTES, kept.size_bytes)
    return kept


def take_over(tx: Transaction, feed: int, id: str, like: Version) -> None:
    """Gives a staged version the chunks of another one of the share that has the same bytes, cut otherwise."""
    sql = "UPDATE versions SET content_hash = ? WHERE feed = ? AND id = ? AND state = 'staged'"
    if tx.run(sql, like.content_hash, feed, id):
        _copy_chunks(tx, feed, id, like.id)


def mend(tx: Transaction, feed: int, version: Version, like: Version) -> Version:
    """Gives a version with damaged chunks those of another one of the share that has the same bytes, cut otherwise.

    Its content has another name from then on; its id and its ETag stay, because its bytes are the same.
    """
    tx.run("UPDATE versions SET content_hash = ? WHERE feed = ? AND id = ?", like.content_hash, feed, version.id)
    _copy_chunks(tx, feed, version.id, like.id)
    return version._replace(content_hash=like.content_hash)


def correct_sha256(tx: Transaction, feed: int, version: Version, sha256: str) -> Version:
    """Replaces a stored SHA-256 by the one that its bytes have."""
    tx.run("UPDATE versions SET sha256 = ? WHERE feed = ? AND id = ?", sha256, feed, version.id)
    return version._replace(sha256=sha256)


def is_same(one: Version, other: Version) -> bool:
    """True when two versions are known to have the same bytes, by their chunks or by their checksums."""
    if one.content_hash == other.content_hash:
        return True
    return one.sha256 is not None and one.sha256 == other.sha256 and one.size_bytes == other.size_bytes


def hold(tx: Transaction, feed: int, id: str) -> None:
    """Keeps a version from expiring while a conflict waits for it; one that is held or kept already stays so.

    Raises: NotFound (it expired, perhaps after the caller read it).
    """
    held = tx.run(
        "UPDATE versions SET state = 'held', expires_us = NULL WHERE feed = ? AND id = ? AND state = 'staged'", feed, id
    )
    size_bytes = tx.value("SELECT size_bytes FROM versions WHERE feed = ? AND id = ?", feed, id)
    _require(size_bytes is not None, id)
    if held:
        tx.bump(feed, BYTES, size_bytes)


class PrunedVersion(NamedTuple):
    """An old version that was removed to have its room back: what is still known of it."""

    id: str
    node: str
    content_hash: str
    modified_us: int


def find_pruned(tx: Transaction, feed: int, id: str) -> PrunedVersion | None:
    """The version with this id that was pruned, or None."""
    row = tx.row("SELECT id, node, content_hash, modified_us FROM pruned_versions WHERE feed = ? AND id = ?", feed, id)
    return None if row is None else PrunedVersion(*row)


def prune(tx: Transaction, feed: int, pruned: Sequence[Version]) -> int:
    """Removes versions from their histories; returns their bytes, which count as free from now on.

    Their marks on content follow by ``drop_pruned_chunks``.
    """
    tx.frees_room()
    rows = [(feed, each.id, each.node, each.content_hash, each.modified_us, tx.now_us) for each in pruned]
    tx.run_many(
        "INSERT INTO pruned_versions (feed, id, node, content_hash, modified_us, pruned_us, chunks_left)"
        " VALUES (?, ?, ?, ?, ?, ?, 1)",
        rows,
    )
    tx.run_many("DELETE FROM versions WHERE feed = ? AND id = ?", [(feed, each.id) for each in pruned])
    size_bytes = sum(each.size_bytes for each in pruned)
    if size_bytes:
        tx.bump(feed, BYTES, -size_bytes)
    return size_bytes


def drop_pruned_chunks(tx: Transaction, feed: int, limit: int) -> bool:
    """Removes up to ``limit`` marks on content of pruned versions; True when there may be more."""
    tx.frees_room()
    ids = tx.rows("SELECT id FROM pruned_versions WHERE feed = ? AND chunks_left = 1 ORDER BY id LIMIT ?", feed, limit)
    left = limit
    for (id,) in ids:
        left -= tx.run(_DROP_SOME_CHUNKS, feed, id, feed, id, left) + 1
        if left <= 0:
            break
        tx.run("UPDATE pruned_versions SET chunks_left = 0 WHERE feed = ? AND id = ?", feed, id)
    return bool(ids)


def pieces(tx: Transaction, feed: int, id: str, first: int = 0, limit: int | None = None) -> list[Piece]:
    """A version's chunks in order; all of them, or so many from the place ``first`` on."""
    stop = -1 if limit is None else first + limit
    rows = tx.rows(
        "SELECT chunk, length_bytes FROM version_chunks WHERE feed = ? AND version = ? AND place >= ?"
        " AND (? < 0 OR place < ?) ORDER BY place",
        feed,
        id,
        first,
        stop,
        stop,
    )
    return [Piece(bytes(row[0]), row[1]) for row in rows]


def expired(tx: Transaction, limit: int = _NO_LIMIT) -> list[tuple[int, str]]:
    """The feed and id of staged versions whose time is over, at most ``limit``."""
    sql = "SELECT feed, id FROM versions WHERE expires_us IS NOT NULL AND expires_us <= ? LIMIT ?"
    return [(row[0], row[1]) for row in tx.rows(sql, tx.now_us, limit)]


def drop_expired(tx: Transaction, limit: int = 500) -> int:
    """Deletes staged versions that expired; gc removes their chunks. Returns the number of versions."""
    rows = expired(tx, limit)
    tx.frees_room()
    # The DELETE checks the expiry again: another transaction may have retained a version since, and its bytes with it.
    tx.run_many(
        "DELETE FROM versions WHERE feed = ? AND id = ? AND expires_us IS NOT NULL AND expires_us <= ?",
        [(*row, tx.now_us) for row in rows],
    )
    tx.run_many(
        "DELETE FROM version_chunks WHERE feed = ? AND version = ?"
        " AND NOT EXISTS (SELECT 1 FROM versions WHERE feed = ? AND id = ?)",
        [(*row, *row) for row in rows],
    )
    return len(rows)


def details(version: Version) -> dict[str, Any]:
    """A version as the metadata of a change."""
    return {
        "size": version.size_bytes,
        "mime_type": version.mime_type,
        "checksum_sha256": version.sha256,
        "content_hash": version.content_hash,
        "modified_at": format_seconds(version.modified_us),
        "version_number": version.number,
    }


def _is_older_than_restore(tx: Transaction, feed: int, node: str) -> bool:
    sql = (
        "SELECT 1 FROM nodes n JOIN lost_numbers l ON l.feed = n.feed AND l.name = 'node' AND n.number < l.first"
        " WHERE n.feed = ? AND n.id = ?"
    )
    return tx.row(sql, feed, node) is not None


def _require(found: int, id: str) -> None:
    """Refuses what would refer to a version that expired between its look-up and its writing."""
    if not found:
        raise NotFound(f"the version {id!r} expired: upload it again")


def _copy_chunks(tx: Transaction, feed: int, id: str, like_id: str) -> None:
    """Replaces the chunks of a version by those of another one."""
    tx.run("DELETE FROM version_chunks WHERE feed = ? AND version = ?", feed, id)
    tx.run(
        "INSERT INTO version_chunks (feed, version, place, organisation, chunk, length_bytes)"
        " SELECT feed, ?, place, organisation, chunk, length_bytes FROM version_chunks"
        " WHERE feed = ? AND version = ?",
        id, feed, like_id,
    )  # fmt: skip
