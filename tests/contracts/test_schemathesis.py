"""Schemathesis over the whole OpenAPI document, all checks and all phases, against a live server: no failure.

A long run: ``HEADWATER_TEST_EXAMPLES=500 make test ARGS='tests/contracts/test_schemathesis.py'``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.base.ids import random_id
from headwater.base.settings.table import AccessSettings, FeedSettings, LimitSettings, LogSettings, Settings
from tests.support.clock import MovableClock
from tests.support.server.live import LiveServer, live
from tests.support.server.serving import ServerUnderTest, serving
from tests.support.store.databases import fresh_sqlite
from tests.support.store.objects import MAKERS, Owner

FOLDER = Path(__file__).resolve().parents[1] / "support" / "schemathesis"
EXAMPLES = int(os.environ.get("HEADWATER_TEST_EXAMPLES", "2"))
SECONDS = 600 + 60 * EXAMPLES

SETTINGS = Settings(
    # A token is asked for everywhere, so that the check for ignored credentials covers every route.
    access=AccessSettings(public_access="off"),
    limits=LimitSettings(rate_token_per_second=1_000_000, rate_token_burst=10_000_000,
                         rate_address_per_second=1_000_000, rate_address_burst=10_000_000),
    feed=FeedSettings(wait_seconds_max=0),
    log=LogSettings(level="error"),
)  # fmt: skip


@pytest.fixture
def served(tmp_path: Path) -> Iterator[LiveServer]:
    clock = MovableClock()
    with (
        fresh_sqlite(tmp_path, clock) as database,
        serving(database, SETTINGS, clock, tmp_path) as under,
        live(under) as server,
    ):
        yield server


def known_ids(under: ServerUnderTest) -> dict[str, list[str]]:
    """The ids of things that exist, three of each kind, by the names that paths give them."""
    found: dict[str, list[str]] = {}
    for _ in range(3):
        organisation = random_id("org")
        owner = Owner(under.caller(organisation), organisation, under.client)
        for make in dict.fromkeys(MAKERS.values()):
            for name, value in make(owner).items():
                found.setdefault(name, []).append(value)
    return found


def configuration(ids: dict[str, list[str]]) -> str:
    """The common settings, and with them half of all ids taken from what exists."""
    lines = [(FOLDER / "schemathesis.toml").read_text("utf-8")]
    lines += [f"[dictionaries.{name}]\nvalues = {json.dumps(values)}" for name, values in ids.items()]
    lines.append("[parameters]")
    for name in ids:
        for place in ("path", "query"):
            lines.append(f'"{place}.{name}" = {{ dictionary = "{name}", probability = 0.5 }}')
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_schemathesis_finds_nothing(served: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(configuration(known_ids(served.under)), "utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli"),
        *("run", served.url + "/openapi.json", "--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
        *("--max-examples", str(EXAMPLES), "--seed", os.environ.get("HEADWATER_TEST_SEED", "1")),
        *("--continue-on-failure", "--suppress-health-check", "all", "--no-shrink", "--no-color"),
        *("-H", f"Authorization: Bearer {served.admin_token}"),
    ]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(FOLDER)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    # Warnings (much of what was made up was refused, say) are no failures; a case that did not pass is one.
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted is not None, done.stdout[-2_000:]
    assert int(counted[1]) == int(counted[2]) > 0, done.stdout[-2_000:]
