"""``headwater import contacts`` and ``headwater export contacts``: contacts from and to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from headwater.cli import installation, options
from headwater.cli.commands.content import import_report
from headwater.cli.output import Row, show_one
from headwater.contracts.contacts.interchange.csv.format import CsvRows, write_csv
from headwater.contracts.contacts.interchange.jsonl import write_jsonl
from headwater.contracts.contacts.interchange.record import ContactRow
from headwater.contracts.contacts.interchange.vcard.format import write_vcard
from headwater.transfer.export_contacts import contacts_of, only_organisation, replacing
from headwater.transfer.import_contacts import (
    DuplicateWatch,
    FileUnsuitable,
    ImportRun,
    ImportSummary,
    Rejects,
    batches,
    feed_of,
    import_batch,
    kind_of,
    proven_order,
    reading_of,
    rows_of,
)

import_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
export_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


Organisation = Annotated[str, typer.Option("--org", metavar="ORG", help="Organisation that the contacts belong to.")]
ExportedOrganisation = Annotated[
    str | None,
    typer.Option("--org", metavar="ORG", help="Organisation to export; needed where several are.", show_default=False),
]
DateOrder = Annotated[
    Literal["dmy", "mdy"] | None,
    typer.Option(
        "--dates",
        metavar="dmy|mdy",
        help="How 04/05/1988 is meant in a CSV file; else as its other dates prove.",
        show_default=False,
    ),
]


@import_app.callback()
def import_() -> None:
    """Bring contacts of a file into an organisation."""


@export_app.callback()
def export() -> None:
    """Write an organisation's contacts to a file."""


@import_app.command(
    "contacts",
    epilog=options.examples(
        "headwater import contacts members.csv --org org_hlf --dry-run",
        "headwater import contacts members.csv --org org_hlf --key 'Member no'",
        "headwater import contacts phone.vcf --org default",
    ),
)
def import_contacts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .vcf or .jsonl file.")],
    org: Organisation,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    key: Annotated[
        str | None,
        typer.Option("--key", metavar="COLUMN", help="CSV column of the key to upsert by.", show_default=False),
    ] = None,
    dates: DateOrder = None,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Bring the contacts of a file in.

    Each row is matched by its key: a known contact is changed where it differs, an unknown one is made. Ends with 1
    when rows were refused; the others are in.
    """
    kind = kind_of(file)
    if key is not None and kind != "csv":
        raise FileUnsuitable(f"--key names a column, and {file.name} has none")
    summary = ImportSummary()
    rejected = file.with_suffix(f".rejected{file.suffix.lower()}")
    with (
        installation.opened(data, database, config) as here,
        file.open("rb") as stream,
        _bar(file.stat().st_size, stream, hidden=as_json) as advance,
        Rejects(rejected, stored=not dry_run) as rejects,
    ):
        feed = here.database.read_now(lambda tx: feed_of(tx, org))
        order = dates or proven_order(stream, kind, key)
        rows = rows_of(stream, kind, key, order)
        if isinstance(rows, CsvRows):
            rejects.header, rejects.delimiter = tuple(rows.columns.header), rows.delimiter
        run = ImportRun(here.database, feed, here.settings.effective_provisioning == "open", kind == "vcf", dry_run)
        watch = DuplicateWatch(here.database, feed)
        for batch in batches(iter(rows)):
            import_batch(run, batch, summary, rejects, watch)
            advance()
    counts: Row = {"file": str(file), "organisation": org, "dry_run": dry_run}
    stored = rejected if rejects.count and not dry_run else None
    import_report.show(counts, summary, reading_of(rows, order), stored, as_json=as_json)
    if rejects.count:
        raise typer.Exit(1)


@export_app.command(
    "contacts",
    epilog=options.examples(
        "headwater export contacts members.csv --org org_hlf", "headwater export contacts members.vcf --org default"
    ),
)
def export_contacts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .vcf or .jsonl file; it is replaced.")],
    org: ExportedOrganisation = None,
    *,
    mark: Annotated[
        bool, typer.Option("--mark/--no-mark", help="Begin a CSV file with the mark by which Excel knows UTF-8.")
    ] = True,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write all contacts of an organisation to a file.

    An import reads it back unchanged.
    """
    write: dict[str, Callable[[BinaryIO, Iterable[ContactRow]], int]] = {
        "csv": partial(write_csv, byte_order_mark=mark), "vcf": write_vcard, "jsonl": write_jsonl,
    }  # fmt: skip
    kind = kind_of(file)
    with installation.opened(data, database, config) as here:
        chosen = org or here.database.read_now(only_organisation)
        feed = here.database.read_now(lambda tx: feed_of(tx, chosen))
        with replacing(file) as stream:
            count = write[kind](stream, contacts_of(here.database, feed))
    show_one({"file": str(file), "organisation": chosen, "contacts": count}, as_json=as_json)


@contextmanager
def _bar(size_bytes: int, stream: BinaryIO, *, hidden: bool) -> Iterator[_Advance]:
    """Shows a progress bar over the bytes of a file, on standard error if that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=hidden or not console.is_terminal) as progress:
        yield _Advance(progress, progress.add_task("contacts", total=size_bytes), stream)


class _Advance:
    """Moves a bar to the position at which the file is read."""

    def __init__(self, progress: Progress, task: TaskID, stream: BinaryIO) -> None:
        self._progress, self._task, self._stream = progress, task, stream

    def __call__(self) -> None:
        self._progress.update(self._task, completed=self._stream.tell())
