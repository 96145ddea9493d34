"""Installations of earlier versions, opened by the present one; tests/fixtures/upgrades/make.py made them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import psycopg
import zstandard

from headwater.base.settings.table import Settings
from headwater.store.migrate import migrate
from tests.support.clock import SECOND_US, MovableClock
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import SMALL, open_at
from tests.support.store.postgres import postgres_server

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "upgrades"
VERSIONS = sorted(path.name for path in FIXTURES.iterdir() if path.is_dir() and path.name[0].isdigit())
DATABASE = "headwater_upgraded"
DEVICE = "X-Basecrm-Device-UUID"
MAIN = "/v2/sync/{}/queues/main"


def unpacked(version: str, name: str) -> bytes:
    """A compressed file of a version's fixtures."""
    return zstandard.ZstdDecompressor().stream_reader((FIXTURES / version / name).read_bytes()).read()


class Earlier:
    """One installation of an earlier version: its data, and the knowledge of its devices."""

    def __init__(self, version: str, kind: str, folder: Path) -> None:
        self.version = version
        self.kind = kind
        self.folder = folder
        self.known: dict[str, Any] = json.loads(unpacked(version, f"{kind}.json.zst"))
        self.clock = MovableClock(self.known["made_at_us"] + 60 * SECOND_US)

    @property
    def backup(self) -> Path:
        """Its backup."""
        return FIXTURES / self.version / f"{self.kind}.backup.tar.zst"

    def unpack(self) -> str:
        """Puts the data folder and the database in place; returns the database's address."""
        with tarfile.open(fileobj=io.BytesIO(unpacked(self.version, f"{self.kind}.folder.tar.zst"))) as tar:
            tar.extractall(self.folder, filter="data")
        if self.kind == "sqlite":
            return str(self.folder / "headwater.sqlite")
        url = postgres_server().url(DATABASE)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(unpacked(self.version, "postgres.sql.zst"))
        return url

    @contextmanager
    def served(self, address: str) -> Iterator[Played]:
        """Brings the schema up to date and serves, a minute after the fixture was made."""
        database = open_at(address, SMALL, self.clock)
        try:
            migrate(database)
            with serving(database, Settings(), self.clock, self.folder) as under:
                yield Played(under, self.known)
        finally:
            database.close()


@contextmanager
def empty_database() -> Iterator[str]:
    """A PostgreSQL database without tables."""
    postgres_server().run(f"CREATE DATABASE {DATABASE}")
    try:
        yield postgres_server().url(DATABASE)
    finally:
        postgres_server().run(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def settings_at(folder: Path, address: str) -> Settings:
    """The settings of a command on this installation."""
    url = address if address.startswith("postgresql:") else None
    database = msgspec.structs.replace(SMALL, data_folder=str(folder), url=url)
    return msgspec.structs.replace(Settings(), database=database)


class Played:
    """The devices of an earlier version, calling the present server."""

    def __init__(self, under: ServerUnderTest, known: dict[str, Any]) -> None:
        self.under = under
        self.known = known

    def client(self, token: str = "hlf") -> Client:
        """A caller with one of the tokens."""
        return self.under.client.as_token(self.known["tokens"][token])

    def sell(self, device: str, token: str) -> dict[str, Any]:
        """The items of a device's next session, by type and id, unacknowledged."""
        client, headers = self.client(token), {DEVICE: device}
        started = client.post("/v2/sync/start", headers=headers)
        assert started.status in {201, 204}, started.text
        found: dict[str, Any] = {}
        while started.status == 201:
            page = client.get(MAIN.format(started.json()["data"]["id"]), headers=headers)
            if page.status == 204:
                break
            assert page.status == 200, page.text
            for item in page.json()["items"]:
                name = f"{item['meta']['type']}/{item['data']['id']}"
                found[name] = [item["meta"]["sync"]["event_type"], item["data"]]
        return found

    def feed(self, cursor: str | None) -> list[dict[str, Any]]:
        """The changes after a cursor of the record feed."""
        return self._pages("/api/v1/feed?limit=50", cursor)

    def files(self, cursor: str, *, share: bool = True) -> list[dict[str, Any]]:
        """The changes after a cursor of the share, or of all shares."""
        return self._pages(f"/api/v1/sync/changes?limit=50{self._one(share=share)}", cursor)

    def _one(self, *, share: bool) -> str:
        return f"&share_id={self.known['share']}" if share else ""

    def _pages(self, path: str, cursor: str | None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = self.client().get(path + (f"&cursor={quote(cursor)}" if cursor else ""))
            assert page.status == 200, page.text
            found += page.json()["changes"]
            cursor = page.json()["cursor"]
            if not page.json()["has_more"]:
                return found


def holds(present: Any, earlier: Any) -> bool:
    """True when a value has all that the earlier one has; objects may have more keys."""
    if isinstance(earlier, dict):
        return isinstance(present, dict) and all(
            key in present and holds(present[key], value) for key, value in earlier.items()
        )
    if isinstance(earlier, list):
        same = isinstance(present, list) and len(present) == len(earlier)
        return same and all(holds(*pair) for pair in zip(present, earlier, strict=True))
    return bool(present == earlier)
