"""Entity tags: one strong tag for each state, If-None-Match and If-Match. Source: RFC 9110 sections 8.8.3, 13.1."""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote

from headwater.base.errors import PreconditionFailed


def etag(*parts: int | str) -> str:
    """Returns the strong tag of a state that the parts identify; ids become ASCII without quotes and commas."""
    return '"' + "-".join([_plain(part) if isinstance(part, str) else str(part) for part in parts]) + '"'


@lru_cache(maxsize=4096)
def _plain(part: str) -> str:
    return quote(part, safe="")


def matches(header: str, tag: str, *, weak: bool) -> bool:
    """True when a list of tags (or ``*``) contains this one; ``weak`` ignores ``W/``, as If-None-Match does."""
    for part in header.split(","):
        given = part.strip()
        if given in ("*", tag) or (weak and given.removeprefix("W/") == tag):
            return True
    return False


def require(if_match: str | None, tag: str) -> None:
    """Raises PreconditionFailed unless If-Match is missing or names the present state."""
    if if_match is not None and not matches(if_match, tag, weak=False):
        raise PreconditionFailed(f"the resource now has the ETag {tag}, not the one that If-Match names")
