"""Finds what other devices edited or created below a folder after a position: the base of the folder's deletion.

It reads the changes after the position and climbs from each changed node to the root; it never walks down a tree.

Source: files contract, reading "Names and tree".
"""

from __future__ import annotations

import msgspec

from headwater.contracts.files.paths import PathIndex
from headwater.store.log import changes
from headwater.store.tree import nodes

_MAX_CHANGES = 10_000
"""Changes that are read; a device that is farther behind pulls before it deletes a folder."""

_ROWS_PER_LOOKUP = 10
"""Rows of one range that cost as much as one look-up."""


class _Details(msgspec.Struct, gc=False):
    device_id: str | None = None
    relist: bool = False


class _Change(msgspec.Struct, gc=False):
    resource_id: str
    metadata: _Details


_read_change = msgspec.json.Decoder(_Change)


class FolderNews:
    """The folders of a share below which another device changed something, for the items of one request."""

    def __init__(self, paths: PathIndex, device_id: str) -> None:
        self._paths = paths
        self._device_id = device_id
        self._after: int | None = None
        self._changed: dict[str, bool] | None = None
        self._above: set[str] | None = None

    def placed(self) -> None:
        """Notes that something may have another place by now."""
        self._above = None

    def has(self, folder_id: str, after: int) -> bool:
        """True when another device edited or created something below the folder after the position.

        Also true when the device is too far behind to say.
        """
        if after != self._after:
            self._after, self._changed, self._above = after, self._read(after), None
        if self._changed is None:
            return True
        if self._above is None:
            self._above = self._climb(self._changed)
        if folder_id not in self._above:
            return False
        # What was deleted in this request counts no longer.
        self._above = self._climb(self._changed)
        return folder_id in self._above

    def _read(self, after: int) -> dict[str, bool] | None:
        """The nodes that others changed, each with whether all below it returned; None when there are too many."""
        tx, feed = self._paths.tx, self._paths.row.feed
        wires = changes.newest(tx, feed, after, _MAX_CHANGES + 1)
        self._paths.budget.spend(1 + len(wires) // _ROWS_PER_LOOKUP)
        if len(wires) > _MAX_CHANGES:
            return None
        found: dict[str, bool] = {}
        for wire in wires:
            change = _read_change.decode(wire)
            if change.metadata.device_id != self._device_id:
                relisted = found.get(change.resource_id, False) or change.metadata.relist
                found[change.resource_id] = relisted
        return found

    def _climb(self, changed: dict[str, bool]) -> set[str]:
        """The living folders above the changed nodes that live."""
        paths = self._paths
        paths.budget.spend(1 + len(changed) // _ROWS_PER_LOOKUP)
        above: set[str] = set()
        for node in nodes.find_many(paths.tx, paths.row.feed, sorted(changed)):
            chain = list(paths.chain(node.parent).nodes())
            if all(each.trashed_us is None for each in (node, *chain)):
                above.update(each.id for each in chain)
                if changed[node.id]:
                    above.add(node.id)
        return above
