"""What the tests of content have in common: a share, random bytes, an upload in one call."""

from __future__ import annotations

import random
from typing import Any

from tests.support.server.asgi import Client

KIB = 1024
MIB = 1024 * KIB


def make_share(client: Client, **more: Any) -> str:
    """A new share's id."""
    return str(client.post("/api/v1/shares", json={"name": "Documents", **more}).json()["id"])


def content_of(size_bytes: int, seed: int = 1) -> bytes:
    """Bytes that look random and are the same for a seed."""
    return random.Random(seed).randbytes(size_bytes)


def begin(client: Client, share: str, size_bytes: int, chunk_bytes: int = 64 * KIB, **more: Any) -> dict[str, Any]:
    """A session that was begun."""
    fields = {"share_id": share, "file_size": size_bytes, "chunk_size": chunk_bytes, **more}
    answer = client.post("/api/v1/uploads", json=fields)
    assert answer.status == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def chunk_path(session: dict[str, Any], number: int) -> str:
    """Where a session takes a chunk."""
    return f"/api/v1/uploads/{session['session_id']}/chunks/{number}"


def send(client: Client, session: dict[str, Any], content: bytes) -> None:
    """Send every chunk of a session, the last one first."""
    size = session["chunk_size"]
    for number in reversed(range(session["total_chunks"])):
        answer = client.put(chunk_path(session, number), content=content[number * size : (number + 1) * size])
        assert answer.status == 200, answer.text


def complete(client: Client, session: dict[str, Any]) -> Any:
    """The answer to a completion."""
    return client.post(f"/api/v1/uploads/{session['session_id']}/complete")


def upload(client: Client, share: str, content: bytes, **more: Any) -> dict[str, Any]:
    """A content uploaded in one session; with ``path`` and ``commit`` as a file."""
    session = begin(client, share, len(content), **more)
    send(client, session, content)
    answer = complete(client, session)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def make_file(client: Client, share: str, path: str, content: bytes, **more: Any) -> dict[str, Any]:
    """A file at a path, with this content."""
    return upload(client, share, content, path=path, commit=True, **more)
