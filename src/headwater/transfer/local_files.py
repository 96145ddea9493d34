"""Walks a local folder for an upload: each file and folder with its path in the share, or the reason of its refusal."""

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


class RefusedEntry(NamedTuple):
    """A file or folder that cannot be uploaded, and the reason."""

    source: str
    reason: str


class SkippedEntry(NamedTuple):
    """A symbolic link or special file: a share stores files and folders only."""

    source: str


FoundEntry = LocalEntry | RefusedEntry | SkippedEntry


def walk(root: Path, to: str, policy: NamePolicy) -> Iterator[FoundEntry]:
    """Yields the file at ``root``, or everything in the folder at ``root``; a folder precedes its contents.

    ``to`` is the stored path of the target folder, empty for the share's root; it and its parents are yielded first.
    Raises: OSError (``root`` does not exist).
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
    """The bytes of all files that would be uploaded."""
    return sum(found.size_bytes for found in walk(root, to, policy) if isinstance(found, LocalEntry))


def reason_of(failure: OSError | HeadwaterError) -> str:
    """The reason of a failure, as a list of failures shows it."""
    return failure.detail if isinstance(failure, HeadwaterError) else failure.strerror or type(failure).__name__


def _in_folder(folder: str, path: str, policy: NamePolicy) -> Iterator[FoundEntry]:
    """Yields the members of one folder, by name; refuses the second of two names that are one in the share."""
    try:
        with os.scandir(folder) as listing:
            members = sorted(listing, key=lambda member: member.name)
    except OSError as failure:
        yield RefusedEntry(folder, reason_of(failure))
        return
    taken: dict[str, str] = {}
    for member in members:
        if member.is_symlink():
            yield SkippedEntry(member.path)
            continue
        try:
            found = _judge(member.path, member.name, path, policy, member.stat(follow_symlinks=False))
        except OSError as failure:
            yield RefusedEntry(member.path, reason_of(failure))
            continue
        if isinstance(found, LocalEntry):
            key = name_key(found.path.rpartition("/")[2], policy)
            if key in taken:
                found = RefusedEntry(
                    member.path, f"the share takes its name for that of {taken[key]!r}, which is beside it"
                )
            else:
                taken[key] = member.name
        yield found


def _judge(source: str, name: str, folder: str, policy: NamePolicy, found: os.stat_result) -> FoundEntry:
    """A file or folder under its stored path, or its refusal."""
    is_folder = stat.S_ISDIR(found.st_mode)
    if not is_folder and not stat.S_ISREG(found.st_mode):
        return SkippedEntry(source)
    try:
        path = f"{folder}/{stored_name(name, policy)}"
        require_length(path)
    except HeadwaterError as refusal:
        return RefusedEntry(source, refusal.detail)
    if is_folder:
        return LocalEntry(path, source, is_folder=True)
    return LocalEntry(path, source, is_folder=False, size_bytes=found.st_size, modified_us=found.st_mtime_ns // 1000)


class Unreadable(Exception):
    """A local file that cannot be read, or that changed since it was found; the text is the reason."""


class LocalFile:
    """A regular file that is read once, from its beginning, and must not change meanwhile."""

    def __init__(self, entry: LocalEntry) -> None:
        """Opens the file. Raises: Unreadable."""
        # Follows no link and waits for no writer of a pipe: another object may have replaced the file.
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
        """Yields the content in pieces. Raises: Unreadable."""
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
