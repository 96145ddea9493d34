"""Costs that must not grow: a page of 100 changes at the end of a long log, and the rename of a large folder."""

from __future__ import annotations

import json
from collections.abc import Iterator

import apsw

from benchmarks.load import Caller, request
from benchmarks.servers import Product
from benchmarks.table import Line

_ROUNDS = 200
_BEHIND = 100


def run(*, quick: bool) -> list[Line]:
    """Measures medians at few and at many nodes, side by side."""
    many = 100_000 if quick else 1_000_000
    with Product() as product:
        few_reads, few_renames = _measure(product, 10, 1_000)
        many_reads, many_renames = _measure(product, many, many)
    return [
        Line(
            f"100 changes behind the head: {many:,} changes against 1,000", f"{many_reads:.2f} ms",
            f"{few_reads:.2f} ms", few_reads / many_reads, "~ 1", "the same cost",
        ),
        Line(
            f"rename of a folder: {many:,} below it against 10", f"{many_renames:.2f} ms", f"{few_renames:.2f} ms",
            few_renames / many_renames, "~ 1", "the same cost, one change; durable",
        ),
    ]  # fmt: skip


def _measure(product: Product, below: int, log: int) -> tuple[float, float]:
    """Median milliseconds of a page of 100 changes, and of a rename, in a share of its own."""
    caller = Caller(product.port)

    def ask(method: str, path: str, body: object = None) -> tuple[int, bytes, float]:
        content = b"" if body is None else json.dumps(body).encode()
        answer = caller.send(request(method, path, product.headers, content))
        if answer.status not in (200, 201):
            raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")
        return answer.status, answer.body, answer.seconds * 1000

    share = json.loads(ask("POST", "/api/v1/shares", {"name": f"bench {below}"})[1])["id"]
    folder = json.loads(ask("POST", f"/api/v1/shares/{share}/folders", {"path": "/top"})[1])["id"]
    head = _seed(product, share, folder, below, log)
    reads = [
        ask("GET", f"/api/v1/sync/changes?share_id={share}&cursor={head - _BEHIND}&limit=1000")[2]
        for _ in range(_ROUNDS)
    ]
    node = f"/api/v1/shares/{share}/nodes/{folder}"
    renames = [ask("PATCH", node, {"name": f"top {number}"})[2] for number in range(_ROUNDS)]
    return sorted(reads)[_ROUNDS // 2], sorted(renames)[_ROUNDS // 2]


def _seed(product: Product, share: str, folder: str, below: int, log: int) -> int:
    """Writes nodes below a folder and changes into the log, without the server; the head afterwards."""
    connection = apsw.Connection(str(product.folder / "state" / "headwater.sqlite"))
    connection.set_busy_timeout(60_000)
    feed = connection.execute("SELECT feed FROM shares WHERE id = ?", (share,)).fetchall()[0][0]
    wire = json.dumps({"id": "chg", "share_id": share, "resource_type": "file", "metadata": {"size": 9}}).encode()

    def nodes() -> Iterator[tuple[object, ...]]:
        for number in range(2, below + 2):
            name = f"f{number}"
            yield feed, f"fld_{share}{number}", number, "folder", folder, name, name, number, 1, 1, 1

    def changes() -> Iterator[tuple[object, ...]]:
        for position in range(2, log + 2):
            yield feed, position, "folder", f"fld_{share}{position}", 0, 0, 1, wire

    with connection:
        connection.executemany(
            "INSERT INTO nodes (feed, id, number, type, parent, name, name_key, position, created_us, updated_us,"
            " placed_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            nodes(),
        )
        connection.executemany(
            "INSERT INTO changes (feed, position, kind, id, number, deleted, at_us, wire)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            changes(),
        )
        for name, value in (("head", log + 1), ("number:node", below + 1)):
            connection.execute("UPDATE counters SET value = ? WHERE feed = ? AND name = ?", (value, feed, name))
    connection.close()
    return log + 1
