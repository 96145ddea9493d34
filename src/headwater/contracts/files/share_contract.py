"""The routes of shares and their trees, which the contract leaves to its sibling pages. Source: readings, section 7."""

from __future__ import annotations

from headwater.contracts.files.tree import shapes
from headwater.contracts.files.tree.door import ShareDoor
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract, Param, Route
from headwater.web.errors import problem
from headwater.web.services import Services

_READ = AccessRule("files")
_WRITE = AccessRule("files", write=True)
_NODE = "/{share_id}/nodes/{node_id}"
_PAGE = (
    Param("cursor", "The cursor of the page before."),
    Param("limit", "Rows on a page.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
)


def build(services: Services) -> Contract:
    """The share door of one server."""
    door = ShareDoor(services)
    routes = (
        Route("GET", "", door.list, _READ, "List shares", answer=shapes.ShareList),
        Route("POST", "", door.create, _WRITE, "Create a share", body=shapes.ShareFields, answer=shapes.ShareAnswer,
              status=201, example=shapes.SHARE_EXAMPLE),
        Route("GET", "/{share_id}", door.get, _READ, "Fetch a share", answer=shapes.ShareAnswer),
        Route("PATCH", "/{share_id}", door.change, _WRITE, "Change a share", body=shapes.SharePatch,
              answer=shapes.ShareAnswer, example=shapes.SHARE_EXAMPLE),
        Route("DELETE", "/{share_id}", door.delete, _WRITE, "Delete a share", status=204),
        Route("GET", "/{share_id}/members", door.members, _READ, "List members", answer=shapes.Members),
        Route("PUT", "/{share_id}/members", door.set_members, _WRITE, "Replace the members", body=shapes.Members,
              answer=shapes.Members, example=shapes.MEMBERS_EXAMPLE),
        Route("GET", "/{share_id}/children", door.children, _READ, "List a folder", answer=shapes.NodePage,
              params=(*_PAGE, Param("folder_id", "The folder."), Param("path", "The folder's path."))),
        Route("GET", "/{share_id}/trash", door.trash, _READ, "List the trash", answer=shapes.NodePage, params=_PAGE),
        Route("POST", "/{share_id}/folders", door.create_folder, _WRITE, "Create a folder", body=shapes.FolderFields,
              answer=shapes.NodeAnswer, status=201, example=shapes.FOLDER_EXAMPLE, errors=(409,)),
        Route("GET", "/{share_id}/node", door.node_at, _READ, "Find a file or folder by its path",
              answer=shapes.NodeAnswer, params=(Param("path", "Its path.", required=True),)),
        Route("GET", _NODE, door.node, _READ, "Fetch a file or folder", answer=shapes.NodeAnswer),
        Route("PATCH", _NODE, door.place, _WRITE, "Rename or move a file or folder", body=shapes.Placement,
              answer=shapes.NodeAnswer, example=shapes.PLACEMENT_EXAMPLE, errors=(409, 413, 507)),
        Route("DELETE", _NODE, door.remove, _WRITE, "Put a file or folder into the trash", answer=shapes.NodeAnswer),
        Route("POST", _NODE + "/restore", door.restore, _WRITE, "Restore from the trash", body=shapes.Placement,
              answer=shapes.NodeAnswer, example=shapes.PLACEMENT_EXAMPLE, errors=(409,)),
        Route("GET", _NODE + "/versions", door.versions, _READ, "List versions", answer=shapes.VersionPage,
              params=(Param("before", "Only lower numbers.", {"type": "integer", "minimum": 1}), _PAGE[1])),
        Route("POST", _NODE + "/versions/{version_id}/restore", door.restore_version, _WRITE, "Restore a version",
              answer=shapes.NodeAnswer, errors=(409, 507)),
    )  # fmt: skip
    return Contract("files-shares", "Shares", ("/api/v1/shares",), routes, problem, source="readings, section 7")
