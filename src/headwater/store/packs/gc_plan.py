"""The plan of a sweep: the counts of one that would run now, by the same decisions, without a change.

The database keeps its rows during a plan, so each decision is made on the pack use that the decisions before it
would leave.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from headwater.base.errors import Damaged
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.chunks import locate
from headwater.store.packs.format import ChunkRef, pack_name
from headwater.store.packs.gc import (
    LINGER_US,
    Marks,
    PackUse,
    Swept,
    chunks_to_copy,
    dead_chunks,
    empty_packs,
    old_chunks,
    organisations,
    orphan_packs,
    packs_in_use,
    require_grace,
    retired_packs,
    sparse_packs,
)
from headwater.store.packs.reader import read_each


def plan_sweep(
    database: Database, place: PackBackend, marks: Marks, *, grace_us: int, linger_us: int = LINGER_US
) -> Swept:
    """The counts of a ``sweep`` that would run now, with the same arguments; it reads the packs that would be copied.

    ``marks`` may leave out what other clean-ups would remove before the sweep.
    """
    require_grace(grace_us)
    now_us = database.read_now(lambda tx: tx.now_us)
    plan = _SweepPlan(database, place, marks, now_us - grace_us)
    for organisation in database.read_now(organisations):
        plan.add_organisation(organisation)
    plan.add_deletions(now_us - linger_us)
    return plan.swept


class _SweepPlan:
    """A plan under way; everything younger than ``before_us`` is left alone."""

    def __init__(self, database: Database, place: PackBackend, marks: Marks, before_us: int) -> None:
        self._database = database
        self._place = place
        self._marks = marks
        self._before_us = before_us
        self.swept = Swept()

    def add_organisation(self, organisation: str) -> None:
        """Plans which chunks are dropped, which packs are then empty, and which are copied."""
        dropped_chunks, dropped_bytes = self._dead_in_packs(organisation)
        packs = [
            pack._replace(
                live_chunks=pack.live_chunks - dropped_chunks[pack.pack],
                live_bytes=pack.live_bytes - dropped_bytes[pack.pack],
            )
            for pack in self._database.read_now(
                partial(packs_in_use, organisation=organisation, before_us=self._before_us)
            )
        ]
        swept = self.swept
        swept.dropped_chunks += dropped_chunks.total()
        swept.dropped_bytes += dropped_bytes.total()
        empty = set(empty_packs(packs))
        swept.retired_packs += len(empty)
        for pack in sparse_packs([pack for pack in packs if pack.pack not in empty]):
            before = pack._replace(live_chunks=pack.live_chunks + dropped_chunks[pack.pack])
            try:
                self._require_readable(organisation, before)
            except Damaged as failure:
                swept.damaged.append(f"{pack_name(pack.pack)}: {failure.detail}")
                continue
            swept.rewritten_packs += 1
            swept.retired_packs += 1
            swept.moved_bytes += pack.live_bytes

    def add_deletions(self, retired_before_us: int) -> None:
        """Plans which files of packs are removed: those of packs retired long ago, and those that no row names."""
        for _, _, size_bytes in self._database.read_now(partial(retired_packs, before_us=retired_before_us)):
            self.swept.deleted_packs += 1
            self.swept.freed_bytes += size_bytes
        for orphans in orphan_packs(self._database, self._place, self._before_us):
            self.swept.deleted_orphans += len(orphans)
            self.swept.freed_bytes += sum(stored.size_bytes for stored in orphans)

    def _dead_in_packs(self, organisation: str) -> tuple[Counter[int], Counter[int]]:
        """The chunks that would be dropped from each pack: how many, and their bytes."""
        chunks: Counter[int] = Counter()
        size_bytes: Counter[int] = Counter()
        after: bytes | None = b""
        while after is not None:

            def page(tx: Transaction, after: bytes = after) -> tuple[bytes | None, list[ChunkRef]]:
                following, dead = dead_chunks(tx, self._marks, organisation, self._before_us, after)
                return following, list(locate(tx, organisation, dead).values())

            after, refs = self._database.read_now(page)
            for ref in refs:
                chunks[ref.pack] += 1
                size_bytes[ref.pack] += ref.length_bytes
        return chunks, size_bytes

    def _require_readable(self, organisation: str, pack: PackUse) -> None:
        """Reads the chunks of a pack that would be copied, and checks their hashes. Raises: Damaged."""
        refs = chunks_to_copy(self._database, self._place, organisation, pack)

        def dead(tx: Transaction) -> set[bytes]:
            old = [chunk for chunk, _ in old_chunks(tx, organisation, self._before_us, [ref.chunk for ref in refs])]
            return set(old) - self._marks(tx, organisation, old)

        dropped = self._database.read_now(dead)
        for _ in read_each(self._place, [ref for ref in refs if ref.chunk not in dropped], report=False):
            pass
