"""The routes of the API's description and pages; each document is rendered once, at its first request."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable
from functools import cached_property
from typing import Any

import msgspec

from headwater import __version__
from headwater.base.settings.table import Settings
from headwater.base.wire import encode
from headwater.web import reply
from headwater.web.access_rule import AccessRule
from headwater.web.call import Call
from headwater.web.contract import Contract, Route
from headwater.web.docs import error_catalogue
from headwater.web.docs import pages as docs_pages
from headwater.web.docs.openapi import describe
from headwater.web.errors import problem
from headwater.web.http.public_path import reference
from headwater.web.reply import Header, Reply

_POLICY: Header = (
    b"content-security-policy",
    b"default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_KEEP: Header = (b"cache-control", b"public, max-age=300")
_OPEN = AccessRule(open=True)


class Start(msgspec.Struct, gc=False):
    """The answer at a server's bare address: its name, its version, and the paths of its pages."""

    name: str
    version: str
    documentation: str
    openapi: str
    health: str
    readiness: str


class Documentation:
    """The documents of the API, rendered from the contracts, which are assigned once all of them exist."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.contracts: tuple[Contract, ...] = ()

    @cached_property
    def document(self) -> dict[str, Any]:
        """The OpenAPI document."""
        return describe(self.contracts, self._settings)

    @cached_property
    def document_json(self) -> bytes:
        """The OpenAPI document as it is served."""
        return encode(self.document)

    @cached_property
    def api_page(self) -> bytes:
        """The page of all operations."""
        return docs_pages.api_page(self.document)

    @cached_property
    def start_page(self) -> bytes:
        """The page of the bare address."""
        return docs_pages.start_page(__version__)

    @cached_property
    def errors_page(self) -> bytes:
        """The page of all error codes."""
        return docs_pages.errors_page(error_catalogue.entries(), __version__)

    @cached_property
    def style(self) -> bytes:
        """The pages' style sheet."""
        return docs_pages.style()

    async def show_start(self, call: Call) -> Reply:
        """GET /: a page for a browser, JSON for every other client."""
        vary: Header = (b"vary", b"accept")
        if "text/html" in (call.header(b"accept") or ""):
            page = await _html(call, lambda: self.start_page)
            return page._replace(headers=(*page.headers, vary))
        paths = (call.prefix + path for path in ("/docs", "/openapi.json", "/healthz", "/readyz"))
        start = Start("Headwater", __version__, *paths)
        return reply.json(start, headers=(_KEEP, vary))

    async def show_document(self, _call: Call) -> Reply:
        """GET /openapi.json."""
        return await _page(lambda: self.document_json, b"application/json")

    async def show_api(self, call: Call) -> Reply:
        """GET /docs; without a `server.public_url` its commands use the host of this request."""
        host_url = html.escape(call.base_url).encode()
        placeholder = docs_pages.SERVER_UNSAID.encode()
        return await _html(call, lambda: self.api_page.replace(placeholder, host_url, 1))

    async def show_errors(self, call: Call) -> Reply:
        """GET /docs/errors."""
        return await _html(call, lambda: self.errors_page)

    async def show_style(self, _call: Call) -> Reply:
        """GET /docs/style.css."""
        return await _page(lambda: self.style, b"text/css; charset=utf-8")


def build(pages: Documentation) -> Contract:
    """The documentation's door."""
    routes = (
        Route("GET", "/", pages.show_start, _OPEN, "What answers here, and where to look", answer=Start),
        Route("GET", "/openapi.json", pages.show_document, _OPEN, "The API's description (OpenAPI 3.1)",
              answer=dict[str, Any]),
        Route("GET", "/docs", pages.show_api, _OPEN, "The API as a page", media="text/html"),
        Route("GET", "/docs/errors", pages.show_errors, _OPEN, "The error catalogue as a page", media="text/html"),
        Route("GET", "/docs/style.css", pages.show_style, _OPEN, "The pages' style sheet", media="text/css"),
    )  # fmt: skip
    return Contract("documentation", "Documentation", ("",), routes, problem)


async def _html(call: Call, make: Callable[[], bytes]) -> Reply:
    """Renders an HTML page, its links relative to its own path, so that they lead back through any proxy's prefix."""
    page = await _page(make, b"text/html; charset=utf-8")
    above = reference(call.path.encode("latin-1"), b"/")
    return page._replace(body=page.body.replace(b'href="/', b'href="' + above.rstrip(b"/") + b"/"))


async def _page(make: Callable[[], bytes], media: bytes) -> Reply:
    """Renders a page on a thread, because the first rendering takes long."""
    body = await asyncio.to_thread(make)
    return Reply(200, ((b"content-type", media), _POLICY, _KEEP), body)
