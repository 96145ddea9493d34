"""Imports go down only, siblings stay apart, and only doors import HTTP."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from typing import TypeGuard

import pytest

from tests.rules.source import PACKAGE, Module, cycles, import_graph, imports, is_within, package, plant

LAYERS = {
    "base": 0,
    "store": 1,
    "feed": 2,
    "identity": 2,
    "web": 3,
    "installation": 3,
    "contracts": 4,
    "console": 5,
    "server": 5,
    "transfer": 5,
    "client": 5,
    "cli": 6,
    "__main__": 7,
}
HTTP_LIBRARIES = ("http", "httpx2", "starlette", "uvicorn", "websockets")
PLAIN_LAYERS = ("base", "store", "feed", "identity", "installation", "transfer")
DOORS = re.compile(r"contract|door|\w+_door|caller|tus_\w+|socket_session")
"""The modules of a contract that know HTTP."""
HANDOVERS = {
    "headwater.store.database": "the interface that doors await",
    "headwater.store.sqlite.database": "hands functions to the writer's thread",
    "headwater.store.postgres.database": "hands functions to the pool's threads",
    "headwater.feed.wake": "lets long polls wait for a commit",
    "headwater.contracts.files.content_stream": "hands what threads read to the event loop",
    "headwater.contracts.files.uploads.ingest": "hands what the event loop receives to threads",
    "headwater.contracts.files.devices.access_cache": "answers the open sockets of one event loop",
    "headwater.contracts.files.devices.relist_cache": "answers the open sockets of one event loop",
    "headwater.contracts.files.devices.readable_shares": "answers the open sockets of one event loop",
    "headwater.contracts.terminology.flight": "lets callers wait for one fetch",
    "headwater.contracts.terminology.upstream": "fetches labels from another server",
}
"""The modules below the doors in which a coroutine hands its work to plain code, or waits for it."""
HTTP_CLIENTS = {"headwater.contracts.terminology.upstream": "httpx2"}
"""The modules that are a client of another server, and their library."""


def test_imports_go_down_only() -> None:
    assert upward_imports(package()) == []


def test_contracts_never_import_each_other() -> None:
    assert sibling_imports(package()) == []


def test_only_doors_know_http() -> None:
    assert http_below_the_door(package()) == []


def test_shapes_import_only_base_and_their_own_kind() -> None:
    assert shape_imports(package()) == []


def test_the_client_loads_only_base_and_shapes() -> None:
    assert client_imports(package()) == []


def test_no_module_imports_itself_through_others() -> None:
    assert cycles(import_graph(package())) == []


def test_no_module_imports_for_types_alone() -> None:
    assert type_only_imports(package()) == []


def test_everything_below_the_door_is_synchronous() -> None:
    assert async_below_the_door(package()) == []


def test_every_folder_of_the_package_has_a_layer() -> None:
    folders = {part(module) for module in package()} - {""}
    assert sorted(folders - LAYERS.keys()) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("headwater.base.wire", "import headwater.store.log.records"),
        ("headwater.store.log.records", "from headwater import feed"),
        ("headwater.store.log.records", "from ...feed.wake import wake"),
        ("headwater.feed.reader", "from headwater.identity.access import may_read"),
        ("headwater.web.call", "def late():\n    from headwater.contracts.sell import door"),
        ("headwater.server.app", "import importlib\nimportlib.import_module('headwater.cli.main')"),
        ("headwater.console.pages", "from headwater.server.app import build"),
        ("headwater", "from headwater.base import clock"),
    ],
)
def test_an_upward_or_sideways_import_is_found(name: str, text: str) -> None:
    assert len(upward_imports([plant(name, text, is_package=name == PACKAGE)])) == 1


def test_a_downward_import_and_the_version_are_allowed() -> None:
    text = "from headwater import __version__\nfrom headwater.base.errors import NotFound\nfrom . import rules"
    assert upward_imports([plant("headwater.contracts.sell.door", text)]) == []


@pytest.mark.parametrize("text", ["from headwater.contracts.files import rules", "from ..files.rules import choose"])
def test_an_import_of_a_sibling_contract_is_found(text: str) -> None:
    assert len(sibling_imports([plant("headwater.contracts.sell.rules", text)])) == 1


def test_a_contract_that_imports_all_contracts_is_found() -> None:
    assert len(sibling_imports([plant("headwater.contracts", "from . import sell", is_package=True)])) == 1


@pytest.mark.parametrize("text", ["from headwater.web import paging", "from http import HTTPStatus", "import uvicorn"])
@pytest.mark.parametrize("name", ["rules", "sessions", "rules.acks", "door.acks", "indoor", "callers", "tus"])
def test_http_below_the_door_is_found(text: str, name: str) -> None:
    assert len(http_below_the_door([plant(f"headwater.contracts.sell.{name}", text)])) == 1


@pytest.mark.parametrize("name", ["door", "acks_door", "contract", "caller", "tus_headers", "acks.socket_session"])
def test_a_door_may_speak_http(name: str) -> None:
    text = "from http import HTTPStatus\nfrom headwater.web import paging"
    assert http_below_the_door([plant(f"headwater.contracts.sell.{name}", text)]) == []


def test_a_client_of_another_server_may_use_its_own_library_only() -> None:
    text = "import httpx2\nimport starlette"
    assert len(http_below_the_door([plant("headwater.contracts.terminology.upstream", text)])) == 1


def test_a_shape_that_reads_the_store_is_found() -> None:
    text = "from headwater.base.wire import Time\nfrom headwater.store.log.records import Row"
    assert len(shape_imports([plant("headwater.contracts.sell.shapes", text)])) == 1


@pytest.mark.parametrize(
    "text",
    [
        "from headwater.contracts.files.rules import choose",
        "from headwater.contracts.files import door",
        "from headwater.store import packs",
    ],
)
def test_a_client_that_imports_server_code_is_found(text: str) -> None:
    assert len(client_imports([plant("headwater.client.engine", text)])) == 1


def test_a_client_that_loads_server_code_through_a_shape_is_found() -> None:
    client = plant("headwater.client.engine", "from headwater.contracts.files.shapes import File")
    folder = plant("headwater.contracts.files", "from headwater.contracts.files import door", is_package=True)
    shapes = plant("headwater.contracts.files.shapes", "")
    door = plant("headwater.contracts.files.door", "")
    assert client_imports([client, shapes, door]) == []
    assert len(client_imports([client, folder, shapes, door])) == 1


def test_a_cycle_is_found_once() -> None:
    first = plant("headwater.feed.reader", "from headwater.feed import cursor")
    second = plant("headwater.feed.cursor", "def late():\n    import headwater.feed.wake")
    third = plant("headwater.feed.wake", "from headwater.feed.reader import read")
    outside = plant("headwater.feed.devices", "from headwater.feed import reader")
    assert cycles(import_graph([first, second, outside])) == []
    assert cycles(import_graph([first, second, third, outside])) == [
        "headwater.feed.cursor, headwater.feed.reader, headwater.feed.wake"
    ]


def test_an_import_for_types_alone_is_found_and_counts_in_a_cycle() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from headwater.feed import cursor\n"
    first = plant("headwater.feed.reader", text)
    second = plant("headwater.feed.cursor", "from headwater.feed import reader")
    assert cycles(import_graph([first, second])) == ["headwater.feed.cursor, headwater.feed.reader"]
    assert type_only_imports([first, second]) == ["headwater.feed.reader:3 imports headwater.feed.cursor"]
    assert len(upward_imports([plant("headwater.store.log.records", text)])) == 1


@pytest.mark.parametrize(
    "name", ["headwater.store.log.records", "headwater.contracts.sell.rules", "headwater.contracts.sell.sessions"]
)
def test_async_code_below_the_door_is_found(name: str) -> None:
    assert len(async_below_the_door([plant(name, "async def write(): ...")])) == 1


@pytest.mark.parametrize("name", ["headwater.contracts.sell.acks_door", *HANDOVERS])
def test_doors_and_hand_overs_may_wait(name: str) -> None:
    assert async_below_the_door([plant(name, "async def write(): ...")]) == []


def test_every_hand_over_exists_and_waits() -> None:
    waiting = {module.name for module in package() if any(is_async(node) for node in ast.walk(module.tree))}
    assert sorted(HANDOVERS.keys() - waiting) == []


def upward_imports(modules: Iterable[Module]) -> list[str]:
    """Imports of a package that is not below the importing one."""
    broken = []
    for module in modules:
        own = part(module)
        for found in imports(module):
            other = part_of(found.target)
            if other in {"", own} or other not in LAYERS:
                continue
            if LAYERS[other] >= LAYERS.get(own, -1):
                broken.append(f"{module.name}:{found.line} imports {found.target}")
    return broken


def sibling_imports(modules: Iterable[Module]) -> list[str]:
    """Imports from one contract of another, or of any by the folder that holds them."""
    return [
        f"{module.name}:{found.line} imports {found.target}"
        for module in modules
        if part(module) == "contracts"
        for found in imports(module)
        if is_within(found.target, "headwater.contracts") and is_foreign(found.target, contract_of(module.name))
    ]


def http_below_the_door(modules: Iterable[Module]) -> list[str]:
    """Imports of web or of an HTTP library by a contract's module that is no door."""
    return [
        f"{module.name}:{found.line} imports {found.target}"
        for module in modules
        if part(module) == "contracts" and not is_door(module.name)
        for found in imports(module)
        if is_within(found.target, "headwater.web", *HTTP_LIBRARIES)
        and found.target.partition(".")[0] != HTTP_CLIENTS.get(module.name)
    ]


def shape_imports(modules: Iterable[Module]) -> list[str]:
    """Imports of ours by shapes, other than base and shapes: the client loads shapes, but no server."""
    return [
        f"{module.name}:{found.line} imports {found.target}"
        for module in modules
        if is_shape(module.name)
        for found in imports(module)
        if is_within(found.target, PACKAGE) and not client_may_load(found.target)
    ]


def client_imports(modules: Iterable[Module]) -> list[str]:
    """The modules that the client loads, itself or through others, besides base and the contracts' shapes."""
    graph = import_graph(modules)
    pending = [name for name in graph if part_of(name) == "client"]
    seen = set(pending)
    broken = []
    for module in modules:
        if part(module) == "client":
            broken += [
                f"{module.name}:{found.line} imports {found.target}"
                for found in imports(module)
                if is_within(found.target, PACKAGE) and not client_may_load(found.target)
            ]
    while pending:
        name = pending.pop()
        for other in sorted(graph[name] | parents(name, graph)):
            if other not in seen:
                seen.add(other)
                pending.append(other)
                is_folder = other in {PACKAGE, "headwater.contracts"} or (
                    part_of(other) == "contracts" and other.count(".") == 2
                )
                if not is_folder and not client_may_load(other) and not broken:
                    broken.append(f"{name} loads {other} into the client")
    return broken


def type_only_imports(modules: Iterable[Module]) -> list[str]:
    """Imports that only a type checker reads, of ours or of a library: they hide a cycle, or a cost."""
    return [
        f"{module.name}:{found.line} imports {found.target}"
        for module in modules
        for found in imports(module)
        if found.type_only
    ]


def async_below_the_door(modules: Iterable[Module]) -> list[str]:
    """Coroutines where only plain code may be."""
    return [
        f"{module.name}:{node.lineno} has async code"
        for module in modules
        if part(module) in {*PLAIN_LAYERS, "contracts"} and module.name not in HANDOVERS and not is_door(module.name)
        for node in ast.walk(module.tree)
        if is_async(node)
    ]


def is_async(node: ast.AST) -> TypeGuard[ast.stmt | ast.expr]:
    """True for a coroutine's definition, and for whatever only a coroutine may hold."""
    return isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)


def part(module: Module) -> str:
    """The folder of the package that a module lies in; empty for the package itself."""
    return part_of(module.name)


def part_of(name: str) -> str:
    """The folder of the package that a dotted name lies in; empty for any other name."""
    pieces = name.split(".")
    return pieces[1] if pieces[0] == PACKAGE and len(pieces) > 1 else ""


def contract_of(name: str) -> str:
    """The folder of the contract that a module belongs to (`headwater.contracts.sell`)."""
    return ".".join(name.split(".")[:3])


def is_foreign(target: str, own: str) -> bool:
    """True when a contract's target is another contract's; to the folder of all contracts every one is."""
    return own == "headwater.contracts" or not is_within(target, own)


def is_door(name: str) -> bool:
    """True for a contract's module that knows HTTP."""
    return part_of(name) == "contracts" and DOORS.fullmatch(name.rpartition(".")[2]) is not None


def is_shape(name: str) -> bool:
    """True for a contract's shapes, from the words of the module's path."""
    pieces = name.split(".")
    return pieces[:2] == [PACKAGE, "contracts"] and "shapes" in {
        word for piece in pieces[3:] for word in piece.split("_")
    }


def client_may_load(target: str) -> bool:
    """True for base, the client itself, and a contract's shapes."""
    return part_of(target) in {"base", "client"} or is_shape(target) or target == "headwater.__version__"


def parents(name: str, known: Iterable[str]) -> set[str]:
    """The packages that Python loads before a module."""
    return {other for other in known if name.startswith(other + ".")}
