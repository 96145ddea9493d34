"""The floor: a bare ASGI app on the same HTTP server; it answers from memory and checks nothing.

GET answers the bytes that POST /keep/NAME stored under /NAME (or a small fixed body); POST echoes its body.
POST /sink receives bytes and drops them; GET /bytes/N sends N bytes in pieces.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_KEPT: dict[str, bytes] = {}
_SOCKETS: set[Send] = set()
_FRAME = '{"type":"change","event_type":"change","share_id":"shr_0000000000000000","data":{}}'
_PIECE = bytes(1024 * 1024)
_SMALL = b'{"ok":true}'


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answers at once; a POST to /broadcast sends a frame to every socket."""
    if scope["type"] == "websocket":
        await _socket(receive, send)
        return
    if scope["type"] != "http":
        return
    path: str = scope["path"]
    body = b""
    if path.startswith("/bytes/"):
        await _send_bytes(int(path.removeprefix("/bytes/")), send)
        return
    if path == "/sink":
        while (await receive()).get("more_body"):
            pass
        body = _SMALL
    elif scope["method"] == "POST":
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        if path == "/broadcast":
            for send_to in list(_SOCKETS):
                await send_to({"type": "websocket.send", "text": _FRAME})
        if path.startswith("/keep/"):
            _KEPT[path.removeprefix("/keep")] = body
            body = _SMALL
    else:
        body = _KEPT.get(path, _SMALL)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_bytes(count: int, send: Send) -> None:
    headers = [(b"content-length", str(count).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    while count > 0:
        piece = _PIECE[:count]
        count -= len(piece)
        await send({"type": "http.response.body", "body": piece, "more_body": count > 0})


async def _socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    _SOCKETS.add(send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})
    _SOCKETS.discard(send)


def main(port: int) -> None:
    """Serves until killed, with the settings of the product's own server."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
    )
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main(int(sys.argv[1]))
