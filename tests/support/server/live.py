"""The server on a real port, served by uvicorn on a thread, for clients that need a network."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from headwater.server.serve import configuration
from tests.support.server.serving import ServerUnderTest

STOP_SECONDS = 30.0


class LiveServer:
    """Where a served server is reached: ``url``, ``host``, ``port``; ``under`` is the server itself."""

    def __init__(self, under: ServerUnderTest, port: int) -> None:
        self.under = under
        self.host = "127.0.0.1"
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.admin_token = under.admin_token


@contextmanager
def live(under: ServerUnderTest) -> Iterator[LiveServer]:
    """Serve on a free port until the end of the block."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", 0))
        config = configuration(under.server)
        config.timeout_graceful_shutdown = 2
        server = _Telling(config)
        serving = under.loop.start(server.serve(sockets=[listening]))
        server.up.wait(STOP_SECONDS)
        try:
            yield LiveServer(under, listening.getsockname()[1])
        finally:
            server.should_exit = True
            serving.result(STOP_SECONDS)


class _Telling(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()
