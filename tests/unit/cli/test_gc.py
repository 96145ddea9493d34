"""``headwater gc`` frees what is unused; with ``--dry-run`` it counts the same and changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headwater.installation.connect import PACKS_FOLDER
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.format import pack_name
from headwater.store.packs.writer import PackWriter
from tests.unit.cli.conftest import Command, Installed


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
