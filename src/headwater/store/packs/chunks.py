"""The chunks of an organisation and their places; deduplication never crosses organisations.

A transaction that makes content visible names its chunks with ``register`` (just uploaded) or ``claim`` (stored
before): both renew a chunk's age, and the sweep drops no chunk younger than its grace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from headwater.store.database import Row, Transaction
from headwater.store.packs.format import ChunkRef, Pack
from headwater.store.packs.writer import Written

Id = TypeVar("Id", bytes, int)

RENEW_US = 30_000_000
"""A claim writes a chunk's age anew only when it is older than this; any grace must be longer."""

_BATCH = 256


def batched(sql: str) -> str:
    """A statement for ``among``: its word BATCH becomes the places of one batch of ids."""
    return sql.replace("BATCH", ",".join("?" * _BATCH))


DAMAGED_IN_PLACE = (
    "FROM damaged_chunks d JOIN chunks c ON c.organisation = d.organisation AND c.chunk = d.chunk"
    " AND c.pack = d.pack AND c.start_bytes = d.start_bytes"
)
"""The marks of damaged chunks that still hold: the chunk is in the place where it failed."""

_MARKS = "SELECT 1 FROM damaged_chunks WHERE organisation = ? LIMIT 1"
_DAMAGED = batched(f"SELECT d.chunk {DAMAGED_IN_PLACE} WHERE d.organisation = ? AND d.chunk IN (BATCH)")
_UNMARK = "DELETE FROM damaged_chunks WHERE organisation = ? AND chunk = ?"
_LOCATE = batched(
    "SELECT chunk, pack, start_bytes, length_bytes FROM chunks WHERE organisation = ? AND chunk IN (BATCH)"
)
_STALE = batched("SELECT chunk FROM chunks WHERE organisation = ? AND touched_us < ? AND chunk IN (BATCH)")
_RENEW = "UPDATE chunks SET touched_us = ? WHERE organisation = ? AND chunk = ? AND touched_us < ?"
_ADD_PACK = (
    "INSERT INTO packs (organisation, pack, size_bytes, content_bytes, chunks, created_us) VALUES (?, ?, ?, ?, ?, ?)"
)
_ADD_CHUNK = (
    "INSERT INTO chunks (organisation, chunk, pack, start_bytes, length_bytes, touched_us)"
    " VALUES (?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (organisation, chunk) DO UPDATE SET pack = excluded.pack, start_bytes = excluded.start_bytes,"
    " length_bytes = excluded.length_bytes, touched_us = excluded.touched_us"
)


def locate(tx: Transaction, organisation: str, ids: Iterable[bytes]) -> dict[bytes, ChunkRef]:
    """The places of those of the chunks that the organisation has."""
    return {row[0]: ChunkRef(*row) for row in among(tx, _LOCATE, (organisation,), ids)}


def claim(tx: Transaction, organisation: str, ids: Iterable[bytes]) -> dict[bytes, ChunkRef]:
    """Locates chunks and renews their age, so that gc leaves them alone for a grace.

    One that is missing, or marked as damaged, must be sent.
    """
    wanted = sorted(set(ids))
    before_us = tx.now_us - RENEW_US
    stale = [row[0] for row in among(tx, _STALE, (organisation, before_us), wanted)]
    if stale:
        tx.run_many(_RENEW, [(tx.now_us, organisation, chunk, tx.now_us) for chunk in sorted(stale)])
    found = locate(tx, organisation, wanted)
    for chunk in damaged(tx, organisation, found):
        del found[chunk]
    return found


def register(tx: Transaction, written: Written) -> None:
    """Records a request's packs and chunks; a chunk that was in another pack is in the new one from now on.

    So content that is sent again is whole again, should the earlier copy be damaged or missing: the new one is known
    to be good. The sweep frees the old one. Rows are written by id, so that two transactions lock them in one order
    and neighbours share pages.
    """
    organisation = written.organisation
    durable = {pack.pack for pack in written.packs}
    assert all(ref.pack in durable for ref in written.refs), "a chunk is registered only in a pack that was closed"
    add_packs(tx, organisation, written.packs)
    tx.run_many(
        _ADD_CHUNK,
        [(organisation, *ref, tx.now_us) for ref in sorted(written.refs)],
    )
    unmark(tx, organisation, [ref.chunk for ref in written.refs])


def has_damage(tx: Transaction, organisation: str) -> bool:
    """True when a chunk of the organisation was found damaged; one that was stored anew since may still count."""
    return tx.value(_MARKS, organisation) is not None


def damaged(tx: Transaction, organisation: str, ids: Iterable[bytes]) -> set[bytes]:
    """Those of the chunks that are marked as damaged where they are."""
    if not has_damage(tx, organisation):
        return set()
    return {bytes(row[0]) for row in among(tx, _DAMAGED, (organisation,), ids)}


def unmark(tx: Transaction, organisation: str, ids: Iterable[bytes]) -> None:
    """Removes the marks of damage from chunks that were stored anew, found whole, or dropped."""
    if has_damage(tx, organisation):
        tx.run_many(_UNMARK, [(organisation, chunk) for chunk in sorted(set(ids))])


def add_packs(tx: Transaction, organisation: str, packs: Sequence[Pack]) -> None:
    """Records packs without any of their chunks."""
    tx.run_many(_ADD_PACK, [(organisation, *pack, tx.now_us) for pack in packs])


def among(tx: Transaction, sql: str, first: Sequence[object], ids: Iterable[Id]) -> Iterator[Row]:
    """Rows of a ``batched`` statement for the ids; ``first`` are the parameters before them.

    Every batch has the same size, so that the statement is prepared once.
    """
    wanted = list(dict.fromkeys(ids))
    for at in range(0, len(wanted), _BATCH):
        batch = wanted[at : at + _BATCH]
        batch += batch[-1:] * (_BATCH - len(batch))
        yield from tx.rows(sql, *first, *batch)
