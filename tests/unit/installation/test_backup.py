"""A backup is one moment of the tables with the packs of that moment, whatever else happens meanwhile."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headwater import __version__
from headwater.base.errors import HeadwaterError, Invalid, StateConflict, Unavailable
from headwater.identity import meta, organisations
from headwater.installation import archive, backup
from headwater.installation.archive import ArchiveWriter, BackupManifest
from headwater.installation.progress import Report, silent
from headwater.store import dump
from headwater.store.log import records
from headwater.store.log.records import Draft
from headwater.store.migrate import steps
from headwater.store.packs.chunks import register
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from headwater.store.packs.writer import PackWriter
from tests.unit.cli.conftest import Installed


def add_pack(installed: Installed, content: bytes = b"some content" * 500) -> Path:
    """Store a chunk in a new pack; the pack's file."""
    with PackWriter(PackFolder(installed.folder / "packs"), "default") as writer:
        ref = writer.append(content)
        written = writer.close()
    with installed.database() as database:
        database.write_now(lambda tx: register(tx, written))
    return installed.folder / "packs" / pack_name(ref.pack)


def add_note(installed: Installed, id: str) -> None:
    with installed.database() as database:
        draft = Draft(id, b'{"content":"x"}', "\nx", None, 1, 1)
        database.write_now(lambda tx: records.create(tx, organisations.feed_of(tx, "default"), "note", draft))


def make(installed: Installed, path: Path, *, report: Report = silent, **options: Any) -> backup.BackupResult:
    with installed.database() as database:
        return backup.make(database, installed.folder, path, report=report, **options)


def contents(path: Path) -> dict[str, bytes]:
    return {name: source.read() for name, source in archive.members(path)}


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "backup" in path.name or "unfinished" in path.name)


@pytest.mark.parametrize("name", ["b.tar", "b.tar.zst"])
def test_the_manifest_names_the_moment_the_program_and_every_table(
    installed: Installed, tmp_path: Path, name: str
) -> None:
    add_note(installed, "n1")
    manifest = make(installed, tmp_path / name).manifest
    assert archive.check(tmp_path / name) == manifest
    with installed.database() as database:
        epoch = database.read_now(meta.epoch)
        rows = {table: database.read_now(partial(dump.count, name=table)) for table in manifest.tables}
    rows["meta"] -= len(meta.SECRETS)
    assert {table: summary.rows for table, summary in manifest.tables.items()} == rows
    assert (manifest.epoch, manifest.headwater, manifest.database) == (f"{epoch:012x}", __version__, "sqlite")
    assert (manifest.packs, manifest.heads) == ("included", {"org:default": 1})
    assert list(manifest.schema_steps) == [name for name, _ in steps()]


def test_no_secret_that_gives_access_is_in_it(installed: Installed, tmp_path: Path) -> None:
    add_note(installed, "n1")
    add_pack(installed)
    with installed.database() as database:
        keys = [database.read_now(partial(meta.value, name=name)) for name in meta.SECRETS]
    make(installed, tmp_path / "a.tar")
    content = (tmp_path / "a.tar").read_bytes()
    assert installed.admin_token.encode() not in content
    assert None not in keys
    assert not [key for key in keys if key is not None and key in content]
    assert "admin.token" not in contents(tmp_path / "a.tar")


@pytest.mark.parametrize("name", ["b", "b.zip", "b.tar.gz", ".zst", "b.TAR", "tar"])
def test_a_name_that_names_no_backup_is_refused_before_anything_is_written(
    installed: Installed, tmp_path: Path, name: str
) -> None:
    with pytest.raises(Invalid, match=r"ends in \.tar or \.tar\.zst"):
        make(installed, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["installed"]


def test_a_file_that_exists_is_kept_unless_it_may_be_replaced(installed: Installed, tmp_path: Path) -> None:
    path = tmp_path / "b.tar"
    path.write_text("older")
    with pytest.raises(StateConflict) as refused:
        make(installed, path)
    assert (refused.value.error_code, path.read_text()) == ("BACKUP_EXISTS", "older")
    make(installed, path, replace=True)
    assert archive.check(path).format == archive.FORMAT


def test_a_pack_that_a_sweep_removes_meanwhile_is_in_the_backup(installed: Installed, tmp_path: Path) -> None:
    pack = add_pack(installed)
    whole, name = pack.read_bytes(), f"packs/{pack.parent.name}/{pack.name}"

    def remove(what: str, _done: int, _total: int) -> None:
        if what == "rows":
            pack.unlink(missing_ok=True)

    done = make(installed, tmp_path / "b.tar", report=remove)
    assert not pack.exists()
    assert done.findings == []
    assert contents(tmp_path / "b.tar")[name] == whole


def test_a_pack_that_is_removed_while_it_is_linked_becomes_a_finding(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = add_pack(installed), add_pack(installed, b"other" * 999)
    really_link = os.link

    def link(source: Path, target: Path) -> None:
        if source == first:
            first.unlink()
        really_link(source, target)

    monkeypatch.setattr(os, "link", link)
    done = make(installed, tmp_path / "b.tar")
    assert [finding.detail for finding in done.findings] == [f"pack {first.parent.name}/{first.name} is missing"]
    packs = [name for name in contents(tmp_path / "b.tar") if name.startswith("packs/")]
    assert packs == [f"packs/{second.parent.name}/{second.name}"]


def test_rows_that_are_written_meanwhile_are_not_in_it(installed: Installed, tmp_path: Path) -> None:
    add_note(installed, "before")
    written: list[str] = []

    def write(_what: str, _done: int, _total: int) -> None:
        if not written:
            written.append("during")
            add_note(installed, "during")

    manifest = make(installed, tmp_path / "b.tar", report=write).manifest
    assert (manifest.tables["records"].rows, manifest.heads) == (1, {"org:default": 1})
    assert written == ["during"]


def test_a_reader_that_lost_its_connection_does_not_go_on_from_another_moment(
    installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed.database() as database:
        read = database.read_now

        def read_twice(function: Callable[..., Any]) -> Any:
            read(function)
            return read(function)

        monkeypatch.setattr(database, "read_now", read_twice)
        with pytest.raises(Unavailable, match="make it again"):
            backup.make(database, installed.folder, tmp_path / "b.tar")
    assert not (tmp_path / "b.tar").exists()
    assert leftovers(tmp_path) + leftovers(installed.folder) == []


@pytest.mark.parametrize("when", ["rows", "packs"])
def test_a_backup_that_fails_leaves_no_file_and_no_links(installed: Installed, tmp_path: Path, when: str) -> None:
    add_pack(installed)

    def fail(what: str, _done: int, _total: int) -> None:
        if what == when:
            raise KeyError

    with pytest.raises(KeyError):
        make(installed, tmp_path / "b.tar", report=fail)
    assert leftovers(tmp_path) + leftovers(installed.folder) == []


def test_links_that_a_killed_backup_of_this_process_number_left_are_removed_first(
    installed: Installed, tmp_path: Path
) -> None:
    add_pack(installed)
    old = installed.folder / f"backup-{os.getpid()}" / "00"
    old.mkdir(parents=True)
    (old / "old").write_text("x")
    make(installed, tmp_path / "b.tar")
    assert not any("old" in name for name in contents(tmp_path / "b.tar"))
    assert leftovers(installed.folder) == []


def test_a_file_beside_the_folders_of_packs_is_left_out(installed: Installed, tmp_path: Path) -> None:
    pack = add_pack(installed)
    (installed.folder / "packs" / "note.txt").write_text("x")
    make(installed, tmp_path / "b.tar")
    packs = [name for name in contents(tmp_path / "b.tar") if name.startswith("packs/")]
    assert packs == [f"packs/{pack.parent.name}/{pack.name}"]


def test_packs_in_a_bucket_are_named_and_not_missed(installed: Installed, tmp_path: Path) -> None:
    add_pack(installed).unlink()
    done = make(installed, tmp_path / "b.tar", packs_elsewhere="s3://bucket/packs")
    assert (done.manifest.packs, done.findings) == ("s3://bucket/packs", [])


def test_steps_are_reported_up_to_the_last_row_and_pack(installed: Installed, tmp_path: Path) -> None:
    for content in (b"a" * 100, b"b" * 100):
        add_pack(installed, content)
    seen: list[tuple[str, int, int]] = []
    manifest: BackupManifest = make(installed, tmp_path / "b.tar", report=lambda *step: seen.append(step)).manifest
    rows = sum(table.rows for table in manifest.tables.values())
    assert [step for step in seen if step[0] == "packs"] == [("packs", 1, 2), ("packs", 2, 2)]
    done = [step[1] for step in seen if step[0] == "rows"]
    assert (done, done[-1], {step[2] for step in seen if step[0] == "rows"}) == (sorted(done), rows, {rows})


def test_a_pack_that_becomes_shorter_while_it_is_added_ends_the_backup(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.write_bytes(b"x" * 1000)

    class Truncating(io.BytesIO):
        """An archive whose first block is written while the pack is cut."""

        def write(self, content: Any) -> int:
            os.truncate(pack, 999)
            return super().write(content)

    with pytest.raises(HeadwaterError, match="packs/00/pack became shorter while it was read"):
        ArchiveWriter(Truncating()).add_file("packs/00/pack", pack)
