"""Reads chunks from packs: neighbours in one read, and with a comparison of hashes on request."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from headwater.base.errors import Damaged
from headwater.store.packs.backend import Content, PackBackend, PackSource
from headwater.store.packs.format import (
    ChunkRef,
    chunk_id,
    pack_name,
)

_OPEN_PACKS = 4


_Cut = tuple[ChunkRef, int, int]
"""A chunk with the first of its bytes that is wanted, and the one after the last."""


class _OpenPacks:
    """The packs that one reading has open: the last few that it used."""

    def __init__(self, place: PackBackend) -> None:
        self._place = place
        self._sources: OrderedDict[int, PackSource] = OrderedDict()

    def read(self, pack: int, start_bytes: int, length_bytes: int) -> bytes:
        source = self._sources.get(pack)
        if source is None:
            source = self._sources[pack] = self._place.open(pack)
            if len(self._sources) > _OPEN_PACKS:
                self._sources.popitem(last=False)[1].close()
        else:
            self._sources.move_to_end(pack)
        return source.read(start_bytes, length_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for source in self._sources.values():
            source.close()


def read_range(
    place: PackBackend,
    refs: Iterable[ChunkRef],
    start_bytes: int = 0,
    stop_bytes: int | None = None,
    *,
    verify: bool = False,
) -> Generator[bytes, None, None]:
    """The content of these chunks, in order, from ``start_bytes`` up to ``stop_bytes``, in pieces.

    Neighbours in a pack are read as one run. ``verify`` hashes every chunk that is touched, whole, before any
    byte of it is returned. Raises: Damaged.
    """
    cuts = _cut(refs, start_bytes, stop_bytes)
    step = place.piece_bytes
    if verify:
        touched = list(cuts)
        chunks = read_each(place, [ref for ref, _, _ in touched], verify=True)
        for chunk, (_, first, last) in zip(chunks, touched, strict=True):
            for at in range(first, last, step):
                yield bytes(chunk[at : min(at + step, last)])
        return
    with _OpenPacks(place) as packs:
        for pack, begin, end in _runs(cuts):
            for at in range(begin, end, step):
                yield packs.read(pack, at, min(step, end - at))


def read_each(
    place: PackBackend, refs: Sequence[ChunkRef], *, verify: bool = False
) -> Generator[memoryview, None, None]:
    """The content of each of these chunks, one view a chunk, in order; neighbours are read at once.

    Raises: Damaged (missing, cut short, or with ``verify`` another hash).
    """
    with _OpenPacks(place) as packs:
        for block in _blocks(refs, place.piece_bytes):
            first, last = block[0], block[-1]
            size_bytes = last.start_bytes + last.length_bytes - first.start_bytes
            content = memoryview(packs.read(first.pack, first.start_bytes, size_bytes))
            for ref in block:
                begin = ref.start_bytes - first.start_bytes
                view = content[begin : begin + ref.length_bytes]
                if verify:
                    _check(ref, view)
                yield view


def _check(ref: ChunkRef, content: Content) -> None:
    if chunk_id(content) != ref.chunk:
        raise Damaged(f"chunk {ref.chunk.hex()} in pack {pack_name(ref.pack)} fails its hash")


def _cut(refs: Iterable[ChunkRef], start_bytes: int, stop_bytes: int | None) -> Iterator[_Cut]:
    """The chunks that the range touches."""
    at = 0
    for ref in refs:
        end = at + ref.length_bytes
        if stop_bytes is not None and at >= stop_bytes:
            return
        if end > start_bytes:
            last = ref.length_bytes if stop_bytes is None else min(ref.length_bytes, stop_bytes - at)
            yield ref, max(0, start_bytes - at), last
        at = end


def _runs(cuts: Iterable[_Cut]) -> Iterator[tuple[int, int, int]]:
    """The same as places ``(pack, begin, end)``, neighbours joined."""
    pack = begin = end = -1
    for ref, first, last in cuts:
        if ref.pack == pack and ref.start_bytes + first == end:
            end = ref.start_bytes + last
            continue
        if end > begin:
            yield pack, begin, end
        pack, begin, end = ref.pack, ref.start_bytes + first, ref.start_bytes + last
    if end > begin:
        yield pack, begin, end


def _blocks(refs: Sequence[ChunkRef], limit_bytes: int) -> Iterator[Sequence[ChunkRef]]:
    """Neighbours that are read together: at most ``limit_bytes``, or one chunk that is larger."""
    first = 0
    for at in range(1, len(refs) + 1):
        if at < len(refs):
            begin, last, ref = refs[first], refs[at - 1], refs[at]
            joined = ref.pack == last.pack and ref.start_bytes == last.start_bytes + last.length_bytes
            if joined and ref.start_bytes + ref.length_bytes - begin.start_bytes <= limit_bytes:
                continue
        yield refs[first:at]
        first = at
