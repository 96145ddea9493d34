from __future__ import annotations

from collections.abc import Iterator

import pytest

from headwater.base import errors
from headwater.base.errors import FieldError, HeadwaterError, Invalid, NotFound


def below(kind: type[HeadwaterError]) -> Iterator[type[HeadwaterError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from below(child)


TREE: list[type[HeadwaterError]] = [HeadwaterError, *below(HeadwaterError)]


def test_every_meaning_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in TREE]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_meaning_has_words_of_its_own_for_people(kind: type[HeadwaterError]) -> None:
    assert {"code", "title", "hint"} <= set(vars(kind))
    assert kind.code == kind.code.upper()
    assert kind.hint.endswith(".")


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_without_a_detail_has_its_title_as_text(kind: type[HeadwaterError]) -> None:
    failure = kind()
    assert failure.detail == str(failure) == kind.title
    assert failure.error_code == kind.code
    assert (failure.fields, failure.retry_after_seconds, failure.extra) == ((), None, {})


def test_an_error_carries_its_detail_a_finer_code_and_what_programs_read() -> None:
    failure = NotFound("no share 'shr_1'", code="SHARE_GONE", retry_after_seconds=3, extra={"share": "shr_1"})
    assert str(failure) == failure.detail == "no share 'shr_1'"
    assert failure.error_code == "SHARE_GONE"
    assert NotFound.code == "NOT_FOUND"
    assert failure.retry_after_seconds == 3
    assert failure.extra == {"share": "shr_1"}


def test_the_extra_of_one_error_is_not_that_of_the_next() -> None:
    first = NotFound()
    first.extra["share"] = "shr_1"
    assert NotFound().extra == {}


def test_an_invalid_field_is_named_in_the_text_and_for_programs() -> None:
    failure = Invalid.of("contacts[3].email", "incorrect_value", "has no domain")
    assert failure.detail == "contacts[3].email: has no domain"
    assert failure.fields == (FieldError("contacts[3].email", "incorrect_value", "has no domain"),)


@pytest.mark.parametrize(
    ("special", "general"),
    [
        (errors.CursorInvalid, errors.Malformed),
        (errors.HeadersTooLarge, errors.Malformed),
        (errors.BodyTimeout, errors.Malformed),
        (errors.VersionStale, errors.StateConflict),
        (errors.SyncConflict, errors.StateConflict),
    ],
)
def test_a_special_case_is_caught_as_its_general_one(
    special: type[HeadwaterError], general: type[HeadwaterError]
) -> None:
    with pytest.raises(general):
        raise special


def test_the_tree_in_the_docstring_names_every_class_and_no_other() -> None:
    text = (errors.__doc__ or "").partition("HeadwaterError\n")[2]
    drawn = {line.lstrip("│├└─ ").split()[0] for line in text.splitlines() if line}
    assert drawn == {kind.__name__ for kind in TREE} - {"HeadwaterError"}
