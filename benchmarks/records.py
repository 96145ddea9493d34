"""The record doors against their floors: single requests, bulk, first sync, sell drains, and others' latency."""

from __future__ import annotations

import itertools
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from benchmarks.load import Answer, Caller, Run, drive, request
from benchmarks.servers import Floor, Product
from benchmarks.table import Line
from headwater.base.settings.table import DatabaseSettings
from headwater.base.wire import encode
from headwater.store.sqlite.database import SqliteSession
from headwater.store.sqlite.reserve import Reserve

_CONTACT = {
    "first_name": "Bjørn",
    "last_name": "Dahl",
    "email": "bjorn.dahl@example.no",
    "phone": "+47 906 78 901",
    "address": "Rosenkrantz gate 3, 0159 Oslo",
    "date_of_birth": "1982-07-25",
}
_DEVICE = {"x-basecrm-device-uuid": "bench-device"}


def run(*, quick: bool) -> list[Line]:
    """Measures every row of the record doors; ``quick`` uses a tenth of the records."""
    records = 10_000 if quick else 100_000
    with Floor() as floor, Product() as product:
        lines = [
            _single_get(product, floor, 3_000 if quick else 20_000),
            *_creates(product, floor, 3_000 if quick else 20_000),
            _bulk(product),
            *_fill(product, records),
            *_first_sync(product, floor),
            _idle_polls(product, floor, records, 5_000 if quick else 20_000),
            *_sell_drain(product, floor),
            _neighbours(product),
        ]
        peak = f"{product.peak_mib():.0f} MiB"
        lines.append(Line("peak memory of the server", peak, "", None, "", "through all of it"))
    return lines


def _best(port: int, make: Iterator[bytes], connections: int, rounds: int = 3, each: int = 1000) -> Run:
    """The best of some rounds: the machine's other work only ever makes a round slower."""
    runs = [drive(port, itertools.islice(make, each), connections)[0] for _ in range(rounds)]
    return max(runs, key=lambda run: run.per_second)


def _compare(name: str, ours: Run, floor: Run, aim: str, note: str = "") -> Line:
    ratio = ours.per_second / floor.per_second
    return Line(name, f"{ours.per_second:,.0f}/s", f"{floor.per_second:,.0f}/s", ratio, aim, note)


def _single_get(product: Product, floor: Floor, count: int) -> Line:
    caller = Caller(product.port)
    made = caller.send(request("POST", "/api/v1/contacts", product.headers, json.dumps(_CONTACT).encode()))
    contact_id = json.loads(made.body)["contact_id"]
    Caller(floor.port).send(request("POST", "/keep/contact", {}, made.body))
    get = request("GET", f"/api/v1/contacts/{contact_id}", product.headers)
    ours = _best(product.port, itertools.repeat(get), 16, each=count // 3)
    theirs = _best(floor.port, itertools.repeat(request("GET", "/contact", {})), 16, each=count // 3)
    return _compare("GET one contact, 16 clients", ours, theirs, ">= 0.5")


def _creates(product: Product, floor: Floor, count: int) -> list[Line]:
    body = json.dumps(_CONTACT).encode()
    create = request("POST", "/api/v1/contacts", product.headers, body)
    echo = request("POST", "/echo", {}, body)
    lines = []
    for clients, aim in ((32, ">= 0.4"), (1, "")):
        each = count // 3 if clients > 1 else count // 20
        ours = _best(product.port, itertools.repeat(create), clients, each=each)
        theirs = _best(floor.port, itertools.repeat(echo), clients, each=each)
        note = f"durable; p99 {ours.percentile_ms(99):.1f} ms"
        lines.append(_compare(f"create a contact, {clients} client(s)", ours, theirs, aim, note))
    return lines


def _batch(first: int, count: int, organisation: str) -> bytes:
    rows = [
        {
            "id": f"cnt_{number:08d}",
            "name": f"Person Number{number}",
            "email": f"person{number}@example.no",
            "phone": f"+47 9{number % 10_000_000:07d}",
            "org_name": "BridgeCorp AS",
            "updated_at": "2026-03-25T14:00:00Z",
        }
        for number in range(first, first + count)
    ]
    return encode({"org_id": organisation, "contacts": rows, "notes": []})


def _bulk(product: Product) -> Line:
    """10,000 contacts in one POST against apsw writing the same rows, once each is built."""
    caller = Caller(product.port)
    seconds = []
    for round_number in range(3):
        body = _batch(0, 10_000, f"bulk-{round_number}")
        answer = caller.send(request("POST", "/api/v1/cache/sync", product.headers, body))
        _expect(answer, 201)
        seconds.append(answer.seconds)
    floor_seconds = min(_raw_rows(product) for _ in range(3))
    ours = min(seconds)
    return Line(
        "10,000 contacts in one POST", f"{10_000 / ours:,.0f}/s", f"{10_000 / floor_seconds:,.0f}/s",
        floor_seconds / ours, ">= 0.5", "floor: apsw executemany of the same rows, one commit",
    )  # fmt: skip


def _raw_rows(product: Product) -> float:
    """Seconds of apsw for the rows of one such batch, written durably into the same schema."""
    source = apsw.Connection(str(product.folder / "state" / "headwater.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    feed = source.execute("SELECT feed FROM feeds WHERE name = 'org:bulk-0'").fetchone()[0]
    tables = {}
    for table in ("records", "changes"):
        rows = source.execute(f"SELECT * FROM {table} WHERE feed = ?", (feed,)).fetchall()
        schema = "SELECT sql FROM sqlite_schema WHERE tbl_name = ? AND sql IS NOT NULL"
        sql = source.execute(schema, (table,)).fetchall()
        tables[table] = (rows, [statement for (statement,) in sql])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "floor.sqlite"
        session = SqliteSession(str(file), DatabaseSettings(), Reserve(file, 0))
        connection = apsw.Connection(str(file))
        for _, statements in tables.values():
            for statement in statements:
                connection.execute(statement)
        connection.close()
        cursor = session.transaction
        began = time.perf_counter()
        session.begin(0, frozenset())
        for table, (rows, _) in tables.items():
            cursor.run_many(f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows)
        session.commit()
        seconds = time.perf_counter() - began
        session.close()
    return seconds


def _fill(product: Product, records: int) -> list[Line]:
    """Fills the default organisation with records; measures start and idle poll before and after."""
    caller = Caller(product.port)
    small = _start_cost(product, "bench-small")
    step = 10_000
    began = time.perf_counter()
    for first in range(0, records, step):
        body = _batch(first, step, "default")
        _expect(caller.send(request("POST", "/api/v1/cache/sync", product.headers, body)), 201)
    filled = records / (time.perf_counter() - began)
    large = _start_cost(product, "bench-large")
    return [
        Line(f"fill to {records:,} records, batches of {step:,}", f"{filled:,.0f}/s", "", None, ""),
        Line(
            f"sell start, nothing new: {records:,} records against few", f"{large * 1000:.2f} ms",
            f"{small * 1000:.2f} ms", small / large, "~ 1", "the same cost",
        ),
    ]  # fmt: skip


def _start_cost(product: Product, device: str) -> float:
    """Median seconds of a start that finds nothing new, after the device drained everything."""
    headers = product.headers | {"x-basecrm-device-uuid": device}
    caller = Caller(product.port)
    _drain(caller, headers)
    start = request("POST", "/v2/sync/start", headers)
    seconds = sorted(_expect(caller.send(start), 204).seconds for _ in range(300))
    return seconds[len(seconds) // 2]


def _drain(caller: Caller, headers: dict[str, str]) -> tuple[int, float, list[bytes]]:
    """Drains and acks everything as a client does; items, seconds, and the pages."""
    pages: list[bytes] = []
    items = 0
    began = time.perf_counter()
    started = caller.send(request("POST", "/v2/sync/start", headers))
    if started.status == 204:
        return 0, time.perf_counter() - began, pages
    session = json.loads(started.body)["data"]["id"]
    page = request("GET", f"/v2/sync/{session}/queues/main", headers)
    while (answer := caller.send(page)).status == 200:
        pages.append(answer.body)
        keys = [item["meta"]["sync"]["ack_key"] for item in json.loads(answer.body)["items"]]
        items += len(keys)
        ack = encode({"data": {"ack_keys": keys}})
        _expect(caller.send(request("POST", "/v2/sync/ack", headers, ack)), 202)
    return items, time.perf_counter() - began, pages


def _first_sync(product: Product, floor: Floor) -> list[Line]:
    """Everything through the feed, in pages of 5,000, against the same pages from memory."""
    caller, bare = Caller(product.port), Caller(floor.port)
    pages: list[bytes] = []
    best = 1e9
    for _ in range(3):
        pages.clear()
        began = time.perf_counter()
        cursor, more = "", True
        while more:
            query = "?limit=5000" + (f"&cursor={cursor}" if cursor else "")
            answer = _expect(caller.send(request("GET", "/api/v1/feed" + query, product.headers)), 200)
            pages.append(answer.body)
            cursor, more = _tail(answer.body)
        best = min(best, time.perf_counter() - began)
    for number, page in enumerate(pages):
        bare.send(request("POST", f"/keep/feed{number}", {}, page))
    floor_best = min(_serve_pages(bare, len(pages), "feed") for _ in range(3))
    size_mb = sum(map(len, pages)) / 1e6
    return [
        Line(
            "first sync through the feed", f"{best:.3f} s", f"{floor_best:.3f} s", floor_best / best, ">= 0.5",
            f"{size_mb:.0f} MB in {len(pages)} pages; floor: the same bytes from memory",
        )
    ]  # fmt: skip


def _tail(body: bytes) -> tuple[str, bool]:
    """Cursor and ``has_more`` of a page, without reading its changes."""
    end = json.loads(b"{" + body[body.rindex(b'"cursor"') :])
    return end["cursor"], end["has_more"]


def _serve_pages(bare: Caller, count: int, name: str) -> float:
    began = time.perf_counter()
    for number in range(count):
        _tail_safe(bare.send(request("GET", f"/{name}{number}", {})).body)
    return time.perf_counter() - began


def _tail_safe(body: bytes) -> None:
    """The client's own work on a page, the same on both sides."""
    if b'"cursor"' in body[-400:]:
        _tail(body)


def _idle_polls(product: Product, floor: Floor, records: int, count: int) -> Line:
    caller = Caller(product.port)
    cursor, more = "", True
    while more:
        query = "?limit=5000" + (f"&cursor={cursor}" if cursor else "")
        cursor, more = _tail(caller.send(request("GET", "/api/v1/feed" + query, product.headers)).body)
    poll = request("GET", f"/api/v1/feed?cursor={cursor}", product.headers)
    idle = caller.send(poll).body
    Caller(floor.port).send(request("POST", "/keep/idle", {}, idle))
    ours = _best(product.port, itertools.repeat(poll), 8, each=count // 3)
    theirs = _best(floor.port, itertools.repeat(request("GET", "/idle", {})), 8, each=count // 3)
    return _compare(f"idle poll at {records:,} records, 8 clients", ours, theirs, ">= 0.6")


def _sell_drain(product: Product, floor: Floor) -> list[Line]:
    """A new sell device drains everything: start, pages of 100, an ack each; the floor serves the same bytes."""
    caller, bare = Caller(product.port), Caller(floor.port)
    items, seconds, pages = _drain(caller, product.headers | _DEVICE)
    for number, page in enumerate(pages):
        bare.send(request("POST", f"/keep/sell{number}", {}, page))
    began = time.perf_counter()
    for number in range(len(pages)):
        answer = bare.send(request("GET", f"/sell{number}", product.headers | _DEVICE))
        keys = [item["meta"]["sync"]["ack_key"] for item in json.loads(answer.body)["items"]]
        bare.send(request("POST", "/ack", product.headers | _DEVICE, encode({"data": {"ack_keys": keys}})))
    floor_seconds = time.perf_counter() - began
    return [
        Line(
            f"sell drain of {items:,} (start, pages, acks)", f"{seconds:.2f} s", f"{floor_seconds:.2f} s",
            floor_seconds / seconds, ">= 0.3", "each ack is on disk before its 202",
        )
    ]  # fmt: skip


def _neighbours(product: Product) -> Line:
    """The p99 of other clients' idle polls and single reads while a batch of 10,000 runs."""
    body = _batch(0, 10_000, "neighbours")
    caller = Caller(product.port)
    answer = caller.send(request("POST", "/api/v1/contacts", product.headers, json.dumps(_CONTACT).encode()))
    get = request("GET", f"/api/v1/contacts/{json.loads(answer.body)['contact_id']}", product.headers)
    ending = threading.Event()

    def batches() -> None:
        mine = Caller(product.port)
        while not ending.is_set():
            mine.send(request("POST", "/api/v1/cache/sync", product.headers, body))
        mine.close()

    thread = threading.Thread(target=batches)
    thread.start()
    try:
        run, _ = drive(product.port, itertools.islice(itertools.repeat(get), 3_000), 4)
    finally:
        ending.set()
        thread.join()
    return Line(
        "others' reads while batches of 10,000 run", f"p99 {run.percentile_ms(99):.1f} ms", "", None, "<= 20 ms",
        f"p50 {run.percentile_ms(50):.1f} ms, max {run.latencies_seconds[-1] * 1000:.0f} ms",
    )  # fmt: skip


def _expect(answer: Answer, status: int) -> Answer:
    if answer.status != status:
        raise RuntimeError(f"expected {status}, got {answer.status}: {answer.body[:300]!r}")
    return answer
