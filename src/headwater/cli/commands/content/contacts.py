"""``headwater import contacts`` and ``headwater export contacts``: contacts from and to files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from headwater.cli import installation, options
from headwater.cli.output import Row, as_json_text, say_note, show_one, show_rows
from headwater.contracts.contacts.interchange.csv.format import CsvRows, write_csv
from headwater.contracts.contacts.interchange.jsonl import write_jsonl
from headwater.contracts.contacts.interchange.vcard.format import write_vcard
from headwater.contracts.contacts.upsert import RowOutcome
from headwater.transfer.import_contacts import (
    EXAMPLES_SHOWN,
    FileUnsuitable,
    ImportRun,
    ImportSummary,
    Rejects,
    batches,
    contacts_of,
    feed_of,
    import_batch,
    kind_of,
    replacing,
    rows_of,
)

import_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)
export_app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


Organisation = Annotated[str, typer.Option("--org", metavar="ORG", help="Organisation that the contacts belong to.")]
DateOrder = Annotated[
    Literal["dmy", "mdy"] | None,
    typer.Option("--dates", metavar="dmy|mdy", help="How 04/05/1988 is meant in a CSV file.", show_default=False),
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

    Each row is matched by its key: a known contact is changed where it differs, an unknown one is made.
    """
    kind = kind_of(file)
    if key is not None and kind != "csv":
        raise FileUnsuitable(f"--key names a column, and {file.name} has none")
    summary = ImportSummary()
    rejected = file.with_suffix(".rejected.csv")
    with (
        installation.opened(data, database, config) as here,
        file.open("rb") as stream,
        _bar(file.stat().st_size, stream, hidden=as_json) as advance,
        Rejects(rejected, stored=not dry_run) as rejects,
    ):
        feed = here.database.read_now(lambda tx: feed_of(tx, org))
        rows = rows_of(stream, kind, key, dates)
        if isinstance(rows, CsvRows):
            rejects.header, rejects.delimiter = tuple(rows.columns.header), rows.delimiter
        run = ImportRun(here.database, feed, here.settings.effective_provisioning == "open", kind == "vcf", dry_run)
        for batch in batches(iter(rows)):
            import_batch(run, batch, summary, rejects)
            advance()
    _show(file, org, summary, rejected if rejects.count and not dry_run else None, dry_run=dry_run, as_json=as_json)


@export_app.command(
    "contacts",
    epilog=options.examples(
        "headwater export contacts members.csv --org org_hlf", "headwater export contacts members.vcf"
    ),
)
def export_contacts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv, .vcf or .jsonl file; it is replaced.")],
    org: Organisation = "default",
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write all contacts of an organisation to a file.

    An import reads it back unchanged.
    """
    write = {"csv": write_csv, "vcf": write_vcard, "jsonl": write_jsonl}
    kind = kind_of(file)
    with installation.opened(data, database, config) as here:
        feed = here.database.read_now(lambda tx: feed_of(tx, org))
        with replacing(file) as stream:
            count = write[kind](stream, contacts_of(here.database, feed))
    show_one({"file": str(file), "organisation": org, "contacts": count}, as_json=as_json)


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


def _show(file: Path, org: str, summary: ImportSummary, rejected: Path | None, *, dry_run: bool, as_json: bool) -> None:
    counts: Row = {
        "file": str(file),
        "organisation": org,
        "dry_run": dry_run,
        "rows": summary.effects.total(),
        **{effect: summary.effects[effect] for effect in ("created", "updated", "unchanged", "refused")},
        "warnings": summary.warnings,
        "new_chapters": summary.new_chapters,
        "rejected_file": None if rejected is None else str(rejected),
    }
    examples = [row for outcome in summary.changes for row in _changed(outcome)][:EXAMPLES_SHOWN]
    refused = [row._asdict() for row in summary.refused]
    if as_json:
        print(as_json_text({**counts, "examples": examples, "refused_examples": refused}))
        return
    show_one(counts, as_json=False)
    if dry_run and examples:
        say_note("\nWhat would change, for example:")
        show_rows(examples, as_json=False, none="")
    if refused:
        say_note("\nRefused rows" + (f", with reasons in {rejected}:" if rejected else ":"))
        show_rows(refused, as_json=False, none="")


def _changed(outcome: RowOutcome) -> list[Row]:
    return [
        {
            "row": outcome.row_number,
            "effect": outcome.effect,
            "name": outcome.name,
            "field": name,
            "old": old,
            "new": new,
        }
        for name, (old, new) in outcome.changed.items()
    ]
