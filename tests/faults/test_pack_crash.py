"""kill -9 while requests are packed and committed: nothing acknowledged is lost, nothing else is visible."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.base.clock import now_us
from headwater.store.packs.check import verify
from headwater.store.packs.chunks import locate
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.gc import marked_by, sweep
from headwater.store.packs.reader import read_range
from tests.support.clock import MovableClock
from tests.support.store.databases import fresh_sqlite

UPLOADER = """
import os, random, sys
from pathlib import Path
from headwater.base.settings.table import DatabaseSettings
from headwater.store.packs.chunks import register
from headwater.store.migrate import migrate
from headwater.store.packs.folder import PackFolder
from headwater.store.packs.writer import PackWriter
from headwater.store.sqlite.database import SqliteDatabase

folder = Path(sys.argv[1])
database = SqliteDatabase(folder / "headwater.db", DatabaseSettings(reserve_file_bytes=0))
migrate(database)
packs = PackFolder(folder / "packs")
while True:
    with PackWriter(packs, "org_a") as writer:
        for _ in range(random.randint(1, 60)):
            writer.append(os.urandom(random.choice([100, 5_000, 300_000])))
        written = writer.close()
    database.write_now(lambda tx: register(tx, written))
    print(*(ref.chunk.hex() for ref in written.refs), flush=True)
"""


def upload_until_killed(folder: Path, acknowledgements: int) -> set[bytes]:
    """Chunks that an uploader acknowledged before it was killed at a random moment."""
    with subprocess.Popen([sys.executable, "-c", UPLOADER, str(folder)], stdout=subprocess.PIPE, text=True) as uploader:
        assert uploader.stdout is not None
        lines = [uploader.stdout.readline() for _ in range(acknowledgements)]
        try:
            uploader.wait(random.uniform(0, 0.05))
        except subprocess.TimeoutExpired:
            uploader.kill()
        lines += uploader.stdout.readlines()
    return {bytes.fromhex(chunk) for line in lines if line.endswith("\n") for chunk in line.split()}


@pytest.mark.slow
def test_a_killed_uploader_leaves_whole_requests_and_orphans_that_are_swept(tmp_path: Path) -> None:
    acknowledged: set[bytes] = set()
    for acknowledgements in (1, 2, 3, 5, 8):
        acknowledged |= upload_until_killed(tmp_path, acknowledgements)
    assert len(acknowledged) >= 1 + 2 + 3 + 5 + 8
    clock = MovableClock(now_us())
    packs = PackFolder(tmp_path / "packs")
    with fresh_sqlite(tmp_path, clock) as database:
        assert verify(database, packs).damages == []
        assert database.read_now(lambda tx: locate(tx, "org_a", acknowledged)).keys() == acknowledged
        clock.advance(7200)
        sweep(database, packs, marked_by("chunks"), grace_us=3_600_000_000)
        named = {row[0] for row in database.read_now(lambda tx: tx.rows("SELECT pack FROM packs"))}
        assert {stored.pack for stored in packs.listing()} == named
        places = database.read_now(lambda tx: locate(tx, "org_a", acknowledged))
        read = sum(len(piece) for piece in read_range(packs, places.values()))
        assert read == sum(ref.length_bytes for ref in places.values())
