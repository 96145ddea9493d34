"""Compares files that a packed upload gave as lists of chunks with the checksums of their lines.

Some of the chunks were sent just now, others are read from where they stand: so this runs when the stream has come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from blake3 import blake3

from headwater.base.errors import Damaged
from headwater.contracts.files import content
from headwater.contracts.files.packed import Arrived, failure_of, unequal
from headwater.identity.principal import Principal
from headwater.store import chunks
from headwater.store.database import Transaction
from headwater.store.pack_format import ChunkRef
from headwater.store.pack_place import PackPlace
from headwater.store.packs import read_range


def to_compare(arrived: Iterable[Arrived]) -> list[Arrived]:
    """The files with a list and a checksum that are still to be held against each other."""
    return [
        file
        for file in arrived
        if file.failure is None
        and file.fields.chunks is not None
        and (file.fields.blake3 is not None or file.fields.checksum_sha256 is not None)
    ]


def locate(tx: Transaction, principal: Principal, organisation: str, files: Sequence[Arrived]) -> dict[bytes, ChunkRef]:
    """Where the chunks of these files stand that the caller may take for known."""
    ids = {piece.chunk for file in files for piece in file.pieces}
    return chunks.locate(tx, organisation, content.reachable(tx, principal, organisation, ids))


def compare(place: PackPlace, file: Arrived, refs: Mapping[bytes, ChunkRef]) -> None:
    """Read a file and note its failure if it has another checksum; one with unknown chunks is left to be refused."""
    if any(piece.chunk not in refs for piece in file.pieces):
        return
    fields = file.fields
    blake, sha256 = blake3(), hashlib.sha256()
    try:
        for part in read_range(place, [refs[piece.chunk] for piece in file.pieces]):
            if fields.blake3 is not None:
                blake.update(part)
            if fields.checksum_sha256 is not None:
                sha256.update(part)
    except Damaged as failure:
        file.failure = failure_of(failure)
        return
    if fields.blake3 is not None and blake.hexdigest() != fields.blake3:
        file.failure = failure_of(unequal("BLAKE3"))
    elif fields.checksum_sha256 is not None and sha256.hexdigest() != fields.checksum_sha256.lower():
        file.failure = failure_of(unequal("SHA-256"))
