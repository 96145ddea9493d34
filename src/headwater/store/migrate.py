"""Migrates a database's schema: applies each numbered file once, in order, each in its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import resources

from headwater.store.database import Database, Transaction
from headwater.store.dialect import statements

LEDGER = "schema_steps"
"""The table that lists the applied steps."""

_LEDGER = "CREATE TABLE IF NOT EXISTS schema_steps (name TEXT PRIMARY KEY, at_us INTEGER NOT NULL)"

_LEDGER_IN_POSTGRES = "SELECT 1 WHERE to_regclass('schema_steps') IS NOT NULL"


def steps() -> list[tuple[str, str]]:
    """Returns the schema files as (name, text), in the order of their numbers."""
    folder = resources.files("headwater.store.schema")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text("utf-8")) for name in names]


def pending(database: Database) -> list[str]:
    """Returns the names of the steps that a database lacks; all of them for an empty database."""
    done = database.read_now(lambda tx: _applied(tx, embedded=database.embedded))
    return [name for name, _ in steps() if name not in done]


def migrate(database: Database, only: Collection[str] | None = None) -> list[str]:
    """Applies the missing steps and returns their names. Several processes may call it at once.

    ``only`` names the steps that may be applied, to create the schema of an earlier version.
    """
    missing = [name for name in pending(database) if only is None or name in only]
    if missing:
        database.write_now(lambda tx: tx.run_schema(_LEDGER))
    return [
        name
        for name, text in steps()
        if name in missing and database.write_now(_step(name, text, embedded=database.embedded))
    ]


def _applied(tx: Transaction, *, embedded: bool) -> set[str]:
    ledger = "SELECT 1 FROM sqlite_schema WHERE name = 'schema_steps'" if embedded else _LEDGER_IN_POSTGRES
    return {row[0] for row in tx.rows("SELECT name FROM schema_steps")} if tx.rows(ledger) else set()


def _step(name: str, text: str, *, embedded: bool) -> Callable[[Transaction], bool]:
    def transaction(tx: Transaction) -> bool:
        if tx.value("SELECT 1 FROM schema_steps WHERE name = ?", name):
            return False
        if not embedded:
            # A new index over many rows needs more time than a request's statement may use.
            tx.run_schema("SET LOCAL statement_timeout = 0")
        # A server must start on a full disk too, so that something can be deleted.
        tx.frees_room()
        for statement in statements(text):
            tx.run_schema(statement)
        tx.run("INSERT INTO schema_steps (name, at_us) VALUES (?, ?)", name, tx.now_us)
        return True

    return transaction
