"""Reads chunks from packs, many at a time, and compares each with its id before any of its bytes is returned.

This is the only way by which content leaves a pack. A chunk that fails is looked up once more, since it may have been
moved or sent again after its place was read; if it fails there too, it is reported and its reader gets ``Damaged``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from headwater.base.errors import Damaged
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef, chunk_id
from headwater.store.packs.guard import FailedChunk
from headwater.store.packs.source import PackSource

CHUNKS_AT_ONCE = 10_000
"""Most chunks that are read together; tiny ones reach this number before the bytes of a piece."""

_OPEN_PACKS = 4

Outcome = memoryview | Damaged
"""A chunk's bytes, all of them compared; or the reason why it has none."""


class _WantedPart(NamedTuple):
    """A chunk with the first of its bytes that is wanted, and the one after the last."""

    ref: ChunkRef
    first: int
    last: int

    @property
    def is_whole(self) -> bool:
        return self.last - self.first == self.ref.length_bytes


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
    place: PackBackend, refs: Iterable[ChunkRef], start_bytes: int = 0, stop_bytes: int | None = None
) -> Generator[bytes, None, None]:
    """The content of these chunks, in order, from ``start_bytes`` up to ``stop_bytes``, in pieces.

    Each chunk that is touched is read and compared whole. Those that the range cuts are kept for the next range.
    Raises: Damaged (no byte of what was read together with the damaged chunk is returned).
    """
    step = place.piece_bytes
    with _OpenPacks(place) as packs:
        for window in _windows(_cut(refs, start_bytes, stop_bytes), step):
            views = _views(window, _read(place, packs, window))
            if len(window) == 1 and len(views[0]) > step:
                yield from _in_pieces(place, packs, window[0], views.pop())
                continue
            whole = _joined(views)
            # A slow reader costs one piece: nothing else of the window stays.
            del views
            yield whole


def touched(refs: Iterable[ChunkRef], start_bytes: int, stop_bytes: int) -> Iterator[ChunkRef]:
    """The chunks of which the bytes from ``start_bytes`` up to ``stop_bytes`` are."""
    return (part.ref for part in _cut(refs, start_bytes, stop_bytes))


def read_each(
    place: PackBackend, refs: Iterable[ChunkRef], *, report: bool = True
) -> Generator[memoryview, None, None]:
    """The content of each of these chunks, one view a chunk, in order. Without ``report`` no damage is marked.

    Raises: Damaged (missing, cut short, or other bytes than its id states).
    """
    for outcome in read_outcomes(place, refs, report=report):
        if isinstance(outcome, Damaged):
            raise outcome
        yield outcome


def read_outcomes(
    place: PackBackend, refs: Iterable[ChunkRef], *, report: bool = True
) -> Generator[Outcome, None, None]:
    """The outcome of each of these chunks, in order: a damaged one does not concern its neighbours."""
    whole = (_WantedPart(ref, 0, ref.length_bytes) for ref in refs)
    with _OpenPacks(place) as packs:
        for window in _windows(whole, place.piece_bytes):
            outcomes = _read(place, packs, window, report=report)
            for cut in window:
                yield outcomes[cut.ref]


def _cut(refs: Iterable[ChunkRef], start_bytes: int, stop_bytes: int | None) -> Iterator[_WantedPart]:
    """The chunks that the range touches."""
    at = 0
    for ref in refs:
        if stop_bytes is not None and at >= stop_bytes:
            return
        end = at + ref.length_bytes
        first = max(0, start_bytes - at)
        last = ref.length_bytes if stop_bytes is None else min(ref.length_bytes, stop_bytes - at)
        if first < last:
            yield _WantedPart(ref, first, last)
        at = end


def _windows(cuts: Iterable[_WantedPart], limit_bytes: int) -> Iterator[Sequence[_WantedPart]]:
    """The chunks that are read together: at most ``limit_bytes``, or one chunk that is larger."""
    window: list[_WantedPart] = []
    size_bytes = 0
    for cut in cuts:
        size_bytes += cut.ref.length_bytes
        if window and (size_bytes > limit_bytes or len(window) == CHUNKS_AT_ONCE):
            yield window
            window, size_bytes = [], cut.ref.length_bytes
        window.append(cut)
    if window:
        yield window


def _read(
    place: PackBackend, packs: _OpenPacks, window: Sequence[_WantedPart], *, report: bool = True
) -> Mapping[ChunkRef, Outcome]:
    """The outcome of each chunk of a window; each is read once, however often it is listed."""
    cut_through = {cut.ref for cut in window if not cut.is_whole}
    found: dict[ChunkRef, Outcome] = {}
    for ref in cut_through:
        kept = place.guard.kept(ref)
        if kept is not None:
            found[ref] = memoryview(kept)
    wanted = sorted({cut.ref for cut in window} - found.keys(), key=lambda ref: (ref.pack, ref.start_bytes))
    for run in _runs(wanted):
        found.update(_compared(place, packs, run))
    if report:
        _try_again(place, packs, found)
    for ref in cut_through:
        content = found[ref]
        if isinstance(content, memoryview):
            place.guard.keep(ref, bytes(content))
    return found


def _runs(refs: Sequence[ChunkRef]) -> Iterator[Sequence[ChunkRef]]:
    """Neighbours in a pack, which one read gets."""
    first = 0
    for at in range(1, len(refs) + 1):
        if at < len(refs):
            last, ref = refs[at - 1], refs[at]
            if ref.pack == last.pack and ref.start_bytes == last.start_bytes + last.length_bytes:
                continue
        yield refs[first:at]
        first = at


def _compared(place: PackBackend, packs: _OpenPacks, run: Sequence[ChunkRef]) -> dict[ChunkRef, Outcome]:
    """The outcomes of neighbours. Where they cannot be read together, each is read alone."""
    begin, last = run[0], run[-1]
    found: dict[ChunkRef, Outcome] = {}
    try:
        content = memoryview(
            packs.read(begin.pack, begin.start_bytes, last.start_bytes + last.length_bytes - begin.start_bytes)
        )
    except Damaged as failure:
        if len(run) == 1:
            return {begin: failure}
        for ref in run:
            found.update(_compared(place, packs, (ref,)))
        return found
    for ref in run:
        at = ref.start_bytes - begin.start_bytes
        view = content[at : at + ref.length_bytes]
        try:
            place.guard.compare(ref, view)
        except Damaged as failure:
            found[ref] = failure
        else:
            found[ref] = view
    return found


def _try_again(place: PackBackend, packs: _OpenPacks, found: dict[ChunkRef, Outcome]) -> None:
    """Reports the chunks that failed, and reads those anew that are in another place by now."""
    moved = place.guard.failed(_failed(found))
    again: dict[ChunkRef, Outcome] = {}
    for ref, now in moved.items():
        again.update(_compared(place, packs, (now,)))
        found[ref] = again[now]
    place.guard.failed(_failed(again))


def _failed(found: Mapping[ChunkRef, Outcome]) -> list[FailedChunk]:
    return [FailedChunk(ref, outcome.detail) for ref, outcome in found.items() if isinstance(outcome, Damaged)]


def _views(window: Sequence[_WantedPart], outcomes: Mapping[ChunkRef, Outcome]) -> list[memoryview]:
    """The wanted bytes of a window. Raises: Damaged."""
    views: list[memoryview] = []
    for cut in window:
        outcome = outcomes[cut.ref]
        if isinstance(outcome, Damaged):
            raise outcome
        views.append(outcome[cut.first : cut.last])
    return views


def _in_pieces(
    place: PackBackend, packs: _OpenPacks, cut: _WantedPart, content: memoryview
) -> Generator[bytes, None, None]:
    """The wanted bytes of a chunk that is larger than a piece, in pieces that are read again one by one.

    So a slow reader costs the memory of a piece, not of a chunk. A piece that is not as it was when the whole chunk was
    compared is taken from the chunk, which is read and compared anew. Raises: Damaged.
    """
    step, size_bytes = place.piece_bytes, len(content)
    digests = [chunk_id(content[at : at + step]) for at in range(0, size_bytes, step)]
    first = bytes(content[:step])
    del content
    yield first
    del first
    for number, digest in enumerate(digests[1:], 1):
        at = number * step
        piece = packs.read(cut.ref.pack, cut.ref.start_bytes + cut.first + at, min(step, size_bytes - at))
        if chunk_id(piece) != digest:
            piece = _joined(_views([cut], _read(place, packs, [cut])))[at : at + step]
        yield piece


def _joined(views: Sequence[memoryview]) -> bytes:
    """The views as one value; the very bytes that were read where a view is all of them."""
    if len(views) == 1 and isinstance(views[0].obj, bytes) and len(views[0].obj) == len(views[0]):
        return views[0].obj
    return b"".join(views)
