from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.base.errors import Malformed, TooLarge
from headwater.base.settings.table import FileSettings
from headwater.contracts.files.names import DEFAULT_POLICY, NamePolicy
from headwater.contracts.files.packed import parser
from headwater.contracts.files.packed.parser import MAX_LINE_BYTES, MAX_SMALL_CHUNKS, Arrived, Unpacker
from headwater.contracts.files.quota import Level
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.reader import read_range
from headwater.store.packs.writer import Written

KIB = 1024
MIB = 1024 * KIB
SMALL = FileSettings(
    chunk_min_bytes=4 * KIB, chunk_avg_bytes=8 * KIB, chunk_max_bytes=32 * KIB, packed_files=20, file_bytes=100 * KIB,
    packed_bytes=2048 * KIB,
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> PackFolder:
    return PackFolder(tmp_path / "packs")


def frame(content: bytes = b"", **fields: Any) -> bytes:
    """A file of the stream; its size is that of the content unless it is given."""
    return json.dumps({"path": "/a.txt", "size": len(content), **fields}).encode() + b"\n" + content


def unpack(
    place: PackFolder, stream: bytes, step: int = 0, policy: NamePolicy = DEFAULT_POLICY
) -> tuple[list[Arrived], Written]:
    """What arrived of a stream that comes in pieces of ``step`` bytes; at once without."""
    unpacker = Unpacker(place, "acme", policy, SMALL)
    try:
        for at in range(0, len(stream), step or max(1, len(stream))):
            unpacker.take(stream[at : at + (step or len(stream))])
        return unpacker.finish()
    except BaseException:
        unpacker._writer.abort()
        raise


def contents(place: PackFolder, arrived: Iterable[Arrived], written: Written) -> list[bytes]:
    refs = {ref.chunk: ref for ref in written.refs}
    return [b"".join(read_range(place, [refs[piece.chunk] for piece in file.pieces])) for file in arrived]


def only(place: PackFolder, stream: bytes) -> Arrived:
    arrived, _ = unpack(place, stream)
    assert len(arrived) == 1
    return arrived[0]


def code_of(file: Arrived) -> str | None:
    return None if file.failure is None else file.failure.code


def test_an_empty_stream_holds_no_file(place: PackFolder) -> None:
    arrived, written = unpack(place, b"")
    assert (arrived, written.refs, written.packs) == ([], (), ())


@pytest.mark.parametrize("size", [0, 1, 8 * KIB, 8 * KIB + 1, 50 * KIB])
@pytest.mark.parametrize("step", [0, 1000, 7])
def test_a_file_of_any_size_comes_in_any_pieces(place: PackFolder, size: int, step: int) -> None:
    content = random.Random(size).randbytes(size)
    arrived, written = unpack(place, frame(content) + frame(b"next", path="/b.txt"), step)
    assert contents(place, arrived, written) == [content, b"next"]
    assert [file.size_bytes for file in arrived] == [size, 4]
    assert len(written.packs) == 1


def test_a_file_knows_its_folder_its_name_and_its_place_in_the_stream(place: PackFolder) -> None:
    arrived, _ = unpack(place, frame(path="/Top.txt") + frame(path="/Box/in/A.txt", modified_at="1970-01-01T00:00:01Z"))
    assert [(file.number, file.folder) for file in arrived] == [(0, ""), (1, "/Box/in")]
    assert [file.name and (file.name.text, file.name.key) for file in arrived] == [
        ("Top.txt", "top.txt"),
        ("A.txt", "a.txt"),
    ]
    assert [file.modified_us for file in arrived] == [None, 1_000_000]


def test_a_case_sensitive_share_keeps_the_case_in_the_key(place: PackFolder) -> None:
    arrived, _ = unpack(place, frame(path="/Top.txt"), policy=NamePolicy(case_sensitive=True))
    assert arrived[0].name is not None
    assert arrived[0].name.key == "Top.txt"


def test_a_file_that_is_named_by_its_id_has_no_name(place: PackFolder) -> None:
    file = only(place, frame(b"x", path=None, resource_id="fil_1"))
    assert (file.name, file.fields.resource_id, file.failure) == (None, "fil_1", None)


class TestWrongFile:
    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"path": None}, "INVALID"),
            ({"path": "a.txt"}, "INVALID"),
            ({"path": "/a/../b.txt"}, "INVALID"),
            ({"path": "/"}, "INVALID"),
            ({"path": "/con.txt"}, "INVALID"),
            ({"path": "/" + "x" * 256}, "INVALID"),
            ({"path": "/a\u0000b"}, "INVALID"),
            ({"path": 7}, "INVALID"),
            ({"modified_at": "yesterday"}, "INVALID"),
            ({"mime_type": "\n"}, "INVALID"),
            ({"blake3": "xyz"}, "INVALID"),
            ({"blake3": "0" * 64}, "CHECKSUM_MISMATCH"),
            ({"checksum_sha256": "0" * 64}, "CHECKSUM_MISMATCH"),
        ],
    )
    def test_it_is_passed_over_and_its_neighbours_are_taken(
        self, place: PackFolder, fields: dict[str, Any], code: str
    ) -> None:
        stream = frame(b"before") + frame(b"wrong content", **fields) + frame(b"after")
        for step in (0, 5):
            arrived, written = unpack(place, stream, step)
            assert [code_of(file) for file in arrived] == [None, code, None]
            assert contents(place, [arrived[0], arrived[2]], written) == [b"before", b"after"]

    def test_a_file_that_is_too_large_is_passed_over(self, place: PackFolder) -> None:
        content = bytes(SMALL.file_bytes + 1)
        arrived, written = unpack(place, frame(content) + frame(b"after"), 10_000)
        assert [code_of(file) for file in arrived] == ["TOO_LARGE", None]
        assert sum(ref.length_bytes for ref in written.refs) == len(b"after")

    def test_the_largest_file_is_taken(self, place: PackFolder) -> None:
        assert only(place, frame(bytes(SMALL.file_bytes))).failure is None


class TestChecksum:
    @pytest.mark.parametrize("size", [0, 1, 50 * KIB])
    @pytest.mark.parametrize("upper", [False, True])
    def test_the_checksums_of_the_content_are_accepted(self, place: PackFolder, size: int, upper: bool) -> None:
        content = random.Random(size).randbytes(size)
        sha256 = hashlib.sha256(content).hexdigest()
        fields = {"blake3": blake3(content).hexdigest(), "checksum_sha256": sha256.upper() if upper else sha256}
        for step in (0, 999):
            arrived, written = unpack(place, frame(content, **fields), step)
            assert arrived[0].failure is None
            assert contents(place, arrived, written) == [content]


class TestBroken:
    @pytest.mark.parametrize(
        ("rest", "reason"),
        [
            (b"no json\n", "is not JSON"),
            (b"\n", "is not JSON"),
            (b'{"path":"/b.txt"}\n', "gives no size"),
            (b'{"path":"/b.txt","size":-1}\n', "gives no size"),
            (b'{"path":"/b.txt","size":true}\n', "gives no size"),
            (b'{"path":"/b.txt","size":1.5}\n', "gives no size"),
            (b"[1]\n", "gives no size"),
            (b'{"path":"/b.txt","size":4}\nabc', "ended inside it"),
            (b'{"path":"/b.txt"', "ended inside it"),
            (b"\xff\xfe\n", "is not JSON"),
        ],
    )
    def test_a_stream_whose_next_file_cannot_be_found_is_malformed_and_says_which(
        self, place: PackFolder, rest: bytes, reason: str
    ) -> None:
        for step in (0, 3):
            with pytest.raises(Malformed, match=reason) as failure:
                unpack(place, frame(b"good") + rest, step)
            assert failure.value.extra == {"index": 1}
        assert list(place.listing()) == []

    def test_a_line_that_never_ends_is_refused_before_it_is_kept(self, place: PackFolder) -> None:
        with pytest.raises(Malformed):
            unpack(place, b"x" * (MAX_LINE_BYTES + 1), 100_000)

    def test_a_stream_over_the_limit_of_bytes_is_refused(self, place: PackFolder) -> None:
        with pytest.raises(TooLarge, match=str(SMALL.packed_bytes)):
            unpack(place, frame(bytes(2048 * KIB)), 64 * KIB)

    @pytest.mark.parametrize(("count", "good"), [(SMALL.packed_files, True), (SMALL.packed_files + 1, False)])
    def test_a_stream_of_too_many_files_is_refused(self, place: PackFolder, count: int, good: bool) -> None:
        stream = b"".join(frame(b"x", path=f"/{number}.txt") for number in range(count))
        if good:
            assert len(unpack(place, stream)[0]) == count
        else:
            with pytest.raises(TooLarge, match="20"):
                unpack(place, stream)


class TestChunkList:
    PARTS = (b"first", b"second", b"third!")

    def listed(self, *sent: int, **more: Any) -> bytes:
        """A file as a list of the parts, those of these numbers sent."""
        chunks = [
            {"hash": blake3(part).hexdigest(), "size": len(part), "sent": number in sent}
            for number, part in enumerate(self.PARTS)
        ]
        return frame(b"".join(self.PARTS[number] for number in sent), chunks=chunks, **more)

    @pytest.mark.parametrize("sent", [(), (0,), (1,), (0, 2), (0, 1, 2)])
    @pytest.mark.parametrize("step", [0, 1])
    def test_a_list_names_all_chunks_and_only_those_that_were_sent_are_written(
        self, place: PackFolder, sent: tuple[int, ...], step: int
    ) -> None:
        arrived, written = unpack(place, self.listed(*sent) + frame(b"after"), step)
        assert [piece.length_bytes for piece in arrived[0].pieces] == [5, 6, 6]
        assert arrived[0].size_bytes == 17
        assert {ref.chunk for ref in written.refs} == {
            blake3(part).digest() for part in (*(self.PARTS[number] for number in sent), b"after")
        }

    def test_a_sent_chunk_with_another_hash_fails_its_file_alone(self, place: PackFolder) -> None:
        stream = self.listed(0, 1).replace(b"firstsecond", b"fIrstsecond") + frame(b"after")
        arrived, _ = unpack(place, stream)
        assert [file.failure is None for file in arrived] == [False, True]

    def test_a_size_that_is_not_that_of_the_sent_chunks_fails_the_file(self, place: PackFolder) -> None:
        stream = self.listed(0).replace(b'"size": 5, "chunks"', b'"size": 4, "chunks"')
        arrived, _ = unpack(place, stream[:-1])
        assert code_of(arrived[0]) == "INVALID"

    def test_a_list_that_is_larger_than_a_file_may_be_fails(self, place: PackFolder) -> None:
        chunk = {"hash": "0" * 64, "size": 60 * KIB}
        assert code_of(only(place, frame(chunks=[chunk, chunk]))) == "TOO_LARGE"


def listing(*sizes: int) -> bytes:
    """A file as a list of chunks of these sizes, none of them sent."""
    return frame(chunks=[{"hash": "0" * 64, "size": size} for size in sizes])


@pytest.mark.parametrize(
    ("sizes", "good"),
    [
        ([1] * (MAX_SMALL_CHUNKS + 1), True),
        ([1] * (MAX_SMALL_CHUNKS + 2), False),
        ([1] * MAX_SMALL_CHUNKS + [4 * KIB] * 5, True),
        ([4 * KIB - 1] * MAX_SMALL_CHUNKS + [1, 4 * KIB], False),
        ([4 * KIB] * 20 + [1], True),
    ],
)
def test_a_list_of_tiny_chunks_is_refused_because_each_is_a_row(
    place: PackFolder, sizes: list[int], good: bool
) -> None:
    roomy = msgspec.structs.replace(SMALL, file_bytes=MIB)
    unpacker = Unpacker(place, "acme", DEFAULT_POLICY, roomy)
    unpacker.take(listing(*sizes) + frame(b"after"))
    arrived, _ = unpacker.finish()
    assert [file.failure is None for file in arrived] == [good, True]
    assert good or "without a list" in str(arrived[0].failure)


def test_the_lists_of_one_stream_have_few_chunks_together(place: PackFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parser, "MAX_LISTED_CHUNKS", 5)
    arrived, _ = unpack(place, listing(1, 1, 1) + listing(1, 1, 1) + listing(1, 1))
    assert [code_of(file) for file in arrived] == [None, "TOO_MANY_CHUNKS", None]


def test_what_the_quota_has_no_room_for_is_not_written(place: PackFolder) -> None:
    room = Level("the share", 100, 90)
    unpacker = Unpacker(place, "acme", DEFAULT_POLICY, SMALL, room=room)
    wrong = frame(b"y" * 6, blake3="0" * 64)
    unpacker.take(frame(b"a" * 11) + wrong + frame(b"c" * 7) + frame(b"d" * 4) + frame(b"e" * 3))
    arrived, written = unpacker.finish()
    assert [code_of(file) for file in arrived] == ["QUOTA_EXCEEDED", "CHECKSUM_MISMATCH", None, "QUOTA_EXCEEDED", None]
    assert sorted(ref.length_bytes for ref in written.refs) == [3, 6, 7]


def test_the_digest_is_that_of_the_whole_stream(place: PackFolder) -> None:
    stream = frame(b"one") + frame(b"two")
    digested, plain = (Unpacker(place, "acme", DEFAULT_POLICY, SMALL, digested=wanted) for wanted in (True, False))
    for unpacker in (digested, plain):
        unpacker.take(stream[:10])
        unpacker.take(stream[10:])
        unpacker.finish()
    assert (digested.digest, plain.digest) == (blake3(stream).digest(), b"")


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=300), st.booleans()), max_size=8),
    st.lists(st.integers(1, 400), max_size=30),
)
def test_where_a_stream_is_cut_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[bytes, bool]], cuts: list[int]
) -> None:
    place = PackFolder(tmp_path_factory.mktemp("packs"))
    stream = b"".join(
        frame(content, path=f"/{number}", **({"blake3": "0" * 64} if wrong else {}))
        for number, (content, wrong) in enumerate(files)
    )
    whole, _ = unpack(place, stream)
    unpacker = Unpacker(place, "acme", DEFAULT_POLICY, SMALL)
    at = 0
    for cut in [*cuts, len(stream)]:
        unpacker.take(stream[at : at + cut])
        at += cut
    unpacker.take(stream[at:])
    assert unpacker.finish()[0] == whole
    assert [code_of(file) for file in whole] == ["CHECKSUM_MISMATCH" if wrong else None for _, wrong in files]
