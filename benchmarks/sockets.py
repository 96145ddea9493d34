"""Nudges: the time from a change to the frame on each of 1,000 sockets, against a bare app that sends at once."""

from __future__ import annotations

import asyncio
import json
import time

import websockets
from websockets.asyncio.client import ClientConnection

from benchmarks.load import Caller, request
from benchmarks.servers import Floor, Product, Served
from benchmarks.table import Line

_SETTLE_SECONDS = 0.6


def run(*, quick: bool) -> list[Line]:
    """Measures one row of latencies, and one of memory a socket."""
    sockets, rounds = (200, 5) if quick else (1000, 10)
    with Product(
        sockets__limit=2 * sockets, sockets__token_limit=2 * sockets, limits__caller_share_percent=100
    ) as product:
        caller = Caller(product.port)
        made = caller.send(request("POST", "/api/v1/shares", product.headers, b'{"name":"bench"}'))
        share_id = json.loads(made.body)["id"]
        device = b'{"device_id":"bench","platform":"linux"}'
        caller.send(request("POST", "/api/v1/sync/devices", product.headers, device))
        folders = [
            request(
                "POST", f"/api/v1/shares/{share_id}/folders", product.headers, json.dumps({"path": f"/{i}"}).encode()
            )
            for i in range(rounds)
        ]
        url = f"ws://127.0.0.1:{product.port}/api/v1/sync/ws/bench"
        ours, memory_kib = asyncio.run(_measure(product, url, product.headers, folders, sockets))
    with Floor() as floor:
        pokes = [request("POST", "/broadcast", {}, b"{}")] * rounds
        theirs, _ = asyncio.run(_measure(floor, f"ws://127.0.0.1:{floor.port}/ws", {}, pokes, sockets))
    ours.sort()
    theirs.sort()
    return [
        Line(
            f"nudge to {sockets:,} sockets", f"p50 {_at(ours, 50):.0f} ms, p99 {_at(ours, 99):.0f} ms",
            f"p50 {_at(theirs, 50):.0f} ms, p99 {_at(theirs, 99):.0f} ms", _at(theirs, 50) / _at(ours, 50), "",
            "from sending the change until the frame is read; the change is durable first",
        ),
        Line("memory of an open socket", f"{memory_kib:.0f} KiB", "", None, ""),
    ]  # fmt: skip


async def _measure(
    server: Served, url: str, headers: dict[str, str], pokes: list[bytes], count: int
) -> tuple[list[float], float]:
    """Milliseconds from each poke to each socket's frame; KiB of the server's memory a socket."""
    before = server.resident_mib()
    opened: list[ClientConnection] = []
    for _ in range(count):
        socket = await websockets.connect(url, additional_headers=headers, compression=None)
        await socket.send('{"type":"subscribe"}')
        await socket.recv()
        opened.append(socket)
    memory_kib = (server.resident_mib() - before) * 1024 / count
    latencies_ms: list[float] = []
    for poke in pokes:
        waiting = [asyncio.create_task(_received(socket)) for socket in opened]
        await asyncio.sleep(_SETTLE_SECONDS)
        began = time.perf_counter()
        await asyncio.to_thread(Caller(server.port).send, poke)
        latencies_ms += [(at - began) * 1000 for at in await asyncio.gather(*waiting)]
    await asyncio.gather(*(socket.close() for socket in opened))
    return latencies_ms, memory_kib


async def _received(socket: ClientConnection) -> float:
    async with asyncio.timeout(30):
        await socket.recv()
    return time.perf_counter()


def _at(ascending: list[float], percent: int) -> float:
    return ascending[min(len(ascending) - 1, len(ascending) * percent // 100)]
