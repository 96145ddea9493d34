from __future__ import annotations

import base64
import hashlib
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.base.errors import Invalid, Malformed, MediaUnsupported
from headwater.contracts.files.uploads import tus_headers
from headwater.contracts.files.uploads.tus_headers import CHECKSUMS, Checksum, UnequalError
from headwater.web.call import Call

SHA256 = "ab" * 32


def call(query: dict[str, str] | None = None, **headers: str) -> Call:
    """A request with these headers; ``_`` stands for ``-``."""
    held = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}

    def header(name: bytes) -> str | None:
        value = held.get(name)
        return None if value is None else value.decode("latin-1")

    return cast("Call", SimpleNamespace(headers=held, header=header, query=query or {}, note_device=lambda *_: None))


def metadata(**pairs: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


def begun(query: dict[str, str] | None = None, **pairs: str) -> Any:
    """What the metadata of a creation says, in the share shr_1."""
    share, beginning = tus_headers.beginning_of(
        call(query, upload_metadata=metadata(**{"share_id": "shr_1", **pairs})), 7
    )
    assert share == "shr_1"
    return beginning


class TestChecksum:
    @pytest.mark.parametrize("name", CHECKSUMS)
    def test_the_checksum_of_the_bytes_is_accepted_and_any_other_is_not(self, name: str) -> None:
        encoded = base64.b64encode(hashlib.new(name, b"hello").digest()).decode()
        for pieces, good in (((b"hel", b"lo"), True), ((b"hello",), True), ((b"hell",), False), ((), False)):
            checksum = Checksum.of(call(upload_checksum=f"{name} {encoded}"))
            assert checksum is not None
            for piece in pieces:
                checksum.update(piece)
            if good:
                checksum.require_equal()
            else:
                with pytest.raises(UnequalError) as failure:
                    checksum.require_equal()
                assert failure.value.error_code == "CHECKSUM_MISMATCH"

    def test_a_request_without_the_header_has_no_checksum(self) -> None:
        assert Checksum.of(call()) is None

    @pytest.mark.parametrize(
        "text", ["", "sha256", "crc32 AAAA", "SHA256 AAAA", "sha256 ???", "sha256 AAA", "sha256 \xe5"]
    )
    def test_an_unknown_algorithm_or_a_text_that_is_no_base64_is_malformed(self, text: str) -> None:
        if text == "sha256":
            checksum = Checksum.of(call(upload_checksum=text))
            assert checksum is not None
            with pytest.raises(UnequalError):
                checksum.require_equal()
        else:
            with pytest.raises(Malformed, match="Upload-Checksum"):
                Checksum.of(call(upload_checksum=text))


class TestSize:
    @pytest.mark.parametrize(("text", "size"), [("0", 0), ("7", 7), ("007", 7), ("9" * 18, 10**18 - 1)])
    def test_a_length_is_a_number_of_bytes(self, text: str, size: int) -> None:
        assert tus_headers.size_of(call(upload_length=text)) == size

    @pytest.mark.parametrize("text", ["", "-1", "+1", "1.5", "1e3", "0x10", " 7", "9" * 19, "\xb2"])
    def test_any_other_length_is_malformed(self, text: str) -> None:
        with pytest.raises(Malformed, match="upload-length"):
            tus_headers.size_of(call(upload_length=text))

    def test_a_length_may_be_deferred_and_is_needed_otherwise(self) -> None:
        assert tus_headers.size_of(call(upload_defer_length="1")) is None
        for request in (call(), call(upload_defer_length="0")):
            with pytest.raises(Malformed):
                tus_headers.size_of(request)

    def test_a_length_counts_although_it_was_also_deferred(self) -> None:
        assert tus_headers.size_of(call(upload_defer_length="1", upload_length="7")) == 7


@pytest.mark.parametrize(
    ("headers", "announced"),
    [
        ({}, False),
        ({"content_length": "0"}, False),
        ({"content_length": "1"}, True),
        ({"transfer_encoding": "chunked"}, True),
    ],
)
def test_a_head_announces_bytes_by_their_length_or_their_coding(headers: dict[str, Any], announced: bool) -> None:
    assert tus_headers.has_bytes(call(**headers)) is announced


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("application/offset+octet-stream", True),
        ("Application/Offset+Octet-Stream ; charset=x", True),
        ("application/octet-stream", False),
        ("", False),
        (None, False),
    ],
)
def test_bytes_come_as_tus_names_them(text: str | None, good: bool) -> None:
    request = call() if text is None else call(content_type=text)
    if good:
        tus_headers.require_type(request)
    else:
        with pytest.raises(MediaUnsupported, match="offset"):
            tus_headers.require_type(request)
    assert (text or "").lower().startswith("application/offset") is good


class TestBeginning:
    def test_a_path_is_absolute_however_it_was_written(self) -> None:
        assert {begun(path=path).request.path for path in ("a/b.txt", "/a/b.txt", "//a/b.txt")} == {"/a/b.txt"}

    def test_the_share_and_the_folder_may_be_in_the_query(self) -> None:
        share, beginning = tus_headers.beginning_of(call({"share_id": "shr_2", "folder_id": "fld_1"}), None)
        assert (share, beginning.request.folder_id, beginning.size_bytes) == ("shr_2", "fld_1", None)

    def test_the_metadata_wins_over_the_query(self) -> None:
        assert begun({"share_id": "shr_2", "folder_id": "fld_2"}, folder_id="fld_1").request.folder_id == "fld_1"

    def test_an_upload_without_a_share_is_refused(self) -> None:
        with pytest.raises(Invalid) as failure:
            tus_headers.beginning_of(call(), 7)
        assert failure.value.fields[0][:2] == ("share_id", "missing")

    @pytest.mark.parametrize(
        ("pairs", "commit"),
        [
            ({}, False),
            ({"path": "/a.txt"}, True),
            ({"filename": "a.txt"}, True),
            ({"name": "a.txt"}, True),
            ({"path": "/a.txt", "commit": "false"}, False),
            ({"path": "/a.txt", "commit": "true"}, True),
            ({"commit": "true"}, False),
        ],
    )
    def test_an_upload_that_names_its_file_becomes_it_unless_it_says_no(
        self, pairs: dict[str, Any], commit: bool
    ) -> None:
        assert begun(**pairs).request.commit is commit

    def test_the_clients_names_for_things_are_understood(self) -> None:
        beginning = begun(
            filename="Ærlig.txt", filetype="text/plain", checksum_sha256=SHA256.upper(), device_id="phone",
            modified_at="1970-01-01T00:00:01Z", base_version_id="ver_1",
        )  # fmt: skip
        assert beginning.request.file_name == "Ærlig.txt"
        assert (beginning.mime_type, beginning.sha256) == ("text/plain", SHA256.upper())
        assert (beginning.request.modified_us, beginning.request.device_id) == (1_000_000, "phone")
        assert beginning.request.base_version_id == "ver_1"
        assert beginning.request.metadata.startswith("share_id ")

    @pytest.mark.parametrize(
        ("pairs", "field"),
        [
            ({"checksum_sha256": "ab"}, "checksum_sha256"),
            ({"checksum_sha256": "g" * 64}, "checksum_sha256"),
            ({"filetype": "text/\n"}, "filetype"),
            ({"filetype": "å/b"}, "filetype"),
            ({"mime_type": "x" * 256}, "filetype"),
            ({"modified_at": "yesterday"}, "modified_at"),
            ({"path": "/a\0b"}, "path"),
        ],
    )
    def test_a_wrong_value_is_refused_by_its_name(self, pairs: dict[str, Any], field: str) -> None:
        with pytest.raises(Invalid) as failure:
            begun(**pairs)
        assert failure.value.fields[0].field == field

    @pytest.mark.parametrize("raw", ["path !!!", "path AAA", "path /w==", "path \xe5"])
    def test_a_pair_that_is_no_base64_of_utf_8_is_malformed(self, raw: str) -> None:
        with pytest.raises(Malformed, match="Upload-Metadata"):
            tus_headers.beginning_of(call({"share_id": "shr_1"}, upload_metadata=raw), 7)

    def test_a_key_without_a_value_is_an_empty_text_and_empty_pairs_are_passed_over(self) -> None:
        _, beginning = tus_headers.beginning_of(call({"share_id": "shr_1"}, upload_metadata=" ,filename,, "), 7)
        assert (beginning.request.file_name or "", beginning.request.commit) == ("", True)

    @given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=50))
    def test_any_text_survives_the_header(self, text: str) -> None:
        assert begun(filename=text).request.file_name == text
