"""Compares files that a packed upload gave as lists of chunks with the checksums of their lines.

Some of the chunks were just sent, others are read from their packs: so this runs at the end of the stream.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from blake3 import blake3

from headwater.base.errors import Damaged, TooLarge
from headwater.contracts.files import content
from headwater.contracts.files.content import Digest
from headwater.contracts.files.packed.parser import Arrived, failure_of, unequal
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.packs import chunks
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef


def to_compare(arrived: Iterable[Arrived]) -> list[Arrived]:
    """The files with a list and a checksum that are still to be compared."""
    return [
        file
        for file in arrived
        if file.failure is None
        and file.fields.chunks is not None
        and (file.fields.blake3 is not None or file.fields.checksum_sha256 is not None)
    ]


def locate(tx: Transaction, principal: Principal, organisation: str, files: Sequence[Arrived]) -> dict[bytes, ChunkRef]:
    """The places of those chunks of these files that the caller may reach."""
    ids = {piece.chunk for file in files for piece in file.pieces}
    return chunks.locate(tx, organisation, content.reachable(tx, principal, organisation, ids))


def affordable(files: Iterable[Arrived], refs: Mapping[bytes, ChunkRef], most_bytes: int) -> list[Arrived]:
    """The files to read: a list may name far more than was sent, so files beyond a limit fail unread.

    A file with unknown chunks, or with other lengths than these have, is left out and refused later.
    """
    found, left_bytes = [], most_bytes
    for file in files:
        located = (refs.get(piece.chunk) for piece in file.pieces)
        if any(
            ref is None or ref.length_bytes != piece.length_bytes
            for ref, piece in zip(located, file.pieces, strict=True)
        ):
            continue
        size_bytes = file.size_bytes
        if size_bytes > left_bytes:
            too_large = TooLarge(
                f"at most {most_bytes} bytes of listed chunks are compared with checksums in one packed upload;"
                " leave the checksum away, or send fewer such files at once",
                code="CHECKSUM_TOO_LARGE",
            )
            file.failure = failure_of(too_large)
        else:
            left_bytes -= size_bytes
            found.append(file)
    return found


def compare(place: PackBackend, file: Arrived, refs: Mapping[bytes, ChunkRef]) -> None:
    """Reads a file, all of whose chunks are known, and sets its failure if it has another checksum."""
    fields = file.fields
    blake, sha256 = blake3(), hashlib.sha256()
    both = ((blake, fields.blake3), (sha256, fields.checksum_sha256))
    asked: list[Digest] = [digest for digest, given in both if given is not None]
    try:
        content.digest_into(place, [refs[piece.chunk] for piece in file.pieces], *asked)
    except Damaged as failure:
        file.failure = failure_of(failure)
        return
    if fields.blake3 is not None and blake.hexdigest() != fields.blake3:
        file.failure = failure_of(unequal("BLAKE3"))
    elif fields.checksum_sha256 is not None and sha256.hexdigest() != fields.checksum_sha256.lower():
        file.failure = failure_of(unequal("SHA-256"))
