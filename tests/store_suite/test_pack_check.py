from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from headwater.store.database import Database, Transaction
from headwater.store.packs import check as pack_check
from headwater.store.packs.check import Verified, verify
from headwater.store.packs.chunks import add_packs, register
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import ChunkRef, pack_name
from headwater.store.packs.gc import chunks_in_pack
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
