"""A temporary server over an empty database, for reading its routes and its API description."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from headwater.base.settings.table import DatabaseSettings, Settings
from headwater.installation.connect import open_database
from headwater.installation.first_start import first_start
from headwater.server.app import Server, assemble
from headwater.store.packs.folder import PackFolder


@contextmanager
def throwaway(settings: Settings) -> Iterator[Server]:
    """Assembles a server with these settings over an empty database, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        own = DatabaseSettings(data_folder=folder, reserve_file_bytes=0)
        scratch = msgspec.structs.replace(settings, database=own)
        with closing(open_database(scratch)) as database:
            first_start(database, Path(folder))
            yield assemble(database, scratch, PackFolder(Path(folder) / "packs"))
