"""Takes nodes out of the trash so that every device can follow: all that returns with a folder gets a change, too."""

from __future__ import annotations

from headwater.contracts.files.devices import checkpoints
from headwater.contracts.files.paths import Budget
from headwater.store.database import Transaction
from headwater.store.tree import nodes, versions
from headwater.store.tree.nodes import Name, Node
from headwater.store.tree.writer import Details, TreeWriter

MAX_ANNOUNCED = 10_000
"""Most files and folders that get changes of their own; beyond it the folder's change carries ``relist``."""

_PAGE = 1000


def restore(
    writer: TreeWriter, node: Node, parent: str, name: Name, details: Details,
    *, path: str | None = None, budget: Budget | None = None,
) -> Node:  # fmt: skip
    """Takes a node out of the trash, under its id, to this place.

    A device that saw a folder go has forgotten what was below, so each file and folder that returns with it
    gets a change ``created`` of its own, parents first. Beyond 10,000 the folder's own change carries
    ``relist: true`` in its metadata, devices list the folder, and those on a socket are notified.
    ``path`` is the path that it gets, where the caller knows it. What returns counts in the ``budget`` of the request.
    """
    tx, feed = writer.tx, writer.share.feed
    below = _below(tx, feed, node) if node.type == "folder" else []
    if budget is not None:
        budget.spend(len(below))
    if len(below) > MAX_ANNOUNCED:
        back = writer.restore(node, parent, name, {**details, "relist": True}, path=path)
        checkpoints.ask_for_listing(tx, feed, back.position)
        return back
    back = writer.restore(node, parent, name, details, path=path)
    paths = {node.id: nodes.path_of(tx, feed, back) if path is None else path}
    for each in below:
        path = f"{paths[each.parent]}/{each.name}"
        if each.type == "folder":
            paths[each.id] = path
        version = versions.find(tx, feed, each.version) if each.version else None
        writer.announce(each, path, versions.details(version) if version else {})
    return back


def _below(tx: Transaction, feed: int, folder: Node) -> list[Node]:
    """The live nodes below a folder, parents first; it stops beyond the limit."""
    found: list[Node] = []
    waiting = [folder.id]
    while waiting and len(found) <= MAX_ANNOUNCED:
        parent, after = waiting.pop(), ""
        while page := nodes.children(tx, feed, parent, after, _PAGE):
            found += page
            waiting += [child.id for child in page if child.type == "folder"]
            after = page[-1].name_key
            if len(page) < _PAGE or len(found) > MAX_ANNOUNCED:
                break
    return found
