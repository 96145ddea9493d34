"""One cursor over ten thousand shares: of bounded length, and nothing is missed or sent twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from headwater.feed import cursor_bases, wide_cursor
from headwater.identity.principal import Principal
from headwater.store.database import Transaction
from headwater.store.log import feeds
from tests.support.file_share import FileShare
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest

CHANGES = "/api/v1/sync/changes"
SHARES = 10_000


def principal_of(server: ServerUnderTest, client: Client) -> Principal:
    return server.loop.run(server.services.authenticator.principal(f"Bearer {client.token}".encode()))


def make_shares(server: ServerUnderTest, client: Client, count: int) -> list[str]:
    """Shares of the caller, written straight into the database."""
    owner = principal_of(server, client)

    def transaction(tx: Transaction) -> list[str]:
        found = []
        for number in range(count):
            share_id = f"shr_many{number:05d}"
            feed = feeds.create(tx, "share:" + share_id, "default", history=True)
            tx.run(
                "INSERT INTO shares (feed, id, organisation, name, owner, case_sensitive, portable, created_us,"
                " updated_us) VALUES (?, ?, 'default', ?, ?, 0, 1, 0, 0)",
                feed, share_id, share_id, owner.user_id,
            )  # fmt: skip
            found.append(share_id)
        return found

    return server.database.write_now(transaction)


class Reader:
    """A device that follows all shares by one cursor."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.cursor: str | None = None
        self.longest = 0

    def page(self, limit: int = 1000, cursor: str | None = None) -> dict[str, Any]:
        given = cursor or self.cursor
        answer = self.client.get(f"{CHANGES}?limit={limit}" + (f"&cursor={given}" if given else ""))
        assert answer.status == 200, answer.text
        page: dict[str, Any] = answer.json()
        self.cursor = page["cursor"]
        self.longest = max(self.longest, len(page["cursor"]))
        return page

    def all(self, limit: int = 1000) -> list[tuple[str, str]]:
        """The share and path of every change up to now."""
        found, more = [], True
        while more:
            page = self.page(limit)
            found += [(change["share_id"], change["new_path"]) for change in page["changes"]]
            more = page["has_more"]
        return found


@pytest.fixture
def crowd(server: ServerUnderTest, client: Client) -> list[str]:
    return make_shares(server, client, SHARES)


def put(client: Client, share: str, path: str) -> None:
    assert client.post(f"/api/v1/shares/{share}/folders", json={"path": path}).status == 201


@pytest.mark.sqlite_only
def test_a_cursor_over_ten_thousand_shares_is_short_and_misses_nothing(
    server: ServerUnderTest, client: Client, crowd: list[str]
) -> None:
    reader = Reader(client)
    assert reader.all() == []
    for share in crowd[::1000]:
        put(client, share, "/a")
    assert sorted(reader.all()) == [(share, "/a") for share in crowd[::1000]]
    assert reader.all() == []
    put(client, crowd[5], "/b")
    new = client.post("/api/v1/shares", json={"name": "New"}).json()["id"]
    put(client, new, "/c")
    assert sorted(reader.all(limit=1)) == sorted([(crowd[5], "/b"), (new, "/c")])
    assert reader.all() == []
    assert reader.longest <= wide_cursor.MAX_LENGTH


@pytest.mark.sqlite_only
def test_the_trees_of_thousands_of_shares_are_sent_once_page_by_page(server: ServerUnderTest, client: Client) -> None:
    shares = make_shares(server, client, 2500)
    for share in shares[::250]:
        put(client, share, "/a")
    reader = Reader(client)
    reader.cursor = "0"
    assert sorted(reader.all(limit=3)) == [(share, "/a") for share in shares[::250]]
    assert reader.all() == []
    assert reader.longest <= wide_cursor.MAX_LENGTH


@pytest.mark.sqlite_only
def test_the_reader_keeps_at_most_the_base_that_it_has_and_the_one_before(
    server: ServerUnderTest, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = make_shares(server, client, 1500)
    reader = Reader(client)
    reader.page()
    monkeypatch.setattr(wide_cursor, "MAX_LENGTH", 200)
    for round_ in range(5):
        for share in shares[round_ * 100 : round_ * 100 + 40]:
            put(client, share, "/a")
        before = reader.cursor
        assert len(reader.page()["changes"]) == 40
        # The answer was lost: the same page can be asked for again.
        assert len(reader.page(cursor=before)["changes"]) == 40
        assert reader.all() == []
    server.clock.advance(2 * 86_400)
    count = "SELECT count(*) FROM cursor_bases"
    server.database.write_now(lambda tx: cursor_bases.drop_expired(tx, 90 * cursor_bases.DAY_US))
    # Those of the lost answers, which no cursor was ever sent back of, go with the log.
    assert server.database.read_now(lambda tx: tx.value(count)) <= 2 + 5


@pytest.mark.sqlite_only
def test_a_cursor_whose_base_was_removed_begins_again(server: ServerUnderTest, client: Client) -> None:
    make_shares(server, client, 1500)
    reader = Reader(client)
    reader.page()
    server.database.write_now(lambda tx: tx.run("DELETE FROM cursor_bases"))
    answer = client.get(f"{CHANGES}?cursor={reader.cursor}")
    assert answer.problem() == (400, "SYNC_CURSOR_INVALID")
    assert answer.json()["reason"] == "expired"
    reader.cursor = answer.json()["cursor"]
    assert reader.all() == []


@pytest.mark.sqlite_only
def test_a_share_that_was_lost_and_came_back_is_sent_whole(server: ServerUnderTest, client: Client) -> None:
    shares = make_shares(server, client, 1500)
    put(client, shares[0], "/a")
    text, row = server.token_row("default", "coordinator")
    member = server.client.as_token(text)

    def grant(tx: Transaction) -> None:
        tx.run("DELETE FROM share_members")
        listed = [(feed, row.user_id) for (feed,) in tx.rows("SELECT feed FROM shares")]
        tx.run_many("INSERT INTO share_members (feed, kind, member, access, at_us) VALUES (?, 'user', ?, 1, 0)", listed)
        tx.notify(feeds.ACCESS)

    def take_away(tx: Transaction) -> None:
        feed = tx.value("SELECT feed FROM shares WHERE id = ?", shares[0])
        tx.run("DELETE FROM share_members WHERE feed = ?", feed)
        tx.notify(feeds.ACCESS)

    server.database.write_now(grant)
    reader = Reader(member)
    assert reader.all() == []
    server.database.write_now(take_away)
    assert reader.all() == []
    server.database.write_now(grant)
    assert reader.all() == [(shares[0], "/a")]


@pytest.mark.sqlite_only
def test_an_idle_poll_of_all_shares_asks_as_much_for_a_thousand_as_for_ten(
    server: ServerUnderTest, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def statements(work: Callable[[], object]) -> int:
        count = 0
        rows, row = type_of_reads(server).rows, type_of_reads(server).row

        def counted(plain: Callable[..., Any]) -> Callable[..., Any]:
            def run(self: Any, *asked: Any) -> Any:
                nonlocal count
                count += 1
                return plain(self, *asked)

            return run

        with monkeypatch.context() as patched:
            patched.setattr(type_of_reads(server), "rows", counted(rows))
            patched.setattr(type_of_reads(server), "row", counted(row))
            work()
        return count

    reader = Reader(client)
    FileShare(server)
    reader.page()
    few = statements(reader.page)
    make_shares(server, client, 1000)
    reader.all()
    assert statements(reader.page) <= few + 5


def type_of_reads(server: ServerUnderTest) -> Any:
    return type(server.database.read_now(lambda tx: tx))
