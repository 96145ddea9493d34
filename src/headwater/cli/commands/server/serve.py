"""``headwater serve``: starts one server, prints how to call it, and stops it in order."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from headwater import __version__
from headwater.base import log
from headwater.base.errors import Fatal
from headwater.base.settings.load import Settings
from headwater.cli import options
from headwater.cli.output import say_note
from headwater.installation import doctor, first_start

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog=options.examples(
        "headwater serve",
        "headwater serve --data /srv/headwater --port 9000",
        "headwater serve --database postgresql://headwater@db.example/headwater",
        "headwater serve --port 0 --ready-file ready.json",
        "headwater serve --set limits.body_bytes=4194304 --set log.level=debug",
    )
)
def serve(
    data: options.DataFolder = None,
    database: options.DatabaseUrl = None,
    host: Annotated[
        str | None, typer.Option(metavar="H", help="Address to listen on [127.0.0.1].", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(metavar="N", help="Port; 0 takes any free one [8484].", show_default=False)
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help='Gets {"url", "pid"} as soon as the server answers.'),
    ] = None,
    config: options.ConfigFile = None,
    sets: options.Set = None,
) -> None:
    """Run the server until a signal stops it (Ctrl-C, or SIGTERM).

    The first start makes the data folder, the database and an admin token. A terminal shows it once; it is stored in
    admin.token.
    """
    settings = options.load(data, database, config, sets, {"server.host": host, "server.port": port})
    log.configure(settings.log)
    options.keep_files_private()
    _run(settings, ready_file)


def _run(settings: Settings, ready_file: Path | None) -> None:
    from headwater.installation import connect, data_folder
    from headwater.server import app as server_app
    from headwater.server import serve as server_serve

    place = data_folder.prepare(Path(settings.database.data_folder))
    with data_folder.locked(place):
        listener = server_serve.bind(settings.server.host, settings.server.port)
        alarm = server_serve.StorageAlarm()
        database = connect.open_database(settings, alarm)
        token = first_start.first_start(database, place)
        server = server_app.assemble(database, settings, connect.open_packs(settings))
        address = server_serve.address_of(listener)

        def ready() -> None:
            # What is not a terminal keeps what it gets: a log, a journal.
            shown = token if sys.stdout.isatty() else None
            for line in greeting(settings, address.url, place, shown):
                print(line, flush=True)
            for line in doctor.warnings_of(settings):
                say_note(f"warning: {line}")
            if ready_file is not None:
                _write_ready(ready_file, address.url)

        with closing(database):
            server_serve.serve(server, listener, alarm, ready)
        if alarm.failure is not None:
            raise Fatal(f"stopped, because {alarm.failure}")


def greeting(settings: Settings, url: str, folder: Path, token: str | None) -> list[str]:
    """The lines of the start: the address, the public doors, the token, and two calls that work as printed."""
    public = settings.answers_without_token
    token_file = folder / "admin.token"
    store = "PostgreSQL" if settings.database.url else "SQLite"
    lines = [
        f"Headwater {__version__} listens on {url}",
        f"  data folder   {folder.resolve()} (database: {store})",
        f"  public        {_public_line(settings)}",
        f"  provisioning  {_provisioning_line(settings)}",
        f"  API pages     {url}/docs",
    ]
    if token is not None:
        lines += [f"  admin token   {token}", f"                shown only this once; stored in {token_file.resolve()}"]
    elif token_file.exists():
        lines.append(f"  admin token   stored in {token_file.resolve()}")
    create = (
        f"""curl -H "Authorization: Bearer $(cat {shlex.quote(str(token_file.resolve()))})" {url}/api/v1/contacts"""
    )
    body = """-H 'Content-Type: application/json' -d '{"first_name": "Ada", "last_name": "Lovelace"}'"""
    lines += ["Create a contact, and list what is there:", f"  {create} {body}"]
    lines.append(f"  curl {url}/api/v1/contacts" if public else f"  {create}")
    return lines


def _public_line(settings: Settings) -> str:
    if settings.access.public_access == "on":
        return "contacts and cache answer every caller without a token, because access.public_access is on"
    if settings.answers_without_token:
        return "contacts and cache answer people of this machine without a token; proxies and system accounts need one"
    if settings.is_loopback_bind and settings.is_proxied and settings.access.public_access == "loopback":
        return "nothing; every door needs a token, because server.public_url or server.trusted_proxies names a proxy"
    return "nothing; every door needs a token"


def _provisioning_line(settings: Settings) -> str:
    if settings.effective_provisioning == "open":
        return "open; an unknown organisation or chapter is created on first use"
    return "closed; make organisations with 'headwater org create'"


def _write_ready(path: Path, url: str) -> None:
    """Writes the ready file whole or not at all, so that a process that waits for it never reads a half."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n", "utf-8")
    unfinished.replace(path)
