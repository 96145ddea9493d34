"""Nothing is given out twice when the PostgreSQL server crashes, with and without its synchronous commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from headwater.store.database import Transaction
from headwater.store.log import feeds, records, unique_numbers
from headwater.store.migrate import migrate
from headwater.store.postgres.database import PostgresDatabase
from tests.support.store.databases import SMALL
from tests.support.store.postgres import PostgresServer
from tests.support.store.transactions import KIND, draft

pytestmark = pytest.mark.postgres


@pytest.fixture(params=["on", "off"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    started = PostgresServer(synchronous_commit=request.param)
    yield started
    started.stop()


def test_nothing_that_was_acknowledged_is_given_out_again_after_a_crash(server: PostgresServer) -> None:
    """A crash loses what the server had not written to its log, the blocks of sequences among it."""
    seen: dict[str, list[object]] = {"feed": [], "contact": [], "number": [], "position": []}

    def write(tx: Transaction, name: str) -> tuple[int, int, int, int]:
        feed = feeds.create(tx, name, name, history=False)
        number = unique_numbers.take(tx, feed, "contact")[0]
        record = records.create(tx, shared, KIND, draft(f"c-{number}"))
        return feed, number, record.number, record.position

    with closing(PostgresDatabase(server.url(), SMALL)) as database:
        migrate(database)
        shared = database.write_now(lambda tx: feeds.create(tx, "org:shared", "shared", history=False))
    for life in range(4):
        with closing(PostgresDatabase(server.url(), SMALL)) as database:
            for turn in range(9):
                name = f"org:{life}-{turn}"
                given = database.write_now(lambda tx, name=name: write(tx, name), feed=shared)  # type: ignore[misc]
                for kind, value in zip(seen, given, strict=True):
                    seen[kind].append(value)
            server.restart()
    with closing(PostgresDatabase(server.url(), SMALL)) as database:
        kept = database.read_now(lambda tx: tx.value("SELECT count(*) FROM records WHERE feed = ?", shared))
        assert kept == 4 * 9, "each write that was acknowledged is there"
        assert database.read_now(lambda tx: feeds.head(tx, shared)) == 4 * 9
    assert all(len(set(values)) == len(values) for values in seen.values())
