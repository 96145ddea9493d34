"""Time and the environment each have one reader, so that everything else can be tested at any instant."""

from __future__ import annotations

import ast
import re

import pytest

from tests.rules.source import SOURCE, Module, imports, package, plant

CLOCK = "headwater.base.clock"
SETTINGS = "headwater.base.settings.load"

TIME_CALLS = {"now", "utcnow", "today"}
LOOPS = {"loop", "get_running_loop", "get_event_loop"}
SQL_TIME = re.compile(
    r"\bcurrent_(timestamp|time|date)\b|\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|unixepoch)\s*\("
    r"|\b(datetime|julianday|strftime)\s*\([^)]*'now'",
    re.IGNORECASE,
)
ENVIRONMENT = {"os.environ", "os.environb", "os.getenv", "os.getenvb", "os.putenv", "os.unsetenv"}


def test_only_the_clock_reads_time() -> None:
    assert [place for module in package() if module.name != CLOCK for place in time_reads(module)] == []


def test_no_schema_reads_time() -> None:
    schemas = sorted(SOURCE.rglob("*.sql"))
    assert [path.name for path in schemas if SQL_TIME.search(path.read_text(encoding="utf-8"))] == []


def test_only_the_settings_read_the_environment() -> None:
    assert [place for module in package() if module.name != SETTINGS for place in environment_reads(module)] == []


def test_the_clock_and_the_settings_are_the_readers_that_the_rule_sees() -> None:
    held = {module.name: module for module in package()}
    assert time_reads(held[CLOCK]) != []
    assert environment_reads(held[SETTINGS]) != []


@pytest.mark.parametrize(
    "text",
    [
        "import time",
        "from time import monotonic",
        "from datetime import UTC, datetime\nat = datetime.now(UTC)",
        "import datetime\nday = datetime.date.today()",
        "def due(loop): return loop.time()",
        "import asyncio\ndef due(): return asyncio.get_running_loop().time()",
        'SQL = "UPDATE devices SET seen_at_us = extract(epoch from now())"',
        "SQL = \"SELECT strftime('%s', 'now')\"",
        "SQL = f'INSERT INTO {table} VALUES (CURRENT_TIMESTAMP)'",
    ],
)
def test_a_second_reader_of_time_is_found(text: str) -> None:
    assert len(time_reads(plant("headwater.feed.reader", text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from time import sleep",
        "from datetime import datetime\nat = datetime.fromisoformat(text)",
        '"""Does what now() would do, were it allowed here."""',
        "def is_due(now): return now >= due_at",
        "noon = moment.time()",
    ],
)
def test_code_that_is_given_the_time_passes(text: str) -> None:
    assert time_reads(plant("headwater.feed.reader", text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "import os\nhome = os.environ['HOME']",
        "import os\nhome = os.getenv('HOME')",
        "from os import environ",
        "import typer\nport = typer.Option(8484, envvar='PORT')",
    ],
)
def test_a_second_reader_of_the_environment_is_found(text: str) -> None:
    assert len(environment_reads(plant("headwater.cli.commands.server.serve", text))) == 1


def test_other_uses_of_the_operating_system_pass() -> None:
    text = "import os\nfrom os import fsync\nos.fsync(3)"
    assert environment_reads(plant("headwater.store.packs.writer", text)) == []


def time_reads(module: Module) -> list[str]:
    """Places that could learn the present instant; sleeping and computing with times is no reading."""
    places = [
        f"{module.name}:{found.line} imports {found.target}"
        for found in imports(module)
        if found.target == "time" or (found.target.startswith("time.") and found.target != "time.sleep")
    ]
    prose = docstrings(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and reads_time(node.func):
            places.append(f"{module.name}:{node.lineno} calls {node.func.attr}()")
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in prose
            and SQL_TIME.search(node.value)
        ):
            places.append(f"{module.name}:{node.lineno} lets the database read time")
    return places


def reads_time(called: ast.Attribute) -> bool:
    """True for `datetime.now`, `date.today` and the event loop's own clock."""
    owner = called.value.func if isinstance(called.value, ast.Call) else called.value
    name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
    if called.attr == "time":
        return name in LOOPS
    return called.attr in TIME_CALLS and name in {"datetime", "date"}


def environment_reads(module: Module) -> list[str]:
    """Places that read or change the environment."""
    places = [
        f"{module.name}:{found.line} imports {found.target}" for found in imports(module) if found.target in ENVIRONMENT
    ]
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if f"{node.value.id}.{node.attr}" in ENVIRONMENT:
                places.append(f"{module.name}:{node.lineno} uses os.{node.attr}")
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            places.append(f"{module.name}:{node.lineno} reads a variable past the settings")
    return places


def docstrings(module: Module) -> set[int]:
    """The identities of the constants that are docstrings or other bare text, which nothing executes."""
    return {id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr)}
