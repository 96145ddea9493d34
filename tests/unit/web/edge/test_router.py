"""Paths and queries: slashes, percent-encoding, ids of any kind, and what no id can be."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from headwater.base.errors import HeadwaterError
from headwater.web import reply
from headwater.web.access_rule import AccessRule
from headwater.web.call import Call
from headwater.web.contract import Contract, Route
from headwater.web.edge.router import Router
from headwater.web.errors import problem
from headwater.web.reply import Reply
from tests.support.server.asgi import Client
from tests.support.server.serving import ServerUnderTest
from tests.support.server.specimen import route, specimen

CONTACTS = "/api/v1/contacts"


async def echo(call: Call) -> Reply:
    return reply.json([call.params, call.query])


@pytest.fixture
def served(server: ServerUnderTest) -> Client:
    return specimen(
        server,
        route("GET", "/things/{id}", echo),
        route("GET", "/things/fixed", echo),
        route("GET", "/things/{id}/parts/{part}", echo),
    )


pytestmark = pytest.mark.sqlite_only


@pytest.mark.parametrize("id", ["a", "a/b", "..", ".", "é ø", "a b", "%", "%41", "a?b#c", "x" * 128, "'\"<>&;,=+"])
def test_an_id_of_any_printable_characters_arrives_as_it_was_sent(served: Client, id: str) -> None:
    assert served.get(f"/specimen/things/{quote(id, safe='')}").json()[0] == {"id": id}


def test_raw_utf8_in_a_path_is_read_like_its_percent_encoding(served: Client) -> None:
    assert served.get("/specimen/things/é").json()[0] == {"id": "é"}


@pytest.mark.parametrize("id", ["%00", "a%00b", "%0A", "%1f", "%7f", "x" * 129, "%E2%80%AE"])
def test_what_no_id_can_be_is_not_found(served: Client, id: str) -> None:
    assert served.get(f"/specimen/things/{id}").problem() == (404, "NOT_FOUND")


@pytest.mark.parametrize("id", ["%", "%4", "%zz", "%ff", "%ED%A0%80", "%C0%AF", "a%"])
def test_a_path_that_is_no_utf8_is_malformed(served: Client, id: str) -> None:
    assert served.get(f"/specimen/things/{id}").problem() == (400, "MALFORMED")


@pytest.mark.parametrize("path", ["/specimen/things/a/", "/specimen/things/fixed/", "/specimen/things/a/parts/b/"])
def test_a_trailing_slash_does_not_matter(served: Client, path: str) -> None:
    assert served.get(path).status == 200


@pytest.mark.parametrize(
    "path",
    ["/", "//", "/specimen", "/specimen//things/a", "/specimen/things//", "/specimen/things/a//", "/Specimen/things/a"],
)
def test_a_path_that_is_not_exactly_ours_is_unknown(served: Client, path: str) -> None:
    assert served.get(path).problem() == (404, "PATH_NOT_FOUND")


def test_dots_in_a_path_are_an_id_and_lead_nowhere(client: Client) -> None:
    assert client.get(f"{CONTACTS}/../contacts").problem() == (404, "PATH_NOT_FOUND")
    assert client.get(f"{CONTACTS}/..").problem() == (404, "NOT_FOUND")
    assert client.get(f"{CONTACTS}/%2e%2e%2f%2e%2e%2fetc%2fpasswd").problem() == (404, "NOT_FOUND")


def test_a_literal_segment_wins_over_a_named_one(served: Client) -> None:
    assert served.get("/specimen/things/fixed").json()[0] == {}
    assert served.get("/specimen/things/fixed/parts/b").json()[0] == {"id": "fixed", "part": "b"}


def test_a_route_declared_twice_stops_the_start() -> None:
    twice = (Route("GET", "/a", echo, AccessRule(), "x"), Route("GET", "/a", echo, AccessRule(), "x"))
    with pytest.raises(HeadwaterError, match="declared twice"):
        Router((Contract("c", "C", ("/c",), twice, problem),))


def test_the_last_of_two_equal_parameters_holds(served: Client) -> None:
    assert served.get("/specimen/things/fixed?a=1&a=2&b=").json()[1] == {"a": "2", "b": ""}


def test_a_parameters_percent_encoding_is_undone(served: Client) -> None:
    assert served.get("/specimen/things/fixed?q=%C3%A9+%2B&%6eame=x").json()[1] == {"q": "é +", "name": "x"}


@pytest.mark.parametrize("query", ["q=%ff", "q=é", "q=%ED%A0%80", "&".join(f"a{n}=1" for n in range(101))])
def test_a_query_that_is_no_utf8_or_has_too_many_parameters_is_malformed(served: Client, query: str) -> None:
    assert served.get(f"/specimen/things/fixed?{query}").problem() == (400, "MALFORMED")


def test_a_nul_in_a_query_names_its_parameter(served: Client) -> None:
    answer = served.get("/specimen/things/fixed?q=a%00")
    assert answer.problem() == (422, "INVALID")
    assert answer.json()["errors"][0]["field"] == "q"
