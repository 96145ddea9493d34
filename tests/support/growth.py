"""How the time of a function grows with its input, compared as a ratio, so that a slow machine changes nothing."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")

FACTOR = 4
"""The longer input is this many times the shorter one; a quadratic function then takes sixteen times as long."""

MOST = 9.0
"""The largest ratio that counts as linear: a linear function has 4, and the rest is slack for noise."""

FLOOR_SECONDS = 0.012
"""Below it the longer input is quick enough whatever the ratio is, and noise is most of what is measured."""

CERTAIN_SECONDS = 0.5
"""A time above it is no noise, and is not measured again."""


def grows_faster_than_linear(make: Callable[[int], Given], act: Callable[[Given], object], most: int) -> str | None:
    """A sentence with the times when the function grows faster than its input, else None.

    ``most`` is the length of the longest input that the function accepts. The time is that of this process's
    processor, the least of several runs; a suspicion is measured again before it is stated.
    """
    short, long = make(most // FACTOR), make(most)
    short_seconds = long_seconds = 0.0
    for _ in range(3):
        long_seconds = least_seconds(act, long)
        if long_seconds < FLOOR_SECONDS:
            return None
        short_seconds = least_seconds(act, short)
        if long_seconds <= MOST * short_seconds:
            return None
        if long_seconds > CERTAIN_SECONDS:
            break
    return f"{most // FACTOR} takes {short_seconds:.4f} s, {most} takes {long_seconds:.4f} s"


def least_seconds(act: Callable[[Given], object], given: Given) -> float:
    """The least processor time of up to five runs; one run when it is long already."""
    least = float("inf")
    spent = 0.0
    # A search for cycles in the middle of a run would count as time of the function.
    gc.disable()
    try:
        for _ in range(5):
            began = time.process_time()
            act(given)
            took = time.process_time() - began
            least, spent = min(least, took), spent + took
            if spent > 0.5 or least < FLOOR_SECONDS / 2:
                break
    finally:
        gc.enable()
    return least
