"""Page numbers, limits, booleans and the Link header of lists."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Invalid
from headwater.web.http.paging import (
    MAX_SEARCH_CHARACTERS,
    Paging,
    boolean,
    integer,
    link,
    pagination,
    paging,
    search_text,
)
from tests.support.server.asgi import Client


def test_without_parameters_it_is_the_first_page_of_twenty() -> None:
    assert paging({}) == Paging(1, 20)


@pytest.mark.parametrize("text", ["0", "-1", "101", "1.0", "x", "", " 1", "1 ", "+1", "1e2", "٣", "9" * 30])
def test_a_limit_that_is_no_number_from_1_to_100_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        paging({"limit": text})
    assert caught.value.fields[0].field == "limit"


@pytest.mark.parametrize("text", ["0", "-1", "x", "1000000001"])
def test_a_page_that_is_no_number_from_1_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        paging({"page": text})


@given(st.integers())
def test_a_whole_number_is_taken_exactly_within_its_range(number: int) -> None:
    query = {"n": str(number)}
    if -5 <= number <= 5:
        assert integer(query, "n", 0, -5, 5) == number
    else:
        with pytest.raises(Invalid):
            integer(query, "n", 0, -5, 5)


@pytest.mark.parametrize("text", ["True", "1", "yes", "", "null"])
def test_a_boolean_is_true_or_false_in_these_letters(text: str) -> None:
    assert (boolean({"b": "true"}, "b"), boolean({"b": "false"}, "b")) == (True, False)
    assert boolean({}, "b", default=True) is True
    with pytest.raises(Invalid):
        boolean({"b": text}, "b")


def test_a_search_text_is_at_most_as_long_as_its_bound() -> None:
    assert search_text({}) == ""
    assert search_text({"q": "å" * MAX_SEARCH_CHARACTERS}) == "å" * MAX_SEARCH_CHARACTERS
    with pytest.raises(Invalid) as caught:
        search_text({"q": "1" * (MAX_SEARCH_CHARACTERS + 1)})
    assert caught.value.fields[0].field == "q"


@pytest.mark.parametrize("path", ["/api/v1/contacts?", "/api/v1/cache/contacts?org_id=default&"])
def test_every_list_that_searches_refuses_a_longer_text(client: Client, path: str) -> None:
    assert client.get(path + "q=" + "1" * 256).status == 200
    answer = client.get(path + "q=" + "1" * 15_500 + "x")
    assert (answer.problem(), answer.json()["errors"][0]["field"]) == ((422, "INVALID"), "q")


def links(page: int, limit: int, total: int) -> dict[str, int]:
    name, value = link("/x", {"page": str(page), "q": "a b"}, Paging(page, limit), total)
    assert name == b"link"
    assert b"q=a+b" in value
    return {rel: int(number) for number, rel in re.findall(r'page=(\d+)[^>]*>; rel="(\w+)"', value.decode())}


def test_a_middle_page_links_to_its_neighbours_and_both_ends() -> None:
    assert links(2, 10, 35) == {"first": 1, "prev": 1, "next": 3, "last": 4}


def test_the_ends_link_to_no_page_that_is_not_there() -> None:
    assert links(1, 10, 35) == {"first": 1, "next": 2, "last": 4}
    assert links(4, 10, 35) == {"first": 1, "prev": 3, "last": 4}
    assert links(9, 10, 35) == {"first": 1, "prev": 4, "last": 4}
    assert links(1, 10, 0) == {"first": 1, "last": 1}


def test_a_link_names_its_path_so_that_nothing_breaks_out_of_it() -> None:
    _, value = link('/a>b"c', {}, Paging(1, 10), 1)
    assert value.startswith(b"</a%3Eb%22c?")


def test_the_pagination_tells_page_limit_and_total() -> None:
    assert pagination(Paging(3, 20), 41) == b'{"page":3,"limit":20,"total":41}'
    assert Paging(3, 20).offset == 40
