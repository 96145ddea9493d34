"""The edge: request ids, methods, bodies, hosts, over the contacts door as a specimen."""

from __future__ import annotations

from tests.support.asgi import Client
from tests.support.live import LiveServer
from tests.support.serving import ServerUnderTest

CONTACTS = "/api/v1/contacts"


def test_a_created_contact_is_read_back(client: Client) -> None:
    made = client.post(CONTACTS, json={"first_name": "Bjørn"})
    assert made.status == 201
    assert client.get(made.headers["location"]).json() == made.json()


def test_a_caller_of_another_organisation_gets_404(server: ServerUnderTest) -> None:
    made = server.client.post(CONTACTS, json={"first_name": "Bjørn"}).json()
    other = server.caller("org_b", "org_admin")
    assert other.get(f"{CONTACTS}/{made['contact_id']}").problem() == (404, "NOT_FOUND")


def test_requests_that_are_under_way_at_once_are_all_answered(client: Client) -> None:
    answers = client.together([("POST", CONTACTS, {"json": {"first_name": str(n)}}) for n in range(20)])
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json()["contact_id"] for answer in answers}) == 20


def test_a_socket_nobody_serves_is_closed_as_unknown(client: Client) -> None:
    with client.socket("/nowhere") as socket:
        assert socket.wait_closed() == 4404


def test_a_live_server_answers_over_the_network(live_server: LiveServer) -> None:
    import urllib.request

    asked = urllib.request.Request(
        live_server.url + CONTACTS, headers={"Authorization": f"Bearer {live_server.admin_token}"}
    )
    with urllib.request.urlopen(asked) as answer:
        assert answer.status == 200
