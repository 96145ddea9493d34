from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headwater.base.wire import encode, format_seconds, parse_time
from headwater.contracts.cache import batches
from headwater.contracts.cache.batches import FUTURE_US, Prepared, changed_fields
from headwater.store.log.records import Draft

NOW_US = parse_time("2026-03-26T11:25:00Z")
CONTACT = {"id": "cnt_1", "name": "Ada Byron", "updated_at": "2026-03-25T14:00:00Z"}
NOTE = {"id": "nte_1", "contact_id": "cnt_1", "content": "Hello", "updated_at": "2026-03-25T14:00:00Z"}


def contacts(*rows: Any) -> Prepared:
    return batches.contacts([msgspec.Raw(encode(row)) for row in rows], NOW_US)


def notes(*rows: Any) -> Prepared:
    return batches.notes([msgspec.Raw(encode(row)) for row in rows], NOW_US)


def contact(**fields: Any) -> Draft:
    """The draft of a contact that must be good."""
    prepared = contacts(CONTACT | fields)
    assert prepared.errors == []
    return prepared.rows[0][1]


def refusal(**fields: Any) -> tuple[str, str, str | None]:
    """The code, the detail and the id of a contact that must be refused."""
    prepared = contacts({name: value for name, value in (CONTACT | fields).items() if value is not ...})
    assert prepared.rows == []
    error = prepared.errors[0]
    assert (error.index, error.collection) == (0, "contacts")
    return error.code, error.detail, error.id


def test_a_contact_is_stored_in_the_caches_own_form() -> None:
    draft = contact(email="ada@example.org", phone="906 78 901", org_name="Acme")
    assert json.loads(draft.body) == {
        "id": "cnt_1", "name": "Ada Byron", "email": "ada@example.org", "phone": "906 78 901", "org_name": "Acme",
        "updated_at": "2026-03-25T14:00:00Z",
    }  # fmt: skip
    assert (draft.id, draft.parent, draft.created_us) == ("cnt_1", None, NOW_US)
    assert draft.updated_us == parse_time(CONTACT["updated_at"])


def test_a_contact_is_found_by_name_last_name_email_and_digits() -> None:
    terms = contact(name="Bjørn Ås Lie", email="B@Example.org", phone="+47 906 78 901").search.split("\n")
    assert terms == ["", "bjorn as lie", "as lie", "b@example.org", "4790678901"]


def test_a_contact_without_email_and_phone_has_no_terms_for_them() -> None:
    assert contact(name="Ada").search.strip("\n") == "ada"


def test_a_time_with_another_offset_is_stored_in_utc() -> None:
    draft = contact(updated_at="2026-03-25T16:00:00.5+02:00")
    assert json.loads(draft.body)["updated_at"] == "2026-03-25T14:00:00Z"


@pytest.mark.parametrize(("ahead_us", "good"), [(FUTURE_US, True), (FUTURE_US + 1_000_000, False)])
def test_a_time_may_be_five_minutes_ahead_and_no_more(ahead_us: int, good: bool) -> None:
    text = format_seconds(NOW_US + ahead_us)
    if good:
        assert contact(updated_at=text).updated_us == NOW_US + ahead_us
    else:
        assert refusal(updated_at=text)[0] == "in_the_future"


@pytest.mark.parametrize(
    ("fields", "code", "place"),
    [
        ({"name": ...}, "missing", "name"),
        ({"updated_at": ...}, "missing", "updated_at"),
        ({"name": 7}, "invalid_type", "name"),
        ({"email": 7}, "invalid_type", "email"),
        ({"updated_at": "yesterday"}, "incorrect_value", "updated_at"),
        ({"updated_at": "2026-03-25T14:00:00"}, "incorrect_value", "updated_at"),
        ({"id": "a\nb"}, "incorrect_value", "id"),
    ],
)
def test_a_wrong_field_is_named_and_its_row_keeps_its_id(fields: dict[str, Any], code: str, place: str) -> None:
    found, detail, id = refusal(**fields)
    assert found == code
    assert detail.startswith(place)
    assert id == fields.get("id", "cnt_1")


@pytest.mark.parametrize(("id", "shown"), [(7, None), (None, None), ("x" * 200, "x" * 128)])
def test_an_id_that_cannot_be_shown_is_left_out_or_cut(id: Any, shown: str | None) -> None:
    prepared = contacts(CONTACT | {"id": id})
    assert prepared.rows == []
    assert prepared.errors[0].id == shown


@pytest.mark.parametrize("row", [None, 7, "cnt_1", [], [CONTACT]])
def test_a_row_that_is_no_object_is_refused_without_an_id(row: Any) -> None:
    prepared = contacts(row)
    assert prepared.rows == []
    assert (prepared.errors[0].code, prepared.errors[0].id) == ("invalid_type", None)


def test_good_rows_keep_their_places_among_wrong_ones() -> None:
    prepared = contacts(CONTACT, {}, CONTACT | {"id": "cnt_2"}, 7)
    assert [(index, draft.id) for index, draft in prepared.rows] == [(0, "cnt_1"), (2, "cnt_2")]
    assert [error.index for error in prepared.errors] == [1, 3]


def test_an_empty_collection_has_neither_rows_nor_errors() -> None:
    assert contacts() == notes() == Prepared([], [])


class TestNotes:
    def test_a_note_belongs_to_its_contact_and_is_not_searched(self) -> None:
        draft = notes(NOTE | {"author_name": "Bo"}).rows[0][1]
        assert (draft.id, draft.parent, draft.search) == ("nte_1", "cnt_1", "")
        assert json.loads(draft.body)["author_name"] == "Bo"

    @pytest.mark.parametrize("contact_id", ["", "a\nb", "x" * 129])
    def test_a_contact_id_that_cannot_be_one_is_refused(self, contact_id: str) -> None:
        prepared = notes(NOTE | {"contact_id": contact_id})
        assert prepared.rows == []
        assert prepared.errors[0].collection == "notes"
        assert "contact_id" in prepared.errors[0].detail


class TestChangedFields:
    BODY = encode({"id": "cnt_1", "name": "Ada", "email": None, "updated_at": "2026-03-25T14:00:00Z"})

    @pytest.mark.parametrize(
        ("change", "fields"),
        [
            ({}, []),
            ({"updated_at": "2026-03-26T14:00:00Z"}, []),
            ({"name": "Bo"}, ["name"]),
            ({"name": "Bo", "email": "b@example.org"}, ["email", "name"]),
            ({"phone": "1"}, ["phone"]),
            ({"phone": None}, []),
        ],
    )
    def test_fields_that_differ_are_named_but_for_the_time(self, change: dict[str, Any], fields: list[str]) -> None:
        after = encode(json.loads(self.BODY) | change)
        assert sorted(changed_fields(self.BODY, after)) == fields
        assert sorted(changed_fields(after, self.BODY)) == fields
