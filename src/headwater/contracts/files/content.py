"""The chunks of versions: their places in packs, those that a caller may reach, and their digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

from headwater.base.errors import Damaged
from headwater.contracts.files import access
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.packs import chunks
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import read_range
from headwater.store.tree.versions import Piece

FRAMES_MEDIA = b"application/vnd.headwater.files"
"""The type of a stream of many files: a line, then the bytes that it announces, and so on."""


class Digest(Protocol):
    """A hash of any kind, fed piece by piece."""

    def update(self, content: bytes, /) -> object:
        """Adds the next bytes."""


_REACHED = chunks.batched(
    "SELECT DISTINCT c.chunk, c.feed FROM version_chunks c JOIN versions v ON v.feed = c.feed AND v.id = c.version"
    " WHERE c.organisation = ? AND (v.node IS NOT NULL OR v.user_id = ?) AND c.chunk IN (BATCH)"
)


def refs_of(tx: Transaction, organisation: str, pieces: Sequence[Piece]) -> list[ChunkRef]:
    """The places of these chunks, in their order. Raises: Damaged (one is missing)."""
    found = chunks.locate(tx, organisation, (piece.chunk for piece in pieces))
    try:
        return [found[piece.chunk] for piece in pieces]
    except KeyError as missing:
        raise Damaged(f"chunk {missing.args[0].hex()} is gone") from None


def reachable(tx: Transaction, principal: Principal, organisation: str, ids: Iterable[bytes]) -> set[bytes]:
    """Those of the chunks that are in a file of a share that the caller may read, or in a version it staged.

    Only these may be called known: otherwise any caller could probe for a content, or read it by its hash.
    """
    readable = {row.feed for row in access.readable(tx, principal) if row.organisation == organisation}
    rows = chunks.among(tx, _REACHED, (organisation, principal.user_id), ids)
    return {bytes(chunk) for chunk, feed in rows if feed in readable}


def sha256_of(place: PackBackend, refs: Sequence[ChunkRef]) -> str:
    """The SHA-256 of the content of these chunks, in hexadecimal; reads all of it. Raises: Damaged."""
    digest = hashlib.sha256()
    digest_into(place, refs, digest)
    return digest.hexdigest()


def digest_into(place: PackBackend, refs: Sequence[ChunkRef], *digests: Digest) -> None:
    """Reads the content of these chunks once, into all of the digests. Raises: Damaged."""
    for piece in read_range(place, refs):
        for digest in digests:
            digest.update(piece)
