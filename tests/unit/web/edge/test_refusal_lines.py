"""The log lines of refused requests have a bound, and the next line counts those left out."""

from __future__ import annotations

import pytest

from headwater.web.edge import refusal_lines
from headwater.web.edge.refusal_lines import RefusalLines
from tests.support.server.serving import ServerUnderTest


def test_a_flood_of_one_address_writes_few_lines_and_the_next_one_counts_the_rest() -> None:
    lines = RefusalLines()
    admitted = [lines.admit("address a", 401, 0.0) for _ in range(1000)]
    written = [left_out for left_out in admitted if left_out is not None]
    assert written == [0] * refusal_lines._AT_ONCE
    assert lines.admit("address b", 401, 0.0) == 1000 - refusal_lines._AT_ONCE
    assert lines.admit("address a", 401, 1.0) == 0


def test_floods_of_many_addresses_write_few_lines_together() -> None:
    lines = RefusalLines()
    admitted = [lines.admit(f"address {number}", 429, 0.0) for number in range(10_000)]
    assert len([left_out for left_out in admitted if left_out is not None]) == refusal_lines._ALL_AT_ONCE


@pytest.mark.sqlite_only
def test_a_flood_of_refused_requests_writes_few_lines(
    server: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = server.client.as_token("x" * 64)
    assert {stranger.get("/api/v1/contacts").status for _ in range(200)} == {401}
    assert capsys.readouterr().out.count("status=401") <= refusal_lines._AT_ONCE + refusal_lines._PER_SECOND * 60
