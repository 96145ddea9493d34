"""How nodes are read; who writes them is tested through the contract of files."""

from __future__ import annotations

from itertools import count

import pytest

from headwater.store.database import Database
from headwater.store.tree import nodes
from headwater.store.tree.nodes import ROOT, Node
from tests.support.store.transactions import make_feed

FOREVER = 1000


class Tree:
    """A share's nodes, written as rows; ids are the paths at which they were made."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.feed = make_feed(database, "share:a", history=True)
        self._numbers = count(1)

    def add(self, path: str, *, type: str = "file", trashed_us: int | None = None, id: str | None = None) -> Node:
        folder, _, name = path.rpartition("/")
        version = "ver_1" if type == "file" else None
        number = next(self._numbers)
        node = Node(
            id or path, number, type, folder, name, name.lower(), version, 0, trashed_us,
            None if trashed_us is None else "usr_1", number, number, number,
        )  # fmt: skip
        self.database.write_now(lambda tx: tx.run(nodes.INSERT, self.feed, *node))
        return node

    def folder(self, path: str, *, trashed_us: int | None = None) -> Node:
        return self.add(path, type="folder", trashed_us=trashed_us)

    def find(self, id: str) -> Node | None:
        return self.database.read_now(lambda tx: nodes.find(tx, self.feed, id))

    def children(self, parent: str, after_key: str = "", limit: int = FOREVER) -> list[str]:
        found = self.database.read_now(lambda tx: nodes.children(tx, self.feed, parent, after_key, limit))
        return [node.name for node in found]

    def path_of(self, node: Node) -> str:
        return self.database.read_now(lambda tx: nodes.path_of(tx, self.feed, node))

    def is_live(self, node: Node) -> bool:
        return self.database.read_now(lambda tx: nodes.is_live(tx, self.feed, node))

    def count_files(self) -> int:
        return self.database.read_now(lambda tx: nodes.count_files(tx, self.feed))

    def trashed(self, after_us: int = 0, after_id: str = "", limit: int = FOREVER) -> list[str]:
        found = self.database.read_now(lambda tx: nodes.trashed(tx, self.feed, after_us, after_id, limit))
        return [node.id for node in found]


@pytest.fixture
def tree(database: Database) -> Tree:
    return Tree(database)


def test_a_node_is_found_by_its_id_live_or_in_the_trash(tree: Tree) -> None:
    live, gone = tree.add("a.txt"), tree.add("b.txt", trashed_us=5)
    assert tree.find("a.txt") == live
    assert tree.find("b.txt") == gone
    assert tree.find("c.txt") is None


def test_a_node_of_another_share_is_not_found(tree: Tree) -> None:
    tree.add("a.txt")
    other = make_feed(tree.database, "share:b", history=True)
    assert tree.database.read_now(lambda tx: nodes.find(tx, other, "a.txt")) is None


class TestChild:
    def child(self, tree: Tree, parent: str, key: str) -> Node | None:
        return tree.database.read_now(lambda tx: nodes.child(tx, tree.feed, parent, key))

    def test_a_child_is_found_by_its_key(self, tree: Tree) -> None:
        node = tree.add("Paper.txt")
        assert self.child(tree, ROOT, "paper.txt") == node
        assert self.child(tree, ROOT, "Paper.txt") is None

    def test_what_is_in_the_trash_has_no_name_any_more(self, tree: Tree) -> None:
        tree.add("a.txt", trashed_us=5)
        assert self.child(tree, ROOT, "a.txt") is None

    def test_the_same_name_in_another_folder_is_another_child(self, tree: Tree) -> None:
        tree.folder("box")
        inner = tree.add("box/a.txt")
        assert self.child(tree, ROOT, "a.txt") is None
        assert self.child(tree, "box", "a.txt") == inner


def test_namesakes_are_the_live_one_and_then_the_latest_of_the_trash(tree: Tree) -> None:
    for id, trashed_us in [("old", 5), ("newest", 9), ("middle", 7), ("twin", 7)]:
        tree.add("a.txt", id=id, trashed_us=trashed_us)
    tree.add("a.txt", id="live")
    tree.add("b.txt", id="other", trashed_us=8)

    def namesakes(limit: int) -> list[str]:
        found = tree.database.read_now(lambda tx: nodes.namesakes(tx, tree.feed, ROOT, "a.txt", limit))
        return [node.id for node in found]

    assert namesakes(FOREVER) == ["live", "newest", "middle", "twin", "old"]
    assert namesakes(1) == ["live", "newest"]


def test_namesakes_without_a_live_one_are_those_of_the_trash(tree: Tree) -> None:
    tree.add("a.txt", trashed_us=5)
    found = tree.database.read_now(lambda tx: nodes.namesakes(tx, tree.feed, ROOT, "a.txt", FOREVER))
    assert [node.id for node in found] == ["a.txt"]


class TestChildren:
    def test_live_children_come_in_the_order_of_their_keys(self, tree: Tree) -> None:
        for name in ("c.txt", "B.txt", "a.txt"):
            tree.add(name)
        tree.folder("box")
        tree.add("box/inner.txt")
        tree.add("gone.txt", trashed_us=5)
        assert tree.children(ROOT) == ["a.txt", "B.txt", "box", "c.txt"]
        assert tree.children("box") == ["inner.txt"]
        assert tree.children("nowhere") == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 10])
    def test_pages_of_any_length_hold_each_child_once(self, tree: Tree, limit: int) -> None:
        for name in "ecadb":
            tree.add(name)
        found: list[str] = []
        while page := tree.children(ROOT, found[-1] if found else "", limit):
            assert len(page) <= limit
            found += page
        assert found == list("abcde")


class TestTrash:
    def test_the_trash_is_listed_by_time_and_id(self, tree: Tree) -> None:
        for name, trashed_us in [("d", 7), ("b", 5), ("c", 7), ("a", 9)]:
            tree.add(name, trashed_us=trashed_us)
        tree.add("live")
        assert tree.trashed() == ["b", "c", "d", "a"]

    @pytest.mark.parametrize(
        ("after_us", "after_id", "found"),
        [(5, "", ["b", "c", "d"]), (5, "b", ["c", "d"]), (7, "c", ["d"]), (7, "d", []), (6, "z", ["c", "d"])],
    )
    def test_the_trash_goes_on_after_a_time_and_an_id(
        self, tree: Tree, after_us: int, after_id: str, found: list[str]
    ) -> None:
        for name, trashed_us in [("d", 7), ("b", 5), ("c", 7)]:
            tree.add(name, trashed_us=trashed_us)
        assert tree.trashed(after_us, after_id) == found

    def test_what_lies_below_a_folder_in_the_trash_is_not_listed(self, tree: Tree) -> None:
        tree.folder("box", trashed_us=5)
        tree.add("box/a.txt")
        assert tree.trashed() == ["box"]


class TestPath:
    def test_a_path_names_every_folder_above(self, tree: Tree) -> None:
        tree.folder("a")
        tree.folder("a/B")
        assert tree.path_of(tree.add("a/B/c.txt")) == "/a/B/c.txt"
        assert tree.path_of(tree.add("top.txt")) == "/top.txt"

    def test_the_path_of_what_is_in_the_trash_is_where_it_was(self, tree: Tree) -> None:
        tree.folder("a", trashed_us=5)
        assert tree.path_of(tree.add("a/b.txt", trashed_us=4)) == "/a/b.txt"

    def test_the_nearest_folder_above_comes_first(self, tree: Tree) -> None:
        path = "a"
        tree.folder(path)
        for _ in range(5):
            path += "/a"
            tree.folder(path)
        deepest = tree.find(path)
        assert deepest is not None
        above = tree.database.read_now(lambda tx: nodes.ancestors(tx, tree.feed, deepest))
        assert [node.id for node in above] == ["a/a/a/a/a", "a/a/a/a", "a/a/a", "a/a", "a"]
        nearest = tree.database.read_now(lambda tx: nodes.ancestors(tx, tree.feed, deepest, 2))
        assert nearest == above[:2]

    def test_a_node_at_the_top_has_no_folder_above(self, tree: Tree) -> None:
        top = tree.folder("a")
        assert tree.database.read_now(lambda tx: nodes.ancestors(tx, tree.feed, top)) == []

    def test_a_circle_of_folders_ends_at_the_limit(self, tree: Tree) -> None:
        tree.folder("a")
        tree.folder("b")
        swap = "UPDATE nodes SET parent = CASE id WHEN 'a' THEN 'b' ELSE 'a' END WHERE feed = ?"
        tree.database.write_now(lambda tx: tx.run(swap, tree.feed))
        inside = tree.find("a")
        assert inside is not None
        assert len(tree.database.read_now(lambda tx: nodes.ancestors(tx, tree.feed, inside, 50))) == 50


class TestLive:
    @pytest.mark.parametrize(
        ("own", "above", "top", "live"),
        [
            (None, None, None, True),
            (5, None, None, False),
            (None, 5, None, False),
            (None, None, 5, False),
            (5, 5, 5, False),
        ],
    )
    def test_a_node_lives_when_neither_it_nor_a_folder_above_is_in_the_trash(
        self, tree: Tree, own: int | None, above: int | None, top: int | None, live: bool
    ) -> None:
        tree.folder("a", trashed_us=top)
        tree.folder("a/b", trashed_us=above)
        assert tree.is_live(tree.add("a/b/c.txt", trashed_us=own)) is live

    def test_files_are_counted_that_no_trash_holds(self, tree: Tree) -> None:
        assert tree.count_files() == 0
        for folder, trashed_us in [("a", None), ("a/b", None), ("a/gone", 5), ("a/gone/below", None)]:
            tree.folder(folder, trashed_us=trashed_us)
        for path in ("1", "a/2", "a/b/3", "a/gone/no", "a/gone/below/no"):
            tree.add(path)
        tree.add("no", trashed_us=5)
        assert tree.count_files() == 3
