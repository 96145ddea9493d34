from __future__ import annotations

from typing import Any

import pytest

from headwater.web.docs import pages
from headwater.web.docs.error_catalogue import ErrorEntry
from headwater.web.docs.pages import SchemaField

TEXT = {"type": "string"}


def document(**schemas: Any) -> dict[str, Any]:
    return {"components": {"schemas": schemas}}


def shown(schema: dict[str, Any], **schemas: Any) -> list[tuple[str, str, bool]]:
    return [(field.name, field.type, field.required) for field in pages.fields(document(**schemas), schema)]


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


class TestFields:
    def test_the_fields_of_a_shape_are_rows(self) -> None:
        schema = {
            "properties": {"name": {**TEXT, "description": "A name."}, "age": {"type": "integer"}},
            "required": ["name"],
        }
        assert list(pages.fields(document(), schema)) == [
            SchemaField("name", "string", "A name.", required=True),
            SchemaField("age", "integer", "", required=False),
        ]

    def test_inner_shapes_have_dotted_names_and_lists_brackets(self) -> None:
        inner = {"type": "object", "properties": {"id": TEXT}}
        schema = {"properties": {"one": ref("Inner"), "many": {"type": "array", "items": ref("Inner")}}}
        assert [name for name, _, _ in shown(schema, Inner=inner)] == ["one", "one.id", "many", "many[].id"]

    def test_a_shape_that_holds_itself_ends(self) -> None:
        assert [name for name, _, _ in shown(ref("Tree"), Tree={"properties": {"below": ref("Tree")}})] == [
            "below",
            "below.below",
            "below.below.below",
        ]

    def test_a_shape_that_may_be_null_is_shown_with_its_fields(self) -> None:
        schema = {"properties": {"one": {"anyOf": [ref("Inner"), {"type": "null"}]}}}
        assert shown(schema, Inner={"type": "object", "properties": {"id": TEXT}}) == [
            ("one", "object, null", False),
            ("one.id", "string", False),
        ]

    def test_a_schema_without_fields_has_no_rows(self) -> None:
        assert shown({}) == shown(TEXT) == []

    @pytest.mark.parametrize(
        ("schema", "words"),
        [
            ({"type": "string", "minLength": 1, "maxLength": 5}, "string, minLength 1, maxLength 5"),
            ({"type": "integer", "minimum": 0}, "integer, minimum 0"),
            ({"type": ["string", "null"]}, "string, null"),
            ({"type": "string", "enum": ["a", "b"]}, "string, enum ['a', 'b']"),
            ({"type": "string", "format": "date-time"}, "string, date-time"),
            ({"type": "array", "items": TEXT, "maxItems": 3}, "array of string, maxItems 3"),
            ({"anyOf": [TEXT, {"type": "integer"}, TEXT]}, "string, integer"),
            ({"type": "string", "default": None}, "string"),
            ({}, "any"),
        ],
    )
    def test_a_type_is_told_in_few_words_with_its_limits(self, schema: dict[str, Any], words: str) -> None:
        assert shown({"properties": {"x": schema}}) == [("x", words, False)]


class TestCurl:
    def curl(self, path: str, method: str = "GET", *parameters: dict[str, Any], **operation: Any) -> str:
        return pages.curl(path, method, list(parameters), {"security": [], **operation})

    def parameter(self, name: str, place: str = "query", *, required: bool = True, **schema: Any) -> dict[str, Any]:
        return {"name": name, "in": place, "required": required, "schema": schema or TEXT}

    def test_ids_of_the_path_are_shell_variables(self) -> None:
        assert self.curl("/shares/{share_id}/nodes/{node_id}") == 'curl "$HEADWATER/shares/$SHARE_ID/nodes/$NODE_ID"'

    def test_only_what_is_needed_is_in_the_command(self) -> None:
        needed, other = self.parameter("org_id"), self.parameter("limit", required=False)
        assert self.curl("/cache", "GET", needed, other) == 'curl "$HEADWATER/cache?org_id=$ORG_ID"'

    def test_a_parameter_with_one_value_is_given_it(self) -> None:
        header = self.parameter("Tus-Resumable", "header", enum=["1.0.0"])
        assert '-H "Tus-Resumable: 1.0.0"' in self.curl("/uploads", "HEAD", header)

    @pytest.mark.parametrize(
        ("name", "variable"), [("path", "$FILE_PATH"), ("X-Device-Id", "$DEVICE"), ("upload-length", "$UPLOAD_LENGTH")]
    )
    def test_a_name_that_the_shell_has_already_is_another(self, name: str, variable: str) -> None:
        assert variable in self.curl("/x", "GET", self.parameter(name))

    def test_a_token_is_sent_where_one_is_needed(self) -> None:
        line = '-H "Authorization: Bearer $TOKEN"'
        assert line in self.curl("/x", security=[{"token": []}])
        assert line not in self.curl("/x")

    def test_a_body_of_json_is_the_example_safely_quoted(self) -> None:
        content = {"application/json": {"example": {"name": "Ada's $HOME; `ls`"}}}
        command = self.curl("/x", "POST", requestBody={"content": content})
        assert command.startswith('curl -X POST "$HEADWATER/x"')
        assert """-d '{"name": "Ada'"'"'s $HOME; `ls`"}'""" in command

    def test_a_body_of_bytes_is_a_file(self) -> None:
        command = self.curl("/x", "PUT", requestBody={"content": {"application/octet-stream": {}}})
        assert '-H "Content-Type: application/octet-stream"' in command
        assert command.endswith('--data-binary "@$FILE"')


class TestErrorsPage:
    def test_every_code_is_an_anchor_and_no_text_becomes_markup(self) -> None:
        entries = (
            ErrorEntry("NOT_FOUND", 404, "Not found", "<script>alert(1)</script>", "Check `id` & more"),
            ErrorEntry("PORT_TAKEN", 0, "Port taken", "It is taken", "Choose another"),
        )
        page = pages.errors_page(entries, "1.2.3").decode()
        assert 'id="NOT_FOUND"' in page
        assert 'id="PORT_TAKEN"' in page
        assert "<script>" not in page
        assert "<code>id</code> &amp; more" in page
        assert "1.2.3" in page


def test_the_start_page_names_the_version_and_leads_on() -> None:
    page = pages.start_page("1.2.3").decode()
    assert "1.2.3" in page
    assert 'href="/docs"' in page


def test_the_style_sheet_loads_nothing() -> None:
    style = pages.style().decode()
    assert "{" in style
    assert "url(" not in style
    assert "@import" not in style
