from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import Damaged, QuotaExceeded
from headwater.store.database import Database, Transaction
from headwater.store.packs import check as pack_check
from headwater.store.packs import damage
from headwater.store.packs.check import Verified, verify
from headwater.store.packs.chunks import RENEW_US, add_packs, claim, damaged, register
from headwater.store.packs.damage import DamageLedger
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import ChunkRef, pack_name
from headwater.store.packs.gc import chunks_in_pack, sweep
from headwater.store.packs.reader import read_each
from headwater.store.packs.writer import PackWriter


@pytest.fixture
def folder(tmp_path: Path) -> PackFolder:
    return PackFolder(tmp_path / "packs")


def upload(database: Database, folder: PackFolder, seed: int, organisation: str = "org_a") -> tuple[ChunkRef, ...]:
    source = random.Random(seed)
    with PackWriter(folder, organisation) as writer:
        for _ in range(20):
            writer.append(source.randbytes(100))
        written = writer.close()
    database.write_now(lambda tx: register(tx, written))
    return written.refs


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x20
    path.write_bytes(content)


def test_sound_packs_are_all_read_and_progress_is_told(database: Database, folder: PackFolder) -> None:
    for seed, organisation in enumerate(("org_a", "org_a", "org_b")):
        upload(database, folder, seed, organisation)
    told: list[tuple[int, int]] = []
    verified = verify(database, folder, lambda so_far: told.append((so_far.chunks, so_far.total_chunks)))
    assert verified == Verified(60, 6000, packs=3, chunks=60, content_bytes=6000)
    assert told == [(20, 60), (40, 60), (60, 60)]


def test_an_empty_store_is_sound(database: Database, folder: PackFolder) -> None:
    assert verify(database, folder) == Verified()


def test_every_flipped_chunk_is_named_and_no_other(database: Database, folder: PackFolder, tmp_path: Path) -> None:
    refs = upload(database, folder, 1)
    upload(database, folder, 2)
    path = tmp_path / "packs" / pack_name(refs[0].pack)
    for ref in (refs[3], refs[19]):
        flip(path, ref.start_bytes + 99)
    damages = verify(database, folder).damages
    assert [(damage.organisation, damage.pack, damage.chunk) for damage in damages] == [
        ("org_a", refs[0].pack, refs[3].chunk),
        ("org_a", refs[0].pack, refs[19].chunk),
    ]
    assert all("fails its hash" in damage.reason for damage in damages)


def test_a_flipped_tail_is_named_though_every_chunk_is_sound(
    database: Database, folder: PackFolder, tmp_path: Path
) -> None:
    refs = upload(database, folder, 1)
    flip(tmp_path / "packs" / pack_name(refs[0].pack), -70)
    (damage,) = verify(database, folder).damages
    assert (damage.pack, damage.chunk) == (refs[0].pack, None)


def test_a_missing_pack_names_its_tail_and_all_its_chunks(database: Database, folder: PackFolder) -> None:
    refs = upload(database, folder, 1)
    folder.delete(refs[0].pack)
    damages = verify(database, folder).damages
    assert [damage.chunk for damage in damages] == [None, *(ref.chunk for ref in refs)]
    assert all("missing" in damage.reason for damage in damages)


def test_a_chunk_that_a_pack_does_not_list_is_checked_all_the_same(database: Database, folder: PackFolder) -> None:
    refs, others = upload(database, folder, 1), upload(database, folder, 2)
    database.write_now(lambda tx: tx.run("UPDATE chunks SET pack = ? WHERE chunk = ?", others[0].pack, refs[7].chunk))
    (damage,) = verify(database, folder).damages
    assert (damage.pack, damage.chunk) == (others[0].pack, refs[7].chunk)


def test_a_chunk_that_moved_while_its_pack_was_read_is_checked_where_it_stands(
    database: Database, folder: PackFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = upload(database, folder, 1)

    def stand_in_then_move(tx: Transaction, **options: Any) -> list[ChunkRef]:
        found = chunks_in_pack(tx, **options)
        if options["pack"] == refs[0].pack:
            move()
        return found

    def move() -> None:
        with PackWriter(folder, "org_a") as writer:
            places = [writer.append(bytes(content)) for content in read_each(folder, refs)]
            packs = writer.close().packs
        database.write_now(lambda tx: add_packs(tx, "org_a", packs))
        rows = [(place.pack, place.start_bytes, place.chunk) for place in places[:19]]
        database.write_now(lambda tx: tx.run_many("UPDATE chunks SET pack = ?, start_bytes = ? WHERE chunk = ?", rows))
        database.write_now(lambda tx: tx.run("DELETE FROM chunks WHERE chunk = ?", refs[19].chunk))
        folder.delete(refs[0].pack)

    monkeypatch.setattr(pack_check, "chunks_in_pack", stand_in_then_move)
    assert verify(database, folder).damages == []


def test_damage_is_marked_and_a_chunk_that_is_whole_again_loses_its_mark(
    database: Database, folder: PackFolder, tmp_path: Path
) -> None:
    refs = upload(database, folder, 1)
    path = tmp_path / "packs" / pack_name(refs[0].pack)
    whole = path.read_bytes()
    for ref in (refs[3], refs[19]):
        flip(path, ref.start_bytes + 99)
    assert verify(database, folder).whole_again == 0
    ids = [ref.chunk for ref in refs]
    assert database.read_now(lambda tx: damaged(tx, "org_a", ids)) == {refs[3].chunk, refs[19].chunk}
    path.write_bytes(whole)
    flip(path, refs[3].start_bytes + 99)
    assert verify(database, folder).whole_again == 1
    assert database.read_now(lambda tx: damaged(tx, "org_a", ids)) == {refs[3].chunk}
    assert database.read_now(damage.count) == 1


def test_a_marked_chunk_must_be_sent_again_and_then_counts_as_known(
    database: Database, folder: PackFolder, tmp_path: Path
) -> None:
    refs = upload(database, folder, 1)
    flip(tmp_path / "packs" / pack_name(refs[0].pack), refs[3].start_bytes)
    folder.guard.on_damage(DamageLedger(database).report)
    with pytest.raises(Damaged):
        list(read_each(folder, refs))
    ids = [ref.chunk for ref in refs]
    assert database.write_now(lambda tx: claim(tx, "org_a", ids)).keys() == set(ids) - {refs[3].chunk}
    again = upload(database, folder, 1)
    assert database.write_now(lambda tx: claim(tx, "org_a", ids)).keys() == set(ids)
    assert [bytes(view) for view in read_each(folder, again)]
    # A reader that looked the place up before gets the bytes from where they are now, and marks nothing.
    assert [bytes(view) for view in read_each(folder, refs)] == [bytes(view) for view in read_each(folder, again)]
    assert database.read_now(damage.count) == 0


def test_a_mark_ends_with_its_chunk(database: Database, folder: PackFolder, tmp_path: Path) -> None:
    refs = upload(database, folder, 1)
    flip(tmp_path / "packs" / pack_name(refs[0].pack), refs[3].start_bytes)
    verify(database, folder)
    assert len(database.read_now(lambda tx: damage.listed(tx, 10))) == 1
    database.write_now(lambda tx: tx.run("UPDATE chunks SET touched_us = 0"))
    sweep(database, folder, lambda _tx, _organisation, _ids: set(), grace_us=RENEW_US + 1)
    assert database.read_now(lambda tx: tx.value("SELECT count(*) FROM damaged_chunks")) == 0


def test_a_ledger_whose_database_refuses_still_lets_the_reader_know(
    database: Database, folder: PackFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = upload(database, folder, 1)
    flip(tmp_path / "packs" / pack_name(refs[0].pack), refs[3].start_bytes)
    folder.guard.on_damage(DamageLedger(database).report)

    def refuse(*_: Any, **__: Any) -> None:
        raise QuotaExceeded("the disk is full")

    monkeypatch.setattr(database, "write_now", refuse)
    with pytest.raises(Damaged, match=refs[3].chunk.hex()):
        list(read_each(folder, refs))
