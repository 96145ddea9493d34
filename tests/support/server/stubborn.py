"""A caller that repeats its request until the server, wherever it came up again, answers."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from time import monotonic, sleep

from tests.support.command import START_SECONDS, RunningServer
from tests.support.server.wire import Reply, Wire


class Stubborn(Wire):
    """A caller of a server that is killed and started again; ``current`` returns the one that runs now."""

    def __init__(self, current: Callable[[], RunningServer]) -> None:
        self._current = current
        self._server = current()
        super().__init__(self._server.url, self._server.admin_token)

    def send(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Reply:
        until = monotonic() + START_SECONDS
        while True:
            server = self._current()
            if self._server is not server:
                self.close()
                self._server = server
                super().__init__(server.url, server.admin_token)
            try:
                return super().send(method, path, body, **headers)
            except (OSError, http.client.HTTPException):
                assert monotonic() < until, "the server did not come up again"
                sleep(0.02)
