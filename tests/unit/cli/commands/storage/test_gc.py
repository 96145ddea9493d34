"""``headwater gc`` frees what is unused and nothing else; with ``--dry-run`` it counts the same and changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headwater.contracts.files.retention import gc as retention_gc
from headwater.contracts.files.retention.gc import Cleaned
from headwater.installation.connect import PACKS_FOLDER
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from headwater.store.packs.gc import Swept
from headwater.store.packs.writer import PackWriter
from tests.unit.cli.conftest import Command, Installed, Shares


@pytest.fixture
def orphan(installed: Installed) -> Path:
    """An old file of content that no row names."""
    packs = installed.folder / PACKS_FOLDER
    with PackWriter(PackFolder(packs), "default") as writer:
        writer.append(b"content of a request that was cut off")
        pack = writer.close().packs[0].pack
    path = packs / pack_name(pack)
    os.utime(path, (1, 1))
    return path


def test_a_dry_run_counts_what_the_run_then_frees_and_changes_nothing(
    command: Command, installed: Installed, orphan: Path
) -> None:
    size_bytes = orphan.stat().st_size
    planned = command("gc", "--data", installed.folder, "--dry-run", "--json")
    assert orphan.exists()
    done = command("gc", "--data", installed.folder, "--json")
    assert (planned.code, done.code) == (0, 0)
    assert (done.json["deleted_packs"], done.json["freed_bytes"]) == (1, size_bytes)
    assert planned.json == done.json | {"dry_run": True}
    assert not orphan.exists()


def test_a_dry_run_is_shown_as_a_table(command: Command, installed: Installed, orphan: Path) -> None:
    done = command("gc", "--data", installed.folder, "--dry-run")
    lines = dict(line.rsplit(maxsplit=1) for line in done.out.splitlines())
    assert (lines["freed bytes"], lines["deleted packs"]) == (str(orphan.stat().st_size), "1")
    assert lines["dry run"] == "yes"


def age(share: Shares) -> None:
    """Let all that happened to content and shares be long ago."""
    with share.installed.database() as database:
        for sql in (
            "UPDATE shares SET deleted_us = 1 WHERE deleted_us IS NOT NULL",
            "UPDATE chunks SET touched_us = 1",
            "UPDATE packs SET created_us = 1",
        ):
            database.write_now(lambda tx, sql=sql: tx.run(sql))  # type: ignore[misc]


@pytest.fixture
def two(share: Shares, tmp_path: Path) -> list[str]:
    """Two shares with a file each, in packs of their own."""
    ids = []
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / f"{name}.bin").write_bytes(bytes([number]) * 50_000)
        ids.append(share.create(name=name)["id"])
        share("put", folder, ids[-1])
    return ids


def packs(share: Shares) -> int:
    return sum(path.is_file() for path in (share.installed.folder / "packs").rglob("*"))


def test_nothing_is_freed_where_everything_is_in_use(share: Shares, two: list[str], tmp_path: Path) -> None:
    age(share)
    done = share.run("gc", "--json")
    assert (done.code, done.json["purged_shares"], done.json["dropped_chunks"], packs(share)) == (0, 0, 0, 2)
    assert done.json["damaged"] is None
    assert [share("get", id, tmp_path / id).code for id in two] == [0, 0]


def test_a_share_that_was_deleted_long_ago_is_purged_and_its_content_is_dropped(
    share: Shares, two: list[str], tmp_path: Path
) -> None:
    share("delete", two[0], "--yes")
    age(share)
    done = share.run("gc", "--json").json
    assert (done["purged_shares"], packs(share)) == (1, 2)
    assert (done["dropped_chunks"], done["dropped_bytes"], done["retired_packs"]) == (1, 50_000, 1)
    again = share.run("gc", "--json").json
    assert (again["purged_shares"], again["dropped_chunks"]) == (0, 0)
    assert share("get", two[1], tmp_path / "out").code == 0
    assert share.run("verify").code == 0


def test_a_share_that_was_deleted_just_now_keeps_its_content(share: Shares, two: list[str]) -> None:
    share("delete", two[0], "--yes")
    done = share.run("gc", "--set", "files.gc_grace_seconds=60", "--json").json
    assert (done["purged_shares"], done["dropped_chunks"], packs(share)) == (0, 0, 2)


def test_a_set_can_keep_deleted_shares_for_ever(share: Shares, two: list[str]) -> None:
    share("delete", two[0], "--yes")
    age(share)
    done = share.run("gc", "--set", "files.keep_deleted_shares_seconds=0", "--json").json
    assert (done["purged_shares"], done["dropped_chunks"]) == (0, 0)


@pytest.mark.parametrize("damaged", [["a1/b2: its tail is gone", "c3/d4: x"], []])
def test_damaged_packs_are_named_and_end_with_exit_code_1(
    share: Shares, monkeypatch: pytest.MonkeyPatch, damaged: list[str]
) -> None:
    cleaned = Cleaned(
        purged_shares=0, purged_nodes=0, pruned_versions=0, expired=0, swept=Swept(1, 2, 3, 4, 5, 6, 7, 8, damaged)
    )
    monkeypatch.setattr(retention_gc, "clean", lambda *_: cleaned)
    done = share.run("gc", "--json")
    assert (done.code, done.json["damaged"]) == (int(bool(damaged)), ", ".join(damaged) or None)
    shown = share.run("gc")
    assert (shown.code, "c3/d4" in shown.out) == (int(bool(damaged)), bool(damaged))


def test_a_dry_run_counts_what_the_run_then_removes_and_removes_nothing(share: Shares, two: list[str]) -> None:
    share("delete", two[0], "--yes")
    age(share)
    foretold = [share.run("gc", "--dry-run", "--json").json for _ in range(2)]
    done = share.run("gc", "--json").json
    assert foretold == [done | {"dry_run": True}] * 2
    assert done["purged_shares"] == 1


def test_people_read_a_line_for_each_count(share: Shares) -> None:
    done = share.run("gc")
    assert (done.code, done.err) == (0, "")
    assert [line.split("  ")[0] for line in done.out.splitlines()] == [
        "purged shares", "purged files and folders", "pruned versions", "expired uploads and versions", "freed bytes",
        "dropped chunks", "dropped bytes", "rewritten packs", "retired packs", "deleted packs", "damaged",
    ]  # fmt: skip
