"""The reserve: a file that is deleted when the disk is full, and from then on room for deletions alone.

Deleting rows frees pages inside the database file and not on the disk. So writes that grow are accepted again as soon
as the reserve can be created again, or while the file's free pages are as large as the reserve.
"""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from headwater.base.clock import monotonic_seconds
from headwater.base.log import get_log
from headwater.base.settings.field import MIB

LEAST_BYTES = MIB
"""A smaller reserve would be of no use."""

TRY_SECONDS = 2.0
"""Time between two attempts to create the reserve again."""

_log = get_log(__name__)


class Reserve:
    """The reserve of one database file; every process that opens the file sees that it was given up.

    ``size_bytes`` 0 creates none; a command beside the server then only respects the server's.
    """

    def __init__(self, database: Path, size_bytes: int) -> None:
        self._path = database.with_suffix(".reserve")
        self._marker = full_marker(database)
        self._size_bytes = size_bytes
        self._lock = threading.Lock()
        self._next_seconds = 0.0
        if size_bytes and not self._marker.exists() and not self._create_some():
            # A full disk must not prevent the start of the server: reads work, and deletions may work.
            _log.warning("the disk is full: no reserve file was created", reserve_bytes=size_bytes)
            self._mark(min(size_bytes, LEAST_BYTES))

    def give_up(self) -> bool:
        """Deletes the reserve, because the disk is full; False when it was given up before."""
        with self._lock:
            if not self._path.exists():
                return False
            size_bytes = self._path.stat().st_size
            self._path.unlink(missing_ok=True)
            self._mark(size_bytes)
            self._next_seconds = monotonic_seconds() + TRY_SECONDS
        _log.warning("the disk is full: the reserve file was deleted, and only deletions are accepted")
        return True

    def missing_bytes(self) -> int:
        """The size of the reserve that was given up and cannot be created again yet; 0 when there is room."""
        if not self._marker.exists():
            return 0
        with self._lock:
            size_bytes = self._marked_bytes()
            if monotonic_seconds() < self._next_seconds:
                return size_bytes
            self._next_seconds = monotonic_seconds() + TRY_SECONDS
            # With less room than that, the next write would give the reserve up again.
            if not self._create(size_bytes + max(size_bytes // 4, LEAST_BYTES)):
                return size_bytes
            os.truncate(self._path, size_bytes)
            self._marker.unlink(missing_ok=True)
        _log.warning("there is room on the disk again: the reserve file was created, and every write is accepted")
        return 0

    def _create_some(self) -> bool:
        """Creates a reserve of at most half of the room, else a smaller one; False when there is no room at all.

        A reserve that takes nearly all of a small volume could never be created again once it was given up.
        """
        size_bytes = self._size_bytes
        while size_bytes > LEAST_BYTES and (self._room_bytes() < 2 * size_bytes or not self._create(size_bytes)):
            size_bytes = max(size_bytes // 2, LEAST_BYTES)
        return self._create(size_bytes)

    def _room_bytes(self) -> int:
        """The free bytes of the disk, with those that the reserve has."""
        own_bytes = self._path.stat().st_size if self._path.exists() else 0
        return shutil.disk_usage(self._path.parent).free + own_bytes

    def _mark(self, size_bytes: int) -> None:
        with suppress(OSError):
            self._marker.write_text(f"{size_bytes}\n", "ascii")

    def _marked_bytes(self) -> int:
        try:
            return max(1, int(self._marker.read_text("ascii")))
        except (OSError, ValueError):
            return max(1, self._size_bytes)

    def _create(self, size_bytes: int) -> bool:
        before_bytes = self._path.stat().st_size if self._path.exists() else 0
        if before_bytes >= size_bytes:
            return True
        try:
            allocate(self._path, size_bytes)
        except OSError:
            if before_bytes == 0:
                self._path.unlink(missing_ok=True)
                return False
            os.truncate(self._path, before_bytes)
        return True


def full_marker(database: Path) -> Path:
    """The file beside a database that exists while the reserve is given up; it contains the reserve's size."""
    return database.with_suffix(".full")


def allocate(path: Path, size_bytes: int) -> None:
    """Creates or lengthens a file with room on the disk for all of its bytes. Raises: OSError."""
    with path.open("ab") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        else:
            file.writelines(bytes(MIB) for _ in range(file.tell(), size_bytes, MIB))
