"""One request on its way through a door: what was asked, by whom, and the way to a transaction."""

from __future__ import annotations

from asyncio import Lock
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from headwater.base.clock import SECOND_US
from headwater.base.errors import FieldError, Invalid, Malformed
from headwater.base.wire import decode
from headwater.identity.principal import Principal
from headwater.store import idempotency
from headwater.store.database import Transaction, TransactionFunction
from headwater.store.idempotency import AnswerKey
from headwater.web.http import bodies
from headwater.web.http.bodies import Message, Receive
from headwater.web.limits import InFlight
from headwater.web.reply import Reply
from headwater.web.services import Services

Result = TypeVar("Result")
T = TypeVar("T")

_MAX_KEY = 255


class Call:
    """A request after routing and authentication.

    ``path`` is raw (percent-encoded); ``headers`` has names in lower case, repeated ones joined by commas.
    """

    __slots__ = (
        "_in_flight", "_query", "_receive", "body", "client", "headers", "method", "params", "path", "principal",
        "query_string", "request_id", "services",
    )  # fmt: skip

    def __init__(
        self,
        services: Services,
        scope: Message,
        receive: Receive,
        headers: dict[bytes, bytes],
        params: dict[str, str],
        request_id: str,
        in_flight: InFlight,
    ) -> None:
        self.services = services
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("latin-1")
        self.query_string: bytes = scope["query_string"]
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self.headers = headers
        self.params = params
        self.request_id = request_id
        self.principal: Principal
        self.body = b""
        self._receive = receive
        self._in_flight = in_flight
        self._query: dict[str, str] | None = None

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, the last value of each. Raises: Malformed (not UTF-8)."""
        if self._query is None:
            self._query = parse_query(self.query_string)
        return self._query

    def header(self, name: bytes) -> str | None:
        """A header's text, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def decoded(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body as a shape. Raises: Malformed, Invalid."""
        bodies.check_json(self.body, self.services.settings.limits.json_depth)
        return decode(decoder, self.body)

    def aside(self) -> AbstractContextManager[None]:
        """A context for waiting for news, in which the request keeps nobody out. Raises: Unavailable."""
        return self._in_flight.aside()

    async def recheck(self) -> None:
        """Hold a caller that waited, or took long to send, against its token as it is now.

        Raises: Unauthenticated (it ended meanwhile).
        """
        if not self.principal.anonymous:
            self.principal = await self.services.authenticator.anew(self.principal, self.headers)

    async def read(self, function: TransactionFunction[Result], *, slow: bool = False) -> Result:
        """Run a rule on a snapshot."""
        return await self.services.database.read(function, slow=slow)

    async def write(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Run a rule in a durable transaction; for methods other than POST. ``feed``: the caller's own by default."""
        feed = feed or await self.services.homes.of(self.principal.organisation)
        return await self.services.database.write(function, feed=feed)

    async def act(
        self,
        function: TransactionFunction[Result],
        render: Callable[[Result], Reply],
        *,
        feed: int = 0,
        device: str = "",
    ) -> Reply:
        """Run a POST's rule durably and render its answer; an Idempotency-Key makes a repeat give it again.

        ``device`` is who asks, where a header says so: from another one it is another request.
        Raises: Invalid when the key came before with another request.
        """
        key = self._idempotency(device)
        if key is None:
            return render(await self.write(function, feed=feed))

        def once(tx: Transaction) -> Reply:
            kept = self._kept(tx, *key)
            if kept is None:
                kept = render(function(tx))
                idempotency.keep(tx, *key, _pack(kept))
            return kept

        return await self.write(once, feed=feed)

    async def act_after(self, deed: Callable[[], Awaitable[Reply]], *, device: str = "") -> Reply:
        """Run a POST that is more than one transaction; an Idempotency-Key makes a repeat give its answer again.

        The answer is kept after the deed, so a deed must be safe to repeat if the server dies in between.
        ``device`` and Raises: as ``act``.
        """
        key = self._idempotency(device)
        if key is None:
            return await deed()
        # A twin that comes while the deed is under way waits for its answer, so that nothing is begun twice.
        async with self.services.turns.setdefault(key[0], Lock()):
            kept = await self.services.database.read(lambda tx: self._kept(tx, *key))
            if kept is not None:
                return kept
            reply = await deed()
            return await self.act(lambda _tx: reply, lambda reply: reply, device=device)

    def _idempotency(self, device: str) -> tuple[AnswerKey, bytes] | None:
        """The key of this request's answer, and the hash of the request; None without one. Raises: Invalid."""
        key = self.header(b"idempotency-key")
        if key is None:
            return None
        if not 0 < len(key) <= _MAX_KEY:
            raise Invalid.of("Idempotency-Key", "incorrect_value", f"expected 1-{_MAX_KEY} characters")
        caller = self.principal.token_id or "public"
        answer_key = AnswerKey(self.principal.organisation, caller, key)
        asker = (device.encode(),) if device else ()
        return answer_key, idempotency.request_hash(self.path.encode(), self.query_string, self.body, *asker)

    def _kept(self, tx: Transaction, key: AnswerKey, request: bytes) -> Reply | None:
        """The answer kept for a key. Raises: Invalid when it answered another request."""
        keep_us = self.services.settings.idempotency.keep_seconds * SECOND_US
        kept = idempotency.find(tx, key, tx.now_us - keep_us)
        if kept is None:
            return None
        if kept.request_hash != request:
            detail = "this key was used before with another request"
            fields = (FieldError("Idempotency-Key", "incorrect_value", detail),)
            raise Invalid(
                "Idempotency-Key: this key was used before with another request",
                code="IDEMPOTENCY_KEY_REUSED",
                fields=fields,
            )
        return _unpack(kept.answer)

    async def read_body(self, limit_bytes: int) -> None:
        """Take the whole body into ``body``. Raises: TooLarge, Malformed (cut off), BodyTimeout."""
        self.body = await bodies.read(self._receive, self.headers, limit_bytes, self.services.settings.limits)

    def stream(self) -> AsyncIterator[bytes]:
        """The body's pieces as they come, for routes that are ``raw``. Raises: Malformed (cut off), BodyTimeout."""
        return bodies.pieces(self._receive, self.headers, self.services.settings.limits)


def parse_query(query_string: bytes) -> dict[str, str]:
    """The parameters of a query string, the last value of each.

    Raises: Malformed (not UTF-8, too many), Invalid (a NUL, which no database text may hold).
    """
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii", "strict"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=100,
        )
    except ValueError:
        raise Malformed("the query string is not percent-encoded UTF-8, or has over 100 parameters") from None
    found = dict(pairs)
    if b"%00" in query_string or b"\0" in query_string:
        for name, value in found.items():
            if "\0" in value or "\0" in name:
                raise Invalid.of(name.replace("\0", ""), "incorrect_value", "text may not hold the character U+0000")
    return found


def _pack(reply: Reply) -> bytes:
    return msgspec.msgpack.encode((reply.status, reply.headers, reply.body))


def _unpack(kept: bytes) -> Reply:
    status, headers, body = msgspec.msgpack.decode(kept, type=tuple[int, tuple[tuple[bytes, bytes], ...], bytes])
    return Reply(status, headers, body)
