from __future__ import annotations

from headwater.base import errors
from headwater.web.docs.error_catalogue import ADVICE, entries
from headwater.web.errors import STATUSES

BY_CODE = {entry.code: entry for entry in entries()}


def test_every_code_stands_once_by_status_and_name_and_the_command_lines_last() -> None:
    found = entries()
    assert len(BY_CODE) == len(found)
    keys = [(entry.status or 999, entry.code) for entry in found]
    assert keys == sorted(keys)


def test_every_meaning_of_the_tree_is_in_it_with_its_status_and_words() -> None:
    for kind, status in STATUSES.items():
        entry = BY_CODE[kind.code]
        assert (entry.status, entry.title) == (status, kind.title)
        assert entry.hint == ADVICE.get(kind.code, kind.hint)


def test_every_entry_says_what_it_means_and_what_to_do() -> None:
    for entry in entries():
        assert entry.title, entry
        assert entry.meaning, entry
        assert entry.hint.rstrip()[-1] in ".:", entry


def test_errors_that_only_an_operator_meets_have_no_status() -> None:
    assert BY_CODE["ADDRESS_UNUSABLE"].status == 0
    assert BY_CODE[errors.NotFound.code].status == 404


def test_every_advice_is_for_a_code_that_exists() -> None:
    assert ADVICE.keys() <= BY_CODE.keys()
