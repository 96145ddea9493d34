"""Devices that edit at the same time, one that lists the tree meanwhile, and a server that is killed in between.

A device that gets no answer sends the same request again, to wherever the server came up. All end with one tree, and
nothing that was acknowledged is gone.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from time import sleep

import pytest

from tests.scenarios.test_real_tree import (
    ITEMS,
    STRATEGIES,
    listed,
    readable,
    require_bytes,
    restore_all,
    settle,
    standard_library,
    telling,
    upload,
)
from tests.support.command import headwater, running
from tests.support.replica import Editor, Follower, shared_taste
from tests.support.server.stubborn import Stubborn
from tests.support.store.databases import UNMADE

SEED: int | None = None
"""The seed of a failed run; threads still take turns as they like."""

FILES = 150
DEVICES = 3
EDITS = 160
KILLS = 2


def edit(device: Editor) -> None:
    for _ in range(EDITS // ITEMS):
        device.send(device.batch(ITEMS), device.rng.choice(STRATEGIES))
        device.send(device.batch(2), device.rng.choice(STRATEGIES), atomic=True)
        if device.rng.random() < 0.6:
            device.catch_up()
        else:
            device.lag()


def together(works: list[Callable[[], None]]) -> tuple[list[threading.Thread], list[BaseException]]:
    """Threads that were started, and what they raise."""
    failures: list[BaseException] = []

    def run(function: Callable[[], None]) -> None:
        try:
            function()
        except BaseException as failure:  # noqa: BLE001 - told on the test's own thread
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(transaction,)) for transaction in works]
    for thread in threads:
        thread.start()
    return threads, failures


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_devices_that_edit_at_once_through_kills_end_with_one_tree_and_every_byte(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        rng = stack.enter_context(telling(secrets.randbelow(2**32) if SEED is None else SEED))
        address = stack.enter_context(UNMADE[kind](tmp_path))
        more = ("--database", address) if kind == "postgres" else ()
        where = [stack.enter_context(running(tmp_path / "data", *more))]
        wire = stack.enter_context(Stubborn(lambda: where[-1]))
        share = wire.call("POST", "/api/v1/shares", {"name": "Library"}).json()["id"]
        upload(wire, share, standard_library(FILES))
        known = Follower(wire, share).pull_all().nodes
        first = set(known.tree().values())
        hot = shared_taste(known, rng)
        devices = []
        for number in range(DEVICES):
            name, own = f"device {number}", stack.enter_context(Stubborn(lambda: where[-1]))
            assert wire.call("POST", "/api/v1/sync/devices", {"device_id": name, "platform": "linux"}).status == 201
            devices.append(Editor(Follower(own, share), name, random.Random(rng.random()), hot))
            devices[-1].catch_up()
        over = threading.Event()
        newcomers: list[Follower] = []

        def list_again() -> None:
            with Stubborn(lambda: where[-1]) as own:
                while not over.is_set():
                    newcomers.append(Follower(own, share).pull_all(20))

        editing, failures = together([partial(edit, device) for device in devices])
        listing, failed_listings = together([list_again])
        for _ in range(KILLS):
            sleep(rng.uniform(0.1, 0.8))
            where[-1].stop(9)
            where.append(stack.enter_context(running(tmp_path / "data", *more)))
        for thread in editing:
            thread.join()
        over.set()
        listing[0].join()
        assert failures + failed_listings == []

        tree = Follower(wire, share).pull_all(300).nodes.tree()
        for follower in [device.follower for device in devices] + newcomers[-5:]:
            follower.wire = wire
            assert follower.pull_all().nodes.tree() == tree
        assert listed(wire, share) == tree
        touched = settle(wire, share, rng, tree)
        restore_all(wire, share)
        tree = Follower(wire, share).pull_all().nodes.tree()
        for device in devices:
            assert device.follower.pull_all().nodes.tree() == tree
        touched |= {one[0] for one in tree.values() if one not in first}
        touched |= {file for device in devices for file in device.touched}
        require_bytes(readable(wire, tree, share, touched), devices)
        assert headwater("verify", "--data", tmp_path / "data", *more).returncode == 0
