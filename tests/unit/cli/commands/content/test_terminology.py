"""``headwater terminology source``, on a folder that had its first start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.server.upstream import fake_upstream
from tests.unit.cli.conftest import Command, Done, Installed


def shown(done: Done) -> tuple[str, str | None]:
    assert done.code == 0, done.err
    return done.json["source"], done.json["location"]


def test_a_source_is_named_shown_and_taken_back(command: Command, installed: Installed, tmp_path: Path) -> None:
    at = ("terminology", "source", "default", "--data", installed.folder, "--json")
    assert shown(command(*at)) == ("own", None)
    path = tmp_path / "labels.json"
    path.write_text('{"a":"A","b":"B"}', "utf-8")
    named = command(*at, "--file", path)
    assert shown(named) == ("file", str(path))
    assert "gives 2 labels" in named.err
    assert shown(command(*at)) == ("file", str(path))
    assert shown(command(*at, "--own")) == ("own", None)


def test_a_file_is_kept_by_its_full_path(
    command: Command, installed: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named = command("terminology", "source", "default", "--data", installed.folder, "--json", "--file", "l.json")
    assert shown(named) == ("file", str(tmp_path / "l.json"))
    assert "warning: the source of these labels is a file that cannot be read" in named.err


def test_a_url_is_tried_at_once_where_its_host_is_allowed(command: Command, installed: Installed) -> None:
    at = ("terminology", "source", "default", "--data", installed.folder, "--json")
    with fake_upstream() as upstream:
        upstream.gives({"a": "A"})
        refused = command(*at, "--url", upstream.url)
        assert (refused.code, refused.problem["code"]) == (1, "SOURCE_HOST_NOT_ALLOWED")
        assert "terminology.allowed_hosts" in refused.problem["detail"]
        assert upstream.asked == []
        named = command(*at, "--url", upstream.url, "--set", "terminology.allowed_hosts=127.0.0.1")
        assert shown(named) == ("url", upstream.url)
        assert "gives 1 labels" in named.err


def test_an_unknown_organisation_and_two_sources_are_refused(command: Command, installed: Installed) -> None:
    at = ("--data", installed.folder, "--json")
    unknown = command("terminology", "source", "nobody", *at, "--own")
    assert (unknown.code, unknown.problem["code"]) == (1, "NOT_FOUND")
    both = command("terminology", "source", "default", *at, "--own", "--file", "x")
    assert both.code == 2
    assert "one of --url, --file and --own" in both.problem["detail"]
