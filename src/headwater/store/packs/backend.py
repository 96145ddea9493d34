"""Where packs are kept: what a local folder and an object store both can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

Content = bytes | bytearray | memoryview
"""Bytes that a caller hands over; nobody keeps them after the call returns."""


class StoredPack(NamedTuple):
    """A pack that lies in a place, finished or not.

    Units: ``modified_us`` is microseconds UTC since 1970.
    """

    pack: int
    size_bytes: int
    modified_us: int


class PackSink(Protocol):
    """A pack that is being written, from its first byte to its last."""

    pack: int

    def write(self, piece: Content) -> None:
        """Append a piece.

        Raises: QuotaExceeded (disk full), Fatal (any other failure of a disk), Unavailable (no answer).
        """

    def finish(self) -> None:
        """Make the pack durable, its name included; nothing may follow.

        Raises: QuotaExceeded (disk full), Fatal (a failed fsync: never tried again), Unavailable (no answer).
        """

    def discard(self) -> None:
        """Remove what was written."""


class PackSource(Protocol):
    """A stored pack that is open for reading."""

    size_bytes: int

    def read(self, start_bytes: int, length_bytes: int) -> bytes:
        """Exactly these bytes. Raises: Damaged (the pack is shorter)."""

    def close(self) -> None:
        """Let go of the pack."""


class PackBackend(Protocol):
    """A folder or a bucket with packs."""

    piece_bytes: int
    """How much to read at once."""

    def create(self) -> PackSink:
        """Begin a new pack under a number that no other has.

        Raises: QuotaExceeded, Fatal, Unavailable, as for ``PackSink.write``.
        """

    def open(self, pack: int) -> PackSource:
        """Open a pack. Raises: Damaged (it is not there)."""

    def delete(self, pack: int) -> None:
        """Remove a pack; one that is gone already is no error."""

    def listing(self) -> Iterator[StoredPack]:
        """Every pack that lies here, in no order; what is no pack of ours is left out."""
