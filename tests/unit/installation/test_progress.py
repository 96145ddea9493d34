"""Progress reports: sums of counts."""

from __future__ import annotations

from headwater.installation.progress import adding


def test_each_count_is_added_and_the_sum_is_reported() -> None:
    seen: list[tuple[str, int, int]] = []
    more = adding(lambda *step: seen.append(step), "rows", 10)
    for count in (3, 0, 7):
        more(count)
    assert seen == [("rows", 3, 10), ("rows", 3, 10), ("rows", 10, 10)]


def test_two_sums_of_one_report_are_apart() -> None:
    seen: list[tuple[str, int, int]] = []
    rows, packs = (
        adding(lambda *step: seen.append(step), "rows", 2),
        adding(lambda *step: seen.append(step), "packs", 1),
    )
    rows(1)
    packs(1)
    rows(1)
    assert seen == [("rows", 1, 2), ("packs", 1, 1), ("rows", 2, 2)]
