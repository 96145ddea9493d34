"""What one assembled server is made of: its doors, its kinds of record, its operator's paths and its pages."""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path

import pytest

from headwater import __version__
from headwater.base.settings.table import AccessSettings, DatabaseSettings, Settings
from headwater.server import docs_generator, scratch
from headwater.server.app import assemble
from headwater.server.registry import CONTRACTS, kinds
from headwater.store.packs.folder import PackFolder
from tests.support.clock import SECOND_US, MovableClock
from tests.support.server.doors import contracts, doors
from tests.support.server.serving import ServerUnderTest


class TestRegistry:
    def test_no_two_doors_have_one_name(self) -> None:
        names = [contract.name for contract in contracts()]
        assert len(set(names)) == len(names)

    def test_no_two_routes_answer_to_one_method_and_path(self) -> None:
        for one, other in combinations(doors(), 2):
            assert one.name != other.name

    def test_the_operators_doors_come_after_those_of_the_contracts(self) -> None:
        assert [contract.name for contract in contracts()][-2:] == ["operations", "documentation"]

    def test_every_contract_of_the_registry_has_a_door(self) -> None:
        assert sum(len(module.BUILDERS) for module in CONTRACTS) == len(contracts()) - 2

    def test_every_kind_of_record_has_a_name_of_its_own_and_a_scope_that_exists(self) -> None:
        found = kinds()
        assert len({kind.name for kind in found}) == len(found)
        assert {"contact", "cached_contact", "note"} <= {kind.name for kind in found}
        assert {kind.scope for kind in found} <= {"contacts", "cache", "files", "sync", "terminology"}


class TestAssembly:
    def test_two_servers_over_one_database_take_each_others_cursors_and_jwts(
        self, server: ServerUnderTest, clock: MovableClock, tmp_path: Path
    ) -> None:
        other = assemble(server.database, server.settings, PackFolder(tmp_path / "packs"), clock=clock)
        assert other.services.cursors.epoch == server.services.cursors.epoch
        assert other.services.master_key == server.services.master_key
        principal = server.loop.run(server.services.authenticator.principal(b"Bearer " + server.admin_token.encode()))
        text, ends = server.services.authenticator.mint_jwt(principal, clock.at_us // SECOND_US)
        found = server.loop.run(other.services.authenticator.principal_of_jwt(text))
        assert found == principal._replace(expires_us=ends * SECOND_US)

    def test_a_commit_reaches_those_that_wait_on_the_loop(self, server: ServerUnderTest) -> None:
        feed = server.database.read_now(lambda tx: int(tx.value("SELECT feed FROM feeds WHERE name = 'org:default'")))

        async def wait() -> bool:
            with server.services.wake.waiter((feed,)) as waiter:
                await server.database.write(lambda tx: tx.bump(feed, "head"), feed=feed)
                return await waiter.wait(10)

        assert server.loop.run(wait())


class TestOperatorsDoor:
    def test_health_and_readiness_need_no_token(self, server: ServerUnderTest) -> None:
        assert (server.public.get("/healthz").status, server.public.get("/healthz").json()) == (200, {"status": "ok"})
        assert (server.public.get("/readyz").status, server.public.get("/readyz").json()) == (200, {"status": "ready"})

    def test_metrics_are_prometheuss_text_for_who_may_read_them(self, server: ServerUnderTest) -> None:
        answer = server.client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "headwater_" in answer.text
        assert server.caller("default", "org_admin", scopes=["files"]).get("/metrics").status == 403

    def test_a_jwt_is_minted_for_a_token_and_says_when_it_ends(self, server: ServerUnderTest) -> None:
        made = server.client.post("/api/v1/auth/jwt")
        assert made.status == 201
        lifetime_seconds = server.settings.access.jwt_lifetime_seconds
        server.clock.advance(lifetime_seconds - 1)
        caller = server.client.as_token(made.json()["token"])
        assert caller.get("/api/v1/contacts").status == 200
        server.clock.advance(1)
        assert caller.get("/api/v1/contacts").status == 401

    def test_a_jwt_mints_no_further_one(self, server: ServerUnderTest) -> None:
        caller = server.client.as_token(server.client.post("/api/v1/auth/jwt").json()["token"])
        assert caller.post("/api/v1/auth/jwt").problem() == (403, "FORBIDDEN")


@pytest.mark.sqlite_only
class TestDocumentation:
    PAGES = ("/openapi.json", "/docs", "/docs/errors", "/docs/style.css", "/")

    @pytest.mark.parametrize("path", PAGES)
    def test_a_page_needs_no_token_and_may_be_kept_a_while(self, server: ServerUnderTest, path: str) -> None:
        answer = server.public.get(path)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "public, max-age=300"

    @pytest.mark.parametrize("path", ["/docs", "/docs/errors"])
    def test_a_page_may_run_nothing_and_be_shown_in_no_frame(self, server: ServerUnderTest, path: str) -> None:
        policy = server.public.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy

    def test_the_bare_address_is_a_page_for_browsers_and_json_for_programs(self, server: ServerUnderTest) -> None:
        page = server.public.get("/", headers={"accept": "text/html,*/*"})
        start = server.public.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert start.json()["version"] == __version__
        assert page.headers["vary"] == start.headers["vary"] == "accept"

    def test_every_place_that_the_bare_address_names_answers(self, server: ServerUnderTest) -> None:
        start = server.public.get("/").json()
        for name in ("documentation", "openapi", "health", "readiness"):
            assert server.public.get(start[name]).status == 200


@pytest.mark.sqlite_only
class TestGenerator:
    def test_the_pages_are_written_into_the_folder_that_is_named(self, tmp_path: Path) -> None:
        docs_generator.main([str(tmp_path)])
        assert {path.name for path in tmp_path.iterdir()} == {"errors.md", "routes.md"}
        assert {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()} == docs_generator.render()

    def test_a_page_names_every_route(self) -> None:
        routes = docs_generator.render()["routes.md"]
        for door in doors():
            assert f"| {door.route.method} | `{door.path}` |" in routes

    def test_no_line_of_a_table_has_other_columns_than_its_head(self) -> None:
        for text in docs_generator.render().values():
            rows = [line for line in text.splitlines() if line.startswith("|")]
            for above, row in pairwise(rows):
                if row.startswith("|-"):
                    columns = row.count("|")
                    assert above.count("|") == columns
                else:
                    assert row.replace("\\|", "").count("|") >= 4


@pytest.mark.sqlite_only
class TestScratch:
    def test_a_server_with_any_settings_serves_an_empty_database_that_is_gone_afterwards(self) -> None:
        wanted = Settings(access=AccessSettings(jwt_lifetime_seconds=61))
        with scratch.throwaway(wanted) as server:
            settings = server.services.settings
            folder = Path(settings.database.data_folder)
            assert folder.is_dir()
            assert settings.access == wanted.access
            assert server.services.database.read_now(lambda tx: tx.value("SELECT count(*) FROM records")) == 0
        assert not folder.exists()

    def test_the_folder_goes_also_after_a_failure(self) -> None:
        folders: list[Path] = []

        def fail() -> None:
            with scratch.throwaway(Settings()) as server:
                folders.append(Path(server.services.settings.database.data_folder))
                raise RuntimeError("broken")

        with pytest.raises(RuntimeError, match="broken"):
            fail()
        assert not folders[0].exists()

    def test_it_never_touches_the_database_of_the_settings(self, tmp_path: Path) -> None:
        with scratch.throwaway(Settings(database=DatabaseSettings(data_folder=str(tmp_path)))) as server:
            assert server.services.settings.database.data_folder != str(tmp_path)
        assert list(tmp_path.iterdir()) == []
