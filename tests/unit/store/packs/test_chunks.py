from __future__ import annotations

import pytest

from headwater.store.database import Database
from headwater.store.packs import chunks
from headwater.store.packs.chunks import RENEW_US, among, batched, claim, locate, register
from headwater.store.packs.format import ChunkRef, Pack, chunk_id
from headwater.store.packs.writer import Written
from tests.support.clock import MovableClock


def ids_of(count: int) -> list[bytes]:
    return [chunk_id(str(number).encode()) for number in range(count)]


def written(ids: list[bytes], pack: int = 1, organisation: str = "acme") -> Written:
    refs = tuple(ChunkRef(id, pack, 16 + 10 * place, 10) for place, id in enumerate(ids))
    return Written(organisation, (Pack(pack, 1000, 10 * len(ids), len(ids)),), refs)


def touched(database: Database) -> dict[bytes, int]:
    rows = database.read_now(lambda tx: tx.rows("SELECT chunk, touched_us FROM chunks"))
    return {bytes(row[0]): row[1] for row in rows}


def add(database: Database, content: Written) -> None:
    database.write_now(lambda tx: register(tx, content))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 513])
def test_any_number_of_ids_is_looked_up_each_once(database: Database, count: int) -> None:
    ids = ids_of(count)
    add(database, written(ids))
    assert set(database.read_now(lambda tx: locate(tx, "acme", ids + ids))) == set(ids)
    assert len(ids) == count


def test_rows_come_once_for_each_id_however_often_it_is_named(database: Database) -> None:
    ids = ids_of(3)
    add(database, written(ids))
    sql = batched("SELECT chunk FROM chunks WHERE organisation = ? AND chunk IN (BATCH)")
    rows = database.read_now(lambda tx: list(among(tx, sql, ("acme",), [*ids, *ids, ids[0]])))
    assert sorted(bytes(row[0]) for row in rows) == sorted(ids)


class TestClaim:
    @pytest.mark.parametrize(("age_us", "renewed"), [(0, False), (RENEW_US, False), (RENEW_US + 1, True)])
    def test_a_claim_writes_an_age_anew_only_when_it_is_older(
        self, database: Database, clock: MovableClock, age_us: int, renewed: bool
    ) -> None:
        ids = ids_of(2)
        add(database, written(ids))
        first_us = clock.at_us
        clock.at_us += age_us
        assert set(database.write_now(lambda tx: claim(tx, "acme", ids))) == set(ids)
        assert set(touched(database).values()) == {clock.at_us if renewed else first_us}

    def test_a_claim_renews_its_own_chunks_alone(self, database: Database, clock: MovableClock) -> None:
        ids = ids_of(3)
        add(database, written(ids))
        first_us = clock.at_us
        clock.at_us += 2 * RENEW_US
        database.write_now(lambda tx: claim(tx, "acme", ids[:1]))
        ages = touched(database)
        assert [ages[id] for id in ids] == [clock.at_us, first_us, first_us]

    def test_a_claim_of_another_organisation_renews_nothing(self, database: Database, clock: MovableClock) -> None:
        ids = ids_of(2)
        add(database, written(ids))
        before = touched(database)
        clock.at_us += 2 * RENEW_US
        assert database.write_now(lambda tx: claim(tx, "other", ids)) == {}
        assert touched(database) == before

    def test_a_clock_that_stepped_back_makes_no_chunk_older(self, database: Database, clock: MovableClock) -> None:
        ids = ids_of(2)
        add(database, written(ids))
        before = touched(database)
        clock.advance(-3600)
        database.write_now(lambda tx: claim(tx, "acme", ids))
        assert touched(database) == before


def test_a_chunk_that_is_sent_again_is_in_the_new_pack_and_young(database: Database, clock: MovableClock) -> None:
    ids = ids_of(2)
    add(database, written(ids, pack=1))
    clock.advance(3600)
    add(database, written(ids[:1], pack=2))
    refs = database.read_now(lambda tx: locate(tx, "acme", ids))
    assert [refs[id].pack for id in ids] == [2, 1]
    assert touched(database)[ids[0]] == clock.at_us


def test_the_same_chunk_in_two_organisations_is_two_rows(database: Database) -> None:
    ids = ids_of(1)
    add(database, written(ids, pack=1))
    add(database, written(ids, pack=2, organisation="other"))
    packs = [database.read_now(lambda tx, who=who: locate(tx, who, ids))[ids[0]].pack for who in ("acme", "other")]  # type: ignore[misc]
    assert packs == [1, 2]


def test_a_pack_may_be_known_without_chunks(database: Database, clock: MovableClock) -> None:
    database.write_now(lambda tx: chunks.add_packs(tx, "acme", [Pack(7, 100, 0, 0)]))
    sql = "SELECT organisation, pack, size_bytes, content_bytes, chunks, created_us FROM packs"
    assert database.read_now(lambda tx: tx.rows(sql)) == [("acme", 7, 100, 0, 0, clock.at_us)]
