"""A pool with one reading connection for each thread, closed after the end of the thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from headwater.base.errors import Unavailable


class Closable(Protocol):
    """A resource with a close method."""

    def close(self) -> None:
        """Closes the resource, which must not be in use."""


Reader = TypeVar("Reader", bound=Closable)


class Readers(Generic[Reader]):
    """Provides each thread with its own reader, opened at the thread's first read."""

    def __init__(self, open_reader: Callable[[], Reader]) -> None:
        self._open_reader = open_reader
        self._local = threading.local()
        self._opened: list[tuple[threading.Thread, Reader]] = []
        self._lock = threading.Lock()
        self._closed = False

    def of_this_thread(self) -> Reader:
        """Returns the reader of the calling thread. Raises: Unavailable after the close."""
        if self._closed:
            raise Unavailable("the server is stopping", retry_after_seconds=1)
        found: Reader | None = getattr(self._local, "reader", None)
        return self._open() if found is None else found

    def drop(self) -> None:
        """Closes the calling thread's reader; the next read opens another."""
        reader: Reader | None = getattr(self._local, "reader", None)
        if reader is None:
            return
        self._local.reader = None
        with self._lock:
            self._opened = [kept for kept in self._opened if kept[1] is not reader]
        reader.close()

    def close(self) -> None:
        """Closes every reader; no read may be in progress."""
        self._closed = True
        with self._lock:
            opened, self._opened = self._opened, []
        for _, reader in opened:
            reader.close()

    def _open(self) -> Reader:
        reader = self._open_reader()
        with self._lock:
            ended = [kept for kept in self._opened if not kept[0].is_alive()]
            self._opened = [kept for kept in self._opened if kept[0].is_alive()]
            self._opened.append((threading.current_thread(), reader))
        for _, left in ended:
            left.close()
        self._local.reader = reader
        return reader
