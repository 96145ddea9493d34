"""Reads every chunk that the database knows of and checks its hash; marks what is damaged, and only that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from headwater.base.errors import Damaged, QuotaExceeded
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.chunks import damaged, locate, unmark
from headwater.store.packs.damage import mark
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.gc import chunks_in_pack, organisations, tail_of
from headwater.store.packs.guard import FailedChunk
from headwater.store.packs.reader import read_outcomes

_LIVE = (
    "SELECT pack, count(*), CAST(sum(length_bytes) AS BIGINT) FROM chunks"
    " WHERE organisation = ? GROUP BY pack ORDER BY pack"
)
_TOTAL = "SELECT count(*), CAST(coalesce(sum(length_bytes), 0) AS BIGINT) FROM chunks"


class Damage(NamedTuple):
    """A damaged chunk, or without a chunk the damaged list at the end of a pack."""

    organisation: str
    pack: int
    chunk: bytes | None
    reason: str


@dataclass
class Verified:
    """The counts of what was checked so far, and of what there was to check at the start."""

    total_chunks: int = 0
    total_bytes: int = 0
    packs: int = 0
    chunks: int = 0
    content_bytes: int = 0
    whole_again: int = 0
    """Chunks that were marked as damaged and are whole, because their pack was put back."""
    damages: list[Damage] = field(default_factory=list)


def verify(database: Database, place: PackBackend, progress: Callable[[Verified], None] | None = None) -> Verified:
    """Checks every chunk of every organisation; ``progress`` is called after each pack.

    It runs beside uploads and sweeps: a chunk that was moved meanwhile is checked in its new place. A damaged chunk
    gets a mark, and one that is whole loses the mark that it had.
    """
    verified = Verified(*database.read_now(lambda tx: tx.rows(_TOTAL)[0]))
    for organisation in database.read_now(organisations):
        packs = database.read_now(partial(_live, organisation=organisation))
        for pack, live_chunks, live_bytes in packs:
            checked = _check_pack(database, place, organisation, pack, live_chunks)
            verified.damages += checked.damages
            verified.whole_again += _settle(database, organisation, checked)
            verified.packs += 1
            verified.chunks += live_chunks
            verified.content_bytes += live_bytes
            if progress is not None:
                progress(verified)
    return verified


class _CheckedPack(NamedTuple):
    """The damage in one pack, the chunks that failed in their present places, and the ids of the whole ones."""

    damages: list[Damage]
    failed: list[FailedChunk]
    whole: list[bytes]


def _live(tx: Transaction, organisation: str) -> list[tuple[int, int, int]]:
    return [(row[0], row[1], row[2]) for row in tx.rows(_LIVE, organisation)]


def _check_pack(database: Database, place: PackBackend, organisation: str, pack: int, live_chunks: int) -> _CheckedPack:
    """Reads one pack: its chunks, and the list at its end."""
    damages = []
    tail = None
    try:
        tail = tail_of(place, pack)
    except Damaged as failure:
        damages.append(Damage(organisation, pack, None, failure.detail))
    refs = database.read_now(
        partial(chunks_in_pack, organisation=organisation, pack=pack, live_chunks=live_chunks, tail=tail)
    )
    failed: list[FailedChunk] = []
    for first in _failing(place, refs):
        now = database.read_now(partial(locate, organisation=organisation, ids=[first.ref.chunk]))
        moved = [found for found in now.values() if found != first.ref]
        failed += _failing(place, moved) if moved or not now else [first]
    damages += [Damage(organisation, each.ref.pack, each.ref.chunk, each.reason) for each in failed]
    if not refs:
        return _CheckedPack([], [], [])
    bad = {each.ref.chunk for each in failed}
    return _CheckedPack(damages, failed, [ref.chunk for ref in refs if ref.chunk not in bad])


def _failing(place: PackBackend, refs: Sequence[ChunkRef]) -> list[FailedChunk]:
    """The chunks that cannot be read or fail their hash."""
    outcomes = zip(refs, read_outcomes(place, refs), strict=True)
    return [FailedChunk(ref, outcome.detail) for ref, outcome in outcomes if isinstance(outcome, Damaged)]


def _settle(database: Database, organisation: str, checked: _CheckedPack) -> int:
    """Marks what failed, and removes the marks of what is whole; returns the number of chunks that are whole again."""
    healed = database.read_now(partial(damaged, organisation=organisation, ids=checked.whole))
    if not healed and not checked.failed:
        return 0

    def transaction(tx: Transaction) -> None:
        unmark(tx, organisation, healed)
        mark(tx, organisation, checked.failed)

    try:
        database.write_now(transaction)
    except QuotaExceeded:
        # A full disk takes no marks; what was found is reported all the same.
        return 0
    return len(healed)
