"""The ASGI application. Each request passes the limits, the router, authentication, the handler and the envelope."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import Forbidden, HeadersTooLarge, HeadwaterError, Invalid, Malformed, Unauthenticated
from headwater.base.log import get_log
from headwater.base.rate import Rate
from headwater.base.settings.table import Settings
from headwater.identity.principal import Principal
from headwater.web import errors
from headwater.web.call import Call
from headwater.web.contract import Contract
from headwater.web.edge import parameters
from headwater.web.edge.metrics import Metrics
from headwater.web.edge.outside import Outside, is_probe, method_of
from headwater.web.edge.refusal_lines import RefusalLines
from headwater.web.edge.router import Match, Router
from headwater.web.edge.socket_edge import Admission, SocketEdge
from headwater.web.http import bodies
from headwater.web.http.bodies import Message, Receive
from headwater.web.http.compression import LEAST_BYTES, compressed
from headwater.web.http.hosts import AllowedHosts
from headwater.web.http.peer import peer_of
from headwater.web.http.presence import presence_of
from headwater.web.limits import AllPlaces, Seat, block_of
from headwater.web.reply import Header, Part, Reply, empty
from headwater.web.services import Services
from headwater.web.watch import CallerWatch

Send = Callable[[Message], Awaitable[None]]

_MAX_REQUEST_ID = 128
_NO_BODY = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_ONCE = frozenset((b"authorization", b"content-length", b"content-type", b"content-encoding", b"idempotency-key"))
_AT_ONCE_BYTES = 64 * 1024
_PIECE_BYTES = 128 * 1024
_UNREAD_SECONDS = 20.0
_FAULTS = frozenset((500, 502, 507))
"""Statuses that are logged each time; a caller can cause every other error at will, so those lines are bounded."""

_CUT_SHORT = 0
"""Stands for the status of an answer that its caller did not read to its end, where log lines are bounded."""

_YEAR_SECONDS = 31_536_000
log = get_log(__name__)


class Edge:
    """Serves all contracts over ASGI; only this class catches all exceptions of requests."""

    def __init__(self, services: Services, contracts: tuple[Contract, ...], metrics: Metrics) -> None:
        settings = services.settings
        limits = settings.limits
        self._services = services
        self._router = Router(contracts)
        self._metrics = metrics
        self.places = AllPlaces(settings)
        self._watch = CallerWatch(services.database, services.wake, services.clock)
        self._token_rate = Rate(limits.rate_token_per_second, limits.rate_token_burst)
        self._address_rate = Rate(limits.rate_address_per_second, limits.rate_address_burst)
        self._header_bytes = limits.header_bytes
        self._hosts = AllowedHosts(settings.effective_allowed_hosts)
        self._default_headers = default_headers(settings)
        self._default_names = frozenset(name for name, _ in self._default_headers)
        self._log_every = settings.log.level == "debug"
        self._boot = secrets.token_hex(4)
        self._count = 0
        self._refusals = RefusalLines()
        admission = Admission(self._hosts, self._token_rate, self._address_rate, self.places, self._watch)
        self._outside = Outside(settings, contracts)
        self._sockets = SocketEdge(services, self._router, admission, self._outside)
        for name, sentence, places in (
            ("requests_in_flight", "Requests being handled.", self.places.requests),
            ("requests_waiting", "Requests that wait for changes or for a place.", self.places.waiting),
            ("bodies_arriving", "Bodies that are arriving; one for each MiB announced.", self.places.bodies),
            ("uploads_under_way", "Bodies that are being cut into chunks.", self.places.uploads),
            ("answers_under_way", "Answers that are being read; one for each MiB in memory.", self.places.answers),
            ("sockets_open", "WebSockets open.", self.places.sockets),
        ):
            metrics.gauge(f"headwater_{name}", sentence, lambda places=places: places.count)  # type: ignore[misc]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one HTTP request or serves one WebSocket."""
        if scope["type"] == "http":
            await self._http(self._outside.inward(scope), receive, send)
        elif scope["type"] == "websocket":
            await self._sockets.serve(self._outside.inward(scope), receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        started = monotonic_seconds()
        self._count += 1
        exchange = _Exchange(scope, f"{self._boot}-{self._count:x}", started)
        seat = Seat(self.places, presence_of(scope))
        try:
            reply = await self._answer(exchange, receive, seat)
            if reply.size >= LEAST_BYTES:
                reply = await compressed(reply, exchange.headers.get(b"accept-encoding"))
            with ExitStack() as standing_aside:
                if exchange.has_long_body(reply):
                    try:
                        standing_aside.enter_context(seat.answering(reply.size, to_change=exchange.changes))
                    except HeadwaterError as failure:
                        reply = self._refusal(exchange, failure)
                await self._send(exchange, reply, receive, send)
        finally:
            seat.leave()

    async def _answer(self, exchange: _Exchange, receive: Receive, seat: Seat) -> Reply:
        """Returns the reply to a request, or the error in its contract's envelope; only this method answers 500."""
        try:
            match = self._find(exchange)
            if match is None:
                return empty()
            route = match.route
            call = Call(
                self._services, exchange.scope, receive, exchange.headers, match.params, exchange.request_id, seat,
                self._watch,
            )  # fmt: skip
            call.template = exchange.route
            call.prefix = self._outside.prefix(exchange.scope, exchange.headers)
            call.principal = await self._caller(exchange, match, seat)
            exchange.call = call
            if exchange.method not in _NO_BODY and bodies.has_body(exchange.headers):
                bodies.refuse_coding(exchange.headers)
                if not route.raw:
                    await call.read_body(getattr(self._services.settings.limits, route.body_limit))
            try:
                return await route.handler(call)
            except Invalid as failure:
                raise parameters.completed(failure, route.params, call.query) from None
        except HeadwaterError as failure:
            return self._refusal(exchange, failure)
        except Exception as failure:  # noqa: BLE001 - the edge of requests: only this place answers 500
            log.failure("request_failed", failure, request_id=exchange.request_id, contract=exchange.name)
            return self._refusal(exchange, HeadwaterError("the server failed; its log has the details"))

    def _find(self, exchange: _Exchange) -> Match | None:
        """Returns the route of a request; None for OPTIONS of a path that has no route of its own for it.

        A failure here, and OPTIONS, which needs no token, spend from the rate of the caller's address.
        """
        try:
            exchange.headers = self._checked_headers(exchange.scope)
            exchange.request_id = _given_id(exchange.headers) or exchange.request_id
            method = method_of(exchange.method, exchange.path, exchange.headers)
            if method != exchange.method:
                exchange.method, exchange.scope = method, {**exchange.scope, "method": method}
            if exchange.method == "OPTIONS":
                exchange.allow = self._router.allowed(exchange.path)
                self._address_rate.spend(block_of(exchange.client), exchange.started)
                if not self._router.has(exchange.method, exchange.path):
                    exchange.contract = self._router.contract_of(exchange.path)
                    return None
            match = self._router.find(exchange.method, exchange.path)
        except HeadwaterError:
            self._address_rate.spend(block_of(exchange.client), exchange.started)
            raise
        exchange.contract, exchange.route = match.contract, match.contract.prefixes[0] + match.route.path
        exchange.changes = match.route.changes_something
        return match

    async def _caller(self, exchange: _Exchange, match: Match, seat: Seat) -> Principal:
        """Returns the caller, spends from its rate and takes a place for it.

        Failed credentials spend from the rate of the address. Until the caller is known, its address has the place.
        """
        authenticator, access = self._services.authenticator, match.route.access
        address = block_of(exchange.client)
        if not match.route.counted:
            return await authenticator.caller(exchange.headers, access)
        try:
            principal = authenticator.cached(exchange.headers, access)
            if principal is None:
                if not seat.try_enter(address):
                    await seat.enter(address)
                principal = await authenticator.caller(exchange.headers, access, peer_of(exchange.scope))
                seat.leave()
        except (Unauthenticated, Forbidden):
            self._address_rate.spend(address, exchange.started)
            raise
        if principal.anonymous:
            self._address_rate.spend(address, exchange.started)
        else:
            self._token_rate.spend(principal.token_id, exchange.started)
        caller = principal.token_id or address
        if not seat.try_enter(caller):
            await seat.enter(caller)
        return principal

    def _checked_headers(self, scope: Message) -> dict[bytes, bytes]:
        """Returns the headers by name, repeated ones joined with commas.

        Raises: HeadersTooLarge, Malformed (two Hosts, an unknown Host, two values where one is allowed).
        """
        headers: dict[bytes, bytes] = {}
        size = len(scope["raw_path"]) + len(scope["query_string"])
        hosts = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"host":
                hosts += 1
            elif name in headers:
                if name in _ONCE:
                    raise Malformed(f"the header {name.decode()} was sent twice")
                headers[name] += b", " + value
                continue
            headers[name] = value
        if size > self._header_bytes:
            raise HeadersTooLarge(f"the request line and headers have over {self._header_bytes} bytes")
        if hosts or not is_probe(scope):
            self._hosts.check(headers.get(b"host"), hosts)
        return headers

    def _refusal(self, exchange: _Exchange, failure: HeadwaterError) -> Reply:
        contract = exchange.contract or self._router.contract_of(exchange.path)
        exchange.code = failure.error_code
        envelope = contract.envelope if contract else errors.problem
        reply = envelope(failure, errors.status_of(failure), exchange.request_id)
        if b"expect" in exchange.headers:
            # The caller may wait for "100 Continue" before it sends the body: closing the connection ends that wait.
            reply = reply._replace(headers=(*reply.headers, (b"connection", b"close")))
        return reply

    async def _send(self, exchange: _Exchange, reply: Reply, receive: Receive, send: Send) -> None:
        """Sends the reply; disconnects a caller that does not read it in time."""
        head = exchange.method == "HEAD"
        reply = self._outside.outward(exchange.scope, exchange.headers, reply, exchange.allow)
        headers = [*reply.headers, (b"x-request-id", exchange.request_id.encode())]
        if any(name in self._default_names for name, _ in reply.headers):
            own = {name for name, _ in reply.headers}
            headers += [header for header in self._default_headers if header[0] not in own]
        else:
            headers += self._default_headers
        if reply.stream is None and reply.status not in (204, 304):
            headers.append((b"content-length", str(reply.size).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if exchange.has_long_body(reply):
            await self._send_pieces(exchange, reply, receive, send)
        else:
            await send({"type": "http.response.body", "body": b"" if head else reply.whole()})
        took_seconds = monotonic_seconds() - exchange.started
        self._metrics.count(exchange.name, exchange.method, reply.status, took_seconds)
        if self._log_every or reply.status in _FAULTS or (exchange.method == "DELETE" and reply.status < 400):
            self._log(exchange, reply.status, took_seconds)
        elif reply.status >= 400:
            left_out = self._refusals.admit(block_of(exchange.client), reply.status, exchange.started)
            if left_out is not None:
                self._log(exchange, reply.status, took_seconds, left_out)

    async def _send_pieces(self, exchange: _Exchange, reply: Reply, receive: Receive, send: Send) -> None:
        """Sends a body in pieces. A body that fails has no end marker, so that the caller detects the failure."""
        limits = self._services.settings.limits
        pieces = reply.stream or _whole(reply)
        presence = presence_of(exchange.scope)
        gone = None if presence else asyncio.ensure_future(_until_disconnect(receive))
        left_bytes = _declared_bytes(reply)
        try:
            async with asyncio.timeout(None) as scope:
                with exchange.ending(scope, reply):
                    async for piece in pieces:
                        for part in _sliced(piece):
                            allowed_seconds = limits.body_seconds_base + len(part) / limits.body_bytes_per_second
                            async with asyncio.timeout(allowed_seconds):
                                await send({"type": "http.response.body", "body": part, "more_body": True})
                            left_bytes -= len(part)
                        if gone is not None and gone.done():
                            return
            await send({"type": "http.response.body", "body": b""})
        except TimeoutError:
            if presence is not None:
                presence.cut()
            # A caller that has every byte closes its connection before the stream has ended.
            if left_bytes:
                self._log_cut_short(exchange)
        except Exception as failure:  # noqa: BLE001 - the status is already sent; the missing end shows the failure
            if presence is not None:
                asyncio.get_running_loop().call_later(_UNREAD_SECONDS, presence.cut)
            log.failure("answer_broke_off", failure, request_id=exchange.request_id, contract=exchange.name)
        finally:
            if gone is not None:
                gone.cancel()
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    def _log_cut_short(self, exchange: _Exchange) -> None:
        left_out = self._refusals.admit(block_of(exchange.client), _CUT_SHORT, monotonic_seconds())
        if left_out is not None:
            more = {"left_out_count": left_out} if left_out else {}
            log.info("answer_cut_short", request_id=exchange.request_id, contract=exchange.name, **more)

    def _log(self, exchange: _Exchange, status: int, took_seconds: float, left_out: int = 0) -> None:
        write = log.warning if status >= 500 else log.info
        more = {"left_out_count": left_out} if left_out else {}
        write(
            "request", request_id=exchange.request_id, contract=exchange.name, method=exchange.method, status=status,
            took_seconds=round(took_seconds, 6), **exchange.facts(), **more,
        )  # fmt: skip


class _Exchange:
    """One request and its answer, as far as the edge knows them, also when the request fails early."""

    __slots__ = (
        "allow", "call", "changes", "client", "code", "contract", "headers", "method", "path", "request_id", "route",
        "scope", "started",
    )  # fmt: skip

    def __init__(self, scope: Message, request_id: str, started: float) -> None:
        self.scope = scope
        self.request_id = request_id
        self.started = started
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("latin-1")
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self.headers: dict[bytes, bytes] = {}
        self.contract: Contract | None = None
        self.call: Call | None = None
        self.changes = False
        self.allow = ""
        self.code = ""
        self.route = ""

    def facts(self) -> dict[str, str]:
        """The route, the error's code, and the caller with the id that its path names, as far as they are known."""
        known = {"route": self.route, "code": self.code}
        if self.call is not None:
            principal = self.call.principal
            known |= {"user_id": principal.user_id, "token_id": principal.token_id}
            known |= {"organisation_id": principal.organisation}
            known |= {"resource_id": next(iter(self.call.params.values()), "")}
        return {name: value for name, value in known.items() if value}

    def has_long_body(self, reply: Reply) -> bool:
        """True when the reply has a body that its caller may read slowly: a stream, or more than a socket buffers."""
        return self.method != "HEAD" and (reply.stream is not None or reply.size > _AT_ONCE_BYTES)

    def ending(self, scope: asyncio.Timeout, reply: Reply) -> AbstractContextManager[None]:
        """A context in which a scope ends when the caller is gone, or may not have the reply any more."""
        return nullcontext() if self.call is None else self.call.ending(scope, reply.permitted)

    @property
    def name(self) -> str:
        """The contract's name, for logs and metrics."""
        return self.contract.name if self.contract else "none"


def default_headers(settings: Settings) -> tuple[Header, ...]:
    """Returns the default headers of every answer, against caching, framing, sniffing and referrers."""
    headers: tuple[Header, ...] = (
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"cache-control", b"no-store"),
    )
    if (settings.server.public_url or "").startswith("https:"):
        headers += ((b"strict-transport-security", f"max-age={_YEAR_SECONDS}".encode()),)
    return headers


def _given_id(headers: dict[bytes, bytes]) -> str | None:
    """Returns the caller's X-Request-Id when it is short and printable ASCII, else None."""
    given = headers.get(b"x-request-id")
    if given is None or not 0 < len(given) <= _MAX_REQUEST_ID or not given.isascii():
        return None
    text = given.decode("ascii")
    return text if text.isprintable() else None


async def _until_disconnect(receive: Receive) -> None:
    """Waits until the caller closes the connection; sending to a closed connection raises no error."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _whole(reply: Reply) -> AsyncIterator[Part]:
    for part in (reply.body, *reply.parts):
        yield part


def _declared_bytes(reply: Reply) -> int:
    """Returns the length that an answer declares for its body, or -1."""
    if reply.stream is None:
        return reply.size
    return next((int(value) for name, value in reply.headers if name == b"content-length"), -1)


def _sliced(piece: Part) -> Iterator[Part]:
    """Yields a piece in parts, so that a slow reader is detected before all of it is buffered."""
    if len(piece) <= _PIECE_BYTES:
        yield piece
        return
    view = memoryview(piece)
    for start in range(0, len(piece), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]
