"""The data folder: closed to other users, and served by one server at a time."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headwater.base.descriptors import opened
from headwater.base.errors import HeadwaterError, StateConflict

DATABASE_FILE = "headwater.sqlite"
"""The embedded database, in the data folder."""

LOCK_FILE = "headwater.lock"
"""Locked by the server that runs on the folder; contains the process id of that server."""

PRIVATE = 0o700


class FolderUnusable(HeadwaterError):
    """The data folder cannot be created or written to."""

    code = "FOLDER_UNUSABLE"
    title = "Data folder unusable"
    hint = "Name another folder with --data, or give this user the right to write to it."


class AlreadyServed(StateConflict):
    """Another server runs on the same data folder."""

    code = "ALREADY_SERVED"
    title = "Already served"
    hint = "Stop that server first, or name another folder with --data. Other commands work while it runs."


def prepare(path: Path) -> Path:
    """Creates the data folder, closed to other users; closes an empty one that exists. Raises: FolderUnusable."""
    try:
        path.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        if not any(path.iterdir()) and stat.S_IMODE(path.stat().st_mode) != PRIVATE:
            path.chmod(PRIVATE)
    except OSError as failure:
        raise FolderUnusable(f"the data folder {path} cannot be used: {failure.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise FolderUnusable(f"the data folder {path} cannot be written to by this user")
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks the folder for one server, or for a command that needs it exclusively. Raises: AlreadyServed."""
    with opened(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            raise AlreadyServed(f"a server (process {owner}) already runs on {folder}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
