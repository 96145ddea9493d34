"""A transaction function knows no request: what it needs of one is read from it before the transaction."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest

from tests.rules.source import Module, package, plant

REQUESTS = {"Call", "Socket"}


def test_no_function_with_a_transaction_takes_a_request() -> None:
    assert requests_in_transactions(package()) == []


@pytest.mark.parametrize(
    "text",
    [
        "def _share(tx: Transaction, call: Call, least: Access) -> ShareRow: ...",
        "def _share(tx, call): ...",
        "def _share(session: Transaction, request: web.Call): ...",
        "class Door:\n    def _own(self, tx: Transaction, *, socket: 'Socket | None'): ...",
        "async def get(self, call: Call):\n    def transaction(tx: Transaction):\n        return feed_of(tx, call)",
        "async def get(self, call: Call):\n    return await call.read(lambda tx: feed_of(tx, request=call))",
    ],
)
def test_a_request_in_a_transaction_is_found(text: str) -> None:
    assert len(requests_in_transactions([plant("headwater.contracts.sell.door", text)])) == 1


def test_a_value_read_from_the_request_is_allowed() -> None:
    text = """
async def get(self, call: Call):
    scope = scope_of(call)
    def transaction(tx: Transaction):
        return rules.show(tx, call.principal, scope.feed(tx), call.params["id"])
    return shown(call, await call.read(transaction))
"""
    assert requests_in_transactions([plant("headwater.contracts.sell.door", text)]) == []


def requests_in_transactions(modules: Iterable[Module]) -> list[str]:
    """Functions with a transaction that also take a request, or pass one on from around them."""
    broken = []
    for module in modules:
        for node in ast.walk(module.tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            if not any(argument.arg == "tx" or "Transaction" in kinds(argument) for argument in arguments):
                continue
            if any(is_request(argument) for argument in arguments):
                broken.append(f"{module.name}:{node.lineno} takes a transaction and a request")
            elif any(passes_a_request(child) for child in ast.walk(node)):
                broken.append(f"{module.name}:{node.lineno} passes a request on inside a transaction")
    return broken


def is_request(argument: ast.arg) -> bool:
    """True for a parameter named or annotated as a request."""
    return argument.arg == "call" or bool(REQUESTS & kinds(argument))


def kinds(argument: ast.arg) -> set[str]:
    """The names in a parameter's annotation."""
    if argument.annotation is None:
        return set()
    text = ast.unparse(argument.annotation).strip("'\"")
    return {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(ast.parse(text, mode="eval"))
        if isinstance(node, ast.Attribute | ast.Name)
    }


def passes_a_request(node: ast.AST) -> bool:
    """True for a function call with the bare name ``call`` among its arguments."""
    if not isinstance(node, ast.Call):
        return False
    given = [*node.args, *(keyword.value for keyword in node.keywords)]
    return any(isinstance(value, ast.Name) and value.id == "call" for value in given)
