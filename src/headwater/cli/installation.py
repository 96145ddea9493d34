"""The installation of a command: its settings, its folder and its open database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from headwater.base import log
from headwater.base.settings.load import Settings
from headwater.cli import options
from headwater.installation import connect
from headwater.installation.data_folder import in_use
from headwater.store.database import Database


class Installation(NamedTuple):
    """The settings, folder and open database that a command uses."""

    settings: Settings
    folder: Path
    database: Database


@contextmanager
def opened(
    data: Path | None, database: str | None, config: Path | None, sets: Sequence[str] | None = None
) -> Iterator[Installation]:
    """Opens an installation that had its first start; a server may run on it meanwhile.

    Raises: SettingsInvalid, NotInstalled, OwnerDiffers, SchemaOutdated, DatabaseUnusable, DatabaseInUse (by a restore).
    """
    settings = options.load(data, database, config, sets)
    log.configure(settings.log)
    folder = Path(settings.database.data_folder)
    with ExitStack() as ends:
        if settings.database.url is None and folder.is_dir():
            ends.enter_context(in_use(folder))
        found = ends.enter_context(closing(connect.open_existing(settings)))
        yield Installation(settings, folder, found)
