"""Writes content by hash: one upload request becomes one pack, and a chunk is a place in a pack.

A pack is durable before the database names it: ``PackWriter.close``, then ``chunks.register`` in the transaction
that makes the content visible. A pack that no row names is an orphan, and the sweep removes it.
"""

from __future__ import annotations

from types import TracebackType
from typing import NamedTuple, Self

from headwater.base.errors import HeadwaterError, Invalid, TooLarge
from headwater.store.packs.backend import PackBackend, PackSink
from headwater.store.packs.format import (
    CHUNK_LIMIT_BYTES,
    HEAD,
    ChunkRef,
    Pack,
    chunk_id,
    encode_tail,
)
from headwater.store.packs.source import Content

PACK_LIMIT_BYTES = 1024 * 1024 * 1024
"""A request larger than this continues in a second pack, so that a later rewrite stays small."""

STAGE_BYTES = 1024 * 1024
"""Small chunks are gathered and written together."""

_FIRST_STAGE_BYTES = 64 * 1024
_DIRECT_BYTES = 256 * 1024


class Written(NamedTuple):
    """The packs that one request wrote, and each of its chunks once."""

    organisation: str
    packs: tuple[Pack, ...]
    refs: tuple[ChunkRef, ...]


class PackWriter:
    """Writes one request's chunks for one organisation, on one thread; as a context it aborts if not closed.

    Memory: one staging buffer of 1 MiB and the refs. A chunk that it wrote already is not written again.
    """

    def __init__(self, place: PackBackend, organisation: str, *, limit_bytes: int = PACK_LIMIT_BYTES) -> None:
        self._place = place
        self._organisation = organisation
        self._limit_bytes = limit_bytes
        self._sink: PackSink | None = None
        self._stage = memoryview(bytearray(_FIRST_STAGE_BYTES))
        self._staged = 0
        self._end = 0
        self._seen: dict[bytes, ChunkRef] = {}
        self._refs: list[ChunkRef] = []
        self._packs: list[Pack] = []

    def append(self, content: Content, expected: bytes | None = None) -> ChunkRef:
        """Writes one chunk; returns its place. ``expected`` is the id that the sender gave, if it gave one.

        Raises: Invalid (the content has another id), TooLarge: the writer accepts further chunks.
        QuotaExceeded (disk full), Fatal, Unavailable: the writer has aborted.
        """
        chunk = chunk_id(content)
        if expected is not None and chunk != expected:
            raise Invalid("the content does not have the id that was given", code="CHUNK_MISMATCH")
        known = self._seen.get(chunk)
        if known is not None:
            return known
        length = len(content)
        if not 0 < length <= CHUNK_LIMIT_BYTES:
            raise TooLarge(f"a chunk has 1 to {CHUNK_LIMIT_BYTES} bytes")
        try:
            sink = self._sink
            if sink is None or self._end + length > self._limit_bytes:
                sink = self._turn_over()
            ref = ChunkRef(chunk, sink.pack, self._end, length)
            self._put(sink, content, length)
        except HeadwaterError:
            self.abort()
            raise
        self._seen[chunk] = ref
        self._refs.append(ref)
        return ref

    def close(self) -> Written:
        """Makes everything durable, then returns the packs written; none when there was no chunk.

        Raises: QuotaExceeded (disk full), Fatal (a failed fsync), Unavailable: the writer has aborted.
        """
        try:
            self._finish()
        except HeadwaterError:
            self.abort()
            raise
        written = Written(self._organisation, tuple(self._packs), tuple(self._seen.values()))
        self._packs.clear()
        self._seen.clear()
        return written

    def abort(self) -> None:
        """Removes the packs; does nothing after ``close``."""
        if self._sink is not None:
            self._sink.discard()
            self._sink = None
        for pack in self._packs:
            self._place.delete(pack.pack)
        self._packs.clear()
        self._refs.clear()
        self._seen.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _put(self, sink: PackSink, content: Content, length: int) -> None:
        if length >= _DIRECT_BYTES:
            self._flush(sink)
            sink.write(content)
        else:
            if self._staged + length > len(self._stage):
                self._make_room(sink)
            self._stage[self._staged : self._staged + length] = content
            self._staged += length
        self._end += length

    def _make_room(self, sink: PackSink) -> None:
        """Writes the staged bytes; the first time uses a larger stage, which a single small file never needs."""
        if len(self._stage) < STAGE_BYTES:
            larger = memoryview(bytearray(STAGE_BYTES))
            larger[: self._staged] = self._stage[: self._staged]
            self._stage = larger
        else:
            self._flush(sink)

    def _flush(self, sink: PackSink) -> None:
        if self._staged:
            sink.write(self._stage[: self._staged])
            self._staged = 0

    def _turn_over(self) -> PackSink:
        """Finishes the current pack, if there is one, and begins the next."""
        self._finish()
        sink = self._sink = self._place.create()
        self._stage[: len(HEAD)] = HEAD
        self._staged = self._end = len(HEAD)
        return sink

    def _finish(self) -> None:
        sink = self._sink
        if sink is None:
            return
        tail = encode_tail(sink.pack, self._organisation, self._refs)
        self._flush(sink)
        sink.write(tail)
        sink.finish()
        self._sink = None
        self._packs.append(Pack(sink.pack, self._end + len(tail), self._end - len(HEAD), len(self._refs)))
        self._refs.clear()


def discard(place: PackBackend, written: Written) -> None:
    """Removes a request's packs at once, when their metadata could not be committed."""
    for pack in written.packs:
        place.delete(pack.pack)
