"""The command ``headwater``: its sub-commands by name, and the one place where a failure becomes a message.

Exit codes: 0 done · 1 it failed · 2 the command or the settings are wrong · 70 the storage failed · 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from headwater import __version__
from headwater.base.errors import Fatal, HeadwaterError, QuotaExceeded, Unavailable
from headwater.base.settings.load import SettingsInvalid
from headwater.cli.output import say_problem


class Command(NamedTuple):
    """A sub-command: its module below ``commands``, its summary, and its name in the module."""

    module: str
    sentence: str
    app: str = "app"

    def load(self) -> Any:
        """Loads the module and returns the command."""
        module = importlib.import_module(f"headwater.cli.commands.{self.module}")
        return typer.main.get_command(getattr(module, self.app))


COMMANDS = {
    "serve": Command("server.serve", "Run the server."),
    "token": Command("access.tokens", "Create, list and revoke tokens."),
    "org": Command("access.organisations", "Create and list organisations."),
    "chapter": Command("access.chapters", "Create, list and rename an organisation's chapters."),
    "device": Command("access.devices", "List devices with their lag, and stop waiting for one."),
    "share": Command("content.shares", "Create shares, set their members, and copy files in and out."),
    "backup": Command("storage.backup", "Write everything into one file, while the server runs."),
    "restore": Command("storage.restore", "Put a backup into an empty data folder."),
    "verify": Command("storage.verify", "Read everything and report what is inconsistent."),
    "gc": Command("storage.gc", "Free the content that nothing refers to any more."),
    "doctor": Command("server.doctor", "Check the installation, and advise on each problem."),
    "openapi": Command("server.openapi", "Print the OpenAPI document."),
    "terminology": Command("content.terminology", "Show or choose where an organisation's labels come from."),
    "import": Command("content.contacts", "Bring contacts in from a file.", app="import_app"),
    "export": Command("content.contacts", "Write contacts to a file.", app="export_app"),
    "config": Command("server.config", "Show each setting and where its value came from."),
}
"""Sub-commands in the order in which a new operator needs them."""

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_FATAL = 70
EXIT_INTERRUPTED = 130

_PARSER_WORDS = (
    ("Input should be a valid integer, unable to parse string as an integer", "must be a whole number"),
    ("Input should be greater than or equal to", "must be at least"),
    ("Input should be less than or equal to", "must be at most"),
    ("Input should be", "must be"),
    ("Value error, ", ""),
)
"""The sentences of the option parser, and ours for them."""

_BUG_HINT = "This is a fault of Headwater; please report it with the command that you gave."

HELP = """Headwater, a self-hosted sync server: one change log, every device downstream.

\b
Examples:
  headwater serve                                  run it on http://127.0.0.1:8484
  headwater serve --data /srv/headwater --port 80  ... elsewhere
  headwater COMMAND --help                         what a command takes, with examples
"""


class LazyGroup(TyperGroup):
    """Knows every sub-command's name, and loads only the one that is called."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - typer's signature
        """The command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = COMMANDS[cmd_name].load()
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - typer's signature
        """Lists the commands from the table, so that ``--help`` loads none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.sentence) for name, command in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name; the error for an unknown name suggests the nearest ones."""
        if args and args[0] not in COMMANDS:
            self.commands = dict.fromkeys(COMMANDS, self)  # only the names are used, to suggest the nearest
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=LazyGroup, help=HELP, no_args_is_help=True, rich_markup_mode=None)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"headwater {__version__}")
        raise typer.Exit


@app.callback()
def headwater(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Accepts the options of every command."""


def main(arguments: Sequence[str]) -> int:
    """Runs one command line; returns the exit code. No failure ends in a traceback."""
    as_json = "--json" in arguments
    try:
        command = typer.main.get_command(app)
        code = command.main(args=list(arguments), prog_name="headwater", standalone_mode=False)
    except typer.TyperException as wrong:
        wrong.message = _plain(wrong.message)
        if as_json:
            say_problem("USAGE", wrong.format_message(), as_json=True)
        else:
            wrong.show()  # type: ignore[attr-defined]
        return EXIT_USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = EXIT_INTERRUPTED
    except HeadwaterError as failure:
        say_problem(failure.error_code, failure.detail, _hint_of(failure), as_json=as_json)
        return exit_code_of(failure)
    except BrokenPipeError:
        raise
    except OSError as failure:
        say_problem("SYSTEM", _system_message(failure), as_json=as_json)
        return EXIT_FAILED
    except Exception as failure:  # noqa: BLE001 - the command line's edge: no user sees a traceback
        if isinstance(failure, UnicodeEncodeError) and (bad := _not_utf8(arguments)) is not None:
            say_problem("USAGE", f"{bad!r} is not valid UTF-8", as_json=as_json)
            return EXIT_USAGE
        say_problem("INTERNAL", _bug_message(failure), _BUG_HINT, as_json=as_json)
        return EXIT_FAILED
    if code == EXIT_INTERRUPTED:  # typer's own word for Ctrl-C
        say_problem("INTERRUPTED", "interrupted", as_json=as_json)
    return code if isinstance(code, int) else 0


def exit_code_of(failure: HeadwaterError) -> int:
    """The exit code for the kind of failure."""
    if isinstance(failure, Fatal):
        return EXIT_FATAL
    return EXIT_USAGE if isinstance(failure, SettingsInvalid) else EXIT_FAILED


def _plain(message: str) -> str:
    """A message of the option parser in our own words."""
    for theirs, ours in _PARSER_WORDS:
        message = message.replace(theirs, ours)
    return message


def _hint_of(failure: HeadwaterError) -> str:
    """The hint of a failure; empty for the errors of requests, whose hints mean HTTP requests."""
    about_requests = type(failure).__module__ == "headwater.base.errors" and not isinstance(
        failure, Fatal | QuotaExceeded | Unavailable
    )
    return "" if about_requests else failure.hint


def run() -> None:
    """Runs this process's command line as the console script, and ends the process."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe (`headwater ... | head`): no write may follow, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_FAILED
    sys.exit(code)


def _not_utf8(arguments: Sequence[str]) -> str | None:
    """The first argument that is no UTF-8: a file may have such a name, but no text and no data folder."""
    return next((text for text in arguments if any("\ud800" <= character <= "\udfff" for character in text)), None)


def _system_message(failure: OSError) -> str:
    reason = failure.strerror or type(failure).__name__
    return f"{failure.filename}: {reason}" if failure.filename is not None else reason


def _bug_message(failure: Exception) -> str:
    place = ""
    trace = failure.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        if name.startswith("headwater."):
            place = f" at {name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"internal error: {type(failure).__name__}: {failure}{place}"
