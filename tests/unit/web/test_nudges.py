"""What a client's frame says that it is."""

from __future__ import annotations

import pytest

from headwater.web.nudges import type_of


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ('{"type":"ping"}', "ping"),
        ('{"type":7}', ""),
        ("{}", ""),
        ("no json", ""),
        ("[" * 5_000, ""),
        ('{"a":' * 5_000, ""),
    ],
)
def test_a_frame_that_says_nothing_readable_says_nothing(frame: str, said: str) -> None:
    assert type_of(frame) == said
