"""Writes docs/errors.md and docs/routes.md from the code: `python -m headwater.server.docs_generator [FOLDER]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from headwater.base.settings.table import Settings
from headwater.server.scratch import throwaway
from headwater.web.access_rule import AccessRule
from headwater.web.contract import Contract
from headwater.web.docs.error_catalogue import ErrorEntry, entries
from headwater.web.docs.openapi import describe

FOLDER = Path("docs")

_ERRORS_HEAD = """\
# Errors

This page is generated from the sources by `make docs`.

An error is `application/problem+json` (RFC 9457):

```json
{"type": "/docs/errors#NOT_FOUND", "title": "Not found", "status": 404, "detail": "no contact 'c-00209'",
 "code": "NOT_FOUND", "request_id": "5f0c2a1b-2f", "errors": []}
```

`code` is for programs, `detail` for people, `errors` names each wrong field by its path, and `request_id` is in
the server's log, with the route, the code and the caller. (An address that causes many errors at once gets a bounded
number of lines; the next line counts those that were left out.) Under `/v2` errors have the form that Zendesk Sell's
clients read, with the same meaning.
"""
_ROUTES_HEAD = """\
# Routes

This page is generated from the contracts' routes by `make docs`. The server itself shows more at `/docs`, and
`/openapi.json` is for programs. A trailing slash is accepted everywhere; the contracts that print their base path
twice answer at the doubled path too.

"Token" names the scope that the token needs. A route that reads is also content with the scope's `:read` half.
"Public" routes answer without a token where `access.public_access` lets them.
"""


def render() -> dict[str, str]:
    """Renders the pages; the texts by file name."""
    settings = Settings()
    with throwaway(settings) as server:
        routes = _routes(server.contracts, describe(server.contracts, settings))
    return {"errors.md": _errors(entries()), "routes.md": routes}


def _errors(found: tuple[ErrorEntry, ...]) -> str:
    over_http = [entry for entry in found if entry.status]
    lines = [_ERRORS_HEAD, "## Answers", "", "| code | status | meaning | what to do |", "|---|---|---|---|"]
    lines += [
        f"| `{entry.code}` | {entry.status} | {_cell(entry.meaning)} | {_cell(entry.hint)} |" for entry in over_http
    ]
    lines += ["", "## Command line", "", "| code | meaning | what to do |", "|---|---|---|"]
    lines += [
        f"| `{entry.code}` | {_cell(entry.meaning)} | {_cell(entry.hint)} |" for entry in found if not entry.status
    ]
    return "\n".join(lines) + "\n"


def _routes(contracts: tuple[Contract, ...], document: dict[str, Any]) -> str:
    lines = [_ROUTES_HEAD]
    for contract in contracts:
        lines += [f"## {contract.title}", "", "| method | path | what it does | token | role | answers |"]
        lines += ["|---|---|---|---|---|---|"]
        for route in contract.routes:
            path = contract.prefixes[0] + route.path
            answers = ", ".join(document["paths"][path][route.method.lower()]["responses"])
            role = route.access.least.wire if route.access.least > 1 else ""
            cells = (route.method, f"`{path}`", route.summary, _token(route.access), role, answers)
            lines.append("| " + " | ".join(cells) + " |")
        for socket in contract.sockets:
            cells = (
                "WebSocket",
                f"`{contract.prefixes[0] + socket.path}`",
                socket.summary,
                _token(socket.access),
                "",
                "",
            )
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _token(access: AccessRule) -> str:
    if access.open:
        return "none"
    scope = f"`{access.scope}`" if access.scope else "any"
    return scope + (", public" if access.public else "")


def _cell(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def main(arguments: list[str]) -> None:
    """Writes the pages into the named folder, or into docs."""
    folder = Path(arguments[0]) if arguments else FOLDER
    for name, text in render().items():
        (folder / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
