"""One kept connection to a server on a port: requests with any body, answers as bytes or JSON."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

LINE_END = b"\n"


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    headers: http.client.HTTPMessage

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Wire:
    """A caller with a token; it connects anew after the server closed the connection."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._token = token

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def send(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Reply:
        """The answer to one request; ``_`` in a header's name stands for ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, path, body, {"Authorization": f"Bearer {self._token}", **named})
            answer = self._connection.getresponse()
            return Reply(answer.status, answer.read(), answer.headers)
        except BaseException:
            self._connection.close()
            raise

    def call(self, method: str, path: str, body: Any = None, /, **headers: str) -> Reply:
        """The answer to a request with JSON."""
        content = None if body is None else json.dumps(body).encode()
        return self.send(method, path, content, **{"content_type": "application/json", **headers})

    def get(self, path: str) -> Any:
        """The JSON at a path, which must be there."""
        answer = self.call("GET", path)
        assert answer.status == 200, answer.body
        return answer.json()


def packed(files: Iterable[tuple[dict[str, Any], bytes]]) -> bytes:
    """A packed upload of files, each with the fields of its line."""
    return b"".join(
        json.dumps({**fields, "size": len(content)}).encode() + LINE_END + content for fields, content in files
    )


def unpacked(stream: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
    """The lines and contents of a batch download."""
    at = 0
    while at < len(stream):
        end = stream.index(LINE_END, at)
        head = json.loads(stream[at:end])
        at = end + 1 + head["size"]
        assert at <= len(stream), "the stream ended inside a file"
        yield head, stream[end + 1 : at]
