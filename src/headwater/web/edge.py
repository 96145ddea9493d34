"""The ASGI application: limits, routing, the caller, the handler, the envelope; one straight path a request."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable

from headwater.base.clock import monotonic_seconds
from headwater.base.errors import HeadwaterError, Malformed
from headwater.base.log import get_log
from headwater.identity.principal import Principal
from headwater.web import errors
from headwater.web.call import Call, Message, Receive
from headwater.web.contract import Access, Contract
from headwater.web.limits import InFlight, Rate
from headwater.web.metrics import Metrics
from headwater.web.reply import Header, Reply
from headwater.web.router import Router
from headwater.web.services import Services
from headwater.web.sockets import SocketEdge

Send = Callable[[Message], Awaitable[None]]

_MAX_REQUEST_ID = 128
_NO_BODY = frozenset(("GET", "HEAD", "OPTIONS"))
_SECURITY: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
log = get_log(__name__)


class Edge:
    """Serves all contracts over ASGI; the request edge's catch-all is here and nowhere else."""

    def __init__(self, services: Services, contracts: tuple[Contract, ...], metrics: Metrics) -> None:
        limits = services.settings.limits
        self._services = services
        self._router = Router(contracts)
        self._metrics = metrics
        self._in_flight = InFlight(limits.in_flight_requests)
        self._token_rate = Rate(limits.rate_token_per_second, limits.rate_token_burst)
        self._address_rate = Rate(limits.rate_address_per_second, limits.rate_address_burst)
        self._header_bytes = limits.header_bytes
        self._hosts = _AllowedHosts(services.settings.effective_allowed_hosts)
        self._boot = secrets.token_hex(4)
        self._count = 0
        self._sockets = SocketEdge(services, self._router, self._hosts, self._address_rate)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request or serve one WebSocket."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._sockets.serve(scope, receive, send)

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        started = monotonic_seconds()
        self._count += 1
        request_id = f"{self._boot}-{self._count:x}"
        path = scope["raw_path"].decode("latin-1")
        contract: Contract | None = None
        name = "none"
        entered = False
        try:
            headers = self._checked_headers(scope)
            request_id = _given_id(headers) or request_id
            self._in_flight.enter()
            entered = True
            method = scope["method"]
            match = self._router.find("GET" if method == "HEAD" else method, path)
            contract, route = match.contract, match.route
            name = contract.name
            call = Call(self._services, scope, receive, headers, match.params, request_id)
            call.principal = await self._caller(call, headers, route.access, started)
            if not route.raw and method not in _NO_BODY:
                await call.read_body(getattr(self._services.settings.limits, route.body_limit))
            reply = await route.handler(call)
        except HeadwaterError as failure:
            contract = contract or self._router.contract_of(path)
            reply = self._refusal(contract, failure, request_id)
        except Exception as failure:  # noqa: BLE001 - the request edge: the one place that answers 500
            log.failure("request_failed", failure, request_id=request_id, contract=name)
            contract = contract or self._router.contract_of(path)
            reply = self._refusal(contract, HeadwaterError("the server failed; nothing more is known"), request_id)
        finally:
            if entered:
                self._in_flight.leave()
        await _send(reply, scope["method"], request_id, send)
        self._metrics.count(name, scope["method"], reply.status, monotonic_seconds() - started)

    async def _caller(self, call: Call, headers: dict[bytes, bytes], access: Access, at_seconds: float) -> Principal:
        """The caller, with its rate spent; one whose credentials fail pays from its address's bucket."""
        try:
            principal = await self._services.authenticator.caller(headers, access)
        except HeadwaterError:
            self._address_rate.spend(call.client, at_seconds)
            raise
        if principal.anonymous:
            self._address_rate.spend(call.client, at_seconds)
        else:
            self._token_rate.spend(principal.token_id, at_seconds)
        return principal

    def _checked_headers(self, scope: Message) -> dict[bytes, bytes]:
        """The headers as a dict. Raises: Malformed (too large, two Hosts, a Host that is not ours)."""
        headers: dict[bytes, bytes] = {}
        size = len(scope["raw_path"]) + len(scope["query_string"])
        hosts = 0
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"host":
                hosts += 1
            headers[name] = value
        if size > self._header_bytes:
            raise Malformed(
                f"the request line and headers have over {self._header_bytes} bytes", code="HEADERS_TOO_LARGE"
            )
        self._hosts.check(headers.get(b"host"), hosts)
        return headers

    def _refusal(self, contract: Contract | None, failure: HeadwaterError, request_id: str) -> Reply:
        envelope = contract.envelope if contract else errors.problem
        return envelope(failure, errors.status_of(failure), request_id)


class _AllowedHosts:
    """The Host names that this server answers to, against DNS rebinding; empty allows all."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._good: set[bytes] = set()

    def check(self, host: bytes | None, count: int) -> None:
        """Raises: Malformed unless there is exactly one Host and it is one of ours."""
        if host in self._good and count == 1:
            return
        if host is None or count != 1:
            raise Malformed("exactly one Host header is needed", code="HOST_INVALID")
        text = host.decode("latin-1").lower()
        name = text.rsplit(":", 1)[0] if text.rsplit(":", 1)[-1].isdigit() else text
        if self._names and "*" not in self._names and name.strip("[]") not in self._names:
            raise Malformed("this server does not go by that Host name", code="HOST_INVALID")
        if len(self._good) < 1000:
            self._good.add(host)


def _given_id(headers: dict[bytes, bytes]) -> str | None:
    """The caller's X-Request-Id when it is short and printable ASCII."""
    given = headers.get(b"x-request-id")
    if given is None or not 0 < len(given) <= _MAX_REQUEST_ID or not given.isascii():
        return None
    text = given.decode("ascii")
    return text if text.isprintable() else None


async def _send(reply: Reply, method: str, request_id: str, send: Send) -> None:
    headers = [*reply.headers, *_SECURITY, (b"x-request-id", request_id.encode())]
    if reply.stream is None and reply.status not in (204, 304):
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if method == "HEAD" or reply.stream is None:
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else reply.body})
        return
    async for piece in reply.stream:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
