from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from headwater.base.errors import Damaged
from headwater.contracts.files import content
from headwater.contracts.files.content_stream import stream
from headwater.store.database import Database
from headwater.store.packs.chunks import register
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import chunk_id
from headwater.store.packs.writer import PackWriter, Written
from headwater.store.tree.versions import Piece

PARTS = (b"first", b"second", b"third")
PIECES = [Piece(chunk_id(part), len(part)) for part in PARTS]


@pytest.fixture
def place(tmp_path: Path) -> PackFolder:
    return PackFolder(tmp_path / "packs-of-the-test")


@pytest.fixture
def written(place: PackFolder) -> Written:
    with PackWriter(place, "acme") as writer:
        for part in PARTS:
            writer.append(part)
        return writer.close()


def test_chunks_are_located_in_the_order_of_the_pieces(database: Database, written: Written) -> None:
    database.write_now(lambda tx: register(tx, written))
    wanted = [PIECES[2], PIECES[0], PIECES[2]]
    refs = database.read_now(lambda tx: content.refs_of(tx, "acme", wanted))
    assert [ref.chunk for ref in refs] == [piece.chunk for piece in wanted]


def test_a_chunk_that_is_gone_is_damage_by_its_name(database: Database, written: Written) -> None:
    database.write_now(lambda tx: register(tx, written))
    lost = Piece(chunk_id(b"lost"), 4)
    with pytest.raises(Damaged, match=lost.chunk.hex()):
        database.read_now(lambda tx: content.refs_of(tx, "acme", [*PIECES, lost]))


def test_the_chunks_of_another_organisation_are_not_there(database: Database, written: Written) -> None:
    database.write_now(lambda tx: register(tx, written))
    with pytest.raises(Damaged):
        database.read_now(lambda tx: content.refs_of(tx, "other", PIECES))


def test_a_content_is_read_once_into_all_digests(place: PackFolder, written: Written) -> None:
    whole = b"".join(PARTS)
    blake, sha1 = blake3(), hashlib.sha1()
    content.digest_into(place, written.refs, blake, sha1)
    assert (blake.digest(), sha1.digest()) == (blake3(whole).digest(), hashlib.sha1(whole).digest())
    assert content.sha256_of(place, written.refs) == hashlib.sha256(whole).hexdigest()
    assert content.sha256_of(place, []) == hashlib.sha256(b"").hexdigest()


class Reading:
    """Pieces that note on which thread they were taken and whether they were closed."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self._pieces = list(pieces)
        self.threads: set[threading.Thread] = set()
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self.threads.add(threading.current_thread())
        if not self._pieces:
            raise StopIteration
        piece = self._pieces.pop(0)
        if isinstance(piece, Exception):
            raise piece
        return piece

    def close(self) -> None:
        self.closed = True


class TestStream:
    def test_the_pieces_come_in_order_from_other_threads(self) -> None:
        reading = Reading(b"a", b"b", b"c")

        async def work() -> list[bytes]:
            return [piece async for piece in stream(reading)]

        assert asyncio.run(work()) == [b"a", b"b", b"c"]
        assert threading.current_thread() not in reading.threads
        assert reading.closed

    def test_a_reading_without_pieces_ends_at_once(self) -> None:
        async def work() -> list[bytes]:
            return [piece async for piece in stream(iter([]))]

        assert asyncio.run(work()) == []

    def test_damage_comes_after_what_was_read_before_it(self) -> None:
        reading = Reading(b"a", Damaged("gone"), b"never")
        given: list[bytes] = []

        async def work() -> None:
            async for piece in stream(reading):
                given.append(piece)  # noqa: PERF401 - what came before the failure counts

        with pytest.raises(Damaged, match="gone"):
            asyncio.run(work())
        assert given == [b"a"]
        assert reading.closed

    def test_a_caller_that_leaves_early_closes_the_reading(self) -> None:
        reading = Reading(b"a", b"b", b"c")

        async def work() -> bytes:
            given = stream(reading)
            first = await anext(given)
            await given.aclose()
            return first

        assert asyncio.run(work()) == b"a"
        assert reading.closed

    def test_damage_in_a_piece_that_no_caller_takes_is_not_reported_as_lost(self) -> None:
        lost: list[object] = []

        async def work() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _loop, told: lost.append(told))
            given = stream(Reading(b"a", Damaged("gone")))
            await anext(given)
            await given.aclose()
            await asyncio.sleep(0.01)

        asyncio.run(work())
        assert lost == []
