"""The folders of a share that a device selects or excludes, as they are stored; the device applies them.

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
    path_key,
    stored_path,
)


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
