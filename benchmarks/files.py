"""Content against its floors: many small files in one stream, and one large file, up and down."""

from __future__ import annotations

import json
import mmap
import os
import random
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.servers import Floor, Product, Served, unpin
from benchmarks.table import Line

KIB = 1024
MIB = 1024 * KIB
_PIECE_BYTES = 256 * KIB
_ROUNDS = 3
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_WARM_BYTES = 2 * 1024 * MIB


def run(*, quick: bool) -> list[Line]:
    """Measures every row of content; ``quick`` uses a tenth of the bytes."""
    files = 1_000 if quick else 10_000
    large_bytes = (64 if quick else 512) * MIB
    unpin()
    with Floor(pinned=False) as floor, Product(pinned=False, files__packed_bytes=512 * MIB) as product:
        share = _json(product, "POST", "/api/v1/shares", {"name": "Benchmark"})["id"]
        lines = [*_small(product, share, files), *_large(product, floor, share, large_bytes)]
        lines.append(Line("peak memory of the server", f"{product.peak_mib():.0f} MiB", "", None, "", "through it all"))
    return lines


def _small(product: Product, share: str, count: int) -> list[Line]:
    """Packed uploads of fresh files, and their batch download; the floor writes and syncs the same bytes once."""
    rounds = []
    ids: list[str] = []
    size = 0
    for number in range(_ROUNDS):
        stream, size = _stream(count, number)
        _warm()
        floor_seconds = _write_once(product.folder / "floor", stream)
        began = time.perf_counter()
        answer = json.loads(_exchange(product, "POST", f"/api/v1/uploads/packed?share_id={share}", [stream]))
        rounds.append((time.perf_counter() - began, floor_seconds))
        assert {result["status"] for result in answer["results"]} == {"created"}
        ids = [result["resource_id"] for result in answer["results"]]
    ours, floor_seconds = min(rounds)[0], min(pair[1] for pair in rounds)
    note = f"durable; {count / ours:,.0f} files/s; floor: one write and fsync of the same bytes"
    lines = [_line(f"packed upload of {count:,} files of 1-20 KiB", size, ours, floor_seconds, ">= 0.3", note)]
    body = json.dumps({"share_id": share, "file_ids": ids}).encode()

    def down() -> None:
        assert len(_exchange(product, "POST", "/api/v1/downloads/batch", [body])) > size

    return [*lines, _line("... and their batch download", size, _best(down), floor_seconds, ">= 0.3", "same floor")]


def _large(product: Product, floor: Floor, share: str, size: int) -> list[Line]:
    """One large file by a session of one stream and by tus; the floor only receives, or only sends, the bytes."""
    pieces = _pieces(size, 0)
    _warm()
    sink = _best(lambda: _exchange(floor, "POST", "/sink", pieces))
    number = 0

    def up() -> None:
        nonlocal number
        number += 1
        head = {"tus-resumable": "1.0.0", "upload-length": str(size)}
        made = _exchange_head(product, "POST", f"/api/v1/uploads?share_id={share}", [], head)
        location = made.split("location: ")[1].split("\r\n")[0]
        more = {"tus-resumable": "1.0.0", "upload-offset": "0", "content-type": "application/offset+octet-stream"}
        own = _pieces(size, number)
        _warm()
        began = time.perf_counter()
        assert " 204 " in _exchange_head(product, "PATCH", location, own, more)
        took.append(time.perf_counter() - began)

    took: list[float] = []
    for _ in range(_ROUNDS):
        up()
    lines = [
        _line(f"{size // MIB} MiB up, one tus stream", size, min(took), sink, ">= 0.5", "durable; floor: receives")
    ]
    session = _json(
        product,
        "POST",
        "/api/v1/uploads",
        {"share_id": share, "path": "/large", "file_size": size, "chunk_size": 16 * MIB, "commit": True},
    )
    for place in range(session["total_chunks"]):
        part = random.Random(-place - 1).randbytes(16 * MIB)
        _exchange(product, "PUT", f"/api/v1/uploads/{session['session_id']}/chunks/{place}", [part])
    file_id = _json(product, "POST", f"/api/v1/uploads/{session['session_id']}/complete", {})["resource_id"]
    ours = _best(lambda: _drain(product, f"/api/v1/sync/download/{file_id}", size))
    bare = _best(lambda: _drain(floor, f"/bytes/{size}", size))
    return [*lines, _line(f"{size // MIB} MiB down", size, ours, bare, ">= 0.5", "floor: sends from memory")]


def _pieces(size: int, seed: int) -> list[bytes]:
    """Fresh bytes in pieces: no chunk of them is known, and none of them is in a processor's cache."""
    chance = random.Random(seed)
    return [chance.randbytes(_PIECE_BYTES) for _ in range(size // _PIECE_BYTES)]


def _warm() -> None:
    """Touches memory and frees it: memory that was idle for long is slow at its first use."""
    with mmap.mmap(-1, _WARM_BYTES) as buffer:
        buffer[:: mmap.PAGESIZE] = bytes(_WARM_BYTES // mmap.PAGESIZE)


def _line(name: str, size: int, seconds: float, floor_seconds: float, aim: str, note: str) -> Line:
    rate = f"{size / MIB / seconds:,.0f} MiB/s"
    return Line(name, rate, f"{size / MIB / floor_seconds:,.0f} MiB/s", floor_seconds / seconds, aim, note)


def _best(function: Callable[[], object]) -> float:
    found = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        function()
        found.append(time.perf_counter() - began)
    return min(found)


def _stream(count: int, seed: int) -> tuple[bytes, int]:
    """A packed stream of files that exist nowhere yet, and the size of their contents."""
    chance = random.Random(seed)
    parts = []
    size = 0
    for number in range(count):
        body = chance.randbytes(chance.randint(KIB, 20 * KIB))
        head = {"path": f"/r{seed}/d{number // 100}/f{number}.bin", "size": len(body)}
        parts += [json.dumps(head).encode(), b"\n", body]
        size += len(body)
    return b"".join(parts), size


def _write_once(path: Path, content: bytes) -> float:
    began = time.perf_counter()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    took = time.perf_counter() - began
    path.unlink()
    return took


def _json(product: Product, method: str, path: str, value: Any) -> Any:
    return json.loads(_exchange(product, method, path, [json.dumps(value).encode()]))


def _exchange(served: Served, method: str, path: str, pieces: Iterable[bytes | memoryview]) -> bytes:
    head, connection = _ask(served, method, path, list(pieces), {})
    with connection:
        return _rest(connection, head)


def _exchange_head(served: Served, method: str, path: str, pieces: list[bytes], headers: dict[str, str]) -> str:
    head, connection = _ask(served, method, path, pieces, headers)
    connection.close()
    return head.decode("latin-1")


def _drain(served: Served, path: str, size: int) -> None:
    """Receives an answer and drops it."""
    head, connection = _ask(served, "GET", path, [], {})
    left = size - len(head.partition(b"\r\n\r\n")[2])
    buffer = memoryview(bytearray(MIB))
    with connection:
        while left > 0:
            count = connection.recv_into(buffer)
            assert count, "the answer ended early"
            left -= count


def _ask(
    served: Served, method: str, path: str, pieces: list[bytes] | list[bytes | memoryview], headers: dict[str, str]
) -> tuple[bytes, socket.socket]:
    """Sends one request; the answer's head with the bytes after it, and the connection."""
    token = {"authorization": f"Bearer {served.token}"} if isinstance(served, Product) else {}
    lines = [f"{method} {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {sum(map(len, pieces))}"]
    lines += [f"{name}: {value}" for name, value in (token | headers).items()]
    connection = socket.create_connection(("127.0.0.1", served.port))
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
    for piece in pieces:
        connection.sendall(piece)
    head = b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(64 * KIB)
        assert more, "the connection ended"
        head += more
    assert head[9:10] == b"2", head[:400]
    return head, connection


def _rest(connection: socket.socket, head: bytes) -> bytes:
    start, _, body = head.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2]) for line in start.split(b"\r\n") if line.lower().startswith(b"content-length")
    ]
    if not lengths:
        # A batch download does not announce its length. Its chunks are received and not taken apart.
        parts, tail = [body], body[-16:]
        while not tail.endswith(_LAST_CHUNK):
            parts.append(_received(connection))
            tail = (tail + parts[-1])[-16:]
        return b"".join(parts)
    parts, left = [body], lengths[0] - len(body)
    while left > 0:
        piece = _received(connection)
        parts.append(piece)
        left -= len(piece)
    return b"".join(parts)


def _received(connection: socket.socket) -> bytes:
    piece = connection.recv(MIB)
    assert piece, "the answer ended early"
    return piece
