"""Fetching: real answers of a real source on this machine, good and bad ones."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.base.errors import UpstreamFailed
from headwater.base.settings.table import TerminologySettings
from headwater.contracts.terminology.upstream import Fetched, Upstream, resolve_host
from tests.support.server.upstream import FakeUpstream, fake_upstream

SETTINGS = TerminologySettings(allowed_hosts=("127.0.0.1",), upstream_bytes=2_000, upstream_seconds=30)
KEY = Path(__file__).parents[3] / "support" / "labels.example.test.pem"


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with fake_upstream() as served:
        yield served


def fetch(
    location: str, etag: str | None = None, source: str = "url", settings: TerminologySettings = SETTINGS
) -> Fetched:
    return asyncio.run(Upstream(settings)(source, location, etag))


def reason(location: str, source: str = "url", settings: TerminologySettings = SETTINGS) -> str:
    with pytest.raises(UpstreamFailed) as failure:
        fetch(location, source=source, settings=settings)
    return str(failure.value.extra["reason"])


def test_labels_come_with_the_tag_that_saves_the_next_answer(upstream: FakeUpstream) -> None:
    upstream.gives({"a": "A"}, etag='"1"')
    assert fetch(upstream.url) == Fetched({"a": "A"}, '"1"')
    assert fetch(upstream.url, '"1"') == Fetched(None, '"1"')
    assert fetch(upstream.url, '"0"') == Fetched({"a": "A"}, '"1"')
    assert [asked.get("if-none-match") for asked in upstream.asked] == [None, '"1"', '"0"']
    assert upstream.asked[0]["host"] == upstream.url.split("/")[2]


def test_a_source_without_a_tag_is_read_whole_each_time(upstream: FakeUpstream) -> None:
    upstream.gives({"a": "A"})
    assert fetch(upstream.url) == Fetched({"a": "A"}, None)


@pytest.mark.parametrize("status", [201, 204, 206, 304, 400, 404, 500, 503])
def test_any_status_but_success_is_a_failure(upstream: FakeUpstream, status: int) -> None:
    upstream.fails(status, b"" if status in (204, 304) else b'{"a":"A"}')
    assert reason(upstream.url) == "status"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(upstream: FakeUpstream, status: int) -> None:
    upstream.fails(status, Location=upstream.url)
    assert reason(upstream.url) == "status"
    assert len(upstream.asked) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a":1}', b"{}", b'{"labels":{}}', b"\xff\xfe"])
def test_an_answer_that_holds_no_labels_is_garbage(upstream: FakeUpstream, body: bytes) -> None:
    upstream.fails(200, body)
    assert reason(upstream.url) == "garbage"


def test_an_answer_of_ten_megabytes_is_cut_off_at_the_limit(upstream: FakeUpstream) -> None:
    upstream.fails(200, b'{"a":"' + b"x" * 10_000_000 + b'"}')
    assert reason(upstream.url) == "too_large"


def test_an_answer_at_the_limit_is_taken_and_one_byte_more_is_not(upstream: FakeUpstream) -> None:
    upstream.fails(200, json.dumps({"a": "A"}).encode().ljust(2_000))
    assert fetch(upstream.url).labels == {"a": "A"}
    upstream.body += b" "
    assert reason(upstream.url) == "too_large"


MARK = b"\xef\xbb\xbf"
DOCUMENT = json.dumps({"labels": {"member": "Medlem på Ås"}}).encode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (MARK + DOCUMENT, {}),
        (gzip.compress(DOCUMENT), {"Content-Encoding": "gzip"}),
        (gzip.compress(DOCUMENT), {"Content-Encoding": "x-gzip"}),
        (gzip.compress(MARK + DOCUMENT), {"Content-Encoding": "GZIP"}),
        (gzip.compress(DOCUMENT), {"Content-Type": "application/gzip"}),
        (gzip.compress(DOCUMENT[:10]) + gzip.compress(DOCUMENT[10:]), {"Content-Encoding": "gzip"}),
        (DOCUMENT, {"Content-Encoding": "identity"}),
    ],
    ids=["mark", "gzip", "x-gzip", "both", "a packed file", "two members", "identity"],
)
def test_a_mark_of_utf_8_and_gzip_are_taken_off(upstream: FakeUpstream, body: bytes, headers: dict[str, str]) -> None:
    upstream.fails(200, body, **headers)
    assert fetch(upstream.url).labels == {"member": "Medlem på Ås"}


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip"])
def test_an_answer_that_is_packed_in_another_way_is_refused_unread(upstream: FakeUpstream, coding: str) -> None:
    upstream.fails(200, bytes(100), **{"Content-Encoding": coding})
    assert reason(upstream.url) == "encoded"


def test_a_packed_answer_is_cut_off_at_the_limit_of_what_is_in_it(upstream: FakeUpstream) -> None:
    upstream.fails(200, gzip.compress(b" " * 10_000_000), **{"Content-Encoding": "gzip"})
    assert reason(upstream.url) == "too_large"


@pytest.mark.parametrize(
    "body",
    [gzip.compress(DOCUMENT)[:-9], gzip.compress(DOCUMENT)[:15], b"\x1f\x8b" + bytes(100)],
    ids=["cut off at the end", "cut off early", "damaged"],
)
def test_a_packed_answer_that_is_damaged_or_cut_off_is_garbage(upstream: FakeUpstream, body: bytes) -> None:
    upstream.fails(200, body, **{"Content-Encoding": "gzip"})
    assert reason(upstream.url) == "garbage"
    assert upstream.asked[0]["accept-encoding"] == "identity"


def test_an_answer_that_does_not_come_is_given_up(upstream: FakeUpstream) -> None:
    upstream.hold()
    slow = TerminologySettings(allowed_hosts=("127.0.0.1",), upstream_seconds=1)
    assert reason(upstream.url, settings=slow) == "slow"


def test_an_answer_that_is_no_http_is_a_failure(upstream: FakeUpstream) -> None:
    upstream.fails(200, b"{}", **{"Bad\x00Name": "x"})
    assert reason(upstream.url) == "broken"


def test_a_source_that_does_not_listen_is_a_failure(upstream: FakeUpstream) -> None:
    with fake_upstream() as gone:
        pass
    assert reason(gone.url) == "no_connection"


def test_a_tag_that_cannot_be_sent_back_is_forgotten(upstream: FakeUpstream) -> None:
    upstream.gives({"a": "A"}, etag='"' + "x" * 1_001 + '"')
    assert fetch(upstream.url).etag is None


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], []]
)
def test_a_listed_name_that_points_inside_is_not_connected_to(addresses: list[str]) -> None:
    settings = TerminologySettings(allowed_hosts=("labels.example.test",))

    async def resolve(_host: str, _port: int) -> list[str]:
        return addresses

    with pytest.raises(UpstreamFailed) as failure:
        asyncio.run(Upstream(settings, resolve=resolve)("url", "https://labels.example.test/", None))
    assert failure.value.extra["reason"] == "not_allowed"


def test_a_host_that_is_no_longer_listed_is_not_asked(upstream: FakeUpstream) -> None:
    assert reason(upstream.url, settings=TerminologySettings()) == "not_allowed"
    assert upstream.asked == []


def test_a_name_without_an_address_is_a_failure() -> None:
    settings = TerminologySettings(allowed_hosts=("labels.invalid",))

    async def resolve(_host: str, _port: int) -> list[str]:
        raise OSError

    with pytest.raises(UpstreamFailed) as failure:
        asyncio.run(Upstream(settings, resolve=resolve)("url", "https://labels.invalid/", None))
    assert failure.value.extra["reason"] == "no_address"


def test_the_system_resolves_an_address_to_itself() -> None:
    assert asyncio.run(resolve_host("127.0.0.1", 80)) == ["127.0.0.1"]


class TestOverTls:
    @pytest.fixture
    def secured(self) -> Iterator[FakeUpstream]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(KEY)
        with fake_upstream(tls) as served:
            served.gives({"a": "A"})
            yield served

    def fetched(self, served: FakeUpstream, host: str, tls: ssl.SSLContext | None) -> tuple[Fetched, list[str]]:
        asked: list[str] = []

        async def resolve(host: str, _port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        settings = TerminologySettings(allowed_hosts=(host, "127.0.0.1"))
        url = served.url.replace("127.0.0.1", host)
        return asyncio.run(Upstream(settings, resolve=resolve, tls=tls)("url", url, None)), asked

    def test_the_name_is_resolved_once_and_its_certificate_is_checked(self, secured: FakeUpstream) -> None:
        trusting = ssl.create_default_context(cafile=str(KEY))
        found, resolved = self.fetched(secured, "labels.example.test", trusting)
        assert found.labels == {"a": "A"}
        assert resolved == ["labels.example.test"]
        assert secured.asked[0]["host"].startswith("labels.example.test:")

    @pytest.mark.parametrize(("host", "trusted"), [("other.example.test", True), ("labels.example.test", False)])
    def test_another_name_or_an_unknown_issuer_is_not_asked(
        self, secured: FakeUpstream, host: str, trusted: bool
    ) -> None:
        with pytest.raises(UpstreamFailed) as failure:
            self.fetched(secured, host, ssl.create_default_context(cafile=str(KEY)) if trusted else None)
        assert failure.value.extra["reason"] == "no_connection"
        assert secured.asked == []


class TestFiles:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "labels.json"
        path.write_text('{"a":"A"}', "utf-8")
        return path

    def test_labels_come_from_a_file_until_it_is_written_anew(self, file: Path) -> None:
        found = fetch(str(file), source="file")
        assert found.labels == {"a": "A"}
        assert fetch(str(file), found.etag, "file") == Fetched(None, found.etag)
        file.write_text('{"a":"BB"}', "utf-8")
        assert fetch(str(file), found.etag, "file").labels == {"a": "BB"}

    @pytest.mark.parametrize("content", [MARK + DOCUMENT, gzip.compress(DOCUMENT)], ids=["mark", "gzip"])
    def test_a_file_may_have_a_mark_of_utf_8_or_be_packed(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        assert fetch(str(file), source="file").labels == {"member": "Medlem på Ås"}

    def test_a_file_that_is_missing_or_too_large_or_garbage_is_a_failure(self, file: Path) -> None:
        assert reason(str(file) + ".not", "file") == "unreadable"
        file.write_bytes(b" " * 2_001)
        assert reason(str(file), "file") == "too_large"
        file.write_bytes(b"[]")
        assert reason(str(file), "file") == "garbage"

    def test_what_is_no_ordinary_file_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert reason(str(tmp_path / "pipe"), "file") == "unreadable"
        assert reason(str(tmp_path), "file") == "unreadable"
