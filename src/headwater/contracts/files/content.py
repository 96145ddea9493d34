"""The chunks of versions: their places in packs, those that a caller may reach, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from headwater.base.errors import Damaged
from headwater.contracts.files import access
from headwater.contracts.files.access import ShareRow
from headwater.identity.principal import Principal
from headwater.store.database import Database, Transaction
from headwater.store.packs import chunks
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_range
from headwater.store.tree import versions
from headwater.store.tree.versions import Piece, Version

FRAMES_MEDIA = b"application/vnd.headwater.files"
"""The type of a stream of many files: a line, then the bytes that it announces, and so on."""


REFS_AT_ONCE = 1_000
"""Chunks of a large file that are looked up at once: memory stays bounded however large it is."""


class Digest(Protocol):
    """A hash of any kind, fed piece by piece."""

    def update(self, content: bytes, /) -> object:
        """Adds the next bytes."""


_REACHED = chunks.batched(
    "SELECT DISTINCT c.chunk, c.feed FROM version_chunks c JOIN versions v ON v.feed = c.feed AND v.id = c.version"
    " WHERE c.organisation = ? AND (v.node IS NOT NULL OR v.user_id = ?) AND c.chunk IN (BATCH)"
)


_HAS_DAMAGE = (
    f"SELECT 1 {chunks.DAMAGED_IN_PLACE} JOIN version_chunks v ON v.organisation = d.organisation AND v.chunk = d.chunk"
    " WHERE v.feed = ? AND v.version = ? LIMIT 1"
)


def refs_of(tx: Transaction, organisation: str, pieces: Sequence[Piece]) -> list[ChunkRef]:
    """The places of these chunks, in their order. Raises: Damaged (one is missing)."""
    found = chunks.locate(tx, organisation, (piece.chunk for piece in pieces))
    try:
        return [found[piece.chunk] for piece in pieces]
    except KeyError as missing:
        raise Damaged(f"chunk {missing.args[0].hex()} is gone") from None


def refs_by_page(database: Database, feed: int, organisation: str, version: str) -> Iterator[ChunkRef]:
    """The places of a version's chunks, in order, looked up a page at a time. Raises: Damaged (one is missing)."""
    first = 0
    while True:

        def page(tx: Transaction, first: int = first) -> list[ChunkRef]:
            return refs_of(tx, organisation, versions.pieces(tx, feed, version, first, REFS_AT_ONCE))

        refs = database.read_now(page)
        yield from refs
        if len(refs) < REFS_AT_ONCE:
            return
        first += len(refs)


def has_damage(tx: Transaction, row: ShareRow, version: str) -> bool:
    """True when a chunk of a version is marked as damaged where it is."""
    return chunks.has_damage(tx, row.organisation) and tx.value(_HAS_DAMAGE, row.feed, version) is not None


def mend_by(tx: Transaction, row: ShareRow, version: Version, like: Version) -> Version:
    """Mends a version by another one that has the same bytes and was just uploaded: its chunks, its checksum."""
    if version.content_hash != like.content_hash:
        return versions.mend(tx, row.feed, version, like) if has_damage(tx, row, version.id) else version
    if like.sha256 is not None and version.sha256 not in (None, like.sha256):
        # Both were taken from these chunks, the older one perhaps while one of them was damaged.
        return versions.correct_sha256(tx, row.feed, version, like.sha256)
    return version


def reachable(tx: Transaction, principal: Principal, organisation: str, ids: Iterable[bytes]) -> set[bytes]:
    """Those of the chunks that are in a file of a share that the caller may read, or in a version it staged.

    Only these may be called known: otherwise any caller could probe for a content, or read it by its hash.
    """
    readable = {row.feed for row in access.readable(tx, principal) if row.organisation == organisation}
    rows = chunks.among(tx, _REACHED, (organisation, principal.user_id), ids)
    return {bytes(chunk) for chunk, feed in rows if feed in readable}


def sha256_of(place: PackBackend, refs: Iterable[ChunkRef]) -> str:
    """The SHA-256 of the content of these chunks, in hexadecimal; reads all of it. Raises: Damaged."""
    digest = hashlib.sha256()
    digest_into(place, refs, digest)
    return digest.hexdigest()


def digest_into(place: PackBackend, refs: Iterable[ChunkRef], *digests: Digest) -> None:
    """Reads the content of these chunks once, into all of the digests. Raises: Damaged."""
    for piece in read_range(place, refs):
        for digest in digests:
            digest.update(piece)
