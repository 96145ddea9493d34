"""A device belongs to its user: no other user of the organisation starts, drains, acknowledges or pushes as it."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.identity.roles import SCOPES
from headwater.store.database import Transaction
from tests.contracts.sell.conftest import Phone, events
from tests.support.server.asgi import Answer, Client
from tests.support.server.serving import ServerUnderTest

PUSH = "/api/v1/feed/push"


def user(server: ServerUnderTest, *scopes: str) -> Client:
    """A client of a new user of the organisation ``default``."""
    return server.caller(role="coordinator", scopes=scopes or SCOPES)


def push(client: Client, device: str = "phone-1", **fields: Any) -> Answer:
    change = {"client_change_id": "e1", "kind": "contact", "id": "ada", "op": "put", "fields": fields}
    return client.post(PUSH, json={"device_id": device, "changes": [change]})


def device_rows(server: ServerUnderTest) -> list[Any]:
    sql = "SELECT door, device_id, user_id, last_seen_us FROM devices ORDER BY door, device_id"
    return server.database.read_now(lambda tx: tx.rows(sql))


@pytest.fixture
def phone(server: ServerUnderTest) -> Phone:
    """A phone of one user that was offered a contact and acknowledged nothing."""
    phone = Phone(user(server), "user1-phone")
    phone.client.post("/api/v1/contacts", json={"first_name": "Ada"})
    assert len(phone.drain()) == 1
    return phone


class TestSell:
    @pytest.mark.parametrize("scopes", [(), ("sync",)])
    def test_another_user_neither_starts_nor_drains_nor_acknowledges_as_the_device(
        self, server: ServerUnderTest, phone: Phone, scopes: tuple[str, ...]
    ) -> None:
        other = Phone(user(server, *scopes), "user1-phone")
        session = phone.start().json()["data"]["id"]
        key = phone.page(session).json()["items"][0]["meta"]["sync"]["ack_key"]
        again = phone.start().json()["data"]["id"]
        before = device_rows(server)
        assert other.start().problem() == (403, "insufficient_scope")
        assert other.page(again).problem() == (404, "not_found")
        assert other.ack(key).problem() == (403, "insufficient_scope")
        assert device_rows(server) == before
        assert phone.page(again).json()["meta"]["count"] == 1, "the session is the first user's still"
        assert len(phone.sync()) == 1, "nothing was acknowledged for the first user"

    @pytest.mark.parametrize("is_up_to_date", [True, False])
    def test_a_refusal_does_not_depend_on_the_queue(
        self, server: ServerUnderTest, phone: Phone, is_up_to_date: bool
    ) -> None:
        if is_up_to_date:
            phone.sync()
        assert Phone(user(server), "user1-phone").start().status == 403

    def test_a_token_that_only_reads_opens_no_session_gets_no_page_and_acknowledges_nothing(
        self, server: ServerUnderTest, phone: Phone
    ) -> None:
        [device] = device_rows(server)
        reading = server.client.as_token(server.token(role="coordinator", scopes=["sync:read"], user_id=device[2]))
        session = phone.start().json()["data"]["id"]
        reader = Phone(reading, "user1-phone")
        for answer in (reader.start(), reader.page(session), reader.ack("x")):
            assert answer.problem() == (403, "insufficient_scope")
            [error] = answer.json()["errors"]
            assert error["meta"]["type"] == "error"
        assert phone.page(session).json()["meta"]["count"] == 1

    def test_another_token_of_the_same_user_goes_on_where_the_device_was(
        self, server: ServerUnderTest, phone: Phone
    ) -> None:
        phone.sync()
        [device] = device_rows(server)
        renewed = server.client.as_token(server.token(role="coordinator", user_id=device[2]))
        assert Phone(renewed, "user1-phone").start().status == 204

    def test_a_device_whose_user_has_no_valid_token_passes_on_with_what_it_has(self, server: ServerUnderTest) -> None:
        text, row = server.token_row(role="coordinator")
        old = Phone(server.client.as_token(text), "till")
        old.client.post("/api/v1/contacts", json={"first_name": "Ada"})
        old.sync()
        new = Phone(user(server), "till")
        assert new.start().status == 403
        server.revoke(row.id)
        assert new.start().status == 204, "it has everything"
        made = new.client.post("/api/v1/contacts", json={"first_name": "Bo"}).json()["contact_id"]
        assert events(new.sync()) == [("created", made)]
        assert device_rows(server)[0][2] != row.user_id

    def test_a_device_that_an_operator_deactivated_passes_on(self, server: ServerUnderTest, phone: Phone) -> None:
        def deactivated(tx: Transaction) -> None:
            tx.run("UPDATE devices SET is_active = 0, deactivated_us = ?", tx.now_us)

        server.database.write_now(deactivated)
        assert len(Phone(user(server), "user1-phone").sync()) == 1
        assert phone.start().status == 403

    def test_the_same_name_in_another_organisation_is_another_device(
        self, server: ServerUnderTest, phone: Phone
    ) -> None:
        assert Phone(server.caller("elsewhere", "coordinator"), "user1-phone").start().status == 204
        assert phone.start().status == 201

    def test_users_with_devices_of_their_own_do_not_meet(self, server: ServerUnderTest, phone: Phone) -> None:
        assert len(Phone(user(server), "user2-phone").sync()) == 1
        assert len(phone.sync()) == 1


class TestPush:
    def test_another_user_pushes_nothing_as_the_device(self, server: ServerUnderTest) -> None:
        first, second = user(server), user(server)
        assert push(first, first_name="Ada").json()["results"][0]["outcome"] == "applied"
        assert push(second, first_name="Eve").problem() == (403, "DEVICE_OF_ANOTHER")
        assert first.get("/api/v1/contacts/ada").json()["first_name"] == "Ada"

    def test_another_user_learns_nothing_of_remembered_outcomes(self, server: ServerUnderTest) -> None:
        first, second = user(server), user(server)
        push(first, first_name="Ada")
        assert push(second, first_name="Ada").problem() == (403, "DEVICE_OF_ANOTHER")
        [outcome] = push(second, device="phone-2", first_name="Ada").json()["results"]
        assert outcome["outcome"] != "refused" or outcome["code"] != "CHANGE_ID_REUSED"

    def test_a_device_of_sell_is_no_device_of_the_feed(self, server: ServerUnderTest) -> None:
        first, second = user(server), user(server)
        first.post("/api/v1/contacts", json={"first_name": "Bo"})
        Phone(first, "phone-1").sync()
        assert push(second, first_name="Ada").status == 200
