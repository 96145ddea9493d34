"""``headwater terminology``: shows or chooses the source of an organisation's labels."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from headwater.base.errors import UpstreamFailed
from headwater.base.settings.load import SettingsInvalid
from headwater.base.settings.table import TerminologySettings
from headwater.cli import installation, options
from headwater.cli.output import Row, say_note, show_one
from headwater.contracts.terminology import queries, source_rules
from headwater.contracts.terminology.queries import FILE, OWN, URL
from headwater.contracts.terminology.shapes import SourceKind
from headwater.identity import organisations
from headwater.store.database import Transaction

app = typer.Typer(rich_markup_mode=None, add_completion=False, no_args_is_help=True)


@app.callback()
def terminology() -> None:
    """Show or choose where an organisation's labels come from: the words that its apps show."""


@app.command(
    epilog=options.examples(
        "headwater terminology source org_hlf",
        "headwater terminology source org_hlf --url https://labels.example.org/hlf.json",
        "headwater terminology source org_hlf --file /srv/labels/hlf.json",
        "headwater terminology source org_hlf --own",
    )
)
def source(
    *,
    org: Annotated[str, typer.Argument(metavar="ORG", help="The organisation.")],
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="Fetch them from this https:// address; name its host in terminology.allowed_hosts first.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Read them from this file on the server's machine."),
    ] = None,
    own: Annotated[
        bool,
        typer.Option(
            "--own", help="Take those kept in Headwater and edited through /api/v1/terminology (the default)."
        ),
    ] = False,
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
    as_json: options.AsJson = False,
) -> None:
    """Show or choose where an organisation's labels come from.

    Labels are the words that an organisation's apps show, a JSON object such as {"member": "Volunteer"}. Without
    --url, --file or --own this shows the present place. With one of them it stores the choice and fetches once, to
    report whether it works; the choice is stored in either case. Apps get the new labels with the next sync.
    """
    named = _named(url, file, own=own)
    with installation.opened(data, database, config, sets) as here:
        settings = here.settings.terminology
        if named is not None:
            source_rules.check(*named, settings.allowed_hosts)

        feed = here.database.read_now(lambda tx: organisations.feed_of(tx, org))

        def transaction(tx: Transaction) -> Row:
            if named is not None:
                source_rules.name(tx, feed, org, *named)
            return _row(tx, org)

        row = here.database.read_now(transaction) if named is None else here.database.write_now(transaction, feed=feed)
    if named is not None and named[0] != OWN:
        say_note(_trial(*named, settings))
    show_one(row, as_json=as_json)


def _named(url: str | None, file: Path | None, *, own: bool) -> tuple[SourceKind, str] | None:
    """The source that the options name, or None. Raises: SettingsInvalid when they name several."""
    if (url is not None) + (file is not None) + own > 1:
        raise SettingsInvalid("give one of --url, --file and --own")
    if url is not None:
        return URL, url
    if file is not None:
        return FILE, str(file.absolute())
    return (OWN, "") if own else None


def _trial(kind: SourceKind, location: str, settings: TerminologySettings) -> str:
    """A line about the result of one fetch from the source."""
    from headwater.contracts.terminology.upstream import Upstream

    try:
        fetched = asyncio.run(Upstream(settings)(kind, location, None))
    except UpstreamFailed as failure:
        return f"warning: {failure.detail}; the labels stay as they are until it is mended"
    return f"the source gives {len(fetched.labels or ())} labels; the next sync publishes them"


def _row(tx: Transaction, org: str) -> Row:
    labels, state = queries.kept(tx, org), queries.state(tx, org)
    return {
        "organization_id": org,
        "source": labels.source,
        "location": labels.location or None,
        "labels_kept_here": labels.own_count,
        "labels_published": labels.published or 0,
        "failures": state.tracked.failures if state else 0,
        "last_sync_at": state.tracked.last_sync_us if state else None,
    }
