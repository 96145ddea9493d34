"""Imports contacts by key: the changes of a batch are planned by reads alone, and then written at once.

A row that equals its contact changes nothing, so that the same file imported again writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from headwater.base.errors import Invalid
from headwater.base.ids import contact_id, is_acceptable
from headwater.base.textkeys import fold
from headwater.base.wire import format_seconds
from headwater.contracts.contacts import affiliations, file_keys, rules
from headwater.contracts.contacts.file_keys import FileKey
from headwater.contracts.contacts.interchange.record import FIELDS as ROW_FIELDS
from headwater.contracts.contacts.interchange.record import Parsed, RowProblem
from headwater.contracts.contacts.shapes import FIELDS, Contact, read_contact
from headwater.identity import chapters
from headwater.store.database import Transaction
from headwater.store.log import records, unique_numbers
from headwater.store.log.records import Record

MAX_CHAPTERS = 100
"""Most chapters of one contact, as the contacts door has it."""

Effect = Literal["created", "updated", "unchanged", "refused"]


class RowOutcome(NamedTuple):
    """The outcome of one row, planned or done; ``changed`` holds each field's old and new value."""

    row_number: int
    uid: str
    name: str
    effect: Effect
    changed: dict[str, tuple[object, object]]
    problem: RowProblem | None = None


@dataclass
class _Person:
    """The contact that rows end in; ``current`` is None for a new one. Several keys may lead to it."""

    contact: Contact
    current: Record | None
    changed: set[str] = field(default_factory=set)


@dataclass
class _KeyEntry:
    """The contact under one key; ``is_new``: the key with ``extra`` is to be written; ``mark``: of its stored lines."""

    person: _Person
    extra: dict[str, list[str]]
    is_new: bool
    mark: int = file_keys.NO_MARK


class Plan(NamedTuple):
    """The changes of a batch: the outcome of each row, the keys with their contacts, and the chapters to create."""

    outcomes: list[RowOutcome]
    targets: dict[str, _KeyEntry]
    new_chapters: list[str]


class _Chapters:
    """An organisation's chapters by id and by name; unknown ones are noted where they may be created."""

    def __init__(self, tx: Transaction, organisation: str, *, open_provisioning: bool) -> None:
        known = chapters.read_all(tx, organisation)
        self._ids = {chapter.id for chapter in known}
        self._by_name: dict[str, str] = {}
        for chapter in known:
            self._by_name.setdefault(_named(chapter.name), chapter.id)
        self._is_open = open_provisioning
        self.new: list[str] = []

    def resolve(self, texts: Iterable[str]) -> list[str]:
        """The ids of chapters that a file names by id or by name, each once. Raises: Invalid."""
        found: dict[str, None] = {}
        for text in texts:
            found[self._one(text)] = None
        if len(found) > MAX_CHAPTERS:
            raise Invalid.of("chapter_ids", "too_many", f"a contact is in at most {MAX_CHAPTERS} chapters")
        return list(found)

    def _one(self, text: str) -> str:
        if text in self._ids:
            return text
        known = self._by_name.get(_named(text))
        if known is not None:
            return known
        if not is_acceptable(text):
            raise Invalid.of("chapter_ids", "incorrect_value", "a chapter id has 1-128 printable characters")
        if not self._is_open:
            raise Invalid.of("chapter_ids", "unknown", f"no chapter has the id or the name {text!r}")
        self._ids.add(text)
        self._by_name.setdefault(_named(text), text)
        self.new.append(text)
        return text


def plan(
    tx: Transaction, feed: int, rows: Sequence[Parsed], *, open_provisioning: bool, replace_extra: bool = False
) -> Plan:
    """The changes of these rows; reads only. Later rows of a key are applied after earlier ones.

    ``replace_extra``: a row without further lines clears the stored ones (a card is complete);
    otherwise it leaves them.
    """
    former = {row.uid: row.former_uid for row in rows if row.former_uid is not None}
    targets = _targets(tx, feed, [*(row.uid for row in rows), *former.values()])
    for uid, former_uid in former.items():
        if uid not in targets and (earlier := targets.get(former_uid)) is not None:
            targets[uid] = earlier
    known = _Chapters(tx, affiliations.organisation_of(tx, feed), open_provisioning=open_provisioning)
    outcomes = [_row(row, targets, known, replace_extra=replace_extra) for row in rows]
    return Plan(outcomes, targets, known.new)


def write(tx: Transaction, feed: int, planned: Plan) -> None:
    """Writes what was planned, in the same transaction."""
    organisation = affiliations.organisation_of(tx, feed)
    chapters.provide(tx, organisation, planned.new_chapters, open_provisioning=True)
    persons = list({id(target.person): target.person for target in planned.targets.values()}.values())
    fresh = [person.contact for person in persons if person.current is None]
    at = format_seconds(tx.at_us)
    for contact, new_id in zip(fresh, _new_ids(tx, feed, len(fresh)), strict=True):
        contact.contact_id, contact.created_at, contact.updated_at = new_id, at, at
    records.put_many(tx, feed, rules.KIND, [rules.draft_of(contact, tx.at_us, tx.at_us) for contact in fresh], {})
    affiliations.put_new(tx, feed, [(contact.contact_id, contact.chapter_ids) for contact in fresh])
    for person in persons:
        if person.current is not None and person.changed:
            rules.write(tx, feed, person.current, person.contact, sorted(person.changed))
            if affiliations.FIELD in person.changed:
                affiliations.put(tx, feed, person.contact.contact_id, person.contact.chapter_ids)
    keys = [(uid, target) for uid, target in planned.targets.items() if target.is_new]
    file_keys.keep(tx, feed, [FileKey(uid, target.person.contact.contact_id, target.extra) for uid, target in keys])


def upsert(
    tx: Transaction, feed: int, rows: Sequence[Parsed], *, open_provisioning: bool, replace_extra: bool = False
) -> Plan:
    """Imports rows: plan and write."""
    planned = plan(tx, feed, rows, open_provisioning=open_provisioning, replace_extra=replace_extra)
    if any(outcome.effect in ("created", "updated") for outcome in planned.outcomes) or any(
        target.is_new for target in planned.targets.values()
    ):
        write(tx, feed, planned)
    return planned


def _targets(tx: Transaction, feed: int, uids: Sequence[str]) -> dict[str, _KeyEntry]:
    """The present contacts of these keys; a key that no file contained yet may be a contact's own id."""
    keys = file_keys.find(tx, feed, uids)
    ids = {uid: keys[uid].contact_id if uid in keys else uid for uid in dict.fromkeys(uids)}
    current = {
        id: row for id, row in records.find_many(tx, feed, rules.KIND, list(ids.values())).items() if not row.deleted
    }
    bodies = file_keys.bodies(tx, feed, list(current))
    persons = {id: _Person(read_contact.decode(bodies[id]), row) for id, row in current.items()}
    found: dict[str, _KeyEntry] = {}
    for uid, id in ids.items():
        if id in persons:
            known = keys.get(uid)
            mark = known.mark if known else file_keys.NO_MARK
            found[uid] = _KeyEntry(persons[id], {}, is_new=known is None and uid != id, mark=mark)
    return found


def _row(row: Parsed, targets: dict[str, _KeyEntry], known: _Chapters, *, replace_extra: bool) -> RowOutcome:
    """Puts one row on its contact; a refused one leaves it as it was."""
    found = targets.get(row.uid)
    present = {name: getattr(found.person.contact, name) for name in FIELDS} if found else dict.fromkeys(FIELDS)
    given: dict[str, Any] = {name: getattr(row.contact, name) for name in ROW_FIELDS if name in row.given}
    wanted = present | given
    try:
        rules.check(given)
        rules.check_named(wanted["first_name"], wanted["last_name"])
        chapter_ids = known.resolve(row.contact.chapter_ids) if affiliations.FIELD in row.given else None
    except Invalid as failure:
        wrong = failure.fields[0]
        problem = RowProblem(wrong.field, wrong.code, wrong.detail)
        return RowOutcome(row.row_number, row.uid, _name(wanted), "refused", {}, problem)
    if found is None:
        made = Contact(contact_id="", created_at="", updated_at="", chapter_ids=chapter_ids or [], **wanted)
        mark = file_keys.mark_of(row.contact.extra)
        targets[row.uid] = _KeyEntry(_Person(made, None), row.contact.extra, is_new=True, mark=mark)
        shown: dict[str, tuple[object, object]] = {
            name: (None, value) for name, value in wanted.items() if value is not None
        }
        return RowOutcome(row.row_number, row.uid, _name(wanted), "created", shown)
    # A file cannot tell an empty text from none, so the two are no difference.
    changed: dict[str, tuple[object, object]] = {
        name: (present[name], value) for name, value in wanted.items() if (value or None) != (present[name] or None)
    }
    contact = found.person.contact
    if chapter_ids is not None and chapter_ids != contact.chapter_ids:
        changed[affiliations.FIELD] = (contact.chapter_ids, chapter_ids)
    for name, (_, value) in changed.items():
        setattr(contact, name, value)
    found.person.changed.update(changed)
    mark = file_keys.mark_of(row.contact.extra)
    if mark != found.mark and (row.contact.extra or replace_extra):
        found.extra, found.is_new, found.mark = row.contact.extra, True, mark
    return RowOutcome(row.row_number, row.uid, _name(wanted), "updated" if changed else "unchanged", changed)


def _new_ids(tx: Transaction, feed: int, count: int) -> list[str]:
    """That many new ids; those that a device has used for a record of its own are skipped."""
    found: list[str] = []
    while len(found) < count:
        minted = [contact_id(number) for number in unique_numbers.take(tx, feed, rules.KIND, count - len(found))]
        taken = records.find_many(tx, feed, rules.KIND, minted)
        found += [id for id in minted if id not in taken]
    return found


def _named(text: str) -> str:
    return " ".join(fold(text).split())


def _name(values: dict[str, Any]) -> str:
    return " ".join(part for part in (values["first_name"], values["last_name"]) if part)
