"""A batch does what its items do one by one, but for names that swap; an atomic one does all of it or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.file_share import Device, FileShare
from tests.support.server.serving import ServerUnderTest

STRATEGIES = ["LAST_WRITER_WINS", "KEEP_BOTH", "SERVER_WINS", "CLIENT_WINS", "MANUAL"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["folder", "file", "edit", "rename", "delete"]),
        st.sampled_from(["/a", "/b", "/a/b", "/b/a", "/c.txt", "/a/c.txt"]),
        st.sampled_from(["/a", "/b", "/a/b", "/c.txt", "/b/c.txt"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=8,
)


class Side:
    """A share that begins as every other: a folder and two files."""

    def __init__(self, server: ServerUnderTest, number: int) -> None:
        self.share = FileShare(server)
        self.device: Device = self.share.device(f"device {number} {self.share.id}")
        server.database.write_now(lambda tx: tx.run("UPDATE devices SET device_name = 'laptop'"))
        self.device.folder("/a")
        self.files = {path: self.device.put(path, b"0") for path in ("/a/b", "/c.txt")}

    def items(self, steps: list[tuple[str, str, str, int]]) -> list[dict[str, Any]]:
        """The steps as items, the same for every side but for its ids."""
        return [self.item(index, *step) for index, step in enumerate(steps)]

    def item(self, index: int, kind: str, path: str, to: str, content: int) -> dict[str, Any]:
        version_id = self.device.stage(b"%d" % content)
        file = self.files.get(path, self.files["/c.txt"])
        details = {"metadata": {"client_change_id": f"e{index}"}}
        known = {"resource_type": "file", "resource_id": file["resource_id"], "base_version_id": file["version_id"]}
        match kind:
            case "folder":
                return details | {"resource_type": "folder", "change_type": "created", "new_path": path}
            case "file":
                made = {"resource_type": "file", "change_type": "created", "new_path": path}
                return details | made | {"version_id": version_id}
            case "edit":
                return details | known | {"change_type": "updated", "version_id": version_id}
            case "rename":
                return details | known | {"change_type": "moved", "old_path": file["path"], "new_path": to}
            case _:
                return details | known | {"change_type": "deleted"}

    def ids(self) -> dict[str, str]:
        """Path to id of the two files."""
        found = {}
        for file in self.files.values():
            place = f"/api/v1/shares/{self.share.id}/nodes/{file['resource_id']}"
            found[self.share.client.get(place).json()["path"]] = file["resource_id"]
        return found

    def tree(self) -> dict[str, str | None]:
        """Path to content, None for a folder."""
        rows = self.share.read(lambda tx: tx.rows("SELECT id, content_hash FROM versions"))
        contents = dict(rows)
        return {path: contents.get(version_id) for path, version_id in self.share.tree().items()}


def swaps(steps: list[tuple[str, str, str, int]]) -> bool:
    """True when the two files are to take each other's names, which is one change of the request."""
    moved = {(path if path == "/a/b" else "/c.txt", to) for kind, path, to, _ in steps if kind == "rename"}
    return {("/a/b", "/c.txt"), ("/c.txt", "/a/b")} <= moved


@pytest.mark.slow
def test_two_names_that_swap_amid_any_other_items_end_as_they_are_wished_or_as_one_by_one(
    server: ServerUnderTest,
) -> None:
    @settings(max_examples=20, deadline=None)
    @given(STEPS, st.integers(0, 8), st.integers(0, 8), st.sampled_from(STRATEGIES), st.booleans())
    def hold(steps: list[tuple[str, str, str, int]], at: int, then: int, strategy: str, atomic: bool) -> None:
        side = Side(server, 1)
        steps = [step for step in steps if step[0] in {"folder", "edit"} and step[1] not in {"/a/b", "/c.txt"}]
        for place, swap in ((at, ("rename", "/a/b", "/c.txt", 0)), (then, ("rename", "/c.txt", "/a/b", 0))):
            steps.insert(place, swap)
        answer = side.device.apply(*side.items(steps), strategy=strategy, atomic=atomic)
        found = outcomes([answer])
        assert len(found) == len(steps)
        if answer.status == 200:
            assert {found[index] for index, step in enumerate(steps) if step[0] == "rename"} == {("applied", "applied")}
            paths = {id: path for path, id in side.ids().items()}
            assert [paths[side.files[path]["resource_id"]] for path in ("/a/b", "/c.txt")] == ["/c.txt", "/a/b"]

    hold()


def outcomes(answers: list[Any]) -> dict[int, tuple[str, str | None]]:
    """Index to list and finer word."""
    found: dict[int, tuple[str, str | None]] = {}
    for at, answer in enumerate(answers):
        lists = answer.json()
        for name, word in (("applied", "outcome"), ("conflicts", "conflict_type"), ("errors", "reason")):
            for entry in lists[name]:
                index = entry["index"] if len(answers) == 1 else at
                assert index not in found, "an item is in two lists"
                found[index] = (name, entry[word])
    return found


@pytest.mark.slow
def test_a_batch_does_what_its_items_do_one_by_one(server: ServerUnderTest) -> None:
    @settings(max_examples=20, deadline=None)
    @given(STEPS, st.sampled_from(STRATEGIES))
    def hold(steps: list[tuple[str, str, str, int]], strategy: str) -> None:
        assume(not swaps(steps))
        one, many = Side(server, 1), Side(server, 2)
        singly = [one.device.apply(item, strategy=strategy) for item in one.items(steps)]
        batch = many.device.apply(*many.items(steps), strategy=strategy)
        assert outcomes(singly) == outcomes([batch])
        assert len(outcomes([batch])) == len(steps)
        assert one.tree() == many.tree()

    hold()


@pytest.mark.slow
def test_an_atomic_request_does_all_that_a_batch_does_or_nothing(server: ServerUnderTest) -> None:
    @settings(max_examples=20, deadline=None)
    @given(STEPS, st.sampled_from(STRATEGIES))
    def hold(steps: list[tuple[str, str, str, int]], strategy: str) -> None:
        batch, atomic = Side(server, 1), Side(server, 2)
        before, head = atomic.tree(), atomic.share.page()["cursor"]
        told = batch.device.apply(*batch.items(steps), strategy=strategy).json()
        fails = told["errors"] or any(conflict["resolution"] is None for conflict in told["conflicts"])
        answer = atomic.device.apply(*atomic.items(steps), strategy=strategy, atomic=True)
        assert answer.status == (409 if fails else 200)
        assert sorted(outcomes([answer])) == list(range(len(steps)))
        assert atomic.tree() == (before if fails else batch.tree())
        if fails:
            assert atomic.share.page(head)["changes"] == []

    hold()
