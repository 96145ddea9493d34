from __future__ import annotations

from headwater.contracts.contacts.interchange.addresses import joined_address


def test_the_parts_of_an_address_are_put_in_the_order_of_an_envelope() -> None:
    address = joined_address(street=["Storgata 12", ""], postal_code="0155", city="Oslo", country="Norge")
    assert address == "Storgata 12, 0155 Oslo, Norge"


def test_an_address_of_empty_parts_is_none() -> None:
    assert joined_address(street=["", " "], city="") is None
