"""ETag, If-Match, If-None-Match: a state is named, asked for only when new, and changed only as it was seen."""

from __future__ import annotations

import pytest

from headwater.base.errors import PreconditionFailed
from headwater.web.http import etags
from tests.support.server.asgi import Client

CONTACTS = "/api/v1/contacts"


@pytest.fixture
def made(client: Client) -> tuple[str, str]:
    answer = client.post(CONTACTS, json={"first_name": "Bjørn"})
    return answer.headers["location"], answer.headers["etag"]


def test_a_state_that_the_caller_holds_is_not_sent_again(client: Client, made: tuple[str, str]) -> None:
    path, tag = made
    for held in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = client.get(path, headers={"if-none-match": held})
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert client.get(path, headers={"if-none-match": '"other"'}).status == 200


def test_every_change_gives_a_new_tag(client: Client, made: tuple[str, str]) -> None:
    path, tag = made
    changed = client.put(path, json={"first_name": "Kari"})
    assert changed.headers["etag"] != tag
    assert client.get(path).headers["etag"] == changed.headers["etag"]
    assert client.get(path, headers={"if-none-match": tag}).status == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_change_on_an_older_state_is_refused(client: Client, made: tuple[str, str], method: str) -> None:
    path, tag = made
    client.put(path, json={"first_name": "Kari"})
    for held in (tag, f"W/{client.get(path).headers['etag']}", '"x"'):
        answer = client.request(method, path, json={"last_name": "Dahl"}, headers={"if-match": held})
        assert answer.problem() == (412, "PRECONDITION_FAILED")
    assert client.get(path).json()["last_name"] is None


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_change_on_the_present_state_is_made(client: Client, made: tuple[str, str], method: str) -> None:
    path, tag = made
    assert client.request(method, path, json={"last_name": "Dahl"}, headers={"if-match": tag}).status == 200


def test_of_two_changes_on_one_state_one_is_made(client: Client, made: tuple[str, str]) -> None:
    path, tag = made
    edits = [("PUT", path, {"json": {"last_name": str(n)}, "headers": {"if-match": tag}}) for n in range(8)]
    assert sorted(answer.status for answer in client.together(edits)) == [200] + [412] * 7


@pytest.mark.parametrize("id", ['a"b', "a,b", "é", "a b", '"', "W/"])
def test_a_tag_of_any_id_is_ascii_without_quotes_and_commas(id: str) -> None:
    tag = etags.etag(id, 1)
    assert tag.isascii()
    assert '"' not in tag[1:-1]
    assert "," not in tag
    assert etags.matches(f'"x",{tag}', tag, weak=False)


def test_tags_of_different_states_differ() -> None:
    assert len({etags.etag("a", 1), etags.etag("a", 2), etags.etag("b", 1), etags.etag("a-1"), etags.etag("a%2D1")}) > 3


def test_without_a_condition_nothing_is_held_back() -> None:
    etags.require(None, '"1"')
    etags.require("*", '"1"')
    with pytest.raises(PreconditionFailed):
        etags.require('"2"', '"1"')
