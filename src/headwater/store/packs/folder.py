"""Packs as files of a local folder: plain system calls, one fdatasync a pack, then one fsync of its folder.

obstore's local store was measured and left out: it never syncs, and its small reads take ten times as long.
Decision: docs/decisions/0003-packs.md.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from headwater.base.descriptors import opened
from headwater.base.errors import Damaged, Fatal, HeadwaterError, QuotaExceeded, Unavailable
from headwater.store.database import FULL
from headwater.store.packs.backend import StoredPack
from headwater.store.packs.format import new_pack, pack_name, pack_of_name
from headwater.store.packs.guard import ChunkGuard
from headwater.store.packs.source import Content, PackSource

WRITEBACK_BYTES = 4 * 1024 * 1024
"""The disk starts to write each time so many bytes were written, so that the final sync is short."""

READ_BYTES = 512 * 1024
"""The piece that a slow reader keeps in memory; larger reads also leave the processor's cache and are slower."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BUSY = {errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_NEW = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW
_START_WRITE = 2

# Each is replaced in tests by one that fails.
_write = os.write
_sync_file = getattr(os, "fdatasync", os.fsync)
_sync_folder = os.fsync


def _find_start_writeback() -> Callable[[int, int, int, int], object]:
    """Linux's sync_file_range, which the os module lacks; elsewhere a call that does nothing."""
    call = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if call is None:
        return lambda *_: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    found: Callable[[int, int, int, int], object] = call
    return found


_start_writeback = _find_start_writeback()


class _FileSink:
    """A pack file that is being written."""

    def __init__(self, folder: PackFolder, pack: int, path: Path, descriptor: int) -> None:
        self.pack = pack
        self._folder = folder
        self._path = path
        self._descriptor = descriptor
        self._written = 0
        self._started = 0

    def write(self, piece: Content) -> None:
        """Appends a piece; asks the disk to start writing once enough was written."""
        left = memoryview(piece)
        try:
            while left:
                left = left[_write(self._descriptor, left) :]
        except OSError as failure:
            raise self._folder.meaning(failure, "writing a pack") from failure
        self._written += len(piece)
        gathered = self._written - self._started
        if gathered >= WRITEBACK_BYTES:
            _start_writeback(self._descriptor, self._started, gathered, _START_WRITE)
            self._started = self._written

    def finish(self) -> None:
        """Syncs the file, then the folder that names it."""
        self._folder.refuse_if_failed()
        try:
            _sync_file(self._descriptor)
            if os.fstat(self._descriptor).st_nlink == 0:
                raise Unavailable("the upload stood still so long that it was swept", retry_after_seconds=1)
            with opened(self._path.parent, os.O_RDONLY | os.O_DIRECTORY) as folder:
                _sync_folder(folder)
        except OSError as failure:
            raise self._folder.meaning(failure, "syncing a pack") from failure
        finally:
            self._close()

    def discard(self) -> None:
        """Removes the file."""
        self._close()
        # A file that cannot be removed now is an orphan for the sweep; the first failure is the one to raise.
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _FileSource:
    """A pack file that is open for reading; it stays readable even when it is deleted meanwhile."""

    def __init__(self, pack: int, descriptor: int) -> None:
        self._pack = pack
        self._descriptor = descriptor
        self.size_bytes = os.fstat(descriptor).st_size

    def read(self, start_bytes: int, length_bytes: int) -> bytes:
        """Exactly these bytes."""
        try:
            found = os.pread(self._descriptor, length_bytes, start_bytes)
        except OSError as failure:
            raise Damaged(f"pack {pack_name(self._pack)} cannot be read: {failure.strerror}") from failure
        if len(found) != length_bytes:
            raise Damaged(f"pack {pack_name(self._pack)} is shorter than its chunks")
        return found

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


class PackFolder:
    """Packs below ``path``, each in one of the folders ``00`` to ``7f`` by its first digits.

    After a failed fsync no pack is written any more: the state of the kernel's buffers is then unknown. While the file
    ``full_marker`` exists, the disk's last room is for deletions, and no pack is written either.
    """

    piece_bytes = READ_BYTES

    def __init__(self, path: Path, full_marker: Path | None = None) -> None:
        self.guard = ChunkGuard()
        self._path = path
        self._full_marker = full_marker
        self._failed: Fatal | None = None
        made = False
        for number in range(128):
            folder = path / f"{number:02x}"
            if not folder.is_dir():
                folder.mkdir(parents=True, mode=0o700)
                made = True
        if made:
            with opened(path, os.O_RDONLY | os.O_DIRECTORY) as descriptor:
                _sync_folder(descriptor)

    def create(self) -> _FileSink:
        """Begins a new pack file, readable by this user alone."""
        self.refuse_if_failed()
        if self._full_marker is not None and self._full_marker.exists():
            raise QuotaExceeded(FULL, code="DISK_FULL")
        while True:
            pack = new_pack()
            path = self._path / pack_name(pack)
            try:
                descriptor = os.open(path, _NEW, 0o600)
            except FileExistsError:
                continue
            except OSError as failure:
                raise self.meaning(failure, "creating a pack") from failure
            return _FileSink(self, pack, path, descriptor)

    def open(self, pack: int) -> PackSource:
        """Opens a pack file."""
        try:
            descriptor = os.open(self._path / pack_name(pack), os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError as failure:
            raise Damaged(f"pack {pack_name(pack)} is missing") from failure
        except OSError as failure:
            raise self._busy(failure) or Damaged(
                f"pack {pack_name(pack)} cannot be opened: {failure.strerror}"
            ) from failure
        return _FileSource(pack, descriptor)

    def delete(self, pack: int) -> None:
        """Removes a pack file."""
        try:
            (self._path / pack_name(pack)).unlink(missing_ok=True)
        except OSError as failure:
            raise self.meaning(failure, "deleting a pack") from failure

    def listing(self) -> Iterator[StoredPack]:
        """Every pack file, folder by folder."""
        for number in range(128):
            prefix = f"{number:02x}"
            with os.scandir(self._path / prefix) as entries:
                for entry in entries:
                    pack = pack_of_name(f"{prefix}/{entry.name}")
                    if pack is None:
                        continue
                    try:
                        stat = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield StoredPack(pack, stat.st_size, stat.st_mtime_ns // 1000)

    def refuse_if_failed(self) -> None:
        """Raises the failure that ended all writing, if there was one. Raises: Fatal."""
        if self._failed is not None:
            raise self._failed

    def meaning(self, failure: OSError, doing: str) -> HeadwaterError:
        """The meaning of a failed call: disk full, too busy, or the end of all writing."""
        if failure.errno in _FULL:
            return QuotaExceeded("the server's disk is full; nothing was written", code="DISK_FULL")
        busy = self._busy(failure)
        if busy is not None:
            return busy
        self._failed = Fatal(f"{doing} failed: {failure.strerror}")
        return self._failed

    @staticmethod
    def _busy(failure: OSError) -> Unavailable | None:
        if failure.errno in _BUSY:
            return Unavailable("the server has too many files open", retry_after_seconds=1)
        return None
