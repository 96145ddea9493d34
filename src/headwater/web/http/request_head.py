"""The framing, the target and the upgrade that the head of a request names.

Source: RFC 9112 sections 3.2.2 and 6.1, RFC 9110 section 7.8.
"""

from __future__ import annotations

from headwater.base.errors import Malformed
from headwater.web.reply import Header

_UPGRADING = frozenset((b"upgrade", b"http2-settings"))


def refuse_transfer_coding(headers: list[Header]) -> None:
    """Refuses any transfer coding but ``chunked``: the bytes would be taken for the content.

    Raises: Malformed.
    """
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        raise Malformed("the only transfer coding that is accepted is 'chunked'")


def refuse_content_of_handshake(headers: list[Header]) -> None:
    """Refuses a WebSocket handshake with content, which would be read as frames. Raises: Malformed."""
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b" \t0")):
            raise Malformed("the handshake of a WebSocket has no content")


def head_without_upgrade(method: bytes, target: bytes, version: str, headers: list[Header]) -> bytes:
    """Writes the head of a request without its wish for another protocol. Raises: Malformed (CONNECT)."""
    if method == b"CONNECT":
        raise Malformed("this server is no proxy")
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    for name, value in headers:
        kept = value
        if name == b"connection":
            kept = b",".join(each for each in value.split(b",") if each.strip().lower() not in _UPGRADING)
        if name not in _UPGRADING and (kept or not value):
            lines.append(name + b": " + kept)
    return b"\r\n".join((*lines, b"", b""))


def take_host_of_target(target: bytes, headers: list[Header]) -> None:
    """Replaces the Host by the host of a target in absolute form, which is the one that counts."""
    scheme, mark, rest = target.partition(b"://")
    if not mark or not scheme.isalpha():
        return
    for end in b"/?#":
        rest = rest.partition(bytes((end,)))[0]
    host = rest.rpartition(b"@")[2]
    headers[:] = [(name, host if name == b"host" else value) for name, value in headers]
