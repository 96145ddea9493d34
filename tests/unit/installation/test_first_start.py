"""The first start: secrets, an organisation and an admin token, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.base.settings.table import DatabaseSettings, Settings
from headwater.identity import meta, organisations, tokens
from headwater.identity.principal import DEFAULT_ORGANISATION
from headwater.identity.roles import SCOPES, Role
from headwater.installation import connect
from headwater.installation.first_start import ADMIN_TOKEN_FILE, KEYS, first_start
from headwater.store.database import Database


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    """A database with its schema and no first start."""
    settings = Settings(database=DatabaseSettings(data_folder=str(tmp_path), reserve_file_bytes=0, read_threads=1))
    opened = connect.open_database(settings)
    yield opened
    opened.close()


def keys(database: Database) -> list[bytes]:
    return database.read_now(lambda tx: [meta.secret(tx, name) for name in KEYS])


def test_a_second_start_makes_nothing_and_changes_no_key(empty: Database, tmp_path: Path) -> None:
    text = first_start(empty, tmp_path)
    before = keys(empty), empty.read_now(meta.epoch), empty.read_now(tokens.read_all)
    assert first_start(empty, tmp_path) is None
    assert (keys(empty), empty.read_now(meta.epoch), empty.read_now(tokens.read_all)) == before
    assert (tmp_path / ADMIN_TOKEN_FILE).read_text("ascii") == f"{text}\n"


def test_each_key_is_another_one_and_none_is_short(empty: Database, tmp_path: Path) -> None:
    first_start(empty, tmp_path)
    found = keys(empty)
    assert (len(set(found)), min(map(len, found)) >= 32) == (len(KEYS), True)


def test_the_token_is_good_for_everything_in_the_default_organisation(empty: Database, tmp_path: Path) -> None:
    text = first_start(empty, tmp_path)
    assert text is not None
    caller = empty.read_now(lambda tx: tokens.principal_of_hash(tx, tokens.digest(text), tx.now_us))
    assert caller is not None
    assert (caller.organisation, caller.role, caller.scopes) == (
        DEFAULT_ORGANISATION, Role.GLOBAL_ADMIN, frozenset(SCOPES),
    )  # fmt: skip
    assert [token.expires_us for token in empty.read_now(tokens.read_all)] == [None]


def test_the_file_of_the_token_is_closed_to_others_also_where_an_open_one_was(empty: Database, tmp_path: Path) -> None:
    path = tmp_path / ADMIN_TOKEN_FILE
    path.write_text("an older and much longer token than this installation will ever make" * 3)
    path.chmod(0o644)
    text = first_start(empty, tmp_path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == (f"{text}\n", 0o600)


def test_a_token_that_cannot_be_written_is_never_good_and_the_next_start_makes_one(
    empty: Database, tmp_path: Path
) -> None:
    (tmp_path / ADMIN_TOKEN_FILE).mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        first_start(empty, tmp_path)
    assert not empty.read_now(meta.had_first_start)
    assert (empty.read_now(tokens.read_all), empty.read_now(organisations.read_all)) == ([], [])
    (tmp_path / ADMIN_TOKEN_FILE).rmdir()
    assert first_start(empty, tmp_path) is not None


def test_an_organisation_default_that_exists_gets_no_second_admin(empty: Database, tmp_path: Path) -> None:
    empty.write_now(lambda tx: organisations.create(tx, DEFAULT_ORGANISATION))
    assert first_start(empty, tmp_path) is None
    assert empty.read_now(tokens.read_all) == []
    assert not (tmp_path / ADMIN_TOKEN_FILE).exists()
    assert len(set(keys(empty))) == len(KEYS)
