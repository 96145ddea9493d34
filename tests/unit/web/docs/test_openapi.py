"""The API description and its pages: complete, valid, in step with the routes, readable without a network."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import jsonschema_rs
import pytest

from headwater.base.settings.table import AccessSettings, ServerSettings, Settings
from headwater.server import docs_generator
from headwater.web.docs import pages as docs_pages
from headwater.web.docs.error_catalogue import ADVICE, entries
from headwater.web.docs.openapi import describe
from tests.support.server.asgi import Client
from tests.support.server.doors import contracts, doors
from tests.support.server.serving import ServerUnderTest

pytestmark = pytest.mark.sqlite_only
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def document(client: Client) -> Any:
    return client.as_token(None).get("/openapi.json").json()


def test_every_route_is_described_once_in_its_single_form(document: Any) -> None:
    described = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert described == {door.name for door in doors()}
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(set(ids)) == len(ids)


def test_the_document_is_openapi_3_1(document: Any) -> None:
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["title"] == "Headwater"
    assert document["info"]["license"]["identifier"] == "Apache-2.0"
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": DIALECT, **schema})


def test_every_reference_leads_somewhere(document: Any) -> None:
    references = set(re.findall(r'"\$ref":\s*"#/([^"]+)"', json.dumps(document)))
    assert references
    for reference in references:
        found = document
        for part in reference.split("/"):
            found = found[part]


def test_every_example_fits_its_schema(document: Any) -> None:
    examples = list(media_with_examples(document["paths"]))
    assert len(examples) > 10
    for media in examples:
        schema = {**media["schema"], "components": document["components"]}
        jsonschema_rs.Draft202012Validator(schema).validate(media["example"])


def test_an_error_answer_fits_the_schema_that_is_described(server: ServerUnderTest, document: Any) -> None:
    asked = [("/api/v1/contacts/c-99999", "problem_404"), ("/v2/sync/x/queues/main", "sell_404")]
    for path, name in asked:
        answer = server.client.get(path, headers={"x-basecrm-device-uuid": "d"})
        assert answer.status == 404
        media = document["components"]["responses"][name]["content"][answer.headers["content-type"]]
        jsonschema_rs.Draft202012Validator({**media["schema"], "components": document["components"]}).validate(
            answer.json()
        )


def test_security_follows_who_may_come_in_without_a_token() -> None:
    def security(settings: Settings, path: str) -> Any:
        return describe(contracts(), settings)["paths"][path]["get"]["security"]

    reachable = Settings(server=ServerSettings(host="0.0.0.0"))
    assert security(Settings(), "/api/v1/contacts") == [{"bearer": []}, {}]
    assert security(reachable, "/api/v1/contacts") == [{"bearer": []}]
    assert security(Settings(access=AccessSettings(public_access="off")), "/api/v1/contacts") == [{"bearer": []}]
    assert security(reachable, "/healthz") == []
    assert security(Settings(), "/api/v1/feed") == [{"bearer": []}]


def test_the_pages_ask_for_nothing_outside_and_run_nothing(client: Client) -> None:
    for path in ("/", "/docs", "/docs/errors"):
        page = client.as_token(None).get(path, headers={"Accept": "text/html,*/*;q=0.8"})
        assert page.status == 200
        assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self';")
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=|src=|@import", page.text)
        links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
        # Relative, so that they lead back through the prefix of any proxy.
        assert [link for link in links if not link.startswith(("./", "../", "#"))] == []
        for link in set(links):
            if not link.startswith("#"):
                target = urljoin(f"http://localhost{path}", link).removeprefix("http://localhost")
                assert client.as_token(None).get(target.partition("#")[0]).status == 200
        assert well_formed(page.text)


def test_the_bare_address_says_what_answers_and_where_to_look(client: Client) -> None:
    caller = client.as_token(None)
    found = caller.get("/")
    assert (found.status, found.json()["name"]) == (200, "Headwater")
    for name in ("documentation", "openapi", "health", "readiness"):
        assert caller.get(found.json()[name]).status == 200
    page = caller.get("/", headers={"Accept": "text/html"})
    assert page.headers["content-type"].startswith("text/html")
    assert found.headers["vary"] == page.headers["vary"] == "accept"
    assert caller.request("HEAD", "/").status == 200
    assert caller.post("/").problem() == (405, "METHOD_NOT_ALLOWED")


def test_the_api_page_shows_every_operation_with_a_command(client: Client) -> None:
    page = client.get("/docs").text
    for door in doors():
        assert f"<code>{door.path}</code>" in page
    assert page.count('class="copy"') == len(doors()) + 1
    assert "Bjørn" in page
    assert "/api/v1/feed/ws" in page


def test_the_commands_of_the_api_page_call_the_server_that_shows_it(client: Client) -> None:
    page = client.get("/docs", headers={"Host": "127.0.0.1:9321"}).text
    assert "export HEADWATER=http://127.0.0.1:9321 TOKEN" in page
    assert "127.0.0.1:8484" not in page


def test_every_code_of_the_catalogue_is_an_anchor_of_the_errors_page(client: Client) -> None:
    page = client.get("/docs/errors").text
    assert {entry.code for entry in entries()} == set(re.findall(r'<tr id="([^"]+)">', page))


def test_the_type_of_a_problem_leads_to_its_anchor(client: Client) -> None:
    kind = client.get("/nowhere").json()["type"]
    path, _, anchor = kind.partition("#")
    assert f'id="{anchor}"' in client.get(path).text


def test_a_finer_code_of_a_raise_is_in_the_catalogue_with_what_it_says() -> None:
    found = {entry.code: entry for entry in entries()}
    assert found["HOST_INVALID"].status == 400
    assert found["IDEMPOTENCY_KEY_REUSED"].meaning.endswith("used before with another request.")
    assert found["SETTINGS_INVALID"].status == 0
    assert found["INTERNAL"].status == 500


@pytest.mark.parametrize("code", sorted(ADVICE))
def test_a_finer_code_with_advice_of_its_own_shows_that(code: str) -> None:
    assert {entry.code: entry.hint for entry in entries()}[code] == ADVICE[code]


def test_the_catalogue_names_members_as_they_are_on_the_wire_and_cursors_advice_fits_each_door() -> None:
    found = {entry.code: entry for entry in entries()}
    assert [entry.code for entry in found.values() if "extra[" in entry.meaning] == []
    assert "files with cursor=0" in found["SYNC_CURSOR_INVALID"].hint


@pytest.mark.parametrize("name", ["errors.md", "routes.md"])
def test_the_generated_pages_are_in_step_with_the_code(name: str) -> None:
    stale = f"docs/{name} is stale: run `make docs`"
    assert (ROOT / "docs" / name).read_text("utf-8") == docs_generator.render()[name], stale


def media_with_examples(node: Any) -> Any:
    if isinstance(node, dict):
        if "schema" in node and "example" in node:
            yield node
        for inner in node.values():
            yield from media_with_examples(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from media_with_examples(inner)


def well_formed(page: str) -> bool:
    """True when every element that is opened is closed in its place."""
    without_end = {"meta", "link", "br", "img", "input", "hr"}
    stack: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in without_end:
                stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert stack.pop() == tag

    Reader().feed(page)
    return not stack


@pytest.mark.parametrize(
    ("method", "path", "lines"),
    [
        ("POST", "/api/v1/uploads/packed", ["/uploads/packed?share_id=$SHARE_ID", "application/vnd.headwater.files"]),
        ("GET", "/api/v1/shares/{share_id}/node", ["/shares/$SHARE_ID/node?path=$FILE_PATH"]),
        ("PATCH", "/api/v1/uploads/{upload_id}", ["Tus-Resumable: 1.0.0", "Upload-Offset: $UPLOAD_OFFSET"]),
        ("PUT", "/api/v1/uploads/{upload_id}/chunks/{chunk}", ["/uploads/$UPLOAD_ID/chunks/$CHUNK"]),
    ],
)
def test_a_command_gives_everything_that_its_operation_asks_for(
    client: Client, method: str, path: str, lines: list[str]
) -> None:
    shown = docs_pages.operations(client.get("/openapi.json").json()).values()
    [command] = [one.curl for of_tag in shown for one in of_tag if (one.method, one.path) == (method, path)]
    assert [line for line in lines if line not in command] == []
