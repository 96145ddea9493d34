"""A proxy before PostgreSQL's socket that cuts connections, or stops passing bytes on."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = ".s.PGSQL.5432"
_PIECE_BYTES = 65_536
_LOOK_SECONDS = 0.05


class Proxy:
    """Passes bytes between clients and the server, on one thread for each connection."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.folder = folder
        self._server = server / NAME
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(folder / NAME))
        self._listener.listen(64)
        self._passes = threading.Event()
        self._passes.set()
        self._ended = False
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database: str) -> str:
        """The address of a database behind the proxy."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def cut(self) -> None:
        """Cuts every connection, in the middle of whatever is sent."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Passes no byte on until ``go_on``."""
        self._passes.clear()

    def go_on(self) -> None:
        """Passes bytes on again."""
        self._passes.set()

    def close(self) -> None:
        """Ends the proxy and every connection."""
        self._ended = True
        self._passes.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._ended:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                server.connect(str(self._server))
            except OSError:
                client.close()
                server.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        with client, server, suppress(OSError):
            while not self._ended:
                for source in select.select([client, server], [], [], _LOOK_SECONDS)[0]:
                    piece = source.recv(_PIECE_BYTES)
                    self._passes.wait()
                    if not piece:
                        return
                    (server if source is client else client).sendall(piece)


@contextmanager
def proxied(folder: Path, server: Path) -> Iterator[Proxy]:
    """A proxy in ``folder`` before the server whose socket is in ``server``."""
    proxy = Proxy(folder, server)
    try:
        yield proxy
    finally:
        proxy.close()
