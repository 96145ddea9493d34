"""A local folder as what would come into a share: each file and folder with its path there, or why it cannot come."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from headwater.base.errors import HeadwaterError
from headwater.contracts.files.names import NamePolicy, join_path, name_key, require_length, split_path, stored_name


class LocalEntry(NamedTuple):
    """A local file or folder and the stored path that it gets; ``modified_us`` is microseconds UTC since 1970."""

    path: str
    source: str
    is_folder: bool
    size_bytes: int = 0
    modified_us: int = 0


class Refused(NamedTuple):
    """What cannot come, and why."""

    source: str
    reason: str


class LeftOut(NamedTuple):
    """A symbolic link or special file: a share holds files and folders."""

    source: str


Found = LocalEntry | Refused | LeftOut


def walk(root: Path, to: str, policy: NamePolicy) -> Iterator[Found]:
    """What is at ``root``: the file itself, or all that is in the folder; a folder comes before what is in it.

    ``to`` is the stored path of the folder in the share, empty for its root; it and those above it come first.
    Raises: OSError (nothing there).
    """
    alone = None if root.is_dir() else _judge(str(root), root.name, to, policy, root.stat())
    if alone is None or isinstance(alone, LocalEntry):
        parts = split_path(to)
        yield from (LocalEntry(join_path(parts[:end]), str(root), is_folder=True) for end in range(1, len(parts) + 1))
    if alone is not None:
        yield alone
        return
    waiting = [(str(root), to)]
    while waiting:
        folder, path = waiting.pop()
        below: list[tuple[str, str]] = []
        for found in _in_folder(folder, path, policy):
            yield found
            if isinstance(found, LocalEntry) and found.is_folder:
                below.append((found.source, found.path))
        waiting += reversed(below)


def size_bytes(root: Path, to: str, policy: NamePolicy) -> int:
    """How many bytes the files have that would come."""
    return sum(found.size_bytes for found in walk(root, to, policy) if isinstance(found, LocalEntry))


def reason_of(failure: OSError | HeadwaterError) -> str:
    """A failure as a list of failures tells it."""
    return failure.detail if isinstance(failure, HeadwaterError) else failure.strerror or type(failure).__name__


def _in_folder(folder: str, path: str, policy: NamePolicy) -> Iterator[Found]:
    """What is in one folder, by name. Two names that are one in the share cannot both come."""
    try:
        with os.scandir(folder) as listing:
            members = sorted(listing, key=lambda member: member.name)
    except OSError as failure:
        yield Refused(folder, reason_of(failure))
        return
    taken: dict[str, str] = {}
    for member in members:
        if member.is_symlink():
            yield LeftOut(member.path)
            continue
        try:
            found = _judge(member.path, member.name, path, policy, member.stat(follow_symlinks=False))
        except OSError as failure:
            yield Refused(member.path, reason_of(failure))
            continue
        if isinstance(found, LocalEntry):
            key = name_key(found.path.rpartition("/")[2], policy)
            if key in taken:
                found = Refused(member.path, f"the share takes its name for that of {taken[key]!r}, which is beside it")
            else:
                taken[key] = member.name
        yield found


def _judge(source: str, name: str, folder: str, policy: NamePolicy, found: os.stat_result) -> Found:
    """A file or folder under its stored path, if the share takes its name."""
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and not stat.S_ISREG(found.st_mode):
        return LeftOut(source)
    try:
        path = f"{folder}/{stored_name(name, policy)}"
        require_length(path)
    except HeadwaterError as refusal:
        return Refused(source, refusal.detail)
    if is_folder:
        return LocalEntry(path, source, is_folder=True)
    return LocalEntry(path, source, is_folder=False, size_bytes=found.st_size, modified_us=found.st_mtime_ns // 1000)


class Unreadable(Exception):
    """A local file that cannot be read, or is no longer as it was found; the text says why."""


class LocalFile:
    """A regular file that is read once from its beginning, and must stay as it was found."""

    def __init__(self, entry: LocalEntry) -> None:
        """Open it. Raises: Unreadable."""
        # Not through a link, and not waiting for the writer of a pipe: what was a file may be something else by now.
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            self._file = os.open(entry.source, flags)
        except OSError as failure:
            raise Unreadable(reason_of(failure)) from None
        self._found = entry.size_bytes, entry.modified_us

    def __enter__(self) -> LocalFile:
        return self

    def __exit__(self, *failure: object) -> None:
        os.close(self._file)

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """Its content. Raises: Unreadable."""
        left = self._found[0]
        try:
            while left and (piece := os.read(self._file, min(piece_bytes, left))):
                left -= len(piece)
                yield piece
            now = os.fstat(self._file)
        except OSError as failure:
            raise Unreadable(reason_of(failure)) from None
        if left or (now.st_size, now.st_mtime_ns // 1000) != self._found:
            raise Unreadable("it changed while it was read")
