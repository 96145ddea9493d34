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
from headwater.store.packs.reader import read_outcomes, read_range

GATHER_BYTES = 1024 * 1024
HELD_BYTES = 8 * 1024 * 1024
"""A file of many chunks up to this size is read once and held; a larger one is read twice, to compare and to send."""

BREATH_BYTES = 64 * 1024 * 1024
"""While a large file is compared, an empty piece is returned each time so much was read."""


def frames(place: PackBackend, contents: Contents, database: Database) -> Iterator[bytes]:
    """The stream in pieces. Raises: Damaged (a large file was damaged between its comparison and its sending)."""
    outcomes = read_outcomes(place, [item.ref for item in contents.items if item.ref is not None])
    gathered: list[bytes | memoryview] = []
    size_bytes = 0
    for item in contents.items:
        if item.version:
            yield b"".join(gathered)
            gathered, size_bytes = [], 0
            yield from _large(place, contents.row, item, database)
            continue
        outcome = next(outcomes) if item.ref is not None else None
        line = _line(item, outcome if isinstance(outcome, Damaged) else None)
        gathered.append(line)
        size_bytes += len(line)
        if isinstance(outcome, memoryview):
            gathered.append(outcome)
            size_bytes += len(outcome)
        if size_bytes >= GATHER_BYTES:
            yield b"".join(gathered)
            gathered, size_bytes = [], 0
    if gathered:
        yield b"".join(gathered)


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
    yield from held if is_held else pieces()


def _line(item: BatchItem, failure: Damaged | None) -> bytes:
    """The line of an item; with a failure it announces no bytes."""
    head = item.head
    if failure is not None:
        head.size, head.error = 0, failure_of(failure)
    return encode(head) + b"\n"
