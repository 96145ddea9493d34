"""``headwater import contacts`` and ``headwater export contacts``, on a folder that had its first start."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from headwater.contracts.contacts.interchange.keys import derived_key
from headwater.store.database import Transaction
from headwater.store.log import feeds
from tests.unit.cli.conftest import Command, Done, Installed

CSV = """uid,first_name,last_name,email,phone,chapters
m1,Bjørn,Dahl,bjorn@example.no,+47 906 78 901,Oslo Sentrum
m2,Ingrid,Solberg,ingrid@example.no,,Oslo Sentrum;ch-07
"""


class Office:
    """An installation and a folder of files to bring into it."""

    def __init__(self, command: Command, installed: Installed, folder: Path) -> None:
        self.command, self.installed, self.folder = command, installed, folder

    def bring(self, name: str, text: str, *more: str, org: str = "default") -> Done:
        """Import a file of this text."""
        path = self.folder / name
        path.write_text(text, "utf-8")
        return self.command("import", "contacts", path, "--org", org, "--data", self.installed.folder, "--json", *more)

    def take(self, name: str, *more: str) -> Path:
        """Export to a file; its path."""
        path = self.folder / name
        assert self.command("export", "contacts", path, "--data", self.installed.folder, *more).code == 0
        return path

    def head(self) -> int:
        """The position of the organisation's newest change."""
        with self.installed.database() as database:
            return database.read_now(lambda tx: feeds.head(tx, feeds.organisation_feed(tx, "default") or 0))

    def stored(self) -> list[dict[str, Any]]:
        """Every contact as an export shows it."""
        return [json.loads(line) for line in self.take("all.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def office(command: Command, installed: Installed, tmp_path: Path) -> Office:
    return Office(command, installed, tmp_path)


def counts(done: Done) -> tuple[int, int, int, int]:
    found = done.json
    assert done.code == (1 if found["refused"] else 0), done.err
    return found["created"], found["updated"], found["unchanged"], found["refused"]


def test_a_second_run_of_the_same_file_changes_nothing(office: Office) -> None:
    assert counts(office.bring("members.csv", CSV)) == (2, 0, 0, 0)
    head = office.head()
    again = office.bring("members.csv", CSV)
    assert counts(again) == (0, 0, 2, 0)
    assert (again.json["new_chapters"], again.json["examples"], office.head()) == ([], [], head)


def test_only_what_differs_is_written_and_what_the_file_leaves_out_is_kept(office: Office) -> None:
    office.bring("members.csv", CSV)
    head = office.head()
    changed = office.bring("members.csv", "uid,phone\nm1,+47 906 78 901\nm2,+47 912 34 567\n")
    assert counts(changed) == (0, 1, 1, 0)
    assert changed.json["examples"] == [
        {
            "row": 3,
            "effect": "updated",
            "name": "Ingrid Solberg",
            "field": "phone",
            "old": None,
            "new": "+47 912 34 567",
        }
    ]
    assert office.head() == head + 1
    ingrid = next(row for row in office.stored() if row["uid"] == "m2")
    assert (ingrid["email"], ingrid["phone"]) == ("ingrid@example.no", "+47 912 34 567")
    cleared = office.bring("members.csv", "uid,phone\nm2,\n")
    assert counts(cleared) == (0, 1, 0, 0)
    assert next(row for row in office.stored() if row["uid"] == "m2")["phone"] is None


def test_a_dry_run_shows_what_would_change_and_changes_nothing(office: Office) -> None:
    office.bring("members.csv", CSV)
    head = office.head()
    text = CSV.replace("bjorn@example.no", "new@example.no") + "m3,Else,Moe,,,New Chapter\nm4,,,,,\n"
    dry = office.bring("members.csv", text, "--dry-run")
    assert counts(dry) == (1, 1, 1, 1)
    assert dry.json["new_chapters"] == ["New Chapter"]
    assert ("email", "bjorn@example.no", "new@example.no") in [
        (row["field"], row["old"], row["new"]) for row in dry.json["examples"]
    ]
    assert (office.head(), len(office.stored()), dry.json["rejected_file"]) == (head, 2, None)
    assert not (office.folder / "members.rejected.csv").exists()


def test_refused_rows_go_to_a_private_file_with_the_reason_and_can_be_imported_once_mended(office: Office) -> None:
    text = CSV + "m3,,,nobody@example.no,,\nm4,Else,Moe,else@example.no,,,,surplus\n"
    done = office.bring("members.csv", text)
    assert counts(done) == (2, 0, 0, 2)
    rejected = Path(done.json["rejected_file"])
    assert rejected.name == "members.rejected.csv"
    assert rejected.stat().st_mode & 0o777 == 0o600
    with rejected.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["rejected_row"], row["rejected_field"], row["uid"]) for row in rows] == [
        ("4", "name", "m3"),
        ("5", "", "m4"),
    ]
    mended = rejected.read_text("utf-8").replace(",,,,surplus", ",,")
    assert counts(office.bring("mended.csv", mended)) == (1, 0, 0, 1)


def test_chapters_are_found_by_id_or_by_name_and_made_where_they_are_unknown(
    command: Command, office: Office, installed: Installed
) -> None:
    at = ("--org", "default", "--data", installed.folder)
    command("chapter", "create", "Oslo Sentrum", "--id", "ch-01", *at)
    assert office.bring("members.csv", CSV.replace("Oslo Sentrum;", "oslo  sentrum;")).json["new_chapters"] == ["ch-07"]
    assert [row["chapter_ids"] for row in office.stored()] == [["ch-01"], ["ch-01", "ch-07"]]
    listed = command("chapter", "list", *at, "--json").json
    assert [(row["id"], row["name"]) for row in listed] == [("ch-01", "Oslo Sentrum"), ("ch-07", "ch-07")]


def test_where_provisioning_is_closed_a_row_of_an_unknown_chapter_is_refused(office: Office) -> None:
    (office.installed.folder / "headwater.toml").write_text('[access]\nprovisioning = "closed"\n')
    done = office.bring("members.csv", CSV)
    assert counts(done) == (0, 0, 0, 2)
    assert "no chapter has the id or the name 'Oslo Sentrum'" in done.json["refused_examples"][0]["reason"]


@pytest.mark.parametrize("kind", ["csv", "vcf", "jsonl"])
def test_an_export_reads_back_without_a_change(office: Office, kind: str) -> None:
    office.bring("members.csv", CSV)
    path = office.take(f"out.{kind}")
    assert path.stat().st_mode & 0o777 == 0o600
    head = office.head()
    again = office.command("import", "contacts", path, "--org", "default", "--data", office.installed.folder, "--json")
    assert counts(again) == (0, 0, 2, 0)
    assert office.head() == head


@pytest.mark.parametrize("kind", ["csv", "vcf", "jsonl"])
def test_an_export_of_contacts_that_no_file_brought_finds_them_again_by_their_id(office: Office, kind: str) -> None:
    with office.installed.database() as database:
        database.write_now(_make_one)
    path = office.take(f"out.{kind}")
    changed = path.read_text("utf-8").replace("Dahl", "Moe")
    assert counts(office.bring(f"in.{kind}", changed)) == (0, 1, 0, 0)
    assert [(row["contact_id"], row["last_name"]) for row in office.stored()] == [("c-00001", "Moe")]


def _make_one(tx: Transaction) -> None:
    from headwater.contracts.contacts import rules
    from headwater.contracts.contacts.shapes import ContactFields

    rules.create(tx, feeds.organisation_feed(tx, "default") or 0, ContactFields(first_name="Bjørn", last_name="Dahl"))


def test_two_keys_of_one_contact_in_one_file_write_it_once(office: Office) -> None:
    office.bring("members.csv", CSV)
    id = office.stored()[0]["contact_id"]
    text = f"uid,first_name,last_name,phone\nm1,Bjørn,Dahl,+47 1\n{id},Bjørn,Dahl,+47 2\n"
    assert counts(office.bring("both.csv", text)) == (0, 2, 0, 0)
    assert next((row["contact_id"], row["phone"]) for row in office.stored()) == (id, "+47 2")
    assert len(office.stored()) == 2


def test_a_named_column_is_the_key(office: Office) -> None:
    text = "Member no,first_name\n7,Bjørn\n"
    assert counts(office.bring("members.csv", text, "--key", "Member no")) == (1, 0, 0, 0)
    assert counts(office.bring("members.csv", text.replace("ø", "o"), "--key", "Member no")) == (0, 1, 0, 0)
    wrong = office.bring("cards.vcf", "BEGIN:VCARD\r\nEND:VCARD\r\n", "--key", "Member no")
    assert (wrong.code, wrong.problem["code"]) == (1, "FILE_UNSUITABLE")


def test_what_a_card_says_beyond_our_fields_is_kept_and_written_again(office: Office) -> None:
    card = (
        "BEGIN:VCARD\r\nVERSION:4.0\r\nUID:urn:uuid:1\r\nFN:Bjørn Dahl\r\nN:Dahl;Bjørn;;;\r\n"
        "EMAIL;PREF=1:a@example.no\r\nEMAIL:b@example.no\r\nORG:Røde Kors\r\nEND:VCARD\r\n"
    )
    assert counts(office.bring("cards.vcf", card)) == (1, 0, 0, 0)
    written = office.take("out.vcf").read_text("utf-8")
    assert "b@example.no" in written
    assert "ORG:Røde Kors" in written
    head = office.head()
    assert counts(office.bring("cards.vcf", card.replace("ORG:Røde Kors", "ORG:Norsk Folkehjelp"))) == (0, 0, 1, 0)
    assert "Norsk Folkehjelp" in office.take("out.vcf").read_text("utf-8")
    assert office.head() == head


def test_a_deleted_contact_leaves_nothing_beside_its_record(office: Office) -> None:
    office.bring("members.csv", CSV)

    def transaction(tx: Transaction) -> list[int]:
        from headwater.contracts.contacts import rules

        feed = feeds.organisation_feed(tx, "default") or 0
        for id in ("c-00001", "c-00002"):
            rules.delete(tx, feed, id)
        return [tx.value(f"SELECT count(*) FROM {table}") for table in ("contact_keys", "affiliations")]

    with office.installed.database() as database:
        assert database.write_now(transaction) == [0, 0]
    assert counts(office.bring("members.csv", CSV)) == (2, 0, 0, 0)


def test_a_large_file_goes_in_batches_and_every_row_arrives(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.transfer.import_contacts.BATCH_ROWS", 40)
    lines = "".join(f"k{n},Person,Number{n},p{n}@example.no,,\n" for n in range(205))
    done = office.bring("many.csv", CSV.splitlines()[0] + "\n" + lines)
    assert counts(done) == (205, 0, 0, 0)
    assert [row["uid"] for row in office.stored()] == [f"k{n}" for n in range(205)]
    assert office.head() == 205


def test_people_read_a_summary_and_a_table_of_examples(office: Office) -> None:
    path = office.folder / "members.csv"
    path.write_text(CSV + "m3,,,,,\n", "utf-8")
    shown = office.command(
        "import", "contacts", path, "--org", "default", "--data", office.installed.folder, "--dry-run"
    )
    assert shown.code == 1
    assert ["created", "2"] in [line.split() for line in shown.out.splitlines()]
    assert "bjorn@example.no" in shown.out
    assert "neither a first nor a last name" in shown.out


def test_a_wrong_file_or_organisation_is_told_plainly(office: Office, tmp_path: Path) -> None:
    assert office.bring("members.xlsx", "x").problem["code"] == "FILE_UNSUITABLE"
    assert office.bring("members.csv", CSV, org="org_none").problem["code"] == "NOT_FOUND"
    missing = office.command("import", "contacts", tmp_path / "no.csv", "--org", "default", "--data", "x", "--json")
    assert missing.code == 1
    empty = office.bring("empty.csv", "")
    assert (empty.code, empty.problem["code"]) == (1, "MALFORMED")


NORWEGIAN = (
    "Medlemsnr;Fornavn;Etternavn;E-post;Født;Rolle\n1001;Bjørn;Dahl;b@example.no;25.07.1982;leder\n1002;Åse;Moe;;;\n"
)


def test_columns_that_are_not_read_are_named_and_the_member_number_is_pointed_out(office: Office) -> None:
    done = office.bring("members.csv", NORWEGIAN, "--dry-run").json
    assert [(each["name"], each["rows"]) for each in done["unused_columns"]] == [("Medlemsnr", 2), ("Rolle", 1)]
    assert done["columns"] == {
        "Fornavn": "first_name", "Etternavn": "last_name", "E-post": "email", "Født": "date_of_birth",
    }  # fmt: skip
    assert "--key Medlemsnr" in done["key_hint"]
    path = office.folder / "members.csv"
    shown = office.command("import", "contacts", path, "--org", "default", "--data", office.installed.folder)
    assert "Rolle (1 row)" in shown.err
    assert "--key Medlemsnr" in shown.err
    assert "Fornavn (first_name)" in shown.err


def test_every_warning_is_shown_with_its_rows(office: Office) -> None:
    text = "uid,name,born\n1,Ola,12/24\n1,Ola,\n2,Kari,ukjent\n3,Per,ukjent\n5,Siv,ukjent\n"
    done = office.bring("members.csv", text).json
    assert (done["created"], done["updated"], done["unchanged"], done["warnings"]) == (4, 0, 1, 5)
    listed = [(each["rows"], each["code"]) for each in done["warning_list"]]
    assert listed == [("2", "date_partial"), ("3", "key_repeated"), ("4-6", "date_invalid")]
    path = office.folder / "members.csv"
    shown = office.command("import", "contacts", path, "--org", "default", "--data", office.installed.folder)
    assert "row 2 has the same key; this later row replaces it" in shown.out
    assert "4-6" in shown.out


def test_a_doubtful_field_leaves_the_stored_one_and_mended_replaces_it(office: Office) -> None:
    office.bring("members.csv", "uid,name,email,born\n1,Ola,ola@example.no,1988-04-21\n")
    assert counts(office.bring("members.csv", "uid,name,email,born\n1,Ola,ola@,ukjent\n")) == (0, 0, 1, 0)
    assert [(row["email"], row["date_of_birth"]) for row in office.stored()] == [("ola@example.no", "1988-04-21")]
    assert counts(office.bring("members.csv", "uid,name,email,born\n1,Ola,o@example.no,1988-04-22\n")) == (0, 1, 0, 0)


def test_the_order_of_dates_is_the_one_that_the_file_proves(office: Office) -> None:
    done = office.bring("members.csv", "uid,name,born\n1,Ola,04/05/1988\n2,Kari,21/05/1988\n").json
    assert (done["date_order"], done["warnings"]) == ("dmy", 0)
    assert [row["date_of_birth"] for row in office.stored()] == ["1988-05-04", "1988-05-21"]
    doubtful = office.bring("doubtful.csv", "uid,name,born\n3,Per,04/05/1988\n").json
    assert (doubtful["created"], doubtful["date_order"]) == (1, None)
    assert "--dates dmy" in doubtful["warning_list"][0]["warning"]


def test_persons_who_are_here_under_another_key_are_announced(office: Office) -> None:
    office.bring("members.csv", NORWEGIAN.replace("Åse;Moe;;", "Åse;Moe;;1.5.1990"))
    again = NORWEGIAN.replace("Åse;Moe;;", "Åse;Moe;;1.5.1990") + "1003;Ny;Person;b@example.no;;\n"
    for more in (("--dry-run",), ()):
        done = office.bring("members.csv", again, "--key", "Medlemsnr", *more).json
        assert (done["created"], done["known_persons"]) == (3, 2)
        assert [(each["rows"], each["code"]) for each in done["warning_list"]] == [
            ("2", "person_known"), ("3", "person_known"),
        ]  # fmt: skip
        assert "same name and email" in done["warning_list"][0]["warning"]
        assert "same name and date of birth" in done["warning_list"][1]["warning"]
    assert office.bring("members.csv", again, "--key", "Medlemsnr").json["known_persons"] == 0


@pytest.mark.parametrize("kind", ["csv", "vcf", "jsonl"])
def test_refused_rows_come_in_the_format_of_their_file_and_mended_they_are_imported(office: Office, kind: str) -> None:
    text, wrong, right = {
        "csv": ("uid,name\nk1,\nk2,Bo\n", "k1,", "k1,Åse"),
        "vcf": (
            "BEGIN:VCARD\nUID:k1\nNOTE:ø\nEND:VCARD\nBEGIN:VCARD\nUID:k2\nFN:Bo\nEND:VCARD\n", "NOTE:", "FN:Åse\nNOTE:",
        ),
        "jsonl": ('{"uid":"k1","first_name":""}\n{"uid":"k2","first_name":"Bo"}\n', 'name":""', 'name":"Åse"'),
    }[kind]  # fmt: skip
    first = office.bring(f"in.{kind}", text)
    assert (first.code, counts(first)) == (1, (1, 0, 0, 1))
    path = Path(first.json["rejected_file"])
    assert path.suffix == f".{kind}"
    assert "neither a first nor a last name" in path.read_text("utf-8")
    mended = office.bring(f"mended.{kind}", path.read_text("utf-8").replace(wrong, right))
    assert counts(mended) == (1, 0, 0, 0)
    assert mended.json["unused_columns"] == []
    assert [row["first_name"] for row in office.stored()] == ["Bo", "Åse"]


def test_an_exported_csv_begins_with_the_mark_of_utf_8_unless_it_is_not_wanted(office: Office) -> None:
    office.bring("members.csv", CSV)
    assert office.take("out.csv").read_bytes().startswith(b"\xef\xbb\xbfuid,")
    assert office.take("plain.csv", "--no-mark").read_bytes().startswith(b"uid,")


def test_an_export_into_a_folder_that_is_not_there_names_the_folder(command: Command, office: Office) -> None:
    path = office.folder / "absent" / "out.csv"
    done = command("export", "contacts", path, "--org", "default", "--data", office.installed.folder, "--json")
    assert (done.code, done.problem["detail"]) == (1, f"{path.parent}: there is no such folder")


def test_an_export_asks_for_the_organisation_where_there_are_several(command: Command, office: Office) -> None:
    command("org", "create", "rode", "--data", office.installed.folder)
    path = office.folder / "out.csv"
    asked = command("export", "contacts", path, "--data", office.installed.folder, "--json")
    assert (asked.code, asked.problem["code"]) == (1, "ORGANISATION_UNNAMED")
    assert "default, rode" in asked.problem["detail"]
    assert not path.exists()
    assert command("export", "contacts", path, "--org", "rode", "--data", office.installed.folder).code == 0


def test_a_photo_comes_back_from_every_format(office: Office) -> None:
    photo = "A" * 500_000
    card = f"BEGIN:VCARD\r\nVERSION:4.0\r\nUID:p\r\nFN:Ola\r\nPHOTO:data:image/jpeg;base64,{photo}\r\nEND:VCARD\r\n"
    assert counts(office.bring("in.vcf", card)) == (1, 0, 0, 0)
    for kind in ("csv", "jsonl", "vcf"):
        path = office.take(f"out.{kind}")
        again = office.command(
            "import", "contacts", path, "--org", "default", "--data", office.installed.folder, "--json"
        )
        assert (counts(again), again.json["warnings"]) == ((0, 0, 1, 0), 0)
    assert photo in office.take("end.vcf").read_text("utf-8").replace("\r\n ", "").replace("\n ", "")


@pytest.mark.parametrize(
    ("name", "text", "telling", "field", "value"),
    [
        ("a.csv", "Fornavn;Adresse;Postnr;Poststed\nOla;Storgata 1;0155;Oslo\n", {"address": "Storgata 1"},
         "address", "Storgata 1, 0155 Oslo"),
        ("b.csv", "Fornavn;Født\nOla;1604-04-21\n", {"date_of_birth": "1604-04-21"}, "last_name", None),
        ("c.vcf", "BEGIN:VCARD\nFN:Ola\nBDAY:1604-04-21\nEND:VCARD\n", {"date_of_birth": "1604-04-21"},
         "last_name", None),
        ("d.vcf", "BEGIN:VCARD\nFN:Ola\nTEL;TYPE=FAX:22000001\nTEL;TYPE=CELL:90000001\nEND:VCARD\n",
         {"phone": "22000001"}, "phone", "90000001"),
    ],
)  # fmt: skip
def test_a_person_whom_an_earlier_release_brought_from_the_same_file_is_not_made_again(
    office: Office, name: str, text: str, telling: dict[str, str], field: str, value: str | None
) -> None:
    key = derived_key(name="Ola", **telling)
    assert counts(office.bring("old.jsonl", json.dumps({"uid": key, "first_name": "Ola", **telling}) + "\n"))[0] == 1
    done = office.bring(name, text)
    assert (done.json["created"], done.json["known_persons"]) == (0, 0)
    assert counts(office.bring(name, text)) == (0, 0, 1, 0)
    assert [row[field] for row in office.stored()] == [value]
