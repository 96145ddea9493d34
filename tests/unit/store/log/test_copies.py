"""The list of copies of a record's content, compared with every column of the schema."""

from __future__ import annotations

import pytest

from headwater.store.database import Database
from headwater.store.dump import describe, names
from headwater.store.log import copies
from headwater.store.migrate import steps

RECORD = {
    # The rows themselves: records.py replaces them by a tombstone, which has the id and the kind alone.
    "records": {"kind", "id", "parent", "search", "fields"},
    "changes": {"kind", "id", "wire"},
}

WITHOUT_CONTENT = {
    # Names, keys and times of the installation, its people and its devices.
    "schema_steps": {"name"},
    "meta": {"name", "value"},
    "organisations": {"id", "name"},
    "feeds": {"name", "organisation"},
    "counters": {"name"},
    "users": {"id", "organisation", "name", "role"},
    "tokens": {"id", "hash", "user_id", "organisation", "scopes", "label"},
    "chapters": {"organisation", "id", "name"},
    "user_chapters": {"user_id", "chapter_id"},
    "devices": {
        "organisation", "device_id", "door", "id", "user_id", "device_name", "platform", "client_version",
    },
    "device_positions": {"device"},
    # The key of a request, the hash of its body, and the name of the record that its answer shows.
    "answers": {"organisation", "caller", "key", "request_hash", "record_kind", "record_id"},
    # The kind of the record and the words of the decision.
    "record_conflicts": {"id", "kind", "winner", "deleted"},
    # Counts and states.
    "cache_syncs": {"organisation", "status"},
    "cache_successes": {"organisation"},
    "sell_devices": {"device_id", "state"},
    "sell_sessions": {"device_id", "id", "queue"},
    "cursor_bases": {"id", "organisation", "places", "replaces"},
    # Labels are words of the product, not of a person.
    "lost_feeds": {"name", "counter"}, "lost_numbers": {"name"}, "sell_lost_states": {"device_id", "state"},
    "terminology_syncs": {"organisation", "synced_version", "lease"},
    "terminology_labels": {"organisation", "source", "location", "etag", "own"},
}  # fmt: skip

FILES = {
    # Files are no records: their content is freed with their packs, by retention and gc.
    "compacted", "packs", "chunks", "shares", "share_members", "nodes", "versions", "version_chunks", "file_conflicts",
    "sync_preferences", "uploads", "upload_chunks", "purged_files", "emptied_nodes",
    "pruned_versions", "damaged_chunks",
}  # fmt: skip


def columns_of(database: Database, table: str) -> tuple[str, ...]:
    return database.read_now(lambda tx: describe(tx, table, embedded=database.embedded)).columns


def text_columns(database: Database) -> set[tuple[str, str]]:
    """Every column of every table that can hold text or bytes."""
    every = {
        (table, column) for table in names([name for name, _ in steps()]) for column in columns_of(database, table)
    }
    return every - integer_columns(database)


def integer_columns(database: Database) -> set[tuple[str, str]]:
    """The columns of whole numbers."""
    if database.embedded:
        sql = (
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c"
            " WHERE t.type = 'table' AND c.type = 'INTEGER'"
        )
    else:
        sql = (
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND data_type = 'bigint'"
        )
    return set(database.read_now(lambda tx: tx.rows(sql)))


def test_every_column_that_can_hold_content_of_a_record_is_listed(database: Database) -> None:
    known = {
        (table, column)
        for tables in (RECORD, WITHOUT_CONTENT)
        for table, columns in tables.items()
        for column in columns
    }
    known |= {(copy.table, column) for copy in copies.COPIES for column in copy.columns}
    open_questions = {(table, column) for table, column in text_columns(database) - known if table not in FILES}
    assert open_questions == set(), "decide for each: a copy (store/log/copies.py) or no content of a record (here)"


def test_every_listed_copy_exists(database: Database) -> None:
    for copy in copies.COPIES:
        assert set(copy.columns) <= set(columns_of(database, copy.table))


def test_no_column_is_listed_as_a_copy_and_as_without_content() -> None:
    both = {
        (copy.table, column)
        for copy in copies.COPIES
        for column in copy.columns
        if column in WITHOUT_CONTENT.get(copy.table, set())
    }
    assert both == set()


@pytest.mark.sqlite_only
def test_erasing_a_copy_reads_the_rows_of_the_record_alone(database: Database) -> None:
    plans = [plan(database, copy.erase) for copy in copies.COPIES]
    plans += [plan(database, copy.keys + " IN (?)") for copy in copies.COPIES if copy.keys]
    assert [found for found in plans if "SCAN" in found or found.endswith("(feed=?)")] == []


def plan(database: Database, sql: str) -> str:
    """How SQLite finds the rows of a statement."""
    found = database.read_now(lambda tx: tx.rows("EXPLAIN QUERY PLAN " + sql, *[1] * sql.count("?")))
    return "; ".join(row[3] for row in found)
