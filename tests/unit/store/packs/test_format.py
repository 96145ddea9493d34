from __future__ import annotations

import pytest

from headwater.base.errors import Damaged
from headwater.store.packs.format import (
    HEAD,
    ChunkRef,
    chunk_id,
    encode_tail,
    new_pack,
    pack_name,
    pack_of_name,
    read_tail,
)


class MemorySource:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size_bytes = len(content)

    def read(self, start_bytes: int, length_bytes: int) -> bytes:
        assert 0 <= start_bytes <= start_bytes + length_bytes <= self.size_bytes
        return self.content[start_bytes : start_bytes + length_bytes]

    def close(self) -> None:
        pass


def make_pack(pack: int = 7, organisation: str = "org_Ærø", count: int = 3) -> tuple[bytes, list[ChunkRef]]:
    content, refs = HEAD, []
    for number in range(count):
        chunk = b"content %d" % number * (number + 1)
        refs.append(ChunkRef(chunk_id(chunk), pack, len(content), len(chunk)))
        content += chunk
    return content + encode_tail(pack, organisation, refs), refs


def test_the_id_of_a_chunk_is_its_blake3_hash() -> None:
    # The published test vector for the empty input.
    assert chunk_id(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


@pytest.mark.parametrize("count", [0, 1, 500])
def test_a_tail_lists_its_pack(count: int) -> None:
    content, refs = make_pack(count=count)
    tail = read_tail(7, MemorySource(content))
    assert tail.organisation == "org_Ærø"
    assert tail.refs == refs


def test_a_pack_that_was_cut_short_anywhere_is_damaged() -> None:
    content, _ = make_pack()
    for size in range(len(content)):
        with pytest.raises(Damaged):
            read_tail(7, MemorySource(content[:size]))


def test_a_flipped_bit_anywhere_in_the_tail_is_found() -> None:
    content, refs = make_pack()
    tail_start = refs[-1].start_bytes + refs[-1].length_bytes
    for at in range(tail_start, len(content)):
        with pytest.raises(Damaged):
            read_tail(7, MemorySource(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :]))


def test_another_packs_tail_is_refused() -> None:
    content, _ = make_pack(pack=8)
    with pytest.raises(Damaged):
        read_tail(7, MemorySource(content))


def test_a_packs_name_is_its_number_below_a_folder_of_its_first_digits() -> None:
    assert pack_name(0x7F00_0000_0000_00AB) == "7f/7f000000000000ab"
    assert pack_of_name("7f/7f000000000000ab") == 0x7F00_0000_0000_00AB
    pack = new_pack()
    assert 0 <= pack < 2**63
    assert pack_of_name(pack_name(pack)) == pack


@pytest.mark.parametrize(
    "name",
    ["", "7f", "00/7f000000000000ab", "7f/7F000000000000AB", "7f/7f000000000000ab.tmp", "7f/+f000000000000ab",
     "7f/7f0000000000_0ab", "7f/7f000000000000٣b", "../7f000000000000ab"],
)  # fmt: skip
def test_any_other_name_is_no_pack(name: str) -> None:
    assert pack_of_name(name) is None
