"""A stored pack that is open for reading, and the bytes that packs are given."""

from __future__ import annotations

from typing import Protocol

Content = bytes | bytearray | memoryview
"""Bytes that a caller hands over; no reference to them is kept after the call returns."""


class PackSource(Protocol):
    """A stored pack that is open for reading."""

    size_bytes: int

    def read(self, start_bytes: int, length_bytes: int) -> bytes:
        """Exactly these bytes. Raises: Damaged (the pack is shorter)."""

    def close(self) -> None:
        """Closes the pack."""
