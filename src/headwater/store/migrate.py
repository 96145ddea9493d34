"""Brings a database's schema up to date: each numbered file once, in order, each in its own transaction."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from headwater.store.database import Database, Transaction
from headwater.store.dialect import statements

_LEDGER = "CREATE TABLE IF NOT EXISTS schema_steps (name TEXT PRIMARY KEY, at_us INTEGER NOT NULL)"

_LEDGER_IN_POSTGRES = "SELECT 1 WHERE to_regclass('schema_steps') IS NOT NULL"


def steps() -> list[tuple[str, str]]:
    """The schema files as (name, text), in the order of their numbers."""
    folder = resources.files("headwater.store.schema")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text("utf-8")) for name in names]


def pending(database: Database) -> list[str]:
    """The names of the steps that a database lacks; all of them for one without any."""
    done = database.read_now(lambda tx: _applied(tx, embedded=database.embedded))
    return [name for name, _ in steps() if name not in done]


def migrate(database: Database, adapt: Callable[[str], str] = str) -> list[str]:
    """Apply the steps that are missing; the names of those applied. ``adapt`` translates each statement."""
    database.write_now(lambda tx: tx.run(adapt(_LEDGER)))
    done = {row[0] for row in database.read_now(lambda tx: tx.rows("SELECT name FROM schema_steps"))}
    applied = []
    for name, text in steps():
        if name in done:
            continue
        database.write_now(_step(name, text, adapt))
        applied.append(name)
    return applied


def _applied(tx: Transaction, *, embedded: bool) -> set[str]:
    ledger = "SELECT 1 FROM sqlite_schema WHERE name = 'schema_steps'" if embedded else _LEDGER_IN_POSTGRES
    return {row[0] for row in tx.rows("SELECT name FROM schema_steps")} if tx.rows(ledger) else set()


def _step(name: str, text: str, adapt: Callable[[str], str]) -> Callable[[Transaction], None]:
    def work(tx: Transaction) -> None:
        for statement in statements(text):
            tx.run(adapt(statement))
        tx.run("INSERT INTO schema_steps (name, at_us) VALUES (?, ?)", name, tx.now_us)

    return work
