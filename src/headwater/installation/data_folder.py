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

_RESTORED = "a restore is replacing the data in this folder"


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


class DatabaseInUse(StateConflict):
    """A server or a command still has the database open that a restore needs for itself."""

    code = "DATABASE_IN_USE"
    title = "Database in use"
    hint = "Stop every Headwater server and command on this database, then restore."


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


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """Keeps a restore from replacing the data of a folder while a command has it open. Raises: DatabaseInUse."""
    with _folder_lock(folder, fcntl.LOCK_SH, _RESTORED):
        yield


@contextmanager
def replaced(folder: Path) -> Iterator[None]:
    """Keeps commands from opening the data of a folder while a restore replaces it. Raises: DatabaseInUse."""
    with _folder_lock(folder, fcntl.LOCK_EX, f"a command, such as an import, has the data in {folder} open"):
        yield


@contextmanager
def _folder_lock(folder: Path, kind: int, held: str) -> Iterator[None]:
    # The folder itself, so that a command that only reads needs no right to create a file.
    with opened(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) as descriptor:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DatabaseInUse(held) from None
        yield
