"""The folders of a share that a device selects or excludes, and the rule by which a device applies them.

The longest folder that contains a path decides. No selected folder means all of the share. On a tie (the same folder
selected and excluded) excluded wins. Deselecting a folder concerns the device alone: nothing is deleted on the server.

Source: files contract, "Sync preferences"; reading "Devices".
"""

from __future__ import annotations

from collections.abc import Iterable

from headwater.base.errors import FieldError, Invalid
from headwater.contracts.files.names import (
    DEFAULT_POLICY,
    NamePolicy,
    name_key,
    path_key,
    split_path,
    stored_path,
)


class FolderChoice:
    """The selected and excluded folders of one device in one share, matched with paths; the device's side asks it.

    Shape: two lists of stored paths, compared as the share compares names.
    """

    __slots__ = ("_leads", "_policy", "_wanted")

    def __init__(
        self, selected: Iterable[str] = (), excluded: Iterable[str] = (), policy: NamePolicy = DEFAULT_POLICY
    ) -> None:
        chosen = [_keys(path, policy) for path in selected] or [()]
        self._policy = policy
        self._wanted: dict[tuple[str, ...], bool] = dict.fromkeys(chosen, True)
        self._wanted.update((_keys(path, policy), False) for path in excluded)
        kept = (folder for folder, wanted in self._wanted.items() if wanted)
        self._leads = frozenset(folder[:depth] for folder in kept for depth in range(len(folder)))

    def wants(self, path: str) -> bool:
        """True when the device keeps the node at this path."""
        keys = _keys(path, self._policy)
        return next(
            (self._wanted[keys[:depth]] for depth in range(len(keys), -1, -1) if keys[:depth] in self._wanted),
            False,
        )

    def needs_folder(self, path: str) -> bool:
        """True when the device needs this folder: it wants it, or a wanted folder lies below."""
        return self.wants(path) or _keys(path, self._policy) in self._leads


def stored_folders(raw: Iterable[str], policy: NamePolicy = DEFAULT_POLICY, *, field: str) -> tuple[str, ...]:
    """The accepted folders of a preference in NFC, each once, in their order.

    A folder need not exist, and one slash at the end is dropped. Names need not follow the portable rules:
    a preference can name only what a share holds or might hold.
    Raises: Invalid with a field error for every wrong folder, its path ``field[index]``.
    """
    lenient = policy._replace(portable=False)
    folders: dict[str, str] = {}
    errors: list[FieldError] = []
    for index, text in enumerate(raw):
        try:
            folder = stored_path(
                text[:-1] if len(text) > 1 and text.endswith("/") else text,
                lenient,
                field=f"{field}[{index}]",
            )
        except Invalid as wrong:
            errors += wrong.fields
        else:
            folders.setdefault(path_key(folder, policy), folder)
    if errors:
        raise Invalid(f"{field}: {len(errors)} of the folders cannot be accepted", fields=tuple(errors))
    return tuple(folders.values())


def _keys(path: str, policy: NamePolicy) -> tuple[str, ...]:
    """The keys of a path's components, by which folders hold each other."""
    return tuple(name_key(part, policy) for part in split_path(path))
