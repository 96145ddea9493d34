"""``headwater backup``, ``restore`` and ``verify``: what they write, and what they refuse before touching anything."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest

from headwater.base.settings.table import Settings
from headwater.identity import meta, organisations, tokens
from headwater.installation import archive
from headwater.store.database import Transaction
from headwater.store.log import records
from headwater.store.log.records import Draft
from headwater.store.packs.chunks import register
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from headwater.store.packs.writer import PackWriter
from tests.unit.cli.conftest import Command, Installed


def note(tx: Transaction, id: str) -> None:
    feed = organisations.feed_of(tx, "default")
    records.create(tx, feed, "note", Draft(id, b'{"content":"x"}', "\nx", None, 1, 1))


@pytest.fixture
def filled(installed: Installed) -> Installed:
    """An installation with some notes and a file in its packs."""
    with installed.database() as database:
        for number in range(5):
            database.write_now(partial(note, id=f"n{number}"))
    (installed.folder / "packs/00").mkdir(parents=True)
    (installed.folder / "packs/00/a1b2").write_bytes(b"content" * 1000)
    return installed


@pytest.fixture
def backup(command: Command, filled: Installed, tmp_path: Path) -> Path:
    path = tmp_path / "b.tar.zst"
    assert command("backup", path, "--data", filled.folder).code == 0
    return path


def test_a_restored_folder_has_the_rows_the_packs_and_the_token(
    command: Command, filled: Installed, backup: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    done = command("restore", backup, "--data", new, "--json")
    assert (done.code, done.json["findings"], done.json["replaced"]) == (0, [], None)
    assert (new / "packs/00/a1b2").read_bytes() == b"content" * 1000
    renewed = (new / "admin.token").read_text().strip()
    assert renewed != filled.admin_token
    assert sorted(path.name for path in new.iterdir()) == ["admin.token", "headwater.lock", "headwater.sqlite", "packs"]
    assert {path.stat().st_mode & 0o077 for path in new.rglob("*")} == {0}
    restored = Installed(new, _settings_at(filled, new), filled.admin_token)
    with filled.database() as old, restored.database() as database:
        assert database.read_now(meta.epoch) == int(done.json["new_epoch"], 16) != old.read_now(meta.epoch)
        before, now = tokens.digest(filled.admin_token), tokens.digest(renewed)
        found = database.read_now(lambda tx: [tokens.principal_of_hash(tx, each, tx.now_us) for each in (before, now)])
        assert all(found), "the token of before the restore, and the new one"
        assert old.read_now(lambda tx: tokens.principal_of_hash(tx, now, tx.now_us)) is None
        for opened in (old, database):
            assert opened.read_now(lambda tx: meta.secret(tx, "cursor_key")) == old.read_now(
                lambda tx: meta.secret(tx, "cursor_key")
            )


def _settings_at(installed: Installed, folder: Path) -> Settings:
    database = msgspec.structs.replace(installed.settings.database, data_folder=str(folder))
    return msgspec.structs.replace(installed.settings, database=database)


def test_a_backup_is_not_written_over_unless_it_is_said(command: Command, filled: Installed, backup: Path) -> None:
    before = backup.read_bytes()
    refused = command("backup", backup, "--data", filled.folder, "--json")
    assert (refused.code, refused.problem["code"], backup.read_bytes()) == (1, "BACKUP_EXISTS", before)
    with filled.database() as database:
        database.write_now(partial(note, id="later"))
    assert command("backup", backup, "--data", filled.folder, "--force").code == 0
    assert archive.check(backup).tables["records"].rows == 6
    assert not list(filled.folder.glob("backup-*"))


def test_a_backup_needs_a_name_that_tells_what_it_is_and_a_folder_to_be_in(
    command: Command, filled: Installed, tmp_path: Path
) -> None:
    wrong = command("backup", tmp_path / "b.zip", "--data", filled.folder)
    assert (wrong.code, ".tar.zst" in wrong.err) == (1, True)
    missing = command("backup", tmp_path / "none/b.tar", "--data", filled.folder)
    assert (missing.code, "No such file or directory" in missing.err) == (1, True)


def test_a_damaged_backup_is_refused_before_anything_is_touched(command: Command, backup: Path, tmp_path: Path) -> None:
    backup.write_bytes(backup.read_bytes()[:-30])
    for arguments in (["restore", backup, "--data", tmp_path / "new"], ["verify", "--backup", backup]):
        refused = command(*arguments, "--json")
        assert (refused.code, refused.problem["code"]) == (1, "BACKUP_DAMAGED")
    assert not (tmp_path / "new").exists()
    missing = command("restore", tmp_path / "none.tar", "--data", tmp_path / "new")
    assert (missing.code, "No such file" in missing.err) == (1, True)


def rewritten(path: Path, **changed: object) -> None:
    """Write a backup again with another manifest."""
    manifest = archive.check(path)
    content = {name: source.read() for name, source in archive.members(path) if not name.startswith("manifest")}
    with archive.create(path) as writer:
        for name, piece in content.items():
            writer.add_bytes(name, piece)
        writer.finish(msgspec.structs.replace(manifest, **changed))


def test_a_backup_of_a_newer_version_is_refused(command: Command, backup: Path, tmp_path: Path) -> None:
    steps = (*archive.check(backup).schema_steps, "9999_future.sql")
    rewritten(backup, schema_steps=steps)
    refused = command("restore", backup, "--data", tmp_path / "new", "--json")
    assert (refused.code, refused.problem["code"]) == (1, "BACKUP_NEWER")


@pytest.mark.parametrize("wrong", ["columns", "rows", "table"])
def test_a_manifest_that_names_other_tables_than_the_schema_restores_nothing(
    command: Command, backup: Path, tmp_path: Path, wrong: str
) -> None:
    tables = dict(archive.check(backup).tables)
    records_ = tables["records"]
    if wrong == "columns":
        tables["records"] = msgspec.structs.replace(
            records_, columns=("x); DROP TABLE meta; --", *records_.columns[1:])
        )
    elif wrong == "rows":
        tables["records"] = msgspec.structs.replace(records_, rows=records_.rows + 1)
    else:
        tables["other"] = records_
    rewritten(backup, tables=tables)
    refused = command("restore", backup, "--data", tmp_path / "new", "--json")
    assert (refused.code, refused.problem["code"]) == (1, "BACKUP_DAMAGED")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["headwater.lock"]


def test_a_backup_with_an_older_schema_is_brought_up_to_date(
    command: Command, filled: Installed, backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headwater.store import migrate

    present = migrate.steps()
    later = [*present, ("9000_later.sql", "CREATE TABLE later (id TEXT PRIMARY KEY);")]
    monkeypatch.setattr(migrate, "steps", lambda: later)
    assert command("restore", backup, "--data", tmp_path / "new").code == 0
    assert command("org", "list", "--data", tmp_path / "new", "--json").json[0]["notes"] == 5


def test_verify_finds_nothing_in_good_data_and_names_what_is_wrong(command: Command, filled: Installed) -> None:
    good = command("verify", "--data", filled.folder)
    assert (good.code, good.out, "all 5 changes and 0 chunks" in good.err) == (0, "", True)
    with filled.database() as database:
        database.write_now(lambda tx: tx.run("DELETE FROM changes WHERE position = 2"))
    bad = command("verify", "--data", filled.folder, "--json")
    assert (bad.code, [row["rule"] for row in bad.json]) == (1, ["record"])


def test_verify_reads_the_content_too_and_a_restore_has_it(command: Command, filled: Installed, tmp_path: Path) -> None:
    place = PackFolder(filled.folder / "packs")
    with PackWriter(place, "default") as writer:
        ref = writer.append(b"some content" * 500)
        written = writer.close()
    with filled.database() as database:
        database.write_now(lambda tx: register(tx, written))
    good = command("verify", "--data", filled.folder)
    assert (good.code, "1 chunks" in good.err) == (0, True)
    assert command("backup", tmp_path / "b.tar", "--data", filled.folder).code == 0
    pack = filled.folder / "packs" / pack_name(ref.pack)
    pack.write_bytes(pack.read_bytes().replace(b"some", b"same"))
    bad = command("verify", "--data", filled.folder, "--json")
    assert (bad.code, {row["rule"] for row in bad.json}) == (1, {"content"})
    assert command("restore", tmp_path / "b.tar", "--data", tmp_path / "new").code == 0
    assert command("verify", "--data", tmp_path / "new").code == 0


def test_a_backup_of_data_that_does_not_agree_is_restored_and_says_so(
    command: Command, filled: Installed, tmp_path: Path
) -> None:
    with filled.database() as database:
        database.write_now(lambda tx: tx.run("DELETE FROM changes WHERE position = 2"))
    assert command("backup", tmp_path / "b.tar", "--data", filled.folder).code == 0
    done = command("restore", tmp_path / "b.tar", "--data", tmp_path / "new", "--json")
    assert (done.code, [row["rule"] for row in done.json["findings"]]) == (1, ["record"])
    assert "do not agree" in done.err
    assert command("org", "list", "--data", tmp_path / "new", "--json").json[0]["notes"] == 5


@pytest.fixture
def with_content(filled: Installed) -> tuple[Installed, Path]:
    """An installation with a chunk that a pack holds, and the pack's file."""
    with PackWriter(PackFolder(filled.folder / "packs"), "default") as writer:
        ref = writer.append(b"some content" * 500)
        written = writer.close()
    with filled.database() as database:
        database.write_now(lambda tx: register(tx, written))
    return filled, filled.folder / "packs" / pack_name(ref.pack)


def test_a_backup_without_a_pack_that_the_tables_name_is_made_and_says_so(
    command: Command, with_content: tuple[Installed, Path], tmp_path: Path
) -> None:
    here, pack = with_content
    whole = pack.read_bytes()
    name = f"{pack.parent.name}/{pack.name}"
    assert command("backup", tmp_path / "whole.tar", "--data", here.folder, "--json").json["findings"] == []
    assert command("verify", "--backup", tmp_path / "whole.tar").code == 0
    pack.write_bytes(whole[:-10])
    short = command("backup", tmp_path / "short.tar", "--data", here.folder)
    assert (short.code, f"pack {name} has {len(whole) - 10} bytes" in short.out) == (1, True)
    pack.unlink()
    missing = command("backup", tmp_path / "missing.tar.zst", "--data", here.folder, "--json")
    assert (missing.code, [found["detail"] for found in missing.json["findings"]]) == (1, [f"pack {name} is missing"])
    for file in ("short.tar", "missing.tar.zst"):
        checked = command("verify", "--backup", tmp_path / file, "--json")
        assert (checked.code, name in checked.json[0]["detail"]) == (1, True)
    assert command("restore", tmp_path / "missing.tar.zst", "--data", tmp_path / "new").code == 0


def test_verify_finds_in_a_backup_what_was_damaged_before_it_was_made(
    command: Command, with_content: tuple[Installed, Path], tmp_path: Path
) -> None:
    here, pack = with_content
    pack.write_bytes(pack.read_bytes().replace(b"some", b"same"))
    assert command("backup", tmp_path / "b.tar", "--data", here.folder).code == 0
    checked = command("verify", "--backup", tmp_path / "b.tar", "--json")
    assert (checked.code, "fails its hash" in checked.json[0]["detail"]) == (1, True)


def test_a_backup_of_packs_in_a_bucket_says_that_they_are_not_in_the_file(
    command: Command, filled: Installed, tmp_path: Path
) -> None:
    (filled.folder / "headwater.toml").write_text('[files]\npack_store = "s3://bucket/packs"\n')
    done = command("backup", tmp_path / "b.tar", "--data", filled.folder, "--json")
    assert (done.code, archive.check(tmp_path / "b.tar").packs) == (0, "s3://bucket/packs")
    assert "s3://bucket/packs and not in this file" in done.err


def test_a_restore_over_data_says_where_the_old_data_is_and_that_tokens_are_good_again(
    command: Command, filled: Installed, backup: Path
) -> None:
    done = command("restore", backup, "--data", filled.folder, "--force")
    (aside,) = filled.folder.glob("replaced-*")
    assert (done.code, f"what was there before is in {aside}" in done.err) == (0, True)
    assert "headwater token list" in done.err
    labels = [line.split("  ")[0] for line in done.out.splitlines()]
    assert labels == ["folder", "made", "rows", "old epoch", "new epoch"]
