"""The bytes of a pack: a head, chunks back to back, and a tail that lists them.

Shape: head, 16 bytes | chunks | organisation in UTF-8 | index, 36 bytes a chunk: BLAKE3 id, length |
trailer, 64 bytes: pack, number of chunks, length of the organisation's name, BLAKE3 of the tail so far,
magic. Integers are big-endian. The database has the place of each chunk; the tail lists for sweep and verify
the chunks of one pack, which saves the database a second index, and names its owner should the database be lost.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Sequence
from typing import NamedTuple

from blake3 import blake3

from headwater.base.errors import Damaged
from headwater.store.packs.source import Content, PackSource

HEAD = b"headwater-pack-1"
TAIL = b"headwater-tail-1"
CHUNK_ID_BYTES = 32
CHUNK_LIMIT_BYTES = 16 * 1024 * 1024
"""The largest chunk: a verification holds one in memory."""

_INDEX_ROW = struct.Struct(">32sI")
_COUNTS = struct.Struct(">QIH2x")
_TRAILER_BYTES = _COUNTS.size + CHUNK_ID_BYTES + len(TAIL)
_NAME_DIGITS = 16


class ChunkRef(NamedTuple):
    """The place of a chunk: its BLAKE3 id, the pack, and the bytes in it.

    Units: ``start_bytes`` counts from the beginning of the pack.
    """

    chunk: bytes
    pack: int
    start_bytes: int
    length_bytes: int


class Pack(NamedTuple):
    """A finished pack: its size, and the size and number of its chunks."""

    pack: int
    size_bytes: int
    content_bytes: int
    chunks: int


class Tail(NamedTuple):
    """The list at the end of a pack: its owner and its chunks."""

    organisation: str
    refs: list[ChunkRef]


def chunk_id(content: Content) -> bytes:
    """The id of a chunk: the 32 bytes of its BLAKE3 hash."""
    return blake3(content).digest()


def new_pack() -> int:
    """A random number for a pack, 63 bits wide."""
    return secrets.randbits(63)


def pack_name(pack: int) -> str:
    """A pack's path below the folder or prefix of packs: two digits, a slash, all sixteen."""
    digits = f"{pack:016x}"
    return f"{digits[:2]}/{digits}"


def pack_of_name(name: str) -> int | None:
    """The pack that has this path; None for any other text."""
    digits = name[3:]
    if len(digits) != _NAME_DIGITS or not set(digits) <= set("0123456789abcdef"):
        return None
    pack = int(digits, 16)
    return pack if pack_name(pack) == name else None


def encode_tail(pack: int, organisation: str, refs: Sequence[ChunkRef]) -> bytes:
    """The tail of a pack that contains exactly these chunks, in their order."""
    name = organisation.encode()
    index = [_INDEX_ROW.pack(ref.chunk, ref.length_bytes) for ref in refs]
    tail = b"".join((name, *index, _COUNTS.pack(pack, len(refs), len(name))))
    return tail + chunk_id(tail) + TAIL


def read_tail(pack: int, source: PackSource) -> Tail:
    """The tail of a stored pack.

    Raises: Damaged (no pack of ours, cut short, another pack, or a tail that fails its hash).
    """
    size_bytes = source.size_bytes
    if size_bytes < len(HEAD) + _TRAILER_BYTES:
        raise Damaged(f"pack {pack_name(pack)} is cut short")
    trailer = source.read(size_bytes - _TRAILER_BYTES, _TRAILER_BYTES)
    found, count, name_bytes = _COUNTS.unpack_from(trailer)
    tail_bytes = name_bytes + count * _INDEX_ROW.size + _TRAILER_BYTES
    if found != pack or not trailer.endswith(TAIL) or tail_bytes > size_bytes - len(HEAD):
        raise Damaged(f"pack {pack_name(pack)} has no tail of its own")
    tail = source.read(size_bytes - tail_bytes, tail_bytes)
    listed = tail[: _COUNTS.size - _TRAILER_BYTES]
    if tail[len(listed) : -len(TAIL)] != chunk_id(listed):
        raise Damaged(f"the tail of pack {pack_name(pack)} fails its hash")
    refs = []
    start = len(HEAD)
    for chunk, length in _INDEX_ROW.iter_unpack(listed[name_bytes : -_COUNTS.size]):
        refs.append(ChunkRef(chunk, pack, start, length))
        start += length
    return Tail(listed[:name_bytes].decode(), refs)
