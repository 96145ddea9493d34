"""Holds an answer against what a contract prints: the same keys and values, ids and times aside; more keys are fine."""

from __future__ import annotations

import re
from typing import Any

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_MINTED = re.compile(r"(c-|sync_)\d{5,}")


def assert_printed(answer: Any, printed: Any, *aside: str, at: str = "") -> None:
    """Fail where the answer lacks what is printed; the values of keys named in ``aside`` need only be of its kind."""
    assert type(answer) is type(printed), f"{at}: {answer!r} instead of {printed!r}"
    if isinstance(printed, dict):
        missing = set(printed) - set(answer)
        assert not missing, f"{at}: without {sorted(missing)}"
        for key, value in printed.items():
            if key not in aside:
                assert_printed(answer[key], value, *aside, at=f"{at}.{key}")
            else:
                assert type(answer[key]) is type(value), f"{at}.{key}"
    elif isinstance(printed, list):
        assert len(answer) == len(printed), f"{at}: {len(answer)} instead of {len(printed)}"
        for index, (mine, theirs) in enumerate(zip(answer, printed, strict=True)):
            assert_printed(mine, theirs, *aside, at=f"{at}[{index}]")
    elif isinstance(printed, str) and _TIME.fullmatch(printed):
        assert _TIME.fullmatch(answer), f"{at}: {answer!r} is no time in seconds with Z"
    elif isinstance(printed, str) and (minted := _MINTED.fullmatch(printed)):
        assert answer.startswith(minted[1]), f"{at}: {answer!r} is no id like {printed!r}"
        assert _MINTED.fullmatch(answer), f"{at}: {answer!r} is no id like {printed!r}"
    else:
        assert answer == printed, f"{at}: {answer!r} instead of {printed!r}"
