"""The parts of a postal address into the one text that a contact has."""

from __future__ import annotations

from collections.abc import Iterable


def joined_address(
    *,
    street: Iterable[str] = (),
    postal_code: str = "",
    city: str = "",
    region: str = "",
    country: str = "",
) -> str | None:
    """``Storgata 12, 0155 Oslo``: the parts in the order of an envelope; None when all are empty."""
    town = " ".join(part for part in (postal_code.strip(), city.strip()) if part)
    parts = [*street, town, region, country]
    return ", ".join(part for part in parts if part.strip()) or None
