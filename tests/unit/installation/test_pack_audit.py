"""The audit of packs: each pack in use is there, of its size, and each of its chunks has its hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from headwater.installation import archive, pack_audit
from headwater.installation.archive import BackupManifest, TableSummary
from headwater.installation.pack_audit import PackInspection, PackInUse, compare
from headwater.store import dump
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from headwater.store.packs.writer import PackWriter

COLUMNS = ("pack", "organisation", "retired_us", "size_bytes")
EMPTY = BackupManifest(
    format=archive.FORMAT, version=archive.VERSION, headwater="0", made_at="", database="sqlite", epoch="",
    packs="included", schema_steps=(), tables={"packs": TableSummary(COLUMNS, 0)}, heads={}, members=(),
)  # fmt: skip
FIRST, SECOND = b"the first chunk " * 300, b"the second chunk " * 300


class Pack:
    """A pack on disk with two chunks."""

    def __init__(self, folder: Path) -> None:
        with PackWriter(PackFolder(folder / "packs"), "default") as writer:
            self.number = writer.append(FIRST).pack
            writer.append(SECOND)
            writer.close()
        self.name = pack_name(self.number)
        self.content = (folder / "packs" / self.name).read_bytes()

    def row(self, *, retired_us: int | None = None, size_bytes: int | None = None) -> tuple[object, ...]:
        return (self.number, "org", retired_us, len(self.content) if size_bytes is None else size_bytes)


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    return Pack(tmp_path)


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    yield from (content[start : start + size] for start in range(0, len(content), size))
    yield b""


def inspect(
    members: list[tuple[str, bytes]], manifest: BackupManifest = EMPTY, *, piece_bytes: int = 1 << 20
) -> list[tuple[str, str, str]]:
    """The findings after these members."""
    inspection = PackInspection()
    for name, content in members:
        for piece in pieces(content, piece_bytes):
            inspection.add(name, piece)
    return [tuple(finding)[:3] for finding in inspection.findings(manifest)]  # type: ignore[misc]


def table(*rows: tuple[object, ...], page: int = 0) -> tuple[str, bytes]:
    return f"tables/packs/{page:06d}.msgpack", dump.pack(list(rows))


@pytest.mark.parametrize("piece_bytes", [1, 7, 4096, 1 << 20])
def test_a_whole_pack_has_no_findings_however_it_is_cut_into_pieces(pack: Pack, piece_bytes: int) -> None:
    members = [table(pack.row()), (f"packs/{pack.name}", pack.content)]
    assert inspect(members, piece_bytes=piece_bytes) == []


def test_the_findings_do_not_depend_on_the_order_of_tables_and_packs(pack: Pack) -> None:
    members = [(f"packs/{pack.name}", pack.content[:-1]), table(pack.row())]
    assert inspect(members) == inspect(members[::-1])
    assert len(inspect(members)) == 2


def test_a_pack_that_is_missing_is_found_with_its_organisation(pack: Pack) -> None:
    assert inspect([table(pack.row())]) == [("content", "org", f"pack {pack.name} is missing")]


@pytest.mark.parametrize("cut", [1, 100])
def test_a_pack_of_another_size_and_without_its_end_is_found_twice(pack: Pack, cut: int) -> None:
    short = pack.content[:-cut]
    found = [detail for _, _, detail in inspect([table(pack.row()), (f"packs/{pack.name}", short)])]
    assert found[0] == f"pack {pack.name} has {len(short)} bytes, not {len(pack.content)}"
    assert len(found) == 2


@pytest.mark.parametrize("chunk", [FIRST, SECOND])
def test_a_chunk_with_another_byte_is_found(pack: Pack, chunk: bytes) -> None:
    changed = pack.content.replace(chunk[:10], b"x" + chunk[1:10], 1)
    assert changed != pack.content
    found = inspect([table(pack.row()), (f"packs/{pack.name}", changed)])
    assert [("fails its hash" in detail, detail.startswith(f"pack {pack.name}: chunk ")) for _, _, detail in found] == [
        (True, True)
    ]


@pytest.mark.parametrize("content", [b"", b"x", b"no pack at all" * 100])
def test_a_file_that_is_no_pack_is_found(pack: Pack, content: bytes) -> None:
    row = pack.row(size_bytes=len(content))
    found = inspect([table(row), (f"packs/{pack.name}", content)])
    assert [place for _, place, _ in found] == ["org"]


def test_a_damaged_pack_that_no_table_names_or_that_is_retired_is_not_missed(pack: Pack) -> None:
    damaged = (f"packs/{pack.name}", pack.content[:-20])
    assert inspect([damaged]) == []
    assert inspect([table(pack.row(retired_us=1)), damaged]) == []
    assert inspect([table(pack.row(retired_us=1))]) == []


def test_every_page_of_the_table_counts(pack: Pack, tmp_path: Path) -> None:
    other = Pack(tmp_path / "other")
    found = inspect([table(pack.row()), table(other.row(), page=1)])
    assert sorted(found) == sorted(("content", "org", f"pack {each.name} is missing") for each in (pack, other))


@pytest.mark.parametrize(
    "manifest",
    [
        msgspec.structs.replace(EMPTY, packs="s3://bucket/packs"),
        msgspec.structs.replace(EMPTY, tables={}),
        msgspec.structs.replace(EMPTY, tables={"packs": TableSummary(("pack", "organisation"), 1)}),
    ],
    ids=["in a bucket", "no table", "an older table"],
)
def test_a_backup_whose_packs_cannot_be_compared_has_no_findings(pack: Pack, manifest: BackupManifest) -> None:
    assert inspect([table(pack.row())], manifest) == []


@pytest.mark.parametrize("name", ["packs/readme", "packs/00/xyz!", "packs/zz/a", "admin.token", "tables/other/000000"])
def test_other_members_are_passed_over(pack: Pack, name: str) -> None:
    whole = [table(pack.row()), (f"packs/{pack.name}", pack.content)]
    assert inspect([(name, b"anything"), *whole]) == []


@pytest.mark.parametrize(
    ("actual", "details"),
    [
        (None, ["pack NAME is missing"]),
        (5, []),
        (0, ["pack NAME has 0 bytes, not 5"]),
        (6, ["pack NAME has 6 bytes, not 5"]),
    ],
)
def test_a_pack_is_compared_by_its_size_alone(actual: int | None, details: list[str]) -> None:
    in_use: list[PackInUse] = [("org", 77, 5)]
    name = pack_name(77)
    found = compare(in_use, lambda asked: actual if asked == name else None)
    assert [(finding.place, finding.detail.replace(name, "NAME")) for finding in found] == [
        ("org", detail) for detail in details
    ]


def test_the_packs_in_use_are_those_that_are_not_retired(tmp_path: Path) -> None:
    from tests.unit.cli.conftest import install

    installed = install(tmp_path / "data")
    rows = [(3, "b", 30, None), (1, "a", 10, None), (2, "a", 20, 5)]
    with installed.database() as database:

        def transaction(tx):  # type: ignore[no-untyped-def]
            columns = [row[0] for row in tx.rows("SELECT name FROM pragma_table_info('packs') WHERE \"notnull\" = 1")]
            for number, organisation, size_bytes, retired_us in rows:
                named = dict.fromkeys(columns, 0) | {
                    "pack": number, "organisation": organisation, "size_bytes": size_bytes, "retired_us": retired_us,
                }  # fmt: skip
                marks = ", ".join("?" * len(named))
                tx.run(f"INSERT INTO packs ({', '.join(named)}) VALUES ({marks})", *named.values())
            return pack_audit.in_use(tx)

        assert database.write_now(transaction) == [("a", 1, 10), ("b", 3, 30)]
