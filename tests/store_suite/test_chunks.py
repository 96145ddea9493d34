from __future__ import annotations

import random
from pathlib import Path

import pytest

from headwater.store.database import Database
from headwater.store.packs.chunks import claim, locate, register
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import ChunkRef, chunk_id
from headwater.store.packs.reader import read_each
from headwater.store.packs.writer import PackWriter, Written


@pytest.fixture
def folder(tmp_path: Path) -> PackFolder:
    return PackFolder(tmp_path / "packs")


def write(folder: PackFolder, organisation: str, contents: list[bytes]) -> Written:
    with PackWriter(folder, organisation) as writer:
        for content in contents:
            writer.append(content)
        return writer.close()


def make(count: int, seed: int = 1) -> list[bytes]:
    source = random.Random(seed)
    return [source.randbytes(50) for _ in range(count)]


def test_registered_chunks_are_known_and_located(database: Database, folder: PackFolder) -> None:
    contents = make(600)
    written = write(folder, "org_a", contents)
    database.write_now(lambda tx: register(tx, written))
    ids = [chunk_id(content) for content in contents]
    strangers = [chunk_id(content) for content in make(300, seed=2)]
    assert database.read_now(lambda tx: locate(tx, "org_a", ids + strangers)).keys() == set(ids)
    places = database.read_now(lambda tx: locate(tx, "org_a", ids + strangers))
    assert places == {ref.chunk: ref for ref in written.refs}
    assert all(type(ref) is ChunkRef for ref in places.values())
    assert [bytes(view) for view in read_each(folder, [places[chunk] for chunk in ids])] == contents


def test_a_chunk_of_a_pack_that_was_never_closed_is_not_registered(database: Database, folder: PackFolder) -> None:
    written = write(folder, "org_a", make(3))
    torn = written._replace(packs=())
    with pytest.raises(AssertionError, match="closed"):
        database.write_now(lambda tx: register(tx, torn))
    assert database.read_now(lambda tx: locate(tx, "org_a", [ref.chunk for ref in written.refs])) == {}


def test_nobody_is_asked_about_no_ids(database: Database) -> None:
    assert database.read_now(lambda tx: locate(tx, "org_a", [])) == {}
    assert database.write_now(lambda tx: claim(tx, "org_a", [])) == {}


def test_no_organisation_detects_what_another_has(database: Database, folder: PackFolder) -> None:
    contents = make(3)
    ids = [chunk_id(content) for content in contents]
    ours, theirs = write(folder, "org_a", contents), write(folder, "org_b", contents)
    database.write_now(lambda tx: register(tx, theirs))
    assert database.read_now(lambda tx: locate(tx, "org_a", ids)) == {}
    assert database.write_now(lambda tx: claim(tx, "org_a", ids)) == {}
    database.write_now(lambda tx: register(tx, ours))
    assert set(database.read_now(lambda tx: locate(tx, "org_a", ids)).values()) == set(ours.refs)
    assert set(database.read_now(lambda tx: locate(tx, "org_b", ids)).values()) == set(theirs.refs)


def test_a_chunk_that_is_uploaded_twice_stands_where_it_was_written_last(
    database: Database, folder: PackFolder
) -> None:
    first = write(folder, "org_a", [b"shared", b"only first"])
    second = write(folder, "org_a", [b"shared", b"only second"])
    database.write_now(lambda tx: register(tx, first))
    database.write_now(lambda tx: register(tx, second))
    ids = [chunk_id(content) for content in (b"shared", b"only first", b"only second")]
    places = database.read_now(lambda tx: locate(tx, "org_a", ids))
    assert [places[chunk].pack for chunk in ids] == [second.refs[0].pack, first.refs[0].pack, second.refs[0].pack]


def test_a_failed_transaction_registers_nothing(database: Database, folder: PackFolder) -> None:
    written = write(folder, "org_a", make(3))

    def fail(tx: object) -> None:
        register(tx, written)  # type: ignore[arg-type]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        database.write_now(fail)
    assert database.read_now(lambda tx: tx.rows("SELECT * FROM chunks")) == []
    assert database.read_now(lambda tx: tx.rows("SELECT * FROM packs")) == []


def test_claiming_tells_what_must_be_sent_again(database: Database, folder: PackFolder) -> None:
    written = write(folder, "org_a", make(3))
    database.write_now(lambda tx: register(tx, written))
    missing = chunk_id(b"never sent")
    wanted = [ref.chunk for ref in written.refs] + [missing]
    assert database.write_now(lambda tx: claim(tx, "org_a", wanted)) == {ref.chunk: ref for ref in written.refs}
