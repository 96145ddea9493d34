"""Compares chunks with their ids as they are read, reports those that differ, and keeps those that ranges cut.

Each place of packs has one guard. No byte of a chunk leaves ``reader`` before the guard compared it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from headwater.base.errors import Damaged
from headwater.store.packs.format import ChunkRef, chunk_id, pack_name
from headwater.store.packs.source import Content

KEPT_BYTES = 32 * 1024 * 1024
"""The most bytes of compared chunks that a place keeps: small ranges in a row then read a chunk once."""


class FailedChunk(NamedTuple):
    """A chunk that could not be read from its place, or has other bytes than its id states."""

    ref: ChunkRef
    reason: str


DamageReport = Callable[[Sequence[FailedChunk]], Mapping[ChunkRef, ChunkRef]]
"""Receives chunks that failed; returns the present place of those that have moved since they were looked up."""


def _report_nothing(_: Sequence[FailedChunk]) -> Mapping[ChunkRef, ChunkRef]:
    return {}


class ChunkGuard:
    """The comparison of what is read from one place of packs; any thread may use it."""

    def __init__(self) -> None:
        self._report: DamageReport = _report_nothing
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def on_damage(self, report: DamageReport) -> None:
        """Sets the receiver of reports."""
        self._report = report

    def failed(self, chunks: Sequence[FailedChunk]) -> Mapping[ChunkRef, ChunkRef]:
        """Reports chunks that failed; returns the places to which some of them have moved."""
        return self._report(chunks) if chunks else {}

    def compare(self, ref: ChunkRef, content: Content) -> None:
        """Compares a chunk that was read with its id. Raises: Damaged."""
        if chunk_id(content) != ref.chunk:
            raise Damaged(f"chunk {ref.chunk.hex()} in pack {pack_name(ref.pack)} fails its hash")

    def kept(self, ref: ChunkRef) -> bytes | None:
        """The bytes of a chunk that was compared a short while ago, or None."""
        with self._lock:
            content = self._kept.get(ref.chunk)
            if content is not None:
                self._kept.move_to_end(ref.chunk)
            return content

    def keep(self, ref: ChunkRef, content: bytes) -> None:
        """Keeps the bytes of a chunk that was compared; those that were used longest ago make room."""
        with self._lock:
            if ref.chunk in self._kept:
                return
            self._kept[ref.chunk] = content
            self._kept_bytes += len(content)
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= len(self._kept.popitem(last=False)[1])
