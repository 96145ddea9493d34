"""Fixtures that every test may ask for: a database, a server over it, clients, and a live port.

``database`` runs a test on each kind of database; mark a test, class or module ``sqlite_only`` for one run. Override
``settings`` in a module to serve with others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.base.settings.table import Settings
from headwater.store.database import Database
from tests.support.clock import MovableClock
from tests.support.server.asgi import Client
from tests.support.server.live import LiveServer, live
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import OPENERS, SMALL


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each test that needs a database one run on each kind."""
    if "database_kind" not in metafunc.fixturenames:
        return
    kinds = ["sqlite"] if metafunc.definition.get_closest_marker("sqlite_only") else list(OPENERS)
    marked = [pytest.param(kind, marks=pytest.mark.postgres) if kind == "postgres" else kind for kind in kinds]
    metafunc.parametrize("database_kind", marked, scope="function")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def database(database_kind: str, tmp_path: Path, clock: MovableClock) -> Iterator[Database]:
    with OPENERS[database_kind](tmp_path, clock, SMALL) as opened:
        yield opened


@pytest.fixture
def server(database: Database, settings: Settings, clock: MovableClock, tmp_path: Path) -> Iterator[ServerUnderTest]:
    with serving(database, settings, clock, tmp_path) as under:
        yield under


@pytest.fixture
def client(server: ServerUnderTest) -> Client:
    """A client with the first start's admin token."""
    return server.client


@pytest.fixture
def live_server(server: ServerUnderTest) -> Iterator[LiveServer]:
    with live(server) as served:
        yield served
