"""The options that every command shares: the place of the data, and the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from headwater.base.errors import Invalid
from headwater.base.settings.load import Settings, SettingsInvalid
from headwater.base.settings.load import load as load_settings

DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder that holds everything the server keeps [headwater-data].",
                 show_default=False),
]  # fmt: skip
DatabaseUrl = Annotated[
    str | None,
    typer.Option("--database", metavar="URL", show_default=False,
                 help="PostgreSQL database, postgresql://...; without it SQLite in the data folder."),
]  # fmt: skip
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", show_default=False,
                 help="Settings file [headwater.toml in the data folder, if it is there]."),
]  # fmt: skip
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", show_default=False,
                 help="Any setting, like --set limits.body_bytes=4194304; may be repeated."),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, errors too.")]


class InstallationOptions(NamedTuple):
    """The options of a command line that name the installation."""

    data: Path | None
    database: str | None
    config: Path | None
    sets: Sequence[str] | None = None


def keep_files_private() -> None:
    """Makes every new file of this process private: its files contain secrets and personal data."""
    os.umask(0o077)


@contextmanager
def as_typed() -> Iterator[None]:
    """Turns Invalid into an error of the command line itself: exit code 2. Raises: BadParameter."""
    try:
        yield
    except Invalid as refusal:
        raise typer.BadParameter(refusal.detail) from None


def examples(*lines: str) -> str:
    """The examples at the end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def flags(
    data: Path | None, database: str | None, sets: Sequence[str] | None, more: Mapping[str, object] | None = None
) -> dict[str, str]:
    """The settings that a command line gives, by dotted name. Raises: SettingsInvalid (no ``=`` in a ``--set``)."""
    given: dict[str, str] = {}
    for text in sets or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise SettingsInvalid(f"--set {text}: write it as section.name=value")
        given[name.strip()] = value
    named = {"database.data_folder": data, "database.url": database, **(more or {})}
    given.update({name: str(value) for name, value in named.items() if value is not None})
    return given


def load(
    data: Path | None,
    database: str | None,
    config: Path | None,
    sets: Sequence[str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Settings:
    """The settings of an installation as a command line names it. Raises: SettingsInvalid."""
    return load_settings(flags(data, database, sets, more), config=config)
