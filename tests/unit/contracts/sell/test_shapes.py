from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from headwater.base.errors import FieldError, Invalid, NotFound, TooManyRequests, Unavailable
from headwater.base.wire import encode
from headwater.contracts.sell import shapes
from headwater.contracts.sell.shapes import FailedObject, PostalAddress

CONTACT = {
    "contact_id": "c-00001", "first_name": "Ada", "last_name": "Byron", "email": "a@x.no", "phone": "1",
    "address": None, "date_of_birth": "1815-12-10", "chapter_ids": ["chp_1"], "created_at": "2026-03-25T14:00:00Z",
    "updated_at": "2026-03-26T14:00:00Z",
}  # fmt: skip
CACHED = {
    "id": "cnt_1",
    "name": "Ada Byron",
    "email": None,
    "phone": None,
    "org_name": "Acme",
    "updated_at": "2026-03-25T14:00:00Z",
}
NOTE = {"id": "nte_1", "contact_id": "cnt_1", "content": "Hello", "updated_at": "2026-03-25T14:00:00Z"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, PostalAddress()),
        ("Storgata 12, 0155 Oslo", PostalAddress("Storgata 12", "Oslo", "0155")),
        ("Storgata 12 ,  0155  Oslo", PostalAddress("Storgata 12", "Oslo", "0155")),
        ("c/o Lie, Storgata 12, 0155 Oslo", PostalAddress("c/o Lie, Storgata 12", "Oslo", "0155")),
        ("Unter den Linden 1, 10117 Berlin", PostalAddress("Unter den Linden 1", "Berlin", "10117")),
        ("Storgata 12", PostalAddress("Storgata 12")),
        ("Storgata 12, Oslo", PostalAddress("Storgata 12, Oslo")),
        ("Storgata 12, 155 Oslo", PostalAddress("Storgata 12, 155 Oslo")),
        (", 0155 Oslo", PostalAddress(", 0155 Oslo")),
        ("", PostalAddress("")),
        ("Storgata 12, 0155  ", PostalAddress("Storgata 12, 0155  ")),
        ("Storgata 12\nOppgang B, 0155 Oslo", PostalAddress("Storgata 12\nOppgang B, 0155 Oslo")),
        ("Storgata 12 \n, 0155 Oslo", PostalAddress("Storgata 12", "Oslo", "0155")),
    ],
)
def test_an_address_is_taken_apart_when_it_has_a_postal_code(text: str | None, parts: PostalAddress) -> None:
    assert shapes.address(text) == parts


class TestContact:
    def shown(self, **fields: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(shapes.contact(7, encode(CONTACT | fields)))
        return found

    def test_a_contact_has_sells_fields_and_our_id_beside_them(self) -> None:
        shown = self.shown()
        assert (shown["id"], shown["name"], shown["tags"]) == (7, "Ada Byron", ["chp_1"])
        assert shown["custom_fields"] == {"headwater_id": "c-00001", "date_of_birth": "1815-12-10"}
        assert (shown["created_at"], shown["updated_at"]) == (CONTACT["created_at"], CONTACT["updated_at"])

    @pytest.mark.parametrize(
        ("first", "last", "name"),
        [("Ada", None, "Ada"), (None, "Byron", "Byron"), ("Ada", "", "Ada"), (None, None, "")],
    )
    def test_a_name_is_what_there_is_of_its_parts(self, first: str | None, last: str | None, name: str) -> None:
        assert self.shown(first_name=first, last_name=last)["name"] == name


class TestCachedContact:
    @pytest.mark.parametrize(
        ("name", "first", "last"),
        [
            ("Ada Byron", "Ada", "Byron"),
            ("Ada King Byron", "Ada King", "Byron"),
            ("Ada", None, "Ada"),
            ("Ada ", "Ada", None),
        ],
    )
    def test_the_last_word_of_a_name_is_the_last_name(self, name: str, first: str | None, last: str | None) -> None:
        shown = json.loads(shapes.cached_contact(7, encode(CACHED | {"name": name})))
        assert (shown["first_name"], shown["last_name"], shown["name"]) == (first, last, name)

    def test_its_time_of_creation_is_that_of_its_change(self) -> None:
        shown = json.loads(shapes.cached_contact(7, encode(CACHED)))
        assert shown["created_at"] == shown["updated_at"] == CACHED["updated_at"]
        assert shown["custom_fields"] == {"headwater_id": "cnt_1", "org_name": "Acme"}


class TestNote:
    @pytest.mark.parametrize(("contacts", "resource"), [({"cnt_1": 5}, 5), ({"cnt_2": 5}, None), ({}, None)])
    def test_a_note_names_the_integer_of_its_contact_where_there_is_one(
        self, contacts: dict[str, int], resource: int | None
    ) -> None:
        shown = json.loads(shapes.note(7, encode(NOTE), contacts))
        assert (shown["id"], shown["resource_id"]) == (7, resource)
        assert shown["custom_fields"]["contact_id"] == "cnt_1"

    def test_the_contact_of_a_stored_note_is_known(self) -> None:
        assert shapes.parent_of(encode(NOTE)) == "cnt_1"

    def test_a_body_that_is_no_note_has_no_contact(self) -> None:
        with pytest.raises(msgspec.ValidationError):
            shapes.parent_of(b"{}")


def test_an_item_is_its_data_and_what_sync_needs() -> None:
    made = json.loads(shapes.item(b'{"id":7}', "contact", "updated", "contact-7-9", 9))
    assert made == {
        "data": {"id": 7},
        "meta": {"type": "contact", "sync": {"event_type": "updated", "ack_key": "contact-7-9", "revision": 9}},
    }


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_page_counts_its_items_and_what_is_left(count: int) -> None:
    page = json.loads(shapes.page([b'{"id":1}'] * count, 5, [FailedObject("note", 8)]))
    assert len(page["items"]) == page["meta"]["count"] == count
    assert page["meta"]["count_left"] == 5
    assert len(page["meta"]["failed_objects"]) == 1


class TestErrors:
    def told(self, failure: Any, status: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(shapes.errors(failure, status, "Phrase", "req_1"))
        return found

    def test_an_error_has_sells_envelope_with_the_request_id(self) -> None:
        told = self.told(NotFound("no session"), 404)
        assert told["meta"] == {"type": "errors", "http_status": "404 Phrase", "logref": "req_1"}
        assert told["errors"][0]["error"] == {"code": "not_found", "message": "Not found", "details": "no session"}

    @pytest.mark.parametrize(
        ("failure", "status", "code"),
        [
            (TooManyRequests(), 429, "rate_limit_exceeded"),
            (Unavailable(), 503, "temporarily_unavailable"),
            (NotFound(code="PATH_NOT_FOUND"), 404, "incorrect_path"),
            (Invalid(code="HOST_INVALID"), 400, "invalid_header"),
            (Invalid(), 409, "invalid_param"),
            (Invalid(), 507, "server_error"),
            (Invalid(), 500, "server_error"),
        ],
    )
    def test_every_status_has_one_of_sells_codes(self, failure: Any, status: int, code: str) -> None:
        assert self.told(failure, status)["errors"][0]["error"]["code"] == code

    def test_each_wrong_field_is_an_error_with_its_place(self) -> None:
        fields = (
            FieldError("data.ack_keys", "missing", "it is needed"),
            FieldError("X-Basecrm-Device-UUID", "blank", "it is blank"),
            FieldError("data", "odd", "it is odd"),
        )
        errors = [item["error"] for item in self.told(Invalid(fields=fields), 422)["errors"]]
        assert [error["field"] for error in errors] == ["/data/ack_keys", "X-Basecrm-Device-UUID", "/data"]
        assert [error["code"] for error in errors] == ["missing", "blank", "incorrect_value"]


@pytest.mark.parametrize(
    ("count", "length", "good"),
    [(10_000, 5, True), (10_001, 5, False), (1, 1000, True), (1, 1001, False), (0, 0, True)],
)
def test_an_ack_names_at_most_ten_thousand_keys_of_a_thousand_characters(count: int, length: int, good: bool) -> None:
    body = encode({"data": {"ack_keys": ["k" * length] * count}})
    if good:
        assert len(shapes.read_ack.decode(body).data.ack_keys) == count
    else:
        with pytest.raises(msgspec.ValidationError):
            shapes.read_ack.decode(body)
