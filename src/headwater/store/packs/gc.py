"""Mark and sweep: frees chunks that nothing refers to, and the packs that they leave empty or mostly empty.

It runs beside uploads and downloads, in this process or another. No transaction is long, and each step
leaves a state that is right if the next one never runs:
1. chunks that are older than the grace and unmarked are dropped;
2. packs without chunks are retired; their files are removed after a linger, for downloads under way;
3. files that no row names (a crash between pack and commit) are removed when they are older than the grace;
4. packs more than half dead, and crowds of small ones, are copied to a new pack, which is durable before
   the rows move to it; then the old ones are retired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import NamedTuple

from headwater.base.errors import Damaged, Invalid
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend, StoredPack
from headwater.store.packs.chunks import RENEW_US, add_packs, among, batched, locate, unmark
from headwater.store.packs.format import ChunkRef, Tail, pack_name, read_tail
from headwater.store.packs.reader import read_each
from headwater.store.packs.writer import PackWriter

Marks = Callable[[Transaction, str, Sequence[bytes]], set[bytes]]
"""Returns those of an organisation's chunk ids that are referred to, unfinished uploads included."""

LINGER_US = 3_600_000_000
"""A retired pack is kept this long, because a download may have looked up its chunks just before."""

SMALL_PACK_BYTES = 4 * 1024 * 1024
CROWD_PACKS = 16
"""The number of small packs of one organisation that are worth one copy into a single pack."""

REWRITE_BYTES = 256 * 1024 * 1024
"""The bytes copied before rows move, so that a sweep that is cut off has achieved something."""

_PAGE = 2_000
_FILES_AT_ONCE = 100
_SUSPECTS = "SELECT chunk, touched_us FROM chunks WHERE organisation = ? AND chunk > ? ORDER BY chunk LIMIT ?"
_OLD = batched("SELECT chunk, length_bytes FROM chunks WHERE organisation = ? AND touched_us < ? AND chunk IN (BATCH)")
_DROP = "DELETE FROM chunks WHERE organisation = ? AND chunk = ? AND touched_us < ?"
_USE = (
    "SELECT p.pack, p.content_bytes, coalesce(l.live_bytes, 0), coalesce(l.live, 0)"
    " FROM packs p LEFT JOIN ("
    "SELECT pack, count(*) AS live, CAST(sum(length_bytes) AS BIGINT) AS live_bytes"
    " FROM chunks WHERE organisation = ? GROUP BY pack"
    ") l ON l.pack = p.pack"
    " WHERE p.organisation = ? AND p.retired_us IS NULL AND p.created_us < ? ORDER BY p.pack"
)
_IN_PACK = "SELECT chunk, pack, start_bytes, length_bytes FROM chunks WHERE organisation = ? AND pack = ?"
_MOVE = "UPDATE chunks SET pack = ?, start_bytes = ? WHERE organisation = ? AND chunk = ? AND pack = ?"
_RETIRE = "UPDATE packs SET retired_us = ? WHERE organisation = ? AND pack = ? AND retired_us IS NULL"
_RETIRED = "SELECT organisation, pack, size_bytes FROM packs WHERE retired_us < ?"
_FORGET = "DELETE FROM packs WHERE organisation = ? AND pack = ? AND retired_us IS NOT NULL"
_NAMED = batched("SELECT pack FROM packs WHERE pack IN (BATCH)")


@dataclass
class Swept:
    """The counts of a sweep; ``damaged`` names packs that it could not copy and so left as they are."""

    dropped_chunks: int = 0
    dropped_bytes: int = 0
    rewritten_packs: int = 0
    moved_bytes: int = 0
    retired_packs: int = 0
    deleted_packs: int = 0
    deleted_orphans: int = 0
    freed_bytes: int = 0
    damaged: list[str] = field(default_factory=list)


class PackUse(NamedTuple):
    """The use of a pack: the bytes it was written with, and the bytes and chunks that are still in it."""

    pack: int
    content_bytes: int
    live_bytes: int
    live_chunks: int

    @property
    def is_small(self) -> bool:
        """True when a crowd of such packs is worth a copy."""
        return self.content_bytes < SMALL_PACK_BYTES


def marked_by(*tables: str) -> Marks:
    """Marks from tables with the columns ``organisation`` and ``chunk``, each with an index on both."""
    statements = [
        batched("SELECT chunk FROM TABLE WHERE organisation = ? AND chunk IN (BATCH)").replace("TABLE", table)
        for table in tables
    ]

    def marks(tx: Transaction, organisation: str, ids: Sequence[bytes]) -> set[bytes]:
        return {row[0] for sql in statements for row in among(tx, sql, (organisation,), ids)}

    return marks


def organisations(tx: Transaction) -> list[str]:
    """The organisations that have packs."""
    return [row[0] for row in tx.rows("SELECT DISTINCT organisation FROM packs ORDER BY organisation")]


def packs_in_use(tx: Transaction, organisation: str, before_us: int) -> list[PackUse]:
    """The use of each pack that was written before ``before_us`` and is not retired."""
    return [PackUse(*row) for row in tx.rows(_USE, organisation, organisation, before_us)]


def tail_of(place: PackBackend, pack: int) -> Tail:
    """The tail of a stored pack. Raises: Damaged."""
    with closing(place.open(pack)) as source:
        return read_tail(pack, source)


def chunks_in_pack(
    tx: Transaction, organisation: str, pack: int, live_chunks: int, tail: Tail | None
) -> list[ChunkRef]:
    """The chunks in a pack, in order: by its tail, or if that lists too few by every row."""
    refs: list[ChunkRef] = []
    if tail is not None:
        found = locate(tx, organisation, (ref.chunk for ref in tail.refs))
        refs = [ref for ref in found.values() if ref.pack == pack]
    if len(refs) < live_chunks:
        refs = [ChunkRef(*row) for row in tx.rows(_IN_PACK, organisation, pack)]
    return sorted(refs, key=lambda ref: ref.start_bytes)


def dead_chunks(
    tx: Transaction, marks: Marks, organisation: str, before_us: int, after: bytes
) -> tuple[bytes | None, list[bytes]]:
    """The old, unmarked chunks of the page after ``after``, and where the next page begins."""
    rows = tx.rows(_SUSPECTS, organisation, after, _PAGE)
    old = [chunk for chunk, touched_us in rows if touched_us < before_us]
    marked = marks(tx, organisation, old)
    return (rows[-1][0] if len(rows) == _PAGE else None), [chunk for chunk in old if chunk not in marked]


def old_chunks(tx: Transaction, organisation: str, before_us: int, ids: Sequence[bytes]) -> list[tuple[bytes, int]]:
    """Those of the chunks that are older, each with its length."""
    return [(row[0], row[1]) for row in among(tx, _OLD, (organisation, before_us), ids)]


def empty_packs(packs: Sequence[PackUse]) -> list[int]:
    """The packs that contain no chunk: a sweep retires them."""
    return [pack.pack for pack in packs if not pack.live_chunks]


def sparse_packs(packs: Sequence[PackUse]) -> list[PackUse]:
    """The packs whose chunks a sweep copies to a new pack: those more than half dead, and a crowd of small ones."""
    crowded = sum(pack.is_small for pack in packs) >= CROWD_PACKS
    return [
        pack
        for pack in packs
        if pack.live_chunks and (pack.live_bytes * 2 < pack.content_bytes or (crowded and pack.is_small))
    ]


def chunks_to_copy(database: Database, place: PackBackend, organisation: str, pack: PackUse) -> list[ChunkRef]:
    """The chunks in a pack, in order."""
    try:
        tail = tail_of(place, pack.pack)
    except Damaged:
        tail = None
    return database.read_now(
        partial(chunks_in_pack, organisation=organisation, pack=pack.pack, live_chunks=pack.live_chunks, tail=tail)
    )


def retired_packs(tx: Transaction, before_us: int) -> list[tuple[str, int, int]]:
    """The organisation, number and size of each pack that was retired earlier."""
    return [(row[0], row[1], row[2]) for row in tx.rows(_RETIRED, before_us)]


def orphan_packs(database: Database, place: PackBackend, before_us: int) -> Iterator[list[StoredPack]]:
    """The files older than this that no row names, page by page."""
    old = (stored for stored in place.listing() if stored.modified_us < before_us)
    while page := list(islice(old, _PAGE)):
        yield database.read_now(partial(_unnamed, page=page))


def require_grace(grace_us: int) -> None:
    """Refuses a grace in which a claim would not yet renew a chunk's age. Raises: ValueError."""
    if grace_us <= RENEW_US:
        raise ValueError(f"a grace must be longer than {RENEW_US} microseconds")


def _no_pause() -> None:
    """Makes no pause between two steps."""


def sweep(
    database: Database,
    place: PackBackend,
    marks: Marks,
    *,
    grace_us: int,
    linger_us: int = LINGER_US,
    breathe: Callable[[], None] = _no_pause,
) -> Swept:
    """Frees the chunks and packs that nothing refers to; returns the counts.

    ``breathe`` is called between two steps: it may wait, so that other work gets a turn, and by raising it ends
    the sweep. Units: ``grace_us`` must be longer than any upload takes from its first byte to its commit.
    """
    require_grace(grace_us)
    now_us = database.read_now(lambda tx: tx.now_us)
    running = _Sweep(database, place, marks, now_us - grace_us, breathe)
    everyone = database.read_now(organisations)
    for organisation in everyone:
        running.drop_dead(organisation)
        running.retire(organisation)
    running.delete_retired(now_us - linger_us)
    running.delete_orphans()
    # Copying needs room, so it follows all steps that free some.
    for organisation in everyone:
        running.rewrite(organisation)
        running.retire(organisation)
    return running.swept


class _Sweep:
    """One sweep under way; everything younger than ``before_us`` is left alone."""

    def __init__(
        self, database: Database, place: PackBackend, marks: Marks, before_us: int, breathe: Callable[[], None]
    ) -> None:
        self._database = database
        self._place = place
        self._marks = marks
        self._before_us = before_us
        self._breathe = breathe
        self.swept = Swept()

    def drop_dead(self, organisation: str) -> None:
        """Checks every chunk, a page at a time; only pages with chunks to drop need a write."""
        after: bytes | None = b""
        while after is not None:
            self._breathe()
            after, dead = self._database.read_now(
                partial(
                    dead_chunks,
                    marks=self._marks,
                    organisation=organisation,
                    before_us=self._before_us,
                    after=after,
                )
            )
            if dead:
                chunks, freed_bytes = self._database.write_now(
                    partial(self._drop, organisation=organisation, suspects=dead)
                )
                self.swept.dropped_chunks += chunks
                self.swept.dropped_bytes += freed_bytes

    def rewrite(self, organisation: str) -> None:
        """Copies the chunks of sparse packs, and of a crowd of small ones, to new packs."""
        self._breathe()
        packs = self._database.read_now(partial(packs_in_use, organisation=organisation, before_us=self._before_us))
        for batch in _by_size(sparse_packs(packs)):
            self._rewrite(organisation, batch)

    def retire(self, organisation: str) -> None:
        """Marks the packs without chunks as retired; no chunk can be put into them again."""
        self._breathe()
        packs = self._database.read_now(partial(packs_in_use, organisation=organisation, before_us=self._before_us))
        empty = empty_packs(packs)
        for at in range(0, len(empty), _PAGE):
            page = empty[at : at + _PAGE]
            self._database.write_now(partial(_retire, organisation=organisation, packs=page))
            self.swept.retired_packs += len(page)

    def delete_retired(self, before_us: int) -> None:
        """Removes the files of packs that were retired before; rows are removed last, so that a crash repeats it."""
        rows = self._database.read_now(partial(retired_packs, before_us=before_us))
        for at in range(0, len(rows), _FILES_AT_ONCE):
            self._breathe()
            page = rows[at : at + _FILES_AT_ONCE]
            for _, pack, size_bytes in page:
                self._place.delete(pack)
                self.swept.deleted_packs += 1
                self.swept.freed_bytes += size_bytes
            self._database.write_now(partial(_forget, packs=[row[:2] for row in page]))

    def delete_orphans(self) -> None:
        """Removes old files that no row names."""
        for orphans in orphan_packs(self._database, self._place, self._before_us):
            self._breathe()
            for stored in orphans:
                self._place.delete(stored.pack)
                self.swept.deleted_orphans += 1
                self.swept.freed_bytes += stored.size_bytes

    def _drop(self, tx: Transaction, organisation: str, suspects: list[bytes]) -> tuple[int, int]:
        """Drops the chunks that are still old and unmarked; returns their number and bytes.

        The DELETE checks the age again: a claim that was committed in between has renewed it.
        """
        marked = self._marks(tx, organisation, suspects)
        dead = [chunk for chunk in suspects if chunk not in marked]
        rows = old_chunks(tx, organisation, self._before_us, dead)
        tx.frees_room()
        tx.run_many(_DROP, [(organisation, chunk, self._before_us) for chunk, _ in sorted(rows)])
        unmark(tx, organisation, [chunk for chunk, _ in rows])
        return len(rows), sum(length_bytes for _, length_bytes in rows)

    def _rewrite(self, organisation: str, victims: Sequence[PackUse]) -> None:
        """Copies the packs' chunks, makes the copies durable, then moves the rows, a page at a time."""
        moves: list[tuple[ChunkRef, ChunkRef]] = []
        with PackWriter(self._place, organisation) as writer:
            for victim in victims:
                self._breathe()
                try:
                    moves += self._copy(writer, organisation, victim)
                except (Damaged, Invalid) as failure:
                    self.swept.damaged.append(f"{pack_name(victim.pack)}: {failure.detail}")
                else:
                    self.swept.rewritten_packs += 1
            written = writer.close()
        self._database.write_now(partial(add_packs, organisation=organisation, packs=written.packs))
        moves.sort()
        for at in range(0, len(moves), _PAGE):
            self._breathe()
            self._database.write_now(partial(_move, organisation=organisation, moves=moves[at : at + _PAGE]))
        self.swept.moved_bytes += sum(old.length_bytes for old, _ in moves)

    def _copy(self, writer: PackWriter, organisation: str, victim: PackUse) -> list[tuple[ChunkRef, ChunkRef]]:
        """Copies one pack's chunks, each with its hash checked; (old place, new place) of each."""
        refs = chunks_to_copy(self._database, self._place, organisation, victim)
        contents = read_each(self._place, refs)
        return [(ref, writer.append(content, ref.chunk)) for ref, content in zip(refs, contents, strict=True)]


def _by_size(victims: Sequence[PackUse]) -> Iterator[list[PackUse]]:
    """The packs in batches of about ``REWRITE_BYTES`` to copy."""
    batch: list[PackUse] = []
    size_bytes = 0
    for victim in victims:
        batch.append(victim)
        size_bytes += victim.live_bytes
        if size_bytes >= REWRITE_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def _move(tx: Transaction, organisation: str, moves: Sequence[tuple[ChunkRef, ChunkRef]]) -> None:
    """Sets the new places of chunks; one that was dropped or moved meanwhile is left."""
    tx.frees_room()
    tx.run_many(_MOVE, [(new.pack, new.start_bytes, organisation, old.chunk, old.pack) for old, new in moves])


def _retire(tx: Transaction, organisation: str, packs: Sequence[int]) -> None:
    tx.frees_room()
    tx.run_many(_RETIRE, [(tx.now_us, organisation, pack) for pack in packs])


def _forget(tx: Transaction, packs: Sequence[Sequence[object]]) -> None:
    tx.frees_room()
    tx.run_many(_FORGET, packs)


def _unnamed(tx: Transaction, page: Sequence[StoredPack]) -> list[StoredPack]:
    """The stored packs that no row names."""
    named = {row[0] for row in among(tx, _NAMED, (), (stored.pack for stored in page))}
    return [stored for stored in page if stored.pack not in named]
