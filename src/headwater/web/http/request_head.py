"""The framing and the target that the head of a request names. Source: RFC 9112 sections 3.2.2 and 6.1."""

from __future__ import annotations

from headwater.base.errors import Malformed
from headwater.web.reply import Header


def refuse_transfer_coding(headers: list[Header]) -> None:
    """Refuses any transfer coding but ``chunked``: the bytes would be taken for the content.

    Raises: Malformed.
    """
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        raise Malformed("the only transfer coding that is accepted is 'chunked'")


def take_host_of_target(target: bytes, headers: list[Header]) -> None:
    """Replaces the Host by the host of a target in absolute form, which is the one that counts."""
    scheme, mark, rest = target.partition(b"://")
    if not mark or not scheme.isalpha():
        return
    for end in b"/?#":
        rest = rest.partition(bytes((end,)))[0]
    host = rest.rpartition(b"@")[2]
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
