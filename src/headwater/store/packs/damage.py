"""The marks of damaged chunks: written when a chunk fails as it is read, void once it is stored anew.

A mark names the place where the chunk failed, so it holds only while the chunk is still there. A marked chunk does not
count as known to an upload, so that the same bytes, sent again, replace it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from headwater.base.errors import HeadwaterError
from headwater.base.log import get_log
from headwater.store.database import Database, Transaction
from headwater.store.packs.chunks import DAMAGED_IN_PLACE
from headwater.store.packs.format import ChunkRef, pack_name
from headwater.store.packs.guard import FailedChunk

log = get_log(__name__)

_OWNER = "SELECT organisation FROM packs WHERE pack = ?"
_PLACE = "SELECT chunk, pack, start_bytes, length_bytes FROM chunks WHERE organisation = ? AND chunk = ?"
_MARKED = f"SELECT d.chunk {DAMAGED_IN_PLACE} WHERE d.organisation = ? AND d.chunk = ?"
_COUNT = f"SELECT count(*) {DAMAGED_IN_PLACE}"
_LIST = (
    f"SELECT d.organisation, d.chunk, d.pack, d.reason, d.found_us {DAMAGED_IN_PLACE}"
    " ORDER BY d.found_us, d.chunk LIMIT ?"
)
_MARK = (
    "INSERT INTO damaged_chunks (organisation, chunk, pack, start_bytes, reason, found_us) VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (organisation, chunk) DO UPDATE SET pack = excluded.pack, start_bytes = excluded.start_bytes,"
    " reason = excluded.reason, found_us = excluded.found_us"
)


class DamageMark(NamedTuple):
    """A chunk that was found damaged and was not stored anew since; ``found_us`` is microseconds UTC since 1970."""

    organisation: str
    chunk: bytes
    pack: int
    reason: str
    found_us: int


class _Judged(NamedTuple):
    """Chunks that failed: the present places of those that moved, and by organisation those that need a mark."""

    moved: Mapping[ChunkRef, ChunkRef]
    unmarked: Sequence[tuple[str, FailedChunk]]


class DamageLedger:
    """Marks chunks that failed as they were read, and writes a log line for each pack with new marks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.marked = 0
        """The number of damaged chunks when this process last counted them."""

    def report(self, chunks: Sequence[FailedChunk]) -> Mapping[ChunkRef, ChunkRef]:
        """Marks chunks that failed; returns the present places of those that have moved.

        A mark that cannot be written now is written when the chunk is read again: the reader is refused either way.
        """
        try:
            judged = self._database.read_now(partial(_judge, chunks=chunks))
            if judged.unmarked:
                fresh = self._database.write_now(partial(_mark, chunks=chunks))
                self._announce(fresh)
                self.count()
        except HeadwaterError as failure:
            log.warning("damage_not_marked", error_code=failure.error_code, count=len(chunks))
            return {}
        return judged.moved

    def count(self) -> int:
        """Counts the damaged chunks."""
        self.marked = self._database.read_now(count)
        return self.marked

    def _announce(self, fresh: Sequence[tuple[str, FailedChunk]]) -> None:
        packs = Counter((organisation, failed.ref.pack) for organisation, failed in fresh)
        reasons = {failed.ref.pack: failed.reason for _, failed in fresh}
        for (organisation, pack), number in packs.items():
            log.error(
                "content_damaged", organisation_id=organisation, pack_id=pack_name(pack), reason=reasons[pack],
                count=number,
            )  # fmt: skip


def count(tx: Transaction) -> int:
    """The number of damaged chunks of all organisations."""
    return int(tx.value(_COUNT))


def listed(tx: Transaction, limit: int) -> list[DamageMark]:
    """The damaged chunks, those that were found first."""
    return [DamageMark(row[0], bytes(row[1]), *row[2:]) for row in tx.rows(_LIST, limit)]


def mark(tx: Transaction, organisation: str, chunks: Sequence[FailedChunk]) -> None:
    """Marks chunks as damaged in their places."""
    rows = [(organisation, c.ref.chunk, c.ref.pack, c.ref.start_bytes, c.reason, tx.now_us) for c in chunks]
    tx.run_many(_MARK, sorted(rows))


def _judge(tx: Transaction, chunks: Sequence[FailedChunk]) -> _Judged:
    """Compares the places of chunks that failed with where they are now; one that was dropped is left out."""
    moved: dict[ChunkRef, ChunkRef] = {}
    unmarked: list[tuple[str, FailedChunk]] = []
    for failed in chunks:
        ref = failed.ref
        organisation = tx.value(_OWNER, ref.pack)
        row = None if organisation is None else tx.row(_PLACE, organisation, ref.chunk)
        if row is None:
            continue
        now = ChunkRef(bytes(row[0]), *row[1:])
        if now != ref:
            moved[ref] = now
        elif tx.value(_MARKED, organisation, ref.chunk) is None:
            unmarked.append((organisation, failed))
    return _Judged(moved, unmarked)


def _mark(tx: Transaction, chunks: Sequence[FailedChunk]) -> Sequence[tuple[str, FailedChunk]]:
    """Marks those of the chunks that are still where they failed; returns those that had no mark."""
    unmarked = _judge(tx, chunks).unmarked
    for organisation, failed in unmarked:
        mark(tx, organisation, [failed])
    return unmarked
