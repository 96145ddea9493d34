"""A backup file is whole or refused: cut off anywhere, changed anywhere, or holding what no backup does."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import msgspec
import pytest

from headwater.base.wire import encode
from headwater.installation import archive
from headwater.installation.archive import ArchiveWriter, BackupDamaged, BackupManifest

EMPTY = BackupManifest(
    format=archive.FORMAT, version=archive.VERSION, headwater="0", made_at="", database="sqlite", epoch="",
    packs="included", schema_steps=(), tables={}, heads={}, members=(),
)  # fmt: skip
CONTENT = {f"tables/notes/{number:06d}.msgpack": bytes([number]) * 3000 for number in range(3)}


def write(path: Path) -> bytes:
    with archive.create(path) as writer:
        for name, content in CONTENT.items():
            writer.add_bytes(name, content)
        writer.finish(msgspec.structs.replace(EMPTY, members=tuple(writer.members)))
    return path.read_bytes()


@pytest.fixture(params=["b.tar", "b.tar.zst"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_what_was_written_is_read_back(path: Path) -> None:
    write(path)
    read = {name: source.read() for name, source in archive.members(path)}
    assert {name: read[name] for name in CONTENT} == CONTENT
    seen: list[int] = []
    assert [member.name for member in archive.check(path, seen.append).members] == list(CONTENT)
    assert 0 < sum(seen) <= path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_cut_off_anywhere_is_refused(path: Path) -> None:
    whole = write(path)
    last = len(whole) if archive.is_compressed(path) else whole.rindex(b"manifest.sha256")
    for size in range(0, last, max(1, last // 60)):
        path.write_bytes(whole[:size])
        with pytest.raises(BackupDamaged):
            archive.check(path)


def test_a_byte_changed_in_any_content_or_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    whole = write(path)
    blocks = range(0, whole.rindex(b"manifest.sha256") + 600, 512)
    for place in (block + offset for block in blocks for offset in (0, 30)):
        if whole[place] == 0:
            continue  # padding, which holds nothing
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(BackupDamaged):
            archive.check(path)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "packs/00/../../x", "packs/00/..", "tables/notes/1.msgpack", "other", "packs/zz/a"]
)
def test_a_member_with_a_name_that_is_none_of_ours_is_refused(path: Path, name: str) -> None:
    with archive.create(path) as writer:
        writer.add_bytes(name, b"x")
        writer.finish(msgspec.structs.replace(EMPTY, members=tuple(writer.members)))
    with pytest.raises(BackupDamaged, match="no backup does"):
        archive.check(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_member_that_is_no_file_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "b.tar"
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("packs/00/abc")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(BackupDamaged, match="no backup does"):
        archive.check(path)


@pytest.mark.parametrize(
    "manifest",
    [
        b"no json",
        encode(msgspec.structs.replace(EMPTY, version=99)),
        encode(msgspec.structs.replace(EMPTY, format="other")),
        encode(msgspec.structs.replace(EMPTY, members=(archive.ArchiveMember("packs/00/a", 1, "00"),))),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, manifest: bytes) -> None:
    path = tmp_path / "b.tar"
    with archive.create(path) as writer:
        writer.add_bytes(archive.MANIFEST, manifest)
        writer.add_bytes(archive.MANIFEST_HASH, hashlib.sha256(manifest).hexdigest().encode())
    with pytest.raises(BackupDamaged):
        archive.check(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\0" * 20_000, b"\x28\xb5\x2f\xfd" + b"x" * 100])
def test_a_file_that_is_no_backup_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(BackupDamaged):
        archive.check(path)


def test_a_backup_that_fails_half_way_leaves_the_older_one_and_nothing_else(path: Path) -> None:
    path.write_bytes(b"the older one")

    def fail() -> None:
        with archive.create(path) as writer:
            writer.add_bytes("tables/notes/000000.msgpack", b"x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [(file.name, file.read_bytes()) for file in path.parent.iterdir()] == [(path.name, b"the older one")]


def test_a_file_that_grows_while_it_is_added_is_written_as_long_as_it_was(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.write_bytes(b"a" * 1000)
    stream = io.BytesIO()
    writer = ArchiveWriter(stream)
    writer.add_file("packs/00/pack", pack)
    assert writer.members == [archive.ArchiveMember("packs/00/pack", 1000, hashlib.sha256(b"a" * 1000).hexdigest())]
