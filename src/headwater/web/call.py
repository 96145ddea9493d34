"""One request in a door: its parameters, its body, its caller, and access to transactions."""

from __future__ import annotations

import asyncio
from asyncio import Lock
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    suppress,
)
from typing import TypeVar
from urllib.parse import parse_qsl, quote

import msgspec

from headwater.base.clock import SECOND_US
from headwater.base.errors import FieldError, Forbidden, Invalid, Malformed, NotFound, Unauthenticated
from headwater.base.wire import decode
from headwater.feed.sightings import CallingDevice, Sighting
from headwater.feed.wake import Waiter
from headwater.identity.principal import Principal
from headwater.identity.roles import allows
from headwater.store import idempotency
from headwater.store.database import Transaction, TransactionFunction
from headwater.store.idempotency import AnswerKey, RecordName
from headwater.web.http import bodies
from headwater.web.http.bodies import Message, Receive
from headwater.web.http.presence import cut_short, presence_of
from headwater.web.limits import Seat
from headwater.web.reply import Reply
from headwater.web.services import Services
from headwater.web.watch import CallerWatch

Result = TypeVar("Result")
T = TypeVar("T")
Permitted = Callable[[], Awaitable[object]]

_MAX_KEY = 255
_DEVICE_SCOPES = {"files": "files", "feed": "sync", "sell": "sync"}


class Call:
    """A request after routing and authentication.

    ``path`` is raw (percent-encoded); ``headers`` has names in lower case, repeated ones joined by commas. ``template``
    is the route's path in its single form, with ``{names}``; ``prefix`` is the path below which a proxy puts us.
    """

    __slots__ = (
        "_presence", "_query", "_receive", "_seat", "_watch", "body", "client", "headers", "method", "params", "path",
        "prefix", "principal", "query_string", "request_id", "scheme", "services", "template",
    )  # fmt: skip

    def __init__(
        self,
        services: Services,
        scope: Message,
        receive: Receive,
        headers: dict[bytes, bytes],
        params: dict[str, str],
        request_id: str,
        seat: Seat,
        watch: CallerWatch,
    ) -> None:
        self.services = services
        self.method: str = scope["method"]
        self.path: str = scope["raw_path"].decode("latin-1")
        self.query_string: bytes = scope["query_string"]
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self.headers = headers
        self.params = params
        self.prefix = ""
        self.template = ""
        self.scheme: str = scope.get("scheme", "http")
        self.request_id = request_id
        self.principal: Principal
        self.body = b""
        self._receive = receive
        self._presence = presence_of(scope)
        self._seat = seat
        self._watch = watch
        self._query: dict[str, str] | None = None

    @property
    def base_url(self) -> str:
        """The address under which the caller sees the server, without a slash at its end."""
        public_url = self.services.settings.server.public_url
        return public_url.rstrip("/") if public_url else f"{self.scheme}://{self.header(b'host')}{self.prefix}"

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, the last value of each. Raises: Malformed, Invalid, as ``parse_query``."""
        if self._query is None:
            self._query = parse_query(self.query_string)
        return self._query

    def header(self, name: bytes) -> str | None:
        """Returns a header's text, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def decoded(self, decoder: msgspec.json.Decoder[T]) -> T:
        """Returns the body as a shape. Raises: Malformed, Invalid."""
        bodies.check_json(self.body, self.services.settings.limits.json_depth)
        return decode(decoder, self.body)

    def counted_as_waiting(self) -> AbstractContextManager[None]:
        """Returns a context for a wait, which does not count as a request in flight. Raises: Unavailable."""
        return self._seat.waiting()

    def counted_as_upload(self) -> AbstractAsyncContextManager[None]:
        """Returns a context in which the body is cut into chunks; it begins when there is a place.

        Raises: Unavailable (no place in time), Malformed (the caller is gone).
        """
        return self._seat.uploading()

    async def news(self, waiter: Waiter, wait_seconds: float) -> bool:
        """Waits for a commit, as a long poll; False when the time is up, the server stops or the caller is gone.

        Raises: Unavailable (too many wait), Unauthenticated (the token ended meanwhile).
        """
        moved = False
        with suppress(TimeoutError), self.counted_as_waiting():
            async with asyncio.timeout(None) as scope:
                with self.ending(scope):
                    moved = await waiter.wait(wait_seconds)
        await self.recheck()
        return moved

    @property
    def is_over(self) -> bool:
        """True when no answer is awaited any more: the caller is gone, or the server stops."""
        return self.services.wake.ended or (self._presence is not None and self._presence.is_gone())

    @contextmanager
    def ending(self, scope: asyncio.Timeout, permitted: Permitted | None = None) -> Generator[None]:
        """A context in which a scope ends when the caller is gone, or may not have the answer any more."""

        async def check() -> None:
            try:
                await self.recheck()
                if permitted is not None:
                    await permitted()
            except (Unauthenticated, Forbidden, NotFound):
                cut_short(scope)

        with ExitStack() as contexts:
            if self._presence is not None:
                contexts.enter_context(self._presence.ends(scope))
            if not self.principal.anonymous:
                contexts.enter_context(self._watch.checking(check, self.principal.expires_us))
            yield

    def note_device(
        self, door: str, device_id: str, *, organisation: str = "", feed: int = 0, position: int = 0
    ) -> None:
        """Notes that a device of the caller called now; ``position`` is up to where it holds everything of ``feed``.

        ``organisation`` is the one whose records it reads, by default the caller's own.
        """
        principal = self.principal
        # A token that only reads changes nothing, its device's last call included.
        if device_id and allows(principal.scopes, _DEVICE_SCOPES[door], write=True):
            device = CallingDevice(organisation or principal.organisation, door, device_id, principal.user_id)
            self.services.sightings.note(device, Sighting(self.services.clock(), feed, position))

    async def recheck(self) -> None:
        """Reads the caller again after a wait or a slow body, since its token may have changed meanwhile.

        Raises: Unauthenticated (the token ended).
        """
        if not self.principal.anonymous:
            self.principal = await self.services.authenticator.refreshed(self.principal, self.headers)

    async def read(self, function: TransactionFunction[Result], *, slow: bool = False) -> Result:
        """Runs a transaction function on a snapshot."""
        return await self.services.database.read(function, slow=slow)

    async def write(self, function: TransactionFunction[Result], *, feed: int = 0) -> Result:
        """Runs a transaction function durably, for methods other than POST. ``feed`` is the caller's own by default."""
        feed = feed or await self.services.homes.of(self.principal.organisation)
        return await self.services.database.write(function, feed=feed)

    async def act(
        self,
        function: TransactionFunction[Result],
        render: Callable[[Result], Reply],
        *,
        feed: int = 0,
        device: str = "",
        shows: Callable[[Result], RecordName] | None = None,
        again: bool = False,
    ) -> Reply:
        """Runs a POST's transaction function durably and renders its answer.

        A repeat with the same Idempotency-Key returns the stored answer. ``device`` is the device that a header names;
        the same request from another device is another request. An answer with content of a record names that record
        in ``shows``, because it must not outlive it. ``again``: the function finds by itself that it ran before, so
        that a repeat runs it again, and no answer is stored.
        Raises: Invalid when the key was used before with another request, NotFound when the record was deleted since.
        """
        key = self._idempotency(device)
        if key is None:
            return render(await self.write(function, feed=feed))

        def once(tx: Transaction) -> Reply:
            stored = self._stored(tx, *key)
            if stored is None or again:
                result = function(tx)
                stored = render(result)
                named = None if shows is None else shows(result)
                idempotency.keep(tx, *key, _RAN if again else _pack(stored), named)
            return stored

        return await self.write(once, feed=feed)

    async def act_after(self, action: Callable[[], Awaitable[Reply]], *, device: str = "") -> Reply:
        """Runs a POST of more than one transaction; a repeat with the same Idempotency-Key returns the stored answer.

        The answer is stored after the action, so an action must be safe to repeat after a crash in between.
        ``device`` and Raises: as ``act``.
        """
        key = self._idempotency(device)
        if key is None:
            return await action()
        # A repeat that arrives during the action waits for its answer, so that the action runs only once.
        lock = self.services.key_locks.setdefault(key[0], Lock())
        with self.counted_as_waiting() if lock.locked() else nullcontext():
            await lock.acquire()
        try:
            stored = await self.services.database.read(lambda tx: self._stored(tx, *key))
            if stored is not None:
                return stored
            reply = await action()
            return await self.act(lambda _tx: reply, lambda reply: reply, device=device)
        finally:
            lock.release()

    def _idempotency(self, device: str) -> tuple[AnswerKey, bytes] | None:
        """Returns the request's key with its owner, and the request's hash; None without a key. Raises: Invalid."""
        key = self.header(b"idempotency-key")
        if key is None:
            return None
        if not 0 < len(key) <= _MAX_KEY:
            raise Invalid.of("Idempotency-Key", "incorrect_value", f"must have 1-{_MAX_KEY} characters")
        caller = self.principal.token_id or "public"
        answer_key = AnswerKey(self.principal.organisation, caller, key)
        # The forms of one path (doubled, with a slash at its end, encoded otherwise) are one request.
        values = {name: quote(value, safe="") for name, value in self.params.items()}
        path = self.template.format_map(values) or self.path
        asker = (device.encode(),) if device else ()
        return answer_key, idempotency.request_hash(path.encode(), self.query_string, self.body, *asker)

    def _stored(self, tx: Transaction, key: AnswerKey, request: bytes) -> Reply | None:
        """Returns the answer stored for a key, or None. Raises: Invalid when it answered another request."""
        keep_us = self.services.settings.idempotency.keep_seconds * SECOND_US
        stored = idempotency.find(tx, key, tx.at_us - keep_us)
        if stored is None:
            return None
        if stored.request_hash != request:
            detail = "this key was used before with another request"
            fields = (FieldError("Idempotency-Key", "incorrect_value", detail),)
            raise Invalid(
                "Idempotency-Key: this key was used before with another request",
                code="IDEMPOTENCY_KEY_REUSED",
                fields=fields,
            )
        if stored.erased:
            raise NotFound("the record that this request wrote was deleted, and its answer with it", code="ERASED")
        return _unpack(stored.answer)

    async def read_body(self, limit_bytes: int) -> None:
        """Reads the whole body into ``body``. Raises: TooLarge, Malformed (cut off), BodyTimeout, Unavailable."""
        limits = self.services.settings.limits
        expected_bytes = bodies.expected_bytes(self.headers, limit_bytes)
        async with self._seat.receiving(expected_bytes):
            self.body = await bodies.read(self._receive, self.headers, limit_bytes, limits)

    def stream(self) -> AsyncIterator[bytes]:
        """Yields the body's pieces as they arrive, for ``raw`` routes. Raises: Malformed (cut off), BodyTimeout."""
        return bodies.pieces(self._receive, self.headers, self.services.settings.limits)


def parse_query(query_string: bytes) -> dict[str, str]:
    """Returns the parameters of a query string, the last value of each.

    Raises: Malformed (not UTF-8, too many), Invalid (a NUL, which database text cannot contain).
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


_RAN = msgspec.msgpack.encode((204, (), b""))
"""Stored in place of an answer that is never read: only the hash of its request matters."""


def _pack(reply: Reply) -> bytes:
    return msgspec.msgpack.encode((reply.status, reply.headers, reply.body))


def _unpack(stored: bytes) -> Reply:
    status, headers, body = msgspec.msgpack.decode(stored, type=tuple[int, tuple[tuple[bytes, bytes], ...], bytes])
    return Reply(status, headers, body)
