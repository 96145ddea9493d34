"""The floor: a bare ASGI app on the same HTTP server; it answers from memory and checks nothing.

GET answers the bytes that POST /keep/NAME stored under /NAME (or a small fixed body); POST answers what it got.
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
_SMALL = b'{"ok":true}'


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer at once."""
    if scope["type"] != "http":
        return
    path: str = scope["path"]
    body = b""
    if scope["method"] == "POST":
        parts = []
        while True:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        if path.startswith("/keep/"):
            _KEPT[path.removeprefix("/keep")] = body
            body = _SMALL
    else:
        body = _KEPT.get(path, _SMALL)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main(port: int) -> None:
    """Serve until killed, with the settings of the product's own server."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", ws="none", lifespan="off",
        log_config=None, access_log=False, server_header=False,
    )  # fmt: skip
    asyncio.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main(int(sys.argv[1]))
