"""``headwater share empty-trash`` and ``prune-versions`` free room, say how much, and ask first."""

from __future__ import annotations

from pathlib import Path

import pytest

from headwater.cli import run_as
from headwater.contracts.files.tree import rules
from headwater.store.database import Transaction
from headwater.store.tree import nodes
from headwater.store.tree.nodes import Actor
from tests.unit.cli.conftest import Shares


@pytest.fixture
def share_id(share: Shares, tmp_path: Path) -> str:
    """A share with three versions of one file, and another file in the trash."""
    id: str = share.create()["id"]
    for content in (b"one", b"second", b"the third"):
        (tmp_path / "a.txt").write_bytes(content)
        share("put", tmp_path / "a.txt", id)
    (tmp_path / "b.txt").write_bytes(b"gone")
    share("put", tmp_path / "b.txt", id)

    def trash(tx: Transaction) -> None:
        row = run_as.share(tx, id)
        node = nodes.child(tx, row.feed, nodes.ROOT, "b.txt")
        assert node is not None
        rules.trash(tx, row, Actor("usr_1"), node)

    with share.installed.database() as database:
        database.write_now(trash)
    return id


def test_the_trash_is_emptied_and_its_room_is_shown(share: Shares, share_id: str) -> None:
    assert share("empty-trash", share_id, "--older-than", "1d", "--yes", "--json").json["removed"] == 0
    done = share("empty-trash", share_id, "--yes", "--json")
    assert (done.code, done.json) == (
        0, {"share": share_id, "removed": 1, "kept_for_conflicts": 0, "freed_bytes": 4, "used_bytes": 18},
    )  # fmt: skip
    assert share("empty-trash", share_id, "--yes").out.splitlines()[1].split() == ["removed", "0"]


def test_versions_are_pruned_as_planned(share: Shares, share_id: str) -> None:
    planned = share("prune-versions", share_id, "--keep-last", "1", "--dry-run", "--json").json
    assert (planned["removed"], planned["freed_bytes"], planned["used_bytes"]) == (2, 9, 22)
    assert (
        share("prune-versions", share_id, "--keep-last", "1", "--keep-younger", "1d", "--yes", "--json").json["removed"]
        == 0
    )
    done = share("prune-versions", share_id, "--keep-last", "1", "--yes", "--json").json
    assert (done["removed"], done["freed_bytes"], done["used_bytes"]) == (2, 9, 13)


@pytest.mark.parametrize(
    "arguments",
    [("prune-versions",), ("prune-versions", "--keep-younger", "soon"), ("empty-trash", "--older-than", "yesterday")],
)
def test_a_wrong_rule_is_a_sentence(share: Shares, share_id: str, arguments: tuple[str, ...]) -> None:
    command, *options = arguments
    done = share(command, share_id, *options, "--yes")
    assert done.code == 2
    assert "Traceback" not in done.err


def test_without_a_terminal_it_does_not_guess(share: Shares, share_id: str) -> None:
    assert share("empty-trash", share_id).code == 2
    assert share("prune-versions", share_id, "--keep-last", "1").code == 2
