"""The checks of ``headwater doctor``: the machine, the data folder, the database and the exposure by the settings."""

from __future__ import annotations

import os
import resource
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from operator import methodcaller
from pathlib import Path
from typing import Literal, NamedTuple

import apsw

from headwater.base.clock import SECOND_US, now_us
from headwater.base.errors import HeadwaterError
from headwater.base.settings.field import GIB, MIB
from headwater.base.settings.load import FILE_NAME
from headwater.base.settings.table import Settings
from headwater.base.wire import format_seconds
from headwater.installation import connect
from headwater.installation.data_folder import DATABASE_FILE, LOCK_FILE, AlreadyServed, locked
from headwater.installation.first_start import ADMIN_TOKEN_FILE
from headwater.store import integrity
from headwater.store.database import Database, Transaction
from headwater.store.log.feeds import Feed
from headwater.store.packs import damage
from headwater.store.packs.format import pack_name
from headwater.store.sqlite.database import FIXED_VERSION
from headwater.store.sqlite.reserve import full_marker

State = Literal["ok", "warn", "bad"]

_BUILT_US = 1_767_225_600 * SECOND_US
"""2026-01-01: a clock that shows an earlier time is wrong."""

_SKEW_US = 60 * SECOND_US
_FREE_BYTES = GIB
_OPEN_FILES = 4096


class Check(NamedTuple):
    """The result of one check: its state, and the advice when the state is not ok."""

    name: str
    state: State
    detail: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """Runs every check, the cheap ones first; changes nothing."""
    folder = Path(settings.database.data_folder)
    yield from _library()
    yield from _clock()
    yield from _exposure(settings)
    if not folder.is_dir():
        yield Check("data folder", "bad", f"{folder} is not there", "run 'headwater serve', or name it with --data")
        return
    yield from _folder(folder)
    yield from _space(folder, settings)
    yield from _running(folder)
    yield from _database(settings)


def _library() -> Iterator[Check]:
    version = apsw.sqlite_lib_version()
    safe = tuple(int(part) for part in version.split(".")) >= FIXED_VERSION
    advice = "" if safe else "install a newer apsw: this SQLite can corrupt its WAL"
    yield Check("SQLite library", "ok" if safe else "bad", version, advice)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    few = 0 <= limit < _OPEN_FILES
    advice = "raise the limit (ulimit -Hn, LimitNOFILE): each connection needs one" if few else ""
    yield Check("open files", "warn" if few else "ok", f"at most {limit}" if limit >= 0 else "no limit", advice)


def _clock() -> Iterator[Check]:
    at_us = now_us()
    if at_us < _BUILT_US:
        yield Check("clock", "bad", f"it shows {format_seconds(at_us)}", "set the clock, and keep it set with NTP")
    else:
        yield Check("clock", "ok", format_seconds(at_us))


def _exposure(settings: Settings) -> Iterator[Check]:
    warnings = warnings_of(settings)
    for warning in warnings:
        yield Check("exposure", "warn", warning)
    if not warnings:
        public = "every door needs a token"
        if settings.access.public_access == "on":
            public = "every caller of this machine may read and write contacts and caches (access.public_access=on)"
        elif settings.answers_without_token:
            public = "people of this machine need no token for contacts and cache; every other door needs one"
        yield Check("exposure", "ok", f"{settings.server.host}: {public}")


def _folder(folder: Path) -> Iterator[Check]:
    open_to_others = [path.name or str(path) for path in _private(folder) if path.stat().st_mode & 0o077]
    if open_to_others:
        fix = f"chmod -R go-rwx {folder}"
        yield Check("permissions", "bad", f"other users may read {', '.join(open_to_others)}", fix)
    else:
        yield Check("permissions", "ok", "the data folder belongs to its owner alone")
    strange = [path.name for path in _private(folder) if path.stat().st_uid != folder.stat().st_uid]
    if strange:
        yield Check("owner", "warn", f"{', '.join(strange)} belong to another user than {folder}", "chown them")
    if not os.access(folder, os.W_OK):
        yield Check("owner", "bad", f"this user may not write to {folder}", "run as the folder's owner")
    left = sorted(path.name for path in chain(folder.glob("backup-*"), folder.glob("restoring")))
    if left:
        yield Check(
            "leftovers", "warn", f"{', '.join(left)} was left behind", "remove it when no backup or restore runs"
        )


def _private(folder: Path) -> list[Path]:
    """The folder, and the files in it with secrets or personal data."""
    names = (DATABASE_FILE, DATABASE_FILE + "-wal", DATABASE_FILE + "-shm", ADMIN_TOKEN_FILE, FILE_NAME, "packs")
    # A closed folder protects the files in it.
    inside = [folder / name for name in names] if stat.S_IMODE(folder.stat().st_mode) & 0o077 else []
    secrets = [folder / ADMIN_TOKEN_FILE, folder / FILE_NAME]
    return [path for path in dict.fromkeys((folder, *secrets, *inside)) if path.exists()]


def _space(folder: Path, settings: Settings) -> Iterator[Check]:
    free_bytes = shutil.disk_usage(folder).free
    detail = f"{free_bytes // MIB} MiB free"
    if free_bytes < settings.database.reserve_file_bytes:
        yield Check("disk", "bad", detail, "free space now: writes will soon be refused")
    elif free_bytes < _FREE_BYTES:
        yield Check("disk", "warn", detail, "free space, or move the data folder to a larger disk")
    else:
        yield Check("disk", "ok", detail)
    if full_marker(folder / DATABASE_FILE).exists():
        advice = "free space or delete something; the running server notices by itself"
        yield Check("reserve", "bad", "it was given up: until there is room again, only deletions are accepted", advice)
    wal = folder / (DATABASE_FILE + "-wal")
    if wal.exists() and wal.stat().st_size > 4 * settings.database.wal_limit_bytes:
        advice = "a long read keeps it from being reset: look for a command that hangs"
        yield Check("WAL", "warn", f"{wal.stat().st_size // MIB} MiB", advice)


def _running(folder: Path) -> Iterator[Check]:
    if not (folder / LOCK_FILE).exists():
        return
    try:
        with locked(folder):
            yield Check("server", "ok", "none runs on this folder")
    except AlreadyServed as running:
        yield Check("server", "ok", running.detail)


def _database(settings: Settings) -> Iterator[Check]:
    try:
        database = connect.open_existing(settings)
    except HeadwaterError as failure:
        # The hint of DatabaseUnusable itself names this command.
        unusable = type(failure) is connect.DatabaseUnusable
        advice = "put a backup back with 'headwater restore FILE --force': it moves what is there aside"
        yield Check("database", "bad", failure.detail, advice if unusable else failure.hint)
        return
    with closing(database):
        yield Check("schema", "ok", "up to date")
        yield from _sqlite(database, settings) if database.embedded else _postgres(database)
        yield from database.read_now(lambda tx: list(_contents(tx)))


def _sqlite(database: Database, settings: Settings) -> Iterator[Check]:
    mode = database.read_now(lambda tx: tx.value("PRAGMA journal_mode"))
    yield Check(
        "journal", "ok" if mode == "wal" else "bad", str(mode), "" if mode == "wal" else "start the server once"
    )
    if settings.database.synchronous != "full":
        advice = "set database.synchronous to full: a power loss can take acknowledged writes"
        yield Check("durability", "warn", f"synchronous is {settings.database.synchronous}", advice)
    else:
        yield Check("durability", "ok", "every commit is synced")
    found = [str(row[0]) for row in database.read_now(lambda tx: tx.rows("PRAGMA quick_check(5)"))]
    advice = "stop the server and restore a backup"
    yield (
        Check("file", "ok", "quick_check finds nothing")
        if found == ["ok"]
        else Check("file", "bad", "; ".join(found), advice)
    )


def _postgres(database: Database) -> Iterator[Check]:
    for name, good in (("fsync", "on"), ("full_page_writes", "on")):
        value = database.read_now(methodcaller("value", f"SHOW {name}"))
        advice = "" if value == good else f"set {name} = {good}: a crash can take or damage acknowledged writes"
        yield Check(name, "ok" if value == good else "bad", str(value), advice)
    value = database.read_now(lambda tx: tx.value("SHOW synchronous_commit"))
    bad = value == "off"
    advice = "set synchronous_commit = on: a crash can take acknowledged writes" if bad else ""
    yield Check("synchronous_commit", "bad" if bad else "ok", str(value), advice)


def _contents(tx: Transaction) -> Iterator[Check]:
    feeds = [Feed(*row) for row in tx.rows("SELECT feed, name, organisation, history FROM feeds ORDER BY feed")]
    findings = [finding for feed in feeds for finding in integrity.check_counters(tx, feed)]
    findings += integrity.check_owners(tx)
    for finding in findings[:5]:
        yield Check("contents", "bad", f"{finding.place}: {finding.detail}", "see all with 'headwater verify'")
    if not findings:
        yield Check("contents", "ok", f"counters and rows of {len(feeds)} feeds agree")
    yield _damage(tx)
    newest_us = int(tx.value("SELECT coalesce(max(at_us), 0) FROM changes") or 0)
    if newest_us > tx.now_us + _SKEW_US:
        detail = f"the newest change is of {format_seconds(newest_us)}, which is still to come"
        yield Check("clock", "warn", detail, "the clock stepped back; keep it set with NTP")
    admins = tx.value(
        "SELECT count(*) FROM tokens t JOIN users u ON u.id = t.user_id WHERE u.role = 'global_admin'"
        " AND t.revoked_us IS NULL AND (t.expires_us IS NULL OR t.expires_us > ?)",
        tx.now_us,
    )
    if not admins:
        advice = "headwater token create --org default --role global_admin --scope admin ..."
        yield Check("tokens", "warn", "no global_admin has a token that is good", advice)


def _damage(tx: Transaction) -> Check:
    number = damage.count(tx)
    if not number:
        return Check("content", "ok", "no damaged chunk is known")
    first = damage.listed(tx, 1)[0]
    detail = f"{number} chunks are damaged, the first in pack {pack_name(first.pack)}: {first.reason}"
    advice = (
        "list them with 'headwater verify'; put their packs back from a backup and run it again, or upload the same"
        " files again"
    )
    return Check("content", "bad", detail, advice)


def warnings_of(settings: Settings) -> list[str]:
    """The warnings for an operator about the exposure of a server with these settings."""
    found = []
    if not settings.is_loopback_bind and settings.server.public_url is None and not settings.server.trusted_proxies:
        found.append(
            "other machines reach this server without TLS, so tokens travel in the clear: put a TLS proxy in front"
            " (server.trusted_proxies, server.public_url)"
        )
    if settings.access.public_access == "on" and (settings.is_proxied or not settings.is_loopback_bind):
        found.append(
            "every caller that reaches this server may read and write contacts and caches (access.public_access=on)"
        )
    return found
