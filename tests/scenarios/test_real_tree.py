"""A tree that nobody here made goes up, comes down elsewhere, and is edited by two devices that lag behind.

The devices know only what their cursors and the answers of apply tell them. Whatever was acknowledged can be had at
the end, also what lost every conflict.
"""

from __future__ import annotations

import os
import random
import secrets
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from unicodedata import normalize
from urllib.parse import quote

import pytest

from tests.support.command import headwater, running
from tests.support.replica import Editor, Follower, Tree, shared_taste
from tests.support.server.wire import Wire, packed, unpacked
from tests.support.store.databases import UNMADE

SEED: int | None = None
"""The seed of a failed run, to see it again; None draws one."""

MIB = 1024 * 1024
LARGEST_BYTES = 3 * MIB
LEAST_FILES = 300
"""Some systems leave the library's own tests out, which are more than half of it."""

PACKED_BYTES = 512 * 1024
"""Larger files go up in a session of chunks."""

STRATEGIES = ("LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS", "MANUAL")
CONFLICTS = {"content", "edit_delete", "name_taken", "crossed_move"}
ITEMS = 20
"""Edits in one apply."""

Files = dict[str, Path]
"""Path in the share to the file on this machine."""


def standard_library(most: int) -> Files:
    """Files of Python's own library, the same ones each time: links, caches and what was installed left out."""
    root = Path(sysconfig.get_path("stdlib"))
    found: Files = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in {"__pycache__", "site-packages", "dist-packages"}]
        for path in (Path(folder, name) for name in names):
            if not path.is_symlink() and path.stat().st_size <= LARGEST_BYTES:
                found[f"/{path.relative_to(root)}"] = path
    assert len(found) >= LEAST_FILES, "this Python came without its library"
    order = sorted(found, key=lambda path: (found[path].stat().st_size < MIB, sha256(path.encode()).digest()))
    return {path: found[path] for path in sorted(order[:most])}


def parts_of(paths: list[str], size: int) -> Iterator[list[str]]:
    for first in range(0, len(paths), size):
        yield paths[first : first + size]


def upload(wire: Wire, share: str, files: Files) -> None:
    """Small files packed, large ones each in a session of chunks that come the last one first."""
    small = [path for path in files if files[path].stat().st_size <= PACKED_BYTES]
    for part in parts_of(small, 500):
        stream = packed(({"path": path}, files[path].read_bytes()) for path in part)
        results = wire.send("POST", f"/api/v1/uploads/packed?share_id={share}", stream).json()["results"]
        assert [result["status"] for result in results] == ["created"] * len(part)
    for path in files.keys() - set(small):
        content = files[path].read_bytes()
        fields = {
            "share_id": share,
            "path": path,
            "commit": True,
            "file_size": len(content),
            "chunk_size": PACKED_BYTES,
        }
        checksum = {"checksum_sha256": sha256(content).hexdigest()}
        session = wire.call("POST", "/api/v1/uploads", fields | checksum).json()
        address = f"/api/v1/uploads/{session['session_id']}"
        for number in reversed(range(session["total_chunks"])):
            chunk = content[number * PACKED_BYTES : (number + 1) * PACKED_BYTES]
            assert wire.send("PUT", f"{address}/chunks/{number}", chunk).status == 200
        assert wire.call("POST", f"{address}/complete").json()["status"] == "created"


def download(wire: Wire, share: str, tree: Tree, folder: Path) -> None:
    """The whole tree into a folder: every tenth file by itself, the others many at once."""
    files = [path for path, (_, kind, _) in tree.items() if kind == "file"]
    for path, (_, kind, _) in tree.items():
        (folder / path[1:] if kind == "folder" else (folder / path[1:]).parent).mkdir(parents=True, exist_ok=True)
    for path in files[::10]:
        (folder / path[1:]).write_bytes(wire.send("GET", f"/api/v1/sync/download/{tree[path][0]}").body)
    wanted = [path for number, path in enumerate(files) if number % 10]
    for part in parts_of(wanted, 500):
        asked = {"share_id": share, "file_ids": [tree[path][0] for path in part]}
        for head, content in unpacked(wire.call("POST", "/api/v1/downloads/batch", asked).body):
            assert head.get("error") is None
            (folder / part[head["index"]][1:]).write_bytes(content)


def digests(folder: Path) -> dict[str, str | None]:
    """Everything below a folder: the SHA-256 of files, None for folders."""
    return {
        f"/{path.relative_to(folder)}": sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in folder.rglob("*")
    }


def listed(wire: Wire, share: str) -> Tree:
    """The server's tree, folder by folder as its own door lists it."""
    found: Tree = {}
    waiting = [""]
    while waiting:
        folder, cursor = waiting.pop(), ""
        while True:
            page = wire.get(f"/api/v1/shares/{share}/children?limit=1000&path={quote(folder or '/')}&cursor={cursor}")
            for node in page["data"]:
                found[node["path"]] = (node["id"], node["type"], node["version_id"])
                waiting += [node["path"]] if node["type"] == "folder" else []
            if not page["has_more"]:
                break
            cursor = page["cursor"]
    return found


def settle(wire: Wire, share: str, rng: random.Random, tree: Tree) -> set[str]:
    """Answer every conflict that waits for a person, at random; the files that hold the two sides then."""
    waiting = wire.get(f"/api/v1/sync/conflicts?share_id={share}&limit=5000")
    live = {node_id for node_id, kind, _ in tree.values() if kind == "file"}
    holding: set[str] = set()
    for conflict in waiting:
        side, loser = conflict["resource_id"], conflict["local_version_id"]
        if side in live and loser is not None:
            assert wire.send("GET", f"/api/v1/sync/download/{side}?version={loser}").status == 200
        answers = ["SERVER_WINS", *rng.sample(["LAST_WRITER_WINS", "KEEP_BOTH", "CLIENT_WINS"], 3)]
        while True:
            # An answer that cannot be carried out any more leaves it open; that of the server always can.
            answer = answers.pop(rng.randrange(len(answers)))
            told = wire.call("POST", f"/api/v1/sync/conflicts/{conflict['id']}/resolve?resolution={answer}")
            if told.status == 200:
                break
            assert (told.status, told.json()["code"]) == (409, "STATE_CONFLICT"), told.body
            assert answers, f"nothing settles {conflict}: {told.body!r}"
        holding |= {told.json()[name] for name in ("resource_id", "copy_id")} - {None}
    assert wire.get(f"/api/v1/sync/conflicts?share_id={share}") == []
    return holding


def restore_all(wire: Wire, share: str) -> None:
    """Take everything out of the trash, each to a name of its own."""
    number = 0
    while trashed := wire.get(f"/api/v1/shares/{share}/trash?limit=1000")["data"]:
        for node in trashed:
            number += 1
            address = f"/api/v1/shares/{share}/nodes/{node['id']}/restore"
            answer = wire.call("POST", address, {"path": f"/back {number}"})
            assert answer.status == 200, answer.body


def readable(wire: Wire, tree: Tree, share: str, files: set[str]) -> dict[tuple[str, str], str]:
    """The SHA-256 of each version of these files, downloaded one by one."""
    found: dict[tuple[str, str], str] = {}
    live = {node_id for node_id, kind, _ in tree.values() if kind == "file"}
    for file in sorted(files & live):
        for version in wire.get(f"/api/v1/shares/{share}/nodes/{file}/versions?limit=1000")["data"]:
            answer = wire.send("GET", f"/api/v1/sync/download/{file}?version={version['id']}")
            assert answer.status == 200, answer.body
            found[file, version["id"]] = sha256(answer.body).hexdigest()
    return found


def require_bytes(there: dict[tuple[str, str], str], devices: list[Editor]) -> None:
    """All that was acknowledged is there: where the answer said so, or what a person decided on, somewhere."""
    somewhere = set(there.values())
    for device in devices:
        assert device.acknowledged
        for digest, places in device.acknowledged.items():
            assert digest in somewhere, f"bytes that {device.device} saw acknowledged as {places} are gone"
            for file, version in places:
                assert file is None or there.get((file, version)) == digest, (file, version)


def edit(wire: Wire, share: str, rng: random.Random, edits: int) -> list[Editor]:
    """Two devices edit in turn, each upon what it sees; they meet on forty files and ten folders."""
    hot = shared_taste(Follower(wire, share).pull_all().nodes, rng)
    devices = []
    for name in ("laptop", "phone"):
        assert wire.call("POST", "/api/v1/sync/devices", {"device_id": name, "platform": "linux"}).status == 201
        devices.append(Editor(Follower(wire, share), name, rng, hot))
        devices[-1].catch_up()
    for turn in range(edits // ITEMS // 2):
        both = [(device, device.batch(ITEMS)) for device in devices]
        for device, items in both:
            device.send(items, STRATEGIES[(turn + devices.index(device)) % len(STRATEGIES)])
            device.send(device.batch(2), rng.choice(STRATEGIES), atomic=True)
        for device in devices:
            device.catch_up() if rng.random() < 0.7 else device.lag()
    return devices


def require_agreement(wire: Wire, share: str, devices: list[Editor]) -> Tree:
    """Both devices, a new one and the server's own list have one tree."""
    trees = [device.follower.pull_all().nodes.tree() for device in devices]
    fresh = Follower(wire, share).pull_all(300).nodes.tree()
    assert trees[0] == fresh
    assert trees[1] == fresh
    assert listed(wire, share) == fresh
    assert len({normalize("NFC", path).casefold() for path in fresh}) == len(fresh), "two names are one to the share"
    return fresh


@contextmanager
def telling(rng_seed: int) -> Iterator[random.Random]:
    """A source of dice whose seed a failure tells."""
    try:
        yield random.Random(rng_seed)
    except BaseException as failure:
        failure.add_note(f"SEED = {rng_seed} shows this again")
        raise


@pytest.mark.parametrize(
    ("kind", "most", "edits"),
    [("sqlite", 1500, 1000), pytest.param("postgres", 200, 300, marks=pytest.mark.postgres)],
)
@pytest.mark.slow
def test_a_foreign_tree_travels_whole_and_two_devices_edit_it_to_one_tree_without_losing_a_byte(
    tmp_path: Path, kind: str, most: int, edits: int
) -> None:
    files = standard_library(most)
    with ExitStack() as stack:
        rng = stack.enter_context(telling(secrets.randbelow(2**32) if SEED is None else SEED))
        address = stack.enter_context(UNMADE[kind](tmp_path))
        more = ("--database", address) if kind == "postgres" else ()
        server = stack.enter_context(running(tmp_path / "data", *more))
        wire = stack.enter_context(Wire(server.url, server.admin_token))
        share = wire.call("POST", "/api/v1/shares", {"name": "Library"}).json()["id"]

        upload(wire, share, files)
        first = Follower(wire, share).pull_all(400).nodes.tree()
        download(wire, share, first, tmp_path / "elsewhere")
        here = {path: sha256(file.read_bytes()).hexdigest() for path, file in files.items()}
        folders = {str(above) for path in files for above in Path(path).parents if str(above) != "/"}
        assert digests(tmp_path / "elsewhere") == here | dict.fromkeys(folders)

        devices = edit(wire, share, rng, edits)
        tree = require_agreement(wire, share, devices)
        met = {strategy for device in devices for strategy, outcome in device.outcomes if outcome in CONFLICTS}
        assert met == set(STRATEGIES)
        touched = settle(wire, share, rng, tree)
        require_agreement(wire, share, devices)

        restore_all(wire, share)
        tree = require_agreement(wire, share, devices)
        untouched = set(first.values())
        touched |= {one[0] for one in tree.values() if one not in untouched}
        touched |= {file for device in devices for file in device.touched}
        require_bytes(readable(wire, tree, share, touched), devices)
        assert headwater("verify", "--data", server.data, *more).returncode == 0
