"""Databases with settings of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from headwater.store.database import Database
from tests.support.clock import MovableClock
from tests.support.store.databases import OPENERS, SMALL


@pytest.fixture
def narrow_database(database_kind: str, tmp_path: Path, clock: MovableClock) -> Iterator[Database]:
    """A database that takes 32 waiting writes, in groups of 8."""
    settings = msgspec.structs.replace(SMALL, writer_batch_requests=8, writer_queue_requests=32)
    with OPENERS[database_kind](tmp_path, clock, settings) as opened:
        yield opened
