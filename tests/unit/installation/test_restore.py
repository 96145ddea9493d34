"""A restore checks first, touches nothing that it refuses, and never loses what was there before."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.base.errors import HeadwaterError, QuotaExceeded, StateConflict
from headwater.base.settings.table import Settings
from headwater.cli.installation import opened
from headwater.identity import meta, organisations, tokens
from headwater.identity.roles import Role
from headwater.installation import archive, restore
from headwater.installation.archive import BackupDamaged, BackupManifest
from headwater.installation.data_folder import AlreadyServed, DatabaseInUse, FolderUnusable, locked, replaced
from headwater.installation.progress import silent
from headwater.store import dump
from headwater.store.log import records
from headwater.store.log.records import Draft
from tests.unit.cli.conftest import Installed, install
from tests.unit.installation.test_backup import add_note, add_pack, make


def at(installed: Installed, folder: Path) -> Settings:
    database = msgspec.structs.replace(installed.settings.database, data_folder=str(folder))
    return msgspec.structs.replace(installed.settings, database=database)


def put_back(path: Path, settings: Settings, *, replace: bool = False) -> restore.RestoreResult:
    return restore.restore(path, settings, replace=replace, report=silent)


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but the lock, with its content."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "headwater.lock"
    }


def notes(folder: Installed) -> list[str]:
    with folder.database() as database:
        return database.read_now(lambda tx: [row[0] for row in tx.rows("SELECT id FROM records ORDER BY id")])


@pytest.fixture
def saved(installed: Installed, tmp_path: Path) -> Path:
    """A backup with two notes and a pack."""
    add_note(installed, "n1")
    add_note(installed, "n2")
    add_pack(installed)
    make(installed, tmp_path / "b.tar")
    return tmp_path / "b.tar"


Change = Callable[[list[tuple[str, bytes]], BackupManifest], BackupManifest]


def rewrite(path: Path, change: Change) -> None:
    """Write a backup again with other members, whose hashes are right."""
    manifest = archive.check(path)
    members = [(name, source.read()) for name, source in archive.members(path) if not name.startswith("manifest")]
    manifest = change(members, manifest)
    with archive.create(path) as writer:
        for name, content in members:
            writer.add_bytes(name, content)
        writer.finish(msgspec.structs.replace(manifest, members=tuple(writer.members)))


@pytest.mark.parametrize("replace", [False, True])
def test_a_folder_with_a_running_server_is_refused_and_untouched(
    installed: Installed, saved: Path, *, replace: bool
) -> None:
    before = snapshot(installed.folder)
    with locked(installed.folder), pytest.raises(AlreadyServed):
        put_back(saved, installed.settings, replace=replace)
    assert snapshot(installed.folder) == before


def test_data_that_a_command_has_open_is_not_replaced_under_it(installed: Installed, saved: Path) -> None:
    # A command that writes, such as an import, would go on writing into what was moved aside.
    with opened(installed.folder, None, None), opened(installed.folder, None, None):
        before = snapshot(installed.folder)
        with pytest.raises(DatabaseInUse, match="import"):
            put_back(saved, installed.settings, replace=True)
        assert snapshot(installed.folder) == before
    put_back(saved, installed.settings, replace=True)


def test_no_command_opens_the_data_while_a_restore_replaces_it(installed: Installed) -> None:
    with replaced(installed.folder), pytest.raises(DatabaseInUse, match="restore"):
        opened(installed.folder, None, None).__enter__()


def test_two_restores_in_the_same_second_keep_both_states_that_they_replace(installed: Installed, saved: Path) -> None:
    put_back(saved, installed.settings, replace=True)
    asides = {put_back(saved, installed.settings, replace=True).replaced for _ in range(3)}
    assert len(asides) == 3
    assert all(aside is not None and (Path(aside) / "headwater.sqlite").exists() for aside in asides)


def test_a_database_that_exists_is_kept_unless_it_may_be_moved_aside(installed: Installed, saved: Path) -> None:
    before = snapshot(installed.folder)
    with pytest.raises(StateConflict) as refused:
        put_back(saved, installed.settings)
    assert refused.value.error_code == "FOLDER_NOT_EMPTY"
    assert snapshot(installed.folder) == before


def test_what_was_there_is_moved_aside_whole_and_foreign_files_stay(installed: Installed, saved: Path) -> None:
    add_note(installed, "later")
    (installed.folder / "headwater.toml").write_text("[log]\nlevel = 'info'\n")
    (installed.folder / "headwater.sqlite-wal").touch()
    before = snapshot(installed.folder)
    done = put_back(saved, installed.settings, replace=True)
    assert done.replaced is not None
    aside = Path(done.replaced)
    assert (aside.parent, aside.stat().st_mode & 0o777) == (installed.folder, 0o700)
    assert snapshot(aside) == {name: content for name, content in before.items() if name != "headwater.toml"}
    assert (installed.folder / "headwater.toml").exists()
    assert notes(installed) == ["n1", "n2"]


def test_a_new_folder_is_closed_and_its_files_are_their_owners(
    installed: Installed, saved: Path, tmp_path: Path
) -> None:
    put_back(saved, at(installed, tmp_path / "new"))
    files = [path for path in (tmp_path / "new").rglob("*") if path.is_file() and path.parent.name != "new"]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert len(files) == 1
    assert {path.stat().st_mode & 0o777 for path in [*files, tmp_path / "new/admin.token"]} == {0o600}


def test_each_restore_has_an_epoch_of_its_own(installed: Installed, saved: Path, tmp_path: Path) -> None:
    epochs = {put_back(saved, at(installed, tmp_path / f"new{number}")).epoch for number in range(3)}
    assert len(epochs | {archive.check(saved).epoch}) == 4
    with install_at(installed, tmp_path / "new0").database() as database:
        assert f"{database.read_now(meta.epoch):012x}" in epochs


def install_at(installed: Installed, folder: Path) -> Installed:
    return Installed(folder, at(installed, folder), installed.admin_token)


def test_what_a_killed_restore_left_is_removed_first(installed: Installed, saved: Path, tmp_path: Path) -> None:
    left = tmp_path / "new" / restore.RESTORING_FOLDER
    left.mkdir(parents=True)
    (left / "headwater.sqlite").write_bytes(b"half a database")
    put_back(saved, at(installed, tmp_path / "new"))
    assert not left.exists()
    assert notes(install_at(installed, tmp_path / "new")) == ["n1", "n2"]


def test_an_older_database_of_other_data_does_not_shine_through(
    installed: Installed, saved: Path, tmp_path: Path
) -> None:
    other = install(tmp_path / "other")
    add_note(other, "theirs")
    add_pack(other, b"their content")
    put_back(saved, other.settings, replace=True)
    assert notes(other) == ["n1", "n2"]
    assert snapshot(other.folder / "packs") == snapshot(installed.folder / "packs")


def test_a_restore_makes_a_new_admin_token_and_new_keys_and_leaves_no_older_token_behind(
    installed: Installed, saved: Path, tmp_path: Path
) -> None:
    other = install(tmp_path / "other")
    put_back(saved, other.settings, replace=True)
    token = (other.folder / "admin.token").read_text().strip()
    assert (other.folder / "admin.token").stat().st_mode & 0o077 == 0
    assert token not in {other.admin_token, installed.admin_token}
    with installed.database() as before, other.database() as after:
        principal = after.read_now(lambda tx: tokens.principal_of_hash(tx, tokens.digest(token), tx.now_us))
        assert principal is not None
        assert principal.role is Role.GLOBAL_ADMIN
        assert after.read_now(lambda tx: tx.value("SELECT count(*) FROM users")) == 1, "no second admin"
        for name in meta.SECRETS:
            assert before.read_now(partial(meta.value, name=name)) != after.read_now(partial(meta.value, name=name))


def test_a_backup_of_an_earlier_version_with_its_token_is_restored_with_it_and_with_new_keys(
    installed: Installed, saved: Path, tmp_path: Path
) -> None:
    def as_before(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
        members.append(("admin.token", installed.admin_token.encode() + b"\n"))
        place = _page(members, "meta")
        columns = manifest.tables["meta"].columns
        rows = dump.unpack(members[place][1])
        for name in meta.SECRETS:
            rows.append(tuple({"name": name, "value": b"k" * 32}[column] for column in columns))
        members[place] = (members[place][0], dump.pack(rows))
        tables = {**manifest.tables, "meta": msgspec.structs.replace(manifest.tables["meta"], rows=len(rows))}
        return msgspec.structs.replace(manifest, tables=tables)

    rewrite(saved, as_before)
    put_back(saved, at(installed, tmp_path / "new"))
    new = install_at(installed, tmp_path / "new")
    assert (new.folder / "admin.token").read_text().strip() == installed.admin_token
    with new.database() as database:
        assert database.read_now(partial(meta.value, name="jwt_key")) not in {None, b"k" * 32}


def _page(members: list[tuple[str, bytes]], table: str) -> int:
    return next(place for place, (name, _) in enumerate(members) if name.startswith(f"tables/{table}/"))


def _no_rows(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    members[_page(members, "records")] = ("tables/records/000000.msgpack", b"\xc1 this is no MessagePack")
    return manifest


def _no_lists(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    members[_page(members, "records")] = ("tables/records/000000.msgpack", msgspec.msgpack.encode({"rows": 2}))
    return manifest


def _short_rows(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    place = _page(members, "records")
    rows = [row[:-1] for row in dump.unpack(members[place][1])]
    members[place] = (members[place][0], dump.pack(rows))
    return manifest


def _wrong_types(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    place = _page(members, "records")
    rows = [tuple(["x"] for _ in row) for row in dump.unpack(members[place][1])]
    members[place] = (members[place][0], msgspec.msgpack.encode(rows))
    return manifest


def _null_keys(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    place = _page(members, "records")
    rows = [tuple(None for _ in row) for row in dump.unpack(members[place][1])]
    members[place] = (members[place][0], msgspec.msgpack.encode(rows))
    return manifest


def _twice(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    place = _page(members, "records")
    members.insert(place, members[place])
    return manifest


def _too_few(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    place = _page(members, "records")
    members[place] = (members[place][0], dump.pack(dump.unpack(members[place][1])[:1]))
    return manifest


def _unknown_table(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    members.append(("tables/sqlite_schema/000000.msgpack", dump.pack([("x",)])))
    return manifest


def _no_meta(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    del members[_page(members, "meta")]
    return manifest


def _pack_twice(members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
    members.append(next(member for member in members if member[0].startswith("packs/")))
    return manifest


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        _no_rows,
        _no_lists,
        _short_rows,
        _wrong_types,
        _null_keys,
        _twice,
        _too_few,
        _unknown_table,
        _no_meta,
        _pack_twice,
    ],
)
def test_a_backup_whose_hashes_are_right_and_whose_rows_are_not_restores_nothing(
    command: Any, installed: Installed, saved: Path, tmp_path: Path, change: Change, *, replace: bool
) -> None:
    rewrite(saved, change)
    folder = installed.folder if replace else tmp_path / "new"
    before = snapshot(folder) if replace else {}
    done = command("restore", saved, "--data", folder, "--json", *(["--force"] if replace else []))
    assert (done.code, done.out) == (1, "")
    assert done.problem["code"] == "BACKUP_DAMAGED"
    assert snapshot(folder) == before
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == (["packs"] if replace else [])


def test_a_half_written_file_is_refused_before_the_folder_is_made(
    installed: Installed, saved: Path, tmp_path: Path
) -> None:
    whole = saved.read_bytes()
    for size in (0, 1, 511, 512, len(whole) // 2, len(whole) - 2049):
        saved.write_bytes(whole[:size])
        with pytest.raises(BackupDamaged):
            put_back(saved, at(installed, tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_made_is_refused(installed: Installed, saved: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusable):
        put_back(saved, at(installed, tmp_path / "file"))


@pytest.mark.parametrize("reported", ["rows", "changes verified"])
def test_a_restore_that_is_interrupted_leaves_what_was_there(installed: Installed, saved: Path, reported: str) -> None:
    before = snapshot(installed.folder)

    def interrupt(what: str, _done: int, _total: int) -> None:
        if what == reported:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore.restore(saved, installed.settings, replace=True, report=interrupt)
    assert snapshot(installed.folder) == before
    assert not (installed.folder / restore.RESTORING_FOLDER).exists()


def test_a_disk_that_fills_up_leaves_what_was_there(
    installed: Installed, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(installed.folder)

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        put_back(saved, installed.settings, replace=True)
    assert snapshot(installed.folder) == before


def test_a_full_database_is_not_called_damage_of_the_backup(
    installed: Installed, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise QuotaExceeded("the disk is full")

    monkeypatch.setattr(dump, "insert", full)
    with pytest.raises(QuotaExceeded):
        put_back(saved, at(installed, tmp_path / "new"))
    assert snapshot(tmp_path / "new") == {}


def test_rows_that_a_schema_step_made_itself_do_not_collide_with_those_of_the_backup(
    installed: Installed, saved: Path, tmp_path: Path
) -> None:
    put_back(saved, at(installed, tmp_path / "new"))
    make(install_at(installed, tmp_path / "new"), tmp_path / "again.tar")
    first, second = archive.check(saved), archive.check(tmp_path / "again.tar")
    renewed = {"counters", "lost_positions", "lost_numbers", "lost_feeds"}
    expected = {name: table.rows for name, table in first.tables.items() if name not in renewed}
    expected["tokens"] += 1  # the restore's own admin token
    assert {name: table.rows for name, table in second.tables.items() if name not in renewed} == expected
    assert all(second.heads[feed] > head for feed, head in first.heads.items())


def test_a_backup_of_a_backup_is_written_on_after_it(installed: Installed, saved: Path, tmp_path: Path) -> None:
    put_back(saved, at(installed, tmp_path / "new"))
    new = install_at(installed, tmp_path / "new")

    def more(tx: Any) -> int:
        feed = organisations.feed_of(tx, "default")
        records.create(tx, feed, "note", Draft("n3", b"{}", "\nx", None, 1, 1))
        return int(tx.value("SELECT max(position) FROM changes WHERE feed = ?", feed))

    with new.database() as database:
        head = database.read_now(lambda tx: tx.counter(organisations.feed_of(tx, "default"), "head"))
        assert database.write_now(more) == head + 1 > 3
    assert notes(new) == ["n1", "n2", "n3"]


def test_a_backup_that_needs_a_newer_program_names_the_step_and_the_program(
    installed: Installed, saved: Path, tmp_path: Path
) -> None:
    def newer(_members: list[tuple[str, bytes]], manifest: BackupManifest) -> BackupManifest:
        return msgspec.structs.replace(
            manifest, schema_steps=(*manifest.schema_steps, "9999_b.sql", "9998_a.sql"), headwater="99.0"
        )

    rewrite(saved, newer)
    with pytest.raises(restore.BackupNewer, match=r"Headwater 99\.0 and needs its schema step 9998_a\.sql"):
        put_back(saved, at(installed, tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_every_refusal_is_an_error_of_ours() -> None:
    assert all(issubclass(each, HeadwaterError) for each in (BackupDamaged, restore.BackupNewer, AlreadyServed))
