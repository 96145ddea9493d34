"""``make soak``: a mixed load over every door for some minutes; the server's memory each minute, and a verdict.

The load replaces a bounded set of records and files, so that only a leak, or a cache without a bound, grows for ever.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from tests.support.command import running
from tests.support.server.wire import Wire, packed

CONTACTS = "/api/v1/contacts"
SHARES = "/api/v1/shares"
DEVICE = "X_Basecrm_Device_UUID"
RECORDS = 500
FILES = 60
TOLERATED_SHARE = 0.03
"""How much the last quarter may exceed the one before, as a share of it; half a MiB of noise comes on top."""

TOLERATED_MIB = 0.5

QUIET = (
    "--set", "log.level=error", "--set", "limits.rate_token_per_second=1000000",
    "--set", "limits.rate_token_burst=1000000", "--set", "limits.rate_address_per_second=1000000",
    "--set", "limits.rate_address_burst=1000000",
)  # fmt: skip


class Load:
    """Callers of every door, each on a thread, until the end; what failed is counted."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self.ended = threading.Event()
        self.answers: Counter[str] = Counter()

    def run(self) -> None:
        """Starts a thread for each kind of caller."""
        with Wire(self.url, self.token) as wire:
            self.share = wire.call("POST", SHARES, {"name": "Soak"}).json()["id"]
            self.ids = [
                wire.call("POST", CONTACTS, {"first_name": f"Person {n}"}).json()["contact_id"] for n in range(RECORDS)
            ]
            for device in ("laptop", "phone"):
                body = {"device_id": device, "device_name": device, "platform": "linux", "client_version": "1"}
                wire.call("POST", "/api/v1/sync/devices", body)
            wire.call("POST", "/api/v1/terminology", {"organization_id": "default", "labels": {"member": "Member"}})
            wire.call("POST", "/api/v1/terminology-sync", {"organization_id": "default"})
        for caller in (self.contacts, self.cache, self.sell, self.feed, self.push, self.terminology, self.files,
                       self.changes, self.polls, self.odd):  # fmt: skip
            threading.Thread(target=self._repeat, args=(caller,), daemon=True).start()

    def _repeat(self, caller: Callable[[Wire, random.Random], None]) -> None:
        rng = random.Random(caller.__name__)
        while not self.ended.is_set():
            try:
                with Wire(self.url, self.token) as wire:
                    for _ in range(50):
                        caller(wire, rng)
                        if self.ended.is_set():
                            return
            except (OSError, AssertionError, KeyError, ValueError) as failure:
                self.answers[f"{caller.__name__} {type(failure).__name__}"] += 1

    def _call(self, wire: Wire, method: str, path: str, body: Any = None, /, **headers: str) -> Any:
        reply = wire.call(method, path, body, **headers)
        self.answers[str(reply.status)] += 1
        return reply.json() if reply.body and reply.status < 300 else {}

    def contacts(self, wire: Wire, rng: random.Random) -> None:
        """Edits, reads and searches contacts; deletes one and creates another."""
        id = rng.choice(self.ids)
        self._call(wire, "PUT", f"{CONTACTS}/{id}", {"phone": f"+47 {rng.randrange(10**8):08d}"})
        self._call(wire, "GET", f"{CONTACTS}/{id}")
        self._call(wire, "GET", f"{CONTACTS}?q=person&page={rng.randint(1, 5)}")
        if rng.random() < 0.3:
            self._call(wire, "DELETE", f"{CONTACTS}/{id}")
            made = self._call(wire, "POST", CONTACTS, {"first_name": "Again"}, idempotency_key=f"{rng.random()}")
            self.ids[self.ids.index(id)] = made.get("contact_id", id)

    def cache(self, wire: Wire, rng: random.Random) -> None:
        """Syncs a batch of cached contacts and notes."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        first = rng.randrange(10) * 50
        contacts = [{"id": f"cnt_{first + n}", "name": f"Cached {rng.random()}", "updated_at": at} for n in range(50)]
        notes = [{"id": f"n_{first + n}", "contact_id": f"cnt_{first + n}", "content": f"Note {rng.random()}",
                  "created_at": at, "updated_at": at} for n in range(20)]  # fmt: skip
        self._call(wire, "POST", "/api/v1/cache/sync", {"org_id": "default", "contacts": contacts, "notes": notes})
        self._call(wire, "GET", "/api/v1/cache/contacts?org_id=default")

    def sell(self, wire: Wire, rng: random.Random) -> None:
        """Drains a device and acknowledges what it got."""
        device = {DEVICE: f"device-{rng.randrange(30)}"}
        started = wire.call("POST", "/v2/sync/start", None, **device)
        self.answers[str(started.status)] += 1
        if started.status != 201:
            return
        session = started.json()["data"]["id"]
        while (page := wire.call("GET", f"/v2/sync/{session}/queues/main", None, **device)).status == 200:
            keys = [item["meta"]["sync"]["ack_key"] for item in page.json()["items"]]
            self._call(wire, "POST", "/v2/sync/ack", {"data": {"ack_keys": keys}}, **device)

    def feed(self, wire: Wire, rng: random.Random) -> None:
        """Reads the whole record feed, then follows it."""
        page = self._call(wire, "GET", "/api/v1/feed?limit=1000")
        for _ in range(20):
            page = self._call(wire, "GET", f"/api/v1/feed?limit={rng.randint(1, 500)}&cursor={quote(page['cursor'])}")

    def push(self, wire: Wire, rng: random.Random) -> None:
        """Pushes edits, many on an old base."""
        changes = [
            {"client_change_id": f"{rng.random()}", "kind": "contact", "id": rng.choice(self.ids), "op": "put",
             "base_revision": rng.randint(0, 50), "fields": {"phone": "1"}}
            for _ in range(10)
        ]  # fmt: skip
        self._call(wire, "POST", "/api/v1/feed/push", {"device_id": f"p{rng.randrange(20)}", "changes": changes})

    def terminology(self, wire: Wire, rng: random.Random) -> None:
        """Changes labels and syncs them."""
        labels = {"labels": {"member": f"Member {rng.random()}"}, "merge": True}
        self._call(wire, "PUT", "/api/v1/terminology/default", labels)
        self._call(wire, "POST", "/api/v1/terminology-sync/default/sync-if-stale")
        self.ended.wait(0.05)

    def files(self, wire: Wire, rng: random.Random) -> None:
        """Uploads files over the same paths, and downloads some."""
        stream = packed(
            ({"path": f"/f{rng.randrange(FILES)}"}, rng.randbytes(rng.choice([10, 2_000, 60_000]))) for _ in range(5)
        )
        sent = wire.send("POST", f"/api/v1/uploads/packed?share_id={self.share}", stream)
        self.answers[str(sent.status)] += 1
        children = self._call(wire, "GET", f"{SHARES}/{self.share}/children?limit=100")
        for node in rng.sample(children["data"], min(3, len(children["data"]))):
            self.answers[str(wire.send("GET", f"/api/v1/sync/download/{node['id']}").status)] += 1
        if rng.random() < 0.3:
            self._call(wire, "DELETE", f"{SHARES}/{self.share}/nodes/{children['data'][0]['id']}")
            self._call(wire, "DELETE", f"{SHARES}/{self.share}/trash")
            self._call(wire, "POST", f"{SHARES}/{self.share}/versions/prune", {"keep_last": 2})
        self.ended.wait(0.05)

    def changes(self, wire: Wire, _rng: random.Random) -> None:
        """Follows the share, from its whole tree on."""
        page = self._call(wire, "GET", f"/api/v1/sync/changes?share_id={self.share}&cursor=0")
        for _ in range(10):
            page = self._call(wire, "GET", f"/api/v1/sync/changes?share_id={self.share}&cursor={quote(page['cursor'])}")

    def polls(self, wire: Wire, _rng: random.Random) -> None:
        """Waits for changes of records and of files."""
        cursor = self._call(wire, "GET", "/api/v1/feed?limit=5000")["cursor"]
        self._call(wire, "GET", f"/api/v1/feed?wait=1&cursor={quote(cursor)}")
        self._call(wire, "GET", "/api/v1/sync/changes?wait=1")

    def odd(self, wire: Wire, rng: random.Random) -> None:
        """Sends what is refused, under ever new names."""
        self._call(wire, "GET", f"{CONTACTS}/unknown-{rng.random()}")
        self._call(wire, "GET", f"/nothing/{rng.random()}")
        self._call(wire, "POST", CONTACTS, {"first_name": "", "email": f"{rng.random()}"})
        self._call(wire, "GET", f"/api/v1/feed?cursor=c1.{rng.random()}")


def rss_mib(pid: int) -> float:
    """The resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def levels_off(minutes: list[float]) -> bool:
    """True when the highest value of the last quarter hardly exceeds that of the quarter before."""
    quarter = max(1, len(minutes) // 4)
    last, before = max(minutes[-quarter:]), max(minutes[-2 * quarter : -quarter])
    return last <= before * (1 + TOLERATED_SHARE) + TOLERATED_MIB


def main(
    minutes: Annotated[float, typer.Option(help="How long the load runs.")] = 20.0,
    database: Annotated[str | None, typer.Option(help="PostgreSQL database; without it SQLite.")] = None,
) -> None:
    """Runs the load and prints the server's memory each minute; exit code 1 when it does not level off."""
    place = ("--database", database) if database else ()
    step_seconds = min(60.0, minutes * 60 / 8)
    with (
        tempfile.TemporaryDirectory(prefix="headwater-soak-") as folder,
        running(Path(folder) / "data", *QUIET, *place) as served,
    ):
        found = [rss_mib(served.process.pid)]
        print(f"at the start   {found[0]:7.1f} MiB", flush=True)
        load = Load(served.url, served.admin_token)
        load.run()
        ends = time.monotonic() + minutes * 60
        while time.monotonic() < ends - step_seconds / 2:
            time.sleep(step_seconds)
            found.append(rss_mib(served.process.pid))
            counts = sum(count for name, count in load.answers.items() if name.isdigit())
            print(f"{len(found) - 1:4} x {step_seconds:3.0f} s {found[-1]:9.1f} MiB {counts:9} answers", flush=True)
        load.ended.set()
        time.sleep(2.0)
        code = served.stop(signal.SIGTERM)[0]
    print("answers:", dict(sorted(load.answers.items())))
    good = levels_off(found[1:]) and code == 0 and not any(name.startswith("5") for name in load.answers)
    print("memory levels off" if levels_off(found[1:]) else "MEMORY STILL RISES", f"(server's exit code {code})")
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
