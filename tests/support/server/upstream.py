"""A label source on a real port of this machine, which answers as a test tells it to and counts who asks."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOLD_SECONDS = 60.0
"""How long a held answer waits at most; no assertion rests on it."""


class FakeUpstream:
    """What it answers next: ``status``, ``headers``, ``body``; while ``held`` is clear, answers wait."""

    def __init__(self, port: int, scheme: str = "http") -> None:
        self.url = f"{scheme}://127.0.0.1:{port}/labels.json"
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"{}"
        self.asked: list[dict[str, str]] = []
        self.released = threading.Event()
        self.released.set()
        self.arrived = threading.Event()

    def gives(self, labels: dict[str, Any], etag: str | None = None) -> None:
        """Answer with these labels from now on."""
        self.status, self.body = 200, json.dumps({"labels": labels}).encode()
        self.headers = {} if etag is None else {"ETag": etag}

    def fails(self, status: int = 500, body: bytes = b"", **headers: str) -> None:
        """Answer with a failure from now on."""
        self.status, self.body, self.headers = status, body, headers

    def hold(self) -> None:
        """Let answers wait until ``released`` is set."""
        self.released.clear()
        self.arrived.clear()


@contextmanager
def fake_upstream(tls: ssl.SSLContext | None = None) -> Iterator[FakeUpstream]:
    """A source on a free port, until the end of the block."""
    upstreams: list[FakeUpstream] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            upstream = upstreams[0]
            upstream.asked.append({name.lower(): value for name, value in self.headers.items()})
            upstream.arrived.set()
            upstream.released.wait(HOLD_SECONDS)
            known = upstream.headers.get("ETag")
            if known is not None and self.headers.get("If-None-Match") == known:
                self.send_response(304)
                self.end_headers()
                return
            self.send_response(upstream.status)
            for name, value in upstream.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(upstream.body)))
            self.end_headers()
            self.wfile.write(upstream.body)

        def log_message(self, *_arguments: Any) -> None:
            """Keep the test's output clean."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                # The caller went away, as one does who was given too much.
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, *_arguments: Any) -> None:
            """A caller that breaks off is what some tests want."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    upstreams.append(FakeUpstream(server.server_address[1], "http" if tls is None else "https"))
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    serving.start()
    try:
        yield upstreams[0]
    finally:
        upstreams[0].released.set()
        server.shutdown()
        server.server_close()
        serving.join()
