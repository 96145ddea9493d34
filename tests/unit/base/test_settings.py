from __future__ import annotations

from pathlib import Path

import pytest

from headwater.base.errors import HeadwaterError
from headwater.base.settings.load import Settings, SettingsInvalid, explain, load, table
from headwater.base.settings.page import PAGE, render
from headwater.base.settings.table import AccessSettings, DatabaseSettings, ServerSettings

ROOT = Path(__file__).resolve().parents[3]
HOME = {"HOME": "/nowhere", "PATH": "/bin"}


def in_folder(folder: Path, **variables: str) -> dict[str, str]:
    return {**HOME, "HEADWATER_DATABASE_DATA_FOLDER": str(folder), **variables}


def problems_of(
    flags: dict[str, str] | None = None, config: Path | None = None, environ: dict[str, str] | None = None
) -> tuple[str, ...]:
    with pytest.raises(SettingsInvalid) as caught:
        load(flags, config=config, environ=HOME if environ is None else environ)
    return caught.value.problems


def test_no_source_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(environ=in_folder(tmp_path))
    assert settings.server.host == "127.0.0.1"
    assert settings.server.port == 8484
    assert settings.limits.cache_rows == 50_000
    assert settings == Settings(database=DatabaseSettings(data_folder=str(tmp_path)))


def test_a_later_source_wins_over_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "headwater.toml").write_text(
        '[server]\nport = 1001\nkeep_alive_seconds = 11\n[limits]\nbody_bytes = "2MiB"\n'
    )
    environ = in_folder(tmp_path, HEADWATER_SERVER_PORT="1002", HEADWATER_SELL_PAGE_ITEMS="22")
    settings = load({"server.port": "1003"}, environ=environ)
    assert settings.server.port == 1003
    assert settings.sell.page_items == 22
    assert settings.server.keep_alive_seconds == 11
    assert settings.limits.body_bytes == 2 * 1024 * 1024
    assert load(environ=environ).server.port == 1002


def test_explain_tells_where_each_value_came_from(tmp_path: Path) -> None:
    file = tmp_path / "headwater.toml"
    file.write_text("[server]\nport = 1001\nkeep_alive_seconds = 11\n")
    environ = in_folder(tmp_path, HEADWATER_SERVER_PORT="1002")
    rows = {row.name: row for row in explain({"sell.page_items": "7"}, environ=environ)}
    assert (rows["server.port"].value, rows["server.port"].origin) == (
        "1002",
        "environment HEADWATER_SERVER_PORT",
    )
    assert rows["server.keep_alive_seconds"].origin == f"file {file}"
    assert rows["sell.page_items"].origin == "flag --set sell.page_items"
    assert rows["server.host"].origin == "default"
    assert rows["files.quota_share_bytes"].value == "unset"
    assert list(rows) == [spec.name for spec in table()]


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("HEADWATER_SERVER_PROT", "HEADWATER_SERVER_PORT"),
        ("HEADWATER_FEED_RETENTION", "HEADWATER_FEED_RETENTION_SECONDS"),
    ],
)
def test_an_unknown_variable_stops_the_start_and_names_the_nearest(variable: str, nearest: str) -> None:
    (problem,) = problems_of(environ={**HOME, variable: "1"})
    assert variable in problem
    assert problem.endswith(f"nearest valid name is {nearest}")


@pytest.mark.parametrize(
    ("text", "unknown", "nearest"),
    [
        ("[server]\nprot = 1\n", "server.prot", "server.port"),
        ("[sever]\nport = 1\n", "sever", "server"),
        ("feed = 1\n", "feed", "[feed]"),
        ("[limits.more]\nx = 1\n", "limits.more", "limits."),
    ],
)
def test_an_unknown_key_in_the_file_stops_the_start_and_names_the_nearest(
    tmp_path: Path, text: str, unknown: str, nearest: str
) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    (problem,) = problems_of(config=file)
    assert unknown in problem
    assert nearest in problem


def test_an_unknown_flag_stops_the_start() -> None:
    (problem,) = problems_of({"server.prot": "1"})
    assert "server.port" in problem


def test_an_unknown_name_that_resembles_no_setting_suggests_none() -> None:
    assert problems_of({"nix": "1"}) == ("unknown setting on the command line: nix",)


def test_all_problems_are_told_at_once() -> None:
    problems = problems_of({"server.port": "99999", "log.level": "loud"}, environ={**HOME, "HEADWATER_X": "1"})
    assert len(problems) == 3
    assert "server.port (flag --port): '99999' is not allowed; give 0 to 65535" in problems
    assert isinstance(SettingsInvalid(*problems), HeadwaterError)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("access.jwt_lifetime_seconds", "901"),
        ("access.public_access", "yes"),
        ("database.url", "mysql://db"),
        ("database.data_folder", ""),
        ("feed.wait_seconds_max", "61"),
        ("files.chunk_min_bytes", "8MiB"),
        ("files.pack_store", "s3://key:secret@bucket"),
        ("limits.body_bytes", "32MiB"),
        ("sell.resource_types", "contact,deal"),
        ("server.allowed_hosts", "example.org:443"),
        ("server.public_url", "https://example.org/path?query"),
        ("server.public_url", "https://example.org/a b"),
        ("server.public_url", "example.org"),
        ("server.allowed_origins", "https://app.example.org/"),
        ("server.allowed_origins", "https://app.example.org/path"),
        ("server.allowed_origins", "app.example.org"),
        ("server.allowed_origins", "null"),
        ("server.allowed_origins", "https://"),
        ("server.trusted_proxies", "10.0.0.1/8"),
        ("terminology.retry_base_seconds", "3600"),
    ],
)
def test_a_value_outside_its_range_is_refused(tmp_path: Path, name: str, text: str) -> None:
    environ = in_folder(tmp_path)
    problems = problems_of({name: text}, environ=environ)
    assert len(problems) == 1
    assert name in problems[0]


def test_the_file_is_typed_and_text_is_read(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[server]\nport = "80"\n')
    assert len(problems_of(config=file)) == 1
    assert load({"server.port": "80"}, environ=in_folder(tmp_path)).server.port == 80


def test_lists_are_separated_by_commas_and_empty_text_unsets(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[server]\npublic_url = "https://example.org"\ntrusted_proxies = ["10.0.0.0/8"]\n')
    assert load(config=file, environ=HOME).server.trusted_proxies == ("10.0.0.0/8",)
    environ = {**HOME, "HEADWATER_SERVER_PUBLIC_URL": "", "HEADWATER_SERVER_TRUSTED_PROXIES": "::1, 10.1.2.3"}
    server = load(config=file, environ=environ).server
    assert server.public_url is None
    assert server.trusted_proxies == ("::1", "10.1.2.3")


def test_a_named_file_must_exist_and_the_folder_s_own_need_not(tmp_path: Path) -> None:
    assert load(environ=in_folder(tmp_path / "new")).server.port == 8484
    (problem,) = problems_of(config=tmp_path / "none.toml")
    assert "none.toml cannot be read" in problem


def test_the_config_variable_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[server]\nport = 7\n")
    assert load(environ={**HOME, "HEADWATER_CONFIG": str(file)}).server.port == 7


@pytest.mark.parametrize("content", [b"[server\n", b"\xff\xfe"])
def test_a_file_that_is_no_toml_stops_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "own.toml"
    file.write_bytes(content)
    (problem,) = problems_of(config=file)
    assert "not valid TOML" in problem


def test_only_a_named_file_may_choose_the_data_folder(tmp_path: Path) -> None:
    file = tmp_path / "headwater.toml"
    file.write_text('[database]\ndata_folder = "elsewhere"\n')
    (problem,) = problems_of(environ=in_folder(tmp_path))
    assert "data_folder" in problem
    assert load(config=file, environ=HOME).database.data_folder == "elsewhere"


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    url = "postgresql://hw:canary-7f3a@db/hw"
    environ = in_folder(tmp_path, HEADWATER_DATABASE_URL=url)
    settings = load(environ=environ)
    assert settings.database.url == url
    rows = {row.name: row for row in explain(environ=environ)}
    assert rows["database.url"].value == "***"
    assert "canary" not in repr(rows) + repr(settings) + repr(settings.database)
    wrong = problems_of(environ=in_folder(tmp_path, HEADWATER_DATABASE_URL="canary-7f3a"))
    assert "canary" not in str(wrong)


def test_a_password_is_refused_on_the_command_line(tmp_path: Path) -> None:
    environ = in_folder(tmp_path)
    for url in ("postgresql://hw:canary@db/hw", "postgresql://db/hw?password=canary"):
        (problem,) = problems_of({"database.url": url}, environ=environ)
        assert "canary" not in problem
        assert "HEADWATER_DATABASE_URL" in problem
    assert load({"database.url": "postgresql://hw@db/hw"}, environ=environ).database.url is not None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.org", False),
        ("localhost.example.org", False),
    ],
)
def test_access_follows_the_bind(host: str, loopback: bool) -> None:
    server = ServerSettings(host=host)
    settings = Settings(server=server)
    assert settings.is_loopback_bind is loopback
    assert settings.answers_without_token is loopback
    assert settings.effective_provisioning == ("open" if loopback else "closed")
    turned_off = Settings(server=server, access=AccessSettings(public_access="off", provisioning="closed"))
    assert not turned_off.answers_without_token
    assert turned_off.effective_provisioning == "closed"
    for proxied in (ServerSettings(host=host, public_url="https://a.no"),
                    ServerSettings(host=host, trusted_proxies=("127.0.0.1",))):  # fmt: skip
        assert not Settings(server=proxied).answers_without_token
        assert Settings(server=proxied, access=AccessSettings(public_access="on")).answers_without_token
    turned_on = Settings(server=server, access=AccessSettings(public_access="on", provisioning="open"))
    assert turned_on.answers_without_token
    assert turned_on.effective_provisioning == "open"


def test_allowed_hosts_default_to_the_names_of_this_server() -> None:
    settings = Settings(server=ServerSettings(host="10.0.0.1", public_url="https://Sync.example.org:8443"))
    assert settings.effective_allowed_hosts == (
        "localhost",
        "127.0.0.1",
        "::1",
        "10.0.0.1",
        "sync.example.org",
    )
    named = Settings(server=ServerSettings(allowed_hosts=("A.example.org", "[::1]")))
    assert named.effective_allowed_hosts == ("a.example.org", "::1")


def test_the_tree_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().server.port = 1  # type: ignore[misc]


def test_every_setting_has_a_sentence_a_range_and_a_default_inside_it(tmp_path: Path) -> None:
    for spec in table():
        assert spec.field.sentence.endswith("."), spec.name
        assert spec.field.form, spec.name
        if spec.field.default is not None and spec.name != "database.data_folder":
            text = ",".join(spec.field.default) if isinstance(spec.field.default, tuple) else str(spec.field.default)
            load({spec.name: text}, environ=in_folder(tmp_path))


def test_variables_of_the_environment_are_unambiguous() -> None:
    variables = [spec.environment for spec in table()]
    assert len(set(variables)) == len(variables)


def test_the_settings_page_is_in_step_with_the_tree() -> None:
    assert (ROOT / PAGE).read_text("utf-8") == render(), "docs/settings.md is stale: run `make docs`"
