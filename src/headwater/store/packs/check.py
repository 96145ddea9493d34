"""Reads every chunk that the database knows of and checks its hash; changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from headwater.base.errors import Damaged
from headwater.store.database import Database, Transaction
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.chunks import locate
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.gc import chunks_in_pack, organisations, tail_of
from headwater.store.packs.reader import read_each

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
    damages: list[Damage] = field(default_factory=list)


def verify(database: Database, place: PackBackend, progress: Callable[[Verified], None] | None = None) -> Verified:
    """Checks every chunk of every organisation; ``progress`` is called after each pack.

    It runs beside uploads and sweeps: a chunk that was moved meanwhile is checked in its new place.
    """
    verified = Verified(*database.read_now(lambda tx: tx.rows(_TOTAL)[0]))
    for organisation in database.read_now(organisations):
        packs = database.read_now(partial(_live, organisation=organisation))
        for pack, live_chunks, live_bytes in packs:
            verified.damages += _check_pack(database, place, organisation, pack, live_chunks)
            verified.packs += 1
            verified.chunks += live_chunks
            verified.content_bytes += live_bytes
            if progress is not None:
                progress(verified)
    return verified


def _live(tx: Transaction, organisation: str) -> list[tuple[int, int, int]]:
    return [(row[0], row[1], row[2]) for row in tx.rows(_LIVE, organisation)]


def _check_pack(database: Database, place: PackBackend, organisation: str, pack: int, live_chunks: int) -> list[Damage]:
    """The damage in one pack."""
    damages = []
    tail = None
    try:
        tail = tail_of(place, pack)
    except Damaged as failure:
        damages.append(Damage(organisation, pack, None, failure.detail))
    refs = database.read_now(
        partial(chunks_in_pack, organisation=organisation, pack=pack, live_chunks=live_chunks, tail=tail)
    )
    for ref, reason in _failing(place, refs):
        now = database.read_now(partial(locate, organisation=organisation, ids=[ref.chunk]))
        moved = [found for found in now.values() if found != ref]
        again = _failing(place, moved) if moved or not now else [(ref, reason)]
        damages += [Damage(organisation, found.pack, found.chunk, why) for found, why in again]
    if not refs:
        return []
    return damages


def _failing(place: PackBackend, refs: Sequence[ChunkRef]) -> list[tuple[ChunkRef, str]]:
    """The chunks that cannot be read or fail their hash; one by one only when there is one."""
    try:
        for _ in read_each(place, refs, verify=True):
            pass
    except Damaged as failure:
        if len(refs) == 1:
            return [(refs[0], failure.detail)]
    else:
        return []
    return [found for ref in refs for found in _failing(place, [ref])]
