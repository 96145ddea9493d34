"""A disk that fails when it is told to: every file of SQLite goes through it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from headwater.store.sqlite import reserve as reserves

NAME = "headwater-faults"


class Disk:
    """What the disk does next: fail an fsync, or be full.

    ``main_only`` lets it fail for the database file alone, which SQLite writes only when it folds the WAL in.
    Units: ``free_bytes`` is what SQLite's files may still grow; None is no limit. ``writes_left`` counts the
    writes that still succeed before the disk is full; None is no limit.
    """

    def __init__(self, reserve: Path | None = None) -> None:
        self.main_only = False
        self.sync_fails = False
        self.free_bytes: int | None = None
        self.writes_left: int | None = None
        self.syncs = 0
        self._reserve = reserve
        self._reserve_bytes = 0

    def fill(self) -> None:
        """Leave no free byte; what the reserve file holds comes free when it goes."""
        self.free_bytes = 0
        if self._reserve is not None and self._reserve.exists():
            self._reserve_bytes = self._reserve.stat().st_size

    def allocate_by(self, allocate: Callable[[Path, int], None]) -> Callable[[Path, int], None]:
        """What makes the reserve file: it too needs room."""

        def allocated(path: Path, size_bytes: int) -> None:
            try:
                self.take(size_bytes)
            except apsw.FullError:
                raise OSError(errno.ENOSPC, "no space left on the faulty disk") from None
            allocate(path, size_bytes)

        return allocated

    def take(self, growth_bytes: int) -> None:
        """Count a write that lets a file grow. Raises: apsw.FullError when there is no room."""
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise apsw.FullError("no space left on the faulty disk")
            self.writes_left -= 1
        free_bytes = self.free_bytes
        if free_bytes is None:
            return
        if self._reserve is not None and not self._reserve.exists():
            free_bytes += self._reserve_bytes
            self._reserve_bytes = 0
            self.free_bytes = free_bytes
        if growth_bytes > free_bytes:
            raise apsw.FullError("no space left on the faulty disk")
        self.free_bytes = free_bytes - growth_bytes

    def give_back(self, bytes_less: int) -> None:
        """Count a file that became shorter."""
        if self.free_bytes is not None:
            self.free_bytes += bytes_less

    def sync(self) -> None:
        """Count an fsync. Raises: apsw.IOError when it is to fail."""
        self.syncs += 1
        if self.sync_fails:
            raise apsw.IOError("fsync failed on the faulty disk")


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._is_main = bool(flags[0] & apsw.SQLITE_OPEN_MAIN_DB)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        if self._is_main or not self._disk.main_only:
            self._disk.take(max(0, offset + len(data) - self.xFileSize()))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        self._disk.give_back(max(0, self.xFileSize() - size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        if self._is_main or not self._disk.main_only:
            self._disk.sync()
        super().xSync(flags)


class _Vfs(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__(NAME, "unix", makedefault=True)
        self._disk = disk

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        return _File(self._disk, name, flags)


@contextmanager
def faulty_disk(reserve: Path | None = None) -> Iterator[Disk]:
    """Put the disk under every database that is opened inside."""
    disk = Disk(reserve)
    vfs = _Vfs(disk)
    allocate = reserves.allocate
    reserves.allocate = disk.allocate_by(allocate)  # type: ignore[assignment]
    try:
        yield disk
    finally:
        reserves.allocate = allocate
        vfs.unregister()
