"""An HTTP and WebSocket client that calls the ASGI application itself: no network, no port."""

from __future__ import annotations

import asyncio
import json as json_module
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from tests.support.loop import WAIT_SECONDS, LoopThread

Message = dict[str, Any]
App = Callable[[Any, Any, Any], Coroutine[Any, Any, None]]
UNSET: Any = object()


class Answer(NamedTuple):
    """What the server answered; header names in lower case, the last value of each."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw_headers: list[tuple[bytes, bytes]]
    is_whole: bool = True
    """False when the answer broke off, so that a caller over a network would see a broken transfer."""

    def json(self) -> Any:
        """The body as JSON."""
        return json_module.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def problem(self) -> tuple[int, str]:
        """Status and code of an error answer (problem+json, or sell's envelope)."""
        body = self.json()
        code = body["code"] if "code" in body else body["errors"][0]["error"]["code"]
        return self.status, str(code)


class Client:
    """Sends requests to one application as one caller; ``as_token`` gives the same as another."""

    def __init__(
        self,
        app: App,
        loop: LoopThread,
        token: str | None = None,
        *,
        host: str = "127.0.0.1:8484",
        address: str = "127.0.0.1",
    ) -> None:
        self.app = app
        self.loop = loop
        self.token = token
        self.host = host
        self.address = address

    def as_token(self, token: str | None) -> Client:
        """The same client with another token, or with none."""
        return Client(self.app, self.loop, token, host=self.host, address=self.address)

    def get(self, path: str, **options: Any) -> Answer:
        """GET; options as ``request`` takes them."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        """POST; options as ``request`` takes them."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Answer:
        """PUT; options as ``request`` takes them."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Answer:
        """PATCH; options as ``request`` takes them."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        """DELETE; options as ``request`` takes them."""
        return self.request("DELETE", path, **options)

    def request(self, method: str, path: str, **options: Any) -> Answer:
        """The answer to one request.

        Options: ``json`` (a value), ``content`` (bytes, or pieces that go out chunked), ``headers`` (a mapping
        or pairs; a None value leaves one out), ``token`` (None: none), ``may_break`` (an answer may break off).
        """
        return self.start(method, path, **options).result(WAIT_SECONDS)

    def start(self, method: str, path: str, **options: Any) -> Future[Answer]:
        """Begin a request (a long poll, say); ``.result()`` waits for the answer."""
        return self.loop.start(self.ask(method, path, **options))

    def together(self, requests: Iterable[tuple[str, str, dict[str, Any]]]) -> list[Answer]:
        """The answers to requests (method, path, options) that are all under way at once, in their order."""

        async def all_of_them() -> list[Answer]:
            return list(
                await asyncio.gather(*(self.ask(method, path, **options) for method, path, options in requests))
            )

        return self.loop.run(all_of_them())

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: Any = UNSET,
        content: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str | None] | Iterable[tuple[str, str | None]] = (),
        token: str | None = UNSET,
        may_break: bool = False,
    ) -> Answer:
        """``request`` for code that runs on the server's loop."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if json is not UNSET:
            content = json_module.dumps(json).encode()
            pairs = [("content-type", "application/json"), *pairs]
        pieces: list[bytes] | None = None
        if isinstance(content, bytes):
            pieces = [content]
            pairs = [("content-length", str(len(content))), *pairs]
        elif content is not None:
            pieces = list(content)
            pairs = [("transfer-encoding", "chunked"), *pairs]
        scope = self._scope("http", path, pairs, self.token if token is UNSET else token)
        scope["method"] = method
        return await _exchange(self.app, scope, pieces or [b""], may_break=may_break)

    def socket(
        self,
        path: str,
        *,
        headers: Mapping[str, str | None] | Iterable[tuple[str, str | None]] = (),
        token: str | None = UNSET,
    ) -> SocketClient:
        """A WebSocket, opened; use it as a context. ``closed`` and ``close_code`` tell of one that was refused."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        scope = self._scope("websocket", path, pairs, self.token if token is UNSET else token)
        scope["subprotocols"] = []
        return SocketClient(self.app, self.loop, scope)

    def _scope(self, kind: str, path: str, pairs: list[tuple[str, str | None]], token: str | None) -> Message:
        raw_path, _, query = path.partition("?")
        given = {name.lower() for name, _ in pairs}
        if "host" not in given:
            pairs = [("host", self.host), *pairs]
        if token is not None and "authorization" not in given:
            pairs = [*pairs, ("authorization", f"Bearer {token}")]
        return {
            "type": kind,
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http" if kind == "http" else "ws",
            "path": raw_path,
            "raw_path": raw_path.encode("utf-8", "surrogateescape"),
            "query_string": query.encode("utf-8", "surrogateescape"),
            "root_path": "",
            "headers": [
                (name.lower().encode("latin-1"), value.encode("utf-8", "surrogateescape"))
                for name, value in pairs
                if value is not None
            ],
            "client": (self.address, 50_000),
            "server": ("127.0.0.1", 8484),
        }


async def _exchange(app: App, scope: Message, pieces: list[bytes], *, may_break: bool) -> Answer:
    waiting = list(pieces)
    started: Message = {}
    body: list[bytes] = []
    ended = asyncio.Event()

    async def receive() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}
        await ended.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert not started, "the answer was started twice"
            started.update(message)
            return
        assert message["type"] == "http.response.body"
        assert started, "the body came before the status"
        assert not ended.is_set(), "the body went on after its end"
        body.append(bytes(message.get("body", b"")))
        if not message.get("more_body"):
            ended.set()

    await app(scope, receive, send)
    assert ended.is_set() or may_break, "the answer was not finished"
    raw = list(started["headers"])
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
    return Answer(started["status"], headers, b"".join(body), raw, ended.is_set())


class SocketClient:
    """One WebSocket; frames are JSON texts."""

    def __init__(self, app: App, loop: LoopThread, scope: Message) -> None:
        self._loop = loop
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self.accepted = False
        self.closed = False
        self.close_code: int | None = None
        self.close_reason = ""
        self._to_app.put_nowait({"type": "websocket.connect"})
        self._serving = loop.start(self._serve(app, scope))
        self._next(WAIT_SECONDS)

    def __enter__(self) -> SocketClient:
        return self

    def __exit__(self, *failure: object) -> None:
        if not self.closed:
            self._put({"type": "websocket.disconnect", "code": 1000})
            self.closed = True
        self._serving.result(WAIT_SECONDS)

    def send(self, frame: Any) -> None:
        """Send a value as a JSON text frame."""
        self.send_text(json_module.dumps(frame))

    def send_text(self, text: str) -> None:
        """Send any text frame."""
        self._put({"type": "websocket.receive", "text": text})

    def send_bytes(self, content: bytes) -> None:
        """Send a binary frame."""
        self._put({"type": "websocket.receive", "bytes": content})

    def receive(self, wait_seconds: float = WAIT_SECONDS) -> Any:
        """The next frame's value; None when the server closed the socket. Raises: TimeoutError."""
        message = self._next(wait_seconds)
        return None if message is None else json_module.loads(message["text"])

    def wait_closed(self, wait_seconds: float = WAIT_SECONDS) -> int:
        """The code with which the server closes; frames before that are passed over."""
        while not self.closed:
            self._next(wait_seconds)
        assert self.close_code is not None
        return self.close_code

    def _put(self, message: Message) -> None:
        self._loop.loop.call_soon_threadsafe(self._to_app.put_nowait, message)

    def _next(self, wait_seconds: float) -> Message | None:
        if self.closed:
            return None
        message = self._loop.run(_soon(self._from_app, wait_seconds))
        if message["type"] == "websocket.accept":
            self.accepted = True
            # A refusal is an accepted socket that is closed at once: show it as closed from the start.
            return self._take_close_if_there()
        if message["type"] == "websocket.close":
            self._note_close(message)
            return None
        return message

    def _take_close_if_there(self) -> Message | None:
        async def peek() -> Message | None:
            for _ in range(3):
                await asyncio.sleep(0)
            queue = self._from_app._queue  # type: ignore[attr-defined]
            if queue and queue[0]["type"] == "websocket.close":
                return self._from_app.get_nowait()
            return None

        message = self._loop.run(peek())
        if message is not None:
            self._note_close(message)
        return None

    def _note_close(self, message: Message) -> None:
        self.closed = True
        self.close_code = message.get("code", 1000)
        self.close_reason = message.get("reason") or ""
        self._put({"type": "websocket.disconnect", "code": self.close_code})

    async def _serve(self, app: App, scope: Message) -> None:
        async def send(message: Message) -> None:
            self._from_app.put_nowait(message)

        await app(scope, self._to_app.get, send)


async def _soon(queue: asyncio.Queue[Message], wait_seconds: float) -> Message:
    async with asyncio.timeout(wait_seconds):
        return await queue.get()
