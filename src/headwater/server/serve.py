"""Serves one assembled server over HTTP until a signal stops it: the socket, uvicorn, signals, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import uvicorn
import uvloop

from headwater.base.errors import HeadwaterError
from headwater.base.ids import random_id
from headwater.base.log import get_log
from headwater.feed.wake import Wake
from headwater.server.app import Server, attach
from headwater.server.http_connection import Refuse, bounded
from headwater.server.jobs import Jobs, jobs_of, last_turn
from headwater.server.socket_connection import bounded_socket
from headwater.web.edge.router import Router
from headwater.web.errors import problem
from headwater.web.reply import Reply

BACKLOG = 2048
EXIT_FATAL = 70
_ABORT_SECONDS = 5.0
log = get_log(__name__)


class AddressUnusable(HeadwaterError):
    """The server cannot bind the address that it should listen on."""

    code = "ADDRESS_UNUSABLE"
    title = "Address unusable"
    hint = "Choose another with --host and --port; --port 0 takes any free port."


class ListenAddress(NamedTuple):
    """The host and port on which a server listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The base URL for a caller, without a slash at its end; loopback when the host means all addresses."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(self.host, self.host)  # noqa: S104 - shown
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class StorageAlarm:
    """Receives the store's report that a commit can no longer be durable, and ends the server at once."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self._end: Callable[[], object] | None = None

    def __call__(self, failure: Exception) -> None:
        """Receives the report on the writer's thread; ends the process if the loop does not end within seconds."""
        self.failure = failure
        timer = threading.Timer(_ABORT_SECONDS, os._exit, (EXIT_FATAL,))
        timer.daemon = True
        timer.start()
        if self._end is not None:
            self._end()

    def calls(self, end: Callable[[], object]) -> None:
        """Sets the function that ends the server; it may be called from any thread."""
        self._end = end
        if self.failure is not None:
            end()


def bind(host: str, port: int) -> socket.socket:
    """Binds a socket to the address; it does not listen yet, so that no client connects before the start is done.

    Raises: AddressUnusable.
    """
    bare = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as failure:
        raise AddressUnusable(f"{host} is no address of this machine: {_reason(failure)}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as failure:
        listener.close()
        raise AddressUnusable(f"cannot listen on {host} port {port}: {_reason(failure)}") from None
    return listener


def address_of(listener: socket.socket) -> ListenAddress:
    """The address that a socket is bound to, with the port that the system chose."""
    host, port = listener.getsockname()[:2]
    return ListenAddress(str(host), int(port))


COLLECT_AFTER = 50_000
"""The number of new objects that starts a search for cycles; Python's 700 cost a third of a large batch's time."""

SWITCH_SECONDS = 0.0005
"""The longest time that one thread keeps the interpreter while another waits; Python's is ten times as long."""


def serve(server: Server, listener: socket.socket, alarm: StorageAlarm, ready: Callable[[], None]) -> None:
    """Answers requests until SIGTERM, SIGINT or the storage's alarm; calls ``ready`` once the server answers.

    Requests in flight have ``server.shutdown_seconds`` to end. The database stays open.
    """
    _allow_many_files()
    # A thread with a large batch yields after half a millisecond, so that the event loop continues.
    sys.setswitchinterval(SWITCH_SECONDS)
    # The objects of the start live as long as the server: no search for cycles visits them again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(server, listener, alarm, ready))


async def _serve(server: Server, listener: socket.socket, alarm: StorageAlarm, ready: Callable[[], None]) -> None:
    attach(server)
    async with Jobs(jobs_of(server.services, server.gc_job)):
        await _Uvicorn(configuration(server), server.services.wake, alarm, ready).serve(sockets=[listener])
    if alarm.failure is None:
        await last_turn(server.services)


class _Uvicorn(uvicorn.Server):
    """A uvicorn server with our signals: a stop is an ordinary end, and the alarm ends it without waiting."""

    def __init__(self, config: uvicorn.Config, wake: Wake, alarm: StorageAlarm, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._wake = wake
        self._alarm = alarm
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and then calls ``ready``."""
        loop = asyncio.get_running_loop()
        self._alarm.calls(partial(loop.call_soon_threadsafe, self._abort))
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends the server at SIGTERM and SIGINT; a second signal does not wait for requests."""
        loop = asyncio.get_running_loop()
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self, number: signal.Signals) -> None:
        log.info("server_stops", signal=number.name)
        self.force_exit = self.should_exit
        self.should_exit = True
        self._wake.end()

    def _abort(self) -> None:
        self.should_exit = self.force_exit = True


def configuration(server: Server) -> uvicorn.Config:
    """The configuration of uvicorn: the settings' limits, our connections, no log and no headers of its own."""
    settings = server.services.settings
    proxies = list(settings.server.trusted_proxies)
    return uvicorn.Config(
        server.edge,
        http=bounded(settings.limits.header_bytes, _refuse(server)),
        ws=bounded_socket(settings.sockets.send_seconds),
        ws_per_message_deflate=False,
        ws_max_size=settings.sockets.frame_bytes,
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="error",
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        backlog=BACKLOG,
        timeout_keep_alive=settings.server.keep_alive_seconds,
        timeout_graceful_shutdown=settings.server.shutdown_seconds,
    )


def _refuse(server: Server) -> Refuse:
    """Renders errors of the framing, which never reach the edge, in the envelope of the path's door."""
    router = Router(server.contracts)

    def refuse(path: str, failure: HeadwaterError, status: int) -> Reply:
        contract = router.contract_of(path)
        request_id = random_id("req", 12)
        reply = (contract.envelope if contract else problem)(failure, status, request_id)
        headers = (
            *reply.headers,
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        )
        return reply._replace(headers=headers)

    return refuse


def _allow_many_files() -> None:
    """Raises the limit of open files as far as the system allows: each connection needs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _reason(failure: Exception) -> str:
    return failure.strerror or str(failure) if isinstance(failure, OSError) else str(failure)
