from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from headwater.contracts.files.packed.checksums import affordable, compare, to_compare
from headwater.contracts.files.packed.parser import Arrived
from headwater.contracts.files.packed.shapes import PackedChunk, PackedFields
from headwater.contracts.files.uploads.shapes import FailureAnswer
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import ChunkRef, chunk_id
from headwater.store.packs.writer import PackWriter
from headwater.store.tree.versions import Piece

PARTS = (b"first", b"second")
WHOLE = b"".join(PARTS)
BLAKE3, SHA256 = blake3(WHOLE).hexdigest(), hashlib.sha256(WHOLE).hexdigest()


def listed(parts: tuple[bytes, ...] = PARTS, *, failure: FailureAnswer | None = None, **checksums: Any) -> Arrived:
    """A file that came as a list of chunks."""
    chunks = [PackedChunk(hash=chunk_id(part).hex(), size=len(part)) for part in parts]
    pieces = tuple(Piece(chunk_id(part), len(part)) for part in parts)
    return Arrived(0, PackedFields(size=0, chunks=chunks, **checksums), pieces=pieces, failure=failure)


@pytest.fixture
def place(tmp_path: Path) -> PackFolder:
    return PackFolder(tmp_path / "packs")


@pytest.fixture
def refs(place: PackFolder) -> dict[bytes, ChunkRef]:
    with PackWriter(place, "acme") as writer:
        found = [writer.append(part) for part in PARTS]
        writer.close()
    return {ref.chunk: ref for ref in found}


def test_only_a_list_with_a_checksum_that_did_not_fail_is_compared() -> None:
    whole = Arrived(0, PackedFields(size=4, blake3=BLAKE3))
    failed = listed(blake3=BLAKE3, failure=FailureAnswer("INVALID", "wrong"))
    good = [listed(blake3=BLAKE3), listed(checksum_sha256=SHA256)]
    assert to_compare([whole, listed(), failed, *good]) == good


@pytest.mark.parametrize(
    ("checksums", "code"),
    [
        ({"blake3": BLAKE3}, None),
        ({"checksum_sha256": SHA256}, None),
        ({"checksum_sha256": SHA256.upper()}, None),
        ({"blake3": BLAKE3, "checksum_sha256": SHA256}, None),
        ({"blake3": SHA256}, "CHECKSUM_MISMATCH"),
        ({"checksum_sha256": BLAKE3}, "CHECKSUM_MISMATCH"),
        ({"blake3": BLAKE3, "checksum_sha256": BLAKE3}, "CHECKSUM_MISMATCH"),
        ({"blake3": SHA256, "checksum_sha256": SHA256}, "CHECKSUM_MISMATCH"),
    ],
)
def test_a_content_is_compared_with_every_checksum_that_was_given(
    place: PackFolder, refs: dict[bytes, ChunkRef], checksums: dict[str, Any], code: str | None
) -> None:
    file = listed(**checksums)
    compare(place, file, refs)
    assert (file.failure and file.failure.code) == code


def test_a_chunk_that_cannot_be_read_fails_its_file(place: PackFolder, refs: dict[bytes, ChunkRef]) -> None:
    file = listed(blake3=BLAKE3)
    for stored in list(place.listing()):
        place.delete(stored.pack)
    compare(place, file, refs)
    assert file.failure is not None
    assert file.failure.code == "CONTENT_DAMAGED"


class TestAffordable:
    def test_files_are_compared_up_to_a_limit_of_bytes_and_the_rest_fails_unread(
        self, refs: dict[bytes, ChunkRef]
    ) -> None:
        files = [listed(blake3=BLAKE3) for _ in range(3)]
        assert affordable(files, refs, 2 * len(WHOLE)) == files[:2]
        assert [file.failure and file.failure.code for file in files] == [None, None, "CHECKSUM_TOO_LARGE"]

    def test_a_smaller_file_after_one_that_is_too_large_is_compared(self, refs: dict[bytes, ChunkRef]) -> None:
        large, small = listed(blake3=BLAKE3), listed(PARTS[:1], blake3=BLAKE3)
        assert affordable([large, small], refs, len(PARTS[0])) == [small]

    def test_a_file_with_an_unknown_chunk_is_left_to_be_refused_elsewhere(self, refs: dict[bytes, ChunkRef]) -> None:
        file = listed((*PARTS, b"unknown"), blake3=BLAKE3)
        assert affordable([file], refs, 10**9) == []
        assert file.failure is None

    def test_a_file_that_names_another_length_than_the_chunk_has_is_left(self, refs: dict[bytes, ChunkRef]) -> None:
        file = listed(blake3=BLAKE3)
        file.pieces = (file.pieces[0]._replace(length_bytes=10**12), file.pieces[1])
        assert affordable([file], refs, 10**9) == []
        assert file.failure is None
