"""The contacts contract: its routes under one name. Source: contacts contract."""

from __future__ import annotations

from headwater.contracts.contacts import shapes
from headwater.contracts.contacts.door import ContactsDoor
from headwater.web.contract import Access, Contract, Param, Route
from headwater.web.errors import problem
from headwater.web.services import Services

_READ = Access("contacts", public=True)
_WRITE = Access("contacts", write=True, public=True)
_PREFIX = "/api/v1/contacts"
PAGE = (
    Param("page", "Page number, from 1.", {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 1}),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
)
ORG = Param("org_id", "Narrow to one organisation that you may see.")


def build(services: Services) -> Contract:
    """The contacts door of one server."""
    door = ContactsDoor(services)
    routes = (
        Route(
            "GET", "", door.list, _READ, "List contacts", answer=shapes.ContactList,
            params=(
                *PAGE, ORG,
                Param("q", "Beginning of a name, an email or a phone number."),
                Param("chapter_id", "Only contacts of this chapter."),
                Param("updated_since", "Changed at or after this.", {"type": "string", "format": "date-time"}),
            ),
        ),
        Route("GET", "/{id}", door.get, _READ, "Fetch a contact", answer=shapes.Contact, params=(ORG,),
              answer_example=shapes.CONTACT_EXAMPLE),
        Route("POST", "", door.create, _WRITE, "Create a contact", body=shapes.ContactFields, answer=shapes.Contact,
              status=201, params=(ORG,), example=shapes.CREATE_EXAMPLE, answer_example=shapes.CONTACT_EXAMPLE),
        Route("PUT", "/{id}", door.update, _WRITE, "Change fields of a contact", body=shapes.ContactFields,
              answer=shapes.Contact, params=(ORG,), example=shapes.UPDATE_EXAMPLE),
        Route("PATCH", "/{id}", door.update, _WRITE, "Change fields of a contact", body=shapes.ContactFields,
              answer=shapes.Contact, params=(ORG,), example=shapes.UPDATE_EXAMPLE),
        Route("DELETE", "/{id}", door.delete, _WRITE, "Delete a contact", answer=shapes.DeletedContact, params=(ORG,),
              answer_example=shapes.DELETED_EXAMPLE),
    )  # fmt: skip
    return Contract(
        "contacts",
        "Contact Detail Repository",
        (_PREFIX, _PREFIX + _PREFIX),
        routes,
        problem,
        source="contacts contract",
    )
