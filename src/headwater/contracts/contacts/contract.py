"""The contacts contract: its routes under one name. Source: contacts contract."""

from __future__ import annotations

from headwater.contracts.contacts import shapes
from headwater.contracts.contacts.chapters_door import AffiliationsDoor, ChaptersDoor
from headwater.contracts.contacts.door import ContactsDoor
from headwater.contracts.contacts.kind import CONTACT_KIND
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route
from headwater.web.errors import problem
from headwater.web.http.paging import SEARCH_SCHEMA
from headwater.web.services import Services

_READ = AccessRule("contacts", public=True)
_WRITE = AccessRule("contacts", write=True, public=True)
_PREFIX = "/api/v1/contacts"
PAGE = (
    Param("page", "Page number, from 1.", {"type": "integer", "minimum": 1, "maximum": 10**9, "default": 1}),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
)
ORG = Param("org_id", "Narrow to one organisation that you may see.")


def build(services: Services) -> Contract:
    """The contacts door of one server."""
    door, affiliated = ContactsDoor(services), AffiliationsDoor(services)
    routes = (
        Route(
            "GET", "", door.list, _READ, "List contacts", answer=shapes.ContactList,
            params=(
                *PAGE, ORG,
                Param("q", "Beginning of a name, an email or a phone number.", SEARCH_SCHEMA),
                Param("chapter_id", "Only contacts of this chapter."),
                Param("updated_since", "Changed at or after this.", {"type": "string", "format": "date-time"}),
            ),
        ),
        Route("GET", "/{id}", door.get, _READ, "Fetch a contact", answer=shapes.Contact, params=(ORG,),
              answer_example=shapes.CONTACT_EXAMPLE),
        Route("POST", "", door.create, _WRITE, "Create a contact", body=shapes.ContactBody, answer=shapes.Contact,
              status=201, params=(ORG,), example=shapes.CREATE_EXAMPLE, answer_example=shapes.CONTACT_EXAMPLE),
        Route("PUT", "/{id}", door.update, _WRITE, "Change fields of a contact", body=shapes.ContactBody,
              answer=shapes.Contact, params=(ORG,), example=shapes.UPDATE_EXAMPLE),
        Route("PATCH", "/{id}", door.update, _WRITE, "Change fields of a contact", body=shapes.ContactBody,
              answer=shapes.Contact, params=(ORG,), example=shapes.UPDATE_EXAMPLE),
        Route("DELETE", "/{id}", door.delete, _WRITE, "Delete a contact", answer=shapes.DeletedContact, params=(ORG,),
              answer_example=shapes.DELETED_EXAMPLE),
        Route("GET", "/{id}/chapter-affiliations", affiliated.list, _READ, "Chapters of a contact",
              answer=shapes.AffiliationList, params=(*PAGE, ORG), answer_example=shapes.AFFILIATIONS_LIST_EXAMPLE),
        Route("PUT", "/{id}/chapter-affiliations", affiliated.replace, _WRITE, "Replace the chapters of a contact",
              body=shapes.AffiliationFields, answer=shapes.AffiliationsSet, params=(ORG,),
              example=shapes.AFFILIATIONS_EXAMPLE, answer_example=shapes.AFFILIATIONS_SET_EXAMPLE),
    )  # fmt: skip
    return Contract(
        "contacts",
        "Contact Detail Repository",
        (_PREFIX, _PREFIX + _PREFIX),
        routes,
        problem,
        source="contacts contract",
    )


def build_chapters(services: Services) -> Contract:  # noqa: ARG001 - every builder is given the services
    """The chapters of an organisation, which the contract leaves out. Source: readings 6.3."""
    door = ChaptersDoor()
    routes = (
        Route("GET", "", door.list, _READ, "List chapters", answer=shapes.ChapterList, params=(*PAGE, ORG)),
        Route("GET", "/{id}", door.get, _READ, "Fetch a chapter", answer=shapes.ChapterAnswer, params=(ORG,)),
        Route("POST", "", door.create, _WRITE, "Create a chapter", body=shapes.ChapterFields,
              answer=shapes.ChapterAnswer,
              status=201, params=(ORG,), example={"chapter_id": "ch-04", "name": "Sagene"}, errors=(409,)),
        Route("PUT", "/{id}", door.rename, _WRITE, "Rename a chapter", body=shapes.ChapterName,
              answer=shapes.ChapterAnswer,
              params=(ORG,), example={"name": "Sagene og Torshov"}),
        Route("PATCH", "/{id}", door.rename, _WRITE, "Rename a chapter", body=shapes.ChapterName,
              answer=shapes.ChapterAnswer, params=(ORG,), example={"name": "Sagene og Torshov"}),
    )  # fmt: skip
    return Contract("chapters", "Chapters of an organisation", ("/api/v1/chapters",), routes, problem)


BUILDERS = (build, build_chapters)
KINDS = (CONTACT_KIND,)
