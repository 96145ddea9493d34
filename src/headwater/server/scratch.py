"""A server over a database of its own that is gone afterwards: to ask what it would serve."""

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
    """A server with these settings, over an empty database."""
    with tempfile.TemporaryDirectory() as folder:
        own = DatabaseSettings(data_folder=folder, reserve_file_bytes=0)
        alone = msgspec.structs.replace(settings, database=own)
        with closing(open_database(alone)) as database:
            first_start(database, Path(folder))
            yield assemble(database, alone, PackFolder(Path(folder) / "packs"))
