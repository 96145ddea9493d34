"""The stream of a batch download: a line and its bytes for each item, each with an outcome of its own.

An item is read and compared before its line is sent. A damaged one has an error in its line and no bytes, and its
neighbours are sent as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwater.base.errors import Damaged
from headwater.base.wire import encode
from headwater.contracts.files import content
from headwater.contracts.files.access import ShareRow
from headwater.contracts.files.downloads.batch import BatchItem, Contents
from headwater.contracts.files.packed.parser import failure_of
from headwater.store.database import Database
from headwater.store.packs.backend import PackBackend
from headwater.store.packs.format import ChunkRef
from headwater.store.packs.reader import Outcome, read_outcomes, read_range

GATHER_BYTES = 1024 * 1024
HELD_BYTES = GATHER_BYTES
"""A file of many chunks up to this size is read once and held; a larger one is read twice, to compare and to send.

It is what one slow reader costs, and a server has hundreds of them.
"""

BREATH_BYTES = 64 * 1024 * 1024
"""While a large file is compared, an empty piece is returned each time so much was read."""


def frames(place: PackBackend, contents: Contents, database: Database) -> Iterator[bytes]:
    """The stream in pieces. Raises: Damaged (a large file was damaged between its comparison and its sending)."""
    gatherable = (item.ref for item in contents.items if item.ref is not None and _is_gathered(place, item))
    outcomes = read_outcomes(place, gatherable)
    gathered: list[bytes | memoryview] = []
    size_bytes = 0
    for item in contents.items:
        if not _is_gathered(place, item):
            if gathered:
                yield _taken(gathered)
                size_bytes = 0
            alone = _chunk(place, item, item.ref) if item.ref else _large(place, contents.row, item, database)
            yield from alone
            continue
        size_bytes += _gather(gathered, item, next(outcomes) if item.ref is not None else None)
        if size_bytes >= GATHER_BYTES:
            yield _taken(gathered)
            size_bytes = 0
    if gathered:
        yield _taken(gathered)


def _is_gathered(place: PackBackend, item: BatchItem) -> bool:
    """True for an item that is read and sent together with its neighbours."""
    return not item.version and (item.ref is None or item.ref.length_bytes <= place.piece_bytes)


def _gather(gathered: list[bytes | memoryview], item: BatchItem, outcome: Outcome | None) -> int:
    """Adds an item's line and its bytes to those that are sent together; their size in bytes."""
    line = _line(item, outcome if isinstance(outcome, Damaged) else None)
    gathered.append(line)
    if not isinstance(outcome, memoryview):
        return len(line)
    gathered.append(outcome)
    return len(line) + len(outcome)


def _taken(gathered: list[bytes | memoryview]) -> bytes:
    """All that was gathered as one value; the list is then empty, so that a slow reader costs it once."""
    whole = b"".join(gathered)
    gathered.clear()
    return whole


def _chunk(place: PackBackend, item: BatchItem, ref: ChunkRef) -> Iterator[bytes]:
    """The line and the bytes of one large chunk, in pieces: it is compared whole before the first of them."""
    pieces = read_range(place, (ref,))
    try:
        first = next(pieces)
    except Damaged as failure:
        yield _line(item, failure)
        return
    yield _line(item, None)
    yield first
    del first
    yield from pieces


def _large(place: PackBackend, row: ShareRow, item: BatchItem, database: Database) -> Iterator[bytes]:
    """The line and the bytes of a file of many chunks."""
    is_held = item.head.size <= HELD_BYTES
    held: list[bytes] = []
    compared = size_bytes = 0

    def pieces() -> Iterator[bytes]:
        return read_range(place, content.refs_by_page(database, row.feed, row.organisation, item.version))

    try:
        for piece in pieces():
            size_bytes += len(piece)
            if is_held:
                held.append(piece)
            elif size_bytes - compared >= BREATH_BYTES:
                compared = size_bytes
                yield b""
        if size_bytes != item.head.size:
            raise Damaged(f"its chunks have {size_bytes} bytes, and it should have {item.head.size}")
    except Damaged as failure:
        yield _line(item, failure)
        return
    yield _line(item, None)
    if not is_held:
        yield from pieces()
    while held:
        yield held.pop(0)


def _line(item: BatchItem, failure: Damaged | None) -> bytes:
    """The line of an item; with a failure it announces no bytes."""
    head = item.head
    if failure is not None:
        head.size, head.error = 0, failure_of(failure)
    return encode(head) + b"\n"
