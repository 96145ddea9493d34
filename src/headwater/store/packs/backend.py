"""The places of packs: the operations that a local folder and an object store have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from headwater.store.packs.guard import ChunkGuard
from headwater.store.packs.source import Content, PackSource


class StoredPack(NamedTuple):
    """A pack in its place, finished or not.

    Units: ``modified_us`` is microseconds UTC since 1970.
    """

    pack: int
    size_bytes: int
    modified_us: int


class PackSink(Protocol):
    """A pack that is being written, from its first byte to its last."""

    pack: int

    def write(self, piece: Content) -> None:
        """Appends a piece.

        Raises: QuotaExceeded (disk full), Fatal (any other failure of a disk), Unavailable (no answer).
        """

    def finish(self) -> None:
        """Makes the pack durable, its name included; nothing may follow.

        Raises: QuotaExceeded (disk full), Fatal (a failed fsync: never tried again), Unavailable (no answer).
        """

    def discard(self) -> None:
        """Removes the pack."""


class PackBackend(Protocol):
    """A folder or a bucket with packs."""

    piece_bytes: int
    """The bytes to read at once."""

    guard: ChunkGuard
    """Compares the chunks that are read from this place, and reports those that are damaged."""

    def create(self) -> PackSink:
        """Begins a new pack under a number that no other has.

        Raises: QuotaExceeded, Fatal, Unavailable, as for ``PackSink.write``.
        """

    def open(self, pack: int) -> PackSource:
        """Opens a pack. Raises: Damaged (it does not exist)."""

    def delete(self, pack: int) -> None:
        """Removes a pack; one that does not exist is no error."""

    def listing(self) -> Iterator[StoredPack]:
        """Every pack in this place, in no order; other files are left out."""
